// The package as npm packs it, and README's examples on it: compiled as they stand there, and run.

import "./browser.js";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { fireEvent } from "@testing-library/react";
import { transform } from "esbuild";
import { createElement } from "react";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { daemon, ids, withDaemon } from "./daemon.js";
import { draw, seen } from "./page.js";

const DEMO = fileURLToPath(new URL("../../", import.meta.url));
const README = readFileSync(join(DEMO, "../README.md"), "utf8");
const URL_IN_README = "https://chat.example.org/";

const scratch = mkdtempSync(join(tmpdir(), "messenger-react-"));
const app = join(scratch, "app");
let packed: string[];

beforeAll(() => {
  const source = join(scratch, "source");
  const isOurs = (path: string) => !/(^|\/)(node_modules|dist|example|tests)(\/|$)/.test(relative(DEMO, path));
  for (const folder of ["client", "react"])
    cpSync(join(DEMO, folder), join(source, folder), { recursive: true, filter: isOurs });
  cpSync(join(DEMO, "package.json"), join(source, "package.json"));
  symlinkSync(join(DEMO, "node_modules"), join(source, "node_modules"));
  const told = run("npm", ["pack", "--json", "--pack-destination", scratch], join(source, "react"));
  const [{ filename, files }] = JSON.parse(told.slice(told.indexOf("[\n")));
  packed = files.map(({ path }: { path: string }) => path);

  const installed = join(app, "node_modules/messenger-react");
  mkdirSync(installed, { recursive: true });
  run("tar", ["-xzf", join(scratch, filename), "--strip-components=1", "-C", installed], scratch);
  for (const name of ["react", "ws", "@types"])
    symlinkSync(join(DEMO, "node_modules", name), join(app, "node_modules", name));
  writeFileSync(join(app, "package.json"), '{ "type": "module" }');
});

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test("the lock file records no addresses, only what is to come from there", () => {
  const { packages } = JSON.parse(readFileSync(join(DEMO, "package-lock.json"), "utf8"));
  const installed = Object.entries<any>(packages).filter(
    ([path, { link }]) => path.startsWith("node_modules/") && !link,
  );
  expect(installed.filter(([, { integrity, resolved }]) => !integrity || resolved)).toEqual([]);
  expect(installed.length).toBeGreaterThan(50);
});

describe("the package", () => {
  test("holds what it needs, and nothing else", () => {
    const kinds = new Set(packed.map((path) => path.replace(/[\w-]+(?=\.(d\.ts|js)$)/, "*")));
    expect([...kinds].sort()).toEqual([
      "LICENSE",
      "README.md",
      "dist/client/*.d.ts",
      "dist/client/*.js",
      "dist/react/src/*.d.ts",
      "dist/react/src/*.js",
      "package.json",
    ]);
    const core = readdirSync(join(DEMO, "client"));
    expect(
      packed
        .filter((path) => /^dist\/client\/.*\.js$/.test(path))
        .map((path) => path.slice(12))
        .sort(),
    ).toEqual(core.sort());
  });

  test("is imported where there is no page and no React, and does nothing by that", () => {
    const script = `
      const before = Object.keys(globalThis).join();
      const { MessengerClient } = await import("messenger-react/client");
      const client = new MessengerClient();
      const { useConversation } = await import("messenger-react");
      for (const name of ["files", "manage", "tabs"]) await import("messenger-react/" + name);
      console.log(client.status.state, client.conversations().length, typeof useConversation, Object.keys(globalThis).join() === before);`;
    // It ends by itself: nothing is left that would keep it.
    expect(run("node", ["--input-type=module", "-e", script], app)).toBe("idle 0 function true\n");
  });

  test.each(["Bundler", "NodeNext"])(
    "has types that a strict application can rely on, resolved as by %s",
    (resolution) => {
      writeFileSync(join(app, "consumer.tsx"), CONSUMER);
      typecheck(resolution, "consumer.tsx");
    },
  );
});

describe("README", () => {
  test.each(["Bundler", "NodeNext"])("has an example for React that compiles, resolved as by %s", (resolution) => {
    writeFileSync(join(app, "chat.tsx"), example("tsx", "MessengerProvider"));
    typecheck(resolution, "chat.tsx");
  });

  test("has an example without React that compiles", () => {
    writeFileSync(join(app, "core.js"), example("js", "MessengerClient"));
    typecheck("Bundler", "core.js", { allowJs: true, checkJs: true, noImplicitAny: false });
  });
});

