"""Redis away, hung, cut off or impatient: a hint less. Sends are acknowledged, devices served, and nothing is lost."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
import pytest
from redis import asyncio as aioredis

from messenger.bus import bus, subscriber
from messenger.bus.publisher import Publisher
from tests.support.breakable import BreakableRedis
from tests.support.meanwhile import Sender, have_heard_all, responsive
from tests.support.node import FREE, Cluster, logged
from tests.support.people import Phone
from tests.support.proxy import of_redis, proxied
from tests.support.reachable import Reachable

ANN, BEN, CYD, DEE, EVE, FAY, GUS = range(1, 8)
SUBSCRIBES = b"\r\nSUBSCRIBE\r\n"
# A send never waits for Redis.
ACK_S = 1.0
# Half a second instead of two.
TIMEOUT_S = 0.5
# Reconnecting is tried every two seconds at least.
SOON_S = 5.0
# Who comes first waits for his channels and his presence, once each.
HUNG_S = subscriber.CONFIRM_S + TIMEOUT_S + 1
# Nothing but a new connection, or a number out of turn, makes such a node ask the database.
NO_POLL = {"catch_up_s": 3600.0}

pytestmark = pytest.mark.usefixtures("foreseen")


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test need not wait: what hangs is given up sooner, and the watchdog speaks more often."""
    monkeypatch.setattr(bus, "TIMEOUT_S", TIMEOUT_S)
    monkeypatch.setattr(subscriber, "WATCHDOG_S", 0.1)


@dataclass
class Scene:
    """Ann sends to Ben on the same node, and to Cyd on another. Dee and Eve, one on each, only ping."""

    near: Reachable
    far: Reachable
    oracle: asyncpg.Connection
    tea: str
    ann: Sender
    ben: Phone
    cyd: Phone
    dee: Phone
    eve: Phone

    @classmethod
    async def on(cls, near: Reachable, far: Reachable, oracle: asyncpg.Connection) -> "Scene":
        await bus_is(near, "ok")
        await bus_is(far, "ok")
        tea = await near.client(ANN).group(BEN, CYD)
        ann = Sender(await near.phone(ANN), tea, ACK_S)
        others = await near.phone(BEN), await far.phone(CYD), await near.phone(DEE), await far.phone(EVE)
        return cls(near, far, oracle, tea, ann, *others)

    async def send(self, count: int) -> None:
        """Each is acknowledged in time, and heard at once by who is on the same node."""
        await self.ann.send(count)
        assert not self.ann.refused
        await self.ben.hear("message.new", within_s=ACK_S, seq=len(self.ann.sent))

    async def is_live(self) -> None:
        """Both nodes say that the bus is well, and it carries: to one that does not ask the database by itself."""
        await bus_is(self.near, "ok")
        await bus_is(self.far, "ok")
        await self.send(1)
        await self.cyd.hear("message.new", within_s=SOON_S, seq=len(self.ann.sent))

    async def is_whole(self) -> None:
        await self.ann.is_stored(self.oracle)
        await have_heard_all(self.oracle, self.tea, self.ben, self.cyd)


@pytest.fixture
async def scene(cluster: Cluster, oracle: asyncpg.Connection) -> Scene:
    return await Scene.on(await cluster.node(**FREE), await cluster.node(**NO_POLL), oracle)


async def bus_is(node: Reachable, expected: str) -> None:
    async with asyncio.timeout(SOON_S):
        while True:
            answer = await node.nobody().ask("GET", "//readyz")
            assert (answer.status, answer.body["database"]) == (200, "ok")
            if answer.body["bus"] == expected:
                return
            await asyncio.sleep(0.02)


async def subscribers(redis: BreakableRedis, channel: str) -> int:
    """How many nodes Redis would tell."""
    async with aioredis.Redis.from_url(redis.url) as client:
        ((_, count),) = await client.pubsub_numsub(channel)
        return int(count)


async def test_while_redis_is_away_and_comes_back_nothing_is_lost(scene: Scene, redis: BreakableRedis) -> None:
    async with responsive(scene.dee, scene.eve):
        for _ in range(3):
            redis.kill()
            await bus_is(scene.near, "degraded")
            await scene.send(20)
            redis.start()
            # The new connection makes the other node look.
            await scene.cyd.hear("message.new", within_s=SOON_S, seq=len(scene.ann.sent))
            await scene.is_live()
            assert await subscribers(redis, f"conversation:{scene.tea}") == 2
    await scene.is_whole()


@pytest.mark.parametrize("silence_s", [15.0, 0.5], ids=["and its connections outlive it", "and is given up"])
async def test_while_redis_hangs_nothing_is_lost(
    scene: Scene, redis: BreakableRedis, monkeypatch: pytest.MonkeyPatch, silence_s: float
) -> None:
    monkeypatch.setattr(subscriber, "SILENCE_S", silence_s)
    async with responsive(scene.dee, scene.eve):
        redis.pause()
        await scene.send(20)
        await bus_is(scene.near, "degraded")
        await scene.send(20)
        redis.resume()
        await scene.is_live()
    await scene.is_whole()


async def test_while_the_path_of_the_sending_node_is_dead_nothing_is_lost(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "SILENCE_S", 0.5)
    async with proxied(of_redis(redis.url)) as proxy:
        near = await cluster.node(redis_url=proxy.redis_url(redis.url), **FREE)
        scene = await Scene.on(near, await cluster.node(**NO_POLL), oracle)
        async with responsive(scene.dee, scene.eve):
            proxy.freeze()
            await scene.send(20)
            await bus_is(scene.near, "degraded")
            await scene.is_live()
        await scene.is_whole()


