"""Names and pictures in the demo: everywhere that somebody reads them, and at once when they change."""

from base64 import b64decode
from typing import Any

from playwright.async_api import expect

from tests.e2e.conftest import Stage
from tests.e2e.test_demo import ALICE, BOB, listed, message, open_talk, say

CHIARA = 3
PICTURE = "https://pictures.example/bob.png"
PIXEL = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")


async def become(stage: Stage, user_id: int, **profile: Any) -> None:
    """The host application sets somebody's profile."""
    status, told = await stage.node.nobody().call("PUT", f"/users/{user_id}", profile)
    assert status == 200, told


async def hang(page: Any, asked: list[Any], body: bytes = PIXEL) -> None:
    """Let the host of pictures answer with `body`, and keep what it is asked."""

    async def answer(route: Any) -> None:
        asked.append(route.request)
        await route.fulfill(body=body, content_type="image/png")

    await page.route("https://pictures.example/**", answer)


def picture(place: Any) -> Any:
    return place.locator(f'.avatar.pictured img.picture[src="{PICTURE}"]')


async def test_a_new_name_and_picture_are_everywhere_at_once(stage: Stage) -> None:
    alice, bob = await stage.window(ALICE), await stage.window(BOB)
    asked: list[Any] = []
    await hang(alice, asked)
    await hang(bob, asked)
    await open_talk(alice, "Weekend hike")
    await open_talk(bob, "Weekend hike")
    ridge = message(alice, "The ridge trail again")
    await expect(ridge.locator(".sender")).to_have_text("Bob")
    await expect(ridge.locator(".initials")).to_have_text("B")
    await bob.get_by_test_id("composer").press_sequentially("I am")
    await expect(alice.get_by_test_id("typing")).to_contain_text("Bob is typing")

    await become(stage, BOB, avatar_url=PICTURE)
    await expect(picture(ridge)).to_be_visible()
    await expect(picture(ridge)).to_have_attribute("referrerpolicy", "no-referrer")
    await expect(picture(listed(alice, "Bob"))).to_be_visible()
    await bob.get_by_test_id("composer").press_sequentially(" here")
    await expect(picture(alice.get_by_test_id("typing"))).to_be_visible()
    await expect(picture(bob.locator("#me-avatar"))).to_be_visible()
    await become(stage, BOB, name="Robert Tables")
    await expect(ridge.locator(".sender")).to_have_text("Robert Tables")
    await bob.get_by_test_id("composer").press_sequentially(" now")
    await expect(alice.get_by_test_id("typing")).to_contain_text("Robert Tables is typing")
    await say(bob, "Call me Robert")
    await expect(listed(alice, "Weekend hike").locator(".preview")).to_have_text("Robert Tables: Call me Robert")
    # His own window too.
    await expect(bob.locator("#me-name")).to_have_text("Robert Tables")
    assert "Robert Tables" in await bob.title()

    await open_talk(alice, "Robert Tables")
    await expect(picture(alice.locator("#pane-avatar"))).to_be_visible()
    await expect(alice.locator("#pane-avatar").get_by_test_id("presence")).to_have_attribute("data-online", "true")
    await alice.get_by_test_id("new-conversation").click()
    person = alice.get_by_test_id("person").filter(has_text="Robert Tables")
    await expect(picture(person)).to_be_visible()
    # In an open dialog as well, and it is an answer all the same.
    await become(stage, BOB, name="Bobby Tables", avatar_url=None)
    person = alice.get_by_test_id("person").filter(has_text="Bobby Tables")
    await expect(person.locator(".initials")).to_have_text("BT")
    await expect(person.locator("img")).to_have_count(0)
    await person.click()
    await expect(alice.get_by_test_id("conversation-title")).to_have_text("Bobby Tables")
    await expect(alice.locator("#pane-avatar img")).to_have_count(0)

    assert {request.resource_type for request in asked} == {"image"}
    assert all("referer" not in request.headers for request in asked)


