"""A channel on this node: what its people are called by the host application, and who of them came in."""

from typing import Any

from messenger.dialects.room import Hearer, Unknown, WatchingRoom
from messenger.domain.ids import ConversationId, UserId
from messenger.errors import NotParticipant, Unavailable
from messenger.protocol import frames
from messenger.protocol.frames import Json
from messenger.transport.close import Close

NOT_A_MEMBER = Close(1008, "Not a member")


class ChannelRoom(WatchingRoom):
    """What concerns it as a whole is who comes in and goes."""

    def __init__(self, rooms: Any, context: Any, conversation_id: ConversationId) -> None:
        super().__init__(rooms, context, conversation_id)
        self.channel_url = ""
        # What each is called: by the host application, else by his number.
        self._names: dict[UserId, str | int] = {}
        # Who wrote something and is not among them.
        self._unknown: set[UserId] = set()
        self._expected: set[UserId] = set()
        self._watched: set[UserId] = set()
        self._inside: set[UserId] = set()
        # Who was inside when he was removed, and by which change.
        self._removed: dict[UserId, int] = {}
        self._was_read = False

    def named(self, channel_url: str) -> "ChannelRoom":
        self.channel_url = channel_url
        return self

    async def turned_away(self, device: Hearer) -> Close | None:
        """He may have been removed meanwhile; or have come into the channel so lately that his place in it is not known here."""
        if not await self.context.node.repair.brought_in(self.conversation_id, device.user_id):
            try:
                await self.context.channel_rooms.people(device.user_id, self.conversation_id)
            except NotParticipant:
                return NOT_A_MEMBER
            raise Unavailable
        return None

    async def load(self, reader: UserId) -> None:
        people = await self.context.channel_rooms.people(reader, self.conversation_id, self._unknown)
        self._names = {person.user_id: person.external_id or person.user_id for person in people}
        # Nobody whom the database does not know either is asked for again.
        self._names = {user_id: user_id for user_id in self._unknown} | self._names
        self._unknown.clear()
        await self._watch([person.user_id for person in people if person.is_in])
        self._was_read = True

    def end(self) -> None:
        self.context.node.whereabouts.unwatch(self, self.conversation_id, self._watched)

    def name(self, user_id: UserId) -> str | int:
        """Raises Unknown for somebody whom the room has not heard of."""
        name = self._names.get(user_id)
        if name is None:
            self._unknown.add(user_id)
            raise Unknown
        return name

    def expect(self, user_id: UserId) -> None:
        """Somebody is a member from now on. Raises Unknown once, so that the channel is read anew, and he is watched."""
        if user_id in self._watched or user_id in self._expected:
            self._expected.discard(user_id)  # who is not watched now was removed again meanwhile
        else:
            self._expected.add(user_id)
            raise Unknown

    def moved(self, user_id: UserId, *, inside: bool) -> bool:
        """Somebody came in or went; False where that is known."""
        if (user_id in self._inside) == inside:
            return False
        (self._inside.add if inside else self._inside.discard)(user_id)
        return True

    def was_inside(self, user_id: UserId, change: int) -> bool:
        """Whether somebody who was removed by a change was inside; he is no more."""
        if self.moved(user_id, inside=False):
            self._removed[user_id] = change
        return self._removed.get(user_id) == change

    def note(self, event: Json) -> None:
        match event:
            case {"type": "participant.removed", "user_id": int(user_id)}:
                self._watched.discard(UserId(user_id))
                self.context.node.whereabouts.unwatch(self, self.conversation_id, [UserId(user_id)])

    async def _watch(self, user_ids: list[UserId]) -> None:
        new = set(user_ids) - self._watched
        if not new or not self.devices:
            return
        self._watched |= new
        inside = await self.context.node.whereabouts.watch(self, self.conversation_id, new)
        if not self._was_read:
            self._inside |= inside
            return
        at = frames.now()
        for user_id in inside - self._inside:
            told = frames.whereabouts(self.conversation_id, user_id, inside=True, at=at)
            self.push(frames.text_frame(frames.encode(told)))


class Caller(Hearer):
    """A member's device, which is in the channel as long as it is connected."""

    __slots__ = ()

    async def enter(self) -> None:
        """It is inside from now on, for all nodes."""
        await self.room.context.node.whereabouts.enter(self.room.conversation_id, self.user_id, self.connection_id)

    def gone(self) -> None:
        self.room.context.node.whereabouts.leave(self.connection_id)
        super().gone()
