import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { C, D, conversation, message, newMessage, settle } from "./fakes.mjs";
import {
  clock,
  contents,
  log,
  looking,
  messenger,
  nothing,
  part,
  ready,
  rest,
  subscribed,
  transport,
} from "./stage.mjs";

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
      conversation({
        id: D,
        last_seq: 5,
        last_change: 5,
        last_message: message(5, 5, { conversation_id: D, id: "d5" }),
      }),
    );
    assert.deepEqual(
      messenger.conversations.sorted.map(({ id }) => id),
      [D, C],
    );
    transport.receive(newMessage(message(9, 2)));
    assert.deepEqual(
      messenger.conversations.sorted.map(({ id }) => id),
      [C, D],
    );
  });

  test("a direct conversation is called by the other one, whose presence is asked for", async () => {
    rest.people[D] = [
      { user_id: 1, name: "Alice" },
      { user_id: 5, name: "Eve" },
    ];
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
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      conversations: [part({ changes: [message(2, 2), message(3, 3), message(4, 4)], last_change: 4, last_seq: 4 })],
    });
    await settle();
    assert.deepEqual([contents(), log().whole], [["text 1", "text 2", "text 3", "text 4"], true]);
  });

  test("an event that came while sync was underway is asked for again, if the answer lacks it", async () => {
    await looking([message(1, 1)]);
    transport.receive(newMessage(message(3, 3)));
    transport.receive(newMessage(message(5, 5)));
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      conversations: [part({ changes: [message(2, 2), message(3, 3)], last_change: 3, last_seq: 3 })],
    });
    await settle();
    assert.deepEqual(transport.of("sync").at(-1).cursors, { [C]: 3 });
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      conversations: [part({ changes: [message(4, 4), message(5, 5)], last_change: 5, last_seq: 5 })],
    });
    await settle();
    assert.equal(log().cursor, 5);
  });

  test("a type of a later version still moves the cursor", async () => {
    await looking([message(1, 1)]);
    transport.receive({
      type: "message.pinned",
      conversation_id: C,
      change: 2,
      data: message(1, 2, { content: "pinned" }),
    });
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
    transport.receive({
      type: "conversation.created",
      conversation_id: D,
      conversation: conversation({ id: D, title: "New" }),
    });
    const before = transport.of("sync").length;
    transport.receive(newMessage(message(1, 1, { conversation_id: D })));
    assert.equal(log(D).cursor, 1);
    assert.equal(transport.of("sync").length, before);
  });

  test("people come, change role, go, and a title changes: one change each", async () => {
    await looking();
    const system = (seq) => message(seq, seq, { message_type: "system" });
    const event = (type, seq, more) =>
      transport.receive({ type, conversation_id: C, seq, change: seq, by: 1, data: system(seq), ...more });
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
    transport.receive({
      type: "participant.removed",
      conversation_id: C,
      user_id: 1,
      change: 8,
      seq: 8,
      data: message(8, 8),
    });
    assert.notEqual(messenger.conversations.get(C), null);
    transport.receive({
      type: "participant.removed",
      conversation_id: C,
      user_id: 1,
      change: 10,
      seq: 10,
      data: message(10, 10),
    });
    assert.equal(messenger.conversations.get(C), null);
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
    assert.deepEqual(
      transport.of("unsubscribe").map(({ conversation_id }) => conversation_id),
      [C],
    );
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
    transport.answer("subscribe", {
      type: "error",
      code: "not_participant",
      message: "Not a participant of this conversation",
    });
    await settle();
    assert.deepEqual([troubles, messenger.conversations.get(C)], [["not_participant"], null]);
  });

  test("leaves no timer behind after the connection is gone", async () => {
    await looking([message(1, 1)]);
    transport.receive({ type: "typing", conversation_id: C, user_id: 2, is_typing: true });
    messenger.loadOlder(C);
    messenger.send(C, "on its way");
    transport.lose();
    await settle();
    assert.equal(clock.pending, 0);
  });
});
