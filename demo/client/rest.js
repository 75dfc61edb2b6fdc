// The few REST calls that frames do not cover (protocol.md §5). Each rejects with a RestError.

const PAGE = 100;

/** `code` as in protocol.md §4; `unreachable` where there was no answer at all. */
export class RestError extends Error {
  constructor(status, code, message) {
    super(message);
    this.name = "RestError";
    this.status = status;
    this.code = code;
  }
}

export class Rest {
  #base;
  #headers;
  #fetch;

  /** `base` ends with a slash. `headers()` says who we are, asked anew for each call. */
  constructor({ base, headers = () => ({}), fetch = globalThis.fetch }) {
    this.#base = base;
    this.#headers = headers;
    this.#fetch = fetch;
  }

  /** All of mine, latest activity first. */
  async conversations() {
    const all = [];
    let cursor = null;
    do {
      const query = new URLSearchParams({ limit: PAGE, ...(cursor === null ? {} : { cursor }) });
      const page = await this.#call("GET", `conversations?${query}`);
      all.push(...page.conversations);
      cursor = page.next_cursor ?? null;
    } while (cursor !== null);
    return all;
  }

  /** The direct conversation with somebody: made now, or the one that is there. */
  direct(userId) {
    return this.#call("POST", "conversations", { type: "direct", participant_ids: [userId] });
  }

  async participants(conversationId) {
    return (await this.#call("GET", `conversations/${conversationId}/participants`)).participants;
  }

  /** Who left it. */
  async former(conversationId) {
    return (await this.#call("GET", `conversations/${conversationId}/participants/former`)).participants;
  }

  async users(ids) {
    return (await this.#call("GET", `users?${new URLSearchParams({ ids: ids.join(",") })}`)).users;
  }

  async #call(method, path, body = null) {
    let response;
    try {
      response = await this.#fetch.call(globalThis, new URL(path, this.#base), {
        method,
        headers: { ...this.#headers(), ...(body === null ? {} : { "Content-Type": "application/json" }) },
        body: body === null ? null : JSON.stringify(body),
      });
    } catch {
      throw new RestError(0, "unreachable", "The server cannot be reached");
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) {
      throw new RestError(
        response.status,
        answer.code ?? "internal",
        answer.detail ?? answer.title ?? "Something went wrong",
      );
    }
    return answer;
  }
}
