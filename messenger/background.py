"""Tasks with an owner: whoever starts one ends it, and waits until it has ended."""

import asyncio
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

log = structlog.get_logger(__name__)

AGAIN_S = 0.5


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, however they do.

    More than once where need be: before Python 3.12 `asyncio.wait_for` swallows a cancellation that meets its result, and
    redis-py waits by it.
    """
    every = set(tasks)
    running = every
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_S)
    for task in every:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task had failed", task=task.get_name(), exc_info=error)


@contextmanager
def on_signals(stop: Callable[[], object]) -> Iterator[None]:
    """SIGTERM and SIGINT call this from the running event loop, and raise nothing in whatever runs at the moment: a transport
    would take that for its own failure. Afterwards they are handled as before."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