withDaemon("README's examples", () => {
  test("in React: somebody opens a conversation, writes, and sees what the other says", async () => {
    const reachable = await daemon();
    const [annId, benId] = ids(2);
    const id = await reachable.group([annId, benId], { title: "Hike" });
    await reachable.say(benId, id, "Who comes?");
    const { fetch } = globalThis;
    vi.stubGlobal("WebSocket", WebSocket);
    vi.stubGlobal("fetch", (...asked: Parameters<typeof fetch>) =>
      asked[0] === "/chat-token" ? new Response(reachable.token(annId, { name: "Ann" })) : fetch(...asked),
    );

    const { code } = await transform(example("tsx", "MessengerProvider").replace(URL_IN_README, reachable.url), {
      loader: "tsx",
      jsx: "automatic",
    });
    writeFileSync(join(app, "chat.js"), code);
    const { Chat } = await import(/* @vite-ignore */ pathToFileURL(join(app, "chat.js")).href);
    const { container } = draw(createElement(Chat));

    await seen(() => container.textContent!.includes("Ann is online"));
    const item = await seen(() =>
      [...container.querySelectorAll("button")].find((button) => button.textContent === "Hike 1"),
    );
    fireEvent.click(item);
    const input = await seen(() => container.querySelector("input"));
    fireEvent.change(input, { target: { value: "I do" } });
    fireEvent.submit(input.form!);
    await seen(() => [...container.querySelectorAll("p.sent")].some((row) => row.textContent === "Ann: I do"));
    expect(input.value).toBe("");
    await seen(() => item.textContent!.trim() === "Hike");
    await reachable.say(benId, id, "Good");
    await seen(() => container.querySelector("p:last-of-type")!.textContent!.endsWith(": Good"));
  });

  test("without React, in Node: somebody writes and sees it stored", async () => {
    const reachable = await daemon();
    const [annId] = ids(1);
    const id = await reachable.group([annId]);
    writeFileSync(join(app, "live.js"), example("js", "MessengerClient").replace(URL_IN_README, reachable.url));
    writeFileSync(join(app, "run.js"), RUN);
    const env = { ...process.env, TOKEN: reachable.token(annId, { name: "Ann" }), CONVERSATION: id };
    expect(run("node", ["run.js"], app, env).split("\n")).toEqual(
      expect.arrayContaining(["pending I do", "sent I do"]),
    );
  });
});

const CONSUMER = `
import { MessengerProvider, RequestError, useConversation, useConversations, usePresence, useUnreadTotal } from "messenger-react";
import type { Conversation, Person, Row } from "messenger-react";
import { MessengerClient } from "messenger-react/client";
import type { ConversationSummary } from "messenger-react/client";
import type { Attachment } from "messenger-react/client";
import { link, upload } from "messenger-react/files";
import { direct, setNotifications } from "messenger-react/manage";
import { shareTabs } from "messenger-react/tabs";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <_ extends true>() => {};

const client = new MessengerClient({ url: "https://chat.example.org/", userId: 7, getToken: async ({ reason }) => reason ?? "" });
is<Same<ReturnType<typeof client.conversation>, Conversation>>();
is<Same<ReturnType<typeof client.conversations>, ConversationSummary[]>>();
is<Same<ReturnType<typeof client.send>, string>>();
is<Same<ReturnType<typeof client.on>, () => void>>();
is<Same<Awaited<ReturnType<typeof direct>>, string>>();
setNotifications(client, "", { level: "none" });
is<Same<Awaited<ReturnType<typeof upload>>, Attachment>>();
upload(client, new File([], "a.txt"), { onProgress: (sent, size) => sent / size, signal: new AbortController().signal })
  .then((file) => client.send("", "", { message_type: "file", attachments: [file] }));
is<Same<Awaited<ReturnType<typeof link>>["thumbnail_url"], string | null>>();

export function Page({ id }: { id: string }) {
  const { messages, typing, send, edit } = useConversation(id);
  is<Same<typeof messages, Row[]>>();
  is<Same<typeof typing, Person[]>>();
  const count = useConversation(id, ({ messages }) => messages.length);
  is<Same<typeof count, number>>();
  const titles = useConversations((all) => all.map(({ title }) => title));
  is<Same<typeof titles, string[]>>();
  is<Same<ReturnType<typeof useUnreadTotal>, number>>();
  const at: string | null | undefined = usePresence([1])[1]?.last_seen_at;
  const row = messages[0];
  if (row?.id === null) row.seq satisfies null;
  edit("", "").catch((error) => error instanceof RequestError && error.code);
  // @ts-expect-error
  send(7);
  // @ts-expect-error
  messages[0].nothing;
  return (
    <MessengerProvider client={client}>
      <MessengerProvider userId="me" connect={shareTabs}>{at}</MessengerProvider>
      {/* @ts-expect-error */}
      <MessengerProvider client={client} userId={7} />
    </MessengerProvider>
  );
}
`;

const RUN = `
import { WebSocket } from "ws";
const { fetch } = globalThis;
globalThis.WebSocket ??= WebSocket;
globalThis.fetch = async (...asked) => (asked[0] === "/chat-token" ? new Response(process.env.TOKEN) : fetch(...asked));
const { show, say } = await import("./live.js");
const done = show(process.env.CONVERSATION, ({ messages }) => {
  for (const { content, own, state } of messages) if (own) console.log(state, content);
  if (messages.at(-1)?.state !== "sent") return;
  done();
  process.exit();
});
say(process.env.CONVERSATION, "I do");
`;

/** The fenced block of README in that language in which a word stands. */
function example(language: string, word: string): string {
  const blocks = [...README.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(
    ([, is, code]) => is === language && code.includes(word),
  );
  expect(blocks).toHaveLength(1);
  return blocks[0][2];
}

function typecheck(resolution: string, file: string, more = {}) {
  const compilerOptions = {
    ...{ target: "ES2022", module: resolution === "NodeNext" ? "NodeNext" : "ESNext", moduleResolution: resolution },
    ...{ lib: ["ES2023", "DOM", "DOM.Iterable"], types: [], jsx: "react-jsx", strict: true, noEmit: true, ...more },
  };
  writeFileSync(join(app, "tsconfig.json"), JSON.stringify({ compilerOptions, files: [file] }));
  run(join(DEMO, "node_modules/.bin/tsc"), ["-p", "."], app);
}

function run(command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv = process.env): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: "utf8", timeout: 120_000 });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${status}\n${stdout}${stderr}`);
  return stdout;
}
