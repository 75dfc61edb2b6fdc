"""/users: oneself, and those with whom one shares a conversation."""

from aiohttp import web

from messenger.domain.ids import UserId
from messenger.errors import Conflict, InvalidFrame, UserNotFound
from messenger.protocol import answers, frames, schemas
from messenger.protocol.fields import AnyUserId, UserIds
from messenger.transport.commands import presence_of
from messenger.transport.context import context
from messenger.transport.operation import operation
from messenger.transport.rest import bodies

MOST = 500
_PUT = schemas.PutUser()


@operation("Show my profile", gives={200: answers.OwnUser})
async def me(request: web.Request) -> web.Response:
    user_id = await bodies.actor(request)
    found = await context(request).users.visible(user_id, [user_id])
    if not found:
        raise UserNotFound
    return bodies.answer(frames.user(found[0], own=True))


@operation(
    "Show people",
    who="user or host",
    query={"ids": UserIds(fewest=1, most=MOST, required=True)},
    gives={200: answers.Users},
)
async def list_(request: web.Request) -> web.Response:
    """Those of these people with whom one shares a conversation; the host application sees everybody."""
    here = context(request)
    identity = await bodies.user_or_host(request)
    wanted = bodies.user_ids(request, "ids", MOST)
    if identity is None:
        return bodies.answer({"users": [frames.user(user, own=True) for user in await here.users.profiles(wanted)]})
    found = await here.users.visible(identity.user_id, wanted)
    return bodies.answer(
        {"users": [frames.user(user, own=identity.by_host or user.id == identity.user_id) for user in found]}
    )


@operation(
    "Set somebody's profile",
    who="host",
    path={"user_id": AnyUserId()},
    takes=schemas.PutUser,
    gives={200: answers.OwnUser},
    refuses=(Conflict,),
)
async def put(request: web.Request) -> web.Response:
    """For the host application: a user as it wants him, made if need be."""
    here = context(request)
    await here.authenticator.require_service(request)
    wanted = await bodies.body(request, _PUT)
    return bodies.answer(frames.user(await here.users.put(request.match_info["user_id"], wanted.changes), own=True))


@operation(
    "Revoke somebody's tokens",
    who="host",
    path={"user_id": AnyUserId()},
    gives={200: answers.Revoked},
    refuses=(UserNotFound,),
)
async def revoke(request: web.Request) -> web.Response:
    """For the host application: a user's tokens of before now count no more, and his devices that hold one are closed."""
    here = context(request)
    await here.authenticator.require_service(request)
    user_id = await here.users.named(request.match_info["user_id"])
    if user_id is None:
        raise UserNotFound
    return bodies.answer({"user_id": user_id, "tokens_not_before": await here.users.revoke(user_id)})


@operation(
    "Show who is here",
    who="user or host",
    query={"user_ids": UserIds(fewest=1, most=MOST, required=True)},
    gives={200: answers.Presences},
)
async def presence(request: web.Request) -> web.Response:
    """Who of these is online; somebody one shares nothing with is told as offline. The host application sees everybody."""
    here = context(request)
    identity = await bodies.user_or_host(request)
    me = None if identity is None else identity.user_id
    wanted = bodies.user_ids(request, "user_ids", MOST)
    found = await here.users.profiles(wanted) if me is None else await here.users.visible(me, wanted)
    last_seen = {user.id: user.last_seen_at for user in found if not user.is_apart}
    online = await here.node.presence.online_of(last_seen)
    return bodies.answer({"users": await presence_of(here, me, wanted, last_seen, online)})


@operation("List whom I block", gives={200: answers.UserIds})
async def blocks(request: web.Request) -> web.Response:
    """Whom one has blocked oneself; who blocks one is not told."""
    return await _blocks(request, await bodies.actor(request))


@operation("Block somebody", gives={200: answers.UserIds}, refuses=(InvalidFrame, Conflict))
async def block(request: web.Request) -> web.Response:
    """Neither writes to the other any more, nor sees him come, go or type."""
    me = await bodies.actor(request)
    here = context(request)
    await here.users.block(me, bodies.user_id(request))
    await here.node.acquaintance.heeded(me)  # from now on nothing of the other is told here
    return await _blocks(request, me)


@operation("Unblock somebody", gives={204: None})
async def unblock(request: web.Request) -> web.Response:
    """Whether or not he was blocked."""
    me = await bodies.actor(request)
    here = context(request)
    await here.users.unblock(me, bodies.user_id(request))
    await here.node.acquaintance.heeded(me)
    return web.Response(status=204)


async def _blocks(request: web.Request, me: UserId) -> web.Response:
    return bodies.answer({"user_ids": list(await context(request).users.blocks(me))})
