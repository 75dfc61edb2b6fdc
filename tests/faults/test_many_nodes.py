"""`serve --workers N`: several processes on one port, which act as one daemon."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.breakable import BreakableRedis
from tests.support.command import in_one_line, messenger, settings_of
from tests.support.daemon import Daemon
from tests.support.database import Database
from tests.support.node import FREE, Cluster
from tests.support.people import Phone

ANN, BEN = 1, 2
RATES = {**FREE, "max_devices_per_user": 100}


def node_of(phone: Phone, daemon: Daemon) -> int:
    """The worker at the other end of a phone's connection."""
    pid = daemon.holder_of(phone.socket.get_extra_info("sockname")[1])
    assert pid is not None
    return pid


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.02)


async def on_every_worker(daemon: Daemon, user_id: int) -> list[Phone]:
    """A phone of somebody on each worker; which one it reaches is the system's to deal."""
    found: dict[int, Phone] = {}
    async with asyncio.timeout(20):
        while len(found) < len(daemon.workers()):
            phone = await daemon.phone(user_id)
            if node_of(phone, daemon) in found:
                await phone.socket.close()
            else:
                found[node_of(phone, daemon)] = phone
    return list(found.values())


async def stats(daemon: Daemon) -> Any:
    answer = await daemon.nobody().ask("GET", "//stats")
    return answer.body


async def test_workers_share_a_port_and_act_as_one(cluster: Cluster) -> None:
    daemon = await cluster.daemon("--workers", "3", **RATES)
    assert len(daemon.workers()) == 3
    tea = await daemon.client(ANN).group(BEN)
    phones = [*await on_every_worker(daemon, ANN), *await on_every_worker(daemon, BEN)]
    sent = await asyncio.gather(
        *(phone.ask("message.send", conversation_id=tea, content=str(place)) for place, phone in enumerate(phones))
    )
    assert sorted(answer["change"] for answer in sent) == list(range(1, 7))
    for phone in phones:
        assert [event["change"] for event in await phone.durable(tea, 6)] == list(range(1, 7))


async def test_whichever_worker_is_asked_answers_for_all(cluster: Cluster) -> None:
    daemon = await cluster.daemon("--workers", "2", **RATES)
    await daemon.client(ANN).group(BEN)
    await on_every_worker(daemon, ANN)
    (ben, _) = await on_every_worker(daemon, BEN)
    for _ in range(8):
        # A new connection each time, so that either worker is asked.
        async with daemon.session.get(daemon.origin + "/stats", headers={"Connection": "close"}) as response:
            told = await response.json()
        assert (told["online_users"], told["total_connections"], told["active_conversations"]) == (2, 4, 1)
    await ben.socket.close()
    async with asyncio.timeout(10):
        while (await stats(daemon))["total_connections"] != 3:
            await asyncio.sleep(0.02)


async def test_a_worker_that_falls_is_replaced_and_the_others_go_on(cluster: Cluster) -> None:
    daemon = await cluster.daemon("--workers", "2", **RATES)
    tea = await daemon.client(ANN).group(BEN)
    one, two = await on_every_worker(daemon, BEN)
    before = daemon.workers()
    os.kill(node_of(one, daemon), signal.SIGKILL)
    await one.closed()
    assert (await two.ask("ping"))["type"] == "pong"
    await until(lambda: len(set(daemon.workers()) - set(before)) == 1)
    again = await on_every_worker(daemon, BEN)
    await daemon.client(ANN).send(tea, "all here?")
    for phone in (two, *again):
        assert (await phone.hear("message.new"))["data"]["content"] == "all here?"


async def test_asked_to_stop_every_worker_drains(cluster: Cluster) -> None:
    daemon = await cluster.daemon("--workers", "2", **RATES)
    phones = await on_every_worker(daemon, ANN)
    workers = daemon.workers()
    daemon.send(signal.SIGTERM)
    for phone in phones:
        assert await phone.closed() == (1012, "draining")
        assert {"type": "system", "event": "draining"} in phone.frames
    assert await daemon.ended() == 0
    assert not any(map(_lives, workers))


async def test_workers_outlive_their_parent_only_to_drain(cluster: Cluster) -> None:
    daemon = await cluster.daemon("--workers", "2", **RATES)
    phones, workers = await on_every_worker(daemon, ANN), daemon.workers()
    daemon.send(signal.SIGKILL)
    for phone in phones:
        assert await phone.closed() == (1012, "draining")
    await until(lambda: not any(_lives(pid) for pid in workers))


def _lives(pid: int) -> bool:
    """Neither gone nor only waiting to be reaped by whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_port_that_is_taken_is_told_once(cluster: Cluster, database: Database, redis: BreakableRedis) -> None:
    daemon = await cluster.daemon("--workers", "2")
    port = daemon.origin.rpartition(":")[2]
    told = await messenger(
        "serve", "--port", port, "--workers", "2", **{**settings_of(database), "redis_url": redis.url}
    )
    assert in_one_line(told) == f"messenger: cannot listen on 127.0.0.1 port {port}: Address already in use"


@pytest.mark.parametrize("count", ["0", "-1", "many", "1000"])
async def test_a_number_of_workers_that_is_none_is_told(count: str) -> None:
    told = await messenger("serve", "--workers", count)
    assert told.code == 2
    assert "--workers" in told.err
