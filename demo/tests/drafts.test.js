import assert from "node:assert/strict";
import { afterEach, beforeEach, test, vi } from "vitest";

import { Drafts } from "../drafts.js";

class Storage {
  held = new Map();
  getItem = (key) => this.held.get(key) ?? null;
  setItem = (key, text) => void this.held.set(key, text);
  removeItem = (key) => void this.held.delete(key);
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const ofAnn = (storage) => {
  const drafts = new Drafts(storage);
  drafts.enter(1);
  return drafts;
};
const later = () => vi.advanceTimersByTime(1000);

test("a draft is there after a reload, for its writer alone", () => {
  const storage = new Storage();
  ofAnn(storage).set("c1", "Tomorrow 내일 👍");
  later();
  assert.equal(ofAnn(storage).get("c1"), "Tomorrow 내일 👍");
  const bens = new Drafts(storage);
  bens.enter(2);
  assert.equal(bens.get("c1"), "");
});

test("what was sent does not come back, even at once", () => {
  const storage = new Storage();
  const drafts = ofAnn(storage);
  drafts.set("c1", "Half a");
  later();
  drafts.set("c1", "");
  assert.equal(ofAnn(storage).get("c1"), "");
  assert.equal(storage.held.size, 0);
});

test("white space is no draft", () => {
  const drafts = ofAnn(new Storage());
  drafts.set("c1", " \n ");
  assert.equal(drafts.get("c1"), "");
});

test("what was written before it was known by whom is kept for him", () => {
  const storage = new Storage();
  ofAnn(storage).set("c2", "older");
  later();
  const drafts = new Drafts(storage);
  drafts.set("c1", "early");
  later();
  assert.equal(new Map(storage.held).size, 1);
  drafts.enter(1);
  assert.equal(drafts.get("c1"), "early");
  assert.equal(drafts.get("c2"), "older");
  later();
  assert.equal(ofAnn(storage).get("c1"), "early");
});

test("somebody else at the same page finds none of them", () => {
  const storage = new Storage();
  const drafts = ofAnn(storage);
  drafts.set("c1", "Ann's");
  drafts.enter(2);
  assert.equal(drafts.get("c1"), "");
  assert.equal(ofAnn(storage).get("c1"), "Ann's");
});

test("two tabs keep each other's drafts", () => {
  const storage = new Storage();
  const [one, other] = [ofAnn(storage), ofAnn(storage)];
  one.set("c1", "in one");
  later();
  other.set("c2", "in the other");
  later();
  const drafts = ofAnn(storage);
  assert.deepEqual([drafts.get("c1"), drafts.get("c2")], ["in one", "in the other"]);
});

test("no more than sixty are kept, the latest ones, and none without end", () => {
  const storage = new Storage();
  const drafts = ofAnn(storage);
  for (let number = 0; number < 100; number += 1) drafts.set(`c${number}`, `text ${number}`);
  drafts.set("c50", "again");
  drafts.set("long", "x".repeat(100_000));
  later();
  assert.equal(drafts.get("long").length, 100_000);
  const again = ofAnn(storage);
  assert.equal(JSON.parse([...storage.held.values()][0]).length, 60);
  assert.deepEqual(
    [again.get("c39"), again.get("c41"), again.get("c50"), again.get("c99")],
    ["", "text 41", "again", "text 99"],
  );
  assert.equal(again.get("long"), "");
});

test("a storage that is full, broken or away loses nothing while the page lives", () => {
  const full = new Storage();
  full.setItem = () => {
    throw new Error("QuotaExceededError");
  };
  for (const storage of [full, null]) {
    const drafts = ofAnn(storage);
    drafts.set("c1", "here");
    later();
    assert.equal(drafts.get("c1"), "here");
  }
  for (const text of ["{", "null", "7", '{"c1": "x"}', '[["c1"], [1, "x"], null, ["c2", "kept"]]']) {
    const storage = new Storage();
    storage.held.set("messenger.drafts.1", text);
    assert.equal(ofAnn(storage).get("c1"), "");
    assert.equal(ofAnn(storage).get("c2"), text.includes("kept") ? "kept" : "");
  }
});

test("whoever draws hears of a change, and of none where nothing changed", () => {
  const drafts = ofAnn(new Storage());
  let heard = 0;
  drafts.onchange = () => (heard += 1);
  drafts.set("c1", "a");
  drafts.set("c1", "a");
  drafts.set("c1", " ");
  assert.equal(heard, 2);
});
