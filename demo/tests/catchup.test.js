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
  subscribed,
  summary,
  transport,
} from "./stage.js";

describe("catching up", () => {
  test("after a reconnect sync names all cursors, and goes on until more is false", async () => {
    await looking([message(1, 1)]);
    transport.lose();
    await transport.open();
    assert.deepEqual(transport.of("sync").at(-1).cursors, { [C]: 1 });
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      more: true,
      conversations: [part({ changes: [message(2, 2)], last_change: 3, last_seq: 3, more: true })],
    });
    await settle();
    assert.deepEqual(transport.of("sync").at(-1).cursors, { [C]: 2 });
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      conversations: [part({ changes: [message(3, 3)], last_change: 3, last_seq: 3 })],
    });
    await settle();
    assert.deepEqual([contents(), cursor()], [["text 1", "text 2", "text 3"], 3]);
  });

  test("what one is no longer in is dropped", async () => {
    await ready();
    transport.lose();
    rest.list = [];
    await transport.open();
    transport.answer("sync", { type: "sync", ...nothing, removed: [C] });
    await settle();
    assert.equal(summary(), undefined);
  });

  test("a conversation in the answer that is not held is looked up, and then asked for by cursor", async () => {
    await ready();
    transport.lose();
    rest.list.push(conversation({ id: D, title: "While away", last_change: 2, last_seq: 2 }));
    await transport.open();
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      conversations: [part({ conversation_id: D, reset: true, last_change: 2, last_seq: 2 })],
    });
    await settle();
    assert.deepEqual(transport.of("sync").at(-1).cursors, { [C]: 0, [D]: 2 });
  });

  test("system entries that sync brings make the list be read again: a title may have changed", async () => {
    await ready();
    const before = rest.calls.length;
    transport.receive(newMessage(message(2, 2)));
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      conversations: [
        part({ changes: [message(1, 1, { message_type: "system" }), message(2, 2)], last_change: 2, last_seq: 2 }),
      ],
    });
    rest.list[0].title = "Renamed";
    rest.list[0].last_change = 2;
    await settle();
    assert.ok(rest.calls.slice(before).includes("conversations"));
    assert.equal(summary().about.title, "Renamed");
  });

  test("and who is in it is no longer known where nobody looks: the list says what one's own role is", async () => {
    const unwatch = await looking([message(1, 1)]);
    assert.equal(client.conversation(C).role, "admin");
    unwatch();
    transport.lose();
    rest.list = [conversation({ my_role: "observer", last_change: 2, last_seq: 2 })];
    await transport.open();
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      conversations: [part({ changes: [message(2, 2, { message_type: "system" })], last_change: 2, last_seq: 2 })],
    });
    await settle();
    assert.deepEqual([summary().role, summary().writable], ["observer", false]);
  });

  test("another epoch: everything starts over, also what is being looked at", async () => {
    await looking([message(1, 1), message(2, 2)]);
    transport.lose();
    rest.list = [conversation({ last_seq: 1, last_change: 1, last_message: message(1, 1, { content: "restored" }) })];
    await transport.open({ epoch: "e2" });
    assert.equal(summary(), undefined);
    subscribed({ last_seq: 1, last_change: 1 });
    await settle();
    transport.answer("history", {
      type: "history",
      conversation_id: C,
      messages: [message(1, 1, { content: "restored" })],
      more: false,
    });
    await settle();
    assert.deepEqual([contents(), cursor()], [["restored"], 1]);
  });

  test("a change that the database knows nothing of does not keep us asking for ever", async () => {
    await ready();
    transport.onsend = (frame) =>
      frame.type === "sync" && setImmediate(() => transport.receive({ type: "sync", ...nothing, ref: frame.ref }));
    const before = transport.of("sync").length;
    transport.receive(newMessage(message(9, 9)));
    for (let i = 0; i < 10; i += 1) await clock.pass(5_000);
    assert.equal(transport.of("sync").length - before, 1);
  });

  test("a page of history that was asked before a reset is not added after it", async () => {
    await looking([message(50, 50)], { more: true });
    client.loadOlder(C);
    transport.receive(newMessage(message(99, 99)));
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      conversations: [part({ reset: true, changes: [message(99, 99)], last_change: 99, last_seq: 99 })],
    });
    await settle();
    transport.answer("history", { type: "history", conversation_id: C, messages: [message(49, 49)], more: true });
    await settle();
    assert.deepEqual(contents(), ["text 99"]);
  });

  test("older pages: one at a time, below the window, until there are no more", async () => {
    await looking([message(3, 3)], { more: true });
    client.loadOlder(C);
    client.loadOlder(C);
    assert.deepEqual(
      transport
        .of("history")
        .slice(1)
        .map(({ before_seq }) => before_seq),
      [3],
    );
    transport.answer("history", {
      type: "history",
      conversation_id: C,
      messages: [message(1, 1), message(2, 2)],
      more: false,
    });
    await settle();
    await client.loadOlder(C);
    assert.deepEqual([contents(), transport.of("history").length], [["text 1", "text 2", "text 3"], 2]);
  });
});
