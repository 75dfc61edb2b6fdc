"""What the dialects' handlers reach, hung on the application beside the context."""

from collections import Counter
from dataclasses import dataclass, field

from aiohttp import web

from messenger.dialects.room import Rooms
from messenger.dialects.visitors import Visitors
from messenger.transport.limits import Buckets


@dataclass(frozen=True, slots=True)
class Hall:
    """The rooms on this node, and who may come into live sessions. Of open rooms: how many each address may make, and how many
    connections it has."""

    rooms: Rooms
    visitors: Visitors
    new_rooms: Buckets
    callers: Counter[str] = field(default_factory=Counter)


HALL = web.AppKey("messenger.hall", Hall)


def hall(request: web.Request) -> Hall:
    return request.app[HALL]
