import assert from "node:assert/strict";
import { test } from "vitest";

import { create } from "../../client/manage.js";
import { Reachable } from "./daemon.js";
import { daemon, ids, lineTo, looking, person, ready, until, wire, withDaemon } from "./person.js";

/** An application's getToken: keeps one until it is told that it is no good any more, and notes what it was asked. */
function keeping(server, userId, expiresIn) {
  const reasons = [];
  let token = server.token(userId, { expiresIn });
  const getToken = async ({ reason }) => {
    reasons.push(reason);
    if (reason !== null) token = server.token(userId);
    return token;
  };
  return { getToken, reasons };
}

/** The second in which a token that was made now is no good any more. */
const expiryOf = (expiresIn) => Math.floor(Date.now() / 1000) * 1000 + expiresIn * 1000;
const past = (at) => new Promise((resolve) => setTimeout(resolve, at - Date.now() + 50));

withDaemon("tokens", () => {
  test("one that is about to expire is replaced on the living connection, which outlives it", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ben, ann]);
    const expires = expiryOf(2);
    const { getToken, reasons } = keeping(server, ann, 2);
    const client = await person(ann, { getToken, start: false });
    const frames = wire(client);
    const expiring = [];
    client.on("expiring", (seconds) => expiring.push(seconds));
    client.start();
    await until(client, "wire", () => frames.heard("auth.refreshed").length === 1);
    const [hello] = frames.heard("system");
    assert.deepEqual(reasons, [null, "token_expiring"]);
    assert.equal(expiring.length, 1);

    await past(expires);
    await looking(client, id);
    await server.say(ben, id, "still there?");
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.length === 1);
    const hellos = frames.heard("system").filter(({ event }) => event === "connected");
    assert.deepEqual(hellos, [hello], "the same connection_id");
    assert.equal(client.status.state, "online");
  });

  test("one that is not replaced in time ends the connection, and the next one goes on where it was", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ben, ann]);
    const kept = keeping(server, ann, 2);
    const asked = [];
    const getToken = ({ reason }) => {
      asked.push(reason);
      // The application has none to give while the old one is good.
      return reason === "token_expiring" ? Promise.reject(new Error("later")) : kept.getToken({ reason });
    };
    const client = await person(ann, { getToken });
    await looking(client, id);
    const states = [];
    client.on("status", () => states.push([client.status.state, client.status.reason]));
    await until(client, "status", () => states.length > 0 && client.status.state === "online");
    assert.deepEqual([asked, states[0][1]], [[null, "token_expiring", "token_expired"], "token_expired"]);
    await server.say(ben, id, "welcome back");
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.length === 1);
  });

  test("a device that slept over its expiry asks for another one and comes back", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ben, ann]);
    // Above the last minute nobody is told that it expires: this one is asleep by then.
    const expires = expiryOf(2);
    const { getToken, reasons } = keeping(server, ann, 2);
    const client = await person(ann, {
      getToken: (why) => (why.reason === "token_expiring" ? new Promise(() => {}) : getToken(why)),
    });
    await looking(client, id);
    client.suspend();
    await past(expires);
    await server.say(ben, id, "good morning");
    client.resume();
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.length === 1);
    assert.deepEqual(reasons, [null, "token_expired"]);
  });

  test("REST asks for another one as well, and once", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const expires = expiryOf(1);
    const { getToken, reasons } = keeping(server, ann, 1);
    const client = await person(ann, { getToken, start: false });
    await client.rest.call("GET", "users/me");
    await past(expires);
    const [id, mine] = await Promise.all([
      create(client, { title: "Late", participantIds: [ben] }),
      client.rest.call("GET", "users/me"),
    ]);
    assert.deepEqual([reasons.filter((reason) => reason === "token_expired").length, mine.id], [1, ann]);
    assert.equal((await server.call(ben, "GET", `conversations/${id}`)).title, "Late");
  });

  test("one that is no good stops it, until it is started again with a good one", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const stranger = new Reachable({ url: server.url, secret: "of-somebody-else-and-thirty-two-bytes-long" });
    for (const [bad, reason] of [
      [stranger.token(ann), "token_invalid"],
      [server.token(ben), "user_mismatch"],
    ]) {
      const line = await lineTo(server);
      let token = bad;
      let asked = 0;
      const getToken = async () => ((asked += 1), token);
      const client = await person(ann, { over: line, getToken, start: false, random: () => 0 });
      client.start();
      await until(client, "status", () => client.status.state === "stopped");
      assert.deepEqual([client.status.reason, client.status.retryAt, asked], [reason, null, 1]);
      client.nudge();
      client.resume();
      assert.deepEqual([client.status.state, line.connections], ["stopped", 1], "nothing but start begins anew");
      token = server.token(ann);
      client.start();
      await ready(client);
    }
  });

  test("revoked ones stop every device of theirs", async () => {
    const [ann] = ids(1);
    const server = await daemon();
    // Tokens of the second of the revocation are still good.
    const token = server.token(ann, { iat: Math.floor(Date.now() / 1000) - 10 });
    const devices = [];
    for (let i = 0; i < 2; i += 1) devices.push(await person(ann, { getToken: async () => token }));
    await server.call(null, "POST", `users/${ann}/revoke`);
    for (const device of devices) {
      await until(device, "status", () => device.status.state === "stopped");
      assert.equal(device.status.reason, "revoked");
    }
    const late = await person(ann, { getToken: async () => token, start: false });
    late.start();
    await until(late, "status", () => late.status.state === "stopped");
    assert.equal(late.status.reason, "revoked");
  });
});
