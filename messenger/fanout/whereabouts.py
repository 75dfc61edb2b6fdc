"""Who is in which conversation's room just now, over all nodes: with a device that came into that room, and not only online.

It is presence once more, with its leases and its repair: of a person in a room instead of a person. So that the same scripts
serve, such a pair goes by a number.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Self

from messenger.background import end
from messenger.bus.bus import Bus
from messenger.domain.ids import MAX_USER_ID, ConversationId, UserId
from messenger.fanout.attendance import Attendance
from messenger.fanout.chores import Chores
from messenger.fanout.sink import Sink
from messenger.fanout.watches import Watches
from messenger.protocol import frames
from messenger.protocol.frames import Json


def pair_of(conversation_id: ConversationId, user_id: UserId) -> UserId:
    """A number from 1 to 2^53-1: of ten million pairs, two fall together once in two hundred installations."""
    digest = hashlib.blake2b(conversation_id.bytes + user_id.to_bytes(8), digest_size=8).digest()
    return UserId(1 + int.from_bytes(digest) % MAX_USER_ID)


class Whereabouts:
    """A room is a sink: it is told `room.entered` with somebody's first device there, and `room.left` with his last. Use as a
    context."""

    def __init__(self, bus: Bus, chores: Chores, *, ttl_s: float, grace_s: float) -> None:
        self._watches = Watches(lambda *_: False)
        self._named: dict[UserId, tuple[ConversationId, UserId]] = {}
        self._presence = bus.presence(
            ttl_s=ttl_s,
            grace_s=grace_s,
            on_leaving=lambda since: self._attendance.leaving(since),
            on_forgotten=lambda: self._attendance.hurry(),
            channels=bus.channels.whereabouts,
        )
        self._attendance = Attendance(self._watches, self._presence, chores, self._event, None)
        self._comparing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._presence.__aenter__()
        self._comparing = asyncio.create_task(self._attendance.run_forever(), name="whereabouts")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._comparing is not None
        await end([self._comparing])
        await self._presence.__aexit__()

    def __len__(self) -> int:
        return len(self._named)

    async def enter(self, conversation_id: ConversationId, user_id: UserId, connection_id: str) -> None:
        """A device is in a room from now on; everybody who watches is told where it is the first."""
        await self._presence.arrive(pair_of(conversation_id, user_id), connection_id)

    def leave(self, connection_id: str) -> None:
        """It is there no more. Never waits, and does no harm where it never was."""
        self._presence.leave(connection_id)

    async def watch(self, sink: Sink, conversation_id: ConversationId, user_ids: Iterable[UserId]) -> set[UserId]:
        """Tell a room from now on who of these comes and goes; those who are in it."""
        pairs = {pair_of(conversation_id, user_id): (conversation_id, user_id) for user_id in user_ids}
        self._named |= pairs
        # Before asking who is there: a transition in between would vanish.
        self._watches.watch(sink, conversation_id, pairs)
        inside = await self._attendance.online_of(sink, pairs)
        return {pairs[pair][1] for pair in inside}

    def unwatch(self, sink: Sink, conversation_id: ConversationId, user_ids: Iterable[UserId]) -> None:
        pairs = [pair_of(conversation_id, user_id) for user_id in user_ids]
        self._watches.unwatch(sink, conversation_id, pairs)
        for pair in pairs:
            self._named.pop(pair, None)

    def hear(self, data: bytes) -> bool:
        """A transition from the bus. False where it is none."""
        return self._attendance.hear(data)

    def hurry(self) -> None:
        """Something may have been lost, or Redis may be another one."""
        self._presence.hurry()
        self._attendance.hurry()

    def _event(self, user_id: UserId, *, online: bool, at: datetime) -> Json:
        conversation_id, person = self._named[user_id]
        return frames.whereabouts(conversation_id, person, inside=online, at=at)
