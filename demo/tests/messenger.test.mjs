import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { Messenger } from "../client/messenger.js";
import { C, D, FakeClock, FakeTransport, conversation, message, newMessage, settle } from "./fakes.mjs";

let clock;
let transport;
let rest;
let messenger;
let ids;

beforeEach(() => {
  clock = new FakeClock();
  transport = new FakeTransport();
  rest = new FakeRest();
  ids = 0;
  messenger = new Messenger({ connection: transport, rest, clock, newId: () => `client-${++ids}` });
});

class FakeRest {
  list = [conversation()];
  people = { [C]: [{ user_id: 1, name: "Alice", role: "admin" }, { user_id: 2, name: "Bob", role: "member" }] };
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
  async users(userIds) {
    this.calls.push(`users ${userIds}`);
    return userIds.map((id) => ({ id, name: `Name ${id}` }));
  }
  async direct() {
    return conversation({ id: D, type: "direct", title: null });
  }
}

const nothing = { conversations: [], epoch: "e1", more: false, removed: [] };
const part = (more) => ({
  conversation_id: C, changes: [], last_change: 0, first_seq: 1, last_seq: 0, last_read_seq: 0, unread_count: 0, more: false, ...more,
});

/** Connected, the list read, the first `sync` answered. */
async function ready(...list) {
  if (list.length > 0) rest.list = list;
  transport.open();
  await settle();
  transport.answer("sync", { type: "sync", ...nothing });
  await settle();
}

/** Ready, and looking at one conversation whose newest page is `messages`. */
async function looking(messages = [], { more = false } = {}) {
  const last = messages.at(-1) ?? null;
  await ready(conversation({ last_seq: last?.seq ?? 0, last_change: last?.change ?? 0, last_message: last }));
  messenger.watch(C);
  subscribed({ last_seq: last?.seq ?? 0, last_change: last?.change ?? 0 });
  await settle();
  transport.answer("history", { type: "history", conversation_id: C, messages, more });
  await settle();
}

function subscribed(more = {}) {
  transport.answer("subscribe", {
    type: "subscribed", conversation_id: C, conversation: conversation(),
    participants: [
      { user_id: 1, name: "Alice", role: "admin", online: true, last_seen_at: null, last_read_seq: 0 },
      { user_id: 2, name: "Bob", role: "member", online: true, last_seen_at: null, last_read_seq: 0 },
      { user_id: 3, name: "Carol", role: "observer", online: false, last_seen_at: "2026-01-01T00:00:00Z", last_read_seq: 0 },
    ],
    last_seq: 0, last_change: 0, unread_count: 0, ...more,
  });
}

const log = (id = C) => messenger.conversations.get(id).log;
const contents = (id = C) => log(id).messages.map(({ content }) => content);

describe("opening", () => {
  test("reads the list, then asks sync with the cursors of all of it", async () => {
    rest.list = [conversation({ last_change: 7 }), conversation({ id: D, last_change: 3 })];
    transport.open();
    assert.equal(transport.of("sync").length, 0);
    await settle();
    assert.deepEqual(transport.of("sync").at(-1).cursors, { [C]: 7, [D]: 3 });
  });

  test("the list shows badge and preview before anything was opened", async () => {
    await ready(conversation({ last_seq: 4, last_change: 4, unread_count: 2, last_message: message(4, 4) }));
    assert.deepEqual([log().unread, log().newest.content, messenger.conversations.unread], [2, "text 4", 2]);
  });

  test("a list that cannot be read is read again, a little later", async () => {
    rest.failure = Object.assign(new Error("away"), { code: "unavailable" });
    transport.open();
    await settle();
    assert.equal(messenger.directory.loaded, false);
    rest.failure = null;
    await clock.pass(1000);
    assert.equal(messenger.directory.loaded, true);
  });

  test("latest activity comes first", async () => {
    await ready(
      conversation({ last_seq: 1, last_change: 1, last_message: message(1, 1) }),
      conversation({ id: D, last_seq: 5, last_change: 5, last_message: message(5, 5, { conversation_id: D, id: "d5" }) }),
    );
    assert.deepEqual(messenger.conversations.sorted.map(({ id }) => id), [D, C]);
    transport.receive(newMessage(message(9, 2)));
    assert.deepEqual(messenger.conversations.sorted.map(({ id }) => id), [C, D]);
  });

  test("a direct conversation is called by the other one, whose presence is asked for", async () => {
    rest.people[D] = [{ user_id: 1, name: "Alice" }, { user_id: 5, name: "Eve" }];
    await ready(conversation({ id: D, type: "direct", title: null }));
    assert.equal(messenger.conversations.titleOf(messenger.conversations.get(D)), "Eve");
    assert.deepEqual(transport.of("presence").at(-1).user_ids, [5]);
    transport.answer("presence", { type: "presence", users: [{ user_id: 5, online: true, last_seen_at: null }] });
    await settle();
    assert.equal(messenger.people.isOnline(5), true);
    transport.receive({ type: "user.offline", user_id: 5, last_seen_at: "2026-01-01T00:00:00Z" });
    assert.deepEqual(messenger.people.presenceOf(5), { online: false, last_seen_at: "2026-01-01T00:00:00Z" });
  });
});

