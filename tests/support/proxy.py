"""A proxy in front of Redis or PostgreSQL, which can be cut, frozen and mended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio.connection import parse_url

# A Unix socket's path, or host and port.
Target: TypeAlias = str | tuple[str, int]


class Proxy:
    """Connections made while `is_refusing` are reset; those frozen stay open and carry nothing for ever.

    `target` may change at any time; the next connection goes there. `watch` is shown what clients send, before it is
    passed on.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.is_refusing = False
        # A new connection leads nowhere for so long.
        self.delay_s = 0.0
        self.connections = 0
        self.port = 0
        self.watch: Callable[[bytes], None] = lambda data: None
        self._writers: set[asyncio.StreamWriter] = set()
        self._frozen: set[asyncio.StreamWriter] = set()

    def freeze(self) -> None:
        """The connections of now fall silent, and nobody is told: a path that died."""
        self._frozen |= self._writers

    def cut(self) -> None:
        """The connections of now are reset."""
        for writer in self._writers:
            writer.transport.abort()

    def redis_url(self, redis_url: str) -> str:
        """The same Redis, through the proxy."""
        return f"redis://:{urlsplit(redis_url).password or ''}@127.0.0.1:{self.port}"

    def postgres_url(self, database_url: str) -> str:
        """The same database, through the proxy."""
        parts = urlsplit(database_url)
        return f"postgresql://{parts.netloc.rpartition('@')[0]}@127.0.0.1:{self.port}{parts.path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            writer.transport.abort()
            return
        self.connections += 1
        await asyncio.sleep(self.delay_s)
        try:
            if isinstance(self.target, str):
                far_reader, far_writer = await asyncio.open_unix_connection(self.target)
            else:
                far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(writer)
        tasks = [
            asyncio.create_task(self._pump(reader, far_writer, writer, lambda data: self.watch(data))),
            asyncio.create_task(self._pump(far_reader, writer, writer, lambda data: None)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._writers.discard(writer)
        self._frozen.discard(writer)
        writer.transport.abort()
        far_writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        to: asyncio.StreamWriter,
        near: asyncio.StreamWriter,
        watch: Callable[[bytes], None],
    ) -> None:
        try:
            while data := await reader.read(65536):
                watch(data)
                if near not in self._frozen:
                    to.write(data)
                    await to.drain()
        except ConnectionError:
            pass


def of_redis(redis_url: str) -> Target:
    parts = parse_url(redis_url)
    return parts["path"] if "path" in parts else (parts.get("host", "127.0.0.1"), parts.get("port", 6379))


def of_postgres(database_url: str) -> Target:
    parts = urlsplit(database_url)
    if parts.hostname:
        return parts.hostname, parts.port or 5432
    query = parse_qs(parts.query)
    return f"{unquote(query['host'][0])}/.s.PGSQL.{query.get('port', ['5432'])[0]}"


@asynccontextmanager
async def proxied(target: Target) -> AsyncIterator[Proxy]:
    """A proxy on a port of its own, cut at the end."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()
