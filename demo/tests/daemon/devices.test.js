import assert from "node:assert/strict";
import { test } from "vitest";

import { leave } from "../../client/manage.js";
import { daemon, ids, looking, person, until, wire, withDaemon } from "./person.js";

withDaemon("two devices of one person", () => {
  test("are told everything once each, whichever of them did it", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ann, ben]);
    const devices = [await person(ann), await person(ann)];
    for (const device of devices) await looking(device, id);
    const frames = devices.map((device) => wire(device));

    for (let i = 1; i <= 5; i += 1) devices[i % 2].send(id, `mine ${i}`);
    for (let i = 1; i <= 5; i += 1) await server.say(ben, id, `yours ${i}`);
    const rows = (device) => device.conversation(id).messages;
    for (const device of devices)
      await until(
        device,
        `conversation:${id}`,
        () => rows(device).length === 10 && rows(device).every((row) => row.id),
      );
    await devices[0].edit(rows(devices[0]).find(({ own }) => own).id, "mine, edited");
    await until(devices[1], `conversation:${id}`, () => rows(devices[1]).some((row) => row.content === "mine, edited"));
    await until(devices[0], `conversation:${id}`, () => rows(devices[0]).some((row) => row.content === "mine, edited"));

    const { messages } = await server.call(ann, "GET", `conversations/${id}/messages`);
    for (const [index, device] of devices.entries()) {
      const changes = ["message.new", "message.edited"].flatMap((type) =>
        frames[index].heard(type).map(({ change }) => change),
      );
      assert.deepEqual(changes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
      assert.deepEqual(
        rows(device).map((row) => row.id),
        messages.map((message) => message.id),
      );
      assert.deepEqual(frames[index].sent("sync"), [], "nothing was missed");
    }
    assert.deepEqual(
      rows(devices[0]).map(({ key, readBy, ...row }) => row),
      rows(devices[1]).map(({ key, readBy, ...row }) => row),
    );
  });

  test("leave and come back together", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ann, ben]);
    const devices = [await person(ann), await person(ann)];
    await leave(devices[0], id);
    for (const device of devices) await until(device, "conversations", () => device.conversations().length === 0);
    await server.call(ben, "POST", `conversations/${id}/participants`, { user_ids: [ann] });
    for (const device of devices) await until(device, "conversations", () => device.conversations().length === 1);
    for (const device of devices) await looking(device, id);
    await server.say(ben, id, "there you are");
    for (const device of devices)
      await until(
        device,
        `conversation:${id}`,
        () => device.conversation(id).messages.at(-1)?.content === "there you are",
      );
    assert.deepEqual(
      ...devices.map((device) => device.conversation(id).messages.map(({ seq, content }) => [seq, content])),
    );
  });
});
