"""Conversations of many in the demo: what goes away, what is refused, who has read; and where the focus is meanwhile."""

from typing import Any

from playwright.async_api import expect

from tests.e2e.conftest import Stage
from tests.e2e.test_demo import ALICE, BOB, listed, open_talk

CHIARA = 3


def participant(page: Any, name: str) -> Any:
    return page.get_by_test_id("participant").filter(has=page.get_by_text(name, exact=True))


async def make(page: Any, title: str, *people: str) -> None:
    """A new group, by the dialog."""
    await page.get_by_test_id("new-conversation").click()
    await page.get_by_test_id("new-group").click()
    await page.get_by_test_id("new-title").fill(title)
    await expect(page.get_by_test_id("create")).to_be_disabled()
    for name in people:
        await page.get_by_test_id("person").filter(has_text=name).click()
    await page.get_by_test_id("create").click()
    await expect(page.get_by_test_id("conversation-title")).to_have_text(title)


async def test_who_leaves_is_gone_and_a_deleted_conversation_too(stage: Stage) -> None:
    alice, bob, chiara = [await stage.window(user_id) for user_id in (ALICE, BOB, CHIARA)]
    await make(alice, "Book club", "Bob", "Chiara")
    await open_talk(bob, "Book club")
    await open_talk(chiara, "Book club")
    await alice.get_by_test_id("participants").click()
    await bob.get_by_test_id("participants").click()

    # The event comes before the answer.
    async def answer(route: Any) -> None:
        response = await route.fetch()
        await expect(listed(bob, "Book club")).to_have_count(0)
        await route.fulfill(response=response)

    await bob.route("**/participants/me", answer)
    await bob.get_by_test_id("leave").click()
    await bob.get_by_test_id("confirm").click()
    await expect(bob.locator("#nothing-open")).to_be_visible()
    await expect(listed(bob, "Book club")).to_have_count(0)
    # Of one's own doing nobody is told.
    assert await bob.get_by_test_id("toast").count() == 0
    await expect(participant(alice, "Bob")).to_have_count(0)

    await alice.get_by_test_id("delete-conversation").click()
    await alice.locator("#dialog").get_by_test_id("cancel").click()
    await alice.get_by_test_id("delete-conversation").click()
    await alice.get_by_test_id("confirm").click()
    await expect(listed(alice, "Book club")).to_have_count(0)
    await expect(chiara.locator("#nothing-open")).to_be_visible()
    # It went from under her, and she is told.
    await expect(chiara.get_by_test_id("toast")).to_contain_text("not there any more")
    assert await alice.get_by_test_id("toast").count() == 0


async def test_a_refusal_stands_in_the_dialog_and_nothing_chosen_is_lost(stage: Stage) -> None:
    alice = await stage.window(ALICE)
    await alice.route("**/api/v1/messenger/conversations", lambda route: route.abort(), times=1)
    await alice.get_by_test_id("new-conversation").click()
    await alice.get_by_test_id("new-announcement").click()
    await alice.get_by_test_id("new-title").fill("News")
    await alice.get_by_test_id("person").filter(has_text="Bob").click()
    await alice.get_by_test_id("create").click()
    await expect(alice.locator("#dialog .refusal")).to_have_text("The server cannot be reached.")
    await alice.get_by_test_id("create").click()
    await expect(alice.get_by_test_id("conversation-title")).to_have_text("News")
    await expect(alice.get_by_test_id("subtitle")).to_contain_text("Announcements")
    stage.complaints = [complaint for complaint in stage.complaints if "ERR_FAILED" not in complaint]


async def test_the_focus_follows_what_is_muted_and_comes_back_from_the_panel(stage: Stage) -> None:
    alice = await stage.window(ALICE)
    await open_talk(alice, "Weekend hike")
    await alice.get_by_test_id("participants").click()
    await alice.get_by_test_id("mute-forever").click()
    await expect(alice.get_by_test_id("unmute")).to_be_focused()
    await alice.get_by_test_id("unmute").click()
    await expect(alice.get_by_test_id("mute-hour")).to_be_focused()
    await alice.get_by_test_id("level-all").focus()
    await alice.keyboard.press("ArrowLeft")
    await expect(alice.get_by_test_id("level-none")).to_have_attribute("aria-checked", "true")
    await expect(alice.get_by_test_id("level-none")).to_be_focused()
    await alice.keyboard.press("Escape")
    await expect(alice.get_by_test_id("about-panel")).to_be_hidden()
    await expect(alice.get_by_test_id("participants")).to_be_focused()


async def test_who_has_read_a_message_is_told(stage: Stage) -> None:
    alice, bob = await stage.window(ALICE), await stage.window(BOB)
    await open_talk(bob, "Weekend hike")
    await open_talk(alice, "Weekend hike")
    eight = alice.get_by_test_id("message").filter(has_text="Eight at the station?")
    await expect(eight).to_have_attribute("data-read-by", "some")
    await eight.hover()
    await eight.get_by_test_id("message-readers").click()
    readers = alice.get_by_test_id("reader")
    await expect(readers.and_(alice.locator('[data-read="true"]')).locator(".person-name")).to_have_text(["Bob"])
    await expect(readers.and_(alice.locator('[data-read="false"]')).locator(".person-name")).to_have_text(
        ["Chiara", "Dae-jung"]
    )
