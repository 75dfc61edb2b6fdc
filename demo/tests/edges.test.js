// What a stranger found who looked for it: each of these went wrong once.

import assert from "node:assert/strict";
import { describe, test } from "vitest";

import { C, D, MemoryStorage, conversation, message, newMessage, settle } from "./fakes.js";
import {
  client,
  clock,
  device,
  looking,
  nothing,
  ready,
  rest,
  rows,
  sent,
  summary,
  transport,
  unsent,
} from "./stage.js";

const read = () => transport.of("message.read").map(({ message_id }) => message_id);

describe("at the edges of a connection", () => {
  test("what is read while away is told when there is a connection again", async () => {
    await looking([message(1, 1)]);
    transport.lose();
    client.markRead(C);
    assert.deepEqual(read(), []);
    await transport.open();
    assert.deepEqual(read(), ["m1"]);
  });

  test("who writes before the server has said who he is makes nobody of himself", async () => {
    client.send(C, "early");
    assert.equal(client.conversation(C).messages[0].sender_id, 0);
    await ready();
    assert.equal(client.conversation(C).messages[0].sender_id, 1);
    assert.ok(!client.people().some(({ id }) => id === 0));
    assert.ok(
      rest.calls.every((call) => !/^users (0|.*,0)\b/.test(call)),
      rest.calls.join("; "),
    );
  });

  test("stopping in the midst of reading the list leaves no timer", async () => {
    await ready();
    const created = { type: "conversation.created", conversation_id: D, conversation: conversation({ id: D }) };
    transport.receive(created);
    transport.receive(created);
    client.stop();
    await settle();
    await clock.pass(60_000);
    assert.equal(clock.pending, 0);
  });

  test("a message that the list brings first stands there once", async () => {
    await looking();
    const key = client.send(C, "hello");
    const said = message(1, 1, { sender_id: 1, client_id: key, content: "hello" });
    transport.lose();
    rest.list = [conversation({ last_seq: 1, last_change: 1, last_message: said })];
    await transport.open();
    await settle();
    assert.deepEqual(unsent(), []);
    assert.ok(rows().filter((row) => row.key === key).length <= 1);
  });

  test("a removal, and a return of which only the list tells, end well", async () => {
    await looking([message(1, 1)]);
    const about = { conversation_id: C, user_id: 1, name: "Alice", role: "member", by: 2 };
    transport.receive({ type: "participant.removed", ...about, seq: 2, change: 2, data: message(2, 2) });
    assert.equal(client.conversation(C).status, "gone");
    rest.list = [conversation({ last_seq: 4, last_change: 4 })];
    transport.receive(newMessage(message(4, 4)));
    await settle();
    assert.notEqual(client.conversation(C).status, "gone");
    assert.equal(transport.of("subscribe").length, 2);
  });

  test("another history empties the list and has it read again", async () => {
    await ready();
    const before = rest.calls.filter((call) => call === "conversations").length;
    transport.receive(newMessage(message(9, 9)));
    transport.answer("sync", { type: "sync", ...nothing, epoch: "e2" });
    await settle();
    assert.equal(client.loaded, true);
    assert.ok(rest.calls.filter((call) => call === "conversations").length > before);
  });
});

describe("at the edges of what is said", () => {
  test("what JSON cannot write is refused at once, and holds up nothing", async () => {
    await looking();
    assert.throws(() => client.send(C, "x", { metadata: { n: 1n } }), TypeError);
    const key = client.send(C, "after it");
    assert.deepEqual(
      unsent().map((row) => row.key),
      [key],
    );
    sent(key, "after it", 1);
    assert.deepEqual(unsent(), []);
  });

  test("what was sent does not change with the caller's own object", async () => {
    await looking();
    const metadata = { step: 1 };
    client.send(C, "x", { metadata });
    metadata.step = 2;
    assert.deepEqual(unsent()[0].metadata, { step: 1 });
  });

  test("the queue is bounded: one too many is refused", async () => {
    await looking();
    transport.lose();
    for (let i = 0; i < 500; i += 1) client.send(C, `${i}`);
    assert.throws(() => client.send(C, "one too many"), { name: "RequestError", code: "outbox_full" });
    assert.equal(unsent().length, 500);
  });

  test("our own role changes where nobody looks, too", async () => {
    await ready(conversation({ my_role: "member" }));
    const about = { conversation_id: C, user_id: 1, name: "Alice", role: "observer", by: 2 };
    const data = message(1, 1, { message_type: "system" });
    transport.receive({ type: "participant.updated", ...about, seq: 1, change: 1, data });
    assert.deepEqual([summary().role, summary().writable], ["observer", false]);
  });

  test("an id that is none is gone", async () => {
    await ready();
    client.watch("not-a-uuid");
    transport.answer("subscribe", { type: "error", code: "invalid_conversation_id", message: "Invalid" });
    await settle();
    assert.equal(client.conversation("not-a-uuid").status, "gone");
  });

  test("what else lies in the storage does not keep back what was left there to be sent", async () => {
    const storage = new MemoryStorage();
    const entry = { conversation_id: C, content: "left", client_id: "k1", writtenAt: 1, state: "pending", error: null };
    for (const [name, value] of Object.entries({ a: null, b: { owner: "x" }, k1: { owner: "gone", entry }, z: null }))
      storage.setItem(`messenger.outbox:http://daemon.example/1:${name}`, JSON.stringify(value));
    const other = device({ storage });
    await other.transport.open();
    await settle();
    assert.deepEqual(
      other.transport.of("message.send").map(({ client_id }) => client_id),
      ["k1"],
    );
  });
});
