"""What the core has, in the words of the vendor's API: the one table between the two. Its shapes change over time; this is where to
follow them.

| here | there |
| --- | --- |
| a conversation's title, `custom_type`, `cover_url` and `data` of its metadata | `name`, `custom_type`, `cover_url`, `data` |
| the role admin | `operator` |
| a message's content; `custom_type` and `data` of its metadata | `message`, `custom_type`, `data` |
| message types `image` and `file`; `system`, where the host said it; every other | FILE; ADMM; MESG |
| `client_id` | `dedup_id` |
| a person's name, picture, and the host's metadata | `nickname`, `profile_url`, `metadata` |

Texts are never null there: what is absent is empty. Times of messages and of who was seen last are milliseconds; when channels and
people were made, seconds.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from messenger.domain.attachment import address_of, upload_of
from messenger.domain.channel import COVER_URL, CUSTOM_TYPE, DATA, Account, Channel, Entry, Member
from messenger.domain.ids import AttachmentId, UserId
from messenger.domain.message import SYSTEM, Message
from messenger.errors import MessengerError
from messenger.protocol.frames import Json

FILES = ("image", "file")
# Which message types of ours a type of the vendor's stands for: these, or all but these.
TYPES: Mapping[str, tuple[tuple[str, ...] | None, tuple[str, ...] | None]] = {
    "MESG": (None, (*FILES, SYSTEM)),
    "FILE": (FILES, None),
    "ADMM": ((SYSTEM,), None),
}
# The codes of failures; whatever is not among them is the daemon's own.
BAD_VALUE, NOT_ALLOWED, NOT_FOUND, TAKEN, BAD_TOKEN, FAILED = 400105, 400108, 400201, 400202, 400401, 500901
CODES: Mapping[str, int] = {
    "invalid_json": BAD_VALUE,
    "invalid_frame": BAD_VALUE,
    "content_empty": BAD_VALUE,
    "content_too_long": BAD_VALUE,
    "forbidden": NOT_ALLOWED,
    "not_participant": NOT_ALLOWED,
    "not_found": NOT_FOUND,
    "user_not_found": NOT_FOUND,
    "message_not_found": NOT_FOUND,
    "conflict": TAKEN,
    "client_id_conflict": TAKEN,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS, _S = timedelta(milliseconds=1), timedelta(seconds=1)

# Where an upload's bytes are to be had for a while.
Address = Callable[[AttachmentId], str]


def refusal(error: MessengerError) -> Json:
    message = '"Message" not found.' if error.code == "message_not_found" else error.message
    return refused(CODES.get(error.code, FAILED), message)


def refused(code: int, message: str) -> Json:
    return {"error": True, "code": code, "message": message}


def milliseconds(at: datetime | None) -> int:
    return 0 if at is None else (at - _EPOCH) // _MS


def moment(milliseconds: int) -> datetime:
    """The latest that there is, for what lies beyond the year 9999."""
    return _EPOCH + min(milliseconds, 253_402_300_799_999) * _MS


def seconds(at: datetime) -> int:
    return (at - _EPOCH) // _S


def name_of(user_id: UserId, account: Account | None) -> str:
    """What the host application calls somebody by."""
    return (account and account.external_id) or str(user_id)


def sender(user_id: UserId, account: Account | None) -> Json:
    return {
        "user_id": name_of(user_id, account),
        "nickname": (account and account.name) or "",
        "profile_url": (account and account.avatar_url) or "",
        "metadata": account.metadata if account else {},
        "require_auth_for_profile_image": False,
    }


def user(account: Account, *, is_online: bool) -> Json:
    return sender(account.id, account) | {
        "access_token": "",
        "session_tokens": [],
        "discovery_keys": [],
        "preferred_languages": [],
        "phone_number": "",
        "is_active": True,
        "is_online": is_online,
        "has_ever_logged_in": is_online or account.last_seen_at is not None,
        "last_seen_at": milliseconds(account.last_seen_at),
        "created_at": seconds(account.created_at),
    }


def member(value: Member, account: Account | None, *, is_online: bool) -> Json:
    return sender(value.user_id, account) | {
        "is_active": True,
        "is_online": is_online,
        "last_seen_at": milliseconds(account.last_seen_at if account else None),
        "role": "operator" if value.role == "admin" else "",
        "state": "joined",
        "is_muted": False,
        "muted_description": "",
    }


def channel(
    value: Channel,
    people: Mapping[UserId, Account],
    last_message: Json | None,
    members: Sequence[Json] | None,
    *,
    max_content_chars: int,
) -> Json:
    told = {
        "channel_url": value.url,
        "name": value.title or "",
        **{name: _text(value.metadata, name) for name in (COVER_URL, CUSTOM_TYPE, DATA)},
        "created_at": seconds(value.created_at),
        "created_by": sender(value.created_by, people[value.created_by])
        if _is_there(people, value.created_by)
        else None,
        "member_count": value.participant_count,
        "joined_member_count": value.participant_count,
        "last_message": last_message,
        "unread_message_count": 0,
        "unread_mention_count": 0,
        "max_length_message": max_content_chars,
        "message_survival_seconds": -1,
        "my_role": "none",
        "member_state": "none",
        **dict.fromkeys(_NEVER, False),
    }
    if value.is_arriving:
        told["is_arriving"] = True
    return told if members is None else told | {"members": list(members)}


# What channels may be there, and never are here.
_NEVER = (
    "freeze", "is_distinct", "is_public", "is_discoverable", "is_super", "is_broadcast", "is_ephemeral",
    "is_access_code_required", "ignore_profanity_filter", "is_muted",
)  # fmt: skip


def message(entry: Entry, channel_url: str, people: Mapping[UserId, Account], address: Address) -> Json:
    value = entry.message
    metadata = value.metadata or {}
    kind = type_of(value)
    told = {
        "message_id": entry.number,
        "type": kind,
        "channel_url": channel_url,
        "channel_type": "group",
        "message": value.content or "",
        CUSTOM_TYPE: _text(metadata, CUSTOM_TYPE),
        DATA: _text(metadata, DATA),
        "file": _file(value, address) if kind == "FILE" else {},
        "mention_type": "users",
        "mentioned_users": [sender(user_id, people.get(user_id)) for user_id in value.mentions],
        "created_at": milliseconds(value.created_at),
        "updated_at": milliseconds(value.edited_at),
        "is_removed": value.deleted_at is not None,
        "is_op_msg": False,
        "silent": False,
        "sorted_metaarray": [],
        "message_survival_seconds": -1,
    }
    if kind != "ADMM":
        told["user"] = sender(value.sender_id, people.get(value.sender_id))
    if value.client_id is not None:
        told["dedup_id"] = value.client_id
    return told


def people_in(messages: Collection[Entry]) -> set[UserId]:
    """Whom they name."""
    named = {entry.message.sender_id for entry in messages}
    return named.union(*(entry.message.mentions for entry in messages))


def type_of(value: Message) -> str:
    return "ADMM" if value.message_type == SYSTEM else "FILE" if value.message_type in FILES else "MESG"


def _file(value: Message, address: Address) -> Json:
    """The first of its files; there is no more than one there."""
    if not value.attachments:
        return {}
    told = dict(value.attachments[0])
    upload_id = upload_of(str(told.get("url")))
    return {
        "url": address_of(str(told.get("url"))) if upload_id is None else address(upload_id),
        "name": told.get("name") or "",
        "type": told.get("mime_type") or "",
        "size": told.get("size") or 0,
        "data": "",
    }


def _text(metadata: Mapping[str, object], name: str) -> str:
    """Other clients may keep something else under that name."""
    value = metadata.get(name)
    return value if isinstance(value, str) else ""


def _is_there(people: Mapping[UserId, Account], user_id: UserId) -> bool:
    return user_id in people and not people[user_id].is_deleted
