"""Open rooms: no account, no list of who is there. Each has one participant in the core, in whose name everybody there speaks."""

from collections.abc import Callable, Sequence
from functools import partial

from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import Message
from messenger.service.idle import WhoIsOffline, abandoned
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

    async def clear_idle(self, presence: WhoIsOffline) -> int:
        """Clear rooms away that are idle and empty; how many. Raises Unavailable."""
        gone = await abandoned(partial(self._store.idle, self._idle_s), presence, CLEARED_AT_ONCE)
        for conversation_id, _ in gone:
            await self._store.clear(conversation_id, self._idle_s)
        return len(gone)
