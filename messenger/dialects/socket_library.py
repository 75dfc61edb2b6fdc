"""python-socketio as it is used here: what it is told, and what it leaves open.

It is made for one process that trusts its clients: it keeps what they announce, leaves sockets open that it has closed, and
takes bodies to come in one piece. What is mended here was seen to fail (`tests/integration/test_socket_io_door.py`).
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import engineio
import socketio
from aiohttp import web
from engineio.async_drivers.aiohttp import WebSocket
from engineio.async_socket import AsyncSocket
from engineio.payload import Payload

from messenger.config import Config
from messenger.errors import InvalidJson
from messenger.protocol import frames, schemas

# The library says at length what clients did wrong, and what they sent.
SILENT = logging.getLogger("messenger.socketio")
SILENT.setLevel(logging.CRITICAL + 1)

# Who has connected and not said yet who he is, is cut after this time; so is an upgrade that was begun and not finished.
STRANGER_S = 10.0
# A connection that is told to end is given so long, and then cut.
FAREWELL_S = 5.0
# In one body: the stock client says at once all that it has. The library would take none of more than 16, and say nothing.
MOST_PACKETS = 256
_BETWEEN_PACKETS = b"\x1e"
# What a proxy names a request by, as nginx's $request_id.
_REQUEST_ID = re.compile(r"[0-9a-f]{32}")


def make_server(config: Config, lines: dict[str, web.Request]) -> Any:
    """The library's server. `lines` has the WebSockets of those who have one, by the library's ids."""
    server = _Server(
        async_mode="aiohttp",
        client_manager=socketio.AsyncManager(),
        # Origins are looked at before the library is asked, and CORS is the fence's (`transport.middleware`).
        cors_allowed_origins=[],
        # A client's events are done in its order.
        async_handlers=False,
        max_http_buffer_size=config.max_frame_bytes,
        ping_interval=config.heartbeat_s,
        # Of the interval clients are told the whole seconds only: what is missing there must not cut them off.
        ping_timeout=max(1.0, config.heartbeat_s),
        http_compression=False,
        serializer=_Packet,
        json=Json,
        logger=SILENT,
        engineio_logger=SILENT,
    )
    driver = server.eio._async
    server.eio._async = {
        **driver,
        "translate_request": _whole(driver["translate_request"]),
        "websocket": lambda handler, engine: _Line(handler, engine, lines),
    }
    Payload.max_decode_packets = MOST_PACKETS
    return server


class _Engine(engineio.AsyncServer):  # type: ignore[misc]
    """Begins a client's id with the name that a proxy gave to the request which asks for one (`X-Request-Id`). A proxy that chose
    this process by that name finds it again by the beginning of the id. Whoever knows the one knows nothing of the other."""

    _route = ""

    async def _handle_connect(self, environ: Mapping[str, Any], *args: Any) -> Any:
        told = environ["aiohttp.request"].headers.get("X-Request-Id", "")
        # Nothing is awaited from here to where the id is made.
        self._route = told if _REQUEST_ID.fullmatch(told) else ""
        return await super()._handle_connect(environ, *args)

    def generate_id(self) -> str:
        # Ids of other things are asked for here too.
        route, self._route = self._route, ""
        return f"{route}{super().generate_id()}"


class _Server(socketio.AsyncServer):  # type: ignore[misc]
    def _engineio_server_class(self) -> type[_Engine]:
        return _Engine


class _Line(WebSocket):  # type: ignore[misc]
    """A WebSocket of the library's, whose end is told whatever came, and whose upgrade takes no longer than a stranger may."""

    def __init__(self, handler: Callable[..., Any], engine: Any, lines: dict[str, web.Request]) -> None:
        super().__init__(handler, engine)
        self._socket: AsyncSocket = handler.__self__  # type: ignore[attr-defined]
        self._lines = lines

    async def __call__(self, environ: Mapping[str, Any]) -> web.StreamResponse:
        socket, request = self._socket, environ["aiohttp.request"]
        if socket.sid in self._lines:
            raise web.HTTPBadRequest  # it is upgrading already
        self._lines[socket.sid] = request
        # Not compressed: each client's would be deflated for itself.
        self._sock = web.WebSocketResponse(
            timeout=FAREWELL_S, max_msg_size=self.server.max_http_buffer_size, compress=False
        )
        try:
            await self._sock.prepare(request)
            await self.handler(self)
        except (ValueError, TypeError, OSError):  # what came was no packet; the library would leave everything as it is
            socket.queue.put_nowait(None)
            await socket.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_ERROR)
        finally:
            del self._lines[socket.sid]
            if not socket.upgraded:
                socket.upgrading = False  # it goes on by polling
        return self._sock

    async def wait(self) -> Any:
        if self._socket.upgraded:
            return await super().wait()
        async with asyncio.timeout(STRANGER_S):
            return await super().wait()


class _Packet(socketio.packet.Packet):  # type: ignore[misc]
    """Text only: nothing here is binary, and the library would keep as many attachments as somebody announces."""

    uses_binary_events = False

    def decode(self, encoded_packet: Any) -> int:
        attachments: int = super().decode(encoded_packet)
        if attachments or self.packet_type in (socketio.packet.BINARY_EVENT, socketio.packet.BINARY_ACK):
            raise ValueError("binary packet")
        return attachments


class Json:
    """How the library writes and reads JSON: as everything else here is."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return frames.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        """Raises ValueError, by which the library knows a packet whose text is no JSON: an upgrade begins with `probe`."""
        try:
            return schemas.value_of(text)
        except InvalidJson:
            raise ValueError("no JSON") from None


def _whole(translate: Callable[[web.Request], dict[str, Any]]) -> Callable[[web.Request], Awaitable[dict[str, Any]]]:
    """A request as the library wants it, with its whole body."""

    async def translated(request: web.Request) -> dict[str, Any]:
        environ = translate(request)
        if request.method == "POST":
            body = await request.read()
            if body.count(_BETWEEN_PACKETS) >= MOST_PACKETS:
                raise web.HTTPRequestEntityTooLarge(MOST_PACKETS, body.count(_BETWEEN_PACKETS) + 1)
            environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": _Body(body)}
        return environ

    return translated


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self, length: int) -> bytes:
        return self._body[:length]
