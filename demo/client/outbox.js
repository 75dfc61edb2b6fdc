// What this device has written and the server has not acknowledged. Of each conversation one is underway at a time, so that
// what one writes arrives in the order of writing whatever is refused or delayed. It is sent again with the same
// `client_id` until it is committed or refused; the server makes one message of it (protocol.md §3). A keep (keep.js) holds it
// across reloads.

/** @import { Changes } from "./changes.js" */
/** @import { Clock } from "./clock.js" */
/** @import { Frame, Message, Refusal } from "./types.js" */

import { randomId } from "./address.js";
import { TOO_LONG, failure, tooLarge } from "./requests.js";

// More than anybody writes by hand while the network is away.
const MOST = 500;
const RESEND_S = 2;
// Without any answer for so long, on a connection that lives, the question was lost on the way.
const ANSWER_MS = 15_000;
// Not refused, or the fate unknown: with the same id it is safe to ask once more.
const ONCE_MORE = ["unavailable", "rate_limited"];

/** @typedef {Pick<Message, "conversation_id"|"message_type"|"reply_to"|"mentions"|"attachments"|"metadata"> & {content: string}} Said */

/**
 * What is on its way; one that changes state is another object. `writtenAt`: milliseconds since 1970; `error`: why it failed.
 *
 * @typedef {Said & {client_id: string, writtenAt: number, state: "pending"|"failed", error: Refusal|null}} Outgoing
 */

/** @typedef {{put: (entry: Outgoing) => void, drop: (clientId: string) => void}} Keeping */

export class Outbox {
  /** @type {Map<string, Outgoing>} */
  #entries = new Map();
  /** @type {Map<string, {client_id: string, cancel: () => void}>} By conversation: what is underway there. */
  #underway = new Map();
  #send;
  #clock;
  #changes;
  #writtenAt = 0;
  // Nothing goes out until `adopt` has said what was written before.
  #isHeld = true;
  /** @type {Keeping} */
  #keep = { put() {}, drop() {} };

  /**
   * `send(frame)` returns false where there is no connection: `resend` comes with the next one. Tells the topic `list`.
   *
   * @param {(frame: Frame) => boolean} send
   * @param {Clock} clock
   * @param {Changes} changes
   */
  constructor(send, clock, changes) {
    this.#send = send;
    this.#clock = clock;
    this.#changes = changes;
  }

  /** Of one conversation, oldest first. @param {string} conversationId @returns {Outgoing[]} */
  of(conversationId) {
    const all = [...this.#entries.values()].filter((entry) => entry.conversation_id === conversationId);
    return all.sort((a, b) => a.writtenAt - b.writtenAt);
  }

  /** Hold everything here as well from now on. @param {Keeping} keep */
  keptBy(keep) {
    this.#keep = keep;
    for (const entry of this.#entries.values()) keep.put(entry);
  }

  /** Take over what was kept by somebody who is gone, oldest first. @param {Outgoing[]} [entries] */
  adopt(entries = []) {
    this.#isHeld = false;
    for (const entry of entries) if (!this.#entries.has(entry.client_id)) this.#put(entry);
    this.resend();
  }

  /** Write a message and send it. @param {Said} said @returns {Outgoing} */
  write(said) {
    // No two are written at the same time, so that they can be put in order again.
    this.#writtenAt = Math.max(this.#clock.now(), this.#writtenAt + 1);
    /** @type {Outgoing} */
    const entry = {
      ...JSON.parse(JSON.stringify(said)),
      client_id: randomId(),
      writtenAt: this.#writtenAt,
      state: "pending",
      error: null,
    };
    if (this.#entries.size >= MOST) throw failure("outbox_full");
    this.#go(entry);
    return entry;
  }

  /** Try a failed one again. @param {string} clientId */
  retry(clientId) {
    const entry = this.#entries.get(clientId);
    if (entry?.state !== "failed") return;
    this.#go({ ...entry, state: "pending", error: null });
  }

  /** Its writer gave it up. @param {string} clientId */
  discard(clientId) {
    const entry = this.#entries.get(clientId);
    this.settle(clientId);
    if (entry !== undefined) this.#changes.tell("list", entry.conversation_id);
  }

  /** It is a message now. @param {string} clientId */
  settle(clientId) {
    const entry = this.#entries.get(clientId);
    if (entry === undefined) return;
    this.#entries.delete(clientId);
    this.#keep.drop(clientId);
    this.#arrived(entry);
  }

  /** The connection is gone, and with it every answer. */
  lost() {
    for (const { cancel } of this.#underway.values()) cancel();
    this.#underway.clear();
  }

  /** There is a new connection: whatever was not acknowledged goes again, oldest first. */
  resend() {
    for (const { conversation_id } of this.#entries.values()) this.#next(conversation_id);
  }

  /**
   * Take an `error` frame. Returns whether it was about something written here.
   *
   * @param {Frame} frame
   */
  refused({ ref, code, message, retry_after_s }) {
    const entry = this.#entries.get(ref);
    if (entry === undefined) return false;
    if (!ONCE_MORE.includes(code)) this.#fail(entry, code, message);
    else if (this.#isUnderway(entry)) this.#again(entry, (retry_after_s ?? RESEND_S) * 1000);
    return true;
  }

  /** @param {Outgoing} entry */
  #go(entry) {
    this.#put(entry);
    this.#next(entry.conversation_id);
  }

  /** @param {Outgoing} entry */
  #put(entry) {
    this.#entries.set(entry.client_id, entry);
    this.#keep.put(entry);
    this.#changes.tell("list", entry.conversation_id);
  }

  /** @param {string} conversationId */
  #next(conversationId) {
    if (this.#isHeld || this.#underway.has(conversationId)) return;
    const entry = this.of(conversationId).find(({ state }) => state === "pending");
    if (entry !== undefined) this.#dispatch(entry);
  }

  /** @param {Outgoing} entry */
  #dispatch(entry) {
    const { writtenAt, state, error, ...said } = entry;
    const frame = { type: "message.send", ref: said.client_id, ...said };
    if (tooLarge(frame)) this.#fail(entry, TOO_LONG);
    else if (this.#send(frame)) this.#again(entry, ANSWER_MS);
  }

  // It is underway, and goes once more after `ms` unless something comes of it before.
  /** @param {Outgoing} entry @param {number} ms */
  #again(entry, ms) {
    const { client_id, conversation_id } = entry;
    this.#underway.get(conversation_id)?.cancel();
    this.#underway.set(conversation_id, { client_id, cancel: this.#clock.after(ms, () => this.#dispatch(entry)) });
  }

  /** @param {Outgoing} entry */
  #isUnderway({ client_id, conversation_id }) {
    return this.#underway.get(conversation_id)?.client_id === client_id;
  }

  // Something came of it: the next one may go.
  /** @param {Outgoing} entry */
  #arrived(entry) {
    if (this.#isUnderway(entry)) {
      this.#underway.get(entry.conversation_id)?.cancel();
      this.#underway.delete(entry.conversation_id);
    }
    this.#next(entry.conversation_id);
  }

  /** @param {Outgoing} entry @param {string} code */
  #fail(entry, code, message = code) {
    this.#put({ ...entry, state: "failed", error: { code, message } });
    this.#arrived(entry);
  }
}
