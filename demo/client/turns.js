// Work that is done for all who want it at once.

/**
 * What runs `run` when it is called, one run at a time: whoever calls meanwhile is served by one more after it, which all of them
 * share, because what is underway may have been read before what he missed. Resolves when nobody wants another one.
 *
 * @param {() => Promise<unknown>} run  Does not reject.
 * @returns {() => Promise<void>}
 */
export function inTurn(run) {
  let isWanted = false;
  /** @type {Promise<void>|null} */
  let running = null;
  const runs = async () => {
    while (isWanted) {
      isWanted = false;
      await run();
    }
    running = null;
  };
  return () => {
    isWanted = true;
    return (running ??= runs());
  };
}
