// The client of a messenger daemon: everything that an application needs, and nothing of how it looks.

/** @import { Clock } from "./clock.js" */
/** @import { Words } from "./conversations.js" */
/** @import { Line, LineParts } from "./connection.js" */
/** @import { Kept } from "./keep.js" */
/** @import { Frame, Message, Person, Status } from "./types.js" */

import { below } from "./address.js";
import { systemClock } from "./clock.js";
import { Connection } from "./connection.js";
import { ENGLISH } from "./conversations.js";
import { Keep } from "./keep.js";
import { Messenger } from "./messenger.js";
import { Rest } from "./rest.js";
import { Tokens } from "./token.js";
import { Views } from "./views.js";

/**
 * @typedef {object} Options
 * @property {string} [url]  Where the daemon lives: `ws/` and `api/v1/messenger/` lie below it. Default: where the page does.
 * @property {number|string} [userId]  Whose device this is. Default: `me`, whomever the token names.
 * @property {(why: {reason: string|null}) => Promise<string>} [getToken]  Asked before the first connect (reason null), a minute
 *   before the token expires (`token_expiring`) and where it has expired (`token_expired`). Absent: authentication is off.
 * @property {Kept|null} [storage]  What holds unsent messages across reloads. Default: `localStorage` where it can be used.
 * @property {(parts: LineParts) => Line} [connect]  What connects. Default: a socket of its own. `shareTabs` (tabs.js) makes all
 *   tabs of this user in this browser share one.
 * @property {Partial<Words>} [words]  What conversations and people without a name are called.
 * @property {typeof WebSocket} [WebSocket]
 * @property {typeof fetch} [fetch]
 * @property {Clock} [clock]
 * @property {() => number} [random]
 */

/**
 * One user's device. Nothing happens until `start`, and nothing is left after `stop`.
 *
 * State is read by methods (`conversations`, `conversation`, …) that return the same value until something in it changes, and
 * `on` tells when to read again. The topics:
 *
 * - `status`, `me`, `conversations`, `conversation:<id>`, `people` (names and pictures), `presence`: read again;
 * - `expiring` with the seconds that the token has left, and `trouble` with an error that nobody waited for;
 * - `notification` with the server's frame; `app` with a frame of the host application (`type` begins with `app.`);
 * - `wire` with `in` or `out` and every frame as it passes, tokens masked.
 */
export class MessengerClient {
  #connection;
  #messenger;
  #views;
  #changes;
  #parts;
  /** @type {Keep|null} */
  #keep = null;

