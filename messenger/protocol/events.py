"""What the daemon says over a socket (protocol.md §4), as schemas: one for each type of frame, in the table at the end.

`type` and, in a direct answer, `ref` stand in every frame and are not repeated here. For the documents, and for the tests,
which hold every frame that they hear against them; `frames` writes the frames themselves.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import Schema, fields

from messenger.protocol.answers import (
    REASONS,
    Answer,
    Conversation,
    Message,
    Messages,
    NotificationSettings,
    Number,
    OneOf,
    Only,
    OwnConversation,
    Participant,
    Person,
    Presences,
    ReadConfirmed,
    Synced,
    Tally,
    many,
    nullable,
    role,
)
from messenger.protocol.fields import Free, Id, Moment, Text, Truth, UserId, Whole
from messenger.protocol.frames import PROTOCOL
from messenger.protocol.glossary import LATER
from messenger.protocol.shapes import example_of

MESSAGE = example_of(Message())
# What a tombstone has lost.
GONE: dict[str, Any] = {"content": None, "mentions": [], "attachments": [], "reactions": {}, "metadata": {}}


def entry(content: str, **metadata: Any) -> dict[str, Any]:
    """A system message, as an example."""
    return MESSAGE | GONE | {"content": content, "message_type": "system", "metadata": metadata, "client_id": None}


class Connected(Answer):
    """The first frame: from now on you hear everything."""

    event = Only("connected")
    message = Text()
    timestamp = Moment()
    user_id = UserId()
    device_id = Text(shortest=1, longest=64)
    connection_id = Text()
    heartbeat_s = Number()
    epoch = Text()
    protocol = Only(PROTOCOL)


class Draining(Answer):
    """The daemon is about to close this connection with 1012: reconnect after a random 0 to 5 s, then `sync`."""

    event = Only("draining")


class TokenExpiring(Answer):
    """The token ends soon: send a new one by `auth.refresh`, or be closed."""

    event = Only("token_expiring")
    expires_in_s = Whole()


class Subscribed(Answer):
    """You hear typing, receipts and presence of this conversation from now on. Names the first 100 who take part."""

    conversation_id = Id()
    conversation = fields.Nested(OwnConversation)
    participants = many(Participant)
    last_seq = Whole()
    last_change = Whole()
    unread_count = Whole()


class Unsubscribed(Answer):
    """You hear no typing, receipts and presence of this conversation any more; durable events still come."""

    conversation_id = Id()


class MessageSent(Answer):
    """Your message is committed. It comes as `message.new` too: this answer does not move the cursor."""

    sometimes = frozenset({"client_id", "duplicate"})

    message_id = Id()
    conversation_id = Id()
    seq = Whole(least=1)
    change = Whole(least=1)
    data = fields.Nested(Message)
    client_id = Text(shortest=1, longest=64)
    duplicate = Truth()


class Durable(Answer):
    """A change of a conversation's log: comes once and in order of `change`."""

    sometimes = frozenset({"after"})

    conversation_id = Id()
    change = Whole(least=1)
    after = Whole()
    data = fields.Nested(Message)


class MessageNew(Durable):
    """A new message."""

    seq = Whole(least=1)


class MessageEdited(Durable):
    """A message says something else now."""

    example: ClassVar[Mapping[str, Any]] = {"data": MESSAGE | {"edited_at": LATER, "content": "Bring the map, please"}}

    message_id = Id()


class MessageDeleted(Durable):
    """A message is gone; its place in the log stays."""

    example: ClassVar[Mapping[str, Any]] = {"deleted_at": LATER, "data": MESSAGE | GONE | {"deleted_at": LATER}}

    message_id = Id()
    deleted_by = UserId(allow_none=True)
    deleted_at = Moment()


class MessageRead(Answer):
    """Somebody has read up to here. The reader's own devices are told what is left too."""

    sometimes = frozenset({"unread_count"})

    conversation_id = Id()
    message_id = Id()
    user_id = UserId()
    last_read_seq = Whole(least=1)
    read_at = Moment()
    unread_count = Whole()


class Typing(Answer):
    """Somebody begins or ends to type. Only to those who subscribed."""

    conversation_id = Id()
    user_id = UserId()
    is_typing = Truth()
    timestamp = Moment()


class UserOnline(Answer):
    """Somebody's first device came. Only to those who subscribed to a conversation with him, or asked."""

    user_id = UserId()
    timestamp = Moment()


class UserOffline(UserOnline):
    """Somebody's last device went, and none came again in time."""

    last_seen_at = Moment()


class UserUpdated(Person):
    """Somebody with whom you share a conversation has another name or picture."""


class ConversationCreated(Answer):
    """You are in a conversation from now on."""

    conversation_id = Id()
    conversation = fields.Nested(OwnConversation)


class ConversationUpdated(MessageNew):
    """A conversation has another title or other metadata."""

    sometimes = frozenset({"after", "conversation"})
    example: ClassVar[Mapping[str, Any]] = {
        "data": entry("Ann changed the title to Hike", event="conversation.updated", by=1, title="Hike"),
    }

    conversation = fields.Nested(Conversation)


