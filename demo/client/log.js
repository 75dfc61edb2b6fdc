// One conversation's log as this device holds it (protocol.md §1). Pure: no socket, no clock, no page.
//
// Two ranges are held. By `change`: everything up to `cursor` has been applied, without a hole. By `seq`: `messages` is the
// window from `lowest` to the newest. An alteration of something below the window is kept as well, because an older page
// that was read before it may still be on its way; the higher `change` of a message always wins, whatever comes first.

/** @import { Message } from "./types.js" */

const NONE = { unread: 0, seq: 0, change: 0 };

export class Log {
  /** @type {Map<string, Message>} */
  #byId = new Map();
  /** @type {Message[]|null} */
  #window = null;

  /** The highest change applied; below 0 until a snapshot has been taken. */
  cursor = -1;
  /** The highest change heard of. Above `cursor`: something is missing, and `sync` has to bring it. */
  wanted = 0;
  /** The lowest `seq` of the window; Infinity while there is no window. */
  lowest = Infinity;
  /** Whether older messages than `lowest` exist; false while there is no window. */
  hasOlder = false;
  /** @type {Map<number, number>} user id → how far that user has read, as a `seq`. */
  reads = new Map();
  /** Counts replacements: a page that was asked of a former generation must not be added to this one. */
  generation = 0;

  // The lowest `seq` that we may see.
  #first = 1;
  /** @type {Message|null} The newest one where those below it are still to come: no window has a hole. */
  #ahead = null;
  // The server's last count of unread messages, and the `seq` and `change` up to which it counted.
  #counted = NONE;

  /** @param {string} id @param {number} me */
  constructor(id, me) {
    this.id = id;
    this.me = me;
  }

