// What one wants to be told of a conversation: everything, mentions, nothing; and for how long nothing at all.

import { setNotifications } from "./client/manage.js";
import { attempt } from "./dialogs.js";
import { fill, h, write } from "./dom.js";
import { clockTime, listTime } from "./format.js";
import { say } from "./words.js";

const HOUR_MS = 3_600_000;
const NIGHT_MS = 8 * HOUR_MS;
// Until somebody turns it on again: no clock that this is compared with ever gets there.
const FOREVER = "9999-12-31T23:59:59Z";
const LEVELS = ["all", "mentions", "none"];
const DEFAULT = { level: "all", muted_until: null, push_enabled: true, email_enabled: true };

const mutedUntil = ({ notification }) => {
  const until = notification?.muted_until ?? null;
  return until !== null && Date.parse(until) > Date.now() ? until : null;
};

/** Whether nothing is told of it now. */
export const isMuted = (conversation) =>
  conversation.notification?.level === "none" || mutedUntil(conversation) !== null;

export class Muting {
  #client;
  #conversation = null;
  #words = h("p", { "data-testid": "muted", role: "status" });
  #unmute = button("text-button", "unmute", say("mute.off"), () => this.#mute(null));
  #mutes;
  #levels;
  element;

  constructor(client) {
    this.#client = client;
    const after = (ms) => new Date(Date.now() + ms).toISOString();
    this.#mutes = h(
      "div",
      { class: "pills", role: "group", "aria-label": say("mute.for") },
      h("span", { class: "pills-label", "aria-hidden": "true" }, say("mute.for")),
      button("pill", "mute-hour", say("mute.hour"), () => this.#mute(after(HOUR_MS))),
      button("pill", "mute-night", say("mute.night"), () => this.#mute(after(NIGHT_MS))),
      button("pill", "mute-forever", say("mute.forever"), () => this.#mute(FOREVER)),
    );
    this.#levels = LEVELS.map((level) => {
      const made = button("segment", `level-${level}`, say(`mute.level.${level}`), () => this.#set({ level }));
      made.setAttribute("role", "radio");
      return made;
    });
    const choice = h("div", { class: "segments", role: "radiogroup", "aria-label": say("mute.level") }, this.#levels);
    choice.addEventListener("keydown", (event) => this.#pressed(event));
    this.element = h("section", { class: "about-part" });
    const line = h("div", { class: "muted-line" }, this.#words, this.#unmute);
    fill(this.element, h("h3", { class: "part" }, say("mute.title")), choice, line, this.#mutes);
  }

  render(conversation) {
    this.#conversation = conversation;
    const { level } = conversation.notification ?? DEFAULT;
    LEVELS.forEach((name, index) => {
      const made = this.#levels[index];
      made.setAttribute("aria-checked", String(name === level));
      made.tabIndex = name === level ? 0 : -1;
      // Who talks with one person alone is meant by every word.
      made.hidden = name === "mentions" && conversation.type === "direct" && level !== name;
    });
    const until = mutedUntil(conversation);
    write(
      this.#words,
      until === null
        ? ""
        : until.startsWith("9999")
          ? say("mute.isForever")
          : say("mute.isUntil", { time: moment(until) }),
    );
    this.#unmute.hidden = until === null;
    this.#words.parentElement.hidden = until === null;
    this.#mutes.hidden = until !== null || level === "none";
  }

  // The button that was pressed goes: the focus comes to its opposite.
  async #mute(until) {
    if (!(await this.#set({ muted_until: until }))) return;
    (until === null ? this.#mutes.querySelector("button") : this.#unmute).focus();
  }

  async #set(wanted) {
    const { id, notification } = this.#conversation;
    const isDone = await attempt(setNotifications(this.#client, id, { ...DEFAULT, ...notification, ...wanted }));
    if (this.#conversation.id === id) this.render(this.#client.conversation(id));
    return isDone;
  }

  // As in any group of radio buttons: the arrows choose.
  #pressed(event) {
    const offered = this.#levels.filter(({ hidden }) => !hidden);
    const at = offered.indexOf(event.target);
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (at < 0 || step === undefined) return;
    event.preventDefault();
    const next = offered[(at + step + offered.length) % offered.length];
    next.focus();
    next.click();
  }
}

const moment = (time) => {
  const at = new Date(time);
  return listTime(at) === clockTime(at) || at - Date.now() < NIGHT_MS * 2
    ? clockTime(at)
    : `${listTime(at)} ${clockTime(at)}`;
};

const button = (look, hook, words, onclick) =>
  h("button", { class: look, type: "button", "data-testid": hook, onclick }, words);
