// Of vitest's globalSetup: the one daemon of the run, started when the first test asks for it, ended after the last.

import { once } from "node:events";
import { createServer } from "node:http";

import { Daemon, findPython } from "./daemon.js";

export default async function setup({ provide }) {
  const { python, missing = null } = findPython();
  if (missing && process.env.MESSENGER_TEST_REQUIRE_DAEMON === "1") throw new Error(missing);
  if (missing) console.warn(`Tests that need a daemon are skipped: ${missing}`);
  let shared = null;
  const keeper = createServer(async (_request, response) => {
    try {
      shared ??= Daemon.prepared(python).then((daemon) => daemon.start());
      const { url, secret } = await shared;
      response.end(JSON.stringify({ url, secret }));
    } catch (error) {
      response.writeHead(500).end(error.message);
    }
  }).listen(0, "127.0.0.1");
  await once(keeper, "listening");
  provide("daemon", { python, missing, keeper: `http://127.0.0.1:${keeper.address().port}/` });
  return async () => {
    keeper.close();
    keeper.closeAllConnections();
    await (await shared?.catch(() => null))?.close();
  };
}
