import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { backoff, verdict } from "../client/backoff.js";
import { Connection } from "../client/connection.js";
import { FakeClock, settle } from "./fakes.mjs";

class FakeSocket {
  static all = [];
  static get last() {
    return FakeSocket.all.at(-1);
  }
  readyState = 1;
  sent = [];

  constructor(url, protocols) {
    if (protocols.some((protocol) => /[\s<>]/.test(protocol))) throw new SyntaxError("invalid subprotocol");
    Object.assign(this, { url, protocols });
    FakeSocket.all.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
  }
  receive(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  hello(more = {}) {
    this.receive({ type: "system", event: "connected", heartbeat_s: 25, ...more });
  }
  end(code, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

let clock;
let connection;
let heard;

beforeEach(() => {
  FakeSocket.all = [];
  clock = new FakeClock();
  heard = [];
  make();
});

function make(more = {}) {
  connection = new Connection({
    address: (token) => ({
      url: "ws://x/ws/1",
      protocols: token ? ["messenger.v1", `bearer.${token}`] : ["messenger.v1"],
    }),
    WebSocket: FakeSocket,
    clock,
    random: () => 1,
    ...more,
  });
  connection.onopen = () => heard.push("open");
  connection.onclose = () => heard.push("close");
  connection.onframe = (frame) => heard.push(frame.type);
}

async function online() {
  connection.start();
  await settle();
  FakeSocket.last.hello();
}

describe("the course of a connection", () => {
  test("is online with the hello, hands frames on in order, and is told closed once", async () => {
    await online();
    FakeSocket.last.receive({ type: "a" });
    FakeSocket.last.receive({ type: "b" });
    FakeSocket.last.end(1006);
    assert.deepEqual(heard, ["open", "a", "b", "close"]);
    assert.equal(connection.status.state, "waiting");
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
    assert.equal(connection.status.state, "waiting");
    assert.deepEqual(heard, []);
  });

  test("what is no JSON is passed over", async () => {
    await online();
    FakeSocket.last.onmessage({ data: "{" });
    FakeSocket.last.receive({ type: "a" });
    assert.deepEqual(heard, ["open", "a"]);
  });

  test("nothing comes from a socket that was stopped, and start begins anew", async () => {
    await online();
    const old = FakeSocket.last;
    connection.stop();
    old.receive({ type: "late" });
    old.end(1006);
    assert.deepEqual([heard, connection.status.state, clock.pending], [["open", "close"], "stopped", 0]);
    await online();
    assert.equal(connection.status.state, "online");
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
      verdict({ code: 1012, reason: "draining" }, 3, () => 0.5),
      { next: "retry", reason: "draining", failures: 3, delay: 2500 },
    );
  });

  test("1013 backs off as after three failures", () => {
    assert.equal(verdict({ code: 1013, reason: "overloaded" }, 0, () => 1).delay, 4000);
  });

  test("1008 stops, except where it was the token", () => {
    for (const reason of ["protocol_error", "revoked", "user_mismatch", ""])
      assert.equal(verdict({ code: 1008, reason }, 0, () => 1).next, "stop");
    for (const reason of ["token_missing", "token_invalid", "token_expired"])
      assert.equal(verdict({ code: 1008, reason }, 0, () => 1).next, "token");
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
});

describe("a dead socket", () => {
  test("is found out by a ping after a silent heartbeat, and given up 10 s later", async () => {
    await online();
    const socket = FakeSocket.last;
    await clock.pass(25_000);
    assert.deepEqual(socket.sent, [{ type: "ping" }]);
    await clock.pass(10_000);
    assert.deepEqual([heard, connection.status.reason, socket.readyState], [["open", "close"], "silent", 3]);
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
    assert.equal(connection.status.state, "online");
  });

  test("has 4 s to prove itself when the surroundings changed", async () => {
    await online();
    connection.nudge();
    await clock.pass(4_000);
    assert.equal(connection.status.state, "waiting");
  });
});

describe("tokens", () => {
  test("another one is asked for with the server's reason, also when the waiting is cut short", async () => {
    const reasons = [];
    make({ getToken: async (reason) => (reasons.push(reason), `token${reasons.length}`) });
    await online();
    assert.deepEqual(FakeSocket.last.protocols, ["messenger.v1", "bearer.token1"]);
    FakeSocket.last.end(1008, "token_expired");
    connection.nudge();
    await settle();
    assert.deepEqual([reasons, FakeSocket.last.protocols[1]], [[null, "token_expired"], "bearer.token2"]);
  });

  test("while one is awaited the state says so, and a stop makes it void", async () => {
    let give;
    make({
      getToken: (reason) => (reason === null ? Promise.resolve("bad") : new Promise((resolve) => (give = resolve))),
    });
    connection.start();
    await settle();
    FakeSocket.last.end(1008, "token_invalid");
    await clock.pass(0);
    assert.deepEqual([connection.status.state, connection.status.reason], ["token", "token_invalid"]);
    connection.stop();
    give("late");
    await settle();
    assert.equal(FakeSocket.all.length, 1);
  });

  test("one that the browser would not even send is a bad one", async () => {
    const reasons = [];
    make({ getToken: async (reason) => (reasons.push(reason), reason === null ? "<img src=x>" : "good") });
    connection.start();
    await settle();
    assert.equal(connection.status.state, "waiting");
    await clock.pass(0);
    assert.deepEqual([reasons, FakeSocket.last.protocols[1]], [[null, "token_invalid"], "bearer.good"]);
  });

  test("a token that is refused again and again is not tried in a hurry", async () => {
    make({ getToken: async () => "bad" });
    connection.start();
    const waits = [];
    for (let i = 0; i < 4; i += 1) {
      await settle();
      FakeSocket.last.end(1008, "token_invalid");
      waits.push(connection.status.retryAt - clock.now());
      await clock.pass(waits.at(-1));
    }
    assert.deepEqual(waits, [0, 1000, 2000, 4000]);
  });
});
