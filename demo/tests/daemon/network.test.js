import assert from "node:assert/strict";
import { test } from "vitest";

import { daemon, fastClock, ids, lineTo, looking, person, ready, until, wire, withDaemon } from "./person.js";

const contents = (client, id) => client.conversation(id).messages.map(({ content }) => content);
const isAll = (client, id, expected) => () =>
  JSON.stringify(contents(client, id)) === JSON.stringify(expected) &&
  client.conversation(id).messages.every(({ state }) => state === "sent");

/** Two people in one conversation, at which both look: `ann` over a line of her own, by a clock that runs faster. */
async function two({ times = 1 } = {}) {
  const [ann, ben] = ids(2);
  const server = await daemon();
  const line = await lineTo(server);
  const id = await server.group([ann, ben]);
  const clients = {
    ann: await person(ann, { over: line, clock: fastClock(times), random: () => 0.2 }),
    ben: await person(ben),
  };
  for (const client of Object.values(clients)) await looking(client, id);
  return { server, line, id, ...clients };
}

withDaemon("the network", () => {
  test("a line that is cut: back at once, with what was said meanwhile and what was not acknowledged", async () => {
    const { line, ann, ben, id } = await two();
    line.down();
    await until(ann, "status", () => ann.status.state === "waiting");
    ann.send(id, "from here");
    ben.send(id, "from there");
    await until(ben, `conversation:${id}`, isAll(ben, id, ["from there"]));
    line.up();
    ann.nudge();
    await until(ann, `conversation:${id}`, isAll(ann, id, ["from there", "from here"]));
    await until(ben, `conversation:${id}`, isAll(ben, id, ["from there", "from here"]));
  });

  test("a dead line is found out by the heartbeat, though nothing ever closed", async () => {
    const { line, ann, ben, id } = await two({ times: 40 });
    const frames = wire(ann);
    const reasons = [];
    ann.on("status", () => reasons.push(ann.status.reason));
    line.hold();
    ann.send(id, "from here");
    ben.send(id, "from there");
    await until(ann, "status", () => reasons.includes("no_hello"));
    assert.equal(reasons[0], "silent");
    assert.equal(frames.sent("ping").length, 1);
    line.release();
    await until(ann, `conversation:${id}`, () => ann.conversation(id).messages.length === 2);
    const { messages } = await (await daemon()).call(ben.me.id, "GET", `conversations/${id}/messages`);
    assert.deepEqual(messages.map(({ content }) => content).sort(), ["from here", "from there"]);
    await until(
      ann,
      `conversation:${id}`,
      isAll(
        ann,
        id,
        messages.map(({ content }) => content),
      ),
    );
  });

  test("a dead line is found out soon when the surroundings change, as after sleep", async () => {
    const { line, ann } = await two({ times: 40 });
    const frames = wire(ann);
    const reasons = [];
    ann.on("status", () => reasons.push(ann.status.reason));
    const began = ann.status;
    ann.nudge();
    assert.equal(frames.sent("ping").length, 1, "it has to prove itself at once");
    await until(ann, "wire", () => frames.heard("pong").length === 1);
    assert.equal(ann.status, began, "and it did");
    line.hold();
    ann.nudge();
    await until(ann, "status", () => reasons.length > 0);
    assert.deepEqual([reasons[0], frames.sent("ping").length], ["silent", 2]);
  });

  test("a slow line only takes longer", async () => {
    const { line, ann, ben, id } = await two();
    line.slow(40);
    for (const content of ["one", "two", "three"]) ann.send(id, content);
    await until(ben, `conversation:${id}`, isAll(ben, id, ["one", "two", "three"]));
    await until(ann, `conversation:${id}`, isAll(ann, id, ["one", "two", "three"]));
    assert.equal(ann.status.state, "online");
  });

  test("a device that was suspended has no connection until it is resumed, and then lacks nothing", async () => {
    const { server, line, ann, ben, id } = await two();
    ann.suspend();
    await until(ann, "status", () => ann.status.state === "waiting");
    assert.deepEqual(ann.status, { state: "waiting", reason: "suspended", retryAt: null });
    const annId = ann.me.id;
    await until(ben, ["people", "presence"], () => ben.presence([annId])[annId]?.online === false);
    const before = line.connections;
    ann.nudge();
    ben.send(id, "asleep?");
    await until(ben, `conversation:${id}`, isAll(ben, id, ["asleep?"]));
    await server.call(ann.me.id, "PATCH", `conversations/${id}`, { title: "Renamed" });
    assert.equal(line.connections, before);
    ann.resume();
    await ready(ann);
    await until(ann, `conversation:${id}`, () => ann.conversation(id).messages.length === 2);
    await until(ann, "conversations", () => ann.conversations()[0].title === "Renamed");
    assert.equal(ann.unreadTotal(), 1);
  });
});
