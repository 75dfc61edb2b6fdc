"""Dialect C, channels by the host application's names: the socket. Its Platform API stands in `platform`.

The two tables below are the dialect: what a client may say, and what becomes of the core's events.
"""

import mimetypes
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar

from aiohttp import web
from marshmallow import validate

from messenger.dialects.channel_room import NOT_A_MEMBER, Caller, ChannelRoom
from messenger.dialects.places import hall
from messenger.dialects.room import Told, Tongue
from messenger.dialects.talk import Talk, nothing
from messenger.domain.attachment import address_of, upload_of
from messenger.domain.ids import UserId
from messenger.domain.message import SYSTEM, Draft
from messenger.errors import Forbidden, NotParticipant, Unauthorized
from messenger.protocol import frames, schemas
from messenger.protocol.fields import AnyUserId, Content, Text, Whole
from messenger.protocol.frames import Json
from messenger.store.lanes import Settle
from messenger.transport.auth import Identity, token_of
from messenger.transport.close import Close
from messenger.transport.commands import Entry
from messenger.transport.context import Context, context
from messenger.transport.opening import Waiting, connection_id, opened_when_in
from messenger.transport.operation import operation

IN_PATH: dict[str, Any] = {"channel_url": Text(shortest=1, longest=100)}
# Theirs → ours.
TYPES = {"MESG": "text", "FILE": "file", "IMAGE": "image"}


@operation(
    "Open a channel's WebSocket",
    who="socket",
    path=IN_PATH,
    gives={101: None},
    refuses=(Forbidden, HTTPStatus.UPGRADE_REQUIRED),
)
async def open_socket(request: web.Request) -> web.StreamResponse:
    """A member's device. Refused after the upgrade, by close code 1008: a token's reason, or `Not a member`, where there is no such
    channel too. 403 for a page of an origin that is not allowed, 426 without an upgrade. Where authentication is off, the query
    says who it is: `user_id`."""
    return await opened_when_in(request, ChannelTalk, _let_in)


@operation(
    "Open a channel's WebSocket for trying it",
    who="open socket",
    path=IN_PATH,
    query={"user_id": AnyUserId()},
    gives={101: None},
    refuses=(Forbidden, HTTPStatus.NOT_FOUND, HTTPStatus.UPGRADE_REQUIRED),
)
async def open_test_socket(request: web.Request) -> web.StreamResponse:
    """The same for whomever the query names; only where authentication is off, else 404."""
    if not context(request).authenticator.is_off:
        raise web.HTTPNotFound
    return await opened_when_in(request, ChannelTalk, _let_in)


async def _let_in(request: web.Request, here: Context, line: Waiting) -> Close | None:
    claims = None if here.authenticator.is_off else await here.authenticator.claims_of(token_of(request))
    async with here.entrance.passed(object()):
        try:
            if claims is None:
                identity = await _named(here, request.query.get("user_id", ""))
            else:
                identity = await here.authenticator.of_claims(claims)
            channel_url = request.match_info["channel_url"]
            conversation_id = await here.channel_rooms.find(identity.user_id, channel_url)
        except NotParticipant:
            return NOT_A_MEMBER
        room = hall(request).rooms.of(conversation_id, ChannelRoom).named(channel_url)
        device = line.device = Caller(identity.user_id, connection_id(), line, room, TONGUE)
        device.expires_at, device.issued_at = identity.expires_at, identity.issued_at
        why_not = await room.let_in(device, here.config.max_devices_per_user)
        if why_not is None:
            await device.enter()
        return why_not


async def _named(here: Context, named: str) -> Identity:
    """Raises NotParticipant where there is nobody of that name, Unavailable."""
    try:
        return await here.authenticator.of_path({}, named)
    except Unauthorized:
        raise NotParticipant from None


# What a client may say.


def post(kind: str, context: Context, device: Caller, command: Json, told: Settle) -> None:
    context.message_rates.take(device.user_id)
    draft = Draft(device.room.conversation_id, command["message"], TYPES[kind], attachments=_attached(command))
    context.messages.post(device.user_id, draft, told)


