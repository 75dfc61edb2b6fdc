// @vitest-environment happy-dom
// Files that go with a message: the composer and its tray, with uploads that the test answers.

import assert from "node:assert/strict";
import { beforeEach, expect, test, vi } from "vitest";

import { RequestError, failure } from "../client/requests.js";
import { Composer } from "../composer.js";
import { Drafts } from "../drafts.js";
import { settle } from "./fakes.js";

const { uploads } = vi.hoisted(() => ({ uploads: [] }));
vi.mock("../client/files.js", () => ({
  isUpload: ({ url }) => url.startsWith("/"),
  upload: (_client, file, { onProgress, signal }) =>
    new Promise((resolve, reject) => {
      const attachment = { url: `/files/${file.name}`, name: file.name, size: file.size, mime_type: file.type };
      const there = (more) => resolve({ ...attachment, ...more });
      uploads.push({ name: file.name, onProgress, signal, there, refuse: reject });
      signal.addEventListener("abort", () => reject(failure("aborted")));
    }),
}));

let client, form, composer, done, told, listeners, previews;

const field = () => form.querySelector("textarea");
const send = () => form.querySelector("[data-testid=send]");
const status = () => form.querySelector("[data-testid=tray-status]").textContent;
const items = () =>
  [...form.querySelectorAll("[data-testid=tray-file]")].map((item) => [
    item.querySelector(".tray-name").textContent,
    item.dataset.state,
  ]);
const item = (name) => [...form.querySelectorAll("[data-testid=tray-file]")].find(({ title }) => title === name);
const words = (name) => item(name).querySelector(".tray-words").textContent;
const going = (name) => uploads.findLast((one) => one.name === name);
const messages = () => done.filter(([what]) => what === "send").map(([, ...more]) => more);
const file = (name = "a.png", type = "image/png", size = 4) => new File(["x".repeat(size)], name, { type });

function become(state) {
  client.status = { state };
  for (const listener of listeners) listener();
}

async function type(text) {
  field().value = text;
  field().dispatchEvent(new Event("input"));
}

function press(key) {
  field().dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true, bubbles: true }));
}

beforeEach(() => {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
    },
  );
  uploads.length = 0;
  [done, told, listeners, previews] = [[], [], [], new Set()];
  vi.spyOn(URL, "createObjectURL").mockImplementation(({ name }) => (previews.add(`blob:${name}`), `blob:${name}`));
  vi.spyOn(URL, "revokeObjectURL").mockImplementation((url) => previews.delete(url));
  const conversation = { type: "group", status: "ready", writable: true, count: 2, messages: [] };
  client = {
    status: { state: "online" },
    on: (_topic, listener) => listeners.push(listener),
    typed: () => {},
    edit: async (...asked) => done.push(["edit", ...asked]),
    send: (...sent) => done.push(["send", ...sent]),
    conversation: () => conversation,
  };
  document.body.replaceChildren();
  form = document.createElement("form");
  document.body.append(form);
  composer = new Composer({
    client,
    form,
    drafts: new Drafts(null),
    mostBytes: 1000,
    onsend: () => done.push(["onsend"]),
    ontrouble: (error) => told.push(error.code),
    ontold: (words) => told.push(words),
  });
  composer.show("c1");
  composer.render(conversation);
});

test("a picture is shown while it goes, and goes with the message", async () => {
  composer.attach([file()]);
  assert.deepEqual(items(), [["a.png", "going"]]);
  assert.equal(item("a.png").querySelector("img").src, "blob:a.png");
  going("a.png").onProgress(1, 4);
  assert.equal(item("a.png").querySelector("progress").value, 0.25);
  assert.match(words("a.png"), /^25% of 4/);
  going("a.png").there();
  await settle();
  assert.deepEqual(items(), [["a.png", "there"]]);
  assert.equal(item("a.png").querySelector("progress").hidden, true);
  await type("Look");
  press("Enter");
  const attachments = [{ url: "/files/a.png", name: "a.png", size: 4, mime_type: "image/png" }];
  assert.deepEqual(messages(), [["c1", "Look", { message_type: "image", attachments }]]);
  assert.deepEqual([items(), field().value, [...previews]], [[], "", []]);
});

test("files need no words, and are pictures only where all are", async () => {
  assert.equal(send().disabled, true);
  composer.attach([file(), file("b.pdf", "application/pdf")]);
  assert.equal(send().disabled, false);
  for (const { there } of uploads) there();
  await settle();
  press("Enter");
  const [[, content, { message_type, attachments }]] = messages();
  assert.deepEqual([content, message_type, attachments.map(({ name }) => name)], ["", "file", ["a.png", "b.pdf"]]);
});

test("a message waits for its files, and goes once", async () => {
  composer.attach([file(), file("b.png")]);
  await type("Look");
  press("Enter");
  press("Enter");
  assert.deepEqual([messages(), field().readOnly, send().disabled], [[], true, true]);
  assert.match(status(), /as soon as/);
  going("b.png").there();
  await settle();
  assert.deepEqual(messages(), []);
  going("a.png").there();
  await settle();
  assert.deepEqual(
    messages().map(([id, content, { attachments }]) => [id, content, attachments.map(({ name }) => name)]),
    [["c1", "Look", ["a.png", "b.png"]]],
  );
  assert.deepEqual([field().readOnly, field().value, status()], [false, "", ""]);
});

test("Esc, another file and the removal of one end the waiting", async () => {
  composer.attach([file()]);
  for (const end of [
    () => press("Escape"),
    () => composer.attach([file("b.png")]),
    () => item("b.png").querySelector("[data-testid=tray-remove]").click(),
  ]) {
    press("Enter");
    assert.equal(field().readOnly, true);
    end();
    assert.equal(field().readOnly, false);
  }
  going("a.png").there();
  await settle();
  assert.deepEqual([messages(), items()], [[], [["a.png", "there"]]]);
});

