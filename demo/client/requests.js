// Questions and their answers, matched by `ref`. Nothing is asked twice, except by `insist`.

const TIMEOUT_MS = 15_000;
// The server's default is 64 KiB; a frame above it would cost the connection.
const MOST_FRAME_BYTES = 60_000;
const FIRST_WAIT_MS = 1_000;
const MOST_WAIT_MS = 15_000;

// Worth asking again: nothing was refused, it merely did not happen.
const TRANSIENT = new Set(["unavailable", "rate_limited", "timeout", "internal", "unreachable"]);

/** What is said, without asking, of a frame that the server would not even read. */
export const TOO_LONG = { code: "content_too_long", message: "This message is too long" };

export function tooLarge(frame) {
  return new TextEncoder().encode(JSON.stringify(frame)).length > MOST_FRAME_BYTES;
}

/** An answer that says no: `code` as in protocol.md §4, or `disconnected` and `timeout` of our own. */
export class RequestError extends Error {
  constructor({ code, message, field = null, retry_after_s = null }) {
    super(message ?? code);
    this.name = "RequestError";
    this.code = code;
    this.field = field;
    this.retryAfterMs = retry_after_s === null ? null : retry_after_s * 1000;
  }
}

export class Requests {
  #send;
  #clock;
  #waiting = new Map();
  #last = 0;

  /** `send(frame)` returns false where there is no connection to send on. */
  constructor(send, clock) {
    this.#send = send;
    this.#clock = clock;
  }

  /** Ask; resolves with the answering frame, rejects with a RequestError. */
  ask(frame) {
    const ref = `r${++this.#last}`;
    return new Promise((resolve, reject) => {
      if (!this.#send({ ...frame, ref })) {
        reject(new RequestError({ code: "disconnected", message: "Not connected" }));
        return;
      }
      const cancel = this.#clock.after(TIMEOUT_MS, () => {
        this.#waiting.delete(ref);
        reject(new RequestError({ code: "timeout", message: "No answer from the server" }));
      });
      this.#waiting.set(ref, { resolve, reject, cancel });
    });
  }

  /** Hand an incoming frame to whoever asked for it. Returns whether somebody had. */
  settle(frame) {
    const waiting = this.#waiting.get(frame.ref);
    if (waiting === undefined) return false;
    this.#waiting.delete(frame.ref);
    waiting.cancel();
    if (frame.type === "error") waiting.reject(new RequestError(frame));
    else waiting.resolve(frame);
    return true;
  }

  /** The connection is gone, and every answer with it. */
  abandon() {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject, cancel } of waiting) {
      cancel();
      reject(new RequestError({ code: "disconnected", message: "Connection lost" }));
    }
  }
}

/** Ask until there is an answer or a refusal. Rejects as `disconnected` where `alive()` is no longer true after a wait. */
export async function insist(ask, clock, alive) {
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, MOST_WAIT_MS)) {
    try {
      return await ask();
    } catch (error) {
      if (!TRANSIENT.has(error.code)) throw error;
      await new Promise((resolve) => clock.after(error.retryAfterMs ?? wait, resolve));
      if (!alive()) throw new RequestError({ code: "disconnected", message: "Connection lost" });
    }
  }
}
