// What each kind of frame from the server does to what we hold. Answers to questions do not come by here (requests.js).

/** @import { Talk } from "./conversations.js" */
/** @import { Messenger } from "./messenger.js" */
/** @import { Frame } from "./types.js" */

import { MOST_NAMED } from "./conversations.js";

// Of a conversation that nobody looks at so many messages are held, and when there are twice as many, the older half goes.
const HELD_UNWATCHED = 200;

/** @param {Messenger} messenger @param {Frame} frame */
export function take(messenger, frame) {
  const { changes, conversations, directory, outbox, people, typing } = messenger;
  const { type, conversation_id: id, user_id: userId } = frame;
  switch (type) {
    case "message.sent":
      // Committed, and ours. The cursor stays: the event itself comes in its turn.
      outbox.settle(frame.client_id);
      conversations.get(id)?.log.upsert(frame.data);
      return changes.tell("list", id);
    case "message.read":
      return messenger.read(frame);
    case "participant.added":
    case "participant.updated":
      return durable(messenger, frame, (conversation) => {
        conversations.join(conversation, frame);
        // The frame names him; whether there is a picture of him is asked.
        directory.learn([{ sender_id: userId, conversation_id: id }]);
      });
    case "participant.removed":
      if (userId !== messenger.me)
        return durable(messenger, frame, (conversation) => conversations.leave(conversation, userId));
      // A removal from before we were let in again is old.
      return frame.change > (conversations.get(id)?.log.cursor ?? 0) && messenger.drop(id);
    case "conversation.created":
      return messenger.begin(frame.conversation);
    case "conversation.updated":
      return durable(messenger, frame, () => conversations.merge(frame.conversation));
    case "conversation.deleted":
      return messenger.drop(id);
    case "user.online":
    case "user.offline":
      return people.seen(userId, type === "user.online", frame.last_seen_at);
    case "user.updated":
      return people.introduce(userId, /** @type {any} */ (frame));
    case "notifications.updated":
      return messenger.notified(id, frame.notification);
    case "typing":
      return typing.heard(id, userId, frame.is_typing);
    case "error":
      return outbox.refused(frame) || changes.tell("trouble", frame);
    case "system":
      return frame.event === "token_expiring" && changes.tell("expiring", frame.expires_in_s);
    case "notification":
      return changes.tell(type, frame);
  }
  if (String(type).startsWith("app.")) changes.tell("app", frame);
  // Unknown types are ignored, but a change that they carry has a number, and the log must not get a hole.
  else if (Number.isInteger(frame.change)) durable(messenger, frame);
}

// A numbered change. `also` is what it means beyond the log; an old event, or one across a hole, means nothing.
/** @param {Messenger} messenger @param {Frame} frame @param {(conversation: Talk) => void} [also] */
function durable(messenger, frame, also) {
  const { changes, conversations, directory, typing } = messenger;
  const { type, conversation_id: id, data } = frame;
  const conversation = conversations.get(id);
  if (conversation === null) return directory.refresh();
  const { log } = conversation;
  const outcome = log.apply(frame);
  if (outcome === "hole") messenger.catchUp();
  if (outcome !== "applied") return;
  if (data) {
    messenger.settled([data]);
    if (type === "message.new") typing.heard(id, data.sender_id, false);
  }
  also?.(conversation);
  // Who is in it, and how many, the list knows where nobody looks, or where they are too many.
  if (type.startsWith("participant.") && (conversation.participants?.size ?? MOST_NAMED) >= MOST_NAMED)
    directory.refresh();
  if (log.size > 2 * HELD_UNWATCHED && !messenger.watched.has(id)) log.trim(HELD_UNWATCHED);
  changes.tell("list", id);
}
