"""A connection to Redis without the library's way of asking: words out, replies in, at a tenth of the cost each.

The library connects (TLS, password, database); from then on hiredis is read directly.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import hiredis
from redis import asyncio as aioredis
from redis.exceptions import InvalidResponse, ResponseError


class Link(asyncio.Protocol):
    """`over` ends with it: by an error, or quietly where it was aborted. `receive` must not wait; what it raises ends the link."""

    def __init__(self, writer: Any, receive: Callable[[Any], None]) -> None:
        self._writer = writer  # closes its transport where nobody keeps it
        self._transport = writer.transport
        self._receive = receive
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=ResponseError)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def made(cls, pool: aioredis.ConnectionPool, receive: Callable[[Any], None]) -> Self:
        """Raises what redis-py raises."""
        connection: Any = pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()
        # Taken out of the library's hands. Redis says nothing that it was not asked: its reader has nothing left.
        writer, connection._writer, connection._reader = connection._writer, None, None
        made = cls(writer, receive)
        writer.transport.set_protocol(made)
        return made

    def say(self, commands: bytes) -> None:
        """One or more packed commands."""
        if not self._transport.is_closing():
            self._transport.write(commands)

    def abort(self) -> None:
        # Closing would wait for what is unsent; on a dead path nobody would be told for minutes.
        self._transport.abort()
        if not self.over.done():
            self.over.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._receive(reply)
        except Exception as error:
            self._end(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or EOFError())

    def _end(self, error: Exception) -> None:
        if not self.over.done():
            self.over.set_exception(error)


def packed(*command: str | bytes) -> bytes:
    """A command as it goes over the wire."""
    return bytes(hiredis.pack_command(command))  # type: ignore[arg-type] # its stub knows one word only