def _attached(command: Json) -> tuple[Json, ...]:
    """The file that a frame names; what it says of an upload of ours is said better by the database."""
    url = command.get("file_url")
    if url is None:
        return ()
    name = command["file_name"] or url.partition("?")[0].rpartition("/")[2][:255]
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return ({"url": address_of(url), "name": name, "size": command["file_size"], "mime_type": kind},)


class _Said(schemas.Command):
    makes: ClassVar[type[Any]] = dict
    message = Content(load_default="")


class _Sent(_Said):
    file_url = Text(
        load_default=None,
        allow_none=True,
        longest=2048,
        validate=validate.Regexp(schemas.ADDRESS, error="must be an http(s) URL or a path"),
    )
    file_name = Text(load_default="", longest=255)
    file_size = Whole(load_default=0)


COMMANDS: dict[str, Entry] = {
    kind: Entry(_Said() if kind == "MESG" else _Sent(), partial(post, kind), None, posts=True, sent=nothing)
    for kind in TYPES
}


class ChannelTalk(Talk):
    """A session that speaks dialect C."""

    __slots__ = ()
    dialect = "channel"
    commands = COMMANDS
    error = "ERROR"


# What becomes of the core's events.


def _words(told: Json) -> bytes:
    return frames.text_frame(frames.encode(told))


def said(room: ChannelRoom, event: Json) -> Told | None:
    message = event["data"]
    is_admins = message["message_type"] == SYSTEM
    if is_admins and not message["metadata"].get("admin_message"):
        return None
    attachment = next(iter(message["attachments"]), None)
    told = {
        "type": "ADMM" if is_admins else _kind(message["message_type"], attachment),
        "channel_url": room.channel_url,
        "user_id": None if is_admins else room.name(UserId(message["sender_id"])),
        "message": message["content"],
        "timestamp": message["created_at"],
    }
    if attachment is not None:
        upload_id = upload_of(attachment["url"])
        told |= {
            "file_url": attachment["url"] if upload_id is None else room.context.attachments.address(upload_id),
            "file_name": attachment.get("name"),
            "file_size": attachment.get("size"),
        }
    return Told(_words(told))


def _kind(message_type: str, attachment: Json | None) -> str:
    """What is of a type that they have not is what it looks like."""
    for theirs, ours in TYPES.items():
        if message_type == ours and (ours != "text" or attachment is None):
            return theirs
    if attachment is None:
        return "MESG"
    return "IMAGE" if str(attachment.get("mime_type", "")).startswith("image/") else "FILE"


def joined(room: ChannelRoom, event: Json) -> Told | None:
    user_id = UserId(event["user_id"])
    name = room.name(user_id)
    if not room.moved(user_id, inside=True):
        return None
    told = {"type": "USER_JOINED", "channel_url": room.channel_url, "user_id": name, "timestamp": event["timestamp"]}
    return Told(_words(told))


def added(room: ChannelRoom, event: Json) -> None:
    """Nobody is told: he has not come in yet."""
    room.expect(UserId(event["user_id"]))


def left(room: ChannelRoom, event: Json) -> Told | None:
    user_id = UserId(event["user_id"])
    name = room.name(user_id)
    if not room.moved(user_id, inside=False):
        return None
    return Told(_gone(room, name))


def removed(room: ChannelRoom, event: Json) -> Told:
    user_id = UserId(event["user_id"])
    name = room.name(user_id)
    words = _gone(room, name) if room.was_inside(user_id, event["change"]) else None
    return Told(words, but=user_id, end=NOT_A_MEMBER, only=user_id)


def _gone(room: ChannelRoom, name: str | int) -> bytes:
    return _words({"type": "USER_LEFT", "channel_url": room.channel_url, "user_id": name})


def deleted(_: ChannelRoom, __: Json) -> Told:
    return Told(end=NOT_A_MEMBER)


TONGUE: Tongue[ChannelRoom] = Tongue(
    "channel",
    {
        "message.new": said,
        "room.entered": joined,
        "room.left": left,
        "participant.added": added,
        "participant.removed": removed,
        "conversation.deleted": deleted,
    },
)
