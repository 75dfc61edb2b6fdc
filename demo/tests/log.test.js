import assert from "node:assert/strict";
import { describe, test } from "vitest";

import { Log } from "../client/log.js";
import { C, message, newMessage } from "./fakes.js";

const ME = 1;
const begun = (last_change = 0, more = {}) => {
  const log = new Log(C, ME);
  log.begin({ last_change, ...more });
  return log;
};
const opened = (...messages) => {
  const log = begun(messages.length);
  log.applyHistory({ messages, more: false });
  return log;
};
const seqs = (log) => log.messages.map(({ seq }) => seq);
const contents = (log) => log.messages.map(({ content }) => content);

describe("durable events", () => {
  test("the next change is applied and moves the cursor", () => {
    const log = opened();
    assert.equal(log.apply(newMessage(message(1, 1))), "applied");
    assert.deepEqual([log.cursor, seqs(log)], [1, [1]]);
  });

  test("a change at or below the cursor is old and changes nothing", () => {
    const log = opened(message(1, 1));
    assert.equal(log.apply(newMessage(message(1, 1, { content: "other" }))), "old");
    assert.deepEqual(contents(log), ["text 1"]);
  });

  test("a change beyond the next one is a hole: nothing is applied, and the log is not whole", () => {
    const log = opened(message(1, 1));
    assert.equal(log.apply(newMessage(message(3, 3))), "hole");
    assert.deepEqual([log.cursor, log.wanted, log.whole, seqs(log)], [1, 3, false, [1]]);
  });

  test("`after` covers folded changes: from after + 1 to change", () => {
    const log = opened(message(1, 1));
    assert.equal(log.apply({ ...newMessage(message(2, 5)), after: 1 }), "applied");
    assert.deepEqual([log.cursor, seqs(log)], [5, [1, 2]]);
  });

  test("`after` below the cursor is no hole, and what it brings is applied", () => {
    const log = opened(message(1, 1), message(2, 2), message(3, 3));
    assert.equal(log.apply({ ...newMessage(message(4, 5)), after: 1 }), "applied");
    assert.equal(log.cursor, 5);
  });

  test("`after` above the cursor is a hole", () => {
    const log = opened(message(1, 1));
    assert.equal(log.apply({ ...newMessage(message(4, 5)), after: 3 }), "hole");
    assert.equal(log.cursor, 1);
  });

  test("without a snapshot everything is a hole", () => {
    const log = new Log(C, ME);
    assert.equal(log.apply(newMessage(message(1, 1))), "hole");
    assert.equal(log.whole, false);
  });

  test("an edit replaces by id, a deletion leaves the tombstone in its place", () => {
    const log = opened(message(1, 1), message(2, 2));
    log.apply({ type: "message.edited", change: 3, data: message(1, 3, { content: "better" }) });
    log.apply({
      type: "message.deleted",
      change: 4,
      data: message(2, 4, { content: null, deleted_at: "2026-01-01T00:00:00Z" }),
    });
    assert.deepEqual(contents(log), ["better", null]);
  });

  test("a durable event without a message still moves the cursor", () => {
    const log = opened();
    assert.equal(log.apply({ type: "something.later", change: 1 }), "applied");
    assert.equal(log.cursor, 1);
  });

  test("order is by seq, whatever order the changes come in", () => {
    const log = opened();
    log.apply(newMessage(message(2, 1)));
    log.apply(newMessage(message(1, 2)));
    assert.deepEqual(seqs(log), [1, 2]);
  });
});

