// The picture of a person, or coloured initials where there is none (round); the initials of a conversation of many (square).

import { h } from "./dom.js";
import { hue, initials } from "./format.js";
import { shownAddress } from "./picture.js";

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
        "aria-label": online ? "Online" : "Offline",
      }),
  );
  const address = shownAddress(picture, document.baseURI);
  if (address !== null && !(Date.now() - broken.get(address) < BROKEN_MS)) show(holder, address);
  return holder;
}

/** Of a person, as far as we know him. */
export function portrait({ people }, userId, options = {}) {
  return avatar(userId, people.nameOf(userId), { picture: people.pictureOf(userId), ...options });
}

/** Of a conversation: the other one where it is direct, its title elsewhere. */
export function conversationAvatar(messenger, conversation) {
  const { about, peer } = conversation;
  if (about.type === "direct" && peer !== null)
    return portrait(messenger, peer, { online: messenger.people.isOnline(peer) });
  return avatar(about.id, messenger.conversations.titleOf(conversation), { square: about.type !== "direct" });
}

/** Whatever changes the look of that avatar, as text: what did not change need not be drawn, and its picture not loaded. */
export function lookOf(messenger, conversation) {
  const { people, conversations } = messenger;
  const { id, peer } = conversation;
  return JSON.stringify([
    id,
    conversations.titleOf(conversation),
    peer,
    peer !== null && [people.nameOf(peer), people.pictureOf(peer), people.isOnline(peer)],
  ]);
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
