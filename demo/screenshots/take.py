"""Takes README's pictures of the demo, as people see it who talk meanwhile. In one terminal, so that nothing is in it but this:

    MESSENGER_DATA_DIR=$(mktemp -d) messenger demo

and in another one, with Playwright installed (`pip install -e '.[test]'`) and Chromium:

    python demo/screenshots/take.py [http://127.0.0.1:8000]
"""

import asyncio
import shutil
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

HERE = Path(__file__).parent
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--font-render-hinting=none"]
ALICE, BOB, CHIARA, DAE = 1, 2, 3, 4
WIDE = {"viewport": {"width": 1280, "height": 720}, "device_scale_factor": 1.4}
PANELS = {"viewport": {"width": 1320, "height": 740}, "device_scale_factor": 1.1}
PHONE = {"viewport": {"width": 390, "height": 760}, "device_scale_factor": 1.6, "is_mobile": True, "has_touch": True}


class People:
    """Windows of people, each in a browser of its own."""

    def __init__(self, browser: Browser, stack: AsyncExitStack, address: str) -> None:
        self._browser = browser
        self._stack = stack
        self._address = address

    async def open(self, user_id: int, title: str, **options: Any) -> Page:
        page = await self.visit(f"{self._address}/?user={user_id}", **options)
        await show(page, title)
        return page

    async def visit(self, address: str, **options: Any) -> Page:
        context = await self._browser.new_context(**options)
        self._stack.push_async_callback(context.close)
        page = await context.new_page()
        await page.goto(address)
        return page

    async def host(self, user_id: int, title: str, **options: Any) -> Page:
        """Somebody's live session."""
        page = await self.visit(f"{self._address}/demo/session.html", **options)
        await page.get_by_test_id("host").select_option(str(user_id))
        await page.get_by_test_id("session-title").fill(title)
        await page.get_by_test_id("do-open").click()
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
        return page

    async def guest(self, host: Page, nickname: str, **options: Any) -> Page:
        """Who was sent the link of one."""
        page = await self.visit(str(await host.get_by_test_id("link").get_attribute("href")), **options)
        await page.get_by_test_id("nickname").fill(nickname)
        await page.get_by_test_id("do-join").click()
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
        return page


async def show(page: Page, title: str) -> None:
    """Open a conversation that is in the list."""
    named = page.get_by_text(title, exact=True)
    await page.get_by_test_id("conversation").filter(has=named).click()
    await expect(page.get_by_test_id("conversation-title")).to_have_text(title)
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")


async def say(page: Page, *lines: str) -> None:
    """Write them, and wait until the server has them."""
    for line in lines:
        await page.get_by_test_id("composer").fill(line)
        await page.keyboard.press("Enter")
    await expect(page.locator('[data-state="pending"]')).to_have_count(0)


async def seen(page: Page, text: str) -> None:
    await expect(page.get_by_test_id("message").filter(has_text=text).last).to_be_in_viewport()


async def make(page: Page, title: str, *user_ids: int) -> None:
    """A new group, which is open then."""
    await page.get_by_test_id("new-conversation").click()
    await page.get_by_test_id("new-group").click()
    await page.get_by_test_id("new-title").fill(title)
    for user_id in user_ids:
        await page.locator(f'#dialog [data-testid="person"][data-user-id="{user_id}"]').click()
    await page.get_by_test_id("create").click()
    await expect(page.get_by_test_id("conversation-title")).to_have_text(title)


async def while_typing(writer: Page, text: str, reader: Page, path: Path) -> None:
    """Take a picture of the reader's window in which the writer types."""
    # Slowly: typing is told when it begins, and again while it goes on.
    typing = asyncio.create_task(writer.get_by_test_id("composer").press_sequentially(text * 3, delay=120))
    await expect(reader.get_by_test_id("typing")).to_be_visible()
    await take(reader, path)
    await typing
    await writer.get_by_test_id("composer").fill("")


async def take(page: Page, path: Path) -> None:
    # Whatever moves to its place has arrived there, and nothing is pointed at.
    await page.mouse.move(0, 0)
    await page.evaluate(
        """() => Promise.allSettled(document.getAnimations()
             .filter(({ effect }) => effect.getComputedTiming().endTime < Infinity).map(({ finished }) => finished))"""
    )
    picture = await page.screenshot(path=path)
    print(f"{path}  {len(picture) // 1000} kB")


