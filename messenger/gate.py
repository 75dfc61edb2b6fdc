"""So many at once: the others wait their turn, first come first served, and no longer than is bearable."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from messenger.errors import Unavailable


class Gate:
    """Keeps a crowd that comes all at once from taking every connection to the database. `wait_s` is the longest wait.

    Of those with the same `key` one is let in at a time, so that a user with many devices is no crowd.
    """

    def __init__(self, width: int, wait_s: float) -> None:
        self._places = asyncio.Semaphore(width)
        self._wait_s = wait_s
        # How many wait for their turn just now.
        self.waiting = 0
        # Who is inside or waits, by key.
        self._turns: dict[Hashable, list[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def passed(self, key: Hashable) -> AsyncIterator[None]:
        """Raises Unavailable where the turn does not come in time."""
        mine = asyncio.get_running_loop().create_future()
        turns = self._turns.setdefault(key, [])
        turns.append(mine)
        if len(turns) == 1:
            mine.set_result(None)
        self.waiting += 1
        try:
            try:
                async with asyncio.timeout(self._wait_s):
                    await mine
                    await self._places.acquire()
            except TimeoutError:
                raise Unavailable("Too much is asked at once; try again in a moment") from None
            finally:
                self.waiting -= 1
            try:
                yield
            finally:
                self._places.release()
        finally:
            turns.remove(mine)
            if not turns:
                del self._turns[key]
            elif not turns[0].done():
                turns[0].set_result(None)
