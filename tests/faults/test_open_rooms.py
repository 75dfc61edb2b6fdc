"""Open rooms while Redis is away, hung or lossy between two nodes: each message is told once, in order, and none is lost."""

import asyncio
import random
from contextlib import AsyncExitStack

import asyncpg
import pytest

from messenger.bus import bus
from messenger.bus.presence import Presence
from tests.faults.test_redis import bus_is
from tests.integration.test_open_rooms import OPEN, Caller, entered
from tests.support.breakable import BreakableRedis
from tests.support.node import Cluster, Node
from tests.support.weather import Rain

COUNT = 120

pytestmark = pytest.mark.usefixtures("foreseen")


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "TIMEOUT_S", 0.5)


class Room:
    """Ann talks on one node. Several hear on the same one, and several on another: each keeps the last word of every frame."""

    def __init__(self, near: Node, far: Node, stack: AsyncExitStack) -> None:
        self.near, self.far, self._stack = near, far, stack
        self.callers: list[Caller] = []
        self._heard: list[list[str]] = []
        self.said = 0

    async def fill(self) -> None:
        for node in (self.near, self.near, self.far, self.far, self.far):
            caller = await self._stack.enter_async_context(entered(node, "lobby"))
            assert await caller.hear() == []
            self.callers.append(caller)
            self._heard.append([])

    async def talk(self, count: int) -> None:
        """Say so many messages, and wait for each on the same node only."""
        for _ in range(count):
            await self.callers[0].say(f"{self.said}")
            self.said += 1
            for number in (0, 1):
                await self.listen(number, self.said)

    async def listen(self, number: int, up_to: int) -> None:
        while len(self._heard[number]) < up_to:
            contents = await self.callers[number].contents()
            self._heard[number].append(contents[-1])
            last = int(contents[-1])
            assert contents == [f"{said}" for said in range(max(0, last - 49), last + 1)]

    async def is_whole(self, oracle: asyncpg.Connection) -> None:
        """Everybody was told each message once and in its order, and whoever enters now is told what they were told last."""
        everything = [f"{number}" for number in range(self.said)]
        for number in range(len(self.callers)):
            await self.listen(number, self.said)
        assert self._heard == [everything] * len(self.callers)
        rows = await oracle.fetch("select content from messenger.messages where message_type <> 'system' order by seq")
        assert [row["content"] for row in rows] == everything
        for node in (self.near, self.far):
            async with entered(node, "lobby") as caller:
                assert await caller.contents() == everything[-50:]


async def test_while_redis_is_killed_and_comes_back_nothing_is_lost(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    async with AsyncExitStack() as stack:
        room = Room(await cluster.node(**OPEN), await cluster.node(**OPEN), stack)
        await room.fill()
        for _ in range(2):
            await room.talk(10)
            redis.kill()
            await bus_is(room.near, "degraded")
            await room.talk(30)
            # Whoever enters meanwhile is told all that there is by now.
            async with entered(room.near, "lobby") as late:
                assert (await late.contents())[-1] == f"{room.said - 1}"
            redis.start()
            await bus_is(room.near, "ok")
            await bus_is(room.far, "ok")
            await room.talk(10)
        await room.is_whole(oracle)


async def test_while_redis_hangs_nothing_is_lost(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    async with AsyncExitStack() as stack:
        room = Room(await cluster.node(**OPEN), await cluster.node(**OPEN), stack)
        await room.fill()
        await room.talk(5)
        redis.pause()
        await room.talk(30)
        redis.resume()
        await room.talk(5)
        await room.is_whole(oracle)


async def test_what_the_bus_loses_repeats_and_reorders_is_told_once_and_in_order(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    async with AsyncExitStack() as stack:
        room = Room(await cluster.node(**OPEN), await cluster.node(**OPEN), stack)
        await room.fill()
        relay = room.far.context.node.relay
        rain = Rain(random.Random(7), relay.receive)
        relay.receive = rain.hear  # type: ignore[method-assign]
        await room.talk(COUNT)
        del relay.receive
        rain.stop()
        await room.is_whole(oracle)


async def test_what_is_said_on_both_sides_of_a_dead_bus_is_in_one_order(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    async with AsyncExitStack() as stack:
        nodes = await cluster.node(**OPEN), await cluster.node(**OPEN)
        callers = [await stack.enter_async_context(entered(node, "lobby")) for node in nodes]
        for caller in callers:
            await caller.hear()
        redis.kill()
        for number in range(40):
            for side, caller in enumerate(callers):
                await caller.say(f"{side}-{number}")

        async def all_of(caller: Caller) -> list[list[str]]:
            return [await caller.contents() for _ in range(80)]

        heard = await asyncio.gather(*map(all_of, callers))
        redis.start()
        assert heard[0] == heard[1]
        assert [len(contents) for contents in heard[0]] == [min(number, 50) for number in range(1, 81)]
        rows = await oracle.fetch("select content from messenger.messages where message_type <> 'system' order by seq")
        assert [row["content"] for row in rows][-50:] == heard[0][-1]


async def test_while_redis_is_away_no_room_is_cleared_away_because_nobody_seems_to_be_there(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    async with AsyncExitStack() as stack:
        far = await cluster.node(**OPEN)
        ann = await stack.enter_async_context(entered(far, "lobby"))
        await ann.hear()
        near = await cluster.node(**OPEN, open_room_ttl_s=1)
        redis.kill()
        await bus_is(near, "degraded")
        looked = asyncio.Event()
        clear_idle = near.context.open_rooms.clear_idle

        async def looking(presence: Presence) -> int:
            cleared = await clear_idle(presence)
            looked.set()
            return cleared

        near.context.open_rooms.clear_idle = looking  # type: ignore[method-assign,assignment]
        await oracle.execute("update messenger.conversation_heads set active_at = active_at - interval '1 hour'")
        for _ in range(2):
            looked.clear()
            async with asyncio.timeout(20):
                await looked.wait()
        await ann.say("Still here")
        assert await ann.contents() == ["Still here"]
