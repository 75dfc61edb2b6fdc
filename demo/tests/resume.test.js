// What the developer's panel tells of a coming back, from the frames that passed.

import { expect, test } from "vitest";
import { Resume } from "../resume.js";

const HELLO = { type: "system", event: "connected" };
const send = (client_id) => ({ type: "message.send", client_id });
const sent = (client_id, more = {}) => ({ type: "message.sent", client_id, ...more });
const change = (client_id = null) => ({ client_id });
const sync = (...conversations) => ({ type: "sync", conversations });

/** Online at 0, gone at 1000, back at 4000. */
function cameBack() {
  const resume = new Resume();
  resume.take("in", HELLO, 0);
  resume.gone(1_000);
  resume.gone(1_500);
  expect(resume.take("in", HELLO, 4_000)).toBe(true);
  return resume;
}

test("the first connection is no coming back", () => {
  const resume = new Resume();
  resume.gone(0);
  expect(resume.take("in", HELLO, 10)).toBe(false);
  expect(resume.take("out", { type: "sync", cursors: { a: 1 } }, 20)).toBe(false);
  expect(resume.latest).toBe(null);
});

test("it tells how long one was away, what was asked, and what came", () => {
  const resume = cameBack();
  resume.take("out", { type: "sync", cursors: { a: 7, b: 2 } }, 4_001);
  resume.take("in", sync({ changes: [change(), change()] }, { changes: [change()], reset: true }), 4_050);
  resume.take("out", { type: "sync", cursors: { a: 9, b: 3 } }, 4_051);
  resume.take("in", sync(), 4_060);
  expect(resume.latest).toMatchObject({ awayMs: 3_000, cursors: { a: 7, b: 2 }, asked: 2, answered: 2 });
  expect(resume.latest).toMatchObject({ changes: 3, conversations: 2, resets: 1 });
});

test("what waited in the queue is counted once, and never as missed", () => {
  const resume = cameBack();
  resume.take("out", send("x"), 4_001);
  resume.take("out", { type: "sync", cursors: { a: 7 } }, 4_002);
  resume.take("in", sync({ changes: [change("x"), change()] }), 4_010);
  resume.take("in", sent("x", { duplicate: true }), 4_020);
  resume.take("out", send("y"), 4_021);
  resume.take("out", send("y"), 6_000);
  // Still the queue: one of it is underway.
  resume.take("out", send("z"), 6_001);
  resume.take("in", sent("y"), 6_010);
  expect(resume.latest).toMatchObject({ changes: 1, sent: 3, acknowledged: 2, duplicates: 1 });
  resume.take("in", sent("z"), 6_020);
  // Written by hand, later.
  expect(resume.take("out", send("hello"), 6_100)).toBe(false);
  expect(resume.latest).toMatchObject({ sent: 3, acknowledged: 3 });
});

test("everyday life is no part of it", () => {
  const resume = cameBack();
  expect(resume.take("in", { type: "typing" }, 4_001)).toBe(false);
  expect(resume.take("in", sent("other"), 4_001)).toBe(false);
  expect(resume.take("out", { type: "sync", cursors: { a: 1 } }, 20_000)).toBe(false);
  expect(resume.latest.asked).toBe(0);
});

test("the next coming back begins anew", () => {
  const resume = cameBack();
  resume.take("out", send("x"), 4_001);
  resume.gone(5_000);
  resume.take("in", HELLO, 5_500);
  resume.take("in", sent("x"), 5_501);
  expect(resume.latest).toMatchObject({ awayMs: 500, sent: 0, acknowledged: 0 });
});
