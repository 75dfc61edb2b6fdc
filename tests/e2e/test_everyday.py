"""What a person expects of a chat today, in the HTML demo: groups and who is in them, muting, drafts, what came meanwhile, and the
browser's own notifications."""

import asyncio
from typing import Any

from playwright.async_api import expect

from tests.e2e.devices import ALICE, BOB, CHIARA, DAE, PATIENCE_MS, Device, Devices, each
from tests.support.people import Phone

RECORDING = """{
  const Real = Notification;
  window.told = [];
  window.Notification = class extends Real {
    constructor(title, options) {
      super(title, options);
      told.push([title, options.body]);
    }
    close() {
      told.push(["closed", ""]);
      super.close();
    }
  };
}"""


def person(device: Device, user_id: int) -> Any:
    return device.page.locator(f'[data-testid="participant"][data-user-id="{user_id}"]')


async def press(device: Device, *hooks: str) -> None:
    for hook in hooks:
        await device.page.get_by_test_id(hook).click()


async def confirm(device: Device) -> None:
    await device.page.locator("#dialog").get_by_test_id("confirm").click()


async def write(phone: Phone, talk: str, *lines: str) -> None:
    for line in lines:
        await phone.ask("message.send", conversation_id=talk, content=line)


async def test_a_group_is_made_and_changed_by_its_admin(devices: Devices) -> None:
    alice, bob = await devices.of(ALICE), await devices.of(BOB)
    await press(alice, "new-conversation", "new-group")
    await expect(alice.page.get_by_test_id("create")).to_be_disabled()
    await alice.page.get_by_test_id("new-title").fill("Book club")
    for user_id in (BOB, CHIARA):
        await alice.page.locator(f'#dialog [data-testid="person"][data-user-id="{user_id}"]').click()
    await press(alice, "create")
    title = alice.page.get_by_test_id("conversation-title")
    await expect(title).to_have_text("Book club")
    await alice.say("Welcome")
    await bob.has_unread("Book club", 1)
    await bob.open("Book club")
    # It is no admin's: nothing to change.
    await press(bob, "participants")
    await expect(person(bob, ALICE)).to_have_attribute("data-role", "admin")
    for hook in ("add-people", "rename", "participant-more", "delete-conversation"):
        await expect(bob.page.get_by_test_id("about-panel").get_by_test_id(hook).locator("visible=true")).to_have_count(
            0
        )

    await press(alice, "participants")
    await person(alice, BOB).get_by_test_id("participant-more").click()
    await press(alice, "make-admin")
    await expect(person(bob, BOB)).to_have_attribute("data-role", "admin")
    await expect(bob.page.get_by_test_id("rename")).to_be_visible()
    await press(alice, "add-people")
    await alice.page.locator(f'#dialog [data-testid="person"][data-user-id="{DAE}"]').click()
    await confirm(alice)
    await expect(person(bob, DAE)).to_be_visible()
    await person(bob, CHIARA).get_by_test_id("participant-more").click()
    await press(bob, "remove")
    await confirm(bob)
    await expect(person(alice, CHIARA)).to_have_count(0)
    await press(bob, "rename")
    await bob.page.get_by_test_id("line").fill("Reading circle")
    await confirm(bob)
    await expect(title).to_have_text("Reading circle")
    entries = alice.page.locator('[data-testid="message"][data-type="system"]')
    await expect(entries.last).to_contain_text("Reading circle")
    await expect(alice.page.get_by_test_id("subtitle")).to_contain_text("3 participants")


async def test_who_mutes_is_not_told_until_he_turns_it_on_again(devices: Devices) -> None:
    tea = await devices.group(BOB, ALICE)
    bob = await devices.phone(BOB)
    alice = await devices.of(ALICE)
    await alice.open("Tea")
    sign = alice.listed("Tea").locator(".mark-muted")
    await expect(sign).to_have_count(0)
    await press(alice, "participants", "mute-hour")
    await expect(alice.page.get_by_test_id("muted")).to_contain_text("Muted until")
    await expect(alice.page.get_by_test_id("unmute")).to_be_focused()
    await expect(sign).to_be_visible()

    async def settings() -> Any:
        (found,) = (
            talk for talk in (await devices.call(ALICE, "GET", "/conversations"))["conversations"] if talk["id"] == tea
        )
        return found["notification"]

    assert (await settings())["muted_until"] is not None
    phone = await devices.phone(ALICE)
    await write(bob, tea, "psst")
    assert not await phone.unheard("notification")
    await press(alice, "unmute")
    await expect(sign).to_have_count(0)
    assert (await settings())["muted_until"] is None
    await press(alice, "level-mentions")
    await expect(alice.page.get_by_test_id("level-mentions")).to_have_attribute("aria-checked", "true")
    # After a reload too.
    await alice.page.reload()
    await press(alice, "participants")
    await expect(alice.page.get_by_test_id("level-mentions")).to_have_attribute("aria-checked", "true")


