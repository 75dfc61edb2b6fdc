// The open conversation: its head, who types in it, and its history.

import { conversationAvatar, lookOf, portrait } from "./avatar.js";
import { byId, fill, h, write } from "./dom.js";
import { lastSeen } from "./format.js";
import { HistoryView } from "./history.js";
import { enumerate, honoured, say } from "./words.js";

// Faces in the line of who types; words tell of the others.
const MOST_TYPISTS = 3;

export class Pane {
  #client;
  #history;
  #id = null;
  #unwatch = () => {};
  #look = "";
  #typists = null;

  /** `does`: `edit(row)`, `reply(row)`, `remove(row)`, `trouble(error)`, `tell(words)`. */
  constructor(client, does) {
    this.#client = client;
    this.#history = new HistoryView(client, does);
  }

  get id() {
    return this.#id;
  }

  /** Null where none is open. */
  get conversation() {
    return this.#id === null ? null : this.#client.conversation(this.#id);
  }

  show(id) {
    this.#unwatch();
    this.#id = id;
    byId("nothing-open").hidden = id !== null;
    byId("conversation").hidden = id === null;
    this.#history.show(id);
    this.#unwatch = id === null ? () => {} : this.#client.watch(id);
  }

  render() {
    const { conversation } = this;
    if (conversation === null) return;
    this.#renderHead(conversation);
    this.#renderTyping(conversation);
    this.#history.render();
  }

  /** One has just written: that is seen, wherever one was. */
  sent() {
    this.#history.sent();
  }

  /** Somebody looks at the page again. */
  read() {
    this.#history.read();
  }

  #renderHead(conversation) {
    const isKnown = conversation.status !== "loading" || conversation.count > 0;
    write(byId("title"), isKnown ? conversation.title : say("pane.loading"));
    write(byId("subtitle"), subtitle(conversation));
    byId("participants").hidden = conversation.type === "direct" || conversation.participants.length === 0;
    const look = lookOf(conversation);
    if (look === this.#look) return;
    this.#look = look;
    fill(byId("pane-avatar"), conversationAvatar(conversation));
  }

  #renderTyping({ typing }) {
    if (typing === this.#typists) return;
    this.#typists = typing;
    const line = byId("typing");
    line.hidden = typing.length === 0;
    const names = typing.map(({ name }) => name);
    const words =
      names.length === 1
        ? say("pane.typingOne", { name: names[0] })
        : say("pane.typingMany", { names: enumerate(names.map(honoured)) });
    fill(
      line,
      typing.length > 0 && [
        h(
          "span",
          { class: "typists", "aria-hidden": "true" },
          ...typing.slice(0, MOST_TYPISTS).map((person) => portrait(person, { small: true })),
        ),
        h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
        h("span", { class: "typing-words" }, words),
      ],
    );
  }
}

// What is not known now, because there is no connection, is not said.
function subtitle({ type, status, presence, participants, count }) {
  if (type === "direct") {
    if (presence === null) return "";
    if (presence.online) return say("presence.online");
    return presence.last_seen_at ? lastSeen(new Date(presence.last_seen_at)) : say("presence.offline");
  }
  if (count === 0 || status === "gone") return "";
  const online = participants.filter((participant) => participant.online).length;
  return [
    type === "announcement" && say("pane.announcement"),
    say("pane.participants", { count }),
    online > 0 && say("pane.online", { count: online }),
  ]
    .filter(Boolean)
    .join(" · ");
}
