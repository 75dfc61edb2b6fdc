// Who people are and whether they are there, as far as this device has been told.

export class People {
  #names = new Map();
  #presence = new Map();
  #changes;

  /** Tells the topic `people`. */
  constructor(changes) {
    this.#changes = changes;
  }

  knows(userId) {
    return this.#names.has(userId);
  }

  /** Never empty: an unknown person is called by the id. */
  nameOf(userId) {
    return this.#names.get(userId) || `User ${userId}`;
  }

  /** `{online, last_seen_at}`, or null where nothing was told. */
  presenceOf(userId) {
    return this.#presence.get(userId) ?? null;
  }

  isOnline(userId) {
    return this.#presence.get(userId)?.online ?? false;
  }

  get known() {
    return [...this.#names].map(([id, name]) => ({ id, name }));
  }

  name(userId, name) {
    if (!name || this.#names.get(userId) === name) return;
    this.#names.set(userId, name);
    this.#changes.tell("people", userId);
  }

  /** One transition or answer; a `last_seen_at` that is not told again is kept. */
  seen(userId, online, lastSeenAt = undefined) {
    const last_seen_at = lastSeenAt ?? this.#presence.get(userId)?.last_seen_at ?? null;
    this.#presence.set(userId, { online, last_seen_at });
    this.#changes.tell("people", userId);
  }

  /** Without a connection nobody's presence is known. */
  forgetPresence() {
    this.#presence.clear();
    this.#changes.tell("people");
  }
}
