import assert from "node:assert/strict";
import { BroadcastChannel } from "node:worker_threads";
import { afterEach, beforeEach, describe, test, vi } from "vitest";

import { Connection } from "../client/connection.js";
import { SharedConnection, canShare, shareTabs } from "../client/tabs.js";
import { Tokens } from "../client/token.js";
import { C, D, FakeClock, settle } from "./fakes.js";
import { FakeSocket } from "./socket.js";

/** The Web Locks of one browser, whose tabs may die: `of` is what one of them sees. */
class Locks {
  #held = [];
  #queue = [];

  of(tab) {
    return {
      request: (name, options, run) => new Promise((...settled) => this.#ask({ tab, name, run, settled, ...options })),
    };
  }

  /** Names of what is held or waited for. */
  get names() {
    return [...this.#held, ...this.#queue].map(({ name }) => name);
  }

  /** Of whom nothing more will be heard. */
  kill(tab) {
    this.#held = this.#held.filter((lock) => lock.tab !== tab);
    this.#queue = this.#queue.filter((lock) => lock.tab !== tab);
    this.#grant();
  }

  #ask(lock) {
    assert.ok(!(lock.steal && lock.signal), "as browsers do");
    lock.signal?.addEventListener("abort", () => {
      if (this.#remove("queue", lock)) lock.settled[1](lock.signal.reason);
    });
    if (lock.steal) {
      const robbed = this.#held.filter(({ name }) => name === lock.name);
      this.#held = this.#held.filter(({ name }) => name !== lock.name);
      // Whoever is robbed is told last: after whatever was said to him meanwhile.
      for (const { tab, settled } of robbed)
        tab.later(() => tab.later(() => settled[1](new DOMException("stolen", "AbortError"))));
      this.#queue.unshift(lock);
    } else {
      this.#queue.push(lock);
    }
    this.#grant();
  }

  #grant() {
    for (const lock of [...this.#queue]) {
      const others = [...this.#held, ...this.#queue.slice(0, this.#queue.indexOf(lock))].filter(
        ({ name }) => name === lock.name,
      );
      if (others.some(({ mode }) => mode !== "shared" || lock.mode !== "shared")) continue;
      this.#remove("queue", lock);
      this.#held.push(lock);
      lock.tab.later(async () => {
        await lock.run();
        if (this.#remove("held", lock)) lock.settled[0]();
        this.#grant();
      });
    }
  }

  #remove(from, lock) {
    const locks = from === "held" ? this.#held : this.#queue;
    const index = locks.indexOf(lock);
    if (index >= 0) locks.splice(index, 1);
    return index >= 0;
  }
}

/** One tab: what happens to it waits while it is frozen, and never comes once it is dead. */
class Tab {
  static all = [];
  heard = [];
  wires = [];
  hellos = [];
  states = [];
  reasons = [];
  /** What others say meanwhile is lost, as in a page that its debugger holds. */
  isDeaf = false;
  #state = "runs";
  #waiting = [];
  #channels = new Set();

  constructor({ userId = 1, ...more } = {}) {
    const tab = this;
    Tab.all.push(this);
    this.line = new SharedConnection({
      url: "http://here/",
      userId,
      tokens: new Tokens(async ({ reason }) => (this.reasons.push(reason), `token${Tab.all.indexOf(this)}`)),
      WebSocket: FakeSocket,
      clock: { now: () => clock.now() + slept, after: (ms, run) => clock.after(ms, () => this.later(run)) },
      random: () => 1,
      locks: locks.of(this),
      BroadcastChannel: class extends BroadcastChannel {
        constructor(name) {
          super(name);
          tab.#channels.add(this);
        }
        set onmessage(listener) {
          super.onmessage = ({ data }) => !tab.isDeaf && tab.later(() => tab.#channels.has(this) && listener({ data }));
        }
        close() {
          tab.#channels.delete(this);
          super.close();
        }
      },
      ...more,
    });
    this.line.onopen = (hello) => {
      this.hellos.push(hello.connection_id);
      this.heard.push("open");
    };
    this.line.onclose = () => this.heard.push("close");
    this.line.onstatus = ({ state }) => this.states.push(state);
    this.line.onframe = (frame) => this.heard.push(frame);
    this.line.onwire = (direction, { type }) => this.wires.push(`${direction} ${type}`);
  }

  get state() {
    return [this.line.status.state, this.line.status.reason];
  }

  get open() {
    return this.#channels.size;
  }

  later(run) {
    if (this.#state === "runs") setImmediate(() => (this.#state === "runs" ? run() : this.later(run)));
    else if (this.#state === "frozen") this.#waiting.push(run);
  }

  freeze() {
    this.#state = "frozen";
  }

  thaw() {
    this.#state = "runs";
    for (const run of this.#waiting.splice(0)) this.later(run);
  }

  /** As a tab is closed, or crashes: without a word. */
  die() {
    this.#state = "dead";
    locks.kill(this);
    for (const channel of this.#channels) channel.close();
  }
}

const SCOPE = "messenger.v1:http://here/ws/1";

let clock;
let locks;
// What the machine slept while timers stood still, milliseconds.
let slept;

beforeEach(() => {
  slept = 0;
  FakeSocket.all = [];
  Tab.all = [];
  clock = new FakeClock();
  locks = new Locks();
});

afterEach(async () => {
  for (const tab of Tab.all) tab.die();
});

/** Wait for something that comes by itself; the channel is a real one. */
async function until(what) {
  for (let i = 0; i < 1000; i += 1) {
    if (what()) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.fail(`in vain: ${what}`);
}

/** Let so much time pass, and with it everything that is said. */
async function pass(ms) {
  for (let passed = 0; passed < ms; passed += 500) {
    await clock.pass(500);
    await quiet();
  }
}

/** Until whatever is said between tabs has been heard. */
async function quiet() {
  const [here, there] = [new BroadcastChannel("quiet"), new BroadcastChannel("quiet")];
  for (let round = 0; round < 4; round += 1) {
    await new Promise((resolve) => {
      there.onmessage = resolve;
      here.postMessage(round);
    });
    await settle();
  }
  here.close();
  there.close();
}

async function tabs(count, options) {
  const all = [];
  for (let i = 0; i < count; i += 1) {
    all.push(new Tab(options));
    all.at(-1).line.start();
    await quiet();
  }
  return all;
}

let connections = 0;
async function greeted(...all) {
  await until(() => FakeSocket.last?.onmessage);
  FakeSocket.last.hello({ connection_id: ++connections });
  await until(() => all.every(({ line }) => line.online));
}

/** Some tabs, the first of which leads, online. */
async function together(count, options) {
  const all = await tabs(count, options);
  await greeted(...all);
  await quiet();
  for (const tab of all) tab.heard = [];
  return all;
}

const conversation = (id) => ({ conversation_id: id });
const frames = (tab) => tab.heard.filter((what) => typeof what === "object");

describe("several tabs", () => {
  test("are one socket, and all are told the hello and what becomes of it", async () => {
    const all = await tabs(3);
    assert.deepEqual(
      all.map((tab) => tab.state),
      Array(3).fill(["connecting", null]),
    );
    await greeted(...all);
    assert.deepEqual([FakeSocket.all.length, all.map(({ reasons }) => reasons.length)], [1, [1, 0, 0]]);
    FakeSocket.last.end(1013, "overloaded");
    await until(() => all.every(({ heard }) => heard.includes("close")));
    assert.deepEqual(
      all.map(({ line }) => line.status),
      Array(3).fill({ state: "waiting", reason: "overloaded", retryAt: clock.now() + 4000 }),
    );
    await pass(4_000);
    await greeted(...all);
    assert.deepEqual(
      all.map(({ heard }) => heard),
      Array(3).fill(["open", "close", "open"]),
    );
  });

  test("one that comes later is told the hello, and every frame after it", async () => {
    const [first] = await together(1);
    const late = new Tab();
    late.line.start();
    for (let number = 1; !late.line.online; number += 1) {
      FakeSocket.last.receive({ type: "n", number });
      await new Promise((resolve) => setImmediate(resolve));
    }
    const from = frames(first).at(-1).number;
    FakeSocket.last.receive({ type: "n", number: from + 1 });
    await until(() => frames(late).at(-1)?.number === from + 1);
    assert.equal(late.hellos[0], first.hellos[0]);
    const numbers = frames(late).map(({ number }) => number);
    assert.equal(late.heard[0], "open");
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => numbers[0] + index),
      "without a hole",
    );
    assert.equal(numbers.at(-1), from + 1);
  });

  test("one that comes in the moment of the hello is told it once", async () => {
    for (let moment = 0; moment < 30; moment += 1) {
      const userId = 100 + moment;
      await tabs(1, { userId });
      await until(() => FakeSocket.last.onmessage);
      const late = new Tab({ userId });
      late.line.start();
      for (let i = 0; i < moment; i += 1) await new Promise((resolve) => setImmediate(resolve));
      FakeSocket.last.hello();
      await until(() => late.line.online);
      await quiet();
      assert.deepEqual(late.heard, ["open"]);
    }
  });

  test("hear what nobody asked for, in its order, and each its own answers alone, as it asked", async () => {
    const [first, second, third] = await together(3);
    first.line.send({ type: "history", ref: "r.1" });
    second.line.send({ type: "history", ref: "r.1" });
    second.line.send({ type: "typing.start" });
    await until(() => FakeSocket.last.sent.length === 3);
    const refs = FakeSocket.last.sent.map(({ ref }) => ref);
    assert.equal(new Set(refs).size, 3);
    FakeSocket.last.receive({ type: "a" });
    FakeSocket.last.receive({ type: "history", for: "first", ref: refs[0] });
    FakeSocket.last.receive({ type: "history", for: "second", ref: refs[1] });
    FakeSocket.last.receive({ type: "error", code: "rate_limited", ref: refs[2] });
    FakeSocket.last.receive({ type: "b" });
    await until(() => second.heard.length === 4);
    assert.deepEqual(first.heard, [{ type: "a" }, { type: "history", for: "first", ref: "r.1" }, { type: "b" }]);
    assert.deepEqual(second.heard, [
      { type: "a" },
      { type: "history", for: "second", ref: "r.1" },
      { type: "error", code: "rate_limited" },
      { type: "b" },
    ]);
    assert.deepEqual(third.heard, [{ type: "a" }, { type: "b" }]);
  });

  test("send nothing before the hello", async () => {
    const all = await tabs(2);
    assert.deepEqual(
      all.map(({ line }) => line.send({ type: "a" })),
      [false, false],
    );
    await greeted(...all);
    await quiet();
    assert.deepEqual(FakeSocket.last.sent, []);
  });

  test("one that is alone says nothing of what it hears", async () => {
    const listener = new BroadcastChannel(SCOPE);
    const words = [];
    listener.onmessage = ({ data }) => words.push(data.is);
    const [, second] = await together(2);
    second.line.stop();
    await quiet();
    words.length = 0;
    FakeSocket.last.receive({ type: "a" });
    await quiet();
    listener.close();
    assert.deepEqual(words, []);
  });

  test("refs stay short enough for the server", async () => {
    const [first] = await together(1);
    first.line.send({ type: "message.send", ref: `o.${crypto.randomUUID()}` });
    assert.ok(FakeSocket.last.sent[0].ref.length <= 64);
  });

  test("all see the wire, each frame once", async () => {
    const [first, second] = await together(2);
    for (const tab of [first, second]) tab.wires = [];
    second.line.send({ type: "history", ref: "r.1" });
    await until(() => FakeSocket.last.sent.length === 1);
    FakeSocket.last.receive({ type: "history", ref: FakeSocket.last.sent[0].ref });
    FakeSocket.last.receive({ type: "message.new" });
    await until(() => second.wires.length === 3);
    const all = ["out history", "in history", "in message.new"];
    assert.deepEqual([first.wires, second.wires], [all, all]);
  });

  test("a frame may hold whatever JSON may be made of", async () => {
    const [, second] = await together(2);
    second.line.send({ type: "message.send", metadata: new Proxy({ a: 1 }, {}), at: new Date(0), gone: undefined });
    await until(() => FakeSocket.last.sent.length === 1);
    const { metadata, at } = FakeSocket.last.sent[0];
    assert.deepEqual([metadata, at], [{ a: 1 }, "1970-01-01T00:00:00.000Z"]);
  });

  describe("one that has missed something begins as after a lost connection", () => {
    let second;
    let third;

    beforeEach(async () => {
      [, second, third] = await together(3);
      second.isDeaf = true;
      FakeSocket.last.receive({ type: "missed" });
      await until(() => third.heard.length === 1);
    });

    const again = () => (second.isDeaf = false);

    test("as soon as it is told anything; what comes before the hello is part of what was missed", async () => {
      again();
      for (const type of ["a", "b"]) FakeSocket.last.receive({ type });
      await until(() => second.line.online && second.heard.length === 2);
      FakeSocket.last.receive({ type: "c" });
      await until(() => second.heard.length === 3);
      assert.deepEqual(second.heard, ["close", "open", { type: "c" }]);
      assert.deepEqual(
        third.heard,
        [{ type: "missed" }, { type: "a" }, { type: "b" }, { type: "c" }],
        "and nobody else does",
      );
      assert.equal(locks.names.filter((name) => name !== SCOPE).length, 5, "is waited for once");
    });

    test("or asks", async () => {
      again();
      second.line.nudge();
      await until(() => second.heard.length === 2);
      assert.deepEqual(second.heard, ["close", "open"]);
    });

    test("also where it was a lost connection", async () => {
      FakeSocket.last.end(1006);
      await pass(500);
      again();
      await greeted(third);
      await until(() => second.heard.length === 2);
      assert.deepEqual([second.heard, second.hellos.at(-1)], [["close", "open"], third.hellos.at(-1)]);
    });
  });

  test("of different people, or at different daemons, have nothing to do with each other", async () => {
    const [one] = await tabs(1, { userId: 1 });
    const [two] = await tabs(1, { userId: 2 });
    const [three] = await tabs(1, { url: "http://there/" });
    await until(() => FakeSocket.all.length === 3);
    FakeSocket.all[0].hello();
    await until(() => one.line.online);
    await quiet();
    assert.deepEqual(
      [two.state, three.state],
      [
        ["connecting", null],
        ["connecting", null],
      ],
    );
  });
});

describe("following a conversation", () => {
  const sent = (type) => FakeSocket.last.of(type).map(({ conversation_id }) => conversation_id);

  test("everyone that begins gets his own answer; the server hears of the last one that ends", async () => {
    const [first, second] = await together(2);
    first.line.send({ type: "subscribe", ...conversation(C), ref: "r.1" });
    second.line.send({ type: "subscribe", ...conversation(C), ref: "r.1" });
    await until(() => sent("subscribe").length === 2);

    second.line.send({ type: "unsubscribe", ...conversation(C), ref: "r.2" });
    await until(() => second.heard.length === 1);
    assert.deepEqual(second.heard, [{ type: "unsubscribed", ...conversation(C), ref: "r.2" }]);
    assert.deepEqual(sent("unsubscribe"), []);
    first.line.send({ type: "unsubscribe", ...conversation(C), ref: "r.2" });
    assert.deepEqual(sent("unsubscribe"), [C]);
  });

  test("one who asks twice follows once", async () => {
    const [first] = await together(1);
    for (let i = 0; i < 2; i += 1) first.line.send({ type: "subscribe", ...conversation(C) });
    first.line.send({ type: "unsubscribe", ...conversation(C) });
    assert.deepEqual(sent("unsubscribe"), [C]);
  });

  test.for(["die", "stop"])("a tab that is gone (%s) follows no more", async (how) => {
    const [first, second, third] = await together(3);
    for (const [tab, id] of [
      [first, C],
      [second, C],
      [second, D],
      [third, C],
    ])
      tab.line.send({ type: "subscribe", ...conversation(id) });
    await until(() => sent("subscribe").length === 4);
    if (how === "die") second.die();
    else second.line.stop();
    await until(() => sent("unsubscribe").length === 1);
    assert.deepEqual(sent("unsubscribe"), [D]);
    third.line.send({ type: "unsubscribe", ...conversation(C) });
    await quiet();
    first.line.send({ type: "unsubscribe", ...conversation(C) });
    assert.deepEqual(sent("unsubscribe"), [D, C]);
    third.line.stop();
    await quiet();
    assert.deepEqual(sent("unsubscribe"), [D, C]);
  });

  test("a new connection has no followers yet", async () => {
    const [first] = await together(1);
    first.line.send({ type: "subscribe", ...conversation(C) });
    FakeSocket.last.end(1006);
    await pass(500);
    await greeted(first);
    const second = new Tab();
    second.line.start();
    await until(() => second.line.online);
    second.line.send({ type: "subscribe", ...conversation(C) });
    await until(() => sent("subscribe").length === 1);
    second.line.send({ type: "unsubscribe", ...conversation(C) });
    await until(() => sent("unsubscribe").length === 1);
  });
});

describe("a leader", () => {
  test("that dies is followed by the next one; the others lose their connection, and get its", async () => {
    const [first, second, third] = await together(3);
    const [socket] = FakeSocket.all;
    first.die();
    socket.close();
    await until(() => FakeSocket.all.length === 2);
    await until(() => third.heard.includes("close"));
    assert.deepEqual(
      [second.heard, third.heard, second.state, third.state],
      [["close"], ["close"], ["connecting", null], ["connecting", null]],
    );
    await greeted(second, third);
    third.line.send({ type: "history", ref: "r.1" });
    await until(() => FakeSocket.last.sent.length === 1);
    assert.deepEqual([FakeSocket.open.length, second.heard, third.heard], [1, ["close", "open"], ["close", "open"]]);
  });

  test.for(["stop", "suspend"])("that leaves (%s) gives its place away", async (how) => {
    const [first, second, third] = await together(3);
    const [socket] = FakeSocket.all;
    first.line[how]();
    assert.equal(socket.readyState, 3);
    await greeted(second, third);
    assert.deepEqual([second.heard, third.heard, FakeSocket.open.length], [["close", "open"], ["close", "open"], 1]);
    assert.deepEqual(first.state, how === "stop" ? ["stopped", null] : ["waiting", "suspended"]);
    assert.deepEqual(first.states, ["connecting", "online", first.state[0]]);
    for (const tab of [second, third]) assert.deepEqual(tab.states, ["connecting", "online", "connecting", "online"]);
    first.line.nudge();
    await quiet();
    assert.equal(FakeSocket.open.length, 1);
    first.line[how === "stop" ? "start" : "resume"]();
    await until(() => first.line.online);
    assert.deepEqual([first.heard, FakeSocket.all.length], [["close", "open"], 2]);
  });

  test("that the server stops, stops them all; whoever begins anew does so at once", async () => {
    const all = await together(3);
    FakeSocket.last.end(1008, "revoked");
    await until(() => all.every(({ state: [state] }) => state === "stopped"));
    assert.deepEqual(
      all.map(({ state, heard }) => [state, heard]),
      Array(3).fill([["stopped", "revoked"], ["close"]]),
    );
    await pass(2_000);
    assert.deepEqual([FakeSocket.all.length, locks.names, clock.pending], [1, [], 0]);
    all[2].line.start();
    await greeted(all[2]);
    assert.deepEqual(all[2].reasons, [null]);
    all[0].line.start();
    await until(() => all[0].line.online);
    assert.equal(FakeSocket.all.length, 2);
  });

  test("that was stopped says nothing to whoever begins anew before its place is free", async () => {
    const [, second] = await together(2);
    FakeSocket.last.end(1008, "revoked");
    await until(() => second.state[0] === "stopped");
    second.line.start();
    await quiet();
    assert.deepEqual([second.state, FakeSocket.all.length], [["connecting", null], 1]);
    await pass(1_000);
    await greeted(second);
  });

  test("that was stopped and begins anew does not wait for itself", async () => {
    const [first, second] = await together(2);
    FakeSocket.last.end(1008, "token_invalid");
    await until(() => second.state[0] === "stopped");
    first.line.start();
    await greeted(first);
    assert.deepEqual(first.reasons, [null, null]);
  });

  test("that is frozen is robbed by who is looked at, and follows once it thaws", async () => {
    const [first, second, third] = await together(3);
    const [socket] = FakeSocket.all;
    first.freeze();
    for (let i = 0; i < 4; i += 1) {
      second.line.nudge();
      await pass(1_000);
    }
    assert.deepEqual([FakeSocket.all.length, second.heard], [2, ["close"]]);
    await greeted(second, third);
    FakeSocket.last.receive({ type: "a" });
    await until(() => third.heard.length === 3);
    third.line.send({ type: "to the second" });
    await until(() => FakeSocket.last.sent.length === 1);

    // What came to its socket since: nobody follows it any more.
    socket.receive({ type: "stale" });
    first.thaw();
    await until(() => socket.readyState === 3);
    await until(() => first.line.online);
    FakeSocket.last.receive({ type: "b" });
    await until(() => first.heard.at(-1).type === "b");
    const [, close, open] = first.heard;
    assert.deepEqual([close, open], ["close", "open"]);
    for (const tab of [second, third]) assert.deepEqual(tab.heard, ["close", "open", { type: "a" }, { type: "b" }]);
    await pass(10_000);
    assert.deepEqual([FakeSocket.all.length, FakeSocket.open.length, socket.of("to the second")], [2, 1, []]);
  });

  test("that is frozen does not hide from the next one that somebody died", async () => {
    const [first, second, third] = await together(3);
    first.freeze();
    second.line.nudge();
    await pass(4_000);
    await greeted(second, third);
    third.line.send({ type: "subscribe", ...conversation(C) });
    await until(() => FakeSocket.last.of("subscribe").length === 1);
    third.die();
    await until(() => FakeSocket.last.of("unsubscribe").length === 1);
  });

  test("is not robbed by who slept over its answer", async () => {
    const [first, second] = await together(2);
    first.freeze();
    second.line.nudge();
    slept += 3_600_000;
    await pass(4_000);
    first.thaw();
    await quiet();
    FakeSocket.last.receive({ type: "pong" });
    await pass(3_000);
    assert.deepEqual([second.heard, FakeSocket.all.length], [[{ type: "pong" }], 1]);
  });

  test("that is frozen is noticed by its silence", async () => {
    const [first, second] = await together(2);
    first.freeze();
    await pass(20_000);
    await greeted(second);
    assert.equal(FakeSocket.all.length, 2);
  });

  test("that is frozen is noticed by who wants to send something", async () => {
    const [first, second] = await together(2);
    first.freeze();
    await pass(4_500);
    assert.equal(second.line.send({ type: "message.send" }), true, "as far as one can know");
    await pass(4_000);
    assert.equal(FakeSocket.all.length, 2);
  });

  test("that is merely quiet, or has no connection, is not robbed", async () => {
    const [, second] = await together(2);
    await pass(24_000);
    assert.deepEqual(second.heard, []);
    FakeSocket.last.end(1006);
    await pass(60_000);
    assert.deepEqual(second.heard, ["close"]);
    assert.equal(FakeSocket.open.length, 1);
  });

  test("is not robbed by who is out of sight, but as soon as he is looked at", async () => {
    const [first] = await together(1);
    const page = { hidden: true };
    const window = new EventTarget();
    vi.stubGlobal("document", page);
    vi.stubGlobal("window", window);
    const [second] = await tabs(1);
    await until(() => second.line.online);
    first.freeze();
    await pass(60_000);
    assert.deepEqual([second.heard, FakeSocket.all.length], [["open"], 1]);
    page.hidden = false;
    window.dispatchEvent(new Event("visibilitychange"));
    await pass(4_000);
    assert.equal(FakeSocket.all.length, 2);
  });

  test("that is about to be frozen gives its place away, and comes back when it thaws", async () => {
    const window = new EventTarget();
    vi.stubGlobal("window", window);
    const [first] = await together(1);
    vi.stubGlobal("window", undefined);
    const [second] = await tabs(1);
    await until(() => second.line.online);
    window.dispatchEvent(new Event("freeze"));
    assert.deepEqual([first.heard, first.state, first.open, FakeSocket.open], [["close"], ["connecting", null], 0, []]);
    await greeted(second);
    assert.deepEqual([second.heard, FakeSocket.all.length], [["open", "close", "open"], 2]);
    window.dispatchEvent(new Event("resume"));
    await until(() => first.line.online);
    assert.deepEqual([first.heard, FakeSocket.all.length], [["close", "open"], 2]);
    first.line.stop();
    window.dispatchEvent(new Event("resume"));
    assert.deepEqual(first.state, ["stopped", null]);
  });

  test("to which the lock fell while it was frozen is passed over", async () => {
    const [first, second, third, fourth] = await together(4);
    second.freeze();
    first.die();
    FakeSocket.last.close();
    third.line.nudge();
    await pass(4_000);
    await greeted(third, fourth);
    assert.equal(FakeSocket.all.length, 2);
    const [socket] = FakeSocket.open;
    // It thinks for a moment that it leads.
    second.thaw();
    await quiet();
    for (const tab of [second, third, fourth]) await until(() => tab.line.online);
    await pass(5_000);
    assert.deepEqual([FakeSocket.open, third.heard], [[socket], ["close", "open"]]);
    socket.receive({ type: "a" });
    for (const tab of [second, third, fourth]) await until(() => tab.heard.at(-1).type === "a");
  });

  test("is nudged by the others' surroundings, but for a network that went", async () => {
    await together(1);
    const window = new EventTarget();
    vi.stubGlobal("window", window);
    const [second] = await tabs(1);
    await until(() => second.line.online);
    window.dispatchEvent(new Event("offline"));
    await quiet();
    assert.deepEqual(FakeSocket.last.sent, []);
    window.dispatchEvent(new Event("online"));
    await until(() => FakeSocket.last.of("ping").length === 1);
    FakeSocket.last.end(1006);
    await until(() => second.state[0] === "waiting");
    second.line.nudge();
    await until(() => FakeSocket.all.length === 2);
  });
});

describe("nothing is left behind", () => {
  test("by a tab that stops: no lock, channel or timer", async () => {
    const all = await together(2);
    for (let i = 0; i < 3; i += 1) all[1].line.nudge();
    for (const { line } of all) line.stop();
    await quiet();
    assert.deepEqual(
      [locks.names, all.map(({ open }) => open), clock.pending, FakeSocket.open.length],
      [[], [0, 0], 0, 0],
    );
  });

  test("by one that stops before it has begun", async () => {
    const tab = new Tab();
    tab.line.start();
    tab.line.stop();
    await quiet();
    assert.deepEqual([locks.names, tab.open, clock.pending, FakeSocket.all.length], [[], 0, 0, 0]);
  });

  test("StrictMode makes one socket", async () => {
    const tab = new Tab();
    tab.line.start();
    tab.line.stop();
    tab.line.start();
    await greeted(tab);
    assert.deepEqual([FakeSocket.all.length, tab.reasons], [1, [null]]);
  });
});

describe("where tabs cannot share", () => {
  const parts = { url: "http://here/", tokens: new Tokens(), WebSocket: FakeSocket };

  test("everybody has a connection of his own", () => {
    vi.stubGlobal("navigator", {});
    assert.equal(canShare(), false);
    assert.ok(shareTabs({ ...parts, userId: 1 }) instanceof Connection);
    vi.stubGlobal("navigator", { locks: {} });
    assert.equal(canShare(), true);
    assert.ok(shareTabs({ ...parts, userId: 1 }) instanceof SharedConnection);
    assert.ok(shareTabs({ ...parts, userId: "me" }) instanceof Connection);
  });

  test("because locks are forbidden, everybody leads himself", async () => {
    const tab = new Tab({ locks: { request: () => Promise.reject(new DOMException("no storage", "SecurityError")) } });
    tab.line.start();
    await greeted(tab);
    tab.line.send({ type: "a" });
    assert.equal(FakeSocket.last.sent.length, 1);
  });
});
