import assert from "node:assert/strict";
import { beforeEach, describe, test, vi } from "vitest";

import { backoff, verdict } from "../client/backoff.js";
import { Connection } from "../client/connection.js";
import { Tokens } from "../client/token.js";
import { FakeClock, settle } from "./fakes.js";
import { FakeSocket } from "./socket.js";

let clock;
let connection;
let heard;
// What the machine slept while our timers stood still, milliseconds.
let slept;

beforeEach(() => {
  FakeSocket.all = [];
  clock = new FakeClock();
  slept = 0;
  make();
});

function make({ getToken, ...more } = {}) {
  heard = [];
  connection = new Connection({
    url: "https://chat.example.org/here",
    userId: "ann/1",
    tokens: new Tokens(getToken),
    WebSocket: FakeSocket,
    clock: { now: () => clock.now() + slept, after: clock.after },
    random: () => 1,
    ...more,
  });
  connection.onopen = () => heard.push("open");
  connection.onclose = () => heard.push("close");
  connection.onframe = (frame) => heard.push(frame.type);
}

async function online(hello) {
  connection.start();
  await settle();
  FakeSocket.last.hello(hello);
}

const state = () => [connection.status.state, connection.status.reason];

describe("the course of a connection", () => {
  test("is online with the hello, hands frames on in order, and is told closed once", async () => {
    await online();
    FakeSocket.last.receive({ type: "a" });
    FakeSocket.last.receive({ type: "b" });
    FakeSocket.last.end(1006);
    assert.deepEqual(heard, ["open", "a", "b", "close"]);
    assert.deepEqual(state(), ["waiting", "lost"]);
  });

  test("goes to the user's address below the daemon's, with the device's name", async () => {
    await online();
    const { href, searchParams } = new URL(FakeSocket.last.url);
    assert.match(href, /^wss:\/\/chat\.example\.org\/here\/ws\/ann%2F1\?device=/);
    assert.match(searchParams.get("device"), /^[A-Za-z0-9._-]{1,64}$/);
    assert.deepEqual(FakeSocket.last.protocols, ["messenger.v1"]);
  });

  test("is the same device when it comes back, and another connection another one", async () => {
    await online();
    FakeSocket.last.end(1006);
    await clock.pass(500);
    make();
    await online();
    const [first, again, other] = FakeSocket.all.map(({ url }) => url);
    assert.equal(again, first);
    assert.notEqual(other, first);
  });

  test("sends nothing before the hello", async () => {
    connection.start();
    await settle();
    assert.equal(connection.send({ type: "ping" }), false);
    FakeSocket.last.hello();
    assert.equal(connection.send({ type: "ping" }), true);
  });

  test("a socket without a hello is given up after 10 s", async () => {
    connection.start();
    await clock.pass(10_000);
    assert.deepEqual([state(), heard], [["waiting", "no_hello"], []]);
  });

  test("what is no JSON is passed over", async () => {
    await online();
    FakeSocket.last.onmessage({ data: "{" });
    FakeSocket.last.receive({ type: "a" });
    assert.deepEqual(heard, ["open", "a"]);
  });

  test("nothing comes from a socket that was stopped, nothing is left of it, and start begins anew", async () => {
    await online();
    const old = FakeSocket.last;
    connection.stop();
    old.receive({ type: "late" });
    old.end(1006);
    assert.deepEqual([heard, state(), clock.pending, old.readyState], [["open", "close"], ["stopped", null], 0, 3]);
    await online();
    assert.deepEqual(state(), ["online", null]);
  });

  test("stopped and started at once, as StrictMode does, is one socket and one question for a token", async () => {
    const reasons = [];
    make({ getToken: async ({ reason }) => (reasons.push(reason), "token") });
    connection.start();
    connection.stop();
    connection.start();
    await settle();
    assert.deepEqual([FakeSocket.all.length, reasons], [1, [null]]);
  });

  test("the status is the same object until it changes", async () => {
    await online();
    const { status } = connection;
    connection.start();
    connection.nudge();
    connection.resume();
    assert.equal(connection.status, status);
    connection.stop();
    const stopped = connection.status;
    connection.stop();
    assert.equal(connection.status, stopped);
  });

  test("whoever stops it when it is online hears no more of it", async () => {
    connection.onstatus = ({ state }) => state === "online" && connection.stop();
    await online();
    FakeSocket.last.receive({ type: "a" });
    assert.deepEqual([heard, state()], [["close"], ["stopped", null]]);
  });

  test("a page that forbids the connection stops it", async () => {
    make({
      WebSocket: class {
        constructor() {
          throw new DOMException("refused", "SecurityError");
        }
      },
    });
    connection.start();
    await settle();
    assert.deepEqual([state(), clock.pending], [["stopped", "blocked"], 0]);
  });
});

