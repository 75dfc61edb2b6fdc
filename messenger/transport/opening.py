"""Opening a socket, whatever is spoken on it: the handshake, the wire, and a device that is let in."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import structlog
from aiohttp import hdrs, web

from messenger.errors import Forbidden, MessengerError, Unauthorized, Unavailable
from messenger.protocol import frames
from messenger.transport import close, masks, origins, peer
from messenger.transport.close import Close
from messenger.transport.context import Context, context
from messenger.transport.device import Device
from messenger.transport.problems import problem_of_status
from messenger.transport.session import Session, leave
from messenger.transport.wire import Upgrade, Wire

log = structlog.get_logger(__name__)
# aiohttp would print the offered subprotocols, and with them a token, where none of them is ours.
logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)

S = TypeVar("S", bound=Session)

# A proxy asks another node at once; this is for a client whose only node drains.
RETRY_AFTER_S = 1.0


async def opened(
    request: web.Request,
    make_session: Callable[[Context, Wire], S],
    let_in: Callable[[web.Request, Context, Wire, S], Coroutine[Any, Any, Close | None]],
) -> web.StreamResponse:
    """Shake hands, then let somebody in; where `let_in` says why not, the socket is closed with that, and where it raises
    Unauthorized, with its reason. Raises Forbidden for a page of an origin that is not allowed, Unavailable for a proxy while
    the daemon drains; 426 without an upgrade."""
    here, upgrade = context(request), Upgrade(protocols=(frames.PROTOCOL,), compress=False)
    if not _is_handshake(request, upgrade):
        return _upgrade_required()
    await upgrade.prepare(request)
    wire, early = Wire.of(request, here.writes, here.config.max_frame_bytes, here.config.max_queue_bytes)
    here.open_sockets += 1
    session = make_session(here, wire)
    wire.listen(session, early)
    refusal: Close | None = close.OVERLOADED
    with _answering(here):
        try:
            refusal = await _refusal(request, here, let_in(request, here, wire, session))
        finally:
            if refusal is not None:
                wire.close(refusal)
    return upgrade


async def opened_when_in(
    request: web.Request,
    make_session: Callable[[Context, Wire], Session],
    let_in: Callable[[web.Request, Context, "Waiting"], Coroutine[Any, Any, Close | None]],
    *,
    max_frame_bytes: int | None = None,
) -> web.StreamResponse:
    """The same, and shake hands only once the device is in: for dialects whose first word is the client's, who would not know
    from when on he hears what the others say. `let_in` names the device to its line."""
    here, upgrade = context(request), Upgrade(protocols=(frames.PROTOCOL,), compress=False)
    if not _is_handshake(request, upgrade):
        return _upgrade_required()
    line = Waiting(here.config.max_queue_bytes)
    here.open_sockets += 1
    try:
        with _answering(here):
            refusal = await _refusal(request, here, let_in(request, here, line))
        await upgrade.prepare(request)
        wire, early = Wire.of(
            request, here.writes, max_frame_bytes or here.config.max_frame_bytes, here.config.max_queue_bytes
        )
    except BaseException:
        here.open_sockets -= 1
        if line.device is not None:
            leave(here, line.device)
        raise
    session = make_session(here, wire)
    # Before anything can end the wire: then the session knows whom to forget.
    if line.device is not None:
        session.begin(line.device)
    refusal = refusal or line.cause
    # Who is refused is not served before, whatever came with his handshake.
    wire.listen(session, early if refusal is None else b"")
    line.becomes(wire)
    if refusal is not None:
        wire.close(refusal)
    return upgrade


def _is_handshake(request: web.Request, upgrade: Upgrade) -> bool:
    """Raises Forbidden for a page of an origin that is not allowed; Unavailable while the daemon drains for a proxy, which asks
    another node then. Whoever comes by himself could not read that, and is told by a close code."""
    here = context(request)
    if not origins.is_allowed(request, here.config):
        raise Forbidden(origins.NOT_ALLOWED)
    try:
        is_one = upgrade.can_prepare(request).ok
    except web.HTTPBadRequest:
        return False
    if is_one and here.is_draining and peer.is_proxied(request, here.config):
        raise Unavailable("Draining; ask another node", retry_after_s=RETRY_AFTER_S)
    return is_one


def _upgrade_required() -> web.Response:
    response = problem_of_status(HTTPStatus.UPGRADE_REQUIRED)
    response.headers[hdrs.UPGRADE] = "websocket"
    return response


@contextmanager
def _answering(here: Context) -> Iterator[None]:
    """Whoever shuts down waits for this: a device is being let in."""
    task = asyncio.current_task()
    assert task is not None
    here.answering.add(task)
    try:
        yield
    finally:
        here.answering.discard(task)


async def _refusal(request: web.Request, here: Context, letting_in: Coroutine[Any, Any, Close | None]) -> Close | None:
    """Let a device in; why not, where it may not."""
    # Those too who hung up, and whose turn has not come: what is done for them is not over.
    is_full = max(here.open_sockets, here.entrance.waiting) > here.config.max_connections
    if here.is_draining or is_full:
        letting_in.close()
        return close.DRAINING if here.is_draining else close.OVERLOADED
    try:
        return await letting_in
    except Unauthorized as error:
        return close.unauthorized(error.reason or "token_invalid")
    except MessengerError:
        return close.OVERLOADED
    except Exception:
        # An answer over HTTP, as for other requests, would be no frame.
        log.exception("socket failed", path=masks.path_of(request))
        return close.OVERLOADED


class Waiting:
    """The line of a device that is in before its hands were shaken: what it is told waits. `device` once there is one."""

    def __init__(self, max_queue_bytes: int) -> None:
        self._max_queue_bytes = max_queue_bytes
        self._frames: list[bytes] = []
        self._size = 0
        self.device: Device | None = None
        self.is_open = True
        self.cause: Close | None = None

    @property
    def heard_at(self) -> float:
        return asyncio.get_running_loop().time()

    def push(self, frame: bytes) -> None:
        self._size += len(frame)
        if self._size > self._max_queue_bytes:
            self.close(close.SLOW_CONSUMER)
        elif self.is_open:
            self._frames.append(frame)

    def close(self, why: Close) -> None:
        if self.is_open:
            self.is_open, self.cause = False, why

    def abandon(self) -> None:
        self.close(close.OVERLOADED)

    async def closed(self) -> None:
        """It was never open to anybody."""

    def becomes(self, wire: Wire) -> None:
        """Hands are shaken: hand over what waited."""
        if self.device is not None:
            self.device.wire = wire
        for frame in self._frames:
            wire.push(frame)


def connection_id() -> str:
    """Names a connection in the log."""
    return secrets.token_hex(8)


async def admit(
    here: Context, device: Device, greet: Callable[[], None], begin: Callable[[], None], *, most: int | None
) -> Close | None:
    """Let a device in, `most` of one user on all nodes; why not, where it may not. `greet` is called in the same breath as it
    is admitted, `begin` when all is done. Raises Unavailable."""

    def greeted() -> None:
        here.devices.add(device)
        greet()

    try:
        count = await here.node.presence.arrive(device.user_id, device.connection_id)
        count = count or len(here.node.hub.devices_of(device.user_id)) + 1
        if most is not None and count > most:
            return close.TOO_MANY_CONNECTIONS
        await here.node.reception.admit(device, greeted)
        # What it said meanwhile is answered now.
        begin()
        # The daemon may have begun to drain meanwhile, without this device in its sight.
        return close.DRAINING if here.is_draining else None
    finally:
        if device not in here.devices or not device.wire.is_open:
            leave(here, device)
