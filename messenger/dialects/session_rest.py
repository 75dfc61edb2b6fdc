"""Dialect A over REST, under `/api/v1`: opening a live session, coming in, who is there, and what the presenter shows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from messenger.dialects.places import hall
from messenger.domain.session import MAX_STATE_BYTES, Attendee, Guest, LiveSession
from messenger.errors import (
    Conflict,
    Forbidden,
    NicknameTaken,
    NotParticipant,
    RateLimited,
    SessionNotFound,
    Unauthorized,
    Unavailable,
)
from messenger.protocol import answers, frames, schemas
from messenger.protocol.fields import Text
from messenger.transport.context import context
from messenger.transport.operation import operation
from messenger.transport.peer import network_of
from messenger.transport.rest import bodies

_OPEN, _CHANGE, _JOIN = schemas.OpenSession(), schemas.ChangeSession(), schemas.JoinSession()
_STATE = schemas.State()
IN_PATH: Mapping[str, Any] = {"session_code": Text(shortest=6, longest=12)}
NO_SUCH = (SessionNotFound, RateLimited, Unavailable)


@operation(
    "Open a live session",
    takes=schemas.OpenSession,
    gives={201: answers.OpenedSession},
    refuses=(Conflict,),
)
async def open_(request: web.Request) -> web.Response:
    """Whoever opens it is its host. A code is made where none is given; a given one that is taken is a conflict."""
    me = await bodies.actor(request)
    wanted = await bodies.body(request, _OPEN)
    here = context(request)
    opened = await here.sessions.open(me, wanted.title, wanted.session_code)
    host = await _participant(request, opened.host, opened.joined_at)
    return bodies.answer({**_session(opened.session, opened.title), "participant": host}, 201)


@operation(
    "Change a live session",
    takes=schemas.ChangeSession,
    path=IN_PATH,
    gives={200: answers.Session},
    refuses=(*NO_SUCH, Forbidden),
)
async def change(request: web.Request) -> web.Response:
    """As its host: another title, or `closed`, which admits nobody, takes no messages and ends everybody's connection."""
    me = await bodies.actor(request)
    session = await _named(request)
    wanted = await bodies.body(request, _CHANGE)
    try:
        changed = await context(request).sessions.change(me, session, title=wanted.title, status=wanted.status)
    except NotParticipant:
        raise Forbidden("Only the host can change a session") from None
    now = LiveSession(session.id, session.code, "active" if changed.closed_at is None else "closed")
    return bodies.answer(_session(now, changed.title or ""))


@operation(
    "Join a live session",
    who="anyone",
    takes=schemas.JoinSession,
    path=IN_PATH,
    gives={200: answers.Joined},
    refuses=(*NO_SUCH, NicknameTaken),
)
async def join(request: web.Request) -> web.Response:
    """As a guest, under a nickname of 2 to 20 letters, digits and spaces that nobody in the session has. No token is needed: the
    answer holds one."""
    here, place = context(request), hall(request)
    wanted = await bodies.body(request, _JOIN)
    session = await _named(request)
    here.joins.take(network_of(request, here.config))
    guest = await here.sessions.join(session, wanted.nickname)
    return bodies.answer(
        {
            "participant": await _participant(request, guest, guest.joined_at),
            "session": {"id": session.id, "title": guest.title or "", "session_code": session.code},
            "message": f"Welcome, {guest.nickname}",
            "token": place.visitors.token(guest.public_id, session.id),
        }
    )


@operation(
    "Show who is in a live session", who="anyone", path=IN_PATH, gives={200: answers.SessionStatus}, refuses=NO_SUCH
)
async def status(request: web.Request) -> web.Response:
    """Its hosts aside. Public: whoever knows the code may come in himself."""
    session = await _named(request)
    here = context(request)
    audience = await here.sessions.audience(session.id)
    online = await here.node.presence.online_of(audience)
    return bodies.answer(
        {
            "session_code": session.code,
            "status": session.status,
            "online_participants": [public_id for user_id, public_id in audience.items() if user_id in online],
            "online_count": len(online),
            "total_participants": len(audience),
        }
    )


@operation(
    "Read what the presenter shows",
    who="participant",
    path=IN_PATH,
    gives={200: "application/json"},
    refuses=NO_SUCH,
)
async def state(request: web.Request) -> web.Response:
    """The object that the host put there within the last hour; an empty one where there is none."""
    session = await _for_participant(request, may_be_anybody=True)
    return bodies.answer(await context(request).sessions.state(session.id))


@operation(
    "Show something",
    who="participant",
    takes=schemas.State,
    path=IN_PATH,
    gives={200: "application/json"},
    refuses=(*NO_SUCH, Forbidden),
)
async def put_state(request: web.Request) -> web.Response:
    """As the host: any JSON object of up to 16 KiB, kept for an hour and told to everybody in the room."""
    session = await _for_participant(request, as_host=True)
    size = len(await request.read())
    if size > MAX_STATE_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_STATE_BYTES, size)
    shown = await bodies.body(request, _STATE)
    await context(request).sessions.show(session.id, shown)
    return bodies.answer(shown)


async def _named(request: web.Request) -> LiveSession:
    """Raises SessionNotFound, RateLimited, Unavailable."""
    return await hall(request).visitors.session(request, request.match_info["session_code"])


async def _for_participant(request: web.Request, *, may_be_anybody: bool = False, as_host: bool = False) -> LiveSession:
    """An active session, and that whoever asks is in it. `may_be_anybody`: where authentication is off, nobody need say who he
    is. Raises Unauthorized, NotParticipant, Forbidden, SessionNotFound, RateLimited, Unavailable."""
    visitors = hall(request).visitors
    presented = await visitors.presented(request)
    if presented is None and not may_be_anybody:
        raise Unauthorized("token_missing")
    session = await _named(request)
    if session.status == "closed":
        raise SessionNotFound
    if presented is not None:
        visitor = await visitors.in_session(session, presented)
        if as_host and not visitor.attendee.is_host:
            raise Forbidden("Only the host can change the state")
    return session


def _session(session: LiveSession, title: str) -> frames.Json:
    return {"id": session.id, "title": title, "session_code": session.code, "status": session.status}


async def _participant(request: web.Request, who: Attendee | Guest, joined_at: datetime) -> frames.Json:
    online = await context(request).node.presence.online_of([who.user_id])
    return {
        "id": who.public_id,
        "nickname": who.nickname,
        "joined_at": joined_at,
        "is_online": who.user_id in online,
    }
