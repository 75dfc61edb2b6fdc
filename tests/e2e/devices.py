"""Devices of people: windows of real browsers on a road to a daemon, with the HTML demo or the React example in them. What is
asked of both goes by the hooks that both have."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import asyncpg
from playwright.async_api import Page, expect

from tests.support.people import API, Phone
from tests.support.reachable import Reachable
from tests.support.road import Road, road_to

ALICE, BOB, CHIARA, DAE = 1, 2, 3, 4
HTML, REACT = "html", "react"
PATIENCE_MS = 20_000
# What a browser says of a network that is not there.
OF_THE_NETWORK = re.compile(r"WebSocket connection to|net::ERR_|WebSocket is closed")

# A browser without a screen hides no page: the page is told so instead. Before that it shows.
HIDING = """{
  let isHidden = false;
  const tell = (name, get) => Object.defineProperty(Document.prototype, name, { configurable: true, get });
  tell("hidden", () => isHidden);
  tell("visibilityState", () => (isHidden ? "hidden" : "visible"));
  window.hide = (hidden) => {
    isHidden = hidden;
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  };
}"""


@asynccontextmanager
async def held_still(page: Page) -> AsyncIterator[None]:
    """For so long nothing runs in the page. Held by the debugger: a tab that Playwright looks at counts as visible, and Chromium
    freezes none that is."""
    devtools = await page.context.new_cdp_session(page)
    paused = asyncio.Event()
    devtools.on("Debugger.paused", lambda _: paused.set())
    await devtools.send("Debugger.enable")
    await devtools.send("Debugger.pause")
    step = asyncio.create_task(devtools.send("Runtime.evaluate", {"expression": "0"}))
    await paused.wait()
    yield
    await devtools.send("Debugger.resume")
    await step
    await devtools.detach()


class Device:
    """One window of somebody; `page` is its page, for whatever is asked of one face only."""

    def __init__(self, page: Page, road: Road, face: str) -> None:
        self.page = page
        self.road = road
        self.face = face
        self.messages = page.locator('[data-testid="message"]:not([data-type="system"])')
        self.contents = self.messages.get_by_test_id("message-content")
        self.composer = page.get_by_test_id("composer")
        self.typing = page.get_by_test_id("typing")
        self.connection = page.get_by_test_id("connection")

    def listed(self, title: str) -> Any:
        """A conversation's button in the list."""
        return self.page.get_by_test_id("conversation").filter(has=self.page.get_by_text(title, exact=True))

    def row(self, text: str) -> Any:
        """A message, by the whole of its text."""
        return self.messages.filter(has=self.page.get_by_text(text, exact=True))

    async def is_online(self) -> None:
        await expect(self.connection).to_have_attribute("data-status", "online")

    async def open(self, title: str) -> None:
        await self.listed(title).click()
        await expect(self.page.get_by_test_id("conversation-title")).to_have_text(title)
        await self.is_online()

    async def say(self, *lines: str) -> None:
        for line in lines:
            await self.composer.fill(line)
            await self.composer.press("Enter")

    async def may_write(self, may: bool = True) -> None:
        if self.face == HTML:
            await expect(self.composer).to_be_visible(visible=may)
        else:
            await expect(self.composer).to_be_enabled(enabled=may)

    async def has_unread(self, title: str, count: int) -> None:
        badge = self.listed(title).get_by_test_id("unread")
        if count == 0:
            await expect(badge).to_have_count(0)
        else:
            await expect(badge).to_have_text(re.compile(rf"^{count}\D"))

    async def ticks(self, text: str, read_by: str) -> None:
        """Its own message is stored, and was read by `none`, `some` or `all` of the others."""
        state = "read" if self.face == HTML and read_by != "none" else "sent"
        hook = "data-read-by" if self.face == HTML else "data-read"
        await expect(self.row(text)).to_have_attribute("data-state", state)
        await expect(self.row(text)).to_have_attribute(hook, read_by)

    async def hide(self, hidden: bool = True) -> None:
        """Another window is before it, or no longer."""
        await self.page.evaluate("hidden => hide(hidden)", hidden)

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """For so long nothing runs in the tab, and it is told when that ends, as a browser tells it."""
        async with held_still(self.page):
            yield
        await self.page.evaluate("document.dispatchEvent(new Event('resume'))")

    async def is_pending(self, *lines: str) -> None:
        for line in lines:
            await expect(self.row(line)).to_have_attribute("data-state", "pending")

    async def all_sent(self) -> None:
        await expect(self.page.locator('[data-state="pending"], [data-state="failed"]')).to_have_count(0)

    async def shows(self, lines: Sequence[str]) -> None:
        """Exactly these messages, in this order."""
        await self.all_sent()
        await expect(self.contents).to_have_text(list(lines))


