// The history of the open conversation: what of it is drawn, where it is scrolled to, and what one does with its messages. Reading
// is told when the end is in view.

import { Attached } from "./attached.js";
import { byId, fill, h, icon, write } from "./dom.js";
import { countOf, dayKey, dayTitle } from "./format.js";
import { MessageElements } from "./message.js";
import { Reacted } from "./reacted.js";
import { showReaders } from "./readers.js";
import { NEW, Rows, estimate } from "./rows.js";
import { Windowed } from "./windowed.js";
import { say } from "./words.js";

// So many views away from the top, the page above is asked for.
const NEAR_TOP = 2;
// Pages to read for the first unread message before the view begins; whoever has missed more than this begins at the end.
const MOST_PAGES = 8;
const MOST_UNREAD = 200;
// Pages to read back for a message that somebody quoted.
const MOST_PAGES_BACK = 40;
// Lines that a screen reader has been told and may go back to.
const MOST_HEARD = 8;
// Of what was read before, above the line "New".
const ABOVE_NEW_PX = 56;
// The day that floats above goes so long after the last scrolling; what a quotation led to stands out for so long.
const DAY_MS = 1_200;
const FOUND_MS = 1_600;
const NOTHING = { messages: null, newFrom: null, setting: null, total: null };

export class HistoryView {
  #client;
  #does;
  #elements;
  #reacted;
  #list;
  #rows = new Rows();
  #scroller = byId("scroller");
  #messages = byId("messages");
  #top = byId("top");
  #jump = byId("jump");
  #day = byId("day");
  #heard = byId("heard");
  #id = null;
  #drawn = false;
  // The `seq` above which the line "New" stands.
  #newFrom = null;
  #pages = 0;
  #askedBelow = null;
  // What was drawn last.
  #shown = NOTHING;
  #heardSeq = 0;
  #daying = null;

  /** `does`: `edit(row)`, `reply(row)`, `remove(row)`, `trouble(error)`, `tell(words)`. */
  constructor(client, does) {
    this.#client = client;
    this.#does = does;
    this.#reacted = new Reacted(client, (messageId) => this.#reactedTo(messageId));
    this.#elements = new MessageElements({
      client,
      canvas: this.#messages,
      reacted: this.#reacted,
      attached: new Attached({ client, scroller: this.#scroller, ontrouble: does.tell }),
      does: {
        edit: (row) => does.edit(row),
        reply: (row) => does.reply(row),
        delete: (row) => does.remove(row),
        retry: (key) => client.retry(key),
        discard: (key) => client.discard(key),
        readers: (row) => showReaders(client, row),
        react: (row, emoji) => this.#react(row, emoji),
        jump: (messageId) => this.#goTo(messageId),
      },
    });
    this.#list = new Windowed({
      scroller: this.#scroller,
      canvas: this.#messages,
      draw: (item, element) => this.#elements.draw(item, element),
      estimate: (item) => estimate(item, this.#messages.clientWidth),
      onmoved: () => this.#moved(),
    });
    this.#scroller.addEventListener("keydown", (event) => this.#pressed(event));
    this.#jump.addEventListener("click", () => this.#list.toEnd({ smooth: true }));
    fill(this.#jump, icon("down"), h("span", { class: "jump-count" }));
  }

  /** Another conversation, or none. */
  show(id) {
    this.#id = id;
    this.#drawn = false;
    this.#newFrom = null;
    this.#pages = 0;
    this.#askedBelow = null;
    this.#shown = NOTHING;
    this.#heardSeq = 0;
    this.#list.clear();
    this.#rows.clear();
    this.#reacted.clear();
    this.#top.replaceChildren();
    this.#heard.replaceChildren();
    this.#day.hidden = true;
  }

  /** One has just written: to the end, and the line "New" has done its service. */
  sent() {
    this.#newFrom = null;
    this.render();
    this.#list.toEnd();
  }

