// How long to wait before the next attempt, and whether there is one at all.

const FIRST_MS = 500;
const MOST_MS = 30_000;
const DRAINING_MS = 5_000;
// A server that is full, or that we overwhelmed, is asked as if three attempts had failed already.
const SORE_FROM = 3;

/**
 * Full jitter: anywhere from nothing to 0.5 s doubled for each failure, 30 s at most.
 *
 * @param {number} failures
 * @param {() => number} random
 */
export function backoff(failures, random) {
  return random() * Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(failures, 16));
}

/**
 * What a close means (protocol.md §2): wait `delay` ms and connect again, or, where that is null, stop.
 *
 * A token that has expired is replaced by another one at once; every other 1008 says that nothing will come of asking again.
 * 1009 is a frame of ours that was too large: nobody wants to lose his connection for it, but it must not be sent in a hurry.
 *
 * @param {number} code
 * @param {string} reason
 * @param {number} failures  Attempts that failed since the last stable connection; the verdict carries the new count.
 * @param {() => number} random
 * @returns {{reason: string, failures: number, delay: number | null}}
 */
export function verdict(code, reason, failures, random) {
  if (code === 1008 && reason !== "token_expired") return { reason: reason || "refused", failures, delay: null };
  if (code === 1008 && failures === 0) return { reason, failures: 1, delay: 0 };
  if (code === 1012) return { reason: reason || "draining", failures, delay: random() * DRAINING_MS };
  const from = code === 1013 || code === 1009 ? Math.max(failures, SORE_FROM) : failures;
  return { reason: reason || "lost", failures: from + 1, delay: backoff(from, random) };
}
