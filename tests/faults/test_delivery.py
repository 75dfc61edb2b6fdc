"""Who is away is told all the same: when the node that was about to dies, when the host, Redis or PostgreSQL is away. And each
time as the same delivery, so that whoever hears it twice knows."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from messenger.delivery import courier
from tests.support.breakable import BreakablePostgres, BreakableRedis
from tests.support.database import Database
from tests.support.node import FREE, Cluster
from tests.support.people import Frame
from tests.support.reachable import Reachable
from tests.support.receiver import LOOPBACK, Receiver, receiving

ANN, BEN, CYD = 1, 2, 3
SECRET = "what-the-host-and-we-know-of-each-other"
# A lease that a test can wait for; what is in hand is given up just before it ends, as always.
SHORT_LEASE = "import messenger.delivery.courier as c; c.LEASE_S, c.ATTEMPT_S = 2.0, 1.5"
# A node that stores messages, and never looks whom they concern.
BLIND = """
import asyncio
from messenger.delivery.outbox import Outbox
async def look(self):
    await asyncio.sleep(3600)
Outbox._look = look
"""

pytestmark = pytest.mark.usefixtures("foreseen")


@pytest.fixture
async def host() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def telling(host: Receiver) -> dict[str, Any]:
    return {**FREE, "webhook_url": host.url(), "webhook_secret": SECRET, "private_targets": LOOPBACK}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "PAUSE_S", 0.02)
    monkeypatch.setattr(courier, "POLL_S", 0.02)


async def settled(oracle: asyncpg.Connection, within_s: float = 15) -> None:
    async with asyncio.timeout(within_s):
        while await oracle.fetchval("select messenger.count_waiting()"):
            await asyncio.sleep(0.01)


async def say(node: Reachable, content: str = "hello", *others: int) -> Frame:
    """Ann says something to Ben, and others."""
    ann = node.client(ANN)
    return await ann.send(await ann.group(BEN, *others), content)


def deliveries(host: Receiver) -> list[str]:
    return [post.headers["Messenger-Delivery"] for post in host.posts]


async def test_of_many_nodes_one_tells(
    cluster: Cluster, host: Receiver, telling: dict[str, Any], oracle: asyncpg.Connection
) -> None:
    nodes = [await cluster.node(**telling) for _ in range(3)]
    ann = nodes[0].client(ANN)
    tea = await ann.group(BEN)
    await asyncio.gather(*(node.client(ANN).send(tea, str(number)) for number in range(40) for node in nodes))
    await settled(oracle)
    assert len(deliveries(host)) == len(set(deliveries(host))) == 120
    assert sum(node.context.dispatch.notifications[("webhook", "delivered")] for node in nodes) == 120


async def test_what_a_killed_node_had_in_hand_another_delivers(
    cluster: Cluster, host: Receiver, telling: dict[str, Any], oracle: asyncpg.Connection
) -> None:
    """After its lease, and as the same delivery."""
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    host.answers = [hang]
    doomed = await cluster.daemon(before=SHORT_LEASE, **telling)
    await say(doomed)
    await host.came(1)
    doomed.send(signal.SIGKILL)
    assert await doomed.ended() == -signal.SIGKILL
    other = await cluster.node(**telling)
    first, second = await host.came(2)
    await settled(oracle)
    assert first.body == second.body
    assert deliveries(host) == [first.told["id"]] * 2
    assert other.context.dispatch.notifications[("webhook", "delivered")] == 1
    over.set()


async def test_what_a_killed_node_never_looked_at_another_tells(
    cluster: Cluster, host: Receiver, telling: dict[str, Any], oracle: asyncpg.Connection
) -> None:
    """It had committed the message and nothing more: what is owed lies in the same transaction."""
    doomed = await cluster.daemon(before=BLIND, **telling)
    await say(doomed, "my last words")
    doomed.send(signal.SIGKILL)
    assert await doomed.ended() == -signal.SIGKILL
    assert await oracle.fetchval("select count(*) from messenger.outbox") == 1
    await cluster.node(**telling)
    (post,) = await host.came(1)
    assert post.told["message"]["content"] == "my last words"
    await settled(oracle)
    assert len(host.posts) == 1


async def test_a_node_that_hung_changes_nothing_of_what_another_did_meanwhile(
    cluster: Cluster, host: Receiver, telling: dict[str, Any], oracle: asyncpg.Connection
) -> None:
    """It wakes with a delivery in hand that failed; by then it is somebody else's, and was delivered."""
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response(status=500)

    host.answers = [hang]
    slow = await cluster.daemon(before=SHORT_LEASE, **telling)
    await say(slow)
    await host.came(1)
    slow.send(signal.SIGSTOP)
    await cluster.node(**telling)
    await host.came(2)
    await settled(oracle)
    slow.send(signal.SIGCONT)
    over.set()
    await say(slow, "still here")
    posts = await host.came(3)
    await settled(oracle)
    assert [post.told["message"]["content"] for post in posts] == ["hello", "hello", "still here"]
    assert await oracle.fetchval("select count(*) from messenger.deliveries") == 0
    assert "exception" not in slow.log.read_text()


