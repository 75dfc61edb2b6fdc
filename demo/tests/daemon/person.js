// People with a MessengerClient against a real daemon, and how tests wait for what they see.
//
//   withDaemon("holes", () => {            describe, or a skip that says why there is no daemon
//     test("…", async () => {
//       const [ann, ben] = ids(2);         nobody else has these ids, in no other file either
//       const server = await daemon();
//       const id = await server.group([ben, ann]);
//       const client = await person(ann, { name: "Ann" });        started, online, its list read; stopped with the test
//       await server.say(ben, id, "hello");
//       await until(client, "conversations", () => client.unreadTotal() === 1);
//
// There is no waiting for a time: `until` looks again whenever its topics are told. What becomes true untold is an error.

import { randomInt } from "node:crypto";
import { describe, inject, onTestFinished } from "vitest";
import { WebSocket } from "ws";

import { MessengerClient } from "../../client/index.js";
export { MemoryStorage } from "../fakes.js";
import { Daemon, Reachable } from "./daemon.js";
import { Line } from "./line.js";

// On a busy machine; nobody waits for it but whom it fails.
const PATIENCE_MS = 25_000;

const given = inject("daemon");
let shared = null;
let lastId = randomInt(2 ** 37) * 2 ** 14;

/** `describe`, where there is a daemon to be had. */
export function withDaemon(name, ...body) {
  if (given.missing) describe.skip(`${name} (${given.missing})`, ...body);
  else describe(name, ...body);
}

/** The daemon of this run. @returns {Promise<Reachable>} */
export function daemon() {
  shared ??= (async () => {
    const response = await fetch(given.keeper);
    if (!response.ok) throw new Error(await response.text());
    return new Reachable(await response.json());
  })();
  return shared;
}

/** One of this test (or file, when called in beforeAll with its own `close` in afterAll). */
export async function ownDaemon(settings = {}) {
  return (await Daemon.prepared(given.python, settings)).start();
}

/** A line to a daemon, until the end of the test. */
export async function lineTo(reachable) {
  const line = await Line.to(reachable.url);
  onTestFinished(() => line.close());
  return line;
}

/** So many ids of people who never were here. */
export function ids(count) {
  return Array.from({ length: count }, () => ++lastId);
}

/**
 * Somebody's device: online, its list read, and stopped at the end of the test. `on`: the daemon, that of the run unless said;
 * `over`: a Line to it; `name`; `start`: false for one that is only made. Everything else is MessengerClient's own.
 */
export async function person(userId, { on = undefined, over = null, name, start = true, ...options } = {}) {
  const reachable = on ?? (await daemon());
  const client = new MessengerClient({
    url: (over ?? reachable).url,
    userId,
    getToken: async () => reachable.token(userId, { name }),
    WebSocket,
    storage: null,
    ...options,
  });
  onTestFinished(() => client.stop());
  if (start) {
    client.start();
    await ready(client);
  }
  return client;
}

/** Online, and the list has been read. */
export function ready(client) {
  return until(client, ["status", "conversations"], () => client.status.state === "online" && client.loaded);
}

/** Look at a conversation until the end of the test; resolves with it once its newest page is there. */
export async function looking(client, id) {
  onTestFinished(client.watch(id));
  await until(client, `conversation:${id}`, () => client.conversation(id).status === "ready");
  return client.conversation(id);
}

/**
 * Resolves with what `look` returns once that is truthy: at once, or when one of the topics was told. `look` may throw.
 *
 * @param {MessengerClient} client
 * @param {string | string[]} topics
 * @param {() => any} look
 */
export function until(client, topics, look, { within = PATIENCE_MS } = {}) {
  const at = new Error(`waited for ${String(look).replace(/\s+/g, " ")}`);
  const attempt = () => {
    try {
      return { seen: look() };
    } catch (error) {
      return { seen: false, error };
    }
  };
  return new Promise((resolve, reject) => {
    const offs = [];
    const finish = (settle, value) => {
      clearTimeout(timer);
      for (const off of offs) off();
      settle(value);
    };
    const timer = setTimeout(() => {
      const { seen, error } = attempt();
      at.message += seen
        ? ": it is so, and nobody was told"
        : `\nin vain for ${within} ms; ${JSON.stringify(client.status)}`;
      at.cause = error;
      finish(reject, at);
    }, within);
    const again = () => {
      const { seen } = attempt();
      if (seen) finish(resolve, seen);
    };
    for (const topic of [topics].flat()) offs.push(client.on(topic, again));
    again();
  });
}

/** Every frame that passes from now on: `frames.sent(type)` and `frames.heard(type)` are lists. */
export function wire(client) {
  const all = [];
  const off = client.on("wire", (direction, frame) => all.push({ direction, frame }));
  onTestFinished(off);
  const of = (direction) => (type) =>
    all.filter((one) => one.direction === direction && one.frame.type === type).map(({ frame }) => frame);
  return { sent: of("out"), heard: of("in") };
}

/** A WebSocket that loses the incoming frames of which `isLost(frame)` is true: real in everything else. */
export function losing(isLost) {
  return class extends WebSocket {
    emit(event, ...data) {
      return event === "message" && isLost(JSON.parse(data[0])) ? true : super.emit(event, ...data);
    }
  };
}

/** A clock that runs `times` as fast, timers and all. */
export function fastClock(times) {
  const began = Date.now();
  return {
    now: () => began + (Date.now() - began) * times,
    after(ms, run) {
      const timer = setTimeout(run, ms / times);
      return () => clearTimeout(timer);
    },
  };
}
