"""What travels on the bus: a short header that a node reads, a newline, and the wire bytes that it hands on as they came.

    [1,"change","n5f3a",41,40,17,null,[7,[],"018f…","2026-01-31T12:00:00Z"]]
    {"type":"message.new", …}

The third is the node that speaks: its own devices have been served already.

Everything that comes in is checked here; what is no valid envelope is None, and whoever reads drops and counts it.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from uuid import UUID

import orjson

from messenger.domain.conversation import Role
from messenger.domain.ids import MAX_USER_ID, ConversationId, MessageId, UserId
from messenger.domain.message import SYSTEM, Message

VERSION = 1
_BEGINS = b'[1,"'
# A kind is no longer, from the beginning to where the node's mark begins.
_MARK_WITHIN = len(b'[1,"preferred"')
# Types that a host application may publish on `user:<id>`; what else comes from outside is refused.
APP_PREFIX = "app."
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Move:
    """What a change does to who takes part: somebody came, went, or has another role."""

    kind: Literal["came", "went", "role"]
    user_id: UserId
    role: Role


@dataclass(frozen=True, slots=True)
class News:
    """That a change brings what somebody may want to be told of: a person's new message. `created_at` as it goes over the
    wire."""

    sender_id: UserId
    mentions: frozenset[UserId]
    message_id: MessageId
    created_at: str


@dataclass(frozen=True, slots=True)
class Change:
    """A durable event: it covers the changes `after` + 1 to `change`; `seq` is the place of its message."""

    change: int
    after: int
    seq: int
    body: bytes
    move: Move | None = None
    news: News | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """An ephemeral event for those who subscribed, but not for the user it is about. `is_shy`: nor for those between whom
    and him a block stands."""

    except_user: UserId
    body: bytes
    is_shy: bool = False


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


@dataclass(frozen=True, slots=True)
class Preferred:
    """A user's blocks or notification settings are others: his nodes read them from the database."""


@dataclass(frozen=True, slots=True)
class Profiled:
    """Somebody has another name or picture, by this version of his profile. Nodes find out who is to be told."""

    user_id: UserId
    profile_version: int


Envelope: TypeAlias = Change | Signal | Personal | Joined | Revoked | Deleted | Preferred | Profiled


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


def news_of(message: Message) -> News | None:
    """What is worth telling somebody who wants to be told: what a person wrote."""
    if message.message_type == SYSTEM:
        return None
    created_at = message.created_at.isoformat().replace("+00:00", "Z")
    return News(message.sender_id, frozenset(message.mentions), message.id, created_at)


def encode(envelope: Envelope, origin: str) -> bytes:
    """`origin` is the node that speaks."""
    match envelope:
        case Change(change, after, seq, body, move, news):
            moved = move and [move.kind, move.user_id, move.role]
            noted = news and [news.sender_id, list(news.mentions), str(news.message_id), news.created_at]
            return orjson.dumps([VERSION, "change", origin, change, after, seq, moved, noted]) + b"\n" + body
        case Signal(except_user, body, is_shy):
            return orjson.dumps([VERSION, "signal", origin, except_user, is_shy]) + b"\n" + body
        case Personal(body):
            return orjson.dumps([VERSION, "personal", origin]) + b"\n" + body
        case Joined(conversation_id):
            return orjson.dumps([VERSION, "joined", origin, str(conversation_id)])
        case Revoked(before):
            return orjson.dumps([VERSION, "revoked", origin, before])
        case Deleted(body):
            return orjson.dumps([VERSION, "deleted", origin]) + b"\n" + body
        case Preferred():
            return orjson.dumps([VERSION, "preferred", origin])
        case Profiled(user_id, profile_version):
            return orjson.dumps([VERSION, "profiled", origin, user_id, profile_version])


def mark_of(origin: str) -> bytes:
    """What stands in the header of everything that a node says."""
    return b',"%b"' % origin.encode()


def is_echo(data: bytes, mark: bytes) -> bool:
    """Whether this is of the node whose mark it is: half of all that a node hears, and nothing more of it is read."""
    return data.startswith(_BEGINS) and data.find(mark, len(_BEGINS), _MARK_WITHIN + len(mark)) > 0


def decode(data: bytes) -> Envelope | None:
    """None for anything that is no whole, well-formed envelope of ours and no `app.` object of the host's."""
    if data[:1] == b"{":
        return _from_host(data)
    header, _, body = data.partition(b"\n")
    try:
        parts = orjson.loads(header)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(parts, list) or len(parts) < 3 or parts[0] != VERSION or not isinstance(parts[2], str):
        return None
    match parts[1]:
        case "joined":
            return _joined(parts)
        case "revoked":
            return _revoked(parts)
        case "preferred":
            return Preferred() if len(parts) == 3 else None
        case "profiled":
            return _profiled(parts)
    return _with_body(parts, body)


def _with_body(parts: list[Any], body: bytes) -> Envelope | None:
    if body[:1] != b"{" or body[-1:] != b"}" or not _is_text(body):
        return None
    match parts[1], parts[3:]:
        case "change", [int(change), int(after), int(seq), moved, noted] if 0 <= after < change and seq > 0:
            move, news = _move(moved), _news(noted)
            if (moved is not None and move is None) or (noted is not None and news is None):
                return None
            return Change(change, after, seq, body, move, news)
        case "signal", [int(except_user), bool(is_shy)]:
            return Signal(UserId(except_user), body, is_shy)
        case "personal", []:
            return Personal(body)
        case "deleted", []:
            return Deleted(body)
    return None


def _is_text(body: bytes) -> bool:
    """Whoever is handed anything else in a text frame ends his connection (RFC 6455 §8.1)."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


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


def _news(told: Any) -> News | None:
    match told:
        case [sender_id, [*mentions], str(message_id), str(created_at)] if _TIME.fullmatch(created_at):
            if all(type(user_id) is int and 1 <= user_id <= MAX_USER_ID for user_id in (sender_id, *mentions)):
                try:
                    return News(UserId(sender_id), frozenset(mentions), MessageId(UUID(message_id)), created_at)
                except ValueError:
                    return None
    return None


def _profiled(parts: list[Any]) -> Profiled | None:
    match parts[3:]:
        case [int(user_id), int(profile_version)] if 1 <= user_id <= MAX_USER_ID:
            return Profiled(UserId(user_id), profile_version)
    return None


def _from_host(data: bytes) -> Personal | None:
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    kind = told.get("type")
    return Personal(data) if isinstance(kind, str) and kind.startswith(APP_PREFIX) else None
