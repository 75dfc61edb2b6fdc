// One WebSocket that keeps coming back. Guarantees: `onopen` once for each hello, then frames in order, then `onclose`
// once; at most one socket at a time; nothing from a socket that was given up. It knows no conversation and nothing of a page.

import { below, randomId } from "./address.js";
import { verdict } from "./backoff.js";
import { LATE_MS, surroundings, systemClock } from "./clock.js";
import { kept } from "./kept.js";

/** @import { Clock } from "./clock.js" */
/** @import { Tokens } from "./token.js" */
/** @import { Frame, Status } from "./types.js" */

const HELLO_MS = 10_000;
const PONG_MS = 10_000;
const NUDGED_PONG_MS = 4_000;
// A connection that held this long was no part of the trouble before it.
const STABLE_MS = 5_000;
const HEARTBEAT_S = 25;
const OPEN = 1;
// What our own question is answered by.
const REFRESH = "auth.refresh";
// Between two new tokens of which the server says at once that they expire.
const REFRESH_S = 2;

/**
 * @typedef {object} LineParts  What a connection is made of.
 * @property {string} [url]  Where the daemon lives. Default: where the page does.
 * @property {number | string} userId
 * @property {Tokens} tokens
 * @property {typeof globalThis.WebSocket} [WebSocket]
 * @property {Clock} [clock]
 * @property {() => number} [random]
 */

/** What a connection, and a share of one (tabs.js), look like from outside. */
export class Line {
  #suspended = false;

  /** The same object until it changes. @type {Status} */
  status = { state: "idle", reason: null, retryAt: null };

  onopen = (/** @type {Frame} */ _hello) => {};
  onframe = (/** @type {Frame} */ _frame) => {};
  onclose = () => {};
  onstatus = (/** @type {Status} */ _status) => {};
  /** Every frame as it passes, tokens masked. */
  onwire = (/** @type {"in" | "out"} */ _direction, /** @type {Frame} */ _frame) => {};

  /** @param {LineParts} parts */
  constructor(parts) {
    /** @protected */
    this.parts = parts;
    /** @protected */
    this.clock = parts.clock ?? systemClock;
  }

  get online() {
    return this.status.state === "online";
  }

