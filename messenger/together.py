"""One question for all who ask it at once: whoever comes while one is being answered is in the next. Nobody waits when idle."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from messenger.background import end

K = TypeVar("K")
V = TypeVar("V")

MOST_AT_ONCE = 100


class Together(Generic[K, V]):
    """`ask` answers several in the order of their keys; what it raises, each of them is told, and an answer that is an exception
    only whose it is. To be closed by its owner."""

    def __init__(self, ask: Callable[[Sequence[K]], Awaitable[Sequence[V | Exception]]]) -> None:
        self._ask = ask
        self._waiting: list[tuple[K, asyncio.Future[V]]] = []
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    async def answer(self, key: K) -> V:
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        if self._is_closed:
            future.cancel()
        elif self._task is None:
            self._task = asyncio.create_task(self._run(), name="together")
        return await future

    async def close(self) -> None:
        self._is_closed = True
        if self._task is not None:
            await end([self._task])

    async def _run(self) -> None:
        asking: list[tuple[K, asyncio.Future[V]]] = []
        try:
            while self._waiting:
                asking, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                try:
                    answers = await self._ask([key for key, _ in asking])
                except Exception as error:
                    for _, future in asking:
                        if not future.done():  # else who asked has gone
                            future.set_exception(error)
                    continue
                for (_, future), answer in zip(asking, answers, strict=True):
                    if future.done():
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._task = None
            for _, future in (*asking, *self._waiting):  # where this was closed
                future.cancel()
            self._waiting = []
