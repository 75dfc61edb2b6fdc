"""/sync: catching up without a socket."""

from aiohttp import web

from messenger.errors import InvalidConversationId
from messenger.protocol import answers, schemas
from messenger.transport.commands import caught_up
from messenger.transport.context import context
from messenger.transport.operation import operation
from messenger.transport.rest import bodies

_SYNC = schemas.Sync()


@operation("Catch up", takes=schemas.Sync, gives={200: answers.Synced}, refuses=(InvalidConversationId,))
async def sync(request: web.Request) -> web.Response:
    """Whatever changed above one's cursors, as the frame. A conversation without a cursor begins with its newest page."""
    me = await bodies.actor(request)
    wanted = await bodies.body(request, _SYNC)
    here = context(request)
    return bodies.answer(caught_up(here, await here.sync.catch_up(me, wanted.cursors, wanted.limit)))
