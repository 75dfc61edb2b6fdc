// The open conversation: its head, its history and where it is scrolled to. Reading is told when the end is in view.

import { conversationAvatar, lookOf, portrait } from "./avatar.js";
import { arrange, byId, fill, h, icon, write } from "./dom.js";
import { enumerate, lastSeen } from "./format.js";
import { RowElements } from "./message.js";
import { rowsOf } from "./rows.js";

// Nearer to the end than this, new messages keep the end in view.
const AT_END_PX = 80;
// Nearer to the top than this, the page above is asked for.
const NEAR_TOP_PX = 400;
// Faces in the line of who types; words tell of the others.
const MOST_TYPISTS = 3;

export class Pane {
  #messenger;
  #elements;
  #scroller = byId("scroller");
  #messages = byId("messages");
  #top = byId("top");
  #jump = byId("jump");
  #id = null;
  #drawn = false;
  #newFrom = null;
  #atEnd = true;
  #askedBelow = null;
  // What the head's avatar and the line of who types look like now.
  #look = "";
  #typists = "";

  /** `does` as for RowElements. */
  constructor(messenger, does) {
    this.#messenger = messenger;
    this.#elements = new RowElements(messenger, does);
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#jump.addEventListener("click", () => this.toEnd("smooth"));
    fill(this.#jump, icon("down"), h("span", { class: "jump-count" }));
    new ResizeObserver(() => this.#atEnd && this.toEnd()).observe(this.#scroller);
  }

  get id() {
    return this.#id;
  }

  get conversation() {
    return this.#id === null ? null : this.#messenger.conversations.get(this.#id);
  }

  show(id) {
    if (this.#id !== null) this.#messenger.unwatch(this.#id);
    this.#id = id;
    this.#drawn = false;
    this.#newFrom = null;
    this.#atEnd = true;
    this.#askedBelow = null;
    this.#elements.clear();
    this.#messages.replaceChildren();
    this.#top.replaceChildren();
    byId("nothing-open").hidden = id !== null;
    byId("conversation").hidden = id === null;
    if (id !== null) this.#messenger.watch(id);
  }

  render() {
    const { conversation } = this;
    if (conversation === null) {
      write(byId("title"), this.#id === null ? "" : "Loading…");
      write(byId("subtitle"), "");
      fill(byId("pane-avatar"));
      this.#look = "";
      byId("participants").hidden = true;
      return;
    }
    this.#renderHead(conversation);
    this.#renderTyping();
    this.#renderHistory(conversation);
  }

  /** Show the newest message. Where our own has just been written, this is wanted wherever we were. */
  toEnd(behavior = "instant") {
    this.#atEnd = true;
    this.#scroller.scrollTo({ top: this.#scroller.scrollHeight, behavior });
  }

  /** There is a connection again. */
  reconnected() {
    this.#askedBelow = null;
  }

  /** The line "New" has done its service. */
  forgetNew() {
    this.#newFrom = null;
  }

  /** Tell what has been seen: the end of the history, by somebody who looks. */
  read() {
    if (this.#id !== null && this.#drawn && this.#atEnd && document.visibilityState === "visible")
      this.#messenger.markRead(this.#id);
  }

  #renderHead(conversation) {
    write(byId("title"), this.#messenger.conversations.titleOf(conversation));
    write(byId("subtitle"), this.#subtitle(conversation));
    byId("participants").hidden = conversation.about.type === "direct" || conversation.participants === null;
    const look = lookOf(this.#messenger, conversation);
    if (look === this.#look) return;
    this.#look = look;
    fill(byId("pane-avatar"), conversationAvatar(this.#messenger, conversation));
  }

  // What is not known now, because there is no connection, is not said.
  #subtitle({ about, peer, participants, count }) {
    const { people } = this.#messenger;
    if (about.type === "direct") {
      const presence = peer === null ? null : people.presenceOf(peer);
      if (presence === null) return "";
      if (presence.online) return "online";
      return presence.last_seen_at ? lastSeen(new Date(presence.last_seen_at)) : "offline";
    }
    const online = [...(participants?.keys() ?? [])].filter((userId) => people.isOnline(userId)).length;
    const kind = about.type === "announcement" ? "Announcements · " : "";
    return `${kind}${count} ${count === 1 ? "participant" : "participants"}${online > 0 ? `, ${online} online` : ""}`;
  }

  #renderTyping() {
    const { people, typing } = this.#messenger;
    const ids = typing.in(this.#id);
    const names = ids.map((userId) => people.nameOf(userId));
    const typists = JSON.stringify([ids, names, ids.map((userId) => people.pictureOf(userId))]);
    if (typists === this.#typists) return;
    this.#typists = typists;
    const line = byId("typing");
    line.hidden = ids.length === 0;
    fill(
      line,
      ids.length > 0 && [
        h(
          "span",
          { class: "typists", "aria-hidden": "true" },
          ...ids.slice(0, MOST_TYPISTS).map((userId) => portrait(this.#messenger, userId, { small: true })),
        ),
        h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
        h("span", { class: "typing-words" }, `${enumerate(names)} ${names.length === 1 ? "is" : "are"} typing`),
      ],
    );
    if (this.#atEnd) this.toEnd();
  }

  #renderHistory({ log, about }) {
    const { me, outbox } = this.#messenger;
    const first = !this.#drawn && log.lowest !== null;
    if (first && log.unread > 0) this.#newFrom = log.lastReadSeq;
    const rows = log.lowest === null ? [] : rowsOf({ log, outgoing: outbox.of(this.#id), me, newFrom: this.#newFrom });
    const anchor = this.#anchor();
    this.#renderTop(log);
    arrange(this.#messages, this.#elements.of(rows, { log, about, fresh: this.#drawn && this.#atEnd }));
    this.#messages.setAttribute("aria-busy", String(this.#messenger.isPaging(this.#id)));
    if (first) {
      this.#drawn = true;
      this.#begin();
    } else if (this.#atEnd) {
      this.toEnd();
    } else if (anchor !== null && anchor.element.isConnected) {
      this.#scroller.scrollTop += anchor.element.getBoundingClientRect().top - anchor.top;
    }
    this.#renderJump(log);
    this.read();
    this.#fillUp();
  }

  // The message at the upper edge: wherever it goes, the view goes with it. Lines between messages come and go.
  #anchor() {
    const edge = this.#scroller.getBoundingClientRect().top;
    for (const element of this.#messages.querySelectorAll("[data-testid=message]")) {
      const { top, bottom } = element.getBoundingClientRect();
      if (bottom > edge) return { element, top };
    }
    return null;
  }

  // At the end, or where the new ones begin if they are more than a screen.
  #begin() {
    this.toEnd();
    const line = this.#messages.querySelector(".line.new");
    if (line !== null && line.offsetTop < this.#scroller.scrollTop) this.#scroller.scrollTop = line.offsetTop - 12;
    this.#scrolled();
  }

  #renderTop(log) {
    const paging = this.#messenger.isPaging(this.#id);
    const empty = log.messages.length === 0;
    const state =
      log.lowest === null ? "loading" : log.hasOlder ? (paging ? "paging" : "more") : empty ? "empty" : "beginning";
    if (this.#top.dataset.state === state && this.#top.hasChildNodes()) return;
    this.#top.dataset.state = state;
    fill(
      this.#top,
      (state === "loading" || state === "paging") &&
        h("span", { class: "spinner", role: "img", "aria-label": "Loading" }),
      state === "more" &&
        h(
          "button",
          {
            class: "text-button",
            type: "button",
            "data-testid": "load-older",
            onclick: () => this.#messenger.loadOlder(this.#id),
          },
          "Load older messages",
        ),
      state === "beginning" && "The beginning of this conversation",
      state === "empty" && "No messages yet. Say hello.",
    );
  }

  #renderJump(log) {
    this.#jump.hidden = this.#atEnd;
    const count = this.#jump.querySelector(".jump-count");
    write(count, log.unread > 0 ? String(log.unread) : "");
    count.hidden = log.unread === 0;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    const { conversation } = this;
    if (conversation === null || !this.#drawn) return;
    this.#renderJump(conversation.log);
    this.read();
    this.#fillUp();
  }

  // Each page is asked for once by itself; one that could not be had is asked for by the button, or after a reconnect.
  #fillUp() {
    const log = this.conversation?.log;
    if (!this.#drawn || !log?.hasOlder || this.#scroller.scrollTop >= NEAR_TOP_PX || this.#askedBelow === log.lowest)
      return;
    this.#askedBelow = log.lowest;
    this.#messenger.loadOlder(this.#id);
  }
}
