// @vitest-environment happy-dom
// What hangs on messages: uploads by links that are asked for late, what lies elsewhere as a link and nothing else.

import assert from "node:assert/strict";
import { beforeEach, test, vi } from "vitest";

import { Attached } from "../attached.js";
import { boxOf, heightOf, isPicture } from "../boxes.js";
import { saidIn } from "../content.js";
import { failure } from "../client/requests.js";
import { settle } from "./fakes.js";

const ID = "0198c0de-0000-7000-8000-00000000000";
const PATH = "/api/v1/messenger/attachments/";
const picture = (number = 1, more = {}) => ({
  ...{ url: `${PATH}${ID}${number}`, name: `${number}.png`, size: 1400, mime_type: "image/png" },
  ...{ width: 1600, height: 1200, thumbnail: true, ...more },
});
const pdf = { url: `${PATH}${ID}9`, name: "a.pdf", size: 1400, mime_type: "application/pdf" };

let observed, status, listeners, asked, refusals, attached, troubles;

/** Who tells what comes near the view; the test does. */
class FakeObserver {
  constructor(run) {
    this.run = run;
    observed = new Set();
    observed.come = (target, isIntersecting = true) => this.run([{ target, isIntersecting }]);
  }
  observe(element) {
    observed.add(element);
  }
  unobserve(element) {
    observed.delete(element);
  }
}

beforeEach(() => {
  vi.stubGlobal("IntersectionObserver", FakeObserver);
  window.happyDOM.setURL("https://chat.example/");
  [listeners, asked, refusals, troubles] = [[], [], [], []];
  status = { state: "online" };
  let count = 0;
  const client = {
    get status() {
      return status;
    },
    on: (_topic, listener) => listeners.push(listener),
    rest: {
      address: (path) => new URL(path, "https://chat.example/"),
      call: async (_method, path) => {
        asked.push(path);
        if (refusals.length > 0) throw refusals.shift();
        count += 1;
        const expires_at = new Date(Date.now() + 300_000).toISOString();
        return { url: `/content?${count}`, thumbnail_url: `/thumbnail?${count}`, expires_at };
      },
    },
  };
  document.body.replaceChildren();
  attached = new Attached({ client, scroller: document.body, ontrouble: (words) => troubles.push(words) });
});

function shown(...attachments) {
  const element = attached.of(attachments);
  document.body.append(element);
  return element;
}

const frameOf = (element) => element.querySelector(".shot");

test("a picture has its size before it has come, and is asked for when it comes near", async () => {
  const frame = frameOf(shown(picture()));
  assert.deepEqual([frame.style.width, frame.style.aspectRatio], ["320px", "320 / 240"]);
  assert.deepEqual([asked, frame.querySelector("img")], [[], null]);
  observed.come(frame, false);
  await settle();
  assert.deepEqual(asked, []);
  observed.come(frame);
  await settle();
  assert.deepEqual(asked, [`attachments/${ID}1/links`]);
  assert.equal(frame.querySelector("img").src, "https://chat.example/thumbnail?1");
  assert.equal(observed.has(frame), false);
  frame.querySelector("img").onload?.();
  frame.querySelector("img").dispatchEvent(new Event("load"));
  assert.equal(frame.dataset.state, "shown");
});

test("one whose link has expired is asked for once more, and no more than that", async () => {
  const frame = frameOf(shown(picture()));
  observed.come(frame);
  await settle();
  frame.querySelector("img").dispatchEvent(new Event("error"));
  await settle();
  assert.equal(frame.querySelector("img").src, "https://chat.example/thumbnail?2");
  frame.querySelector("img").dispatchEvent(new Event("error"));
  await settle();
  assert.deepEqual([asked.length, frame.dataset.state, frame.querySelector("img")], [2, "broken", null]);
});

test("one that could not be had for want of a network comes with the next connection; one that is gone does not", async () => {
  const [near, gone] = [frameOf(shown(picture(1))), frameOf(shown(picture(2)))];
  refusals.push(failure("unreachable"), failure("not_found"));
  for (const frame of [near, gone]) {
    observed.come(frame);
    await settle();
    assert.equal(frame.dataset.state, "broken");
  }
  for (const listener of listeners) listener();
  assert.deepEqual([observed.has(near), observed.has(gone)], [true, false]);
  observed.come(near);
  await settle();
  assert.equal(near.querySelector("img").src, "https://chat.example/thumbnail?1");
});

