// Before the chat, and where there is no going on: who are you? A choice of demo users, a token, or why not.
// While it is there the chat behind it is out of reach.

import { avatar } from "./avatar.js";
import { byId, fill, h, icon } from "./dom.js";
import { languageSwitch } from "./language.js";
import { has, say } from "./words.js";

const brand = () =>
  h("div", { class: "brand" }, h("span", { class: "brand-mark" }, icon("chat")), h("span", {}, say("app.name")));

// The demo's other pages, each of which is another dialect; they ask for themselves who one is.
const ways = () =>
  h("nav", { class: "ways", "aria-label": say("ways.title") }, h("span", { class: "ways-title" }, say("ways.title")), [
    h("a", { href: "demo/session.html" }, say("ways.session")),
    h("a", { href: "demo/socketio.html" }, say("ways.socketio")),
    h("a", { href: "demo/room.html" }, say("ways.room")),
  ]);

export class Gate {
  #root = byId("gate");
  #behind = byId("app");
  #language = languageSwitch();
  #home;
  // Where the focus was before it was opened.
  #back = null;

  /** `home`: where the switch of the language stands while the gate is closed. */
  constructor(home) {
    this.#home = home;
  }

  get isOpen() {
    return !this.#root.hidden;
  }

  close() {
    this.#root.hidden = true;
    this.#root.replaceChildren();
    this.#behind.inert = false;
    this.#home.append(this.#language);
    this.#back?.focus({ preventScroll: true });
    this.#back = null;
  }

  /** Offer the demo users; each is a button to the page as that user. */
  showUsers(users) {
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
          h("span", { class: "user-id" }, say("names.user", { id })),
        ),
      );
    this.#open(
      true,
      h("h1", {}, say("gate.who")),
      h("p", { class: "lead" }, say("gate.choose")),
      users.length > 0 ? h("ul", { class: "users" }, users.map(user)) : h("p", { class: "lead" }, say("gate.noUsers")),
    );
  }

  /**
   * Ask for a token; resolves with what was pasted, or, with `later`, with null where nobody wants to now. `refusal` is the
   * server's reason, if a former one was refused; `id` the user's, where it is known.
   */
  askToken(refusal, later = false, id = 1) {
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
        if (token === "") {
          field.focus();
          return;
        }
        end(token);
      };
      const end = (token) => {
        this.close();
        resolve(token);
      };
      const words = has(`gate.${refusal}`) ? say(`gate.${refusal}`) : say("gate.refusedBecause", { reason: refusal });
      this.#open(
        !later,
        h("h1", {}, say("gate.signIn")),
        refusal && h("p", { class: "refusal", id: "refusal", role: "alert" }, words),
        h(
          "label",
          { class: "lead", for: "token" },
          say("gate.paste"),
          " ",
          h("code", {}, `messenger token ${id}`),
          " ",
          say("gate.prints"),
        ),
        field,
        h(
          "div",
          { class: "card-actions" },
          h(
            "button",
            { class: "button", type: "button", "data-testid": "token-submit", onclick: submit },
            say("gate.continue"),
          ),
          later &&
            h("button", { class: "button quiet", type: "button", "data-testid": "cancel", onclick: () => end(null) }, [
              say("gate.later"),
            ]),
        ),
      );
      field.focus();
    });
  }

  /** There is no going on: say why, and offer the one thing that may help. */
  showTrouble({ title, words, action, run }) {
    const button = h("button", { class: "button", type: "button", "data-testid": "start-over", onclick: run }, action);
    this.#open(false, h("h1", {}, title), h("p", { class: "lead", role: "alert" }, words), button);
    button.focus();
  }

  // `isStart`: nobody has come in yet.
  #open(isStart, ...content) {
    if (!this.isOpen) this.#back = document.activeElement;
    this.#root.hidden = false;
    this.#behind.inert = true;
    fill(
      this.#root,
      h("div", { class: "card" }, brand(), content),
      isStart && ways(),
      h("div", { class: "gate-foot" }, this.#language),
    );
  }
}
