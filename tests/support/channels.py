"""Channels, and the people who are in them by their sockets."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.support.people import Like, token
from tests.support.reachable import SECRET, Reachable
from tests.support.sessions import Ear, Frame, ear

NOT_A_MEMBER = (1008, "Not a member")
A_TIME = Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_NUMBERS = itertools.count(1)


class ChannelEar(Ear):
    async def heard(self) -> list[Frame]:
        await self.say({"type": "are you there"})
        await self.hear("ERROR", message="Unknown message type: are you there")
        frames, self._unheard = self._unheard, []
        return frames


class Channel:
    """A channel whose admin is the first of its members."""

    def __init__(self, conversation_id: str, url: str, *members: int) -> None:
        self.id = conversation_id
        self.url = url
        self.members = members

    @classmethod
    async def made(cls, node: Reachable, oracle: asyncpg.Connection, *members: int) -> "Channel":
        """A group, to which the host application has given a name."""
        url = f"hike-{next(_NUMBERS)}"
        conversation_id = await node.client(members[0]).group(*members[1:])
        await oracle.execute(
            """
            update messenger.conversations set channel_url = $2, channel_no = nextval('messenger.channel_numbers')
            where id = $1
            """,
            conversation_id,
            url,
        )
        return cls(conversation_id, url, *members)

    @property
    def path(self) -> str:
        return f"/api/v1/chat/ws/{self.url}"

    @asynccontextmanager
    async def ear(self, node: Reachable, user_id: int) -> AsyncIterator[ChannelEar]:
        """A member's device."""
        async with ear(node, self.path, token(user_id, SECRET)) as found:
            yield ChannelEar(found.socket)

    @asynccontextmanager
    async def inside(self, node: Reachable, user_id: int, *others: ChannelEar) -> AsyncIterator[ChannelEar]:
        """A member's first device, of which all others in the channel have been told, and it too."""
        async with self.ear(node, user_id) as own:
            for one in (own, *others):
                await one.hear("USER_JOINED", user_id=user_id)
            yield own

    def joined(self, user: Any) -> Frame:
        return {"type": "USER_JOINED", "channel_url": self.url, "user_id": user, "timestamp": A_TIME}

    def left(self, user: Any) -> Frame:
        return {"type": "USER_LEFT", "channel_url": self.url, "user_id": user}

    def said(self, user: Any, message: str, kind: str = "MESG", **more: Any) -> Frame:
        told = {"type": kind, "channel_url": self.url, "user_id": user, "message": message, "timestamp": A_TIME}
        return {**told, **more}
