"""Nodes of one cluster, in the test's own process but with connections of their own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from messenger import lifecycle
from messenger.app import make_app
from messenger.config import Config
from messenger.transport.context import CONTEXT, Context
from tests.support.people import Client, Phone, token

SECRET = "a-secret-of-at-least-thirty-two-bytes"
# Short enough that a test can wait for them, long enough that nothing hangs on them by chance.
QUICK: dict[str, Any] = {"drain_s": 0, "presence_grace_s": 0.3, "presence_ttl_s": 3, "catch_up_s": 0.3}


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
        server = TestServer(make_app(Config(**{**self._base, **QUICK, **settings})))
        async with AsyncExitStack() as stack:
            await server.start_server()
            stack.push_async_callback(server.close)
            stack.push_async_callback(lifecycle.drain, server.app)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            yield Node(server, session, stack)
