"""/conversations/{id}/participants: who is in it."""

from aiohttp import web

from messenger.domain.ids import ConversationId, UserId
from messenger.errors import Conflict, Forbidden, UserNotFound
from messenger.protocol import answers, frames, schemas
from messenger.protocol.fields import UserIdOrMe
from messenger.transport.context import context
from messenger.transport.operation import operation
from messenger.transport.rest import bodies

_ADD = schemas.AddParticipants()
_ROLE = schemas.SetRole()


@operation("List who takes part", gives={200: answers.Participants})
async def list_(request: web.Request) -> web.Response:
    """Who came first stands first."""
    me = await bodies.actor(request)
    return await _everybody(request, me, bodies.conversation_id(request))


@operation("List who left", gives={200: answers.Former})
async def former(request: web.Request) -> web.Response:
    """Latest first, at most 500: what they wrote stays, and so does their name."""
    me = await bodies.actor(request)
    found = await context(request).conversations.former_participants(me, bodies.conversation_id(request))
    return bodies.answer({"participants": [frames.name(person) for person in found]})


@operation(
    "Add people",
    takes=schemas.AddParticipants,
    gives={201: answers.Participants},
    refuses=(Forbidden, UserNotFound),
)
async def add(request: web.Request) -> web.Response:
    """As an admin. Who is in it already stays as he is."""
    me = await bodies.actor(request)
    conversation_id = bodies.conversation_id(request)
    wanted = await bodies.body(request, _ADD)
    await context(request).conversations.add_participants(me, conversation_id, wanted.user_ids, wanted.role)
    return await _everybody(request, me, conversation_id, status=201)


@operation(
    "Change somebody's role",
    takes=schemas.SetRole,
    path={"user_id": UserIdOrMe()},
    gives={200: answers.Participants},
    refuses=(Forbidden, UserNotFound, Conflict),
)
async def set_role(request: web.Request) -> web.Response:
    """As an admin."""
    me = await bodies.actor(request)
    conversation_id, other = bodies.conversation_id(request), bodies.participant_id(request, me)
    wanted = await bodies.body(request, _ROLE)
    await context(request).conversations.set_role(me, conversation_id, other, wanted.role)
    return await _everybody(request, me, conversation_id)


@operation(
    "Remove somebody, or leave",
    path={"user_id": UserIdOrMe()},
    gives={204: None},
    refuses=(Forbidden, UserNotFound),
)
async def remove(request: web.Request) -> web.Response:
    """Somebody, as an admin; oneself as `me`."""
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
