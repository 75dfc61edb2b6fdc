"""A live session on this node: what its people are called, who of them is here, and how many count."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from messenger.dialects.room import Hearer, Told, Unknown, WatchingRoom
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.session import LiveSession, Person
from messenger.errors import Unavailable
from messenger.protocol import frames
from messenger.protocol.frames import Json
from messenger.transport.close import Close

# Whoever was seen within this time counts as there.
COUNTS_S = 120.0
SESSION_CLOSED = Close(1000, "session closed")
SESSION_NOT_FOUND = Close(1008, "Session not found")
PARTICIPANT_NOT_FOUND = Close(1008, "Participant not found")
INVALID_PARTICIPANT_ID = Close(1008, "Invalid participant ID")


class LiveRoom(WatchingRoom):
    """What concerns it as a whole is typing, presence, the presenter's state."""

    def __init__(self, rooms: Any, context: Any, conversation_id: ConversationId) -> None:
        super().__init__(rooms, context, conversation_id)
        self.code = ""
        self._is_closed = False
        self._people: dict[UserId, Person] = {}
        self._online: set[UserId] = set()
        # Who came into the session, and may have a device since before he was watched.
        self._new: set[UserId] = set()
        # Who has gone and still counts, until his time is over.
        self._seen: dict[UserId, asyncio.TimerHandle] = {}

    def named(self, session: LiveSession) -> "LiveRoom":
        self.code = session.code
        return self

    def admitted(self, device: Hearer) -> None:
        """From now on the room hears what is said to all."""
        feed = self.context.node.hub.feeds.get(self.conversation_id)
        if feed is not None and device in self.devices:  # else it went meanwhile, and the room with it
            self.context.node.hub.subscribe(self, feed)

    async def turned_away(self, device: Hearer) -> Close | None:
        """He may have been removed meanwhile; or have come into the session so lately that his place in it is not known here."""
        if not await self.context.node.repair.brought_in(self.conversation_id, device.user_id):
            if await self.context.sessions.attendee(self.conversation_id, user_id=device.user_id) is None:
                return PARTICIPANT_NOT_FOUND
            raise Unavailable
        self.admitted(device)
        return None

    @property
    def over(self) -> Close | None:
        return SESSION_CLOSED if self._is_closed else None

    async def load(self, reader: UserId) -> None:
        session = await self.context.sessions.named(self.conversation_id_text)
        self._is_closed = session is None or session.status == "closed"
        people = await self.context.sessions.people(reader, self.conversation_id)
        self._people = {person.user_id: person for person in people}
        present = [person.user_id for person in people if person.is_in]
        # Watch before asking who is online: a transition in between would vanish.
        self._watch(present)
        self._online = await self.context.node.attendance.online_of(self, present)
        now = datetime.now(UTC)
        for person in people:
            if person.user_id not in self._online and person.last_seen_at is not None:
                self._count_until(person.user_id, COUNTS_S - (now - person.last_seen_at).total_seconds())

    def end(self) -> None:
        hub = self.context.node.hub
        feed = hub.feeds.get(self.conversation_id)
        if feed is not None:
            feed.subscribers.pop(self, None)
        hub.watches.forget(self)
        for timer in self._seen.values():
            timer.cancel()
        self._seen.clear()

    def leave(self, device: Hearer) -> None:
        if device in self.devices:
            self._count_until(device.user_id, COUNTS_S)
        super().leave(device)

    def person(self, user_id: UserId) -> Person:
        """Raises Unknown for somebody whom the room has not heard of."""
        person = self._people.get(user_id)
        if person is None:
            raise Unknown
        return person

    def is_here(self, user_id: UserId) -> bool:
        """Whether somebody has a device on any node; on this one it is known at once."""
        return user_id in self._online or user_id in self.context.node.hub.people

    @property
    def count(self) -> int:
        """How many are there or were a moment ago; hosts as long as they are."""
        return sum(
            person.is_in and (self.is_here(user_id) or (user_id in self._seen and not person.is_host))
            for user_id, person in self._people.items()
        )

    def note(self, event: Json) -> None:
        match event:
            case {"type": "participant.added", "user_id": int(user_id), "name": name, "role": role, "data": data}:
                public_id = (data["metadata"] or {}).get("participant_id")
                if public_id is None:  # of before the conversation was a session
                    return
                known = self._people.get(UserId(user_id))
                if known is not None and known.is_in:  # a device that was brought in later hears of him once more
                    return
                self._people[UserId(user_id)] = Person(UserId(user_id), UUID(public_id), name, role == "admin")
                self._online.discard(UserId(user_id))
                self._watch([UserId(user_id)])
                self._new.add(UserId(user_id))
                self.context.node.chores.start(("who is there", self.conversation_id), self._look)
            case {"type": "participant.removed", "user_id": int(user_id)}:
                self._change(UserId(user_id), is_in=False)
                self.context.node.hub.watches.unwatch(self, self, [UserId(user_id)])
            case {"type": "participant.updated", "user_id": int(user_id), "role": role}:
                self._change(UserId(user_id), is_host=role == "admin")
            case {"type": "conversation.updated", "data": {"metadata": {"status": str(status)}}}:
                self._is_closed = status == "closed"
            case {"type": "user.updated", "user_id": int(user_id), "name": str(name)}:
                self._change(UserId(user_id), nickname=name)
            case {"type": "user.online", "user_id": int(user_id)}:
                self._online.add(UserId(user_id))
            case {"type": "user.offline", "user_id": int(user_id)} if user_id in self._online:
                self._online.discard(UserId(user_id))
                self._count_until(UserId(user_id), COUNTS_S)

    async def _look(self) -> None:
        new, self._new = self._new, set()
        for user_id in await self.context.node.attendance.online_of(self, new):
            if self.devices and user_id not in self._online:
                told = frames.presence(user_id, online=True, at=frames.now())
                self.push(frames.text_frame(frames.encode(told)))

    def _change(self, user_id: UserId, **changes: Any) -> None:
        person = self._people.get(user_id)
        if person is not None:
            self._people[user_id] = replace(person, **changes)

    def _watch(self, user_ids: list[UserId]) -> None:
        self.context.node.hub.watches.watch(self, self, user_ids)

    def _count_until(self, user_id: UserId, left_s: float) -> None:
        if left_s <= 0:
            return
        timer = self._seen.pop(user_id, None)
        if timer is not None:
            timer.cancel()
        self._seen[user_id] = asyncio.get_running_loop().call_later(left_s, self._counts_no_more, user_id)

    def _counts_no_more(self, user_id: UserId) -> None:
        del self._seen[user_id]
        if not self.is_here(user_id):
            self.push(frames.text_frame(frames.encode(frames.session_stirred(self.conversation_id))))


# In every tongue:


def closed(_: LiveRoom, event: Json) -> Told | None:
    return Told(end=SESSION_CLOSED) if event["data"]["metadata"].get("status") == "closed" else None


def deleted(_: LiveRoom, __: Json) -> Told:
    return Told(end=SESSION_CLOSED)
