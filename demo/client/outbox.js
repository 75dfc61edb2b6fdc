// What this device has written and the server has not acknowledged. Of each conversation one is underway at a time, so that
// what one writes arrives in the order of writing whatever is refused or delayed. It is sent again with the same
// `client_id` until it is committed or refused; the server makes one message of it (protocol.md §3).

import { TOO_LONG, tooLarge } from "./requests.js";

const RESEND_MS = 2_000;
// Without any answer for so long, on a connection that lives, the question was lost on the way.
const ANSWER_MS = 15_000;
// Not refused, or the fate unknown: with the same id it is safe to ask once more.
const ONCE_MORE = new Set(["unavailable", "rate_limited"]);
// The server refused the id, not the message: another try needs another id.
const NEEDS_NEW_ID = "client_id_conflict";

/**
 * @typedef {object} Outgoing
 * @property {string} clientId
 * @property {string} conversationId
 * @property {string} content
 * @property {number} writtenAt  Milliseconds since 1970.
 * @property {"pending"|"failed"} state
 * @property {{code: string, message: string}|null} error  Why it failed.
 */

export class Outbox {
  #entries = new Map();
  // conversation id → what is underway there, and what calls its timer off.
  #underway = new Map();
  #send;
  #clock;
  #changes;
  #newId;

  /** `send(frame)` returns false where there is no connection: `resend` comes with the next one. Tells the topic `log`. */
  constructor({ send, clock, changes, newId = randomId }) {
    this.#send = send;
    this.#clock = clock;
    this.#changes = changes;
    this.#newId = newId;
  }

  /** Of one conversation, oldest first. @returns {Outgoing[]} */
  of(conversationId) {
    return [...this.#entries.values()].filter((entry) => entry.conversationId === conversationId);
  }

  /** Write a message and send it. @returns {Outgoing} */
  write(conversationId, content, writtenAt = this.#clock.now()) {
    const entry = { clientId: this.#newId(), conversationId, content, writtenAt, state: "pending", error: null };
    this.#entries.set(entry.clientId, entry);
    this.#next(conversationId);
    this.#changes.tell("log", conversationId);
    return entry;
  }

  /** Try a failed one again. */
  retry(clientId) {
    const entry = this.#entries.get(clientId);
    if (entry?.state !== "failed") return;
    if (entry.error.code === NEEDS_NEW_ID) {
      this.#entries.delete(clientId);
      this.write(entry.conversationId, entry.content, entry.writtenAt);
      return;
    }
    entry.state = "pending";
    entry.error = null;
    this.#next(entry.conversationId);
    this.#changes.tell("log", entry.conversationId);
  }

  /** Its writer gave it up. */
  discard(clientId) {
    const entry = this.#entries.get(clientId);
    this.settle(clientId);
    if (entry !== undefined) this.#changes.tell("log", entry.conversationId);
  }

  /** It is a message now. */
  settle(clientId) {
    const entry = this.#entries.get(clientId);
    if (entry === undefined) return;
    this.#entries.delete(clientId);
    this.#arrived(entry);
  }

  /** The connection is gone, and with it every answer. */
  lost() {
    for (const { cancel } of this.#underway.values()) cancel();
    this.#underway.clear();
  }

  /** There is a new connection: whatever was not acknowledged goes again, oldest first. */
  resend() {
    for (const conversationId of new Set([...this.#entries.values()].map((entry) => entry.conversationId)))
      this.#next(conversationId);
  }

  /** Take an `error` frame. Returns whether it was about something written here. */
  refused({ ref, code, message, retry_after_s = null }) {
    const entry = this.#entries.get(ref);
    if (entry === undefined) return false;
    if (!ONCE_MORE.has(code)) this.#fail(entry, { code, message });
    else if (this.#isUnderway(entry)) this.#again(entry, retry_after_s === null ? RESEND_MS : retry_after_s * 1000);
    return true;
  }

  #next(conversationId) {
    if (this.#underway.has(conversationId)) return;
    const entry = this.of(conversationId).find(({ state }) => state === "pending");
    if (entry !== undefined) this.#dispatch(entry);
  }

  #dispatch(entry) {
    const { clientId, conversationId, content } = entry;
    const frame = {
      type: "message.send",
      conversation_id: conversationId,
      content,
      client_id: clientId,
      ref: clientId,
    };
    if (tooLarge(frame)) this.#fail(entry, TOO_LONG);
    else if (this.#send(frame)) this.#again(entry, ANSWER_MS);
  }

  // It is underway, and goes once more after `ms` unless something comes of it before.
  #again(entry, ms) {
    this.#underway.get(entry.conversationId)?.cancel();
    const cancel = this.#clock.after(ms, () => this.#dispatch(entry));
    this.#underway.set(entry.conversationId, { entry, cancel });
  }

  #isUnderway(entry) {
    return this.#underway.get(entry.conversationId)?.entry === entry;
  }

  // Something came of it: the next one may go.
  #arrived(entry) {
    if (this.#isUnderway(entry)) {
      this.#underway.get(entry.conversationId).cancel();
      this.#underway.delete(entry.conversationId);
    }
    this.#next(entry.conversationId);
  }

  #fail(entry, { code, message }) {
    entry.state = "failed";
    entry.error = { code, message };
    this.#arrived(entry);
    this.#changes.tell("log", entry.conversationId);
  }
}

/** A random UUID, also where the page is served without TLS and `randomUUID` is withheld. */
function randomId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
