// Questions and their answers, matched by `ref`. Nothing is asked twice, except by `insist`.

/** @import { Clock } from "./clock.js" */
/** @import { Frame, Problem } from "./types.js" */

const TIMEOUT_MS = 15_000;
// The server's default is 64 KiB; a frame above it would cost the connection.
const MOST_FRAME_BYTES = 60_000;
const FIRST_WAIT_MS = 1_000;
const MOST_WAIT_MS = 15_000;

// Worth asking again: nothing was refused, it merely did not happen.
const TRANSIENT = ["unavailable", "rate_limited", "timeout", "internal", "unreachable"];

/** The code, told without asking, of a frame that the server would not even read. */
export const TOO_LONG = "content_too_long";

/** @param {Frame} frame */
export const tooLarge = (frame) => new TextEncoder().encode(JSON.stringify(frame)).length > MOST_FRAME_BYTES;

/**
 * Why something was not done, asked by a frame or by REST. `code` as in protocol.md §4, or of our own: `disconnected` and `timeout`
 * (frames), `unreachable` where REST had no answer at all, `refused` where what said no was no daemon, `no_token` where there was
 * nothing to ask with.
 */
export class RequestError extends Error {
  /** @param {Problem} problem @param {number} [status] */
  constructor({ code, message, detail, field = null, reason = null, retry_after_s = null }, status = 0) {
    super(message ?? detail ?? code);
    this.name = "RequestError";
    this.code = code;
    /** The field of the frame that was wrong. */
    this.field = field;
    /** With `unauthorized`: why. */
    this.reason = reason;
    /** What REST answered with; 0 for a frame, and where there was no answer. */
    this.status = status;
    this.retryAfterMs = retry_after_s && retry_after_s * 1000;
  }
}

/** What nobody but ourselves says. @param {string} code */
export const failure = (code) => new RequestError({ code });

export class Requests {
  #send;
  #clock;
  /** @type {Map<string, (frame: Frame) => void>} By `ref`, what takes the answer. */
  #waiting = new Map();
  #last = 0;
  // Counts losses: what began under a former connection is not carried on.
  #session = 0;

  /**
   * `send(frame)` returns false where there is no connection to send on.
   *
   * @param {(frame: Frame) => boolean} send
   * @param {Clock} clock
   */
  constructor(send, clock) {
    this.#send = send;
    this.#clock = clock;
  }

  /**
   * Ask; resolves with the answering frame, rejects with a RequestError.
   *
   * @param {Frame} frame
   * @returns {Promise<Frame>}
   */
  async ask(frame) {
    const ref = this.#ref();
    if (tooLarge(frame)) throw failure(TOO_LONG);
    if (!this.#send({ ...frame, ref })) throw failure("disconnected");
    return this.#wait(ref, TIMEOUT_MS, { type: "error", code: "timeout" });
  }

  /** Hand an incoming frame to whoever asked for it. Returns whether somebody had. @param {Frame} frame */
  settle(frame) {
    this.#waiting.get(frame.ref)?.(frame);
    return this.#waiting.delete(frame.ref);
  }

  /**
   * Ask until there is an answer or a refusal. Rejects as `disconnected` once the connection is gone under which it began.
   *
   * @template T
   * @param {() => Promise<T>} ask
   * @returns {Promise<T>}
   */
  async insist(ask) {
    const session = this.#session;
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, MOST_WAIT_MS)) {
      try {
        return await ask();
      } catch (/** @type {any} */ error) {
        if (!TRANSIENT.includes(error.code)) throw error;
        if (session !== this.#session) throw failure("disconnected");
        await this.#wait(this.#ref(), error.retryAfterMs ?? wait, { type: "pause" });
      }
    }
  }

  /** The connection is gone, and every answer with it. */
  abandon() {
    this.#session += 1;
    for (const ref of this.#waiting.keys()) this.settle({ type: "error", code: "disconnected", ref });
  }

  #ref() {
    return `r${++this.#last}`;
  }

  // What comes by this `ref`; `late` after `ms`.
  /** @param {string} ref @param {number} ms @param {Frame} late @returns {Promise<Frame>} */
  #wait(ref, ms, late) {
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(ms, () => this.settle({ ...late, ref }));
      this.#waiting.set(ref, (frame) => {
        cancel();
        if (frame.type === "error") reject(new RequestError(/** @type {any} */ (frame)));
        else resolve(frame);
      });
    });
  }
}
