// What is said in a room, and the field below it. Enter sends, Shift+Enter is a new line. What the server refuses comes back into
// the field.

import { avatar } from "./avatar.js";
import { linked } from "./content.js";
import { arrange, byId, fill, h, icon, write } from "./dom.js";
import { clockTime, fullTime, hue } from "./format.js";
import { enumerate, honoured, say } from "./words.js";

// Of what is shown.
const MOST_SHOWN = 500;
const NEAR_END_PX = 80;
const MOST_TYPISTS = 3;

export class Talk {
  #log = byId("log");
  #typing = byId("typing");
  #trouble = byId("trouble");
  #form = byId("composer-form");
  #onsend;
  #ontyped;
  #field;
  #buttons;
  // key → the entry that shows it.
  #shown = new Map();
  // What was sent and not heard yet.
  #underway = [];
  // What was given back into the field last, until something is sent.
  #returned = null;
  #isComposing = false;
  #awaited = null;

  /**
   * `onsend(content, kind)` answers whether it is on its way; `ontyped(content)` hears of every key. `most`: characters in a message.
   * `asks`: whether a message can be a question.
   */
  constructor({ onsend, ontyped = () => {}, most, asks = false }) {
    this.#onsend = onsend;
    this.#ontyped = ontyped;
    this.#field = h("textarea", {
      class: "composer-field",
      rows: 1,
      maxlength: most,
      "data-testid": "composer",
      "aria-label": say("composer.label"),
      placeholder: say("composer.hint"),
      dir: "auto",
      enterkeyhint: "send",
      oninput: () => this.#typed(),
      onkeydown: (event) => this.#pressed(event),
      oncompositionstart: () => (this.#isComposing = true),
      oncompositionend: () => this.#composed(),
    });
    const send = h(
      "button",
      { class: "send", type: "submit", "data-testid": "send", "aria-label": say("composer.send") },
      icon("send"),
    );
    const ask =
      asks &&
      h(
        "button",
        { class: "pill", type: "button", "data-testid": "ask", onclick: () => this.#submit("question") },
        say("live.ask"),
      );
    this.#buttons = [send, ask].filter(Boolean);
    fill(this.#form, h("div", { class: "composer-line" }, this.#field, ask, send));
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#submit("text");
    };
    this.#fit();
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  /** Nothing is written any more. */
  close() {
    this.#form.hidden = true;
    this.typing([]);
    this.trouble("");
  }

  /** One more message: `{id, nickname, own, content, kind, at}`. False: it is shown already. */
  add(message) {
    if (this.#shown.has(message.id)) return false;
    this.#heard(message);
    this.#append(message.id, entry(message));
    return true;
  }

  /** These messages and no others; those that are shown already stay as they are. */
  show(messages) {
    const isAtEnd = this.#isAtEnd();
    const before = this.#shown;
    this.#shown = new Map();
    for (const message of messages) {
      if (!before.has(message.id)) this.#heard(message);
      this.#shown.set(message.id, before.get(message.id) ?? entry(message));
    }
    const elements = [...this.#shown.values()];
    arrange(this.#log, elements);
    for (const [place, element] of elements.entries()) grade(element, elements[place - 1] ?? null);
    if (isAtEnd) this.#toEnd();
  }

  /** What the page itself tells, in its place. */
  note(words) {
    this.#append(Symbol(), h("div", { class: "line system", "data-testid": "note" }, h("span", {}, words)));
  }

  /** Who is typing: names. */
  typing(names) {
    this.#typing.hidden = names.length === 0;
    const words =
      names.length === 1
        ? say("pane.typingOne", { name: names[0] })
        : say("pane.typingMany", { names: enumerate(names.map(honoured)) });
    fill(
      this.#typing,
      names.length > 0 && [
        h(
          "span",
          { class: "typists", "aria-hidden": "true" },
          names.slice(0, MOST_TYPISTS).map((name) => avatar(name, name, { small: true })),
        ),
        h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
        h("span", { class: "typing-words" }, words),
      ],
    );
  }

  /** What the server did not do, and why; empty takes it away. What was underway is given back. */
  trouble(words) {
    write(this.#trouble, words);
    if (words !== "") this.giveBack();
  }

  /** Nothing of what is underway was said: the first of it is given back. */
  giveBack() {
    const [content] = this.#underway;
    this.#underway = [];
    if (content === undefined || this.#field.value !== "") return;
    this.#returned = content;
    this.#write(content);
  }

  #heard({ own, content }) {
    if (!own) return;
    const place = this.#underway.indexOf(content);
    if (place >= 0) this.#underway.splice(place, 1);
    // It was said after all: only the answer was lost.
    else if (content === this.#returned && content === this.#field.value) this.#write("");
  }

  #write(content) {
    this.#field.value = content;
    this.#typed();
  }

  #append(key, element) {
    const isAtEnd = this.#isAtEnd();
    this.#shown.set(key, element);
    grade(element, this.#log.lastElementChild);
    this.#log.append(element);
    if (this.#shown.size > MOST_SHOWN) {
      const [[first, gone]] = this.#shown;
      this.#shown.delete(first);
      gone.remove();
    }
    if (isAtEnd) this.#toEnd();
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  #toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #typed() {
    this.#fit();
    this.#ontyped(this.#field.value);
  }

  #fit() {
    for (const button of this.#buttons) button.disabled = this.#field.value.trim() === "";
  }

  #pressed(event) {
    // While an input method composes, its keys are not ours: Enter takes its word then, and sends nothing.
    if (event.isComposing || event.keyCode === 229 || event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    this.#submit("text");
  }

  // An input method (Korean, Japanese, Chinese) has put its last syllable into the field, which holds it only after this event.
  #composed() {
    this.#isComposing = false;
    const kind = this.#awaited;
    this.#awaited = null;
    if (kind !== null) setTimeout(() => this.#submit(kind));
  }

  #submit(kind) {
    if (this.#isComposing) {
      this.#awaited = kind;
      this.#field.blur();
      return;
    }
    const content = this.#field.value.trim();
    if (content === "" || !this.#onsend(content, kind)) return;
    this.trouble("");
    this.#underway.push(content);
    this.#returned = null;
    this.#write("");
    this.focus();
  }
}

function entry({ nickname, own, content, kind = "text", at }) {
  return h(
    "div",
    {
      class: own ? "message own" : "message",
      "data-testid": "message",
      "data-own": String(own),
      "data-kind": kind,
      "data-by": nickname,
    },
    !own && h("span", { class: "message-face" }, avatar(nickname, nickname, { small: true })),
    h(
      "div",
      { class: "message-body" },
      h("bdi", { class: `sender ink-${hue(nickname)}`, "data-testid": "sender" }, own ? say("names.you") : nickname),
      h(
        "div",
        { class: "bubble" },
        kind !== "text" && h("span", { class: "tag" }, kind === "question" ? say("live.question") : kind),
        h("span", { class: "content", dir: "auto", "data-testid": "message-content" }, linked(content)),
        h("time", { class: "meta", datetime: at.toISOString(), title: fullTime(at) }, clockTime(at)),
      ),
    ),
  );
}

// Of several in a row by the same person the first has the name, and the last the face.
function grade(element, before) {
  const isSame =
    before !== null && before.dataset.by === element.dataset.by && before.dataset.own === element.dataset.own;
  element.classList.toggle("first", !isSame || element.dataset.by === undefined);
  element.classList.add("last");
  if (isSame) before.classList.remove("last");
}
