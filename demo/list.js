// The list of conversations: who, what was said last and when, how much is unread, who is there; and the field that searches it.
// A row is drawn when its summary is another object; with a thousand rows that is what a drawing costs.

import { conversationAvatar, lookOf } from "./avatar.js";
import { unturned } from "./client/text.js";
import { saidIn } from "./content.js";
import { arrange, byId, fill, h, icon, write } from "./dom.js";
import { listTime } from "./format.js";
import { walk } from "./keys.js";
import { matcher } from "./match.js";
import { isMuted } from "./muting.js";
import { locale, say, systemWords } from "./words.js";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const MOST_BADGE = 99;
const SKELETONS = 6;
const ago = new Intl.RelativeTimeFormat(locale, { style: "narrow", numeric: "always" });

export class ConversationList {
  #client;
  #root = byId("conversations");
  #field = byId("filter");
  #found = byId("found");
  #none = byId("list-none");
  #onopen;
  #onnew;
  #draftOf;
  #rows = new Map();
  #typed = "";
  // What was drawn last, so that an unchanged list costs nothing.
  #drawn = { conversations: null, open: undefined, typed: "", stamp: "" };

  /** `draftOf(id)`: what stands in the composer of a conversation, "" where nothing does. */
  constructor({ client, onopen, onnew, draftOf = () => "" }) {
    this.#client = client;
    this.#onopen = onopen;
    this.#onnew = onnew;
    this.#draftOf = draftOf;
    this.#field.addEventListener("input", () => this.#filter(this.#field.value));
    this.#field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.#typed === "") return;
      event.preventDefault();
      this.#filter("");
    });
    const clear = byId("filter-clear");
    fill(clear, icon("close"));
    clear.addEventListener("click", () => {
      this.#filter("");
      this.#field.focus();
    });
    // One stop for the tab key, wherever in the list the arrows went.
    walk(this.#root, ".conversation", { from: this.#field });
    this.#root.addEventListener("focusin", ({ target }) => this.#stopAt(target.closest(".conversation")));
  }

  search() {
    this.#field.focus();
    this.#field.select();
  }

  /** Come back to the row of a conversation. */
  focus(id) {
    this.#rows.get(id)?.button.focus();
  }

  render(open) {
    const conversations = this.#client.conversations();
    const stamp = this.#stamp(conversations, open);
    const drawn = this.#drawn;
    const same = drawn.conversations === conversations && drawn.typed === this.#typed && drawn.stamp === stamp;
    if (same && drawn.open === open) return;
    this.#drawn = { conversations, open, typed: this.#typed, stamp };
    if (!same) {
      this.#renderNone(conversations);
      const matches = matcher(this.#typed);
      const found = this.#typed.trim() === "" ? conversations : conversations.filter(({ title }) => matches(title));
      const held = new Set(conversations.map(({ id }) => id));
      for (const id of this.#rows.keys()) if (!held.has(id)) this.#rows.delete(id);
      const focused = document.activeElement?.closest?.(".conversation");
      arrange(
        this.#root,
        found.map((conversation) => this.#row(conversation, conversation.id === open)),
      );
      // A row that moves loses the focus on its way.
      if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
      const words = this.#typed.trim();
      write(this.#found, words === "" ? "" : say("list.found", { count: found.length }));
      if (words !== "" && found.length === 0) this.#tell("search", say("list.noneFound", { words }), null);
    }
    this.#mark(open);
  }

  /** The times go on while nothing happens. */
  renderTimes() {
    for (const { time, shown } of this.#rows.values()) renderTime(time, shown);
  }

  #filter(typed) {
    this.#typed = typed;
    if (this.#field.value !== typed) this.#field.value = typed;
    byId("filter-clear").hidden = typed === "";
    this.render(this.#drawn.open ?? null);
  }

  // What a drawing depends on besides the summaries.
  #stamp(conversations, open) {
    return `${this.#client.loaded}${conversations.map(({ id }) => (id === open ? "" : this.#draftOf(id))).join("\u0000")}`;
  }

  #row(conversation, open) {
    let row = this.#rows.get(conversation.id);
    if (row === undefined) {
      row = made(conversation.id, () => this.#onopen(conversation.id));
      this.#rows.set(conversation.id, row);
    }
    const draft = open ? "" : this.#draftOf(conversation.id);
    if (row.shown !== conversation || row.draft !== draft) {
      row.shown = conversation;
      row.draft = draft;
      this.#draw(row, conversation, draft);
    }
    return row.item;
  }

  #draw(row, conversation, draft) {
    const { title, unread } = conversation;
    const look = lookOf(conversation);
    if (row.look !== look) {
      row.look = look;
      fill(row.face, conversationAvatar(conversation));
    }
    write(row.name, title);
    renderTime(row.time, conversation);
    const { by = "", text, mood = "" } = draft === "" ? preview(this.#client, conversation) : drafted(draft);
    row.preview.className = `preview ${mood}`.trim();
    fill(
      row.preview,
      (mood === "pending" || mood === "failed") && icon(mood),
      by !== "" && h("bdi", { class: "preview-by" }, by),
      h("bdi", {}, text),
    );
    const muted = isMuted(conversation);
    row.marks.hidden = !muted && conversation.type !== "announcement";
    fill(
      row.marks,
      conversation.type === "announcement" && icon("announce"),
      muted && h("span", { class: "mark-muted", role: "img", "aria-label": say("list.muted") }, icon("muted")),
    );
    row.button.classList.toggle("has-unread", unread > 0);
    row.button.classList.toggle("is-muted", muted);
    if (unread > 0) {
      row.badge ??= h("span", { class: "badge", "data-testid": "unread" });
      const count = unread > MOST_BADGE ? `${MOST_BADGE}+` : unread;
      fill(
        row.badge,
        h("span", { class: "hidden-text" }, say("list.unread", { count })),
        h("span", { "aria-hidden": "true" }, String(count)),
      );
      if (!row.badge.isConnected) row.lower.append(row.badge);
    } else row.badge?.remove();
  }

  #mark(open) {
    for (const button of this.#root.querySelectorAll('[aria-current="true"]')) button.removeAttribute("aria-current");
    const row = this.#rows.get(open);
    row?.button.setAttribute("aria-current", "true");
    const stop = this.#root.querySelector('.conversation[tabindex="0"]');
    if (stop === null || (row?.item.isConnected && !this.#root.contains(document.activeElement)))
      this.#stopAt(row?.item.isConnected ? row.button : this.#root.querySelector(".conversation"));
  }

  #stopAt(button) {
    if (!button || button.tabIndex === 0) return;
    for (const other of this.#root.querySelectorAll('.conversation[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
  }

  #renderNone(conversations) {
    if (conversations.length > 0) this.#tell("some");
    else if (!this.#client.loaded) this.#tell("loading");
    else this.#tell("none", say("list.none"), say("list.noneHint"));
    byId("search").hidden = conversations.length === 0;
  }

  #tell(state, words = null, hint = null) {
    const key = `${state} ${words}`;
    if (this.#none.dataset.state === key) return;
    this.#none.dataset.state = key;
    this.#none.hidden = state === "some";
    this.#none.setAttribute("aria-busy", String(state === "loading"));
    if (state === "some") this.#none.replaceChildren();
    else if (state === "loading")
      fill(
        this.#none,
        h("p", { class: "hidden-text", role: "status" }, say("list.loading")),
        Array.from({ length: SKELETONS }, () => h("div", { class: "skeleton", "aria-hidden": "true" })),
      );
    else
      fill(
        this.#none,
        h("span", { class: "nothing-mark" }, icon(state === "search" ? "search" : "chat")),
        h("p", { class: "none-words" }, words),
        hint && h("p", {}, hint),
        state === "none" && h("button", { class: "button", type: "button", onclick: this.#onnew }, say("list.new")),
      );
  }
}

function made(id, onopen) {
  const face = h("span", { class: "face" });
  const name = h("span", { class: "conversation-name", dir: "auto" });
  const marks = h("span", { class: "marks", hidden: true });
  const time = h("time", { class: "conversation-time" });
  const preview = h("span", { class: "preview" });
  const lower = h("span", { class: "conversation-line" }, preview);
  const button = h(
    "button",
    {
      class: "conversation",
      type: "button",
      tabindex: -1,
      "data-testid": "conversation",
      "data-conversation-id": id,
      onclick: onopen,
    },
    face,
    h("span", { class: "conversation-text" }, h("span", { class: "conversation-line" }, name, marks, time), lower),
  );
  const item = h("li", { class: "conversation-item" }, button);
  return { item, button, face, name, marks, time, preview, lower, badge: null, look: null, shown: null, draft: "" };
}

function renderTime(element, conversation) {
  const { activeAt, lastMessage } = conversation;
  const age = Date.now() - activeAt;
  if (lastMessage === null) write(element, "");
  else if (age < MINUTE_MS) write(element, say("time.now"));
  else if (age < HOUR_MS) write(element, ago.format(-Math.floor(age / MINUTE_MS), "minute"));
  else write(element, listTime(new Date(activeAt)));
}

const drafted = (draft) => ({ by: say("names.by", { name: say("list.draft") }), text: draft, mood: "draft" });

/** What was said last: by whom (with its colon), the words, and how they are to look. */
export function preview(client, { type, lastMessage: last }) {
  if (last === null) return { text: say("list.empty"), mood: "quiet" };
  if (last.message_type === "system")
    return { text: unturned(systemWords(last, (id) => client.person(id).name)), mood: "quiet" };
  const by = last.own ? say("names.byYou") : type === "direct" ? "" : say("names.by", { name: last.sender.name });
  if (last.deleted_at) return { by, text: say("list.deleted"), mood: "quiet" };
  const text = saidIn(last);
  if (last.state === "failed") return { by: say("names.by", { name: say("list.notSent") }), text, mood: "failed" };
  return { by, text, mood: last.state === "pending" ? "pending" : "" };
}
