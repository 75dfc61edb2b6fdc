"""Nodes of one cluster, in the test's own process but with connections of their own."""

import asyncio
import io
import itertools
import logging
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import asyncpg
import pytest
import structlog
from aiohttp import web

from messenger import lifecycle, logs
from messenger.app import make_app
from messenger.config import Config, Rate
from messenger.dialects.places import HALL
from messenger.dialects.socket_io import DOOR
from messenger.listening import Site, listen
from messenger.server import CONNECTIONS
from messenger.transport.context import CONTEXT, Context
from messenger.transport.doorstep import Doorstep
from tests.support.daemon import Daemon, daemon
from tests.support.database import Database, Servers
from tests.support.reachable import SECRET, Reachable

# Short enough that a test can wait for them, long enough that nothing hangs on them by chance.
QUICK: dict[str, Any] = {"drain_s": 0, "presence_grace_s": 0.3, "presence_ttl_s": 3, "catch_up_s": 0.3}
UNLIMITED = Rate(0, 1, 0)
FREE: dict[str, Any] = {
    "rate_messages": UNLIMITED,
    "rate_frames": UNLIMITED,
    "rate_joins": UNLIMITED,
    "rate_rooms": UNLIMITED,
    "rate_uploads": UNLIMITED,
}


class Server:
    """Runs the application on a free port, as messenger.server does; only that nobody sweeps the doorstep."""

    def __init__(self, app: web.Application) -> None:
        self.app = app
        self.doorstep = Doorstep(sys.maxsize)
        self.host, self.port = "127.0.0.1", 0
        self._runner = web.AppRunner(app, shutdown_timeout=5)

    async def start(self) -> None:
        await self._runner.setup()
        ((self.listener,),) = listen(self.host, 0)
        self.port = self.listener.getsockname()[1]
        await Site(self._runner, self.listener, self.doorstep, **CONNECTIONS).start()

    async def close(self) -> None:
        await self._runner.cleanup()


class Node(Reachable):
    """One running daemon in the test's own process."""

    def __init__(self, server: Server, session: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        super().__init__(f"http://{server.host}:{server.port}", session, stack)
        self.server = server
        self.context: Context = server.app[CONTEXT]

    async def emptied(self) -> None:
        """Wait until nothing is left of whoever was here; that it ends is a promise of the daemon's."""
        node, typing = self.context.node, self.context.typing
        async with asyncio.timeout(10):
            while node.hub.people or node.hub.feeds or len(node.hub.watches) or len(typing) or len(node.chores):
                await asyncio.sleep(0.01)
            while len(node.whereabouts):
                await asyncio.sleep(0.01)
            hall, door = self.server.app[HALL], self.server.app[DOOR]
            while len(hall.rooms) or hall.callers or door.connections:
                await asyncio.sleep(0.01)
            while node.bus.subscribed != node.bus.of_everybody:
                await asyncio.sleep(0.01)


class Cluster:
    def __init__(self, stack: AsyncExitStack, database_url: str, redis_url: str, prefix: str) -> None:
        self._stack = stack
        self._base: dict[str, Any] = {
            "database_url": database_url,
            "redis_url": redis_url,
            "redis_prefix": prefix,
            "jwt_secret": SECRET,
            # One for all: the nodes of a cluster share what was uploaded.
            "data_dir": Path(stack.enter_context(TemporaryDirectory())),
        }
        self.prefix = prefix
        self._nodes: list[Node] = []

    def describe(self) -> None:
        """Print what the nodes know and what all tasks wait for: what is left to look at of a test that failed."""
        for node in self._nodes:
            hub, repair = node.context.node.hub, node.context.node.repair
            polls = sum(repair.poll_times.numbers[:-1])
            print(f"{node.origin}: {polls} polls up to transaction {repair._since}; owed {repair._owed}")
            print(f"  people {hub.people}; chores {list(node.context.node.chores._running)}")
            for feed in hub.feeds.values():
                print(f"  feed {feed.conversation_id} at {feed.position}, heard {feed.heard}: {feed.members}")
        for task in asyncio.all_tasks():
            print(task)

    async def node(self, **settings: Any) -> Node:
        """Start one more node; `settings` are fields of Config."""
        return await self._stack.enter_async_context(self.node_for_a_while(**settings))

    async def daemon(self, *args: str, **settings: Any) -> Daemon:
        """Start one more node as a process of its own, which can be killed."""
        return await self._stack.enter_async_context(daemon(*args, **{**self._base, **QUICK, **settings}))

    @asynccontextmanager
    async def node_for_a_while(self, **settings: Any) -> AsyncIterator[Node]:
        server = Server(make_app(Config(**{**self._base, **QUICK, **settings})))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(server.close)
            await server.start()
            stack.push_async_callback(lifecycle.drain, server.app)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
            node = Node(server, session, stack)
            self._nodes.append(node)
            yield node
            self._nodes.remove(node)


@contextmanager
def logged(log_format: str = "json") -> Iterator[io.StringIO]:
    """Everything that the daemon and its libraries log at INFO, set up as `messenger serve` does."""
    stream, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.set_up(Config(log_format=log_format, log_level="INFO"), stream)
    try:
        yield stream
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)


class Stage:
    """One node, with rates off, for all tests of a module: fresh people and conversations keep them apart.

    `oracle` is a second pair of eyes, as the fixture of that name.
    """

    def __init__(self, node: Node, oracle: asyncpg.Connection) -> None:
        self.node = node
        self.oracle = oracle
        self._user_ids = itertools.count(1)

    def people(self, count: int) -> list[int]:
        """Ids of people whom no test before knew."""
        return list(itertools.islice(self._user_ids, count))

    async def log_of(self, conversation_id: str) -> list[tuple[int, int]]:
        """`seq` and `change` of every entry of a conversation."""
        rows = await self.oracle.fetch(
            "select seq, change from messenger.messages where conversation_id = $1 order by seq", conversation_id
        )
        return [(row["seq"], row["change"]) for row in rows]


def stage_with(**settings: Any) -> Any:
    """A fixture for one module: a Stage on a database of its own. `settings` are fields of Config."""

    @pytest.fixture(scope="module")
    async def stage(servers: Servers, template: str) -> AsyncIterator[Stage]:
        database = Database(servers, f"messenger_test_{secrets.token_hex(6)}")
        await servers.execute(f'create database "{database.name}" template "{template}"')
        async with AsyncExitStack() as stack:
            oracle = await asyncpg.connect(database.admin_url)
            stack.push_async_callback(oracle.close)
            cluster = Cluster(stack, database.app_url, servers.redis_url, prefix=f"t{secrets.token_hex(5)}:")
            stage = Stage(await cluster.node(**{**FREE, **settings}), oracle)
            yield stage
            await stage.node.emptied()
        await servers.execute(f'drop database "{database.name}" with (force)')

    return stage


def node_of_stage() -> Any:
    """A fixture for each test: the stage's node; phones opened there are put away after the test."""

    @pytest.fixture
    async def node(stage: Stage) -> AsyncIterator[Node]:
        async with AsyncExitStack() as stack:
            yield Node(stage.node.server, stage.node.session, stack)

    return node