  /** The window, ascending by `seq`: the same array until something in it changes. */
  get messages() {
    return (this.#window ??= this.#ascending.filter(({ seq }) => seq >= this.lowest));
  }

  /** The message of the highest `seq`, inside or outside a window; null in an empty conversation. */
  get newest() {
    return this.#highest(this.#ahead);
  }

  /** @param {Message|null} [highest] */
  #highest(highest = null) {
    for (const message of this.#byId.values()) if (!highest || message.seq >= highest.seq) highest = message;
    return highest;
  }

  get #ascending() {
    return [...this.#byId.values()].sort((a, b) => a.seq - b.seq);
  }

  get whole() {
    return this.cursor >= this.wanted;
  }

  get lastReadSeq() {
    return this.reads.get(this.me) ?? 0;
  }

  /**
   * Exact where everything that we have not read is in the window. Elsewhere the server's count and what came after it;
   * a count told with a reading names no `change`, so events that it had foreseen may count twice until the next one.
   */
  get unread() {
    const held = this.reads.has(this.me) && this.lowest <= this.lastReadSeq + 1;
    const { unread, seq } = held ? NONE : this.#counted;
    return unread + this.#unreadAbove(Math.max(seq, this.lastReadSeq));
  }

  /** How many messages are held, in the window and outside of it. */
  get size() {
    return this.#byId.size;
  }

  /**
   * Take the place in the log that a snapshot of the conversation states. A cursor already held stays.
   *
   * @param {{last_change: number, last_message?: Message|null, first_seq?: number}} snapshot
   */
  begin({ last_change, last_message = null, first_seq }) {
    this.#seeFrom(first_seq);
    if (this.cursor < 0) this.cursor = last_change;
    if (last_message === null) return;
    if (this.lowest === Infinity || last_message.seq <= (this.#highest()?.seq ?? this.lowest - 1) + 1)
      this.upsert(last_message);
    else this.#ahead = last_message;
  }

  /**
   * Take a server's count of unread messages; one that is older than what is held is ignored.
   *
   * @param {{unread_count: number, last_seq: number, last_change: number, last_read_seq?: number|null}} told
   */
  count({ unread_count, last_seq, last_change, last_read_seq = null }) {
    if (last_change < this.#counted.change || (last_read_seq ?? Infinity) < this.lastReadSeq) return;
    const unread = this.lastReadSeq >= last_seq ? 0 : unread_count;
    this.#counted = { unread, seq: last_seq, change: last_change };
    if (last_read_seq !== null) this.#moveRead(this.me, last_read_seq);
  }

  /**
   * Apply a durable event. `hole`: nothing was applied, and `sync` has to be asked.
   *
   * @param {Record<string, any>} event
   * @returns {"applied"|"old"|"hole"}
   */
  apply({ change, after = change - 1, data = null }) {
    if (after > this.cursor) {
      this.wanted = Math.max(this.wanted, change);
      return "hole";
    }
    if (change <= this.cursor) return "old";
    if (data !== null) this.#happened(data);
    this.cursor = change;
    return "applied";
  }

  /** Apply one conversation's part of a `sync` answer. @param {any} part */
  applySync(part) {
    this.#seeFrom(part.first_seq);
    if (part.reset) this.#replace(part);
    for (const message of part.changes) this.#happened(message);
    const reached = part.more ? (part.changes.at(-1)?.change ?? 0) : part.last_change;
    this.cursor = Math.max(this.cursor, reached);
    this.count(part);
  }

  /**
   * Add a page of history: the newest one where there is no window yet, else the one just below `lowest`.
   *
   * @param {{messages: Message[], more: boolean}} page
   */
  applyHistory({ messages, more }) {
    const seen = messages.filter(({ seq }) => seq >= this.#first);
    for (const message of seen) this.upsert(message);
    // Nothing there when it was read: whatever is held came later, and belongs to the window.
    this.lowest = Math.min(this.lowest, seen[0]?.seq ?? this.#first);
    this.hasOlder = more && this.lowest > this.#first;
    this.#window = null;
  }

  /**
   * Hold no more than the newest `most` of even more messages: for a log that nobody looks at. What was below comes again by `history`.
   *
   * @param {number} most
   */
  trim(most) {
    const kept = this.#ascending.slice(-most);
    this.#counted = { unread: this.unread, seq: kept[most - 1].seq, change: this.cursor };
    // A page that is underway was asked for below the former edge.
    if (kept[0].seq > this.lowest) this.generation += 1;
    this.#raise(kept[0].seq, true);
  }

  // Hold nothing below `first`.
  /** @param {number} first @param {boolean} hasOlder */
  #raise(first, hasOlder) {
    for (const { id, seq } of this.#ascending) if (seq < first) this.#byId.delete(id);
    this.#window = null;
    if (this.lowest >= first) return;
    this.lowest = first;
    this.hasOlder = hasOlder;
  }

  // Who was let in again may see only what came since, and has read none of it.
  #seeFrom(first = 1) {
    if (first <= this.#first) return;
    this.#first = first;
    this.reads.clear();
    this.#counted = NONE;
    this.#raise(first, false);
  }

  // Who left and came back has read nothing: only there does reading move backwards.
  /** @param {Message} message */
  #happened(message) {
    const { event, user_id } = message.metadata ?? {};
    if (message.message_type === "system" && event === "participant.removed") this.reads.delete(Number(user_id));
    this.upsert(message);
  }

  /** Insert or replace one message, unless a later state of it is held. @param {Message} message */
  upsert(message) {
    const held = this.#byId.get(message.id);
    if (held !== undefined && held.change >= message.change) return;
    if (message.deleted_at && !held?.deleted_at) this.#uncount(message);
    this.#byId.set(message.id, message);
    this.#window = null;
  }

  /**
   * Somebody has read up to `seq`. `unread`: the server's count, where that somebody is us.
   *
   * @param {number} userId
   * @param {number} seq
   * @param {number|null} [unread]
   */
  read(userId, seq, unread = null) {
    if (!this.#moveRead(userId, seq) || userId !== this.me) return;
    if (seq >= this.#counted.seq) this.#recount(0);
    // The count told includes what came after the former one; `unread` adds that again.
    else if (unread !== null) this.#recount(unread - this.#unreadAbove(this.#counted.seq));
  }

  /** @param {number} userId @param {number} seq */
  #moveRead(userId, seq) {
    if (seq <= (this.reads.get(userId) ?? -1)) return false;
    this.reads.set(userId, seq);
    return true;
  }

  // Of the messages held.
  /** @param {number} from A `seq`. */
  #unreadAbove(from) {
    let unread = 0;
    for (const { seq, sender_id, message_type, deleted_at } of this.#byId.values())
      if (seq > from && sender_id !== this.me && message_type !== "system" && !deleted_at) unread += 1;
    return unread;
  }

  // Deleted since the server counted: if it had been counted as unread, it is no longer.
  /** @param {Message} message */
  #uncount({ sender_id, seq, change }) {
    const counted = this.#counted;
    if (seq <= counted.seq && seq > this.lastReadSeq && sender_id !== this.me && change > counted.change)
      this.#recount(counted.unread - 1);
  }

  /** @param {number} unread */
  #recount(unread) {
    this.#counted = { ...this.#counted, unread: Math.max(0, unread) };
  }

  /** @param {{changes: Message[], last_change: number, first_seq?: number, last_seq: number}} part */
  #replace({ changes, last_change, first_seq, last_seq }) {
    this.generation += 1;
    this.#byId.clear();
    this.#ahead = null;
    this.#window = null;
    // How far the others have read was told with the subscription, before or after this.
    for (const [id, seq] of this.reads) if (id === this.me || seq > last_seq) this.reads.delete(id);
    this.#counted = NONE;
    this.cursor = last_change;
    this.lowest = changes.reduce((lowest, { seq }) => Math.min(lowest, seq), last_seq + 1);
    this.hasOlder = changes.length > 0 && this.lowest > (first_seq ?? 1);
  }
}
