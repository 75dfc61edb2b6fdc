import assert from "node:assert/strict";
import { describe, test } from "vitest";

import { C, D, message, newMessage, settle } from "./fakes.js";
import {
  client,
  clock,
  contents,
  cursor,
  looking,
  nothing,
  part,
  refused,
  rows,
  sent,
  summary,
  transport,
  unsent,
} from "./stage.js";

const sends = (field = "content") => transport.of("message.send").map((frame) => frame[field]);

describe("sending", () => {
  test("is pending at once, carries its client_id, and becomes real by message.sent", async () => {
    await looking();
    const key = client.send(C, "hello");
    assert.deepEqual([sends("client_id"), sends()], [[key], ["hello"]]);
    assert.deepEqual(
      unsent().map((row) => [row.key, row.content, row.state]),
      [[key, "hello", "pending"]],
    );
    sent(key, "hello", 1);
    assert.deepEqual([unsent(), contents(), cursor()], [[], ["hello"], 0]);
    transport.receive(newMessage(message(1, 1, { sender_id: 1, client_id: key, content: "hello" })));
    assert.deepEqual([contents(), cursor(), rows()[0].key], [["hello"], 1, key]);
  });

  test("becomes real by message.new, where that comes first", async () => {
    await looking();
    const key = client.send(C, "hello");
    transport.receive(newMessage(message(1, 1, { sender_id: 1, client_id: key, content: "hello" })));
    assert.deepEqual([unsent(), contents(), summary().unread], [[], ["hello"], 0]);
  });

  test("somebody else's message with our client_id is his", async () => {
    await looking();
    const key = client.send(C, "hello");
    transport.receive(newMessage(message(1, 1, { sender_id: 2, client_id: key })));
    assert.deepEqual(
      rows().map((row) => [row.key, row.own]),
      [
        ["m1", false],
        [key, true],
      ],
    );
  });

  test("what was not acknowledged is sent again after each reconnect, in order, with the same client_id", async () => {
    await looking();
    const one = client.send(C, "one");
    transport.lose();
    const two = client.send(C, "two");
    transport.sent.length = 0;
    await transport.open();
    sent(one, "one", 1);
    assert.deepEqual(
      [sends("client_id"), sends()],
      [
        [one, two],
        ["one", "two"],
      ],
    );
  });

  test("of one conversation one is underway at a time: what is delayed or refused does not change the order", async () => {
    await looking();
    const [one, two, three] = ["one", "two", "three"].map((content) => client.send(C, content));
    assert.deepEqual(sends(), ["one"]);
    refused(one, { code: "rate_limited", message: "slow down", retry_after_s: 1 });
    await clock.pass(1_000);
    assert.deepEqual(sends(), ["one", "one"]);
    refused(one, { code: "content_too_long", message: "too long" });
    assert.deepEqual(sends(), ["one", "one", "two"]);
    sent(two, "two", 1);
    assert.deepEqual(sends(), ["one", "one", "two", "three"]);
    assert.deepEqual(
      unsent().map(({ key, state }) => [key, state]),
      [
        [one, "failed"],
        [three, "pending"],
      ],
    );
  });

  test("conversations do not wait for each other", async () => {
    await looking();
    client.send(C, "here");
    client.send(D, "there");
    assert.deepEqual(sends("conversation_id"), [C, D]);
  });

  test("without any answer it goes again after 15 s", async () => {
    await looking();
    const key = client.send(C, "lost");
    await clock.pass(14_999);
    assert.deepEqual(sends("client_id"), [key]);
    await clock.pass(1);
    assert.deepEqual(sends("client_id"), [key, key]);
  });

  test("a message that comes to be by its event lets the next one go", async () => {
    await looking();
    const one = client.send(C, "one");
    const two = client.send(C, "two");
    transport.receive(newMessage(message(1, 1, { sender_id: 1, client_id: one, content: "one" })));
    assert.equal(sends().length, 2);
    client.discard(two);
    assert.deepEqual(unsent(), []);
  });

  test("what sync brings was committed after all, and is not sent a third time", async () => {
    await looking();
    const key = client.send(C, "one");
    transport.lose();
    await transport.open();
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      conversations: [
        part({
          changes: [message(1, 1, { sender_id: 1, client_id: key, content: "one" })],
          last_change: 1,
          last_seq: 1,
        }),
      ],
    });
    await settle();
    transport.lose();
    transport.sent.length = 0;
    await transport.open();
    assert.deepEqual([sends(), contents(), unsent()], [[], ["one"], []]);
  });

  test("a refusal fails it with its reason; a retry sends the same client_id, discarding forgets it", async () => {
    await looking();
    const key = client.send(C, "no");
    refused(key, { code: "forbidden", message: "Only admins can post here" });
    const [row] = unsent();
    assert.deepEqual([row.state, row.error], ["failed", { code: "forbidden", message: "Only admins can post here" }]);
    transport.lose();
    transport.sent.length = 0;
    await transport.open();
    assert.deepEqual(sends(), []);
    client.retry(key);
    assert.deepEqual([sends("client_id"), unsent()[0].state, unsent()[0].error], [[key], "pending", null]);
    client.discard(key);
    assert.deepEqual(unsent(), []);
  });

  test("an unknown fate or a rate limit is no refusal: it goes again after a while", async () => {
    await looking();
    const key = client.send(C, "patience");
    refused(key, { code: "rate_limited", message: "slow down", retry_after_s: 3 });
    assert.equal(unsent()[0].state, "pending");
    await clock.pass(2_999);
    assert.equal(sends().length, 1);
    await clock.pass(1);
    assert.deepEqual(sends("client_id"), [key, key]);
    refused(key, { code: "unavailable", message: "the database did not answer" });
    assert.equal(unsent()[0].state, "pending");
    await clock.pass(2_000);
    assert.deepEqual(sends("client_id"), [key, key, key]);
  });

  test("a frame that would cost the connection is not sent at all", async () => {
    await looking();
    client.send(C, "x".repeat(70_000));
    assert.deepEqual([sends(), unsent()[0].error.code], [[], "content_too_long"]);
    transport.lose();
    client.send(C, "x".repeat(70_000));
    client.send(C, "after it");
    await transport.open();
    assert.deepEqual(sends(), ["after it"]);
    await assert.rejects(client.edit("m1", "x".repeat(70_000)), { code: "content_too_long" });
  });

  test("an edit resolves with its ack and rejects with its error, or when the connection goes", async () => {
    await looking([message(1, 1)]);
    const edit = client.edit("m1", "better");
    transport.answer("message.edit", { type: "ack", for: "message.edit", message_id: "m1" });
    assert.equal((await edit).type, "ack");
    const theirs = client.edit("m1", "theirs");
    transport.answer("message.edit", { type: "error", code: "forbidden", message: "Only sender can edit message" });
    await assert.rejects(theirs, { code: "forbidden", message: "Only sender can edit message" });
    const lost = client.remove("m1");
    transport.lose();
    await assert.rejects(lost, { code: "disconnected" });
    await assert.rejects(client.remove("m1"), { code: "disconnected" });
  });
});
