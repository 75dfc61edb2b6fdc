"""Dialect B, live sessions over Socket.IO: the same rooms as dialect A's, for the stock socket.io client, by WebSocket and by
long-polling. python-socketio speaks the protocol and keeps no rooms: who hears what is the core's to say, on every node.

The two tables below are the dialect: what a client may emit, and what becomes of the core's events.
"""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from marshmallow import validate

from messenger.dialects.live import PARTICIPANT_NOT_FOUND, LiveRoom, closed, deleted
from messenger.dialects.places import Hall
from messenger.dialects.room import Told, Tongue
from messenger.dialects.session import check_said
from messenger.dialects.socket_door import Command, Connection, Door, Held, Listener, Words
from messenger.dialects.visitors import Refused
from messenger.domain.ids import UserId
from messenger.domain.message import Draft
from messenger.errors import Forbidden, NotParticipant, SessionNotFound, Unauthorized
from messenger.protocol import schemas
from messenger.protocol.fields import Text
from messenger.protocol.frames import Json
from messenger.transport.context import Context
from messenger.transport.operation import operation
from messenger.transport.session import leave


@operation(
    "Speak Socket.IO",
    who="open socket",
    gives={200: "text/plain", 101: None},
    refuses=(Forbidden, HTTPStatus.BAD_REQUEST),
)
async def poll(request: web.Request) -> web.StreamResponse:
    """Version 4 of the Engine.IO protocol, by long-polling or WebSocket. 400 also for a `sid` of another process. 403 for a page
    of an origin that is not allowed."""
    return await request.app[DOOR].handle(request)


