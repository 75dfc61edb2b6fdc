import assert from "node:assert/strict";
import { onTestFinished, test } from "vitest";

import { chance } from "../fakes.js";
import { daemon, fastClock, ids, lineTo, losing, person, ready, until, withDaemon } from "./person.js";

const STEPS = 300;
// On a busy machine there are fewer.
const WALK_MS = 7_000;
const AT_ONCE = 3;
// What two who act at the same time may do to each other: a message is gone before it is edited, somebody has left.
const CROSSED = new Set([
  "message_not_found",
  "not_participant",
  "forbidden",
  "not_found",
  "user_not_found",
  "conflict",
]);
const EVERYTHING = ["status", "conversations", "people", "me"];

/**
 * Everything that happens to people who chat, chosen by chance: Ann on another device of hers, Ben, Eve and Dan. It knows
 * what there is only as far as it needs to choose.
 */
class Life {
  conversations = [];
  done = [];
  #server;
  #people;
  #devices;
  #pick;

  constructor(server, people, devices, pick) {
    this.#server = server;
    this.#people = people;
    this.#devices = devices;
    this.#pick = pick;
  }

  async begin() {
    for (const history of ["all", "joined"]) await this.#create({ history });
    for (const [index, somebody] of this.#people.slice(1).entries())
      this.conversations.push(
        await this.#found("direct", index % 2 ? [this.#people[0], somebody] : [somebody, this.#people[0]], {}),
      );
    for (const conversation of this.conversations)
      for (let i = 0; i < 8; i += 1) await this.#say(conversation, this.#pick.of(conversation.members));
  }

  /** Do something. What cannot be done any more, because somebody else was faster, is passed over. */
  async step() {
    const conversation = this.#pick.of(this.conversations);
    const somebody = this.#pick.of(conversation.members);
    const message = this.#pick.of(conversation.messages);
    const own = this.#pick.of(
      conversation.messages.filter(({ sender_id }) => conversation.members.includes(sender_id)),
    );
    const act = this.#pick.weighted([
      [40, () => somebody && this.#say(conversation, somebody)],
      [
        10,
        () => own && this.#call(own.sender_id, "PATCH", `messages/${own.id}`, { content: this.#pick.words("edited") }),
      ],
      [6, () => own && this.#call(own.sender_id, "DELETE", `messages/${own.id}`)],
      [10, () => message && this.#react(somebody, message)],
      [10, () => message && somebody && this.#call(somebody, "POST", `messages/${message.id}/read`)],
      [8, () => message && this.#call(this.#people[0], "POST", `messages/${message.id}/read`)],
      [6, () => this.#letIn(conversation)],
      [5, () => this.#putOut(conversation)],
      [3, () => this.#role(conversation)],
      [
        4,
        () =>
          this.#call(conversation.maker, "PATCH", `conversations/${conversation.id}`, {
            title: this.#pick.words("title"),
          }),
      ],
      [2, () => this.#create({})],
      [1, () => this.#delete(conversation)],
      [2, () => this.#call(null, "PUT", `users/${this.#pick.of(this.#people)}`, { name: this.#pick.words("name") })],
      [2, () => this.#notify(conversation)],
    ]);
    try {
      await act();
    } catch (error) {
      if (!CROSSED.has(error.code)) throw error;
    }
  }

  /** The last word in each: from it everybody sees what he missed. */
  async end() {
    for (const conversation of this.conversations)
      for (const somebody of conversation.members.filter((id) => id !== this.#people[0]).slice(0, 1))
        await this.#say(conversation, somebody).catch((error) => assert.ok(CROSSED.has(error.code), error));
  }

  async #call(userId, method, path, body) {
    this.done.push(`${method} ${path} by ${userId}`);
    return this.#server.call(userId, method, path, body);
  }

  async #say(conversation, userId) {
    const replyTo = this.#pick.of(conversation.messages.slice(-3));
    const more = replyTo && this.#pick.chance(0.1) ? { reply_to: replyTo.id } : {};
    const content = this.#pick.words("said");
    conversation.messages.push(
      await this.#call(userId, "POST", `conversations/${conversation.id}/messages`, { content, ...more }),
    );
  }

  async #react(userId, message) {
    if (!this.#devices.has(userId)) return;
    await this.#devices.get(userId).react(message.id, this.#pick.of(["👍", "🎉"]), this.#pick.chance(0.7));
  }

  async #create(more) {
    const maker = this.#pick.of(this.#people);
    const others = this.#people.filter((id) => id !== maker && this.#pick.chance(0.8));
    const title = this.#pick.chance(0.5) ? { title: this.#pick.words("title") } : {};
    this.conversations.push(await this.#found("group", [maker, ...others], { ...title, ...more }));
  }

  async #found(type, [maker, ...participant_ids], more) {
    const { id } = await this.#call(maker, "POST", "conversations", { type, participant_ids, ...more });
    return { id, type, maker, members: [maker, ...participant_ids], messages: [] };
  }

  async #letIn(conversation) {
    const outside = this.#people.filter((id) => !conversation.members.includes(id));
    if (outside.length === 0) return;
    const somebody = this.#pick.of(outside);
    if (conversation.type === "direct") {
      const other = conversation.members[0];
      if (other === undefined) return;
      await this.#call(somebody, "POST", "conversations", { type: "direct", participant_ids: [other] });
    } else {
      await this.#call(conversation.maker, "POST", `conversations/${conversation.id}/participants`, {
        user_ids: [somebody],
      });
    }
    conversation.members.push(somebody);
  }

  async #putOut(conversation) {
    const somebody = this.#pick.of(conversation.members.filter((id) => id !== conversation.maker));
    if (somebody === undefined) return;
    conversation.members = conversation.members.filter((id) => id !== somebody);
    const isKicked = conversation.type !== "direct" && this.#pick.chance(0.5);
    await this.#call(
      isKicked ? conversation.maker : somebody,
      "DELETE",
      `conversations/${conversation.id}/participants/${isKicked ? somebody : "me"}`,
    );
  }

  async #role(conversation) {
    const somebody = this.#pick.of(conversation.members.filter((id) => id !== conversation.maker));
    const role = this.#pick.of(["admin", "member", "observer"]);
    if (somebody !== undefined && conversation.type !== "direct")
      await this.#call(conversation.maker, "PATCH", `conversations/${conversation.id}/participants/${somebody}`, {
        role,
      });
  }

  async #delete(conversation) {
    if (conversation.type === "direct" || this.conversations.length < 6) return;
    this.conversations = this.conversations.filter((other) => other !== conversation);
    await this.#call(conversation.maker, "DELETE", `conversations/${conversation.id}`);
  }

  async #notify(conversation) {
    const [ann] = this.#people;
    if (conversation.members.includes(ann))
      await this.#call(ann, "PUT", `conversations/${conversation.id}/notifications`, {
        level: this.#pick.of(["all", "mentions", "none"]),
      });
  }
}

