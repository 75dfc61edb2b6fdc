// What the outside sees: values made of what the messenger holds, and made anew only where something in them changed. Whoever
// draws may compare them by `===`, down to single rows.

/** @import { Messenger } from "./messenger.js" */
/** @import { Outgoing } from "./outbox.js" */
/** @import { Conversation, ConversationSummary, Message, PendingRow, Row, SentRow } from "./types.js" */

import { Talk } from "./conversations.js";
import { kept } from "./kept.js";

/** Values by id, each made anew only where something has happened to it since. @template T */
class Made {
  /** @type {Map<string, T>} */
  #values = new Map();
  /** @type {Set<string>} */
  #fresh = new Set();

  /** @param {string} id @param {(held: T|undefined) => T} make */
  get(id, make) {
    const held = this.#values.get(id);
    if (held !== undefined && this.#fresh.has(id)) return held;
    const made = make(held);
    for (const part in made) made[part] = kept(held?.[part], made[part]);
    const value = kept(held, made);
    this.#fresh.add(id);
    this.#values.set(id, value);
    return value;
  }

  /** Something has happened to one of them, or (null) to any of them. @param {string|null} id */
  stale(id) {
    if (id === null) this.#fresh.clear();
    else this.#fresh.delete(id);
  }

  /** @param {string} id */
  forget(id) {
    this.#values.delete(id);
  }
}

export class Views {
  #messenger;
  /** @type {Made<ConversationSummary[]>} */
  #list = new Made();
  /** @type {Made<ConversationSummary>} */
  #summaries = new Made();
  /** @type {Made<Conversation>} */
  #conversations = new Made();
  /** @type {WeakMap<Message|Outgoing, Row>} */
  #rows = new WeakMap();

  /** @param {Messenger} messenger */
  constructor(messenger) {
    this.#messenger = messenger;
  }

  /** Something about a conversation changed, or (null) about any of them. `inList`: lists show it too. @param {string|null} id */
  stale(id, inList = true) {
    this.#summaries.stale(id);
    this.#conversations.stale(id);
    if (inList) this.#list.stale(null);
  }

  /** Latest activity first. */
  list() {
    return this.#list.get("", () => {
      const list = [...this.#messenger.conversations].map((talk) => this.#summary(talk));
      return list.sort((a, b) => b.activeAt - a.activeAt || (a.id < b.id ? 1 : -1));
    });
  }

  /** One conversation, known or not. @param {string} id */
  conversation(id) {
    const { conversations } = this.#messenger;
    return this.#conversations.get(id, (held) => this.#conversation(conversations.get(id) ?? absent(id), held));
  }

  /** Nobody looks at it any more, or it is not there any more. @param {string} id */
  forget(id) {
    this.#conversations.forget(id);
    if (this.#messenger.conversations.get(id) === null) this.#summaries.forget(id);
  }

  /** @param {Talk} talk */
  #summary(talk) {
    return this.#summaries.get(talk.id, () => {
      const { people, conversations, outbox } = this.#messenger;
      const { id, about, log, peer, role, writable, notification, count, activeAt } = talk;
      const outgoing = outbox.of(id).at(-1);
      const { newest } = log;
      return {
        id,
        type: about.type,
        title: conversations.titleOf(talk),
        about,
        unread: log.unread,
        lastMessage: outgoing ? this.#pending(outgoing) : newest && this.#sent(newest, reach(talk)),
        activeAt: Math.max(activeAt, outgoing?.writtenAt ?? 0),
        peer: peer === null ? null : people.person(peer),
        presence: peer === null ? null : people.presence(peer),
        people: talk.few.map((userId) => people.person(userId)),
        count,
        role,
        writable,
        notification,
      };
    });
  }

  /** @param {Talk} talk @param {Conversation} [held] @returns {Conversation} */
  #conversation(talk, held) {
    const { people, outbox, typing } = this.#messenger;
    const { id, log, participants } = talk;
    const reached = reach(talk);
    /** @type {Row[]} */
    const messages = log.messages.map((message) => this.#sent(message, reached));
    for (const outgoing of outbox.of(id)) messages.push(this.#pending(outgoing));
    const earlier = new Map(held?.participants.map((participant) => [participant.user_id, participant]));
    return {
      ...this.#summary(talk),
      status: log.lowest < Infinity ? "ready" : this.#messenger.gone.has(id) ? "gone" : "loading",
      messages,
      hasMore: log.hasOlder,
      loadingOlder: log.lowest < Infinity && this.#messenger.paging.has(log),
      participants: [...(participants?.values() ?? [])].map(({ user_id, role }) => {
        const { name, avatar_url } = people.person(user_id);
        const { online = null, last_seen_at = null } = people.presence(user_id) ?? {};
        const last_read_seq = log.reads.get(user_id) ?? 0;
        return kept(earlier.get(user_id), { user_id, name, avatar_url, role, online, last_seen_at, last_read_seq });
      }),
      typing: typing.in(id).map((userId) => people.person(userId)),
      lastReadSeq: log.lastReadSeq,
    };
  }

  /** @param {Message} message @param {{some: number, all: number}} reached @returns {SentRow} */
  #sent(message, { some, all }) {
    const { me, people } = this.#messenger;
    const own = message.sender_id === me && message.message_type !== "system";
    const readBy = !own ? null : message.seq <= all ? "all" : message.seq <= some ? "some" : "none";
    const sender = people.person(message.sender_id);
    const held = /** @type {SentRow|undefined} */ (this.#rows.get(message));
    if (held !== undefined && held.readBy === readBy && held.sender === sender) return held;
    const key = (own && message.client_id) || message.id;
    /** @type {SentRow} */
    const made = { ...message, key, own, state: "sent", readBy, error: null, sender };
    this.#rows.set(message, made);
    return made;
  }

  /** @param {Outgoing} outgoing @returns {PendingRow} */
  #pending(outgoing) {
    const held = /** @type {PendingRow|undefined} */ (this.#rows.get(outgoing));
    const { me, people } = this.#messenger;
    if (held?.sender_id === me) return held;
    const { writtenAt, state, error, ...said } = outgoing;
    /** @type {PendingRow} */
    const made = {
      ...{ ...said, id: null, seq: null, change: null, sender_id: me, created_at: new Date(writtenAt).toISOString() },
      ...{
        edited_at: null,
        deleted_at: null,
        reactions: {},
        key: said.client_id,
        own: true,
        state,
        readBy: "none",
        error,
      },
      sender: people.person(me),
    };
    this.#rows.set(outgoing, made);
    return made;
  }
}

// What stands for a conversation that is not held: it is on its way, or it is not for us.
/** @param {string} id */
const absent = (id) => new Talk(/** @type {any} */ ({ id, type: "group", title: null, my_role: "observer" }), 0);

// How far anybody else has read, and how far everybody has, as far as we may know: of a great many only the first are told.
/** @param {Talk} talk */
function reach({ participants, count, log: { reads, me } }) {
  const others = [...(participants?.keys() ?? [])].filter((userId) => userId !== me);
  const seqs = others.map((userId) => reads.get(userId) ?? 0);
  const isWhole = others.length > 0 && others.length + 1 >= count;
  return { some: Math.max(0, ...seqs), all: isWhole ? Math.min(...seqs) : 0 };
}
