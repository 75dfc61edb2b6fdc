// What somebody began to write and has not sent, for each conversation, across reloads. Bounded; of one person at a time.

const MOST = 60;
// No message is so long; what is longer is kept until the page goes, and not across a reload.
const MOST_CHARS = 16_000;
const WRITE_MS = 400;

export class Drafts {
  #storage;
  #key = null;
  #texts = new Map();
  // What was written here since it was last stored. Other tabs store theirs at the same place.
  #unstored = new Set();
  #timer = null;

  /** Something else stands in a draft now. */
  onchange = () => {};

  /** `storage`: as `localStorage`, or null. */
  constructor(storage = usable()) {
    this.#storage = storage;
    globalThis.addEventListener?.("pagehide", () => this.#store());
    globalThis.document?.addEventListener("visibilitychange", () => this.#store());
  }

  /** Whose drafts they are. What was written before that was known is his. */
  enter(userId) {
    const key = `messenger.drafts.${userId}`;
    if (this.#key === key) return;
    this.#store();
    if (this.#key !== null) this.#texts.clear();
    this.#key = key;
    for (const [id, text] of this.#read()) if (!this.#texts.has(id)) this.#texts.set(id, text);
    this.#soon();
    this.onchange();
  }

  get(conversationId) {
    return this.#texts.get(conversationId) ?? "";
  }

  /** Text of nothing but white space is no draft. */
  set(conversationId, text) {
    const draft = text.trim() === "" ? "" : text;
    if (draft === this.get(conversationId)) return;
    // The latest stands last, and the first ones go where they are too many.
    this.#texts.delete(conversationId);
    if (draft !== "") this.#texts.set(conversationId, draft);
    this.#unstored.add(conversationId);
    // What was sent must not come back.
    if (draft === "") this.#store();
    else this.#soon();
    this.onchange();
  }

  #soon() {
    if (this.#unstored.size > 0) this.#timer ??= setTimeout(() => this.#store(), WRITE_MS);
  }

  #store() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#key === null || this.#unstored.size === 0) return;
    const stored = new Map(this.#read());
    for (const id of this.#unstored) {
      const text = this.#texts.get(id) ?? "";
      stored.delete(id);
      if (text !== "" && text.length <= MOST_CHARS) stored.set(id, text);
    }
    this.#unstored.clear();
    const entries = [...stored].slice(-MOST);
    try {
      if (entries.length > 0) this.#storage?.setItem(this.#key, JSON.stringify(entries));
      else this.#storage?.removeItem(this.#key);
    } catch {
      // No room: they live as long as the page.
    }
  }

  #read() {
    try {
      const entries = JSON.parse(this.#storage?.getItem(this.#key) ?? "[]");
      return Array.isArray(entries) ? entries.filter(isEntry).slice(-MOST) : [];
    } catch {
      return [];
    }
  }
}

// Whoever shares our origin may have written there as well.
function isEntry(entry) {
  return (
    Array.isArray(entry) &&
    typeof entry[0] === "string" &&
    typeof entry[1] === "string" &&
    entry[1].length <= MOST_CHARS
  );
}

function usable() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}
