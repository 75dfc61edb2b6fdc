// The raw frames as they pass: direction, time, content. A bounded list, newest first; tokens are not shown.

import { TURNS } from "./client/text.js";
import { fill, h, icon, write } from "./dom.js";
import { say } from "./words.js";

const MOST = 200;
const MOST_CHARS = 20_000;

export class Frames {
  #count;
  #frames = [];
  #total = 0;
  #typed = "";
  #open = false;
  #sincePause = 0;
  #paused = h("button", {
    class: "icon-button",
    type: "button",
    "data-testid": "frames-pause",
    onclick: () => this.#pause(this.#held === null),
  });
  // What is looked at while the list stands still; null while it goes on.
  #held = null;
  #missed = h("p", { class: "frames-missed", role: "status", hidden: true });
  #list = h("ol", { class: "frames-list", "aria-label": say("dev.frames") });
  element;

  /** `count`: where the number of frames that passed stands. */
  constructor(count) {
    this.#count = count;
    const words = say("dev.filter");
    const field = h("input", {
      class: "field search",
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: words,
      "aria-label": words,
      "data-testid": "frames-filter",
    });
    field.addEventListener("input", () => {
      this.#typed = field.value.trim().toLowerCase();
      this.#redraw();
    });
    const clear = say("dev.clear");
    this.element = h(
      "section",
      { class: "frames-part", "aria-label": say("dev.frames") },
      h(
        "div",
        { class: "frames-tools" },
        field,
        this.#paused,
        h(
          "button",
          {
            class: "icon-button",
            type: "button",
            "data-testid": "frames-clear",
            "aria-label": clear,
            title: clear,
            onclick: () => this.#clear(),
          },
          icon("trash"),
        ),
      ),
      this.#missed,
      this.#list,
    );
    this.#pause(false);
  }

  /** While nobody looks at the list it costs nothing. */
  show(open) {
    this.#open = open;
    this.#redraw();
  }

  record(direction, frame, at = new Date()) {
    const entry = { direction, frame, at, text: null };
    this.#frames.unshift(entry);
    this.#frames.length = Math.min(this.#frames.length, MOST);
    this.#total += 1;
    write(this.#count, String(this.#total));
    if (this.#held !== null) this.#tellMissed(this.#sincePause + 1);
    else if (this.#open && this.#matches(entry)) {
      this.#list.prepend(row(entry));
      while (this.#list.children.length > MOST) this.#list.lastElementChild.remove();
    }
  }

  #pause(pause) {
    this.#held = pause ? [...this.#frames] : null;
    const words = say(pause ? "dev.goOn" : "dev.pause");
    this.#paused.setAttribute("aria-label", words);
    this.#paused.setAttribute("aria-pressed", String(pause));
    this.#paused.title = words;
    fill(this.#paused, icon(pause ? "play" : "pause"));
    this.#tellMissed(0);
    if (!pause) this.#redraw();
  }

  #tellMissed(count) {
    this.#sincePause = count;
    this.#missed.hidden = this.#held === null;
    write(this.#missed, this.#held === null ? "" : say("dev.paused", { count }));
  }

  #clear() {
    this.#frames = [];
    if (this.#held !== null) this.#held = [];
    this.#total = 0;
    write(this.#count, "");
    this.#tellMissed(0);
    this.#list.replaceChildren();
  }

  #redraw() {
    const frames = this.#open ? (this.#held ?? this.#frames) : [];
    fill(this.#list, frames.filter((entry) => this.#matches(entry)).map(row));
  }

  // By type and content, as it is shown.
  #matches(entry) {
    if (this.#typed === "") return true;
    entry.text ??= `${entry.frame.type} ${json(entry.frame)}`.toLowerCase();
    return entry.text.includes(this.#typed);
  }
}

function row({ direction, frame, at }) {
  const { type, event, seq, change, code } = frame;
  const numbers = [seq && `seq ${seq}`, change && `change ${change}`, code].filter(Boolean).join(" · ");
  const way = say(direction === "out" ? "dev.out" : "dev.in");
  const details = h(
    "details",
    { class: "frame-details" },
    h(
      "summary",
      {},
      h(
        "span",
        { class: `frame-way ${direction}`, role: "img", "aria-label": way, title: way },
        icon(direction === "out" ? "up" : "drop"),
      ),
      h("span", { class: `frame-type ${type === "error" ? "bad" : ""}` }, [type, event].filter(Boolean).join(" ")),
      h("span", { class: "frame-numbers" }, numbers),
      h(
        "time",
        { class: "frame-time" },
        at.toTimeString().slice(0, 8),
        h("span", { class: "frame-ms" }, `.${String(at.getMilliseconds()).padStart(3, "0")}`),
      ),
    ),
  );
  const body = h(
    "pre",
    { class: "frame-json", tabindex: 0, role: "region", "aria-label": say("dev.content") },
    json(frame),
  );
  details.append(body);
  // Colours only for what somebody looks at.
  details.addEventListener("toggle", () => fill(body, ...coloured(body.textContent)), { once: true });
  return h("li", { class: "frame", "data-testid": "frame", "data-direction": direction, "data-type": type }, details);
}

function json(frame) {
  // What would turn the text round is shown as what it is.
  const text = JSON.stringify(frame, (key, value) => (key === "token" ? "…" : value), 2).replace(
    TURNS,
    (character) => `\\u${character.charCodeAt(0).toString(16)}`,
  );
  return text.length > MOST_CHARS
    ? `${text.slice(0, MOST_CHARS)}\n… ${text.length - MOST_CHARS} characters more`
    : text;
}

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

function coloured(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    const [whole, string, colon] = match;
    const kind = string === undefined ? "json-value" : colon === undefined ? "json-string" : "json-key";
    const word = string ?? whole;
    parts.push(text.slice(end, match.index), h("span", { class: kind }, word));
    end = match.index + word.length;
  }
  parts.push(text.slice(end));
  return parts;
}
