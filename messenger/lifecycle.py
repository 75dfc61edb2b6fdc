"""The daemon's resources, acquired in order and released in the opposite one; and the farewell to its devices.

keys → postgres → lanes → node (redis, repair, presence) → dispatch (outbox, couriers) → pulse → siblings.
What is begun here is ended here.
"""

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from aiohttp import web

from messenger.background import end
from messenger.config import Config
from messenger.delivery.devices import PushDevices
from messenger.delivery.dispatch import Dispatch, DispatchSettings
from messenger.delivery.guard import Guard
from messenger.delivery.vapid import Vapid
from messenger.dialects.places import HALL, Hall
from messenger.dialects.room import Rooms
from messenger.dialects.socket_io import DOOR, make_door
from messenger.dialects.upkeep import clear_forever
from messenger.dialects.visitors import Visitors
from messenger.domain.session import STATE_S
from messenger.errors import SetupError
from messenger.fanout.node import Node, NodeSettings
from messenger.metrics import Histogram, watch_loop_forever
from messenger.service.accounts import Accounts
from messenger.service.attachments import Addresses, Attachments
from messenger.service.channel_rooms import ChannelRooms
from messenger.service.channels import Channels
from messenger.service.conversations import Conversations
from messenger.service.messages import Messages
from messenger.service.open_rooms import OpenRooms
from messenger.service.sessions import Sessions
from messenger.service.sync import Sync
from messenger.service.typing import TypingIndicator
from messenger.service.users import Users
from messenger.storage.folder import Folder
from messenger.store.attachments import AttachmentStore
from messenger.store.channel_rooms import ChannelRoomStore
from messenger.store.channels import AccountStore, ChannelStore
from messenger.store.conversations import ConversationStore
from messenger.store.duties import Duties
from messenger.store.lanes import Lanes
from messenger.store.messages import MessageStore
from messenger.store.outbox import OutboxStore
from messenger.store.push_devices import PushDeviceStore
from messenger.store.session import Store
from messenger.store.sessions import OpenRoomStore, SessionStore
from messenger.store.users import UserStore
from messenger.transport import close
from messenger.transport.auth import Authenticator
from messenger.transport.context import ALONE, CONFIG, CONTEXT, PLACE, Context, Place
from messenger.transport.exposition import GROWING, Meter
from messenger.transport.keys import opened as opened_keys
from messenger.transport.limits import Buckets
from messenger.transport.pulse import pulse_forever
from messenger.transport.siblings import Siblings

log = structlog.get_logger(__name__)

# Within the time to drain, how often a handful of devices is sent away.
DRAIN_STEP_S = 0.05
# What is being done for devices gets this long after they have gone.
ANSWER_S = 5.0


