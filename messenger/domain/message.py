"""One entry of a conversation, and what a system entry tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from messenger.domain.ids import ConversationId, MessageId, UserId

SYSTEM = "system"
QUESTION = "question"
# What of a question's metadata is the host's to say, once he has answered it.
ANSWERED = frozenset({"answered_by", "answered_at"})


@dataclass(frozen=True, slots=True)
class Message:
    """One entry. `seq` is its place in the conversation, `change` its latest alteration; neither has holes.

    A deleted one is a tombstone: `content` is None and what hung on it is gone.
    """

    conversation_id: ConversationId
    id: MessageId
    seq: int
    change: int
    sender_id: UserId
    content: str | None
    message_type: str
    created_at: datetime
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted_by: UserId | None = None
    reply_to: MessageId | None = None
    mentions: Sequence[UserId] = ()
    attachments: Sequence[Mapping[str, Any]] = ()
    metadata: Mapping[str, Any] | None = None
    client_id: str | None = None
    reactions: Mapping[str, int] = field(default_factory=dict)

    @property
    def system_event(self) -> str | None:
        """`participant.added` and its like for a system entry; None for what a person wrote."""
        if self.message_type != SYSTEM or self.metadata is None:
            return None
        event = self.metadata.get("event")
        return event if isinstance(event, str) else None


@dataclass(frozen=True, slots=True)
class Reaction:
    """That somebody reacted to a message, or took it back."""

    user_id: UserId
    emoji: str
    is_added: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that its sender asks to be stored; every field as after the protocol's defaults."""

    conversation_id: ConversationId
    content: str
    message_type: str = "text"
    client_id: str | None = None
    reply_to: MessageId | None = None
    mentions: tuple[UserId, ...] = ()
    attachments: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a draft. `duplicate`: the same request had been stored before, and `message` is that one.
    `committed_at`: on this process' monotonic clock, for what is measured; None for a duplicate."""

    message: Message
    duplicate: bool
    committed_at: float | None = None
