// What a log looks like as rows: days, the line above what is new, messages in groups of one sender, and at the end what
// this device has written and the server has not acknowledged. Pure.

import { dayKey } from "./format.js";

const GROUP_MS = 5 * 60_000;

/**
 * @typedef {object} Row
 * @property {string} key  The same for an optimistic row and the message that it becomes.
 * @property {"day"|"new"|"system"|"message"} kind
 * @property {Date} at
 * @property {object} [message]  As in protocol.md §6; of an optimistic row the fields that it has.
 * @property {boolean} [own] @property {"pending"|"sent"|"read"|"failed"|null} [state] @property {object|null} [error]
 * @property {boolean} [first] @property {boolean} [last]  Within its group.
 */

/** `newFrom`: the `seq` above which the line "New" stands, or null. @returns {Row[]} */
export function rowsOf({ log, outgoing, me, newFrom = null }) {
  const othersRead = Math.max(0, ...[...log.reads].filter(([userId]) => userId !== me).map(([, seq]) => seq));
  const entries = log.messages.map((message) => {
    const own = message.sender_id === me;
    const state = own ? (message.seq <= othersRead ? "read" : "sent") : null;
    return {
      key: own && message.client_id ? `c:${message.client_id}` : message.id,
      message,
      own,
      state,
      error: null,
      at: new Date(message.created_at),
    };
  });
  for (const { clientId, content, writtenAt, state, error } of outgoing) {
    const message = { id: null, seq: null, sender_id: me, content, message_type: "text", client_id: clientId };
    entries.push({ key: `c:${clientId}`, message, own: true, state, error, at: new Date(writtenAt) });
  }

  const rows = [];
  let before = null;
  let divided = newFrom === null;
  for (const entry of entries) {
    const day = dayKey(entry.at);
    if (before === null || dayKey(before.at) !== day) {
      rows.push({ kind: "day", key: `day:${day}:${rows.length === 0 ? "" : entry.key}`, at: entry.at });
    }
    if (!divided && entry.message.seq > newFrom && !entry.own) {
      divided = true;
      rows.push({ kind: "new", key: "new", at: entry.at });
    }
    const kind = entry.message.message_type === "system" ? "system" : "message";
    const row = { kind, ...entry, first: true, last: true };
    const above = rows.at(-1);
    if (
      kind === "message" &&
      above?.kind === "message" &&
      above.message.sender_id === row.message.sender_id &&
      row.at - above.at < GROUP_MS
    ) {
      above.last = false;
      row.first = false;
    }
    rows.push(row);
    before = entry;
  }
  return rows;
}

/** Who else has read a message, as user ids. */
export function readersOf(log, seq) {
  return [...log.reads].filter(([userId, upTo]) => userId !== log.me && upTo >= seq).map(([userId]) => userId);
}
