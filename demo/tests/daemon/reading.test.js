import assert from "node:assert/strict";
import { test } from "vitest";

import { receipts } from "../../client/manage.js";
import { daemon, ids, looking, person, until, wire, withDaemon } from "./person.js";

const unread = (client, id) => client.conversations().find((one) => one.id === id)?.unread;
const readBy = (client, id) => client.conversation(id).messages.map((row) => row.readBy);

withDaemon("reading", () => {
  test("on one device clears the badge of the other, which need not look", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ben, ann]);
    for (const content of ["one", "two", "three"]) await server.say(ben, id, content);
    const phone = await person(ann);
    const laptop = await person(ann);
    assert.deepEqual([unread(phone, id), unread(laptop, id), phone.unreadTotal()], [3, 3, 3]);

    await looking(laptop, id);
    const frames = wire(laptop);
    laptop.markRead(id);
    laptop.markRead(id);
    await until(phone, "conversations", () => unread(phone, id) === 0);
    await until(laptop, "conversations", () => unread(laptop, id) === 0);
    assert.equal(frames.sent("message.read").length, 1, "once");
    assert.deepEqual([phone.unreadTotal(), laptop.conversation(id).lastReadSeq], [0, 3]);

    await server.say(ben, id, "four");
    for (const device of [phone, laptop]) await until(device, "conversations", () => unread(device, id) === 1);
    const { conversations } = await server.call(ann, "GET", "conversations");
    assert.equal(conversations[0].unread_count, 1);
  });

  test("one's own messages and entries of the system are never unread, on no device", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ben, ann]);
    const phone = await person(ann);
    const laptop = await person(ann);
    await looking(laptop, id);
    laptop.send(id, "mine");
    await server.call(ben, "PATCH", `conversations/${id}`, { title: "Renamed" });
    const { id: gone } = await server.say(ben, id, "never mind");
    await server.call(ben, "DELETE", `messages/${gone}`);
    await server.say(ben, id, "yours");
    for (const device of [phone, laptop])
      await until(device, "conversations", () => device.conversations()[0].lastMessage?.content === "yours");
    assert.deepEqual([unread(phone, id), unread(laptop, id)], [1, 1]);
  });

  test("by others shows on one's own: none, some, all", async () => {
    const [ann, ben, eve] = ids(3);
    const server = await daemon();
    const id = await server.group([ann, ben, eve]);
    const client = await person(ann);
    await looking(client, id);
    for (const content of ["one", "two"]) client.send(id, content);
    await until(client, `conversation:${id}`, () =>
      client.conversation(id).messages.every(({ state }) => state === "sent"),
    );
    const [one, two] = client.conversation(id).messages.map((row) => row.id);
    assert.deepEqual(readBy(client, id), ["none", "none"]);

    await server.call(ben, "POST", `messages/${one}/read`);
    await until(client, `conversation:${id}`, () => readBy(client, id)[0] === "some");
    assert.deepEqual(readBy(client, id), ["some", "none"]);
    await server.call(eve, "POST", `messages/${two}/read`);
    await until(client, `conversation:${id}`, () => readBy(client, id)[0] === "all");
    assert.deepEqual(readBy(client, id), ["all", "some"]);
    await server.call(ben, "POST", `messages/${two}/read`);
    await until(client, `conversation:${id}`, () => readBy(client, id)[1] === "all");
    assert.deepEqual(
      (await receipts(client, two)).map(({ user_id }) => user_id).sort((a, b) => a - b),
      [ben, eve],
    );

    await server.say(ben, id, "mine");
    await until(client, `conversation:${id}`, () => readBy(client, id).length === 3);
    assert.deepEqual(readBy(client, id), ["all", "all", null], "of what is not one's own nothing is told");
  });

  test("of who leaves does not count any more, and who comes has not read", async () => {
    const [ann, ben, eve] = ids(3);
    const server = await daemon();
    const id = await server.group([ann, ben, eve]);
    const client = await person(ann);
    await looking(client, id);
    client.send(id, "hello");
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.at(-1).state === "sent");
    await server.call(ben, "POST", `messages/${client.conversation(id).messages[0].id}/read`);
    await until(client, `conversation:${id}`, () => readBy(client, id)[0] === "some");
    await server.call(eve, "DELETE", `conversations/${id}/participants/me`);
    await until(client, `conversation:${id}`, () => readBy(client, id)[0] === "all");
    await server.call(ann, "POST", `conversations/${id}/participants`, { user_ids: [eve] });
    await until(client, `conversation:${id}`, () => readBy(client, id)[0] === "some");
  });
});