test("it waits while another conversation is open, and goes into its own", async () => {
  composer.attach([file()]);
  await type("Look");
  press("Enter");
  composer.show("c2");
  assert.deepEqual([items(), field().readOnly], [[], false]);
  await type("Something else");
  going("a.png").there();
  await settle();
  assert.deepEqual(
    messages().map(([id, content]) => [id, content]),
    [["c1", "Look"]],
  );
  assert.equal(field().value, "Something else");
  composer.show("c1");
  assert.deepEqual([field().value, items()], ["", []]);
});

test("one that is taken out is called off, and its picture let go", async () => {
  composer.attach([file(), file("b.png")]);
  item("a.png").querySelector("[data-testid=tray-remove]").click();
  assert.deepEqual(
    [going("a.png").signal.aborted, [...previews], items()],
    [true, ["blob:b.png"], [["b.png", "going"]]],
  );
  assert.equal(document.activeElement, item("b.png").querySelector("[data-testid=tray-remove]"));
});

test("three go at once, and ten with one message", async () => {
  composer.attach(Array.from({ length: 12 }, (_, index) => file(`${index}.png`)));
  assert.deepEqual(told, ["A message carries at most 10 files."]);
  assert.deepEqual([items().length, uploads.length], [10, 3]);
  uploads[1].there();
  await settle();
  assert.deepEqual(
    uploads.map(({ name }) => name),
    ["0.png", "1.png", "2.png", "3.png"],
  );
});

test("what is too large is told at once, and what the server refuses when it does", async () => {
  composer.attach([file("large.png", "image/png", 1001), file("b.exe", "application/x-msdownload")]);
  assert.deepEqual(
    uploads.map(({ name }) => name),
    ["b.exe"],
  );
  assert.match(words("large.png"), /Too large: at most 1 kB/);
  press("Enter");
  assert.match(status(), /Remove what could not be uploaded/);
  going("b.exe").refuse(new RequestError({ code: "unsupported_media_type" }, 415));
  await settle();
  assert.equal(words("b.exe"), "Files of this kind cannot be sent.");
  for (const name of ["large.png", "b.exe"]) {
    assert.equal(item(name).querySelector(".tray-words").getAttribute("role"), "alert");
    // It would be refused again.
    assert.equal(item(name).querySelector("[data-testid=tray-retry]").hidden, true);
  }
  assert.deepEqual([messages(), field().readOnly], [[], false]);
});

test("a message that waits is kept back by a refusal, and says why", async () => {
  composer.attach([file(), file("b.exe", "application/x-msdownload")]);
  press("Enter");
  going("b.exe").refuse(new RequestError({ code: "unsupported_media_type" }, 415));
  going("a.png").there();
  await settle();
  assert.deepEqual([messages(), field().readOnly], [[], false]);
  assert.match(status(), /Remove what could not be uploaded/);
  item("b.exe").querySelector("[data-testid=tray-remove]").click();
  assert.equal(status(), "");
  press("Enter");
  assert.equal(messages().length, 1);
});

test("what failed goes again when one says so", async () => {
  composer.attach([file()]);
  going("a.png").refuse(new RequestError({ code: "internal", detail: "Sorry" }, 500));
  await settle();
  assert.match(words("a.png"), /Something went wrong on the server/);
  const again = item("a.png").querySelector("[data-testid=tray-retry]");
  assert.equal(again.hidden, false);
  again.click();
  assert.deepEqual([uploads.length, items()], [2, [["a.png", "going"]]]);
});

test("without a network files wait and say so, and go with the next connection, and the message after them", async () => {
  become("waiting");
  composer.attach([file()]);
  assert.deepEqual([uploads.length, items()], [0, [["a.png", "waiting"]]]);
  assert.match(status(), /as soon as you are connected/);
  press("Enter");
  become("online");
  assert.deepEqual(items(), [["a.png", "going"]]);
  // It goes once more, on the way.
  going("a.png").refuse(failure("unreachable"));
  await settle();
  assert.deepEqual(items(), [["a.png", "failed"]]);
  become("waiting");
  become("online");
  going("a.png").there();
  await settle();
  assert.deepEqual([uploads.length, messages().length], [2, 1]);
});

test("one that breaks off with the connection waits for the next one", async () => {
  composer.attach([file()]);
  client.status = { state: "waiting" };
  going("a.png").refuse(failure("unreachable"));
  await settle();
  assert.deepEqual(items(), [["a.png", "waiting"]]);
});

test("an edit has nothing to do with them", async () => {
  composer.attach([file()]);
  const row = { id: "m1", key: "m1", own: true, message_type: "text", content: "Tehre", sender: { name: "Ann" } };
  composer.edit(row);
  assert.equal(composer.takesFiles, false);
  await type("There");
  press("Enter");
  await settle();
  assert.deepEqual(done, [["edit", "m1", "There"]]);
  assert.deepEqual([composer.takesFiles, items()], [true, [["a.png", "going"]]]);
});

test("a message that cannot be sent keeps its files", async () => {
  client.send = () => {
    throw new RequestError({ code: "outbox_full" });
  };
  composer.attach([file()]);
  press("Enter");
  going("a.png").there();
  await settle();
  assert.deepEqual([told, items(), field().readOnly], [["outbox_full"], [["a.png", "there"]], false]);
});

test("a name that turns text round does so nowhere", () => {
  composer.attach([file("\u202egnp.exe", "application/zip")]);
  expect(item("gnp.exe").querySelector(".tray-name").textContent).toBe("gnp.exe");
  expect(item("gnp.exe").innerHTML).not.toContain("\u202e");
});
