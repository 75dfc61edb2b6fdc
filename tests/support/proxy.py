"""A proxy in front of Redis, which can be cut, frozen and mended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from redis.asyncio.connection import parse_url


class Proxy:
    """Connections made while `is_frozen` stay open and carry nothing for ever; those made otherwise are served."""

    def __init__(self, redis_url: str) -> None:
        self._target = parse_url(redis_url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_refusing = False
        self.connections = 0
        self.port = 0
        self._frozen: set[asyncio.StreamWriter] = set()

    def url(self, redis_url: str) -> str:
        """The same Redis, through the proxy."""
        password = urlsplit(redis_url).password or ""
        return f"redis://:{password}@127.0.0.1:{self.port}"

    def freeze(self) -> None:
        """The connections of now fall silent, and nobody is told: a path that died."""
        self._frozen |= self._writers

    def cut(self) -> None:
        """The connections of now are reset."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            writer.transport.abort()
            return
        self.connections += 1
        if "path" in self._target:
            far_reader, far_writer = await asyncio.open_unix_connection(self._target["path"])
        else:
            host, port = self._target.get("host", "127.0.0.1"), self._target.get("port", 6379)
            far_reader, far_writer = await asyncio.open_connection(host, port)
        self._writers.add(writer)
        tasks = [
            asyncio.create_task(self._pump(reader, far_writer, writer)),
            asyncio.create_task(self._pump(far_reader, writer, writer)),
        ]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.difference_update(tasks)
        self._writers.discard(writer)
        writer.transport.abort()
        far_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, near: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if near not in self._frozen:
                    to.write(data)
                    await to.drain()
        except ConnectionError:
            pass


@asynccontextmanager
async def proxied(redis_url: str) -> AsyncIterator[Proxy]:
    """A proxy on a port of its own, cut at the end."""
    proxy = Proxy(redis_url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()
