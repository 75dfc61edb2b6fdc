"""The road between a browser and a daemon: it can be cut, held and led to another daemon, and whoever goes on it is not told."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from urllib.parse import urlsplit

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
# Closed so, a connection is reset.
AT_ONCE = struct.pack("ii", 1, 0)


class Way(Enum):
    THERE = auto()
    BACK = auto()


class Road:
    """`origin` stays the same; `lead_to` says where the next connection goes."""

    def __init__(self, target: str) -> None:
        self.origin = ""
        self.is_cut = False
        self._held: frozenset[Way] = frozenset()
        self._only = b""
        self._free = asyncio.Event()
        self._ends: set[asyncio.StreamWriter] = set()
        self._frozen: set[asyncio.StreamWriter] = set()
        self.lead_to(target)

    def lead_to(self, origin: str) -> None:
        parts = urlsplit(origin)
        self._target = (parts.hostname or "", parts.port or 80)

    def cut(self) -> None:
        """Connections are reset, and new ones as well, until `mend`."""
        self.is_cut = True
        for end in self._ends:
            _reset(end)

    def hold(self, *ways: Way, only: str = "") -> None:
        """Nothing passes and nothing closes until `mend`; then everything does, in order: a network that hangs for a while.

        One way, where one is named; and only on connections whose first request begins with `only`, new ones included.
        """
        self._held, self._only, self._free = frozenset(ways or Way), only.encode(), asyncio.Event()

    def freeze(self) -> None:
        """The connections of now carry nothing any more, for good: a path that died. New ones are well."""
        self._frozen |= self._ends

    def mend(self) -> None:
        self.is_cut = False
        self._held = frozenset()
        self._free.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, of a task of its own."""
        if self.is_cut:
            _reset(writer)
            return
        self._ends.add(writer)
        try:
            opening = await reader.read(65536)
            await self._passage(Way.THERE, opening)
            if opening and not self.is_cut:
                await self._join(opening, (reader, writer), await asyncio.open_connection(*self._target))
        except OSError:
            _reset(writer)
        finally:
            self._ends.discard(writer)
            self._frozen.discard(writer)
            # What was written goes out before it closes.
            writer.close()

    async def _join(self, opening: bytes, near: Pair, far: Pair) -> None:
        self._ends.add(far[1])
        far[1].write(opening)
        tasks = [
            asyncio.create_task(self._carry(Way.THERE, opening, near, far)),
            asyncio.create_task(self._carry(Way.BACK, opening, far, near)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ends.discard(far[1])
            self._frozen.discard(far[1])
            far[1].close()

    async def _carry(self, way: Way, opening: bytes, here: Pair, there: Pair) -> None:
        try:
            while data := await here[0].read(65536):
                await self._passage(way, opening)
                if here[1] not in self._frozen:
                    there[1].write(data)
                    await there[1].drain()
        except ConnectionError:
            pass
        await self._passage(way, opening)

    async def _passage(self, way: Way, opening: bytes) -> None:
        while way in self._held and opening.startswith(self._only):
            await self._free.wait()


@asynccontextmanager
async def road_to(origin: str) -> AsyncIterator[Road]:
    """A road on a port of its own, cut at the end."""
    road = Road(origin)
    server = await asyncio.start_server(road.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    road.origin = f"http://{host}:{port}"
    try:
        yield road
    finally:
        server.close()
        road.mend()
        road.cut()
        await server.wait_closed()


def _reset(end: asyncio.StreamWriter) -> None:
    sock = end.get_extra_info("socket")
    if sock is not None and not end.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    end.transport.abort()
