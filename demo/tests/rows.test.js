import assert from "node:assert/strict";
import { test } from "vitest";

import { NEW, Rows, estimate, isJumbo, readersOf } from "../rows.js";

const ANN = 1;
const BEN = 2;
// The clock here, on the 12th of May.
const at = (hour, minute = 0, day = 12) => new Date(2026, 4, day, hour, minute).toISOString();

function row(seq, more = {}) {
  const sender_id = more.sender_id ?? BEN;
  return {
    ...{ id: `m${seq}`, key: `m${seq}`, seq, sender_id, own: sender_id === ANN, message_type: "text" },
    ...{ content: `line ${seq}`, created_at: at(10, seq), deleted_at: null, reply_to: null, reactions: {}, ...more },
  };
}

const told = (items) =>
  items.map(({ kind, row: { key } = {}, first, last }) =>
    kind === "message" ? `${first ? "(" : ""}${key}${last ? ")" : ""}` : key === undefined ? kind : `${kind} ${key}`,
  );

test("messages of one sender within five minutes stand in one group", () => {
  const messages = [
    row(1),
    row(2),
    row(3, { sender_id: 3 }),
    row(4, { sender_id: 3, created_at: at(10, 8) }),
    row(5, { sender_id: 3, created_at: at(10, 12) }),
  ];
  assert.deepEqual(told(new Rows().of(messages)), ["day", "(m1", "m2)", "(m3)", "(m4", "m5)"]);
});

test("a system entry, a new day and the line above what is new end a group", () => {
  const messages = [
    row(1),
    row(2, { message_type: "system" }),
    row(3),
    row(4),
    row(5, { created_at: at(0, 1, 13) }),
    row(6, { created_at: at(0, 2, 13) }),
  ];
  const expected = ["day", "(m1)", "system m2", "(m3)", "new", "(m4)", "day", "(m5", "m6)"];
  assert.deepEqual(told(new Rows().of(messages, { newFrom: 3 })), expected);
});

test("the line above what is new stands before the first of somebody else's messages that was not read", () => {
  const messages = [row(1), row(2, { sender_id: ANN }), row(3, { message_type: "system" }), row(4), row(5)];
  assert.deepEqual(told(new Rows().of(messages, { newFrom: 1 })), [
    "day",
    "(m1)",
    "(m2)",
    "system m3",
    "new",
    "(m4",
    "m5)",
  ]);
  const read = new Rows().of(messages, { newFrom: 5 });
  assert.equal(
    read.some(({ key }) => key === NEW),
    false,
  );
});

test("an unsent message of yesterday makes no second key for its day", () => {
  const pending = { id: null, seq: null, key: "c1", sender_id: ANN, own: true, created_at: at(9, 0, 11) };
  const items = new Rows().of([
    row(1, { created_at: at(9, 0, 11) }),
    row(2),
    { ...row(3), ...pending },
    { ...row(4), ...pending, key: "c2", created_at: at(9, 1, 12) },
  ]);
  assert.deepEqual(told(items), ["day", "(m1)", "day", "(m2)", "day", "(c1)", "day", "(c2)"]);
  assert.equal(new Set(items.map(({ key }) => key)).size, items.length);
});

test("what did not change is the same object in the next list", () => {
  const rows = new Rows();
  const messages = [row(1), row(2), row(3, { sender_id: ANN })];
  const before = rows.of(messages);
  assert.deepEqual(
    rows.of([...messages]).map((item, index) => item === before[index]),
    [true, true, true, true],
  );
  // A third one in Ann's group; and Ben's first one was edited.
  const after = rows.of([
    { ...messages[0], content: "line one" },
    messages[1],
    messages[2],
    row(4, { sender_id: ANN }),
  ]);
  assert.deepEqual(
    after.map((item, index) => item === before[index]),
    [true, false, true, false, false],
  );
  assert.equal(after[3].last, false);
});

test("an older page above leaves what is below it as it is, its day's line too", () => {
  const rows = new Rows();
  const newest = [row(5), row(6, { sender_id: 3 })];
  const before = rows.of(newest);
  const after = rows.of([row(3, { created_at: at(9, 0) }), ...newest]);
  assert.deepEqual(told(after), ["day", "(m3)", "(m5)", "(m6)"]);
  assert.equal(after[0], before[0]);
  assert.equal(after[2], before[1]);
  assert.equal(after[3], before[2]);
});

test("an answer carries what it answers while that is held, and changes with it", () => {
  const rows = new Rows();
  const [asked, answer, strange] = [row(1), row(2, { reply_to: "m1" }), row(3, { reply_to: "m0" })];
  const before = rows.of([asked, answer, strange]);
  assert.equal(before[2].quoted, asked);
  assert.equal(before[3].quoted, null);
  const edited = { ...asked, content: "another word" };
  const after = rows.of([edited, answer, strange]);
  assert.equal(after[2].quoted, edited);
  assert.notEqual(after[2], before[2]);
  assert.equal(after[3], before[3]);
  assert.equal(rows.of([edited, { ...answer, deleted_at: at(11) }, strange])[2].quoted, null);
});

test("an optimistic message and what it becomes are one line", () => {
  const rows = new Rows();
  const pending = row(null, { id: null, key: "c1", sender_id: ANN, state: "pending" });
  const [, before] = rows.of([pending]);
  const [, after] = rows.of([row(7, { key: "c1", sender_id: ANN, state: "sent" })]);
  assert.equal(before.key, after.key);
  assert.notEqual(before, after);
});

test("readers are the others who have read so far", () => {
  const participants = [
    { user_id: ANN, last_read_seq: 9 },
    { user_id: BEN, last_read_seq: 4 },
    { user_id: 3, last_read_seq: 5 },
  ];
  assert.deepEqual(
    readersOf(participants, 5, ANN).map(({ user_id }) => user_id),
    [3],
  );
});

test("nothing but a few emoji is shown large", () => {
  for (const text of ["👍", "❤️", "👍🏽", "👨‍👩‍👧‍👦", "🇰🇷🎉", "😂😂😂", "3️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", " 🎉 "])
    assert.equal(isJumbo(text), true, text);
  for (const text of ["", "ok", "👍 ok", "3", "12", "#", "😂😂😂😂", "©a", "안녕", "a👍", "\u202e👍"])
    assert.equal(isJumbo(text), false, text);
});

test("a longer text is thought to be higher, and one of wide letters higher than one of narrow ones", () => {
  const height = (content, more = {}) =>
    estimate({ kind: "message", first: true, row: { ...row(1), content, ...more } }, 800);
  assert.ok(height("word ".repeat(60)) > height("word"));
  assert.ok(height("말".repeat(60)) > height("a".repeat(60)));
  assert.ok(height("one\ntwo\nthree") > height("one"));
  assert.ok(height("word", { reactions: { "👍": 1 } }) > height("word"));
});
