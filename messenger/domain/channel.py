"""Channels, and people, as the host application keeps them; and the integers by which it knows messages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from messenger.domain.conversation import Role
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import Message

# What of a channel's and a message's metadata the host application calls by a field of its own; texts, absent where empty.
CUSTOM_TYPE, COVER_URL, DATA = "custom_type", "cover_url", "data"
# In the metadata of a system entry: it was said by the host application, and by nobody in the channel.
ADMIN_MESSAGE = "admin_message"

CHANNEL_URL = re.compile(r"[A-Za-z0-9_-]{1,100}")

# Above every id that the vendor gave, and all of them exact in a JavaScript number: the first of the 2^21 channels begins here.
_FIRST: Final = 2**52
_A_CHANNEL: Final = 2**31

Order = Literal["chronological", "latest_last_message"]


@dataclass(frozen=True, slots=True)
class Channel:
    """A conversation that the host application has named. `admin_id`: in whose name it acts there; None where everybody has
    left. `is_arriving`: its first import has not come to its end."""

    id: ConversationId
    url: str
    number: int
    title: str | None
    metadata: Mapping[str, Any]
    created_by: UserId
    created_at: datetime
    participant_count: int
    admin_id: UserId | None
    is_arriving: bool


@dataclass(frozen=True, slots=True)
class Account:
    """A person as the host application keeps him. Who `is_deleted` is told of as a sender, and not found."""

    id: UserId
    external_id: str | None
    name: str | None
    avatar_url: str | None
    metadata: Mapping[str, Any]
    created_at: datetime
    last_seen_at: datetime | None
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody's place in a channel."""

    user_id: UserId
    role: Role
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class ChannelPerson:
    """Somebody who is in a channel or was, as others there know him. `external_id`: what the host application calls him, where
    it does."""

    user_id: UserId
    external_id: str | None
    is_in: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A message, and the integer by which the host application knows it: the vendor's for one that came over."""

    message: Message
    number: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What of a channel is to change: `fields` are texts of its metadata, None to take one away."""

    set_title: bool
    title: str | None
    fields: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Around:
    """What is asked of a channel's messages: around a time or a message's number so many before and after, and what is there
    itself where `at_it` says so; of some types, or of all but some, of some senders."""

    at: datetime | None
    number: int | None
    before: int
    after: int
    at_it: bool
    types: tuple[str, ...] | None
    but_types: tuple[str, ...] | None
    custom_types: tuple[str, ...] | None
    sender_ids: tuple[UserId, ...] | None


def number_of(channel_number: int, seq: int) -> int:
    """The integer of a message that was first said here."""
    return _FIRST + channel_number * _A_CHANNEL + seq


def seq_of(channel_number: int, number: int) -> int | None:
    """The `seq` of a channel's message; None for an integer that is none of its."""
    seq = number - number_of(channel_number, 0)
    return seq if 0 < seq < _A_CHANNEL else None
