// The token of this tab: it is asked for where there is none, stays in this tab, and goes with it.

const TOKEN = "messenger.token";

export class TabToken {
  #ask;
  #offer;
  #refusal = null;
  // Another token is offered to be given before the old one ends; null while none is.
  #renewal = null;

  /**
   * `ask(reason, later)` resolves with a token from the person at the page, or, with `later`, with null where he does not want
   * to now. `offer(run)` offers to do so without taking the chat away, and returns what takes the offer back.
   */
  constructor({ ask, offer }) {
    this.#ask = ask;
    this.#offer = offer;
  }

  /** As MessengerClient wants it. */
  getToken = async ({ reason }) => {
    if (reason === "token_expiring") return this.#hold(await this.#renew());
    const held = reason === null ? sessionStorage.getItem(TOKEN) : null;
    return held ?? this.#hold(await this.#ask(reason ?? this.#refusal, false));
  };

  /** The server wants no more of this one: the next time another is asked for, with why. */
  refuse(reason) {
    forgetToken();
    this.#refusal = reason;
  }

  /** The old one has ended, whether a new one is there or not. */
  expire() {
    if (this.#renewal?.asked) return;
    this.#renewal?.run("token_expired", false);
  }

  #renew() {
    return new Promise((resolve) => {
      const offer = () => {
        const takeBack = this.#offer(() => run("token_expiring", true));
        this.#renewal = { asked: false, run, takeBack };
      };
      const run = async (reason, later) => {
        this.#renewal.takeBack();
        this.#renewal.asked = true;
        const token = await this.#ask(reason, later);
        if (token === null) return offer();
        this.#renewal = null;
        resolve(token);
      };
      offer();
    });
  }

  #hold(token) {
    this.#refusal = null;
    sessionStorage.setItem(TOKEN, token);
    return token;
  }
}

export const forgetToken = () => sessionStorage.removeItem(TOKEN);
