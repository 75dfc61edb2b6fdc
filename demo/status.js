// The state of the connection in words: beside one's own name, and across the conversation while there is none.

import { byId, fill, h, write } from "./dom.js";

const STOPPED = {
  revoked: "Signed out: the token was revoked",
  user_mismatch: "The token belongs to another user",
  protocol_error: "The server refused this client",
};

/** Draw it; returns whether it changes with every second and has to be drawn again. */
export function renderStatus({ state, reason, retryAt }, { onretry }) {
  const seconds = retryAt === null ? 0 : Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  const words = {
    idle: "Offline",
    connecting: "Connecting…",
    online: "Online",
    waiting: seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting…",
    token: "Waiting for a token",
    stopped: STOPPED[reason] ?? "Disconnected",
  }[state];
  const line = byId("connection");
  line.dataset.status = state;
  write(line, words);

  const banner = byId("banner");
  banner.hidden = state === "online";
  banner.dataset.status = state;
  if (!banner.hasChildNodes()) {
    fill(banner, h("span", { class: "banner-words" }), h("button", { class: "text-button", type: "button", "data-testid": "reconnect", onclick: onretry }, "Try now"));
  }
  write(banner.firstElementChild, state === "waiting" ? `No connection. ${words}` : words);
  banner.lastElementChild.hidden = state !== "waiting" && state !== "stopped";
  return state === "waiting";
}