describe("durable events", () => {
  test("come to every conversation, opened or not", async () => {
    await ready();
    transport.receive(newMessage(message(1, 1)));
    assert.deepEqual([log().cursor, log().unread, log().newest.content], [1, 1, "text 1"]);
  });

  test("a hole asks sync with the held cursor, once for several of them", async () => {
    await looking([message(1, 1)]);
    const before = transport.of("sync").length;
    transport.receive(newMessage(message(3, 3)));
    transport.receive(newMessage(message(4, 4)));
    assert.equal(transport.of("sync").length, before + 1);
    assert.deepEqual(transport.of("sync").at(-1).cursors, { [C]: 1 });
    transport.answer("sync", { type: "sync", ...nothing, conversations: [part({ changes: [message(2, 2), message(3, 3), message(4, 4)], last_change: 4, last_seq: 4 })] });
    await settle();
    assert.deepEqual([contents(), log().whole], [["text 1", "text 2", "text 3", "text 4"], true]);
  });

  test("an event that came while sync was underway is asked for again, if the answer lacks it", async () => {
    await looking([message(1, 1)]);
    transport.receive(newMessage(message(3, 3)));
    transport.receive(newMessage(message(5, 5)));
    transport.answer("sync", { type: "sync", ...nothing, conversations: [part({ changes: [message(2, 2), message(3, 3)], last_change: 3, last_seq: 3 })] });
    await settle();
    assert.deepEqual(transport.of("sync").at(-1).cursors, { [C]: 3 });
    transport.answer("sync", { type: "sync", ...nothing, conversations: [part({ changes: [message(4, 4), message(5, 5)], last_change: 5, last_seq: 5 })] });
    await settle();
    assert.equal(log().cursor, 5);
  });

  test("a type of a later version still moves the cursor", async () => {
    await looking([message(1, 1)]);
    transport.receive({ type: "message.pinned", conversation_id: C, change: 2, data: message(1, 2, { content: "pinned" }) });
    assert.deepEqual([log().cursor, contents()], [2, ["pinned"]]);
  });

  test("a conversation that nobody told of makes the list be read again", async () => {
    await ready();
    rest.list.push(conversation({ id: D, title: "New", last_change: 1, last_seq: 1 }));
    transport.receive(newMessage(message(1, 1, { conversation_id: D })));
    await settle();
    assert.equal(messenger.conversations.get(D).about.title, "New");
  });

  test("conversation.created makes it known, and its first message needs no sync", async () => {
    await ready();
    transport.receive({ type: "conversation.created", conversation_id: D, conversation: conversation({ id: D, title: "New" }) });
    const before = transport.of("sync").length;
    transport.receive(newMessage(message(1, 1, { conversation_id: D })));
    assert.equal(log(D).cursor, 1);
    assert.equal(transport.of("sync").length, before);
  });

  test("people come, change role, go, and a title changes: one change each", async () => {
    await looking();
    const system = (seq) => message(seq, seq, { message_type: "system" });
    const event = (type, seq, more) => transport.receive({ type, conversation_id: C, seq, change: seq, by: 1, data: system(seq), ...more });
    event("participant.added", 1, { user_id: 4, name: "Dave", role: "member" });
    event("participant.updated", 2, { user_id: 4, name: "Dave", role: "observer" });
    const { participants } = messenger.conversations.get(C);
    assert.equal(participants.get(4).role, "observer");
    assert.equal(messenger.people.nameOf(4), "Dave");
    event("participant.removed", 3, { user_id: 4, name: "Dave", role: "observer" });
    assert.equal(participants.has(4), false);
    event("conversation.updated", 4, { conversation: conversation({ title: "Renamed", last_change: 4 }) });
    assert.equal(messenger.conversations.titleOf(messenger.conversations.get(C)), "Renamed");
    assert.deepEqual([log().cursor, log().unread, log().messages.length], [4, 0, 4]);
  });

  test("our own removal drops the conversation; one from before we came back does not", async () => {
    await ready(conversation({ last_change: 9 }));
    transport.receive({ type: "participant.removed", conversation_id: C, user_id: 1, change: 8, seq: 8, data: message(8, 8) });
    assert.notEqual(messenger.conversations.get(C), null);
    transport.receive({ type: "participant.removed", conversation_id: C, user_id: 1, change: 10, seq: 10, data: message(10, 10) });
    assert.equal(messenger.conversations.get(C), null);
  });
});

