// One line of the history as an element, and what can be done with a message. An optimistic message becomes real in its element.

import { portrait } from "./avatar.js";
import { unturned } from "./client/text.js";
import { isPicture } from "./boxes.js";
import { deletedWords, linked, saidIn, shortened } from "./content.js";
import { arrange, fill, h, icon } from "./dom.js";
import { clockTime, countOf, dayTitle, fullTime, hue } from "./format.js";
import { isJumbo, readersOf } from "./rows.js";
import { Tools } from "./tools.js";
import { enumerate, honoured, refused, say, systemWords } from "./words.js";

/** @import { Item } from "./rows.js" */

// Beside a message of many readers.
const MOST_NAMED = 20;
/**
 * What a message depends on besides its row; `redraw` where it changed.
 *
 * @typedef {object} Setting
 * @property {boolean} isDirect
 * @property {boolean} isWritable @property {boolean} isAdmin
 * @property {number} firstSeq @property {number} total  How many messages there are, held or not.
 * @property {boolean} isArriving  Whether what is new is drawn as something that has just come.
 */

export class MessageElements {
  #client;
  #does;
  #reacted;
  #attached;
  #held = new WeakMap();
  #tools;
  #active = null;

  /** @type {Setting} */
  setting = { isDirect: true, isWritable: true, isAdmin: false, firstSeq: 1, total: -1, isArriving: false };
  /** Who takes part, for who has read. */
  participants = [];