describe("coming back", () => {
  test("waits 0.5 s doubled for each failure, 30 s at most, with full jitter", () => {
    const most = [0, 1, 2, 5, 6, 40].map((failures) => backoff(failures, () => 1));
    assert.deepEqual(most, [500, 1000, 2000, 16_000, 30_000, 30_000]);
    assert.equal(
      backoff(6, () => 0),
      0,
    );
  });

  test("1012 is a random 0 to 5 s, and no failure", () => {
    assert.deepEqual(
      verdict(1012, "draining", 3, () => 0.5),
      { reason: "draining", failures: 3, delay: 2500 },
    );
  });

  test("1013 backs off as after three failures, and so does a frame that was too large", () => {
    assert.equal(verdict(1013, "overloaded", 0, () => 1).delay, 4000);
    assert.equal(verdict(1013, "overloaded", 5, () => 1).delay, 16_000);
    assert.deepEqual(
      verdict(1009, "frame_too_large", 0, () => 1),
      { reason: "frame_too_large", failures: 4, delay: 4000 },
    );
  });

  test("every 1008 stops for good, except where the token had expired", async () => {
    for (const reason of ["token_missing", "token_invalid", "user_mismatch", "revoked", "protocol_error"]) {
      make();
      await online();
      FakeSocket.last.end(1008, reason);
      await clock.pass(60_000);
      assert.deepEqual([state(), heard, clock.pending], [["stopped", reason], ["open", "close"], 0]);
    }
    assert.equal(FakeSocket.all.length, 5);
    connection.start();
    await settle();
    assert.equal(FakeSocket.all.length, 6);
  });

  test("failures add up until a connection has held for 5 s", async () => {
    await online();
    const waits = [];
    for (const uptime of [0, 0, 0, 5_000, 0]) {
      await clock.pass(uptime);
      FakeSocket.last.end(1006);
      waits.push(connection.status.retryAt - clock.now());
      await clock.pass(waits.at(-1));
      FakeSocket.last.hello();
    }
    assert.deepEqual(waits, [500, 1000, 2000, 500, 1000]);
    connection.stop();
    await online();
    FakeSocket.last.end(1006);
    assert.equal(connection.status.retryAt - clock.now(), 500, "nor do they outlive a stop");
  });

  test("a nudge ends the waiting", async () => {
    await online();
    FakeSocket.last.end(1006);
    connection.nudge();
    await settle();
    assert.equal(FakeSocket.all.length, 2);
    await clock.pass(9_000);
    assert.equal(FakeSocket.all.length, 2);
  });

  test("as somebody else is no coming back", async () => {
    await online({ user_id: 1 });
    FakeSocket.last.end(1006);
    await clock.pass(500);
    FakeSocket.last.hello({ user_id: 2 });
    assert.deepEqual(
      [state(), heard, FakeSocket.last.readyState],
      [["stopped", "user_mismatch"], ["open", "close"], 3],
    );
  });
});

describe("without a network", () => {
  test("nothing connects, whatever happens, until it is back", async () => {
    await online();
    connection.suspend();
    assert.deepEqual(connection.status, { state: "waiting", reason: "suspended", retryAt: null });
    assert.deepEqual(
      [heard, FakeSocket.last.readyState, connection.send({ type: "a" })],
      [["open", "close"], 3, false],
    );
    connection.nudge();
    connection.start();
    await clock.pass(60_000);
    assert.deepEqual([FakeSocket.all.length, clock.pending], [1, 0]);
    connection.resume();
    await settle();
    FakeSocket.last.hello();
    assert.deepEqual(
      [state(), heard],
      [
        ["online", null],
        ["open", "close", "open"],
      ],
    );
  });

  test("a start waits for it, a stop does not", async () => {
    connection.suspend();
    assert.deepEqual(state(), ["idle", null]);
    connection.start();
    await settle();
    assert.deepEqual([state(), FakeSocket.all.length], [["waiting", "suspended"], 0]);
    connection.stop();
    connection.resume();
    await settle();
    assert.deepEqual([state(), FakeSocket.all.length], [["stopped", null], 0]);
  });
});

