"""The Platform API, under `/v3`: a compatible part of a vendor's, so that a host application that knows that one goes on with
another base address. It is the host's alone, by a key in `Api-Token`, and is not there at all while none is set.

It keeps nothing of its own: channels are conversations and messages are messages, changed by the same use cases, so that every
device is told. Rates, which bound what one user may do, do not bound the host application.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

import structlog
from aiohttp import web
from marshmallow import ValidationError

from messenger.dialects import platform_shapes as shapes
from messenger.domain.attachment import address_of
from messenger.domain.channel import COVER_URL, CUSTOM_TYPE, DATA, Around, Changes, Channel, Entry, Member
from messenger.domain.ids import ConversationId, UserId, parse_user_id
from messenger.domain.message import Draft
from messenger.errors import (
    InvalidFrame,
    InvalidJson,
    MessageNotFound,
    MessengerError,
)
from messenger.protocol import platform as said
from messenger.protocol.fields import Text, Truth, Whole, check_text
from messenger.protocol.frames import Json
from messenger.service.channels import Wanted, client_id_of
from messenger.transport import masks
from messenger.transport.context import CONFIG, context
from messenger.transport.doorstep import Late, Lengthy
from messenger.transport.operation import Field, operation
from messenger.transport.rest import bodies

T = TypeVar("T")

log = structlog.get_logger(__name__)

ROOT = "/v3"
HEADER = "Api-Token"
# So many members are told of with a channel; all of them are listed by themselves.
MEMBERS_SHOWN = 100
MOST_AROUND = 200
AROUND = 15
PAGE = 10
MOST_PAGE = 100

_MAKE, _CHANGE, _INVITE, _LEAVE = said.MakeChannel(), said.ChangeChannel(), said.Invite(), said.Leave()
_SAY, _EDIT, _MAKE_USER, _CHANGE_USER = said.SayInChannel(), said.ChangeMessage(), said.MakeUser(), said.ChangeUser()

LIMIT: Mapping[str, Field] = {"limit": Whole(least=1, most=MOST_PAGE), "token": Text()}
CHANNEL: Mapping[str, Field] = {"channel_url": Text()}
MESSAGE: Mapping[str, Field] = {**CHANNEL, "message_number": Whole()}
USER: Mapping[str, Field] = {"user_id": Text()}
ORDERS = ("chronological", "latest_last_message")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def keep_to_the_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is asked below `/v3`, and whatever comes of it: only with the key, and every failure in the vendor's words."""
    resource = request.match_info.route.resource
    if not (request.path == ROOT or request.path.startswith(f"{ROOT}/")) and not (
        resource is not None and resource.canonical.startswith(f"{ROOT}/")
    ):
        return await handler(request)
    key = request.app[CONFIG].api_token
    if not key:
        raise web.HTTPNotFound
    shown = request.headers.getall(HEADER, [])
    # Of two, a proxy before us may have looked at the other.
    if len(shown) != 1 or not hmac.compare_digest(shown[0].encode(errors="surrogateescape"), key.encode()):
        return _refused(shapes.refused(shapes.BAD_TOKEN, f"No valid {HEADER}."))
    try:
        return await handler(request)
    except MessengerError as error:
        return _refused(shapes.refusal(error))
    except (Late, Lengthy, web.RequestPayloadError):
        response = _refused(shapes.refusal(InvalidJson()))
        response.force_close()  # where the next request begins, nobody could tell
        return response
    except web.HTTPException as refusal:
        if refusal.status < 400:
            raise
        is_absent = refusal.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
        return _refused(shapes.refused(shapes.NOT_FOUND if is_absent else shapes.BAD_VALUE, refusal.reason))
    except ConnectionError:
        raise
    except Exception:
        reference = secrets.token_hex(6)
        log.exception("request failed", id=reference, path=masks.path_of(request))
        return _refused(shapes.refused(shapes.FAILED, f"Internal error ({reference})"))


def _refused(told: Json) -> web.Response:
    return bodies.answer(told, 500 if told["code"] == shapes.FAILED else 400)


