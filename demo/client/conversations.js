// The conversations this user takes part in: what each is, who is in it, its log, and their order. Says nothing to the server.

import { Log } from "./log.js";
import { unturned } from "./text.js";

// `subscribed` names no more of them.
const MOST_NAMED = 100;

/**
 * One conversation. `about` is the server's object (protocol.md §6); `participants` is null until somebody told them;
 * `others` are ids of a few of them, told with the list, and of whoever left a direct one.
 */
class Conversation {
  participants = null;
  others = [];

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
    if (this.about.type !== "direct") return null;
    const { me } = this.log;
    for (const userId of [...(this.participants?.keys() ?? []), ...this.others]) if (userId !== me) return userId;
    return this.about.created_by === me ? null : this.about.created_by;
  }

  /** How many are in it. */
  get count() {
    const told = this.about.participant_count ?? 0;
    const named = this.participants?.size ?? 0;
    return this.participants === null || named >= MOST_NAMED ? Math.max(told, named) : named;
  }

  /** Whether we may write here, as far as our role says. */
  get writable() {
    const role = this.participants?.get(this.log.me)?.role ?? this.about.my_role ?? "member";
    return role === "admin" || (role === "member" && this.about.type !== "announcement");
  }
}

export class Conversations {
  #byId = new Map();
  #people;

  /** Our own user id; set before the first conversation comes. */
  me = null;

  constructor(people) {
    this.#people = people;
  }

  get(id) {
    return this.#byId.get(id) ?? null;
  }

  [Symbol.iterator]() {
    return this.#byId.values();
  }

  /** Latest activity first. */
  get sorted() {
    return [...this.#byId.values()].sort((a, b) => b.activeAt - a.activeAt || (a.id < b.id ? 1 : -1));
  }

  get unread() {
    let unread = 0;
    for (const { log } of this) unread += log.unread;
    return unread;
  }

  /** id → cursor, of every conversation held. */
  get cursors() {
    return Object.fromEntries(
      [...this].filter(({ log }) => log.cursor !== null).map(({ id, log }) => [id, log.cursor]),
    );
  }

  /** Take a server's conversation object, from a list, an answer or an event; an older one than held changes nothing. */
  merge(about) {
    let conversation = this.#byId.get(about.id);
    if (conversation === undefined) {
      conversation = new Conversation(about, this.me);
      this.#byId.set(about.id, conversation);
    } else if ((about.last_change ?? 0) >= (conversation.about.last_change ?? 0)) {
      conversation.about = { ...conversation.about, ...about };
    }
    if (about.last_change !== undefined) conversation.log.begin(about);
    if (about.unread_count !== undefined) conversation.log.count(about);
    if (Array.isArray(about.participants)) this.meet(conversation, about.participants);
    if (Array.isArray(about.people)) this.#glimpse(conversation, about.people);
    return conversation;
  }

  /** Take the list of who is in it (protocol.md §4, `subscribed`). */
  meet(conversation, participants) {
    conversation.participants = new Map();
    for (const participant of participants) this.join(conversation, participant);
  }

  // The few whom a list names: enough to call it by them.
  #glimpse(conversation, people) {
    for (const person of people) this.#people.introduce(person.user_id, person);
    conversation.others = people.map(({ user_id }) => user_id);
  }

  /** Somebody came, or changed role. */
  join(conversation, { user_id, name, role, avatar_url, online, last_seen_at, last_read_seq = 0 }) {
    // Half a list would pass for a whole one.
    conversation.participants?.set(user_id, { user_id, role });
    this.#people.introduce(user_id, { name, avatar_url });
    if (online !== undefined) this.#people.seen(user_id, online, last_seen_at);
    // How far we have read comes with a count of what is left, or not at all.
    if (user_id !== this.me) conversation.log.read(user_id, last_read_seq);
  }

  leave(conversation, userId) {
    conversation.participants?.delete(userId);
    if (conversation.about.type === "direct") conversation.others = [userId];
  }

  remove(id) {
    return this.#byId.delete(id);
  }

  clear() {
    this.#byId.clear();
  }

  /** What to call it: its title, else the people in it. */
  titleOf(conversation) {
    const { about, peer, participants } = conversation;
    const title = unturned(about.title ?? "").trim();
    if (title !== "") return title;
    if (about.type === "direct") return peer === null ? "Direct conversation" : this.#people.nameOf(peer);
    const others = [...(participants?.keys() ?? conversation.others)].filter((userId) => userId !== this.me);
    if (others.length === 0) return "Conversation";
    const more = conversation.count - 1 - others.length;
    const names = others.map((userId) => this.#people.nameOf(userId)).join(", ");
    return more > 0 ? `${names} and ${more} more` : names;
  }
}
