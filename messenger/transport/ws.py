"""The socket endpoint: `/ws/{user_id}`. Handshake, admission; from there on the wire tells the session."""

import asyncio
import logging
import re
import secrets
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web

from messenger.errors import Forbidden, MessengerError, Unauthorized
from messenger.protocol import frames
from messenger.protocol.fields import AnyUserId, Text
from messenger.transport import close, masks, origins
from messenger.transport.auth import Identity
from messenger.transport.close import Close
from messenger.transport.context import Context, context
from messenger.transport.device import Device
from messenger.transport.operation import operation
from messenger.transport.problems import problem_of_status
from messenger.transport.session import Session, leave
from messenger.transport.wire import Upgrade, Wire

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
    upgrade = Upgrade(protocols=(frames.PROTOCOL,), compress=False)
    try:
        await upgrade.prepare(request)
    except web.HTTPBadRequest:  # no handshake, or none that we understand
        response = problem_of_status(HTTPStatus.UPGRADE_REQUIRED)
        response.headers[hdrs.UPGRADE] = "websocket"
        return response
    wire, early = Wire.of(request, here.writes, here.config.max_frame_bytes, here.config.max_queue_bytes)
    here.open_sockets += 1
    session = Session(here, wire)
    wire.listen(session, early)
    # Whoever shuts down waits for this, of which aiohttp knows no more.
    task = asyncio.current_task()
    assert task is not None
    here.answering.add(task)
    refusal: Close | None = close.OVERLOADED
    try:
        refusal = await _open(request, here, wire, session)
    except Unauthorized as error:
        refusal = close.unauthorized(error.reason or "token_invalid")
    except MessengerError:
        pass
    except Exception:
        # An answer over HTTP, as for other requests, would be no frame.
        log.exception("socket failed", path=masks.path_of(request))
    finally:
        here.answering.discard(task)
        if refusal is not None:
            wire.close(refusal)
    return upgrade


async def _open(request: web.Request, here: Context, wire: Wire, session: Session) -> Close | None:
    """Let a device in; why not, where it may not. Raises Unauthorized, Unavailable."""
    if here.is_draining:
        return close.DRAINING
    # Those too who hung up, and whose turn has not come: what is done for them is not over.
    if max(here.open_sockets, here.entrance.waiting) > here.config.max_connections:
        return close.OVERLOADED
    shown = await here.authenticator.shown(request)
    # From here on the database is asked: a crowd takes turns.
    async with here.entrance.passed(object()):
        if not wire.is_open:
            return None
        identity = await here.authenticator.of_path(shown, request.match_info["user_id"])
        if not wire.is_open:
            return None  # it hung up while we asked who it is
        device = _device(request, wire, identity)
        try:
            return await _admit(here, device, session)
        finally:
            if device not in here.devices or not wire.is_open:
                leave(here, device)


def _device(request: web.Request, wire: Wire, identity: Identity) -> Device:
    named = request.query.get("device", "")
    device_id = named if _DEVICE_NAME.fullmatch(named) else f"d-{secrets.token_hex(6)}"
    device = Device(identity.user_id, device_id, secrets.token_hex(8), wire)
    device.expires_at, device.issued_at = identity.expires_at, identity.issued_at
    return device


async def _admit(here: Context, device: Device, session: Session) -> Close | None:
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
    # What it said meanwhile is answered now.
    session.begin(device)
    # The daemon may have begun to drain meanwhile, without this device in its sight.
    return close.DRAINING if here.is_draining else None