@operation("Make a channel", who="platform", takes=said.MakeChannel, gives={200: said.PlatformChannel})
async def create(request: web.Request) -> web.Response:
    """A group conversation by a name of the host's; one is made where none is given. The operators are its admins; where there is
    none, whoever invited the others or else the first of them is. Unknown people become users, unless they are refused."""
    wanted = await bodies.body(request, _MAKE)
    if wanted.is_distinct:
        raise InvalidFrame("is_distinct is not supported: give the channel a channel_url", field="is_distinct")
    fields = {CUSTOM_TYPE: wanted.custom_type, COVER_URL: wanted.cover_url, DATA: wanted.data}
    channel = await context(request).channels.create(
        wanted.channel_url,
        wanted.name or None,
        {name: value for name, value in fields.items() if value},
        wanted.user_ids,
        wanted.operator_ids,
        wanted.inviter_id,
    )
    return await _channel(request, channel, show_member=True)


@operation(
    "List channels",
    who="platform",
    query={
        **LIMIT,
        "show_member": Truth(),
        "show_empty": Truth(),
        "members_include_in": Text(),
        "channel_urls": Text(),
        "order": Text(validate=said.one_of(*ORDERS)),
        "distinct_mode": Text(validate=said.one_of("all", "distinct", "nondistinct")),
        "public_mode": Text(validate=said.one_of("all", "public", "private")),
        "super_mode": Text(validate=said.one_of("all", "super", "nonsuper")),
    },
    gives={200: said.PlatformChannels},
)
async def list_(request: web.Request) -> web.Response:
    """The newest first. Those in which nothing was said yet too, unless `show_empty` is false."""
    limit = _limit(request)
    wanted = Wanted(
        order=_one_of(request, "order", *ORDERS),
        names=_texts(request, "members_include_in"),
        urls=_texts(request, "channel_urls"),
        empty=_truth(request, "show_empty", default=True),
    )
    before = _place(request, lambda text: ConversationId(UUID(text)))
    show_member = _truth(request, "show_member", default=False)
    modes = (
        _one_of(request, "distinct_mode", "all", "distinct", "nondistinct"),
        _one_of(request, "public_mode", "all", "public", "private"),
        _one_of(request, "super_mode", "all", "super", "nonsuper"),
    )
    channels: Sequence[Channel] = ()
    following = None
    if not {"distinct", "public", "super"}.intersection(modes):
        channels, following = await context(request).channels.page(wanted, before, limit)
    told = await _channels(request, channels, show_member=show_member)
    return bodies.answer({"channels": told, "next": _token(following)})


@operation(
    "Show a channel", who="platform", path=CHANNEL, query={"show_member": Truth()}, gives={200: said.PlatformChannel}
)
async def show(request: web.Request) -> web.Response:
    """With the first 100 of its members, where `show_member` asks for them."""
    show_member = _truth(request, "show_member", default=False)
    return await _channel(request, await _named(request), show_member=show_member)


@operation(
    "Change a channel", who="platform", path=CHANNEL, takes=said.ChangeChannel, gives={200: said.PlatformChannel}
)
async def change(request: web.Request) -> web.Response:
    """What is absent stays as it is; what is empty is taken away. Refused where everybody has left."""
    wanted = await bodies.body(request, _CHANGE)
    fields = {name: wanted[name] or None for name in (CUSTOM_TYPE, COVER_URL, DATA) if name in wanted}
    changes = Changes("name" in wanted, wanted.get("name") or None, fields)
    channel = await context(request).channels.change(request.match_info["channel_url"], changes)
    return await _channel(request, channel, show_member=False)


@operation("Delete a channel", who="platform", path=CHANNEL, gives={200: said.Nothing})
async def delete(request: web.Request) -> web.Response:
    """With everything in it."""
    await context(request).channels.delete(request.match_info["channel_url"])
    return bodies.answer({})


@operation("Invite people", who="platform", path=CHANNEL, takes=said.Invite, gives={200: said.PlatformChannel})
async def invite(request: web.Request) -> web.Response:
    """They are in it at once. Who is in it already stays as he is; the first one into a channel that everybody has left is its
    operator."""
    wanted = await bodies.body(request, _INVITE)
    channel = await context(request).channels.invite(request.match_info["channel_url"], wanted.user_ids)
    return await _channel(request, channel, show_member=True)


