// Who wants to hear of what. A topic is a word, optionally narrowed by an id; the listener reads the new state itself,
// so a notice carries no data and may be merged with the next one.

export class Changes {
  #listeners = new Map();

  /** Listen to a topic. Returns the function that ends it. */
  on(topic, listener) {
    const listeners = this.#listeners.get(topic) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(topic, listeners);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(topic) === listeners) this.#listeners.delete(topic);
    };
  }

  /** Tell the listeners of a topic. A listener that throws is reported and does not silence the others. */
  tell(topic, id = null) {
    for (const listener of [...(this.#listeners.get(topic) ?? [])]) {
      try {
        listener(id);
      } catch (error) {
        reportError(error);
      }
    }
  }
}

function reportError(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else console.error(error);
}
