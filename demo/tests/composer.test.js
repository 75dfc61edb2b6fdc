// @vitest-environment happy-dom
import assert from "node:assert/strict";
import { afterEach, beforeEach, test, vi } from "vitest";

import { Composer } from "../composer.js";
import { Drafts } from "../drafts.js";

let client, form, drafts, composer, sent, troubles, conversation;

const field = () => form.querySelector("textarea");
const send = () => form.querySelector("[data-testid=send]");
const banner = () => form.querySelector(".writing-about");

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
    },
  );
  [sent, troubles] = [[], []];
  conversation = { id: "c1", type: "group", status: "ready", writable: true, count: 2, messages: [] };
  client = {
    typed: (id, text) => sent.push(["typed", id, text]),
    send: (id, content, more) => sent.push(["send", id, content, more]),
    edit: async (id, content) => void sent.push(["edit", id, content]),
    conversation: () => conversation,
    status: { state: "online" },
    on: () => () => {},
  };
  document.body.replaceChildren();
  form = document.createElement("form");
  document.body.append(form);
  drafts = new Drafts(null);
  composer = new Composer({
    client,
    form,
    drafts,
    onsend: () => sent.push(["onsend"]),
    ontrouble: (error) => troubles.push(error),
  });
  composer.show("c1");
  composer.render(conversation);
});
afterEach(() => void vi.useRealTimers());

const row = (more = {}) => ({
  ...{ id: "m1", key: "m1", own: true, message_type: "text", content: "Tehre", deleted_at: null },
  ...{ sender: { id: 2, name: "Ben" }, ...more },
});

function type(text) {
  field().value = text;
  field().dispatchEvent(new Event("input"));
}

function press(key, more = {}) {
  const event = new KeyboardEvent("keydown", { key, cancelable: true, bubbles: true, ...more });
  if (more.isComposing) Object.defineProperty(event, "isComposing", { value: true });
  if (more.keyCode) Object.defineProperty(event, "keyCode", { value: more.keyCode });
  field().dispatchEvent(event);
  return event;
}

const submit = () => form.dispatchEvent(new Event("submit", { cancelable: true }));
const done = (what) => sent.filter(([name]) => name === what);

test("Enter sends, and leaves an empty field without a draft", () => {
  type(" Hello 👋 ");
  assert.equal(drafts.get("c1"), " Hello 👋 ");
  assert.equal(press("Enter").defaultPrevented, true);
  assert.deepEqual(done("send"), [["send", "c1", "Hello 👋", {}]]);
  assert.equal(done("onsend").length, 1);
  assert.equal(field().value, "");
  assert.equal(drafts.get("c1"), "");
});

test("Shift and Enter make a new line, and nothing but white space is sent", () => {
  type("one");
  assert.equal(press("Enter", { shiftKey: true }).defaultPrevented, false);
  type(" \n ");
  assert.equal(send().disabled, true);
  press("Enter");
  assert.deepEqual(done("send"), []);
});

test("while an input method composes, Enter is its own", () => {
  type("안녀");
  assert.equal(press("Enter", { isComposing: true }).defaultPrevented, false);
  assert.equal(press("Process", { keyCode: 229 }).defaultPrevented, false);
  assert.equal(press("ArrowUp", { isComposing: true }).defaultPrevented, false);
  assert.deepEqual(done("send"), []);
});

test("sent by the button in mid-syllable, the syllable goes with it, once", () => {
  field().focus();
  field().dispatchEvent(new Event("compositionstart"));
  type("안녀");
  submit();
  assert.deepEqual(done("send"), []);
  // Losing the focus made the input method finish; the field has the whole syllable a moment after it said so.
  field().dispatchEvent(new Event("compositionend"));
  type("안녕");
  vi.runAllTimers();
  assert.deepEqual(done("send"), [["send", "c1", "안녕", {}]]);
  assert.equal(field().value, "");
  field().dispatchEvent(new Event("compositionstart"));
  type("다음");
  field().dispatchEvent(new Event("compositionend"));
  vi.runAllTimers();
  assert.equal(done("send").length, 1);
  assert.equal(field().value, "다음");
});

