"""Whoever has no good token costs nothing: no statement, no command, no entry anywhere, no task that stays; and those who are in
do not notice how many there are.
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import asyncpg
import hiredis
import pytest

from tests.security.wire import UPGRADE, masked, wire_to
from tests.support.database import Database, Servers
from tests.support.node import FREE, SECRET, Cluster, Node
from tests.support.people import API, forged, token
from tests.support.proxy import Proxy, of_postgres, of_redis, proxied

ANN, BEN = 1, 2
CROWD = 1000
NOW = 1_000_000_000
SERVICE = forged({"sub": "1", "exp": 4 * NOW, "scope": "service"}, SECRET.encode())
BAD = {
    "": "token_missing",
    "rubbish": "token_invalid",
    forged({"sub": "1", "exp": 4 * NOW}, b"another-secret-of-at-least-thirty-two-bytes"): "token_invalid",
    forged({"sub": "1", "exp": 4 * NOW}, SECRET.encode(), alg="none"): "token_invalid",
    forged({"sub": "1"}, SECRET.encode()): "token_invalid",
    forged({"sub": "0", "exp": 4 * NOW}, SECRET.encode()): "token_invalid",
    SERVICE: "token_invalid",  # over a socket
    forged({"sub": "1", "exp": NOW}, SECRET.encode()): "token_expired",
}


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for the crowd and for the node that it comes to, both in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CROWD + 500
    if soft < wanted:
        most = hard if hard == resource.RLIM_INFINITY else max(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Costs:
    """What a node says to its database and to Redis, and what it holds."""

    def __init__(self, node: Node, postgres: Proxy, redis: Proxy) -> None:
        self.node = node
        self._statements: list[bytes] = []
        self._commands: list[bytes] = []
        postgres.watch, redis.watch = self._statements.append, self._commands.append

    async def begin(self) -> None:
        """What was said before is on its way: the publisher keeps its order."""
        bus = self.node.context.node.bus
        bus.publish(bus.channels.node("marker"), b"everything before")
        await until(lambda: b"everything before" in b"".join(self._commands))
        self._statements.clear()
        self._commands.clear()

    @property
    def statements(self) -> bytes:
        return b"".join(self._statements)

    @property
    def commands(self) -> list[list[bytes]]:
        """All but what a node says by itself now and then: who it is and what it counts."""
        reader = hiredis.Reader()
        reader.feed(b"".join(self._commands))
        found = list(iter(reader.gets, False))
        own = (b"figures:", b"nodes", b"node:", b"presence:sweeper", b"presence:era")
        return [command for command in found if not any(name in b" ".join(command) for name in own)]

    def held(self) -> dict[str, Any]:
        here = self.node.context
        hub = here.node.hub
        return {
            "sockets": here.open_sockets,
            "devices": len(here.devices),
            "people": sorted(hub.people),
            "feeds": sorted(map(str, hub.feeds)),
            "watches": len(hub.watches),
            "typing": len(here.typing),
            "chores": len(here.node.chores),
            "channels": sorted(here.node.bus.subscribed),
            "at the entrance": len(here.entrance._turns),
            "rates": len(here.message_rates._buckets),
            "on the doorstep": len(self.node.server.doorstep),
            "tasks": sorted(task.get_name() for task in asyncio.all_tasks() if not task.get_name().startswith("Task-")),
        }


@pytest.fixture
async def costs(cluster: Cluster, servers: Servers, database: Database, many_descriptors: None) -> AsyncIterator[Costs]:
    """Of a node that asks nobody anything by itself for as long as the test lasts."""
    async with (
        proxied(of_postgres(database.app_url)) as postgres,
        proxied(of_redis(servers.redis_url)) as redis,
        cluster.node_for_a_while(
            **FREE, catch_up_s=3600, presence_ttl_s=3600, heartbeat_s=3600,
            database_url=postgres.postgres_url(database.app_url), redis_url=redis.redis_url(servers.redis_url),
        ) as node,
    ):  # fmt: skip
        # It polls once, because its connection to Redis is new.
        await until(lambda: any(node.context.node.repair.poll_times.numbers))
        yield Costs(node, postgres, redis)


async def knock_all(node: Node, count: int) -> set[Any]:
    """So many at once, with every kind of bad token, in every place of it; what they were told."""

    async def one(number: int, bearer: str) -> Any:
        if number % 4 == 0 and bearer:
            return await node.knock(f"/ws/me?token={bearer}")
        if number % 4 == 1 and bearer:
            return await node.knock("/ws/1", protocols=("messenger.v1", f"bearer.{bearer}"))
        if number % 4 == 2 and bearer != SERVICE:
            headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            async with node.session.get(f"{node.origin}{API}/conversations", headers=headers) as answer:
                return answer.status, (await answer.json())["reason"]
        return await node.knock(f"{API}/ws/me", bearer=bearer)

    bad = list(BAD)
    return set(await asyncio.gather(*(one(number, bad[number // 4 % len(bad)]) for number in range(count))))


async def test_a_crowd_of_bad_tokens_costs_nothing(costs: Costs) -> None:
    node = costs.node
    tea = await node.client(ANN).group(BEN)
    ann, ben = await node.phone(ANN), await node.phone(BEN)
    await ann.ask("subscribe", conversation_id=tea)
    await node.session.get(f"{node.origin}{API}/users/me", headers={"Authorization": f"Bearer {token(ANN, SECRET)}"})
    before = costs.held()
    assert (before["sockets"], before["people"]) == (2, [ANN, BEN])
    await costs.begin()
    told = await knock_all(node, CROWD)
    assert told == {(code, reason) for reason in BAD.values() for code in (401, 1008)}
    assert costs.statements == b""
    assert costs.commands == []
    # Their connections over HTTP are kept for another request; nothing else is.
    await until(lambda: {**costs.held(), "on the doorstep": 0} == {**before, "on the doorstep": 0})
    # And the proxies do hear what is said.
    assert (await ann.ask("message.send", conversation_id=tea, content="x"))["type"] == "message.sent"
    assert (await ben.hear("message.new"))["data"]["content"] == "x"
    assert costs.statements != b""
    await until(lambda: any(command[0] == b"PUBLISH" for command in costs.commands))


async def test_those_who_are_in_go_on_while_a_crowd_knocks(costs: Costs, oracle: asyncpg.Connection) -> None:
    node = costs.node
    tea = await node.client(ANN).group(BEN)
    ann, ben = await node.phone(ANN), await node.phone(BEN)
    over = asyncio.Event()

    async def knock_on() -> None:
        while not over.is_set():
            await knock_all(node, CROWD // 4)

    knocking = asyncio.create_task(knock_on())
    sent = [await ann.ask("message.send", conversation_id=tea, content=str(number)) for number in range(50)]
    assert [answer["type"] for answer in sent] == ["message.sent"] * 50
    assert [event["data"]["content"] for event in await ben.durable(tea, 50)] == [str(number) for number in range(50)]
    late = await node.phone(BEN)
    assert (await late.ask("sync", cursors={}))["conversations"][0]["last_change"] == 50
    over.set()
    await knocking
    assert await oracle.fetchval("select count(*) from messenger.users") == 2


async def test_what_is_said_before_a_token_is_found_good_is_not_heard(costs: Costs) -> None:
    """Frames that stand right behind a handshake with a bad token."""
    node = costs.node
    tea = await node.client(ANN).group()
    before = costs.held()
    await costs.begin()
    send = f'{{"type":"message.send","conversation_id":"{tea}","content":"x"}}'.encode()
    async with wire_to(node) as wire:
        handshake = f"GET /ws/1 HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer rubbish\r\n{UPGRADE}\r\n".encode()
        told = await wire.ask(handshake + masked(0x81, send) * 50 + masked(0x82, b"x" * 60_000))
        assert told.status == 101
        assert await wire.frame() == (0x88, b"\x03\xf0token_invalid")
        wire.say(masked(0x88, b"\x03\xf0"))
        assert b"message.sent" not in await wire.rest()
    assert (costs.statements, costs.commands) == (b"", [])
    await until(lambda: {**costs.held(), "on the doorstep": 0} == {**before, "on the doorstep": 0})


@pytest.mark.parametrize("bearer", ["rubbish", "good"])
async def test_a_handshake_that_is_abandoned_leaves_nothing(costs: Costs, bearer: str) -> None:
    node = costs.node
    before = costs.held()
    named = token(ANN, SECRET) if bearer == "good" else bearer
    for ending in ("", UPGRADE, f"{UPGRADE}\r\n", f"{UPGRADE}\r\n\x88\x80\x00\x00\x00\x00"):
        for _ in range(25):
            async with wire_to(node) as wire:
                wire.say(f"GET /ws/me HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {named}\r\n{ending}")
                await asyncio.sleep(0)
    await until(lambda: costs.held() == before)


async def test_nobody_waits_before_a_door_that_others_hold_open(costs: Costs) -> None:
    """Sockets that were refused and never take their leave do not stand in the way of those who come in."""
    node = costs.node
    async with AsyncExitStack() as stack:
        for _ in range(200):
            wire = await stack.enter_async_context(wire_to(node))
            await wire.ask(f"GET /ws/1 HTTP/1.1\r\nHost: chat\r\n{UPGRADE}\r\n")
            assert await wire.frame() == (0x88, b"\x03\xf0token_missing")
        ann = await node.phone(ANN)
        assert (await ann.ask("ping"))["type"] == "pong"
        async with aiohttp.ClientSession() as session, session.get(node.origin + "/readyz") as answer:
            assert answer.status == 200
