// Who people are and whether they are there, as far as this device has been told.

/** @import { Changes } from "./changes.js" */
/** @import { Words } from "./conversations.js" */
/** @import { Person, Presence } from "./types.js" */

import { kept } from "./kept.js";
import { unturned } from "./text.js";

export class People {
  /** @type {Map<number, Person>} */
  #persons = new Map();
  /** @type {Map<number, Presence>} */
  #presence = new Map();
  /** @type {Set<number>} Those of whom it has been told whether there is a picture. */
  #known = new Set();
  #changes;
  #words;

  /**
   * Tells the topics `people` and `presence` with an id.
   *
   * @param {Changes} changes
   * @param {Words} words
   */
  constructor(changes, words) {
    this.#changes = changes;
    this.#words = words;
  }

  /** Whether name and picture have been told. @param {number} id */
  knows(id) {
    return this.#known.has(id);
  }

  /**
   * The same object until something in it changes. A picture's address is as its owner wrote it: whoever shows it has to look
   * at it first.
   *
   * @param {number} id
   * @returns {Person}
   */
  person(id) {
    let person = this.#persons.get(id);
    if (person === undefined) {
      person = { id, name: this.#words.person(id), avatar_url: null };
      // 0 is oneself before the server has said who that is.
      if (id) this.#persons.set(id, person);
    }
    return person;
  }

  /** What was told last; null where nothing was. @param {number} id */
  presence(id) {
    return this.#presence.get(id) ?? null;
  }

  /** Ids of everybody who was ever named. */
  get ids() {
    return [...this.#persons.keys()];
  }

  /**
   * Take what was told of somebody: a field that is left out was not told, a null picture means that there is none.
   *
   * @param {number} id
   * @param {{name?: string|null, avatar_url?: string|null}} told
   */
  introduce(id, told) {
    const held = this.person(id);
    const { name, avatar_url = held.avatar_url } = told;
    if (told.avatar_url !== undefined) this.#known.add(id);
    const person = kept(held, { id, name: unturned(name) || held.name, avatar_url });
    if (person === held) return;
    this.#persons.set(id, person);
    this.#changes.tell("people", id);
  }

  /**
   * One transition or answer; a `last_seen_at` that is not told again is kept.
   *
   * @param {number} id
   * @param {boolean} online
   * @param {string|null} [lastSeenAt]
   */
  seen(id, online, lastSeenAt = null) {
    const held = this.#presence.get(id);
    const presence = kept(held, { online, last_seen_at: lastSeenAt ?? held?.last_seen_at ?? null });
    if (presence === held) return;
    this.#presence.set(id, presence);
    this.#changes.tell("presence", id);
  }

  /** Without a connection nobody's presence is known. */
  forgetPresence() {
    if (this.#presence.size === 0) return;
    this.#presence.clear();
    this.#changes.tell("presence", null);
  }
}
