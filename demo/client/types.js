// The values that a MessengerClient hands out, as types. Nothing here runs.
//
// Values are frozen in practice: whoever holds one may compare it with a later one by `===`. What changed is a new object, and
// what did not is the same one. Field names in snake_case are the server's own (protocol.md §6); those in camelCase are ours.

/**
 * @typedef {object} Message  As the server tells it.
 * @property {string} id  UUID.
 * @property {string} conversation_id
 * @property {number} seq  Its place in the conversation: 1, 2, 3 …
 * @property {number} change  The number of its latest alteration.
 * @property {number} sender_id
 * @property {string|null} content  Null once deleted.
 * @property {string} message_type  `text`, `system`, …
 * @property {string} created_at  RFC 3339, as all times.
 * @property {string|null} edited_at
 * @property {string|null} deleted_at
 * @property {string|null} reply_to  Id of a message of the same conversation.
 * @property {number[]} mentions
 * @property {Attachment[]} attachments
 * @property {Record<string, number>} reactions  Emoji to count.
 * @property {Record<string, unknown>} metadata
 * @property {string|null} client_id
 */

/**
 * @typedef {object} Attachment  A file that a message carries, at most ten. Of one that is not the daemon's only `url` is certain.
 * @property {string} url  http(s), of somebody else's; or a path, of an upload: `link` (files.js) says where that can be had.
 * @property {string} name
 * @property {number} size  Bytes.
 * @property {string} mime_type
 * @property {number} [width]  Of a picture, pixels, as all below of an upload only.
 * @property {number} [height]
 * @property {boolean} [thumbnail]  Whether there is a small one of it.
 */

/** @typedef {{code: string, message: string}} Refusal  Why the server would not take it (protocol.md §4). */

/**
 * @typedef {object} Problem  What the server says where it says no: `message` in a frame, `detail` in REST.
 * @property {string} code
 * @property {string} [message]
 * @property {string} [detail]
 * @property {string|null} [field]
 * @property {string|null} [reason]
 * @property {number|null} [retry_after_s]
 */

/**
 * @typedef {object} Own  What a row tells beyond the message.
 * @property {string} key  The same for an optimistic row and for the message that it becomes.
 * @property {boolean} own
 * @property {"pending"|"sent"|"failed"} state  `pending`: not acknowledged yet; `failed`: see `error`, and `retry` or `discard`.
 * @property {"none"|"some"|"all"|null} readBy  How many of the others have read it; null where it is not one's own.
 * @property {Refusal|null} error
 * @property {Person} sender
 */

/** @typedef {Message & Own} SentRow */
/** @typedef {Omit<Message, "id"|"seq"|"change"> & {id: null, seq: null, change: null} & Own} PendingRow */
/** @typedef {SentRow | PendingRow} Row  One message as it is shown: on its way, refused, or in the log. */

/** @typedef {{id: number, name: string, avatar_url: string|null}} Person  `name` is never empty. */

/** @typedef {{online: boolean, last_seen_at: string|null}} Presence */

/** @typedef {"admin"|"member"|"observer"} Role */

/**
 * @typedef {object} Participant
 * @property {number} user_id
 * @property {string} name
 * @property {string|null} avatar_url
 * @property {Role} role
 * @property {boolean|null} online  Null while it is not known.
 * @property {string|null} last_seen_at
 * @property {number} last_read_seq
 */

/**
 * @typedef {object} NotificationSettings
 * @property {"all"|"mentions"|"none"} level
 * @property {string|null} muted_until
 * @property {boolean} push_enabled
 * @property {boolean} email_enabled
 */

/**
 * @typedef {object} ConversationSummary  A conversation as it stands in a list.
 * @property {string} id
 * @property {"direct"|"group"|"announcement"|"room"} type
 * @property {string} title  What to call it: its title, else the people in it. Never empty.
 * @property {About} about  The server's own object; next to nothing while the conversation is not held (see `status`).
 * @property {number} unread
 * @property {Row|null} lastMessage  The newest, whatever is on its way included.
 * @property {number} activeAt  Milliseconds since 1970.
 * @property {Person|null} peer  The other one of a direct conversation.
 * @property {Presence|null} presence  The peer's.
 * @property {Person[]} people  A few of the others.
 * @property {number} count  How many are in it.
 * @property {Role|null} role  One's own.
 * @property {boolean} writable  Whether that role may write here.
 * @property {NotificationSettings|null} notification
 */

/**
 * @typedef {object} View  What is known beyond the summary once somebody follows it.
 * @property {"loading"|"ready"|"gone"} status  `gone`: not there, no longer there, or one is not in it (they look alike on purpose).
 * @property {Row[]} messages  Ascending; what is on its way comes last.
 * @property {boolean} hasMore  Whether there are older ones.
 * @property {boolean} loadingOlder
 * @property {Participant[]} participants  The first 100; empty until they were told.
 * @property {Person[]} typing  The others who type now.
 * @property {number} lastReadSeq  How far one has read oneself.
 */

/** @typedef {ConversationSummary & View} Conversation */

/**
 * @typedef {object} About  A conversation as the server tells it (protocol.md §6).
 * @property {string} id
 * @property {"direct"|"group"|"announcement"|"room"} type
 * @property {string|null} title
 * @property {Record<string, unknown>} metadata
 * @property {number|null} created_by
 * @property {string} created_at
 * @property {string} updated_at
 * @property {number} first_seq
 * @property {number} last_seq
 * @property {number} last_change
 * @property {"all"|"joined"} history
 * @property {number} participant_count
 * @property {Role} [my_role]
 */

/**
 * @typedef {object} Status
 * @property {"idle"|"connecting"|"online"|"waiting"|"stopped"} state
 * @property {string|null} reason  Why it waits or stopped: the server's reason, or `lost`, `silent`, `no_hello`, `no_token`, `suspended`.
 * @property {number|null} retryAt  While it waits: when the next attempt is made, in milliseconds since 1970.
 */

/** @typedef {{type: string, [field: string]: any}} Frame  One frame of the wire, either way (protocol.md §3 and §4). */

export {};
