"""The server goes in mid-typing and mid-sending, with a word and without one: nobody loses what he wrote, and nothing comes twice.
Everybody has the HTML demo on one device and the React example on the other."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import chain
from typing import Any

import asyncpg
import pytest
from playwright.async_api import expect

from messenger.demo_data import seed
from tests.e2e.devices import ALICE, BOB, CHIARA, HTML, REACT, Device, Devices, each, said, stored
from tests.support.daemon import Daemon
from tests.support.database import Database
from tests.support.node import Cluster
from tests.support.road import Way


class Server:
    """A daemon that is a process; another one takes its place when it has ended."""

    def __init__(self, cluster: Cluster, settings: dict[str, Any]) -> None:
        self._cluster = cluster
        self._settings = settings

    async def begin(self) -> Daemon:
        self._daemon = await self._next()
        return self._daemon

    async def end(self, how: signal.Signals) -> Daemon:
        """Returns the next one, which was begun before: that takes longer than anybody here has to wait."""
        ending, self._daemon = self._daemon, await self._next()
        ending.send(how)
        assert await ending.ended() in (0, -how)
        return self._daemon

    async def _next(self) -> Daemon:
        return await self._cluster.daemon(auth="off", demo=True, **self._settings)


@pytest.fixture
async def server(cluster: Cluster, database: Database, example: str) -> Server:
    await seed(database.app_url)
    return Server(cluster, {"allowed_origins": tuple(filter(None, [example]))})


@pytest.fixture
async def devices(server: Server, browser: Any, example: str) -> AsyncIterator[Devices]:
    async with AsyncExitStack() as stack:
        devices = Devices(stack, browser, example, await server.begin())
        yield devices
        assert devices.complaints == []


async def test_a_server_is_replaced_while_people_type_and_send(
    devices: Devices, server: Server, oracle: asyncpg.Connection
) -> None:
    tea = await devices.group(ALICE, BOB, CHIARA)
    road = await devices.road()
    alice, alice_too, bob_too, bob = everybody = [
        await devices.of(who, road, face) for who in (ALICE, BOB) for face in (HTML, REACT)
    ]
    for device in everybody:
        await device.open("Tea")
    await alice.say("Are you there?")
    await bob.composer.press_sequentially("Half a ")
    await expect(alice.typing).to_contain_text("Bob")

    # It is asked to end, while three devices send.
    senders = {"alice": alice, "alice too": alice_too, "bob too": bob_too}
    lines = {device: [f"{name} while it ends {n}" for n in range(3)] for name, device in senders.items()}
    ending = asyncio.create_task(server.end(signal.SIGTERM))
    await each(list(lines), lambda device: device.say(*lines[device]))
    second = await ending
    await bob.composer.press_sequentially("sentence")
    await expect(alice.connection).not_to_have_attribute("data-status", "online")
    await alice.say("written to nobody")
    devices.lead_to(second)
    await each(everybody, Device.all_sent)
    await each(everybody, Device.is_online)
    await expect(bob.composer).to_have_value("Half a sentence")

    # It is killed, and has stored what it never acknowledged.
    road.hold(Way.BACK, only="GET /ws/")
    await alice.say("nobody told me that this arrived")
    await bob_too.say("nor me")
    await stored(oracle, tea, "nobody told me that this arrived", "nor me")
    await alice.is_pending("nobody told me that this arrived")
    third = await server.end(signal.SIGKILL)
    road.cut()
    await bob.composer.press_sequentially(", still")
    await alice_too.say("written while it is dead")
    await alice_too.is_pending("written while it is dead")
    devices.lead_to(third)
    road.mend()
    await each(everybody, Device.all_sent)
    await expect(bob.composer).to_have_value("Half a sentence, still")
    await bob.composer.press("Enter")
    await bob.all_sent()

    log = await said(oracle, tea)
    assert sorted(log) == sorted(
        [
            "Are you there?",
            *chain(*lines.values()),
            "written to nobody",
            "nobody told me that this arrived",
            "nor me",
            "written while it is dead",
            "Half a sentence, still",
        ]
    )
    await each(everybody, lambda device: device.shows(log))
