import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, test } from "vitest";
import { WebSocket } from "ws";

import { MemoryStorage, ids, looking, ownDaemon, person, ready, until, wire, withDaemon } from "./person.js";

// A daemon that starts on a busy machine takes its time.
const LONG = { timeout: 90_000 };

const contents = (rows) => rows.map(({ content }) => content);
const shown = (client, id) => contents(client.conversation(id).messages);
const isAll = (client, id, expected) => () =>
  JSON.stringify(shown(client, id)) === JSON.stringify(expected) &&
  client.conversation(id).messages.every(({ state }) => state === "sent");

withDaemon("a daemon that ends and comes back", LONG, () => {
  let server;
  beforeAll(async () => {
    // Devices are told that it drains, and have a moment to hear it.
    server = await ownDaemon({ DRAIN_S: 0.5 });
  });
  beforeEach(() => server.start());
  afterAll(() => server?.close());

  test("one that drains is waited for, and nothing is lost of what was written and said meanwhile", async () => {
    const userIds = ids(2);
    const id = await server.group(userIds);
    const [ann, ben] = await Promise.all(userIds.map((userId) => person(userId, { on: server, random: () => 0.2 })));
    for (const client of [ann, ben]) await looking(client, id);
    ann.send(id, "before");
    await until(ben, `conversation:${id}`, isAll(ben, id, ["before"]));
    const reasons = [];
    ann.on("status", () => reasons.push(ann.status.reason));
    const drained = server.drain();
    await until(ann, "status", () => ann.status.state === "waiting");
    assert.deepEqual([reasons, ann.status.retryAt - Date.now() <= 5_000], [["draining"], true]);
    ann.send(id, "while it was away");
    await drained;
    await server.start();
    const expected = ["before", "while it was away"];
    await until(ann, `conversation:${id}`, isAll(ann, id, expected));
    await until(ben, `conversation:${id}`, isAll(ben, id, expected));
  });

  test("fifty messages come once each and in order, though the daemon is killed twice and the page twice", async () => {
    const [ann, ben] = ids(2);
    const id = await server.group([ann, ben]);
    const storage = new MemoryStorage();
    const written = Array.from({ length: 50 }, (_, index) => `message ${index + 1}`);
    // Waits are short, so that the daemon is asked while it is away, and when it comes back.
    const options = { on: server, storage, random: () => 0.2 };

    const first = await person(ann, options);
    await looking(first, id);
    const sent = wire(first);
    for (const content of written.slice(0, 30)) first.send(id, content);
    // In the moment in which one more is on its way, whatever becomes of it.
    await until(first, "wire", () => sent.sent("message.send").length === 8);
    await server.restart();
    await until(first, "wire", () => sent.heard("message.sent").length >= 15);
    const killed = server.kill();
    // The page is closed; what is written in the next one comes after what the former had not sent.
    first.stop();
    await killed;

    const page = dying();
    const second = await person(ann, { ...options, WebSocket: page.WebSocket, start: false });
    second.start();
    for (const content of written.slice(30, 45)) second.send(id, content);
    await server.start();
    await ready(second);
    await until(second, `conversation:${id}`, () => second.unreadTotal() === 0);
    await until(second, "wire", () => page.sent >= 10);
    // The page dies without a word.
    page.die();

    const third = await person(ann, options);
    for (const content of written.slice(45)) third.send(id, content);
    await looking(third, id);
    await until(third, `conversation:${id}`, () => third.conversation(id).messages.length === 50);
    await until(third, `conversation:${id}`, () =>
      third.conversation(id).messages.every(({ state }) => state === "sent"),
    );

    const { messages } = await server.call(ben, "GET", `conversations/${id}/messages?limit=200`);
    assert.deepEqual(contents(messages), written);
    assert.deepEqual(contents(third.conversation(id).messages), written);
    assert.equal(storage.length, 0);
  });

  test("a restored backup makes everybody begin anew, and end with what it holds", async () => {
    const [ann, ben] = ids(2);
    const id = await server.group([ann, ben], { title: "Before" });
    const { id: kept } = await server.say(ben, id, "in the backup");
    await server.backUp();
    await server.say(ben, id, "lost");
    await server.call(ben, "PATCH", `messages/${kept}`, { content: "edited, and lost" });
    await server.call(ann, "PATCH", `conversations/${id}`, { title: "Lost" });
    const lost = await server.group([ben, ann], { title: "Made after it" });

    const client = await person(ann, { on: server, random: () => 0.2 });
    await looking(client, id);
    const other = await person(ann, { on: server, random: () => 0.2 });
    assert.deepEqual([shown(client, id).length, client.conversations().length], [3, 2]);
    client.suspend();
    client.send(id, "written meanwhile");

    await server.restore();
    client.resume();
    for (const device of [client, other])
      await until(
        device,
        "conversations",
        () => device.conversations()[0]?.title === "Before" && device.conversations()[0].lastMessage.id,
      );
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.length === 2);
    await until(client, `conversation:${id}`, () =>
      client.conversation(id).messages.every(({ state }) => state === "sent"),
    );
    assert.deepEqual(shown(client, id), ["in the backup", "written meanwhile"]);
    await looking(other, id);
    await until(other, `conversation:${id}`, () => shown(other, id).length === 2);
    for (const device of [client, other]) {
      assert.deepEqual(shown(device, id), ["in the backup", "written meanwhile"]);
      assert.deepEqual(
        device.conversations().map((one) => [one.id, one.title, one.unread]),
        [[id, "Before", 1]],
      );
    }
    assert.equal(
      client.conversations().some((one) => one.id === lost),
      false,
    );

    // It goes on from there: the numbers that it had seen before mean something else now.
    for (const content of ["anew", "and on"]) await server.say(ben, id, content);
    for (const device of [client, other])
      await until(device, `conversation:${id}`, () => shown(device, id).length === 4);
    assert.deepEqual(shown(other, id), ["in the backup", "written meanwhile", "anew", "and on"]);
  });
});

/** A page whose process ends: its socket is gone, and it will never make another one, nor hear anything. */
function dying() {
  const sockets = [];
  const page = {
    sent: 0,
    isDead: false,
    die() {
      page.isDead = true;
      for (const socket of sockets) socket.terminate();
    },
    WebSocket: class extends WebSocket {
      constructor(...address) {
        super(...(page.isDead ? ["ws://127.0.0.1:9/"] : address));
        sockets.push(this);
      }
      send(text) {
        if (JSON.parse(text).type === "message.send") page.sent += 1;
        super.send(text);
      }
      emit(event, ...data) {
        return page.isDead && event !== "error" ? true : super.emit(event, ...data);
      }
    },
  };
  return page;
}
