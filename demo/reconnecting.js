// A WebSocket of another dialect that keeps coming back. 1000 and 1008 are the end of it; after everything else it waits, longer
// with each failure, and connects again. Nothing is repeated: what was said meanwhile is for whoever uses it to read or to miss.

import { verdict } from "./client/backoff.js";

const STABLE_MS = 5_000;

export class Reconnecting {
  #address;
  #protocols;
  #tell;
  #socket = null;
  #failures = 0;
  #waiting = null;

  /**
   * `onopen(again)`: connected, for a second time or later with `again`. `onframe(frame)`. `onstatus(status)`: connecting, online,
   * waiting, stopped. `onend(code, reason)`: it is over. `onfailure()`: an attempt failed before the socket was open.
   */
  constructor(address, token, tell) {
    this.#address = address.href.replace("http", "ws");
    this.#protocols = token ? ["messenger.v1", `bearer.${token}`] : [];
    this.#tell = { onopen() {}, onframe() {}, onstatus() {}, onend() {}, onfailure() {}, ...tell };
    addEventListener("online", () => this.#waiting !== null && this.#connect(true));
    this.#connect(false);
  }

  /** False: there is no connection, and nothing was sent. */
  send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** For good. */
  end() {
    clearTimeout(this.#waiting);
    this.#waiting = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  #connect(again) {
    clearTimeout(this.#waiting);
    this.#waiting = null;
    this.#tell.onstatus("connecting");
    const socket = new WebSocket(this.#address, this.#protocols);
    this.#socket = socket;
    let openedAt = null;
    socket.onopen = () => {
      openedAt = Date.now();
      this.#tell.onstatus("online");
      this.#tell.onopen(again);
    };
    socket.onmessage = ({ data }) => this.#tell.onframe(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      if (code === 1000 || code === 1008) {
        this.#tell.onstatus("stopped");
        this.#tell.onend(code, reason);
        return;
      }
      if (openedAt === null) this.#tell.onfailure();
      else if (Date.now() - openedAt > STABLE_MS) this.#failures = 0;
      const { failures, delay } = verdict(code, reason, this.#failures, Math.random);
      this.#failures = failures;
      this.#tell.onstatus("waiting");
      this.#waiting = setTimeout(() => this.#connect(again || openedAt !== null), delay);
    };
  }
}
