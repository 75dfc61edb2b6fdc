"""One WebSocket's bytes after the handshake: frames in by aiohttp's parser, frames out joined, and the closing handshake.

The transport is ours from here on: of aiohttp's request, its parser and its task nothing is left, which is most of what an
idle connection would hold. No task and no timer a socket; writing never waits, and the transport's buffer is the queue.
"""

import asyncio
from typing import Any, Protocol, Self

import structlog
from aiohttp import WSMessage, WSMsgType, web
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp.http_websocket import WebSocketError

from messenger.protocol import frames
from messenger.transport.close import FRAME_TOO_LARGE, SLOW_CONSUMER, Close
from messenger.transport.doorstep import Caller, Doorstep

log = structlog.get_logger(__name__)

# Given up where the other side has not answered a close frame within this time.
FAREWELL_S = 5.0
# So long a connection stays open on which nothing more can be understood.
LINGER_S = 1.0
# From so many unsent bytes on the event loops call a transport choked: their high-water mark.
CHOKED_BYTES = 65536
_NOTHING: list[bytes] = []
# aiohttp runs without its extensions too, slowly.
_IS_COMPILED = not hasattr(WebSocketDataQueue.__init__, "__code__")
# Never sent: the other side was silent for too long, and nobody is there to read it (RFC 6455 §7.4.1).
SILENT = Close(1006, "silent")
# What the other side may say when it goes first; codes of its own are not told apart.
_FAREWELLS = (1000, 1001, 1006)


class Upgrade(web.WebSocketResponse):
    """aiohttp's handshake. What comes after it is a wire's, so that nothing is read here, and nothing ended."""

    def _post_start(self, *_: Any) -> None: ...

    async def write_eof(self, data: bytes = b"") -> None: ...


class Listener(Protocol):
    """Who hears what comes in. Nothing here waits or fails."""

    def hear(self, message: WSMessage) -> None:
        """A message, a ping or a pong."""

    def resumed(self) -> None:
        """The socket takes bytes again."""

    def ended(self) -> None:
        """Nothing is heard or said any more; told once or more."""

    def gone(self) -> None:
        """The connection is over."""


class Writes(list["Wire"]):
    """The sockets that have something to write in this tick. What is pushed to one socket meanwhile is one write: a system
    call is most of what a delivery costs."""

    def begin(self) -> None:
        asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        wires = self[:]
        self.clear()
        for wire in wires:
            try:
                wire.flush()
            except Exception:  # the others are not to fall silent
                log.exception("writing failed")


