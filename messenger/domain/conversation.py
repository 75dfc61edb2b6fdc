"""Conversations and who is in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from messenger.domain.ids import ConversationId, MessageId, UserId
from messenger.domain.message import Message

ConversationType = Literal["direct", "group", "announcement", "room"]
Role = Literal["admin", "member", "observer"]
History = Literal["all", "joined"]
Level = Literal["all", "mentions", "none"]

# Above it receipts, presence and typing are asked for, not pushed (protocol.md §3).
LARGE = 100


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation as one participant sees it: `first_seq` and `my_role` are his. A live session has a `join_code`, and is
    closed since `closed_at`; a channel has the `channel_url` that the host application gave it."""

    id: ConversationId
    type: ConversationType
    title: str | None
    metadata: Mapping[str, Any]
    created_by: UserId
    created_at: datetime
    updated_at: datetime
    history: History
    participant_count: int
    last_seq: int
    last_change: int
    first_seq: int
    my_role: Role
    joined_change: int
    join_code: str | None = None
    closed_at: datetime | None = None
    channel_url: str | None = None


@dataclass(frozen=True, slots=True)
class Participant:
    """A user in a conversation. `last_read_seq` is 0 until something was read. `is_apart`: a block stands between him and who
    asks, who does not see him come and go."""

    user_id: UserId
    name: str
    avatar_url: str | None
    role: Role
    joined_at: datetime
    last_seen_at: datetime | None
    last_read_seq: int
    is_apart: bool = False


@dataclass(frozen=True, slots=True)
class Name:
    """What somebody is called and looks like, where no more is told of him."""

    user_id: UserId
    name: str
    avatar_url: str | None


@dataclass(frozen=True, slots=True)
class NotificationSettings:
    """What one participant wants to be told of in one conversation."""

    level: Level = "all"
    muted_until: datetime | None = None
    push_enabled: bool = True
    email_enabled: bool = False

    def wants(self, now: datetime, *, mentioned: bool) -> bool:
        """Whether he is to be told of a message."""
        if self.muted_until is not None and self.muted_until > now:
            return False
        return self.level == "all" or (self.level == "mentions" and mentioned)


@dataclass(frozen=True, slots=True)
class Overview:
    """One line of a person's list of conversations. `people` are a few of the others."""

    conversation: Conversation
    last_message: Message | None
    unread_count: int
    last_read_seq: int
    notification: NotificationSettings
    active_at: datetime
    people: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """One user's place in one conversation, as numbers: what fan-out needs and system duties may know."""

    conversation_id: ConversationId
    user_id: UserId
    role: Role
    first_seq: int
    joined_change: int
    last_seq: int
    last_change: int
    participant_count: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """How far one reader has read. `moved`: this reading went further than the ones before."""

    conversation_id: ConversationId
    message_id: MessageId
    user_id: UserId
    last_read_seq: int
    read_at: datetime
    unread_count: int
    moved: bool
    participant_count: int


@dataclass(frozen=True, slots=True)
class Reader:
    """How far somebody has read in a conversation, and when he came so far."""

    user_id: UserId
    last_read_seq: int
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Touched:
    """A conversation that changed lately, and which of the users asked about are in it."""

    conversation_id: ConversationId
    last_change: int
    deleted: bool
    user_ids: tuple[UserId, ...]


@dataclass(frozen=True, slots=True)
class State:
    """A piece of one conversation's log and the numbers around it, all of one moment."""

    messages: Sequence[Message]
    last_change: int
    first_seq: int
    last_seq: int
    last_read_seq: int
    unread_count: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What one conversation's `sync` brings. `reset`: drop what you hold and start from `changes`."""

    conversation_id: ConversationId
    changes: tuple[Message, ...]
    last_change: int
    first_seq: int
    last_seq: int
    last_read_seq: int
    unread_count: int
    more: bool
    reset: bool
