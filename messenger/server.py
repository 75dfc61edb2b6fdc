"""Serving: one process on its sockets until it is asked to stop, then a farewell that leaves nothing behind."""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog
import uvloop
from aiohttp import web

from messenger import lifecycle
from messenger.app import make_app
from messenger.background import end
from messenger.config import Config
from messenger.errors import SetupError, Unavailable
from messenger.listening import Site, make_room
from messenger.supervisor import Heart
from messenger.transport.context import ALONE, Place
from messenger.transport.doorstep import Doorstep

log = structlog.get_logger(__name__)

# Python looks for cycles after so many new objects (its own 700 is one crowd's breath), and seldom among those that stay: each
# connection holds some, and a look at all of them at once would be felt by everybody.
GARBAGE = (20_000, 20, 100)
# What is in flight over HTTP gets this long after the devices have gone.
SHUTDOWN_S = 5.0
# Longer than proxies keep theirs, so that it is not us who closes one just as a request comes. No access log of the library's:
# our own lines tell each request, and it would print query tokens. A request's first line holds 500 ids of 16 digits. No body
# is unpacked: also one that nobody reads would be, by whoever holds the event loop.
CONNECTIONS: dict[str, Any] = {
    "access_log": None,
    "keepalive_timeout": 75,
    "max_line_size": 16_384,
    "auto_decompress": False,
}


def serve(
    config: Config,
    sockets: Sequence[socket.socket],
    on_ready: Callable[[], object],
    *,
    on_stop: Callable[[], object] = lambda: None,
    place: Place = ALONE,
    lifeline: int | None = None,
    heart: Heart | None = None,
) -> None:
    """Blocks until SIGTERM or SIGINT, or until the other end of the pipe `lifeline` closes; `on_stop` is called before it drains.
    Raises SetupError where it cannot start."""
    gc.set_threshold(*GARBAGE)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, sockets, on_ready, on_stop, place, lifeline, heart))


async def _serve(
    config: Config,
    sockets: Sequence[socket.socket],
    on_ready: Callable[[], object],
    on_stop: Callable[[], object],
    place: Place,
    lifeline: int | None,
    heart: Heart | None,
) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    if lifeline is not None:

        def part() -> None:
            loop.remove_reader(lifeline)  # it stays readable for ever
            asked.set()

        loop.add_reader(lifeline, part)
    config, last = make_room(config)
    app = make_app(config, place)
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_S)
    doorstep = Doorstep(last)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(doorstep.sweep_forever(), name="doorstep")]
    if heart is not None:
        tasks.append(asyncio.create_task(heart.beat_forever(), name="heart"))
    try:
        if not await _started(_start(runner, sockets, doorstep), asked):
            return
        gc.collect()
        gc.freeze()  # modules and schemas stay as long as we do
        on_ready()
        await asked.wait()
        on_stop()
        # Still listening meanwhile: /readyz says 503, and newcomers are sent elsewhere.
        await lifecycle.drain(app)
    finally:
        await runner.cleanup()
        await end(tasks)


async def _started(start: Coroutine[Any, Any, None], asked: asyncio.Event) -> bool:
    """False where it was asked to stop before it could start. Raises SetupError."""
    starting = asyncio.create_task(start, name="start")
    stopping = asyncio.create_task(asked.wait(), name="asked to stop")
    done, pending = await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    await end(pending)
    if starting not in done:
        return False
    starting.result()
    return True


async def _start(runner: web.AppRunner, sockets: Sequence[socket.socket], doorstep: Doorstep) -> None:
    try:
        await runner.setup()
        for sock in sockets:
            await Site(runner, sock, doorstep, **CONNECTIONS).start()
    except Unavailable:
        raise SetupError("PostgreSQL does not answer at MESSENGER_DATABASE_URL") from None
    except OSError as error:
        raise SetupError(f"cannot listen: {error.strerror}") from None
