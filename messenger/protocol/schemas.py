"""How frames and bodies are checked: marshmallow schemas, each made once, each yielding one value of `commands`.

Unknown fields are ignored (protocol.md); the known ones are strict, see `fields`.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import orjson
from marshmallow import EXCLUDE, INCLUDE, Schema, ValidationError, fields, post_load, pre_load, validate

from messenger.domain import conversation
from messenger.domain.notification import Subscription
from messenger.errors import (
    InvalidConversationId,
    InvalidFrame,
    InvalidJson,
    InvalidMessageId,
    MessengerError,
)
from messenger.protocol import commands
from messenger.protocol.fields import (
    UNSTORABLE,
    Content,
    Cursors,
    Free,
    Id,
    Moment,
    Text,
    Truth,
    UserIds,
    Whole,
    check_tree,
)

MAX_REF_CHARS = 64
# Neither javascript: nor data: ever reaches a reader's browser.
PICTURE = r"https?://[^\s]+\Z"
ADDRESS = r"(https?://|/(?!/))[^\s]+\Z"
MAX_PAGE = 200


class Command(Schema):
    """A schema that yields `makes`."""

    class Meta:
        unknown = EXCLUDE

    makes: ClassVar[type[Any]]

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        return self.makes(**data)


class OfConversation(Command):
    makes: ClassVar[type[Any]] = commands.OfConversation
    conversation_id = Id(required=True)


class OfMessage(Command):
    makes = commands.OfMessage
    message_id = Id(required=True)


class Typing(OfConversation):
    makes = commands.Typing
    is_typing = Truth(load_default=True)


class TypingStart(OfConversation):
    makes = commands.Typing

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        return commands.Typing(**data, is_typing=True)


class TypingStop(OfConversation):
    makes = commands.Typing

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        return commands.Typing(**data, is_typing=False)


class Attachment(Schema):
    class Meta:
        unknown = EXCLUDE

    url = Text(
        required=True,
        shortest=1,
        longest=2048,
        validate=validate.Regexp(ADDRESS, error="must be an http(s) URL or a path"),
    )
    name = Text(longest=255)
    size = Whole()
    mime_type = Text(longest=127)


class SendBody(Command):
    """A message over REST: the path names the conversation. `content` may be empty where there is an attachment."""

    requires_also: ClassVar[Mapping[str, Any]] = {
        "anyOf": [
            {"properties": {"content": Content().shape()}},
            {"properties": {"content": {"const": ""}, "attachments": {"minItems": 1}}, "required": ["attachments"]},
        ]
    }
    makes = commands.Send
    content = Text(required=True)
    message_type = Text(load_default="text", shortest=1, longest=64)
    client_id = Text(load_default=None, allow_none=True, shortest=1, longest=64)
    reply_to = Id(load_default=None, allow_none=True)
    mentions = UserIds(load_default=(), most=100)
    attachments = fields.List(
        fields.Nested(Attachment), load_default=(), validate=validate.Length(max=10, error="must be at most 10")
    )
    metadata = Free(load_default=dict)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        return self.makes(**{**data, "attachments": tuple(data["attachments"])})


class Send(SendBody):
    conversation_id = Id(required=True)


class EditBody(Command):
    makes = commands.Edit
    content = Content(required=True)


class Edit(EditBody):
    message_id = Id(required=True)


class React(Command):
    makes = commands.React
    message_id = Id(required=True)
    emoji = Text(required=True, shortest=1, longest=32)


class Limit(Whole):
    """How many: 200 where more is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(least=1, **options)

    def _deserialize(self, value: Any, *rest: Any, **options: Any) -> int:
        return min(super()._deserialize(value, *rest, **options), MAX_PAGE)


class HistoryPage(Command):
    makes = commands.ReadHistory
    before_seq = Whole(load_default=None, allow_none=True)
    after_seq = Whole(load_default=None, allow_none=True)
    limit = Limit(load_default=50)


class ReadHistory(HistoryPage):
    conversation_id = Id(required=True)


class Sync(Command):
    makes = commands.Sync
    cursors = Cursors(required=True)
    limit = Limit(load_default=200)


class Presence(Command):
    makes = commands.Presence
    user_ids = UserIds(required=True, most=500)


class Refresh(Command):
    makes = commands.Refresh
    token = Text(required=True)


class Ping(Command):
    makes = commands.Ping


TITLE: Any = {"allow_none": True, "longest": 200}
ROLES = validate.OneOf(("admin", "member", "observer"), error="must be admin, member or observer")


class CreateConversation(Command):
    makes = commands.CreateConversation
    type = Text(
        required=True,
        validate=validate.OneOf(("direct", "group", "announcement"), error="must be direct, group or announcement"),
    )
    title = Text(load_default=None, **TITLE)
    participant_ids = UserIds(required=True, most=1000)
    metadata = Free(load_default=dict)
    history = Text(load_default="all", validate=validate.OneOf(("all", "joined"), error="must be all or joined"))


class UpdateConversation(Command):
    makes = commands.UpdateConversation
    title = Text(**TITLE)
    metadata = Free()
    # Said by `make`, and in the documents.
    requires_also: ClassVar[Mapping[str, Any]] = {"anyOf": [{"required": ["title"]}, {"required": ["metadata"]}]}

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        if not data:
            raise ValidationError("must be given, or metadata", "title")
        return self.makes(**data, set_title="title" in data)


class AddParticipants(Command):
    makes = commands.AddParticipants
    user_ids = UserIds(required=True, fewest=1, most=1000)
    role = Text(load_default="member", validate=ROLES)


