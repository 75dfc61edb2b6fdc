"""Letting devices in and out: a person's feeds are open before his first device hears a word.

Order: subscribe to his own channel, read where he stands, subscribe to those conversations, read again, admit. A change
in between is either in the second reading or heard on a channel; nothing vanishes.
"""

import asyncio
from collections.abc import Callable, Sequence

from messenger.bus.bus import Bus
from messenger.domain.conversation import Standing
from messenger.domain.ids import UserId
from messenger.fanout.acquaintance import Acquaintance
from messenger.fanout.hub import Hub, Person
from messenger.fanout.repair import Repair
from messenger.fanout.sink import Sink
from messenger.store.duties import Duties


class Reception:
    """Devices come in by `admit` and go by `dismiss`, each exactly once."""

    def __init__(self, hub: Hub, bus: Bus, duties: Duties, repair: Repair, acquaintance: Acquaintance) -> None:
        self._hub = hub
        self._bus = bus
        self._duties = duties
        self._repair = repair
        self._acquaintance = acquaintance

    async def admit(self, sink: Sink, greet: Callable[[], None]) -> None:
        """Let a device in. `greet` is called in the same breath, so that its words come before any event. Raises Unavailable."""
        while True:
            person = self._hub.people.get(sink.user_id)
            if person is None:
                person = Person(asyncio.get_running_loop().create_future())
                self._hub.people[sink.user_id] = person
                await self._open(person, sink, greet)
                return
            if person.is_open:
                greet()
                self._hub.admit(person, sink)
                return
            # Another device of his is opening the door; where it fails, this one tries itself.
            await asyncio.wait([person.opened])

    def dismiss(self, sink: Sink) -> None:
        """Let a device go; the last one takes the person along. Never waits."""
        if self._hub.dismiss(sink) is not None:
            self._bus.unsubscribe([self._bus.channels.user(sink.user_id)])

    async def _open(self, person: Person, sink: Sink, greet: Callable[[], None]) -> None:
        user_id = sink.user_id
        own = self._bus.channels.user(user_id)
        try:
            await self._bus.subscribe([own])
            await self._acquaintance.introduce(person, user_id)
            await self._enter(person, user_id)
            # From here on nothing waits: he is in all his feeds at once.
            greet()
            self._hub.admit(person, sink)
            person.opened.set_result(None)
            for conversation_id in person.hints:
                self._repair.bring_in(conversation_id, user_id)
            person.hints.clear()
        except BaseException:
            self._hub.forget(user_id)
            person.opened.cancel()
            self._bus.unsubscribe([own])
            raise

    async def _enter(self, person: Person, user_id: UserId) -> None:
        standings = await self._duties.standings_of(user_id)
        while standings or person.feeds:
            unheard, unopened = [], []
            for standing in standings:
                channel = self._bus.channels.conversation(standing.conversation_id)
                if standing.conversation_id not in self._hub.feeds:
                    unheard.append(channel)
                feed = self._hub.feed(standing.conversation_id)
                self._hub.enter(feed, user_id)
                if feed.position is None:
                    unopened.append(channel)
            if unheard or unopened:
                await self._bus.subscribe(unheard)
                await self._bus.confirm(unopened)  # another person's coming may have asked for some of them
            elif self._admitted(person, user_id, standings):
                return  # each of these feeds was heard before he was looked up
            standings = await self._duties.standings_of(user_id)
            if self._admitted(person, user_id, standings):
                return

    def _admitted(self, person: Person, user_id: UserId, standings: Sequence[Standing]) -> bool:
        """Let him live in his feeds, where this reading is enough to know that he is in them."""
        current = {standing.conversation_id: standing for standing in standings}
        for feed in person.feeds:
            standing = current.get(feed.conversation_id)
            since = feed.members[user_id].since
            if standing is not None and since is not None and standing.last_change < since:
                return False  # another person's reading is newer than ours, and may have seen him go
        for feed in list(person.feeds):
            standing = current.pop(feed.conversation_id, None)
            if standing is None or not feed.admit(user_id, standing.last_change):
                self._hub.leave(feed, user_id)
                person.hints.add(feed.conversation_id)  # he may be back since
                continue
            feed.place(feed.members[user_id], standing.role, standing.first_seq)
            if feed.position is None:
                feed.open(standing.last_change, standing.last_seq, standing.participant_count)
        person.hints.update(current)  # what he came into between the two readings
        return True