describe("the window", () => {
  test("is empty before the first page, and then reaches from the page to the newest", () => {
    const log = begun(10, { last_message: message(10, 10) });
    assert.deepEqual(seqs(log), []);
    assert.equal(log.newest.seq, 10);
    log.applyHistory({ messages: [message(9, 9), message(10, 10)], more: true });
    log.apply(newMessage(message(11, 11)));
    assert.deepEqual([seqs(log), log.lowest, log.hasOlder], [[9, 10, 11], 9, true]);
  });

  test("gets no hole by a snapshot whose newest message is not the next one", () => {
    const log = begun(2, { last_message: message(2, 2) });
    log.applyHistory({ messages: [message(1, 1), message(2, 2)], more: false });
    log.begin({ last_change: 5, last_message: message(5, 5) });
    assert.deepEqual([seqs(log), log.newest.seq, log.unread], [[1, 2], 5, 2]);
    log.applySync({
      changes: [message(3, 3), message(4, 4), message(5, 6, { content: "edited" })],
      last_change: 6,
      last_seq: 5,
      unread_count: 5,
      more: false,
    });
    assert.deepEqual([seqs(log), log.newest.content], [[1, 2, 3, 4, 5], "edited"]);
    log.begin({ last_change: 7, last_message: message(6, 7) });
    assert.deepEqual([seqs(log), log.newest.seq], [[1, 2, 3, 4, 5, 6], 6]);
  });

  test("grows downwards by older pages", () => {
    const log = begun(4);
    log.applyHistory({ messages: [message(3, 3), message(4, 4)], more: true });
    log.applyHistory({ messages: [message(1, 1), message(2, 2)], more: false });
    assert.deepEqual([seqs(log), log.hasOlder], [[1, 2, 3, 4], false]);
  });

  test("shows no message below it, though an edit of one arrived", () => {
    const log = begun(10);
    log.applyHistory({ messages: [message(10, 10)], more: true });
    log.apply({ type: "message.edited", change: 11, data: message(2, 11, { content: "edited" }) });
    assert.deepEqual([seqs(log), log.cursor], [[10], 11]);
  });

  test("a page that was read before an edit does not bring the past back", () => {
    const log = begun(10);
    log.applyHistory({ messages: [message(10, 10)], more: true });
    log.apply({ type: "message.edited", change: 11, data: message(2, 11, { content: "edited" }) });
    log.applyHistory({ messages: [message(2, 2)], more: false });
    assert.deepEqual(contents(log), ["edited", "text 10"]);
  });

  test("an empty conversation has a window at once: what comes next is in it", () => {
    const log = begun(0);
    log.apply(newMessage(message(1, 1)));
    log.applyHistory({ messages: [], more: false });
    assert.deepEqual([seqs(log), log.hasOlder], [[1], false]);
  });

  test("is the same array until something in it changes", () => {
    const log = opened(message(1, 1));
    const before = log.messages;
    log.apply(newMessage(message(1, 1)));
    assert.equal(log.messages, before);
    log.apply(newMessage(message(2, 2)));
    assert.notEqual(log.messages, before);
  });

  test("is trimmed where nobody looks: the newest stay, the count stays, and the rest comes again by pages", () => {
    const log = begun(1);
    log.count({ unread_count: 0, last_seq: 0, last_change: 0, last_read_seq: 0 });
    log.applyHistory({ messages: [], more: false });
    for (let seq = 2; seq <= 9; seq += 1) log.apply(newMessage(message(seq, seq)));
    const { generation } = log;
    log.trim(3);
    assert.deepEqual([seqs(log), log.size, log.unread, log.hasOlder, log.cursor], [[7, 8, 9], 3, 8, true, 9]);
    assert.notEqual(log.generation, generation, "a page underway was asked for below the former edge");
    log.apply(newMessage(message(10, 10)));
    assert.deepEqual([seqs(log), log.unread], [[7, 8, 9, 10], 9]);
    log.applyHistory({ messages: [message(5, 5), message(6, 6)], more: true });
    assert.deepEqual([seqs(log), log.unread], [[5, 6, 7, 8, 9, 10], 9]);
  });

  test("`message.sent` shows the message without moving the cursor, and the event then moves it", () => {
    const log = opened();
    log.upsert(message(1, 1, { sender_id: ME }));
    assert.deepEqual([seqs(log), log.cursor], [[1], 0]);
    log.apply(newMessage(message(1, 1, { sender_id: ME })));
    assert.deepEqual([seqs(log), log.cursor], [[1], 1]);
  });
});

