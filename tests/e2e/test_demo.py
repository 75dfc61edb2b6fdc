"""Two people in two windows: they chat, type, read, edit and delete; a reload keeps everything."""

from typing import Any

from playwright.async_api import expect

from tests.e2e.conftest import Stage

ALICE, BOB = 1, 2


def listed(page: Any, title: str) -> Any:
    """A conversation's button in the list."""
    return page.get_by_test_id("conversation").filter(has=page.get_by_text(title, exact=True))


async def open_talk(page: Any, title: str) -> None:
    await listed(page, title).click()
    await expect(page.get_by_test_id("conversation-title")).to_have_text(title)
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")


async def say(page: Any, text: str) -> None:
    await page.get_by_test_id("composer").fill(text)
    await page.keyboard.press("Enter")


def message(page: Any, text: str) -> Any:
    return page.get_by_test_id("message").filter(has_text=text)


async def test_two_people_chat_type_and_read(stage: Stage) -> None:
    alice, bob = await stage.window(ALICE), await stage.window(BOB)
    await open_talk(alice, "Bob")
    await say(alice, "Are you there?")
    # Optimistic at first, then stored; not read yet.
    await expect(message(alice, "Are you there?")).to_have_attribute("data-state", "sent")
    unread = listed(bob, "Alice").get_by_test_id("unread")
    await expect(unread).to_contain_text("2")
    await open_talk(bob, "Alice")
    await expect(message(bob, "Are you there?")).to_be_visible()
    await expect(message(alice, "Are you there?")).to_have_attribute("data-state", "read")
    await expect(unread).to_have_count(0)
    await bob.get_by_test_id("composer").press_sequentially("I am h")
    await expect(alice.get_by_test_id("typing")).to_contain_text("Bob")
    await say(bob, "I am here")
    await expect(message(alice, "I am here")).to_be_visible()
    await expect(alice.get_by_test_id("typing")).to_be_hidden()


async def test_edit_and_delete_show_in_the_other_window(stage: Stage) -> None:
    alice, bob = await stage.window(ALICE), await stage.window(BOB)
    await open_talk(alice, "Bob")
    await open_talk(bob, "Alice")
    await say(alice, "Tehre")
    await expect(message(alice, "Tehre")).to_have_attribute("data-state", "read")
    await message(alice, "Tehre").hover()
    await message(alice, "Tehre").get_by_test_id("message-edit").click()
    await say(alice, "There")
    await expect(message(bob, "There")).to_be_visible()
    await expect(message(bob, "Tehre")).to_have_count(0)
    await message(alice, "There").hover()
    await message(alice, "There").get_by_test_id("message-delete").click()
    await alice.get_by_test_id("confirm").click()
    await expect(bob.locator('[data-testid="message"][data-deleted="true"]')).to_have_count(1)
    await expect(message(bob, "There")).to_have_count(0)


async def test_a_reload_keeps_everything(stage: Stage) -> None:
    alice = await stage.window(ALICE)
    await open_talk(alice, "Bob")
    await say(alice, "Remember this")
    await expect(message(alice, "Remember this")).to_have_attribute("data-state", "sent")
    await alice.reload()
    await open_talk(alice, "Bob")
    await expect(message(alice, "Remember this")).to_have_count(1)
    await expect(message(alice, "Remember this")).to_have_attribute("data-state", "sent")


async def test_presence_dots_follow_people(stage: Stage) -> None:
    alice = await stage.window(ALICE)
    dot = listed(alice, "Bob").get_by_test_id("presence")
    await expect(dot).to_have_attribute("data-online", "false")
    bob = await stage.window(BOB)
    await expect(dot).to_have_attribute("data-online", "true")
    await bob.close()
    await expect(dot).to_have_attribute("data-online", "false")


async def test_older_pages_load_on_scrolling_up(stage: Stage) -> None:
    await stage.fill(BOB, ALICE, [f"line {number}" for number in range(250)])
    alice = await stage.window(ALICE)
    await open_talk(alice, "Bob")
    await expect(message(alice, "line 249")).to_be_visible()
    await expect(alice.get_by_test_id("message-content").get_by_text("line 0", exact=True)).to_have_count(0)
    first = alice.get_by_test_id("message-content").get_by_text("Do you still have my headlamp?")
    while not await first.count():
        await alice.get_by_test_id("pane").evaluate("pane => { pane.scrollTop = 0 }")
        await alice.wait_for_function(
            "before => document.querySelectorAll('[data-testid=message]').length > before", arg=0
        )
    await expect(alice.get_by_test_id("message-content").get_by_text("line 0", exact=True)).to_have_count(1)


async def test_what_people_write_is_never_taken_for_markup(stage: Stage) -> None:
    alice, bob = await stage.window(ALICE), await stage.window(BOB)
    await open_talk(alice, "Bob")
    await open_talk(bob, "Alice")
    attack = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    await say(alice, attack)
    await expect(bob.get_by_test_id("message-content").last).to_have_text(attack)
    assert await bob.title() != "owned"
    assert await bob.get_by_test_id("pane").locator("img, script").count() == 0


async def test_the_frames_panel_shows_what_passes(stage: Stage) -> None:
    alice = await stage.window(ALICE)
    await alice.get_by_test_id("frames-toggle").click()
    await open_talk(alice, "Bob")
    await say(alice, "Watch the wire")
    sent = alice.locator('[data-testid="frame"][data-direction="out"][data-type="message.send"]')
    await expect(sent.first).to_contain_text("Watch the wire")
    await expect(
        alice.locator('[data-testid="frame"][data-direction="in"][data-type="message.new"]').first
    ).to_be_visible()


async def test_on_a_phone_list_and_talk_are_two_screens(stage: Stage) -> None:
    alice = await stage.window(ALICE, viewport={"width": 390, "height": 844})
    await open_talk(alice, "Bob")
    await expect(alice.get_by_test_id("conversation").first).to_be_hidden()
    await alice.get_by_test_id("back").click()
    await expect(alice.get_by_test_id("conversation").first).to_be_visible()
