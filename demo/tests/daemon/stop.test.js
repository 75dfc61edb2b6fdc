import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";

import { daemon, ids, looking, person, ready, until, withDaemon } from "./person.js";

/** A window, a document: whatever it is, it knows who listens to it. */
class Place extends EventTarget {
  #listening = new Map();
  get listeners() {
    return [...this.#listening.values()].reduce((sum, { size }) => sum + size, 0);
  }
  addEventListener(type, listener) {
    this.#listening.set(type, (this.#listening.get(type) ?? new Set()).add(listener));
    super.addEventListener(type, listener);
  }
  removeEventListener(type, listener) {
    this.#listening.get(type)?.delete(listener);
    super.removeEventListener(type, listener);
  }
}

/** What a client may leave behind, counted. */
function counting() {
  const left = { timers: 0, sockets: 0, calls: 0 };
  const places = { window: new Place(), document: Object.assign(new Place(), { hidden: false }) };
  for (const [name, place] of Object.entries(places)) vi.stubGlobal(name, place);
  const clock = {
    now: () => Date.now(),
    after(ms, run) {
      let isOver = false;
      const over = () => {
        if (!isOver) left.timers -= 1;
        isOver = true;
      };
      left.timers += 1;
      const timer = setTimeout(() => (over(), run()), ms);
      return () => (over(), clearTimeout(timer));
    },
  };
  const closed = [];
  class Counted extends WebSocket {
    constructor(...address) {
      super(...address);
      left.sockets += 1;
      closed.push(once(this, "close").then(() => (left.sockets -= 1)));
    }
  }
  const counted = async (...request) => {
    left.calls += 1;
    return fetch(...request).finally(() => (left.calls -= 1));
  };
  return {
    left: () => ({ ...left, window: places.window.listeners, document: places.document.listeners }),
    closed: () => Promise.all(closed),
    options: { clock, WebSocket: Counted, fetch: counted },
  };
}

const NOTHING = { timers: 0, sockets: 0, calls: 0, window: 0, document: 0 };

withDaemon("stop", () => {
  test("leaves no timer, no socket, no call and no listener, whatever was underway", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ben, ann]);
    for (let i = 1; i <= 60; i += 1) await server.say(ben, id, `${i}`);
    const other = await person(ben);
    const count = counting();
    const client = await person(ann, count.options);
    await looking(client, id);
    await looking(other, id);
    other.typed(id, "t");
    await until(client, `conversation:${id}`, () => client.conversation(id).typing.length === 1);
    client.typed(id, "t");
    client.markRead(id);
    client.send(id, "on its way");
    client.send(id, "after it");
    const older = client.loadOlder(id);
    const call = assert.rejects(client.rest.call("GET", "conversations"), { code: "unreachable" });
    const { window, document, timers } = count.left();
    assert.ok(window + document > 0 && timers > 0, "there is something to leave");

    client.stop();
    assert.deepEqual(client.status, { state: "stopped", reason: null, retryAt: null });
    await Promise.all([older, call, count.closed()]);
    assert.deepEqual(count.left(), NOTHING);
    assert.deepEqual(client.conversation(id).typing, []);

    client.start();
    await ready(client);
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.at(-1).content === "after it");
    await until(client, `conversation:${id}`, () => client.conversation(id).messages.at(-1).state === "sent");
    client.suspend();
    client.stop();
    await count.closed();
    assert.deepEqual(count.left(), NOTHING);
  });

  test("lets the process end", async () => {
    const [ann, ben] = ids(2);
    const server = await daemon();
    const id = await server.group([ben, ann]);
    for (const WHEN of ["at once", "asking", "waiting", "done"]) {
      const child = spawn(process.execPath, [fileURLToPath(new URL("leaver.js", import.meta.url))], {
        env: { ...process.env, url: server.url, token: server.token(ann), id, WHEN },
        stdio: ["ignore", "pipe", "pipe"],
      });
      onTestFinished(() => child.kill("SIGKILL"));
      const said = [];
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => said.push(`${text}`));
      const began = Date.now();
      const [code] = await once(child, "close");
      assert.deepEqual([code, said.join("")], [0, "stopped\n"], `${WHEN}, after ${Date.now() - began} ms`);
    }
  });
});
