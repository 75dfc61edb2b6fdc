"""Live sessions: rooms that guests come into by a code and under a nickname; and how codes and nicknames look."""

import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from messenger.domain.conversation import Role
from messenger.domain.ids import ConversationId, MessageId, UserId

Status = Literal["active", "closed"]
# A message or question in a live session, in characters.
MAX_SAID_CHARS = 500
# The presenter's state, as JSON, and how long it is kept.
MAX_STATE_BYTES = 16 * 1024
STATE_S = 3600
SHORTEST_NICKNAME, LONGEST_NICKNAME = 2, 20
# Without the look-alikes 0 and O, 1 and I: 40 bits in a code.
_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_CODE_LENGTH = 8
# Letters and marks that nobody sees (Default_Ignorable_Code_Point): with them two nicknames would look like one.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


@dataclass(frozen=True, slots=True)
class LiveSession:
    """What its code says of it to anybody."""

    id: ConversationId
    code: str
    status: Status


@dataclass(frozen=True, slots=True)
class Attendee:
    """Somebody in a live session, who shows who he is. `public_id` is what its participants know him by; hosts are its
    admins."""

    user_id: UserId
    public_id: UUID
    role: Role
    nickname: str

    @property
    def is_host(self) -> bool:
        return self.role == "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """An attendee as the others see him. `is_in`: he has not left it."""

    user_id: UserId
    public_id: UUID
    nickname: str
    is_host: bool
    is_in: bool = True
    last_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Guest:
    """Who has just come in."""

    user_id: UserId
    public_id: UUID
    nickname: str
    joined_at: datetime
    title: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a session's history, with what its sender is called."""

    id: MessageId
    nickname: str
    content: str
    message_type: str
    created_at: datetime


def make_code() -> str:
    """A code that nobody guesses and everybody can read aloud."""
    return "".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))


def nickname_of(text: str) -> str:
    """A nickname as it is kept: NFC, trimmed, one plain space where there are several or others. Raises ValueError with what is
    wrong: letters, marks, digits and spaces of any script, 2 to 20 characters."""
    spaced = "".join(
        " " if unicodedata.category(character) == "Zs" else character
        for character in unicodedata.normalize("NFC", text)
    )
    nickname = " ".join(part for part in spaced.strip().split(" ") if part)
    if not SHORTEST_NICKNAME <= len(nickname) <= LONGEST_NICKNAME:
        raise ValueError(f"must have {SHORTEST_NICKNAME} to {LONGEST_NICKNAME} characters")
    kinds = {unicodedata.category(character) for character in nickname if character != " "}
    if (
        _INVISIBLE.search(nickname)
        or not all(kind[0] in "LM" or kind == "Nd" for kind in kinds)
        or all(kind[0] == "M" for kind in kinds)
    ):
        raise ValueError("may have letters, digits and spaces only")
    return nickname


def nickname_key(nickname: str) -> str:
    """What two nicknames have in common that count as the same: case-folded, NFC."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", nickname).casefold())
