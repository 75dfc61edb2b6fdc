// Files that messages carry (protocol.md §5): sending one there, and where one can be had for a while. Apart from the client, as
// manage.js is. Everything rejects with a RequestError.

import { systemClock } from "./clock.js";
import { failure } from "./requests.js";

/** @import { MessengerClient } from "./client.js" */
/** @import { Fetch } from "./rest.js" */
/** @import { Attachment } from "./types.js" */

// Nothing went on for so long: it is over. A large file on a slow line takes its time.
const QUIET_MS = 30_000;
// A link is not used up to its last moment: what it leads to has to begin by then.
const EARLY_MS = 30_000;
const MOST_LINKS = 500;
const UPLOAD = /^\/api\/v1\/messenger\/attachments\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;

/**
 * @typedef {object} UploadOptions
 * @property {(sent: number, size: number) => void} [onProgress]  Bytes on their way. It begins anew where a token has expired meanwhile.
 * @property {AbortSignal} [signal]  Ends it: `aborted`.
 */

/**
 * @typedef {object} Link
 * @property {string} url  Where the file can be had, by anybody who has this, until `expires_at`.
 * @property {string|null} thumbnail_url  A small picture of it; null where there is none.
 * @property {string|null} expires_at  Null where it does not expire: a file that is not the daemon's.
 */

/** Links, each until it is about to expire. @type {WeakMap<MessengerClient, Map<string, {link: Promise<Link>, until: number}>>} */
const held = new WeakMap();

/**
 * Send a file. Resolves with what a message carries: `client.send(id, "", {message_type: "image", attachments: [attachment]})`. Until
 * one does, nobody else can have it, and after a day it is gone.
 *
 * @param {MessengerClient} client
 * @param {Blob & {name?: string}} file
 * @param {UploadOptions} [options]
 * @returns {Promise<Attachment>}
 */
export async function upload(client, file, { onProgress = () => {}, signal } = {}) {
  const form = new FormData();
  // As most people write it: some systems hand out Hangul in its letters.
  form.append("file", file, (file.name ?? "file").normalize());
  const ending = new AbortController();
  let why = "aborted";
  let calm = () => {};
  const goesOn = () => {
    calm();
    calm = systemClock.after(QUIET_MS, () => {
      why = "unreachable";
      ending.abort();
    });
  };
  const end = () => ending.abort();
  const ended = new Promise((_, reject) =>
    ending.signal.addEventListener("abort", () => reject(failure(why)), { once: true }),
  );
  signal?.addEventListener("abort", end);
  if (signal?.aborted) end();
  goesOn();
  const asks = sender(form, ending.signal, (sent) => {
    goesOn();
    onProgress(Math.min(sent, file.size), file.size);
  });
  try {
    const told = /** @type {Promise<any>} */ (
      ending.signal.aborted ? ended : Promise.race([ended, client.rest.call("POST", "attachments", undefined, asks)])
    );
    const { url, name, size, mime_type, width, height, thumbnail } = await told;
    const picture = width ? { width, height, ...(thumbnail && { thumbnail }) } : {};
    return { url, name, size, mime_type, ...picture };
  } finally {
    calm();
    signal?.removeEventListener("abort", end);
  }
}

/** Whether a file is the daemon's own: such a one has no address of its own, but links. @param {Attachment} attachment */
export const isUpload = ({ url }) => UPLOAD.test(url);

/**
 * Where a file can be had now. Of one that is not the daemon's: where it says itself, whatever is there.
 *
 * @param {MessengerClient} client
 * @param {Attachment} attachment
 * @param {{fresh?: boolean}} [options]  `fresh`: another link than the one that is held, which did not work.
 * @returns {Promise<Link>}
 */
export function link(client, { url }, { fresh = false } = {}) {
  const id = url.match(UPLOAD)?.[1];
  if (id === undefined) return Promise.resolve({ url, thumbnail_url: null, expires_at: null });
  const links = held.get(client) ?? new Map();
  held.set(client, links);
  const last = links.get(id);
  if (last !== undefined && !fresh && systemClock.now() < last.until) return last.link;
  links.delete(id);
  if (links.size >= MOST_LINKS) links.delete(links.keys().next().value);
  // Whoever asks while it is on its way shares it.
  const entry = { link: ask(client, id), until: Infinity };
  links.set(id, entry);
  entry.link.then(
    ({ expires_at }) => {
      const left = Date.parse(`${expires_at}`) - systemClock.now();
      entry.until = systemClock.now() + left - Math.min(EARLY_MS, left / 2);
    },
    () => links.get(id) === entry && links.delete(id),
  );
  return entry.link;
}

/** @param {MessengerClient} client @param {string} id @returns {Promise<Link>} */
async function ask(client, id) {
  const { url, thumbnail_url, expires_at } = await client.rest.call("GET", `attachments/${id}/links`);
  // A daemon that was not told its own address names paths.
  const whole = (/** @type {string} */ at) => (at.startsWith("/") ? client.rest.address(at.slice(1)).href : at);
  return { url: whole(url), thumbnail_url: thumbnail_url && whole(thumbnail_url), expires_at };
}

/**
 * What sends a form in the place of `fetch`, which tells nothing of how far it is. Where there is no XMLHttpRequest, outside of
 * browsers, nothing is told.
 *
 * @param {FormData} form
 * @param {AbortSignal} ending
 * @param {(sent: number) => void} progressed
 * @returns {Fetch}
 */
const sender =
  (form, ending, progressed) =>
  (url, { method = "POST", headers, signal }) => {
    const { XMLHttpRequest } = globalThis;
    const either = AbortSignal.any([ending, /** @type {AbortSignal} */ (signal)]);
    if (XMLHttpRequest === undefined) return fetch(url, { method, headers, body: form, signal: either });
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const abort = () => request.abort();
      either.throwIfAborted();
      either.addEventListener("abort", abort);
      request.open(method, url);
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      request.upload.onprogress = ({ loaded }) => progressed(loaded);
      request.onloadend = () => {
        either.removeEventListener("abort", abort);
        const { status, responseText } = request;
        if (status > 0) resolve(new Response(responseText || null, { status }));
        else reject(new TypeError("no answer"));
      };
      request.send(form);
    });
  };
