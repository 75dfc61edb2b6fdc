"""One slow or greedy peer costs itself its connection, a crowd takes turns, and nobody else notices."""

import asyncio
import json
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.support.daemon import Daemon
from tests.support.node import FREE, Cluster
from tests.support.people import Phone, token
from tests.support.reachable import SECRET
from tests.support.stalled import stalled

ANN, BEN, CYD = 1, 2, 3
STORM = 2000
MUCH = 120
LONG = "x" * 60_000


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.02)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for a storm in the test's own process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * STORM + 500
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted, max(hard, wanted) if hard != resource.RLIM_INFINITY else hard)
        )
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def talk(ann: Phone, tea: str) -> None:
    """Ann says more than the queue and what the systems between buffer can hold."""
    for number in range(1, MUCH + 1):
        assert (await ann.ask("message.send", conversation_id=tea, content=LONG))["change"] == number


async def test_who_reads_nothing_is_cut_and_its_descriptor_freed_and_nobody_else_waits(cluster: Cluster) -> None:
    daemon = await cluster.daemon(**FREE, max_queue_bytes=262_144, max_content_chars=len(LONG), heartbeat_s=60)
    tea = await daemon.client(ANN).group(BEN, CYD)
    ann, cyd = await daemon.phone(ANN), await daemon.phone(CYD)
    async with stalled(daemon, BEN) as deaf:
        assert daemon.holder_of(deaf.port) == daemon.pid
        events, _ = await asyncio.gather(cyd.durable(tea, MUCH), talk(ann, tea))
        assert [event["change"] for event in events] == list(range(1, MUCH + 1))
        assert "slow consumer" in daemon.log.read_text()
        # He never reads his goodbye: five seconds, and he is cut.
        await until(lambda: daemon.holder_of(deaf.port) is None)
        assert b"slow_consumer" not in await deaf.hear_out()
    assert daemon.log.read_text().count("slow consumer") == 1


async def test_who_reads_again_in_time_is_told_that_he_was_slow(cluster: Cluster) -> None:
    daemon = await cluster.daemon(**FREE, max_queue_bytes=262_144, max_content_chars=len(LONG), heartbeat_s=60)
    tea = await daemon.client(ANN).group(BEN)
    ann = await daemon.phone(ANN)
    async with stalled(daemon, BEN) as ben:
        talking = asyncio.create_task(talk(ann, tea))
        await until(lambda: "slow consumer" in daemon.log.read_text())
        assert await ben.goodbye() == (1013, "slow_consumer")
        await talking
    # He comes again, and has everything.
    async with daemon.phone_for_a_while(BEN) as again:
        told = await again.ask("sync", cursors={})
        assert told["conversations"][0]["last_change"] == MUCH


async def test_a_path_that_died_costs_a_descriptor_for_two_heartbeats_and_no_longer(cluster: Cluster) -> None:
    daemon = await cluster.daemon(**FREE, heartbeat_s=0.5)
    async with stalled(daemon, BEN) as gone:  # answers no ping
        assert daemon.holder_of(gone.port) == daemon.pid
        await until(lambda: daemon.holder_of(gone.port) is None)


FEW = 120
LITTLE_ROOM = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({FEW}, {FEW}))"


def crowd(daemon: Daemon, count: int) -> ExitStack:
    """Connections that say nothing."""
    host, port = daemon.origin.removeprefix("http://").split(":")
    stack = ExitStack()
    for _ in range(count):
        stack.enter_context(socket.create_connection((host, int(port))))
    return stack


async def comes_in(daemon: Daemon, user_id: int) -> Phone:
    async with asyncio.timeout(20):
        while True:
            try:
                return await daemon.phone(user_id)
            except (OSError, aiohttp.ClientError):
                await asyncio.sleep(0.1)


