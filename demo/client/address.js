// Where the daemon is, and names for what is ours.

/**
 * An address below the one where the daemon lives; without one, below the page.
 *
 * @param {string | undefined} base
 * @param {string} path  Without a slash before it.
 */
export const below = (base = ".", path) => new URL(base.replace(/\/?$/, "/") + path, globalThis.document?.baseURI);

/** Up to 20 digits, like no others; also where the page is served without TLS and `crypto.randomUUID` is withheld. */
export const randomId = () => crypto.getRandomValues(new BigUint64Array(1)).join();
