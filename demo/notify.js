// Tells of messages through the browser while nobody looks at the page. Asked for by a button, never by itself; which messages
// are worth it is the server's to say (`notification` frames, by each conversation's settings).
//
// Of many tabs one tells: a tab that somebody looks at holds a lock, and the others keep silent; among silent ones the first to
// take the message's own lock shows it. Without locks the notification's tag lets the later one replace the former.

import { byId, fill, icon, write } from "./dom.js";
import { say } from "./words.js";

const WANTED = "messenger.notifications";
// All tabs hear of a message within this time.
const HELD_MS = 5_000;

export class Notifier {
  #user;
  #onopen;
  #describe;
  #button = byId("notify");
  #words = byId("notify-words");
  /** Conversation id → the notification that stands. */
  shown = new Map();
  #locks = globalThis.navigator.locks;
  #release = null;

  /** `describe(frame)` gives `{title, body, icon}`, or null where there is nothing to tell; `onopen(id)` opens a conversation. */
  constructor({ user, describe, onopen, ontrouble }) {
    this.#user = user;
    this.#describe = describe;
    this.#onopen = onopen;
    this.#button.hidden = !("Notification" in globalThis);
    this.#button.addEventListener("click", async () => {
      if (Notification.permission === "denied") ontrouble(say("notify.denied"));
      else if (Notification.permission === "default") {
        if ((await Notification.requestPermission()) === "granted") this.#want(true);
      } else this.#want(!this.isOn);
      this.render();
    });
    document.addEventListener("visibilitychange", () => this.#looked());
    this.#looked();
    this.render();
  }

  get isOn() {
    return Notification.permission === "granted" && localStorage.getItem(WANTED) !== "off";
  }

  render() {
    if (this.#button.hidden) return;
    const { isOn } = this;
    this.#button.setAttribute("aria-pressed", String(isOn));
    this.#button.title = say(isOn ? "notify.isOn" : "notify.isOff");
    write(this.#words, say("notify.label"));
    const look = isOn ? "bell" : "muted";
    if (this.#button.dataset.look === look) return;
    this.#button.dataset.look = look;
    fill(this.#button, icon(look), this.#words);
  }

  /** The server says that somebody wants to be told of this message. */
  async told(frame) {
    if (document.visibilityState === "visible" || this.#button.hidden || !this.isOn) return;
    if (this.#locks === undefined) this.#show(frame);
    else if (!(await this.#isLookedAt()))
      this.#locks.request(`messenger.told.${frame.message_id}`, { ifAvailable: true }, (lock) => {
        if (lock === null) return null;
        this.#show(frame);
        return new Promise((free) => setTimeout(free, HELD_MS));
      });
  }

  /** It has been read, here or elsewhere. */
  read(conversationId) {
    this.shown.get(conversationId)?.close();
    this.shown.delete(conversationId);
  }

  #want(on) {
    localStorage.setItem(WANTED, on ? "on" : "off");
  }

  async #isLookedAt() {
    const { held } = await this.#locks.query();
    return held.some(({ name }) => name === this.#looking);
  }

  get #looking() {
    return `messenger.looking.${this.#user}`;
  }

  #looked() {
    if (this.#locks === undefined) return;
    if (document.visibilityState !== "visible") {
      this.#release?.();
      this.#release = null;
    } else if (this.#release === null) {
      const held = new Promise((free) => (this.#release = free));
      this.#locks.request(this.#looking, { mode: "shared" }, () => held);
    }
  }

  #show(frame) {
    const described = this.#describe(frame);
    if (described === null) return;
    const { title, body, picture } = described;
    let shown;
    try {
      shown = new Notification(title, {
        body,
        icon: picture ?? new URL("demo/icon.svg", document.baseURI).href,
        tag: `messenger:${this.#user}:${frame.conversation_id}`,
        renotify: true,
        data: frame.conversation_id,
      });
    } catch {
      // Where a browser only lets a service worker tell.
      return;
    }
    this.shown.set(frame.conversation_id, shown);
    shown.onclick = () => {
      window.focus();
      this.#onopen(frame.conversation_id);
      shown.close();
    };
  }
}
