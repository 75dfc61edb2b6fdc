import assert from "node:assert/strict";
import { test } from "vitest";

import { daemon, ids, looking, losing, person, ready, until, wire, withDaemon } from "./person.js";

const contents = (client, id) => client.conversation(id).messages.map(({ content }) => content);

withDaemon("a hole", () => {
  test("is found by the next change and closed by sync, in the order of the log", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ann, ben]);
    await server.say(ben, id, "one");
    const client = await person(ann, {
      WebSocket: losing(({ type, data }) => type === "message.new" && ["two", "three"].includes(data.content)),
    });
    await looking(client, id);
    const frames = wire(client);

    for (const content of ["two", "three"]) await server.say(ben, id, content);
    await server.say(ben, id, "four");
    await until(client, `conversation:${id}`, () => contents(client, id).length === 4);
    assert.deepEqual(contents(client, id), ["one", "two", "three", "four"]);
    assert.deepEqual(
      frames.sent("sync").map(({ cursors }) => cursors),
      [{ [id]: 1 }],
    );
    assert.deepEqual(
      frames.heard("message.new").map(({ data }) => data.content),
      ["four"],
    );

    await server.say(ben, id, "five");
    await until(client, `conversation:${id}`, () => contents(client, id).at(-1) === "five");
    assert.equal(frames.sent("sync").length, 1, "what comes after needs no sync");
  });

  test("of edits, deletions and reactions ends with what they ended with", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ann, ben]);
    const said = [];
    for (const content of ["one", "two", "three"]) said.push(await server.say(ben, id, content));
    let isDeaf = false;
    const client = await person(ann, {
      WebSocket: losing(({ type }) => isDeaf && /^(message|reaction)\./.test(type)),
    });
    await looking(client, id);
    isDeaf = true;
    await server.call(ben, "PATCH", `messages/${said[0].id}`, { content: "one, edited" });
    await server.call(ben, "DELETE", `messages/${said[1].id}`);
    const device = await person(ben);
    await device.react(said[2].id, "👍");
    isDeaf = false;
    await server.say(ben, id, "four");
    await until(client, `conversation:${id}`, () => contents(client, id).length === 4);
    assert.deepEqual(
      client.conversation(id).messages.map(({ content, reactions }) => [content, reactions]),
      [
        ["one, edited", {}],
        [null, {}],
        ["three", { "👍": 1 }],
        ["four", {}],
      ],
    );
    assert.equal(client.unreadTotal(), 3);
  });

  test("of people and of the title is closed too", async () => {
    const [ann, ben, eve] = ids(3);
    const server = await daemon();
    const id = await server.group([ben, ann], { title: "Before" });
    let isDeaf = true;
    const client = await person(ann, {
      WebSocket: losing(({ type }) => isDeaf && /^(participant|conversation)\./.test(type)),
    });
    await looking(client, id);
    await server.call(ben, "PATCH", `conversations/${id}`, { title: "After" });
    await server.call(ben, "POST", `conversations/${id}/participants`, { user_ids: [eve] });
    isDeaf = false;
    await server.say(eve, id, "hello");
    const here = () => client.conversation(id).participants.map(({ user_id }) => user_id);
    await until(client, `conversation:${id}`, () => here().includes(eve) && client.conversation(id).title === "After");
    assert.deepEqual(
      here().sort((a, b) => a - b),
      [ann, ben, eve],
    );
    assert.deepEqual(contents(client, id).length, 3);
  });

  test("in what was never told of: a conversation that one knows nothing of is looked up", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const client = await person(ann, { WebSocket: losing(({ type }) => type === "conversation.created") });
    const id = await server.group([ben, ann], { title: "Unheard of" });
    await server.say(ben, id, "anybody there?");
    await until(client, "conversations", () => client.conversations().length === 1);
    assert.deepEqual(
      client.conversations().map(({ title, unread, lastMessage }) => [title, unread, lastMessage.content]),
      [["Unheard of", 1, "anybody there?"]],
    );
  });

  test("of more than a thousand changes begins anew at the newest page", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ben, ann]);
    for (const content of ["one", "two"]) await server.say(ben, id, content);
    const client = await person(ann);
    await looking(client, id);
    client.suspend();
    await until(client, "status", () => client.status.state === "waiting");

    for (let i = 0; i < 11; i += 1)
      await Promise.all(Array.from({ length: 100 }, (_, index) => server.say(ben, id, `${i * 100 + index}`)));
    const { id: mine } = await server.say(ann, id, "from another device");
    await server.call(ben, "POST", `messages/${mine}/read`);
    client.resume();
    await ready(client);
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.at(-1).seq === 1103);
    const { messages, hasMore, unread } = client.conversation(id);
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.at(-1).readBy === "all");
    const seqs = messages.map(({ seq }) => seq);
    assert.deepEqual(
      seqs,
      seqs.map((_, index) => seqs[0] + index),
      "no hole in it",
    );
    assert.deepEqual([hasMore, unread, seqs[0] > 2], [true, 1102, true]);

    await client.loadOlder(id);
    assert.equal(client.conversation(id).messages[0].seq, seqs[0] - 50);
  });
});
