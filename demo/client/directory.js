// Reads which conversations there are and who people are: what events alone do not tell. Everything here may be asked
// again at any time and changes no cursor.

const MOST_WATCHED = 500;

export class Directory {
  #rest;
  #ask;
  #insist;
  #conversations;
  #people;
  #changes;
  #quietly;
  #asked = new Set();
  #reading = null;
  #again = false;

  /** Whether the list of conversations has been read once. */
  loaded = false;
  /** The list was read: `sync` may name every conversation now. */
  onread = () => {};

  /** Tells the topics `list` and, by People, `people`. */
  constructor({ rest, ask, insist, quietly, conversations, people, changes }) {
    this.#rest = rest;
    this.#ask = ask;
    this.#insist = insist;
    this.#quietly = quietly;
    this.#conversations = conversations;
    this.#people = people;
    this.#changes = changes;
  }

  /** A new connection: what people could not tell us before, they may now. */
  opened() {
    this.#asked.clear();
    this.discovered();
  }

  /** A conversation exists that we did not know, or know too little of. */
  discovered() {
    this.#quietly(this.refresh());
  }

  /** Read the list again. Whoever asks during a reading is served by one more, which all of them share. */
  refresh() {
    this.#again = true;
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
      if (this.#again) this.discovered();
    });
    return this.#reading;
  }

  /** Find out what people are called. Each id is asked for once a connection. */
  learn(userIds) {
    const unknown = [...new Set(userIds)].filter(
      (id) => id !== null && !this.#people.knows(id) && !this.#asked.has(id),
    );
    if (unknown.length === 0) return;
    unknown.forEach((id) => this.#asked.add(id));
    this.#quietly(
      this.#rest.users(unknown).then((users) => users.forEach(({ id, name }) => this.#people.name(id, name))),
    );
  }

  async #read() {
    while (this.#again) {
      this.#again = false;
      const all = await this.#insist(() => this.#rest.conversations());
      all.forEach((about) => this.#conversations.merge(about));
      this.loaded = true;
      this.#changes.tell("list");
      this.learn(all.map(({ last_message }) => last_message?.sender_id ?? null));
    }
    this.#quietly(this.#meetPeers());
    this.onread();
  }

  // Who the other one of each direct conversation is, and whether he is there.
  async #meetPeers() {
    const direct = [...this.#conversations].filter(({ about }) => about.type === "direct");
    for (const conversation of direct) {
      if (conversation.participants !== null) continue;
      this.#conversations.meet(conversation, await this.#rest.participants(conversation.id));
      this.#changes.tell("list", conversation.id);
    }
    const user_ids = direct
      .map(({ peer }) => peer)
      .filter((peer) => peer !== null)
      .slice(0, MOST_WATCHED);
    if (user_ids.length === 0) return;
    const { users } = await this.#ask({ type: "presence", user_ids });
    for (const { user_id, online, last_seen_at } of users) this.#people.seen(user_id, online, last_seen_at);
  }
}
