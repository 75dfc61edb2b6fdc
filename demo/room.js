// An open room: a room's name and one's own, no account. After each message the server tells everybody the last 50 anew.

import { byId, fill, h } from "./dom.js";
import { address, furnish, keep, kept, offer, showOver, showRoom, showStatus, unfold } from "./page.js";
import { Reconnecting } from "./reconnecting.js";
import { Talk } from "./talk.js";
import { say } from "./words.js";

const PLACE = "messenger.openRoom";
const ROOM_ID = "[A-Za-z0-9_\\-]{1,64}";
// Characters: of three bytes each they still fit into a frame of 4 KiB.
const MOST_CHARS = 1000;

furnish("ways.room");
const wanted = new URLSearchParams(location.search).get("room");
const held = kept(PLACE);
attend(held !== null && (wanted === null || wanted === held.room) ? held : await enter());

function enter() {
  return new Promise((resolve) => {
    const field = (id, label, attributes, hint) => [
      h("label", { class: "field-label", for: id }, say(label)),
      h("input", { class: "field", id, "data-testid": id, required: true, autocomplete: "off", ...attributes }),
      hint && h("p", { class: "hint", id: `${id}-hint` }, say(hint)),
    ];
    const submit = (event) => {
      event.preventDefault();
      const place = { room: byId("room-id").value, name: byId("name").value.trim() };
      if (place.name === "") return;
      keep(PLACE, place);
      resolve(place);
    };
    fill(
      byId("door"),
      h("h1", {}, say("ways.room")),
      h("p", { class: "lead" }, say("open.lead")),
      h(
        "form",
        { class: "door-form", onsubmit: submit },
        field(
          "room-id",
          "open.room",
          {
            value: wanted ?? "lobby",
            pattern: ROOM_ID,
            maxlength: 64,
            spellcheck: "false",
            "aria-describedby": "room-id-hint",
          },
          "open.roomHint",
        ),
        field("name", "open.name", { maxlength: 40 }),
        h(
          "div",
          { class: "card-actions" },
          h("button", { class: "button", type: "submit", "data-testid": "enter" }, say("open.enter")),
        ),
      ),
    );
    byId("name").focus();
  });
}

function attend({ room, name }) {
  showRoom(room);
  byId("subtitle").textContent = say("live.asGuest", { name });
  offer(byId("link"), byId("copy"), byId("copied"), new URL(`?room=${room}`, document.baseURI).href);
  unfold(byId("side"));

  const talk = new Talk({ most: MOST_CHARS, onsend: (content) => line.send({ username: name, content }) });
  const line = new Reconnecting(address(`ws/chat/${room}`), null, {
    onframe: (frame) => {
      if (frame.type === "error") talk.trouble(frame.message);
      else talk.show(numbered(frame.messages, name));
    },
    onstatus: (status) => {
      showStatus(status);
      if (status === "waiting") talk.giveBack();
    },
    onend: (_, reason) => over(say("live.refused", { reason })),
    // Whether there are open rooms at all, an ordinary question tells.
    onfailure: async () => {
      const answer = await fetch(address(`ws/chat/${room}`)).catch(() => null);
      if (answer?.status !== 404) return;
      line.end();
      over(say("open.off"));
    },
  });
  talk.focus();

  function over(words) {
    keep(PLACE, null);
    talk.close();
    byId("leave").hidden = true;
    showOver(words);
  }

  byId("leave").onclick = () => {
    line.end();
    keep(PLACE, null);
    location.assign(location.pathname);
  };
}

// They have no ids: two of the same text by the same person at the same moment are told apart by their order.
function numbered(messages, name) {
  const seen = new Map();
  return messages.map(({ username, content, timestamp }) => {
    const key = JSON.stringify([timestamp, username, content]);
    const count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    return { id: `${count} ${key}`, nickname: username, own: username === name, content, at: new Date(timestamp) };
  });
}
