"""Who is online: once for the whole cluster, and told to those who watch."""

import asyncio
from typing import Any

from tests.support.node import Cluster, Node

ANN, BEN, CYD = 1, 2, 3


async def watching(node: Node, watcher: int, *others: int) -> Any:
    """Somebody with a device that watches others with whom he shares a conversation."""
    await node.client(watcher).group(*others)
    phone = await node.phone(watcher)
    await phone.ask("presence", user_ids=list(others))
    return phone


async def test_the_first_device_says_online_and_the_last_one_offline(cluster: Cluster, oracle: Any) -> None:
    one, two = await cluster.node(), await cluster.node()
    ann = await watching(one, ANN, BEN)
    async with one.phone_for_a_while(BEN):
        assert (await ann.hear("user.online"))["user_id"] == BEN
        async with two.phone_for_a_while(BEN):
            await ann.silence("user.online", "user.offline")
        await ann.silence("user.online", "user.offline", for_s=0.6)
    offline = await ann.hear("user.offline")
    assert offline["user_id"] == BEN
    assert offline["last_seen_at"] == offline["timestamp"]
    async with asyncio.timeout(5):
        while await oracle.fetchval("select last_seen_at from messenger.users where id = $1", BEN) is None:
            await asyncio.sleep(0.02)


async def test_a_reload_is_no_flap_not_even_on_another_node(cluster: Cluster) -> None:
    one, two = await cluster.node(presence_grace_s=2), await cluster.node(presence_grace_s=2)
    ann = await watching(one, ANN, BEN)
    async with one.phone_for_a_while(BEN):
        await ann.hear("user.online")
    async with two.phone_for_a_while(BEN):
        await ann.silence("user.online", "user.offline", for_s=2.8)


async def test_a_node_that_dies_takes_its_devices_with_it(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node(presence_ttl_s=1.2)
    ann = await watching(one, ANN, BEN)
    await two.phone(BEN)
    await ann.hear("user.online")
    # What a dead node does: it renews nothing and lets nothing go.
    presence = two.context.node.presence
    for task in presence._tasks:
        task.cancel()
    assert (await ann.hear("user.offline", within_s=5))["user_id"] == BEN


async def test_strangers_are_offline_and_not_watched(cluster: Cluster) -> None:
    node = await cluster.node()
    ann = await node.phone(ANN)
    await node.phone(CYD)
    answer = await ann.ask("presence", user_ids=[CYD, 999])
    assert answer["users"] == [
        {"user_id": CYD, "online": False, "last_seen_at": None},
        {"user_id": 999, "online": False, "last_seen_at": None},
    ]
    await node.phone(CYD)
    await ann.silence("user.online")


async def test_who_subscribes_is_told_of_participants(cluster: Cluster) -> None:
    node = await cluster.node()
    tea = await node.client(ANN).group(BEN)
    ann = await node.phone(ANN)
    told = await ann.ask("subscribe", conversation_id=tea)
    assert [(person["user_id"], person["online"]) for person in told["participants"]] == [(ANN, True), (BEN, False)]
    async with node.phone_for_a_while(BEN):
        assert (await ann.hear("user.online"))["user_id"] == BEN
    await ann.hear("user.offline")
    await ann.ask("unsubscribe", conversation_id=tea)
    async with node.phone_for_a_while(BEN):
        await ann.silence("user.online")


async def test_stats_count_each_person_once_over_all_nodes(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    await one.client(ANN).group(BEN)
    await one.phone(ANN)
    await two.phone(ANN)
    await two.phone(BEN)
    for node in (one, two):
        await node.context.node.bus.tell_figures(node.context.node.figures())
    async with one.session.get(one.origin + "/stats") as response:
        told = await response.json()
    assert told == {
        "online_users": 1,
        "total_connections": 1,
        "active_conversations": 1,
        "cluster": {"nodes": 2, "online_users": 2, "total_connections": 3, "active_conversations": 1},
    }
