// Who is typing where. Incoming: counts for 5 s unless repeated. Outgoing: said every 3 s while keys are struck, and taken
// back when the text is sent or emptied.

const EXPIRES_MS = 5_000;
const REPEAT_MS = 3_000;

export class Typing {
  #changes;
  #clock;
  #send;
  #others = new Map();
  #said = null;

  /** Tells the topic `typing` with the conversation's id. */
  constructor(changes, clock, send) {
    this.#changes = changes;
    this.#clock = clock;
    this.#send = send;
  }

  /** User ids, who began first comes first. */
  in(conversationId) {
    return [...(this.#others.get(conversationId)?.keys() ?? [])];
  }

  heard(conversationId, userId, isTyping) {
    const others = this.#others.get(conversationId) ?? new Map();
    const had = others.has(userId);
    others.get(userId)?.();
    if (isTyping) {
      others.set(
        userId,
        this.#clock.after(EXPIRES_MS, () => this.heard(conversationId, userId, false)),
      );
      this.#others.set(conversationId, others);
    } else {
      others.delete(userId);
      if (others.size === 0) this.#others.delete(conversationId);
    }
    if (had !== isTyping) this.#changes.tell("typing", conversationId);
  }

  /** Our own keys: `text` is what stands in the composer now. */
  typed(conversationId, text) {
    if (text.trim() === "") {
      this.ended(conversationId);
      return;
    }
    const now = this.#clock.now();
    if (this.#said?.conversationId === conversationId && now - this.#said.at < REPEAT_MS) return;
    if (this.#send({ type: "typing.start", conversation_id: conversationId })) this.#said = { conversationId, at: now };
  }

  /** We stopped. Silent where nothing was said, or where the server has let it expire. */
  ended(conversationId) {
    if (this.#said?.conversationId !== conversationId) return;
    if (this.#clock.now() - this.#said.at < EXPIRES_MS)
      this.#send({ type: "typing.stop", conversation_id: conversationId });
    this.#said = null;
  }

  forget() {
    this.#said = null;
    for (const [conversationId, others] of this.#others) {
      for (const cancel of others.values()) cancel();
      this.#others.delete(conversationId);
      this.#changes.tell("typing", conversationId);
    }
  }
}
