// All that one user's device knows and does: conversations, people, typing, sends. It holds state and tells topics
// (`status`, `list` id, `typing` id, `people` id, `trouble` error, `expiring` seconds, `notification` and `app` frame);
// client.js is its face.

/** @import { Clock } from "./clock.js" */
/** @import { Line } from "./connection.js" */
/** @import { Words } from "./conversations.js" */
/** @import { Log } from "./log.js" */
/** @import { Said } from "./outbox.js" */
/** @import { Rest } from "./rest.js" */
/** @import { Frame, Message, NotificationSettings } from "./types.js" */

import { catchUp } from "./catchup.js";
import { Changes } from "./changes.js";
import { Conversations } from "./conversations.js";
import { Directory } from "./directory.js";
import { take } from "./inbox.js";
import { Outbox } from "./outbox.js";
import { People } from "./people.js";
import { Requests } from "./requests.js";
import { inTurn } from "./turns.js";
import { Typing } from "./typing.js";

const PAGE = 50;
const nothing = () => {};

export class Messenger {
  /** Whoever follows a conversation listens to its id. */
  watched = new Changes();
  /** @type {Map<Log, Promise<void>>} The pages that are on their way. */
  paging = new Map();
  /** @type {Set<string>} Ids of conversations that are not there, or not for us. */
  gone = new Set();

  #connection;
  /** @type {Map<string, number>} Conversation id → the `seq` up to which reading is being told. */
  #reading = new Map();
  // Whoever wants to know whether somebody is there listens to his id.
  #presence = new Changes();
  /** @type {string|null} */
  #epoch = null;

  /**
   * @param {Line} connection
   * @param {Rest} rest
   * @param {Clock} clock
   * @param {Words} words
   */
  constructor(connection, rest, clock, words) {
    const changes = new Changes();
    const send = (/** @type {Frame} */ frame) => connection.send(frame);
    this.#connection = connection;
    this.rest = rest;
    this.changes = changes;
    this.people = new People(changes, words);
    this.conversations = new Conversations(this.people, words);
    this.outbox = new Outbox(send, clock, changes);
    this.typing = new Typing(send, clock, changes);
    this.requests = new Requests(send, clock);
    this.directory = new Directory(this);
    /** A durable event was missed. */
    this.catchUp = inTurn(() => this.quietly(catchUp(this)));

    connection.onopen = (hello) => this.#opened(hello);
    connection.onclose = () => this.#closed();
    connection.onstatus = () => changes.tell("status");
    connection.onwire = (direction, frame) => changes.tell("wire", direction, frame);
    connection.onframe = (frame) => {
      if (!this.requests.settle(frame)) take(this, frame);
    };
  }

  get me() {
    return this.conversations.me;
  }

  // Looking

