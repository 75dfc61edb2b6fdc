"""So many at once: the others wait their turn, first come first served, and no longer than is bearable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from messenger.errors import Unavailable


class Gate:
    """Keeps a crowd that comes all at once from taking every connection to the database. `wait_s` is the longest wait."""

    def __init__(self, width: int, wait_s: float) -> None:
        self._places = asyncio.Semaphore(width)
        self._wait_s = wait_s

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Raises Unavailable where the turn does not come in time."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable("Too much is asked at once; try again in a moment") from None
        try:
            yield
        finally:
            self._places.release()
