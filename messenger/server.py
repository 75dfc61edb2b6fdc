"""Serving: one process on one port until it is asked to stop, then a farewell that leaves nothing behind."""

import asyncio
import signal
from collections.abc import Callable

import structlog
import uvloop
from aiohttp import web

from messenger import lifecycle
from messenger.app import make_app
from messenger.background import end
from messenger.config import Config
from messenger.errors import SetupError, Unavailable

log = structlog.get_logger(__name__)

# What is in flight over HTTP gets this long after the devices have gone.
SHUTDOWN_S = 5.0


def serve(config: Config, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Blocks until SIGTERM or SIGINT; `on_ready` is given the address. Raises SetupError where it cannot start."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, host, port, on_ready))


async def _serve(config: Config, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    app = make_app(config)
    # Our own lines tell each request: the library's would print query tokens.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, keepalive_timeout=75)
    try:
        if not await _started(runner, host, port, asked):
            return
        bound = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        on_ready(f"http://{shown}:{bound}")
        await asked.wait()
        # Still listening meanwhile: /readyz says 503, and newcomers are sent elsewhere.
        await lifecycle.drain(app)
    finally:
        await runner.cleanup()


async def _started(runner: web.AppRunner, host: str, port: int, asked: asyncio.Event) -> bool:
    """False where it was asked to stop before it could start. Raises SetupError."""
    starting = asyncio.create_task(_start(runner, host, port), name="start")
    stopping = asyncio.create_task(asked.wait(), name="asked to stop")
    done, pending = await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    await end(pending)
    if starting not in done:
        return False
    starting.result()
    return True


async def _start(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
    except Unavailable:
        raise SetupError("PostgreSQL does not answer at MESSENGER_DATABASE_URL") from None
    except OSError as error:
        raise SetupError(f"cannot listen on {host} port {port}: {error.strerror}") from None
