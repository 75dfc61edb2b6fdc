"""Who is inside a channel (dialect C): with his first device, until his last one goes, on whichever node."""

import asyncio
from typing import Any

import asyncpg
import pytest

from messenger.service.channel_rooms import ChannelRooms
from tests.support.channels import Channel
from tests.support.node import FREE, Cluster

ANN, BEN, CYD, DEE = 1, 2, 3, 4


async def test_coming_and_going_is_told_once_whatever_the_number_of_devices(
    cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    near, far = await cluster.node(**FREE), await cluster.node(**FREE)
    hike = await Channel.made(near, oracle, ANN, BEN, CYD, DEE)
    async with hike.inside(near, ANN) as anns, hike.inside(far, CYD, anns) as cyds:
        async with hike.inside(near, BEN, anns, cyds) as bens:
            async with hike.ear(far, BEN) as second:
                # Behind what would have been told of the second device.
                async with hike.inside(far, DEE, anns, cyds, bens, second):
                    pass
                for one in (anns, cyds, bens, second):
                    assert await one.hear("USER_LEFT") == hike.left(DEE)
                    assert await one.heard() == []
            # Behind what would have been told of it.
            async with hike.inside(far, DEE, anns, cyds, bens):
                for one in (anns, cyds, bens):
                    assert await one.heard() == []
            for one in (anns, cyds):
                await one.hear("USER_LEFT", user_id=DEE)
        for one in (anns, cyds):
            assert await one.hear("USER_LEFT") == hike.left(BEN)


async def test_who_is_online_elsewhere_comes_into_the_channel_and_goes(
    cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    node = await cluster.node(**FREE)
    hike, walk = [await Channel.made(node, oracle, ANN, BEN) for _ in range(2)]
    phone = await node.phone(BEN)
    async with hike.inside(node, ANN) as anns, walk.inside(node, ANN) as annas:
        async with hike.inside(node, BEN, anns):
            pass
        assert await anns.hear("USER_LEFT") == hike.left(BEN)
        # Of the other channel nobody heard a word.
        assert await annas.heard() == []
    await phone.silence("user.offline")


async def test_a_reload_within_the_grace_period_is_told_to_nobody(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    near, far = [await cluster.node(presence_grace_s=60, **FREE) for _ in range(2)]
    hike = await Channel.made(near, oracle, ANN, BEN, CYD)
    async with hike.inside(near, ANN) as anns:
        async with hike.inside(near, BEN, anns):
            pass
        async with hike.ear(far, BEN), hike.inside(far, CYD, anns):
            assert await anns.heard() == []


async def test_a_newcomer_is_watched_though_whoever_would_have_looked_is_removed(
    cluster: Cluster, oracle: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = await cluster.node(**FREE), await cluster.node(**FREE)
    hike = await Channel.made(near, oracle, ANN, BEN, CYD)
    ann = near.client(ANN)
    read, may_read = ChannelRooms.people, asyncio.Event()

    async def slowly(self: ChannelRooms, *args: Any) -> Any:
        await may_read.wait()
        return await read(self, *args)

    async with hike.inside(near, BEN) as bens, hike.inside(near, CYD, bens) as cyds:
        monkeypatch.setattr(ChannelRooms, "people", slowly)
        await ann.post(f"/conversations/{hike.id}/participants", {"user_ids": [DEE]})
        await ann.delete(f"/conversations/{hike.id}/participants/{BEN}")
        may_read.set()
        async with hike.ear(far, DEE):
            assert await cyds.hear("USER_JOINED") == hike.joined(DEE)
        assert await cyds.hear("USER_LEFT", user_id=DEE) == hike.left(DEE)