class ConversationDeleted(Answer):
    """A conversation is gone, with everything in it."""

    example: ClassVar[Mapping[str, Any]] = {"conversation": None}

    conversation_id = Id()
    conversation = nullable(Conversation)


class ParticipantChanged(MessageNew):
    user_id = UserId()
    name = Text(allow_none=True)
    role = role()
    by = UserId(allow_none=True)


class ParticipantAdded(ParticipantChanged):
    """Somebody takes part from now on. It is an entry of the log, with a message of type `system`."""

    example: ClassVar[Mapping[str, Any]] = {
        "data": entry("Ann added Ben", event="participant.added", user_id=2, name="Ben", role="member", by=1)
    }


class ParticipantRemoved(ParticipantChanged):
    """Somebody takes part no more: he left, or was removed. To him it is the last event of this conversation."""

    example: ClassVar[Mapping[str, Any]] = {
        "data": entry("Ben left", event="participant.removed", user_id=2, name="Ben", role="member", by=2),
        "by": 2,
    }


class ParticipantUpdated(ParticipantChanged):
    """Somebody has another role."""

    example: ClassVar[Mapping[str, Any]] = {
        "data": entry("Ben is now admin", event="participant.updated", user_id=2, name="Ben", role="admin", by=1),
        "role": "admin",
    }


class ReactionChanged(Durable):
    message_id = Id()
    user_id = UserId()
    emoji = Text(shortest=1, longest=32)
    reactions = Tally()


class ReactionAdded(ReactionChanged):
    """Somebody reacted to a message."""


class ReactionRemoved(ReactionChanged):
    """Somebody took a reaction back."""

    example: ClassVar[Mapping[str, Any]] = {"reactions": {"👍": 1}, "data": MESSAGE | {"reactions": {"👍": 1}}}


class QuestionAnswered(Durable):
    """The host of a live session has answered a question: `answered_by` and `answered_at` stand in its metadata."""

    example: ClassVar[Mapping[str, Any]] = {
        "data": MESSAGE | {"message_type": "question", "metadata": {"answered_by": 1, "answered_at": LATER}}
    }

    message_id = Id()


class SessionState(Answer):
    """The presenter of a live session shows something else. Only to those who subscribed."""

    conversation_id = Id()
    state = Free()


class SessionParticipant(Answer):
    """Somebody in a live session says that he is there. Only to those who subscribed."""

    conversation_id = Id()
    user_id = UserId()
    timestamp = Moment()


class SessionStirred(Answer):
    """Somebody came into a live session by Socket.IO, or went. Only to those who subscribed."""

    conversation_id = Id()
    timestamp = Moment()


class AuthRefreshed(Answer):
    """The new token counts."""

    expires_at = Moment(allow_none=True)


class Pong(Answer):
    """The daemon is there."""

    timestamp = Moment()


class Ack(Answer):
    """It is done and committed; the event that says so to everybody comes too."""

    for_ = Text(data_key="for")
    conversation_id = Id()
    message_id = Id()
    change = Whole(least=1)


class Notification(Answer):
    """A message that this user wants to be told of, by his settings."""

    conversation_id = Id()
    message_id = Id()
    seq = Whole(least=1)
    sender_id = UserId()
    mentioned = Truth()
    timestamp = Moment()


class NotificationsUpdated(Answer):
    """Another of your devices changed what you want to be told of."""

    conversation_id = Id()
    notification = fields.Nested(NotificationSettings)


class Failed(Answer):
    """What you asked for did not happen."""

    sometimes = frozenset({"field", "reason", "retry_after_s"})
    example: ClassVar[Mapping[str, Any]] = {"message": "content is required"}

    code = Text()
    message = Text()
    field = Text()
    reason = OneOf(*REASONS)
    retry_after_s = Number()


# By type; a `system` frame by its event too.
EVENTS: Mapping[str, Schema] = {
    "system.connected": Connected(),
    "system.draining": Draining(),
    "system.token_expiring": TokenExpiring(),
    "subscribed": Subscribed(),
    "unsubscribed": Unsubscribed(),
    "message.sent": MessageSent(),
    "message.new": MessageNew(),
    "message.edited": MessageEdited(),
    "message.deleted": MessageDeleted(),
    "message.read": MessageRead(),
    "read.confirmed": ReadConfirmed(),
    "reaction.added": ReactionAdded(),
    "reaction.removed": ReactionRemoved(),
    "typing": Typing(),
    "user.online": UserOnline(),
    "user.offline": UserOffline(),
    "user.updated": UserUpdated(),
    "conversation.created": ConversationCreated(),
    "conversation.updated": ConversationUpdated(),
    "conversation.deleted": ConversationDeleted(),
    "participant.added": ParticipantAdded(),
    "participant.removed": ParticipantRemoved(),
    "participant.updated": ParticipantUpdated(),
    "question.answered": QuestionAnswered(),
    "session.state": SessionState(),
    "session.participant": SessionParticipant(),
    "session.stirred": SessionStirred(),
    "notification": Notification(),
    "notifications.updated": NotificationsUpdated(),
    "history": Messages(),
    "sync": Synced(),
    "presence": Presences(),
    "auth.refreshed": AuthRefreshed(),
    "pong": Pong(),
    "ack": Ack(),
    "error": Failed(),
}
