"""What is cleared away in time: guests whose time is over, open rooms without traffic, and files that no message carries. Every
node looks, and whoever comes second finds nothing."""

import asyncio
import random

import structlog

from messenger.errors import Unavailable
from messenger.transport.context import Context

log = structlog.get_logger(__name__)

# At most so long after its time something is cleared away.
EVERY_S = 60.0


async def clear_forever(context: Context) -> None:
    presence = context.node.presence
    config = context.config
    every_s = min(EVERY_S, config.guest_ttl_s / 4, config.open_room_ttl_s / 4, config.attachment_orphan_s / 4)
    while True:
        # Nodes that were started together do not look together.
        await asyncio.sleep(every_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
        try:
            while await context.sessions.clear_idle_guests(presence):
                pass
            while await context.open_rooms.clear_idle(presence):
                pass
            while await context.attachments.clear_idle():
                pass
            await context.attachments.tidy()
        except Unavailable:
            log.info("clearing away put off")
        except Exception:  # the next look may do better
            log.exception("not cleared away")
