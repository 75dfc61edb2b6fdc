"""The fields of frames and bodies: strict on purpose. No text for numbers, no number for booleans, no NUL and no lone
surrogate anywhere, and nothing is ever changed silently.

Each says beside its check what that means as JSON Schema (`shape`): the documents cannot promise anything else. What the
daemon says is described by the same fields (`answers`).
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields

from messenger.domain.ids import MAX_USER_ID
from messenger.errors import InvalidConversationId

Shape = dict[str, Any]

# Room for any sensible nesting, and below every parser's limit on the way.
MAX_DEPTH = 16
# Of one JSON object of a client's own; a page holds 200 of them.
MAX_TREE_BYTES = 65536
UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def check_text(text: str) -> None:
    """PostgreSQL stores no NUL, UTF-8 has no lone surrogate. Raises ValidationError."""
    if UNSTORABLE.search(text):
        raise ValidationError("must not contain U+0000 or lone surrogates")


def check_tree(value: Any, depth: int = MAX_DEPTH) -> int:
    """The same for every text in a JSON value, and no deeper than MAX_DEPTH. Returns about how many bytes PostgreSQL
    needs to write the value out: jsonb says 1e308 in 309 digits. Raises ValidationError."""
    if depth == 0:
        raise ValidationError(f"must not be nested deeper than {MAX_DEPTH}")
    match value:
        case str():
            check_text(value)
            return len(value.encode()) + 4
        case dict():
            return 2 + sum(check_tree(key, depth) + check_tree(item, depth - 1) for key, item in value.items())
        case list():
            return 2 + sum(check_tree(item, depth - 1) for item in value)
        case float() if value:
            return 20 + int(abs(math.log10(abs(value))))
    return 20


class Text(fields.Field[str]):
    """A string, as it came."""

    def __init__(self, *, shortest: int = 0, longest: int | None = None, **options: Any) -> None:
        self.shortest = shortest
        self.longest = longest
        super().__init__(**options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string")
        check_text(value)
        if len(value) < self.shortest:
            raise ValidationError(
                "must not be empty" if self.shortest == 1 else f"must have {self.shortest} characters"
            )
        if self.longest is not None and len(value) > self.longest:
            raise ValidationError(f"must have at most {self.longest} characters")
        return value

    def shape(self) -> Shape:
        bounds = {"minLength": self.shortest or None, "maxLength": self.longest}
        return {"type": "string", **{name: bound for name, bound in bounds.items() if bound is not None}}


class Content(Text):
    """What a message says. That it is not empty and not too long is checked where it is stored (`content_empty`)."""

    def shape(self) -> Shape:
        return {**super().shape(), "minLength": 1, "pattern": r"\S"}


class Whole(fields.Field[int]):
    """A JSON integer within bounds: not a boolean, not 1.0, not "1"."""

    def __init__(self, *, least: int = 0, most: int = MAX_USER_ID, **options: Any) -> None:
        self.least = least
        self.most = most
        super().__init__(**options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValidationError("must be an integer")
        if not self.least <= value <= self.most:
            raise ValidationError(f"must be between {self.least} and {self.most}")
        return value

    def shape(self) -> Shape:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


class UserId(Whole):
    """A user of the host application."""

    def __init__(self, **options: Any) -> None:
        super().__init__(least=1, **options)


class UserIdOrMe(UserId):
    """In a path: somebody, or whoever asks."""

    def shape(self) -> Shape:
        return {"anyOf": [super().shape(), {"type": "string", "const": "me"}]}


class AnyUserId(UserId):
    """In a path: somebody, by the daemon's id or the host's own."""

    def shape(self) -> Shape:
        return {"anyOf": [super().shape(), {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "[^0-9]"}]}


class Truth(fields.Field[bool]):
    """true or false, nothing that merely looks like it."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value

    def shape(self) -> Shape:
        return {"type": "boolean"}


class Id(fields.Field[UUID]):
    """A UUID in its canonical form of 36 characters."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> UUID:
        if not isinstance(value, str) or not UUID_TEXT.fullmatch(value):
            raise ValidationError("must be a UUID")
        return UUID(value)

    def shape(self) -> Shape:
        return {"type": "string", "format": "uuid"}


class Moment(fields.Field[datetime]):
    """A time of RFC 3339, with its offset."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise ValidationError("must be a time such as 2026-01-31T12:00:00Z")
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValidationError("must be a time such as 2026-01-31T12:00:00Z") from None

    def shape(self) -> Shape:
        return {"type": "string", "format": "date-time"}


class Free(fields.Field[Mapping[str, Any]]):
    """A JSON object of the client's own."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        if check_tree(value) > MAX_TREE_BYTES:
            raise ValidationError(f"must not be larger than {MAX_TREE_BYTES} bytes")
        return value

    def shape(self) -> Shape:
        return {"type": "object", "additionalProperties": True}


class UserIds(fields.Field[tuple[int, ...]]):
    """A list of user ids, without repetitions and in the order given."""

    def __init__(self, *, fewest: int = 0, most: int, **options: Any) -> None:
        self.fewest = fewest
        self.most = most
        super().__init__(**options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[int, ...]:
        if not isinstance(value, list) or not self.fewest <= len(value) <= self.most:
            raise ValidationError(f"must be a list of {self.fewest} to {self.most} user ids")
        for item in value:
            if not isinstance(item, int) or isinstance(item, bool) or not 1 <= item <= MAX_USER_ID:
                raise ValidationError("must hold user ids: integers from 1 to 2^53-1")
        return tuple(dict.fromkeys(value))

    def shape(self) -> Shape:
        return {"type": "array", "items": UserId().shape(), "minItems": self.fewest, "maxItems": self.most}


class Cursors(fields.Field[Mapping[UUID, int]]):
    """`{conversation_id: change}`."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Mapping[UUID, int]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        cursors = {}
        for key, change in value.items():
            if not UUID_TEXT.fullmatch(key):
                raise InvalidConversationId(field="cursors")
            if not isinstance(change, int) or isinstance(change, bool) or not 0 <= change <= MAX_USER_ID:
                raise ValidationError("must hold changes: integers from 0 on")
            cursors[UUID(key)] = change
        return cursors

    def shape(self) -> Shape:
        return {"type": "object", "propertyNames": {"format": "uuid"}, "additionalProperties": Whole().shape()}
