"""The page at /docs in a real browser: everything is on it, found, read by light and dark, wide and narrow, and nothing is
loaded from elsewhere."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from messenger.protocol.events import EVENTS
from messenger.transport.commands import COMMANDS
from messenger.transport.contract import CONTRACT, Contract, Document, routes_of
from tests.support.node import Cluster, Node

# The socket's address and its close codes, and the codes of errors.
TABLES = 3
FROM_HOST = 1


class Reader:
    """Somebody who reads the page; what it asks for and complains of is kept."""

    def __init__(self, node: Node, browser: Any, stack: AsyncExitStack) -> None:
        self.node = node
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self._browser = browser
        self._stack = stack

    async def open(self, at: str = "/docs", **options: Any) -> Any:
        """The page, once it shows the documents."""
        page = await self._stack.enter_async_context(self._page(**options))
        await page.goto(at if "://" in at else self.node.origin + at)
        await page.locator("main[data-ready]").wait_for()
        return page

    @asynccontextmanager
    async def _page(self, **options: Any) -> AsyncIterator[Any]:
        context = await self._browser.new_context(**options)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self.complaints.append(line.text))
        yield page
        await context.close()


@pytest.fixture
async def reader(cluster: Cluster, browser: Any) -> AsyncIterator[Reader]:
    """Of a daemon that serves no demo."""
    async with AsyncExitStack() as stack:
        reader = Reader(await cluster.node(), browser, stack)
        yield reader
        assert reader.complaints == []


def entry(page: Any, id_: str) -> Any:
    return page.locator(f'[data-testid="entry"][id="{id_}"]')


async def test_every_operation_and_every_frame_is_shown(reader: Reader) -> None:
    page = await reader.open()
    count = len(routes_of(reader.node.server.app)) + len(COMMANDS) + len(EVENTS) + FROM_HOST + TABLES
    await expect(page.get_by_test_id("entry")).to_have_count(count)
    await expect(page.get_by_test_id("line")).to_have_count(count)
    ids = await page.locator("[id]").evaluate_all("found => found.map(one => one.id)")
    assert len(ids) == len(set(ids))
    send = entry(page, "messages.send")
    for text in ("/api/v1/messenger/conversations/{conversation_id}/messages", "Idempotency-Key", "client_id_conflict"):
        await expect(send).to_contain_text(text)
    await expect(entry(page, "say.message.send")).to_contain_text("message.sent or error")
    await expect(entry(page, "closing")).to_contain_text("too_many_connections")
    assert "undefined" not in await page.locator("body").inner_text()


async def test_nothing_is_loaded_from_elsewhere(reader: Reader) -> None:
    await reader.open()
    assert {urlsplit(url).path for url in reader.asked} >= {"/docs", "/docs/docs.js", "/openapi.json", "/asyncapi.json"}
    assert {f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" for url in reader.asked} == {reader.node.origin}


async def test_it_is_read_below_a_proxys_prefix(reader: Reader) -> None:
    async def forward(request: web.Request) -> web.Response:
        url = f"{reader.node.origin}/{request.match_info['path']}"
        async with session.get(url) as response:
            kept = {name: response.headers[name] for name in ("Content-Type", "Content-Security-Policy")}
            return web.Response(status=response.status, body=await response.read(), headers=kept)

    proxy = web.Application()
    proxy.add_routes([web.get("/inner/chat/{path:.*}", forward)])
    async with aiohttp.ClientSession() as session, TestServer(proxy) as server:
        page = await reader.open(str(server.make_url("/inner/chat/docs")))
        await expect(entry(page, "users.me")).to_be_visible()
    assert all(urlsplit(url).path.startswith("/inner/chat/") for url in reader.asked)


async def test_what_is_sought_is_found_and_the_rest_is_hidden(reader: Reader) -> None:
    page = await reader.open()
    await page.keyboard.press("/")
    await page.keyboard.type("Idempotency-key")
    await expect(page.get_by_test_id("entry").filter(visible=True)).to_have_count(1)
    await expect(entry(page, "messages.send")).to_be_visible()
    await expect(page.get_by_test_id("line").filter(visible=True)).to_have_count(1)
    await page.get_by_test_id("search").fill("no such thing")
    await expect(page.get_by_test_id("nothing")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("nothing")).to_be_hidden()
    await expect(entry(page, "users.me")).to_be_visible()


async def test_an_entry_has_an_address_of_its_own(reader: Reader) -> None:
    page = await reader.open("/docs#say.message.send")
    await expect(entry(page, "say.message.send")).to_be_in_viewport()
    await entry(page, "say.message.send").get_by_role("link", name="message.sent").click()
    await expect(entry(page, "hear.message.sent")).to_be_in_viewport()
    assert page.url.endswith("#hear.message.sent")


async def test_what_is_nested_and_what_goes_wrong_opens(reader: Reader) -> None:
    page = await reader.open()
    sent = entry(page, "hear.message.new")
    await expect(sent.get_by_text("edited_at", exact=True)).to_have_count(0)
    await sent.locator("summary", has_text="Message").click()
    await expect(sent.get_by_text("edited_at", exact=True)).to_be_visible()
    failed = entry(page, "messages.send").locator("details", has_text="rate_limited")
    await failed.locator("summary").first.click()
    await expect(failed).to_contain_text("Retry-After")
    await expect(failed).to_contain_text('"retry_after_s": 0.1')


async def test_on_a_narrow_screen_nothing_is_cut_off(reader: Reader) -> None:
    page = await reader.open(viewport={"width": 360, "height": 740})
    wide = (
        "[...document.querySelectorAll('article')].filter(one => one.getBoundingClientRect().right > innerWidth).length"
    )
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.evaluate(wide) == 0
    assert await page.evaluate("document.querySelector('article').getBoundingClientRect().width") > 320
    await expect(page.get_by_test_id("line").first).to_be_hidden()
    await page.get_by_role("button", name="Contents").click()
    await page.get_by_test_id("line").filter(has_text="Catch up").click()
    await expect(page.get_by_test_id("line").first).to_be_hidden()
    await expect(entry(page, "sync.sync")).to_be_in_viewport()


async def test_it_follows_light_and_dark(reader: Reader) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page = await reader.open(color_scheme=scheme)
        colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")  # rgb(245, 245, 242)
        grounds.append(sum(map(int, colour[4:-1].split(","))))
    assert grounds[0] > 600
    assert grounds[1] < 150


async def test_what_a_document_quotes_is_never_taken_for_markup(reader: Reader) -> None:
    attack = "<img src=x onerror=document.title='owned'>"
    app = reader.node.server.app
    documents = app[CONTRACT]
    spoilt = json.loads(documents.openapi.body)
    spoilt["info"]["description"] = attack
    for path in spoilt["paths"].values():
        for operation in path.values():
            operation |= {"summary": attack, "description": attack}
    app._state[CONTRACT] = Contract(Document.of(json.dumps(spoilt).encode(), "application/json"), documents.asyncapi)
    page = await reader.open()
    await expect(page.get_by_text(attack).first).to_be_visible()
    assert await page.title() != "owned"
    assert await page.locator("img").count() == 1  # the icon
