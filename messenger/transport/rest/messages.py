"""/messages: history, and one message's life."""

from aiohttp import web

from messenger.errors import InvalidFrame
from messenger.protocol import frames, schemas
from messenger.transport.commands import draft_of
from messenger.transport.context import context
from messenger.transport.rest import bodies

_SEND = schemas.Send()
_EDIT = schemas.EditBody()


async def history(request: web.Request) -> web.Response:
    """A page in ascending `seq`; `more` is in the direction of paging."""
    me = await bodies.actor(request)
    conversation_id = bodies.conversation_id(request)
    messages, more = await context(request).messages.history(
        me,
        conversation_id,
        bodies.whole(request, "before_seq"),
        bodies.whole(request, "after_seq"),
        bodies.page(request),
    )
    told = frames.history(conversation_id, messages, more=more)
    del told["type"]
    return bodies.answer(told)


async def send(request: web.Request) -> web.Response:
    """201, or 200 for a duplicate. The `Idempotency-Key` header is the `client_id`."""
    me = await bodies.actor(request)
    here = context(request)
    told = {**await bodies.json_object(request), "conversation_id": str(bodies.conversation_id(request))}
    key = request.headers.get("Idempotency-Key")
    if key is not None:
        if told.get("client_id") not in (None, key):
            raise InvalidFrame("client_id and Idempotency-Key differ", field="client_id")
        told["client_id"] = key
    command = schemas.load(_SEND, told)
    here.message_rates.take(me)
    sent = await here.messages.send(me, draft_of(command))
    return bodies.answer(frames.message(sent.message), 200 if sent.duplicate else 201)


async def edit(request: web.Request) -> web.Response:
    me = await bodies.actor(request)
    message_id = bodies.message_id(request)
    command = await bodies.body(request, _EDIT)
    return bodies.answer(frames.message(await context(request).messages.edit(me, message_id, command.content)))


async def delete(request: web.Request) -> web.Response:
    me = await bodies.actor(request)
    await context(request).messages.delete(me, bodies.message_id(request))
    return web.Response(status=204)


async def read(request: web.Request) -> web.Response:
    """Read up to here."""
    me = await bodies.actor(request)
    told = frames.read_confirmed(await context(request).messages.read(me, bodies.message_id(request)))
    del told["type"]
    return bodies.answer(told)
