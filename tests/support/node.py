"""Nodes of one cluster, in the test's own process but with connections of their own."""

import asyncio
import io
import itertools
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import asyncpg
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from messenger import lifecycle, logs
from messenger.app import make_app
from messenger.config import Config, Rate
from messenger.transport.context import CONTEXT, Context
from tests.support.database import Database, Servers
from tests.support.people import Client, Frame, Phone, token

SECRET = "a-secret-of-at-least-thirty-two-bytes"
# Short enough that a test can wait for them, long enough that nothing hangs on them by chance.
QUICK: dict[str, Any] = {"drain_s": 0, "presence_grace_s": 0.3, "presence_ttl_s": 3, "catch_up_s": 0.3}
UNLIMITED = Rate(0, 1, 0)


class Server(TestServer):
    """Runs the application as messenger.server does: no access log of the library's, no handler cancelled."""

    async def _make_runner(self, **_: Any) -> web.AppRunner:
        return web.AppRunner(self.app, access_log=None, shutdown_timeout=5)


class Node:
    """One running daemon."""

    def __init__(self, server: TestServer, session: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        self.server = server
        self.session = session
        self.context: Context = server.app[CONTEXT]
        self._stack = stack

    @property
    def origin(self) -> str:
        return f"http://{self.server.host}:{self.server.port}"

    def client(self, user_id: int, **claims: Any) -> Client:
        """Somebody's REST calls."""
        return Client(self.session, self.origin, token(user_id, SECRET, **claims))

    def nobody(self) -> Client:
        """REST calls without a token."""
        return Client(self.session, self.origin, None)

    async def phone(self, user_id: int, device: str = "", **claims: Any) -> Phone:
        """A connected device of somebody, greeted."""
        return await self._stack.enter_async_context(self.phone_for_a_while(user_id, device, **claims))

    @asynccontextmanager
    async def phone_for_a_while(self, user_id: int, device: str = "", **claims: Any) -> AsyncIterator[Phone]:
        headers = {"Authorization": f"Bearer {token(user_id, SECRET, **claims)}"}
        url = f"{self.origin}/ws/{user_id}?device={device}"
        async with self.session.ws_connect(url, headers=headers, max_msg_size=0) as socket:
            phone = Phone(socket, user_id)
            phone.hello = await phone.hear("system")
            yield phone

    async def knock(
        self, path: str = "/ws/me", bearer: str = "", protocols: tuple[str, ...] = (), **headers: str
    ) -> Frame | tuple[int, str] | int:
        """Open a socket and hear the first word: the hello, the code and reason of its end, or a refusal's HTTP status."""
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        # As it stands: a browser would tidy up the paths that an attacker sends.
        url = URL(self.origin + path, encoded=True)
        try:
            async with self.session.ws_connect(url, headers=headers, protocols=protocols) as socket:
                message = await socket.receive(timeout=10)
                if message.type is aiohttp.WSMsgType.CLOSE:
                    return message.data, message.extra or ""
                return {**message.json(), "subprotocol": socket.protocol}
        except aiohttp.WSServerHandshakeError as refusal:
            return refusal.status

    async def emptied(self) -> None:
        """Wait until nothing is left of whoever was here; that it ends is a promise of the daemon's."""
        node, typing = self.context.node, self.context.typing
        async with asyncio.timeout(10):
            while node.hub.people or node.hub.feeds or len(node.hub.watches) or len(typing) or len(node.chores):
                await asyncio.sleep(0.01)
            while node.bus.subscribed != {node.bus.channels.presence}:
                await asyncio.sleep(0.01)


class Cluster:
    def __init__(self, stack: AsyncExitStack, database_url: str, redis_url: str, prefix: str) -> None:
        self._stack = stack
        self._base: dict[str, Any] = {
            "database_url": database_url,
            "redis_url": redis_url,
            "redis_prefix": prefix,
            "jwt_secret": SECRET,
        }
        self.prefix = prefix

    async def node(self, **settings: Any) -> Node:
        """Start one more node; `settings` are fields of Config."""
        return await self._stack.enter_async_context(self.node_for_a_while(**settings))

    @asynccontextmanager
    async def node_for_a_while(self, **settings: Any) -> AsyncIterator[Node]:
        server = Server(make_app(Config(**{**self._base, **QUICK, **settings})))
        async with AsyncExitStack() as stack:
            await server.start_server()
            stack.push_async_callback(server.close)
            stack.push_async_callback(lifecycle.drain, server.app)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            yield Node(server, session, stack)


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
            rates = {"rate_messages": UNLIMITED, "rate_frames": UNLIMITED}
            stage = Stage(await cluster.node(**{**rates, **settings}), oracle)
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
