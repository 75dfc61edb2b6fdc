// The stage of the client's tests: everything new before each, and the gestures that they share.

import { beforeEach } from "vitest";

import { MessengerClient } from "../client/index.js";
import { C, D, FakeClock, FakeTransport, conversation, message, settle } from "./fakes.js";

export let clock;
export let transport;
export let rest;
export let client;

beforeEach(() => {
  clock = new FakeClock();
  rest = new FakeRest();
  ({ client, transport } = device());
});

/** One more device, or tab, of the same person, with a connection of its own. `options`: of MessengerClient. */
export function device(options = {}) {
  const transport = new FakeTransport();
  const client = new MessengerClient({
    url: "http://daemon.example/",
    userId: 1,
    WebSocket: transport.WebSocket,
    fetch: rest.fetch,
    storage: null,
    clock,
    random: () => 0,
    ...options,
  });
  transport.client = client;
  return { client, transport };
}

/** The REST API: `calls` are in short what was asked; what it answers is in the fields. */
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
  /** Null, or the code with which everything is refused. */
  failure = null;
  calls = [];

  fetch = async (url, { method }) => {
    await new Promise((resolve) => setImmediate(resolve));
    const { pathname, searchParams } = new URL(url);
    const [, id, participants, former] = pathname.match(/v1\/messenger\/\w+(?:\/([^/]+))?(?:\/(\w+))?(?:\/(\w+))?/);
    if (pathname.endsWith("/users")) return this.#users(searchParams.get("ids"));
    if (former) return this.#answer(`former ${id}`, { participants: this.left[id] ?? [] });
    if (participants) return this.#answer(`participants ${id}`, { participants: this.people[id] ?? [] });
    if (method === "POST") return this.#answer("create", conversation({ id: D, type: "direct", title: null }));
    return this.#answer("conversations", { conversations: this.list, next_cursor: null });
  };

  #users(ids) {
    const users = ids
      .split(",")
      .map(Number)
      .filter((id) => !this.strangers.includes(id))
      .map((id) => ({ id, name: `Name ${id}`, avatar_url: this.pictures[id] ?? null }));
    return this.#answer(`users ${ids}`, { users });
  }

  #answer(call, answer) {
    this.calls.push(call);
    if (this.failure) return Response.json({ code: this.failure }, { status: 503 });
    return Response.json(answer);
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
  await transport.open();
  await settle();
  transport.answer("sync", { type: "sync", ...nothing });
  await settle();
}

/** Ready, and looking at one conversation whose newest page is `messages`; what this resolves with ends that. */
export async function looking(messages = [], { more = false } = {}) {
  const last = messages.at(-1) ?? null;
  await ready(conversation({ last_seq: last?.seq ?? 0, last_change: last?.change ?? 0, last_message: last }));
  const unwatch = client.watch(C);
  subscribed({ last_seq: last?.seq ?? 0, last_change: last?.change ?? 0 });
  await settle();
  transport.answer("history", { type: "history", conversation_id: C, messages, more });
  await settle();
  return unwatch;
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

/** The server has committed what was sent with this key. */
export function sent(key, content, number) {
  const data = message(number, number, { sender_id: 1, client_id: key, content });
  const { ref } = transport.of("message.send").findLast(({ client_id }) => client_id === key);
  transport.receive({
    type: "message.sent",
    message_id: data.id,
    conversation_id: C,
    seq: number,
    change: number,
    data,
    client_id: key,
    ref,
  });
}

/** The server does not take what was sent last with this key. */
export function refused(key, error) {
  const { ref } = transport.of("message.send").findLast(({ client_id }) => client_id === key);
  transport.receive({ type: "error", ref, ...error });
}

/** A conversation as the list has it; undefined where it is not in it. */
export const summary = (id = C) => client.conversations().find((one) => one.id === id);
export const rows = (id = C) => client.conversation(id).messages;
/** The messages that the server has told of. */
export const contents = (id = C) => rows(id).flatMap((row) => (row.id === null ? [] : [row.content]));
/** What is on its way, or refused. */
export const unsent = (id = C) => rows(id).filter((row) => row.id === null);
export const cursor = (id = C) => client.cursors[id];
