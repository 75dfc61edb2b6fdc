"""The demo's list and what stands around it: search, drafts, keys, system entries, notifications, the developer's panel."""

from typing import Any

from playwright.async_api import expect

from tests.e2e.conftest import Stage
from tests.e2e.test_demo import ALICE, BOB, listed, open_talk, say

# A browser that tells of notifications, and keeps what it told; and a page that nobody looks at.
NOTIFYING = """window.told = [];
window.Notification = class {
  static permission = "default";
  static async requestPermission() { return (this.permission = "granted"); }
  constructor(title, options) { Object.assign(this, options, { title }); told.push(this); }
  close() { this.closed = true; }
};"""
LOOK_AWAY = """() => {
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "hidden" });
  Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
LOOK_BACK = """() => {
  delete document.visibilityState;
  delete document.hidden;
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def preview(page: Any, title: str) -> Any:
    return listed(page, title).locator(".preview")


async def test_the_search_field_narrows_the_list_and_the_arrows_walk_it(stage: Stage) -> None:
    alice = await stage.window(ALICE)
    talks = alice.get_by_test_id("conversation")
    await expect(talks).to_have_count(4)
    await alice.keyboard.press("Control+k")
    await expect(alice.get_by_test_id("filter")).to_be_focused()
    await alice.get_by_test_id("filter").fill("hÍke WEEK")
    await expect(talks.locator(".conversation-name")).to_have_text(["Weekend hike"])
    await alice.get_by_test_id("filter").fill("nobody")
    await expect(alice.locator("#list-none")).to_contain_text("Nothing is called “nobody”")
    await alice.keyboard.press("Escape")
    await expect(talks).to_have_count(4)
    for key, place in (("ArrowDown", 0), ("ArrowDown", 1), ("End", 3), ("ArrowDown", 3), ("Home", 0), ("ArrowDown", 1)):
        await alice.keyboard.press(key)
        await expect(talks.nth(place)).to_be_focused()
    await alice.keyboard.press("Enter")
    await expect(talks.nth(1)).to_have_attribute("aria-current", "true")
    # The list is one stop on the way of the Tab key.
    await expect(alice.locator('.conversation[tabindex="0"]')).to_have_count(1)


async def test_the_list_tells_of_drafts_and_of_what_was_not_sent(stage: Stage) -> None:
    alice = await stage.window(ALICE)
    await open_talk(alice, "Bob")
    await alice.get_by_test_id("composer").fill("Not yet")
    await expect(preview(alice, "Bob")).not_to_contain_text("Draft")
    await open_talk(alice, "Chiara")
    await expect(preview(alice, "Bob")).to_have_text("Draft: Not yet")
    await alice.reload()
    await expect(preview(alice, "Bob")).to_have_text("Draft: Not yet")
    await say(alice, "x" * 5000)
    await expect(preview(alice, "Chiara")).to_contain_text("Not sent: xxx")
    await alice.get_by_test_id("message-discard").click()
    await expect(preview(alice, "Chiara")).to_contain_text("I found the map")


async def test_system_entries_are_told_in_the_readers_language(stage: Stage) -> None:
    alice = await stage.window(ALICE, locale="ko-KR")
    bob = await stage.window(BOB)
    await open_talk(bob, "Weekend hike")
    await open_talk(alice, "Weekend hike")
    await alice.get_by_test_id("participants").click()
    await alice.get_by_test_id("rename").click()
    await alice.get_by_test_id("line").fill("호숫가 산책")
    await alice.get_by_test_id("confirm").click()
    entry = '[data-testid="message"][data-type="system"]'
    await expect(alice.locator(entry)).to_have_text("Alice님이 제목을 ‘호숫가 산책’으로 바꿨어요")
    await expect(bob.locator(entry)).to_have_text("Alice changed the title to 호숫가 산책")
    await expect(preview(alice, "호숫가 산책")).to_have_text("Alice님이 제목을 ‘호숫가 산책’으로 바꿨어요")


async def test_of_many_tabs_one_tells_of_a_message_and_only_while_nobody_looks(stage: Stage) -> None:
    first = await stage.page()
    await first.context.add_init_script(NOTIFYING)
    second = await first.context.new_page()
    bob = await stage.window(BOB)
    await open_talk(bob, "Alice")
    for page in (first, second):
        await page.goto(f"{stage.node.origin}/?user={ALICE}")
        await page.get_by_test_id("conversation").first.wait_for()
        assert await page.evaluate("Notification.permission") == "default"
        await page.get_by_test_id("notify").click()
        await expect(page.get_by_test_id("notify")).to_have_attribute("aria-pressed", "true")

    async def told() -> list[str]:
        return [body for page in (first, second) for body in await page.evaluate("told.map(({ body }) => body)")]

    # Somebody looks at the second one.
    await first.evaluate(LOOK_AWAY)
    await say(bob, "Seen anyway")
    await expect(first).to_have_title("(4) Alice · Messenger")
    await second.evaluate(LOOK_AWAY)
    await say(bob, "Nobody looks")
    for page in (first, second):
        await expect(page).to_have_title("(5) Alice · Messenger")
    await bob.wait_for_function("true")
    while not await told():
        await first.wait_for_timeout(20)
    assert await told() == ["Nobody looks"]
    teller = first if await first.evaluate("told.length") else second
    await teller.evaluate("told[0].onclick()")
    await teller.evaluate(LOOK_BACK)
    await expect(teller.get_by_test_id("conversation-title")).to_have_text("Bob")
    await teller.wait_for_function("told[0].closed")


async def test_the_developers_panel_cuts_the_network_and_shows_the_resume(stage: Stage) -> None:
    alice, bob = await stage.window(ALICE), await stage.window(BOB)
    await open_talk(alice, "Bob")
    await open_talk(bob, "Alice")
    await alice.get_by_test_id("frames-toggle").click()
    cut = alice.get_by_test_id("network-cut")
    await cut.click()
    await expect(cut).to_have_attribute("aria-checked", "true")
    await expect(alice.get_by_test_id("connection")).to_have_attribute("data-cut", "true")
    await say(alice, "From the dark")
    await say(alice, "And again")
    await say(bob, "Are you there?")
    await expect(bob.get_by_test_id("message").last).to_have_attribute("data-state", "sent")
    await alice.get_by_test_id("reconnect").click()
    summary = alice.get_by_test_id("resume-summary")
    await expect(summary).to_contain_text("Asked what changed in 4 conversations since their cursors")
    await expect(summary).to_contain_text("1 change was missed and came")
    await expect(summary).to_contain_text("2 waiting messages sent")
    await expect(bob.get_by_test_id("message").filter(has_text="From the dark")).to_have_count(1)


async def test_frames_are_filtered_and_stand_still_on_request(stage: Stage) -> None:
    alice, bob = await stage.window(ALICE), await stage.window(BOB)
    await alice.get_by_test_id("frames-toggle").click()
    await open_talk(alice, "Bob")
    await open_talk(bob, "Alice")
    await alice.get_by_test_id("frames-filter").fill("headlamp")
    frames = alice.get_by_test_id("frame")
    await expect(frames).to_have_count(1)
    await expect(frames).to_have_attribute("data-type", "history")
    await alice.get_by_test_id("frames-filter").fill("message.new")
    await expect(frames).to_have_count(0)
    await alice.get_by_test_id("frames-pause").click()
    await say(bob, "Unseen on the wire")
    await expect(alice.locator(".frames-missed")).to_contain_text("since")
    await expect(alice.get_by_test_id("message").filter(has_text="Unseen on the wire")).to_be_visible()
    await expect(frames).to_have_count(0)
    await alice.get_by_test_id("frames-pause").click()
    await expect(frames).to_have_count(1)
    await alice.get_by_test_id("frames-clear").click()
    await alice.get_by_test_id("frames-filter").fill("")
    await expect(frames).to_have_count(0)
