"""What people want of each other, and how they look: blocks and notification settings are kept beside whoever has a device
here, changed names and pictures are told to those who share a conversation.

Words of both come over the bus, and by the poll where it lost them; what counts is read from the database each time.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from functools import partial

from messenger.domain.ids import UserId
from messenger.fanout.attendance import Attendance
from messenger.fanout.chores import Chores
from messenger.fanout.hub import Hub, Person
from messenger.protocol import frames
from messenger.store.duties import Duties
from messenger.store.users import UserStore

# Versions of profiles that were told lately: the poll brings most words a second time.
MOST_TOLD = 10_000
# So many are read of at once: a crowd that is renamed must not take every connection to the database.
WIDTH = 4


class Acquaintance:
    def __init__(self, hub: Hub, attendance: Attendance, duties: Duties, users: UserStore, chores: Chores) -> None:
        self._hub = hub
        self._attendance = attendance
        self._duties = duties
        self._users = users
        self._chores = chores
        self._places = asyncio.Semaphore(WIDTH)
        self._told: OrderedDict[UserId, int] = OrderedDict()
        # What failed, to be done with the next poll.
        self._owed: dict[Hashable, Callable[[], Awaitable[None]]] = {}

    async def introduce(self, person: Person, user_id: UserId) -> None:
        """Learn what somebody wants who is about to come in. Raises Unavailable."""
        before = person.preferences
        preferences = await self._duties.preferences_of(user_id)
        if person.preferences is before:  # else a word of a change came meanwhile, and what was read for that is newer
            person.preferences = preferences
            person.shift()

    def preferred(self, user_id: UserId) -> None:
        """Somebody's blocks or notification settings may be others than those kept here."""
        if user_id in self._hub.people:
            self._start(("preferences", user_id), partial(self._prefer, user_id))

    async def heeded(self, user_id: UserId) -> None:
        """Wait until this node goes by what somebody wants, as far as it was told of a change; or could not find out."""
        await self._chores.finished(("preferences", user_id))

    def profiled(self, user_id: UserId, profile_version: int) -> None:
        """Somebody's profile has a new version."""
        if self._told.get(user_id, 0) < profile_version:
            self._told[user_id] = profile_version
            self._told.move_to_end(user_id)
            if len(self._told) > MOST_TOLD:
                self._told.popitem(last=False)
            self._start(("profile", user_id), partial(self._tell_profile, user_id))

    def settle(self) -> None:
        """Do what failed before."""
        owed, self._owed = self._owed, {}
        for key, chore in owed.items():
            self._start(key, chore)

    def _start(self, key: Hashable, chore: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            try:
                async with self._places:
                    await chore()
            except Exception:
                self._owed[key] = chore
                raise

        self._chores.start(key, run)

    async def _prefer(self, user_id: UserId) -> None:
        person = self._hub.people.get(user_id)
        if person is None:
            return
        preferences = await self._duties.preferences_of(user_id)
        blocks_changed = person.preferences.apart != preferences.apart
        person.preferences = preferences
        person.shift()
        if blocks_changed:
            self._attendance.part(person.devices)

    async def _tell_profile(self, user_id: UserId) -> None:
        audience = await self._audience_of(user_id)
        if not audience:
            return
        found = await self._users.visible(user_id, [user_id])
        if found:
            frame = frames.text_frame(frames.encode(frames.profile(found[0])))
            for other in audience:
                for sink in self._hub.devices_of(other):
                    sink.push(frame)

    async def _audience_of(self, user_id: UserId) -> set[UserId]:
        """Who of those with a device here shares a conversation with somebody, and himself."""
        audience = {user_id} & self._hub.people.keys()
        if self._hub.feeds:
            for conversation_id in await self._duties.conversations_of(user_id):
                feed = self._hub.feeds.get(conversation_id)
                if feed is not None:
                    audience.update(feed.live)
        return audience
