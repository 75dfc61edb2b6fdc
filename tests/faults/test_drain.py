"""SIGTERM in the middle of everything: what was acknowledged is kept, what was not is answered or cut, and the daemon ends."""

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import asyncpg
import pytest

from messenger import lifecycle
from messenger.store import lanes
from tests.support.daemon import Daemon
from tests.support.node import FREE, Cluster
from tests.support.people import token
from tests.support.reachable import SECRET
from tests.support.stalled import stalled

ANN, BEN, CYD = 1, 2, 3
OPEN = {**FREE, "max_devices_per_user": 100}


async def stored(oracle: asyncpg.Connection, tea: str) -> dict[str, int]:
    """The change of each client_id."""
    rows = await oracle.fetch("select client_id, change from messenger.messages where conversation_id = $1", tea)
    return {row["client_id"]: row["change"] for row in rows}


class Talker:
    """Sends without waiting for answers, until its socket ends."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.said = 0
        self.acknowledged: dict[str, int] = {}
        self.refused: list[str] = []
        self.end: tuple[int | None, str] = (None, "")

    async def talk(self, daemon: Daemon, user_id: int, tea: str) -> None:
        headers = {"Authorization": f"Bearer {token(user_id, SECRET)}"}
        async with daemon.session.ws_connect(f"{daemon.origin}/ws/me", headers=headers) as socket:
            saying = asyncio.create_task(self._say(socket, tea))
            async for message in socket:
                told = json.loads(message.data)
                if told["type"] == "message.sent":
                    self.acknowledged[told["client_id"]] = told["change"]
                elif told["type"] == "error":
                    self.refused.append(told["ref"])
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)
            self.end = (socket.close_code, "")

    async def _say(self, socket: aiohttp.ClientWebSocketResponse, tea: str) -> None:
        while not socket.closed:
            name = f"{self.name}-{self.said}"
            self.said += 1
            await socket.send_json(
                {"type": "message.send", "conversation_id": tea, "content": name, "client_id": name, "ref": name}
            )
            await asyncio.sleep(0)


async def test_no_acknowledged_send_is_lost_and_none_hangs(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    daemon, other = await cluster.daemon(**OPEN, drain_s=1), await cluster.daemon(**OPEN)
    tea = await daemon.client(ANN).group(BEN, CYD)
    witness = await other.phone(CYD)
    talkers = [Talker(f"t{number}") for number in range(6)]
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(stalled(daemon, BEN))
        talking = [asyncio.create_task(talker.talk(daemon, ANN, tea)) for talker in talkers]
        posting = asyncio.create_task(post(daemon, tea))
        async with asyncio.timeout(20):
            while any(len(talker.acknowledged) < 30 for talker in talkers):
                await asyncio.sleep(0.01)
        daemon.send(signal.SIGTERM)
        # Every socket ends, whatever was in flight on it.
        async with asyncio.timeout(20):
            await asyncio.gather(*talking)
            posted, unsure = await posting
        assert await daemon.ended() == 0
    assert {talker.end[0] for talker in talkers} == {1012}
    rows = await stored(oracle, tea)
    acknowledged = {name: change for talker in talkers for name, change in talker.acknowledged.items()} | posted
    assert acknowledged.items() <= rows.items()
    assert sorted(rows.values()) == list(range(1, len(rows) + 1))
    # Whoever got no answer asks again elsewhere, and each is there once.
    client = other.client(ANN)
    for name in [f"{talker.name}-{number}" for talker in talkers for number in range(talker.said)][-50:] + unsure:
        told = await client.send(tea, name, client_id=name)
        assert told["change"] == rows.get(name, told["change"])
    final = await stored(oracle, tea)
    heard = [event["change"] for event in await witness.durable(tea, max(final.values()))]
    assert heard == list(range(1, len(final) + 1))


async def post(daemon: Daemon, tea: str) -> tuple[dict[str, int], list[str]]:
    """Sends over REST until nobody listens: what was answered, and what was not."""
    posted: dict[str, int] = {}
    for number in range(10_000):
        name = f"r-{number}"
        try:
            status, told = await daemon.client(ANN).post(
                f"/conversations/{tea}/messages", {"content": name, "client_id": name}
            )
        except (aiohttp.ClientError, OSError):
            return posted, [name]
        assert status == 201
        posted[name] = told["change"]
    raise AssertionError("it never ended")


async def test_devices_are_sent_away_over_the_time_that_is_set_and_newcomers_at_once(cluster: Cluster) -> None:
    daemon = await cluster.daemon(**OPEN, drain_s=2)
    phones = [await daemon.phone(ANN) for _ in range(10)]
    ends: list[float] = []
    loop = asyncio.get_running_loop()

    async def ends_well(phone: Any) -> None:
        assert await phone.hear("system") == {"type": "system", "event": "draining"}
        # Until it is its turn, it is served.
        assert await phone.closed() == (1012, "draining")
        ends.append(loop.time())

    daemon.send(signal.SIGTERM)
    async with asyncio.TaskGroup() as group:
        for phone in phones:
            group.create_task(ends_well(phone))
        async with asyncio.timeout(10):
            while (ready := await daemon.nobody().ask("GET", "//readyz")).status != 503:
                await asyncio.sleep(0.01)
        assert ready.body["status"] == "draining"
        assert await daemon.knock(bearer=token(BEN, SECRET)) == (1012, "draining")
    # Spread, and not all in one breath: what this shows is an order, not a duration.
    assert max(ends) - min(ends) > 1
    assert await daemon.ended() == 0


async def test_stalled_devices_do_not_hold_up_the_end(cluster: Cluster) -> None:
    daemon = await cluster.daemon(**OPEN, max_queue_bytes=64_000_000, max_content_chars=60_000)
    tea = await daemon.client(ANN).group(BEN)
    ann = await daemon.phone(ANN)
    async with AsyncExitStack() as stack:
        deaf = [await stack.enter_async_context(stalled(daemon, BEN)) for _ in range(20)]
        late = await stack.enter_async_context(stalled(daemon, BEN))
        # More than the systems between buffer, less than makes a slow consumer: a goodbye cannot be sent either.
        for change in range(1, 81):
            assert (await ann.ask("message.send", conversation_id=tea, content="x" * 60_000))["change"] == change
        daemon.send(signal.SIGTERM)
        assert await ann.closed() == (1012, "draining")
        # Who reads again in time is told why.
        assert await late.goodbye() == (1012, "draining")
        assert await daemon.ended() == 0
        for device in deaf:
            assert not (await device.hear_out()).endswith(b"draining")


async def test_asked_twice_it_ends_as_well(cluster: Cluster) -> None:
    daemon = await cluster.daemon(**OPEN, drain_s=0.5)
    phone = await daemon.phone(ANN)
    daemon.send(signal.SIGTERM)
    await phone.hear("system")
    daemon.send(signal.SIGTERM)
    daemon.send(signal.SIGINT)
    assert await phone.closed() == (1012, "draining")
    assert await daemon.ended() == 0


async def test_what_is_on_its_way_to_the_database_is_told_before_the_bus_goes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await cluster.node(**FREE), await cluster.node(**FREE, catch_up_s=3600)
    tea = await one.client(ANN).group(BEN)
    ann, ben = await one.phone(ANN), await two.phone(BEN)
    begun, may = asyncio.Event(), asyncio.Event()
    append = lanes._append

    async def append_late(*args: Any, **options: Any) -> Any:
        begun.set()
        await may.wait()
        return await append(*args, **options)

    monkeypatch.setattr(lanes, "_append", append_late)
    await ann.say("message.send", conversation_id=tea, content="my last words")
    await begun.wait()
    draining = asyncio.create_task(lifecycle.drain(one.server.app))
    assert (await ann.closed())[0] == 1012
    done, _ = await asyncio.wait([draining], timeout=0.3)
    assert done == set()
    may.set()
    await draining
    assert (await ben.hear("message.new"))["data"]["content"] == "my last words"
