"""A WebSocket client that costs the load generator next to nothing: bytes in, the places of frames out, no parsing.

Its masking key is zero, so that there is nothing to mask (RFC 6455 §5.3 asks for one; the daemon takes it off as any other).
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, TypeAlias

_TEXT, _PING, _PONG, _CLOSE = 0x81, 0x89, 0x8A, 0x88
_MASKED = 0x80
# What a frame's payload begins with: nothing more of it is looked at.
NEW, SENT, NOTIFICATION, HISTORY, SYNC = (
    b'{"type":"%b"' % name for name in (b"message.new", b"message.sent", b"notification", b"history", b"sync")
)

# (data, start, stop): where in what came a text frame's payload stands.
Heard: TypeAlias = Callable[[bytes, int, int], None]


class Refused(ConnectionError):
    """The daemon did not let somebody in."""


class Client(asyncio.Protocol):
    """One device of whoever the token is for."""

    def __init__(self, address: str, token: str, heard: Heard) -> None:
        self._hello = (
            f"GET /ws/me HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ).encode()
        self._rest = b""
        self._is_upgraded = False
        self._transport: asyncio.Transport | None = None
        self.heard = self._greeted_by(heard)
        # Done with the daemon's first frame.
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, end = 0, len(data)
        if not self._is_upgraded:
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._rest = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                self._fail(data[: data.find(b"\r\n")].decode(errors="replace"))
                return
            self._is_upgraded = True
        while end - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126 and end - at >= 4:
                size, start = (data[at + 2] << 8) | data[at + 3], at + 4
            elif size == 127 and end - at >= 10:
                size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            elif size > 125:
                break
            if start + size > end:
                break
            if data[at] == _TEXT:  # most of them, and here the generator's time is spent
                self.heard(data, start, start + size)
            else:
                self._control(data[at], data[start : start + size])
            at = start + size
        if at < end:
            self._rest = data[at:]

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("the connection was closed")

    def send(self, payload: bytes) -> None:
        self._write(_TEXT, payload)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _greeted_by(self, heard: Heard) -> Heard:
        """The first frame is the greeting."""

        def greet(_: bytes, __: int, ___: int) -> None:
            self.heard = heard
            if not self.greeted.done():
                self.greeted.set_result(None)

        return greet

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == _PING:
            self._write(_PONG, payload)
        elif kind == _CLOSE:
            self._fail(f"closed as {payload[2:].decode(errors='replace')}")

    def _write(self, kind: int, payload: bytes) -> None:
        assert self._transport is not None
        size = len(payload)
        head = (
            struct.pack("!BBI", kind, _MASKED | size, 0)
            if size < 126
            else struct.pack("!BBHI", kind, _MASKED | 126, size, 0)
            if size < 65536
            else struct.pack("!BBQI", kind, _MASKED | 127, size, 0)
        )
        self._transport.write(head + payload)

    def _fail(self, why: str) -> None:
        if not self.greeted.done():
            self.greeted.set_exception(Refused(why))
        self.close()