describe("catching up", () => {
  test("after a reconnect sync names all cursors, and goes on until more is false", async () => {
    await looking([message(1, 1)]);
    transport.lose();
    transport.open();
    assert.deepEqual(transport.of("sync").at(-1).cursors, { [C]: 1 });
    transport.answer("sync", { type: "sync", ...nothing, more: true, conversations: [part({ changes: [message(2, 2)], last_change: 3, last_seq: 3, more: true })] });
    await settle();
    assert.deepEqual(transport.of("sync").at(-1).cursors, { [C]: 2 });
    transport.answer("sync", { type: "sync", ...nothing, conversations: [part({ changes: [message(3, 3)], last_change: 3, last_seq: 3 })] });
    await settle();
    assert.deepEqual([contents(), log().cursor], [["text 1", "text 2", "text 3"], 3]);
  });

  test("what one is no longer in is dropped", async () => {
    await ready();
    transport.lose();
    rest.list = [];
    transport.open();
    transport.answer("sync", { type: "sync", ...nothing, removed: [C] });
    await settle();
    assert.equal(messenger.conversations.get(C), null);
  });

  test("a conversation in the answer that is not held is looked up, and then asked for by cursor", async () => {
    await ready();
    transport.lose();
    rest.list.push(conversation({ id: D, title: "While away", last_change: 2, last_seq: 2 }));
    transport.open();
    transport.answer("sync", { type: "sync", ...nothing, conversations: [part({ conversation_id: D, reset: true, last_change: 2, last_seq: 2 })] });
    await settle();
    assert.deepEqual(transport.of("sync").at(-1).cursors, { [C]: 0, [D]: 2 });
  });

  test("system entries that sync brings make the list be read again: a title may have changed", async () => {
    await ready();
    const before = rest.calls.length;
    transport.receive(newMessage(message(2, 2)));
    transport.answer("sync", { type: "sync", ...nothing, conversations: [part({ changes: [message(1, 1, { message_type: "system" }), message(2, 2)], last_change: 2, last_seq: 2 })] });
    rest.list[0].title = "Renamed";
    rest.list[0].last_change = 2;
    await settle();
    assert.ok(rest.calls.slice(before).includes("conversations"));
    assert.equal(messenger.conversations.get(C).about.title, "Renamed");
  });

  test("another epoch: everything starts over, also what is being looked at", async () => {
    await looking([message(1, 1), message(2, 2)]);
    transport.lose();
    rest.list = [conversation({ last_seq: 1, last_change: 1, last_message: message(1, 1, { content: "restored" }) })];
    transport.open({ epoch: "e2" });
    assert.equal(messenger.conversations.get(C), null);
    subscribed({ last_seq: 1, last_change: 1 });
    await settle();
    transport.answer("history", { type: "history", conversation_id: C, messages: [message(1, 1, { content: "restored" })], more: false });
    await settle();
    assert.deepEqual([contents(), log().cursor], [["restored"], 1]);
  });

  test("a change that the database knows nothing of does not keep us asking for ever", async () => {
    await ready();
    transport.onsend = (frame) => frame.type === "sync" && setImmediate(() => transport.receive({ type: "sync", ...nothing, ref: frame.ref }));
    const before = transport.of("sync").length;
    transport.receive(newMessage(message(9, 9)));
    for (let i = 0; i < 10; i += 1) await clock.pass(5_000);
    assert.equal(transport.of("sync").length - before, 3);
  });

  test("a page of history that was asked before a reset is not added after it", async () => {
    await looking([message(50, 50)], { more: true });
    messenger.loadOlder(C);
    transport.receive(newMessage(message(99, 99)));
    transport.answer("sync", { type: "sync", ...nothing, conversations: [part({ reset: true, changes: [message(99, 99)], last_change: 99, last_seq: 99 })] });
    await settle();
    transport.answer("history", { type: "history", conversation_id: C, messages: [message(49, 49)], more: true });
    await settle();
    assert.deepEqual(contents(), ["text 99"]);
  });

  test("older pages: one at a time, below the window, until there are no more", async () => {
    await looking([message(3, 3)], { more: true });
    messenger.loadOlder(C);
    messenger.loadOlder(C);
    assert.deepEqual(transport.of("history").slice(1).map(({ before_seq }) => before_seq), [3]);
    transport.answer("history", { type: "history", conversation_id: C, messages: [message(1, 1), message(2, 2)], more: false });
    await settle();
    await messenger.loadOlder(C);
    assert.deepEqual([contents(), transport.of("history").length], [["text 1", "text 2", "text 3"], 2]);
  });
});

