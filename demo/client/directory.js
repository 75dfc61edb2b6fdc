// Reads which conversations there are and who people are: what events alone do not tell. Everything here may be asked
// again at any time and changes no cursor.

/** @import { Messenger } from "./messenger.js" */
/** @import { Message } from "./types.js" */

import { inTurn } from "./turns.js";

// Ids in one question.
const MOST = 500;

export class Directory {
  #messenger;
  /** @type {Set<number|string>} Users, and conversations, about whom we have asked under this connection. */
  #asked = new Set();

  /** Whether the list of conversations has been read once. */
  loaded = false;

  /** @param {Messenger} messenger */
  constructor(messenger) {
    this.#messenger = messenger;
    /** Read the list again: a conversation exists that we did not know, or know too little of. */
    this.refresh = inTurn(() => messenger.quietly(this.#read()));
  }

  /** A new connection: what could not be told before may be told now, and people may be called otherwise. */
  opened() {
    this.#asked.clear();
    this.refresh();
    this.#messenger.quietly(this.#meet([this.#messenger.conversations.me, ...this.#messenger.people.ids]));
  }

  /**
   * Find out who wrote these messages, as far as we do not know. Everybody is asked for once a connection; and once for
   * each conversation, who has left it: of him nobody else tells us.
   *
   * @param {Pick<Message, "sender_id"|"conversation_id">[]} messages
   */
  learn(messages) {
    const { people } = this.#messenger;
    const unknown = messages.filter(({ sender_id }) => !people.knows(sender_id) && !this.#asked.has(sender_id));
    for (const { sender_id } of unknown) this.#asked.add(sender_id);
    if (unknown.length > 0) this.#messenger.quietly(this.#learn(unknown));
  }

  /** @param {Pick<Message, "sender_id"|"conversation_id">[]} messages */
  async #learn(messages) {
    const { people, rest } = this.#messenger;
    await this.#meet(messages.map(({ sender_id }) => sender_id));
    for (const { sender_id, conversation_id } of messages) {
      if (people.knows(sender_id) || this.#asked.has(conversation_id)) continue;
      this.#asked.add(conversation_id);
      const { participants } = await rest.call("GET", `conversations/${conversation_id}/participants/former`);
      for (const person of participants) people.introduce(person.user_id, person);
    }
  }

  /** @param {number[]} ids @returns {Promise<void>} */
  async #meet(ids) {
    const { people, rest } = this.#messenger;
    const all = [...new Set(ids)];
    if (all.length === 0) return;
    const { users } = await rest.call("GET", `users?ids=${all.slice(0, MOST)}`);
    for (const user of users) people.introduce(user.id, user);
    await this.#meet(all.slice(MOST));
  }

  async #read() {
    const { changes, conversations, requests, rest } = this.#messenger;
    const all = await requests.insist(() => rest.conversations());
    for (const about of all)
      this.#messenger.gone.has(about.id) ? this.#messenger.begin(about) : conversations.merge(about);
    this.loaded = true;
    this.#messenger.settled(all.flatMap(({ last_message }) => last_message ?? []));
    changes.tell("list");
    const peers = [...conversations].flatMap(({ peer }) => peer ?? []);
    this.#messenger.quietly(this.presence(peers.slice(0, MOST)));
    // It may name every conversation now.
    this.#messenger.catchUp();
  }

  /** Ask who is there; what changes later comes by itself. @param {number[]} ids @returns {Promise<void>} */
  async presence(ids) {
    if (ids.length === 0) return;
    const { users } = await this.#messenger.ask({ type: "presence", user_ids: ids.slice(0, MOST) });
    for (const { user_id, online, last_seen_at } of users) this.#messenger.people.seen(user_id, online, last_seen_at);
    await this.presence(ids.slice(MOST));
  }
}
