"""/users/me/devices: browsers that are told by Web Push of what comes in while nobody is here."""

from uuid import UUID

from aiohttp import web

from messenger.protocol import answers, frames, schemas
from messenger.protocol.fields import Id
from messenger.transport.context import context
from messenger.transport.operation import operation
from messenger.transport.rest import bodies

_REGISTER = schemas.RegisterDevice()


@operation("The key to subscribe with", who="anyone", gives={200: answers.PushKey}, refuses=(404,))
async def push_key(request: web.Request) -> web.Response:
    """What a browser's `pushManager.subscribe` takes as `applicationServerKey`; 404 where Web Push is not configured."""
    public_key = context(request).push_devices.public_key
    if public_key is None:
        raise web.HTTPNotFound
    return bodies.answer({"public_key": public_key})


@operation("List my devices", gives={200: answers.PushDevices})
async def list_(request: web.Request) -> web.Response:
    """The newest first."""
    me = await bodies.actor(request)
    return bodies.answer(
        {"devices": [frames.push_device(device) for device in await context(request).push_devices.own(me)]}
    )


@operation("Register a device", takes=schemas.RegisterDevice, gives={201: answers.PushDevice}, refuses=(404,))
async def register(request: web.Request) -> web.Response:
    """A browser's subscription as it stands (`PushSubscription.toJSON()`); again to renew it. One that was another user's is his
    no more. Of more than 20 the one that was registered longest ago goes. 404 where Web Push is not configured."""
    me = await bodies.actor(request)
    here = context(request)
    if here.push_devices.public_key is None:
        raise web.HTTPNotFound
    subscription = await bodies.body(request, _REGISTER)
    return bodies.answer(frames.push_device(await here.push_devices.register(me, subscription)), 201)


@operation("Forget a device", path={"push_device_id": Id()}, gives={204: None}, refuses=(404,))
async def remove(request: web.Request) -> web.Response:
    """Nothing is sent there any more."""
    me = await bodies.actor(request)
    try:
        device_id = UUID(request.match_info["push_device_id"])
    except ValueError:
        raise web.HTTPNotFound from None
    if not await context(request).push_devices.remove(me, device_id):
        raise web.HTTPNotFound
    return web.Response(status=204)
