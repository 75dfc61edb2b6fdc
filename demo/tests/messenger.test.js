import assert from "node:assert/strict";
import { describe, test } from "vitest";

import { C, D, conversation, message, newMessage, settle } from "./fakes.js";
import {
  client,
  clock,
  contents,
  cursor,
  looking,
  nothing,
  part,
  ready,
  rest,
  rows,
  subscribed,
  summary,
  transport,
} from "./stage.js";

describe("opening", () => {
  test("reads the list, then asks sync with the cursors of all of it", async () => {
    rest.list = [conversation({ last_change: 7 }), conversation({ id: D, last_change: 3 })];
    await transport.open();
    assert.equal(transport.of("sync").length, 0);
    await settle();
    assert.deepEqual(transport.of("sync").at(-1).cursors, { [C]: 7, [D]: 3 });
  });

  test("the list shows badge and preview before anything was opened", async () => {
    await ready(conversation({ last_seq: 4, last_change: 4, unread_count: 2, last_message: message(4, 4) }));
    assert.deepEqual([summary().unread, summary().lastMessage.content, client.unreadTotal()], [2, "text 4", 2]);
  });

  test("a list that cannot be read is read again, a little later", async () => {
    rest.failure = "unavailable";
    await transport.open();
    await settle();
    assert.equal(client.loaded, false);
    rest.failure = null;
    await clock.pass(1000);
    assert.equal(client.loaded, true);
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
      client.conversations().map(({ id }) => id),
      [D, C],
    );
    transport.receive(newMessage(message(9, 2)));
    assert.deepEqual(
      client.conversations().map(({ id }) => id),
      [C, D],
    );
  });

  test("a direct conversation is called by the other one, whose presence is asked for", async () => {
    const people = [{ user_id: 5, name: "Eve", avatar_url: null }];
    await ready(conversation({ id: D, type: "direct", title: null, people }));
    assert.equal(summary(D).title, "Eve");
    assert.deepEqual(transport.of("presence").at(-1).user_ids, [5]);
    transport.answer("presence", { type: "presence", users: [{ user_id: 5, online: true, last_seen_at: null }] });
    await settle();
    assert.equal(client.presence([5])[5].online, true);
    transport.receive({ type: "user.offline", user_id: 5, last_seen_at: "2026-01-01T00:00:00Z" });
    assert.deepEqual(client.presence([5])[5], { online: false, last_seen_at: "2026-01-01T00:00:00Z" });
  });
});

describe("durable events", () => {
  test("come to every conversation, opened or not", async () => {
    await ready();
    transport.receive(newMessage(message(1, 1)));
    assert.deepEqual([cursor(), summary().unread, summary().lastMessage.content], [1, 1, "text 1"]);
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
    assert.deepEqual([contents(), cursor()], [["text 1", "text 2", "text 3", "text 4"], 4]);
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
    assert.equal(cursor(), 5);
  });

  test("a type of a later version still moves the cursor", async () => {
    await looking([message(1, 1)]);
    transport.receive({
      type: "message.pinned",
      conversation_id: C,
      change: 2,
      data: message(1, 2, { content: "pinned" }),
    });
    assert.deepEqual([cursor(), contents()], [2, ["pinned"]]);
  });

  test("a conversation that nobody told of makes the list be read again", async () => {
    await ready();
    rest.list.push(conversation({ id: D, title: "New", last_change: 1, last_seq: 1 }));
    transport.receive(newMessage(message(1, 1, { conversation_id: D })));
    await settle();
    assert.equal(summary(D).about.title, "New");
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
    assert.equal(cursor(D), 1);
    assert.equal(transport.of("sync").length, before);
  });

  test("people come, change role, go, and a title changes: one change each", async () => {
    await looking();
    const system = (seq) => message(seq, seq, { message_type: "system" });
    const event = (type, seq, more) =>
      transport.receive({ type, conversation_id: C, seq, change: seq, by: 1, data: system(seq), ...more });
    event("participant.added", 1, { user_id: 4, name: "Dave", role: "member" });
    event("participant.updated", 2, { user_id: 4, name: "Dave", role: "observer" });
    const dave = () => client.conversation(C).participants.find(({ user_id }) => user_id === 4);
    assert.equal(dave().role, "observer");
    assert.equal(client.person(4).name, "Dave");
    event("participant.removed", 3, { user_id: 4, name: "Dave", role: "observer" });
    assert.equal(dave(), undefined);
    event("conversation.updated", 4, { conversation: conversation({ title: "Renamed", last_change: 4 }) });
    assert.equal(summary().title, "Renamed");
    assert.deepEqual([cursor(), summary().unread, rows().length], [4, 0, 4]);
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
    assert.notEqual(summary(), undefined);
    transport.receive({
      type: "participant.removed",
      conversation_id: C,
      user_id: 1,
      change: 10,
      seq: 10,
      data: message(10, 10),
    });
    assert.equal(summary(), undefined);
  });
});

describe("looking", () => {
  test("is subscribed again after a reconnect, and the page is not read twice", async () => {
    await looking([message(1, 1)]);
    transport.lose();
    transport.sent.length = 0;
    await transport.open();
    subscribed({ last_seq: 1, last_change: 1 });
    await settle();
    assert.deepEqual([transport.of("subscribe").length, transport.of("history").length], [1, 0]);
  });

  test("ends with unwatch", async () => {
    const unwatch = await looking();
    unwatch();
    assert.deepEqual(
      transport.of("unsubscribe").map(({ conversation_id }) => conversation_id),
      [C],
    );
    transport.lose();
    transport.sent.length = 0;
    await transport.open();
    assert.deepEqual(transport.of("subscribe"), []);
  });

  test("goes on until nobody looks any more, and asks once", async () => {
    const unwatch = await looking();
    const another = client.watch(C);
    assert.equal(transport.of("subscribe").length, 1);
    unwatch();
    unwatch();
    assert.deepEqual(transport.of("unsubscribe"), []);
    another();
    assert.equal(transport.of("unsubscribe").length, 1);
  });

  test("at a conversation one is not in: it is gone, and in no list", async () => {
    await ready();
    client.watch(D);
    assert.equal(client.conversation(D).status, "loading");
    transport.answer("subscribe", {
      type: "error",
      code: "not_participant",
      message: "Not a participant of this conversation",
    });
    await settle();
    assert.deepEqual([client.conversation(D).status, summary(D)], ["gone", undefined]);
  });

  test("leaves no timer behind after the connection is gone", async () => {
    await looking([message(1, 1)], { more: true });
    transport.receive({ type: "typing", conversation_id: C, user_id: 2, is_typing: true });
    client.loadOlder(C);
    client.send(C, "on its way");
    client.typed(C, "and another one");
    transport.lose();
    await settle();
    assert.equal(clock.pending, 2, "the next attempt, and a look at whether we slept");
    client.stop();
    assert.equal(clock.pending, 0);
  });
});
