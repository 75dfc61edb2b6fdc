// Sending a file, and where one can be had: the client's part, with the network in our hands.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test, vi } from "vitest";

import { MessengerClient } from "../client/index.js";
import { isUpload, link, upload } from "../client/files.js";
import { RequestError } from "../client/requests.js";
import { settle } from "./fakes.js";

const ID = "0198c0de-0000-7000-8000-000000000001";
const OTHER = "0198c0de-0000-7000-8000-000000000002";
const PATH = "/api/v1/messenger/attachments/";
const UPLOADED = {
  ...{ id: ID, url: PATH + ID, name: "a.png", size: 5, mime_type: "image/png" },
  ...{ width: 30, height: 20, thumbnail: true },
};
const START = Date.parse("2026-05-12T10:00:00Z");

let asked, reasons, answers, sent;

/** What a page sends forms with; the test answers it. */
class FakeRequest {
  upload = {};
  headers = {};
  status = 0;
  responseText = "";
  isAborted = false;

  open(method, url) {
    Object.assign(this, { method, url: `${url}` });
  }
  setRequestHeader(name, value) {
    this.headers[name] = value;
  }
  send(form) {
    this.form = form;
    sent.push(this);
  }
  abort() {
    this.isAborted = true;
    this.onloadend();
  }
  answer(status, body) {
    Object.assign(this, { status, responseText: JSON.stringify(body) });
    this.onloadend();
  }
}

function device({ token = true } = {}) {
  const getToken = async ({ reason }) => (reasons.push(reason), `token${reasons.length}`);
  return new MessengerClient({
    url: "https://chat.example.org/here/",
    userId: 7,
    getToken: token ? getToken : undefined,
    storage: null,
    fetch: async (url, { headers }) => {
      asked.push({ path: `${url}`.replace("https://chat.example.org/here", ""), headers });
      return answers.shift();
    },
  });
}

const file = (name = "a.png", text = "bytes") => new File([text], name, { type: "image/png" });
const told = (promise) =>
  promise.then(assert.fail, (error) => {
    assert.ok(error instanceof RequestError, error);
    return [error.code, error.status];
  });

beforeEach(() => {
  [asked, reasons, answers, sent] = [[], [], [], []];
  vi.useFakeTimers({ now: START, toFake: ["Date", "setTimeout", "clearTimeout"] });
  vi.stubGlobal("XMLHttpRequest", FakeRequest);
});
afterEach(() => void vi.useRealTimers());

describe("an upload", () => {
  test("goes below the daemon's address with the token, and gives what a message carries", async () => {
    const done = upload(device(), file());
    await settle();
    const [{ method, url, headers, form }] = sent;
    assert.deepEqual([method, url], ["POST", `https://chat.example.org/here${PATH.slice(0, -1)}`]);
    // What a form is, and where its parts end, is the browser's to say.
    assert.deepEqual(headers, { Authorization: "Bearer token1" });
    assert.deepEqual([...form.keys()], ["file"]);
    assert.deepEqual([form.get("file").name, await form.get("file").text()], ["a.png", "bytes"]);
    sent[0].answer(201, UPLOADED);
    const { id, ...attachment } = UPLOADED;
    assert.deepEqual(await done, attachment);
  });

  test("of what is no picture tells nothing of one", async () => {
    const done = upload(device(), file("a.pdf"));
    await settle();
    const told = { ...UPLOADED, name: "a.pdf", mime_type: "application/pdf" };
    sent[0].answer(201, { ...told, width: null, height: null, thumbnail: false });
    assert.deepEqual(await done, { url: PATH + ID, name: "a.pdf", size: 5, mime_type: "application/pdf" });
  });

  test("says who we are where there is no authentication", async () => {
    upload(device({ token: false }), file());
    await settle();
    assert.deepEqual(sent[0].headers, { "X-User-Id": "7" });
  });

  test("has a name in whole syllables, whatever the system keeps it in", async () => {
    upload(device(), file("지도.png".normalize("NFD")));
    await settle();
    assert.equal(sent[0].form.get("file").name, "지도.png");
  });

  test("tells how far it is, and never more than all", async () => {
    const heard = [];
    upload(device(), file(), { onProgress: (...far) => heard.push(far) });
    await settle();
    for (const loaded of [2, 5, 180]) sent[0].upload.onprogress({ loaded });
    assert.deepEqual(heard, [
      [2, 5],
      [5, 5],
      [5, 5],
    ]);
  });

  test("goes again with another token where that has expired meanwhile", async () => {
    const done = upload(device(), file());
    await settle();
    sent[0].answer(401, { code: "unauthorized", reason: "token_expired" });
    await settle();
    assert.deepEqual([reasons, sent[1].headers.Authorization], [[null, "token_expired"], "Bearer token2"]);
    sent[1].answer(201, UPLOADED);
    assert.equal((await done).url, PATH + ID);
  });

  test("is refused as every call is", async () => {
    const codes = [];
    for (const [status, body] of [
      [413, { code: "too_large" }],
      [415, { code: "unsupported_media_type" }],
      [502, "<h1>Bad gateway</h1>"],
    ]) {
      const done = told(upload(device(), file()));
      await settle();
      sent.at(-1).answer(status, body);
      codes.push(await done);
    }
    assert.deepEqual(codes, [
      ["too_large", 413],
      ["unsupported_media_type", 415],
      ["unavailable", 502],
    ]);
  });

  test("that nobody answers is unreachable", async () => {
    const done = told(upload(device(), file()));
    await settle();
    sent[0].onloadend();
    assert.deepEqual(await done, ["unreachable", 0]);
  });

  test("may take long while it goes on, and ends where it does not", async () => {
    const done = told(upload(device(), file()));
    await settle();
    for (let loaded = 1; loaded <= 5; loaded += 1) {
      await vi.advanceTimersByTimeAsync(29_000);
      sent[0].upload.onprogress({ loaded });
    }
    assert.equal(sent[0].isAborted, false);
    await vi.advanceTimersByTimeAsync(30_000);
    assert.deepEqual([await done, sent[0].isAborted], [["unreachable", 0], true]);
  });

  test("leaves no timer behind", async () => {
    const done = upload(device(), file());
    await settle();
    sent[0].answer(201, UPLOADED);
    await done;
    assert.equal(vi.getTimerCount(), 0);
  });

  test("is called off, before it goes and on its way", async () => {
    const [before, under] = [new AbortController(), new AbortController()];
    before.abort();
    assert.deepEqual(await told(upload(device(), file(), { signal: before.signal })), ["aborted", 0]);
    await settle();
    assert.equal(sent.length, 0);
    const done = told(upload(device(), file(), { signal: under.signal }));
    await settle();
    under.abort();
    assert.deepEqual([await done, sent[0].isAborted, vi.getTimerCount()], [["aborted", 0], true, 0]);
  });

  test("ends with the client, and does not begin without a network", async () => {
    const client = device();
    const done = told(upload(client, file()));
    await settle();
    client.suspend();
    assert.deepEqual([await done, sent[0].isAborted], [["unreachable", 0], true]);
    assert.deepEqual(await told(upload(client, file())), ["disconnected", 0]);
  });

  test("goes where there is no page as well", async () => {
    vi.stubGlobal("XMLHttpRequest", undefined);
    vi.stubGlobal("fetch", async (url, { method, headers, body }) => {
      asked.push([`${url}`, method, headers, body.get("file").name]);
      return Response.json(UPLOADED, { status: 201 });
    });
    assert.equal((await upload(device(), file())).url, PATH + ID);
    assert.deepEqual(asked, [
      [`https://chat.example.org/here${PATH.slice(0, -1)}`, "POST", { Authorization: "Bearer token1" }, "a.png"],
    ]);
  });
});

