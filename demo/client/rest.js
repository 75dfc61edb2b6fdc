// REST calls (protocol.md §5): those that frames do not cover, and whatever the application wants. Each ends within 15 s, and
// rejects with a RequestError.

import { below } from "./address.js";
import { RequestError, failure } from "./requests.js";

/** @import { Clock } from "./clock.js" */
/** @import { Tokens } from "./token.js" */

const TIMEOUT_MS = 15_000;

/** @typedef {(url: URL, asked: RequestInit & {headers: Record<string, string>}) => Promise<Response>} Fetch */

/**
 * @typedef {object} RestParts
 * @property {string} [url]  Where the daemon lives. Default: where the page does.
 * @property {number | string} userId
 * @property {Tokens} tokens
 * @property {typeof globalThis.fetch} [fetch]
 * @property {Clock} clock
 */

export class Rest {
  #parts;
  #isSuspended = false;
  /** @type {Set<AbortController>} */
  #underway = new Set();

  /** @param {RestParts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /** As if the network were gone, also for what is underway, until `resume`. */
  suspend() {
    this.#isSuspended = true;
    for (const abort of this.#underway) abort.abort();
  }

  resume() {
    this.#isSuspended = false;
  }

  /** Where something of the daemon's is. @param {string} path  Without a slash before it. */
  address(path) {
    return below(this.#parts.url, path);
  }

  /**
   * Call one endpoint. Resolves with what it answers, null where that is nothing.
   *
   * @param {string} method
   * @param {string} path  Below /api/v1/messenger.
   * @param {object} [body]
   * @param {Fetch} [fetch]  What asks in its place, and ends by itself.
   * @returns {Promise<any>}
   */
  async call(method, path, body, fetch) {
    if (this.#isSuspended) throw failure("disconnected");
    const abort = new AbortController();
    const cancel = fetch ? () => {} : this.#parts.clock.after(TIMEOUT_MS, () => abort.abort());
    this.#underway.add(abort);
    // Neither a token that never comes nor a network that never answers is waited for any longer.
    const ended = new Promise((_, reject) => (abort.signal.onabort = () => reject(failure("unreachable"))));
    try {
      return await Promise.race([ended, this.#attempt(abort.signal, method, path, body, fetch)]);
    } finally {
      cancel();
      this.#underway.delete(abort);
    }
  }

  /**
   * @param {AbortSignal} signal
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @param {Fetch} [fetch]
   * @param {string | null} [expired]  The token with which it was tried before.
   * @returns {Promise<any>}
   */
  async #attempt(signal, method, path, body, fetch = this.#parts.fetch ?? globalThis.fetch, expired = null) {
    const { userId, tokens } = this.#parts;
    const token = await tokens.get(expired && "token_expired", expired).catch(() => {
      throw failure("no_token");
    });
    const response = await fetch(this.address(`api/v1/messenger/${path.replace(/^\//, "")}`), {
      method,
      headers: {
        ...(token === null ? { "X-User-Id": `${userId}` } : { Authorization: `Bearer ${token}` }),
        ...(body ? { "Content-Type": "application/json" } : {}),
      },
      body: body && JSON.stringify(body),
      signal,
    }).catch(() => {
      throw failure("unreachable");
    });
    const { ok, status } = response;
    const answer = status === 204 ? null : await response.json().catch(() => undefined);
    if (status === 401 && answer?.reason === "token_expired" && token !== null && expired === null)
      return this.#attempt(signal, method, path, body, fetch, token);
    // Whoever answers without a code is no daemon: something in between.
    if (!ok) throw new RequestError(answer?.code ? answer : { code: status < 500 ? "refused" : "unavailable" }, status);
    if (answer === undefined) throw failure("unreachable");
    return answer;
  }

  /** All conversations of mine, latest activity first. */
  async conversations() {
    const all = [];
    let cursor = "";
    do {
      const { conversations, next_cursor } = await this.call("GET", `conversations?limit=100${cursor}`);
      all.push(...conversations);
      cursor = next_cursor && `&cursor=${encodeURIComponent(next_cursor)}`;
    } while (cursor);
    return all;
  }
}
