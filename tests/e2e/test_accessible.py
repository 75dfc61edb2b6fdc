"""Everybody can use it: no rule of axe-core is broken on any screen, by light and dark, wide and narrow, in either language and in
the React example; the keyboard goes everywhere in order; and what comes is told once."""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import miss
from tests.e2e.devices import ALICE, BOB, CHIARA, REACT, Device, Devices
from tests.e2e.test_attachments import EXECUTABLE, are_shown, choose, chosen, picture, put, send
from tests.support.database import Database
from tests.support.node import Cluster
from tests.support.people import Phone
from tests.support.road import Way

AXE = Path(__file__).parents[2] / "demo" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AT_REST = """() => Promise.allSettled(
  document.getAnimations().filter(({ effect }) => effect.getComputedTiming().endTime < Infinity).map(({ finished }) => finished),
)"""
RUN = """async (tags) => {
  const { violations } = await axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
  const where = ({ html, failureSummary }) => [html.slice(0, 200), failureSummary];
  return violations.map(({ id, help, nodes }) => [id, help, nodes.map(where)]);
}"""
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
# Each of the three in both ways, and each pair of ways together.
LOOKS = {
    "light, wide, English": {"color_scheme": "light", "viewport": WIDE, "locale": "en-US"},
    "light, phone, Korean": {"color_scheme": "light", "viewport": PHONE, "locale": "ko-KR"},
    "dark, wide, Korean": {"color_scheme": "dark", "viewport": WIDE, "locale": "ko-KR"},
    "dark, phone, English": {"color_scheme": "dark", "viewport": PHONE, "locale": "en-US"},
}


@pytest.fixture
def axe() -> str:
    if not AXE.is_file():
        miss("axe-core is not installed (npm ci in demo/)")
    return AXE.read_text()


class Inspection:
    """What axe-core finds on the screens of one page."""

    def __init__(self, device: Device, axe: str) -> None:
        self._page = device.page
        self._axe = axe
        self.found: dict[str, Any] = {}

    async def look(self, screen: str) -> None:
        # A colour that is still on its way to another one is none.
        await self._page.evaluate(AT_REST)
        if not await self._page.evaluate("'axe' in window"):
            await self._page.evaluate(self._axe)
        violations = await self._page.evaluate(RUN, TAGS)
        if violations:
            self.found[screen] = violations


async def talk(devices: Devices, phone: Phone) -> str:
    """A group in which there is one of everything."""
    tea = await devices.group(ALICE, BOB, CHIARA)
    photos = [await put(devices, BOB, f"{number}.png", picture()) for number in range(3)]
    await send(devices, BOB, tea, *photos[1:])
    await send(devices, BOB, tea, photos[0], await put(devices, BOB, "a.pdf", b"%PDF-1.7"), content="Where we were")
    first = await phone.ask("message.send", conversation_id=tea, content="Look at https://example.org/ if you like")
    await phone.ask("reaction.add", message_id=first["message_id"], emoji="👍")
    gone = await phone.ask("message.send", conversation_id=tea, content="Never mind")
    await phone.ask("message.delete", message_id=gone["message_id"])
    await devices.call(ALICE, "PATCH", f"/conversations/{tea}/participants/{CHIARA}", {"role": "observer"})
    answer = {"content": "I do", "reply_to": first["message_id"]}
    sent = await devices.call(ALICE, "POST", f"/conversations/{tea}/messages", answer)
    await devices.call(ALICE, "PATCH", f"/messages/{sent['id']}", {"content": "I do, very much"})
    await phone.ask("message.read", message_id=sent["id"])
    return tea


