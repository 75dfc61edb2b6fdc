// Brings every log up to date by `sync` (protocol.md §4 and §8). One question at a time; whoever asks meanwhile is served by
// the next one, because the answer underway may have been read before what he missed.

// Between rounds that moved nothing although something is said to be missing.
const FRUITLESS_MS = 1_000;
const FRUITLESS_MOST = 3;

export class CatchUp {
  #ask;
  #clock;
  #conversations;
  #running = false;
  #again = false;

  /** A conversation in the answer that is not held: awaited, and then asked again. */
  onunknown = async () => {};
  /** The database has another history: everything held is void. */
  onepoch = (_epoch) => {};
  /** One answer was applied: ids it touched, the messages it brought. */
  onapplied = (_ids, _messages) => {};
  /** Ids the user no longer takes part in. */
  onremoved = (_ids) => {};

  /** `ask(frame)` resolves with the answer, and rejects once there is no use in asking. */
  constructor({ ask, clock, conversations }) {
    this.#ask = ask;
    this.#clock = clock;
    this.#conversations = conversations;
  }

  /** Ends when every log is whole, or the connection is gone. */
  async run() {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    try {
      for (let fruitless = 0; this.#again;) {
        this.#again = false;
        const before = this.#progress();
        const { more, unknown } = this.#apply(await this.#ask({ type: "sync", cursors: this.#conversations.cursors }));
        if (unknown) await this.onunknown();
        const missing = [...this.#conversations].filter(({ log }) => !log.whole);
        if (!more && !unknown && missing.length === 0) continue;
        this.#again = true;
        if (this.#progress() !== before) {
          fruitless = 0;
        } else if (++fruitless < FRUITLESS_MOST) {
          await new Promise((resolve) => this.#clock.after(FRUITLESS_MS, resolve));
        } else {
          // The database knows of nothing more, and it is the truth.
          for (const { log } of missing) log.wanted = log.cursor ?? 0;
          this.#again = false;
        }
      }
    } catch (error) {
      if (error.code !== "disconnected") throw error;
    } finally {
      this.#running = false;
    }
  }

  #apply({ conversations, epoch, more, removed = [] }) {
    this.onepoch(epoch);
    let unknown = false;
    const ids = [];
    const messages = [];
    for (const part of conversations) {
      const conversation = this.#conversations.get(part.conversation_id);
      if (conversation === null) {
        unknown = true;
        continue;
      }
      conversation.log.applySync(part);
      ids.push(conversation.id);
      messages.push(...part.changes);
    }
    if (removed.length > 0) this.onremoved(removed);
    this.onapplied(ids, messages);
    return { more: more === true, unknown };
  }

  // A number that differs whenever some log went forward, or another one came.
  #progress() {
    let progress = 0;
    for (const { log } of this.#conversations) progress += 1 + (log.cursor ?? 0) + log.generation;
    return progress;
  }
}
