import assert from "node:assert/strict";
import { describe, test } from "vitest";

import { C, conversation, message, newMessage, settle } from "./fakes.js";
import { client, clock, looking, ready, subscribed, summary, transport } from "./stage.js";

const readUpTo = (userId) =>
  client.conversation(C).participants.find(({ user_id }) => user_id === userId).last_read_seq;

describe("reading", () => {
  test("says the last message of somebody else, once, and clears the badge when confirmed", async () => {
    await looking([message(1, 1), message(2, 2), message(3, 3, { sender_id: 1 })]);
    client.markRead(C);
    client.markRead(C);
    assert.deepEqual(
      transport.of("message.read").map(({ message_id }) => message_id),
      ["m2"],
    );
    transport.answer("message.read", {
      type: "read.confirmed",
      message_id: "m2",
      conversation_id: C,
      last_read_seq: 2,
      unread_count: 0,
    });
    await settle();
    client.markRead(C);
    assert.deepEqual([transport.of("message.read").length, client.conversation(C).lastReadSeq], [1, 2]);
  });

  test("our reading on another device clears the badge here", async () => {
    await ready(conversation({ last_seq: 4, last_change: 4, unread_count: 3, last_message: message(4, 4) }));
    transport.receive({
      type: "message.read",
      conversation_id: C,
      message_id: "m4",
      user_id: 1,
      last_read_seq: 4,
      unread_count: 0,
    });
    assert.equal(summary().unread, 0);
  });

  test("subscribed tells how far everybody has read, and later readings move it", async () => {
    await looking([message(1, 1, { sender_id: 1 })]);
    assert.equal(readUpTo(2), 0);
    transport.receive({
      type: "message.read",
      conversation_id: C,
      message_id: "m1",
      user_id: 2,
      last_read_seq: 1,
      read_at: "2026-01-01T00:00:00Z",
    });
    assert.equal(readUpTo(2), 1);
  });

  test("subscribed with unread messages keeps the badge", async () => {
    await ready(conversation({ last_seq: 4, last_change: 4, unread_count: 3 }));
    client.watch(C);
    subscribed({ last_seq: 4, last_change: 4, unread_count: 3 });
    await settle();
    assert.equal(summary().unread, 3);
  });
});

describe("typing", () => {
  const heard = (user_id, is_typing) => transport.receive({ type: "typing", conversation_id: C, user_id, is_typing });
  const typing = () => client.conversation(C).typing.map(({ id }) => id);

  test("counts for 5 s, unless repeated, stopped, or followed by the message", async () => {
    await looking();
    heard(2, true);
    await clock.pass(4_000);
    heard(2, true);
    await clock.pass(4_999);
    assert.deepEqual(typing(), [2]);
    await clock.pass(1);
    assert.deepEqual(typing(), []);
    heard(2, true);
    heard(3, true);
    heard(2, false);
    assert.deepEqual(typing(), [3]);
    transport.receive(newMessage(message(1, 1, { sender_id: 3 })));
    assert.deepEqual(typing(), []);
  });

  test("our own is said every 3 s while keys are struck, and taken back with the text", async () => {
    await looking();
    const said = () => transport.sent.filter(({ type }) => type.startsWith("typing")).map(({ type }) => type);
    client.typed(C, "h");
    client.typed(C, "he");
    assert.deepEqual(said(), ["typing.start"]);
    await clock.pass(3_000);
    client.typed(C, "hel");
    client.typed(C, "");
    client.typed(C, "");
    assert.deepEqual(said(), ["typing.start", "typing.start", "typing.stop"]);
  });

  test("nobody types, and nobody's presence is known, without a connection", async () => {
    await looking();
    heard(2, true);
    assert.deepEqual([typing(), client.presence([2])[2].online], [[2], true]);
    transport.lose();
    assert.deepEqual([typing(), client.presence([2])], [[], { 2: null }]);
  });
});
