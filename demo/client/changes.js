// Who wants to hear of what. A topic is a word, narrowed by an id after a colon where there are many of a kind. Listeners read
// the new state themselves, so a notice may be merged with the next one.

/** @typedef {(...data: any[]) => void} Listener */

export class Changes {
  /** @type {Map<string, Set<Listener>>} */
  #listeners = new Map();

  /**
   * Listen to a topic. Returns the function that ends it, which says whether nobody listens any more because of that.
   *
   * @param {string} topic
   * @param {Listener} listener
   */
  on(topic, listener) {
    const listeners = this.#listeners.get(topic) ?? new Set();
    // Its own function, so that one who listens twice is told twice and leaves once.
    const entry = /** @type {Listener} */ ((...data) => listener(...data));
    this.#listeners.set(topic, listeners.add(entry));
    return () => listeners.delete(entry) && listeners.size === 0 && this.#listeners.delete(topic);
  }

  /**
   * Tell the listeners of a topic. One that throws is reported and does not silence the others.
   *
   * @param {string} topic
   * @param {any[]} data
   */
  tell(topic, ...data) {
    for (const listener of new Set(this.#listeners.get(topic))) {
      try {
        listener(...data);
      } catch (error) {
        console.error(error);
      }
    }
  }

  /** Whether somebody listens. @param {string} topic */
  has(topic) {
    return this.#listeners.has(topic);
  }

  /** The topics that somebody listens to. */
  get topics() {
    return [...this.#listeners.keys()];
  }
}
