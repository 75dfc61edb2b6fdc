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
        self._browser = browser
        self._stack = stack
        self.complaints: list[str] = []

    async def window(self, user_id: int, **options: Any) -> Any:
        """One person's window, with his conversations listed. What the page complains of is kept."""
        page = await self._stack.enter_async_context(self._page(**options))
        await page.goto(f"{self.node.origin}/?user={user_id}")
        await page.get_by_test_id("conversation").first.wait_for()
        return page

    async def fill(self, sender: int, reader: int, lines: Sequence[str]) -> None:
        """Say a lot in a direct talk, as the daemon's own use case does."""
        here = self.node.context
        talk, _ = await here.conversations.create(UserId(sender), "direct", None, {}, "all", [UserId(reader)])
        for line in lines:
            await here.messages.send(UserId(sender), Draft(talk.id, line))

    @asynccontextmanager
    async def _page(self, **options: Any) -> AsyncIterator[Any]:
        context = await self._browser.new_context(**options)
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
