// One row of the history as an element. A row keeps its element for its whole life: an optimistic one becomes real in place.

import { portrait } from "./avatar.js";
import { unturned } from "./client/text.js";
import { fill, h, icon } from "./dom.js";
import { clockTime, dayTitle, enumerate, fullTime, hue } from "./format.js";
import { readersOf } from "./rows.js";

const STATES = { pending: "Sending", sent: "Sent", read: "Read", failed: "Not sent" };
// A finger cannot hover: it taps a message to see what can be done with it.
const TOUCH = matchMedia("(hover: none)");
// What turns text round (U+202A and the like) is no part of an address: it would read as another one.
const LINK = /https?:\/\/[^\s<>"'\u202a-\u202e\u2066-\u2069]*[^\s<>"'.,;:!?)\]\u202a-\u202e\u2066-\u2069]/g;

export class RowElements {
  #messenger;
  #does;
  #held = new Map();

  /** `does`: `edit(message)`, `remove(message)`, `retry(clientId)`, `discard(clientId)`. */
  constructor(messenger, does) {
    this.#messenger = messenger;
    this.#does = does;
  }

  clear() {
    this.#held.clear();
  }

  /** The elements of these rows; those of rows that are gone are forgotten. `fresh` ones get the class of that name. */
  of(rows, { log, about, fresh }) {
    const keys = new Set(rows.map(({ key }) => key));
    for (const key of this.#held.keys()) if (!keys.has(key)) this.#held.delete(key);
    return rows.map((row) => {
      let held = this.#held.get(row.key);
      if (held === undefined) {
        const element = h(row.kind === "message" ? "article" : "div", { class: fresh ? "fresh" : null });
        if (row.kind === "message" && row.own)
          element.addEventListener("click", () => TOUCH.matches && element.classList.toggle("touched"));
        held = { element, shown: null };
        this.#held.set(row.key, held);
      }
      const names = this.#names(row, log);
      const shown = JSON.stringify([row, names, about.type]);
      if (held.shown !== shown) {
        held.shown = shown;
        this.#draw(held.element, row, names, about);
      }
      return held.element;
    });
  }

  #names(row, log) {
    const { people } = this.#messenger;
    if (row.kind !== "message") return null;
    const readers = row.state === "read" ? readersOf(log, row.message.seq) : [];
    const { sender_id } = row.message;
    return {
      sender: people.nameOf(sender_id),
      picture: people.pictureOf(sender_id),
      readers: readers.map((id) => people.nameOf(id)),
    };
  }

  #draw(element, row, names, about) {
    const fresh = element.classList.contains("fresh") ? "fresh" : "";
    if (row.kind === "message") {
      element.className = [
        "message",
        row.own && "own",
        row.first && "first",
        row.last && "last",
        row.state,
        row.message.deleted_at && "gone",
        fresh,
      ]
        .filter(Boolean)
        .join(" ");
      this.#drawMessage(element, row, names, about);
      return;
    }
    element.className = `line ${row.kind} ${fresh}`;
    if (row.kind === "new") fill(element, h("span", {}, "New"));
    else if (row.kind === "day") fill(element, h("span", {}, dayTitle(row.at)));
    else {
      Object.assign(element.dataset, {
        testid: "message",
        messageId: row.message.id,
        seq: row.message.seq,
        type: "system",
      });
      fill(
        element,
        h(
          "span",
          { title: fullTime(row.at) },
          h("span", { "data-testid": "message-content" }, unturned(row.message.content ?? "Something changed")),
        ),
      );
    }
  }

  #drawMessage(element, row, { sender, readers }, about) {
    const { message, own, state, error } = row;
    const data = {
      testid: "message",
      messageId: message.id,
      seq: message.seq,
      state,
      own: own ? "true" : null,
      deleted: message.deleted_at ? "true" : null,
    };
    for (const [name, value] of Object.entries(data)) {
      if (value === null) delete element.dataset[name];
      else element.dataset[name] = String(value);
    }
    const many = about.type !== "direct";
    fill(
      element,
      !own &&
        many &&
        h("span", { class: "message-face" }, row.last && portrait(this.#messenger, message.sender_id, { small: true })),
      h(
        "div",
        { class: "message-body" },
        !own && many && row.first && h("div", { class: `sender ink-${hue(message.sender_id)}` }, sender),
        !(!own && many && row.first) && h("span", { class: "hidden-text" }, `${own ? "You" : sender}: `),
        h("div", { class: "bubble-line" }, bubble(row, readers), this.#actions(row)),
        reactions(message),
        state === "failed" &&
          h(
            "div",
            { class: "failure", role: "alert" },
            h("span", { class: "failure-reason", "data-testid": "message-error" }, `Not sent. ${error?.message ?? ""}`),
            h(
              "span",
              { class: "failure-does" },
              h(
                "button",
                {
                  class: "text-button",
                  type: "button",
                  "data-testid": "message-retry",
                  onclick: () => this.#does.retry(message.client_id),
                },
                "Try again",
              ),
              h(
                "button",
                {
                  class: "text-button",
                  type: "button",
                  "data-testid": "message-discard",
                  onclick: () => this.#does.discard(message.client_id),
                },
                "Discard",
              ),
            ),
          ),
      ),
    );
  }

  // For one's own, where the server has them. Always in the document, so that the keyboard reaches them.
  #actions({ own, message }) {
    if (!own || message.id === null || message.deleted_at) return null;
    const action = (name, words, run) =>
      h(
        "button",
        {
          class: "action",
          type: "button",
          "data-testid": `message-${name}`,
          "aria-label": words,
          title: words,
          onclick: run,
        },
        icon(name === "edit" ? "edit" : "trash"),
      );
    return h(
      "div",
      { class: "actions" },
      action("edit", "Edit message", () => this.#does.edit(message)),
      action("delete", "Delete message", () => this.#does.remove(message)),
    );
  }
}

function bubble({ message, own, state, at }, readers) {
  const gone = Boolean(message.deleted_at);
  const told = readers.length > 0 ? `Read by ${enumerate(readers)}` : STATES[state];
  return h(
    "div",
    { class: "bubble" },
    gone
      ? h(
          "span",
          { class: "content", "data-testid": "message-content" },
          icon("gone"),
          own ? "You deleted this message" : "This message was deleted",
        )
      : h(
          "span",
          { class: "content", dir: "auto", "data-testid": "message-content" },
          ...linked(message.content ?? ""),
        ),
    h(
      "span",
      { class: "meta" },
      message.edited_at &&
        !gone &&
        h("span", { class: "edited", title: fullTime(new Date(message.edited_at)) }, "edited"),
      h("time", { datetime: at.toISOString(), title: fullTime(at) }, clockTime(at)),
      own &&
        !gone &&
        state !== null &&
        h("span", { class: `ticks ${state}`, role: "img", "aria-label": told, title: told }, icon(state)),
    ),
  );
}

function reactions({ reactions = null }) {
  // The database keeps them in no order of ours.
  const counts = Object.entries(reactions ?? {})
    .filter(([, count]) => count > 0)
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  if (counts.length === 0) return null;
  return h(
    "div",
    { class: "reactions" },
    ...counts.map(([emoji, count]) => h("span", { class: "reaction" }, emoji, count > 1 && ` ${count}`)),
  );
}

/** Text with its http addresses as links. */
function linked(text) {
  const parts = [];
  let end = 0;
  for (const { 0: address, index } of text.matchAll(LINK)) {
    parts.push(
      text.slice(end, index),
      h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, address),
    );
    end = index + address.length;
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== "");
}
