"""A real Chromium, and the demo served by a real daemon."""

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from messenger.demo_data import seed
from messenger.domain.ids import UserId
from messenger.domain.message import Draft
from tests.support.database import Database
from tests.support.node import Cluster, Node
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


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Any]:
    """Skipped where there is no Chromium; a failure where one is required."""
    if CHROMIUM is None:
        if os.environ.get("MESSENGER_TEST_REQUIRE_BROWSER"):
            pytest.fail("no Chromium is installed, and the browser tests are required")
        pytest.skip("no Chromium is installed")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


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
