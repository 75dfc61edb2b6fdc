import assert from "node:assert/strict";
import { test, vi } from "vitest";

import { dayKey, dayTitle, hue, initials, lastSeen, listTime, sizeOf } from "../format.js";

// Whatever language this machine speaks.
vi.hoisted(() => {
  Object.defineProperty(globalThis, "navigator", { value: { languages: ["en-US"] }, configurable: true });
});

// The clock here.
const NOW = new Date(2026, 4, 12, 15, 30);
const before = (ms) => new Date(NOW - ms);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

test("a day is called by how far away it is", () => {
  assert.equal(dayTitle(new Date(2026, 4, 12, 0, 1), NOW), "Today");
  assert.equal(dayTitle(new Date(2026, 4, 11, 23, 59), NOW), "Yesterday");
  assert.match(dayTitle(new Date(2026, 4, 3), NOW), /Sunday.*May.*3|3.*May/);
  assert.doesNotMatch(dayTitle(new Date(2026, 4, 3), NOW), /2026/);
  assert.match(dayTitle(new Date(2025, 4, 3), NOW), /2025/);
});

test("in the list stands the time today, the weekday this week, else the date", () => {
  assert.match(listTime(before(HOUR), NOW), /2:30/);
  assert.equal(listTime(before(DAY), NOW), "Yesterday");
  assert.equal(listTime(before(3 * DAY), NOW), "Sat");
  assert.match(listTime(before(30 * DAY), NOW), /Apr 12|12 Apr/);
  assert.match(listTime(before(400 * DAY), NOW), /25/);
});

test("who was here is told in the largest unit that fits", () => {
  assert.equal(lastSeen(before(20_000), NOW), "last seen just now");
  assert.equal(lastSeen(before(5 * MINUTE), NOW), "last seen 5 minutes ago");
  assert.equal(lastSeen(before(2 * HOUR), NOW), "last seen 2 hours ago");
  assert.equal(lastSeen(before(DAY + HOUR), NOW), "last seen yesterday");
});

test("the same day has the same key, another one another", () => {
  assert.equal(dayKey(new Date(2026, 4, 12, 0, 0)), dayKey(new Date(2026, 4, 12, 23, 59)));
  assert.notEqual(dayKey(new Date(2026, 4, 12)), dayKey(new Date(2026, 3, 12)));
});

test("letters stand for a name: two words' first ones, or a Korean given name", () => {
  const expected = {
    Ann: "A",
    "ann lee": "AL",
    "Ann-Marie van der Lee": "AL",
    김대중: "대중",
    이안: "이안",
    박: "박",
    "김 대중": "김대",
    山田太郎: "太郎",
    "𝒜lice": "𝒜",
    "🦊 Fox": "F",
    "…": "?",
  };
  for (const [name, letters] of Object.entries(expected)) assert.equal(initials(name), letters, name);
});

test("a colour is one of eight, and always the same", () => {
  for (const id of [1, 8, 2 ** 53 - 1, "0b3f4a5e-9b7c-4b52-9d7c-0c8a7b1c9d11"]) {
    assert.ok(hue(id) >= 0 && hue(id) < 8);
    assert.equal(hue(id), hue(id));
  }
});

test("the size of a file is told in the unit that fits", () => {
  assert.deepEqual([7, 1500, 123_456, 2_400_000, 5e12].map(sizeOf), [
    "7 byte",
    "1.5 kB",
    "123.5 kB",
    "2.4 MB",
    "5,000 GB",
  ]);
});
