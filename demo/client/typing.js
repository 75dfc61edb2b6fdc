// Who is typing where. Incoming: counts for 5 s unless repeated. Outgoing: said every 3 s while keys are struck, and taken
// back when the text is sent or emptied.

/** @import { Changes } from "./changes.js" */
/** @import { Clock } from "./clock.js" */
/** @import { Frame } from "./types.js" */

const EXPIRES_MS = 5_000;
const REPEAT_MS = 3_000;

export class Typing {
  #send;
  #clock;
  #changes;
  /** @type {Map<string, Map<number, () => void>>} conversation id → user id → what calls the expiry off. */
  #others = new Map();
  /** @type {{conversation_id: string, at: number}|null} */
  #said = null;

  /**
   * Tells the topic `typing` with the conversation's id.
   *
   * @param {(frame: Frame) => boolean} send
   * @param {Clock} clock
   * @param {Changes} changes
   */
  constructor(send, clock, changes) {
    this.#send = send;
    this.#clock = clock;
    this.#changes = changes;
  }

  /** User ids, who began first comes first. @param {string} conversation_id */
  in(conversation_id) {
    return [...(this.#others.get(conversation_id)?.keys() ?? [])];
  }

  /**
   * @param {string} conversation_id
   * @param {number} userId
   * @param {boolean} isTyping
   */
  heard(conversation_id, userId, isTyping) {
    const others = this.#others.get(conversation_id) ?? new Map();
    const had = others.has(userId);
    others.get(userId)?.();
    if (isTyping)
      others.set(
        userId,
        this.#clock.after(EXPIRES_MS, () => this.heard(conversation_id, userId, false)),
      );
    else others.delete(userId);
    this.#others.set(conversation_id, others);
    if (had !== isTyping) this.#changes.tell("typing", conversation_id);
  }

  /**
   * Our own keys: `text` is what stands in the composer now.
   *
   * @param {string} conversation_id
   * @param {string} text
   */
  typed(conversation_id, text) {
    if (text.trim() === "") return this.ended(conversation_id);
    const now = this.#clock.now();
    if (this.#said?.conversation_id === conversation_id && now - this.#said.at < REPEAT_MS) return;
    if (this.#send({ type: "typing.start", conversation_id })) this.#said = { conversation_id, at: now };
  }

  /** We stopped. Silent where nothing was said, or where the server has let it expire. @param {string} conversation_id */
  ended(conversation_id) {
    if (this.#said?.conversation_id !== conversation_id) return;
    if (this.#clock.now() - this.#said.at < EXPIRES_MS) this.#send({ type: "typing.stop", conversation_id });
    this.#said = null;
  }

  /** The connection is gone. */
  forget() {
    this.#said = null;
    for (const [conversation_id, others] of this.#others)
      for (const userId of others.keys()) this.heard(conversation_id, userId, false);
  }
}
