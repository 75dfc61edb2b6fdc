// Before the chat: who are you? A choice of demo users, or a token where the daemon wants one.

import { avatar } from "./avatar.js";
import { fill, h, icon } from "./dom.js";

const REFUSALS = {
  token_missing: "The server wants a token.",
  token_invalid: "The server did not accept that token.",
  token_expired: "That token has expired.",
};

const brand = () =>
  h("div", { class: "brand" }, h("span", { class: "brand-mark" }, icon("chat")), h("span", {}, "Messenger"));

/** Offer the demo users; each is a link to the page as that user. */
export function showUsers(root, users) {
  root.hidden = false;
  const user = ({ id, name }) =>
    h(
      "li",
      {},
      h(
        "button",
        {
          class: "user-pick",
          type: "button",
          "data-testid": "user-pick",
          "data-user-id": id,
          onclick: () => location.assign(`?user=${id}`),
        },
        avatar(id, name),
        h("span", { class: "user-name" }, name),
        h("span", { class: "user-id" }, `User ${id}`),
      ),
    );
  fill(
    root,
    h(
      "div",
      { class: "card" },
      brand(),
      h("h1", {}, "Who are you?"),
      h("p", { class: "lead" }, "Choose a demo user. Open this page in a second window as somebody else, and talk."),
      users.length > 0
        ? h("ul", { class: "users" }, ...users.map(user))
        : h("p", { class: "lead" }, "There are no demo users. Add ?user=1 to the address."),
    ),
  );
}

/** Ask for a token; resolves with what was pasted. `refusal` is the server's reason, if a former one was refused. */
export function askToken(root, refusal) {
  root.hidden = false;
  return new Promise((resolve) => {
    const field = h("textarea", {
      class: "token-field",
      id: "token",
      rows: 4,
      required: true,
      spellcheck: "false",
      autocomplete: "off",
      placeholder: "eyJhbGciOi…",
      "data-testid": "token",
      "aria-describedby": refusal ? "refusal" : null,
      onkeydown: (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault();
        submit();
      },
    });
    const submit = () => {
      const token = field.value.trim();
      if (token === "") return;
      root.hidden = true;
      resolve(token);
    };
    fill(
      root,
      h(
        "div",
        { class: "card" },
        brand(),
        h("h1", {}, "Sign in"),
        refusal && h("p", { class: "refusal", id: "refusal", role: "alert" }, REFUSALS[refusal] ?? refusal),
        h(
          "label",
          { class: "lead", for: "token" },
          "Paste a token. ",
          h("code", {}, "messenger token 1"),
          " prints one.",
        ),
        field,
        h("button", { class: "button", type: "button", "data-testid": "token-submit", onclick: submit }, "Continue"),
      ),
    );
    field.focus();
  });
}

/** There is no going on: say why, and offer the one thing that may help. */
export function showTrouble(root, { title, words, action, run }) {
  root.hidden = false;
  const button = h("button", { class: "button", type: "button", "data-testid": "start-over", onclick: run }, action);
  fill(root, h("div", { class: "card" }, brand(), h("h1", {}, title), h("p", { class: "lead" }, words), button));
}
