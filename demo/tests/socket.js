// A WebSocket of which the test is the server's end.

export class FakeSocket {
  static all = [];

  static get last() {
    return FakeSocket.all.at(-1);
  }

  /** Those that nobody has closed. */
  static get open() {
    return FakeSocket.all.filter(({ readyState }) => readyState === 1);
  }

  readyState = 1;
  sent = [];

  constructor(url, protocols) {
    if (protocols.some((protocol) => /[\s<>]/.test(protocol))) throw new SyntaxError("invalid subprotocol");
    Object.assign(this, { url, protocols });
    FakeSocket.all.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  receive(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  hello(more = {}) {
    this.receive({ type: "system", event: "connected", user_id: 1, heartbeat_s: 25, ...more });
  }

  end(code, reason = "") {
    this.readyState = 3;
    // Some throw what nobody hears.
    if (code === 1006 && this.onclose) this.onerror({ type: "error" });
    this.onclose?.({ code, reason });
  }

  /** The frames of one type that were sent. */
  of(type) {
    return this.sent.filter((frame) => frame.type === type);
  }
}
