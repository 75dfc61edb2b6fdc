"""Who comes and goes, told to those who watch: once each, and true also where the bus lost a word of it. Whether that is online
or into a place is not known here.

What a device was told is remembered beside its watch. When the bus was renewed, or Redis forgot, it is compared with the
leases, and whoever was told wrong is put right.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol

import structlog

from messenger.bus.presence import Presence, decode_transition
from messenger.domain.ids import UserId
from messenger.fanout.chores import Chores
from messenger.fanout.sink import Sink
from messenger.fanout.watches import Watches
from messenger.protocol import frames
from messenger.protocol.frames import Json

log = structlog.get_logger(__name__)

# So long saying somebody offline waits until it is written when he was last seen.
WRITING_S = 0.5
# What could not be compared or written is tried again.
AGAIN_S = 2.0


class Event(Protocol):
    """What is told of somebody who came or went."""

    def __call__(self, user_id: UserId, *, online: bool, at: datetime) -> Json: ...


class Attendance:
    """`record` is awaited with those who left and since when, before anybody is told; nothing is written without it.
    `run_forever` is the comparing; it ends with the node."""

    def __init__(
        self,
        watches: Watches,
        presence: Presence,
        chores: Chores,
        event: Event,
        record: Callable[[Mapping[UserId, datetime]], Awaitable[None]] | None,
    ) -> None:
        self._watches = watches
        self._presence = presence
        self._chores = chores
        self._event = event
        self._record = record
        self._due = asyncio.Event()
        self._unwritten: dict[UserId, datetime] = {}

    async def online_of(self, sink: Sink, user_ids: Iterable[UserId]) -> set[UserId]:
        """Who of these is online, for a device that watches them already."""
        wanted = list(user_ids)
        online = self._watches.visible(sink, await self._presence.online_of(wanted))
        told = self._watches.answer(sink, wanted, online)
        if told != online:
            self.hurry()  # a transition is on its way to us, or was lost
        return told

    def hear(self, data: bytes) -> bool:
        """A transition from the bus. False where it is none."""
        transition = decode_transition(data)
        if transition is not None:
            self._tell(transition.user_id, transition.at, online=transition.online)
        return transition is not None

    def hurry(self) -> None:
        """Something may have been lost: compare what was told."""
        self._due.set()

    def part(self, sinks: Iterable[Sink]) -> None:
        """The blocks of whose devices these are have changed: who is to be seen no more goes offline for them, and who is to
        be seen again is compared."""
        at = frames.now()
        for sink in sinks:
            for user_id in self._watches.parted(sink):
                sink.push(frames.text_frame(frames.encode(self._event(user_id, online=False, at=at))))
        self.hurry()

    async def leaving(self, since: Mapping[UserId, datetime]) -> None:
        """Write when these were last seen, before anybody is told; waits a moment only, and never fails."""
        if self._record is None:
            return
        self._unwritten |= since
        self._chores.start("last seen", self._write)
        try:
            async with asyncio.timeout(WRITING_S):
                await self._chores.finished("last seen")
        except TimeoutError:
            log.warning("last_seen_at not written yet")
        if self._unwritten:
            self.hurry()

    async def run_forever(self) -> None:
        again_s: float | None = None
        while True:
            try:
                async with asyncio.timeout(AGAIN_S if self._unwritten else again_s):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            try:
                again_s = await self._compare()
            except Exception:  # a node that compares no more would tell untruths for ever
                log.exception("presence not compared")
                again_s = AGAIN_S
            if self._unwritten:
                self._chores.start("last seen", self._write)

    async def _compare(self) -> float | None:
        """Put right what devices here were told. Returns in how many seconds to do it again, None where nothing is open."""
        beliefs = self._watches.beliefs()
        if not beliefs:
            return None
        survey = await self._presence.survey(beliefs)
        if survey is None:
            return AGAIN_S
        wrong = {user_id: now for user_id, now in survey.online.items() if beliefs[user_id] != {now}}
        at = frames.now()
        for user_id in (user_id for user_id, online in wrong.items() if online):
            self._tell(user_id, at, online=True)
        if gone := {user_id: at for user_id, online in wrong.items() if not online}:
            await self.leaving(gone)
            for user_id in gone:
                self._tell(user_id, at, online=False)
        # What was heard meanwhile is newer than the survey, and may have been put wrong again.
        return AGAIN_S if wrong else survey.again_s

    def _tell(self, user_id: UserId, at: datetime, *, online: bool) -> None:
        sinks = self._watches.turned(user_id, online=online)
        if sinks:
            frame = frames.text_frame(frames.encode(self._event(user_id, online=online, at=at)))
            for sink in sinks:
                sink.push(frame)

    async def _write(self) -> None:
        while self._unwritten and self._record is not None:
            written = dict(self._unwritten)
            await self._record(written)
            for user_id, at in written.items():
                if self._unwritten.get(user_id) == at:
                    del self._unwritten[user_id]
