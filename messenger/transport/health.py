"""For whoever watches the daemon: does it live, is it ready, what does it count."""

import asyncio

from aiohttp import hdrs, web

from messenger.errors import Forbidden, Unauthorized, Unavailable
from messenger.protocol import answers
from messenger.transport import exposition
from messenger.transport.context import Context, context
from messenger.transport.operation import operation
from messenger.transport.rest import bodies

# A database that takes longer to say that it is there is not.
PING_S = 2.0


@operation("Does it live?", who="anyone", gives={200: answers.Healthy})
async def healthz(_: web.Request) -> web.Response:
    """The process lives."""
    return bodies.answer({"status": "ok"})


@operation("Can it work?", who="anyone", gives={200: answers.Ready, 503: answers.Ready})
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


@operation("What it counts", who="watcher", gives={200: answers.Stats})
async def stats(request: web.Request) -> web.Response:
    """What this daemon counts, all its workers together, and the cluster."""
    here = context(request)
    await _allow(request, here)
    return bodies.answer({**await here.siblings.figures(), "cluster": await here.node.cluster_figures()})


@operation("What it measures", who="watcher", gives={200: "text/plain"})
async def metrics(request: web.Request) -> web.Response:
    """What this daemon measures, all its workers together, for Prometheus."""
    here = context(request)
    await _allow(request, here)
    text = exposition.text_of(await here.siblings.readings())
    return web.Response(body=text, headers={hdrs.CONTENT_TYPE: exposition.CONTENT_TYPE})


async def _allow(request: web.Request, here: Context) -> None:
    """Anybody, or the host application only, where the figures are private. Raises Unauthorized, Unavailable."""
    if here.config.stats_private:
        try:
            await here.authenticator.require_service(request)
        except Forbidden:
            raise Unauthorized("token_invalid") from None  # a good token, of the wrong kind