  /**
   * Follow a conversation: its newest page, and who types, reads and is there; across reconnects. Returns the function that
   * ends it, which says whether nobody follows it any more because of that.
   *
   * @param {string} id
   */
  watch(id) {
    const isNew = !this.watched.has(id);
    const end = this.watched.on(id, nothing);
    if (isNew && this.#connection.online) this.#enter(id);
    return () => {
      if (!end()) return false;
      this.typing.ended(id);
      this.#connection.send({ type: "unsubscribe", conversation_id: id });
      return true;
    };
  }

  /** Ask who is there, and again after each reconnect, until the function that this returns is called. @param {number[]} ids */
  watchPresence(ids) {
    const fresh = ids.filter((id) => !this.#presence.has(`${id}`));
    const ends = ids.map((id) => this.#presence.on(`${id}`, nothing));
    if (this.#connection.online) this.quietly(this.directory.presence(fresh));
    return () => ends.forEach((end) => end());
  }

  /** The page before the oldest message held. Resolves when it is there, or cannot be had now. @param {string} id */
  async loadOlder(id) {
    const log = this.conversations.get(id)?.log;
    if (log?.hasOlder) await this.quietly(this.#page(log));
  }

  // Doing

  /** Ask anything (protocol.md §3). @param {Frame} frame */
  ask(frame) {
    return this.requests.ask(frame);
  }

  /** Write a message. It is in the outbox at once, and becomes a message when the server has committed it. @param {Said} said */
  send(said) {
    this.typing.ended(said.conversation_id);
    return this.outbox.write(said);
  }

  /** Everything in the window has been seen. Silent where that is no news. @param {string} id */
  markRead(id) {
    const log = this.conversations.get(id)?.log;
    const last = log?.messages.findLast((m) => m.sender_id !== this.me && m.message_type !== "system");
    if (!log || !last || last.seq <= Math.max(log.lastReadSeq, this.#reading.get(id) ?? 0)) return;
    this.#reading.set(id, last.seq);
    this.quietly(
      this.requests
        .insist(() => this.ask({ type: "message.read", message_id: last.id }))
        .then((told) => {
          this.read({ ...told, user_id: this.me });
          this.#reading.delete(id);
        }),
    );
  }

  /** Somebody has read. @param {Frame} told */
  read({ conversation_id, user_id, last_read_seq, unread_count = null }) {
    this.conversations.get(conversation_id)?.log.read(user_id, last_read_seq, unread_count);
    this.changes.tell("list", conversation_id);
  }

  /** We are in a conversation that was made just now, or let in again. Returns its id. @param {any} about */
  begin(about) {
    this.conversations.merge(about);
    this.gone.delete(about.id);
    this.changes.tell("list", about.id);
    this.directory.refresh();
    if (this.watched.has(about.id)) this.#enter(about.id);
    return about.id;
  }

  /** What one wants to hear of a conversation has changed. @param {string} id @param {NotificationSettings} settings */
  notified(id, settings) {
    const conversation = this.conversations.get(id);
    if (conversation === null) return;
    conversation.notification = settings;
    this.changes.tell("list", id);
  }

  // What the inbox asks for

  /** Take an answer to `sync`. Returns whether it said all; else the list says more. @param {Frame} answer */
  caughtUp({ conversations, epoch, removed = [] }) {
    // Another history says nothing of what it holds.
    let isAllSaid = !this.#enterEpoch(epoch);
    if (!isAllSaid) this.#enterWatched();
    for (const part of conversations) {
      const { conversation_id: id, changes } = part;
      const talk = this.conversations.get(id);
      talk?.log.applySync(part);
      this.settled(changes);
      // System entries tell that people or a title changed, not into what. Who is in it is asked where somebody looks; elsewhere
      // the list says what there is to know.
      const isTold = changes.some((/** @type {Message} */ { message_type }) => message_type === "system");
      if (isTold && this.watched.has(id)) this.#enter(id);
      else if (isTold && talk) talk.participants = null;
      if (isTold || !talk) isAllSaid = false;
      this.changes.tell("list", id);
    }
    for (const id of removed) this.drop(id);
    return isAllSaid;
  }

  /** They are in the log now; ours are no longer on their way. @param {Message[]} messages */
  settled(messages) {
    for (const { sender_id, client_id } of messages)
      if (sender_id === this.me && client_id) this.outbox.settle(client_id);
    this.directory.learn(messages);
  }

  /** We are no longer in it, or never were. Who follows it goes on, should we be let in again. @param {string} id */
  drop(id) {
    this.gone.add(id);
    this.conversations.remove(id);
    this.changes.tell("list", id);
  }

  /**
   * Nobody waits for it: what goes wrong is told as `trouble`, unless it is only the connection.
   *
   * @param {Promise<any>} promise
   * @returns {Promise<any>}
   */
  quietly(promise) {
    return promise.catch((error) => {
      if (error.code !== "disconnected") this.changes.tell("trouble", error);
    });
  }

  // The course of a connection

  /** @param {Frame} hello */
  #opened(hello) {
    this.conversations.me = hello.user_id;
    this.#enterEpoch(hello.epoch);
    // What was missed while away is for `sync` to say, which is asked now in any case.
    for (const { log } of this.conversations) log.wanted = 0;
    this.gone.clear();
    this.outbox.resend();
    // What was read while away has not been told.
    const unsaid = this.#reading;
    this.#reading = new Map();
    for (const id of unsaid.keys()) this.markRead(id);
    this.#enterWatched();
    if (this.directory.loaded) this.catchUp();
    this.directory.opened();
    this.quietly(this.directory.presence(this.#presence.topics.map(Number)));
    this.changes.tell("me");
  }

  #closed() {
    this.requests.abandon();
    this.outbox.lost();
    this.typing.forget();
    this.people.forgetPresence();
  }

  // Returns whether the database came back from a backup, so that everything held was void and is gone.
  /** @param {string} epoch */
  #enterEpoch(epoch) {
    const former = this.#epoch;
    this.#epoch = epoch || former;
    if (former === null || former === this.#epoch) return false;
    this.conversations.clear();
    this.directory.loaded = false;
    this.changes.tell("list");
    return true;
  }

  #enterWatched() {
    for (const id of this.watched.topics) this.#enter(id);
  }

  /** @param {string} id */
  #enter(id) {
    this.quietly(this.#subscribe(id));
  }

  /** @param {string} id */
  async #subscribe(id) {
    let answer;
    try {
      answer = await this.requests.insist(() => this.ask({ type: "subscribe", conversation_id: id }));
    } catch (/** @type {any} */ error) {
      if (!["not_participant", "invalid_conversation_id"].includes(error.code)) throw error;
      this.drop(id);
      return;
    }
    this.gone.delete(id);
    const { conversation, participants, last_seq, last_change, unread_count } = answer;
    const { last_read_seq } = participants.find((/** @type {any} */ { user_id }) => user_id === this.me) ?? {};
    const numbers = { last_seq, last_change, unread_count, last_read_seq };
    const { log } = this.conversations.merge({ ...conversation, participants, ...numbers });
    if (log.apply({ change: last_change, after: last_change }) === "hole") this.catchUp();
    this.changes.tell("list", id);
    if (log.lowest === Infinity) await this.#page(log);
  }

  // One page at a time for each conversation: two at once would leave a gap between them.
  /** @param {Log} log */
  #page(log) {
    const { id, generation, hasOlder, lowest } = log;
    const underway = this.paging.get(log);
    if (underway !== undefined) return underway;
    const frame = { type: "history", conversation_id: id, limit: PAGE, before_seq: hasOlder ? lowest : undefined };
    const page = this.requests
      .insist(() => this.ask(frame))
      .then((/** @type {any} */ answer) => {
        if (log.generation !== generation) return;
        log.applyHistory(answer);
        this.settled(answer.messages);
      })
      .finally(() => {
        this.paging.delete(log);
        this.changes.tell("list", id);
      });
    this.paging.set(log, page);
    this.changes.tell("list", id);
    return page;
  }
}
