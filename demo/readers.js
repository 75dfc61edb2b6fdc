// Who has read a message, and when; and who has not yet.

import { portrait } from "./avatar.js";
import { receipts as receiptsOf } from "./client/manage.js";
import { cross, openDialog } from "./dialogs.js";
import { fill, h, write } from "./dom.js";
import { clockTime, dayTitle, fullTime } from "./format.js";
import { refused, say } from "./words.js";

/** Opens at once; what the server answers stands in it when it comes. `message` is one of the log's rows. */
export function showReaders(client, message) {
  const body = h(
    "div",
    { class: "readers" },
    h("span", { class: "spinner", role: "img", "aria-label": say("pane.loading") }),
  );
  receiptsOf(client, message.id).then(
    (receipts) => {
      const read = new Set(receipts.map(({ user_id }) => user_id));
      const { participants, count } = client.conversation(message.conversation_id);
      const others = participants.filter(({ user_id }) => user_id !== message.sender_id && !read.has(user_id));
      const rest = count - 1 - read.size - others.length;
      fill(
        body,
        part(
          "readers.read",
          receipts.map(({ user_id, read_at }) => person(client, user_id, read_at)),
        ),
        part(
          "readers.unread",
          others.map(({ user_id }) => person(client, user_id, null)),
        ),
        rest > 0 && h("p", { class: "people-none" }, say("readers.more", { count: rest })),
      );
    },
    (error) => fill(body, h("p", { class: "refusal", role: "alert" }, refused(error))),
  );
  return openDialog({ title: say("readers.title"), content: (end) => [cross(end), quoted(message), body] });
}

function quoted({ content }) {
  const words = h("p", { class: "dialog-quote", dir: "auto" });
  write(words, content ?? "");
  return words;
}

const part = (key, rows) =>
  rows.length > 0 && [h("h3", { class: "part" }, say(key, { count: rows.length })), h("ul", { class: "people" }, rows)];

function person(client, userId, readAt) {
  const { id, name, avatar_url } = client.person(userId);
  const at = readAt === null ? null : new Date(readAt);
  return h(
    "li",
    { class: "person", "data-testid": "reader", "data-user-id": id, "data-read": String(at !== null) },
    portrait({ id, name, avatar_url }),
    h("span", { class: "person-name", dir: "auto" }, name),
    at && h("time", { class: "person-role", title: fullTime(at) }, `${dayTitle(at)} ${clockTime(at)}`),
  );
}
