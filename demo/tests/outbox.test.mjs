import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { C, D, message, newMessage, settle } from "./fakes.mjs";
import { clock, contents, log, looking, messenger, nothing, part, sent, transport } from "./stage.mjs";

describe("sending", () => {
  test("is pending at once, carries its client_id, and becomes real by message.sent", async () => {
    await looking();
    messenger.send(C, "hello");
    const { client_id, ref, content } = transport.of("message.send")[0];
    assert.deepEqual([client_id, ref, content], ["client-1", "client-1", "hello"]);
    assert.equal(messenger.outbox.of(C)[0].state, "pending");
    const data = message(1, 1, { sender_id: 1, client_id, content: "hello" });
    transport.receive({
      type: "message.sent",
      message_id: "m1",
      conversation_id: C,
      seq: 1,
      change: 1,
      data,
      client_id,
      ref,
    });
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
    sent("client-1", "one", 1);
    assert.deepEqual(
      transport.of("message.send").map(({ client_id, content }) => [client_id, content]),
      [
        ["client-1", "one"],
        ["client-2", "two"],
      ],
    );
  });

  test("of one conversation one is underway at a time: what is delayed or refused does not change the order", async () => {
    await looking();
    ["one", "two", "three"].forEach((content) => messenger.send(C, content));
    const contents = () => transport.of("message.send").map(({ content }) => content);
    assert.deepEqual(contents(), ["one"]);
    transport.receive({ type: "error", code: "rate_limited", message: "slow down", retry_after_s: 1, ref: "client-1" });
    await clock.pass(1_000);
    assert.deepEqual(contents(), ["one", "one"]);
    transport.receive({ type: "error", code: "content_too_long", message: "too long", ref: "client-1" });
    assert.deepEqual(contents(), ["one", "one", "two"]);
    sent("client-2", "two", 1);
    assert.deepEqual(contents(), ["one", "one", "two", "three"]);
    assert.deepEqual(
      messenger.outbox.of(C).map(({ clientId, state }) => [clientId, state]),
      [
        ["client-1", "failed"],
        ["client-3", "pending"],
      ],
    );
  });

  test("conversations do not wait for each other", async () => {
    await looking();
    messenger.send(C, "here");
    messenger.send(D, "there");
    assert.equal(transport.of("message.send").length, 2);
  });

  test("without any answer it goes again after 15 s", async () => {
    await looking();
    messenger.send(C, "lost");
    await clock.pass(15_000);
    assert.deepEqual(
      transport.of("message.send").map(({ client_id }) => client_id),
      ["client-1", "client-1"],
    );
  });

  test("a message that comes to be by its event lets the next one go", async () => {
    await looking();
    messenger.send(C, "one");
    messenger.send(C, "two");
    transport.receive(newMessage(message(1, 1, { sender_id: 1, client_id: "client-1", content: "one" })));
    assert.equal(transport.of("message.send").length, 2);
    messenger.outbox.discard("client-2");
    assert.deepEqual(messenger.outbox.of(C), []);
  });

  test("what sync brings was committed after all, and is not sent a third time", async () => {
    await looking();
    messenger.send(C, "one");
    transport.lose();
    transport.open();
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      conversations: [
        part({
          changes: [message(1, 1, { sender_id: 1, client_id: "client-1", content: "one" })],
          last_change: 1,
          last_seq: 1,
        }),
      ],
    });
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
    transport.receive({
      type: "error",
      code: "client_id_conflict",
      message: "client_id was used for another message",
      ref: "client-1",
    });
    messenger.outbox.retry("client-1");
    assert.deepEqual(
      messenger.outbox.of(C).map(({ clientId }) => clientId),
      ["client-2"],
    );
  });

  test("an unknown fate or a rate limit is no refusal: it goes again after a while", async () => {
    await looking();
    messenger.send(C, "patience");
    transport.receive({ type: "error", code: "rate_limited", message: "slow down", retry_after_s: 3, ref: "client-1" });
    assert.equal(messenger.outbox.of(C)[0].state, "pending");
    await clock.pass(2_999);
    assert.equal(transport.of("message.send").length, 1);
    await clock.pass(1);
    assert.deepEqual(
      transport.of("message.send").map(({ client_id }) => client_id),
      ["client-1", "client-1"],
    );
  });

  test("a frame that would cost the connection is not sent at all", async () => {
    await looking();
    messenger.send(C, "x".repeat(70_000));
    assert.deepEqual([transport.of("message.send"), messenger.outbox.of(C)[0].error.code], [[], "content_too_long"]);
    transport.lose();
    messenger.send(C, "x".repeat(70_000));
    messenger.send(C, "after it");
    transport.open();
    assert.deepEqual(
      transport.of("message.send").map(({ content }) => content),
      ["after it"],
    );
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
