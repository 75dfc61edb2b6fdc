"""The vendor's objects in our terms: the one place that knows its fields. What has no counterpart here is named, and left out.

What is told may be anything: each function raises Unreadable where it is no such object, and never KeyError.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from messenger.domain.channel import ADMIN_MESSAGE, CHANNEL_URL
from messenger.domain.ids import UserId, parse_user_id
from messenger.domain.imported import Channel, File, Member, Message, Person

Json: TypeAlias = Mapping[str, Any]

# Who has no name there: whoever speaks for the channel itself, and whoever was deleted.
ADMIN, DELETED = "sendbird-admin", "sendbird-deleted"
STAND_INS = {
    ADMIN: Person(ADMIN, ADMIN, None, {"name": "Sendbird admin"}),
    DELETED: Person(DELETED, DELETED, None, {"name": "Deleted user"}),
}
MESSAGE_TYPES = {"MESG": "text", "FILE": "file", "ADMM": "system"}
# Names that the vendor's own clients show as pictures.
EMOJI = {
    "sendbird_emoji_heart_eyes": "😍",
    "sendbird_emoji_laughing": "😂",
    "sendbird_emoji_rage": "😡",
    "sendbird_emoji_sob": "😭",
    "sendbird_emoji_sweat_smile": "😅",
    "sendbird_emoji_thumbsup": "👍",
    "sendbird_emoji_thumbsdown": "👎",
}
# What a channel or a message may have there, and what is said of it in the report.
CHANNEL_KINDS = {
    "freeze": "channels that were frozen: here members can write",
    "is_public": "public channels: here one has to be let in",
    "is_super": "supergroups: here they are groups as all others",
    "is_broadcast": "broadcast channels: here all members can write",
    "is_ephemeral": "ephemeral channels: here messages stay",
    "is_distinct": "distinct channels: here the same people can have another one",
}
MESSAGE_EXTRAS = {
    "sorted_metaarray": "messages with meta arrays, which were left out",
    "poll": "messages with a poll, which was left out",
    "translations": "messages with translations, which were left out",
}

_CHANNEL_FIELDS = frozenset(
    {*CHANNEL_KINDS, "channel_url", "name", "cover_url", "custom_type", "data", "created_at", "created_by", "creator"}
)

NO_CHANNEL_URL = "its channel_url is none here: 1 to 100 of A-Z a-z 0-9 _ -"
NAME_CHARS, FILE_NAME_CHARS, MIME_CHARS, URL_CHARS, ID_CHARS = 200, 255, 127, 2048, 128
EMOJI_CHARS, MOST_EMOJI = 32, 100
# Times below are seconds since 1970, above are milliseconds: the vendor has both.
SECONDS_END = 100_000_000_000
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Unreadable(ValueError):
    """An object of the vendor's that is none. Its text says what is wrong, and no content."""


def person(told: Json) -> Person:
    """Of a user, a member, or a message's sender. A canonical integer is one here too."""
    user_id = _text(told, "user_id")
    if not user_id:
        raise Unreadable("no user_id")
    profile: dict[str, Any] = {}
    if "nickname" in told:
        profile["name"] = _text(told, "nickname")[:NAME_CHARS] or None
    if "profile_url" in told:
        url = _text(told, "profile_url")
        profile["avatar_url"] = url if _is_address(url) else None
    if isinstance(told.get("metadata"), Mapping):
        profile["metadata"] = _cleaned(told["metadata"])
    created_at = _moment(told["created_at"]) if told.get("created_at") else None
    return Person(user_id, named(user_id), created_at, profile)


def named(user_id: str) -> UserId | str:
    """What somebody is called here. For what is no id here one is made: the same for the same."""
    return parse_user_id(user_id) or (user_id if has_own_id(user_id) else f"sendbird:{_digest(user_id)}")


def has_own_id(user_id: str) -> bool:
    """Whether somebody keeps his id."""
    return parse_user_id(user_id) is not None or (len(user_id) <= ID_CHARS and re.search("[^0-9]", user_id) is not None)


def channel(told: Json) -> Channel:
    url = _text(told, "channel_url")
    if not CHANNEL_URL.fullmatch(url):
        raise Unreadable(NO_CHANNEL_URL)
    return Channel(
        channel_url=url,
        created_at=_moment(told.get("created_at")),
        profile={
            "title": _text(told, "name")[:NAME_CHARS] or None,
            **{name: _text(told, name) or None for name in ("custom_type", "cover_url", "data")},
        },
    )


def creator(told: Json) -> Person | None:
    """Who made a channel, where that is said."""
    found = told.get("created_by") or told.get("creator")
    return person(found) if isinstance(found, Mapping) and _text(found, "user_id") else None


def slim(told: Json) -> Json:
    """What counts of a channel: without its last message and what else hangs on it."""
    return {name: told[name] for name in told if name in _CHANNEL_FIELDS}


def kinds(told: Json) -> Iterator[str]:
    """What a channel was there that it cannot be here."""
    for name, said in CHANNEL_KINDS.items():
        if told.get(name):
            yield said


def member(told: Json, channel_since: datetime) -> Member | None:
    """None for who is only invited."""
    if told.get("state") == "invited":
        return None
    role: Literal["admin", "member"] = "admin" if told.get("role") == "operator" else "member"
    joined_at = told.get("joined_at") or told.get("joined_ts")
    return Member(_text(told, "user_id"), role, _moment(joined_at) if joined_at else channel_since)


