"""Ids. A user is an integer of the host application; conversations, messages and attachments are UUIDs that we make."""

import os
import time
from typing import NewType
from uuid import UUID

UserId = NewType("UserId", int)
ConversationId = NewType("ConversationId", UUID)
MessageId = NewType("MessageId", UUID)
AttachmentId = NewType("AttachmentId", UUID)

# No user's id: an event that leaves nobody out.
NOBODY = UserId(0)
# What a JavaScript number still holds exactly.
MAX_USER_ID = 2**53 - 1


def uuid7() -> UUID:
    """A UUIDv7 (RFC 9562 §5.7): milliseconds since 1970, then 74 random bits. Ordered by time only roughly: `seq` is the order."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def parse_user_id(text: str) -> UserId | None:
    """The canonical form of an id, `7` and never `07`; None for everything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and text[0] != "0"):
        return None
    value = int(text)
    return UserId(value) if value <= MAX_USER_ID else None
