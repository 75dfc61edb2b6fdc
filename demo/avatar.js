// The picture of a person, or coloured initials where there is none (round); the initials of a conversation of many (square).

import { h } from "./dom.js";
import { hue, initials } from "./format.js";
import { shownAddress } from "./picture.js";
import { say } from "./words.js";

/** @import { ConversationSummary, Person } from "./client/types.js" */

// A picture that could not be had is asked for again after this long, not with every drawing; so many are remembered.
const BROKEN_MS = 60_000;
const MOST_BROKEN = 500;
const broken = new Map();

/** `picture`: an address as its owner wrote it. `online`: true and false show a presence dot, null shows none. */
export function avatar(id, name, { picture = null, square = false, online = null, small = false } = {}) {
  const classes = ["avatar", `hue-${hue(id)}`, square && "square", small && "small"].filter(Boolean).join(" ");
  const holder = h(
    "span",
    { class: classes },
    h("span", { class: "initials", "aria-hidden": "true" }, initials(name)),
    online !== null &&
      h("span", {
        class: "presence",
        "data-testid": "presence",
        "data-online": String(online),
        role: "img",
        "aria-label": say(online ? "presence.dotOnline" : "presence.dotOffline"),
      }),
  );
  const address = shownAddress(picture, document.baseURI);
  if (address !== null && !(Date.now() - broken.get(address) < BROKEN_MS)) show(holder, address);
  return holder;
}

/** Of a person. @param {Person} person */
export function portrait({ id, name, avatar_url }, options = {}) {
  return avatar(id, name, { picture: avatar_url, ...options });
}

/** Of a conversation: the other one where it is direct, its title elsewhere. @param {ConversationSummary} conversation */
export function conversationAvatar({ id, type, title, peer, presence }) {
  if (type === "direct" && peer !== null) return portrait(peer, { online: presence?.online ?? null });
  return avatar(id, title, { square: type !== "direct" });
}

/** Whatever changes the look of that avatar, as text: what did not change need not be drawn, and its picture not loaded. */
export function lookOf({ id, type, title, peer, presence }) {
  return JSON.stringify([id, type, title, peer, presence?.online ?? null]);
}

// The initials stay until the picture is there, and where it never comes.
function show(holder, address) {
  const loaded = () => holder.classList.add("pictured");
  const image = h("img", {
    class: "picture",
    alt: "",
    draggable: "false",
    decoding: "async",
    referrerpolicy: "no-referrer",
    onload: loaded,
    onerror: () => {
      if (broken.size >= MOST_BROKEN) broken.clear();
      broken.set(address, Date.now());
      image.remove();
    },
    src: address,
  });
  if (image.complete && image.naturalWidth > 0) loaded();
  holder.firstElementChild.after(image);
}
