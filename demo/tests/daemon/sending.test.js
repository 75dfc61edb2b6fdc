import assert from "node:assert/strict";
import { test } from "vitest";

import { MemoryStorage, daemon, ids, looking, person, until, withDaemon } from "./person.js";

const contents = (rows) => rows.map(({ content }) => content);
const states = (client, id) => client.conversation(id).messages.map(({ content, state }) => [content, state]);

withDaemon("sending", () => {
  test("a message is there at once, and becomes the real one in its place, with the same key", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ann, ben]);
    await server.say(ben, id, "hello Ann");
    const client = await person(ann);
    await looking(client, id);

    const seen = [];
    client.on(`conversation:${id}`, () => seen.push(client.conversation(id).messages));
    const key = client.send(id, "hello Ben");
    const optimistic = client.conversation(id).messages;
    assert.deepEqual(
      [contents(optimistic), optimistic[1].state, optimistic[1].id, optimistic[1].key],
      [["hello Ann", "hello Ben"], "pending", null, key],
    );
    assert.equal(client.conversations()[0].lastMessage.key, key);

    await until(client, `conversation:${id}`, () => client.conversation(id).messages.at(-1).state === "sent");
    // The answer, the event itself, and whatever else was told: never none, never two.
    await until(
      client,
      "conversations",
      () => client.conversations()[0].about.id === id && client.conversations()[0].lastMessage.id,
    );
    assert.ok(seen.length > 0);
    for (const messages of seen) assert.deepEqual(contents(messages), ["hello Ann", "hello Ben"]);
    for (const messages of seen) assert.equal(messages[1].key, key);
    const { messages } = await server.call(ben, "GET", `conversations/${id}/messages`);
    const [, real] = client.conversation(id).messages;
    assert.deepEqual([real.id, real.seq, real.key], [messages[1].id, 2, key]);
  });

  test("what the server refuses stays with its error, until it is tried again or given up", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ann, ben], { type: "announcement", title: "News" });
    const client = await person(ben);
    await looking(client, id);

    const failed = () => client.conversation(id).messages.every(({ state }) => state === "failed");
    const first = client.send(id, "may I?");
    const second = client.send(id, "no matter");
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.length === 2 && failed());
    const [row] = client.conversation(id).messages;
    assert.deepEqual(row.error, { code: "forbidden", message: "Only admins can post here" });

    client.discard(second);
    assert.deepEqual(states(client, id), [["may I?", "failed"]]);
    client.retry(first);
    assert.deepEqual(states(client, id), [["may I?", "pending"]]);
    await until(client, `conversation:${id}`, failed);

    await server.call(ann, "PATCH", `conversations/${id}/participants/${ben}`, { role: "admin" });
    client.retry(first);
    const row2 = () => client.conversation(id).messages.find(({ key }) => key === first);
    await until(client, `conversation:${id}`, () => row2().state === "sent");
    assert.equal(row2().error, null);
    const { messages } = await server.call(ann, "GET", `conversations/${id}/messages`);
    assert.deepEqual(contents(messages.filter((m) => m.message_type === "text")), ["may I?"]);
  });

  test("mentions, replies and the rest go with it, also through a reload", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ann, ben]);
    const { id: first } = await server.say(ben, id, "look at this");
    const storage = new MemoryStorage();
    const before = await person(ann, { storage });
    before.suspend();
    const attachments = [{ url: "https://files.example/a.png", name: "a.png", size: 7, mime_type: "image/png" }];
    before.send(id, "see", {
      message_type: "image",
      reply_to: first,
      mentions: [ben],
      attachments,
      metadata: { width: 3 },
    });
    before.stop();

    const client = await person(ann, { storage });
    await looking(client, id);
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.at(-1)?.content === "see");
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.at(-1).state === "sent");
    const { messages } = await server.call(ben, "GET", `conversations/${id}/messages`);
    const { content, message_type, reply_to, mentions, metadata } = messages.at(-1);
    assert.deepEqual(
      { content, message_type, reply_to, mentions, metadata, attachments: messages.at(-1).attachments },
      { content: "see", message_type: "image", reply_to: first, mentions: [ben], metadata: { width: 3 }, attachments },
    );
  });
});
