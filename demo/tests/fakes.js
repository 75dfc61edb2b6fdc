// The cast of the tests: a clock that moves when told, a server that is spoken for, a model of its log.

/** A clock whose time passes only by `pass`. */
export class FakeClock {
  #now = 1_000_000;
  #timers = new Set();

  now = () => this.#now;

  after = (ms, run) => {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  /** Timers that nobody has cancelled and that have not fired. */
  get pending() {
    return this.#timers.size;
  }

  /** Let `ms` pass: what is due runs in its order, and so does what that starts. */
  async pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.run();
    }
    this.#now = end;
    await settle();
  }
}

/** Let promises that are already decided run their course, and what follows from them. */
export async function settle() {
  for (let round = 0; round < 10; round += 1) await new Promise((resolve) => setImmediate(resolve));
}

/**
 * In the place of the server, as the client's WebSocket meets it: what was sent is in `sent`, and the test speaks for the
 * server. `open` needs `client`, which the stage gives it.
 */
export class FakeTransport {
  sent = [];
  client = null;
  #socket = null;

  /** For the client's option of that name. */
  get WebSocket() {
    const transport = this;
    return class {
      readyState = 1;
      constructor() {
        transport.#socket = this;
      }
      send(text) {
        transport.sent.push(JSON.parse(text));
        transport.onsend?.(transport.sent.at(-1));
      }
      close() {
        this.readyState = 3;
      }
    };
  }

  /** Let the client connect, and greet it. */
  async open({ userId = 1, epoch = "e1" } = {}) {
    this.client.start();
    this.client.nudge();
    await settle();
    this.receive({ type: "system", event: "connected", user_id: userId, epoch, heartbeat_s: 25 });
  }

  lose() {
    const socket = this.#socket;
    socket.readyState = 3;
    socket.onclose({ code: 1006, reason: "" });
  }

  receive(frame) {
    this.#socket.onmessage({ data: JSON.stringify(frame) });
  }

  /** The frames of one type that were sent. */
  of(type) {
    return this.sent.filter((frame) => frame.type === type);
  }

  /** Answer the last frame of a type. */
  answer(type, answer) {
    const frame = this.of(type).at(-1);
    if (frame === undefined) throw new Error(`no ${type} was sent`);
    this.receive({ ...answer, ref: frame.ref });
  }
}

/** A Storage that survives its clients, as a browser's does a reload. */
export class MemoryStorage {
  #items = new Map();

  get length() {
    return this.#items.size;
  }
  key(index) {
    return [...this.#items.keys()][index] ?? null;
  }
  getItem(key) {
    return this.#items.get(key) ?? null;
  }
  setItem(key, value) {
    this.#items.set(key, String(value));
  }
  removeItem(key) {
    this.#items.delete(key);
  }
  clear() {
    this.#items.clear();
  }
}

export const C = "11111111-1111-7111-8111-111111111111";
export const D = "22222222-2222-7222-8222-222222222222";

export function message(seq, change, more = {}) {
  return {
    id: `m${seq}`,
    conversation_id: C,
    seq,
    change,
    sender_id: 2,
    content: `text ${seq}`,
    message_type: "text",
    created_at: new Date(1_700_000_000_000 + seq * 1000).toISOString(),
    edited_at: null,
    deleted_at: null,
    client_id: null,
    ...more,
  };
}

export function conversation(more = {}) {
  return {
    id: C,
    type: "group",
    title: "Team",
    created_by: 1,
    created_at: "2026-01-01T00:00:00Z",
    first_seq: 1,
    last_seq: 0,
    last_change: 0,
    participant_count: 3,
    my_role: "member",
    last_message: null,
    unread_count: 0,
    ...more,
  };
}

export const newMessage = (data, more = {}) => ({
  type: "message.new",
  conversation_id: data.conversation_id,
  seq: data.seq,
  change: data.change,
  data,
  ...more,
});

/** A conversation as the database keeps it: rows in their final state, and the events that every change made. */
export class ModelConversation {
  rows = [];
  events = [];
  lastChange = 0;

  constructor(id = C) {
    this.id = id;
  }

  get lastSeq() {
    return this.rows.length;
  }

  add(senderId) {
    const data = message(this.lastSeq + 1, ++this.lastChange, { sender_id: senderId, conversation_id: this.id });
    this.rows.push(data);
    this.events.push({ ...newMessage(data), data: { ...data } });
    return data;
  }

  edit(seq) {
    return this.#change("message.edited", seq, {
      content: `edited at ${this.lastChange + 1}`,
      edited_at: "2026-01-02T00:00:00Z",
    });
  }

  delete(seq) {
    return this.#change("message.deleted", seq, { content: null, deleted_at: "2026-01-03T00:00:00Z" });
  }

  #change(type, seq, fields) {
    const row = this.rows[seq - 1];
    if (row.deleted_at) return;
    Object.assign(row, fields, { change: ++this.lastChange });
    this.events.push({ type, conversation_id: this.id, message_id: row.id, change: row.change, data: { ...row } });
  }

  /** What is above a change, as a catch-up from the database would push it: final states, with `after`. */
  folded(above) {
    let after = above;
    return this.rows
      .filter(({ change }) => change > above)
      .sort((a, b) => a.change - b.change)
      .map((row) => {
        const event = {
          type: "message.new",
          conversation_id: this.id,
          seq: row.seq,
          change: row.change,
          after,
          data: { ...row },
        };
        after = row.change;
        return event;
      });
  }

  unread(me, lastRead) {
    return this.rows.filter((m) => m.seq > lastRead && m.sender_id !== me && !m.deleted_at).length;
  }

  sync(cursor, { limit = 200, me = 1, lastRead = 0, behind = 1000 } = {}) {
    const numbers = {
      conversation_id: this.id,
      last_change: this.lastChange,
      first_seq: 1,
      last_seq: this.lastSeq,
      last_read_seq: lastRead,
      unread_count: this.unread(me, lastRead),
    };
    if (cursor === undefined || cursor > this.lastChange || this.lastChange - cursor > behind) {
      const changes = this.rows
        .slice(-limit)
        .map((row) => ({ ...row }))
        .sort((a, b) => a.change - b.change);
      return { ...numbers, changes, more: false, reset: true };
    }
    const above = this.rows.filter(({ change }) => change > cursor).sort((a, b) => a.change - b.change);
    return { ...numbers, changes: above.slice(0, limit).map((row) => ({ ...row })), more: above.length > limit };
  }

  history({ before_seq = Infinity, limit = 50 } = {}) {
    const below = this.rows.filter(({ seq }) => seq < before_seq);
    return { messages: below.slice(-limit).map((row) => ({ ...row })), more: below.length > limit };
  }
}

/** A small reproducible source of chance (mulberry32). */
export function chance(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