  /**
   * `does`: `edit(row)`, `reply(row)`, `delete(row)`, `readers(row)`, `react(row, emoji)`, `jump(messageId)`, `retry(key)`,
   * `discard(key)`. `reacted` tells who reacted; `attached` shows files.
   */
  constructor({ client, canvas, does, reacted, attached }) {
    this.#client = client;
    this.#does = does;
    this.#reacted = reacted;
    this.#attached = attached;
    this.#tools = new Tools({
      canvas,
      does,
      rowOf: (article) => this.#held.get(article).item.row,
      offers: (row) => this.#offers(row),
    });
    canvas.addEventListener("focusin", (event) => this.#entered(event.target.closest("article")));
  }

  /** The Tab key comes in by this message, the newest, or by whichever has the focus after it. `drawn`: those in the document. */
  begin(key, drawn) {
    this.#active = key;
    for (const element of drawn) if (this.#held.has(element)) this.#step(element);
  }

  /** The element of an item: the given one drawn anew, or a new one. @param {Item} item @param {HTMLElement|null} element */
  draw(item, element) {
    if (item.kind === "day" || item.kind === "new") return line(item, element);
    const made = element ?? h("article", { class: "entry" });
    const held = this.#held.get(made) ?? { item, parts: null };
    held.item = item;
    this.#held.set(made, held);
    const focused = made.contains(document.activeElement) ? document.activeElement : null;
    if (item.kind === "system") this.#drawSystem(made, item);
    else this.#drawMessage(made, held, element === null);
    const place = item.row.seq === null ? this.setting.total : item.row.seq - this.setting.firstSeq + 1;
    made.setAttribute("aria-posinset", String(Math.max(place, 1)));
    this.count(made);
    this.#step(made);
    // A file that stays goes with its bubble, and loses the focus on its way.
    if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
    else if (focused !== null && !focused.isConnected) refocus(made, focused);
    return made;
  }

  /** How many messages there are is told by each of them. */
  count(element) {
    if (element.localName === "article") element.setAttribute("aria-setsize", String(this.setting.total));
  }

  /** Who reacted to it is known now, or is other than thought. */
  reactedTo(element) {
    const held = this.#held.get(element);
    if (held?.item.kind === "message") this.#drawPressed(element, held.item.row);
  }

  /** What it says, in short. */
  wordsOf(row) {
    if (row.message_type === "system") return unturned(systemWords(row, (id) => this.#client.person(id).name));
    return row.deleted_at ? deletedWords(row) : unturned(shortened(saidIn(row)));
  }

  #drawSystem(element, { row, at }) {
    element.className = "entry line system";
    Object.assign(element.dataset, { testid: "message", messageId: row.id, seq: row.seq, type: "system" });
    const words = this.wordsOf(row);
    element.setAttribute("aria-label", words);
    fill(element, h("span", { title: fullTime(at) }, h("span", { "data-testid": "message-content" }, words)));
  }

  #drawMessage(element, held, isNew) {
    const { row, quoted, first, last, at } = held.item;
    const { isDirect, isArriving } = this.setting;
    const { own, sender } = row;
    const state = stateOf(row);
    const isGone = Boolean(row.deleted_at);
    const isFresh = isNew ? isArriving : element.classList.contains("fresh");
    element.className = [
      "entry message",
      own && "own",
      first && "first",
      last && "last",
      state,
      isGone && "gone",
      !isGone && !row.attachments?.length && isJumbo(row.content ?? "") && "jumbo",
      isFresh && "fresh",
    ]
      .filter(Boolean)
      .join(" ");
    const data = {
      testid: "message",
      messageId: row.id,
      seq: row.seq,
      own: own ? "true" : null,
      state,
      readBy: own && state !== "pending" && state !== "failed" ? row.readBy : null,
      deleted: isGone ? "true" : null,
    };
    for (const [name, value] of Object.entries(data)) {
      if (value === null || value === undefined) delete element.dataset[name];
      else element.dataset[name] = String(value);
    }
    const name = own ? say("names.you") : sender.name;
    const label = { name, time: clockTime(at), words: this.wordsOf(row) };
    element.setAttribute("aria-label", say("message.label", label));

    if (held.parts === null) {
      const line = h("div", { class: "bubble-line" });
      const body = h("div", { class: "message-body" }, line);
      held.parts = { line, body, face: null, look: null, files: null, filesLook: null };
      element.append(held.parts.body);
    }
    const { parts } = held;
    const isNamed = !own && !isDirect && first;
    this.#drawFace(element, parts, !own && !isDirect ? (last ? sender : "none") : null);
    arrange(
      parts.body,
      [
        isNamed
          ? h("div", { class: `sender ink-${hue(row.sender_id)}` }, sender.name)
          : h("span", { class: "hidden-text" }, say("names.by", { name })),
        parts.line,
        this.#reactions(row),
        state === "failed" && this.#failure(row),
      ].filter(Boolean),
    );
    const files = this.#files(parts, isGone ? [] : (row.attachments ?? []));
    arrange(parts.line, [this.#bubble(held.item, state, quoted, files), this.#tools.of(element)].filter(Boolean));
    this.#drawPressed(element, row);
  }

  // A picture that is there already is not fetched again.
  #drawFace(element, parts, of) {
    const look = of === null ? null : of === "none" ? "none" : JSON.stringify(of);
    if (look === parts.look) return;
    parts.look = look;
    parts.face?.remove();
    parts.face =
      of === null ? null : h("span", { class: "message-face" }, of !== "none" && portrait(of, { small: true }));
    if (parts.face !== null) element.prepend(parts.face);
  }

  // What has been loaded is not loaded again when the message is drawn anew.
  #files(parts, attachments) {
    const look = JSON.stringify(attachments.map(({ url, name, size, width }) => [url, name, size, width]));
    if (look !== parts.filesLook) {
      parts.filesLook = look;
      parts.files = attachments.length > 0 ? this.#attached.of(attachments) : null;
    }
    return parts.files;
  }

  #bubble({ row, at }, state, quoted, files) {
    const { own } = row;
    const isGone = Boolean(row.deleted_at);
    const pictures = files === null ? 0 : row.attachments.filter(isPicture).length;
    const isBare = pictures > 0 && pictures === row.attachments.length && !row.content && !row.reply_to;
    const classes = ["bubble", pictures && "pictured", files && !row.content && "wordless", isBare && "bare"];
    return h(
      "div",
      { class: classes.filter(Boolean).join(" ") },
      row.reply_to && !isGone && this.#quotation(row, quoted),
      files,
      isGone
        ? h("span", { class: "content", "data-testid": "message-content" }, icon("gone"), deletedWords(row))
        : h("span", { class: "content", dir: "auto", "data-testid": "message-content" }, ...linked(row.content ?? "")),
      h(
        "span",
        { class: "meta" },
        row.edited_at &&
          !isGone &&
          h("span", { class: "edited", title: fullTime(new Date(row.edited_at)) }, say("message.edited")),
        h("time", { datetime: at.toISOString(), title: fullTime(at) }, clockTime(at)),
        own && !isGone && this.#ticks(row, state),
      ),
    );
  }

  #ticks(row, state) {
    const words = tickWords(state, row.readBy, this.setting.isDirect);
    const ticks = h(
      "span",
      { class: `ticks ${state} by-${row.readBy ?? "none"}`, role: "img", "aria-label": words, title: words },
      icon(state),
    );
    // Names are looked up for whom they interest.
    if (state === "read")
      ticks.addEventListener("pointerenter", () => {
        const names = this.#readers(row).map(({ name }) => honoured(name));
        if (names.length > 0) ticks.title = say("message.readBy", { names: named(names) });
      });
    return ticks;
  }

  #readers(row) {
    return readersOf(this.participants, row.seq, row.sender_id);
  }

  #quotation(row, quoted) {
    const words = quoted === null ? say("reply.earlier") : this.wordsOf(quoted);
    return h(
      "button",
      {
        class: `quotation ${quoted === null ? "" : `ink-${hue(quoted.sender_id)}`}`,
        type: "button",
        tabindex: -1,
        "data-testid": "quotation",
        "data-reply-to": row.reply_to,
        onclick: () => this.#does.jump(row.reply_to),
      },
      quoted !== null && h("bdi", { class: "quotation-by" }, quoted.own ? say("names.you") : quoted.sender.name),
      h("bdi", { class: "quotation-words" }, words),
    );
  }

  #reactions(row) {
    const counts = row.deleted_at ? [] : countsOf(row);
    if (counts.length === 0) return null;
    return h(
      "div",
      { class: "reactions" },
      ...counts.map(([emoji, count]) =>
        h(
          "button",
          {
            class: "reaction",
            type: "button",
            tabindex: -1,
            "data-testid": "reaction",
            "data-emoji": emoji,
            onclick: (event) => this.#does.react(this.#rowAt(event.currentTarget), emoji),
          },
          emoji,
          count > 1 && ` ${countOf(count)}`,
        ),
      ),
    );
  }

  // Which of them are one's own, and whose the others are, as far as that was told.
  #drawPressed(element, row) {
    if (countsOf(row).length === 0) return;
    this.#reacted.want(row);
    const who = this.#reacted.of(row.id);
    if (who === null) return;
    const me = this.#client.me?.id;
    for (const chip of element.querySelectorAll(".reaction")) {
      const ids = who.get(chip.dataset.emoji) ?? [];
      chip.setAttribute("aria-pressed", String(ids.includes(me)));
      // Oneself first: "You and Bob".
      const names = [
        ...(ids.includes(me) ? [say("names.you")] : []),
        ...ids.filter((id) => id !== me).map((id) => honoured(this.#client.person(id).name)),
      ];
      if (names.length === 0) continue;
      chip.title = named(names);
      chip.setAttribute("aria-label", say("reaction.by", { emoji: chip.dataset.emoji, names: named(names) }));
    }
  }

  #failure(row) {
    const button = (words, hook, run) =>
      h("button", { class: "text-button", type: "button", "data-testid": hook, onclick: run }, words);
    return h(
      "div",
      { class: "failure", role: "alert" },
      h(
        "span",
        { class: "failure-reason", "data-testid": "message-error" },
        say("message.failedBecause", { reason: row.error ? refused(row.error) : "" }),
      ),
      h(
        "span",
        { class: "failure-does" },
        button(say("message.retry"), "message-retry", () => this.#does.retry(row.key)),
        button(say("message.discard"), "message-discard", () => this.#does.discard(row.key)),
      ),
    );
  }

  // What can be done with it, by the names of `does`. The server decides in the end.
  #offers(row) {
    const { isWritable, isAdmin, isDirect } = this.setting;
    if (row.message_type === "system" || row.id === null || row.deleted_at) return [];
    return [
      "react",
      isWritable && "reply",
      row.own && "readers",
      row.own && isWritable && row.message_type === "text" && "edit",
      (row.own || (isAdmin && !isDirect)) && "delete",
    ].filter(Boolean);
  }

  // The focus is in it: it is the one by which the Tab key comes in.
  #entered(element) {
    const held = element === null ? undefined : this.#held.get(element);
    if (held === undefined || this.#active === held.item.key) return;
    this.#active = held.item.key;
    for (const other of element.parentElement.children) if (this.#held.has(other)) this.#step(other);
  }

  #rowAt(element) {
    return this.#held.get(element.closest("article")).item.row;
  }

  #step(element) {
    const isActive = this.#held.get(element).item.key === this.#active;
    element.tabIndex = isActive ? 0 : -1;
    for (const button of element.querySelectorAll(".reaction, .quotation, .shot, button.attachment"))
      button.tabIndex = isActive ? 0 : -1;
  }
}

