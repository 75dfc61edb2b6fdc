"""A token that expires while somebody chats: with another one the conversation goes on over the same socket, and without one it is
asked for; nothing is lost by it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import jwt
import pytest
from playwright.async_api import expect

from messenger.demo_data import seed
from messenger.transport import close
from tests.e2e.devices import ALICE, BOB, CHIARA, PATIENCE_MS, REACT, Device, Devices, said
from tests.support.database import Database
from tests.support.node import FREE, Cluster
from tests.support.people import token
from tests.support.reachable import SECRET

LONG_S = 600


@pytest.fixture
async def devices(cluster: Cluster, database: Database, browser: Any, example: str) -> AsyncIterator[Devices]:
    """Around a node that wants tokens, and is exact about their time."""
    await seed(database.app_url)
    origins = tuple(filter(None, [example]))
    node = await cluster.node(demo=True, allowed_origins=origins, jwt_leeway_s=0, **FREE)
    async with AsyncExitStack() as stack:
        devices = Devices(stack, browser, example, node)
        yield devices
        assert devices.complaints == []


def lasting(seconds: float, user_id: int = ALICE) -> str:
    return token(user_id, SECRET, exp=int(time.time() + seconds))


def sockets(device: Device) -> list[Any]:
    """Every one that it opens from now on."""
    opened: list[Any] = []
    device.page.on("websocket", lambda socket: opened.append(socket))
    return opened


async def outlive(device: Device, bearer: str) -> None:
    """Wait for the end of a token."""
    ends = int(jwt.decode(bearer, options={"verify_signature": False})["exp"])
    await device.page.wait_for_function("ends => Date.now() > ends", arg=(ends + 1) * 1000)


async def give(device: Device, bearer: str) -> None:
    await device.page.get_by_test_id("token").fill(bearer)
    await device.page.get_by_test_id("token-submit").click()


async def hand_out(device: Device, user_id: int, *seconds: float) -> list[str]:
    """Whoever gives tokens to the React example: new ones that last so long; after them the same one over
    and over. What it handed out."""
    handed: list[str] = []

    async def answer(route: Any) -> None:
        if len(handed) < len(seconds):
            handed.append(lasting(seconds[len(handed)], user_id))
        await route.fulfill(body=handed[-1])

    await device.page.route("**/token", answer)
    return handed


async def test_with_another_token_one_chats_on_over_the_same_socket(devices: Devices) -> None:
    async def by_hand() -> None:
        alice = await devices.blank()
        opened = sockets(alice)
        await alice.page.goto(devices.address(alice))
        first = lasting(7)
        await give(alice, first)
        await alice.open("Bob")
        await alice.composer.fill("I was about to say")
        # It has less than a minute left: that is told at once.
        await expect(alice.page.get_by_test_id("toast")).to_contain_text("The sign-in expires in a minute")
        await alice.page.get_by_test_id("toast-action").click()
        await give(alice, lasting(LONG_S))
        await expect(alice.page.get_by_test_id("token")).to_have_count(0)
        await outlive(alice, first)
        await expect(alice.composer).to_have_value("I was about to say")
        await alice.composer.press("Enter")
        await alice.ticks("I was about to say", "none")
        await expect(alice.connection).to_have_attribute("data-status", "online")
        assert len(opened) == 1

    async def by_itself() -> None:
        bob = await devices.blank(face=REACT)
        opened = sockets(bob)
        # The second one does not last either, and is replaced as well.
        handed = await hand_out(bob, BOB, 4, 7, LONG_S)
        await bob.page.goto(devices.address(bob, token="/token"))
        await bob.open("Chiara")
        async with asyncio.timeout(PATIENCE_MS / 1000):
            while len(handed) < 3:
                await asyncio.sleep(0.02)
        await outlive(bob, handed[1])
        await bob.say("Still here")
        await bob.ticks("Still here", "none")
        await expect(bob.connection).to_have_attribute("data-status", "online")
        assert len(handed) == 3
        assert len(opened) == 1

    await devices.node.client(BOB).post("/conversations", {"type": "direct", "participant_ids": [CHIARA]})
    await asyncio.gather(by_hand(), *([by_itself()] if devices.example else []))


async def test_that_one_has_ended_is_the_servers_to_say(devices: Devices) -> None:
    """Whatever the page reckons: it was told in whole seconds, and clocks differ."""
    alice = await devices.blank()
    await alice.page.goto(devices.address(alice))
    await give(alice, lasting(30))
    await alice.open("Bob")
    await expect(alice.page.get_by_test_id("toast-action")).to_be_visible()
    (device,) = devices.node.context.devices
    device.close(close.unauthorized("token_expired"))
    await expect(alice.page.get_by_test_id("token")).to_be_focused()
    await give(alice, lasting(LONG_S))
    await alice.is_online()


async def test_without_one_it_is_asked_for_and_nothing_is_lost(devices: Devices, oracle: asyncpg.Connection) -> None:
    bob = devices.node.client(BOB)
    (talk,) = [made["id"] for made in (await bob.get("/conversations"))[1]["conversations"] if made["type"] == "direct"]

    async def by_hand() -> None:
        alice = await devices.blank()
        await alice.page.goto(devices.address(alice))
        await give(alice, "no token at all")
        refusal, field = alice.page.locator("#refusal"), alice.page.get_by_test_id("token")
        await expect(refusal).to_have_text("The server did not accept that token.")
        await give(alice, lasting(5))
        await alice.open("Bob")
        await alice.composer.fill("I was about to say")
        # An offer to renew it comes, and nobody takes it.
        await expect(field).to_be_focused()
        await expect(refusal).to_have_text("That token has expired.")
        await expect(alice.connection).to_have_attribute("data-status", "token")
        await bob.send(talk, "Still there?")
        # One of before is no use; the next one is asked for.
        await give(alice, lasting(-1))
        await expect(field).to_be_focused()
        await give(alice, lasting(LONG_S))
        await expect(alice.row("Still there?")).to_be_visible()
        await expect(alice.composer).to_have_value("I was about to say")
        await alice.composer.press("Enter")
        await alice.all_sent()
        # It stays in this tab, and lasts over a reload.
        await alice.page.reload()
        await alice.is_online()
        await expect(alice.row("I was about to say")).to_be_visible()

    async def by_itself() -> None:
        alice = await devices.blank(face=REACT)
        handed = await hand_out(alice, ALICE, 5)
        await alice.page.goto(devices.address(alice, token="/token"))
        await alice.open("Bob")
        await expect(alice.connection).to_have_attribute("data-status", "waiting")
        await alice.say("Written without a token")
        await alice.is_pending("Written without a token")
        handed.append(lasting(LONG_S))
        await alice.is_online()
        await alice.ticks("Written without a token", "none")

    await asyncio.gather(by_hand(), *([by_itself()] if devices.example else []))
    _, _, *since = await said(oracle, talk)
    unsent = ["Written without a token"] if devices.example else []
    assert sorted(since) == sorted(["Still there?", "I was about to say", *unsent])
