"""What the daemon says over REST, and the objects of the contract (protocol.md §5 and §6), as schemas: for the documents, and
for the tests, which hold every answer against them. `frames` writes the answers themselves; nothing is dumped by these."""

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, fields, validate

from messenger.protocol.fields import Free, Id, Moment, Shape, Text, Truth, UserId, Whole

# Why a token is refused (protocol.md §2).
REASONS = ("token_missing", "token_invalid", "token_expired", "user_mismatch", "revoked")


class Answer(Schema):
    """Every field is always there, but those of `sometimes`. More may come one day: who reads ignores what he does not know.
    `example`: what an example has instead of the glossary's values."""

    class Meta:
        unknown = EXCLUDE

    sometimes: ClassVar[frozenset[str]] = frozenset()
    example: ClassVar[Mapping[str, Any]] = {}

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.required = field_name not in self.sometimes


class Only(fields.Field[str]):
    """One word and no other."""

    def __init__(self, only_value: str, **options: Any) -> None:
        self.only_value = only_value
        super().__init__(**options)

    def shape(self) -> Shape:
        return {"type": "string", "const": self.only_value}


class Number(fields.Field[float]):
    """A number of at least 0."""

    def shape(self) -> Shape:
        return {"type": "number", "minimum": 0}


class Tally(fields.Field[Mapping[str, int]]):
    """`{emoji: count}`."""

    def shape(self) -> Shape:
        return {"type": "object", "additionalProperties": Whole(least=1).shape()}


class OneOf(Text):
    """One of a few words."""

    def __init__(self, *words: str, **options: Any) -> None:
        super().__init__(validate=validate.OneOf(words), **options)


def nullable(schema: type[Schema]) -> Any:
    return fields.Nested(schema, allow_none=True)


def many(schema: type[Schema]) -> Any:
    return fields.List(fields.Nested(schema))


def role() -> Any:
    return OneOf("admin", "member", "observer")


class CarriedAttachment(Answer):
    """A file of a message's. Of one that was uploaded here all is told by its bytes; of any other what its sender said."""

    sometimes: ClassVar[frozenset[str]] = frozenset({"name", "size", "mime_type", "width", "height", "thumbnail"})
    example: ClassVar[Mapping[str, Any]] = {"name": "map.png", "size": 48213, "mime_type": "image/png"}
    url = Text(shortest=1, longest=2048)
    name = Text(longest=255)
    size = Whole()
    mime_type = Text(longest=127)
    width = Whole(least=1)
    height = Whole(least=1)
    thumbnail = Truth()


class Message(Answer):
    """One entry of a conversation. A deleted one is a tombstone: what it said and what hung on it is gone."""

    id = Id()
    conversation_id = Id()
    seq = Whole(least=1)
    change = Whole(least=1)
    sender_id = UserId()
    content = Text(allow_none=True)
    message_type = Text(shortest=1, longest=64)
    created_at = Moment()
    edited_at = Moment(allow_none=True)
    deleted_at = Moment(allow_none=True)
    reply_to = Id(allow_none=True)
    mentions = fields.List(UserId())
    attachments = many(CarriedAttachment)
    reactions = Tally()
    metadata = Free()
    client_id = Text(allow_none=True, shortest=1, longest=64)


class Conversation(Answer):
    """A conversation as everybody sees it. `join_code` and `status` are a live session's, `channel_url` a
    channel's."""

    sometimes = frozenset({"join_code", "status", "channel_url"})

    id = Id()
    type = OneOf("direct", "group", "announcement", "room")
    title = Text(allow_none=True, longest=200)
    metadata = Free()
    created_by = UserId()
    created_at = Moment()
    updated_at = Moment()
    first_seq = Whole(least=1)
    last_seq = Whole()
    last_change = Whole()
    history = OneOf("all", "joined")
    participant_count = Whole()
    join_code = Text(shortest=6, longest=12)
    status = OneOf("active", "closed")
    channel_url = Text(shortest=1, longest=100)


class OwnConversation(Conversation):
    """A conversation as one who takes part sees it."""

    my_role = role()


class NotificationSettings(Answer):
    """What somebody wants to be told of in one conversation."""

    level = OneOf("all", "mentions", "none")
    muted_until = Moment(allow_none=True)
    push_enabled = Truth()
    email_enabled = Truth()


class Person(Answer):
    """What somebody is called and looks like."""

    user_id = UserId()
    name = Text()
    avatar_url = Text(allow_none=True)


class Overview(OwnConversation):
    """One line of a person's list of conversations."""

    last_message = nullable(Message)
    last_read_seq = Whole()
    unread_count = Whole()
    notification = fields.Nested(NotificationSettings)
    people = many(Person)


class Conversations(Answer):
    """A page of one's conversations, latest activity first."""

    conversations = many(Overview)
    next_cursor = Text(allow_none=True)


class Participant(Person):
    """Somebody who takes part, and how he stands."""

    role = role()
    online = Truth()
    last_seen_at = Moment(allow_none=True)
    last_read_seq = Whole()


class Participants(Answer):
    """Who takes part in a conversation."""

    participants = many(Participant)


class Former(Answer):
    """Who took part in a conversation and left it."""

    participants = many(Person)


class Messages(Answer):
    """A page of a conversation's messages."""

    conversation_id = Id()
    messages = many(Message)
    more = Truth()


class ReadConfirmed(Answer):
    """How far the reader has read now."""

    message_id = Id()
    conversation_id = Id()
    last_read_seq = Whole()
    unread_count = Whole()


