// The one dialog of the page, and what is told in passing. Opening takes the focus into it, closing gives it back to where it
// was (the browser does both); Esc and a click beside it close it, which answers null.

import { byId, fill, h, icon, write } from "./dom.js";
import { refused, say } from "./words.js";

const TOAST_MS = 5_000;

let leave = (_answer) => {};
let renew = () => {};

/**
 * Open the dialog. `content(leave)` gives what is in it; `leave(answer)` closes it. `redraw` is called with every drawing of
 * the page while it is open. Resolves with the answer.
 */
export function openDialog({ title, wide = false, content, redraw = () => {} }) {
  leave(null);
  const dialog = byId("dialog");
  return new Promise((resolve) => {
    const end = (answer) => {
      if (leave !== end) return;
      leave = renew = () => {};
      if (dialog.open) dialog.close();
      dialog.replaceChildren();
      resolve(answer);
    };
    leave = end;
    renew = redraw;
    dialog.classList.toggle("wide", wide);
    const card = h("div", { class: "dialog-card" });
    fill(card, h("h2", { id: "dialog-title" }, title), content(end));
    fill(dialog, card);
    // The event of a former closing may come late.
    dialog.onclose = () => dialog.open || end(null);
    let began = null;
    dialog.onpointerdown = (event) => (began = event.target);
    // A drag that ends beside it, as in marking text, is no click beside it.
    dialog.onclick = (event) => event.target === dialog && began === dialog && end(null);
    dialog.showModal();
  });
}

/** Draw anew what an open dialog tells of people. */
export const renderDialog = () => renew();

/** The head's cross: as Esc does. */
export const cross = (end) =>
  h(
    "button",
    {
      class: "icon-button dialog-cross",
      type: "button",
      "data-testid": "cancel",
      "aria-label": say("dialog.close"),
      title: say("dialog.close"),
      onclick: () => end(null),
    },
    icon("close"),
  );

/** Resolves with whether it was confirmed. */
export async function confirm({ title, words, action, danger = true }) {
  const answer = await openDialog({
    title,
    content: (end) => [
      h("p", { class: "dialog-words" }, words),
      h(
        "div",
        { class: "dialog-actions" },
        h(
          "button",
          { class: "button quiet", type: "button", "data-testid": "cancel", onclick: () => end(null) },
          say("dialog.cancel"),
        ),
        h(
          "button",
          {
            class: `button${danger ? " danger" : ""}`,
            type: "button",
            "data-testid": "confirm",
            autofocus: true,
            onclick: () => end(true),
          },
          action,
        ),
      ),
    ],
  });
  return answer === true;
}

/** Ask for a line of text; `save(text)` may reject, and its words stand under the field then. Resolves when closed. */
export function askLine({ title, label, value, most, save }) {
  const field = h("input", {
    class: "field",
    type: "text",
    id: "line",
    maxlength: most,
    autocomplete: "off",
    autofocus: true,
    "data-testid": "line",
    "aria-describedby": "line-refusal",
  });
  field.value = value;
  const refusal = h("p", { class: "refusal", id: "line-refusal", role: "alert" });
  return openDialog({
    title,
    content: (end) => {
      const button = h("button", { class: "button", type: "button", "data-testid": "confirm" }, say("dialog.save"));
      const submit = async () => {
        button.disabled = true;
        try {
          await save(field.value.trim());
          end(true);
        } catch (error) {
          write(refusal, refused(error));
          button.disabled = false;
          field.focus();
        }
      };
      button.addEventListener("click", submit);
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.isComposing) return;
        event.preventDefault();
        if (!button.disabled) submit();
      });
      return [
        h("label", { class: "field-label", for: "line" }, label),
        field,
        refusal,
        h(
          "div",
          { class: "dialog-actions" },
          h(
            "button",
            { class: "button quiet", type: "button", "data-testid": "cancel", onclick: () => end(null) },
            say("dialog.cancel"),
          ),
          button,
        ),
      ];
    },
  });
}

/** Resolves with whether it was done; a refusal is told in passing. */
export async function attempt(doing) {
  try {
    await doing;
    return true;
  } catch (error) {
    toast(refused(error));
    return false;
  }
}

/** Say something in passing, with something to do about it if need be; not twice at once. Returns what takes it away. */
export function toast(words, { action = null, run = () => {}, lasting = false } = {}) {
  const toasts = byId("toasts");
  for (const shown of toasts.children) if (shown.dataset.words === words) return () => shown.remove();
  const button =
    action &&
    h(
      "button",
      {
        class: "toast-action",
        type: "button",
        "data-testid": "toast-action",
        onclick: () => {
          element.remove();
          run();
        },
      },
      action,
    );
  const element = h("p", { class: "toast", "data-testid": "toast", "data-words": words }, h("span", {}, words), button);
  toasts.append(element);
  if (!lasting) setTimeout(() => element.remove(), TOAST_MS);
  return () => element.remove();
}
