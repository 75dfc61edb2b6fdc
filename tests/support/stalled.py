"""A device that reads nothing until it is told to, over a bare socket; its system buffers next to nothing for it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.people import token
from tests.support.reachable import SECRET, Reachable

PATIENCE_S = 20


class Stalled:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.port: int = sock.getsockname()[1]

    async def hear_out(self) -> bytes:
        """Everything that is still to be had, up to the end of the connection, however it ends."""
        loop, heard = asyncio.get_running_loop(), b""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while data := await loop.sock_recv(self._sock, 1 << 20):
                    heard += data
            except ConnectionError:
                pass
        return heard

    async def goodbye(self) -> tuple[int, str]:
        """Read up to a close frame: its code and reason (RFC 6455 §5.5.1)."""
        loop, heard = asyncio.get_running_loop(), b""
        async with asyncio.timeout(PATIENCE_S):
            while data := await loop.sock_recv(self._sock, 1 << 20):
                heard += data
                place = heard.rfind(b"\x88")
                # FIN and opcode, the length, then the payload, which ends the stream.
                if place >= 0 and len(heard) - place >= 4 and len(heard) == place + 2 + heard[place + 1]:
                    return int.from_bytes(heard[place + 2 : place + 4], "big"), heard[place + 4 :].decode()
        raise ConnectionError("no goodbye")


@asynccontextmanager
async def stalled(daemon: Reachable, user_id: int) -> AsyncIterator[Stalled]:
    """Greeted, and then deaf."""
    host, port = daemon.origin.removeprefix("http://").split(":")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (host, int(port)))
        request = (
            f"GET /ws/me HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token(user_id, SECRET)}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await loop.sock_sendall(sock, request.encode())
        heard = b""
        while b"connected" not in heard:
            heard += await loop.sock_recv(sock, 4096)
        yield Stalled(sock)
