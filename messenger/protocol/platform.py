"""What the Platform API takes and gives: the fields of a vendor's API that host applications know, as schemas.

Everything that it takes is a body of JSON; what it gives is written by `dialects.platform_shapes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson
from marshmallow import ValidationError, fields, post_load, validate

from messenger.protocol.answers import Answer, OneOf, many, nullable
from messenger.protocol.fields import Free, Shape, Text, Truth, Whole, check_text, check_tree
from messenger.protocol.schemas import ADDRESS, PICTURE, Command

# Of a channel's or a message's own data; with the rest of its metadata that is less than an object may have.
MAX_DATA_BYTES = 60_000
MOST_USERS = 1000
MOST_MENTIONS = 100


@dataclass(frozen=True, slots=True)
class Making:
    """A channel to be made; people by their names."""

    channel_url: str | None
    name: str
    custom_type: str
    cover_url: str
    data: str
    user_ids: tuple[str, ...]
    operator_ids: tuple[str, ...]
    inviter_id: str | None
    is_distinct: bool


@dataclass(frozen=True, slots=True)
class Naming:
    """People by their names."""

    user_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leaving:
    """Who leaves: people by their names, or everybody."""

    user_ids: tuple[str, ...]
    should_leave_all: bool


@dataclass(frozen=True, slots=True)
class Saying:
    """A message to be sent, of a type that says which of the rest is needed."""

    message_type: str
    user_id: str | None
    message: str | None
    url: str | None
    file_name: str | None
    file_size: int | None
    file_type: str | None
    custom_type: str
    data: str
    mention_type: str
    mentioned_user_ids: tuple[str, ...]
    dedup_id: str | None


@dataclass(frozen=True, slots=True)
class Joiner:
    """Somebody to be made."""

    user_id: str
    nickname: str
    profile_url: str
    metadata: Mapping[str, Any]


class Data(fields.Field[str]):
    """Text of the host application's own; an object becomes its JSON."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if isinstance(value, dict):
            check_tree(value)
            text = orjson.dumps(value).decode()
        elif isinstance(value, str):
            check_text(value)
            text = value
        else:
            raise ValidationError("must be a string or an object")
        if len(text.encode()) > MAX_DATA_BYTES:
            raise ValidationError(f"must not be larger than {MAX_DATA_BYTES} bytes")
        return text

    def shape(self) -> Shape:
        return {"type": ["string", "object"], "maxLength": MAX_DATA_BYTES}