class Devices:
    """People and their devices around one daemon, which may be replaced by another on the same database.

    `complaints` is what pages said on their consoles; of a network that is not there they may complain. `example` is the origin
    of the React example; where that is not built every device shows the HTML demo.
    """

    def __init__(self, stack: AsyncExitStack, browser: Any, example: str, node: Reachable) -> None:
        self.node = node
        self.example = example
        self.complaints: list[str] = []
        self._stack = stack
        self._browser = browser
        self._roads: list[Road] = []

    async def road(self) -> Road:
        """One more road to the daemon."""
        road = await self._stack.enter_async_context(road_to(self.node.origin))
        self._roads.append(road)
        return road

    async def of(self, user_id: int, road: Road | None = None, face: str = HTML, **options: Any) -> Device:
        """A device of somebody's, online and with his conversations listed: a browser of its own."""
        device = await self.blank(road, face, **options)
        await device.page.goto(self.address(device, user=user_id))
        await device.page.get_by_test_id("conversation").first.wait_for()
        return device

    async def blank(self, road: Road | None = None, face: str = HTML, context: Any = None, **options: Any) -> Device:
        """A device whose page is nowhere yet."""
        context = context or await self.context(**options)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self._complained(line.text) if line.type == "error" else None)
        return Device(page, road or await self.road(), face if self.example else HTML)

    async def context(self, **options: Any) -> Any:
        context = await self._browser.new_context(**options)
        await context.add_init_script(HIDING)
        self._stack.push_async_callback(context.close)
        return context

    def address(self, device: Device, **query: Any) -> str:
        """Where its page is, which speaks to the daemon over its road. The React example lives elsewhere."""
        if device.face == HTML:
            return f"{device.road.origin}/?{urlencode(query)}"
        return f"{self.example}/?{urlencode({**query, 'server': f'{device.road.origin}/'})}"

    async def phone(self, user_id: int) -> Phone:
        """A device that is no browser; of a daemon without authentication."""
        socket = await self._stack.enter_async_context(
            self.node.session.ws_connect(f"{self.node.origin}/ws/{user_id}", max_msg_size=0)
        )
        phone = Phone(socket, user_id)
        phone.hello = await phone.hear("system")
        return phone

    async def call(self, user_id: int, method: str, path: str, body: Any = None) -> Any:
        """Somebody's REST call; of a daemon without authentication."""
        headers = {"X-User-Id": str(user_id)}
        url = f"{self.node.origin}{API}{path}"
        async with self.node.session.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.ok, text
            return json.loads(text) if text else None

    async def group(self, maker: int, *others: int, title: str = "Tea") -> str:
        """Make a group; its id."""
        made = await self.call(
            maker, "POST", "/conversations", {"type": "group", "title": title, "participant_ids": others}
        )
        return str(made["id"])

    def lead_to(self, node: Reachable) -> None:
        """Another daemon is there in place of the former one."""
        self.node = node
        for road in self._roads:
            road.lead_to(node.origin)

    def _complained(self, text: str) -> None:
        if not OF_THE_NETWORK.search(text):
            self.complaints.append(text)


async def said(oracle: asyncpg.Connection, conversation_id: str) -> list[str]:
    """What the database holds of a conversation, in order."""
    rows = await oracle.fetch(
        "select content from messenger.messages where conversation_id = $1 and message_type <> 'system' order by seq",
        conversation_id,
    )
    return [row["content"] for row in rows]


async def stored(oracle: asyncpg.Connection, conversation_id: str, *lines: str) -> None:
    """Return once these are in the database, whatever anybody was told of it."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while not set(lines) <= set(await said(oracle, conversation_id)):
            await asyncio.sleep(0.01)


async def each(devices: Sequence[Device], do: Callable[[Device], Awaitable[Any]]) -> None:
    """At the same time."""
    await asyncio.gather(*map(do, devices))
