// One conversation's log as this device holds it (protocol.md §1). Pure: no socket, no clock, no page.
//
// Two ranges are held. By `change`: everything up to `cursor` has been applied, without a hole. By `seq`: `messages` is the
// window from `lowest` to the newest. An alteration of something below the window is kept as well, because an older page
// that was read before it may still be on its way; the higher `change` of a message always wins, whatever comes first.

const NOTHING = Object.freeze([]);

export class Log {
  #byId = new Map();
  #window = null;

  /** The highest change applied; null until a snapshot has been taken. */
  cursor = null;
  /** The highest change heard of. Above `cursor`: something is missing, and `sync` has to bring it. */
  wanted = 0;
  /** The lowest `seq` of the window; null while there is no window. */
  lowest = null;
  /** Whether older messages than `lowest` exist; null while there is no window. */
  hasOlder = null;
  /** user id → how far that user has read, as a `seq`. */
  reads = new Map();
  /** Counts replacements: a page that was asked of a former generation must not be added to this one. */
  generation = 0;

  // The server's last count of unread messages, and the `seq` and `change` up to which it counted.
  #counted = { unread: 0, seq: 0, change: 0 };

  constructor(id, me) {
    this.id = id;
    this.me = me;
  }

  /** The window, ascending by `seq`: the same array until something in it changes. */
  get messages() {
    if (this.lowest === null) return NOTHING;
    this.#window ??= [...this.#byId.values()].filter((m) => m.seq >= this.lowest).sort((a, b) => a.seq - b.seq);
    return this.#window;
  }

  /** The message of the highest `seq`, inside or outside a window; null in an empty conversation. */
  get newest() {
    let newest = null;
    for (const message of this.#byId.values()) if (newest === null || message.seq > newest.seq) newest = message;
    return newest;
  }

  get whole() {
    return this.cursor !== null && this.cursor >= this.wanted;
  }

  get lastReadSeq() {
    return this.reads.get(this.me) ?? 0;
  }

  /**
   * Exact where everything that we have not read is in the window. Elsewhere the server's count and what came after it;
   * a count told with a reading names no `change`, so events that it had foreseen may count twice until the next one.
   */
  get unread() {
    const held = this.reads.has(this.me) && this.lowest !== null && this.lowest <= this.lastReadSeq + 1;
    const from = held ? this.lastReadSeq : Math.max(this.#counted.seq, this.lastReadSeq);
    let unread = held ? 0 : this.#counted.unread;
    for (const message of this.#byId.values()) if (message.seq > from && this.#countsAsUnread(message)) unread += 1;
    return unread;
  }

  get(messageId) {
    return this.#byId.get(messageId) ?? null;
  }

  /** Take the place in the log that a snapshot of the conversation states. A cursor already held stays. */
  begin({ last_change, last_message = null }) {
    this.cursor ??= last_change;
    if (last_message !== null) this.upsert(last_message);
  }

  /** Take a server's count of unread messages; one that is older than what is held is ignored. */
  count({ unread_count, last_seq, last_change, last_read_seq = null }) {
    if (last_change < this.#counted.change || (last_read_seq ?? Infinity) < this.lastReadSeq) return;
    const unread = this.lastReadSeq >= last_seq ? 0 : unread_count;
    this.#counted = { unread, seq: last_seq, change: last_change };
    if (last_read_seq !== null) this.#moveRead(this.me, last_read_seq);
  }

  /** Apply a durable event. `hole`: nothing was applied, and `sync` has to be asked. */
  apply({ change, after = change - 1, data = null }) {
    if (this.cursor === null || after > this.cursor) {
      this.wanted = Math.max(this.wanted, change);
      return "hole";
    }
    if (change <= this.cursor) return "old";
    if (data !== null) this.upsert(data);
    this.cursor = change;
    return "applied";
  }

  /** Apply one conversation's part of a `sync` answer. */
  applySync(part) {
    if (part.reset) this.#replace(part);
    for (const message of part.changes) this.upsert(message);
    const reached = part.more ? (part.changes.at(-1)?.change ?? 0) : part.last_change;
    this.cursor = Math.max(this.cursor ?? 0, reached);
    this.count(part);
  }

  /** Add a page of history: the newest one where there is no window yet, else the one just below `lowest`. */
  applyHistory({ messages, more }) {
    for (const message of messages) this.upsert(message);
    // Nothing there when it was read: whatever is held came later, and belongs to the window.
    const first = messages[0]?.seq ?? this.lowest ?? 1;
    this.lowest = this.lowest === null ? first : Math.min(this.lowest, first);
    this.hasOlder = more;
    this.#window = null;
  }

  /** Insert or replace one message, unless a later state of it is held. */
  upsert(message) {
    const held = this.#byId.get(message.id);
    if (held !== undefined && held.change >= message.change) return;
    if (message.deleted_at && !held?.deleted_at) this.#uncount(message);
    this.#byId.set(message.id, message);
    this.#window = null;
  }

  /** Somebody has read up to `seq`. `unread`: the server's count, where that somebody is us. */
  read(userId, seq, unread = null) {
    if (!this.#moveRead(userId, seq) || userId !== this.me) return;
    if (seq >= this.#counted.seq) {
      this.#counted.unread = 0;
      return;
    }
    if (unread === null) return;
    // The count told includes what came after the former one; `unread` adds that again.
    let later = 0;
    for (const message of this.#byId.values()) {
      if (message.seq > this.#counted.seq && this.#countsAsUnread(message)) later += 1;
    }
    this.#counted.unread = Math.max(0, unread - later);
  }

  #moveRead(userId, seq) {
    if (seq <= (this.reads.get(userId) ?? -1)) return false;
    this.reads.set(userId, seq);
    return true;
  }

  #countsAsUnread(message) {
    return message.sender_id !== this.me && message.message_type !== "system" && !message.deleted_at;
  }

  // Deleted since the server counted: if it had been counted as unread, it is no longer.
  #uncount({ sender_id, seq, change }) {
    const counted = seq <= this.#counted.seq && seq > this.lastReadSeq && sender_id !== this.me;
    if (counted && change > this.#counted.change) this.#counted.unread = Math.max(0, this.#counted.unread - 1);
  }

  #replace({ changes, last_change, first_seq, last_seq }) {
    this.generation += 1;
    this.#byId.clear();
    this.#window = null;
    this.reads.clear();
    this.#counted = { unread: 0, seq: 0, change: 0 };
    this.cursor = last_change;
    this.lowest = changes.reduce((lowest, { seq }) => Math.min(lowest, seq), last_seq + 1);
    this.hasOlder = changes.length > 0 && this.lowest > (first_seq ?? 1);
  }
}
