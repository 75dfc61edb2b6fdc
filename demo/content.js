// What a message says, as elements and in short.

import { unturned } from "./client/text.js";
import { h, icon } from "./dom.js";
import { sizeOf } from "./format.js";
import { shownAddress } from "./picture.js";
import { say } from "./words.js";

// Of a message in a label or a quotation.
const MOST_QUOTED = 240;
// What turns text round (U+202A and the like) is no part of an address: it would read as another one.
const LINK = /https?:\/\/[^\s<>"'\u202a-\u202e\u2066-\u2069]*[^\s<>"'.,;:!?)\]\u202a-\u202e\u2066-\u2069]/g;

/** The beginning of a text, on one line. */
export function shortened(text) {
  const words = text
    .slice(0, 2 * MOST_QUOTED)
    .replace(/\s+/gu, " ")
    .trim();
  return words.length > MOST_QUOTED ? `${[...words].slice(0, MOST_QUOTED).join("")}…` : words;
}

/** What stands in the place of a message that was deleted. */
export function deletedWords({ own }) {
  return say(own ? "message.deletedOwn" : "message.deleted");
}

/** Text with its http addresses as links. */
export function linked(text) {
  const parts = [];
  let end = 0;
  for (const { 0: address, index } of text.matchAll(LINK)) {
    parts.push(
      text.slice(end, index),
      h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, address),
    );
    end = index + address.length;
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== "");
}

/** What a message says in words: its own, or what hangs on it. */
export function saidIn({ content, attachments }) {
  if (content || !attachments?.length) return content ?? "";
  const count = attachments.length;
  if (attachments.every(({ mime_type = "" }) => mime_type.startsWith("image/")))
    return count === 1 ? say("file.picture") : say("file.pictures", { count });
  return count === 1 ? say("file.file", { name: fileName(attachments[0]) }) : say("file.files", { count });
}

/** What a file is called, whatever its sender called it. */
export const fileName = ({ name }) => unturned(name) || say("list.attachment");

/** What the line of a file shows, wherever it is. */
export const fileLine = (file) => [
  h("span", { class: "attachment-mark" }, icon("file")),
  h(
    "span",
    { class: "attachment-words" },
    h("bdi", { class: "attachment-name" }, fileName(file)),
    file.size > 0 && h("span", { class: "attachment-size" }, sizeOf(file.size)),
  ),
];

/** A file that lies elsewhere: a link where its address may be one. */
export function foreignFile(file) {
  const address = shownAddress(absolute(file.url), document.baseURI);
  if (address === null) return h("span", { class: "attachment" }, ...fileLine(file));
  return h(
    "a",
    { class: "attachment", href: address, target: "_blank", rel: "noopener noreferrer nofollow" },
    ...fileLine(file),
    h("span", { class: "attachment-do" }, icon("away")),
  );
}

function absolute(url) {
  try {
    return new URL(url, document.baseURI).href;
  } catch {
    return null;
  }
}
