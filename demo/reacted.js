// Who reacted to the messages in view. A message itself tells how many, not who: that is asked, one message after another, once
// nothing else happens.

import { reactions } from "./client/manage.js";

const ASK_MS = 300;
// The server names no more of them.
const MOST = 500;

export class Reacted {
  #client;
  #onknown;
  #known = new Map();
  #wanted = new Map();
  #asking = false;
  #timer = null;

  /** `onknown(messageId)`: there is something to tell of it now. */
  constructor(client, onknown) {
    this.#client = client;
    this.#onknown = onknown;
  }

  /** Emoji to the ids of who reacted with it, as far as was told; null while nothing was. */
  of(messageId) {
    return this.#known.get(messageId)?.who ?? null;
  }

  /** Somebody sees this message. */
  want({ id, change }) {
    if (this.#known.get(id)?.change === change) return;
    this.#wanted.set(id, change);
    this.#soon();
  }

  /** Nobody does any more. */
  unwant(messageId) {
    this.#wanted.delete(messageId);
  }

  /** What it is now. Rejects with a RequestError. */
  async ask({ id, change }) {
    const held = this.#known.get(id);
    if (held?.change === change) return held.who;
    const who = new Map();
    for (const { user_id, emoji } of await reactions(this.#client, id)) {
      if (!who.has(emoji)) who.set(emoji, []);
      who.get(emoji).push(user_id);
    }
    this.#known.delete(id);
    this.#known.set(id, { change, who });
    if (this.#known.size > MOST) this.#known.delete(this.#known.keys().next().value);
    this.#wanted.delete(id);
    this.#onknown(id);
    return who;
  }

  clear() {
    this.#known.clear();
    this.#wanted.clear();
  }

  #soon() {
    if (!this.#asking) this.#timer ??= setTimeout(() => this.#run(), ASK_MS);
  }

  async #run() {
    this.#timer = null;
    this.#asking = true;
    for (const [id, change] of this.#wanted) {
      this.#wanted.delete(id);
      // Whoever wants to know in earnest asks, and is told why not.
      await this.ask({ id, change }).catch(() => {});
    }
    this.#asking = false;
    if (this.#wanted.size > 0) this.#soon();
  }
}