describe("sending", () => {
  test("is pending at once, carries its client_id, and becomes real by message.sent", async () => {
    await looking();
    messenger.send(C, "hello");
    const { client_id, ref, content } = transport.of("message.send")[0];
    assert.deepEqual([client_id, ref, content], ["client-1", "client-1", "hello"]);
    assert.equal(messenger.outbox.of(C)[0].state, "pending");
    const data = message(1, 1, { sender_id: 1, client_id, content: "hello" });
    transport.receive({ type: "message.sent", message_id: "m1", conversation_id: C, seq: 1, change: 1, data, client_id, ref });
    assert.deepEqual([messenger.outbox.of(C), contents(), log().cursor], [[], ["hello"], 0]);
    transport.receive(newMessage(data));
    assert.deepEqual([contents(), log().cursor], [["hello"], 1]);
  });

  test("becomes real by message.new, where that comes first", async () => {
    await looking();
    messenger.send(C, "hello");
    transport.receive(newMessage(message(1, 1, { sender_id: 1, client_id: "client-1", content: "hello" })));
    assert.deepEqual([messenger.outbox.of(C), contents(), log().unread], [[], ["hello"], 0]);
  });

  test("somebody else's message with our client_id is his", async () => {
    await looking();
    messenger.send(C, "hello");
    transport.receive(newMessage(message(1, 1, { sender_id: 2, client_id: "client-1" })));
    assert.equal(messenger.outbox.of(C).length, 1);
  });

  test("what was not acknowledged is sent again after each reconnect, in order, with the same client_id", async () => {
    await looking();
    messenger.send(C, "one");
    transport.lose();
    messenger.send(C, "two");
    transport.sent.length = 0;
    transport.open();
    assert.deepEqual(transport.of("message.send").map(({ client_id, content }) => [client_id, content]), [["client-1", "one"], ["client-2", "two"]]);
  });

  test("what sync brings was committed after all, and is not sent a third time", async () => {
    await looking();
    messenger.send(C, "one");
    transport.lose();
    transport.open();
    transport.answer("sync", { type: "sync", ...nothing, conversations: [part({ changes: [message(1, 1, { sender_id: 1, client_id: "client-1", content: "one" })], last_change: 1, last_seq: 1 })] });
    await settle();
    transport.lose();
    transport.sent.length = 0;
    transport.open();
    assert.deepEqual([transport.of("message.send"), contents()], [[], ["one"]]);
  });

  test("a refusal fails it with its reason; a retry sends the same client_id, discarding forgets it", async () => {
    await looking();
    messenger.send(C, "no");
    transport.receive({ type: "error", code: "forbidden", message: "Only admins can post here", ref: "client-1" });
    const [entry] = messenger.outbox.of(C);
    assert.deepEqual([entry.state, entry.error.message], ["failed", "Only admins can post here"]);
    transport.lose();
    transport.sent.length = 0;
    transport.open();
    assert.deepEqual(transport.of("message.send"), []);
    messenger.outbox.retry("client-1");
    assert.deepEqual([transport.of("message.send")[0].client_id, entry.state], ["client-1", "pending"]);
    messenger.outbox.discard("client-1");
    assert.deepEqual(messenger.outbox.of(C), []);
  });

  test("after a conflict the retry takes another client_id", async () => {
    await looking();
    messenger.send(C, "no");
    transport.receive({ type: "error", code: "client_id_conflict", message: "client_id was used for another message", ref: "client-1" });
    messenger.outbox.retry("client-1");
    assert.deepEqual(messenger.outbox.of(C).map(({ clientId }) => clientId), ["client-2"]);
  });

  test("an unknown fate or a rate limit is no refusal: it goes again after a while", async () => {
    await looking();
    messenger.send(C, "patience");
    transport.receive({ type: "error", code: "rate_limited", message: "slow down", retry_after_s: 3, ref: "client-1" });
    assert.equal(messenger.outbox.of(C)[0].state, "pending");
    await clock.pass(2_999);
    assert.equal(transport.of("message.send").length, 1);
    await clock.pass(1);
    assert.deepEqual(transport.of("message.send").map(({ client_id }) => client_id), ["client-1", "client-1"]);
  });

  test("a frame that would cost the connection is not sent at all", async () => {
    await looking();
    messenger.send(C, "x".repeat(70_000));
    assert.deepEqual([transport.of("message.send"), messenger.outbox.of(C)[0].error.code], [[], "content_too_long"]);
    await assert.rejects(messenger.edit("m1", "x".repeat(70_000)), { code: "content_too_long" });
  });

  test("an edit resolves with its ack and rejects with its error, or when the connection goes", async () => {
    await looking([message(1, 1)]);
    const edit = messenger.edit("m1", "better");
    transport.answer("message.edit", { type: "ack", for: "message.edit", message_id: "m1" });
    assert.equal((await edit).type, "ack");
    const refused = messenger.edit("m1", "theirs");
    transport.answer("message.edit", { type: "error", code: "forbidden", message: "Only sender can edit message" });
    await assert.rejects(refused, { code: "forbidden", message: "Only sender can edit message" });
    const lost = messenger.remove("m1");
    transport.lose();
    await assert.rejects(lost, { code: "disconnected" });
    await assert.rejects(messenger.remove("m1"), { code: "disconnected" });
  });
});