def message(told: Json) -> Message:
    """A message that is there; see `is_removed`."""
    type_ = MESSAGE_TYPES.get(_text(told, "type"))
    if type_ is None:
        raise Unreadable("of an unknown type")
    files = tuple(_files(told)) if type_ == "file" else ()
    if files and all(file.mime_type.startswith("image/") for file in files):
        type_ = "image"
    created_at = _moment(told.get("created_at"))
    edited_at = _moment(told["updated_at"]) if told.get("updated_at") else None
    sender = told.get("user")
    parent = told.get("parent_message_id")
    return Message(
        vendor_id=vendor_id(told),
        sender=ADMIN if type_ == "system" else _text(sender or {}, "user_id") or DELETED,
        message_type=type_,
        content=_text(told, "message"),
        created_at=created_at,
        metadata={
            **({ADMIN_MESSAGE: True} if type_ == "system" else {}),
            **{name: value for name in ("custom_type", "data") if (value := _text(told, name))},
        },
        edited_at=edited_at if edited_at is not None and edited_at > created_at else None,
        parent=parent if isinstance(parent, int) and parent > 0 else None,
        mentions=tuple(one.vendor_id for one in mentioned(told)),
        reactions={} if type_ == "system" else _reactions(told),
        files=files,
    )


def vendor_id(told: Json) -> int:
    found = told.get("message_id")
    if not isinstance(found, int) or isinstance(found, bool) or not 0 < found < 2**63:
        raise Unreadable("no message_id")
    return found


def is_removed(told: Json) -> bool:
    return bool(told.get("is_removed"))


def extras(told: Json) -> Iterator[str]:
    """What of a message has no counterpart here."""
    for name, said in MESSAGE_EXTRAS.items():
        if told.get(name):
            yield said
    if len(told.get("reactions") or ()) > MOST_EMOJI:
        yield f"messages with more than {MOST_EMOJI} different reactions, of which the first came over"


def mentioned(told: Json) -> Iterator[Person]:
    for one in told.get("mentioned_users") or ():
        if _text(one, "user_id"):
            yield person(one)


def people(told: Json) -> Iterator[Person]:
    """Everybody whom a message names."""
    sender = told.get("user")
    if isinstance(sender, Mapping) and _text(sender, "user_id"):
        yield person(sender)
    yield from mentioned(told)
    for who in _reactions(told).values():
        yield from (Person(user_id, named(user_id)) for user_id in who)


def shown(text: str) -> str:
    """An id of the vendor's as it may stand on a terminal."""
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= ID_CHARS else f"{text[:ID_CHARS]}…"


def _files(told: Json) -> Iterator[File]:
    """One, or several in one message."""
    several = told.get("files") or [told.get("file")]
    for file in several if isinstance(several, Sequence) else ():
        if not isinstance(file, Mapping):
            continue
        url = _text(file, "url")
        if not _is_address(url):
            continue
        size = file.get("size") or file.get("file_size")
        yield File(
            url=url,
            name=(_text(file, "name") or _text(file, "file_name"))[:FILE_NAME_CHARS],
            mime_type=(_text(file, "type") or _text(file, "file_type")).lower()[:MIME_CHARS],
            size=size if isinstance(size, int) and 0 <= size < 2**53 else None,
        )


def count_files(told: Json) -> int:
    """How many a message says that it has; those whose address is none do not come."""
    if told.get("type") != "FILE":
        return 0
    several = told.get("files")
    return len(several) if isinstance(several, list) and several else 1


def _reactions(told: Json) -> dict[str, Sequence[str]]:
    found: dict[str, Sequence[str]] = {}
    for reaction in told.get("reactions") or ():
        if not isinstance(reaction, Mapping):
            continue
        key = _text(reaction, "key")
        emoji = EMOJI.get(key, key)[:EMOJI_CHARS]
        who = [
            cleaned for one in reaction.get("user_ids") or () if isinstance(one, str) and (cleaned := _storable(one))
        ]
        if emoji and who and len(found) < MOST_EMOJI:
            found[emoji] = [*found.get(emoji, ()), *who]
    return found


def _text(told: Any, name: str) -> str:
    """A text, without what PostgreSQL cannot store; empty where there is none."""
    value = told.get(name) if isinstance(told, Mapping) else None
    return _storable(value) if isinstance(value, str) else ""


def _storable(text: str) -> str:
    return _UNSTORABLE.sub("", text)


def _cleaned(value: Any) -> Any:
    """A JSON value in which every text can be stored."""
    match value:
        case str():
            return _storable(value)
        case Mapping():
            return {_storable(str(name)): _cleaned(item) for name, item in value.items()}
        case list():
            return [_cleaned(item) for item in value]
        case int() if abs(value) >= 2**63:
            return float(value)
    return value


def _moment(value: Any) -> datetime:
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise Unreadable("no time")
    try:
        milliseconds = round(value * 1000 if value < SECONDS_END else value)
        return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)
    except (ValueError, OverflowError, OSError):
        raise Unreadable("no time") from None


def _is_address(url: str) -> bool:
    return re.match("https?://[^/]", url) is not None and len(url) <= URL_CHARS and url.isprintable()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
