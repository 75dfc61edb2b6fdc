import assert from "node:assert/strict";
import { beforeEach, describe, test } from "vitest";

import { RequestError } from "../client/requests.js";
import { Rest } from "../client/rest.js";
import { Tokens } from "../client/token.js";
import { FakeClock, settle } from "./fakes.js";

let clock;
let rest;
let asked;
let reasons;
let answers;

beforeEach(() => {
  clock = new FakeClock();
  make();
});

/** `answers` are given in their order: a Response, or what becomes of the call. */
function make({ token = true, ...more } = {}) {
  asked = [];
  reasons = [];
  answers = [];
  const getToken = async ({ reason }) => (reasons.push(reason), `token${reasons.length}`);
  rest = new Rest({
    url: "https://chat.example.org/here/",
    userId: 7,
    tokens: new Tokens(token ? getToken : undefined),
    fetch: async (url, { method, headers, body, signal }) => {
      asked.push({ url: `${url}`, method, headers, body, signal });
      return answers.shift();
    },
    clock,
    ...more,
  });
}

const problem = (status, told) =>
  Response.json(told, { status, headers: { "Content-Type": "application/problem+json" } });
const expired = () => problem(401, { code: "unauthorized", detail: "Unauthorized", reason: "token_expired" });
const told = (call) =>
  call.then(assert.fail, (error) => {
    assert.ok(error instanceof RequestError);
    const { status, code, message, reason, retryAfterMs } = error;
    return { status, code, message, reason, retryAfterMs };
  });

describe("a call", () => {
  test("goes below the daemon's address, with a token, and gives what is answered", async () => {
    answers.push(Response.json({ id: "c" }));
    assert.deepEqual(await rest.call("POST", "/conversations", { type: "group" }), { id: "c" });
    const [{ url, method, headers, body }] = asked;
    assert.deepEqual(
      { url, method, headers, body },
      {
        url: "https://chat.example.org/here/api/v1/messenger/conversations",
        method: "POST",
        headers: { Authorization: "Bearer token1", "Content-Type": "application/json" },
        body: '{"type":"group"}',
      },
    );
  });

  test("never takes its token elsewhere, whatever the path says", async () => {
    answers.push(Response.json({}));
    await rest.call("GET", "https://elsewhere.example.org/");
    assert.equal(new URL(asked[0].url).host, "chat.example.org");
  });

  test("says who we are where there is no authentication", async () => {
    make({ token: false });
    answers.push(Response.json({}));
    await rest.call("GET", "users/me");
    assert.deepEqual(asked[0].headers, { "X-User-Id": "7" });
  });

  test("that is answered by nothing gives null", async () => {
    answers.push(new Response(null, { status: 204 }));
    assert.equal(await rest.call("DELETE", "conversations/c"), null);
  });
});

describe("a refusal", () => {
  test("has the problem's code, its words, and when to come again", async () => {
    answers.push(problem(429, { code: "rate_limited", title: "Too Many", detail: "Slow down", retry_after_s: 2 }));
    assert.deepEqual(await told(rest.call("GET", "users/me")), {
      status: 429,
      code: "rate_limited",
      message: "Slow down",
      reason: null,
      retryAfterMs: 2000,
    });
  });

  test("by something between us and the daemon is told from the daemon's own", async () => {
    answers.push(new Response("<h1>Bad gateway</h1>", { status: 502 }), new Response("<h1>No</h1>", { status: 404 }));
    answers.push(Response.json({ error: "busy" }, { status: 503 }), new Response("<h1>Log in to this network</h1>"));
    const codes = [];
    for (let i = 0; i < 4; i += 1) codes.push((await told(rest.call("GET", "users/me"))).code);
    assert.deepEqual(codes, ["unavailable", "refused", "unavailable", "unreachable"]);
  });
});

describe("a token that has expired", () => {
  test("is replaced, and the call repeated with the new one", async () => {
    answers.push(expired(), Response.json({ id: 7 }));
    assert.deepEqual(await rest.call("POST", "conversations", { type: "group" }), { id: 7 });
    assert.deepEqual(
      [reasons, asked.map(({ headers, body }) => [headers.Authorization, body])],
      [
        [null, "token_expired"],
        [
          ["Bearer token1", '{"type":"group"}'],
          ["Bearer token2", '{"type":"group"}'],
        ],
      ],
    );
  });

  test("and whose successor has too is the answer", async () => {
    answers.push(expired(), expired());
    const { status, code, reason } = await told(rest.call("GET", "users/me"));
    assert.deepEqual([status, code, reason, asked.length], [401, "unauthorized", "token_expired", 2]);
  });

  test("is no other refusal", async () => {
    answers.push(problem(401, { code: "unauthorized", detail: "Unauthorized", reason: "revoked" }));
    const { reason } = await told(rest.call("GET", "users/me"));
    assert.deepEqual([reason, reasons, asked.length], ["revoked", [null], 1]);
  });

  test("is replaced once for all calls that were underway", async () => {
    answers.push(expired(), expired(), Response.json(1), Response.json(2));
    await Promise.all([rest.call("GET", "a"), rest.call("GET", "b")]);
    assert.deepEqual(reasons, [null, "token_expired"]);
  });
});

describe("a network that is gone", () => {
  const unreachable = {
    status: 0,
    code: "unreachable",
    message: "unreachable",
    reason: null,
    retryAfterMs: null,
  };

  test("is told as unreachable", async () => {
    make({ fetch: async () => Promise.reject(new TypeError("fetch failed")) });
    assert.deepEqual(await told(rest.call("GET", "users/me")), unreachable);
  });

  test("also where nothing is ever answered: after 15 s, and the request ends with it", async () => {
    answers.push(new Promise(() => {}));
    const ended = told(rest.call("GET", "users/me"));
    await clock.pass(15_000);
    assert.deepEqual([await ended, asked[0].signal.aborted, clock.pending], [unreachable, true, 0]);
  });

  test("and so is an application that never gives a token; one that has none is told", async () => {
    make({ tokens: new Tokens(() => new Promise(() => {})) });
    const ended = told(rest.call("GET", "users/me"));
    await clock.pass(15_000);
    assert.deepEqual(await ended, unreachable);
    make({ tokens: new Tokens(() => Promise.reject(new Error("secret"))) });
    const { code, message } = await told(rest.call("GET", "users/me"));
    assert.deepEqual([code, message], ["no_token", "no_token"]);
  });

  test("ends what is underway and asks nothing, until it is back", async () => {
    answers.push(new Promise(() => {}), Response.json({ id: 7 }));
    const underway = told(rest.call("GET", "users/me"));
    await settle();
    rest.suspend();
    assert.deepEqual(
      [await underway, await told(rest.call("GET", "users/me"))],
      [unreachable, { ...unreachable, code: "disconnected", message: "disconnected" }],
    );
    assert.deepEqual([asked.length, clock.pending], [1, 0]);
    rest.resume();
    assert.deepEqual(await rest.call("GET", "users/me"), { id: 7 });
  });
});

test("a list is read to its end", async () => {
  answers.push(Response.json({ conversations: [1, 2], next_cursor: "more+" }));
  answers.push(Response.json({ conversations: [3], next_cursor: null }));
  assert.deepEqual(await rest.conversations(), [1, 2, 3]);
  assert.deepEqual(
    asked.map(({ url }) => new URL(url).search),
    ["?limit=100", "?limit=100&cursor=more%2B"],
  );
});
