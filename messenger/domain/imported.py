"""What an import brings: people, channels and messages as they were elsewhere, in our terms. Times are theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from messenger.domain.ids import AttachmentId, ConversationId, MessageId, UserId

Outcome = Literal["made", "known", "native", "deleted"]


@dataclass(frozen=True, slots=True)
class Person:
    """`named`: what he is here, an integer or the host's own id. `profile`: of `name`, `avatar_url`, `metadata` what is told."""

    vendor_id: str
    named: UserId | str
    created_at: datetime | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Landed:
    """A person who came over. `is_changed`: something of what was there follows the vendor now."""

    vendor_id: str
    user_id: UserId
    is_new: bool
    is_changed: bool


@dataclass(frozen=True, slots=True)
class Channel:
    """`profile`: `title`, `custom_type`, `cover_url`, `data`; None where there is none."""

    channel_url: str
    created_at: datetime
    profile: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Member:
    vendor_id: str
    role: Literal["admin", "member"]
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class LandedChannel:
    """`known`: an import made it before; `native`: the host application made it here; `deleted`: it was, since an import made it.
    `joined`: how many were let in."""

    conversation_id: ConversationId | None
    outcome: Outcome
    joined: int
    is_changed: bool


@dataclass(frozen=True, slots=True)
class File:
    """`url`: where it is. `mime_type`: what is said of it; `size` in bytes, None where nothing is said."""

    url: str
    name: str
    mime_type: str
    size: int | None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One whose bytes are in the storage, as they were found to be; of one that came before only `source` counts."""

    id: AttachmentId
    source: str
    name: str | None = None
    mime_type: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    has_thumbnail: bool = False


@dataclass(frozen=True, slots=True)
class MissingFile:
    """One of a message's that did not come; `place` among its attachments, from 0 on."""

    message_id: MessageId
    vendor_id: int
    place: int
    file: File


@dataclass(frozen=True, slots=True)
class Message:
    """People are vendor's ids; `reactions`: who, by emoji. `parent`: the message that it replies to."""

    vendor_id: int
    sender: str
    message_type: str
    content: str
    created_at: datetime
    metadata: Mapping[str, Any]
    edited_at: datetime | None = None
    parent: int | None = None
    mentions: Sequence[str] = ()
    reactions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Sequence[File] = ()


@dataclass(frozen=True, slots=True)
class Brought:
    """How many messages came, and how many of them answer one that did not. `gone`: the conversation was deleted meanwhile."""

    brought: int
    parentless: int
    gone: bool
