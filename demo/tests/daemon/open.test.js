import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";

import { ids, looking, ownDaemon, person, until, withDaemon } from "./person.js";

withDaemon("a daemon without authentication", () => {
  let server;
  beforeAll(async () => {
    server = await ownDaemon({ AUTH: "off", JWT_SECRET: "" });
  });
  afterAll(() => server?.close());

  test("takes everybody for whom he says he is, on the socket and over REST", async () => {
    const [ann, ben] = ids(2);
    const options = { on: server, getToken: undefined };
    const [forAnn, forBen] = [await person(ann, options), await person(ben, options)];
    const { id } = await forAnn.rest.call("POST", "conversations", { type: "direct", participant_ids: [ben] });
    await until(forBen, "conversations", () => forBen.conversations().length === 1);
    await looking(forBen, id);
    forAnn.send(id, "hello");
    await until(forBen, `conversation:${id}`, () => forBen.conversation(id).messages.length === 1);
    const [{ sender_id, content }] = forBen.conversation(id).messages;
    assert.deepEqual([sender_id, content, forBen.me.id, forBen.unreadTotal()], [ann, "hello", ben, 1]);
  });
});
