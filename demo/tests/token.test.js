import assert from "node:assert/strict";
import { beforeEach, describe, test } from "vitest";

import { Connection } from "../client/connection.js";
import { Tokens } from "../client/token.js";
import { FakeClock, settle } from "./fakes.js";
import { FakeSocket } from "./socket.js";

let clock;
let connection;
let tokens;
let reasons;
let shown;

beforeEach(() => {
  FakeSocket.all = [];
  clock = new FakeClock();
});

/** An application whose tokens are numbered, or as `give(reason)` says. */
function make(give = () => `token${reasons.length}`) {
  reasons = [];
  // Everything that anybody outside may read.
  shown = [];
  tokens = new Tokens(async ({ reason }) => {
    reasons.push(reason);
    return give(reason);
  });
  connection = new Connection({
    url: "http://here/",
    userId: "me",
    tokens,
    WebSocket: FakeSocket,
    clock,
    random: () => 1,
  });
  connection.onwire = (direction, frame) => shown.push(frame);
  connection.onframe = (frame) => shown.push(frame);
  connection.onstatus = (status) => shown.push(status);
}

async function online() {
  connection.start();
  await settle();
  FakeSocket.last.hello();
}

async function expiring(expires_in_s = 60) {
  FakeSocket.last.receive({ type: "system", event: "token_expiring", expires_in_s });
  await clock.pass(0);
}

const bearer = () => FakeSocket.last.protocols[1];
const state = () => [connection.status.state, connection.status.reason];
const refreshed = { type: "auth.refreshed", expires_at: "2026-01-01T00:00:00Z", ref: "auth.refresh" };
const refused = { type: "error", code: "unauthorized", reason: "token_invalid", ref: "auth.refresh" };

describe("one source", () => {
  test("asks the application once, whoever wants to know meanwhile", async () => {
    let give;
    make(() => new Promise((resolve) => (give = resolve)));
    const wanted = [tokens.get(), tokens.get(), tokens.get("token_expired", "old")];
    await settle();
    give("token");
    assert.deepEqual(await Promise.all(wanted), ["token", "token", "token"]);
    assert.deepEqual([await tokens.get(), reasons], ["token", [null]]);
  });

  test("another one is asked for once, however many were refused with the old one", async () => {
    make();
    await tokens.get();
    assert.deepEqual(await Promise.all([1, 2].map(() => tokens.get("token_expired", "token1"))), ["token2", "token2"]);
    assert.equal(await tokens.get("token_expired", "token1"), "token2");
    assert.deepEqual(reasons, [null, "token_expired"]);
  });

  test("what is no token is none", async () => {
    for (const nothing of [null, undefined, "", 7]) {
      make(() => nothing);
      await assert.rejects(tokens.get());
    }
  });

  test("an answer to a question from before a new beginning is not held", async () => {
    const given = [];
    make(() => new Promise((resolve) => given.push(resolve)));
    const late = tokens.get();
    await settle();
    tokens.forget();
    const fresh = tokens.get();
    await settle();
    given[0]("late");
    assert.equal(await late, "late");
    const shared = tokens.get();
    given[1]("fresh");
    assert.deepEqual([await fresh, await shared, await tokens.get(), given.length], ["fresh", "fresh", "fresh", 2]);
  });

  test("without authentication there is none", async () => {
    assert.equal(await new Tokens().get("token_expired"), null);
  });
});

describe("connecting", () => {
  test("another one is asked for where it had expired, at once, and also when the waiting is cut short", async () => {
    make();
    await online();
    assert.equal(bearer(), "bearer.token1");
    FakeSocket.last.end(1008, "token_expired");
    assert.equal(connection.status.retryAt, clock.now());
    connection.nudge();
    await settle();
    assert.deepEqual([reasons, bearer()], [[null, "token_expired"], "bearer.token2"]);
    await clock.pass(5_000);
    assert.equal(FakeSocket.all.length, 2);
  });

  test("one that has expired again and again is not tried in a hurry", async () => {
    make(() => "stale");
    connection.start();
    const waits = [];
    for (let i = 0; i < 4; i += 1) {
      await settle();
      FakeSocket.last.end(1008, "token_expired");
      waits.push(connection.status.retryAt - clock.now());
      await clock.pass(waits.at(-1));
    }
    assert.deepEqual([waits, reasons.slice(1)], [[0, 1000, 2000, 4000], Array(4).fill("token_expired")]);
  });

  test("one that holds is not asked for again", async () => {
    make();
    await online();
    FakeSocket.last.end(1006);
    await clock.pass(500);
    assert.deepEqual([reasons, bearer()], [[null], "bearer.token1"]);
  });

  test("an application that has none is asked again, with growing waits", async () => {
    make(() => (reasons.length < 3 ? Promise.reject(new Error("no session")) : "token"));
    connection.start();
    await settle();
    assert.deepEqual([state(), connection.status.retryAt - clock.now()], [["waiting", "no_token"], 500]);
    await clock.pass(500);
    assert.deepEqual([state(), connection.status.retryAt - clock.now()], [["waiting", "no_token"], 1000]);
    await clock.pass(1000);
    assert.deepEqual([bearer(), reasons], ["bearer.token", [null, null, null]]);
  });

  test("one that never comes holds up nobody who stops, and means nothing when it comes at last", async () => {
    const given = [];
    make(() => new Promise((resolve) => given.push(resolve)));
    connection.start();
    await settle();
    connection.stop();
    assert.deepEqual([state(), clock.pending], [["stopped", null], 0]);
    connection.start();
    await settle();
    given[0]("late");
    await settle();
    assert.equal(FakeSocket.all.length, 0);
    given[1]("token");
    await settle();
    assert.deepEqual([bearer(), reasons], ["bearer.token", [null, null]]);
  });

  test("one that comes when nobody connects any more is not used", async () => {
    for (const end of ["stop", "suspend"]) {
      let give;
      make(() => new Promise((resolve) => (give = resolve)));
      connection.start();
      await settle();
      connection[end]();
      give("late");
      await settle();
      assert.equal(FakeSocket.all.length, 0);
    }
  });

  test("a new beginning knows nothing of one that had expired", async () => {
    make();
    await online();
    FakeSocket.last.end(1008, "token_expired");
    connection.stop();
    await online();
    assert.deepEqual([reasons, bearer()], [[null, null], "bearer.token2"]);
  });

  test("one that is refused stops, and a new beginning asks for a new one", async () => {
    make();
    await online();
    FakeSocket.last.end(1008, "token_invalid");
    await clock.pass(60_000);
    assert.deepEqual([state(), reasons], [["stopped", "token_invalid"], [null]]);
    await online();
    assert.deepEqual([reasons, bearer()], [[null, null], "bearer.token2"]);
  });

  test("one that the browser would not even send is a bad one", async () => {
    make(() => "<img src=x>");
    connection.start();
    await settle();
    assert.deepEqual(state(), ["stopped", "token_invalid"]);
  });
});

