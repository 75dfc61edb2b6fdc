"""Feeds: each change once and in order on every node, whatever the bus loses."""

import asyncio
from typing import Any

from tests.support.node import Cluster, Node

ANN, BEN, CYD, DEE = 1, 2, 3, 4


def deafen(node: Node) -> None:
    """The node's subscriber hears nothing any more; only the database can tell it."""
    node.context.node.relay.receive = lambda channel, data: None  # type: ignore[method-assign]


def mute(node: Node) -> None:
    """Nothing that the node publishes reaches anybody."""
    node.context.node.bus.publish = lambda channel, data: None  # type: ignore[method-assign]


async def test_a_node_that_hears_nothing_still_gets_everything(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    tea = await one.client(ANN).group(BEN)
    ben = await two.phone(BEN)
    deafen(two)
    for number in range(30):
        await one.client(ANN).send(tea, str(number))
    events = await ben.durable(tea, 30)
    assert [event["change"] for event in events] == list(range(1, 31))
    assert [event["data"]["content"] for event in events] == [str(number) for number in range(30)]


async def test_what_was_never_published_arrives_folded_and_in_order(cluster: Cluster) -> None:
    one, two = await cluster.node(catch_up_s=60), await cluster.node()
    tea = await one.client(ANN).group(BEN)
    ben = await two.phone(BEN)
    mute(one)
    ann = one.client(ANN)
    first = await ann.send(tea, "one")
    await ann.patch(f"/messages/{first['id']}", {"content": "one, mended"})
    second = await ann.send(tea, "two")
    await ann.delete(f"/messages/{second['id']}")
    events = await ben.durable(tea, 4)
    # Change 1 was superseded by 2, and 3 by 4: each is folded into its message's last state.
    assert [(event["type"], event.get("after"), event["change"]) for event in events] == [
        ("message.new", 0, 2),
        ("message.deleted", 2, 4),
    ]
    assert events[0]["data"]["content"] == "one, mended"
    assert events[1]["data"]["content"] is None


async def test_a_hole_is_filled_at_once_and_not_only_by_the_poll(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=3600)
    tea = await one.client(ANN).group(BEN)
    ben = await two.phone(BEN)
    publish = one.context.node.bus.publish
    mute(one)
    await one.client(ANN).send(tea, "lost")
    one.context.node.bus.publish = publish  # type: ignore[method-assign]
    await one.client(ANN).send(tea, "heard")
    events = await ben.durable(tea, 2)
    assert [event["data"]["content"] for event in events] == ["lost", "heard"]


async def test_messages_that_the_bus_reorders_and_repeats_arrive_once_and_in_order(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    tea = await one.client(ANN).group(BEN)
    ben = await two.phone(BEN)
    published: list[tuple[str, bytes]] = []
    publish = one.context.node.bus.publish
    one.context.node.bus.publish = lambda channel, data: published.append((channel, data))  # type: ignore[method-assign]
    for number in range(10):
        await one.client(ANN).send(tea, str(number))
    for channel, data in [*reversed(published), *published]:
        publish(channel, data)
    events = await ben.durable(tea, 10)
    assert [event["change"] for event in events] == list(range(1, 11))
    await ben.silence("message.new")


async def test_one_who_was_removed_hears_of_it_and_of_nothing_after(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    ann = one.client(ANN)
    tea = await ann.group(BEN, CYD)
    ben, cyd = await two.phone(BEN), await two.phone(CYD)
    await ann.send(tea, "before")
    status, _ = await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    assert status == 204
    await ann.send(tea, "after")
    assert [event["change"] for event in await cyd.durable(tea, 3)] == [1, 2, 3]
    events = await ben.durable(tea, 2)
    assert [(event["type"], event["change"]) for event in events] == [("message.new", 1), ("participant.removed", 2)]
    assert (events[1]["user_id"], events[1]["by"]) == (BEN, ANN)
    await ben.silence("message.new", for_s=0.5)


async def test_one_who_was_removed_with_the_bus_away_hears_of_it_and_of_nothing_after(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    ann = one.client(ANN)
    tea = await ann.group(BEN, CYD)
    ben = await two.phone(BEN)
    mute(one)
    await ann.send(tea, "before")
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    await ann.send(tea, "after")
    events = await ben.durable(tea, 2)
    assert [(event["type"], event["change"], event.get("after")) for event in events] == [("participant.removed", 2, 0)]
    await ben.silence("message.new", for_s=0.5)
    assert two.context.node.hub.feeds == {}


async def test_one_who_is_added_sees_it_appear_and_goes_on_from_there(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    ann = one.client(ANN)
    tea = await ann.group(BEN)
    await ann.send(tea, "before")
    cyd = await two.phone(CYD)
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [CYD]})
    created = await cyd.hear("conversation.created")
    assert created["conversation"]["last_change"] == 1
    assert created["conversation"]["last_seq"] == 1
    assert created["conversation"]["my_role"] == "member"
    await ann.send(tea, "after")
    events = await cyd.durable(tea, 3)
    assert [(event["type"], event["change"]) for event in events] == [("participant.added", 2), ("message.new", 3)]


async def test_one_who_is_added_with_the_bus_away_sees_it_appear(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    ann = one.client(ANN)
    cyd, dee = await two.phone(CYD), await two.phone(DEE)
    mute(one)
    tea = await ann.group(DEE)
    await dee.hear("conversation.created")
    await ann.send(tea, "before")
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [CYD]})
    await ann.send(tea, "after")
    assert (await cyd.hear("conversation.created"))["conversation_id"] == tea
    assert [event["change"] for event in await cyd.durable(tea, 3)] == [2, 3]
    assert [event["change"] for event in await dee.durable(tea, 3)] == [1, 2, 3]


async def test_one_who_comes_in_during_a_poll_and_is_added_at_once_sees_it_appear(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    ann = one.client(ANN)
    mute(one)
    duties, is_asking, goes_on = two.context.node.repair._duties, asyncio.Event(), asyncio.Event()
    touched_since = duties.touched_since

    async def slow(since: int, user_ids: Any) -> Any:
        user_ids = list(user_ids)
        is_asking.set()
        await goes_on.wait()
        return await touched_since(since, user_ids)

    duties.touched_since = slow  # type: ignore[method-assign]
    await is_asking.wait()
    dee = await two.phone(DEE)
    tea = await ann.group(DEE)
    goes_on.set()
    assert (await dee.hear("conversation.created"))["conversation_id"] == tea


async def test_where_history_begins_with_joining_nothing_from_before_is_told(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    ann = one.client(ANN)
    tea = await ann.group(BEN, history="joined")
    old = await ann.send(tea, "old")
    cyd, ben = await two.phone(CYD), await two.phone(BEN)
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [CYD]})
    await cyd.durable(tea, 2)
    await ann.patch(f"/messages/{old['id']}", {"content": "old, mended"})
    await ann.send(tea, "new")
    assert [event["change"] for event in await ben.durable(tea, 4)] == [2, 3, 4]
    told = await cyd.durable(tea, 4)
    # Change 3 was about what is hidden from her; the next one says that it covers it.
    assert [(event["change"], event.get("after")) for event in told] == [(2, None), (4, 2)]
    answer = await cyd.ask("sync", cursors={tea: 4})
    assert answer["conversations"] == []


async def test_a_hidden_change_that_the_poll_finds_leaves_no_hole(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    ann = one.client(ANN)
    tea = await ann.group(history="joined")
    old = await ann.send(tea, "old")
    cyd = await two.phone(CYD)
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [CYD]})
    await cyd.durable(tea, 2)
    mute(one)
    await ann.patch(f"/messages/{old['id']}", {"content": "old, mended"})
    feed = next(iter(two.context.node.hub.feeds.values()))
    async with asyncio.timeout(5):
        while feed.position != 3:
            await asyncio.sleep(0.01)
    await ann.send(tea, "new")
    assert [(event["change"], event.get("after")) for event in await cyd.durable(tea, 4)] == [(2, None), (4, 2)]


async def test_a_deleted_conversation_disappears_also_with_the_bus_away(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    ann = one.client(ANN)
    tea, milk = await ann.group(BEN), await ann.group(BEN)
    ben = await two.phone(BEN)
    await ann.delete(f"/conversations/{tea}")
    assert (await ben.hear("conversation.deleted"))["conversation_id"] == tea
    mute(one)
    await ann.delete(f"/conversations/{milk}")
    assert (await ben.hear("conversation.deleted"))["conversation_id"] == milk
    assert two.context.node.hub.feeds == {}


async def test_a_reconnecting_device_ends_with_the_log_of_a_fresh_one(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    ann = one.client(ANN)
    tea = await ann.group(BEN)
    messages = [await ann.send(tea, str(number)) for number in range(5)]
    await ann.patch(f"/messages/{messages[0]['id']}", {"content": "mended"})
    await ann.delete(f"/messages/{messages[3]['id']}")
    await ann.send(tea, "last")
    ben = await two.phone(BEN)
    fresh = (await ben.ask("sync", cursors={}))["conversations"][0]
    assert (fresh["reset"], fresh["last_change"], fresh["more"]) == (True, 8, False)
    whole = {message["id"]: message for message in fresh["changes"]}
    # Up to 5 it has applied the five as they were sent; 8 is all there is.
    for cursor in range(6):
        held = {message["id"]: message for message in messages[:cursor]}
        answer = await ben.ask("sync", cursors={tea: cursor}, limit=2)
        while answer["conversations"]:
            (item,) = answer["conversations"]
            held |= {message["id"]: message for message in item["changes"]}
            cursor = item["changes"][-1]["change"] if item["more"] else item["last_change"]
            answer = await ben.ask("sync", cursors={tea: cursor}, limit=2)
        assert held == whole
        assert answer["more"] is False
        assert cursor == 8


async def test_after_everybody_has_left_nothing_is_left(cluster: Cluster) -> None:
    node = await cluster.node()
    tea = await node.client(ANN).group(BEN)
    async with node.phone_for_a_while(ANN) as ann, node.phone_for_a_while(BEN) as ben:
        await ann.ask("subscribe", conversation_id=tea)
        await ben.ask("presence", user_ids=[ANN])
        await ann.say("typing", conversation_id=tea)
        await ann.ask("message.send", conversation_id=tea, content="hi")
        await ben.hear("message.new")
        assert len(node.context.node.hub.feeds) == 1
    hub, bus = node.context.node.hub, node.context.node.bus
    async with asyncio.timeout(5):
        while hub.people or hub.feeds or len(hub.watches) or bus.subscribed != bus.of_everybody or node.context.devices:
            await asyncio.sleep(0.01)
        while len(node.context.node.chores) or len(node.context.typing) or node.context.open_sockets:
            await asyncio.sleep(0.01)


async def test_poisoned_bus_messages_are_refused_and_harm_nobody(cluster: Cluster, servers: Any) -> None:
    from redis import asyncio as aioredis

    node = await cluster.node()
    tea = await node.client(ANN).group(BEN)
    ben = await node.phone(BEN)
    junk = [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"type":"message.new"}',
        b'[1,"change","x",5,4,1,null]\nnot json',
        b"[" * 5000,
    ]
    async with aioredis.Redis.from_url(servers.redis_url, protocol=2) as redis:
        for data in junk:
            await redis.publish(f"{cluster.prefix}user:{BEN}", data)
            await redis.publish(f"{cluster.prefix}conversation:{tea}", data)
            await redis.publish(f"{cluster.prefix}online:status", data)
        await redis.publish(f"{cluster.prefix}user:{BEN}", b'{"type":"app.invoice","id":7}')
    assert await ben.hear("app.invoice") == {"type": "app.invoice", "id": 7}
    assert node.context.node.relay.refused == 3 * len(junk)
    await node.client(ANN).send(tea, "still here")
    assert (await ben.hear("message.new"))["data"]["content"] == "still here"
