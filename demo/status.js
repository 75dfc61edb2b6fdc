// The state of the connection in words: beside one's own name, and across the conversation while there is none.

import { byId, fill, h, icon, write } from "./dom.js";
import { has, say } from "./words.js";

const SOON_MS = 1_000;

/** Why the server wants no more of us. */
export const stoppedWords = (reason) => say(has(`stopped.${reason}`) ? `stopped.${reason}` : "stopped.unknown");

export class StatusLine {
  #line = byId("connection");
  #said = byId("status-said");
  // Below the head of the open conversation; above the list where there is none.
  #banner = byId("banner");
  #head = this.#banner.previousElementSibling;
  #search = byId("search");
  #words = h("span", { class: "banner-words" });
  #button;
  #was = "idle";
  // A first connecting of a moment is no news; one that takes longer is.
  #patience = null;
  #isSlow = false;
  #does = () => {};

  /** `nudge()`: try to connect now; `resume()`: end the cut. */
  constructor({ nudge, resume }) {
    this.nudge = nudge;
    this.resume = resume;
    this.#button = h(
      "button",
      { class: "text-button", type: "button", "data-testid": "reconnect", onclick: () => this.#does() },
      "",
    );
    fill(this.#banner, icon("cut"), this.#words, this.#button);
  }

  /** `asking`: a token is being asked for; `isOpen`: a conversation is. Returns whether it changes with every second and has to be drawn again. */
  render({ state, reason, retryAt }, { asking, isOpen, redraw }) {
    const shown = asking ? "token" : state;
    const isCut = reason === "suspended" && state !== "online";
    const seconds = retryAt === null ? 0 : Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    const counting = shown === "waiting" && seconds > 0;
    const words = isCut
      ? say("status.suspended")
      : counting
        ? say("status.waitingFor", { count: seconds })
        : say(`status.${shown}`);
    this.#line.dataset.status = shown;
    this.#line.dataset.cut = String(isCut);
    write(this.#line, words);

    const banner = this.#banner;
    banner.dataset.status = shown;
    const above = isOpen ? this.#head : this.#search;
    if (banner.previousElementSibling !== above) above.after(banner);
    if (shown === "connecting" && this.#was === "idle" && !this.#isSlow)
      this.#patience ??= setTimeout(() => ((this.#isSlow = true), redraw()), SOON_MS);
    const first = shown === "idle" || (shown === "connecting" && this.#was === "idle" && !this.#isSlow);
    banner.hidden = shown === "online" || first;
    if (shown === "online" && this.#patience !== null) clearTimeout(this.#patience);
    const told = shown === "waiting" ? `${say("banner.none")} ${words}` : words;
    write(this.#words, isCut ? `${words}. ${say("banner.safe")}` : told);
    this.#does = isCut ? this.resume : this.nudge;
    write(this.#button, say(isCut ? "banner.mend" : "banner.now"));
    this.#button.hidden = !isCut && shown !== "waiting";
    // Read out once for each state, and not with every second.
    if (shown !== "connecting" && shown !== this.#was && !(shown === "online" && this.#was === "idle"))
      write(this.#said, shown === "waiting" ? say("banner.none") : say(`status.${shown}`));
    if (shown !== "idle" && shown !== "connecting") this.#was = shown;
    return counting;
  }
}