describe("sync", () => {
  test("an unfinished part moves the cursor to its last entry, a finished one to last_change", () => {
    const log = opened(message(1, 1));
    log.apply(newMessage(message(9, 9)));
    log.applySync({
      changes: [message(2, 2), message(3, 3)],
      last_change: 9,
      last_seq: 7,
      unread_count: 6,
      more: true,
    });
    assert.deepEqual([log.cursor, log.whole], [3, false]);
    log.applySync({ changes: [message(4, 8)], last_change: 9, last_seq: 7, unread_count: 6, more: false });
    assert.deepEqual([log.cursor, log.whole], [9, true]);
  });

  test("who was let in again sees only what came since, and has read none of it", () => {
    const log = opened(message(1, 1), message(2, 2));
    log.count({ unread_count: 0, last_seq: 2, last_change: 2, last_read_seq: 2 });
    log.applySync({
      changes: [message(5, 5, { message_type: "system" }), message(6, 6)],
      last_change: 6,
      first_seq: 5,
      last_seq: 6,
      last_read_seq: 0,
      unread_count: 1,
      more: false,
    });
    assert.deepEqual([seqs(log), log.size, log.hasOlder, log.unread, log.lastReadSeq], [[5, 6], 2, false, 1, 0]);
    log.applyHistory({ messages: [message(1, 1), message(2, 2)], more: true });
    assert.deepEqual([seqs(log), log.size, log.hasOlder], [[5, 6], 2, false], "nor what was asked before");
    log.begin({ last_change: 6, first_seq: 5, last_message: message(6, 6) });
    assert.deepEqual(seqs(log), [5, 6]);
    log.begin({ last_change: 9, first_seq: 8, last_message: message(8, 9) });
    assert.deepEqual([seqs(log), log.hasOlder], [[8], false]);
  });

  test("an answer from before a live event does not move the cursor back", () => {
    const log = opened(message(1, 1), message(2, 2));
    log.apply(newMessage(message(3, 3)));
    log.applySync({ changes: [message(2, 2)], last_change: 2, last_seq: 2, unread_count: 0, more: false });
    assert.deepEqual([log.cursor, seqs(log)], [3, [1, 2, 3]]);
  });

  test("`reset` drops what is held and starts from what it brings", () => {
    const log = opened(message(1, 1), message(2, 2));
    const generation = log.generation;
    log.applySync({
      reset: true,
      changes: [message(8, 11), message(7, 12, { content: "edited" })],
      last_change: 12,
      first_seq: 1,
      last_seq: 8,
      last_read_seq: 6,
      unread_count: 2,
      more: false,
    });
    assert.deepEqual([seqs(log), contents(log), log.cursor], [[7, 8], ["edited", "text 8"], 12]);
    assert.deepEqual([log.lowest, log.hasOlder, log.unread, log.lastReadSeq], [7, true, 2, 6]);
    assert.equal(log.generation, generation + 1);
    assert.equal(log.size, 2, "nor is anything held below the window");
  });

  test("`reset` takes a cursor back that was ahead of the database", () => {
    const log = begun(100);
    log.applySync({
      reset: true,
      changes: [message(1, 1)],
      last_change: 1,
      first_seq: 1,
      last_seq: 1,
      last_read_seq: 0,
      unread_count: 1,
      more: false,
    });
    assert.deepEqual([log.cursor, log.hasOlder], [1, false]);
  });

  test("`reset` leaves how far the others have read, which `subscribed` told, unless there is nothing to read", () => {
    const log = opened(message(1, 1), message(2, 2));
    log.count({ unread_count: 0, last_seq: 2, last_change: 2, last_read_seq: 2 });
    log.read(2, 3);
    log.read(3, 90);
    log.applySync({
      reset: true,
      changes: [message(3, 9)],
      last_change: 9,
      first_seq: 1,
      last_seq: 3,
      last_read_seq: 1,
      unread_count: 2,
      more: false,
    });
    assert.deepEqual(Object.fromEntries(log.reads), { [ME]: 1, 2: 3 });
    assert.equal(log.unread, 2);
  });

  test("`reset` of an empty conversation: an empty window, open to what comes", () => {
    const log = begun(5);
    log.applySync({
      reset: true,
      changes: [],
      last_change: 0,
      first_seq: 1,
      last_seq: 0,
      last_read_seq: 0,
      unread_count: 0,
      more: false,
    });
    log.apply(newMessage(message(1, 1)));
    assert.deepEqual([seqs(log), log.hasOlder], [[1], false]);
  });
});

