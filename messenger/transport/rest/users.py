"""/users: oneself, and those with whom one shares a conversation."""

from aiohttp import web

from messenger.errors import UserNotFound
from messenger.protocol import frames
from messenger.transport.commands import presence_of
from messenger.transport.context import context
from messenger.transport.rest import bodies

MOST = 500


async def me(request: web.Request) -> web.Response:
    user_id = await bodies.actor(request)
    found = await context(request).users.visible(user_id, [user_id])
    if not found:
        raise UserNotFound
    return bodies.answer(frames.user(found[0], own=True))


async def list_(request: web.Request) -> web.Response:
    user_id = await bodies.actor(request)
    found = await context(request).users.visible(user_id, bodies.user_ids(request, "ids", MOST))
    return bodies.answer({"users": [frames.user(user, own=user.id == user_id) for user in found]})


async def revoke(request: web.Request) -> web.Response:
    """For the host application: a user's tokens of before now count no more, and his devices that hold one are closed."""
    here = context(request)
    await here.authenticator.require_service(request)
    user_id = await here.users.named(request.match_info["user_id"])
    if user_id is None:
        raise UserNotFound
    return bodies.answer({"user_id": user_id, "tokens_not_before": await here.users.revoke(user_id)})


async def presence(request: web.Request) -> web.Response:
    """Who of these is online; somebody one shares nothing with is told as offline."""
    user_id = await bodies.actor(request)
    here = context(request)
    wanted = bodies.user_ids(request, "user_ids", MOST)
    last_seen = {user.id: user.last_seen_at for user in await here.users.visible(user_id, wanted)}
    online = await here.node.presence.online_of(last_seen)
    return bodies.answer({"users": await presence_of(here, user_id, wanted, last_seen, online)})
