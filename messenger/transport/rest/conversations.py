"""/conversations: a person's list, and one conversation's life."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiohttp import web

from messenger.domain.conversation import Overview
from messenger.domain.ids import ConversationId
from messenger.errors import Forbidden, InvalidFrame, UserNotFound
from messenger.protocol import answers, frames, schemas
from messenger.protocol.fields import Text
from messenger.transport.context import context
from messenger.transport.operation import operation
from messenger.transport.rest import bodies

_CREATE = schemas.CreateConversation()
_UPDATE = schemas.UpdateConversation()
_NOTIFICATIONS = schemas.NotificationSettings()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@operation(
    "List my conversations",
    query={"limit": schemas.Limit(load_default=50), "cursor": Text()},
    gives={200: answers.Conversations},
)
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


@operation(
    "Make a conversation",
    takes=schemas.CreateConversation,
    gives={201: answers.OwnConversation, 200: answers.OwnConversation},
    refuses=(Forbidden, UserNotFound),
)
async def create(request: web.Request) -> web.Response:
    """201, and everybody in it is told `conversation.created`; a second direct one for the same pair is the first, with 200."""
    here = context(request)
    identity = await here.authenticator.of_request(request)
    wanted = await bodies.body(request, _CREATE)
    conversation, created = await here.conversations.create(
        identity.user_id,
        wanted.type,
        wanted.title,
        wanted.metadata,
        wanted.history,
        wanted.participant_ids,
        by_host=identity.by_host,
    )
    return bodies.answer(frames.own_conversation(conversation), 201 if created else 200)


@operation("Show a conversation", gives={200: answers.OwnConversation})
async def show(request: web.Request) -> web.Response:
    me = await bodies.actor(request)
    conversation = await context(request).conversations.find(me, bodies.conversation_id(request))
    return bodies.answer(frames.own_conversation(conversation))


@operation(
    "Change a conversation",
    takes=schemas.UpdateConversation,
    gives={200: answers.OwnConversation},
    refuses=(Forbidden,),
)
async def update(request: web.Request) -> web.Response:
    """Its title or its metadata, as an admin. What is absent stays as it is; a title of null is taken away."""
    me = await bodies.actor(request)
    conversation_id = bodies.conversation_id(request)
    wanted = await bodies.body(request, _UPDATE)
    conversation = await context(request).conversations.update(
        me, conversation_id, set_title=wanted.set_title, title=wanted.title, metadata=wanted.metadata
    )
    return bodies.answer(frames.own_conversation(conversation))


@operation("Delete a conversation", gives={204: None}, refuses=(Forbidden,))
async def delete(request: web.Request) -> web.Response:
    """With everything in it, as an admin; a direct one is only left."""
    me = await bodies.actor(request)
    await context(request).conversations.delete(me, bodies.conversation_id(request))
    return web.Response(status=204)


@operation("Show my notification settings", gives={200: answers.NotificationSettings})
async def notifications(request: web.Request) -> web.Response:
    """What one wants to be told of here."""
    me = await bodies.actor(request)
    settings = await context(request).conversations.notification(me, bodies.conversation_id(request))
    return bodies.answer(frames.notification_settings(settings))


@operation(
    "Change my notification settings", takes=schemas.NotificationSettings, gives={200: answers.NotificationSettings}
)
async def set_notifications(request: web.Request) -> web.Response:
    """What one wants to be told of from now on; what is absent is the default."""
    me = await bodies.actor(request)
    conversation_id = bodies.conversation_id(request)
    wanted = await bodies.body(request, _NOTIFICATIONS)
    here = context(request)
    await here.conversations.set_notification(me, conversation_id, wanted)
    await here.node.acquaintance.heeded(me)  # what is said from now on does not come under the old ones
    return bodies.answer(frames.notification_settings(wanted))


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
