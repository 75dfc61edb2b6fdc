// The line between a client and a daemon, in TCP: it can be cut, held and slowed.

import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Line {
  #server;
  #far;
  #open = new Set();
  #held = null;
  #delayMs = 0;
  #isDown = false;

  /** How many connections were made, refused ones too. */
  connections = 0;

  /** A line to `url`. Close it in the end. */
  static async to(url) {
    const { hostname, port } = new URL(url);
    const line = new Line({ host: hostname, port: Number(port) });
    line.#server.listen(0, "127.0.0.1");
    await once(line.#server, "listening");
    return line;
  }

  constructor(far) {
    this.#far = far;
    this.#server = createServer((near) => this.#carry(near));
  }

  /** Where a client finds the daemon at the other end. */
  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  /** Reset every connection of now. */
  cut() {
    for (const end of [...this.#open]) end();
  }

  /** Reset every connection of now, and those to come until `up`. */
  down() {
    this.#isDown = true;
    this.cut();
  }

  up() {
    this.#isDown = false;
  }

  /** From now on not a byte goes either way, and nobody is told: a dead network. Until `release`. */
  hold() {
    if (this.#held) return;
    this.#held = {};
    this.#held.over = new Promise((resolve) => (this.#held.end = resolve));
  }

  /** What was held goes on its way. */
  release() {
    this.#held?.end();
    this.#held = null;
  }

  /** Each piece waits for so long before it goes on. */
  slow(ms) {
    this.#delayMs = ms;
  }

  async close() {
    this.down();
    this.release();
    this.#server.close();
    await once(this.#server, "close");
  }

  #carry(near) {
    this.connections += 1;
    if (this.#isDown) {
      near.on("error", () => {});
      near.resetAndDestroy();
      return;
    }
    const far = connect(this.#far);
    const end = () => {
      near.resetAndDestroy();
      far.resetAndDestroy();
    };
    this.#open.add(end);
    let closed = 0;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      this.#pump(from, to, end);
      from.on("close", () => ++closed === 2 && this.#open.delete(end));
    }
  }

  // Pieces keep their order: each waits for the one before it. The end comes after all of them, and may be held as well.
  #pump(from, to, end) {
    let last = Promise.resolve();
    const then = (run) => {
      last = last
        .then(() => this.#held?.over)
        .then(() => this.#delayMs > 0 && new Promise((resolve) => setTimeout(resolve, this.#delayMs)))
        .then(run);
    };
    from.setNoDelay(true);
    from.on("data", (piece) => then(() => to.writable && to.write(piece)));
    from.on("end", () => then(() => to.end()));
    from.on("error", () => then(end));
  }
}
