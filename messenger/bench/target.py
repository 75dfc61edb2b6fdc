"""The daemon under load: one that runs already, or one of our own with an empty database, each on a core of its own."""

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import psutil

from messenger.bench.meter import Meter, pin
from messenger.bench.wire import Client, Heard
from messenger.config import Config
from messenger.domain.ids import UserId
from messenger.embedded import embedded_servers, grant_app_role
from messenger.errors import SetupError
from messenger.store.migrate import migrate

T = TypeVar("T")

API = "/api/v1/messenger"
SERVER_CORE, GENERATOR_CORE = 0, 1
PATIENCE_S = 60
# What is load here would be an attack elsewhere.
NO_LIMITS = {
    "MESSENGER_RATE_MESSAGES": "off",
    "MESSENGER_RATE_FRAMES": "off",
    "MESSENGER_MAX_CONNECTIONS": "20000",
    "MESSENGER_LOG_LEVEL": "WARNING",
}
# At once, of requests and of devices that come in.
WIDTH = 16


@dataclass(slots=True)
class Target:
    """`sign` makes a token for a user, or for the host application where none is named. `owner_url` is known of a database of
    our own: what stands in others is not filled up."""

    scheme: str
    host: str
    port: int
    meter: Meter
    sign: Callable[[UserId | None], str]
    session: aiohttp.ClientSession
    owner_url: str | None
    next_user: int
    # Where each may be replaced; else somebody else does that, or nobody.
    nodes: Sequence["Node"] = ()
    # Conversations that were made: whose each is.
    made: dict[str, UserId] = field(default_factory=dict)
    tokens: dict[UserId, str] = field(default_factory=dict)

    def prepare(self, user_ids: Iterable[UserId]) -> None:
        """Sign these users' tokens ahead of time."""
        self.tokens |= {user_id: self.sign(user_id) for user_id in user_ids}

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def people(self, count: int) -> list[UserId]:
        """Users whom nobody has heard of."""
        first, self.next_user = self.next_user, self.next_user + count
        return [UserId(number) for number in range(first, first + count)]

    async def group(self, user_ids: Sequence[UserId]) -> str:
        """A conversation of these; its id."""
        async with self.session.post(
            f"{self.origin}{API}/conversations",
            json={"type": "group", "participant_ids": user_ids[1:]},
            headers={"Authorization": f"Bearer {self.sign(None)}", "X-User-Id": str(user_ids[0])},
        ) as response:
            if response.status not in (200, 201):
                raise SetupError(f"no conversation could be made: {await response.text()}")
            conversation_id: str = (await response.json())["id"]
            self.made[conversation_id] = user_ids[0]
            return conversation_id

    async def clear(self) -> None:
        """Delete what conversations were made."""

        async def delete(conversation_id: str, user_id: UserId) -> None:
            headers = {"Authorization": f"Bearer {self.sign(None)}", "X-User-Id": str(user_id)}
            async with self.session.delete(f"{self.origin}{API}/conversations/{conversation_id}", headers=headers):
                pass

        await _gathered([partial(delete, *made) for made in self.made.items()])
        self.made.clear()

    async def groups(self, every: Sequence[Sequence[UserId]]) -> list[str]:
        """A conversation for each of these lists of users."""
        return await _gathered([partial(self.group, user_ids) for user_ids in every])

    async def device(self, user_id: UserId, heard: Heard) -> Client:
        """A device of a user, once the daemon has greeted it."""
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: Client(f"{self.host}:{self.port}", self.tokens.get(user_id) or self.sign(user_id), heard),
            self.host,
            self.port,
            ssl=self.scheme == "https" or None,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                await client.greeted
        except ConnectionError as error:
            raise SetupError(f"a device was not let in: {error}") from None
        return client

    async def devices(self, user_ids: Sequence[UserId], heard: Heard) -> list[Client]:
        return await _gathered([partial(self.device, user_id, heard) for user_id in user_ids])


async def _gathered(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of calls, WIDTH at a time, in their order."""
    places = asyncio.Semaphore(WIDTH)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with places:
            return await call()

    return await asyncio.gather(*map(one, calls))


class Node:
    """A daemon of our own, which may be replaced by another one on the same port."""

    def __init__(self, environ: Mapping[str, str], port: int = 0) -> None:
        others = {name: value for name, value in os.environ.items() if not name.startswith("MESSENGER_")}
        self._environ = {**others, **environ}
        self._port = port
        self.start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns once it serves. Raises SetupError."""
        self.process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "messenger", "serve", "--port", str(self._port)],
            env=self._environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert self.process.stdout
            line = self.process.stdout.readline()
            if not line.startswith("Serving on "):
                raise SetupError("the daemon did not start")
            self._port = urlsplit(line.split()[-1]).port or 0
            pin(psutil.Process(self.process.pid), SERVER_CORE)
        except BaseException:
            # Also when a Ctrl-C cuts the wait short: nobody else knows of it yet.
            self.end()
            raise

    def end(self) -> int:
        """As an operator asks for it; by force where that does not help. Its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@dataclass(frozen=True, slots=True)
class Found:
    """A daemon: its settings, its address, its processes, and the address of its database for who may fill it; `nodes` where it
    may be replaced."""

    config: Config
    address: str
    processes: Sequence[psutil.Process]
    owner_url: str | None
    nodes: Sequence[Node] = ()


def port_of(address: str) -> int:
    """Raises ValueError."""
    where = urlsplit(address)
    return where.port or (443 if where.scheme == "https" else 80)


def running(config: Config, address: str, pid: int | None) -> Found:
    """A daemon that runs already; its processes are known where `pid` tells, or where it listens on this machine. Raises
    SetupError."""
    try:
        port = port_of(address)
        if pid is None:
            with suppress(psutil.AccessDenied):
                pid = next(
                    (it.pid for it in psutil.net_connections("tcp") if it.status == "LISTEN" and it.laddr.port == port),
                    None,
                )
        processes = [] if pid is None else [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except (ValueError, psutil.Error):
        raise SetupError(f"no daemon at {address} with process {pid}") from None
    # With its workers, and without a database and a bus of its own, which are measured apart.
    return Found(config, address, [it for it in processes if not {"postgres", "redis-server"} & {it.name()}], None)


@contextmanager
def own(say: Callable[[str], None]) -> Iterator[Found]:
    """A daemon with servers of its own in a folder of its own, all gone afterwards. Raises SetupError, EmbeddedError."""
    with own_servers(say) as (_, environ, owner_url), ended(Node(environ)) as node:
        config, _ = Config.from_environ(environ)
        yield Found(config, node.origin, [psutil.Process(node.process.pid)], owner_url)


@contextmanager
def own_servers(say: Callable[[str], None]) -> Iterator[tuple[Path, dict[str, str], str]]:
    """A folder, the settings of a daemon on servers of its own in there, and their database's address for who may fill it. Raises
    EmbeddedError."""
    with tempfile.TemporaryDirectory(prefix="messenger-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL runs as somebody else where we are root
        with embedded_servers(folder / "data", say) as servers:
            asyncio.run(migrate(servers.migrate_url))
            asyncio.run(grant_app_role(servers.migrate_url))
            environ = {
                **NO_LIMITS,
                "MESSENGER_JWT_SECRET": secrets.token_hex(32),
                "MESSENGER_DATABASE_URL": servers.database_url,
                "MESSENGER_REDIS_URL": servers.redis_url,
            }
            yield folder, environ, servers.admin_url


@contextmanager
def ended(node: Node) -> Iterator[Node]:
    """End it afterwards."""
    try:
        yield node
    finally:
        node.end()
