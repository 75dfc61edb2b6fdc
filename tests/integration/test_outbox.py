"""Who is told while he is away: once each, as he wants it, and nobody who is here on any node."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from messenger.delivery.outbox import LATELY_S
from messenger.domain.ids import uuid7
from tests.support.node import FREE, Cluster, Node
from tests.support.people import Frame
from tests.support.receiver import LOOPBACK, Receiver, receiving

ANN, BEN, CYD, DEE, EVE = 1, 2, 3, 4, 5
SECRET = "what-the-host-and-we-know-of-each-other"


@pytest.fixture
async def host() -> AsyncIterator[Receiver]:
    """The host application, which is told of everything."""
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def telling(host: Receiver) -> dict[str, Any]:
    """Settings of a node that tells the host."""
    return {**FREE, "webhook_url": host.url(), "webhook_secret": SECRET, "private_targets": LOOPBACK}


@pytest.fixture
async def node(cluster: Cluster, telling: dict[str, Any]) -> Node:
    return await cluster.node(**telling)


async def settled(oracle: asyncpg.Connection) -> None:
    """Wait until nothing waits any more: who was not told by now will not be."""
    async with asyncio.timeout(10):
        while await oracle.fetchval("select messenger.count_waiting()"):
            await asyncio.sleep(0.01)


async def told(host: Receiver, oracle: asyncpg.Connection) -> list[tuple[str, list[int]]]:
    """What the host was told of, in the order of messages, and whom it is to tell; forgotten then."""
    await settled(oracle)
    heard = [(post.told["message"]["seq"], post.told) for post in host.posts]
    host.posts.clear()
    return [
        (one["message"]["content"], [recipient["user_id"] for recipient in one["recipients"]])
        for _, one in sorted(heard, key=lambda item: item[0])
    ]


async def test_who_has_no_device_is_told_and_who_sends_is_not(
    node: Node, host: Receiver, oracle: asyncpg.Connection
) -> None:
    tea = await node.client(ANN).group(BEN, CYD)
    await node.client(ANN).send(tea, "hello")
    assert await told(host, oracle) == [("hello", [BEN, CYD])]


async def test_who_has_a_device_on_any_node_is_not_told(
    node: Node, cluster: Cluster, host: Receiver, telling: dict[str, Any], oracle: asyncpg.Connection
) -> None:
    other = await cluster.node(**telling)
    tea = await node.client(ANN).group(BEN, CYD, DEE)
    ben, cyd = await node.phone(BEN), await other.phone(CYD)
    await node.client(ANN).send(tea, "are you there?")
    assert await told(host, oracle) == [("are you there?", [DEE])]
    for phone in (ben, cyd):
        assert (await phone.hear("message.new"))["data"]["content"] == "are you there?"
    pair = await node.client(ANN).group(BEN, CYD)
    await node.client(ANN).send(pair, "just us")
    await settled(oracle)
    # Nothing was even noted for them.
    assert {each.context.dispatch.notifications[("webhook", "dropped")] for each in (node, other)} == {0}


async def gone(node: Node, user_id: int, devices: int = 0) -> None:
    """Wait until somebody has so many devices left that hear, on all nodes."""
    async with asyncio.timeout(10):
        while await node.context.node.presence.devices_of(user_id) != devices:
            await asyncio.sleep(0.01)


async def test_who_has_only_just_left_is_told_a_little_later(
    cluster: Cluster,
    telling: dict[str, Any],
    oracle: asyncpg.Connection,
    host: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """He is online for a while yet, but nothing hears there any more. Who has another device left is here."""
    monkeypatch.setattr("messenger.delivery.outbox.LATELY_S", 1.0)
    node, other = [await cluster.node(**telling, presence_grace_s=30, presence_ttl_s=60) for _ in range(2)]
    tea = await node.client(ANN).group(BEN, CYD, DEE)
    async with other.phone_for_a_while(BEN), other.phone_for_a_while(CYD, "gone"):
        await other.phone(CYD, "here")
    await gone(node, BEN)
    await gone(node, CYD, 1)
    ann = await node.phone(ANN)
    shown = await ann.ask("presence", user_ids=[BEN])
    assert shown["users"][0]["online"] is True
    await ann.ask("message.send", conversation_id=tea, content="gone so soon?")
    posts = await host.came(2)
    assert [[one["user_id"] for one in post.told["recipients"]] for post in posts] == [[DEE], [BEN]]
    await settled(oracle)
    assert len(host.posts) == 2


async def test_who_was_seen_lately_is_told_a_little_later(
    node: Node, oracle: asyncpg.Connection, host: Receiver
) -> None:
    """He is offline, but since a moment only."""
    tea = await node.client(ANN).group(BEN, CYD, DEE)
    await oracle.execute("update messenger.users set last_seen_at = now() where id = $1", BEN)
    await oracle.execute("update messenger.users set last_seen_at = now() - interval '30 seconds' where id = $1", CYD)
    await node.client(ANN).send(tea, "hello")
    (post,) = await host.came(1)
    assert [one["user_id"] for one in post.told["recipients"]] == [CYD, DEE]
    (row,) = await oracle.fetch(
        "select user_ids, extract(epoch from due_at - created_at)::float8 as s from messenger.deliveries where attempts = 0"
    )
    assert row["user_ids"] == [BEN]
    assert row["s"] == pytest.approx(LATELY_S, abs=0.5)


async def test_who_comes_back_before_he_was_told_is_not_told(
    node: Node, cluster: Cluster, telling: dict[str, Any], oracle: asyncpg.Connection, host: Receiver
) -> None:
    """A reload, another network, a node that is replaced: his device has it from the log. On whatever node he comes back."""
    other = await cluster.node(**telling)
    tea = await node.client(ANN).group(BEN, CYD)
    async with node.phone_for_a_while(BEN), node.phone_for_a_while(CYD):
        pass
    await gone(node, BEN)
    await gone(node, CYD)
    await node.client(ANN).send(tea, "back so soon?")
    async with asyncio.timeout(10):
        while await oracle.fetchval("select count(*) from messenger.deliveries") == 0:
            await asyncio.sleep(0.01)
    await other.phone(BEN)
    await oracle.execute("update messenger.deliveries set due_at = now()")
    assert await told(host, oracle) == [("back so soon?", [CYD])]


async def test_a_retry_tells_nobody_a_second_time(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    tea = await node.client(ANN).group(BEN)
    for _ in range(3):
        await node.client(ANN).send(tea, "once", client_id="c1")
    assert await told(host, oracle) == [("once", [BEN])]


async def test_comings_goings_and_titles_tell_nobody(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    ann = node.client(ANN)
    tea = await ann.group(BEN)
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [CYD]})
    await ann.patch(f"/conversations/{tea}", {"title": "Coffee"})
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    sent = await ann.send(tea, "words")
    await ann.patch(f"/messages/{sent['id']}", {"content": "other words"})
    assert [people for _, people in await told(host, oracle)] == [[CYD]]


async def wish(node: Node, user_id: int, conversation_id: str, **settings: Any) -> None:
    answer = await node.client(user_id).ask("PUT", f"/conversations/{conversation_id}/notifications", json=settings)
    assert answer.status == 200, answer.text


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_settings_say_who_is_told_of_what(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    ann = node.client(ANN)
    tea = await ann.group(BEN, CYD, DEE, EVE)
    await wish(node, BEN, tea, level="none")
    await wish(node, CYD, tea, level="mentions")
    await wish(node, DEE, tea, muted_until=at(3600))
    await wish(node, EVE, tea, muted_until=at(-1), level="mentions")
    await ann.send(tea, "for everybody")
    await ann.send(tea, "for some", mentions=[BEN, CYD, DEE, EVE])
    assert await told(host, oracle) == [("for some", [CYD, EVE])]
    await wish(node, DEE, tea, muted_until=at(-1))
    await ann.send(tea, "when Dee listens again")
    assert await told(host, oracle) == [("when Dee listens again", [DEE])]


async def test_a_mute_ends_by_itself(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    ann = node.client(ANN)
    tea = await ann.group(BEN)
    await wish(node, BEN, tea, muted_until=at(3600))
    await ann.send(tea, "unheard")
    assert await told(host, oracle) == []
    await oracle.execute("update messenger.notification_settings set muted_until = now()")
    await ann.send(tea, "heard")
    assert await told(host, oracle) == [("heard", [BEN])]


async def test_by_which_way_is_for_the_host_to_read(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    ann = node.client(ANN)
    tea = await ann.group(BEN, CYD, DEE)
    await wish(node, BEN, tea, push_enabled=False, email_enabled=True)
    await wish(node, CYD, tea, push_enabled=False, email_enabled=False)
    await ann.send(tea, "by mail?")
    (post,) = await host.came(1)
    assert [
        (recipient["user_id"], recipient["push_enabled"], recipient["email_enabled"])
        for recipient in post.told["recipients"]
    ] == [(BEN, False, True), (DEE, True, False)]


async def test_between_two_who_are_apart_nobody_is_told(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    ann = node.client(ANN)
    tea = await ann.group(BEN, CYD)
    assert (await node.client(BEN).ask("PUT", f"/users/me/blocks/{ANN}")).status == 200
    await ann.send(tea, "from Ann")
    await node.client(BEN).send(tea, "from Ben")
    await node.client(CYD).send(tea, "from Cyd")
    assert await told(host, oracle) == [("from Ann", [CYD]), ("from Ben", [CYD]), ("from Cyd", [ANN, BEN])]


async def test_a_newcomer_is_told_of_what_is_his_to_see(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    ann = node.client(ANN)
    tea = await ann.group(BEN, history="joined")
    await ann.send(tea, "before")
    assert await told(host, oracle) == [("before", [BEN])]
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [CYD]})
    await ann.send(tea, "after")
    assert await told(host, oracle) == [("after", [BEN, CYD])]


async def test_who_reads_meanwhile_is_not_told(
    cluster: Cluster, telling: dict[str, Any], host: Receiver, oracle: asyncpg.Connection
) -> None:
    """Put out by a node that went before it looked; when another one looks, Ben has read it."""
    quiet = await cluster.node(**FREE)
    tea = await quiet.client(ANN).group(BEN, CYD)
    sent = await quiet.client(ANN).send(tea, "read it?")
    await put_out(oracle, tea, sent)
    await quiet.client(BEN).post(f"/messages/{sent['id']}/read")
    await cluster.node(**telling)
    assert await told(host, oracle) == [("read it?", [CYD])]


async def put_out(oracle: asyncpg.Connection, conversation_id: str, *messages: Frame) -> None:
    """As a node does that dies before it looks at them."""
    await oracle.executemany(
        "insert into messenger.outbox (conversation_id, message_id) values ($1, $2)",
        [(UUID(conversation_id), UUID(message["id"])) for message in messages],
    )


async def test_what_another_node_left_is_found(
    node: Node, cluster: Cluster, host: Receiver, oracle: asyncpg.Connection
) -> None:
    quiet = await cluster.node(**FREE)
    tea = await quiet.client(ANN).group(BEN)
    await put_out(oracle, tea, await quiet.client(ANN).send(tea, "left lying"))
    assert await told(host, oracle) == [("left lying", [BEN])]


async def test_many_messages_are_each_told_of_once(
    node: Node, cluster: Cluster, telling: dict[str, Any], host: Receiver, oracle: asyncpg.Connection
) -> None:
    """More than are looked at in one go, by two nodes that fall over each other."""
    other = await cluster.node(**telling)
    tea = await node.client(ANN).group(BEN)
    sends = [(node, other)[number % 2].client(ANN).send(tea, str(number)) for number in range(250)]
    await asyncio.gather(*sends)
    assert sorted(int(content) for content, _ in await told(host, oracle)) == list(range(250))


async def test_more_people_than_are_looked_at_in_one_go_are_told(
    node: Node, host: Receiver, oracle: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messenger.delivery.outbox.MOST_PEOPLE", 3)
    tea = await node.client(ANN).group(*range(10, 910))
    await node.client(ANN).send(tea, "hello, everybody")
    await node.client(ANN).send(tea, "and once more")
    heard = sorted(await told(host, oracle), key=lambda item: (item[0], item[1][0]))
    assert [(content, len(people)) for content, people in heard] == [
        *(("and once more", size) for size in (500, 400)),
        *(("hello, everybody", size) for size in (500, 400)),
    ]
    assert [user_id for _, people in heard[:2] for user_id in people] == list(range(10, 910))


async def test_a_message_that_is_gone_holds_up_nobody(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    """Its conversation was deleted, or it never was: nobody is told, and nothing is left of it."""
    await put_out(oracle, str(uuid7()), {"id": str(uuid7())})
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "still heard")
    assert await told(host, oracle) == [("still heard", [BEN])]


async def test_where_nothing_is_configured_nothing_is_written_and_nothing_runs(
    cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    before = {task.get_name() for task in asyncio.all_tasks()}
    node = await cluster.node(**FREE)
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    assert await oracle.fetchval("select count(*) from messenger.outbox") == 0
    fresh = {task.get_name() for task in asyncio.all_tasks()} - before
    assert not {name for name in fresh if name.startswith(("outbox", "courier", "delivery"))}, fresh
    assert node.context.dispatch.notifications == {}


async def test_what_runs_ends_with_its_node(cluster: Cluster, telling: dict[str, Any]) -> None:
    def working() -> set[str]:
        names = {task.get_name() for task in asyncio.all_tasks()}
        return {name for name in names if name.startswith(("outbox", "courier", "delivery"))}

    async with cluster.node_for_a_while(**telling):
        assert working() == {"outbox", "courier webhook"}
    assert working() == set()


async def test_who_sends_does_not_wait_for_the_next_look(
    cluster: Cluster, telling: dict[str, Any], host: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This node's own messages are looked at, and handed out, at once."""
    for module in ("outbox", "courier"):
        monkeypatch.setattr(f"messenger.delivery.{module}.POLL_S", 3600)
    node = await cluster.node(**telling)
    tea = await node.client(ANN).group(BEN)
    for number in range(3):
        await node.client(ANN).send(tea, str(number))
        await host.came(number + 1)


async def test_what_piled_up_is_worked_off_without_a_pause(
    cluster: Cluster,
    telling: dict[str, Any],
    host: Receiver,
    oracle: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("messenger.delivery.outbox.POLL_S", 3600)
    monkeypatch.setattr("messenger.delivery.outbox.MOST_MESSAGES", 2)
    quiet = await cluster.node(**FREE)
    tea = await quiet.client(ANN).group(BEN)
    await put_out(oracle, tea, *[await quiet.client(ANN).send(tea, str(number)) for number in range(5)])
    await cluster.node(**telling)
    assert [content for content, _ in await told(host, oracle)] == ["0", "1", "2", "3", "4"]
