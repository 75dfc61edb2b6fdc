"""/messages: history, and one message's life."""

from aiohttp import web

from messenger.errors import (
    ClientIdConflict,
    ContentEmpty,
    ContentTooLong,
    Forbidden,
    InvalidFrame,
    MessageNotFound,
    RateLimited,
)
from messenger.protocol import answers, frames, schemas
from messenger.protocol.fields import Text, Whole
from messenger.transport.commands import draft_of
from messenger.transport.context import context
from messenger.transport.operation import operation
from messenger.transport.rest import bodies

_SEND = schemas.Send()
_EDIT = schemas.EditBody()


@operation(
    "Read a page of messages",
    query={"before_seq": Whole(), "after_seq": Whole(), "limit": schemas.Limit(load_default=50)},
    gives={200: answers.Messages},
)
async def history(request: web.Request) -> web.Response:
    """In ascending `seq`: the latest, those below `before_seq`, those above `after_seq`, or those between both."""
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


@operation(
    "Send a message",
    takes=schemas.SendBody,
    headers={"Idempotency-Key": Text(shortest=1, longest=64)},
    gives={201: answers.Message, 200: answers.Message},
    refuses=(Forbidden, MessageNotFound, ContentEmpty, ContentTooLong, ClientIdConflict, RateLimited),
)
async def send(request: web.Request) -> web.Response:
    """201 and committed, or 200 where the same was sent before. The `Idempotency-Key` header is the `client_id`."""
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


@operation(
    "Edit a message",
    takes=schemas.EditBody,
    gives={200: answers.Message},
    refuses=(Forbidden, ContentEmpty, ContentTooLong),
)
async def edit(request: web.Request) -> web.Response:
    """What it says, as its sender."""
    me = await bodies.actor(request)
    message_id = bodies.message_id(request)
    command = await bodies.body(request, _EDIT)
    return bodies.answer(frames.message(await context(request).messages.edit(me, message_id, command.content)))


@operation("Delete a message", gives={204: None}, refuses=(Forbidden,))
async def delete(request: web.Request) -> web.Response:
    """As its sender or an admin. Its place in the log stays, as a tombstone."""
    me = await bodies.actor(request)
    await context(request).messages.delete(me, bodies.message_id(request))
    return web.Response(status=204)


@operation("Read up to a message", gives={200: answers.ReadConfirmed})
async def read(request: web.Request) -> web.Response:
    """Everything up to and including it; never backwards."""
    me = await bodies.actor(request)
    told = frames.read_confirmed(await context(request).messages.read(me, bodies.message_id(request)))
    del told["type"]
    return bodies.answer(told)


@operation("List who has read a message", gives={200: answers.Receipts})
async def receipts(request: web.Request) -> web.Response:
    """Who has read it, and when; without its sender."""
    me = await bodies.actor(request)
    readers = await context(request).messages.readers(me, bodies.message_id(request))
    return bodies.answer({"receipts": [frames.reader(reader) for reader in readers]})


@operation("List who reacted to a message", gives={200: answers.Reactions})
async def reactions(request: web.Request) -> web.Response:
    """Who reacted with what, the first first; at most 1,000."""
    me = await bodies.actor(request)
    found = await context(request).messages.reactions(me, bodies.message_id(request))
    return bodies.answer({"reactions": [frames.reaction(reaction, at) for reaction, at in found]})