@pytest.mark.parametrize("look", LOOKS)
async def test_no_screen_of_the_demo_breaks_a_rule(devices: Devices, axe: str, look: str) -> None:
    bob = await devices.phone(BOB)
    tea = await talk(devices, bob)
    alice = await devices.blank(bypass_csp=True, reduced_motion="reduce", **LOOKS[look])
    page = alice.page
    is_phone = LOOKS[look]["viewport"] is PHONE
    screen = Inspection(alice, axe)

    await page.goto(devices.address(alice))
    await page.get_by_test_id("user-pick").first.wait_for()
    await screen.look("who are you")
    await page.goto(devices.address(alice, user=ALICE))
    await alice.listed("Tea").wait_for()
    await screen.look("the list, and nothing open")
    await page.get_by_test_id("new-conversation").click()
    await screen.look("new conversation")
    await page.get_by_test_id("new-group").click()
    await page.locator('#dialog [data-testid="person"]').first.click()
    await screen.look("new group")
    await page.keyboard.press("Escape")
    await page.get_by_test_id("filter").fill("nobody of that name")
    await screen.look("nothing found")
    await page.get_by_test_id("filter").fill("")

    await alice.open("Tea")
    await bob.say("typing.start", conversation_id=tea)
    await expect(alice.typing).to_be_visible()
    await page.locator('[data-own="true"][data-message-id]').last.hover()
    await expect(page.get_by_test_id("message-edit")).to_be_visible()
    await screen.look("a conversation")
    await page.get_by_test_id("message-react").click()
    await screen.look("choosing a reaction")
    await page.keyboard.press("Escape")
    await page.get_by_test_id("message-readers").click()
    await expect(page.get_by_test_id("reader")).to_have_count(2)
    await screen.look("who has read it")
    await page.keyboard.press("Escape")
    await page.get_by_test_id("message-edit").click()
    await screen.look("editing")
    await page.get_by_test_id("composer-cancel").click()
    await are_shown(alice, 3)
    await page.get_by_test_id("picture").last.click()
    await expect(page.get_by_test_id("viewer")).to_be_visible()
    await screen.look("a picture")
    await page.keyboard.press("Escape")
    await choose(alice, chosen("a.png", picture(), "image/png"), chosen("b.exe", EXECUTABLE), chosen("c.txt", b"c"))
    await expect(page.get_by_role("alert")).to_have_count(1)
    await screen.look("files to send")
    for _ in range(3):
        await page.get_by_test_id("tray-remove").first.click()
    devices.complaints[:] = [text for text in devices.complaints if "status of 415" not in text]
    await page.locator('[data-own="true"][data-message-id]').last.hover()
    await page.get_by_test_id("message-delete").click()
    await screen.look("deleting")
    await page.keyboard.press("Escape")
    await page.get_by_test_id("participants").click()
    await page.get_by_test_id("participant-more").first.click()
    await screen.look("about the conversation")
    await page.get_by_test_id("mute-hour").click()
    await expect(page.get_by_test_id("muted")).to_be_visible()
    await screen.look("muted")
    await page.get_by_test_id("rename").click()
    await screen.look("renaming")
    await page.keyboard.press("Escape")
    await page.get_by_test_id("about-panel").get_by_test_id("cancel").click()

    # Not sent, and refused.
    if is_phone:
        await page.get_by_test_id("back").click()
    await page.get_by_test_id("frames-toggle").click()
    await page.get_by_test_id("network-cut").click()
    await page.get_by_test_id("connection-facts").locator("summary").click()
    await page.get_by_test_id("frame").first.locator("summary").click()
    await screen.look("the developer's panel, cut off")
    await page.get_by_test_id("network-cut").click()
    await expect(page.get_by_test_id("resume-summary")).to_be_visible()
    await screen.look("the developer's panel, after a resume")
    await page.get_by_test_id("frames-close").click()
    await alice.open("Tea")
    alice.road.hold(Way.THERE, only="GET /ws/")
    await alice.say("Is this allowed?")
    await screen.look("sending")
    await devices.call(ALICE, "PATCH", f"/conversations/{tea}/participants/{BOB}", {"role": "admin"})
    await devices.call(BOB, "PATCH", f"/conversations/{tea}/participants/{ALICE}", {"role": "observer"})
    await alice.may_write(False)
    alice.road.mend()
    await expect(page.get_by_test_id("message-retry")).to_be_visible()
    await screen.look("refused, and no more to be written")
    alice.road.cut()
    await expect(page.get_by_test_id("connection-banner")).to_be_visible()
    await screen.look("without a network")
    assert screen.found == {}, json.dumps(screen.found, indent=1)


async def test_no_screen_of_signing_in_breaks_a_rule(
    cluster: Cluster, database: Database, browser: Any, axe: str
) -> None:
    async with AsyncExitStack() as stack:
        devices = Devices(stack, browser, "", await cluster.node(demo=True))
        found = {}
        for look in ("light, wide, English", "dark, phone, English"):
            device = await devices.blank(bypass_csp=True, **LOOKS[look])
            screen = Inspection(device, axe)
            await device.page.goto(devices.address(device))
            await device.page.get_by_test_id("token").fill("nonsense")
            await screen.look("a token is asked for")
            await device.page.get_by_test_id("token-submit").click()
            await expect(device.page.locator("#refusal")).to_be_visible()
            await screen.look("and another one")
            found |= {(look, name): violations for name, violations in screen.found.items()}
        assert found == {}


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_no_screen_of_the_example_breaks_a_rule(devices: Devices, axe: str, color_scheme: str) -> None:
    if not devices.example:
        miss("the React example is not built (npm run build in demo/)")
    bob = await devices.phone(BOB)
    tea = await talk(devices, bob)
    alice = await devices.blank(face=REACT, bypass_csp=True, color_scheme=color_scheme)
    screen = Inspection(alice, axe)
    await alice.page.goto(devices.address(alice))
    await alice.page.get_by_text("User 1").wait_for()
    await screen.look("who are you")
    await alice.page.goto(devices.address(alice, user=ALICE))
    await alice.listed("Tea").wait_for()
    await screen.look("the list")
    await alice.open("Tea")
    await bob.say("typing.start", conversation_id=tea)
    await expect(alice.typing).to_be_visible()
    await screen.look("a conversation")
    alice.road.hold(Way.THERE, only="GET /ws/")
    await alice.say("Is this allowed?")
    await devices.call(ALICE, "PATCH", f"/conversations/{tea}/participants/{BOB}", {"role": "admin"})
    await devices.call(BOB, "PATCH", f"/conversations/{tea}/participants/{ALICE}", {"role": "observer"})
    await alice.may_write(False)
    alice.road.mend()
    await expect(alice.page.get_by_test_id("message-retry")).to_be_visible()
    await screen.look("refused")
    alice.road.cut()
    await expect(alice.connection).not_to_have_attribute("data-status", "online")
    await screen.look("without a network")
    assert screen.found == {}, json.dumps(screen.found, indent=1)


