// The stage of the messenger's tests: everything new before each, and the gestures that they share.

import { beforeEach } from "node:test";

import { Messenger } from "../client/messenger.js";
import { C, D, FakeClock, FakeTransport, conversation, message, settle } from "./fakes.mjs";

export let clock;
export let transport;
export let rest;
export let messenger;

beforeEach(() => {
  let ids = 0;
  clock = new FakeClock();
  transport = new FakeTransport();
  rest = new FakeRest();
  messenger = new Messenger({ connection: transport, rest, clock, newId: () => `client-${++ids}` });
});

class FakeRest {
  list = [conversation()];
  people = {
    [C]: [
      { user_id: 1, name: "Alice", role: "admin" },
      { user_id: 2, name: "Bob", role: "member" },
    ],
  };
  left = {};
  pictures = {};
  strangers = [];
  calls = [];

  async conversations() {
    this.calls.push("conversations");
    if (this.failure) throw this.failure;
    return structuredClone(this.list);
  }
  async participants(id) {
    this.calls.push(`participants ${id}`);
    return this.people[id] ?? [];
  }
  async former(id) {
    this.calls.push(`former ${id}`);
    return this.left[id] ?? [];
  }
  async users(userIds) {
    this.calls.push(`users ${userIds}`);
    return userIds
      .filter((id) => !this.strangers.includes(id))
      .map((id) => ({ id, name: `Name ${id}`, avatar_url: this.pictures[id] ?? null }));
  }
  async direct() {
    return conversation({ id: D, type: "direct", title: null });
  }
}

export const nothing = { conversations: [], epoch: "e1", more: false, removed: [] };
export const part = (more) => ({
  conversation_id: C,
  changes: [],
  last_change: 0,
  first_seq: 1,
  last_seq: 0,
  last_read_seq: 0,
  unread_count: 0,
  more: false,
  ...more,
});

/** Connected, the list read, the first `sync` answered. */
export async function ready(...list) {
  if (list.length > 0) rest.list = list;
  transport.open();
  await settle();
  transport.answer("sync", { type: "sync", ...nothing });
  await settle();
}

/** Ready, and looking at one conversation whose newest page is `messages`. */
export async function looking(messages = [], { more = false } = {}) {
  const last = messages.at(-1) ?? null;
  await ready(conversation({ last_seq: last?.seq ?? 0, last_change: last?.change ?? 0, last_message: last }));
  messenger.watch(C);
  subscribed({ last_seq: last?.seq ?? 0, last_change: last?.change ?? 0 });
  await settle();
  transport.answer("history", { type: "history", conversation_id: C, messages, more });
  await settle();
}

export function subscribed(more = {}) {
  transport.answer("subscribe", {
    type: "subscribed",
    conversation_id: C,
    conversation: conversation(),
    participants: [
      { user_id: 1, name: "Alice", role: "admin", online: true, last_seen_at: null, last_read_seq: 0 },
      { user_id: 2, name: "Bob", role: "member", online: true, last_seen_at: null, last_read_seq: 0 },
      {
        user_id: 3,
        name: "Carol",
        role: "observer",
        online: false,
        last_seen_at: "2026-01-01T00:00:00Z",
        last_read_seq: 0,
      },
    ],
    last_seq: 0,
    last_change: 0,
    unread_count: 0,
    ...more,
  });
}

export function sent(client_id, content, number) {
  const data = message(number, number, { sender_id: 1, client_id, content });
  transport.receive({
    type: "message.sent",
    message_id: data.id,
    conversation_id: C,
    seq: number,
    change: number,
    data,
    client_id,
    ref: client_id,
  });
}

export const log = (id = C) => messenger.conversations.get(id).log;
export const contents = (id = C) => log(id).messages.map(({ content }) => content);