/** Chooses by a seed. */
function picking(seed) {
  const random = chance(seed);
  let words = 0;
  return {
    chance: (p) => random() < p,
    of: (list) => list[Math.floor(random() * list.length)],
    words: (what) => `${what} ${++words}`,
    weighted(choices) {
      let roll = random() * choices.reduce((sum, [weight]) => sum + weight, 0);
      for (const [weight, choice] of choices) if ((roll -= weight) < 0) return choice;
      return choices[0][1];
    },
  };
}

/** What happens to the device and its line; each lasts for some steps. */
const weather = (device, line, deafness) => ({
  fair: [() => {}, () => {}],
  cut: [() => line.cut(), () => {}],
  down: [() => line.down(), () => line.up()],
  held: [() => line.hold(), () => line.release()],
  "held and cut": [() => line.hold(), () => (line.release(), line.cut())],
  slow: [() => line.slow(15), () => line.slow(0)],
  asleep: [() => device.suspend(), () => device.resume()],
  deaf: [() => (deafness.on = true), () => (deafness.on = false)],
  nudged: [() => device.nudge(), () => {}],
});

/** What a list shows, of conversations that nobody needs to look at. */
function listed(client) {
  return client
    .conversations()
    .map(({ id, type, title, about, unread, lastMessage, peer, role, count, writable, notification }) => ({
      ...{ id, type, title, own: about.title, unread, peer: peer?.id, role, count, writable, notification },
      last: lastMessage && [lastMessage.id, lastMessage.change, lastMessage.content],
    }));
}

/** What a conversation shows, from a `seq` on. */
function shown(client, id, from) {
  const { status, messages, participants, title, unread, lastReadSeq, typing } = client.conversation(id);
  return {
    ...{ id, status, title, unread, lastReadSeq, typing },
    participants: participants
      .map(({ user_id, name, role, last_read_seq }) => ({ user_id, name, role, last_read_seq }))
      .sort((a, b) => a.user_id - b.user_id),
    messages: messages.filter(({ seq }) => seq >= from),
  };
}

