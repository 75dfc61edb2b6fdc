"""What handlers reach: the use cases and the node, hung on the application under one typed key."""

from dataclasses import dataclass, field

from aiohttp import web

from messenger.config import Config
from messenger.fanout.node import Node
from messenger.service.conversations import Conversations
from messenger.service.messages import Messages
from messenger.service.sync import Sync
from messenger.service.typing import TypingIndicator
from messenger.service.users import Users
from messenger.store.duties import Duties
from messenger.transport.auth import Authenticator
from messenger.transport.device import Device
from messenger.transport.limits import Buckets


@dataclass(slots=True, kw_only=True)
class Context:
    """One running daemon. `open_sockets` counts those too that have not said yet who they are."""

    config: Config
    epoch: str
    node: Node
    duties: Duties
    authenticator: Authenticator
    users: Users
    messages: Messages
    conversations: Conversations
    sync: Sync
    typing: TypingIndicator
    message_rates: Buckets
    devices: set[Device] = field(default_factory=set)
    open_sockets: int = 0
    unknown_types: int = 0
    is_draining: bool = False


CONTEXT = web.AppKey("messenger.context", Context)
CONFIG = web.AppKey("messenger.config", Config)


def context(request: web.Request) -> Context:
    return request.app[CONTEXT]
