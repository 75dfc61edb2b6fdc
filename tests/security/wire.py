"""HTTP written by hand, byte by byte: what no honest client would send."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.reachable import Reachable

PATIENCE_S = 20
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3
UPGRADE = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"


@dataclass(frozen=True)
class Heard:
    """One HTTP answer; `headers` by lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """A connection, and no more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, text: str | bytes) -> None:
        self.writer.write(text.encode("latin-1") if isinstance(text, str) else text)

    async def ask(self, text: str | bytes) -> Heard:
        self.say(text)
        return await self.hear()

    async def hear(self) -> Heard:
        """The next answer."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Heard(int(head[0].split()[1]), headers, body)

    async def frame(self) -> tuple[int, bytes]:
        """The next WebSocket frame: its first byte, and what it holds (RFC 6455 §5.2)."""
        async with asyncio.timeout(PATIENCE_S):
            first, length = await self.reader.readexactly(2)
            if length >= 126:
                length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
            return first, await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """Everything up to the end of the connection, however it ends."""
        heard = b""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while data := await self.reader.read(65536):
                    heard += data
            except ConnectionError:
                pass
        return heard


def masked(first: int, payload: bytes) -> bytes:
    """A client's frame, with a mask of zeros."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([first]) + length + bytes(4) + payload


@asynccontextmanager
async def wire_to(there: Reachable) -> AsyncIterator[Wire]:
    host, port = there.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()
