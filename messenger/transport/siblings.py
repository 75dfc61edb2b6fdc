"""The workers of one daemon, who answer for each other: what is counted here is counted over all of them.

Each listens on a Unix socket in a folder that only its user may enter. Nothing else is asked there, and nobody else can.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from messenger.fanout.node import Node
from messenger.protocol import frames

# A worker that does not answer so long is left out: it is about to be replaced.
ASK_S = 2.0


class Siblings:
    """`folder`: where the workers' sockets lie, one named after each; None for a daemon of one process."""

    def __init__(self, node: Node, folder: Path | None, number: int) -> None:
        self._node = node
        self._folder = folder
        self._own = f"{number}.sock"

    async def figures(self) -> Mapping[str, int]:
        """What all workers count, each user and each conversation once."""
        own = self._node.census()
        users, conversations = set(own.users), set(map(str, own.conversations))
        connections = own.connections
        for told in await asyncio.gather(*map(self._ask, self._others())):
            if told is not None:
                users.update(told["users"])
                conversations.update(told["conversations"])
                connections += told["connections"]
        return {
            "online_users": len(users),
            "total_connections": connections,
            "active_conversations": len(conversations),
        }

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Answer the others, as long as the context is open."""
        if self._folder is None:
            yield
            return
        app = web.Application()
        app.router.add_get("/", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            path = self._folder / self._own
            path.unlink(missing_ok=True)  # of the worker before this one
            await web.UnixSite(runner, str(path)).start()
            yield
        finally:
            await runner.cleanup()

    def _others(self) -> list[Path]:
        return [] if self._folder is None else [path for path in self._folder.glob("*.sock") if path.name != self._own]

    async def _ask(self, path: Path) -> Any:
        try:
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
                session.get("http://sibling/", timeout=aiohttp.ClientTimeout(total=ASK_S)) as response,
            ):
                return orjson.loads(await response.read())
        except (aiohttp.ClientError, OSError, ValueError):
            return None

    async def _answer(self, _: web.Request) -> web.Response:
        own = self._node.census()
        told = {"users": list(own.users), "conversations": list(own.conversations), "connections": own.connections}
        return web.Response(body=frames.encode(told), content_type="application/json")
