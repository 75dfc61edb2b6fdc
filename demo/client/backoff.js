// How long to wait before the next attempt, and whether there is one at all.

const FIRST_MS = 500;
const MOST_MS = 30_000;
const DRAINING_MS = 5_000;
// A server that is full is asked as if three attempts had failed already.
const OVERLOADED_FROM = 3;

/** Full jitter: anywhere from nothing to 0.5 s doubled for each failure, 30 s at most. */
export function backoff(failures, random) {
  return random() * Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(failures, 16));
}

/**
 * What a close means (protocol.md §2): wait `delay` ms and connect again, get another token first, or stop.
 *
 * `failures` counts the attempts that failed since the last stable connection; the verdict carries the new count.
 */
export function verdict({ code, reason }, failures, random) {
  if (code === 1008) {
    return reason.startsWith("token_")
      ? { next: "token", reason, failures: failures + 1, delay: failures ? backoff(failures, random) : 0 }
      : { next: "stop", reason: reason || "refused" };
  }
  if (code === 1012) return { next: "retry", reason: reason || "draining", failures, delay: random() * DRAINING_MS };
  const from = code === 1013 ? Math.max(failures, OVERLOADED_FROM) : failures;
  return { next: "retry", reason: reason || "lost", failures: from + 1, delay: backoff(from, random) };
}