const lowestOf = (client, id) => client.conversation(id).messages[0]?.seq ?? Infinity;

withDaemon("snapshot plus events", () => {
  test("equals a fresh snapshot, whatever the line, sleep and lost frames did in between", async () => {
    const seed = Number(process.env.MESSENGER_TEST_SEED ?? Math.floor(Math.random() * 1e9));
    const pick = picking(seed);
    const people = ids(4);
    const [ann, ...others] = people;
    const server = await daemon();
    const devices = new Map();
    for (const id of others) devices.set(id, await person(id));
    const life = new Life(server, people, devices, pick);
    await life.begin();

    const line = await lineTo(server);
    const deafness = { on: false };
    // Frames of the log only: nothing proves that another one was lost, and no network loses single ones.
    const isLost = ({ type, user_id }) =>
      deafness.on &&
      /^(message\.(new|edited|deleted)|reaction\.|participant\.(added|updated)|conversation\.(created|updated))/.test(
        type,
      ) &&
      user_id !== ann;
    // By a faster clock: what it waits for in vain is over soon.
    const device = await person(ann, {
      ...{ over: line, WebSocket: losing(isLost), random: () => 0.1, clock: fastClock(5) },
    });
    const watched = new Map();
    const climate = weather(device, line, deafness);
    let end = () => {};
    const mine = [];
    const tired = Date.now() + WALK_MS;
    for (let step = 0; step < STEPS && Date.now() < tired; step += AT_ONCE) {
      if (pick.chance(0.15)) {
        end();
        const name = pick.of(Object.keys(climate));
        life.done.push(`-- ${name}`);
        climate[name][0]();
        end = climate[name][1];
      }
      const { id } = pick.of(life.conversations);
      if (pick.chance(0.1)) {
        if (watched.has(id)) watched.get(id)();
        if (!watched.delete(id)) watched.set(id, device.watch(id));
        life.done.push(`-- ${watched.has(id) ? "watch" : "unwatch"} ${id}`);
      }
      if (pick.chance(0.1)) device.markRead(id);
      if (pick.chance(0.1)) device.loadOlder(id);
      if (pick.chance(0.2)) mine.push(device.send(id, pick.words("from the device")));
      await Promise.all(Array.from({ length: AT_ONCE }, () => life.step()));
    }
    end();
    line.up();
    device.resume();
    device.nudge();
    await ready(device);
    await life.end();

    const fresh = await person(ann);
    onTestFinished(() => {
      for (const off of watched.values()) off();
    });
    /** Compare until they agree, and say in what they do not. */
    const agree = async (what, look) => {
      const both = () => assert.deepEqual(look(device), look(fresh));
      const topics = [...EVERYTHING, ...life.conversations.map(({ id }) => `conversation:${id}`)];
      const equal = () => (both(), true);
      try {
        await Promise.race([
          until(device, topics, equal, { within: 15_000 }),
          until(fresh, topics, equal, { within: 15_000 }),
        ]);
      } catch (error) {
        try {
          both();
        } catch (difference) {
          difference.message = `seed ${seed}, ${what}: ${difference.message}\n${life.done.join("\n")}`;
          throw difference;
        }
        throw error;
      }
    };
    // Nobody sends any more: what was refused, because Ann was no longer in it, is given up.
    await until(device, EVERYTHING, () =>
      life.conversations.every(({ id }) => device.conversation(id).messages.every(({ state }) => state !== "pending")),
    );
    mine.forEach((key) => device.discard(key));

    await agree("the list", listed);
    for (const look of [device, fresh]) for (const { id } of life.conversations) onTestFinished(look.watch(id));
    for (const { id } of life.conversations) {
      for (const client of [device, fresh])
        await until(client, `conversation:${id}`, () => client.conversation(id).status !== "loading");
      while (fresh.conversation(id).hasMore && lowestOf(fresh, id) > lowestOf(device, id)) await fresh.loadOlder(id);
      const from = Math.max(lowestOf(device, id), lowestOf(fresh, id));
      await agree(`conversation ${id}`, (client) => shown(client, id, from));
      const seqs = device.conversation(id).messages.map(({ seq }) => seq);
      assert.deepEqual(
        seqs,
        seqs.map((_, index) => seqs[0] + index),
        `seed ${seed}: no hole`,
      );
    }
    await agree("the list, once all of it was looked at", listed);
    assert.equal(device.unreadTotal(), fresh.unreadTotal());
  });
});
