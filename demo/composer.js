// Where one writes: a new message, an answer to one, or the new words of an old one. Enter sends, Shift+Enter is a new line, Esc
// leaves editing or answering, Up in an empty field edits the last message of one's own. A message waits for its files.

import { saidIn, shortened } from "./content.js";
import { fill, h, icon, write } from "./dom.js";
import { Tray } from "./tray.js";
import { say } from "./words.js";

const MOST_HEIGHT_PX = 168;

export class Composer {
  #client;
  #drafts;
  #tray;
  #onsend;
  #ontrouble;
  #form;
  #field;
  #line;
  #attach;
  #files;
  #send;
  #banner;
  #about;
  #closed;
  #id = null;
  #editing = null;
  // conversation id → the row that is answered. Like a draft, but for no longer than the page.
  #replies = new Map();
  #isTouched = false;
  #isComposing = false;
  #isAwaited = false;

  /**
   * `onsend` is told after a message was written in the open conversation; `ontrouble(error)` where it or an edit was refused,
   * `ontold(words)` what is to be told in passing. `mostBytes`: of a file, null where that is not known.
   */
  constructor({ client, form, drafts, onsend, ontrouble, ontold = () => {}, mostBytes = null }) {
    this.#client = client;
    this.#drafts = drafts;
    this.#onsend = onsend;
    this.#ontrouble = ontrouble;
    this.#form = form;
    this.#field = h("textarea", {
      class: "composer-field",
      rows: 1,
      "data-testid": "composer",
      "aria-label": say("composer.label"),
      placeholder: say("composer.hint"),
      dir: "auto",
      enterkeyhint: "send",
      oninput: () => this.#typed(),
      onkeydown: (event) => this.#pressed(event),
      oncompositionstart: () => (this.#isComposing = true),
      oncompositionend: () => this.#composed(),
    });
    this.#send = h("button", { class: "send", type: "submit", "data-testid": "send", disabled: true }, icon("send"));
    this.#about = {
      icon: h("span", { class: "writing-icon" }),
      what: h("strong", { class: "writing-what" }),
      words: h("bdi", { class: "writing-words" }),
      cancel: h(
        "button",
        { class: "icon-button", type: "button", "data-testid": "composer-cancel", onclick: () => this.cancel() },
        icon("close"),
      ),
    };
    this.#banner = h(
      "div",
      { class: "writing-about", hidden: true },
      this.#about.icon,
      h("span", { class: "writing-text" }, this.#about.what, this.#about.words),
      this.#about.cancel,
    );
    this.#tray = new Tray({
      client,
      mostBytes,
      onchange: (id) => id === this.#id && this.#fit(),
      onready: (id) => this.#deliver(id),
      ontrouble: ontold,
    });
    this.#files = h("input", {
      type: "file",
      multiple: true,
      hidden: true,
      "data-testid": "attach-files",
      onchange: () => {
        this.attach([...this.#files.files]);
        // The same one can be chosen again.
        this.#files.value = "";
      },
    });
    this.#attach = h(
      "button",
      {
        class: "attach",
        type: "button",
        "data-testid": "attach",
        "aria-label": say("composer.attach"),
        title: say("composer.attach"),
        onclick: () => this.#files.click(),
      },
      icon("attach"),
    );
    this.#line = h("div", { class: "composer-line" }, this.#attach, this.#files, this.#field, this.#send);
    this.#closed = h("p", { class: "composer-closed", "data-testid": "composer-closed", hidden: true });
    fill(form, this.#banner, this.#tray.element, this.#line, this.#closed);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    // A frame later: an observer that changes what it observes goes round in circles.
    new ResizeObserver(() => requestAnimationFrame(() => this.#fit())).observe(this.#line);
  }

  /** Another conversation is open: its draft comes, the former one's stays with it. */
  show(id) {
    this.#keep();
    this.#editing = null;
    this.#id = id;
    this.#isTouched = false;
    this.#tray.show(id);
    this.#set(this.#draft());
    this.#renderBanner();
  }

  /** Whether files can be put to what is written now. */
  get takesFiles() {
    return this.#id !== null && this.#editing === null && !this.#line.hidden;
  }

  /** Send these along with what is written. @param {File[]} files */
  attach(files) {
    this.#tray.add(this.#id, files);
    this.focus();
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  render(conversation) {
    const reason = conversation === null ? null : closedBecause(conversation);
    this.#line.hidden = reason !== null;
    this.#closed.hidden = reason === null;
    write(this.#closed, reason ?? "");
    this.#form.classList.toggle("is-closed", reason !== null);
    if (reason !== null && this.#id !== null) this.#tray.relax(this.#id);
    // Whose drafts they are may be known only now.
    if (!this.#isTouched && this.#editing === null && this.#field.value === "" && this.#draft() !== "")
      this.#set(this.#draft());
    const about = this.#editing ?? this.#replies.get(this.#id) ?? null;
    if (about === null || conversation === null) return;
    // What this is about may have been deleted by now.
    const row = conversation.messages.find(({ id }) => id === about.id);
    if (row?.deleted_at || reason !== null) this.#leave();
  }

  edit(row) {
    if (this.#editing === null) this.#keep();
    this.#editing = row;
    this.#set(row.content);
    this.#renderBanner();
    this.focus();
    this.#field.setSelectionRange(row.content.length, row.content.length);
  }

  reply(row) {
    if (this.#editing !== null) this.#leave();
    this.#replies.set(this.#id, row);
    this.#renderBanner();
    this.focus();
  }

  /** Neither editing nor answering; the draft stays. */
  cancel() {
    this.#leave();
    this.focus();
  }

  #leave() {
    if (this.#editing !== null) {
      this.#editing = null;
      this.#set(this.#draft());
    } else this.#replies.delete(this.#id);
    this.#renderBanner();
  }

  #draft() {
    return this.#id === null ? "" : this.#drafts.get(this.#id);
  }

  #keep() {
    if (this.#id !== null && this.#editing === null && this.#isTouched) this.#drafts.set(this.#id, this.#field.value);
  }

  #set(text) {
    this.#field.value = text;
    this.#fit();
  }

  #fit() {
    const isAwaited = this.#editing === null && this.#tray.isAwaited(this.#id);
    const isEmpty = this.#field.value.trim() === "" && (this.#editing !== null || this.#tray.isEmpty(this.#id));
    this.#send.disabled = isEmpty || isAwaited;
    this.#field.readOnly = isAwaited;
    this.#form.classList.toggle("is-waiting", isAwaited);
    this.#field.style.height = "auto";
    const { scrollHeight } = this.#field;
    this.#field.style.height = `${Math.min(scrollHeight, MOST_HEIGHT_PX)}px`;
    this.#field.style.overflowY = scrollHeight > MOST_HEIGHT_PX ? "auto" : "hidden";
  }

  #typed() {
    this.#isTouched = true;
    this.#fit();
    if (this.#editing !== null) return;
    this.#keep();
    this.#client.typed(this.#id, this.#field.value);
  }

  // An input method (Korean, Japanese, Chinese) has put its last syllable into the field.
  #composed() {
    this.#isComposing = false;
    if (!this.#isAwaited) return;
    this.#isAwaited = false;
    // The field holds it only after this event.
    setTimeout(() => this.#submit());
  }

  #pressed(event) {
    // While an input method composes, its keys are not ours: Enter takes its word then, and sends nothing.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "Escape" && this.#field.readOnly) {
      event.preventDefault();
      event.stopPropagation();
      this.#tray.relax(this.#id);
    } else if (event.key === "Escape" && (this.#editing !== null || this.#replies.has(this.#id))) {
      event.preventDefault();
      event.stopPropagation();
      this.cancel();
    } else if (event.key === "ArrowUp" && this.#editing === null && this.#field.value === "") {
      const mine = this.#client
        .conversation(this.#id)
        .messages.findLast((row) => row.own && row.id !== null && row.message_type === "text" && !row.deleted_at);
      if (mine === undefined) return;
      event.preventDefault();
      this.edit(mine);
    }
  }

  #submit() {
    // Sent now, the syllable that is being composed would be lost, or come back into the empty field.
    if (this.#isComposing) {
      this.#isAwaited = true;
      this.#field.blur();
      return;
    }
    const content = this.#field.value.trim();
    if (this.#id === null || this.#line.hidden) return;
    if (this.#editing !== null) {
      if (content !== "") this.#submitEdit(this.#editing, content);
    } else if (content !== "" || !this.#tray.isEmpty(this.#id)) {
      if (this.#tray.isReady(this.#id)) this.#deliver(this.#id);
      else this.#tray.await(this.#id);
    }
  }

  // Send what was written in a conversation, which may have waited for its files while another one is open.
  #deliver(id) {
    const isHere = id === this.#id && this.#editing === null;
    const content = (isHere ? this.#field.value : this.#drafts.get(id)).trim();
    const attachments = this.#tray.attachments(id);
    const replyTo = this.#replies.get(id)?.id;
    const isPictures = attachments.every(({ mime_type }) => mime_type.startsWith("image/"));
    try {
      this.#client.send(id, content, {
        ...(replyTo && { reply_to: replyTo }),
        ...(attachments.length > 0 && { message_type: isPictures ? "image" : "file", attachments }),
      });
    } catch (error) {
      this.#tray.relax(id);
      this.#ontrouble(error);
      return;
    }
    this.#replies.delete(id);
    this.#drafts.set(id, "");
    this.#tray.clear(id);
    if (!isHere) return;
    this.#set("");
    this.#renderBanner();
    this.#onsend();
    this.focus();
  }

  async #submitEdit(row, content) {
    if (content === row.content) {
      this.cancel();
      return;
    }
    this.#send.disabled = true;
    try {
      await this.#client.edit(row.id, content);
      if (this.#editing === row) this.cancel();
    } catch (error) {
      this.#ontrouble(error);
      this.#fit();
    }
  }

  #renderBanner() {
    const reply = this.#replies.get(this.#id) ?? null;
    const about = this.#editing ?? reply;
    const isEditing = this.#editing !== null;
    this.#banner.hidden = about === null;
    this.#banner.dataset.testid = isEditing ? "editing" : "replying";
    this.#form.classList.toggle("is-editing", isEditing);
    this.#attach.hidden = isEditing;
    if (about !== null) {
      const name = about.own ? null : about.sender.name;
      fill(this.#about.icon, icon(isEditing ? "edit" : "reply"));
      write(
        this.#about.what,
        isEditing
          ? say("composer.editing")
          : name === null
            ? say("composer.replyingSelf")
            : say("composer.replying", { name }),
      );
      write(this.#about.words, shortened(saidIn(about)));
      const leave = say(isEditing ? "composer.cancelEdit" : "composer.cancelReply");
      this.#about.cancel.setAttribute("aria-label", leave);
      this.#about.cancel.title = leave;
    }
    const words = say(isEditing ? "composer.save" : "composer.send");
    this.#send.setAttribute("aria-label", words);
    this.#send.title = words;
  }
}

/** Why one may not write here, in words; null where one may. */
function closedBecause({ status, type, writable, count }) {
  if (status === "gone") return say("composer.gone");
  const isUnknown = status === "loading" && count === 0;
  if (writable || isUnknown) return null;
  return say(type === "announcement" ? "composer.onlyAdmins" : "composer.readOnly");
}
