"""The bus away, cut or silent: a hint less, and nothing lost."""

import asyncio

import pytest

from messenger.bus import subscriber
from tests.support.database import Servers
from tests.support.node import Cluster, Node
from tests.support.proxy import of_redis, proxied

ANN, BEN = 1, 2


async def healthy(node: Node, *, expected: bool = True) -> None:
    async with asyncio.timeout(10):
        while node.context.node.bus.is_healthy is not expected:
            await asyncio.sleep(0.02)


async def test_a_node_that_serves_has_reached_its_bus(cluster: Cluster, servers: Servers) -> None:
    async with proxied(of_redis(servers.redis_url)) as proxy:
        proxy.delay_s = 0.3  # longer than the rest of the start
        async with cluster.node_for_a_while(redis_url=proxy.redis_url(servers.redis_url)) as node:
            assert node.context.node.bus.is_healthy


async def test_a_silent_path_is_noticed_and_left(
    cluster: Cluster, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "WATCHDOG_S", 0.1)
    monkeypatch.setattr(subscriber, "SILENCE_S", 0.5)
    async with proxied(of_redis(servers.redis_url)) as proxy:
        one = await cluster.node()
        # Only the new connection's hurry may find what was lost: the poll itself is far away.
        async with cluster.node_for_a_while(redis_url=proxy.redis_url(servers.redis_url), catch_up_s=3600) as two:
            await healthy(two)
            tea = await one.client(ANN).group(BEN)
            ben = await two.phone(BEN)
            proxy.freeze()
            await one.client(ANN).send(tea, "said into the silence")
            assert (await ben.hear("message.new"))["data"]["content"] == "said into the silence"
            await healthy(two)


async def test_with_the_bus_away_sends_are_acknowledged_and_local_devices_served(
    cluster: Cluster, servers: Servers
) -> None:
    async with proxied(of_redis(servers.redis_url)) as proxy:
        one = await cluster.node()
        async with cluster.node_for_a_while(redis_url=proxy.redis_url(servers.redis_url)) as two:
            await healthy(two)
            tea = await one.client(ANN).group(BEN)
            ann, ben, far = await two.phone(ANN), await two.phone(BEN), await one.phone(BEN)
            proxy.is_refusing = True
            proxy.cut()
            await healthy(two, expected=False)
            for number in range(5):
                sent = await ann.ask("message.send", conversation_id=tea, content=str(number))
                assert sent["type"] == "message.sent"
            assert [event["change"] for event in await ben.durable(tea, 5)] == [1, 2, 3, 4, 5]
            # The other node finds it in the database.
            assert [event["change"] for event in await far.durable(tea, 5)] == [1, 2, 3, 4, 5]
            # A newcomer gets in without the bus, and misses nothing either.
            late = await two.phone(BEN)
            async with two.session.get(two.origin + "/readyz") as response:
                assert (response.status, (await response.json())["bus"]) == (200, "degraded")
            proxy.is_refusing = False
            await healthy(two)
            await one.client(ANN).send(tea, "back")
            for phone in (ann, ben, far, late):
                assert (await phone.durable(tea, 6))[-1]["change"] == 6