async def test_the_poll_does_not_wait_for_redis(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    scene = await Scene.on(await cluster.node(**FREE), await cluster.node(), oracle)
    for fault in (redis.pause, redis.kill):
        fault()
        await scene.send(20)
        await scene.cyd.hear("message.new", within_s=ACK_S, seq=len(scene.ann.sent))
    await scene.is_whole()


async def test_a_node_that_redis_cut_off_because_it_did_not_read_catches_up(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    near = await cluster.node(**FREE)
    async with aioredis.Redis.from_url(redis.url) as client:
        await client.config_set("client-output-buffer-limit", "pubsub 64kb 32kb 1")
        (own,) = await client.pubsub_channels("node:*")
        far = await cluster.daemon(**NO_POLL)
        scene = await Scene.on(near, far, oracle)
        (other,) = set(await client.pubsub_channels("node:*")) - {own}
        await scene.send(5)
        async with responsive(scene.dee):
            far.send(signal.SIGSTOP)
            while await subscribers(redis, f"conversation:{scene.tea}") == 2:
                await client.publish(other, b"x" * 65536)
            await scene.send(20)
            far.send(signal.SIGCONT)
            await scene.cyd.hear("message.new", within_s=SOON_S, seq=25)
            await scene.is_live()
    assert (await scene.eve.ask("ping"))["type"] == "pong"
    await scene.is_whole()


@pytest.mark.parametrize(
    ("fault", "mend"), [(BreakableRedis.kill, BreakableRedis.start), (BreakableRedis.pause, BreakableRedis.resume)]
)
async def test_while_redis_is_away_whoever_comes_is_let_in_and_answered(
    scene: Scene,
    redis: BreakableRedis,
    fault: Callable[[BreakableRedis], None],
    mend: Callable[[BreakableRedis], None],
) -> None:
    await scene.send(3)
    async with responsive(scene.dee, scene.eve):
        fault(redis)
        for bound_s in (HUNG_S, ACK_S):  # who comes first may have to find it out
            began = time.monotonic()
            late = await scene.far.phone(BEN)
            asked = [
                ("sync", {"cursors": {}}, "sync"),
                ("subscribe", {"conversation_id": scene.tea}, "subscribed"),
                ("presence", {"user_ids": [ANN, BEN, CYD]}, "presence"),
                ("typing", {"conversation_id": scene.tea}, None),
                ("message.read", {"message_id": scene.ann.sent[0]["message_id"]}, "read.confirmed"),
                ("unsubscribe", {"conversation_id": scene.tea}, "unsubscribed"),
            ]
            for type_, fields, answer in asked:
                if answer is None:
                    await late.say(type_, **fields)
                else:
                    assert (await late.ask(type_, **fields))["type"] == answer
            milk = await scene.far.client(BEN).group(CYD)
            await scene.far.client(BEN).send(milk, "behind Redis' back")
            assert (await late.hear("message.new", conversation_id=milk))["seq"] == 1
            assert (await scene.cyd.hear("message.new", conversation_id=milk))["seq"] == 1
            await late.socket.close()
            assert time.monotonic() - began < bound_s
        mend(redis)
        await scene.is_live()
    await scene.is_whole()


async def test_channels_wanted_and_left_while_a_connection_is_made_are_as_they_should_be(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    async with proxied(of_redis(redis.url)) as proxy:
        far = await cluster.node(redis_url=proxy.redis_url(redis.url), **NO_POLL)
        scene = await Scene.on(await cluster.node(**FREE), far, oracle)
        asked = asyncio.Event()

        def hold(data: bytes) -> None:
            if SUBSCRIBES in data and not asked.is_set():
                redis.pause()
                asked.set()

        async with far.phone_for_a_while(GUS):
            assert await subscribers(redis, f"user:{GUS}") == 1
            proxy.watch = hold
            proxy.cut()
            await asked.wait()
        # Too late for what the new connection was asked, and nothing is confirmed yet.
        fay = await far.phone(FAY)
        milk = await scene.near.client(ANN).group(FAY)
        assert (await fay.ask("subscribe", conversation_id=milk))["type"] == "subscribed"
        redis.resume()
        await scene.is_live()
        await scene.near.client(ANN).send(milk, "heard by the bus")
        await fay.hear("message.new", within_s=SOON_S, conversation_id=milk)
        assert await subscribers(redis, f"user:{FAY}") == 1
        assert await subscribers(redis, f"user:{GUS}") == 0
    await scene.is_whole()


async def test_what_cannot_be_published_keeps_back_nothing_else(redis: BreakableRedis) -> None:
    async with (
        aioredis.Redis.from_url(redis.url) as client,
        client.pubsub() as told,
        Publisher(client.connection_pool) as publisher,
    ):
        await told.subscribe("tea")
        assert (await told.get_message(timeout=SOON_S))["type"] == "subscribe"
        with logged() as log:
            publisher.publish("a channel that is no text: \ud800", b"")
            async with asyncio.timeout(SOON_S):
                while not publisher.dropped:
                    await asyncio.sleep(0.01)
        assert "publishing failed" in log.getvalue()
        publisher.publish("tea", b"heard")
        assert (await told.get_message(timeout=SOON_S))["data"] == b"heard"
