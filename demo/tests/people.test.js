import assert from "node:assert/strict";
import { describe, test } from "vitest";

import { C, D, conversation, message, newMessage, settle } from "./fakes.js";
import { client, cursor, looking, nothing, part, ready, rest, rows, subscribed, summary, transport } from "./stage.js";

const PICTURE = "https://pictures.example/eve.png";
const eve = { user_id: 5, name: "Eve", avatar_url: PICTURE };
const told = (userId) => [client.person(userId).name, client.person(userId).avatar_url];
const asked = (what) => rest.calls.filter((call) => call.startsWith(what));
const title = (id = C) => summary(id).title;

describe("names and pictures", () => {
  test("come with the list, which asks nothing more about a direct conversation", async () => {
    await ready(conversation({ id: D, type: "direct", title: null, people: [eve] }));
    assert.deepEqual([title(D), told(5)], ["Eve", ["Eve", PICTURE]]);
    assert.deepEqual(transport.of("presence").at(-1).user_ids, [5]);
    assert.deepEqual(asked("participants"), []);
  });

  test("call a group without a title by the people in it, and count those who are not named", async () => {
    const people = [eve, { user_id: 6, name: "Finn", avatar_url: null }];
    await ready(conversation({ title: null, participant_count: 5, people }));
    assert.equal(title(), "Eve, Finn and 2 more");
    client.watch(C);
    subscribed({ conversation: conversation({ title: null, participant_count: 5 }) });
    await settle();
    // All of them are named now, whatever was counted before.
    assert.equal(title(), "Bob, Carol");
  });

  test("call it the same whether the list named a few or all of them are known", async () => {
    const people = [2, 3, 4, 5].map((user_id) => ({ user_id, name: `N${user_id}`, avatar_url: null }));
    await ready(conversation({ title: null, participant_count: 6, people }));
    const before = [title(), summary().people.map(({ id }) => id)];
    assert.deepEqual(before, ["N2, N3, N4, N5 and 1 more", [2, 3, 4, 5]]);
    client.watch(C);
    // In the order in which they came.
    const participants = [6, 1, 5, 3, 2, 4].map((user_id) => ({ user_id, name: `N${user_id}`, role: "member" }));
    subscribed({ conversation: conversation({ title: null, participant_count: 6 }), participants });
    await settle();
    assert.deepEqual([title(), summary().people.map(({ id }) => id)], before);
  });

  test("who is in a group that nobody looks at is read again when somebody comes or leaves", async () => {
    await ready(conversation({ title: null, participant_count: 1, people: [] }));
    const change = async (type, number, people) => {
      rest.list = [conversation({ title: null, last_change: number, participant_count: people.length + 1, people })];
      const data = message(number, number, { message_type: "system" });
      const who = { user_id: 5, name: "Eve", role: "member" };
      transport.receive({ type, conversation_id: C, ...who, change: number, seq: number, data });
      await settle();
      return [title(), summary().count];
    };
    assert.deepEqual(await change("participant.added", 1, [eve]), ["Eve", 2]);
    assert.deepEqual(await change("participant.removed", 2, []), ["Conversation", 1]);
  });

  test("call a direct conversation by the other one, though he left it", async () => {
    await ready(conversation({ id: D, type: "direct", title: null, people: [eve] }));
    transport.receive({
      type: "participant.removed",
      conversation_id: D,
      user_id: 5,
      change: 1,
      seq: 1,
      data: message(1, 1, { conversation_id: D, sender_id: 5, message_type: "system" }),
    });
    assert.deepEqual([cursor(D), title(D)], [1, "Eve"]);
  });

  test("change at once for everybody on the screen when a profile does", async () => {
    await looking([message(1, 1)]);
    let notices = 0;
    client.on("people", () => (notices += 1));
    transport.receive({ type: "user.updated", user_id: 2, name: "Robert", avatar_url: PICTURE });
    assert.deepEqual([told(2), notices], [["Robert", PICTURE], 1]);
    transport.receive({ type: "user.updated", user_id: 2, name: "Robert", avatar_url: PICTURE });
    assert.equal(notices, 1, "the same again is no news");
    transport.receive({ type: "user.updated", user_id: 2, name: "Robert", avatar_url: null });
    assert.deepEqual(told(2), ["Robert", null]);
    assert.equal(cursor(), 1, "a profile is no change of a conversation");
  });

  test("that a frame leaves out are kept", async () => {
    await looking();
    transport.receive({ type: "user.updated", user_id: 3, name: "Carol", avatar_url: PICTURE });
    transport.receive({
      type: "participant.updated",
      conversation_id: C,
      user_id: 3,
      name: "Carol",
      role: "member",
      seq: 1,
      change: 1,
      by: 1,
      data: message(1, 1, { message_type: "system" }),
    });
    assert.deepEqual(told(3), ["Carol", PICTURE]);
  });

  test("of who comes in: the name is in the frame, the picture is asked for", async () => {
    rest.pictures[4] = PICTURE;
    await looking();
    transport.receive({
      type: "participant.added",
      conversation_id: C,
      user_id: 4,
      name: "Dave",
      role: "member",
      seq: 1,
      change: 1,
      by: 1,
      data: message(1, 1, { sender_id: 1, message_type: "system" }),
    });
    assert.deepEqual(told(4), ["Dave", null]);
    await settle();
    assert.deepEqual([told(4), asked("users").at(-1)], [["Name 4", PICTURE], "users 4"]);
  });

  test("of all who wrote a page are asked for at once, and each once a connection", async () => {
    const before = () => asked("users").filter((call) => call !== "users 1");
    await looking([message(1, 1, { sender_id: 7 }), message(2, 2, { sender_id: 8 }), message(3, 3, { sender_id: 7 })]);
    assert.deepEqual(before(), ["users 7", "users 8"], "7 came with the list, 8 with the page");
    transport.receive(newMessage(message(4, 4, { sender_id: 8 })));
    await settle();
    assert.deepEqual(before(), ["users 7", "users 8"]);
  });

  test("of who left are asked of the conversation that holds his words, once", async () => {
    rest.strangers = [5];
    rest.left[C] = [eve];
    await looking([message(1, 1, { sender_id: 5 }), message(2, 2, { sender_id: 5 })]);
    await settle();
    assert.deepEqual([told(5), asked("former")], [["Eve", PICTURE], [`former ${C}`]]);
  });

  test("of somebody whom nobody knows any more are given up, and he is called by his id", async () => {
    rest.strangers = [5];
    await looking([message(1, 1, { sender_id: 5 })]);
    transport.receive(newMessage(message(2, 2, { sender_id: 5 })));
    await settle();
    assert.deepEqual([told(5), asked("former")], [["User 5", null], [`former ${C}`]]);
  });

  test("are read again after a reconnect: nobody told us what changed meanwhile", async () => {
    await looking([message(1, 1)]);
    transport.lose();
    rest.pictures[2] = PICTURE;
    await transport.open();
    await settle();
    assert.deepEqual(told(2), ["Name 2", PICTURE]);
  });

  test("of ourselves are asked for at the start", async () => {
    rest.pictures[1] = PICTURE;
    await ready();
    assert.deepEqual(told(1), ["Name 1", PICTURE]);
  });

  test("turn nothing round: a name loses its overrides of direction, and an empty one is none", async () => {
    await ready();
    const called = (user_id, name) => transport.receive({ type: "user.updated", user_id, name, avatar_url: null });
    called(5, "\u202eevE\u2066\u2069");
    assert.deepEqual(told(5), ["evE", null]);
    called(6, "\u202e \u2069");
    assert.deepEqual(told(6), ["User 6", null]);
    called(7, "\u200fאבי");
    assert.equal(client.person(7).name, "\u200fאבי", "a mark of direction is part of a name");
  });
});