@operation("Let people leave", who="platform", path=CHANNEL, takes=said.Leave, gives={200: said.Nothing})
async def leave(request: web.Request) -> web.Response:
    """Who is not in it is passed over. Where no operator is left, whoever came first is one."""
    wanted = await bodies.body(request, _LEAVE)
    url = request.match_info["channel_url"]
    if wanted.should_leave_all:
        await context(request).channels.leave_all(url)
    elif wanted.user_ids:
        await context(request).channels.leave(url, wanted.user_ids)
    else:
        raise InvalidFrame("user_ids must name somebody", field="user_ids")
    return bodies.answer({})


@operation("List members", who="platform", path=CHANNEL, query=LIMIT, gives={200: said.PlatformMembers})
async def members(request: web.Request) -> web.Response:
    """Who came first stands first."""
    limit = _limit(request)
    above = _place(request, parse_user_id)
    found = await context(request).channels.members(await _named(request), above, limit + 1)
    people = await _people(request, {member.user_id for member in found})
    online = await _online(request, found[:limit])
    following = (found[limit - 1].joined_at, found[limit - 1].user_id) if len(found) > limit else None
    return bodies.answer(
        {
            "members": [
                shapes.member(member, people.get(member.user_id), is_online=member.user_id in online)
                for member in found[:limit]
            ],
            "next": _token(following),
        }
    )


@operation("Say something", who="platform", path=CHANNEL, takes=said.SayInChannel, gives={200: said.PlatformMessage})
async def say(request: web.Request) -> web.Response:
    """As a member, or as nobody (ADMM). The same `dedup_id` again is the same message."""
    here = context(request)
    wanted = await bodies.body(request, _SAY)
    needed = {"MESG": ("user_id", "message"), "FILE": ("user_id", "url"), "ADMM": ("message",)}[wanted.message_type]
    for name in needed:
        if not getattr(wanted, name):
            raise InvalidFrame(f"{name} is required", field=name)
    channel = await _named(request)
    if wanted.message_type == "ADMM":
        entry = await here.channels.announce(channel, wanted.message, wanted.custom_type, wanted.data)
    else:
        entry = await here.channels.say(channel, wanted.user_id, await _draft(request, channel, wanted))
    return bodies.answer((await _messages(request, channel, [entry]))[0])


async def _draft(request: web.Request, channel: Channel, wanted: said.Saying) -> Draft:
    here = context(request)
    mentions: Collection[UserId] = ()
    if wanted.mention_type == "channel":
        mentions = [member.user_id for member in await here.channels.members(channel, None, said.MOST_MENTIONS)]
    elif wanted.mentioned_user_ids:
        mentions = (await here.accounts.called(wanted.mentioned_user_ids)).values()
    url = wanted.url and address_of(wanted.url)
    file = {"url": url, "name": wanted.file_name, "size": wanted.file_size, "mime_type": wanted.file_type}
    is_file = wanted.message_type == "FILE"
    return Draft(
        conversation_id=channel.id,
        content=wanted.message or "",
        message_type="file" if is_file else "text",
        client_id=client_id_of(wanted.dedup_id),
        mentions=tuple(mentions),
        attachments=({name: value for name, value in file.items() if value is not None},) if is_file else (),
        metadata={name: value for name, value in ((CUSTOM_TYPE, wanted.custom_type), (DATA, wanted.data)) if value},
    )


@operation(
    "Read messages",
    who="platform",
    path=CHANNEL,
    query={
        "message_ts": Whole(),
        "message_id": Whole(),
        "prev_limit": Whole(most=MOST_AROUND),
        "next_limit": Whole(most=MOST_AROUND),
        "include": Truth(),
        "reverse": Truth(),
        "message_type": Text(validate=said.one_of(*shapes.TYPES)),
        "custom_types": Text(),
        "sender_ids": Text(),
    },
    gives={200: said.PlatformMessages},
)
async def messages(request: web.Request) -> web.Response:
    """Around a time or a message, the oldest first; what was deleted is left out, and so is who came and went."""
    here = context(request)
    at, number = bodies.whole(request, "message_ts"), bodies.whole(request, "message_id")
    if at is None and number is None:
        raise InvalidFrame("message_ts or message_id is required", field="message_ts")
    kind = request.query.get("message_type")
    types, but_types = (None, None) if kind is None else shapes.TYPES[_one_of(request, "message_type", *shapes.TYPES)]
    custom_types, senders = _texts(request, "custom_types"), _texts(request, "sender_ids")
    before, after = (
        AROUND if (most := bodies.whole(request, name, most=MOST_AROUND)) is None else most
        for name in ("prev_limit", "next_limit")
    )
    asked = Around(
        at=None if number is not None or at is None else shapes.moment(at),
        number=number,
        before=before,
        after=after,
        at_it=_truth(request, "include", default=True),
        types=types,
        but_types=but_types,
        custom_types=None if custom_types is None else tuple(custom_types),
        sender_ids=None if senders is None else tuple((await here.accounts.called(senders)).values()),
    )
    is_reverse = _truth(request, "reverse", default=False)
    channel = await _named(request)
    told = await _messages(request, channel, await here.channels.messages(channel, asked))
    return bodies.answer({"messages": told[::-1] if is_reverse else told})


