"""Who is online, whatever dies: transitions are true, come once each, and within the TTL plus two seconds."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from messenger.bus.presence import Survey
from messenger.domain.ids import UserId
from tests.support.breakable import BreakableRedis
from tests.support.node import Cluster, Node
from tests.support.people import Frame, Phone
from tests.support.proxy import of_redis, proxied

ANN, BEN, CYD = 1, 2, 3
TTL_S = 2.0
WITHIN_S = TTL_S + 2
# By then what ought not to come would have.
QUIET_S = TTL_S + 1

# A daemon whose clock is wrong; what it imports afterwards knows no other.
SKEWED = """
import datetime, time
import asyncpg  # its C code wants the true one
apart, true_time, true = {apart}, time.time, datetime.datetime
class Skewed(true):
    @classmethod
    def now(cls, tz=None):
        return true.now(tz) + datetime.timedelta(seconds=apart)
datetime.datetime, time.time = Skewed, lambda: true_time() + apart
"""


@pytest.fixture
async def node(cluster: Cluster) -> Node:
    """Ann's node, which lives."""
    return await cluster.node(presence_ttl_s=TTL_S)


@pytest.fixture
async def ann(node: Node) -> Phone:
    """She watches Ben."""
    await node.client(ANN).group(BEN)
    phone = await node.phone(ANN)
    await phone.ask("presence", user_ids=[BEN])
    return phone


def told(phone: Phone) -> list[str]:
    return [frame["type"] for frame in phone.frames if frame["type"] in ("user.online", "user.offline")]


async def has_gone(ann: Phone, oracle: asyncpg.Connection) -> Frame:
    """Ben is said offline, and who asks at once is told since when."""
    offline = await ann.hear("user.offline", within_s=WITHIN_S)
    row = await oracle.fetchrow("select last_seen_at from messenger.users where id = $1", BEN)
    (known,) = (await ann.ask("presence", user_ids=[BEN]))["users"]
    assert (known["online"], known["last_seen_at"]) == (False, offline["last_seen_at"])
    assert row["last_seen_at"] == datetime.fromisoformat(known["last_seen_at"])
    return offline


async def test_a_node_that_is_killed_takes_its_devices_with_it(
    cluster: Cluster, node: Node, ann: Phone, oracle: asyncpg.Connection
) -> None:
    other = await cluster.daemon(presence_ttl_s=TTL_S)
    await other.phone(BEN)
    await ann.hear("user.online")
    other.send(signal.SIGKILL)
    await has_gone(ann, oracle)
    assert told(ann) == ["user.online", "user.offline"]


async def test_who_has_a_device_elsewhere_outlives_a_node(
    cluster: Cluster, node: Node, ann: Phone, oracle: asyncpg.Connection
) -> None:
    other = await cluster.daemon(presence_ttl_s=TTL_S)
    await other.phone(BEN)
    async with node.phone_for_a_while(BEN):
        other.send(signal.SIGKILL)
        await ann.silence("user.offline", for_s=QUIET_S)
    await has_gone(ann, oracle)
    assert told(ann) == ["user.online", "user.offline"]


async def test_who_moves_to_another_node_within_the_grace_period_does_not_flap(
    cluster: Cluster, node: Node, ann: Phone
) -> None:
    other = await cluster.daemon(presence_ttl_s=TTL_S, presence_grace_s=2)
    ben = await other.phone(BEN)
    await ann.hear("user.online")
    other.send(signal.SIGTERM)
    assert await ben.closed() == (1012, "draining")
    await node.phone(BEN)
    await other.ended()
    await ann.silence("user.online", "user.offline", for_s=QUIET_S)


@pytest.mark.parametrize("apart_s", [-3600, 3600])
async def test_clocks_that_are_apart_change_nothing(
    cluster: Cluster, node: Node, ann: Phone, oracle: asyncpg.Connection, apart_s: int
) -> None:
    other = await cluster.daemon(before=SKEWED.format(apart=apart_s), presence_ttl_s=TTL_S)
    ben = await other.phone(BEN, exp=4_000_000_000)
    # It is the skewed one: what it writes down itself says so.
    (hello,) = (frame for frame in ben.frames if frame["type"] == "system")
    assert abs(datetime.fromisoformat(hello["timestamp"]) - datetime.now(UTC)) > timedelta(minutes=50)
    online = await ann.hear("user.online")
    await ann.silence("user.offline", for_s=QUIET_S)
    await ben.socket.close()
    offline = await has_gone(ann, oracle)
    for event in (online, offline):
        assert abs(datetime.fromisoformat(event["timestamp"]) - datetime.now(UTC)) < timedelta(seconds=60)
    assert told(ann) == ["user.online", "user.offline"]