describe("unread", () => {
  test("is the server's count and what came since: not mine, no system entries, no tombstones", () => {
    const log = begun(5);
    log.count({ unread_count: 2, last_seq: 5, last_change: 5 });
    log.apply(newMessage(message(6, 6)));
    log.apply(newMessage(message(7, 7, { sender_id: ME })));
    log.apply(newMessage(message(8, 8, { message_type: "system" })));
    log.apply(newMessage(message(9, 9, { deleted_at: "2026-01-01T00:00:00Z", content: null })));
    assert.equal(log.unread, 3);
  });

  test("counts a message once, though history brought it before its event", () => {
    const log = begun(5);
    log.count({ unread_count: 0, last_seq: 5, last_change: 5 });
    log.applyHistory({ messages: [message(6, 6)], more: true });
    log.apply(newMessage(message(6, 6)));
    assert.equal(log.unread, 1);
  });

  test("reading to the end leaves nothing; reading part of it leaves what the server says", () => {
    const log = begun(5);
    log.count({ unread_count: 4, last_seq: 5, last_change: 5 });
    log.apply(newMessage(message(6, 6)));
    log.read(ME, 3, 3);
    assert.equal(log.unread, 3);
    log.read(ME, 6, 0);
    assert.equal(log.unread, 0);
  });

  test("never moves backwards", () => {
    const log = begun(5);
    log.read(ME, 5, 0);
    log.read(ME, 2, 3);
    assert.deepEqual([log.unread, log.lastReadSeq], [0, 5]);
  });

  test("the deletion of an unread message takes it from the count, once", () => {
    const log = begun(5);
    log.count({ unread_count: 2, last_seq: 5, last_change: 5, last_read_seq: 3 });
    const gone = { content: null, deleted_at: "2026-01-01T00:00:00Z" };
    log.apply({ change: 6, data: message(4, 6, gone) });
    log.apply({ change: 7, data: message(4, 7, gone) });
    assert.equal(log.unread, 1);
    log.apply({ change: 8, data: message(2, 8, gone) });
    assert.equal(log.unread, 1);
  });

  test("an older count than the one held is ignored, and so is one from before our reading", () => {
    const log = begun(5);
    log.count({ unread_count: 1, last_seq: 5, last_change: 5, last_read_seq: 4 });
    log.count({ unread_count: 9, last_seq: 3, last_change: 3, last_read_seq: 4 });
    assert.equal(log.unread, 1);
    log.read(ME, 5, 0);
    log.count({ unread_count: 1, last_seq: 5, last_change: 5, last_read_seq: 4 });
    log.count({ unread_count: 1, last_seq: 5, last_change: 5 });
    assert.equal(log.unread, 0);
  });

  test("who leaves and comes back has read nothing: here alone it moves backwards", () => {
    const log = opened(message(1, 1), message(2, 2));
    log.count({ unread_count: 0, last_seq: 2, last_change: 2, last_read_seq: 2 });
    log.read(3, 2);
    const left = (seq, user_id) =>
      message(seq, seq, { message_type: "system", metadata: { event: "participant.removed", user_id } });
    log.apply({ change: 3, data: left(3, 3) });
    assert.deepEqual([...log.reads], [[ME, 2]]);
    log.applySync({
      changes: [left(4, ME), message(5, 5, { message_type: "system" })],
      last_change: 5,
      last_seq: 5,
      last_read_seq: 0,
      unread_count: 2,
      more: false,
    });
    assert.deepEqual([log.lastReadSeq, log.unread], [0, 2]);
  });

  test("others' readings only go forward, and say nothing of ours", () => {
    const log = begun(5);
    log.count({ unread_count: 2, last_seq: 5, last_change: 5 });
    log.read(2, 4);
    log.read(2, 3);
    assert.deepEqual([log.reads.get(2), log.unread], [4, 2]);
  });
});
