// Reads which conversations there are and who people are: what events alone do not tell. Everything here may be asked
// again at any time and changes no cursor.

// Ids in one question.
const MOST = 500;

export class Directory {
  #rest;
  #ask;
  #insist;
  #conversations;
  #people;
  #changes;
  #quietly;
  // user id or conversation id → resolves when the answer about it has come, or will not come.
  #asked = new Map();
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

  /** A new connection: what could not be told before may be told now, and people may be called otherwise. */
  opened() {
    this.#asked.clear();
    this.discovered();
    this.#quietly(this.#askUsers([this.#conversations.me, ...this.#people.ids]));
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

  /**
   * Find out who wrote these messages, as far as we do not know. Everybody is asked for once a connection; and once for
   * each conversation, who has left it: of him nobody else tells us.
   */
  learn(messages) {
    const unknown = messages.filter(({ sender_id }) => !this.#people.knows(sender_id));
    if (unknown.length > 0) this.#quietly(this.#learn(unknown));
  }

  async #learn(messages) {
    await this.#askUsers(messages.map(({ sender_id }) => sender_id));
    const nameless = messages.filter(({ sender_id }) => !this.#people.knows(sender_id));
    const met = (former) => former.forEach((person) => this.#people.introduce(person.user_id, person));
    for (const id of new Set(nameless.map(({ conversation_id }) => conversation_id)))
      await this.#once([id], () => this.#rest.former(id).then(met));
  }

  async #askUsers(userIds) {
    const all = [...new Set(userIds)];
    const met = (users) => users.forEach((user) => this.#people.introduce(user.id, user));
    const asking = [];
    for (let from = 0; from < all.length; from += MOST)
      asking.push(this.#once(all.slice(from, from + MOST), (ids) => this.#rest.users(ids).then(met)));
    await Promise.all(asking);
  }

  // Ask about those of whom nobody has asked, and wait for the others' answers too. Rejects only for who asked first.
  #once(ids, ask) {
    const fresh = ids.filter((id) => !this.#asked.has(id));
    const answer = fresh.length > 0 ? ask(fresh) : null;
    const came = answer?.catch(() => {});
    for (const id of fresh) this.#asked.set(id, came);
    return Promise.all([answer, ...ids.map((id) => this.#asked.get(id))]);
  }

  async #read() {
    while (this.#again) {
      this.#again = false;
      const all = await this.#insist(() => this.#rest.conversations());
      all.forEach((about) => this.#conversations.merge(about));
      this.loaded = true;
      this.#changes.tell("list");
      this.learn(all.flatMap(({ last_message }) => last_message ?? []));
    }
    this.#quietly(this.#meetPeers());
    this.onread();
  }

  // Who the other one of each direct conversation is, where the list did not say, and whether he is there.
  async #meetPeers() {
    const direct = [...this.#conversations].filter(({ about }) => about.type === "direct");
    for (const conversation of direct) {
      if (conversation.participants !== null || conversation.others.length > 0) continue;
      this.#conversations.meet(conversation, await this.#rest.participants(conversation.id));
      this.#changes.tell("list", conversation.id);
    }
    const user_ids = direct
      .map(({ peer }) => peer)
      .filter((peer) => peer !== null)
      .slice(0, MOST);
    if (user_ids.length === 0) return;
    const { users } = await this.#ask({ type: "presence", user_ids });
    for (const { user_id, online, last_seen_at } of users) this.#people.seen(user_id, online, last_seen_at);
  }
}