/** What is told of one's own: pending, sent, read (by anybody) or failed; null of others' messages. */
function stateOf({ own, state, readBy }) {
  if (!own) return null;
  return state === "sent" && (readBy === "some" || readBy === "all") ? "read" : state;
}

/** Reactions and their counts, the most frequent first. The database keeps them in no order of ours. */
function countsOf({ reactions }) {
  return Object.entries(reactions ?? {})
    .filter(([, count]) => count > 0)
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
}

function line(item, element) {
  const made = element ?? h("div");
  made.className = `entry line ${item.kind}`;
  fill(made, h("span", {}, item.kind === "new" ? say("pane.new") : dayTitle(item.at)));
  return made;
}

function tickWords(state, readBy, isDirect) {
  if (state !== "read") return say(`message.${state}`);
  if (isDirect) return say("message.read");
  return say(readBy === "all" ? "message.readByAll" : "message.readBySome");
}

const named = (names) =>
  names.length > MOST_NAMED
    ? say("names.andMore", { names: names.slice(0, MOST_NAMED).join(", "), count: names.length - MOST_NAMED })
    : enumerate(names);

// The button in which the focus was is another element now; or it is gone, and the message has the focus.
function refocus(element, former) {
  const { testid, emoji } = former.dataset;
  const same = [...element.querySelectorAll("button, a")].find(
    (button) => testid !== undefined && button.dataset.testid === testid && button.dataset.emoji === emoji,
  );
  (same ?? element).focus({ preventScroll: true });
}