class Reader(Answer):
    """Somebody who has read a message."""

    user_id = UserId()
    last_read_seq = Whole(least=1)
    read_at = Moment()


class Receipts(Answer):
    """Who has read a message."""

    receipts = many(Reader)


class Reaction(Answer):
    """What somebody gave a message."""

    user_id = UserId()
    emoji = Text(shortest=1, longest=32)
    created_at = Moment()


class Reactions(Answer):
    """Who reacted to a message, the first first; at most 1,000."""

    reactions = many(Reaction)


class CaughtUp(Answer):
    """What one conversation brings whoever catches up. The new cursor is `last_change`, or where `more` is true the last
    entry's `change`."""

    sometimes = frozenset({"reset"})
    example: ClassVar[Mapping[str, Any]] = {"last_change": 57}

    conversation_id = Id()
    changes = many(Message)
    last_change = Whole()
    first_seq = Whole(least=1)
    last_seq = Whole()
    last_read_seq = Whole()
    unread_count = Whole()
    more = Truth()
    reset = Truth()


class Synced(Answer):
    """What happened meanwhile. Conversations without changes are left out; so are those that did not fit, and `more` is true."""

    conversations = many(CaughtUp)
    epoch = Text()
    more = Truth()
    removed = fields.List(Id())


class Presence(Answer):
    """Whether somebody is here; who may not be seen is told as offline."""

    sometimes = frozenset({"devices"})

    user_id = UserId()
    online = Truth()
    last_seen_at = Moment(allow_none=True)
    devices = Whole()


class Presences(Answer):
    """Who is here."""

    users = many(Presence)


class User(Answer):
    """A profile. `external_id` is told to oneself and to the host application."""

    sometimes = frozenset({"external_id"})

    id = UserId()
    name = Text()
    avatar_url = Text(allow_none=True)
    last_seen_at = Moment(allow_none=True)
    external_id = Text(allow_none=True, shortest=1, longest=128)


class OwnUser(User):
    """A profile with everything."""

    sometimes = frozenset()
    example: ClassVar[Mapping[str, Any]] = {"name": "Ann", "avatar_url": None, "external_id": "user-ann"}


class Users(Answer):
    """Profiles."""

    users = many(User)


class UserIds(Answer):
    """Users by their ids alone."""

    user_ids = fields.List(UserId())


class SessionParticipant(Answer):
    """Somebody in a live session, as its participants see him."""

    id = Id()
    nickname = Text(shortest=2, longest=200)
    joined_at = Moment()
    is_online = Truth()


class Session(Answer):
    """A live session."""

    id = Id()
    title = Text(longest=200)
    session_code = Text(shortest=6, longest=12)
    status = OneOf("active", "closed")


class OpenedSession(Session):
    """A live session, and its host as a participant."""

    participant = fields.Nested(SessionParticipant)


class JoinedSession(Answer):
    """A session as a newcomer is told of it."""

    id = Id()
    title = Text(longest=200)
    session_code = Text(shortest=6, longest=12)


class Joined(Answer):
    """A guest is in a live session. The token opens this one and nothing else."""

    participant = fields.Nested(SessionParticipant)
    session = fields.Nested(JoinedSession)
    message = Text()
    token = Text()


class SessionStatus(Answer):
    """Who is in a live session beside its hosts."""

    session_code = Text(shortest=6, longest=12)
    status = OneOf("active", "closed")
    online_participants = fields.List(Id())
    online_count = Whole()
    total_participants = Whole()


class PushKey(Answer):
    """What browsers subscribe to Web Push with."""

    public_key = Text()


class PushDevice(Answer):
    """A browser that takes Web Push."""

    id = Id()
    name = Text(allow_none=True, longest=200)
    endpoint_host = Text()
    created_at = Moment()


class PushDevices(Answer):
    """Browsers that take Web Push."""

    devices = many(PushDevice)


class Upload(Answer):
    """A file that was uploaded, by what its bytes say. A message carries it by its `url`."""

    id = Id()
    url = Text()
    name = Text(shortest=1, longest=255)
    size = Whole()
    mime_type = Text()
    width = Whole(least=1, allow_none=True)
    height = Whole(least=1, allow_none=True)
    thumbnail = Truth()


class AttachmentLinks(Answer):
    """Where a file's bytes are, for whoever knows these addresses, until they expire."""

    url = Text()
    thumbnail_url = Text(allow_none=True)
    expires_at = Moment()


class Revoked(Answer):
    """From when on tokens count."""

    user_id = UserId()
    tokens_not_before = Moment()


class Problem(Answer):
    """RFC 9457. `code` is for programs, `message` for people."""

    sometimes = frozenset({"field", "reason", "retry_after_s"})

    type = Only("about:blank")
    title = Text()
    status = Whole(least=400, most=599)
    detail = Text()
    code = Text()
    message = Text()
    field = Text()
    reason = OneOf(*REASONS)
    retry_after_s = Number()


class Healthy(Answer):
    """The process lives."""

    status = Only("ok")


class Ready(Answer):
    """Whether the daemon can work."""

    status = OneOf("ready", "unready", "draining")
    database = OneOf("ok", "away")
    bus = OneOf("ok", "degraded")


class Figures(Answer):
    """What is counted."""

    online_users = Whole()
    total_connections = Whole()
    active_conversations = Whole()


class ClusterFigures(Figures):
    """What is counted on all nodes together."""

    nodes = Whole(least=1)


class Stats(Figures):
    """What this daemon counts, and the cluster."""

    cluster = fields.Nested(ClusterFigures)
