"""/conversations: a person's list, and one conversation's life."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiohttp import web

from messenger.domain.conversation import Overview
from messenger.domain.ids import ConversationId
from messenger.errors import InvalidFrame
from messenger.protocol import frames, schemas
from messenger.transport.context import context
from messenger.transport.rest import bodies

_CREATE = schemas.CreateConversation()
_UPDATE = schemas.UpdateConversation()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def list_(request: web.Request) -> web.Response:
    """Mine, latest activity first; `next_cursor` leads to the following page, null at the end."""
    me = await bodies.actor(request)
    limit = bodies.page(request)
    found = await context(request).conversations.overview(me, _position(request.query.get("cursor")), limit + 1)
    return bodies.answer(
        {
            "conversations": [frames.overview(item) for item in found[:limit]],
            "next_cursor": _cursor(found[limit - 1]) if len(found) > limit else None,
        }
    )


async def create(request: web.Request) -> web.Response:
    """201; a second direct one for the same pair is the first, with 200."""
    me = await bodies.actor(request)
    wanted = await bodies.body(request, _CREATE)
    conversation, created = await context(request).conversations.create(
        me, wanted.type, wanted.title, wanted.metadata, wanted.history, wanted.participant_ids
    )
    return bodies.answer(frames.own_conversation(conversation), 201 if created else 200)


async def show(request: web.Request) -> web.Response:
    me = await bodies.actor(request)
    conversation = await context(request).conversations.find(me, bodies.conversation_id(request))
    return bodies.answer(frames.own_conversation(conversation))


async def update(request: web.Request) -> web.Response:
    me = await bodies.actor(request)
    conversation_id = bodies.conversation_id(request)
    wanted = await bodies.body(request, _UPDATE)
    conversation = await context(request).conversations.update(
        me, conversation_id, set_title=wanted.set_title, title=wanted.title, metadata=wanted.metadata
    )
    return bodies.answer(frames.own_conversation(conversation))


async def delete(request: web.Request) -> web.Response:
    me = await bodies.actor(request)
    await context(request).conversations.delete(me, bodies.conversation_id(request))
    return web.Response(status=204)


def _cursor(last: Overview) -> str:
    # In whole numbers: a float of seconds loses the last microsecond, and with it whoever shares it.
    microseconds = (last.active_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}:{last.conversation.id}".encode()).decode()


def _position(cursor: str | None) -> tuple[datetime, ConversationId] | None:
    if cursor is None:
        return None
    try:
        microseconds, _, conversation_id = base64.urlsafe_b64decode(cursor).decode().partition(":")
        return _EPOCH + timedelta(microseconds=int(microseconds)), ConversationId(UUID(conversation_id))
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidFrame("cursor is none of ours", field="cursor") from None
