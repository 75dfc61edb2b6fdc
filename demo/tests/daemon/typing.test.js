import assert from "node:assert/strict";
import { test } from "vitest";

import { daemon, fastClock, ids, looking, losing, person, until, wire, withDaemon } from "./person.js";

async function pair({ ann: forAnn = {}, ben: forBen = {} } = {}) {
  const [ann, ben] = ids(2);
  const server = await daemon();
  const id = await server.group([ann, ben]);
  const people = {
    ann: await person(ann, { name: "Ann", ...forAnn }),
    ben: await person(ben, { name: "Ben", ...forBen }),
  };
  for (const client of Object.values(people)) await looking(client, id);
  const typing = (client) => client.conversation(id).typing.map(({ name }) => name);
  return { server, id, typing, ...people };
}

withDaemon("typing", () => {
  test("is said once however many keys are struck, and taken back when nothing is left", async () => {
    const { ann, ben, id, typing } = await pair();
    const frames = wire(ann);
    const text = "how are you?";
    for (let length = 1; length <= text.length; length += 1) ann.typed(id, text.slice(0, length));
    assert.equal(frames.sent("typing.start").length, 1);
    await until(ben, `conversation:${id}`, () => typing(ben).length > 0);
    assert.deepEqual([typing(ben), typing(ann)], [["Ann"], []]);
    ann.typed(id, "");
    ann.typed(id, "");
    await until(ben, `conversation:${id}`, () => typing(ben).length === 0);
    assert.deepEqual([frames.sent("typing.start").length, frames.sent("typing.stop").length], [1, 1]);
  });

  test("is repeated while keys are struck for longer", async () => {
    const { ann, id } = await pair({ ann: { clock: fastClock(30) } });
    const frames = wire(ann);
    await new Promise((resolve) => {
      const keys = setInterval(() => {
        ann.typed(id, "and on and on");
        if (frames.sent("typing.start").length === 3) resolve(clearInterval(keys));
      }, 5);
    });
    assert.deepEqual(frames.sent("typing.stop"), []);
  });

  test("is taken back by sending", async () => {
    const { ann, ben, id, typing } = await pair();
    const frames = wire(ann);
    ann.typed(id, "done");
    await until(ben, `conversation:${id}`, () => typing(ben).length > 0);
    ann.send(id, "done");
    assert.equal(frames.sent("typing.stop").length, 1);
    await until(ben, `conversation:${id}`, () => typing(ben).length === 0);
  });

  test("ends with the message that it was about, whatever else is heard", async () => {
    const { ann, ben, id, typing } = await pair({
      ben: { WebSocket: losing(({ type, is_typing }) => type === "typing" && !is_typing) },
    });
    ann.typed(id, "done");
    await until(ben, `conversation:${id}`, () => typing(ben).length > 0);
    const seen = [];
    ben.on(`conversation:${id}`, () => seen.push([typing(ben).length, ben.conversation(id).messages.length]));
    ann.send(id, "done");
    await until(ben, `conversation:${id}`, () => ben.conversation(id).messages.length === 1);
    assert.equal(
      seen.some(([types, messages]) => types > 0 && messages > 0),
      false,
      "nobody types what is there already",
    );
  });

  test("of whom no more is heard expires by itself", async () => {
    const { ann, ben, id, typing } = await pair({
      ben: { clock: fastClock(20), WebSocket: losing(({ type, is_typing }) => type === "typing" && !is_typing) },
    });
    ann.typed(id, "h");
    await until(ben, `conversation:${id}`, () => typing(ben).length > 0);
    await until(ben, `conversation:${id}`, () => typing(ben).length === 0);
  });
});
