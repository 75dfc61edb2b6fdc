// What a conversation's messages look like as a list: days, the line above what is new, messages in groups of one sender. Pure.

import { MOST_WIDE, heightOf, isPicture } from "./boxes.js";
import { dayKey } from "./format.js";

/** @import { Row } from "./client/types.js" */

const GROUP_MS = 5 * 60_000;
// Lines of ours begin with what no id of a message holds.
const OURS = "\0";

/** The key of the line above what is new. */
export const NEW = `${OURS}new`;

/**
 * @typedef {object} Item  One line of the list. What did not change is the same object in the next list.
 * @property {string} key  The same for an optimistic message and for what it becomes.
 * @property {"day"|"new"|"system"|"message"} kind
 * @property {Date} at
 * @property {Row} [row]  What it tells; of `system` and `message`.
 * @property {Row|null} [quoted]  The message that it answers, where it is held.
 * @property {boolean} [first] @property {boolean} [last]  Within its group.
 */

export class Rows {
  #held = new Map();
  // A row is parsed once: a moment and its day are of the row's object.
  #moments = new WeakMap();

  /**
   * `newFrom`: the `seq` above which the line "New" stands, or null.
   *
   * @param {Row[]} messages
   * @param {{newFrom?: number|null}} options
   * @returns {Item[]}
   */
  of(messages, { newFrom = null } = {}) {
    const byId = new Map();
    for (const row of messages) if (row.id !== null) byId.set(row.id, row);
    const items = [];
    const days = new Set();
    let day = null;
    let above = null;
    let divided = newFrom === null;
    for (const row of messages) {
      const moment = this.#momentOf(row);
      if (moment.day !== day) {
        day = moment.day;
        // Clocks differ, so that a day may come twice: an unsent message stands last, whenever it was written.
        const key = days.has(day) ? `${OURS}${day}:${row.key}` : `${OURS}${day}`;
        days.add(day);
        items.push({ key, kind: "day", at: moment.at });
        above = null;
      }
      if (!divided && row.seq !== null && row.seq > newFrom && !row.own && row.message_type !== "system") {
        divided = true;
        items.push({ key: NEW, kind: "new", at: moment.at });
        above = null;
      }
      const kind = row.message_type === "system" ? "system" : "message";
      const quoted = row.reply_to && !row.deleted_at ? (byId.get(row.reply_to) ?? null) : null;
      const item = { key: row.key, kind, at: moment.at, row, quoted, first: true, last: true };
      if (
        kind === "message" &&
        above !== null &&
        above.row.sender_id === row.sender_id &&
        item.at - above.at < GROUP_MS
      ) {
        above.last = false;
        item.first = false;
      }
      items.push(item);
      above = kind === "message" ? item : null;
    }
    return this.#same(items);
  }

  clear() {
    this.#held.clear();
  }

  // Who draws them compares objects: what is as it was, is what it was.
  #same(items) {
    const held = this.#held;
    this.#held = new Map();
    return items.map((item) => {
      const former = held.get(item.key);
      const kept = former !== undefined && isSame(former, item) ? former : item;
      this.#held.set(item.key, kept);
      return kept;
    });
  }

  #momentOf(row) {
    let moment = this.#moments.get(row);
    if (moment === undefined) {
      const at = new Date(row.created_at);
      moment = { at, day: dayKey(at) };
      this.#moments.set(row, moment);
    }
    return moment;
  }
}

function isSame(former, item) {
  if (former.kind !== item.kind || former.row !== item.row || former.quoted !== item.quoted) return false;
  return former.first === item.first && former.last === item.last;
}

/** Who else has read a message, in the order in which they are told. */
export function readersOf(participants, seq, me) {
  return participants.filter(({ user_id, last_read_seq }) => user_id !== me && last_read_seq >= seq);
}

/** Whether a message is nothing but a few emoji, which are shown large. */
export function isJumbo(text) {
  if (text.length > 40 || !MAYBE_EMOJI.test(text)) return false;
  const characters = [...new Intl.Segmenter().segment(text.trim())].map(({ segment }) => segment);
  return characters.length <= 3 && characters.every((one) => EMOJI.test(one));
}

const MAYBE_EMOJI = /[\p{Emoji_Presentation}\ufe0f\u20e3]/u;
// One character as it is seen: a flag of two letters, a key cap, or pictures joined to one.
const EMOJI =
  /^(?:\p{Regional_Indicator}{2}|[\d#*]\ufe0f?\u20e3|(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f)[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f\u200d\u{e0020}-\u{e007f}]*)$/u;

/** How high an item will be, more or less: as many lines as its text takes in a bubble of the width that there is. */
export function estimate({ kind, row, first }, width) {
  if (kind === "day") return 48;
  if (kind === "new") return 46;
  const text = row.content ?? "";
  if (kind === "system") return 38;
  let wide = 0;
  for (let index = 0; index < text.length; index += 1) if (text.charCodeAt(index) > 0x10ff) wide += 1;
  // Words stand under a picture, and are as wide.
  const most = row.attachments?.some(isPicture) ? MOST_WIDE : 560;
  const perLine = Math.max(12, Math.floor((Math.min(width * 0.78, most) - 26) / 7.2));
  const lines = text.split("\n").reduce((sum, one) => sum + Math.max(1, Math.ceil(one.length / perLine)), 0);
  const isWordless = text === "" && row.attachments?.length > 0 && row.attachments.every(isPicture);
  // A line for the time at least; on a picture it needs none.
  const counted = isWordless ? 0 : Math.max(lines, Math.ceil((text.length + wide + 8) / perLine));
  const room = Math.min(width * 0.78, 560) - 8;
  return (
    (first ? 12 : 3) +
    (isWordless ? 0 : 16) +
    counted * 22 +
    (first && !row.own ? 20 : 0) +
    (row.reply_to ? 50 : 0) +
    (Object.keys(row.reactions ?? {}).length > 0 ? 32 : 0) +
    heightOf(row.attachments ?? [], room)
  );
}
