// Where one writes: a new message or the new words of an old one, with a draft for each conversation.
// Enter sends, Shift+Enter is a new line, Esc leaves editing, Up in an empty field edits the last message of one's own.

import { fill, h, icon } from "./dom.js";

const MOST_HEIGHT_PX = 168;

export class Composer {
  #messenger;
  #onsend;
  #ontrouble;
  #form;
  #field;
  #send;
  #editing = null;
  #id = null;
  #drafts = new Map();
  #banner;
  #closed;

  /** `onsend` is told after a message was written; `ontrouble(error)` where an edit was refused. */
  constructor({ messenger, form, onsend, ontrouble }) {
    this.#messenger = messenger;
    this.#onsend = onsend;
    this.#ontrouble = ontrouble;
    this.#form = form;
    this.#field = h("textarea", {
      class: "composer-field",
      rows: 1,
      "data-testid": "composer",
      "aria-label": "Message",
      placeholder: "Write a message",
      dir: "auto",
      enterkeyhint: "send",
      oninput: () => this.#typed(),
      onkeydown: (event) => this.#pressed(event),
    });
    this.#send = h(
      "button",
      { class: "send", type: "submit", "data-testid": "send", "aria-label": "Send", title: "Send", disabled: true },
      icon("send"),
    );
    this.#banner = h(
      "div",
      { class: "editing", "data-testid": "editing", hidden: true },
      icon("edit"),
      h("span", { class: "editing-text" }, h("strong", {}, "Editing"), h("span", { class: "editing-was" })),
      h(
        "button",
        {
          class: "icon-button",
          type: "button",
          "aria-label": "Cancel editing",
          title: "Cancel (Esc)",
          onclick: () => this.cancelEdit(),
        },
        icon("close"),
      ),
    );
    this.#closed = h("p", { class: "composer-closed", hidden: true });
    fill(form, this.#banner, h("div", { class: "composer-line" }, this.#field, this.#send), this.#closed);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  /** Another conversation is open: its draft comes, the former one's stays with it. */
  show(id) {
    this.#keep();
    this.#editing = null;
    this.#id = id;
    this.#set(this.#drafts.get(id) ?? "");
    this.#renderBanner();
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  render(conversation) {
    const writable = conversation?.writable ?? true;
    this.#form.querySelector(".composer-line").hidden = !writable;
    this.#closed.hidden = writable;
    this.#closed.textContent =
      conversation?.about.type === "announcement" ? "Only admins can post here" : "You can read here, but not write";
    if (this.#editing === null) return;
    // What was being edited may have been deleted by now.
    const message = conversation?.log.get(this.#editing.id);
    if (message?.deleted_at) this.cancelEdit();
  }

  edit(message) {
    if (this.#editing === null) this.#keep();
    this.#editing = message;
    this.#set(message.content);
    this.#renderBanner();
    this.focus();
    this.#field.setSelectionRange(message.content.length, message.content.length);
  }

  cancelEdit() {
    if (this.#editing === null) return;
    this.#editing = null;
    this.#set(this.#drafts.get(this.#id) ?? "");
    this.#renderBanner();
    this.focus();
  }

  #keep() {
    if (this.#id !== null && this.#editing === null) this.#drafts.set(this.#id, this.#field.value);
  }

  #set(text) {
    this.#field.value = text;
    this.#fit();
  }

  #fit() {
    this.#send.disabled = this.#field.value.trim() === "";
    this.#field.style.height = "auto";
    this.#field.style.height = `${Math.min(this.#field.scrollHeight, MOST_HEIGHT_PX)}px`;
  }

  #typed() {
    this.#fit();
    if (this.#editing === null) this.#messenger.typing.typed(this.#id, this.#field.value);
  }

  #pressed(event) {
    // While an input method composes (Korean, Japanese, Chinese), its keys are not ours.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "Escape" && this.#editing !== null) {
      event.preventDefault();
      event.stopPropagation();
      this.cancelEdit();
    } else if (event.key === "ArrowUp" && this.#editing === null && this.#field.value === "") {
      const mine = this.#messenger.conversations
        .get(this.#id)
        ?.log.messages.findLast(
          (m) => m.sender_id === this.#messenger.me && m.message_type === "text" && !m.deleted_at,
        );
      if (mine === undefined) return;
      event.preventDefault();
      this.edit(mine);
    }
  }

  #submit() {
    const content = this.#field.value.trim();
    if (content === "" || this.#id === null) return;
    if (this.#editing !== null) {
      this.#submitEdit(this.#editing, content);
      return;
    }
    this.#drafts.delete(this.#id);
    this.#set("");
    this.#messenger.send(this.#id, content);
    this.#onsend();
    this.focus();
  }

  async #submitEdit(message, content) {
    if (content === message.content) {
      this.cancelEdit();
      return;
    }
    this.#send.disabled = true;
    try {
      await this.#messenger.edit(message.id, content);
      if (this.#editing === message) this.cancelEdit();
    } catch (error) {
      this.#ontrouble(error);
      this.#fit();
    }
  }

  #renderBanner() {
    const editing = this.#editing !== null;
    this.#banner.hidden = !editing;
    this.#form.classList.toggle("is-editing", editing);
    this.#banner.querySelector(".editing-was").textContent = editing ? this.#editing.content : "";
    const words = editing ? "Save" : "Send";
    this.#send.setAttribute("aria-label", words);
    this.#send.title = words;
  }
}