class Wire(asyncio.Protocol):
    """`max_queue_bytes` may be unsent before the other side counts as slow."""

    __slots__ = (
        "_answering",
        "_asked",
        "_doorstep",
        "_farewell",
        "_gone",
        "_listener",
        "_loop",
        "_max_queue_bytes",
        "_more",
        "_pending",
        "_reader",
        "_transport",
        "_writes",
        "cause",
        "close_code",
        "heard_at",
        "is_choked",
        "is_open",
    )

    def __init__(self, transport: Any, writes: Writes, max_frame_bytes: int, max_queue_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._writes = writes
        self._max_queue_bytes = max_queue_bytes
        # aiohttp refuses from this size on, we from one byte more than allowed.
        self._reader = WebSocketReader(_Frames(self), max_frame_bytes + 1, compress=False, decode_text=True)
        self._doorstep: Doorstep | None = None
        self._listener: Listener | None = None
        # What was pushed in this tick: mostly one frame, and no list is made for that.
        self._pending: bytes | None = None
        self._more: list[bytes] = _NOTHING
        # What may still be unsent of its own answers; and what of them is pushed in this tick.
        self._answering = self._asked = 0
        self._farewell: asyncio.TimerHandle | None = None
        self._gone: asyncio.Future[None] | None = None
        self.heard_at = self._loop.time()
        # Why we ended it, where we did; and the code of the other side, where that did.
        self.cause: Close | None = None
        self.close_code = 1006
        self.is_open = True
        # The socket takes no more for now.
        self.is_choked = False

    @classmethod
    def of(cls, request: web.Request, writes: Writes, max_frame_bytes: int, max_queue_bytes: int) -> tuple[Self, bytes]:
        """Take a connection over from aiohttp once its handshake is done, and what came right behind that. Raises
        ConnectionError where it hung up."""
        caller, transport = request.protocol, request.transport
        if transport is None:
            raise ConnectionResetError
        wire = cls(transport, writes, max_frame_bytes, max_queue_bytes)
        early = caller._message_tail
        transport.set_protocol(wire)
        if isinstance(caller, Caller):
            wire._doorstep = caller.becomes(wire)
        transport.resume_reading()  # where much came behind the handshake, aiohttp has stopped
        # It lets go of all that it holds, and would close the connection that it still had.
        caller.transport = None
        caller.connection_lost(None)
        return wire, early

    @property
    def ending(self) -> tuple[str, str]:
        """The close code and the reason, for counting: from a list of ours, whatever the other side said."""
        if self.cause is not None:
            return str(self.cause.code), self.cause.reason
        return str(self.close_code) if self.close_code in _FAREWELLS else "other", "client"

    def listen(self, listener: Listener, early: bytes) -> None:
        """Tell somebody what comes in, from what came before on."""
        self._listener = listener
        if early:
            self.data_received(early)

    def push(self, frame: bytes) -> None:
        """Hand over one or more whole frames, to be written at the end of this tick. Never waits."""
        if not self.is_open:
            return
        if self._pending is None:
            self._pending = frame
            if not self._writes:
                self._writes.begin()
            self._writes.append(self)
        elif self._more:
            self._more.append(frame)
        else:
            self._more = [frame]

    def answer(self, frame: bytes) -> None:
        """The same for what the other side asked for. It is not counted against it: catching up would kill the device that
        catches up."""
        if self.is_open:
            self._asked += len(frame)
            self.push(frame)

    def flush(self) -> None:
        """Write what was pushed; whoever leaves too much unread is closed."""
        data, self._pending = self._pending, None
        if data is None:
            return
        if self._more:
            data += b"".join(self._more)
            self._more = _NOTHING
        # A socket that is not choked has less than that unsent: most of them are not even asked.
        if self.is_choked or self._answering or self._asked or len(data) + CHOKED_BYTES > self._max_queue_bytes:
            unsent = self._transport.get_write_buffer_size()
            self._answering, self._asked = min(self._answering, unsent) + self._asked, 0
            if unsent + len(data) - self._answering > self._max_queue_bytes:
                if self.cause is None:  # else it is being closed for another reason
                    self.close(SLOW_CONSUMER)
                return
        try:  # noqa: SIM105 - suppress would cost more than the rest of this
            self._transport.write(data)
        except RuntimeError:  # it broke a moment ago, and we are about to be told
            pass

    def hold_back(self) -> None:
        """Read no more for now."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self, why: Close) -> None:
        """Say goodbye and go; the connection is cut where the other side does not take even that. Never waits."""
        if self.is_open:
            self.cause = why
            self._part(frames.close_frame(why.code, why.reason))

    def abandon(self) -> None:
        """Cut the connection: nobody is there to say goodbye to."""
        if self.is_open:
            self.cause = SILENT
        self._transport.abort()

    async def closed(self) -> None:
        """Wait until the connection is over, which a goodbye has begun."""
        if self._farewell is not None:
            self._gone = self._gone or self._loop.create_future()
            await asyncio.shield(self._gone)

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        self._reader.feed_data(data)

    def pause_writing(self) -> None:
        self.is_choked = True

    def resume_writing(self) -> None:
        self.is_choked = False
        if self.is_open and self._listener is not None:
            self._listener.resumed()

    def connection_lost(self, error: Exception | None) -> None:
        if self._farewell is not None:
            self._farewell.cancel()
            self._farewell = None
        if self._doorstep is not None:
            self._doorstep.device_went(self)
        self._end()
        if self._gone is not None:
            self._gone.set_result(None)
        if self._listener is not None:
            self._listener.gone()
            self._listener = None

    def _heard(self, message: WSMessage) -> None:
        if message.type is WSMsgType.CLOSE:
            if self.is_open:
                self.close_code = message.data
                self._part(frames.close_frame(1000, ""))
            self._transport.close()
        elif self.is_open and self._listener is not None:
            self._listener.hear(message)

    def _failed(self, error: BaseException) -> None:
        """What came is no WebSocket frame, or too large a one."""
        code = error.code if isinstance(error, WebSocketError) else 1002
        if code == FRAME_TOO_LARGE.code:
            self.close(FRAME_TOO_LARGE)
        elif self.is_open:
            self.cause = Close(code, "malformed")
            self._part(frames.close_frame(code, ""))
        # The parser reads no more, not even a goodbye: what is on its way is left unread for a moment, or it would undo ours.
        self._loop.call_later(LINGER_S, self._transport.close)

    def _part(self, goodbye: bytes) -> None:
        self.flush()
        if not self.is_open:
            return  # closed as slow by that
        if not self._transport.is_closing():
            self._transport.write(goodbye)
        # Without it a stalled peer holds descriptor and buffer for minutes.
        self._farewell = self._loop.call_later(FAREWELL_S, self._transport.abort)
        self._end()
        self.read_on()  # its own goodbye stands behind what it said before

    def _end(self) -> None:
        if self.is_open:
            self.is_open = False
            self._pending, self._more = None, _NOTHING
            if self._listener is not None:
                self._listener.ended()


class _Frames(WebSocketDataQueue):
    """Where aiohttp's parser puts what it has read: nothing is kept here."""

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire) -> None:
        """Without the base's, which makes a queue. What the parser looks at is 0 in the compiled one."""
        self._wire = wire
        if not _IS_COMPILED:
            self._size, self._limit, self._stalled_reader = 0, 0, None

    def feed_data(self, data: Any, size: int) -> None:
        self._wire._heard(data)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        self._wire._failed(exc)
