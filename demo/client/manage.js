// What is done to conversations over REST (protocol.md §5): making them, letting people in, settings. Apart from the client, so that
// an application which only chats does not carry it. Everything rejects with a RequestError; what it changes comes as events, too.

/** @import { MessengerClient } from "./client.js" */
/** @import { NotificationSettings, Role } from "./types.js" */

/**
 * Make a conversation. Resolves with its id.
 *
 * @param {MessengerClient} client
 * @param {{type?: "direct"|"group"|"announcement", title?: string|null, participantIds: number[], metadata?: object, history?: "all"|"joined"}} what
 * @returns {Promise<string>}
 */
export const create = async (client, { type = "group", participantIds, ...more }) =>
  (await client.rest.call("POST", "conversations", { type, participant_ids: participantIds, ...more })).id;

/**
 * The direct conversation with somebody: made now, or the one that is there. Resolves with its id.
 *
 * @param {MessengerClient} client
 * @param {number} userId
 */
export const direct = (client, userId) => create(client, { type: "direct", participantIds: [userId] });

/** Give it another title (admins). @param {MessengerClient} client @param {string} id @param {string} title */
export const rename = (client, id, title) => client.rest.call("PATCH", `conversations/${id}`, { title });

/**
 * Let people in (admins).
 *
 * @param {MessengerClient} client
 * @param {string} id
 * @param {number[]} userIds
 * @param {Role} [role]
 */
export const addParticipants = (client, id, userIds, role) =>
  client.rest.call("POST", `conversations/${id}/participants`, { user_ids: userIds, role });

/** Give somebody another role (admins). @param {MessengerClient} client @param {string} id @param {number} userId @param {Role} role */
export const setRole = (client, id, userId, role) =>
  client.rest.call("PATCH", `conversations/${id}/participants/${userId}`, { role });

/** Put somebody out (admins). @param {MessengerClient} client @param {string} id @param {number} userId */
export const removeParticipant = (client, id, userId) =>
  client.rest.call("DELETE", `conversations/${id}/participants/${userId}`);

/** Leave it. @param {MessengerClient} client @param {string} id */
export const leave = (client, id) => client.rest.call("DELETE", `conversations/${id}/participants/me`);

/** Delete it for everybody (admins); a direct one is only left. @param {MessengerClient} client @param {string} id */
export const deleteConversation = (client, id) => client.rest.call("DELETE", `conversations/${id}`);

/**
 * What one wants to be told of it: what is left out is the default. Resolves with what holds now.
 *
 * @param {MessengerClient} client
 * @param {string} id
 * @param {Partial<NotificationSettings>} settings
 * @returns {Promise<NotificationSettings>}
 */
export const setNotifications = (client, id, settings) =>
  client.rest.call("PUT", `conversations/${id}/notifications`, settings);

/**
 * Who has read a message, and when; its sender is not named.
 *
 * @param {MessengerClient} client
 * @param {string} messageId
 * @returns {Promise<{user_id: number, last_read_seq: number, read_at: string}[]>}
 */
export const receipts = async (client, messageId) =>
  (await client.rest.call("GET", `messages/${messageId}/receipts`)).receipts;

/**
 * Who reacted to a message, and with what.
 *
 * @param {MessengerClient} client
 * @param {string} messageId
 * @returns {Promise<{user_id: number, emoji: string}[]>}
 */
export const reactions = async (client, messageId) =>
  (await client.rest.call("GET", `messages/${messageId}/reactions`)).reactions;
