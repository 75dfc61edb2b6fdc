// Time, passed in so that tests own it. Milliseconds everywhere in client/.

/**
 * @typedef {object} Clock
 * @property {() => number} now  Milliseconds since 1970.
 * @property {(ms: number, run: () => void) => () => void} after  Runs once, later; returns its cancel.
 */

/** @type {Clock} */
export const systemClock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
