// One WebSocket that keeps coming back. Guarantees: `onopen` once for each hello, then frames in order, then `onclose`
// once; at most one socket at a time; nothing from a socket that was given up. It knows no conversation and no DOM.

import { verdict } from "./backoff.js";
import { systemClock } from "./clock.js";

const HELLO_MS = 10_000;
const PONG_MS = 10_000;
const NUDGED_PONG_MS = 4_000;
// A connection that held this long was no part of the trouble before it.
const STABLE_MS = 5_000;
const HEARTBEAT_S = 25;
const OPEN = 1;

export class Connection {
  #address;
  #getToken;
  #WebSocket;
  #clock;
  #random;

  #socket = null;
  #failures = 0;
  #refusal = null;
  #heard = 0;
  #heardAt = 0;
  #openedAt = 0;
  #heartbeatMs = HEARTBEAT_S * 1000;
  // Each attempt has a number: a token that arrives for a former attempt changes nothing.
  #attempt = 0;
  #cancelTimer = () => {};

  /** `state`: idle, connecting, online, waiting (until `retryAt`), token (another one is awaited), stopped (see `reason`). */
  status = { state: "idle", reason: null, retryAt: null };

  onopen = (_hello) => {};
  onframe = (_frame) => {};
  onclose = () => {};
  onstatus = (_status) => {};
  /** Every frame as it passes: direction `out` or `in`, the object. */
  onwire = (_direction, _frame) => {};

  /**
   * `address(token)` gives `{url, protocols}`. `getToken(reason)` resolves with a token, or null where none is needed; it
   * is asked before each connect, with the server's reason where the former token was refused.
   */
  constructor({
    address,
    getToken = async () => null,
    WebSocket = globalThis.WebSocket,
    clock = systemClock,
    random = Math.random,
  }) {
    this.#address = address;
    this.#getToken = getToken;
    this.#WebSocket = WebSocket;
    this.#clock = clock;
    this.#random = random;
  }

  get online() {
    return this.status.state === "online";
  }

  start() {
    if (this.status.state === "idle" || this.status.state === "stopped") {
      this.#failures = 0;
      this.#refusal = null;
      this.#connect();
    }
  }

  /** Close for good, as far as this object is concerned; `start` begins anew. */
  stop(reason = null) {
    const wasOnline = this.online;
    this.#attempt += 1;
    this.#letGo(1000);
    this.#setStatus("stopped", reason);
    if (wasOnline) this.onclose();
  }

  /** Send one frame. False: there is no connection, and nothing was sent. */
  send(frame) {
    if (!this.online || this.#socket.readyState !== OPEN) return false;
    this.onwire("out", frame);
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Something around us changed (network, sleep, tab): connect now if we were waiting, else make the socket prove itself. */
  nudge() {
    if (this.status.state === "waiting") this.#connect();
    else if (this.online) this.#probe(NUDGED_PONG_MS);
  }

  async #connect() {
    const attempt = ++this.#attempt;
    this.#cancelTimer();
    this.#setStatus(this.#refusal === null ? "connecting" : "token", this.#refusal);
    let token;
    try {
      token = await this.#getToken(this.#refusal);
    } catch {
      if (attempt === this.#attempt) this.#closed({ code: 1006, reason: "no_token" });
      return;
    }
    if (attempt !== this.#attempt) return;
    this.#refusal = null;
    if (this.status.state !== "connecting") this.#setStatus("connecting");
    const { url, protocols } = this.#address(token);
    let socket;
    try {
      socket = new this.#WebSocket(url, protocols);
    } catch {
      // A token of characters that no token has never leaves the browser.
      this.#closed({ code: 1008, reason: "token_invalid" });
      return;
    }
    this.#socket = socket;
    this.#cancelTimer = this.#clock.after(HELLO_MS, () => this.#giveUp("no_hello"));
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code, reason }) => this.#closed({ code, reason });
  }

  #received(data) {
    this.#heard += 1;
    this.#heardAt = this.#clock.now();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    this.onwire("in", frame);
    if (this.online) {
      this.onframe(frame);
    } else if (frame.type === "system" && frame.event === "connected") {
      this.#openedAt = this.#heardAt;
      this.#heartbeatMs = (frame.heartbeat_s ?? HEARTBEAT_S) * 1000;
      this.#watch(this.#heartbeatMs);
      this.#setStatus("online");
      this.onopen(frame);
    }
  }

  // A browser shows us no WebSocket pings, so silence proves nothing until we have asked.
  #watch(ms) {
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(ms, () => {
      const silence = this.#clock.now() - this.#heardAt;
      if (silence < this.#heartbeatMs) this.#watch(this.#heartbeatMs - silence);
      else this.#probe(PONG_MS);
    });
  }

  #probe(patienceMs) {
    const heard = this.#heard;
    this.send({ type: "ping" });
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(patienceMs, () => {
      if (this.#heard === heard) this.#giveUp("silent");
      else this.#watch(this.#heartbeatMs);
    });
  }

  // A dead socket may take minutes to close: it is let go, not waited for.
  #giveUp(reason) {
    this.#letGo(4000);
    this.#closed({ code: 1006, reason });
  }

  #letGo(code) {
    this.#cancelTimer();
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close(code);
  }

  #closed(close) {
    this.#cancelTimer();
    this.#socket = null;
    const wasOnline = this.online;
    if (wasOnline && this.#clock.now() - this.#openedAt >= STABLE_MS) this.#failures = 0;
    const { next, reason, failures, delay } = verdict(close, this.#failures, this.#random);
    if (next === "stop") {
      this.#setStatus("stopped", reason);
    } else {
      this.#failures = failures;
      this.#refusal = next === "token" ? reason : null;
      this.#cancelTimer = this.#clock.after(delay, () => this.#connect());
      this.#setStatus("waiting", reason, this.#clock.now() + delay);
    }
    if (wasOnline) this.onclose();
  }

  #setStatus(state, reason = null, retryAt = null) {
    this.status = { state, reason, retryAt };
    this.onstatus(this.status);
  }
}
