// The raw frames as they pass: direction, time, content. A bounded list, newest first; tokens are not shown.

import { TURNS } from "./client/text.js";
import { fill, h, icon, write } from "./dom.js";

const MOST = 200;
const MOST_CHARS = 20_000;

export class FramesPanel {
  #root;
  #toggle;
  #list = h("ol", { class: "frames-list" });
  #count = h("span", { class: "frames-count" });
  #frames = [];
  #total = 0;

  constructor({ root, toggle }) {
    this.#root = root;
    this.#toggle = toggle;
    fill(toggle, icon("frames"), h("span", {}, "Frames"), this.#count);
    toggle.addEventListener("click", () => this.open(root.hidden));
    fill(
      root,
      h(
        "header",
        { class: "frames-head" },
        h("h2", { class: "frames-title" }, "Frames"),
        h(
          "button",
          { class: "text-button", type: "button", "data-testid": "frames-clear", onclick: () => this.#clear() },
          "Clear",
        ),
        h(
          "button",
          {
            class: "icon-button",
            type: "button",
            "data-testid": "frames-close",
            "aria-label": "Close frames",
            onclick: () => this.open(false),
          },
          icon("close"),
        ),
      ),
      this.#list,
    );
  }

  open(open) {
    this.#root.hidden = !open;
    this.#toggle.setAttribute("aria-expanded", String(open));
    document.documentElement.classList.toggle("with-frames", open);
    if (open) fill(this.#list, this.#frames.map(row));
    else this.#list.replaceChildren();
  }

  record(direction, frame) {
    const entry = { direction, frame, at: new Date() };
    this.#frames.unshift(entry);
    this.#frames.length = Math.min(this.#frames.length, MOST);
    this.#total += 1;
    write(this.#count, String(this.#total));
    if (this.#root.hidden) return;
    this.#list.prepend(row(entry));
    while (this.#list.children.length > MOST) this.#list.lastElementChild.remove();
  }

  #clear() {
    this.#frames = [];
    this.#total = 0;
    write(this.#count, "0");
    this.#list.replaceChildren();
  }
}

function row({ direction, frame, at }) {
  const type = frame.event ? `${frame.type} ${frame.event}` : String(frame.type);
  const numbers = [frame.seq && `seq ${frame.seq}`, frame.change && `change ${frame.change}`, frame.code]
    .filter(Boolean)
    .join(" · ");
  const details = h(
    "details",
    { class: "frame-details" },
    h(
      "summary",
      {},
      h(
        "span",
        { class: `frame-way ${direction}`, role: "img", "aria-label": direction === "out" ? "Sent" : "Received" },
        icon(direction === "out" ? "up" : "drop"),
      ),
      h("span", { class: `frame-type ${frame.type === "error" ? "bad" : ""}` }, type),
      h("span", { class: "frame-numbers" }, numbers),
      h(
        "time",
        { class: "frame-time" },
        at.toTimeString().slice(0, 8),
        h("span", { class: "frame-ms" }, `.${String(at.getMilliseconds()).padStart(3, "0")}`),
      ),
    ),
  );
  const body = h("pre", { class: "frame-json", tabindex: 0 }, json(frame));
  details.append(body);
  // Colours only for what somebody looks at.
  details.addEventListener("toggle", () => fill(body, ...coloured(body.textContent)), { once: true });
  return h(
    "li",
    { class: "frame", "data-testid": "frame", "data-direction": direction, "data-type": frame.type },
    details,
  );
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