test("each conversation has its own draft", () => {
  type("for one");
  composer.show("c2");
  assert.equal(field().value, "");
  type("for two");
  composer.show("c1");
  assert.equal(field().value, "for one");
  assert.equal(drafts.get("c2"), "for two");
});

test("a draft of before the reload comes when it is known whose it is, and never over what is being written", () => {
  const stored = { getItem: () => '[["c1","from before"]]', setItem() {}, removeItem() {} };
  for (const [isTouched, expected] of [
    [false, "from before"],
    [true, ""],
  ]) {
    drafts = new Drafts(stored);
    form = document.createElement("form");
    const late = new Composer({ client, form, drafts, onsend() {}, ontrouble() {} });
    late.show("c1");
    // Begun, and taken back.
    if (isTouched) type("");
    drafts.enter(1);
    late.render(conversation);
    assert.equal(field().value, expected);
  }
});

test("Up in an empty field edits the last message of one's own; Esc brings the draft back", async () => {
  conversation.messages = [
    row({ id: "m0", content: "older" }),
    row(),
    row({ id: "m2", own: false }),
    row({ id: null }),
  ];
  type("a draft");
  assert.equal(press("ArrowUp").defaultPrevented, false);
  type("");
  press("ArrowUp");
  assert.equal(field().value, "Tehre");
  assert.equal(banner().dataset.testid, "editing");
  sent.length = 0;
  type("There");
  assert.equal(drafts.get("c1"), "");
  assert.deepEqual(sent, []);
  press("Enter");
  await vi.runAllTimersAsync();
  assert.deepEqual(done("edit"), [["edit", "m1", "There"]]);
  assert.equal(banner().hidden, true);
  type("a draft");
  composer.edit(row());
  press("Escape");
  assert.equal(field().value, "a draft");
  assert.deepEqual(done("send"), []);
});

test("an edit that is refused is told, and its words stay", async () => {
  client.edit = () => Promise.reject(new Error("no"));
  composer.edit(row());
  type("There");
  press("Enter");
  await vi.runAllTimersAsync();
  assert.equal(troubles.length, 1);
  assert.equal(field().value, "There");
  assert.equal(banner().dataset.testid, "editing");
});

test("an answer names what it answers, and leaves the draft alone", () => {
  type("half a");
  composer.reply(row({ own: false }));
  assert.equal(banner().dataset.testid, "replying");
  assert.match(banner().textContent, /Ben.*Tehre/s);
  assert.equal(field().value, "half a");
  composer.show("c2");
  assert.equal(banner().hidden, true);
  composer.show("c1");
  assert.equal(banner().hidden, false);
  type("half an answer");
  press("Enter");
  assert.deepEqual(done("send"), [["send", "c1", "half an answer", { reply_to: "m1" }]]);
  assert.equal(banner().hidden, true);
});

test("what is edited or answered was deleted: so is that, without taking the focus", () => {
  composer.reply(row());
  const elsewhere = document.createElement("button");
  document.body.append(elsewhere);
  elsewhere.focus();
  conversation.messages = [row({ deleted_at: "2026-05-12T00:00:00Z", content: null })];
  composer.render(conversation);
  assert.equal(banner().hidden, true);
  assert.equal(document.activeElement, elsewhere);
});

test("where one may not write stands why", () => {
  const closed = () => form.querySelector("[data-testid=composer-closed]");
  assert.equal(closed().hidden, true);
  for (const [more, words] of [
    [{ writable: false }, /read here/],
    [{ writable: false, type: "announcement" }, /Only admins/],
    [{ status: "gone", writable: false }, /not in this conversation/],
  ]) {
    composer.render({ ...conversation, ...more });
    assert.match(closed().textContent, words);
    assert.equal(form.querySelector(".composer-line").hidden, true);
    type("x");
    press("Enter");
    assert.deepEqual(done("send"), []);
  }
  // Not known yet is no reason.
  composer.render({ ...conversation, status: "loading", writable: false, count: 0 });
  assert.equal(closed().hidden, true);
});
