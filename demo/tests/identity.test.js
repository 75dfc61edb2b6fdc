// The token of a tab: asked of the person at the page when there is none, when it is refused, and before it ends.

import { beforeEach, expect, test, vi } from "vitest";
import { TabToken, forgetToken } from "../identity.js";

/** Somebody at the page: `answer` gives a token (or null, for later), `offered` are the offers that stand. */
class Person {
  asked = [];
  offered = [];
  #answers = [];

  ask = (reason, later) => {
    this.asked.push([reason, later]);
    return new Promise((resolve) => this.#answers.push(resolve));
  };

  offer = (run) => {
    this.offered.push(run);
    return () => (this.offered = this.offered.filter((one) => one !== run));
  };

  async answer(token) {
    this.#answers.shift()(token);
    await Promise.resolve();
  }
}

let person;
let tab;

beforeEach(() => {
  const kept = new Map();
  vi.stubGlobal("sessionStorage", {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  });
  person = new Person();
  tab = new TabToken(person);
});

test("it is asked for once, and held for a reload", async () => {
  const first = tab.getToken({ reason: null });
  await person.answer("one");
  expect(await first).toBe("one");
  expect(await new TabToken(person).getToken({ reason: null })).toBe("one");
  expect(person.asked).toEqual([[null, false]]);
});

test("one that the server refused is asked for anew, with why", async () => {
  tab.getToken({ reason: null });
  await person.answer("bad");
  tab.refuse("token_invalid");
  const next = tab.getToken({ reason: null });
  await person.answer("good");
  expect(await next).toBe("good");
  expect(person.asked.at(-1)).toEqual(["token_invalid", false]);
  forgetToken();
  tab.getToken({ reason: null });
  expect(person.asked.at(-1)).toEqual([null, false]);
});

test("before it ends another one is only offered", async () => {
  const next = tab.getToken({ reason: "token_expiring" });
  expect(person.asked).toEqual([]);
  person.offered[0]();
  expect(person.offered).toEqual([]);
  expect(person.asked).toEqual([["token_expiring", true]]);
  await person.answer("new");
  expect(await next).toBe("new");
});

test("who does not want to now is offered it again", async () => {
  const next = tab.getToken({ reason: "token_expiring" });
  person.offered[0]();
  await person.answer(null);
  await vi.waitFor(() => expect(person.offered).toHaveLength(1));
  person.offered[0]();
  await person.answer("new");
  expect(await next).toBe("new");
});

test("when it has ended nobody waits for an offer", async () => {
  const next = tab.getToken({ reason: "token_expiring" });
  tab.expire();
  tab.expire();
  expect(person.offered).toEqual([]);
  expect(person.asked).toEqual([["token_expired", false]]);
  await person.answer("new");
  expect(await next).toBe("new");
  tab.expire();
  expect(person.asked).toHaveLength(1);
});
