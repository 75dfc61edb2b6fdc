"""One task that looks after all devices of the node: pings, silence, and the end of tokens. No timer a device."""

import asyncio
import time

from messenger.protocol import frames
from messenger.transport import close
from messenger.transport.context import Context
from messenger.transport.device import Device

# A device is told so long before its token ends.
EXPIRING_S = 60.0


async def pulse_forever(context: Context) -> None:
    """Every device hears a ping each heartbeat; one that is silent for two of them is dropped."""
    heartbeat_s = context.config.heartbeat_s
    ping = frames.ping_frame()
    loop = asyncio.get_running_loop()
    beat = 0.0
    while True:
        await asyncio.sleep(min(1.0, heartbeat_s / 4))
        now = loop.time()
        beats = now - beat >= heartbeat_s
        if beats:
            beat = now
        for device in list(context.devices):
            if now - device.wire.heard_at > 2 * heartbeat_s:
                device.wire.abandon()
            elif beats:
                device.wire.push(ping)
            if device.expires_at is not None:
                _watch_token(context, device, device.expires_at - time.time())


def _watch_token(context: Context, device: Device, left_s: float) -> None:
    if left_s <= -context.authenticator.leeway_s:
        device.close(close.TOKEN_EXPIRED)
    elif left_s <= EXPIRING_S and not device.warned:
        device.warned = True
        device.tell({"type": "system", "event": "token_expiring", "expires_in_s": max(0, round(left_s))})
