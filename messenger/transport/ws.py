"""The socket endpoint: `/ws/{user_id}`. Who comes, and admission; from there on the wire tells the session."""

import re
import secrets
from functools import partial
from http import HTTPStatus

from aiohttp import web

from messenger.errors import Forbidden
from messenger.protocol import frames
from messenger.protocol.fields import AnyUserId, Text
from messenger.transport.close import Close
from messenger.transport.context import Context
from messenger.transport.device import Device
from messenger.transport.opening import admit, connection_id, opened
from messenger.transport.operation import operation
from messenger.transport.session import Session
from messenger.transport.wire import Wire

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
    close code 1008. 403 for a page of an origin that is not allowed, 426 without an upgrade, 503 for a proxy of
    `MESSENGER_TRUSTED_PROXIES` while the node drains, so that it asks another one."""
    return await opened(request, Session, _let_in)


async def _let_in(request: web.Request, here: Context, wire: Wire, session: Session) -> Close | None:
    shown = await here.authenticator.shown(request)
    # From here on the database is asked: a crowd takes turns.
    async with here.entrance.passed(object()):
        if not wire.is_open:
            return None
        identity = await here.authenticator.of_path(shown, request.match_info["user_id"])
        if not wire.is_open:
            return None  # it hung up while we asked who it is
        named = request.query.get("device", "")
        device_id = named if _DEVICE_NAME.fullmatch(named) else f"d-{secrets.token_hex(6)}"
        device = Device(identity.user_id, device_id, connection_id(), wire)
        device.expires_at, device.issued_at = identity.expires_at, identity.issued_at

        def greet() -> None:
            device.tell(
                frames.connected(
                    device.user_id, device.device_id, device.connection_id, here.config.heartbeat_s, here.epoch
                )
            )

        return await admit(here, device, greet, partial(session.begin, device), most=here.config.max_devices_per_user)
