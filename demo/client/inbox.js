// What each kind of frame from the server does to what we hold. Answers to questions do not come by here (requests.js).

export class Inbox {
  #messenger;

  constructor(messenger) {
    this.#messenger = messenger;
  }

  take(frame) {
    const does = Object.hasOwn(this.#table, frame.type) ? this.#table[frame.type] : undefined;
    if (does !== undefined) does(frame);
    // Unknown types are ignored, but a change that they carry has a number, and the log must not get a hole.
    else if (isDurable(frame)) this.#durable(frame);
  }

  #table = {
    "message.sent": (frame) => this.#sent(frame),
    "message.read": (frame) => this.#read(frame),
    "participant.added": (frame) => this.#durable(frame, (conversation) => this.#joined(conversation, frame)),
    "participant.updated": (frame) => this.#durable(frame, (conversation) => this.#joined(conversation, frame)),
    "participant.removed": (frame) => this.#removed(frame),
    "conversation.created": (frame) => this.#created(frame),
    "conversation.updated": (frame) => this.#durable(frame, () => this.#updated(frame)),
    "conversation.deleted": (frame) => this.#messenger.drop(frame.conversation_id),
    "user.online": (frame) => this.#messenger.people.seen(frame.user_id, true),
    "user.offline": (frame) => this.#messenger.people.seen(frame.user_id, false, frame.last_seen_at),
    "user.updated": (frame) => this.#messenger.people.introduce(frame.user_id, frame),
    typing: (frame) => this.#messenger.typing.heard(frame.conversation_id, frame.user_id, frame.is_typing),
    error: (frame) => this.#error(frame),
    system: (frame) => {
      if (frame.event === "token_expiring") this.#messenger.changes.tell("expiring", frame.expires_in_s);
    },
  };

  // A numbered change. `also` is what it means beyond the log; an old event, or one across a hole, means nothing.
  #durable(frame, also = () => {}) {
    const messenger = this.#messenger;
    const conversation = messenger.conversations.get(frame.conversation_id);
    if (conversation === null) {
      messenger.directory.discovered();
      return;
    }
    const outcome = conversation.log.apply(frame);
    if (outcome === "hole") messenger.catchUp();
    if (outcome !== "applied") return;
    if (frame.data) {
      messenger.settled([frame.data]);
      if (frame.type === "message.new") messenger.typing.heard(conversation.id, frame.data.sender_id, false);
    }
    also(conversation);
    messenger.changes.tell("log", conversation.id);
    messenger.changes.tell("list", conversation.id);
  }

  // The frame names him; whether there is a picture of him is asked.
  #joined(conversation, frame) {
    this.#messenger.conversations.join(conversation, frame);
    this.#messenger.directory.learn([{ sender_id: frame.user_id, conversation_id: conversation.id }]);
  }

  // Committed, and ours. The cursor stays: the event itself comes in its turn.
  #sent({ conversation_id, client_id, data }) {
    const messenger = this.#messenger;
    if (client_id) messenger.outbox.settle(client_id);
    messenger.conversations.get(conversation_id)?.log.upsert(data);
    messenger.changes.tell("log", conversation_id);
    messenger.changes.tell("list", conversation_id);
  }

  #read({ conversation_id, user_id, last_read_seq, unread_count = null }) {
    const messenger = this.#messenger;
    messenger.conversations.get(conversation_id)?.log.read(user_id, last_read_seq, unread_count);
    messenger.changes.tell(user_id === messenger.me ? "list" : "log", conversation_id);
  }

  #removed(frame) {
    const messenger = this.#messenger;
    if (frame.user_id === messenger.me) {
      // A removal from before we were let in again is old.
      const cursor = messenger.conversations.get(frame.conversation_id)?.log.cursor ?? 0;
      if (frame.change > cursor) messenger.drop(frame.conversation_id);
      return;
    }
    this.#durable(frame, (conversation) => messenger.conversations.leave(conversation, frame.user_id));
  }

  #updated({ conversation = null }) {
    if (conversation === null) this.#messenger.directory.discovered();
    else this.#messenger.conversations.merge(conversation);
  }

  #created({ conversation }) {
    this.#messenger.conversations.merge(conversation);
    this.#messenger.changes.tell("list", conversation.id);
    this.#messenger.directory.discovered();
  }

  #error(frame) {
    if (!this.#messenger.outbox.refused(frame)) this.#messenger.changes.tell("trouble", frame);
  }
}

function isDurable(frame) {
  return Number.isInteger(frame.change) && typeof frame.conversation_id === "string";
}
