"""/conversations/{id}/participants: who is in it."""

from aiohttp import web

from messenger.domain.ids import ConversationId, UserId
from messenger.protocol import frames, schemas
from messenger.transport.context import context
from messenger.transport.rest import bodies

_ADD = schemas.AddParticipants()
_ROLE = schemas.SetRole()


async def list_(request: web.Request) -> web.Response:
    me = await bodies.actor(request)
    return await _everybody(request, me, bodies.conversation_id(request))


async def add(request: web.Request) -> web.Response:
    me = await bodies.actor(request)
    conversation_id = bodies.conversation_id(request)
    wanted = await bodies.body(request, _ADD)
    await context(request).conversations.add_participants(me, conversation_id, wanted.user_ids, wanted.role)
    return await _everybody(request, me, conversation_id, status=201)


async def set_role(request: web.Request) -> web.Response:
    me = await bodies.actor(request)
    conversation_id, other = bodies.conversation_id(request), bodies.participant_id(request, me)
    wanted = await bodies.body(request, _ROLE)
    await context(request).conversations.set_role(me, conversation_id, other, wanted.role)
    return await _everybody(request, me, conversation_id)


async def remove(request: web.Request) -> web.Response:
    """Remove somebody, or leave as `me`."""
    me = await bodies.actor(request)
    conversation_id, other = bodies.conversation_id(request), bodies.participant_id(request, me)
    await context(request).conversations.remove_participant(me, conversation_id, other)
    return web.Response(status=204)


async def _everybody(
    request: web.Request, me: UserId, conversation_id: ConversationId, status: int = 200
) -> web.Response:
    here = context(request)
    participants = await here.conversations.participants(me, conversation_id)
    online = await here.node.presence.online_of(participant.user_id for participant in participants)
    return bodies.answer(
        {
            "participants": [
                frames.participant(participant, online=participant.user_id in online) for participant in participants
            ]
        },
        status,
    )
