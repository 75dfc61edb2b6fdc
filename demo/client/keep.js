// Holds what was written and not acknowledged across reloads, each message under a key of its own, so that tabs do not write over
// each other. A page that is gone leaves its messages to the next one that looks; a Web Lock tells whether it is gone. Where there
// are no locks two pages may both send one message, of which the server makes one.

/** @import { Outgoing } from "./outbox.js" */

import { randomId } from "./address.js";

/** @typedef {Pick<Storage, "getItem"|"setItem"|"removeItem"|"key"|"length">} Kept  A Web Storage, or what behaves like one. */

export class Keep {
  #storage;
  #prefix;
  /** This page. */
  #owner = randomId();
  #locks = globalThis.navigator?.locks;

  /** This page writes no more; another one may take over. @type {(value?: any) => void} */
  close = () => {};

  /**
   * @param {Kept} storage
   * @param {string} scope  Server and user: nobody else's messages are ever sent.
   */
  constructor(storage, scope) {
    this.#storage = storage;
    this.#prefix = `messenger.outbox:${scope}:`;
    const gone = new Promise((free) => (this.close = free));
    this.#locks?.request(this.#prefix + this.#owner, () => gone);
  }

  /** @param {Outgoing} entry */
  put(entry) {
    try {
      this.#storage.setItem(this.#prefix + entry.client_id, JSON.stringify({ owner: this.#owner, entry }));
    } catch {
      // There is no room: it lives as long as the page does.
    }
  }

  /** @param {string} clientId */
  drop(clientId) {
    this.#storage.removeItem(this.#prefix + clientId);
  }

  /** Take over what pages left that are gone. @returns {Promise<Outgoing[]>} */
  async orphans() {
    /** @type {Outgoing[]} */
    const taken = [];
    for (const left of new Set(this.#all().map(({ owner }) => owner))) {
      if (left === this.#owner) continue;
      const take = () => {
        // Somebody else may have taken them while we waited.
        for (const { owner, entry } of this.#all()) if (owner === left) taken.push(entry);
        taken.forEach((entry) => this.put(entry));
      };
      await (this.#locks?.request(this.#prefix + left, { ifAvailable: true }, (lock) => lock && take()) ?? take());
    }
    return taken;
  }

  /** @returns {{owner: string, entry: Outgoing}[]} */
  #all() {
    const all = [];
    for (let index = 0; index < this.#storage.length; index += 1) {
      const key = this.#storage.key(index) ?? "";
      if (!key.startsWith(this.#prefix)) continue;
      try {
        const left = JSON.parse(this.#storage.getItem(key) ?? "");
        if (left.entry.client_id) all.push(left);
      } catch {
        // Written by somebody else, or by another version of us.
      }
    }
    return all;
  }
}
