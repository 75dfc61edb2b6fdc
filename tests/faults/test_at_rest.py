"""After everybody has left, however he left, nothing is left of him: no map entry, task, channel, descriptor or key."""

import asyncio
import time
from collections import Counter

from redis.asyncio import Redis

from tests.faults.test_tokens import host
from tests.support.breakable import BreakableRedis
from tests.support.node import FREE, Cluster, Node
from tests.support.people import Phone
from tests.support.stalled import stalled

ANN, BEN, CYD, DEE, EVE = 1, 2, 3, 4, 5


def tasks() -> Counter[str]:
    """Those of the daemon, by name; a connection's have none of their own."""
    return Counter(task.get_name() for task in asyncio.all_tasks() if not task.get_name().startswith("Task-"))


async def channels(redis: BreakableRedis) -> set[str]:
    async with Redis.from_url(redis.url, decode_responses=True) as client:
        return set(await client.pubsub_channels())


async def rests(node: Node, redis: BreakableRedis) -> None:
    """Nobody is here, and Redis knows of nobody."""
    await node.emptied()
    context, bus = node.context, node.context.node.bus
    own = bus.of_everybody | {bus.channels.node(bus.node_id)}
    async with asyncio.timeout(20):
        while {
            key for key in redis.held() if not key.startswith("figures:") and not key.endswith("presence:sweeper")
        } != {
            "nodes",
            "presence:era",
            "whereabouts:presence:era",
        }:
            await asyncio.sleep(0.02)
        while await channels(redis) != own or context.devices or context.open_sockets:
            await asyncio.sleep(0.02)


async def everything(node: Node, phone: Phone, tea: str) -> None:
    """What leaves traces while somebody is there."""
    await phone.ask("subscribe", conversation_id=tea)
    await phone.ask("presence", user_ids=[ANN, BEN, CYD])
    await phone.ask("sync", cursors={})
    await phone.say("typing", conversation_id=tea)
    await phone.ask("message.send", conversation_id=tea, content="hi")
    made = await node.client(phone.user_id).group(ANN, BEN)
    await phone.hear("conversation.created", conversation_id=made)


async def test_when_all_have_gone_nothing_is_left(cluster: Cluster, redis: BreakableRedis) -> None:
    async with cluster.node_for_a_while(**FREE, api_token="the host's own key", max_queue_bytes=65_536) as node:
        await rests(node, redis)
        before = tasks()
        tea = await node.client(ANN).group(BEN, CYD, DEE, EVE)
        async with node.phone_for_a_while(ANN) as ann, node.phone_for_a_while(BEN) as ben, stalled(node, DEE):
            cyd = await node.phone(CYD, iat=int(time.time()) - 5)
            for phone in (ann, ben, cyd):
                await everything(node, phone, tea)
            ben.socket._writer.transport.abort()  # gone without a word
            await host(node).post(f"/users/{CYD}/revoke")
            assert await cyd.closed() == (1008, "revoked")
            await node.client(ANN).delete(f"/conversations/{tea}/participants/{CYD}")
            for _ in range(30):  # more than Dee takes
                await ann.ask("message.send", conversation_id=tea, content="x" * 4000)
            await node.client(ANN).delete(f"/conversations/{tea}")
            await ann.hear("conversation.deleted", conversation_id=tea)
        await rests(node, redis)
        async with asyncio.timeout(10):
            while tasks() != before:
                await asyncio.sleep(0.02)
    assert not {name for name in tasks() if name in before}
    async with asyncio.timeout(10):
        while redis.held():  # the sweeper's claim ends by itself
            await asyncio.sleep(0.02)
    assert await channels(redis) == set()
