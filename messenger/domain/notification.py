"""Telling people who are not here: whom, of what, and by which way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from messenger.domain.conversation import ConversationType
from messenger.domain.ids import ConversationId, MessageId, UserId
from messenger.domain.message import Message

Channel = Literal["webhook", "web_push"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message of which nobody looked yet whom it concerns that is away."""

    conversation_id: ConversationId
    message_id: MessageId
    participant_count: int


@dataclass(frozen=True, slots=True)
class Listener:
    """Somebody who wants to be told of a message, and how; `email_enabled` is for the host application, which writes it.
    `seen_s`: how many seconds ago he was last online."""

    message_id: MessageId
    user_id: UserId
    mentioned: bool
    push_enabled: bool
    email_enabled: bool
    seen_s: float | None


@dataclass(frozen=True, slots=True)
class Away:
    """Somebody who is to be told of a message, by Web Push too or not; `later`, where he was here a moment ago."""

    message_id: MessageId
    user_id: UserId
    push: bool
    later: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for some of its recipients, by one way. `attempt` counts from 1; `device_id` only for Web Push."""

    id: UUID
    conversation_id: ConversationId
    message_id: MessageId
    user_ids: Sequence[UserId]
    device_id: UUID | None
    attempt: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Recipient:
    """One whom the host application is to tell. `unread_count` is counted up to 1,000."""

    user_id: UserId
    external_id: str | None
    mentioned: bool
    push_enabled: bool
    email_enabled: bool
    unread_count: int


@dataclass(frozen=True, slots=True)
class Sender:
    """Who wrote it."""

    user_id: UserId
    external_id: str | None
    name: str
    avatar_url: str | None


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a browser is reached and how content for it is encrypted (RFC 8291), keys in base64url. `name`: what the user
    calls it."""

    endpoint: str
    p256dh: str
    auth: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told, as its recipients may see it now. `device`: where, for Web Push."""

    message: Message
    conversation_type: ConversationType
    conversation_title: str | None
    sender: Sender
    recipients: Sequence[Recipient]
    device: Subscription | None


@dataclass(frozen=True, slots=True)
class PushDevice:
    """A browser that takes Web Push for its user."""

    id: UUID
    endpoint: str
    name: str | None
    created_at: datetime