FOCUSED = """() => {
  const { activeElement: at } = document;
  return at.dataset.testid || at.id || at.localName;
}"""


async def stops(page: Any, count: int, key: str = "Tab") -> list[str]:
    """What has the focus after each press of a key."""
    found = []
    for _ in range(count):
        await page.keyboard.press(key)
        found.append(await page.evaluate(FOCUSED))
    return found


async def test_the_keyboard_goes_everywhere_in_order(devices: Devices) -> None:
    await devices.group(ALICE, BOB)
    alice = await devices.of(ALICE)
    page = alice.page
    await page.evaluate("document.activeElement.blur()")
    assert await stops(page, 8) == [
        "skip",
        "new-conversation",
        "switch-user",
        "filter",
        "conversation",
        "frames-toggle",
        "notify",
        "language",
    ]
    # The list is one stop, and arrows go through it.
    await page.get_by_test_id("filter").focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_test_id("conversation").first).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_test_id("conversation").nth(1)).to_be_focused()
    await alice.listed("Bob").focus()
    await page.keyboard.press("Enter")
    await expect(alice.composer).to_be_focused()
    await alice.say("Hello")
    await alice.all_sent()
    # Back from where one writes: the history, in which the messages are one stop, and the head.
    await alice.composer.focus()
    assert await stops(page, 4, "Shift+Tab") == ["attach", "message", "pane", "about"]
    await page.get_by_test_id("pane").focus()
    await page.keyboard.press("ArrowUp")
    await expect(alice.row("Hello")).to_be_focused()
    assert await stops(page, 5) == [
        "message-react",
        "message-reply",
        "message-readers",
        "message-edit",
        "message-delete",
    ]

    # Into a dialog, round in it, and back to where one was.
    await page.keyboard.press("Enter")
    dialog = page.locator("#dialog")
    await expect(dialog.get_by_test_id("confirm")).to_be_focused()
    assert set(await stops(page, 6)) <= {"confirm", "cancel", "body"}
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_test_id("message-delete")).to_be_focused()
    # Into a panel, and back.
    await page.get_by_test_id("about").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("about-panel").get_by_test_id("cancel")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("about")).to_be_focused()
    # From the top past the list.
    await page.get_by_test_id("skip").focus()
    await page.keyboard.press("Enter")
    await expect(alice.composer).to_be_focused()


async def test_what_comes_is_told_once(devices: Devices) -> None:
    tea = await devices.group(ALICE, BOB)
    bob = await devices.phone(BOB)
    alice = await devices.of(ALICE)
    await alice.open("Tea")
    # What comes while the page is read is part of what one finds there.
    await expect(alice.page.locator("#top")).to_have_attribute("data-state", "empty")
    # All that a screen reader would be told of the open conversation.
    await alice.page.evaluate("""() => {
      window.told = [];
      const log = document.querySelector("#conversation [role=log]");
      new MutationObserver((changes) => {
        for (const { addedNodes } of changes) for (const node of addedNodes) told.push(node.textContent);
      }).observe(log, { childList: true, subtree: true, characterData: true });
    }""")
    sent = await bob.ask("message.send", conversation_id=tea, content="Hello")
    await alice.shows(["Hello"])
    # Neither an alteration nor one's own is news, nor what a reconnect asks for once more.
    await bob.ask("message.edit", message_id=sent["message_id"], content="Hello Alice")
    await alice.say("Hi")
    await alice.shows(["Hello Alice", "Hi"])
    alice.road.cut()
    alice.road.mend()
    await alice.is_online()
    await bob.ask("message.send", conversation_id=tea, content="How are you?")
    await alice.shows(["Hello Alice", "Hi", "How are you?"])
    assert await alice.page.evaluate("told") == ["Bob: Hello", "Bob: How are you?"]
    await expect(alice.page.locator("#conversation [aria-live]:not(#typing)")).to_have_count(0)
