"""The other side of a notification: an HTTP server that keeps what it was sent, and answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PATIENCE_S = 10
# How a test lets a daemon speak to a receiver of its own.
LOOPBACK = ("127.0.0.1/32", "::1/128")


@dataclass(frozen=True)
class Post:
    """One request, as it came."""

    path: str
    headers: Any
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """`posts` is everything that ever came. `answers` are statuses (or handlers) for the next ones; then it is `status`."""

    port: int = 0
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[int | Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def came(self, count: int, within_s: float = PATIENCE_S) -> list[Post]:
        """The first `count` that came, once they have."""
        async with asyncio.timeout(within_s):
            while len(self.posts) < count:
                self._came.clear()
                await self._came.wait()
        return self.posts[:count]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.posts.append(Post(request.path_qs, request.headers, await request.read()))
        self._came.set()
        answer = self.answers.pop(0) if self.answers else self.status
        if isinstance(answer, int):
            return web.Response(status=answer, headers=self.headers)
        return await answer(request)


@asynccontextmanager
async def receiving(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver on loopback, on a port of its own unless one is given."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    # Who hesitates still is cut off; aiohttp takes 0 for no bound at all.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
