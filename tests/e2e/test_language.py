"""The demo speaks the browser's language, or the one that is chosen, everywhere: nothing of another one is left."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from playwright.async_api import expect

from tests.e2e.devices import ALICE, BOB, CHIARA, DAE, Device, Devices

# What people are called, how a language calls itself, and what has no other name. The names of conversations come to it.
DATA = {"Alice", "Bob", "Chiara", "Dae-jung", "English", "ID", "Socket", "IO"}
# All that can be read or is read aloud; frames and facts of the connection are the wire's own words, messages are people's.
WORDS = """() => {
  const found = [];
  const alien = ".frames-list, .facts dd, [data-testid=message-content], .preview, .dialog-quote, .cursors, .initials";
  const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (element.closest(alien) || element.closest("script, style, noscript, [lang=en]:not(html)")) continue;
    if (node.nodeType === Node.TEXT_NODE) {
      if (element.closest("title") || element.checkVisibility({ visibilityProperty: true })) found.push(node.data);
    } else if (!node.closest(alien) && node.checkVisibility({ visibilityProperty: true }))
      for (const name of ["aria-label", "title", "placeholder", "alt"])
        if (node.hasAttribute(name) && !node.matches("[data-testid=message]")) found.push(node.getAttribute(name));
  }
  return found;
}"""


async def latin(device: Device) -> set[str]:
    """Words of Latin letters on the page that are no data."""
    texts: list[str] = await device.page.evaluate(WORDS)
    assert re.search(r"[가-힣]", " ".join(texts))
    names = await device.page.locator(".conversation-name").all_text_contents()
    return words_of(texts) - words_of(names) - DATA


def words_of(texts: Sequence[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"[A-Za-z][A-Za-z-]+", text)}


async def test_a_korean_browser_is_spoken_to_in_korean_and_nothing_else(devices: Devices) -> None:
    tea = await devices.group(ALICE, BOB, CHIARA)
    alice = await devices.blank(locale="ko-KR")
    page = alice.page
    await page.goto(devices.address(alice))
    await page.get_by_test_id("user-pick").first.wait_for()
    assert await page.evaluate("document.documentElement.lang") == "ko"
    assert await latin(alice) == set()

    await page.goto(devices.address(alice, user=ALICE))
    await alice.listed("Tea").wait_for()
    assert await latin(alice) == set()
    bob = await devices.phone(BOB)
    await alice.open("Tea")
    # Every entry of the system.
    await devices.call(ALICE, "POST", f"/conversations/{tea}/participants", {"user_ids": [DAE]})
    await devices.call(ALICE, "PATCH", f"/conversations/{tea}/participants/{DAE}", {"role": "observer"})
    await devices.call(ALICE, "PATCH", f"/conversations/{tea}", {"title": "차"})
    await devices.call(ALICE, "PATCH", f"/conversations/{tea}", {"title": None})
    await devices.call(ALICE, "PATCH", f"/conversations/{tea}", {"title": "Tea"})
    await devices.call(ALICE, "DELETE", f"/conversations/{tea}/participants/{DAE}")
    await devices.call(CHIARA, "DELETE", f"/conversations/{tea}/participants/me")
    entries = page.locator('[data-testid="message"][data-type="system"] [data-testid="message-content"]')
    await expect(entries).to_have_text(
        [
            "Alice님이 Dae-jung님을 초대했어요",
            "Dae-jung님의 역할이 ‘읽기 전용’으로 바뀌었어요",
            "Alice님이 제목을 ‘차’로 바꿨어요",
            "Alice님이 제목을 지웠어요",
            "Alice님이 제목을 ‘Tea’(으)로 바꿨어요",
            "Alice님이 Dae-jung님을 내보냈어요",
            "Chiara님이 나갔어요",
        ]
    )
    await expect(page.get_by_test_id("pane").get_by_text("오늘", exact=True)).to_be_visible()
    await alice.say("안녕")
    await alice.ticks("안녕", "none")
    sent = await bob.ask("message.send", conversation_id=tea, content="반가워")
    await bob.ask("reaction.add", message_id=sent["message_id"], emoji="👍")
    await bob.say("typing.start", conversation_id=tea)
    await expect(alice.typing).to_contain_text("Bob님이 입력하고 있어요")
    # What can be done with a message, and with whom it was read.
    await alice.row("안녕").hover()
    assert await latin(alice) == set()
    await page.get_by_test_id("message-readers").click()
    await expect(page.get_by_test_id("reader")).to_have_count(1)
    assert await latin(alice) == set()
    await page.keyboard.press("Escape")
    await alice.row("안녕").hover()
    await page.get_by_test_id("message-delete").click()
    assert await latin(alice) == set()
    await page.locator("#dialog").get_by_test_id("confirm").click()
    await expect(page.locator('[data-deleted="true"]')).to_have_count(1)
    # The panels and the other dialogs.
    await page.get_by_test_id("participants").click()
    await page.get_by_test_id("participant-more").first.click()
    assert await latin(alice) == set()
    await page.get_by_test_id("mute-night").click()
    await expect(page.get_by_test_id("muted")).to_contain_text("까지 알림을 꺼 뒀어요")
    assert await latin(alice) == set()
    for hook in ("add-people", "rename", "leave", "delete-conversation", "remove"):
        await page.get_by_test_id(hook).click()
        await expect(page.locator("#dialog")).to_be_visible()
        assert await latin(alice) == set(), hook
        await page.keyboard.press("Escape")
    for hook in ("new-group", "new-announcement"):
        await page.get_by_test_id("new-conversation").click()
        assert await latin(alice) == set()
        await page.get_by_test_id(hook).click()
        assert await latin(alice) == set(), hook
        await page.keyboard.press("Escape")
    await page.get_by_test_id("about-panel").get_by_test_id("cancel").click()
    # Cut off, and back.
    await page.get_by_test_id("frames-toggle").click()
    await page.get_by_test_id("connection-facts").locator("summary").click()
    await page.get_by_test_id("network-cut").click()
    await expect(page.get_by_test_id("connection-banner")).to_be_visible()
    await alice.say("어둠 속에서")
    assert await latin(alice) == set()
    await page.get_by_test_id("network-cut").click()
    await expect(page.get_by_test_id("resume-summary")).to_contain_text("기다리던 메시지 1개를 보냈어요")
    assert await latin(alice) == set()
    # A refusal, in the reader's words.
    await devices.call(ALICE, "DELETE", f"/conversations/{tea}")
    await expect(page.get_by_test_id("toast")).to_be_visible()
    assert await latin(alice) == set()


async def language_of(page: Any) -> str:
    lang: str = await page.evaluate("document.documentElement.lang")
    assert (await page.get_by_test_id("new-conversation").get_attribute("title")) == {
        "en": "New conversation",
        "ko": "새 대화",
    }[lang]
    return lang


async def test_the_language_is_chosen_and_remembered(devices: Devices) -> None:
    async def choose(locale: str, first: str, other: str) -> None:
        device = await devices.of(ALICE, locale=locale)
        page = device.page
        assert await language_of(page) == first
        await device.open("Bob")
        await device.composer.fill("a draft")
        async with page.expect_navigation():
            await page.get_by_test_id("language").select_option(other)
        await device.is_online()
        # What was begun is still there.
        await expect(device.composer).to_have_value("a draft")
        assert await language_of(page) == other
        await page.reload()
        await device.is_online()
        assert await language_of(page) == other

    await asyncio.gather(choose("ko-KR", "ko", "en"), choose("en-GB", "en", "ko"), choose("fr-FR", "en", "ko"))