describe("reading", () => {
  test("says the last message of somebody else, once, and clears the badge when confirmed", async () => {
    await looking([message(1, 1), message(2, 2), message(3, 3, { sender_id: 1 })]);
    messenger.markRead(C);
    messenger.markRead(C);
    assert.deepEqual(transport.of("message.read").map(({ message_id }) => message_id), ["m2"]);
    transport.answer("message.read", { type: "read.confirmed", message_id: "m2", conversation_id: C, last_read_seq: 2, unread_count: 0 });
    await settle();
    messenger.markRead(C);
    assert.deepEqual([transport.of("message.read").length, log().lastReadSeq], [1, 2]);
  });

  test("our reading on another device clears the badge here", async () => {
    await ready(conversation({ last_seq: 4, last_change: 4, unread_count: 3, last_message: message(4, 4) }));
    transport.receive({ type: "message.read", conversation_id: C, message_id: "m4", user_id: 1, last_read_seq: 4, unread_count: 0 });
    assert.equal(log().unread, 0);
  });

  test("subscribed tells how far everybody has read, and later readings move it", async () => {
    await looking([message(1, 1, { sender_id: 1 })]);
    assert.equal(log().reads.get(2) ?? 0, 0);
    transport.receive({ type: "message.read", conversation_id: C, message_id: "m1", user_id: 2, last_read_seq: 1, read_at: "2026-01-01T00:00:00Z" });
    assert.equal(log().reads.get(2), 1);
  });

  test("subscribed with unread messages keeps the badge", async () => {
    await ready(conversation({ last_seq: 4, last_change: 4, unread_count: 3 }));
    messenger.watch(C);
    subscribed({ last_seq: 4, last_change: 4, unread_count: 3 });
    await settle();
    assert.equal(log().unread, 3);
  });
});

