"""Dialect A, live sessions: classes, talks, questions. The socket; what REST offers stands in `session_rest`.

The two tables below are the dialect: what a client may say, and what becomes of the core's events.
"""

from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar

from aiohttp import web

from messenger.dialects.live import PARTICIPANT_NOT_FOUND, LiveRoom, closed, deleted
from messenger.dialects.places import hall
from messenger.dialects.room import Hearer, Told, Tongue
from messenger.dialects.talk import Talk, nothing
from messenger.dialects.visitors import Refused
from messenger.domain.ids import MessageId, UserId
from messenger.domain.message import Draft
from messenger.domain.session import MAX_SAID_CHARS
from messenger.errors import ContentEmpty, ContentTooLong, Forbidden
from messenger.protocol import frames, schemas
from messenger.protocol.fields import Content, Id, Text, Truth
from messenger.protocol.frames import Json
from messenger.store.lanes import Settle
from messenger.transport.auth import token_of
from messenger.transport.close import Close
from messenger.transport.commands import Entry
from messenger.transport.context import Context
from messenger.transport.opening import Waiting, connection_id, opened_when_in
from messenger.transport.operation import operation


@operation(
    "Open a live session's WebSocket",
    who="socket",
    path={"session_code": Text(shortest=6, longest=12), "participant_id": Id()},
    gives={101: None},
    refuses=(Forbidden, HTTPStatus.UPGRADE_REQUIRED),
)
async def open_socket(request: web.Request) -> web.StreamResponse:
    """A participant's device. Refused after the upgrade, by close code 1008: a token's reason, `Session not found`, `Invalid
    participant ID` or `Participant not found`. 403 for a page of an origin that is not allowed, 426 without an upgrade."""
    return await opened_when_in(request, SessionTalk, _let_in)


async def _let_in(request: web.Request, here: Context, line: Waiting) -> Close | None:
    place = hall(request)
    shown = await place.visitors.shown(None if here.authenticator.is_off else token_of(request))
    try:
        visitor = await place.visitors.at_door(
            request, shown, request.match_info["session_code"], request.match_info["participant_id"]
        )
    except Refused as refused:
        return refused.why
    # A crowd takes turns; those of one address did so before, and hold up nobody else.
    async with here.entrance.passed(object()):
        room = place.rooms.of(visitor.session.id, LiveRoom).named(visitor.session)
        device = line.device = Hearer(visitor.attendee.user_id, connection_id(), line, room, TONGUE)
        device.expires_at, device.issued_at = visitor.expires_at, visitor.issued_at
        return await room.let_in(device, here.config.max_devices_per_user)


# What a client may say.


async def type_(context: Context, device: Hearer, command: Json) -> None:
    context.typing.note(device, device.user_id, device.room.conversation_id, is_typing=command["is_typing"])


async def appear(context: Context, device: Hearer, _: Json) -> None:
    context.message_rates.take(device.user_id)  # it goes to everybody, as a message does
    context.sessions.appear(device.room.conversation_id, device.user_id)


async def answer(context: Context, device: Hearer, command: Json) -> None:
    await context.sessions.answer(device.user_id, MessageId(command["message_id"]))


def post(message_type: str, context: Context, device: Hearer, command: Json, told: Settle) -> None:
    content = check_said(context, command["content"], "Question" if message_type == "question" else "Message")
    context.message_rates.take(device.user_id)
    context.messages.post(device.user_id, Draft(device.room.conversation_id, content, message_type), told)


def check_said(context: Context, content: str | None, what: str) -> str:
    """What is said in a live session. Raises ContentEmpty, ContentTooLong."""
    if content is None or not content.strip():
        raise ContentEmpty(f"{what} content cannot be empty", field="content")
    longest = min(MAX_SAID_CHARS, context.config.max_content_chars)
    if len(content) > longest:
        raise ContentTooLong.over(longest)
    return content


class _Words(schemas.Command):
    makes: ClassVar[type[Any]] = dict


