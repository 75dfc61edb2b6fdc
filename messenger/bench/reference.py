"""The least that a fan-out can cost: prebuilt bytes written to every connection in turn, and nothing behind it.

A process of its own, so that it is measured as the daemon is. A byte from anybody is one message to all. Its one argument
is the message's length in bytes.
"""

import asyncio
import sys
from typing import Any

import uvloop


class _Listener(asyncio.Protocol):
    def __init__(self, frame: bytes, transports: list[asyncio.Transport]) -> None:
        self._frame = frame
        self._transports = transports

    def connection_made(self, transport: Any) -> None:
        self._transports.append(transport)

    def data_received(self, data: bytes) -> None:
        for _ in data:
            for transport in self._transports:
                transport.write(self._frame)


async def _serve(frame: bytes) -> None:
    transports: list[asyncio.Transport] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Listener(frame, transports), "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until he is gone


if __name__ == "__main__":
    uvloop.run(_serve(b"x" * int(sys.argv[1])))
