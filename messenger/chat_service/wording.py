"""The vendor's names, all of them here: paths, parameters, fields, headers. They change over time; nothing but names is said here.

What the daemon answers to is the same (see the Platform API in the README).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

Json: TypeAlias = dict[str, Any]
Query: TypeAlias = Mapping[str, str]

VERSION = "/v3"
HOST = "https://api-{app_id}.sendbird.com"
# Where the vendor keeps files too.
DOMAIN = ".sendbird.com"
# Ours alone: of a channel whose first import has not come to its end.
ARRIVING = "is_arriving"

TOKEN = "Api-Token"  # noqa: S105 - a header's name
RETRY_AFTER = ("X-RateLimit-RetryAfter", "Retry-After")

USERS, CHANNELS, MEMBERS, MESSAGES = "users", "channels", "members", "messages"
NEXT = "next"
# The most that is given out, or taken, at once.
PAGE, MESSAGES_PAGE, PEOPLE = 100, 200, 100


def segment(name: str) -> str:
    """One part of a path, percent-encoded. Raises ValueError for what would be another path."""
    if name in ("", ".", ".."):
        raise ValueError(f"{name!r} cannot stand in a path")
    return quote(name, safe="")


def user(user_id: str) -> str:
    return f"/users/{segment(user_id)}"


def users() -> str:
    return "/users"


def channel(channel_url: str) -> str:
    return f"/group_channels/{segment(channel_url)}"


def channels() -> str:
    return "/group_channels"


def invite(channel_url: str) -> str:
    return f"{channel(channel_url)}/invite"


def leave(channel_url: str) -> str:
    return f"{channel(channel_url)}/leave"


def members(channel_url: str) -> str:
    return f"{channel(channel_url)}/members"


def messages(channel_url: str) -> str:
    return f"{channel(channel_url)}/messages"


def message(channel_url: str, message_id: int) -> str:
    return f"{messages(channel_url)}/{message_id}"


def new_channel(channel_url: str, name: str, user_ids: Sequence[str], data: str | None) -> Json:
    return _present({"channel_url": channel_url, "name": name, "user_ids": list(user_ids), "data": data})


def changed_channel(name: str | None, data: str | None, cover_url: str | None, custom_type: str | None) -> Json:
    return _present({"name": name, "data": data, "cover_url": cover_url, "custom_type": custom_type})


def people(user_ids: Iterable[str]) -> Json:
    return {"user_ids": list(user_ids)}


def new_message(message_type: str, user_id: str | None, message: str, data: str | None) -> Json:
    """Of a FILE, `message` is its address; an ADMM is nobody's."""
    text = "url" if message_type == "FILE" else "message"
    sender = None if message_type == "ADMM" else user_id
    return _present({"message_type": message_type, "user_id": sender, text: message, "data": data})


def page(token: str) -> Query:
    return {"limit": str(PAGE), **({"token": token} if token else {})}


def every_user() -> Query:
    """Who is deactivated, too."""
    return {"active_mode": "all"}


def every_channel() -> Query:
    """Those without messages, too, in an order that does not change while they are read."""
    return {"show_empty": "true", "order": "chronological"}


def with_members() -> Query:
    return {"show_member": "true"}


def before(time_ms: int, limit: int) -> Query:
    """Messages before a time; none at it."""
    return {"message_ts": str(time_ms), "prev_limit": str(limit), "next_limit": "0", "include": "false"}


def before_message(message_id: int, limit: int) -> Query:
    """Messages before one."""
    return {"message_id": str(message_id), "prev_limit": str(limit), "next_limit": "0", "include": "false"}


def since(time_ms: int) -> Query:
    """Messages at a time and after it; replies in threads, too."""
    return {"message_ts": str(time_ms), "include": "true", **_AFTER}


def after(message_id: int) -> Query:
    """Messages after one; replies in threads, too."""
    return {"message_id": str(message_id), "include": "false", **_AFTER}


_AFTER = {"prev_limit": "0", "next_limit": str(MESSAGES_PAGE), "include_reply_type": "ALL", "include_reactions": "true"}


def whole_message() -> Query:
    """A single message's reactions are given out only to whoever asks for them."""
    return {"include_reactions": "true"}


def _present(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
