"""A conversation as the dialects' devices on this node hear it: what the core hands to them is translated, once for all of them.

Fan-out stays the core's: each device hears by its own `push` what its user may hear, in order and once. Here the same bytes
become another system's words, and are kept for the next device that is handed them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
import structlog

from messenger.domain.ids import ConversationId, UserId
from messenger.errors import NotParticipant, Unavailable
from messenger.protocol import frames
from messenger.protocol.frames import Json
from messenger.transport import close
from messenger.transport.close import Close
from messenger.transport.context import Context
from messenger.transport.device import Device, Line
from messenger.transport.opening import admit

log = structlog.get_logger(__name__)
# What devices are handed while a room looks something up, all of them together; where there is more, they have to come again.
MOST_KEPT = 100_000


class Unknown(Exception):
    """A translation needs what the room has not read yet."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one event is in a dialect: `words` for each device, but not for those of `but`; and the end of the connection, for all
    devices or those of `only`."""

    words: Any = None
    but: UserId | None = None
    end: Close | None = None
    only: UserId | None = None


R = TypeVar("R", bound="Room")


@dataclass(frozen=True, slots=True, eq=False)
class Tongue(Generic[R]):
    """A dialect's one table of what is said to its clients: the core's event → its own. What is not in it is not told."""

    name: str
    events: Mapping[str, Callable[[R, Json], Told | None]]


class Hearer(Device):
    """A device that hears in a dialect."""

    __slots__ = ("room", "tongue")

    def __init__(self, user_id: UserId, connection_id: str, line: Line, room: "Room", tongue: Tongue[Any]) -> None:
        super().__init__(user_id, tongue.name, connection_id, line)
        self.room = room
        self.tongue = tongue
        self.push = self._hear

    def _hear(self, frame: bytes) -> None:
        self.room.hear(self, frame)

    def say(self, words: Any) -> None:
        """Hand over what is in the dialect's words already. Never waits."""
        self.wire.push(words)

    def gone(self) -> None:
        self.room.leave(self)
        # Else it would hold itself until somebody looks for garbage, which is seldom.
        self.push = self.wire.push