async def test_with_few_descriptors_a_crowd_takes_none_of_what_the_daemon_needs(cluster: Cluster) -> None:
    daemon = await cluster.daemon(before=LITTLE_ROOM, **FREE, log_level="WARNING")
    assert "too few descriptors for MESSENGER_MAX_CONNECTIONS" in daemon.log.read_text()
    tea = await daemon.client(ANN).group(BEN)
    ann, ben = await daemon.phone(ANN), await daemon.phone(BEN)
    with crowd(daemon, 2 * FEW):
        await until(lambda: daemon.descriptors() > FEW - FEW // 3)
        for number in range(1, 21):
            assert (await ann.ask("message.send", conversation_id=tea, content=str(number)))["change"] == number
        assert [event["change"] for event in await ben.durable(tea, 20)] == list(range(1, 21))
    late = await comes_in(daemon, BEN)
    assert (await late.ask("sync", cursors={}))["conversations"][0]["last_change"] == 20
    assert len(daemon.log.read_text().splitlines()) == 1


async def test_out_of_descriptors_the_daemon_lives_and_recovers(cluster: Cluster) -> None:
    daemon = await cluster.daemon(**FREE, log_level="WARNING")
    tea = await daemon.client(ANN).group(BEN)
    ann, ben = await daemon.phone(ANN), await daemon.phone(BEN)
    before = daemon.descriptors()
    _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (before + 10, hard))
    with crowd(daemon, FEW):
        await until(lambda: daemon.descriptors() >= before + 9)
        for _ in range(20):
            assert (await ann.ask("ping"))["type"] == "pong"
        sent = [await ann.ask("message.send", conversation_id=tea, content="x") for _ in range(20)]
    late = await comes_in(daemon, BEN)
    # What was acknowledged meanwhile is there; what was not, was said to be unavailable.
    acknowledged = [answer["change"] for answer in sent if answer["type"] == "message.sent"]
    assert all(answer["code"] == "unavailable" for answer in sent if answer["type"] == "error")
    last = await daemon.client(ANN).send(tea, "after")
    assert last["change"] > len(acknowledged)
    assert [event["change"] for event in await ben.durable(tea, last["change"])] == list(range(1, last["change"] + 1))
    assert (await late.ask("sync", cursors={}))["conversations"][0]["last_change"] == last["change"]
    # Neither a line for each one refused, nor a stack.
    assert len(daemon.log.read_text().splitlines()) < 100, daemon.log.read_text()[-3000:]


async def test_who_is_one_too_many_is_told_so_and_the_others_stay(cluster: Cluster) -> None:
    daemon = await cluster.daemon(**FREE, max_connections=3)
    phones = [await daemon.phone(user_id) for user_id in (1, 2, 3)]
    assert await daemon.knock(bearer=token(4, SECRET)) == (1013, "overloaded")
    for phone in phones:
        assert (await phone.ask("ping"))["type"] == "pong"
    await phones[0].socket.close()
    async with asyncio.timeout(10):
        while not isinstance(await daemon.knock(bearer=token(4, SECRET)), dict):
            await asyncio.sleep(0.02)


async def test_one_too_many_at_the_door_puts_nobody_out_who_is_coming_in(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node(**FREE, max_connections=2)
    reception, go_on = node.context.node.reception, asyncio.Event()
    admit = reception.admit

    async def admit_later(*args: Any) -> None:
        await go_on.wait()
        await admit(*args)

    monkeypatch.setattr(reception, "admit", admit_later)
    coming = [asyncio.create_task(node.phone(user_id)) for user_id in (ANN, BEN)]
    await until(lambda: node.context.open_sockets == 2)
    late = asyncio.create_task(node.session.ws_connect(f"{node.origin}/ws/me?token={token(CYD, SECRET)}"))
    socket_of_late = await late
    go_on.set()  # while Cyd's goodbye is not answered yet
    phones = await asyncio.gather(*coming)
    assert (await socket_of_late.receive()).data == 1013
    for phone in phones:
        assert (await phone.ask("ping"))["type"] == "pong"


@pytest.mark.usefixtures("many_descriptors")
async def test_a_storm_of_reconnects_is_absorbed(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    people, conversations = STORM // 2, 20
    one = await cluster.daemon(**FREE, heartbeat_s=60, max_connections=2 * STORM)
    await oracle.execute("insert into messenger.users (id) select generate_series(1, $1::bigint)", people)
    ann = one.client(1)
    rooms = [await ann.group(*range(2, 100)) for _ in range(conversations)]
    for room in rooms:
        await ann.send(room, "before")

    async def comes_back(daemon: Daemon, user_id: int, stack: AsyncExitStack) -> Phone:
        phone = await stack.enter_async_context(daemon.phone_for_a_while(user_id))
        await phone.say("sync", cursors={}, ref="all")
        answer = await phone.hear(ref="all", within_s=60)
        assert answer["type"] == "sync", answer
        assert len(answer["conversations"]) == (conversations if user_id < 100 else 0)
        return phone

    async with AsyncExitStack() as stack:
        crowd = [1 + number % people for number in range(STORM)]
        phones = await asyncio.gather(*(comes_back(one, user_id, stack) for user_id in crowd))
        two = await cluster.daemon(**FREE, heartbeat_s=60, max_connections=2 * STORM)
        one.send(signal.SIGKILL)
        # Everybody at once, at the node that is left.
        phones = await asyncio.gather(*(comes_back(two, user_id, stack) for user_id in crowd))
        await two.client(1).send(rooms[0], "after")
        heard = [await phone.hear("message.new") for phone in phones if phone.user_id < 100]
        assert {event["data"]["content"] for event in heard} == {"after"}
    for line in two.log.read_text().splitlines():
        assert json.loads(line)["level"] == "info", line
