"""Several tabs of one person in one browser: one socket for all of them, whatever becomes of the tab that has it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Error

from tests.e2e.conftest import Stage
from tests.e2e.devices import held_still

ALICE, BOB = 1, 2

# A page of the daemon's on which nothing runs: the client alone, as applications import it.
BARE = "/demo/icon.svg"
BEGIN = """async (userId) => {
  const { MessengerClient } = await import("/demo/client/index.js");
  const { shareTabs } = await import("/demo/client/tabs.js");
  const client = new MessengerClient({ url: "/", userId, connect: shareTabs });
  window.course = [];
  client.on("status", () => window.course.push(client.status.state));
  client.start();
  window.client = client;
}"""


class Tabs:
    """Tabs of one browser."""

    def __init__(self, stage: Stage, context: Any) -> None:
        self.stage = stage
        self.context = context

    async def open(self, user_id: int = ALICE) -> Any:
        """One more tab, online and with its conversations listed."""
        tab = await self.context.new_page()
        tab.set_default_timeout(30_000)
        tab.on("pageerror", lambda error: self.stage.complaints.append(str(error)))
        await tab.goto(f"{self.stage.node.origin}{BARE}")
        await tab.evaluate(BEGIN, user_id)
        await tab.wait_for_function("client.status.state === 'online' && client.loaded")
        return tab

    async def crash(self, tab: Any) -> None:
        """As when a renderer runs out of memory: nobody says a word."""
        with contextlib.suppress(Error):
            await tab.goto("chrome://crash")


@pytest.fixture
async def tabs(stage: Stage) -> AsyncIterator[Tabs]:
    context = await stage.browser.new_context(bypass_csp=True)
    yield Tabs(stage, context)
    await context.close()


async def sockets(stage: Stage, count: int) -> None:
    """Wait until the daemon has so many devices."""
    async with asyncio.timeout(10):
        while True:
            async with stage.node.session.get(f"{stage.node.origin}/stats") as answer:
                if (await answer.json())["total_connections"] == count:
                    return
            await asyncio.sleep(0.05)


async def follow(*tabs: Any) -> None:
    """Look at the conversation with Bob."""
    for tab in tabs:
        await tab.evaluate("""() => {
          window.talk = client.conversations().find(({ peer }) => peer?.id === 2).id;
          window.texts = () => client.conversation(talk).messages.filter(({ id }) => id !== null).map(({ content }) => content);
          window.unfollow = client.watch(talk);
        }""")
        await tab.wait_for_function("client.conversation(talk).status === 'ready'")
        await tab.evaluate("window.before = texts().length")


async def has(tab: Any, *texts: str) -> None:
    """These have come since, in this order, and nothing else."""
    await tab.wait_for_function("count => texts().length - before >= count", arg=len(texts))
    assert await tab.evaluate("texts().slice(before)") == list(texts)


async def write(tab: Any, text: str) -> None:
    await tab.evaluate("text => { client.send(talk, text) }", text)


async def test_tabs_share_one_socket_and_each_is_told_everything_once(stage: Stage, tabs: Tabs) -> None:
    first, second, third = await tabs.open(), await tabs.open(), await tabs.open()
    await sockets(stage, 1)
    await follow(first, second, third)
    await write(second, "from the second")
    await has(second, "from the second")
    await stage.fill(BOB, ALICE, ["one", "two", "three"])
    for tab in (first, second, third):
        await has(tab, "from the second", "one", "two", "three")
    # One that ends to follow does not end it for the others.
    await second.evaluate("unfollow()")
    bob = await stage.phone(BOB)
    await bob.say("typing.start", conversation_id=await third.evaluate("talk"))
    await third.wait_for_function("client.conversation(talk).typing.length === 1")
    await sockets(stage, 2)


@pytest.mark.parametrize("how", ["close", "crash", "stop"])
async def test_the_next_tab_goes_on_where_the_one_with_the_socket_ended(stage: Stage, tabs: Tabs, how: str) -> None:
    first, second, third = await tabs.open(), await tabs.open(), await tabs.open()
    await follow(second, third)
    if how == "close":
        await first.close()
    elif how == "crash":
        await tabs.crash(first)
    else:
        await first.evaluate("client.stop()")
    await write(third, "still here?")
    await stage.fill(BOB, ALICE, ["yes"])
    for tab in (second, third):
        await tab.wait_for_function("client.status.state === 'online' && texts().length - before === 2")
        assert sorted(await tab.evaluate("texts().slice(before)")) == ["still here?", "yes"]
    await sockets(stage, 1)


async def test_a_frozen_tab_loses_the_socket_to_one_that_is_looked_at_and_misses_nothing(
    stage: Stage, tabs: Tabs
) -> None:
    first, second, third = await tabs.open(), await tabs.open(), await tabs.open()
    await follow(first, second, third)
    async with held_still(first):
        await write(second, "anybody there?")
        await has(second, "anybody there?")
        await stage.fill(BOB, ALICE, ["one", "two"])
        for tab in (second, third):
            await has(tab, "anybody there?", "one", "two")
    await has(first, "anybody there?", "one", "two")
    await sockets(stage, 1)
    await stage.fill(BOB, ALICE, ["three"])
    for tab in (first, second, third):
        await has(tab, "anybody there?", "one", "two", "three")
    assert await first.evaluate("course.join()") == "connecting,online,connecting,online"


async def test_a_frozen_tab_that_follows_misses_nothing(stage: Stage, tabs: Tabs) -> None:
    first, second = await tabs.open(), await tabs.open()
    await follow(first, second)
    async with held_still(second):
        await stage.fill(BOB, ALICE, ["one", "two"])
        await has(first, "one", "two")
    await second.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await has(second, "one", "two")
    await sockets(stage, 1)


async def test_a_tab_that_is_about_to_be_frozen_hands_the_socket_on_and_comes_back(stage: Stage, tabs: Tabs) -> None:
    first, second = await tabs.open(), await tabs.open()
    await follow(first, second)
    await first.evaluate("document.dispatchEvent(new Event('freeze'))")
    await second.wait_for_function("course.join() === 'connecting,online,connecting,online'")
    await stage.fill(BOB, ALICE, ["one"])
    await has(second, "one")
    assert await first.evaluate("client.status.state") == "connecting"
    await first.evaluate("document.dispatchEvent(new Event('resume'))")
    await has(first, "one")
    await sockets(stage, 1)


async def test_a_tab_without_a_network_leaves_it_to_the_others(stage: Stage, tabs: Tabs) -> None:
    first, second = await tabs.open(), await tabs.open()
    await follow(first, second)
    await first.evaluate("client.suspend()")
    assert await first.evaluate("client.status.reason") == "suspended"
    await second.wait_for_function("course.join() === 'connecting,online,connecting,online'")
    await stage.fill(BOB, ALICE, ["one"])
    await has(second, "one")
    assert await first.evaluate("texts().length - before") == 0
    await first.evaluate("client.resume()")
    await has(first, "one")
    await sockets(stage, 1)


async def test_nothing_is_left_of_tabs_that_stopped(stage: Stage, tabs: Tabs) -> None:
    first, second = await tabs.open(), await tabs.open()
    for tab in (first, second):
        await tab.evaluate("client.stop()")
    await sockets(stage, 0)
    for tab in (first, second):
        await tab.wait_for_function(
            "async () => { const { held, pending } = await navigator.locks.query(); return held.length + pending.length === 0 }"
        )


async def test_people_do_not_share(stage: Stage, tabs: Tabs) -> None:
    alice, bob = await tabs.open(ALICE), await tabs.open(BOB)
    await sockets(stage, 2)
    assert [await tab.evaluate("client.me.id") for tab in (alice, bob)] == [ALICE, BOB]