class SetRole(Command):
    makes = commands.SetRole
    role = Text(required=True, validate=ROLES)


class NotificationSettings(Command):
    """What is absent is the default, as it is for who never said."""

    makes = conversation.NotificationSettings
    level = Text(
        load_default="all",
        validate=validate.OneOf(("all", "mentions", "none"), error="must be all, mentions or none"),
    )
    muted_until = Moment(load_default=None, allow_none=True)
    push_enabled = Truth(load_default=True)
    email_enabled = Truth(load_default=False)


class PutUser(Command):
    makes = commands.PutUser
    name = Text(allow_none=True, shortest=1, longest=200)
    avatar_url = Text(
        allow_none=True, shortest=1, longest=2048, validate=validate.Regexp(PICTURE, error="must be an http(s) URL")
    )
    external_id = Text(
        allow_none=True,
        shortest=1,
        longest=128,
        validate=validate.Regexp(
            r"(?!me\Z).*[^0-9]", flags=re.DOTALL, error="must have a character that is no digit, and not be me"
        ),
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        return self.makes(data)


class OpenSession(Command):
    makes = commands.OpenSession
    title = Text(required=True, shortest=1, longest=200)
    session_code = Text(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"[A-Z0-9]{6,12}\Z", error="must be 6 to 12 of A-Z and 0-9"),
    )


class ChangeSession(Command):
    makes = commands.ChangeSession
    title = Text(load_default=None, shortest=1, longest=200)
    status = Text(load_default=None, validate=validate.OneOf(("active", "closed"), error="must be active or closed"))
    # Said by `make`, and in the documents.
    requires_also: ClassVar[Mapping[str, Any]] = {"anyOf": [{"required": ["title"]}, {"required": ["status"]}]}

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        if data["title"] is None and data["status"] is None:
            raise ValidationError("must be given, or status", "title")
        return self.makes(**data)


class JoinSession(Command):
    makes = commands.JoinSession
    # How long it is, is judged once it is trimmed.
    nickname = Text(required=True)


class State(Command):
    """Any object."""

    makes = dict

    class Meta:
        unknown = INCLUDE

    @pre_load
    def check(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        try:
            check_tree(data)
        except ValidationError as error:
            raise ValidationError(error.messages, "state") from None
        return data


class PushKeys(Schema):
    """What content for a browser is encrypted with (RFC 8291)."""

    class Meta:
        unknown = EXCLUDE

    p256dh = Text(required=True, shortest=1, longest=128)
    auth = Text(required=True, shortest=1, longest=64)


class RegisterDevice(Command):
    """A browser's PushSubscription.toJSON(), and what its user calls it."""

    endpoint = Text(required=True, shortest=1, longest=2048)
    keys = fields.Nested(PushKeys, required=True)
    name = Text(load_default=None, allow_none=True, shortest=1, longest=200)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        return Subscription(endpoint=data["endpoint"], name=data["name"], **data["keys"])


def parse(data: str | bytes) -> dict[str, Any]:
    """A frame's or body's JSON object. Raises InvalidJson, InvalidFrame for JSON that is no object."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = value_of(data)
    if not isinstance(value, dict):
        raise InvalidFrame("A frame must be a JSON object")
    return value


def value_of(data: str | bytes) -> Any:
    """A JSON value, with lone surrogates too, which orjson takes not: the contract names the field that holds one, so the schema
    has to see it. Raises InvalidJson."""
    try:
        if isinstance(data, bytes):
            data = data.decode()  # json itself would guess at UTF-16 and UTF-32
        return json.loads(data, parse_constant=_real, parse_float=_real, parse_int=_whole)
    except (ValueError, RecursionError):
        raise InvalidJson from None


def _whole(text: str) -> int | float:
    value = int(text)
    return value if -(2**63) <= value < 2**64 else _real(text)  # as orjson does


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidJson
    return value


def type_of(frame: Mapping[str, Any]) -> str:
    """A frame's `type`. Raises InvalidFrame."""
    kind = frame.get("type")
    if not isinstance(kind, str) or UNSTORABLE.search(kind):
        raise InvalidFrame("type is required and must be a string", field="type")
    return kind


def ref_of(frame: Mapping[str, Any]) -> str | None:
    """A frame's `ref`. Raises InvalidFrame."""
    ref = frame.get("ref")
    if ref is None:
        return None
    if not isinstance(ref, str) or len(ref) > MAX_REF_CHARS or UNSTORABLE.search(ref):
        raise InvalidFrame(f"ref must be a string of at most {MAX_REF_CHARS} characters", field="ref")
    return ref


def load(schema: Schema, frame: Mapping[str, Any]) -> Any:
    """The command in a frame or body. Raises InvalidFrame, InvalidConversationId or InvalidMessageId, with the field."""
    try:
        return schema.load(frame)
    except ValidationError as error:
        raise _told(cast("dict[str, Any]", error.messages)) from None


def _told(messages: dict[str, Any]) -> MessengerError:
    # The first field that is wrong; a client mends one at a time.
    field, problem = next(iter(messages.items()))
    if field == "conversation_id":
        return InvalidConversationId(field=field)
    if field == "message_id":
        return InvalidMessageId(field=field)
    while isinstance(problem, dict):
        problem = next(iter(problem.values()))
    text = problem[0] if isinstance(problem, list) else str(problem)
    if text == "Missing data for required field.":
        text = "is required"
    elif text == "Field may not be null.":
        text = "must not be null"
    return InvalidFrame(f"{field} {text}", field=field)
