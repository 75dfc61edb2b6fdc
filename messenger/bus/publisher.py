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

log = structlog.get_logger(__name__)

MOST_WAITING = 10_000
MOST_AT_ONCE = 500
REST_S = 0.2


class Publisher:
    """A bounded queue in front of one client. Leaving the context sends what is left, within a second."""

    def __init__(self, client: aioredis.Redis) -> None:
        self._client = client
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
                async with self._client.pipeline(transaction=False) as pipeline:
                    for channel, data in batch:
                        pipeline.publish(channel, data)
                    await pipeline.execute()
                self.is_healthy = True
            except Exception as error:  # whatever the library raises: without this task the node would speak to nobody
                self.dropped += len(batch)
                if not isinstance(error, AWAY):
                    log.exception("publishing failed", error=type(error).__name__)
                elif self.is_healthy:
                    log.warning("bus does not take messages", error=type(error).__name__)
                self.is_healthy = False
                await asyncio.sleep(REST_S)
            if not self._queue:
                self._emptied.set()