@operation(
    "Speak Socket.IO, upwards",
    who="open socket",
    gives={200: "text/plain"},
    refuses=(Forbidden, HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
)
async def push(request: web.Request) -> web.StreamResponse:
    """What a client says by long-polling, at most 256 packets at once."""
    return await request.app[DOOR].handle(request)


# What a client may emit.


async def join_session(door: "Door", connection: Connection, data: Json) -> None:
    wanted = schemas.load(_JOIN, data)
    here, place = door.context, door.hall
    if connection.hearer is not None:
        if connection.hearer.room.conversation_id != (await _session(door, connection, wanted["session_id"])).id:
            raise Forbidden("Already in another session")
        door.tell(connection, joined(wanted["session_id"], connection.hearer.live))
        return
    here.message_rates.take(connection.engine_sid)  # everybody is told
    presented = await place.visitors.known(connection.shown)
    session = await _session(door, connection, wanted["session_id"])
    try:
        visitor = await place.visitors.participant(session, presented, wanted["participant_id"])
    except Refused as refused:
        raise NotParticipant(refused.why.reason) from None
    if connection.shown is not None and wanted["nickname"] not in (None, visitor.attendee.nickname):
        raise Forbidden("nickname is not the token's")
    if visitor.expires_at is not None and visitor.expires_at + here.authenticator.leeway_s <= time.time():
        raise Unauthorized("token_expired")
    if wanted["role"] == "presenter" and not visitor.attendee.is_host:
        raise Forbidden("Only the host can present")
    async with here.entrance.passed(connection):
        if connection.sid not in door.connections:
            return  # it went meanwhile
        room = place.rooms.of(session.id, LiveRoom).named(session)
        held = Held(door, connection)
        hearer = Listener(visitor.attendee.user_id, held, room, TONGUE)
        hearer.expires_at, hearer.issued_at = visitor.expires_at, visitor.issued_at
        connection.hearer = hearer
        try:
            why_not = await room.let_in(hearer, here.config.max_devices_per_user)
        except BaseException:  # it may try again
            if connection.hearer is hearer:
                connection.hearer = None
            leave(here, hearer)
            raise
    if why_not is not None:
        held.close(why_not)
    elif held.is_open and hearer in here.devices:
        door.tell(connection, joined(wanted["session_id"], room))
        here.sessions.stir(session.id)


async def send_message(door: "Door", connection: Connection, data: Json) -> None:
    wanted = schemas.load(_SEND, data)
    hearer, here = _joined(connection), door.context
    content = check_said(here, wanted["message"], "Message")
    here.message_rates.take(hearer.user_id)
    await here.messages.send(hearer.user_id, Draft(hearer.room.conversation_id, content, wanted["message_type"]))


async def get_chat_history(door: "Door", connection: Connection, _: Json) -> None:
    hearer = _joined(connection)
    door.context.message_rates.take(hearer.user_id)  # it is as much as many of them
    with hearer.held.deferring() as meanwhile:
        messages, count = await door.context.sessions.history(hearer.user_id, hearer.room.conversation_id)
        told = [entry(it.id, it.nickname, it.content, it.message_type, it.created_at) for it in messages]
        # Clients show the history in place of all they have: what is said meanwhile and is not in it has to come behind it.
        known = {str(it.id) for it in messages}
        place = max((place for place, words in enumerate(meanwhile, 1) if words.data.get("id") in known), default=0)
        meanwhile.insert(place, Words("chat_history", {"messages": told, "total_count": count}))


COMMANDS: Mapping[str, Command] = {
    "join_session": join_session,
    "send_message": send_message,
    "get_chat_history": get_chat_history,
}


class _Join(schemas.Command):
    makes = dict
    session_id = Text(required=True, shortest=1, longest=64)
    participant_id = Text(required=True, shortest=1, longest=64)
    nickname = Text(load_default=None, allow_none=True, longest=200)
    role = Text(
        load_default="participant",
        validate=validate.OneOf(("participant", "presenter"), error="must be participant or presenter"),
    )


class _Send(schemas.Command):
    makes = dict
    message = Text(load_default=None, allow_none=True)
    message_type = Text(load_default="text", shortest=1, longest=64)


_JOIN, _SEND = _Join(), _Send()


async def _session(door: "Door", connection: Connection, named: str) -> Any:
    """An active session. Raises SessionNotFound, RateLimited, Unavailable."""
    session = await door.hall.visitors.session(connection.request, named, by_id=True)
    if session.status == "closed":
        raise SessionNotFound
    return session


def _joined(connection: Connection) -> "Listener":
    if connection.hearer is None or not connection.hearer.wire.is_open:
        raise NotParticipant("Join a session first")
    return connection.hearer


def joined(session_id: str, room: LiveRoom) -> Words:
    return Words("joined_session", {"session_id": session_id, "participant_count": room.count})


def entry(id_: Any, nickname: str, content: str, message_type: str, created_at: Any) -> Json:
    """A message, live or of the history; id and time are text already, or become it."""
    return {
        "id": id_,
        "participant_nickname": nickname,
        "message": content,
        "message_type": message_type,
        "created_at": created_at,
    }


# What becomes of the core's events.


def said(room: LiveRoom, event: Json) -> Told:
    message = event["data"]
    nickname = room.person(UserId(message["sender_id"])).nickname
    told = entry(message["id"], nickname, message["content"], message["message_type"], message["created_at"])
    return Told(Words("new_message", told))


def counted(room: LiveRoom, event: Json) -> Told:
    return Told(Words("participant_count_update", {"count": room.count}))


def removed(room: LiveRoom, event: Json) -> Told:
    return Told(counted(room, event).words, end=PARTICIPANT_NOT_FOUND, only=UserId(event["user_id"]))


TONGUE: Tongue[LiveRoom] = Tongue(
    "socket.io",
    {
        "message.new": said,
        "user.online": counted,
        "user.offline": counted,
        "session.stirred": counted,
        "participant.removed": removed,
        "conversation.updated": closed,
        "conversation.deleted": deleted,
    },
)


def make_door(here: Context, place: Hall) -> Door:
    return Door(here, place, COMMANDS)


DOOR = web.AppKey("messenger.socket_io", Door)