class _Said(_Words):
    content = Content(load_default=None, allow_none=True)


class _Typing(_Words):
    is_typing = Truth(load_default=True)


class _Answered(_Words):
    message_id = Id(required=True)


COMMANDS: dict[str, Entry] = {
    "chat_message": Entry(_Said(), partial(post, "text"), None, posts=True, sent=nothing),
    "question": Entry(_Said(), partial(post, "question"), None, posts=True, sent=nothing),
    "typing": Entry(_Typing(), type_, None),
    "participant_update": Entry(_Words(), appear, None),
    "question.answered": Entry(_Answered(), answer, None),
}


class SessionTalk(Talk):
    """A session that speaks dialect A."""

    __slots__ = ()
    dialect = "session"
    commands = COMMANDS


# What becomes of the core's events.


def _words(told: Json) -> bytes:
    return frames.text_frame(frames.encode(told))


def said(room: LiveRoom, event: Json) -> Told | None:
    message = event["data"]
    kind = "question" if message["message_type"] == "question" else "chat_message"
    sender = room.person(UserId(message["sender_id"]))
    return Told(
        _words(
            {
                "type": kind,
                "message_id": message["id"],
                "content": message["content"],
                "participant_id": sender.public_id,
                "participant_nickname": sender.nickname,
                "timestamp": message["created_at"],
                "session_code": room.code,
            }
        )
    )


def typing(room: LiveRoom, event: Json) -> Told:
    who = room.person(UserId(event["user_id"]))
    told = {
        "type": "typing",
        "participant_id": who.public_id,
        "participant_nickname": who.nickname,
        "is_typing": event["is_typing"],
        "session_code": room.code,
    }
    return Told(_words(told), but=who.user_id)


def joined(room: LiveRoom, event: Json) -> Told:
    who = room.person(UserId(event["user_id"]))
    told = {"type": "participant_joined", "participant_id": who.public_id, "message": f"{who.nickname} joined"}
    return Told(_words(told), but=who.user_id)


def left(room: LiveRoom, event: Json) -> Told:
    who = room.person(UserId(event["user_id"]))
    told = {"type": "participant_left", "participant_id": who.public_id, "message": f"{who.nickname} left"}
    return Told(_words(told), but=who.user_id)


def removed(room: LiveRoom, event: Json) -> Told:
    user_id = UserId(event["user_id"])
    words = left(room, event).words if room.is_here(user_id) else None
    return Told(words, but=user_id, end=PARTICIPANT_NOT_FOUND, only=user_id)


def appeared(room: LiveRoom, event: Json) -> Told:
    who = room.person(UserId(event["user_id"]))
    return Told(
        _words(
            {
                "type": "participant_update",
                "participant_id": who.public_id,
                "participant_nickname": who.nickname,
                "is_online": room.is_here(who.user_id),
                "session_code": room.code,
            }
        )
    )


def state_changed(room: LiveRoom, event: Json) -> Told:
    return Told(_words({"type": "state_update", "state": event["state"], "session_code": room.code}))


def answered(room: LiveRoom, event: Json) -> Told | None:
    """A question that was edited after its answer is told so once more: harmless, and all that the last state says."""
    match event["data"]:
        case {"message_type": "question", "metadata": {"answered_by": int(user_id), "answered_at": str(answered_at)}}:
            host = room.person(UserId(user_id))
        case _:
            return None
    return Told(
        _words(
            {
                "type": "question.answered",
                "message_id": event["message_id"],
                "participant_id": host.public_id,
                "participant_nickname": host.nickname,
                "timestamp": answered_at,
                "session_code": room.code,
            }
        )
    )


TONGUE: Tongue[LiveRoom] = Tongue(
    "session",
    {
        "message.new": said,
        "message.edited": answered,
        "question.answered": answered,
        "typing": typing,
        "user.online": joined,
        "user.offline": left,
        "participant.removed": removed,
        "session.participant": appeared,
        "session.state": state_changed,
        "conversation.updated": closed,
        "conversation.deleted": deleted,
    },
)
