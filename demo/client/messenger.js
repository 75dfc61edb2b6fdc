// All that one user's device knows and does: conversations, people, typing, sends. It holds state and tells topics
// (`status`, `list`, `log` id, `typing` id, `people`, `trouble` error); it draws nothing and stores nothing.

import { CatchUp } from "./catchup.js";
import { Changes } from "./changes.js";
import { systemClock } from "./clock.js";
import { Conversations } from "./conversations.js";
import { Directory } from "./directory.js";
import { Inbox } from "./inbox.js";
import { Outbox } from "./outbox.js";
import { People } from "./people.js";
import { RequestError, Requests, TOO_LONG, insist, tooLarge } from "./requests.js";
import { Typing } from "./typing.js";

const PAGE = 50;

export class Messenger {
  #connection;
  #rest;
  #clock;
  #requests;
  #catchUp;
  #watched = new Set();
  #paging = new Map();
  #reading = new Map();
  // Counts hellos: work begun under a former one is not carried on.
  #session = 0;
  #epoch = null;

  constructor({ connection, rest, clock = systemClock, newId }) {
    this.#connection = connection;
    this.#rest = rest;
    this.#clock = clock;
    this.changes = new Changes();
    this.people = new People(this.changes);
    this.conversations = new Conversations(this.people);
    const send = (frame) => connection.send(frame);
    this.outbox = new Outbox({ send, clock, changes: this.changes, newId });
    this.typing = new Typing(this.changes, clock, send);
    this.#requests = new Requests(send, clock);

    const ask = (frame) => this.#requests.ask(frame);
    const insist = (attempt) => this.#insist(attempt);

    this.#catchUp = new CatchUp({ ask: (frame) => insist(() => ask(frame)), clock, conversations: this.conversations });
    this.#catchUp.onunknown = () => this.directory.refresh();
    this.#catchUp.onepoch = (epoch) => {
      if (this.#enterEpoch(epoch)) this.#enterWatched();
    };
    this.#catchUp.onremoved = (ids) => ids.forEach((id) => this.drop(id));
    this.#catchUp.onapplied = (ids, messages) => this.#caughtUp(ids, messages);

    this.directory = new Directory({
      rest,
      ask,
      insist,
      quietly: (promise) => this.#quietly(promise),
      conversations: this.conversations,
      people: this.people,
      changes: this.changes,
    });
    this.directory.onread = () => this.catchUp();

    const inbox = new Inbox(this);
    connection.onopen = (hello) => this.#opened(hello);
    connection.onclose = () => this.#closed();
    connection.onstatus = () => this.changes.tell("status");
    connection.onframe = (frame) => {
      if (!this.#requests.settle(frame)) inbox.take(frame);
    };
  }

  get me() {
    return this.conversations.me;
  }

  get status() {
    return this.#connection.status;
  }

  on(topic, listener) {
    return this.changes.on(topic, listener);
  }

  // Looking

  /** Follow a conversation: its newest page, and who types, reads and is there, until `unwatch`; across reconnects. */
  watch(id) {
    if (this.#watched.has(id)) return;
    this.#watched.add(id);
    if (this.#connection.online) this.#quietly(this.#enter(id));
  }

  unwatch(id) {
    if (!this.#watched.delete(id)) return;
    this.typing.ended(id);
    this.#connection.send({ type: "unsubscribe", conversation_id: id });
  }

  watches(id) {
    return this.#watched.has(id);
  }

  /** The page before the oldest message held. Resolves when it is there, or cannot be had now. */
  loadOlder(id) {
    const log = this.conversations.get(id)?.log;
    if (!log || log.lowest === null || !log.hasOlder) return Promise.resolve();
    return this.#quietly(this.#page(id, { before_seq: log.lowest }));
  }

  isPaging(id) {
    return this.#paging.has(id);
  }

  // Doing

  /** Write a message. It is in the outbox at once, and becomes a message when the server has committed it. */
  send(id, content) {
    this.typing.ended(id);
    return this.outbox.write(id, content);
  }

  /** Resolves when it is committed; the event that changes the message comes to us as to everybody. */
  edit(messageId, content) {
    const frame = { type: "message.edit", message_id: messageId, content };
    if (tooLarge(frame)) return Promise.reject(new RequestError(TOO_LONG));
    return this.#requests.ask(frame);
  }

  remove(messageId) {
    return this.#requests.ask({ type: "message.delete", message_id: messageId });
  }

  /** Everything in the window has been seen. Silent where that is no news. */
  markRead(id) {
    const log = this.conversations.get(id)?.log;
    const last = log?.messages.findLast((m) => m.sender_id !== this.me && m.message_type !== "system");
    if (!last || last.seq <= Math.max(log.lastReadSeq, this.#reading.get(id) ?? 0)) return;
    this.#reading.set(id, last.seq);
    this.#quietly(
      this.#requests
        .ask({ type: "message.read", message_id: last.id })
        .then(({ last_read_seq, unread_count }) => {
          log.read(this.me, last_read_seq, unread_count);
          this.changes.tell("list", id);
        })
        .finally(() => {
          if (this.#reading.get(id) === last.seq) this.#reading.delete(id);
        }),
    );
  }

  /** The direct conversation with somebody. Resolves with its id, rejects with a RestError. */
  async direct(userId) {
    const about = await this.#rest.direct(userId);
    this.conversations.merge(about);
    this.changes.tell("list", about.id);
    this.directory.discovered();
    return about.id;
  }

  // What the inbox asks for

  /** A durable event was missed. */
  catchUp() {
    this.#quietly(this.#catchUp.run());
  }

  /** They are in the log now; ours are no longer on their way. */
  settled(messages) {
    for (const { sender_id, client_id } of messages)
      if (sender_id === this.me && client_id) this.outbox.settle(client_id);
    this.directory.learn(messages);
  }

  /** We are no longer in it. */
  drop(id) {
    this.#watched.delete(id);
    this.conversations.remove(id);
    this.changes.tell("list", id);
  }

  // Nobody waits for it: what goes wrong is told as `trouble`, unless it is only the connection.
  #quietly(promise) {
    return promise.catch((error) => {
      if (error.code !== "disconnected") this.changes.tell("trouble", error);
    });
  }

  // The course of a connection

  #opened(hello) {
    this.#session += 1;
    this.conversations.me = hello.user_id;
    this.#enterEpoch(hello.epoch);
    // What was missed while away is for `sync` to say, which is asked now in any case.
    for (const { log } of this.conversations) log.wanted = 0;
    this.outbox.resend();
    this.#enterWatched();
    if (this.directory.loaded) this.catchUp();
    this.directory.opened();
  }

  #closed() {
    this.#session += 1;
    this.#requests.abandon();
    this.outbox.lost();
    this.#reading.clear();
    this.#paging.clear();
    this.typing.forget();
    this.people.forgetPresence();
  }

  // Returns whether the database came back from a backup, so that everything held was void and is gone.
  #enterEpoch(epoch) {
    if (!epoch || epoch === this.#epoch) return false;
    const restored = this.#epoch !== null;
    this.#epoch = epoch;
    if (!restored) return false;
    this.conversations.clear();
    this.directory.loaded = false;
    this.changes.tell("list");
    for (const id of this.#watched) this.changes.tell("log", id);
    return true;
  }

  #enterWatched() {
    for (const id of this.#watched) this.#quietly(this.#enter(id));
  }

  async #enter(id) {
    let answer;
    try {
      answer = await this.#insist(() => this.#requests.ask({ type: "subscribe", conversation_id: id }));
    } catch (error) {
      if (error.code !== "disconnected") this.drop(id);
      throw error;
    }
    const { participants, last_seq, last_change, unread_count } = answer;
    const conversation = this.conversations.merge({ ...answer.conversation, last_seq, last_change });
    this.conversations.meet(conversation, participants);
    const { log } = conversation;
    const { last_read_seq } = participants.find(({ user_id }) => user_id === this.me) ?? {};
    log.count({ unread_count, last_seq, last_change, last_read_seq });
    if (last_change > log.cursor) {
      log.wanted = Math.max(log.wanted, last_change);
      this.catchUp();
    }
    this.changes.tell("list", id);
    this.changes.tell("log", id);
    if (log.lowest === null) await this.#page(id, {});
  }

  // One page at a time for each conversation: two at once would leave a gap between them.
  #page(id, bounds) {
    const underway = this.#paging.get(id);
    if (underway !== undefined) return underway;
    const { log } = this.conversations.get(id);
    const { generation } = log;
    const frame = { type: "history", conversation_id: id, limit: PAGE, ...bounds };
    const page = this.#insist(() => this.#requests.ask(frame))
      .then((answer) => {
        if (this.conversations.get(id)?.log !== log || log.generation !== generation) return;
        log.applyHistory(answer);
        this.settled(answer.messages);
      })
      .finally(() => {
        if (this.#paging.get(id) === page) this.#paging.delete(id);
        this.changes.tell("log", id);
      });
    this.#paging.set(id, page);
    this.changes.tell("log", id);
    return page;
  }

  #caughtUp(ids, messages) {
    this.settled(messages);
    for (const id of ids) this.changes.tell("log", id);
    if (ids.length > 0) this.changes.tell("list");
    // A log's system entries tell that people or a title changed, not into what.
    const told = new Set(messages.filter((m) => m.message_type === "system").map((m) => m.conversation_id));
    for (const id of told) if (this.#watched.has(id)) this.#quietly(this.#enter(id));
    if (told.size > 0) this.directory.discovered();
  }

  // Ask until there is an answer, or the connection under which we began is gone.
  #insist(attempt) {
    const session = this.#session;
    return insist(attempt, this.#clock, () => session === this.#session);
  }
}