@pytest.mark.usefixtures("impatient")
async def test_a_host_that_is_away_is_told_when_it_is_back(
    cluster: Cluster, telling: dict[str, Any], oracle: asyncpg.Connection
) -> None:
    async with receiving() as gone:
        port = gone.port
    node = await cluster.node(**{**telling, "webhook_url": gone.url()}, notify_attempts=20)
    await say(node)
    async with asyncio.timeout(10):
        while (error := await oracle.fetchval("select max(last_error) from messenger.deliveries")) is None:
            await asyncio.sleep(0.01)
    assert error == "ClientConnectorError"
    async with receiving(port=port) as back:
        (post,) = await back.came(1)
        assert post.told["message"]["content"] == "hello"
        await settled(oracle)


@pytest.mark.usefixtures("impatient")
async def test_a_host_that_never_comes_back_is_given_up(
    cluster: Cluster, telling: dict[str, Any], oracle: asyncpg.Connection
) -> None:
    async with receiving() as gone:
        pass
    node = await cluster.node(**{**telling, "webhook_url": gone.url()}, notify_attempts=3)
    await say(node)
    await settled(oracle)
    (row,) = await oracle.fetch("select attempts, last_error, dead_at is not null from messenger.deliveries")
    assert tuple(row) == (3, "ClientConnectorError", True)
    assert node.context.dispatch.notifications[("webhook", "dead")] == 1


async def test_while_redis_is_away_rather_one_too_many_is_told_than_none(
    cluster: Cluster, host: Receiver, telling: dict[str, Any], redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    """Who is on this node is known without it."""
    node, other = [await cluster.node(**telling) for _ in range(2)]
    ben, cyd = await node.phone(BEN), await other.phone(CYD)
    redis.kill()
    await say(node, "hello", CYD)
    (post,) = await host.came(1)
    assert [recipient["user_id"] for recipient in post.told["recipients"]] == [CYD]
    await ben.hear("message.new")
    await cyd.hear("message.new")
    await settled(oracle)
    redis.start()


async def test_while_redis_hangs_nobody_who_is_away_waits_long(
    cluster: Cluster, host: Receiver, telling: dict[str, Any], redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    node = await cluster.node(**telling)
    redis.pause()
    try:
        await say(node)
        await host.came(1, within_s=6)
    finally:
        redis.resume()


@pytest.mark.usefixtures("impatient")
async def test_a_power_cut_of_the_database_forgets_nobody(
    fragile: Cluster,
    postgres: BreakablePostgres,
    own_database: Database,
    host: Receiver,
    telling: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot even be put off is left to its lease."""
    monkeypatch.setattr(courier, "LEASE_S", 2.0)
    monkeypatch.setattr(courier, "ATTEMPT_S", 1.5)
    host.status = 503
    node = await fragile.node(**telling, notify_attempts=20)
    await say(node)
    await host.came(1)
    await postgres.fall()
    status, _ = await node.client(BEN).get("/conversations")
    assert status == 503
    host.status = 204
    before = len(host.posts)
    await postgres.start()
    posts = await host.came(before + 1)
    assert len({post.told["id"] for post in posts}) == 1
    oracle = await postgres.connect(own_database.name)
    try:
        await settled(oracle)
    finally:
        await oracle.close()


async def test_who_stops_finishes_what_is_in_hand(
    cluster: Cluster, host: Receiver, telling: dict[str, Any], oracle: asyncpg.Connection
) -> None:
    come, over = asyncio.Event(), asyncio.Event()

    async def hesitate(_: web.Request) -> web.Response:
        come.set()
        await over.wait()
        return web.Response()

    host.answers = [hesitate]
    daemon = await cluster.daemon(**telling, drain_s=0)
    await say(daemon)
    await come.wait()
    daemon.send(signal.SIGTERM)
    async with asyncio.timeout(10):
        while await is_listening(daemon):
            await asyncio.sleep(0.01)
    over.set()
    assert await daemon.ended() == 0
    assert await oracle.fetchval("select count(*) from messenger.deliveries") == 0
    assert len(host.posts) == 1


async def is_listening(daemon: Reachable) -> bool:
    try:
        await daemon.nobody().get("//healthz")
    except OSError:
        return False
    return True


async def test_who_stops_waits_for_no_host_that_hangs(
    cluster: Cluster, host: Receiver, telling: dict[str, Any], oracle: asyncpg.Connection
) -> None:
    """It leaves what it had in hand to its lease, and the next one delivers it."""
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    host.answers = [hang]
    daemon = await cluster.daemon(
        **telling, drain_s=0, before="import messenger.delivery.courier as c; c.LEASE_S = 5.0"
    )
    await say(daemon)
    await host.came(1)
    daemon.send(signal.SIGTERM)
    assert await daemon.ended() == 0
    assert "exception" not in daemon.log.read_text()
    # It did not wait until the attempt had failed.
    assert await oracle.fetchval("select (attempts, last_error) from messenger.deliveries") == (1, None)
    await cluster.node(**telling)
    first, second = await host.came(2)
    assert first.body == second.body
    await settled(oracle)
    over.set()
