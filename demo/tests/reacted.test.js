import assert from "node:assert/strict";
import { afterEach, beforeEach, test, vi } from "vitest";

import { Reacted } from "../reacted.js";

const ANN = 1;
const BEN = 2;

let asked, answers, known, reacted;

beforeEach(() => {
  vi.useFakeTimers();
  [asked, known] = [[], []];
  answers = {};
  const call = async (method, path) => {
    asked.push(`${method} ${path}`);
    const answer = answers[path.split("/")[1]];
    if (answer instanceof Error) throw answer;
    return { reactions: answer ?? [] };
  };
  reacted = new Reacted({ rest: { call } }, (id) => known.push(id));
});
afterEach(() => void vi.useRealTimers());

const later = () => vi.advanceTimersByTimeAsync(1000);

test("who reacted is asked a moment after somebody sees it, once for each change", async () => {
  answers.m1 = [
    { user_id: BEN, emoji: "👍" },
    { user_id: ANN, emoji: "👍" },
    { user_id: ANN, emoji: "🎉" },
  ];
  reacted.want({ id: "m1", change: 4 });
  assert.deepEqual(asked, []);
  await later();
  assert.deepEqual(asked, ["GET messages/m1/reactions"]);
  assert.deepEqual(
    [...reacted.of("m1")],
    [
      ["👍", [BEN, ANN]],
      ["🎉", [ANN]],
    ],
  );
  assert.deepEqual(known, ["m1"]);
  reacted.want({ id: "m1", change: 4 });
  await later();
  assert.equal(asked.length, 1);
  answers.m1 = [{ user_id: BEN, emoji: "👍" }];
  reacted.want({ id: "m1", change: 5 });
  // Until the answer is there, what was known stands.
  assert.equal(reacted.of("m1").size, 2);
  await later();
  assert.deepEqual([...reacted.of("m1")], [["👍", [BEN]]]);
});

test("messages are asked about one after another, and a failure keeps none of the others", async () => {
  answers.m2 = new Error("away");
  for (const id of ["m1", "m2", "m3"]) reacted.want({ id, change: 1 });
  await later();
  assert.deepEqual(
    asked,
    ["m1", "m2", "m3"].map((id) => `GET messages/${id}/reactions`),
  );
  assert.deepEqual(known, ["m1", "m3"]);
  assert.equal(reacted.of("m2"), null);
});

test("whoever asks in earnest is told why there is no answer", async () => {
  answers.m1 = new Error("away");
  await assert.rejects(reacted.ask({ id: "m1", change: 1 }), /away/);
});

test("no more than five hundred messages are remembered", async () => {
  for (let number = 0; number <= 500; number += 1) await reacted.ask({ id: `m${number}`, change: 1 });
  assert.equal(reacted.of("m0"), null);
  assert.notEqual(reacted.of("m1"), null);
  reacted.clear();
  assert.equal(reacted.of("m500"), null);
});
