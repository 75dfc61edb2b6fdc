"""What a failure in the middle of a repair leaves is made up for; nothing is told twice, and nothing new as old."""

import asyncio
from typing import Any

import pytest

from messenger.errors import Unavailable
from messenger.store import messages
from tests.integration.test_feeds import mute
from tests.support.node import Cluster, Node
from tests.support.people import Frame, Phone

ANN, BEN, CYD = 1, 2, 3


def unmute(node: Node) -> None:
    """What the node publishes reaches the others again."""
    del node.context.node.bus.publish


def heard(phone: Phone) -> list[tuple[str, int, int | None]]:
    """Every word of conversations that came by itself: its type, its change (what is created says the last one), and where
    it begins, if not there."""

    def number(frame: Frame) -> int:
        return int(frame["change"] if "change" in frame else frame["conversation"]["last_change"])

    events = [frame for frame in phone.frames if "ref" not in frame and ("change" in frame or "conversation" in frame)]
    return [(frame["type"], number(frame), frame.get("after")) for frame in events]


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


async def test_a_poll_that_fails_by_our_own_fault_is_not_the_databases(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node(catch_up_s=0.1)
    fault: type[Exception] = Unavailable

    async def fails(*args: Any) -> Any:
        raise fault

    async def answered(expected: bool) -> None:
        async with asyncio.timeout(5):
            while node.context.node.repair.is_answered is not expected:
                await asyncio.sleep(0.01)

    monkeypatch.setattr(node.context.duties, "touched_since", fails)
    await answered(False)
    fault = KeyError
    await answered(True)


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


async def test_a_newcomer_whose_page_ends_with_a_hidden_change_has_no_hole_above_it(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=1)
    ann = one.client(ANN)
    tea = await ann.group(BEN, history="joined")
    old = await ann.send(tea, "old")
    cyd, _ = await two.phone(CYD), await two.phone(BEN)
    mute(one)
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [CYD]})
    await ann.patch(f"/messages/{old['id']}", {"content": "old, mended"})
    await cyd.durable(tea, 2)
    unmute(one)
    await ann.send(tea, "new")
    assert [(event["change"], event.get("after")) for event in await cyd.durable(tea, 4)] == [(2, None), (4, 2)]


async def test_one_who_went_and_came_again_unheard_is_told_of_both(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=1)
    ann = one.client(ANN)
    tea = await ann.group(BEN, CYD, history="joined")
    ben, _ = await two.phone(BEN), await two.phone(CYD)
    mute(one)
    await ann.send(tea, "before")
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
    await ben.hear("participant.added")
    assert [event[:2] for event in heard(ben)][-3:] == [
        ("participant.removed", 2),
        ("conversation.created", 2),
        ("participant.added", 3),
    ]


async def test_a_going_of_before_does_not_end_what_came_after_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=1)
    ann = one.client(ANN)
    tea = await ann.group(CYD)
    ben, cyd = await two.phone(BEN), await two.phone(CYD)
    store, ben_is_in = two.context.node.repair._messages, asyncio.Event()
    changes = store.changes

    async def late_for_cyd(user_id: int, *args: Any) -> Any:
        if user_id == CYD:
            await ben_is_in.wait()
        return await changes(user_id, *args)

    monkeypatch.setattr(store, "changes", late_for_cyd)
    mute(one)
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
    await ben.hear("participant.added")
    ben_is_in.set()
    await cyd.durable(tea, 3)
    await ann.send(tea, "hello again")
    await ben.hear("message.new")
    assert heard(ben) == [
        ("conversation.created", 2, None),
        ("participant.added", 3, None),
        ("message.new", 4, None),
    ]


async def test_one_who_goes_and_comes_again_while_he_is_brought_in_is_brought_in_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=3600)
    ann = one.client(ANN)
    tea = await ann.group(CYD)
    ben, _ = await two.phone(BEN), await two.phone(CYD)
    store, publish = two.context.node.repair._messages, one.context.node.bus.publish
    changes, turns = store.changes, ["one"]

    async def meanwhile(user_id: int, *args: Any) -> Any:
        page = await changes(user_id, *args)
        if user_id == BEN and turns:
            turns.pop()
            await ann.delete(f"/conversations/{tea}/participants/{BEN}")
            await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
            (feed,) = two.context.node.hub.feeds.values()
            async with asyncio.timeout(5):
                while feed.position != 3:
                    await asyncio.sleep(0.01)
        return page

    def all_but_personal(channel: str, data: bytes) -> None:
        if not channel.endswith(f"user:{BEN}"):
            publish(channel, data)

    monkeypatch.setattr(store, "changes", meanwhile)
    monkeypatch.setattr(one.context.node.bus, "publish", all_but_personal)
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
    await ben.hear("participant.added", change=3)
    assert heard(ben) == [
        ("conversation.created", 0, None),
        ("participant.added", 1, None),
        ("participant.removed", 2, None),
        ("conversation.created", 2, None),
        ("participant.added", 3, None),
    ]


async def test_one_who_goes_and_comes_again_before_he_is_told_is_told_of_his_coming_alone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=1)
    ann = one.client(ANN)
    tea = await ann.group()
    ben = await two.phone(BEN)
    store, turns = two.context.node.repair._conversations, ["one"]
    find = store.find

    async def out_of_date(user_id: int, *args: Any) -> Any:
        found = await find(user_id, *args)
        if turns:
            turns.pop()
            await ann.delete(f"/conversations/{tea}/participants/{BEN}")
            await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN], "role": "observer"})
        return found

    monkeypatch.setattr(store, "find", out_of_date)
    mute(one)
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
    await ben.hear("participant.added")
    assert heard(ben) == [("conversation.created", 2, None), ("participant.added", 3, None)]
    (feed,) = two.context.node.hub.feeds.values()
    assert feed.members[BEN].role == "observer"