  /** @param {Options} [options] */
  constructor(options = {}) {
    const { userId = "me", getToken, clock = systemClock, storage = usableStorage(), words } = options;
    const { connect = (/** @type {LineParts} */ parts) => new Connection(parts) } = options;
    const parts = { ...options, userId, tokens: new Tokens(getToken), clock, storage };
    this.#parts = parts;
    this.#connection = connect(parts);
    /** The REST API (protocol.md §5), with the same identity: `rest.call(method, path, body)`. */
    this.rest = new Rest(parts);
    this.#messenger = new Messenger(this.#connection, this.rest, clock, { ...ENGLISH, ...words });
    this.#changes = this.#messenger.changes;
    this.#views = new Views(this.#messenger);

    this.on("me", () => this.#entered());
    this.on("list", (id) => this.#changed(id));
    this.on("typing", (id) => this.#changed(id, false));
    this.on("people", () => this.#changed());
    this.on("presence", (userId) => {
      for (const { id, peer, participants } of this.#messenger.conversations)
        if (userId === null || peer === userId || participants?.has(userId)) this.#changed(id);
    });
  }

  // The connection

  /** Connect, and stay connected. */
  start() {
    this.rest.resume();
    this.#connection.start();
  }

  /** Close it, and end whatever is underway. What was not sent stays where it is kept, for the next `start`. */
  stop() {
    this.#connection.stop();
    this.#messenger.requests.abandon();
    this.rest.suspend();
    this.#keep?.close();
    this.#keep = null;
  }

  /** Be without a network until `resume`. */
  suspend() {
    this.#connection.suspend();
    this.rest.suspend();
  }

  resume() {
    this.rest.resume();
    this.#connection.resume();
  }

  /** Connect now if it is waiting to; else make the connection prove that it lives. */
  nudge() {
    this.#connection.nudge();
  }

  /** The same object until it changes. @returns {Status} */
  get status() {
    return this.#connection.status;
  }

  /** Null until the server has said who one is. @returns {Person|null} */
  get me() {
    const { me } = this.#messenger;
    return me ? this.person(me) : null;
  }

  /**
   * Listen to a topic. Returns the function that ends it.
   *
   * @param {string} topic
   * @param {(...data: any[]) => void} listener
   * @returns {() => void}
   */
  on(topic, listener) {
    return this.#changes.on(topic, listener);
  }

  // What is so

  /** Whether the list of conversations has been read. */
  get loaded() {
    return this.#messenger.directory.loaded;
  }

  /** Latest activity first. */
  conversations() {
    return this.#views.list();
  }

  /** One conversation; what is said of one that is not followed is what the list knows. @param {string} id */
  conversation(id) {
    return this.#views.conversation(id);
  }

  unreadTotal() {
    return this.conversations().reduce((total, { unread }) => total + unread, 0);
  }

  /** @param {number} id */
  person(id) {
    return this.#messenger.people.person(id);
  }

  /** Everybody of whom this device has heard, oneself excepted. */
  people() {
    return this.#messenger.people.ids.filter((id) => id !== this.#messenger.me).map((id) => this.person(id));
  }

  /** User id → presence, or null where it is not known. The values stay the same, the object does not. @param {number[]} ids */
  presence(ids) {
    return Object.fromEntries(ids.map((id) => [id, this.#messenger.people.presence(id)]));
  }

  /** The highest change of each conversation that was applied (protocol.md §1). */
  get cursors() {
    return this.#messenger.conversations.cursors;
  }

  // Following

  /** Follow a conversation: history, and who types, reads and is there; until the function that this returns is called. @param {string} id */
  watch(id) {
    const end = this.#messenger.watch(id);
    return () => {
      if (end()) this.#views.forget(id);
    };
  }

  /** Ask whether people are there, and hear of it, until the function that this returns is called. @param {number[]} ids */
  watchPresence(ids) {
    return this.#messenger.watchPresence(ids);
  }

  /** Fetch the page before the oldest message held. Resolves when it is there, or cannot be had now. @param {string} id */
  loadOlder(id) {
    return this.#messenger.loadOlder(id);
  }

  // Messages. What returns a promise rejects with a RequestError.

  /**
   * Write a message. It is in the conversation's messages at once, and is sent as soon and as often as it needs to be.
   *
   * @param {string} id
   * @param {string} content
   * @param {Partial<Pick<Message, "message_type"|"reply_to"|"mentions"|"attachments"|"metadata">>} [more]
   * @returns {string} The row's `key`.
   */
  send(id, content, more) {
    const plain = { message_type: "text", reply_to: null, mentions: [], attachments: [], metadata: {} };
    return this.#messenger.send({ conversation_id: id, content, ...plain, ...more }).client_id;
  }

  /** Send a failed message again. @param {string} key */
  retry(key) {
    this.#messenger.outbox.retry(key);
  }

  /** Give up a message that was not acknowledged. @param {string} key */
  discard(key) {
    this.#messenger.outbox.discard(key);
  }

  /** @param {string} messageId @param {string} content */
  edit(messageId, content) {
    return this.request({ type: "message.edit", message_id: messageId, content });
  }

  /** @param {string} messageId */
  remove(messageId) {
    return this.request({ type: "message.delete", message_id: messageId });
  }

  /** Add a reaction of one's own, or take it away. @param {string} messageId @param {string} emoji */
  react(messageId, emoji, on = true) {
    return this.request({ type: on ? "reaction.add" : "reaction.remove", message_id: messageId, emoji });
  }

  /** Everything that is held of the conversation has been seen. @param {string} id */
  markRead(id) {
    this.#messenger.markRead(id);
  }

  /** Tell that one types. @param {string} id @param {string} text  What stands in the field now. */
  typed(id, text) {
    this.#messenger.typing.typed(id, text);
  }

  /** Ask anything that frames can ask (protocol.md §3). Resolves with the answer. @param {Frame} frame @returns {Promise<Frame>} */
  request(frame) {
    return this.#messenger.ask(frame);
  }

  // The server said who we are.
  #entered() {
    const { outbox, me } = this.#messenger;
    const { url, storage } = this.#parts;
    if (storage === null) return outbox.adopt();
    if (this.#keep === null) {
      this.#keep = new Keep(storage, below(url, "").href + me);
      outbox.keptBy(this.#keep);
    }
    // Tabs that went since may have left something.
    this.#messenger.quietly(this.#keep.orphans()).then((entries) => outbox.adopt(entries));
  }

  // Of one, or (null) of all.
  /** @param {string|null} [id] @param {boolean} [inList] */
  #changed(id = null, inList = true) {
    this.#views.stale(id, inList);
    if (inList) this.#changes.tell("conversations");
    for (const topic of this.#changes.topics)
      if (topic.startsWith(`conversation:${id ?? ""}`)) this.#changes.tell(topic);
  }
}

function usableStorage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    // Withheld: the page may keep nothing.
    return null;
  }
}
