"""Reading what a request brings, and answering with JSON."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web
from marshmallow import Schema

from messenger.domain.ids import ConversationId, MessageId, UserId, parse_user_id
from messenger.errors import InvalidConversationId, InvalidFrame, InvalidMessageId, UserNotFound
from messenger.protocol import frames, schemas
from messenger.transport.auth import Identity
from messenger.transport.context import context


async def actor(request: web.Request) -> UserId:
    """On whose behalf the request is. Raises Unauthorized."""
    return (await context(request).authenticator.of_request(request)).user_id


async def user_or_host(request: web.Request) -> Identity | None:
    """On whose behalf the request is; None for the host application itself. Raises Unauthorized, UserNotFound."""
    return await context(request).authenticator.of_user_or_host(request)


async def json_object(request: web.Request) -> dict[str, Any]:
    """A JSON body as it came; one that is packed is not unpacked. Raises InvalidJson, InvalidFrame."""
    is_packed = any(
        coding.lower() not in ("", "identity") for coding in request.headers.getall(hdrs.CONTENT_ENCODING, ())
    )
    if request.content_type != "application/json" or is_packed:
        raise web.HTTPUnsupportedMediaType
    return schemas.parse(await request.read())


async def body(request: web.Request, schema: Schema) -> Any:
    """The command in a JSON body. Raises InvalidJson, InvalidFrame."""
    return schemas.load(schema, await json_object(request))


def conversation_id(request: web.Request) -> ConversationId:
    """Raises InvalidConversationId."""
    value = _uuid(request.match_info["conversation_id"])
    if value is None:
        raise InvalidConversationId(field="conversation_id")
    return ConversationId(value)


def message_id(request: web.Request) -> MessageId:
    """Raises InvalidMessageId."""
    value = _uuid(request.match_info["message_id"])
    if value is None:
        raise InvalidMessageId(field="message_id")
    return MessageId(value)


def participant_id(request: web.Request, me: UserId) -> UserId:
    """The user in the path; `me` is the actor. Raises UserNotFound."""
    named = request.match_info["user_id"]
    user_id = me if named == "me" else parse_user_id(named)
    if user_id is None:
        raise UserNotFound("Not a participant of this conversation")
    return user_id


def user_id(request: web.Request) -> UserId:
    """The user in the path. Raises UserNotFound."""
    found = parse_user_id(request.match_info["user_id"])
    if found is None:
        raise UserNotFound
    return found


def whole(request: web.Request, name: str, *, least: int = 0, most: int = 2**53 - 1) -> int | None:
    """A number of the query; None where it is absent. Raises InvalidFrame."""
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
        raise InvalidFrame(f"{name} must be an integer of at least {least}", field=name)
    return int(text)


def page(request: web.Request) -> int:
    """`limit`: 50 where it is absent, 200 where it is more. Raises InvalidFrame."""
    limit = whole(request, "limit", least=1)
    return 50 if limit is None else min(limit, schemas.MAX_PAGE)


def user_ids(request: web.Request, name: str, most: int) -> tuple[UserId, ...]:
    """`1,2,3` of the query. Raises InvalidFrame."""
    found = [parse_user_id(part) for part in request.query.get(name, "").split(",")]
    if not 1 <= len(found) <= most or None in found:
        raise InvalidFrame(f"{name} must be 1 to {most} user ids, separated by commas", field=name)
    return tuple(dict.fromkeys(user_id for user_id in found if user_id is not None))


def answer(told: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(status=status, body=frames.encode(told), content_type="application/json")


def _uuid(text: str) -> UUID | None:
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None