class Room:
    """`load` is called when the first device has come in, and whenever a translation needs more than is known; what is heard
    meanwhile waits, and keeps its order. A room ends with its last device."""

    def __init__(self, rooms: "Rooms", context: Context, conversation_id: ConversationId) -> None:
        self._rooms = rooms
        self.context = context
        self.conversation_id = conversation_id
        self.devices: dict[Hearer, None] = {}
        self._kept: list[tuple[Hearer, bytes]] = []
        self._loading: asyncio.Task[None] | None = None
        self.is_loaded = False
        # In each tongue what a crowd was handed last, and the last event that it has words for.
        self._last: dict[Tongue[Any], tuple[bytes, Sequence[Told]]] = {}
        self._memory: dict[Tongue[Any], tuple[bytes, Told]] = {}

    async def load(self, reader: UserId) -> None:
        """Read what translations need, as somebody who is in it. Raises NotParticipant, Unavailable."""

    def note(self, event: Json) -> None:
        """Learn from an event, before it is translated. More than once does no harm."""

    def end(self) -> None:
        """The last device has gone."""

    def admitted(self, device: Hearer) -> None:
        """A device hears from now on; called in the same breath."""

    async def turned_away(self, device: Hearer) -> Close | None:
        """Why a device that is in may not stay: who looked before it came may have seen what is no more so. Raises
        Unavailable."""
        return None

    @property
    def over(self) -> Close | None:
        """Why nobody may be here any more, as far as is known once all is read."""
        return None

    async def let_in(self, device: Hearer, most: int | None) -> Close | None:
        """Let a device in, `most` of one user on all nodes, and wait until it was told all that it was handed; why not, where
        it may not: whoever ends its line lets it go. Raises Unavailable."""
        self.devices[device] = None
        why_not = await admit(self.context, device, lambda: self.admitted(device), lambda: None, most=most)
        if why_not is None and device in self.devices:
            why_not = await self.turned_away(device)
        if why_not is None and device in self.devices and not self.is_loaded:
            self._load(device.user_id)
        while why_not is None and device in self.devices and self._loading is not None:
            await asyncio.wait([self._loading])
        if why_not is None and device not in self.devices:
            return close.OVERLOADED  # it went meanwhile, and nobody hears this
        return why_not or self.over

    def leave(self, device: Hearer) -> None:
        """A device hears no more. More than once does no harm."""
        if device not in self.devices:
            return
        del self.devices[device]
        if not self.devices:
            if self._loading is not None:
                self._loading.cancel()
            self._kept.clear()
            self._rooms.forget(self)
            self.end()

    def hear(self, device: Hearer, frame: bytes) -> None:
        """What the core handed to a device."""
        if not self.is_loaded:
            self._kept.append((device, frame))
            if len(self._kept) > MOST_KEPT:
                self._give_up()
            return
        try:
            self._tell(device, frame)
        except Unknown:
            self.is_loaded = False
            self._kept.append((device, frame))
            self._load(device.user_id)

    def _tell(self, device: Hearer, frame: bytes) -> None:
        for told in self._translated(device.tongue, frame):
            if told.words is not None and told.but != device.user_id:
                device.say(told.words)
            if told.end is not None and told.only in (None, device.user_id):
                device.close(told.end)

    def _tell_what_is_known(self, device: Hearer, frame: bytes) -> None:
        try:
            self._tell(device, frame)
        except Unknown:  # of before the reading, and not in it: it will not be in the next one either
            log.warning("event not translated", conversation_id=self.conversation_id_text)

    def _translated(self, tongue: Tongue[Any], frame: bytes) -> Sequence[Told]:
        """What is told of one or more events; of the same bytes it is known by the second device."""
        last, all_told = self._last.get(tongue, (b"", ()))
        if frame is not last:
            all_told = [told for text in frames.texts_of(frame) if (told := self._told(tongue, text)) is not None]
            self._last[tongue] = frame, all_told
        return all_told

    def _told(self, tongue: Tongue[Any], text: bytes) -> Told | None:
        # The sender is handed the message alone, and the others with what goes behind it.
        text_of_last, told_of_last = self._memory.get(tongue, (b"", None))
        if text == text_of_last:
            return told_of_last
        event = orjson.loads(text)
        told = None
        if event.get("conversation_id", self.conversation_id_text) == self.conversation_id_text:
            try:
                self.note(event)
                translate = tongue.events.get(event["type"])
                told = None if translate is None else translate(self, event)
            except Unknown:
                raise
            except Exception as error:  # whoever pushed it has others to serve
                log.error("event not translated", conversation_id=self.conversation_id_text, exc_info=error)
        if told is not None:
            self._memory[tongue] = text, told
        return told

    @property
    def conversation_id_text(self) -> str:
        return str(self.conversation_id)

    def _load(self, reader: UserId) -> None:
        if self._loading is None:
            self._loading = asyncio.create_task(self._read(reader), name="room")
            self.context.answering.add(self._loading)
            self._loading.add_done_callback(self.context.answering.discard)

    async def _read(self, reader: UserId) -> None:
        try:
            await self._load_as_anybody(reader)
            self.is_loaded = True
            self._loading = None
            kept, self._kept = self._kept, []
            for device, frame in kept:
                if device in self.devices:
                    self._tell_what_is_known(device, frame)
        except asyncio.CancelledError:
            self._loading = None
            raise
        except Exception as error:
            self._loading = None
            if not isinstance(error, (NotParticipant, Unavailable)):
                log.exception("room not read")
            self._give_up()

    def _give_up(self) -> None:
        """Nobody is told half of it: who comes again is told all."""
        self._kept.clear()
        for device in list(self.devices):
            device.close(close.OVERLOADED)

    async def _load_as_anybody(self, reader: UserId) -> None:
        """As somebody else, where the one who was to read is removed meanwhile. Raises NotParticipant, Unavailable."""
        gone: set[UserId] = set()
        while True:
            try:
                return await self.load(reader)
            except NotParticipant:
                gone.add(reader)
                others = [device.user_id for device in self.devices if device.user_id not in gone]
                if not others:
                    raise
                reader = others[0]


class WatchingRoom(Room):
    """One that hears what concerns it as a whole, as one of fan-out's sinks: with a thousand people, each of their devices would
    watch a thousand."""

    # No user's, and not the one either whom a signal for everybody leaves out.
    user_id = UserId(-1)

    def push(self, frame: bytes) -> None:
        """An event for the room as a whole: each device hears it, and each tongue says to whom it is told."""
        for device in list(self.devices):
            self.hear(device, frame)

    def revoke(self, before: int) -> None:
        """It has no token."""


class Rooms:
    """The rooms in which somebody on this node speaks a dialect. Empty once they have left."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rooms: dict[ConversationId, Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def of(self, conversation_id: ConversationId, make: Callable[..., R]) -> R:
        """The conversation's room, made where there is none; whoever asks enters it in the same breath."""
        room = self._rooms.get(conversation_id)
        if room is None:
            room = self._rooms[conversation_id] = make(self, self._context, conversation_id)
        return room  # type: ignore[return-value]

    def forget(self, room: Room) -> None:
        del self._rooms[room.conversation_id]
