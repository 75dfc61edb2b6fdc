// The state of the connection in words: beside one's own name, and across the conversation while there is none.

import { byId, fill, h, write } from "./dom.js";

const STOPPED = {
  revoked: "This sign-in was revoked.",
  user_mismatch: "The token, or the address, belongs to another user.",
  protocol_error: "The server did not understand this client.",
};

/** Why the server wants no more of us. */
export const stoppedWords = (reason) => STOPPED[reason] ?? "The server closed the connection for good.";

/** Draw it; returns whether it changes with every second and has to be drawn again. */
export function renderStatus({ state, retryAt }, { onretry }) {
  const seconds = retryAt === null ? 0 : Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  const words = {
    idle: "Offline",
    connecting: "Connecting…",
    online: "Online",
    waiting: seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting…",
    token: "Waiting for a token",
    stopped: "Disconnected",
  }[state];
  const line = byId("connection");
  line.dataset.status = state;
  write(line, words);

  const banner = byId("banner");
  banner.hidden = state === "online";
  banner.dataset.status = state;
  if (!banner.hasChildNodes()) {
    fill(
      banner,
      h("span", { class: "banner-words" }),
      h("button", { class: "text-button", type: "button", "data-testid": "reconnect", onclick: onretry }, "Try now"),
    );
  }
  write(banner.firstElementChild, state === "waiting" ? `No connection. ${words}` : words);
  banner.lastElementChild.hidden = state !== "waiting";
  return state === "waiting";
}
