"""Outgoing side of one socket. `push` never waits; a device that does not read is closed as slow.

Bytes go straight to the transport: no task and no queue of our own. The transport's write buffer is the queue.
"""

import asyncio
from typing import Any

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from messenger.domain.ids import UserId
from messenger.protocol import frames
from messenger.transport.close import FRAME_TOO_LARGE, REVOKED, SLOW_CONSUMER, Close

log = structlog.get_logger(__name__)

# Given up where the close frame is not read within this time.
FAREWELL_S = 5.0
# Never sent: the other side was silent for too long, and nobody is there to read it (RFC 6455 §7.4.1).
SILENT = Close(1006, "silent")
# What the other side may say when it goes first; codes of its own are not told apart.
_FAREWELLS = (1000, 1001, 1006)


class Socket(web.WebSocketResponse):
    """aiohttp's socket, which says why when it closes a frame that is too large. `cause`: why we ended it, where we did."""

    cause: Close | None = None

    @property
    def ending(self) -> tuple[str, str]:
        """The close code and the reason, for counting: from a list of ours, whatever the other side said."""
        if self.cause is not None:
            return str(self.cause.code), self.cause.reason
        return str(self.close_code) if self.close_code in _FAREWELLS else "other", "client"

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        if code == FRAME_TOO_LARGE.code and not message:
            message = FRAME_TOO_LARGE.reason.encode()
        if code != WSCloseCode.OK and self.cause is None and not self.closed:  # that one answers the other side's
            self.cause = Close(int(code), message.decode() or "malformed")
        return await super().close(code=code, message=message, drain=drain)


class Device:
    """One socket of one user. Compared by identity."""

    def __init__(
        self,
        user_id: UserId,
        device_id: str,
        connection_id: str,
        socket: Socket,
        transport: asyncio.Transport,
        max_queue_bytes: int,
    ) -> None:
        self.user_id = user_id
        self.device_id = device_id
        self.connection_id = connection_id
        self.heard_at = asyncio.get_running_loop().time()
        self.expires_at: float | None = None
        self.issued_at: int | None = None
        self.warned = False
        self._socket = socket
        self._transport = transport
        self._max_queue_bytes = max_queue_bytes
        # What may still be unsent of its own answers.
        self._answering = 0
        self._closing: Close | None = None
        self._farewell: asyncio.Task[None] | None = None

    @property
    def is_closing(self) -> bool:
        return self._closing is not None

    def push(self, frame: bytes) -> None:
        """Hand over one or more whole WebSocket frames. Never waits."""
        if self._closing is not None or self._transport.is_closing():
            return
        unsent = self._transport.get_write_buffer_size()
        # Its own answers do not count: catching up would kill the device that catches up.
        self._answering = min(self._answering, unsent)
        if unsent - self._answering + len(frame) > self._max_queue_bytes:
            log.info("slow consumer", user_id=self.user_id, connection_id=self.connection_id)
            self.close(SLOW_CONSUMER)
            return
        self._transport.write(frame)

    def tell(self, event: dict[str, Any]) -> None:
        """Push one event of this device's own."""
        self.push(frames.text_frame(frames.encode(event)))

    async def answer(self, told: dict[str, Any]) -> None:
        """A direct answer, which may be large: waits until the socket has taken what stands before it, and so holds back
        the device's own reading meanwhile."""
        if self._closing is None:
            payload = frames.encode(told)
            self._answering = min(self._answering, self._transport.get_write_buffer_size()) + len(payload)
            await self._socket.send_frame(payload, WSMsgType.TEXT)

    def close(self, why: Close) -> None:
        """Say goodbye and go; the connection is cut where the device does not take even that. Never waits."""
        if self._closing is None:
            self._closing = why
            self._farewell = asyncio.create_task(self._say_goodbye(why), name="farewell")

    def revoke(self, before: int) -> None:
        """Close where the token was issued before a second (since 1970); without authentication there is none."""
        if self.issued_at is not None and self.issued_at < before:
            self.close(REVOKED)

    def abandon(self) -> None:
        """Cut the connection: nobody is there to say goodbye to."""
        self._socket.cause = SILENT
        self._transport.abort()

    async def closed(self) -> None:
        """Wait until a goodbye that was begun is over."""
        if self._farewell is not None:
            await asyncio.wait([self._farewell])

    async def _say_goodbye(self, why: Close) -> None:
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._socket.close(code=why.code, message=why.reason.encode())
        except (TimeoutError, ConnectionError):
            # Without it a stalled peer holds descriptor and buffer for minutes.
            self._transport.abort()
