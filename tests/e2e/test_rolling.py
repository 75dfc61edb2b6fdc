"""Both nodes behind nginx are replaced one after another, as an upgrade does it, while people are there with their browsers."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
from playwright.async_api import Page, expect

from messenger.demo_data import seed
from tests.e2e.devices import ALICE, BOB, CHIARA, REACT, Device, Devices, each, said
from tests.e2e.test_dialects import REFUSED, ROOM, SESSION, SOCKETIO, code_of_new, is_online, join, messages, say
from tests.support.daemon import Daemon
from tests.support.database import Database
from tests.support.nginx import nginx
from tests.support.node import FREE, Cluster
from tests.support.reachable import Reachable

# What is promised for every device.
BACK_WITHIN_MS = 10_000
# Between two lines of whoever writes on.
PACE_S = 0.3
# A list has in the document what is near its view: of this one all.
TALL = {"width": 1000, "height": 6000}

# Keeps how long the page is away, each time.
WATCH = """() => {
  const connection = document.querySelector("[data-testid=connection]");
  let since = null;
  window.absences = [];
  new MutationObserver(() => {
    const isOnline = connection.dataset.status === "online";
    if (!isOnline) since ??= performance.now();
    else if (since !== null) {
      absences.push(performance.now() - since);
      since = null;
    }
  }).observe(connection, { attributeFilter: ["data-status"] });
}"""
# Nobody waits before he comes back, so that he finds the node still there, as it sends the others away.
IN_A_HURRY = "Math.random = () => 0"


class Nodes:
    """Two, each on a port that it keeps."""

    def __init__(self, cluster: Cluster, settings: dict[str, Any]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._nodes: list[Daemon] = []

    async def begin(self) -> list[str]:
        """Their origins."""
        self._nodes += await asyncio.gather(self._node(), self._node())
        return [node.origin for node in self._nodes]

    async def upgrade(self) -> None:
        """Each is asked to end, and then another one takes its place. Nobody waits until all devices are back."""
        for place, node in enumerate(self._nodes):
            assert (await node.nobody().get("//stats"))[1]["total_connections"] > 0
            node.send(signal.SIGTERM)
            assert await node.ended() == 0
            self._nodes[place] = await self._node(urlsplit(node.origin).port or 0)

    async def _node(self, port: int = 0) -> Daemon:
        return await self._cluster.daemon("--port", f"{port}", **self._settings)


@pytest.fixture
async def nodes(cluster: Cluster, database: Database, example: str) -> Nodes:
    await seed(database.app_url)
    settings: dict[str, Any] = {
        **FREE,
        "auth": "off",
        "demo": True,
        "open_rooms": True,
        "allowed_origins": tuple(filter(None, [example])),
        "trusted_proxies": ("127.0.0.1",),
        "drain_s": 1,
    }
    return Nodes(cluster, settings)


@pytest.fixture
async def devices(nodes: Nodes, browser: Any, example: str, tmp_path: Path) -> AsyncIterator[Devices]:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(nginx(tmp_path / "nginx", await nodes.begin()))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        devices = Devices(stack, browser, example, Reachable(proxy.origin, session, stack))
        yield devices
        assert devices.complaints == []


async def was_soon_back(page: Page) -> None:
    assert max(await page.evaluate("absences"), default=0) < BACK_WITHIN_MS


async def test_nodes_are_replaced_while_people_write_and_every_page_has_it_all(
    nodes: Nodes, devices: Devices, oracle: asyncpg.Connection
) -> None:
    tea = await devices.group(ALICE, BOB, CHIARA)
    alice = await devices.of(ALICE, viewport=TALL)
    # Another tab of the same browser, which has no socket of its own.
    alice_too = await devices.blank(alice.road, context=alice.page.context)
    await alice_too.page.goto(devices.address(alice_too, user=ALICE))
    bob, chiara = await devices.of(BOB, viewport=TALL), await devices.of(CHIARA, face=REACT, viewport=TALL)
    everybody = [alice, alice_too, bob, chiara]
    for device in everybody:
        await device.open("Tea")
        await device.page.evaluate(WATCH)

    written: dict[Device, list[str]] = {alice_too: [], bob: []}
    is_over = asyncio.Event()

    async def write_on(device: Device) -> None:
        while not is_over.is_set():
            line = f"{'Bob' if device is bob else 'Alice'} says {len(written[device])}"
            await device.say(line)
            written[device].append(line)
            await asyncio.sleep(PACE_S)

    async with asyncio.TaskGroup() as tasks:
        for device in written:
            tasks.create_task(write_on(device))
        await nodes.upgrade()
        is_over.set()

    await each(everybody, Device.is_online)
    await each(everybody, Device.all_sent)
    log = await said(oracle, tea)
    for lines in written.values():
        assert [line for line in log if line in lines] == lines
    assert len(log) == sum(map(len, written.values()))
    await each(everybody, lambda device: device.shows(log))
    for device in everybody:
        await was_soon_back(device.page)


async def test_who_comes_back_at_once_is_let_in_at_the_other_node_in_every_dialect(
    nodes: Nodes, devices: Devices
) -> None:
    origin = (await devices.road()).origin
    host, ben, eve, dan, ann, cyd = pages = [(await devices.blank()).page for _ in range(6)]
    sockets: Counter[Page] = Counter()
    for page in pages:
        await page.add_init_script(IN_A_HURRY)
        page.on("websocket", lambda _, page=page: sockets.update([page]))
    code = await code_of_new(host, origin)
    for page, path, nickname in ((ben, SESSION, "Ben"), (eve, SOCKETIO, "Eve"), (dan, SOCKETIO, "Dan")):
        await page.goto(f"{origin}{path}?code={code}")
        if page is dan:
            await page.get_by_test_id("transport").locator("input[value=polling]").check()
        await join(page, nickname)
    for page, name in ((ann, "Ann"), (cyd, "Cyd")):
        await page.goto(f"{origin}{ROOM}?room=lobby")
        await page.get_by_test_id("name").fill(name)
        await page.get_by_test_id("enter").click()
        await is_online(page)
    talks = (ben, (host, ben, eve, dan)), (cyd, (ann, cyd))
    for speaker, hearers in talks:
        await say(speaker, "Before it")
        for page in hearers:
            await expect(messages(page)).to_have_text(["Before it"])
            await page.evaluate(WATCH)

    await nodes.upgrade()
    for speaker, hearers in talks:
        for page in hearers:
            await is_online(page)
        await say(speaker, "After it")
        for page in hearers:
            await expect(messages(page)).to_have_text(["Before it", "After it"])
            await expect(page.get_by_test_id("trouble")).to_be_empty()
            await was_soon_back(page)
    # One at first, and one more for each node that went.
    assert {sockets[page] for page in (host, ben, ann, cyd)} <= {2, 3}
    # Who polls is told that his node is another one now, and begins anew.
    devices.complaints[:] = [line for line in devices.complaints if not line.startswith(f"{REFUSED} 400")]
