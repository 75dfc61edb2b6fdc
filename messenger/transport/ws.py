"""The socket endpoint: `/ws/{user_id}`. Handshake, admission, read loop, farewell, in this order on one screen."""

import asyncio
import logging
import re
import secrets
from http import HTTPStatus

import structlog
from aiohttp import WSMsgType, hdrs, web

from messenger.errors import Forbidden, MessengerError, Unauthorized
from messenger.protocol import frames
from messenger.protocol.fields import AnyUserId, Text
from messenger.transport import close, masks, origins
from messenger.transport.auth import Identity
from messenger.transport.close import Close
from messenger.transport.context import Context, context
from messenger.transport.device import Device, Socket
from messenger.transport.doorstep import Caller
from messenger.transport.operation import operation
from messenger.transport.problems import problem_of_status
from messenger.transport.session import Session

log = structlog.get_logger(__name__)
# aiohttp would print the offered subprotocols, and with them a token, where none of them is ours.
logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)

_DEVICE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@operation(
    "Open a WebSocket",
    who="socket",
    path={"user_id": AnyUserId()},
    query={"device": Text(shortest=1, longest=64)},
    gives={101: None},
    refuses=(Forbidden, HTTPStatus.UPGRADE_REQUIRED),
)
async def open_socket(request: web.Request) -> web.StreamResponse:
    """One device's life. What is said there is told in /asyncapi.json; a token that is refused is told after the upgrade, by
    close code 1008. 403 for a page of an origin that is not allowed, 426 without an upgrade."""
    here = context(request)
    if not origins.is_allowed(request, here.config):
        raise Forbidden(origins.NOT_ALLOWED)
    socket = Socket(
        protocols=(frames.PROTOCOL,),
        autoping=False,
        compress=False,
        # aiohttp refuses from this size on, we from one byte more than allowed.
        max_msg_size=here.config.max_frame_bytes + 1,
        timeout=5,
    )
    if not socket.can_prepare(request).ok:
        response = problem_of_status(HTTPStatus.UPGRADE_REQUIRED)
        response.headers[hdrs.UPGRADE] = "websocket"
        return response
    await socket.prepare(request)
    if isinstance(request.protocol, Caller):
        request.protocol.becomes_device()
    here.open_sockets += 1
    try:
        await _serve(request, here, socket)
    except ConnectionError:
        log.debug("device vanished in the middle of an answer")
    except Exception:
        # An answer over HTTP, as for other requests, would be no frame.
        log.exception("socket failed", path=masks.path_of(request))
        await socket.close(code=close.OVERLOADED.code, message=close.OVERLOADED.reason.encode())
    finally:
        here.open_sockets -= 1
        here.closes[socket.ending] += 1
    return socket


async def _serve(request: web.Request, here: Context, socket: Socket) -> None:
    device: Device | None = None
    refusal = _refusal(here)
    try:
        if refusal is None:
            shown = await here.authenticator.shown(request)
            # From here on the database is asked: a crowd takes turns.
            async with here.entrance.passed(object()):
                identity = await here.authenticator.of_path(shown, request.match_info["user_id"])
                if request.transport is None:
                    return  # it hung up while we asked who it is
                device = _device(request, here, socket, request.transport, identity)
                refusal = await _admit(here, device)
        if device is not None and refusal is None:
            await _read(here, device, socket)
    except Unauthorized as error:
        refusal = close.unauthorized(error.reason or "token_invalid")
    except MessengerError:
        refusal = close.OVERLOADED
    finally:
        if device is not None:
            if refusal is not None:
                device.close(refusal)
            here.devices.discard(device)
            here.typing.dismiss(device)
            # Shielded: a handler that is cancelled must still give everything back.
            await asyncio.shield(_dismiss(here, device))
    if device is None and refusal is not None:
        await socket.close(code=refusal.code, message=refusal.reason.encode())


def _refusal(here: Context) -> Close | None:
    """Why nobody comes in just now."""
    if here.is_draining:
        return close.DRAINING
    return close.OVERLOADED if here.open_sockets > here.config.max_connections else None


def _device(
    request: web.Request, here: Context, socket: Socket, transport: asyncio.Transport, identity: Identity
) -> Device:
    named = request.query.get("device", "")
    device = Device(
        identity.user_id,
        named if _DEVICE_NAME.fullmatch(named) else f"d-{secrets.token_hex(6)}",
        secrets.token_hex(8),
        socket,
        transport,
        here.config.max_queue_bytes,
    )
    device.expires_at, device.issued_at = identity.expires_at, identity.issued_at
    return device


async def _admit(here: Context, device: Device) -> Close | None:
    """Let a device in; why not, where it may not. Raises Unavailable."""

    def greet() -> None:
        here.devices.add(device)
        device.tell(
            frames.connected(
                device.user_id, device.device_id, device.connection_id, here.config.heartbeat_s, here.epoch
            )
        )

    count = await here.node.presence.arrive(device.user_id, device.connection_id)
    count = count or len(here.node.hub.devices_of(device.user_id)) + 1
    if count > here.config.max_devices_per_user:
        return close.TOO_MANY_CONNECTIONS
    await here.node.reception.admit(device, greet)
    # The daemon may have begun to drain meanwhile, without this device in its sight.
    return close.DRAINING if here.is_draining else None


async def _read(here: Context, device: Device, socket: Socket) -> None:
    session = Session(here, device)
    loop = asyncio.get_running_loop()
    async for message in socket:
        device.heard_at = loop.time()
        match message.type:
            case WSMsgType.TEXT:
                await session.hear(message.data)
            case WSMsgType.BINARY:
                await session.hear(None)
            case WSMsgType.PING:
                device.push(frames.pong_frame(message.data))
            case WSMsgType.ERROR:
                return
        if device.is_closing:
            return


async def _dismiss(here: Context, device: Device) -> None:
    try:
        await here.node.reception.dismiss(device)
    finally:
        here.node.presence.leave(device.connection_id)
        await device.closed()
