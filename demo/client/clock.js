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

const TICK_MS = 5_000;
// Timers stand still while a machine or a tab sleeps, and in a hidden tab they come once a minute.
export const LATE_MS = 5_000;
const EVENTS = ["online", "offline", "pageshow", "visibilitychange", "freeze", "resume"];
// Those of the document pass by its window on their way down.
const PASSING = { capture: true };

/**
 * Tell when the surroundings changed: the network came or went, the page is looked at again, time has jumped. `tick` comes
 * every 5 s otherwise. Nothing is left behind once the function that is returned was called.
 *
 * @param {Clock} clock
 * @param {(why: string) => void} wake  `why` is the event's type, or `sleep`.
 * @param {() => void} tick
 * @param {() => void} [freeze]  Nothing will run here until it is awake again; the last chance to say so.
 */
export function surroundings(clock, wake, tick, freeze) {
  const { window, document } = globalThis;
  const heard = (/** @type {Event} */ { type }) => {
    if (type === "freeze") freeze?.();
    else if (type !== "visibilitychange" || !document.hidden) wake(type);
  };
  for (const type of EVENTS) window?.addEventListener(type, heard, PASSING);

  const wait = () => {
    const from = clock.now();
    return clock.after(TICK_MS, () => {
      cancel = wait();
      if (Math.abs(clock.now() - from - TICK_MS) > LATE_MS) wake("sleep");
      else tick();
    });
  };
  let cancel = wait();
  return () => {
    cancel();
    for (const type of EVENTS) window?.removeEventListener(type, heard, PASSING);
  };
}
