import assert from "node:assert/strict";
import { beforeEach, describe, test, vi } from "vitest";

import { C, MemoryStorage, settle } from "./fakes.js";
import { clock, device } from "./stage.js";

/** Web Locks, as far as they are used: exclusive ones, and `ifAvailable`. */
class Locks {
  #held = new Set();

  async request(name, ...[options, run = options]) {
    if (this.#held.has(name) && options.ifAvailable) return run(null);
    while (this.#held.has(name)) await settle();
    this.#held.add(name);
    try {
      return await run({ name });
    } finally {
      this.#held.delete(name);
    }
  }
}

let storage;

beforeEach(() => {
  storage = new MemoryStorage();
  vi.stubGlobal("navigator", { locks: new Locks() });
});

const page = (options = {}) => device({ storage, ...options });
const sends = ({ transport }) => transport.of("message.send").map(({ content }) => content);

/** A page that was online, and is not when it writes. */
async function left(...contents) {
  const one = page();
  await one.transport.open();
  await settle();
  one.client.suspend();
  for (const content of contents) one.client.send(C, content, { metadata: { of: content } });
  return one;
}

async function come(one = page()) {
  await one.transport.open();
  await settle();
  return one;
}

describe("what was not sent when a page went", () => {
  test("is there in the next one as it was, and sent before what that one writes", async () => {
    const before = await left("one", "two");
    const keys = before.client.conversation(C).messages.map(({ key }) => key);
    before.client.stop();
    await clock.pass(10);
    const next = page();
    next.client.send(C, "three");
    await come(next);
    const rows = next.client.conversation(C).messages;
    assert.deepEqual(
      rows.map(({ content, state }) => [content, state]),
      [
        ["one", "pending"],
        ["two", "pending"],
        ["three", "pending"],
      ],
    );
    assert.deepEqual([rows[0].key, rows[1].key, rows[1].metadata], [...keys, { of: "two" }]);
    const [{ client_id, metadata }, ...more] = next.transport.of("message.send");
    assert.deepEqual([client_id, metadata, more], [keys[0], { of: "one" }, []]);
  });

  test("is left alone while that page lives", async () => {
    const first = await left("one");
    const second = await come();
    assert.deepEqual([sends(second), second.client.conversation(C).messages], [[], []]);
    first.client.stop();
    await settle();
    second.transport.lose();
    await come(second);
    assert.deepEqual(sends(second), ["one"]);
  });

  test("is taken by one of those who come at the same time", async () => {
    const first = await left("one");
    first.client.stop();
    await settle();
    const others = [page(), page()];
    await Promise.all(others.map(come));
    assert.deepEqual(others.flatMap(sends), ["one"]);
  });

  test("is taken by whoever comes, where there are no locks", async () => {
    vi.stubGlobal("navigator", {});
    await left("one");
    assert.deepEqual(sends(await come()), ["one"]);
  });

  test("is kept no longer than it is needed", async () => {
    const one = await come();
    const [key, other] = [one.client.send(C, "one"), one.client.send(C, "two")];
    assert.equal(storage.length, 2);
    one.transport.receive({
      type: "error",
      code: "forbidden",
      message: "No",
      ref: one.transport.of("message.send")[0].ref,
    });
    assert.equal(storage.length, 2, "what was refused can be tried again after a reload");
    one.client.discard(key);
    one.client.discard(other);
    assert.equal(storage.length, 0);
  });

  test("is nobody else's, and nothing else is touched", async () => {
    storage.setItem("theme", "dark");
    const first = await left("one");
    storage.setItem(`${storage.key(1)}torn`, '{"owner":');
    first.client.stop();
    await settle();
    const other = page({ userId: 2 });
    await other.transport.open({ userId: 2 });
    await settle();
    const elsewhere = await come(page({ url: "http://other.example/" }));
    assert.deepEqual([sends(other), sends(elsewhere)], [[], []]);
    assert.deepEqual([storage.length, storage.getItem("theme")], [3, "dark"]);
    assert.deepEqual(sends(await come()), ["one"]);
  });

  test("goes with its page where there is no room for it, and is sent all the same", async () => {
    storage.setItem = () => {
      throw new DOMException("full", "QuotaExceededError");
    };
    const one = await come();
    one.client.send(C, "one");
    assert.deepEqual([sends(one), storage.length], [["one"], 0]);
  });
});