class Names(fields.Field[tuple[str, ...]]):
    """People by their names, each once and in the order given."""

    def __init__(self, *, most: int, **options: Any) -> None:
        self.most = most
        super().__init__(**options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > self.most or not all(isinstance(item, str) for item in value):
            raise ValidationError(f"must be a list of at most {self.most} strings")
        return tuple(dict.fromkeys(value))

    def shape(self) -> Shape:
        return {"type": "array", "items": {"type": "string"}, "maxItems": self.most}


class People(fields.Field[tuple[str, ...]]):
    """The same as objects with a `user_id` each, or as strings."""

    def __init__(self, *, most: int, **options: Any) -> None:
        self.most = most
        super().__init__(**options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValidationError("must be a list")
        names: list[Any] = [item.get("user_id") if isinstance(item, dict) else item for item in value]
        if len(names) > self.most or not all(isinstance(name, str) for name in names):
            raise ValidationError(f"must be a list of at most {self.most} objects with a user_id")
        return tuple(dict.fromkeys(names))

    def shape(self) -> Shape:
        who = {"type": "string", "description": "Who."}
        named = {"type": "object", "properties": {"user_id": who}, "required": ["user_id"]}
        return {"type": "array", "items": {"anyOf": [{"type": "string"}, named]}, "maxItems": self.most}


def one_of(*words: str) -> Any:
    return validate.OneOf(words, error=f"must be one of {', '.join(words)}")


def name(**options: Any) -> Any:
    return Text(longest=200, **options)


def custom_type(**options: Any) -> Any:
    return Text(longest=128, **options)


def picture(**options: Any) -> Any:
    """An address, or nothing."""
    return Text(longest=2048, validate=validate.Regexp(rf"({PICTURE})?\Z", error="must be an http(s) URL"), **options)


class MakeChannel(Command):
    makes = Making
    channel_url = Text(
        load_default=None, validate=validate.Regexp(r"[A-Za-z0-9_-]{1,100}\Z", error="must be 1 to 100 of A-Za-z0-9_-")
    )
    name = name(load_default="")
    custom_type = custom_type(load_default="")
    cover_url = picture(load_default="")
    data = Data(load_default="")
    user_ids = Names(load_default=(), most=MOST_USERS)
    users = People(load_default=(), most=MOST_USERS)
    operator_ids = Names(load_default=(), most=MOST_USERS)
    inviter_id = Text(load_default=None, allow_none=True)
    is_distinct = Truth(load_default=False)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        return Making(**_together(data))


class ChangeChannel(Command):
    """What is absent stays as it is; what is empty is taken away."""

    makes = dict
    name = name()
    custom_type = custom_type()
    cover_url = picture()
    data = Data()


class Invite(Command):
    makes = Naming
    user_ids = Names(load_default=(), most=MOST_USERS)
    users = People(load_default=(), most=MOST_USERS)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        return Naming(**_together(data))


class Leave(Command):
    makes = Leaving
    user_ids = Names(load_default=(), most=MOST_USERS)
    should_leave_all = Truth(load_default=False)


class SayInChannel(Command):
    """MESG needs `user_id` and `message`, FILE `user_id` and `url`, ADMM `message`."""

    makes = Saying
    message_type = Text(
        required=True, validate=validate.OneOf(("MESG", "FILE", "ADMM"), error="must be MESG, FILE or ADMM")
    )
    user_id = Text(load_default=None, allow_none=True)
    message = Text(load_default=None, allow_none=True)
    url = Text(
        load_default=None,
        allow_none=True,
        longest=2048,
        validate=validate.Regexp(ADDRESS, error="must be an http(s) URL or a path"),
    )
    file_name = Text(load_default=None, allow_none=True, longest=255)
    file_size = Whole(load_default=None, allow_none=True)
    file_type = Text(load_default=None, allow_none=True, longest=127)
    custom_type = custom_type(load_default="")
    data = Data(load_default="")
    mention_type = Text(
        load_default="users", validate=validate.OneOf(("users", "channel"), error="must be users or channel")
    )
    mentioned_user_ids = Names(load_default=(), most=MOST_MENTIONS)
    dedup_id = Text(load_default=None, allow_none=True, shortest=1)


class ChangeMessage(Command):
    """What is absent stays as it is."""

    makes = dict
    message = Text()
    custom_type = custom_type()
    data = Data()


class MakeUser(Command):
    makes = Joiner
    user_id = Text(required=True, shortest=1, longest=128)
    nickname = name(load_default="")
    profile_url = picture(load_default="")
    metadata = Free(load_default=dict)


class ChangeUser(Command):
    """What is absent stays as it is."""

    makes = dict
    nickname = name()
    profile_url = picture()
    metadata = Free()
    # Whom the vendor's would only put to sleep is deleted here, or stays.
    is_active = Truth()


def _together(data: Mapping[str, Any]) -> dict[str, Any]:
    """People are named in either of two fields."""
    named = {name: value for name, value in data.items() if name != "users"}
    return named | {"user_ids": tuple(dict.fromkeys((*data["user_ids"], *data["users"])))}


class Nothing(Answer):
    """There is nothing to say."""


class Refused(Answer):
    """What went wrong."""

    error = Truth()
    code = Whole()
    message = Text()

    example: ClassVar[Mapping[str, Any]] = {"error": True, "code": 400201, "message": '"Channel" not found.'}


class Sender(Answer):
    """Somebody as a message or a channel names him."""

    user_id = Text()
    nickname = Text()
    profile_url = Text()
    metadata = Free()
    require_auth_for_profile_image = Truth()


class PlatformUser(Answer):
    """A person, as the host application keeps him."""

    user_id = Text()
    nickname = Text()
    profile_url = Text()
    require_auth_for_profile_image = Truth()
    metadata = Free()
    access_token = Text()
    session_tokens = fields.List(Text())
    discovery_keys = fields.List(Text())
    preferred_languages = fields.List(Text())
    is_active = Truth()
    is_online = Truth()
    has_ever_logged_in = Truth()
    last_seen_at = Whole()
    created_at = Whole()
    phone_number = Text()


class PlatformMember(Answer):
    """Somebody in a channel."""

    user_id = Text()
    nickname = Text()
    profile_url = Text()
    require_auth_for_profile_image = Truth()
    metadata = Free()
    is_active = Truth()
    is_online = Truth()
    last_seen_at = Whole()
    role = OneOf("operator", "")
    state = OneOf("joined")
    is_muted = Truth()
    muted_description = Text()


class PlatformFile(Answer):
    """A file, by an address; of an upload one that expires."""

    sometimes = frozenset({"url", "name", "type", "size", "data"})

    url = Text()
    name = Text()
    type = Text()
    size = Whole()
    data = Text()


class PlatformMessage(Answer):
    """A message. One that the host application itself said has no `user`."""

    sometimes = frozenset({"user", "dedup_id"})

    message_id = Whole()
    type = OneOf("MESG", "FILE", "ADMM")
    channel_url = Text()
    channel_type = OneOf("group")
    message = Text()
    custom_type = Text()
    data = Text()
    user = fields.Nested(Sender)
    file = fields.Nested(PlatformFile)
    mention_type = OneOf("users")
    mentioned_users = many(Sender)
    created_at = Whole()
    updated_at = Whole()
    is_removed = Truth()
    is_op_msg = Truth()
    silent = Truth()
    sorted_metaarray = fields.List(Free())
    message_survival_seconds = Whole(least=-1)
    dedup_id = Text()


class PlatformChannel(Answer):
    """A channel. `members` where they are asked for; `is_arriving` as long as its first import has not come to its end."""

    sometimes = frozenset({"members", "is_arriving"})

    channel_url = Text()
    name = Text()
    cover_url = Text()
    custom_type = Text()
    data = Text()
    created_at = Whole()
    created_by = nullable(Sender)
    member_count = Whole()
    joined_member_count = Whole()
    members = many(PlatformMember)
    last_message = nullable(PlatformMessage)
    unread_message_count = Whole()
    unread_mention_count = Whole()
    max_length_message = Whole()
    message_survival_seconds = Whole(least=-1)
    freeze = Truth()
    is_distinct = Truth()
    is_public = Truth()
    is_discoverable = Truth()
    is_super = Truth()
    is_broadcast = Truth()
    is_ephemeral = Truth()
    is_access_code_required = Truth()
    ignore_profanity_filter = Truth()
    is_muted = Truth()
    my_role = OneOf("none")
    member_state = OneOf("none")
    is_arriving = Truth()


class PlatformChannels(Answer):
    """A page of channels."""

    channels = many(PlatformChannel)
    next = Text()


class PlatformMembers(Answer):
    """A page of a channel's members."""

    members = many(PlatformMember)
    next = Text()


class PlatformMessages(Answer):
    """Messages of a channel."""

    messages = many(PlatformMessage)


class PlatformUsers(Answer):
    """A page of people."""

    users = many(PlatformUser)
    next = Text()
