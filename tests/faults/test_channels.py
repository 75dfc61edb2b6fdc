"""Channels (dialect C) while something breaks: members miss nothing, hear nothing twice, and who is inside stays true."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import pytest

from messenger.dialects import room
from tests.faults.test_redis import NO_POLL, bus_is
from tests.support.breakable import BreakableRedis
from tests.support.channels import Channel, ChannelEar
from tests.support.node import FREE, Cluster, Node

ANN, BEN, CYD, DEE = 1, 2, 3, 4
TTL_S = 2.0


@dataclass
class Hike:
    """A channel with members on two nodes, one of which asks the database for nothing that the bus loses."""

    near: Node
    far: Node
    channel: Channel
    ears: tuple[ChannelEar, ...]
    said: int = 0

    async def say(self, count: int) -> None:
        for _ in range(count):
            await self.ears[0].say({"type": "MESG", "message": str(self.said)})
            self.said += 1

    async def have_heard_all(self) -> None:
        for ear in self.ears:
            for number in range(self.said):
                assert (await ear.hear("MESG"))["message"] == str(number)
            assert [frame for frame in await ear.heard() if frame["type"] in ("MESG", "ERROR")] == []


@pytest.fixture
async def hike(cluster: Cluster, oracle: asyncpg.Connection) -> AsyncIterator[Hike]:
    near, far = await cluster.node(**FREE, presence_ttl_s=TTL_S), await cluster.node(**NO_POLL, presence_ttl_s=TTL_S)
    await bus_is(near, "ok")
    await bus_is(far, "ok")
    channel = await Channel.made(near, oracle, ANN, BEN, CYD, DEE)
    async with AsyncExitStack() as stack:
        ears: list[ChannelEar] = []
        for node, user_id in ((near, ANN), (near, BEN), (far, CYD)):
            ears.append(await stack.enter_async_context(channel.inside(node, user_id, *ears)))
        yield Hike(near, far, channel, tuple(ears))


async def test_while_redis_is_away_and_comes_back_members_miss_nothing(hike: Hike, redis: BreakableRedis) -> None:
    await hike.say(10)
    redis.kill()
    await bus_is(hike.near, "degraded")
    await hike.say(10)
    redis.start()
    await bus_is(hike.near, "ok")
    await bus_is(hike.far, "ok")
    await hike.say(10)
    await hike.have_heard_all()


async def test_who_went_while_redis_was_away_is_told_of_once_it_is_back(hike: Hike, redis: BreakableRedis) -> None:
    ann, ben, cyd = hike.ears
    redis.kill()
    await bus_is(hike.near, "degraded")
    await ben.socket.close()
    redis.start()
    await bus_is(hike.near, "ok")
    await bus_is(hike.far, "ok")
    for ear in (ann, cyd):
        assert await ear.hear("USER_LEFT") == hike.channel.left(BEN)
    # And nobody else: the others are inside, though Redis had forgotten them.
    async with hike.channel.inside(hike.far, DEE, ann, cyd):
        for ear in (ann, cyd):
            assert await ear.heard() == []


async def test_who_comes_in_while_redis_is_away_is_told_of_once_it_is_back(hike: Hike, redis: BreakableRedis) -> None:
    ann, ben, cyd = hike.ears
    redis.kill()
    await bus_is(hike.near, "degraded")
    async with hike.channel.ear(hike.near, DEE) as dee:
        await dee.say({"type": "MESG", "message": "Hello"})
        for ear in (ann, ben, dee):
            assert (await ear.hear("MESG"))["user_id"] == DEE
        redis.start()
        for ear in (ann, ben, cyd, dee):
            assert await ear.hear("USER_JOINED") == hike.channel.joined(DEE)


async def test_a_node_that_dies_takes_its_devices_out_of_the_channel(hike: Hike, cluster: Cluster) -> None:
    victim = await cluster.daemon(presence_ttl_s=TTL_S)
    async with hike.channel.inside(victim, DEE, *hike.ears):
        victim.send(signal.SIGKILL)
        for ear in hike.ears:
            assert await ear.hear("USER_LEFT") == hike.channel.left(DEE)


async def test_what_is_heard_while_the_channel_is_read_keeps_its_order(
    hike: Hike, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, may_go_on = asyncio.Event(), asyncio.Event()
    read = room.Room._load_as_anybody

    async def slowly(self: room.Room, reader: object) -> None:
        reading.set()
        await may_go_on.wait()
        await read(self, reader)  # type: ignore[arg-type]

    # Somebody of whom the channel has not heard speaks first, so that it reads anew.
    monkeypatch.setattr(room.Room, "_load_as_anybody", slowly)
    native = hike.near.client(ANN)
    eve = 5
    assert (await native.post(f"/conversations/{hike.channel.id}/participants", {"user_ids": [eve]}))[0] == 201
    await hike.near.client(eve).send(hike.channel.id, "0")
    hike.said += 1
    await reading.wait()
    await hike.say(5)
    may_go_on.set()
    await hike.have_heard_all()