async def test_participants_are_listed_with_role_picture_and_presence(stage: Stage) -> None:
    await become(stage, BOB, avatar_url=f"{stage.node.origin}/demo/icon.svg")
    alice = await stage.window(ALICE)
    await open_talk(alice, "Bob")
    await expect(alice.get_by_test_id("participants")).to_be_hidden()
    await open_talk(alice, "Weekend hike")
    await alice.get_by_test_id("participants").click()
    rows = alice.get_by_test_id("participant")
    assert await rows.locator(".person-name").all_inner_texts() == ["Alice", "Bob", "Chiara", "Dae-jung"]
    assert await rows.locator(".person-role").all_inner_texts() == ["you, admin", "", "", ""]
    # A picture that lies beside the page is shown as well.
    await expect(rows.nth(1).locator(".avatar.pictured img")).to_be_visible()
    dot = rows.nth(1).get_by_test_id("presence")
    await expect(dot).to_have_attribute("data-online", "false")
    await stage.window(BOB)
    await expect(dot).to_have_attribute("data-online", "true")
    await alice.get_by_test_id("cancel").click()
    await expect(rows).to_have_count(0)


async def test_a_picture_that_does_not_load_leaves_the_initials(stage: Stage) -> None:
    alice = await stage.window(ALICE)
    asked: list[Any] = []
    await hang(alice, asked, b"no picture")
    face = listed(alice, "Bob").locator(".avatar")
    async with alice.expect_event("requestfinished"):
        await become(stage, BOB, avatar_url=PICTURE)
    await expect(face.locator("img")).to_have_count(0)
    await expect(face.locator(".initials")).to_be_visible()
    # Drawn again, it is not asked for again.
    await become(stage, BOB, name="Robert")
    await expect(listed(alice, "Robert").locator(".initials")).to_have_text("R")
    await open_talk(alice, "Weekend hike")
    await expect(message(alice, "The ridge trail again").locator(".initials")).to_have_text("R")
    assert len(asked) == 1


async def test_a_picture_over_a_plain_path_is_not_asked_for(stage: Stage) -> None:
    alice = await stage.window(ALICE)
    requests: list[str] = []
    alice.on("request", lambda request: requests.append(request.url))
    await become(stage, BOB, name="Robert", avatar_url="http://pictures.example/bob.png")
    await expect(listed(alice, "Robert").locator(".initials")).to_have_text("R")
    await expect(listed(alice, "Robert").locator("img")).to_have_count(0)
    assert [url for url in requests if "pictures.example" in url] == []


async def test_own_name_and_picture_stand_above_the_list(stage: Stage) -> None:
    await become(stage, ALICE, name="Alice Liddell", avatar_url=f"{stage.node.origin}/demo/icon.svg")
    alice = await stage.window(ALICE)
    await expect(alice.locator("#me-name")).to_have_text("Alice Liddell")
    await expect(alice.locator("#me-avatar .avatar.pictured img")).to_be_visible()


async def test_who_left_keeps_his_name(stage: Stage) -> None:
    maker = stage.node.session
    headers = {"X-User-Id": "77"}
    await become(stage, 77, name="Dora the Former", avatar_url=None)
    api = f"{stage.node.origin}/api/v1/messenger"
    async with maker.post(
        f"{api}/conversations", json={"type": "group", "title": "Attic", "participant_ids": [ALICE]}, headers=headers
    ) as made:
        talk = (await made.json())["id"]
    await maker.post(f"{api}/conversations/{talk}/messages", json={"content": "I was here"}, headers=headers)
    await maker.delete(f"{api}/conversations/{talk}/participants/me", headers=headers)
    alice = await stage.window(ALICE)
    await open_talk(alice, "Attic")
    await expect(message(alice, "I was here").locator(".sender")).to_have_text("Dora the Former")


async def test_reactions_come_and_go_under_their_message(stage: Stage) -> None:
    alice = await stage.window(ALICE)
    await open_talk(alice, "Weekend hike")
    lake = message(alice, "There is a lake")
    message_id = await lake.get_attribute("data-message-id")
    bob, chiara = await stage.phone(BOB), await stage.phone(CHIARA)
    await bob.ask("reaction.add", message_id=message_id, emoji="🏞️")
    await chiara.ask("reaction.add", message_id=message_id, emoji="🏞️")
    await chiara.ask("reaction.add", message_id=message_id, emoji="👍")
    shown = lake.locator(".reaction")
    await expect(shown).to_have_text(["🏞️ 2", "👍"])
    await chiara.ask("reaction.remove", message_id=message_id, emoji="🏞️")
    await bob.ask("reaction.remove", message_id=message_id, emoji="🏞️")
    await expect(shown).to_have_text(["👍"])
    await alice.reload()
    await open_talk(alice, "Weekend hike")
    await expect(shown).to_have_text(["👍"])