async def test_each_conversation_keeps_its_draft_over_a_reload(devices: Devices) -> None:
    await devices.group(ALICE, BOB)
    alice = await devices.of(ALICE)
    await alice.open("Tea")
    await alice.composer.fill("Shall we\nmeet?")
    await alice.open("Bob")
    await expect(alice.composer).to_have_value("")
    await alice.composer.fill("Dear Bob")
    await expect(alice.listed("Tea").locator(".preview")).to_have_text("Draft: Shall we meet?")
    await alice.page.reload()
    await alice.is_online()
    await expect(alice.composer).to_have_value("Dear Bob")
    await alice.open("Tea")
    await expect(alice.composer).to_have_value("Shall we\nmeet?")
    # What was sent is no draft any more.
    await alice.composer.press("Enter")
    await alice.all_sent()
    await alice.page.reload()
    await alice.is_online()
    await expect(alice.row("Shall we meet?")).to_be_visible()
    await expect(alice.composer).to_have_value("")
    await expect(alice.listed("Bob").locator(".preview")).to_have_text("Draft: Dear Bob")


async def test_who_reads_above_jumps_to_what_came_meanwhile(devices: Devices) -> None:
    tea = await devices.group(BOB, ALICE)
    bob = await devices.phone(BOB)
    await write(bob, tea, *(f"line {number}" for number in range(60)))
    alice = await devices.of(ALICE)
    await alice.open("Tea")
    await expect(alice.row("line 0")).to_be_visible()
    await alice.page.keyboard.press("Shift+Tab")
    await alice.page.get_by_test_id("pane").press("End")
    await alice.has_unread("Tea", 0)
    jump = alice.page.get_by_test_id("jump")
    await expect(jump).to_be_hidden()
    await alice.page.get_by_test_id("pane").hover()
    await alice.page.mouse.wheel(0, -1_000)
    await expect(jump).to_be_visible()
    place = await alice.page.get_by_test_id("pane").evaluate("pane => pane.scrollTop")
    await write(bob, tea, "one more", "and two", "and three")
    await expect(jump).to_have_text("3")
    await expect(jump).to_have_attribute("aria-label", "Jump to the latest message, 3 new")
    await alice.has_unread("Tea", 3)
    # Nothing moved under her eyes.
    assert await alice.page.get_by_test_id("pane").evaluate("pane => pane.scrollTop") == place
    await jump.click()
    await expect(alice.row("and three")).to_be_in_viewport()
    await expect(jump).to_be_hidden()
    await alice.has_unread("Tea", 0)
    # What comes while she is at the end is simply there.
    await write(bob, tea, "and four")
    await expect(alice.row("and four")).to_be_in_viewport()
    await expect(jump).to_be_hidden()


async def test_the_browser_tells_of_messages_while_nobody_looks(devices: Devices) -> None:
    tea = await devices.group(BOB, ALICE)
    bob = await devices.phone(BOB)
    context = await devices.context(permissions=["notifications"])
    await context.add_init_script(RECORDING)
    road = await devices.road()
    tabs = [await devices.blank(road, context=context), await devices.blank(road, context=context)]
    for tab in tabs:
        await tab.page.goto(devices.address(tab, user=ALICE))
        await tab.open("Tea")
    first, second = tabs
    await expect(first.page.get_by_test_id("notify")).to_have_attribute("aria-pressed", "true")

    async def told() -> list[list[str]]:
        return [entry for tab in tabs for entry in await tab.page.evaluate("told")]

    # Somebody looks at one of the two.
    await first.hide()
    await write(bob, tea, "You see this")
    await each(tabs, lambda tab: expect(tab.row("You see this")).to_be_visible())
    assert await told() == []
    await second.hide()
    await first.page.wait_for_function(
        "async () => !(await navigator.locks.query()).held.some(({ name }) => /looking/.test(name))"
    )
    await write(bob, tea, "Knock, knock")
    await each(tabs, lambda tab: expect(tab.row("Knock, knock")).to_be_visible())
    # One of them tells, once.
    await first.page.wait_for_function(
        "async () => (await navigator.locks.query()).held.some(({ name }) => name.startsWith('messenger.told.'))"
    )
    assert await told() == [["Tea", "Bob: Knock, knock"]]
    # It goes when that was read.
    await second.hide(False)
    await second.has_unread("Tea", 0)
    (teller,) = [tab for tab in tabs if await tab.page.evaluate("told.length > 0")]
    await teller.page.wait_for_function("told.some(([title]) => title === 'closed')")
    # Turned off, it stays silent; on again, it tells of what comes from then on.
    await press(second, "notify")
    await expect(second.page.get_by_test_id("notify")).to_have_attribute("aria-pressed", "false")
    before = len(await told())
    await second.hide()
    await write(bob, tea, "Anybody?")
    await each(tabs, lambda tab: expect(tab.row("Anybody?")).to_be_visible())
    await press(second, "notify")
    await write(bob, tea, "Hello?")
    await each(tabs, lambda tab: expect(tab.row("Hello?")).to_be_visible())
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while len(await told()) == before:
            await asyncio.sleep(0.02)
    assert sorted(entry for entry in await told() if entry[0] != "closed") == [
        ["Tea", "Bob: Hello?"],
        ["Tea", "Bob: Knock, knock"],
    ]
