"""A node killed at the worst moment: what it had committed reaches everybody, and what it had not can be sent again."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from redis import asyncio as aioredis

from tests.support.breakable import BreakableRedis
from tests.support.daemon import Daemon
from tests.support.meanwhile import Sender, have_heard_all
from tests.support.node import FREE, Cluster, Node
from tests.support.people import Client
from tests.support.proxy import Proxy, of_redis, proxied

ANN, BEN, CYD, DEE = 1, 2, 3, 4
# By the poll, which comes every third of a second here.
SOON_S = 3.0
DURABLE = (
    *("message.new", "message.edited", "message.deleted", "participant.added", "participant.removed"),
    *("conversation.created", "conversation.deleted"),
)
PUBLISHES = re.compile(rb"PUBLISH\r\n\$\d+\r\n(conversation|user):")


@dataclass
class Doomed:
    """A daemon that is killed as soon as it begins to publish what concerns people. Redis hears none of it."""

    daemon: Daemon
    proxy: Proxy
    published: list[bytes] = field(default_factory=list)

    def strike(self) -> None:
        self.proxy.watch = self._watch

    def _watch(self, data: bytes) -> None:
        if PUBLISHES.search(data):
            self.published.append(data)
            self.proxy.freeze()
            self.daemon.send(signal.SIGKILL)


@pytest.fixture
async def doomed(cluster: Cluster, redis: BreakableRedis) -> AsyncIterator[Doomed]:
    async with proxied(of_redis(redis.url)) as proxy:
        yield Doomed(await cluster.daemon(redis_url=proxy.redis_url(redis.url), **FREE), proxy)


@pytest.fixture
async def other(cluster: Cluster) -> Node:
    """A node that lives on, with nothing but its poll to find out what the dead one did."""
    return await cluster.node(**FREE)


async def test_a_message_committed_and_never_published_arrives_and_is_not_sent_twice(
    doomed: Doomed, other: Node, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    tea = await other.client(ANN).group(BEN)
    said = {"conversation_id": tea, "content": "my last words", "client_id": "1"}
    ann, ben = await doomed.daemon.phone(ANN), await other.phone(BEN)
    async with aioredis.Redis.from_url(redis.url) as client, client.pubsub() as bus:
        await bus.psubscribe("conversation:*", "user:*")
        doomed.strike()
        await ann.say("message.send", **said)
        assert await doomed.daemon.ended() == -signal.SIGKILL
        event = await ben.hear("message.new", within_s=SOON_S)
        assert [channel async for channel in told(bus)] == []
        (row,) = await oracle.fetch("select id::text, seq, change, content, client_id from messenger.messages")
        assert tuple(row) == (event["data"]["id"], event["seq"], event["change"], "my last words", "1")
        assert b"my last words" in doomed.published[0]
        # Had it been published, we should have heard it.
        await other.client(ANN).send(tea, "said by the living")
        assert await anext(told(bus, for_s=SOON_S)) == f"conversation:{tea}".encode()

    again = await (await other.phone(ANN)).ask("message.send", **said)
    assert (again["type"], again["duplicate"]) == ("message.sent", True)
    assert (again["message_id"], again["seq"], again["change"]) == (row["id"], row["seq"], row["change"])
    conflict = await (await other.phone(ANN)).ask("message.send", **{**said, "content": "other words"})
    assert conflict["code"] == "client_id_conflict"
    await have_heard_all(oracle, tea, ben)


async def told(bus: Any, for_s: float = 0.1) -> AsyncIterator[bytes]:
    """The channels on which something was said, up to a silence of so long."""
    while (message := await bus.get_message(timeout=for_s)) is not None:
        if message["type"] == "pmessage":
            yield message["channel"]


async def removes_cyd(ann: Client, tea: str) -> None:
    await ann.delete(f"/conversations/{tea}/participants/{CYD}")


async def adds_dee(ann: Client, tea: str) -> None:
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [DEE]})


async def makes_another(ann: Client, tea: str) -> None:
    await ann.group(BEN, DEE)


@pytest.mark.parametrize(
    ("deed", "events"),
    [
        (removes_cyd, {BEN: ["participant.removed"], CYD: ["participant.removed"], DEE: []}),
        (
            adds_dee,
            {
                BEN: ["participant.added"],
                CYD: ["participant.added"],
                DEE: ["conversation.created", "participant.added"],
            },
        ),
        (makes_another, {BEN: ["conversation.created"], CYD: [], DEE: ["conversation.created"]}),
    ],
)
async def test_whatever_else_was_committed_and_never_published_is_told(
    doomed: Doomed,
    other: Node,
    deed: Callable[[Client, str], Awaitable[None]],
    events: dict[int, list[str]],
) -> None:
    ann = other.client(ANN)
    tea = await ann.group(BEN, CYD)
    phones = {user_id: await other.phone(user_id) for user_id in events}
    await ann.send(tea, "first words")
    await asyncio.gather(*(phones[user_id].hear("message.new") for user_id in (BEN, CYD)))
    doomed.strike()
    doing = asyncio.create_task(deed(doomed.daemon.client(ANN), tea))
    assert await doomed.daemon.ended() == -signal.SIGKILL
    await asyncio.wait([doing])
    for user_id, types in events.items():
        for type_ in types:
            await phones[user_id].hear(type_, within_s=SOON_S)
    await asyncio.gather(*(phone.silence(*DURABLE) for phone in phones.values()))


async def test_a_node_killed_amid_many_sends_loses_none_that_it_acknowledged(
    doomed: Doomed, other: Node, oracle: asyncpg.Connection
) -> None:
    tea = await other.client(ANN).group(BEN, CYD, DEE)
    ben = await other.phone(BEN)
    senders = [Sender(await doomed.daemon.phone(user_id), tea, SOON_S) for user_id in (ANN, CYD, DEE)]
    sending = [asyncio.create_task(sender.send(10_000)) for sender in senders]
    await ben.durable(tea, 100)
    doomed.daemon.send(signal.SIGKILL)
    await asyncio.wait(sending)
    assert all(task.exception() is not None for task in sending)
    for sender in senders:
        # What was in flight may have been stored or not: who sends it again need not know.
        sender.phone = await other.phone(sender.phone.user_id)
        await sender.send(10)
        await sender.is_stored(oracle)
    await have_heard_all(oracle, tea, ben)
