"""What a failure in the middle of a repair leaves is made up for; nothing is told twice, and nothing new as old."""

import asyncio
from typing import Any

import pytest

from messenger.errors import Unavailable
from tests.integration.test_feeds import mute
from tests.support.node import Cluster, Node

ANN, BEN, CYD = 1, 2, 3


def failing_once(monkeypatch: pytest.MonkeyPatch, node: Node) -> list[str]:
    """The next reading of a standing finds the database away."""
    duties = node.context.duties
    standing, failures = duties.standing, ["one"]

    async def fails(*args: Any) -> Any:
        if failures:
            failures.pop()
            raise Unavailable
        return await standing(*args)

    monkeypatch.setattr(duties, "standing", fails)
    return failures


async def test_a_repair_that_failed_is_tried_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = await cluster.node(), await cluster.node()
    tea = await one.client(ANN).group(BEN)
    ben = await two.phone(BEN)
    mute(one)
    failures = failing_once(monkeypatch, two)
    await one.client(ANN).send(tea, "late, but there")
    assert (await ben.hear("message.new"))["data"]["content"] == "late, but there"
    assert failures == []


async def test_bringing_somebody_in_is_tried_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = await cluster.node(), await cluster.node()
    ben = await two.phone(BEN)
    failures = failing_once(monkeypatch, two)
    tea = await one.client(ANN).group(BEN)
    assert (await ben.hear("conversation.created"))["conversation_id"] == tea
    assert failures == []


async def test_a_message_that_nobody_has_seen_is_new_even_if_it_was_edited_last(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=1)
    ann = one.client(ANN)
    tea = await ann.group(BEN)
    ben = await two.phone(BEN)
    mute(one)
    first = await ann.send(tea, "first")
    await ann.send(tea, "second")
    await ann.patch(f"/messages/{first['id']}", {"content": "first, mended"})
    events = await ben.durable(tea, 3)
    told = {event["data"]["seq"]: event["type"] for event in events}
    assert told == {1: "message.new", 2: "message.new"}


async def test_a_newcomer_whose_page_was_ahead_of_the_feed_hears_nothing_twice(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=1)
    ann = one.client(ANN)
    tea = await ann.group(BEN)
    cyd, _ = await two.phone(CYD), await two.phone(BEN)
    mute(one)
    await ann.send(tea, "unheard")
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [CYD]})
    await ann.send(tea, "unheard too")
    assert [event["change"] for event in await cyd.durable(tea, 3)] == [2, 3]
    await cyd.silence("message.new", "participant.added", for_s=0.5)
    assert [event["change"] for event in await cyd.durable(tea, 3)] == [2, 3]


async def test_a_conversation_made_for_two_people_here_leaves_no_channel(cluster: Cluster) -> None:
    node = await cluster.node()
    async with node.phone_for_a_while(ANN) as ann, node.phone_for_a_while(BEN) as ben:
        await node.client(ANN).group(BEN)
        await ann.hear("conversation.created")
        await ben.hear("conversation.created")
    await node.emptied()


async def test_one_who_was_removed_no_longer_sees_people_come_and_go(cluster: Cluster) -> None:
    node = await cluster.node()
    ann = node.client(ANN)
    tea = await ann.group(BEN, CYD)
    ben = await node.phone(BEN)
    await ben.ask("presence", user_ids=[CYD])
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    await ben.hear("participant.removed")
    async with asyncio.timeout(5):
        while len(node.context.node.hub.watches):
            await asyncio.sleep(0.01)
    await node.phone(CYD)
    await ben.silence("user.online")