test("one that failed while nobody noticed that the network was gone is tried again a little later", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const frame = frameOf(shown(picture()));
  refusals.push(failure("unreachable"));
  observed.come(frame);
  await settle();
  assert.deepEqual([frame.dataset.state, observed.has(frame)], ["broken", false]);
  // Without a connection there is nothing to try: the next one says so itself.
  status = { state: "waiting" };
  vi.advanceTimersByTime(10_000);
  assert.equal(observed.has(frame), false);
  status = { state: "online" };
  for (const listener of listeners) listener();
  assert.equal(observed.has(frame), true);
  refusals.push(failure("unreachable"));
  observed.come(frame);
  await settle();
  vi.advanceTimersByTime(10_000);
  assert.equal(observed.has(frame), true);
  observed.come(frame);
  await settle();
  assert.equal(frame.querySelector("img").src, "https://chat.example/thumbnail?1");
  vi.useRealTimers();
});

test("what lies elsewhere is a link, and is never loaded, whatever it says it is", async () => {
  const elsewhere = { name: "a.png", size: 7, mime_type: "image/png", width: 300, height: 200, thumbnail: true };
  for (const [url, href] of [
    ["https://evil.example/a.png", "https://evil.example/a.png"],
    [`https://evil.example${PATH}${ID}1`, `https://evil.example${PATH}${ID}1`],
    [`${PATH}${ID}1?x`, `https://chat.example${PATH}${ID}1?x`],
    ["http://evil.example/a.png", null],
    ["javascript:alert(1)", null],
    ["data:image/svg+xml,<svg onload=alert(1)>", null],
    ["//evil.example/a.png", "https://evil.example/a.png"],
  ]) {
    const element = shown({ ...elsewhere, url });
    assert.equal(element.querySelector("a")?.href ?? null, href, url);
    assert.deepEqual([element.querySelector("img"), element.querySelector("button")], [null, null], url);
  }
  await settle();
  assert.deepEqual([asked, observed.size], [[], 0]);
});

test("a file is a button that loads it down, under its name", async () => {
  const clicked = [];
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function () {
    clicked.push([this.href, this.download, this.rel]);
  });
  const button = shown({ ...pdf, name: "\u202efdp.exe" }).querySelector("[data-testid=file]");
  assert.equal(button.querySelector(".attachment-name").textContent, "fdp.exe");
  button.click();
  await settle();
  assert.deepEqual(clicked, [["https://chat.example/content?1", "fdp.exe", "noopener noreferrer"]]);
  assert.equal(button.hasAttribute("aria-busy"), false);
});

test("a file that is not there any more is told", async () => {
  refusals.push(Object.assign(failure("not_found"), { status: 404 }));
  shown(pdf).querySelector("[data-testid=file]").click();
  await settle();
  assert.deepEqual(troubles, ["This file is not there any more."]);
});

test("pictures and files of a message stand together, pictures first", () => {
  const element = shown(pdf, picture(1), picture(2), { ...picture(3), width: undefined });
  assert.equal(element.querySelector(".tiles").dataset.count, "2");
  assert.deepEqual(
    [...element.querySelectorAll("[data-testid]")].map(({ dataset }) => dataset.testid),
    ["picture", "picture", "file", "file"],
  );
});

test("a picture is as large as there is room for it, in its shape", () => {
  assert.deepEqual(boxOf({ width: 200, height: 150 }), { width: 200, height: 150 });
  assert.deepEqual(boxOf({ width: 4000, height: 3000 }), { width: 320, height: 240 });
  assert.deepEqual(boxOf({ width: 3000, height: 4000 }), { width: 255, height: 340 });
  assert.deepEqual(boxOf({ width: 1600, height: 1200 }, 240), { width: 240, height: 180 });
  // To be seen and hit, however small or long.
  assert.deepEqual(boxOf({ width: 16, height: 16 }), { width: 128, height: 96 });
  assert.deepEqual(boxOf({ width: 9000, height: 90 }), { width: 320, height: 96 });
});

test("what hangs on a message is as high as thought", () => {
  assert.equal(heightOf([], 560), 0);
  assert.equal(heightOf([picture()], 560), 240);
  assert.equal(heightOf([picture(), picture()], 560), 158);
  assert.equal(heightOf([picture(), picture(), picture()], 560), 320);
  assert.equal(heightOf([pdf, pdf], 560), 116);
  assert.equal(isPicture({ ...picture(), mime_type: undefined }), false);
});

test("a message without words says what hangs on it", () => {
  const said = (...attachments) => saidIn({ content: "", attachments });
  assert.equal(saidIn({ content: "Look", attachments: [picture()] }), "Look");
  assert.equal(said(picture()), "Picture");
  assert.equal(said(picture(), picture()), "2 pictures");
  assert.equal(said({ ...pdf, name: "\u202ea.pdf" }), "File: a.pdf");
  assert.equal(said(picture(), pdf), "2 files");
  assert.equal(said({ url: "https://files.example/x" }), "File: Attachment");
  assert.equal(saidIn({ content: null, attachments: [] }), "");
});