describe("a token that expires while the connection lives", () => {
  test("is replaced on it, and the new one is used from then on", async () => {
    make();
    await online();
    await expiring();
    assert.deepEqual(FakeSocket.last.sent, [{ type: "auth.refresh", token: "token2", ref: "auth.refresh" }]);
    FakeSocket.last.receive(refreshed);
    assert.deepEqual([reasons, await tokens.get()], [[null, "token_expiring"], "token2"]);
    FakeSocket.last.end(1006);
    await clock.pass(500);
    assert.equal(bearer(), "bearer.token2");
    assert.deepEqual(reasons, [null, "token_expiring"]);
  });

  test("and when the new one has expired, too, another one is asked for", async () => {
    make();
    await online();
    await expiring();
    FakeSocket.last.receive(refreshed);
    FakeSocket.last.end(1008, "token_expired");
    await clock.pass(0);
    assert.deepEqual([reasons, bearer()], [[null, "token_expiring", "token_expired"], "bearer.token3"]);
  });

  test("goes on until it has expired where the new one is refused; then another one is asked for", async () => {
    make();
    await online();
    await expiring();
    FakeSocket.last.receive(refused);
    assert.equal(await tokens.get(), "token1");
    FakeSocket.last.end(1008, "token_expired");
    await clock.pass(0);
    assert.deepEqual([reasons, bearer()], [[null, "token_expiring", "token_expired"], "bearer.token3"]);
  });

  test("goes on where the application has none, or gives the same; nobody is asked in a loop", async () => {
    for (const give of [() => Promise.reject(new Error("later")), () => "token1"]) {
      make((reason) => (reason === null ? "token1" : give()));
      await online();
      await expiring();
      await clock.pass(20_000);
      assert.deepEqual([state(), FakeSocket.last.sent, reasons], [["online", null], [], [null, "token_expiring"]]);
      connection.stop();
    }
  });

  test("is replaced at half its time where new ones never last a minute", async () => {
    make();
    await online();
    const asked = [];
    let last = clock.now();
    for (let i = 0; i < 4; i += 1) {
      FakeSocket.last.receive({ type: "system", event: "token_expiring", expires_in_s: 20 });
      while (FakeSocket.last.of("auth.refresh").length === i) await clock.pass(1_000);
      FakeSocket.last.receive(refreshed);
      asked.push(clock.now() - last);
      last = clock.now();
    }
    assert.deepEqual(asked, [1_000, 10_000, 10_000, 10_000]);
    await expiring(20);
    connection.stop();
    assert.equal(clock.pending, 0);
  });

  test("is replaced by the one that REST has got meanwhile", async () => {
    make();
    await online();
    await tokens.get("token_expired", "token1");
    await expiring();
    assert.deepEqual(
      [reasons, FakeSocket.last.of("auth.refresh").map(({ token }) => token)],
      [[null, "token_expired"], ["token2"]],
    );
  });

  test("is not replaced on a connection that came after it", async () => {
    let give;
    make((reason) => (reason === null ? "token1" : new Promise((resolve) => (give = resolve))));
    await online();
    await expiring();
    FakeSocket.last.end(1006);
    await clock.pass(500);
    FakeSocket.last.hello();
    give("token2");
    await settle();
    assert.deepEqual(FakeSocket.last.sent, []);
  });

  test("is named to nobody but the server", async () => {
    make();
    await online();
    await expiring();
    FakeSocket.last.receive(refused);
    connection.send({ type: "auth.refresh", token: "token-of-the-application" });
    FakeSocket.last.end(1008, "token_expired");
    await clock.pass(0);
    FakeSocket.last.end(1008, "token_invalid");
    assert.deepEqual(
      shown.filter(({ type }) => type === "auth.refresh").map(({ token }) => token),
      ["…", "…"],
    );
    assert.doesNotMatch(JSON.stringify(shown), /token[-\d]/);
    assert.equal(shown.filter(({ code }) => code === "unauthorized").length, 1, "on the wire, and to nobody else");
  });
});