describe("a link", () => {
  const links = (lasts_s, more = {}) =>
    Response.json({
      url: `${PATH}${ID}/content?expires=1&signature=x`,
      thumbnail_url: `${PATH}${ID}/thumbnail?expires=1&signature=y`,
      expires_at: new Date(Date.now() + lasts_s * 1000).toISOString(),
      ...more,
    });
  const own = { url: PATH + ID, name: "a.png", size: 5, mime_type: "image/png" };
  const paths = () => asked.map(({ path }) => path);

  test("lies where the daemon does, if that does not say where it is", async () => {
    answers.push(links(300), links(300, { url: "https://files.example.org/a", thumbnail_url: null }));
    const { url, thumbnail_url } = await link(device(), own);
    assert.deepEqual(
      [url, thumbnail_url],
      [
        `https://chat.example.org/here${PATH}${ID}/content?expires=1&signature=x`,
        `https://chat.example.org/here${PATH}${ID}/thumbnail?expires=1&signature=y`,
      ],
    );
    const said = await link(device(), own);
    assert.deepEqual([said.url, said.thumbnail_url], ["https://files.example.org/a", null]);
    assert.deepEqual(paths(), [`${PATH}${ID}/links`, `${PATH}${ID}/links`]);
  });

  test("is asked for once until shortly before it expires, by whoever asks", async () => {
    const client = device();
    answers.push(links(300));
    const [first, second] = await Promise.all([link(client, own), link(client, own)]);
    assert.equal(first, second);
    vi.setSystemTime(START + 269_000);
    assert.equal(await link(client, own), first);
    assert.equal(asked.length, 1);
    vi.setSystemTime(START + 271_000);
    answers.push(links(300));
    assert.notEqual(await link(client, own), first);
    assert.equal(asked.length, 2);
  });

  test("that lasts a moment is held for half of it", async () => {
    const client = device();
    answers.push(links(10), links(10));
    await link(client, own);
    vi.setSystemTime(START + 4_000);
    await link(client, own);
    assert.equal(asked.length, 1);
    vi.setSystemTime(START + 6_000);
    await link(client, own);
    assert.equal(asked.length, 2);
  });

  test("that did not work is replaced where somebody says so", async () => {
    const client = device();
    answers.push(links(300), links(300));
    await link(client, own);
    await link(client, own, { fresh: true });
    await link(client, own);
    assert.equal(asked.length, 2);
  });

  test("is each file's own, and each client's", async () => {
    const client = device();
    answers.push(links(300), links(300), links(300));
    await link(client, own);
    await link(client, { ...own, url: PATH + OTHER });
    await link(device(), own);
    assert.deepEqual(
      paths(),
      [ID, OTHER, ID].map((id) => `${PATH}${id}/links`),
    );
  });

  test("that was refused is asked for again", async () => {
    const client = device();
    answers.push(Response.json({ code: "not_found" }, { status: 404 }), links(300));
    assert.deepEqual(await told(link(client, own)), ["not_found", 404]);
    await link(client, own);
    assert.equal(asked.length, 2);
  });

  test("of what lies elsewhere is its address, and nobody is asked", async () => {
    const elsewhere = [
      `https://evil.example${PATH}${ID}`,
      `/${PATH}${ID}`,
      `${PATH}${ID}/../../users/me`,
      `${PATH}${ID}?x`,
      `${PATH}${ID}\n`,
      `${PATH}../users/me`,
      "javascript:alert(1)",
      "",
    ];
    for (const url of elsewhere) {
      assert.equal(isUpload({ url }), false, url);
      assert.deepEqual(await link(device(), { url }), { url, thumbnail_url: null, expires_at: null });
    }
    assert.equal(isUpload(own), true);
    assert.deepEqual(asked, []);
  });
});