async def resources(app: web.Application) -> AsyncIterator[None]:
    """The application's one cleanup context. Raises Unavailable where the database is away at the start, SetupError where uploads
    cannot be kept."""
    config, place, began_at = app[CONFIG], app[PLACE], time.time()
    outbox_filled = asyncio.Event()
    folder = Folder(config.attachments_dir)
    await asyncio.to_thread(folder.prepare)
    async with (
        opened_keys(config) as keys,
        Store.connected(config.database_url, is_pooled=config.database_pooled) as store,
        Lanes(store, outbox_filled if config.notifies else None) as lanes,
    ):
        messages, conversations, duties = MessageStore(store), ConversationStore(store), Duties(store)
        people, push_devices, sessions = UserStore(store), PushDeviceStore(store), SessionStore(store)
        push_guard, vapid = Guard(config.private_push_targets), _vapid(config)
        async with (
            Node.running(_node_settings(config), messages, conversations, duties, people) as node,
            Dispatch.running(
                _dispatch_settings(config, vapid, place),
                Guard(config.private_targets),
                push_guard,
                OutboxStore(store),
                push_devices,
                node.presence,
                outbox_filled,
            ) as dispatch,
        ):
            provision = config.unknown_users == "provision"
            users = Users(people, node.relay, provision=provision)
            talks = Conversations(
                conversations, node.relay, provision=provision, anyone_starts=config.who_starts == "anyone"
            )
            words = Messages(messages, lanes, node.relay, max_content_chars=config.max_content_chars)
            accounts = Accounts(AccountStore(store), talks, node.relay, provision=provision)
            loop_delay = Histogram()
            guest_key = await sessions.guest_key()
            siblings = Siblings(
                node,
                lambda: Meter(context, store, lanes, loop_delay, began_at).read(),
                GROWING,
                place.folder,
                place.number,
            )
            app[CONTEXT] = context = Context(
                config=config,
                epoch=await duties.epoch(),
                node=node,
                siblings=siblings,
                duties=duties,
                authenticator=Authenticator(config, users, keys),
                users=users,
                messages=words,
                conversations=talks,
                sync=Sync(conversations, duties),
                typing=TypingIndicator(node.relay, node.hub),
                push_devices=PushDevices(push_devices, push_guard, None if vapid is None else vapid.public_key),
                dispatch=dispatch,
                message_rates=Buckets(config.rate_messages),
                sessions=Sessions(
                    sessions, conversations, node.relay, node.bus.states(lasts_s=STATE_S), guest_s=config.guest_ttl_s
                ),
                open_rooms=OpenRooms(OpenRoomStore(store), idle_s=config.open_room_ttl_s),
                channel_rooms=ChannelRooms(ChannelRoomStore(store)),
                accounts=accounts,
                channels=Channels(ChannelStore(store), accounts, talks, words, node.relay),
                joins=Buckets(config.rate_joins),
                attachments=Attachments(
                    AttachmentStore(store),
                    folder,
                    Addresses(guest_key, lasts_s=config.attachment_link_s, origin=config.public_url),
                    types=config.attachment_types,
                    idle_s=config.attachment_orphan_s,
                    idle_bytes=config.max_idle_upload_bytes,
                ),
                upload_rates=Buckets(config.rate_uploads),
            )
            visitors = Visitors(config, context.authenticator, users, context.sessions, guest_key)
            app[HALL] = hall = Hall(Rooms(context), visitors, Buckets(config.rate_rooms))
            app[DOOR] = door = make_door(context, hall)
            tasks = [
                asyncio.create_task(pulse_forever(context), name="pulse"),
                asyncio.create_task(watch_loop_forever(loop_delay), name="loop watch"),
                asyncio.create_task(clear_forever(context), name="clearing away"),
            ]
            try:
                async with siblings.answering(), door.running():
                    yield
            finally:
                await end(tasks)


async def drain(app: web.Application) -> None:
    """Tell every device to come back elsewhere, and close them one after another over the time that is set."""
    context = app[CONTEXT]
    if context.is_draining:
        return
    context.is_draining = True
    devices = list(context.devices)
    log.info("draining", devices=len(devices))
    for device in devices:
        device.tell({"type": "system", "event": "draining"})
    steps = max(1, int(app[CONFIG].drain_s / DRAIN_STEP_S))
    for step in range(steps):
        for device in devices[: math.ceil(len(devices) * (step + 1) / steps)]:
            device.close(close.DRAINING)
        if not any(device.wire.is_open for device in devices):
            break
        await asyncio.sleep(DRAIN_STEP_S)
    await asyncio.gather(*(device.wire.closed() for device in devices), app[DOOR].close())
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            await context.messages.settled()  # and told: the other nodes hear of it over a bus that is still there
    if context.answering:
        _, late = await asyncio.wait(context.answering, timeout=ANSWER_S)
        await end(late)
    # Their leases end without us; where we are the last node, nobody else would write it down.
    at = datetime.now(UTC)
    await context.node.attendance.leaving({device.user_id: at for device in devices})


def _vapid(config: Config) -> Vapid | None:
    """Raises SetupError."""
    if not config.vapid_private_key:
        return None
    try:
        return Vapid.of(config.vapid_private_key, config.vapid_subject)
    except ValueError as error:
        raise SetupError(f"MESSENGER_VAPID_PRIVATE_KEY and _SUBJECT: {error}") from None


def _dispatch_settings(config: Config, vapid: Vapid | None, place: Place) -> DispatchSettings:
    return DispatchSettings(
        webhook_url=config.webhook_url,
        webhook_secret=config.webhook_secret,
        vapid=vapid,
        attempts=config.notify_attempts,
        counts=place.number == ALONE.number,
    )


def _node_settings(config: Config) -> NodeSettings:
    return NodeSettings(
        node_id=f"n{secrets.token_hex(4)}",
        redis_url=config.redis_url,
        redis_prefix=config.redis_prefix,
        catch_up_s=config.catch_up_s,
        presence_ttl_s=config.presence_ttl_s,
        presence_grace_s=config.presence_grace_s,
    )
