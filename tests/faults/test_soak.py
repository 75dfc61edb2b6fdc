"""Churn: people come, talk, leave and come again, and a daemon that has seen thousands of them is no larger for it.

    pytest tests/faults/test_soak.py -s --soak-minutes 10

prints its memory over time and the slope of that. Without the option it is ten seconds, for what must be back to zero.
"""

import asyncio
import random
import time
from statistics import linear_regression

import pytest

from tests.support.breakable import BreakableRedis
from tests.support.daemon import Daemon
from tests.support.node import FREE, Cluster
from tests.support.people import Phone

PEOPLE = 60
SAMPLES = 40
# What pools of connections, which begin small, may have opened meanwhile and keep; the visits are hundreds.
POOLS = 30
# After the first third everything has been used once; what grows from then on is a leak.
WARM_UP = 1 / 3
# More than chance over minutes, less than any leak of a thousand people a minute. In bytes a minute.
MOST_GROWTH = 1_000_000


async def visit(daemon: Daemon, chance: random.Random, rooms: list[str], user_id: int) -> None:
    """One device's stay: it catches up, does this and that, and goes politely or not."""
    async with daemon.phone_for_a_while(user_id) as phone:
        await phone.ask("sync", cursors={})
        for _ in range(chance.randrange(1, 6)):
            await act(daemon, chance, rooms, phone)
        if chance.random() < 0.5:
            phone.socket._writer.transport.abort()


async def act(daemon: Daemon, chance: random.Random, rooms: list[str], phone: Phone) -> None:
    room, client = chance.choice(rooms), daemon.client(phone.user_id)
    sent = await phone.ask("message.send", conversation_id=room, content="x" * chance.randrange(1, 2000))
    if sent["type"] == "error":
        assert sent["code"] == "not_participant"  # somebody has taken him out for a moment
        return
    match chance.randrange(8):
        case 0:
            await phone.ask("message.edit", message_id=sent["message_id"], content="edited")
        case 1:
            await phone.ask("message.delete", message_id=sent["message_id"])
        case 2:
            await phone.ask("message.read", message_id=sent["message_id"])
        case 3:
            await phone.ask("subscribe", conversation_id=room)
            await phone.say("typing", conversation_id=room)
        case 4:
            await phone.ask("presence", user_ids=list(range(1, PEOPLE)))
        case 5:
            await phone.ask("history", conversation_id=room, limit=50)
        case 6:
            short = await client.group(*chance.sample(range(1, PEOPLE), 5))
            await phone.ask("message.send", conversation_id=short, content="soon gone")
            await client.delete(f"/conversations/{short}")
        case 7:
            other = phone.user_id % (PEOPLE - 1) + 1
            await client.delete(f"/conversations/{room}/participants/{other}")
            await client.post(f"/conversations/{room}/participants", {"user_ids": [other], "role": "admin"})


async def at_rest(daemon: Daemon, redis: BreakableRedis, descriptors: int) -> None:
    """Wait until nothing is left of whoever was here; that it ends is a promise of the daemon's."""
    deadline = time.monotonic() + 20
    while True:
        told = (await daemon.nobody().ask("GET", "//stats")).body
        counts = {name: told[name] for name in ("online_users", "total_connections", "active_conversations")}
        keys = {key for key in redis.held() if not key.startswith("figures:") and not key.endswith("presence:sweeper")}
        held = daemon.descriptors()
        if (
            not any(counts.values())
            and keys == {"nodes", "presence:era", "whereabouts:presence:era"}
            and held <= descriptors
        ):
            return
        assert time.monotonic() < deadline, f"{counts}, {keys}, {held} descriptors, {descriptors} are allowed"
        await asyncio.sleep(0.1)


async def test_a_daemon_is_no_larger_for_those_who_have_been_there(
    cluster: Cluster, redis: BreakableRedis, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    minutes: float | None = request.config.getoption("--soak-minutes")
    seconds = 10.0 if minutes is None else minutes * 60
    daemon = await cluster.daemon(**FREE, log_level="WARNING", max_devices_per_user=1000, max_connections=1000)
    descriptors = daemon.descriptors()
    rooms = [await daemon.client(1).group(*range(2, PEOPLE)) for _ in range(5)]
    for room in rooms:
        for user_id in range(2, PEOPLE):
            await daemon.client(1).call("PATCH", f"/conversations/{room}/participants/{user_id}", {"role": "admin"})
    began, visits, samples = time.monotonic(), 0, []

    async def come_and_go(number: int) -> None:
        nonlocal visits
        chance = random.Random(number)
        while time.monotonic() - began < seconds:
            await visit(daemon, chance, rooms, chance.randrange(1, PEOPLE))
            visits += 1

    async def measure() -> None:
        while time.monotonic() - began < seconds:
            await asyncio.sleep(seconds / SAMPLES)
            samples.append((time.monotonic() - began, daemon.resident_bytes()))
            if minutes is not None:
                with capsys.disabled():
                    print(f"{samples[-1][0]:8.0f} s {samples[-1][1] / 1e6:8.1f} MB {visits:8} visits")

    async with asyncio.TaskGroup() as group:
        group.create_task(measure())
        for number in range(20):
            group.create_task(come_and_go(number))
    await at_rest(daemon, redis, descriptors + POOLS)
    assert daemon.log.read_text() == ""
    if minutes is not None:
        late = [sample for sample in samples if sample[0] > seconds * WARM_UP]
        slope, _ = linear_regression(*zip(*late, strict=True))
        with capsys.disabled():
            print(f"slope: {slope * 60 / 1e3:.0f} kB a minute over {visits} visits")
        assert slope * 60 < MOST_GROWTH
