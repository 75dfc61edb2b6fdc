// What is asked in between: a new conversation, a confirmation; and what is told in passing.

import { avatar } from "./avatar.js";
import { byId, fill, h } from "./dom.js";

const TOAST_MS = 5_000;

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

/** Resolves with the id of whom to talk with, or null. */
export async function chooseUser(users) {
  const answer = await open(
    "New conversation",
    h(
      "div",
      { class: "dialog-card" },
      h("h2", {}, "New conversation"),
      users.length === 0 && h("p", {}, "There is nobody else here."),
      h(
        "ul",
        { class: "people" },
        ...users.map(({ id, name }) =>
          h(
            "li",
            {},
            h(
              "button",
              {
                class: "person",
                type: "button",
                "data-testid": "person",
                "data-user-id": id,
                onclick: () => close(String(id)),
              },
              avatar(id, name),
              h("span", {}, name),
            ),
          ),
        ),
      ),
      h(
        "div",
        { class: "dialog-actions" },
        h(
          "button",
          { class: "button quiet", type: "button", "data-testid": "cancel", onclick: () => close("") },
          "Cancel",
        ),
      ),
    ),
  );
  return answer === "" ? null : Number(answer);
}

/** Say something in passing; not twice at once. */
export function toast(words) {
  if ([...byId("toasts").children].some((shown) => shown.textContent === words)) return;
  const element = h("p", { class: "toast", "data-testid": "toast" }, words);
  byId("toasts").append(element);
  setTimeout(() => element.remove(), TOAST_MS);
}
