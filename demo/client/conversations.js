// The conversations this user takes part in: what each is, who is in it, its log, and their order. Says nothing to the server.

/** @import { People } from "./people.js" */
/** @import { About, NotificationSettings, Role } from "./types.js" */

import { Log } from "./log.js";
import { unturned } from "./text.js";

// `subscribed` names no more of them.
export const MOST_NAMED = 100;
// As many as a list names.
const FEW = 4;

/**
 * What a conversation is called where it has no title, and people who have no name.
 *
 * @typedef {object} Words
 * @property {(id: number) => string} person
 * @property {string} direct
 * @property {string} group
 * @property {(names: string, more: number) => string} andMore
 */

/** @type {Words} */
export const ENGLISH = {
  person: (id) => `User ${id}`,
  direct: "Direct conversation",
  group: "Conversation",
  andMore: (names, more) => `${names} and ${more} more`,
};

/**
 * One conversation. `about` is the server's object (protocol.md §6); `participants` is null until somebody told them;
 * `others` are ids of a few of them, told with the list, and of whoever left a direct one.
 */
export class Talk {
  /** @type {Map<number, {user_id: number, role: Role}>|null} */
  participants = null;
  /** @type {number[]} */
  others = [];
  /** @type {NotificationSettings|null} */
  notification = null;

  /** @param {About} about @param {number} me */
  constructor(about, me) {
    this.id = about.id;
    this.about = about;
    this.log = new Log(about.id, me);
  }

  /** Milliseconds since 1970 of the latest thing that happened here. */
  get activeAt() {
    return Date.parse(this.log.newest?.created_at ?? this.about.created_at) || 0;
  }

  /** In a direct conversation the other one's id; null elsewhere, or while unknown. */
  get peer() {
    const { type, created_by } = this.about;
    if (type !== "direct") return null;
    return [...this.few, ...this.others, created_by].find((userId) => userId !== this.log.me) ?? null;
  }

  /** Ids of a few of the others: the same ones, in the same order, whether a list named them or all are known. */
  get few() {
    const others = [...(this.participants?.keys() ?? this.others)].filter((userId) => userId !== this.log.me);
    return others.sort((a, b) => a - b).slice(0, FEW);
  }

  /** How many are in it. */
  get count() {
    const told = this.about.participant_count ?? 0;
    const named = this.participants?.size ?? 0;
    return named > 0 && named < MOST_NAMED ? named : told;
  }

  /** Whether we may write here, as far as our role says. */
  get writable() {
    const role = this.role ?? "member";
    return role === "admin" || (role === "member" && this.about.type !== "announcement");
  }

  /** Our own role; null where nobody told. */
  get role() {
    return this.participants?.get(this.log.me)?.role ?? this.about.my_role ?? null;
  }
}

export class Conversations {
  /** @type {Map<string, Talk>} */
  #byId = new Map();
  #people;
  #words;

  /** Our own user id; set before the first conversation comes. */
  me = 0;

  /** @param {People} people @param {Words} words */
  constructor(people, words) {
    this.#people = people;
    this.#words = words;
  }

  /** @param {string} id */
  get(id) {
    return this.#byId.get(id) ?? null;
  }

  [Symbol.iterator]() {
    return this.#byId.values();
  }

  /** id → cursor, of every conversation held. */
  get cursors() {
    return Object.fromEntries([...this].filter(({ log }) => log.cursor >= 0).map(({ id, log }) => [id, log.cursor]));
  }

  /**
   * Take a server's conversation object, from a list, an answer or an event; an older one than held changes nothing.
   *
   * @param {any} about
   */
  merge(about) {
    let conversation = this.#byId.get(about.id);
    if (conversation === undefined) {
      conversation = new Talk(about, this.me);
      this.#byId.set(about.id, conversation);
    } else if ((about.last_change ?? 0) >= (conversation.about.last_change ?? 0)) {
      conversation.about = { ...conversation.about, ...about };
    }
    if (about.last_change !== undefined) conversation.log.begin(about);
    if (about.unread_count !== undefined) conversation.log.count(about);
    if (about.notification !== undefined) conversation.notification = about.notification;
    if (about.participants !== undefined) this.meet(conversation, about.participants);
    if (about.people !== undefined) {
      // The few whom a list names: enough to call it by them.
      for (const person of about.people) this.#people.introduce(person.user_id, person);
      conversation.others = about.people.map((/** @type {any} */ { user_id }) => user_id);
    }
    return conversation;
  }

  /** Take the list of who is in it (protocol.md §4, `subscribed`). @param {Talk} conversation @param {any[]} participants */
  meet(conversation, participants) {
    conversation.participants = new Map();
    for (const participant of participants) this.join(conversation, participant);
  }

  /** Somebody came, or changed role. @param {Talk} conversation @param {any} participant */
  join(conversation, { user_id, name, role, avatar_url, online, last_seen_at, last_read_seq = 0 }) {
    // Half a list would pass for a whole one.
    conversation.participants?.set(user_id, { user_id, role });
    if (user_id === this.me) conversation.about = { ...conversation.about, my_role: role };
    this.#people.introduce(user_id, { name, avatar_url });
    if (online !== undefined) this.#people.seen(user_id, online, last_seen_at);
    // How far we have read comes with a count of what is left, or not at all.
    if (user_id !== this.me) conversation.log.read(user_id, last_read_seq);
  }

  /** @param {Talk} conversation @param {number} userId */
  leave(conversation, userId) {
    conversation.participants?.delete(userId);
    if (conversation.about.type === "direct") conversation.others = [userId];
  }

  /** @param {string} id */
  remove(id) {
    return this.#byId.delete(id);
  }

  clear() {
    this.#byId.clear();
  }

  /** What to call it: its title, else the people in it. @param {Talk} conversation */
  titleOf(conversation) {
    const { about, peer } = conversation;
    const title = unturned(about.title);
    if (title !== "") return title;
    const nameOf = (/** @type {number} */ id) => this.#people.person(id).name;
    if (about.type === "direct") return peer === null ? this.#words.direct : nameOf(peer);
    const { few } = conversation;
    if (few.length === 0) return this.#words.group;
    const more = conversation.count - 1 - few.length;
    const names = few.map(nameOf).join(", ");
    return more > 0 ? this.#words.andMore(names, more) : names;
  }
}
