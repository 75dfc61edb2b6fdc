"""Dialect D, open rooms: a name and what one says, no account. After each message everybody is told the last 50.

The window is read once, by whoever enters an empty room on this node, and goes on with what the feed hands over.
"""

import re
from collections import Counter, deque
from http import HTTPStatus
from typing import Any, ClassVar

from aiohttp import web
from marshmallow import INCLUDE, ValidationError, validate, validates_schema

from messenger.dialects.places import hall
from messenger.dialects.room import Hearer, Room, Told, Tongue
from messenger.dialects.talk import Talk, nothing
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import Draft
from messenger.errors import Forbidden
from messenger.protocol import frames, schemas
from messenger.protocol.fields import Content, Text, check_tree
from messenger.protocol.frames import Json
from messenger.service.open_rooms import WINDOW
from messenger.store.lanes import Settle
from messenger.transport import close
from messenger.transport.close import Close
from messenger.transport.commands import Entry
from messenger.transport.context import Context, context
from messenger.transport.device import Line
from messenger.transport.opening import Waiting, connection_id, opened_when_in
from messenger.transport.operation import operation
from messenger.transport.peer import network_of

MAX_FRAME_BYTES = 4096
LONGEST_NAME = 40
_ROOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@operation(
    "Open a WebSocket to an open room",
    who="open socket",
    path={"room_id": Text(shortest=1, longest=64)},
    gives={101: None},
    refuses=(Forbidden, HTTPStatus.NOT_FOUND, HTTPStatus.UPGRADE_REQUIRED),
)
async def open_socket(request: web.Request) -> web.StreamResponse:
    """Nobody need say who he is. 404 where open rooms are off, or for a name that is none; 403 for a page of an origin that is
    not allowed, 426 without an upgrade."""
    if not context(request).config.open_rooms or not _ROOM_ID.fullmatch(request.match_info["room_id"]):
        raise web.HTTPNotFound
    return await opened_when_in(request, OpenTalk, _let_in, max_frame_bytes=MAX_FRAME_BYTES)


async def _let_in(request: web.Request, here: Context, line: Waiting) -> Close | None:
    place = hall(request)
    address = network_of(request, here.config)
    if place.callers[address] >= here.config.max_connections_per_address:
        return close.TOO_MANY_CONNECTIONS
    seat = Seat(address, place.callers)  # before anything is waited for: a crowd would not be counted
    try:
        here.joins.take(address)
        async with here.entrance.passed(object()):
            room_id = request.match_info["room_id"]
            conversation_id, user_id = await here.open_rooms.enter(room_id, lambda: place.new_rooms.take(address))
            room = place.rooms.of(conversation_id, OpenRoom).named(room_id)
            device = line.device = Caller(user_id, connection_id(), line, room, seat)
            why_not = await room.let_in(device, None)
            room.greet(device)
            return why_not
    finally:
        if line.device is None:
            seat.leave()


class Seat:
    """One of the connections that an address may have."""

    def __init__(self, address: str, callers: Counter[str]) -> None:
        self.address = address
        self._callers: Counter[str] | None = callers
        callers[address] += 1

    def leave(self) -> None:
        """Make room. More than once does no harm."""
        callers, self._callers = self._callers, None
        if callers is not None:
            callers[self.address] -= 1
            if not callers[self.address]:
                del callers[self.address]


class Caller(Hearer):
    """A connection to an open room."""

    __slots__ = ("is_greeted", "seat")

    def __init__(self, user_id: UserId, connection_id: str, line: Line, room: "OpenRoom", seat: Seat) -> None:
        super().__init__(user_id, connection_id, line, room, TONGUE)
        self.seat = seat
        self.is_greeted = False

    def say(self, words: Any) -> None:
        if self.is_greeted:
            super().say(words)

    def gone(self) -> None:
        super().gone()
        self.seat.leave()


class OpenRoom(Room):
    """The last messages of a room, each as JSON already."""

    def __init__(self, rooms: Any, here: Context, conversation_id: ConversationId) -> None:
        super().__init__(rooms, here, conversation_id)
        self.room_id = ""
        self._window: deque[bytes] = deque(maxlen=WINDOW)
        self._last_seq = 0

    def named(self, room_id: str) -> "OpenRoom":
        self.room_id = room_id
        return self

    async def load(self, reader: UserId) -> None:
        for message in await self.context.open_rooms.window(reader, self.conversation_id):
            self.add(frames.message(message))

    def admitted(self, device: Hearer) -> None:
        """In the same breath as it is admitted: what is said from then on comes behind it."""
        assert isinstance(device, Caller)
        self.greet(device)

    def add(self, message: Json) -> bool:
        """A message behind the last one; False where it is there already."""
        if message["seq"] <= self._last_seq:
            return False
        self._last_seq = message["seq"]
        self._window.append(
            frames.encode(
                {
                    "username": message["metadata"]["username"],
                    "content": message["content"],
                    **message["metadata"],
                    "room_id": self.room_id,
                    "timestamp": message["created_at"],
                }
            )
        )
        return True

    def frame(self) -> bytes:
        return frames.text_frame(b'{"type":"messages","messages":[' + b",".join(self._window) + b"]}")

    def greet(self, device: Caller) -> None:
        """Tell a newcomer what was said, once, as soon as it is known."""
        if self.is_loaded and not device.is_greeted:
            device.is_greeted = True
            device.say(self.frame())


# What a client may say.


def post(here: Context, device: Caller, command: Json, told: Settle) -> None:
    here.message_rates.take(device.seat.address)
    draft = Draft(device.room.conversation_id, command.pop("content"), metadata=command)
    here.messages.post(device.user_id, draft, told)


class _Said(schemas.Command):
    """More fields are kept."""

    makes: ClassVar[type[Any]] = dict

    class Meta:
        unknown = INCLUDE

    username = Text(
        required=True,
        shortest=1,
        longest=LONGEST_NAME,
        validate=validate.Regexp(r".*\S", flags=re.DOTALL, error="must not be empty"),
    )
    content = Content(load_default="", allow_none=False)

    @validates_schema
    def check(self, data: Json, **_: Any) -> None:
        try:
            check_tree(data)
        except ValidationError as error:
            raise ValidationError(error.messages, "frame") from None


SAID = Entry(_Said(), post, None, posts=True, sent=nothing)


class OpenTalk(Talk):
    """A session in which every frame is a message."""

    __slots__ = ()

    def entry_of(self, frame: Json) -> tuple[str, Entry | None]:
        return "open_room.message", SAID


# What becomes of the core's events.


def said(room: OpenRoom, event: Json) -> Told | None:
    return Told(room.frame()) if room.add(event["data"]) else None


TONGUE: Tongue[OpenRoom] = Tongue("open-room", {"message.new": said})