describe("typing", () => {
  const typing = (user_id, is_typing) => transport.receive({ type: "typing", conversation_id: C, user_id, is_typing });

  test("counts for 5 s, unless repeated, stopped, or followed by the message", async () => {
    await looking();
    typing(2, true);
    await clock.pass(4_000);
    typing(2, true);
    await clock.pass(4_999);
    assert.deepEqual(messenger.typing.in(C), [2]);
    await clock.pass(1);
    assert.deepEqual(messenger.typing.in(C), []);
    typing(2, true);
    typing(3, true);
    typing(2, false);
    assert.deepEqual(messenger.typing.in(C), [3]);
    transport.receive(newMessage(message(1, 1, { sender_id: 3 })));
    assert.deepEqual(messenger.typing.in(C), []);
  });

  test("our own is said every 3 s while keys are struck, and taken back with the text", async () => {
    await looking();
    const said = () => transport.sent.filter(({ type }) => type.startsWith("typing")).map(({ type }) => type);
    messenger.typing.typed(C, "h");
    messenger.typing.typed(C, "he");
    assert.deepEqual(said(), ["typing.start"]);
    await clock.pass(3_000);
    messenger.typing.typed(C, "hel");
    messenger.typing.typed(C, "");
    messenger.typing.typed(C, "");
    assert.deepEqual(said(), ["typing.start", "typing.start", "typing.stop"]);
  });

  test("nobody types, and nobody's presence is known, without a connection", async () => {
    await looking();
    typing(2, true);
    transport.lose();
    assert.deepEqual([messenger.typing.in(C), messenger.people.isOnline(2)], [[], false]);
  });
});

describe("looking", () => {
  test("is subscribed again after a reconnect, and the page is not read twice", async () => {
    await looking([message(1, 1)]);
    transport.lose();
    transport.sent.length = 0;
    transport.open();
    subscribed({ last_seq: 1, last_change: 1 });
    await settle();
    assert.deepEqual([transport.of("subscribe").length, transport.of("history").length], [1, 0]);
  });

  test("ends with unwatch", async () => {
    await looking();
    messenger.unwatch(C);
    assert.deepEqual(transport.of("unsubscribe").map(({ conversation_id }) => conversation_id), [C]);
    transport.lose();
    transport.sent.length = 0;
    transport.open();
    assert.deepEqual(transport.of("subscribe"), []);
  });

  test("of a conversation one is not in: told as trouble, and it is gone", async () => {
    const troubles = [];
    messenger.on("trouble", (error) => troubles.push(error.code));
    await ready();
    messenger.watch(C);
    transport.answer("subscribe", { type: "error", code: "not_participant", message: "Not a participant of this conversation" });
    await settle();
    assert.deepEqual([troubles, messenger.conversations.get(C)], [["not_participant"], null]);
  });

  test("leaves no timer behind after the connection is gone", async () => {
    await looking([message(1, 1)]);
    transport.receive({ type: "typing", conversation_id: C, user_id: 2, is_typing: true });
    messenger.loadOlder(C);
    transport.lose();
    await settle();
    assert.equal(clock.pending, 0);
  });
});
