import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { C, conversation, message, newMessage, settle } from "./fakes.mjs";
import { clock, log, looking, messenger, ready, subscribed, transport } from "./stage.mjs";

describe("reading", () => {
  test("says the last message of somebody else, once, and clears the badge when confirmed", async () => {
    await looking([message(1, 1), message(2, 2), message(3, 3, { sender_id: 1 })]);
    messenger.markRead(C);
    messenger.markRead(C);
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
    messenger.markRead(C);
    assert.deepEqual([transport.of("message.read").length, log().lastReadSeq], [1, 2]);
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
    assert.equal(log().unread, 0);
  });

  test("subscribed tells how far everybody has read, and later readings move it", async () => {
    await looking([message(1, 1, { sender_id: 1 })]);
    assert.equal(log().reads.get(2) ?? 0, 0);
    transport.receive({
      type: "message.read",
      conversation_id: C,
      message_id: "m1",
      user_id: 2,
      last_read_seq: 1,
      read_at: "2026-01-01T00:00:00Z",
    });
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
