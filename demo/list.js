// The list of conversations: who, what was said last and when, how much is unread, who is there.

import { conversationAvatar, lookOf } from "./avatar.js";
import { unturned } from "./client/text.js";
import { arrange, fill, h } from "./dom.js";
import { listTime } from "./format.js";

export class ConversationList {
  #messenger;
  #root;
  #onopen;
  #rows = new Map();

  constructor({ messenger, root, onopen }) {
    this.#messenger = messenger;
    this.#root = root;
    this.#onopen = onopen;
  }

  render(openId) {
    const { conversations, directory } = this.#messenger;
    const { sorted } = conversations;
    if (sorted.length === 0) {
      this.#rows.clear();
      const words = directory.loaded ? "No conversations yet. Start one with the plus above." : "Loading…";
      fill(this.#root, h("li", { class: "conversations-none" }, words));
      return;
    }
    const ids = new Set(sorted.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.#rows.delete(id);
    arrange(
      this.#root,
      sorted.map((conversation) => this.#row(conversation, conversation.id === openId)),
    );
  }

  #row(conversation, open) {
    let row = this.#rows.get(conversation.id);
    if (row === undefined) {
      const button = h("button", {
        class: "conversation",
        type: "button",
        "data-testid": "conversation",
        "data-conversation-id": conversation.id,
        onclick: () => this.#onopen(conversation.id),
      });
      row = { item: h("li", {}, button), button, shown: null };
      this.#rows.set(conversation.id, row);
    }
    const { item, button } = row;
    const { log, about } = conversation;
    const title = this.#messenger.conversations.titleOf(conversation);
    const preview = this.#preview(conversation);
    const when = about.last_seq > 0 || log.newest !== null ? listTime(new Date(conversation.activeAt)) : "";
    const shown = JSON.stringify([lookOf(this.#messenger, conversation), preview, when, log.unread]);
    if (row.shown !== shown) {
      row.shown = shown;
      const badge = h(
        "span",
        { class: "badge", "data-testid": "unread" },
        log.unread > 99 ? "99+" : String(log.unread),
      );
      fill(
        button,
        conversationAvatar(this.#messenger, conversation),
        h(
          "span",
          { class: "conversation-text" },
          h(
            "span",
            { class: "conversation-line" },
            h("span", { class: "conversation-name", dir: "auto" }, title),
            h("time", { class: "conversation-time" }, when),
          ),
          h(
            "span",
            { class: "conversation-line" },
            h(
              "span",
              { class: `preview${preview.quiet ? " quiet" : ""}${preview.failed ? " failed" : ""}` },
              preview.by && h("bdi", { class: "preview-by" }, `${preview.by}: `),
              h("bdi", {}, preview.text),
            ),
            log.unread > 0 && badge,
          ),
        ),
      );
      if (log.unread > 0) badge.append(h("span", { class: "hidden-text" }, " unread"));
      button.classList.toggle("has-unread", log.unread > 0);
    }
    if (open) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    return item;
  }

  #preview({ id, about, log }) {
    const { outbox, people, me } = this.#messenger;
    const { newest } = log;
    const written = outbox.of(id).at(-1);
    if (written?.state === "pending") return { by: "You", text: written.content };
    if (written && written.writtenAt >= (newest === null ? 0 : Date.parse(newest.created_at)))
      return { by: "Not sent", text: written.content, failed: true };
    if (newest === null) return { text: "No messages yet", quiet: true };
    if (newest.message_type === "system") return { text: unturned(newest.content ?? "Something changed"), quiet: true };
    const by = newest.sender_id === me ? "You" : about.type === "direct" ? null : people.nameOf(newest.sender_id);
    if (newest.deleted_at) return { by, text: "Message deleted", quiet: true };
    return { by, text: newest.content };
  }
}
