// What is asked in between: a new conversation, a confirmation; and what is told in passing.

import { portrait } from "./avatar.js";
import { arrange, byId, fill, h } from "./dom.js";

const TOAST_MS = 5_000;

let redraw = () => {};

function open(label, ...content) {
  const dialog = byId("dialog");
  dialog.setAttribute("aria-label", label);
  fill(dialog, ...content);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      dialog.replaceChildren();
      resolve(dialog.returnValue);
    };
    // A click beside it closes it, as Esc does.
    dialog.onclick = (event) => event.target === dialog && dialog.close("");
    dialog.returnValue = "";
  });
}

const close = (value) => byId("dialog").close(value);

/** Resolves with whether it was confirmed. */
export async function confirm({ title, words, action }) {
  const answer = await open(
    title,
    h(
      "div",
      { class: "dialog-card" },
      h("h2", {}, title),
      h("p", {}, words),
      h(
        "div",
        { class: "dialog-actions" },
        h(
          "button",
          { class: "button quiet", type: "button", "data-testid": "cancel", onclick: () => close("") },
          "Cancel",
        ),
        h(
          "button",
          {
            class: "button danger",
            type: "button",
            "data-testid": "confirm",
            autofocus: true,
            onclick: () => close("yes"),
          },
          action,
        ),
      ),
    ),
  );
  return answer === "yes";
}

/** Resolves with the id of whom to talk with, or null: anybody of whom we know. */
export async function chooseUser(messenger) {
  const { people } = messenger;
  const read = () =>
    people.ids
      .filter((id) => id !== messenger.me)
      .map((id) => ({ id, name: people.nameOf(id), picture: people.pictureOf(id) }))
      .sort((a, b) => a.name.localeCompare(b.name));
  const choice = ({ id, name }) =>
    h(
      "button",
      {
        class: "person",
        type: "button",
        "data-testid": "person",
        "data-user-id": id,
        onclick: () => close(String(id)),
      },
      portrait(messenger, id),
      h("span", { class: "person-name" }, name),
    );
  const none = read().length === 0 ? "There is nobody else here." : null;
  const answer = await openPeople("New conversation", none, "Cancel", read, choice);
  return answer === "" ? null : Number(answer);
}

/** Who takes part in a conversation, and who of them is there. */
export async function showParticipants(messenger, conversation) {
  const { people, me } = messenger;
  const read = () =>
    [...(conversation.participants?.values() ?? [])].map(({ user_id: id, role }) => ({
      id,
      role,
      name: people.nameOf(id),
      picture: people.pictureOf(id),
      online: people.isOnline(id),
    }));
  const row = ({ id, role, name, online }) =>
    h(
      "div",
      { class: "person", "data-testid": "participant", "data-user-id": id },
      portrait(messenger, id, { online }),
      h("span", { class: "person-name" }, name),
      h("span", { class: "person-role" }, [id === me && "you", role !== "member" && role].filter(Boolean).join(", ")),
    );
  const shown = read().length;
  const more = conversation.count > shown ? `${shown} of ${conversation.count} are shown.` : null;
  await openPeople("Participants", more, "Close", read, row);
}

/** Draw anew what an open dialog tells of people. */
export const renderDialog = () => redraw();

// `read()` gives what is to be seen of each person, `row` draws one.
async function openPeople(title, note, leave, read, row) {
  const list = h("ul", { class: "people" });
  const held = new Map();
  redraw = () =>
    arrange(
      list,
      read().map((person) => {
        const entry = held.get(person.id) ?? { item: h("li"), shown: null };
        held.set(person.id, entry);
        const shown = JSON.stringify(person);
        if (entry.shown !== shown) fill(entry.item, row(person));
        entry.shown = shown;
        return entry.item;
      }),
    );
  redraw();
  const answer = await open(
    title,
    h(
      "div",
      { class: "dialog-card" },
      h("h2", {}, title),
      note && h("p", {}, note),
      list,
      h(
        "div",
        { class: "dialog-actions" },
        h(
          "button",
          { class: "button quiet", type: "button", "data-testid": "cancel", onclick: () => close("") },
          leave,
        ),
      ),
    ),
  );
  redraw = () => {};
  return answer;
}

/** Say something in passing; not twice at once. */
export function toast(words) {
  if ([...byId("toasts").children].some((shown) => shown.textContent === words)) return;
  const element = h("p", { class: "toast", "data-testid": "toast" }, words);
  byId("toasts").append(element);
  setTimeout(() => element.remove(), TOAST_MS);
}