  get #isAtRest() {
    return this.status.state === "idle" || this.status.state === "stopped";
  }

  /** Send one frame. False: there is no connection, and nothing was sent. @param {Frame} _frame */
  send(_frame) {
    return false;
  }

  /** Something around us changed (network, sleep, tab): connect now if we were waiting, else make the socket prove itself. */
  nudge() {}

  start() {
    if (this.#isAtRest) this.#run();
  }

  /**
   * For good, as far as this object is concerned; `start` begins anew.
   *
   * @param {string | null} [reason]
   */
  stop(reason = null) {
    this.end();
    this.become("stopped", reason);
  }

  /** As if the network were gone, until `resume`. */
  suspend(is = true) {
    if (this.#suspended === is) return;
    this.#suspended = is;
    if (!this.#isAtRest) this.#run();
  }

  resume() {
    this.suspend(false);
  }

  #run() {
    if (!this.#suspended) return this.begin();
    this.end();
    this.become("waiting", "suspended");
  }

  /** @protected */
  begin() {}

  /** Leaves nothing behind. @protected */
  end() {}

  /**
   * @protected
   * @param {Status["state"]} state
   * @param {string | null} [reason]
   * @param {number | null} [retryAt]
   */
  become(state, reason = null, retryAt = null) {
    const was = this.status;
    this.status = kept(was, { state, reason, retryAt });
    if (this.status === was) return;
    if (state === "stopped") this.parts.tokens.forget();
    this.onstatus(this.status);
    if (was.state === "online") this.onclose();
  }
}

export class Connection extends Line {
  #device = randomId();
  /** @type {WebSocket | null} */
  #socket = null;
  #failures = 0;
  #heardAt = 0;
  #openedAt = 0;
  #heartbeatMs = 0;
  // When the server must have answered, milliseconds since 1970; 0 while nothing was asked.
  #due = 0;
  // Each attempt has a number: a token that arrives for a former attempt changes nothing.
  #attempt = 0;
  /** Whom the first hello named. @type {unknown} */
  #me = null;
  /** The token of this socket, and the one that is to follow it. @type {string | null} */
  #shown = null;
  /** @type {string | null} */
  #next = null;
  /** @type {string | null} */
  #expired = null;
  #refreshedAt = -Infinity;
  #cancel = () => {};
  #cancelRefresh = () => {};
  #leave = () => {};

  /** @override @param {Frame} frame */
  send(frame) {
    if (!this.online || this.#socket?.readyState !== OPEN) return false;
    this.onwire("out", frame.type === REFRESH ? { ...frame, token: "…" } : frame);
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** @override */
  nudge() {
    if (this.status.retryAt !== null) this.#connect();
    else if (this.online) this.#probe(NUDGED_PONG_MS);
  }

  /** @protected @override */
  begin() {
    this.#failures = 0;
    this.#expired = null;
    this.#leave = surroundings(
      this.clock,
      // That the network went is only a hint, and no reason to try again.
      (why) => (why !== "offline" || this.online) && this.nudge(),
      // A browser shows us no WebSocket pings, so silence proves nothing until we have asked.
      () => this.online && this.clock.now() - this.#heardAt >= this.#heartbeatMs && this.#probe(PONG_MS),
    );
    this.#connect();
  }

  /** @protected @override */
  end() {
    this.#attempt += 1;
    this.#leave();
    this.#letGo(1000);
  }

  async #connect() {
    const attempt = ++this.#attempt;
    this.#cancel();
    this.become("connecting");
    const token = await this.parts.tokens.get(this.#expired && "token_expired", this.#expired).catch(() => undefined);
    if (attempt !== this.#attempt) return;
    if (token === undefined) this.#closed(1006, "no_token");
    else this.#open(token);
  }

  /** @param {string | null} token */
  #open(token) {
    this.#shown = token;
    const protocols = token === null ? ["messenger.v1"] : ["messenger.v1", `bearer.${token}`];
    const { url, userId, WebSocket = globalThis.WebSocket } = this.parts;
    let socket;
    try {
      const address = below(url, `ws/${encodeURIComponent(userId)}?device=${this.#device}`);
      socket = new WebSocket(address.href.replace("http", "ws"), protocols);
    } catch (error) {
      // Characters that no token has never leave the browser; nor does anything where the page's policy forbids it.
      const isToken = /** @type {Error} */ (error).name === "SyntaxError";
      this.#closed(1008, isToken ? "token_invalid" : "blocked");
      return;
    }
    this.#socket = socket;
    this.#cancel = this.clock.after(HELLO_MS, () => this.#closed(1006, "no_hello"));
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    socket.onerror = () => {};
  }

  /** @param {string} data */
  #received(data) {
    this.#heardAt = this.clock.now();
    if (this.#due > 0) this.#cancel();
    this.#due = 0;
    /** @type {Frame} */
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    this.onwire("in", frame);
    if (!this.online) {
      if (frame.type === "system" && frame.event === "connected") this.#opened(frame);
      return;
    }
    if (frame.ref === REFRESH) return this.#refreshed(frame);
    if (frame.type === "system" && frame.event === "token_expiring") this.#expiring(frame.expires_in_s);
    this.onframe(frame);
  }

  /** @param {Frame} hello */
  #opened(hello) {
    this.#cancel();
    this.#me ??= hello.user_id;
    // What is held was told to somebody else.
    if (this.#me !== hello.user_id) return this.#closed(1008, "user_mismatch");
    this.#openedAt = this.#heardAt;
    this.#heartbeatMs = (hello.heartbeat_s ?? HEARTBEAT_S) * 1000;
    this.become("online");
    if (this.online) this.onopen(hello);
  }

  /** @param {number} patienceMs */
  #probe(patienceMs, isLast = false) {
    const due = this.clock.now() + patienceMs;
    if (this.#due > 0 && this.#due <= due) return;
    this.#cancel();
    this.#due = due;
    this.#cancel = this.clock.after(patienceMs, () => {
      this.#due = 0;
      // Late: we slept, and the answer may lie unread behind this timer.
      if (!isLast && this.clock.now() - due > LATE_MS) this.#probe(NUDGED_PONG_MS, true);
      else this.#closed(1006, "silent");
    });
    this.send({ type: "ping" });
  }

  /**
   * A minute before the token ends, or at once where less is left. The server says so once for each token, and again for a new
   * one that does not last: that one is replaced when half of its time is over.
   *
   * @param {number} leftS
   */
  #expiring(leftS) {
    const isNew = this.clock.now() - this.#refreshedAt < leftS * 1000;
    this.#cancelRefresh();
    this.#cancelRefresh = this.clock.after(isNew ? Math.max(leftS / 2, REFRESH_S) * 1000 : 0, () => this.#refresh());
  }

  async #refresh() {
    const attempt = this.#attempt;
    this.#refreshedAt = this.clock.now();
    const token = await this.parts.tokens.get("token_expiring", this.#shown).catch(() => null);
    if (attempt !== this.#attempt || token === null || token === this.#shown) return;
    this.#next = token;
    this.send({ type: REFRESH, token, ref: REFRESH });
  }

  /** @param {Frame} answer */
  #refreshed({ type }) {
    if (type === "error") this.parts.tokens.keep(this.#shown);
    else this.#shown = this.#next;
  }

  // A dead socket may take minutes to close: it is let go, not waited for.
  /** @param {number} code */
  #letGo(code) {
    this.#cancel();
    this.#cancelRefresh();
    this.#due = 0;
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close(code);
  }

  /** @param {number} code @param {string} why */
  #closed(code, why) {
    const now = this.clock.now();
    this.#letGo(4000);
    if (this.online && now - this.#openedAt >= STABLE_MS) this.#failures = 0;
    const { reason, failures, delay } = verdict(code, why, this.#failures, this.parts.random ?? Math.random);
    this.#failures = failures;
    if (delay === null) return this.stop(reason);
    if (code === 1008) this.#expired = this.#shown;
    this.#cancel = this.clock.after(delay, () => this.#connect());
    this.become("waiting", reason, now + delay);
  }
}
