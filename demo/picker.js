// People to choose from, with a field that filters them. With `many` each is a box to tick, else a click is the answer.

import { avatar } from "./avatar.js";
import { arrange, fill, h, icon, write } from "./dom.js";
import { walk } from "./keys.js";
import { matcher } from "./match.js";
import { say } from "./words.js";

// With fewer the eye is quicker than the field.
const WORTH_FILTERING = 6;
const ID = /^[1-9]\d{0,15}$/;

export class Picker {
  #read;
  #many;
  #onpick;
  #held = new Map();
  #chosen = new Set();
  #typed = "";
  #list = h("ul", { class: "people", "aria-label": say("picker.people") });
  #none = h("p", { class: "people-none", role: "status" });
  #chips = h("ul", { class: "chips", "aria-label": say("picker.chosen"), hidden: true });
  #field;
  element;

  /**
   * `read()` gives who there is: `{id, name, picture, online}`. `onpick(id)`: the one who was clicked, or, with `many`, whose
   * box was ticked or not. `strangers`: an id typed into the field is offered as well.
   */
  constructor({ read, many = false, strangers = false, onpick = () => {} }) {
    this.#read = read;
    this.#many = many;
    this.#onpick = onpick;
    this.#field = h("input", {
      class: "field search",
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: say(strangers ? "picker.filterOrId" : "picker.filter"),
      "aria-label": say(strangers ? "picker.filterOrId" : "picker.filter"),
      "data-testid": "people-filter",
      oninput: () => {
        this.#typed = this.#field.value;
        this.render();
      },
      onkeydown: (event) => {
        if (event.key === "Enter" && !event.isComposing) this.#enter(event);
      },
    });
    this.strangers = strangers;
    this.element = h("div", { class: "picker" }, this.#chips, this.#field, this.#list, this.#none);
    walk(this.#list, ".person", { from: this.#field });
    this.render();
    this.#field.hidden = this.#read().length < WORTH_FILTERING && !strangers;
  }

  get chosen() {
    return [...this.#chosen];
  }

  render() {
    const matches = matcher(this.#typed);
    const all = this.#read().sort((a, b) => a.name.localeCompare(b.name));
    const found = all.filter(({ id, name }) => matches(name) || this.#typed.trim() === String(id));
    const typed = this.#typed.trim();
    if (this.strangers && found.length === 0 && ID.test(typed) && Number.isSafeInteger(Number(typed)))
      found.push({ id: Number(typed), name: say("names.user", { id: typed }), picture: null, online: null });
    arrange(
      this.#list,
      found.map((person) => this.#row(person)),
    );
    write(this.#none, found.length > 0 ? "" : say(all.length > 0 ? "picker.noneFound" : "picker.nobody"));
    this.#renderChips(all);
  }

  #row(person) {
    const { id, name } = person;
    const held = this.#held.get(id) ?? { item: h("li"), look: null };
    this.#held.set(id, held);
    const look = JSON.stringify(person);
    if (held.look === look) return held.item;
    held.look = look;
    const inside = [
      avatar(id, name, { picture: person.picture, online: person.online }),
      h("span", { class: "person-name", dir: "auto" }, name),
    ];
    const hooks = { class: "person", "data-testid": "person", "data-user-id": id };
    if (!this.#many) {
      fill(held.item, h("button", { ...hooks, type: "button", onclick: () => this.#onpick(id) }, inside));
      return held.item;
    }
    const box = h(
      "button",
      { ...hooks, type: "button", role: "checkbox", "aria-checked": String(this.#chosen.has(id)) },
      inside,
      h("span", { class: "tick" }, icon("check")),
    );
    box.addEventListener("click", () => this.#toggle(id));
    fill(held.item, box);
    return held.item;
  }

  // The single one who is called what was typed.
  #enter(event) {
    if (this.#typed.trim() === "" || this.#list.children.length !== 1) return;
    event.preventDefault();
    this.#list.querySelector(".person").click();
    if (!this.#many) return;
    this.#typed = this.#field.value = "";
    this.render();
  }

  #toggle(id) {
    if (!this.#chosen.delete(id)) this.#chosen.add(id);
    this.#held.get(id)?.item.firstElementChild?.setAttribute("aria-checked", String(this.#chosen.has(id)));
    this.render();
    this.#onpick(id);
  }

  #renderChips(all) {
    if (!this.#many) return;
    this.#chips.hidden = this.#chosen.size === 0;
    const named = new Map(all.map(({ id, name }) => [id, name]));
    const look = JSON.stringify(this.chosen.map((id) => [id, named.get(id)]));
    if (this.#chips.dataset.look === look) return;
    this.#chips.dataset.look = look;
    fill(
      this.#chips,
      this.chosen.map((id) => {
        const name = named.get(id) ?? say("names.user", { id });
        const remove = say("picker.takeOut", { name });
        const button = h(
          "button",
          { class: "chip", type: "button", "aria-label": remove, title: remove },
          h("bdi", {}, name),
          icon("close"),
        );
        button.addEventListener("click", () => {
          this.#toggle(id);
          (this.#field.hidden ? this.#list.querySelector(".person") : this.#field)?.focus();
        });
        return h("li", {}, button);
      }),
    );
  }
}
