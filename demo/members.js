// Who takes part, in the panel about a conversation: role, whether they are there or when they were; and for its admins people in
// and out, and what each may do.

import { portrait } from "./avatar.js";
import { addParticipants, removeParticipant, setRole } from "./client/manage.js";
import { attempt, confirm } from "./dialogs.js";
import { arrange, fill, h, icon, write } from "./dom.js";
import { lastSeen } from "./format.js";
import { matcher } from "./match.js";
import { addPeople } from "./newtalk.js";
import { say } from "./words.js";

// With fewer the eye is quicker than the field.
const WORTH_FILTERING = 10;
const ROLES = ["admin", "member", "observer"];

export class Members {
  #client;
  #everybody;
  #conversation = null;
  #rows = new Map();
  // Of whom the buttons are shown.
  #unfolded = null;
  #count = h("h3", { class: "part" });
  #add;
  #filter;
  #people = h("ul", { class: "people" });
  #more = h("p", { class: "people-none" });
  element;

  /** `everybody()`: people whom one may add, as the picker wants them. */
  constructor({ client, everybody }) {
    this.#client = client;
    this.#everybody = everybody;
    this.#add = h(
      "button",
      { class: "text-button", type: "button", "data-testid": "add-people", onclick: () => this.#invite() },
      icon("invite"),
      say("about.add"),
    );
    this.#filter = h("input", {
      class: "field search",
      type: "search",
      autocomplete: "off",
      placeholder: say("picker.filter"),
      "aria-label": say("picker.filter"),
      "data-testid": "participants-filter",
      oninput: () => this.render(this.#conversation),
    });
    const head = h("div", { class: "part-line" }, this.#count, this.#add);
    this.element = h("section", { class: "about-part" }, head, this.#filter, this.#people, this.#more);
  }

  /** It is closed, or about another conversation. */
  clear() {
    this.#rows.clear();
    this.#people.replaceChildren();
    this.#unfolded = null;
    this.#filter.value = "";
  }

  render(conversation) {
    this.#conversation = conversation;
    const { type, participants, count, role } = conversation;
    this.element.hidden = type === "direct";
    if (type === "direct") return;
    write(this.#count, say("about.people", { count }));
    this.#add.hidden = role !== "admin";
    this.#filter.hidden = participants.length < WORTH_FILTERING;
    const matches = matcher(this.#filter.value);
    arrange(
      this.#people,
      participants.filter(({ name }) => matches(name)).map((participant) => this.#row(participant, role === "admin")),
    );
    const isPart = participants.length > 0 && count > participants.length;
    write(this.#more, isPart ? say("about.some", { shown: participants.length, all: count }) : "");
  }

  #row(participant, mayChange) {
    const { user_id: id, role, name, online, last_seen_at, avatar_url } = participant;
    const held = this.#rows.get(id) ?? { item: h("li"), look: null };
    this.#rows.set(id, held);
    const isOwn = id === this.#client.me?.id;
    const isChangeable = mayChange && !isOwn;
    const isUnfolded = isChangeable && this.#unfolded === id;
    const seen = online ? say("presence.online") : last_seen_at ? lastSeen(new Date(last_seen_at)) : "";
    const look = JSON.stringify([role, name, avatar_url, online, seen, isChangeable, isUnfolded]);
    if (held.look === look) return held.item;
    held.look = look;
    const focused = held.item.contains(document.activeElement) ? document.activeElement.dataset.testid : null;
    const roleWords = [isOwn && say("about.you"), role !== "member" && say(`role.${role}`)].filter(Boolean).join(", ");
    fill(
      held.item,
      h(
        "div",
        { class: "person", "data-testid": "participant", "data-user-id": id, "data-role": role },
        portrait({ id, name, avatar_url }, { online }),
        h(
          "span",
          { class: "person-words" },
          h("span", { class: "person-name", dir: "auto" }, name),
          seen !== "" && h("span", { class: "person-seen" }, seen),
        ),
        h("span", { class: "person-role" }, roleWords),
        isChangeable && this.#unfolding(id, name, isUnfolded),
      ),
      isUnfolded && this.#does(id, name, role),
    );
    // What had the focus was drawn anew, or is gone.
    const again =
      focused && (held.item.querySelector(`[data-testid="${focused}"]`) ?? held.item.querySelector("button"));
    again?.focus();
    return held.item;
  }

  #unfolding(id, name, isUnfolded) {
    const unfold = () => {
      this.#unfolded = isUnfolded ? null : id;
      this.render(this.#conversation);
    };
    const words = say("about.change", { name });
    const hooks = {
      "data-testid": "participant-more",
      "aria-label": words,
      title: words,
      "aria-expanded": String(isUnfolded),
    };
    return h("button", { class: "icon-button", type: "button", ...hooks, onclick: unfold }, icon("more"));
  }

  #does(id, name, role) {
    const others = ROLES.filter((other) => other !== role).map((other) =>
      h(
        "button",
        { class: "pill", type: "button", "data-testid": `make-${other}`, onclick: () => this.#make(id, other) },
        say(`about.make.${other}`),
      ),
    );
    const remove = h(
      "button",
      { class: "pill danger", type: "button", "data-testid": "remove", onclick: () => this.#remove(id, name) },
      say("about.remove"),
    );
    return h("div", { class: "person-does" }, others, remove);
  }

  async #make(id, role) {
    if (!(await attempt(setRole(this.#client, this.#conversation.id, id, role))) || this.#unfolded !== id) return;
    this.#unfolded = null;
    this.render(this.#conversation);
  }

  async #remove(id, name) {
    const talk = this.#conversation.id;
    const sure = await confirm({
      title: say("about.removeTitle", { name }),
      words: say("about.removeWords"),
      action: say("about.remove"),
    });
    if (sure && (await attempt(removeParticipant(this.#client, talk, id))))
      this.#people.querySelector("button")?.focus();
  }

  #invite() {
    const { id } = this.#conversation;
    addPeople({
      read: () => {
        const there = new Set(this.#client.conversation(id).participants.map(({ user_id }) => user_id));
        return this.#everybody().filter((person) => !there.has(person.id));
      },
      add: (ids) => addParticipants(this.#client, id, ids),
    });
  }
}
