"""For whoever watches the daemon: does it live, is it ready, what does it count."""

import asyncio

from aiohttp import web

from messenger.errors import Unavailable
from messenger.transport.context import context
from messenger.transport.rest import bodies

# A database that takes longer to say that it is there is not.
PING_S = 2.0


async def healthz(_: web.Request) -> web.Response:
    """The process lives."""
    return bodies.answer({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """503 while the database is away or the daemon drains; a bus that is away is only told."""
    here = context(request)
    try:
        async with asyncio.timeout(PING_S):
            await here.duties.ping()
        database = "ok"
    except (Unavailable, TimeoutError):
        database = "away"
    ready = database == "ok" and not here.is_draining
    return bodies.answer(
        {
            "status": "draining" if here.is_draining else "ready" if ready else "unready",
            "database": database,
            "bus": "ok" if here.node.bus.is_healthy else "degraded",
        },
        200 if ready else 503,
    )


async def stats(request: web.Request) -> web.Response:
    """What this daemon counts, all its workers together, and the cluster."""
    here = context(request)
    return bodies.answer({**await here.siblings.figures(), "cluster": await here.node.cluster_figures()})