describe("a dead socket", () => {
  test("is found out by a ping after a silent heartbeat, and given up 10 s later", async () => {
    await online();
    const socket = FakeSocket.last;
    await clock.pass(25_000);
    assert.deepEqual(socket.sent, [{ type: "ping" }]);
    await clock.pass(9_999);
    assert.deepEqual(state(), ["online", null]);
    await clock.pass(1);
    assert.deepEqual([heard, state(), socket.readyState], [["open", "close"], ["waiting", "silent"], 3]);
  });

  test("is alive if anything comes: no ping while frames do", async () => {
    await online();
    await clock.pass(20_000);
    FakeSocket.last.receive({ type: "a" });
    await clock.pass(20_000);
    assert.deepEqual(FakeSocket.last.sent, []);
    await clock.pass(5_000);
    assert.deepEqual(FakeSocket.last.sent, [{ type: "ping" }]);
    FakeSocket.last.receive({ type: "pong" });
    await clock.pass(10_000);
    assert.deepEqual(state(), ["online", null]);
  });

  test("has 4 s to prove itself when the surroundings changed, however often they do", async () => {
    await online();
    connection.nudge();
    await clock.pass(3_000);
    connection.nudge();
    await clock.pass(1_000);
    assert.deepEqual(state(), ["waiting", "silent"]);
  });

  test("is asked as soon as time has jumped, for timers stand still while a machine sleeps", async () => {
    await online();
    slept += 3_600_000;
    await clock.pass(5_000);
    assert.deepEqual(FakeSocket.last.sent, [{ type: "ping" }]);
    await clock.pass(4_000);
    assert.deepEqual(state(), ["waiting", "silent"]);
  });

  test("is asked once more where we slept over the answer", async () => {
    await online();
    await clock.pass(25_000);
    slept += 3_600_000;
    // The answer lies unread behind the timers.
    await clock.pass(10_000);
    FakeSocket.last.receive({ type: "pong" });
    await clock.pass(4_000);
    assert.deepEqual([state(), FakeSocket.last.sent.length], [["online", null], 2]);
  });

  test("in a tab whose timers come once a minute is given up all the same", async () => {
    make({
      clock: {
        now: clock.now,
        after: (ms, run) => clock.after(Math.ceil((clock.now() + ms) / 60_000) * 60_000 - clock.now(), run),
      },
    });
    await online();
    await clock.pass(240_000);
    assert.equal(heard[1], "close");
  });

  test("and a wait that time has jumped over is over", async () => {
    await online();
    for (let failures = 0; failures < 6; failures += 1) {
      FakeSocket.last.end(1006);
      await clock.pass(connection.status.retryAt - clock.now());
    }
    FakeSocket.last.end(1006);
    const { length } = FakeSocket.all;
    slept += 3_600_000;
    await clock.pass(5_000);
    assert.equal(FakeSocket.all.length, length + 1);
  });
});

describe("the surroundings", () => {
  // Events of the document come by its window.
  class Window extends EventTarget {
    listeners = new Set();
    addEventListener(type, listener, options) {
      assert.deepEqual(options, { capture: true });
      this.listeners.add(`${type} ${listener}`);
      super.addEventListener(type, listener, options);
    }
    removeEventListener(type, listener, options) {
      this.listeners.delete(`${type} ${listener}`);
      super.removeEventListener(type, listener, options);
    }
    happens(type) {
      this.dispatchEvent(new Event(type));
    }
  }
  let page;
  let window;

  beforeEach(() => {
    page = { hidden: false };
    window = new Window();
    vi.stubGlobal("document", page);
    vi.stubGlobal("window", window);
  });

  test("are listened to from start to stop, and by nobody after it", async () => {
    const count = () => window.listeners.size;
    assert.equal(count(), 0);
    await online();
    assert.equal(count(), 6);
    connection.stop();
    assert.equal(count(), 0);
    window.happens("online");
    assert.equal(FakeSocket.all.length, 1);
    await online();
    FakeSocket.last.end(1008, "revoked");
    assert.equal(count(), 0);
    connection.start();
    connection.suspend();
    assert.equal(count(), 0);
    connection.resume();
    assert.equal(count(), 6);
  });

  test.for(["online", "pageshow", "resume", "visibilitychange"])(
    "%s ends the waiting, and makes a socket prove itself",
    async (type) => {
      await online();
      FakeSocket.last.end(1006);
      window.happens(type);
      await settle();
      assert.equal(FakeSocket.all.length, 2);
      FakeSocket.last.hello();
      window.happens(type);
      assert.deepEqual(FakeSocket.last.sent, [{ type: "ping" }]);
    },
  );

  test("a page that is put out of sight wakes nobody", async () => {
    await online();
    page.hidden = true;
    window.happens("visibilitychange");
    assert.deepEqual(FakeSocket.last.sent, []);
  });

  test("that the network went is only a hint: a socket has to prove itself, a wait goes on", async () => {
    await online();
    window.happens("offline");
    assert.deepEqual(FakeSocket.last.sent, [{ type: "ping" }]);
    FakeSocket.last.end(1006);
    window.happens("offline");
    await settle();
    assert.equal(FakeSocket.all.length, 1);
  });
});