async def test_one_who_came_again_sees_nothing_from_before_it_though_nobody_saw_him_go(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=1)
    ann = one.client(ANN)
    tea = await ann.group(BEN, history="joined")
    ben = await two.phone(BEN)
    old = await ann.send(tea, "old")
    await ben.hear("message.new")
    store = two.context.node.repair._messages
    departure = store.departure

    async def back_by_now(*args: Any) -> Any:
        unmute(one)
        await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
        return await departure(*args)

    monkeypatch.setattr(store, "departure", back_by_now)
    mute(one)
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    await ben.hear("participant.added")
    await ann.patch(f"/messages/{old['id']}", {"content": "old, mended"})
    await ann.send(tea, "new")
    await ben.hear("message.new")
    assert heard(ben) == [
        ("message.new", 1, None),
        # To one of his devices that asked `sync` meanwhile it is new; to the others the next word leaves no hole.
        ("conversation.created", 2, None),
        ("participant.added", 3, 1),
        ("message.new", 5, 3),
    ]


async def test_the_last_one_here_is_told_that_he_went_though_the_log_moves_meanwhile(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=1)
    ann = one.client(ANN)
    tea = await ann.group(BEN)
    ben = await two.phone(BEN)
    store, held, publish = two.context.node.repair._messages, [], one.context.node.bus.publish
    departure = store.departure

    async def meanwhile(*args: Any) -> Any:
        told = await departure(*args)
        while held:
            publish(*held.pop())
        (feed,) = two.context.node.hub.feeds.values()
        async with asyncio.timeout(5):
            while feed.position != 1:
                await asyncio.sleep(0.01)
        return told

    monkeypatch.setattr(store, "departure", meanwhile)
    monkeypatch.setattr(one.context.node.bus, "publish", lambda *told: held.append(told))
    await ann.send(tea, "late")
    mute(one)
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    await ann.send(tea, "not for Ben")
    await ben.hear("participant.removed")
    assert heard(ben) == [("message.new", 1, None), ("participant.removed", 2, None)]
    assert two.context.node.hub.feeds == {}


async def test_one_who_connects_to_a_node_that_lags_is_told_nothing_of_before(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=3600)
    ann = one.client(ANN)
    tea = await ann.group(CYD)
    cyd = await two.phone(CYD)
    mute(one)
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    await ann.send(tea, "not for Ben")
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
    ben = await two.phone(BEN)
    unmute(one)
    await ann.send(tea, "for all")
    assert [event["change"] for event in await cyd.durable(tea, 5)] == [1, 2, 3, 4, 5]
    await ben.hear("message.new")
    assert heard(ben) == [("message.new", 5, None)]


@pytest.mark.parametrize("is_back", [False, True])
async def test_a_reader_who_is_removed_while_he_reads_for_all_costs_nobody_a_message(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, is_back: bool
) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=1)
    ann = one.client(ANN)
    tea = await ann.group(BEN, history="joined")
    await ann.send(tea, "so that Ben sees most")
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [CYD]})
    _, cyd = await two.phone(BEN), await two.phone(CYD)
    mute(one)
    require, turns = messages.require_participant, ["one"]

    async def removed_behind(*args: Any) -> None:
        await require(*args)
        if turns:
            turns.pop()
            await ann.delete(f"/conversations/{tea}/participants/{BEN}")
            if is_back:
                await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})

    monkeypatch.setattr(messages, "require_participant", removed_behind)
    await ann.send(tea, "for all")
    await cyd.durable(tea, 4 + is_back)
    assert (
        heard(cyd)
        == [
            ("message.new", 3, None),
            ("participant.removed", 4, None),
            ("participant.added", 5, None),
        ][: 2 + is_back]
    )


async def test_sync_tells_at_once_of_a_removal_that_it_meets_on_its_way(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node()
    ann = node.client(ANN)
    tea = await ann.group(BEN)
    await ann.send(tea, "hi")
    ben = await node.phone(BEN)
    store = node.context.sync._conversations
    states = store.states

    async def removed_before(*args: Any) -> Any:
        await ann.delete(f"/conversations/{tea}/participants/{BEN}")
        return await states(*args)

    monkeypatch.setattr(store, "states", removed_before)
    answer = await ben.ask("sync", cursors={tea: 0})
    assert (answer["conversations"], answer["removed"], answer["more"]) == ([], [tea], False)


async def test_who_learns_of_a_conversation_by_sync_is_told_of_his_leaving_it(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node(catch_up_s=1)
    ann = one.client(ANN)
    ben = await two.phone(BEN)
    mute(one)
    tea, milk = await ann.group(BEN), await ann.group(BEN)
    # Two has heard of neither: Ben learns of them from the database.
    told = await ben.ask("sync", cursors={})
    assert {item["conversation_id"] for item in told["conversations"]} == {tea, milk}
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    await ann.delete(f"/conversations/{milk}")
    assert (await ben.hear("participant.removed"))["conversation_id"] == tea
    assert (await ben.hear("conversation.deleted"))["conversation_id"] == milk
