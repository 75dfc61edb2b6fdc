"""Publishing, off every path that somebody waits on: what is published while a pipeline is in flight goes into the next.

What cannot be published soon is dropped and counted: the database repairs it.
"""

import asyncio
from collections import deque
from typing import Self

import structlog
from redis import asyncio as aioredis

from messenger.background import end
from messenger.bus.away import AWAY
from messenger.bus.link import Link, packed

log = structlog.get_logger(__name__)

MOST_WAITING = 10_000
MOST_AT_ONCE = 500
REST_S = 0.2
TIMEOUT_S = 2.0


class Publisher:
    """A bounded queue in front of one connection. Leaving the context sends what is left, within a second."""

    def __init__(self, pool: aioredis.ConnectionPool) -> None:
        self._pool = pool
        self._link: Link | None = None
        # Replies that are still to come to what is in flight, and the first that was a refusal.
        self._missing = 0
        self._refusal: Exception | None = None
        self._answered: asyncio.Future[None] | None = None
        self._queue: deque[tuple[str, bytes]] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        self.is_healthy = True

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="bus-publisher")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._queue and self.is_healthy:
            self._emptied.clear()
            try:
                async with asyncio.timeout(1):
                    await self._emptied.wait()
            except TimeoutError:
                self.dropped += len(self._queue)
        if self._task is not None:
            await end([self._task])
        self._part()

    def publish(self, channel: str, data: bytes) -> None:
        """Never waits, never fails."""
        if len(self._queue) >= MOST_WAITING:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append((channel, data))
        self._filled.set()

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), MOST_AT_ONCE))]
            if not self._queue:
                self._filled.clear()
            try:
                await self._say(b"".join(packed("PUBLISH", channel, data) for channel, data in batch), len(batch))
                self.is_healthy = True
            except Exception as error:  # whatever the library raises: without this task the node would speak to nobody
                self.dropped += len(batch)
                self._part()
                if not isinstance(error, (*AWAY, EOFError)):
                    log.exception("publishing failed", error=type(error).__name__)
                elif self.is_healthy:
                    log.warning("bus does not take messages", error=type(error).__name__)
                self.is_healthy = False
                await asyncio.sleep(REST_S)
            if not self._queue:
                self._emptied.set()

    async def _say(self, commands: bytes, count: int) -> None:
        """Returns once Redis has taken all of them. Raises what redis-py raises."""
        async with asyncio.timeout(TIMEOUT_S):
            if self._link is None or self._link.over.done():
                self._part()
                self._link = await Link.made(self._pool, self._receive)
            self._missing, self._refusal = count, None
            self._answered = asyncio.get_running_loop().create_future()
            self._link.say(commands)
            await asyncio.wait([self._answered, self._link.over], return_when=asyncio.FIRST_COMPLETED)
        if self._refusal is not None:
            raise self._refusal
        if not self._answered.done():
            self._link.over.result()
            raise EOFError

    def _receive(self, reply: object) -> None:
        self._missing -= 1
        if isinstance(reply, Exception):
            self._refusal = self._refusal or reply
        if not self._missing and self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def _part(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.abort()
            link.over.exception()  # looked at, so that nobody complains
