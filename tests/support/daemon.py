"""`messenger serve` as a process of its own: one that can be killed, stopped in its tracks and asked to end."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from messenger.config import Rate
from tests.support.reachable import Reachable

PATIENCE_S = 30
SERVE = "from messenger.cli import main; main()"


class Daemon(Reachable):
    """One running daemon. `log` is all that it and its libraries said on stderr."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        log: Path,
        origin: str,
        session: aiohttp.ClientSession,
        stack: AsyncExitStack,
    ) -> None:
        super().__init__(origin, session, stack)
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        """SIGKILL, SIGSTOP, SIGCONT, SIGTERM …"""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; the exit code, below 0 for a signal."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()

    def descriptors(self) -> int:
        """How many files and sockets it holds open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def workers(self) -> list[int]:
        """The processes that serve, where it has several."""
        return children_of(self.pid)

    def holder_of(self, port: int) -> int | None:
        """Which of its processes has the other end of a connection from a local port among its descriptors."""
        inodes = {
            line.split()[9]
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
            if line.split()[2].endswith(f":{port:04X}")
        }
        for pid in (self.pid, *self.workers()):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                try:
                    if str(link.readlink())[8:-1] in inodes:  # socket:[…]
                        return pid
                except OSError:
                    continue
        return None

    def resident_bytes(self) -> int:
        """The memory that it holds."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Fields of Config as the variables that say so, and nothing of ours beside them."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MESSENGER_")}
    return environ | {f"MESSENGER_{name.upper()}": _text(value) for name, value in settings.items()}


@asynccontextmanager
async def daemon(*args: str, before: str = "", **settings: Any) -> AsyncIterator[Daemon]:
    """`serve` on a free port, once it is ready; killed at the end if it still runs. `before` is Python that runs first."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = folder / "stderr"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", before + "\n" + SERVE, "serve", "--port", "0", *args),
            env=environment(settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stack.enter_context(log.open("wb")),
        )
        stack.push_async_callback(_end, process)
        assert process.stdout
        line = b"\n"
        async with asyncio.timeout(PATIENCE_S):
            while line and not line.startswith(b"Serving on "):  # embedded servers tell of their start before that
                line = await process.stdout.readline()
        assert line.startswith(b"Serving on "), log.read_text()
        # Idle connections of ours are soon closed: what the daemon then holds is its own.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        yield Daemon(process, log, line.decode().split()[-1], session, stack)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


def _text(value: Any) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case Rate():
            return "off" if value.unlimited else f"{value.amount:g}/{value.period_s:g}s,{value.burst:g}"
        case tuple():
            return ",".join(value)
    return str(value)