async def pictures(browser: Browser, stack: AsyncExitStack, address: str) -> None:
    people = People(browser, stack, address)
    alice = await people.open(ALICE, "Weekend hike", locale="en-GB", **WIDE)
    bob, dae = await people.open(BOB, "Weekend hike"), await people.open(DAE, "Weekend hike")
    await say(bob, "Eight is fine. I bring the stove and the big pot.")
    await say(alice, "Then I bring bread, cheese and the headlamps.")
    await say(dae, "Room for four in my car, and for wet boots.", "I am at the station at ten to eight.")
    await show(bob, "Alice")
    await say(bob, "One more thing: is your sleeping bag the warm one?")
    await seen(alice, "ten to eight")
    await while_typing(dae, "And I know a place for breakfast", alice, HERE.parent / "screenshot.png")

    phone = await people.open(CHIARA, "Weekend hike", locale="en-GB", **PHONE)
    await show(bob, "Weekend hike")
    await say(phone, "The map is printed. See you at eight!")
    await while_typing(bob, "Could somebody bring a spare map", phone, HERE / "phone.png")

    korean = await people.open(ALICE, "Weekend hike", locale="ko-KR", **PANELS)
    await make(dae, "주말 등산 준비", ALICE, CHIARA)
    await say(dae, "토요일 8시에 역에서 만나요.", "차에 네 명까지 탈 수 있어요.")
    await show(korean, "주말 등산 준비")
    await say(korean, "좋아요! 저는 빵과 치즈를 가져갈게요.")
    chiara = await people.open(CHIARA, "주말 등산 준비")
    await say(chiara, "지도는 제가 인쇄했어요.")
    await say(dae, "그럼 호수까지 두 시간이면 충분해요.")
    await korean.get_by_test_id("participants").click()
    await seen(korean, "두 시간이면")
    await while_typing(dae, "비가 오면 어떻게 할까요 ", korean, HERE / "korean.png")

    dark = await people.open(ALICE, "Bob", locale="en-GB", color_scheme="dark", **PANELS)
    await show(bob, "Alice")
    await dark.get_by_test_id("frames-toggle").click()
    await dark.get_by_test_id("network-cut").click()
    await expect(dark.get_by_test_id("connection-banner")).to_be_visible()
    for line in ("It is, you can have it.", "I am in a tunnel, this goes out later."):
        await dark.get_by_test_id("composer").fill(line)
        await dark.keyboard.press("Enter")
    await say(bob, "No hurry.", "Dae-jung has a spare one, too.", "See you at the station!")
    await dark.get_by_test_id("network-cut").click()
    await expect(
        dark.get_by_test_id("resume-summary").get_by_text("2 waiting messages sent", exact=True)
    ).to_be_visible()
    await seen(dark, "this goes out later")
    await expect(dark.locator('[data-state="read"]').last).to_contain_text("this goes out later")
    await take(dark, HERE / "resume.png")


async def session(browser: Browser, stack: AsyncExitStack, address: str) -> None:
    people = People(browser, stack, address)
    host = await people.host(CHIARA, "Biology: bees", locale="en-GB", **PANELS)
    zoe, minjun = await people.guest(host, "Zoë"), await people.guest(host, "민준")
    for page, text in ((zoe, "Do bees sleep?"), (minjun, "How do they find back to the hive?")):
        await page.get_by_test_id("composer").fill(text)
        await page.get_by_test_id("ask").click()
    for page, text in ((host, "Welcome, everybody! Ask whatever you like."), (zoe, "Hello from the third row!")):
        await page.get_by_test_id("composer").fill(text)
        await page.keyboard.press("Enter")
    for _ in range(2):
        await host.get_by_test_id("slide-next").click()
    await host.get_by_test_id("mark").first.click()
    await expect(zoe.get_by_text("Welcome, everybody!")).to_be_visible()
    await expect(host.get_by_text("third row")).to_be_visible()
    typing = asyncio.create_task(minjun.get_by_test_id("composer").press_sequentially("By the sun " * 3, delay=120))
    await expect(host.get_by_test_id("typing")).to_be_visible()
    await take(host, HERE / "session.png")
    await typing


async def main(address: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    async with async_playwright() as playwright, AsyncExitStack() as stack:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for step in (pictures, session):
            await step(browser, stack, address.rstrip("/"))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