@operation(
    "Change a message", who="platform", path=MESSAGE, takes=said.ChangeMessage, gives={200: said.PlatformMessage}
)
async def edit(request: web.Request) -> web.Response:
    """As its sender, who is still in the channel. What is absent stays as it is."""
    wanted = await bodies.body(request, _EDIT)
    number = _number(request)
    channel = await _named(request)
    fields = {name: wanted[name] or None for name in (CUSTOM_TYPE, DATA) if name in wanted}
    entry = await context(request).channels.edit(channel, number, wanted.get("message"), fields)
    return bodies.answer((await _messages(request, channel, [entry]))[0])


@operation("Delete a message", who="platform", path=MESSAGE, gives={200: said.Nothing})
async def withdraw(request: web.Request) -> web.Response:
    """Everybody's devices keep its place, and nothing of it."""
    number = _number(request)
    await context(request).channels.withdraw(await _named(request), number)
    return bodies.answer({})


@operation("Make a user", who="platform", takes=said.MakeUser, gives={200: said.PlatformUser})
async def create_user(request: web.Request) -> web.Response:
    """No token is issued: `access_token` stays empty."""
    wanted = await bodies.body(request, _MAKE_USER)
    account = await context(request).accounts.make(
        wanted.user_id, wanted.nickname or None, wanted.profile_url or None, wanted.metadata
    )
    return bodies.answer(shapes.user(account, is_online=False))


@operation("List users", who="platform", query={**LIMIT, "user_ids": Text()}, gives={200: said.PlatformUsers})
async def list_users(request: web.Request) -> web.Response:
    """In the order of the daemon's ids. Guests are not among them."""
    here = context(request)
    limit = _limit(request)
    names = _texts(request, "user_ids")
    token = request.query.get("token", "")
    if not (token.isascii() and token.isdigit() and len(token) <= 16) and token:
        raise InvalidFrame("token is none of ours", field="token")
    following = None
    if names is None:
        accounts, following = await here.accounts.page(int(token or 0), limit)
    else:
        found = await here.accounts.of((await here.accounts.called(names)).values())
        accounts = list(found.values())[:limit]
    online = await here.node.presence.online_of([account.id for account in accounts])
    return bodies.answer(
        {
            "users": [shapes.user(account, is_online=account.id in online) for account in accounts],
            "next": "" if following is None else str(following),
        }
    )


@operation("Show a user", who="platform", path=USER, gives={200: said.PlatformUser})
async def show_user(request: web.Request) -> web.Response:
    """By the host's own id, or the daemon's."""
    here = context(request)
    account = await here.accounts.find(request.match_info["user_id"])
    online = await here.node.presence.online_of([account.id])
    return bodies.answer(shapes.user(account, is_online=account.id in online))


@operation("Change a user", who="platform", path=USER, takes=said.ChangeUser, gives={200: said.PlatformUser})
async def change_user(request: web.Request) -> web.Response:
    """What is absent stays as it is; what is empty is taken away."""
    here = context(request)
    wanted = await bodies.body(request, _CHANGE_USER)
    if not wanted.get("is_active", True):
        raise InvalidFrame("is_active cannot be false: delete the user", field="is_active")
    changes = {name: wanted[field] or None for field, name in _PROFILE.items() if field in wanted}
    if "metadata" in wanted:
        changes["metadata"] = wanted["metadata"]
    account = await here.accounts.change(request.match_info["user_id"], changes)
    online = await here.node.presence.online_of([account.id])
    return bodies.answer(shapes.user(account, is_online=account.id in online))


_PROFILE = {"nickname": "name", "profile_url": "avatar_url"}