describe("reactions", () => {
  const reaction = (type, change, reactions) => ({
    type,
    conversation_id: C,
    message_id: "m1",
    user_id: 2,
    emoji: "👍",
    change,
    reactions,
    data: message(1, change, { reactions }),
  });

  test("are a change of their message", async () => {
    await looking([message(1, 1)]);
    transport.receive(reaction("reaction.added", 2, { "👍": 1 }));
    assert.deepEqual([rows()[0].reactions, cursor()], [{ "👍": 1 }, 2]);
    transport.receive(reaction("reaction.removed", 3, {}));
    assert.deepEqual([rows()[0].reactions, cursor(), summary().unread], [{}, 3, 1]);
  });

  test("of before come with the catch-up", async () => {
    await looking([message(1, 1)]);
    transport.receive(reaction("reaction.added", 3, { "👍": 2 }));
    transport.answer("sync", {
      type: "sync",
      ...nothing,
      conversations: [part({ changes: [message(1, 3, { reactions: { "👍": 2 } })], last_change: 3, last_seq: 1 })],
    });
    await settle();
    assert.deepEqual([rows()[0].reactions, cursor()], [{ "👍": 2 }, 3]);
  });
});

test("a frame whose type is a name of every object's is like any other that nobody knows", async () => {
  await looking([message(1, 1)]);
  for (const type of ["constructor", "__proto__", "toString", "hasOwnProperty", "app.alarm"])
    transport.receive({ type });
  const before = transport.of("sync").length;
  transport.receive(newMessage(message(2, 2)));
  assert.deepEqual([cursor(), transport.of("sync").length], [2, before]);
});
