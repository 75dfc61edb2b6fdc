// The panel beside the conversation: what it is, what one wants to be told of it, who takes part, and the way out. What one's
// role does not permit is not offered; the server decides in the end, and its refusals are told in words.

import { conversationAvatar, lookOf } from "./avatar.js";
import { deleteConversation, leave, rename } from "./client/manage.js";
import { askLine, attempt, confirm } from "./dialogs.js";
import { byId, fill, h, icon, write } from "./dom.js";
import { lastSeen } from "./format.js";
import { Members } from "./members.js";
import { Muting } from "./muting.js";
import { say } from "./words.js";

const MOST_TITLE = 200;

export class About {
  #client;
  #ongone;
  #root = byId("about");
  #openers = [byId("participants"), byId("about-open")];
  #opener = null;
  #conversation = null;
  #face = h("span", { class: "about-face" });
  #title = h("p", { class: "about-title", dir: "auto" });
  #kind = h("p", { class: "about-kind" });
  #rename = pencil(() => this.#askTitle());
  #head = h("header", { class: "panel-head" }, h("h2", { class: "panel-title" }, say("about.title")));
  #close = cross(() => this.close());
  #leave = way("leave", "leave", say("about.leave"), () => this.#goAway());
  #delete = way("delete-conversation", "trash", say("about.delete"), () => this.#deleteIt());
  #muting;
  #members;
  #look = "";
  /** What one is leaving by one's own will, by its id. */
  leaving = null;
  /** It is about to be shown. */
  onopen = () => {};

  /** `everybody()`: people whom one may add. `ongone()`: one left it, or deleted it. */
  constructor({ client, everybody, ongone }) {
    this.#client = client;
    this.#ongone = ongone;
    this.#muting = new Muting(client);
    this.#members = new Members({ client, everybody });
    const named = h("div", { class: "about-named" }, this.#title, this.#rename);
    fill(
      this.#root,
      this.#head,
      h(
        "div",
        { class: "panel-body" },
        h("div", { class: "about-head" }, this.#face, named, this.#kind),
        this.#muting.element,
        this.#members.element,
        h("section", { class: "about-part about-end", "aria-label": say("about.leaving") }, this.#leave, this.#delete),
      ),
    );
    for (const opener of this.#openers)
      opener.addEventListener("click", () => (this.isOpen ? this.close() : this.#open(opener)));
    this.#root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) this.close();
    });
    this.#tell();
  }

  get isOpen() {
    return !this.#root.hidden;
  }

  close() {
    if (!this.isOpen) return;
    const within = this.#root.contains(document.activeElement);
    this.#root.hidden = true;
    this.#close.remove();
    this.#members.clear();
    this.#tell();
    if (within && this.#opener?.offsetParent) this.#opener.focus();
  }

  /** `conversation`: the open one, or null. */
  render(conversation) {
    if (conversation?.id !== this.#conversation?.id) {
      this.#members.clear();
      this.#look = "";
    }
    this.#conversation = conversation;
    byId("about-open").hidden = conversation?.type !== "direct";
    if (conversation === null || conversation.status === "gone") this.close();
    if (!this.isOpen || conversation === null) return;
    const { type, role, title, presence } = conversation;
    const look = lookOf(conversation);
    if (look !== this.#look) {
      this.#look = look;
      fill(this.#face, conversationAvatar(conversation));
    }
    write(this.#title, title);
    write(this.#kind, type === "direct" ? presenceWords(presence) : say(`about.kind.${type}`));
    this.#rename.hidden = this.#delete.hidden = type === "direct" || role !== "admin";
    this.#muting.render(conversation);
    this.#members.render(conversation);
  }

  #open(opener) {
    this.#opener = opener;
    this.onopen();
    this.#root.hidden = false;
    this.#head.append(this.#close);
    this.#tell();
    this.render(this.#conversation);
    this.#close.focus();
  }

  #tell() {
    byId("app").classList.toggle("with-about", this.isOpen);
    for (const opener of this.#openers) opener.setAttribute("aria-expanded", String(this.isOpen));
  }

  #askTitle() {
    const { id, about } = this.#conversation;
    askLine({
      title: say("about.rename"),
      label: say("new.titleLabel"),
      value: about.title ?? "",
      most: MOST_TITLE,
      save: (title) => rename(this.#client, id, title || null),
    });
  }

  async #goAway() {
    const { id, type } = this.#conversation;
    const words = say(type === "direct" ? "about.leaveDirectWords" : "about.leaveWords");
    if (await confirm({ title: say("about.leaveTitle"), words, action: say("about.leave") })) this.#end(id, leave);
  }

  async #deleteIt() {
    const { id } = this.#conversation;
    const words = say("about.deleteWords");
    if (await confirm({ title: say("about.deleteTitle"), words, action: say("about.delete") }))
      this.#end(id, deleteConversation);
  }

  async #end(id, doing) {
    this.leaving = id;
    if ((await attempt(doing(this.#client, id))) && this.#conversation?.id === id) this.#ongone();
  }
}

function presenceWords(presence) {
  if (presence === null) return "";
  if (presence.online) return say("presence.online");
  return presence.last_seen_at ? lastSeen(new Date(presence.last_seen_at)) : say("presence.offline");
}

const labelled = (words) => ({ type: "button", "aria-label": words, title: words });

const pencil = (onclick) =>
  h(
    "button",
    { class: "icon-button", "data-testid": "rename", ...labelled(say("about.rename")), onclick },
    icon("edit"),
  );

const cross = (onclick) =>
  h(
    "button",
    { class: "icon-button", "data-testid": "cancel", ...labelled(say("about.close")), onclick },
    icon("close"),
  );

const way = (hook, name, words, onclick) =>
  h(
    "button",
    { class: "danger-button", type: "button", "data-testid": hook, onclick },
    icon(name),
    h("span", {}, words),
  );
