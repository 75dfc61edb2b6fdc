"""A real Chromium, and the demo served by a real daemon. Of a test that failed the pages are kept as pictures."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from messenger.demo_data import seed
from messenger.domain.ids import UserId
from messenger.domain.message import Draft
from tests.e2e.devices import PATIENCE_MS, Devices
from tests.e2e.witness import Witness
from tests.support.database import Database
from tests.support.node import FREE, Cluster, Node
from tests.support.people import Phone

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "demo" / "react" / "example" / "dist"
# A folder for each test that failed; no part of the repository.
FAILURES = HERE / "failures"
WITNESS = pytest.StashKey[tuple[Witness, asyncio.AbstractEventLoop]]()


def miss(what: str) -> None:
    """Skip, because something is not installed or not built; a failure where the browser's tests are required."""
    if os.environ.get("MESSENGER_TEST_REQUIRE_BROWSER"):
        pytest.fail(f"{what}, and the browser tests are required")
    pytest.skip(what)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test has failed: keep what its pages look like, and say where."""
    report = yield
    if WITNESS not in item.config.stash:
        return report
    witness, loop = item.config.stash[WITNESS]
    if report.failed:
        folder = FAILURES / re.sub(r"[^A-Za-z0-9_]+", "-", f"{item.path.stem}-{item.name}").strip("-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        saved = loop.run_until_complete(witness.save(folder))
        report.sections.append((f"pages at {report.when}", "\n".join(map(str, saved)) or "none was open"))
    if call.when == "teardown":
        witness.forget()
    return report


@pytest.fixture(scope="session")
async def browser(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Every page of it is witnessed."""
    if CHROMIUM is None:
        miss("no Chromium is installed")
    from playwright.async_api import async_playwright, expect

    # Nothing hangs on how long something takes; a machine may be busy.
    expect.set_options(timeout=PATIENCE_MS)
    witness = Witness()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        make = browser.new_context

        async def new_context(**options: Any) -> Any:
            context = await make(**options)
            witness.watch(context)
            return context

        browser.new_context = new_context  # type: ignore[method-assign]
        request.config.stash[WITNESS] = witness, asyncio.get_running_loop()
        yield browser
        del request.config.stash[WITNESS]
        await browser.close()


@pytest.fixture(scope="session")
async def example() -> AsyncIterator[str]:
    """Where the React example is served as its build lies there: an origin of its own, which knows nothing of the daemon. Empty
    where it is not built; a failure where the browser's tests are required."""
    if not (EXAMPLE / "index.html").is_file():
        if os.environ.get("MESSENGER_TEST_REQUIRE_BROWSER"):
            pytest.fail("the React example is not built (npm run build in demo/), and the browser tests are required")
        yield ""
        return

    async def index(_: web.Request) -> web.FileResponse:
        return web.FileResponse(EXAMPLE / "index.html")

    site = web.Application()
    site.router.add_get("/", index)
    site.router.add_static("/", EXAMPLE)
    async with TestServer(site) as server:
        yield str(server.make_url("")).rstrip("/")


class Stage:
    """The demo, and windows in which people look at it."""

    def __init__(self, node: Node, browser: Any, stack: AsyncExitStack) -> None:
        self.node = node
        self.browser = browser
        self.stack = stack
        self.complaints: list[str] = []

    async def window(self, user_id: int, **options: Any) -> Any:
        """One person's window, with his conversations listed."""
        page = await self.page(**options)
        await page.goto(f"{self.node.origin}/?user={user_id}")
        await page.get_by_test_id("conversation").first.wait_for()
        return page

    async def page(self, **options: Any) -> Any:
        """A page that is nowhere yet. What it complains of is kept."""
        return await self.stack.enter_async_context(self._page(**options))

    async def fill(self, sender: int, reader: int, lines: Sequence[str]) -> None:
        """Say a lot in a direct talk, as the daemon's own use case does."""
        here = self.node.context
        talk, _ = await here.conversations.create(UserId(sender), "direct", None, {}, "all", [UserId(reader)])
        for line in lines:
            await here.messages.send(UserId(sender), Draft(talk.id, line))

    async def phone(self, user_id: int) -> Phone:
        """A device of somebody that is no browser."""
        socket = await self.stack.enter_async_context(
            self.node.session.ws_connect(f"{self.node.origin}/ws/{user_id}", max_msg_size=0)
        )
        phone = Phone(socket, user_id)
        phone.hello = await phone.hear("system")
        return phone

    @asynccontextmanager
    async def _page(self, **options: Any) -> AsyncIterator[Any]:
        context = await self.browser.new_context(**options)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        yield page
        await context.close()


@pytest.fixture
async def stage(cluster: Cluster, database: Database, browser: Any) -> AsyncIterator[Stage]:
    await seed(database.app_url)
    async with AsyncExitStack() as stack:
        node = await cluster.node(auth="off", demo=True)
        stage = Stage(node, browser, stack)
        yield stage
        assert stage.complaints == []


@pytest.fixture
async def devices(cluster: Cluster, database: Database, browser: Any, example: str) -> AsyncIterator[Devices]:
    """Around a node without authentication, with the demo's people in it."""
    await seed(database.app_url)
    node = await cluster.node(auth="off", demo=True, allowed_origins=tuple(filter(None, [example])), **FREE)
    async with AsyncExitStack() as stack:
        devices = Devices(stack, browser, example, node)
        yield devices
        assert devices.complaints == []
