"""Background work with an owner: one task a key at a time, run once more if it was asked for meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Self

import structlog

from messenger.background import end
from messenger.errors import Unavailable

log = structlog.get_logger(__name__)


class Chores:
    """Leaving the context cancels and awaits what still runs. A chore that fails only ends; whoever asked for it keeps what
    is owed, and asks again."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[None]] = {}
        self._again: set[Hashable] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        await end(self._running.values())

    def start(self, key: Hashable, chore: Callable[[], Awaitable[None]]) -> None:
        if self._closed:
            return
        if key in self._running:
            self._again.add(key)
            return
        self._running[key] = asyncio.create_task(self._run(key, chore), name=f"chore {key}")

    async def finished(self, key: Hashable) -> None:
        """Wait until no chore of this key runs."""
        while (task := self._running.get(key)) is not None:
            await asyncio.wait([task])

    async def _run(self, key: Hashable, chore: Callable[[], Awaitable[None]]) -> None:
        try:
            while True:
                self._again.discard(key)
                await chore()
                if key not in self._again:
                    return
        except Unavailable:
            log.warning("chore put off", chore=str(key))
        except Exception:
            log.exception("chore failed", chore=str(key))
        finally:
            self._again.discard(key)
            del self._running[key]
