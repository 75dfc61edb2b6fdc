"""What a client may ask for, decoded: one frozen value a frame type or REST body. Defaults are those of protocol.md §3."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from messenger.domain.conversation import ConversationType, History, Role
from messenger.domain.ids import ConversationId, MessageId, UserId
from messenger.domain.session import Status


@dataclass(frozen=True, slots=True)
class OfConversation:
    conversation_id: ConversationId


@dataclass(frozen=True, slots=True)
class OfMessage:
    message_id: MessageId


@dataclass(frozen=True, slots=True)
class Typing:
    conversation_id: ConversationId
    is_typing: bool


@dataclass(frozen=True, slots=True)
class Send:
    """`conversation_id` is None in a REST body, where the path names it."""

    content: str
    message_type: str
    client_id: str | None
    reply_to: MessageId | None
    mentions: tuple[UserId, ...]
    attachments: tuple[Mapping[str, Any], ...]
    metadata: Mapping[str, Any]
    conversation_id: ConversationId | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    content: str
    message_id: MessageId | None = None


@dataclass(frozen=True, slots=True)
class React:
    message_id: MessageId
    emoji: str


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """A page: `limit` messages, 200 at most."""

    before_seq: int | None
    after_seq: int | None
    limit: int
    conversation_id: ConversationId | None = None


@dataclass(frozen=True, slots=True)
class Sync:
    """`limit` in changes a conversation."""

    cursors: Mapping[ConversationId, int]
    limit: int


@dataclass(frozen=True, slots=True)
class Presence:
    user_ids: tuple[UserId, ...]


@dataclass(frozen=True, slots=True)
class Refresh:
    token: str


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class CreateConversation:
    type: ConversationType
    title: str | None
    participant_ids: tuple[UserId, ...]
    metadata: Mapping[str, Any]
    history: History


@dataclass(frozen=True, slots=True)
class UpdateConversation:
    """What is absent stays as it is; a title of None is taken away."""

    title: str | None = None
    metadata: Mapping[str, Any] | None = None
    set_title: bool = False


@dataclass(frozen=True, slots=True)
class AddParticipants:
    user_ids: tuple[UserId, ...]
    role: Role


@dataclass(frozen=True, slots=True)
class SetRole:
    role: Role


@dataclass(frozen=True, slots=True)
class PutUser:
    """What the host application sets of a user: `name`, `avatar_url`, `external_id`; what is absent stays as it is."""

    changes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class OpenSession:
    title: str
    session_code: str | None


@dataclass(frozen=True, slots=True)
class ChangeSession:
    """None leaves as it is."""

    title: str | None
    status: Status | None


@dataclass(frozen=True, slots=True)
class JoinSession:
    nickname: str
