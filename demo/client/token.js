// The one source of the token, for the socket and for REST. It stays in here and in whatever is sent to the server: no
// status, error or record of the wire ever names it.

/** @typedef {(why: {reason: string | null}) => string | Promise<string>} GetToken  The application's. */

export class Tokens {
  #getToken;
  /** @type {string | null} */
  #held = null;
  // One call of the application at a time: whoever asks meanwhile shares its answer.
  /** @type {Promise<string> | null} */
  #asking = null;

  /** @param {GetToken} [getToken]  Without it there is no authentication, and no token. */
  constructor(getToken) {
    this.#getToken = getToken;
  }

  /**
   * The token held; another one is asked for where there is none, or where it is the one that was `refused`. Rejects where
   * the application gives nothing usable; how long it takes is its own affair.
   *
   * @param {string | null} [reason]  The server's: why another one is wanted.
   * @param {string | null} [refused]
   * @returns {Promise<string | null>}
   */
  async get(reason = null, refused = null) {
    if (this.#getToken === undefined) return null;
    if (this.#held !== null && this.#held !== refused) return this.#held;
    return (this.#asking ??= this.#ask(this.#getToken, reason));
  }

  /**
   * The server did not take the newer one: this one goes on.
   *
   * @param {string | null} token
   */
  keep(token) {
    this.#held = token;
  }

  /** Begin anew: neither a token that is held nor an answer that is still to come counts any more. */
  forget() {
    this.#held = null;
    this.#asking = null;
  }

  /**
   * @param {GetToken} getToken
   * @param {string | null} reason
   */
  #ask(getToken, reason) {
    /** @type {Promise<string>} */
    const asking = Promise.resolve()
      // Whoever stops at once, as React's StrictMode does, has not asked.
      .then(() => (this.#asking === asking ? getToken({ reason }) : null))
      .then((token) => {
        if (typeof token !== "string" || token === "") throw new Error("no_token");
        if (this.#asking === asking) this.#held = token;
        return token;
      })
      .finally(() => {
        if (this.#asking === asking) this.#asking = null;
      });
    return asking;
  }
}