  /** Tell what has been seen: the end, by somebody who looks. */
  read() {
    if (this.#id !== null && this.#drawn && this.#list.atEnd && document.visibilityState === "visible")
      this.#client.markRead(this.#id);
  }

  render() {
    const conversation = this.#client.conversation(this.#id);
    if (this.#client.status.state !== "online") this.#askedBelow = null;
    const { messages, unread, lastReadSeq, participants } = conversation;
    this.#renderTop(conversation);
    if (conversation.status !== "ready") {
      this.#renderUnsent(conversation);
      return;
    }
    if (!this.#drawn && this.#reachesBack(conversation)) return;
    const isFirst = !this.#drawn;
    if (isFirst && unread > 0) this.#newFrom = lastReadSeq;
    // What comes while nobody looks is new to him who looks again.
    const isUnseen = document.visibilityState === "hidden" || !this.#list.atEnd;
    if (isUnseen && this.#newFrom === null && unread > 0) this.#newFrom = lastReadSeq;

    const { total, ...setting } = settingOf(conversation);
    const shown = { messages, newFrom: this.#newFrom, setting: JSON.stringify(setting), total };
    const former = this.#shown;
    this.#shown = shown;
    this.#elements.setting = { ...setting, total, isArriving: !isFirst && this.#list.atEnd };
    this.#elements.participants = participants;
    const isInside = this.#messages.contains(document.activeElement);
    if (isFirst || (messages !== former.messages && !isInside))
      this.#elements.begin(messages.at(-1)?.key ?? null, this.#messages.children);
    if (messages !== former.messages || shown.newFrom !== former.newFrom)
      this.#list.show(this.#rows.of(messages, { newFrom: this.#newFrom }));
    if (shown.setting !== former.setting && !isFirst) this.#list.redraw();
    else if (total !== former.total) for (const element of this.#messages.children) this.#elements.count(element);
    this.#elements.setting.isArriving = false;
    this.#messages.setAttribute("aria-busy", String(conversation.loadingOlder));
    if (isFirst) {
      this.#drawn = true;
      if (messages[0]?.seq <= (this.#newFrom ?? 0) + 1 || !conversation.hasMore) this.#list.toKey(NEW, ABOVE_NEW_PX);
    } else this.#tell(messages);
    this.#heardSeq = messages.findLast(({ seq }) => seq !== null)?.seq ?? 0;
    this.#renderJump(unread);
    this.read();
    this.#fillUp(conversation);
  }

  // What one wrote before there was any history to stand below.
  #renderUnsent(conversation) {
    const { messages, participants } = conversation;
    if (this.#drawn || messages === this.#shown.messages || messages.length === 0) return;
    this.#shown = { ...NOTHING, messages };
    this.#elements.setting = settingOf(conversation);
    this.#elements.participants = participants;
    this.#list.show(this.#rows.of(messages, { newFrom: null }));
  }

  // Whether older pages have to come before the view can begin at the first message that was not read.
  #reachesBack({ messages, unread, lastReadSeq, hasMore, loadingOlder }) {
    if (unread === 0 || !hasMore || messages.length === 0 || messages[0].seq <= lastReadSeq + 1) return false;
    if (unread > MOST_UNREAD || this.#client.status.state !== "online") return false;
    if (loadingOlder) return true;
    if (this.#pages >= MOST_PAGES) return false;
    this.#pages += 1;
    const id = this.#id;
    this.#client.loadOlder(id).then(() => this.#id === id && this.render());
    return true;
  }

  #renderTop({ status, messages, hasMore, loadingOlder, writable }) {
    const isLoading = status === "loading" || (status === "ready" && !this.#drawn && loadingOlder);
    const state = isLoading
      ? this.#client.status.state === "waiting"
        ? "away"
        : "loading"
      : hasMore
        ? loadingOlder
          ? "paging"
          : "more"
        : messages.length === 0
          ? writable
            ? "empty"
            : "silent"
          : "beginning";
    if (this.#top.dataset.state === state && this.#top.hasChildNodes()) return;
    this.#top.dataset.state = state;
    fill(
      this.#top,
      (state === "loading" || state === "paging") &&
        h("span", { class: "spinner", role: "img", "aria-label": say("pane.loadingOlder") }),
      state === "more" &&
        h(
          "button",
          {
            class: "text-button",
            type: "button",
            "data-testid": "load-older",
            onclick: () => this.#client.loadOlder(this.#id),
          },
          say("pane.loadOlder"),
        ),
      state === "away" && say("pane.away"),
      state === "beginning" && say("pane.beginning"),
      state === "silent" && say("list.empty"),
      state === "empty" && [h("span", { class: "hello" }, "👋"), say("pane.empty")],
    );
  }

  #renderJump(unread) {
    this.#jump.hidden = this.#list.atEnd || !this.#drawn;
    const count = this.#jump.querySelector(".jump-count");
    write(count, unread > 0 ? countOf(unread) : "");
    count.hidden = unread === 0;
    const words = unread > 0 ? say("pane.jumpNew", { count: unread }) : say("pane.jump");
    if (this.#jump.title === words) return;
    this.#jump.title = words;
    this.#jump.setAttribute("aria-label", words);
  }

  // A feed of which only a part is in the document cannot tell by itself what came: this does.
  #tell(messages) {
    const fresh = [];
    for (let index = messages.length - 1; index >= 0; index -= 1) {
      const row = messages[index];
      if (row.seq !== null && row.seq <= this.#heardSeq) break;
      if (row.seq !== null && !row.own && !row.deleted_at) fresh.unshift(row);
    }
    const lines = fresh.slice(-MOST_HEARD).map((row) => {
      const by = row.message_type === "system" ? "" : say("names.by", { name: row.sender.name });
      return h("p", {}, by + this.#elements.wordsOf(row));
    });
    this.#heard.append(...lines);
    while (this.#heard.children.length > MOST_HEARD) this.#heard.firstElementChild.remove();
  }

  #moved() {
    if (this.#id === null || !this.#drawn) return;
    const conversation = this.#client.conversation(this.#id);
    this.#renderJump(conversation.unread);
    this.#renderDay();
    this.read();
    this.#fillUp(conversation);
  }

  // The day of what is uppermost, while one scrolls; not where the day's own line is to be seen there.
  #renderDay() {
    const { items } = this.#list;
    const [first, last] = this.#list.seen;
    const item = items[first];
    const hasLine = items
      .slice(first, Math.min(first + 3, last + 1))
      .some(({ kind, key }) => kind === "day" && this.#list.distance(key) < ABOVE_NEW_PX);
    const isNeeded = item !== undefined && !hasLine && this.#list.above > 0 && !this.#list.atEnd;
    this.#day.hidden = !isNeeded;
    if (!isNeeded) return;
    const words = dayTitle(item.at);
    if (this.#day.textContent !== words) fill(this.#day, h("span", {}, words));
    this.#day.classList.remove("idle");
    clearTimeout(this.#daying);
    this.#daying = setTimeout(() => this.#day.classList.add("idle"), DAY_MS);
  }

  // Each page is asked for once by itself; one that could not be had is asked for by the button, or after a reconnect.
  #fillUp({ messages, hasMore }) {
    if (!this.#drawn || !hasMore || this.#list.above >= NEAR_TOP * this.#list.viewHeight) return;
    const below = messages[0]?.seq ?? null;
    if (this.#askedBelow === below || this.#client.status.state !== "online") return;
    this.#askedBelow = below;
    this.#client.loadOlder(this.#id);
  }

  async #react(row, emoji) {
    try {
      const who = row.reactions[emoji] ? await this.#reacted.ask(row) : new Map();
      const isOn = (who.get(emoji) ?? []).includes(this.#client.me?.id);
      await this.#client.react(row.id, emoji, !isOn);
    } catch (error) {
      this.#does.trouble(error);
    }
  }

  #reactedTo(messageId) {
    const element = this.#messages.querySelector(`[data-message-id="${CSS.escape(messageId)}"]`);
    if (element !== null) this.#elements.reactedTo(element);
  }

  // To a message that somebody quoted, as far back as that takes.
  async #goTo(messageId) {
    const id = this.#id;
    for (let page = 0; page < MOST_PAGES_BACK; page += 1) {
      const { messages, hasMore } = this.#client.conversation(id);
      if (messages.some((row) => row.id === messageId) || !hasMore || this.#client.status.state !== "online") break;
      await this.#client.loadOlder(id);
      if (this.#id !== id) return;
    }
    this.render();
    const item = this.#list.items.find(({ row }) => row?.id === messageId);
    if (item === undefined) return;
    const element = this.#list.toKey(item.key, this.#list.viewHeight / 3);
    element.focus({ preventScroll: true });
    element.classList.add("found");
    setTimeout(() => element.classList.remove("found"), FOUND_MS);
  }

  // From message to message, as a feed is read; Page Up and Page Down by as many as are seen.
  #pressed(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
    const { items } = this.#list;
    const [first, last] = this.#list.seen;
    const here = this.#list.itemOf(event.target);
    if (here === null) {
      const start = { ArrowUp: last, ArrowDown: first }[event.key];
      if (start !== undefined) this.#focus(event, start, event.key === "ArrowUp" ? -1 : 1);
      else if (event.key === "End") {
        event.preventDefault();
        this.#list.toEnd();
      }
      return;
    }
    const at = items.indexOf(here);
    const page = Math.max(1, last - first - 1);
    if (event.key === "ArrowUp") this.#focus(event, at - 1, -1);
    else if (event.key === "ArrowDown") this.#focus(event, at + 1, 1);
    else if (event.key === "PageUp") this.#focus(event, Math.max(0, at - page), 1);
    else if (event.key === "PageDown") this.#focus(event, Math.min(items.length - 1, at + page), -1);
    else if (event.key === "Home") this.#focus(event, 0, 1);
    else if (event.key === "End") this.#focus(event, items.length - 1, -1);
  }

  // The message at `index`, or the next one that way: the lines between have nothing to focus.
  #focus(event, index, step) {
    event.preventDefault();
    const { items } = this.#list;
    while (items[index] !== undefined && items[index].row === undefined) index += step;
    if (items[index] !== undefined) this.#list.reveal(items[index].key)?.focus({ preventScroll: true });
  }
}

function settingOf({ type, writable, role, about, messages }) {
  let last = about.last_seq ?? 0;
  let waiting = 0;
  for (let index = messages.length - 1; index >= 0; index -= 1) {
    const { seq } = messages[index];
    if (seq !== null) {
      last = Math.max(last, seq);
      break;
    }
    waiting += 1;
  }
  const firstSeq = about.first_seq ?? 1;
  return {
    // "Today" is another day tomorrow.
    today: dayKey(new Date()),
    isDirect: type === "direct",
    isWritable: writable,
    isAdmin: role === "admin",
    firstSeq,
    total: Math.max(0, last - firstSeq + 1) + waiting,
  };
}
