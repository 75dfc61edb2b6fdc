// The coloured initials of a person (round) or of a conversation of many (square).

import { h } from "./dom.js";
import { hue, initials } from "./format.js";

/** `online`: true and false show a presence dot, null shows none. */
export function avatar(id, name, { square = false, online = null, small = false } = {}) {
  const classes = ["avatar", `hue-${hue(id)}`, square && "square", small && "small"].filter(Boolean).join(" ");
  return h(
    "span",
    { class: classes },
    h("span", { class: "initials", "aria-hidden": "true" }, initials(name)),
    online !== null &&
      h("span", {
        class: "presence",
        "data-testid": "presence",
        "data-online": String(online),
        role: "img",
        "aria-label": online ? "Online" : "Offline",
      }),
  );
}

/** The avatar of a conversation: of the other one where it is direct, of its title elsewhere. */
export function conversationAvatar(messenger, conversation, options = {}) {
  const { about, peer } = conversation;
  const title = messenger.conversations.titleOf(conversation);
  if (about.type !== "direct") return avatar(about.id, title, { square: true, ...options });
  return avatar(peer ?? about.id, title, { online: peer !== null && messenger.people.isOnline(peer), ...options });
}
