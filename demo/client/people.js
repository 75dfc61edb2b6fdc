// Who people are and whether they are there, as far as this device has been told.

import { unturned } from "./text.js";

export class People {
  // id → {name, picture}; `picture` is undefined until somebody told whether there is one.
  #profiles = new Map();
  #presence = new Map();
  #changes;

  /** Tells the topic `people`. */
  constructor(changes) {
    this.#changes = changes;
  }

  /** Whether name and picture have been told. */
  knows(userId) {
    return this.#profiles.get(userId)?.picture !== undefined;
  }

  /** Never empty: an unknown person is called by the id. */
  nameOf(userId) {
    return this.#profiles.get(userId)?.name || `User ${userId}`;
  }

  /** The address of a picture, or null. It is as its owner wrote it: whoever shows it has to look at it first. */
  pictureOf(userId) {
    return this.#profiles.get(userId)?.picture ?? null;
  }

  /** `{online, last_seen_at}`, or null where nothing was told. */
  presenceOf(userId) {
    return this.#presence.get(userId) ?? null;
  }

  isOnline(userId) {
    return this.#presence.get(userId)?.online ?? false;
  }

  /** Ids of everybody who was ever named. */
  get ids() {
    return [...this.#profiles.keys()];
  }

  /** Take what was told of somebody: a field that is left out was not told, a null picture means that there is none. */
  introduce(userId, { name, avatar_url }) {
    const held = this.#profiles.get(userId) ?? { name: "", picture: undefined };
    const told = {
      name: unturned(name ?? "").trim() || held.name,
      picture: avatar_url === undefined ? held.picture : avatar_url,
    };
    if (told.name === held.name && told.picture === held.picture && this.#profiles.has(userId)) return;
    this.#profiles.set(userId, told);
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
