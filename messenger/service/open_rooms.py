"""Open rooms: no account, no list of who is there. Each has one participant in the core, in whose name everybody there speaks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import Message
from messenger.store.sessions import OpenRoomStore

WINDOW = 50
CLEARED_AT_ONCE = 20


class OpenRooms:
    """`idle_s`: a room without traffic for so long is cleared away."""

    def __init__(self, store: OpenRoomStore, *, idle_s: float) -> None:
        self._store = store
        self._idle_s = idle_s

    async def enter(self, named: str, may_make: Callable[[], None]) -> tuple[ConversationId, UserId]:
        """The room and its participant, made if need be; before that `may_make` is asked, and may raise. Raises Unavailable."""
        found = await self._store.enter(named, make=False)
        if found is None:
            may_make()
            found = await self._store.enter(named, make=True)
            assert found is not None
        return found

    async def window(self, user_id: UserId, conversation_id: ConversationId) -> Sequence[Message]:
        """The last 50 messages, oldest first. Raises Unavailable."""
        return await self._store.window(user_id, conversation_id, WINDOW)

    async def clear_idle(self, presence: "WhoIsOffline") -> int:
        """Clear rooms away that are idle and empty; how many. None while nobody can tell who is there. Raises Unavailable."""
        gone: list[ConversationId] = []
        most = CLEARED_AT_ONCE
        while True:
            found = await self._store.idle(self._idle_s, most)
            survey = await presence.survey(user_id for _, user_id in found)
            if survey is not None:
                gone = [conversation_id for conversation_id, user_id in found if survey.online.get(user_id) is False]
            if gone or survey is None or len(found) < most:
                break
            most *= 2  # in those that were idle for longest somebody is, and says nothing
        for conversation_id in gone:
            await self._store.clear(conversation_id, self._idle_s)
        return len(gone)


class Survey(Protocol):
    """Who is online and who is not; whoever nobody can tell of is left out."""

    @property
    def online(self) -> Mapping[UserId, bool]: ...


class WhoIsOffline(Protocol):
    async def survey(self, user_ids: Iterable[UserId]) -> Survey | None: ...
