"""What travels on the bus: a short header that a node reads, a newline, and the wire bytes that it hands on as they came.

    [1,"change","n5f3a",41,40,17,null]
    {"type":"message.new", …}

The third is the node that speaks: its own devices have been served already.

Everything that comes in is checked here; what is no valid envelope is None, and whoever reads drops and counts it.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from uuid import UUID

import orjson

from messenger.domain.conversation import Role
from messenger.domain.ids import MAX_USER_ID, ConversationId, UserId
from messenger.domain.message import Message

VERSION = 1
# Types that a host application may publish on `user:<id>`; what else comes from outside is refused.
APP_PREFIX = "app."


@dataclass(frozen=True, slots=True)
class Move:
    """What a change does to who takes part: somebody came, went, or has another role."""

    kind: Literal["came", "went", "role"]
    user_id: UserId
    role: Role


@dataclass(frozen=True, slots=True)
class Change:
    """A durable event: it covers the changes `after` + 1 to `change`; `seq` is the place of its message."""

    change: int
    after: int
    seq: int
    body: bytes
    move: Move | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """An ephemeral event for those who subscribed, but not for the user it is about."""

    except_user: UserId
    body: bytes


@dataclass(frozen=True, slots=True)
class Personal:
    """For all devices of one user, as it is."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Joined:
    """A user has come into a conversation: his nodes read the rest from the database."""

    conversation_id: ConversationId


@dataclass(frozen=True, slots=True)
class Revoked:
    """No token of a user issued before a second (since 1970) counts any more."""

    before: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """A conversation is gone."""

    body: bytes


Envelope: TypeAlias = Change | Signal | Personal | Joined | Revoked | Deleted


def move_of(message: Message) -> Move | None:
    """What a system entry does to who takes part."""
    kinds: dict[str | None, Literal["came", "went", "role"]] = {
        "participant.added": "came",
        "participant.removed": "went",
        "participant.updated": "role",
    }
    kind = kinds.get(message.system_event)
    if kind is None or message.metadata is None:
        return None
    return Move(kind, message.metadata["user_id"], message.metadata["role"])


def encode(envelope: Envelope, origin: str) -> bytes:
    """`origin` is the node that speaks."""
    match envelope:
        case Change(change, after, seq, body, move):
            told = move and [move.kind, move.user_id, move.role]
            return orjson.dumps([VERSION, "change", origin, change, after, seq, told]) + b"\n" + body
        case Signal(except_user, body):
            return orjson.dumps([VERSION, "signal", origin, except_user]) + b"\n" + body
        case Personal(body):
            return orjson.dumps([VERSION, "personal", origin]) + b"\n" + body
        case Joined(conversation_id):
            return orjson.dumps([VERSION, "joined", origin, str(conversation_id)])
        case Revoked(before):
            return orjson.dumps([VERSION, "revoked", origin, before])
        case Deleted(body):
            return orjson.dumps([VERSION, "deleted", origin]) + b"\n" + body


def decode(data: bytes) -> tuple[str, Envelope] | None:
    """Who speaks (nobody of ours: empty) and what. None for anything that is no whole, well-formed envelope of ours and
    no `app.` object of the host's."""
    if data[:1] == b"{":
        told = _from_host(data)
        return None if told is None else ("", told)
    header, _, body = data.partition(b"\n")
    try:
        parts = orjson.loads(header)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(parts, list) or len(parts) < 3 or parts[0] != VERSION or not isinstance(parts[2], str):
        return None
    match parts[1]:
        case "joined":
            found: Envelope | None = _joined(parts)
        case "revoked":
            found = _revoked(parts)
        case _:
            found = _with_body(parts, body)
    return None if found is None else (parts[2], found)


def _with_body(parts: list[Any], body: bytes) -> Envelope | None:
    if body[:1] != b"{" or body[-1:] != b"}":
        return None
    match parts[1], parts[3:]:
        case "change", [int(change), int(after), int(seq), told] if 0 <= after < change and seq > 0:
            move = _move(told)
            return None if told is not None and move is None else Change(change, after, seq, body, move)
        case "signal", [int(except_user)]:
            return Signal(UserId(except_user), body)
        case "personal", []:
            return Personal(body)
        case "deleted", []:
            return Deleted(body)
    return None


def _joined(parts: list[Any]) -> Joined | None:
    try:
        return Joined(ConversationId(UUID(parts[3])))
    except (IndexError, ValueError, TypeError, AttributeError):
        return None


def _revoked(parts: list[Any]) -> Revoked | None:
    match parts[3:]:
        case [int(before)] if not isinstance(before, bool):
            return Revoked(before)
    return None


def _move(told: Any) -> Move | None:
    match told:
        case ["came" | "went" | "role" as kind, int(user_id), "admin" | "member" | "observer" as role]:
            if 1 <= user_id <= MAX_USER_ID:
                return Move(kind, UserId(user_id), role)
    return None


def _from_host(data: bytes) -> Personal | None:
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    kind = told.get("type")
    return Personal(data) if isinstance(kind, str) and kind.startswith(APP_PREFIX) else None
