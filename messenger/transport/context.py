"""What handlers reach: the use cases and the node, hung on the application under one typed key."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from messenger.config import Config
from messenger.delivery.devices import PushDevices
from messenger.delivery.dispatch import Dispatch
from messenger.domain.ids import UserId
from messenger.fanout.node import Node
from messenger.gate import Gate
from messenger.service.accounts import Accounts
from messenger.service.attachments import Attachments
from messenger.service.channel_rooms import ChannelRooms
from messenger.service.channels import Channels
from messenger.service.conversations import Conversations
from messenger.service.messages import Messages
from messenger.service.open_rooms import OpenRooms
from messenger.service.sessions import Sessions
from messenger.service.sync import Sync
from messenger.service.typing import TypingIndicator
from messenger.service.users import Users
from messenger.store.duties import Duties
from messenger.transport import close
from messenger.transport.auth import Authenticator
from messenger.transport.close import Close
from messenger.transport.device import Device
from messenger.transport.limits import Buckets
from messenger.transport.siblings import Siblings
from messenger.transport.wire import Writes

# So many devices come in at once, and each waits no longer than this: a crowd takes turns.
ENTRANCE_WIDTH = 32
ENTRANCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Place:
    """Which of its workers a daemon's process is, and the folder where they find each other; none where it is alone."""

    folder: Path | None
    number: int


ALONE = Place(None, 0)


def _none_of_ours() -> Counter[tuple[str, ...]]:
    """Ways in which we end a socket, from the beginning: Prometheus sees no growth in what it never saw before."""
    return Counter({(str(why.code), why.reason): 0 for why in vars(close).values() if isinstance(why, Close)})


@dataclass(slots=True, kw_only=True)
class Context:
    """One running daemon. `writes`: the sockets with something to write in this tick; `answering`: what is done for devices just
    now. `open_sockets` counts those too that have not said yet who they are; `frames` what clients said, by type and result;
    `closes` how sockets ended, by code and reason; `requests` by method, route and status; `uploading` how many files
    each user sends just now."""

    config: Config
    epoch: str
    node: Node
    siblings: Siblings
    duties: Duties
    authenticator: Authenticator
    users: Users
    messages: Messages
    conversations: Conversations
    sync: Sync
    typing: TypingIndicator
    push_devices: PushDevices
    dispatch: Dispatch
    message_rates: Buckets
    sessions: Sessions
    open_rooms: OpenRooms
    channel_rooms: ChannelRooms
    accounts: Accounts
    channels: Channels
    joins: Buckets
    attachments: Attachments
    upload_rates: Buckets
    uploading: Counter[UserId] = field(default_factory=Counter)
    devices: set[Device] = field(default_factory=set)
    writes: Writes = field(default_factory=Writes)
    answering: set[asyncio.Task[None]] = field(default_factory=set)
    entrance: Gate = field(default_factory=lambda: Gate(ENTRANCE_WIDTH, ENTRANCE_S))
    open_sockets: int = 0
    unknown_types: int = 0
    frames: Counter[tuple[str, ...]] = field(default_factory=Counter)
    closes: Counter[tuple[str, ...]] = field(default_factory=_none_of_ours)
    requests: Counter[tuple[str, ...]] = field(default_factory=Counter)
    is_draining: bool = False


CONTEXT = web.AppKey("messenger.context", Context)
CONFIG = web.AppKey("messenger.config", Config)
PLACE = web.AppKey("messenger.place", Place)


def context(request: web.Request) -> Context:
    return request.app[CONTEXT]
