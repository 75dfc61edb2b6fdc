// What keeps a value the same while nothing in it changed.

/**
 * The former array or plain object where it holds the same as the one that was made; else that one.
 *
 * @type {<T>(held: unknown, made: T) => T}
 */
export const kept = (/** @type {any} */ held, /** @type {any} */ made) => {
  const kind = made?.constructor;
  if (held?.constructor !== kind || (kind !== Object && kind !== Array)) return made;
  const keys = Object.keys(made);
  const isSame =
    keys.length === Object.keys(held).length && keys.every((key) => key in held && Object.is(held[key], made[key]));
  return isSame ? held : made;
};