@operation("Delete a user", who="platform", path=USER, gives={200: said.Nothing})
async def delete_user(request: web.Request) -> web.Response:
    """He leaves every conversation, and his tokens count no more; what he said stays, in nobody's name."""
    await context(request).accounts.delete(request.match_info["user_id"])
    return bodies.answer({})


async def _named(request: web.Request) -> Channel:
    """The channel in the path. Raises ChannelNotFound, Unavailable."""
    return await context(request).channels.find(request.match_info["channel_url"])


async def _channel(request: web.Request, channel: Channel, *, show_member: bool) -> web.Response:
    return bodies.answer((await _channels(request, [channel], show_member=show_member))[0])


async def _channels(request: web.Request, channels: Sequence[Channel], *, show_member: bool) -> list[Json]:
    here = context(request)
    last = await here.channels.last_said(channels) if channels else {}
    inside = {
        channel.id: await here.channels.members(channel, None, MEMBERS_SHOWN) for channel in channels if show_member
    }
    everybody = [member for found in inside.values() for member in found]
    people = await _people(
        request,
        {channel.created_by for channel in channels}
        | {member.user_id for member in everybody}
        | shapes.people_in(last.values()),
    )
    online = await _online(request, everybody)

    def told(channel: Channel) -> Json:
        entry = last.get(channel.id)
        return shapes.channel(
            channel,
            people,
            None if entry is None else shapes.message(entry, channel.url, people, here.attachments.address),
            [
                shapes.member(member, people.get(member.user_id), is_online=member.user_id in online)
                for member in inside[channel.id]
            ]
            if show_member
            else None,
            max_content_chars=here.config.max_content_chars,
        )

    return [told(channel) for channel in channels]


async def _messages(request: web.Request, channel: Channel, entries: Sequence[Entry]) -> list[Json]:
    people = await _people(request, shapes.people_in(entries))
    address = context(request).attachments.address
    return [shapes.message(entry, channel.url, people, address) for entry in entries]


async def _people(request: web.Request, user_ids: Collection[UserId]) -> Mapping[UserId, Any]:
    return await context(request).accounts.of(user_ids) if user_ids else {}


async def _online(request: web.Request, found: Sequence[Member]) -> Collection[UserId]:
    return await context(request).node.presence.online_of([member.user_id for member in found])


def _number(request: web.Request) -> int:
    """The message in the path. Raises MessageNotFound."""
    text = request.match_info["message_number"]
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise MessageNotFound
    return int(text)


def _limit(request: web.Request) -> int:
    """Raises InvalidFrame."""
    return bodies.whole(request, "limit", least=1, most=MOST_PAGE) or PAGE


def _truth(request: web.Request, name: str, *, default: bool) -> bool:
    """Raises InvalidFrame."""
    text = request.query.get(name)
    if text is None:
        return default
    if text.lower() not in ("true", "false"):
        raise InvalidFrame(f"{name} must be true or false", field=name)
    return text.lower() == "true"


def _one_of(request: web.Request, name: str, *choices: str) -> Any:
    """The first of them where none is named. Raises InvalidFrame."""
    text = request.query.get(name, choices[0])
    if text not in choices:
        raise InvalidFrame(f"{name} must be one of {', '.join(choices)}", field=name)
    return text


def _texts(request: web.Request, name: str) -> list[str] | None:
    """Texts that stand between commas; None where nothing is asked. Raises InvalidFrame."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        check_text(text)
    except ValidationError as error:
        raise InvalidFrame(f"{name} {error.messages[0]}", field=name) from None
    return [part.strip() for part in text.split(",")]


def _token(place: tuple[datetime, Any] | None) -> str:
    """Where the next page begins; empty at the end."""
    if place is None:
        return ""
    # In whole numbers: a float of seconds loses the last microsecond.
    microseconds = (place[0] - shapes.moment(0)) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}:{place[1]}".encode()).decode().rstrip("=")


def _place(request: web.Request, parse: Callable[[str], T | None]) -> tuple[datetime, T] | None:
    """Raises InvalidFrame."""
    token = request.query.get("token")
    if not token:
        return None
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        microseconds, _, last = text.partition(":")
        at, found = shapes.moment(0) + timedelta(microseconds=int(microseconds)), parse(last)
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidFrame("token is none of ours", field="token") from None
    if found is None:
        raise InvalidFrame("token is none of ours", field="token")
    return at, found
