import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { C, D, conversation, message, newMessage, settle } from "./fakes.mjs";
import { log, looking, messenger, nothing, part, ready, rest, subscribed, transport } from "./stage.mjs";

const PICTURE = "https://pictures.example/eve.png";
const eve = { user_id: 5, name: "Eve", avatar_url: PICTURE };
const told = (userId) => [messenger.people.nameOf(userId), messenger.people.pictureOf(userId)];
const asked = (what) => rest.calls.filter((call) => call.startsWith(what));
const title = (id = C) => messenger.conversations.titleOf(messenger.conversations.get(id));

describe("names and pictures", () => {
  test("come with the list, which asks nothing more about a direct conversation", async () => {
    await ready(conversation({ id: D, type: "direct", title: null, people: [eve] }));
    assert.deepEqual([title(D), told(5)], ["Eve", ["Eve", PICTURE]]);
    assert.deepEqual(transport.of("presence").at(-1).user_ids, [5]);
    assert.deepEqual(asked("participants"), []);
  });

  test("of a direct conversation are asked for where the list does not say", async () => {
    rest.people[D] = [{ user_id: 1, name: "Alice", avatar_url: null }, eve];
    await ready(conversation({ id: D, type: "direct", title: null }));
    assert.deepEqual([title(D), told(5), asked("participants")], ["Eve", ["Eve", PICTURE], [`participants ${D}`]]);
  });

  test("call a group without a title by the people in it, and count those who are not named", async () => {
    const people = [eve, { user_id: 6, name: "Finn", avatar_url: null }];
    await ready(conversation({ title: null, participant_count: 5, people }));
    assert.equal(title(), "Eve, Finn and 2 more");
    messenger.watch(C);
    subscribed({ conversation: conversation({ title: null, participant_count: 5 }) });
    await settle();
    // All of them are named now, whatever was counted before.
    assert.equal(title(), "Bob, Carol");
  });

  test("call a direct conversation by the other one, though he left it", async () => {
    rest.people[D] = [{ user_id: 1, name: "Alice", avatar_url: null }, eve];
    await ready(conversation({ id: D, type: "direct", title: null }));
    transport.receive({
      type: "participant.removed",
      conversation_id: D,
      user_id: 5,
      change: 1,
      seq: 1,
      data: message(1, 1, { conversation_id: D, sender_id: 5, message_type: "system" }),
    });
    assert.deepEqual([log(D).cursor, title(D)], [1, "Eve"]);
  });

  test("change at once for everybody on the screen when a profile does", async () => {
    await looking([message(1, 1)]);
    const notices = [];
    messenger.on("people", (id) => notices.push(id));
    transport.receive({ type: "user.updated", user_id: 2, name: "Robert", avatar_url: PICTURE });
    assert.deepEqual([told(2), notices], [["Robert", PICTURE], [2]]);
    transport.receive({ type: "user.updated", user_id: 2, name: "Robert", avatar_url: PICTURE });
    assert.deepEqual(notices, [2], "the same again is no news");
    transport.receive({ type: "user.updated", user_id: 2, name: "Robert", avatar_url: null });
    assert.deepEqual(told(2), ["Robert", null]);
    assert.equal(log().cursor, 1, "a profile is no change of a conversation");
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
    transport.open();
    await settle();
    assert.deepEqual(told(2), ["Name 2", PICTURE]);
  });

  test("of ourselves are asked for at the start", async () => {
    rest.pictures[1] = PICTURE;
    await ready();
    assert.deepEqual(told(1), ["Name 1", PICTURE]);
  });

  test("turn nothing round: a name loses its overrides of direction, and an empty one is none", () => {
    messenger.people.introduce(5, { name: "\u202eevE\u2066\u2069", avatar_url: null });
    assert.deepEqual(told(5), ["evE", null]);
    messenger.people.introduce(6, { name: "\u202e \u2069", avatar_url: null });
    assert.deepEqual(told(6), ["User 6", null]);
    messenger.people.introduce(7, { name: "\u200fאבי", avatar_url: null });
    assert.equal(messenger.people.nameOf(7), "\u200fאבי", "a mark of direction is part of a name");
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
    assert.deepEqual([log().messages[0].reactions, log().cursor], [{ "👍": 1 }, 2]);
    transport.receive(reaction("reaction.removed", 3, {}));
    assert.deepEqual([log().messages[0].reactions, log().cursor, log().unread], [{}, 3, 1]);
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
    assert.deepEqual([log().messages[0].reactions, log().whole], [{ "👍": 2 }, true]);
  });
});

test("a frame whose type is a name of every object's is like any other that nobody knows", async () => {
  await looking([message(1, 1)]);
  for (const type of ["constructor", "__proto__", "toString", "hasOwnProperty", "app.alarm"])
    transport.receive({ type });
  assert.equal(log().whole, true);
});