async def test_a_flushed_redis_is_filled_again_and_nobody_flaps(
    node: Node, ann: Phone, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    async with node.phone_for_a_while(BEN):
        await ann.hear("user.online")
        redis.flush()
        await ann.silence("user.online", "user.offline", for_s=QUIET_S)
        (known,) = (await ann.ask("presence", user_ids=[BEN]))["users"]
        assert known["online"]
        redis.flush()  # and he leaves before his lease is there again
    await has_gone(ann, oracle)
    await ann.silence("user.online", "user.offline", for_s=1)
    assert told(ann) == ["user.online", "user.offline"]


async def test_a_restarted_redis_is_filled_again_and_nobody_flaps(
    cluster: Cluster, node: Node, ann: Phone, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    other = await cluster.daemon(presence_ttl_s=TTL_S)
    async with other.phone_for_a_while(BEN):
        await ann.hear("user.online")
        redis.kill()
        await ann.ask("ping")
        redis.start()
        await ann.silence("user.online", "user.offline", for_s=QUIET_S)
    await has_gone(ann, oracle)
    assert told(ann) == ["user.online", "user.offline"]


@pytest.mark.parametrize("how", ["leaves", "killed"])
async def test_who_goes_while_redis_is_away_is_said_offline_when_it_is_back(
    cluster: Cluster, node: Node, ann: Phone, redis: BreakableRedis, oracle: asyncpg.Connection, how: str
) -> None:
    other = await cluster.daemon(presence_ttl_s=TTL_S)
    ben = await other.phone(BEN)
    await ann.hear("user.online")
    redis.kill()
    if how == "leaves":
        await ben.socket.close()
        async with asyncio.timeout(5):
            while await oracle.fetchval("select last_seen_at from messenger.users where id = $1", BEN) is None:
                await asyncio.sleep(0.02)
    else:
        other.send(signal.SIGKILL)
        await other.ended()
    redis.start()
    # One who has no lease may only have a node that has not found Redis again yet.
    await ann.hear("user.offline", within_s=WITHIN_S + TTL_S)
    await ann.silence("user.online", "user.offline", for_s=1)
    assert told(ann) == ["user.online", "user.offline"]


async def test_a_transition_that_the_path_swallowed_is_told_when_it_is_mended(
    cluster: Cluster, redis: BreakableRedis
) -> None:
    async with proxied(of_redis(redis.url)) as proxy:
        far = await cluster.node()
        near = await cluster.node(redis_url=proxy.redis_url(redis.url))
        await near.client(ANN).group(BEN, CYD)
        ann = await near.phone(ANN)
        await far.phone(CYD)
        told = await ann.ask("presence", user_ids=[BEN, CYD])
        assert [user["online"] for user in told["users"]] == [False, True]
        proxy.is_refusing = True
        proxy.cut()
        async with asyncio.timeout(10):
            while near.context.node.bus.is_healthy:
                await asyncio.sleep(0.01)
        await far.phone(BEN)
        proxy.is_refusing = False
        assert (await ann.hear("user.online"))["user_id"] == BEN
        await ann.silence("user.online", "user.offline", for_s=1)


async def test_a_path_that_is_gone_for_longer_than_leases_last_sends_nobody_away(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    people = range(2, 12)
    async with proxied(of_redis(redis.url)) as one, proxied(of_redis(redis.url)) as two:
        near = await cluster.node(redis_url=one.redis_url(redis.url), presence_ttl_s=TTL_S)
        far = await cluster.node(redis_url=two.redis_url(redis.url), presence_ttl_s=TTL_S)
        await near.client(ANN).group(*people)
        ann = await near.phone(ANN)
        for user_id in people:
            await (near if user_id % 2 else far).phone(user_id)
        known = await ann.ask("presence", user_ids=list(people))
        assert all(user["online"] for user in known["users"])
        for path in (one, two):
            path.is_refusing = True
            path.cut()
        await ann.silence("user.online", "user.offline", for_s=QUIET_S)
        for path in (one, two):
            path.is_refusing = False
        await ann.silence("user.online", "user.offline", for_s=QUIET_S)
    assert await oracle.fetchval("select count(*) from messenger.users where last_seen_at is not null") == 0


async def test_what_was_told_by_an_old_reading_is_put_right(
    node: Node, ann: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.phone(BEN)
    await ann.hear("user.online")
    presence = node.context.node.presence
    survey = presence.survey

    async def read_before_he_came(_: Any) -> Survey:
        monkeypatch.setattr(presence, "survey", survey)
        return Survey({UserId(BEN): False}, None)

    monkeypatch.setattr(presence, "survey", read_before_he_came)
    node.context.node.attendance.hurry()
    await ann.hear("user.offline")
    assert (await ann.hear("user.online"))["user_id"] == BEN


async def test_with_the_database_away_transitions_are_told_and_written_later(
    fragile: Cluster, postgres: Any, own_database: Any
) -> None:
    node = await fragile.node(presence_ttl_s=TTL_S)
    await node.client(ANN).group(BEN)
    ann = await node.phone(ANN)
    await ann.ask("presence", user_ids=[BEN])
    async with node.phone_for_a_while(BEN):
        await ann.hear("user.online")
        await postgres.fall()
    offline = await ann.hear("user.offline", within_s=WITHIN_S)
    await postgres.start()
    connection = await asyncpg.connect(own_database.servers.url_of_admin(own_database.name))
    async with asyncio.timeout(10):
        while await connection.fetchval("select last_seen_at from messenger.users where id = $1", BEN) is None:
            await asyncio.sleep(0.02)
    seen = await connection.fetchval("select last_seen_at from messenger.users where id = $1", BEN)
    await connection.close()
    assert seen == datetime.fromisoformat(offline["last_seen_at"])


async def test_who_is_sent_away_by_a_stopping_node_was_last_seen_then(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    only = await cluster.daemon()
    ben = await only.phone(BEN)
    only.send(signal.SIGTERM)
    assert await ben.closed() == (1012, "draining")
    assert await only.ended() == 0
    seen = await oracle.fetchval("select last_seen_at from messenger.users where id = $1", BEN)
    assert abs(seen - datetime.now(UTC)) < timedelta(seconds=60)
