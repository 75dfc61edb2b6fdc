"""The demo's pages of other dialects: a live session with its guests, the same session over Socket.IO, open rooms."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import expect

from messenger.demo_data import seed
from tests.e2e.conftest import Stage
from tests.e2e.devices import ALICE, Devices
from tests.e2e.test_accessible import AT_REST, LOOKS, PHONE, RUN, TAGS, WIDE, axe
from tests.e2e.test_language import DATA, WORDS, words_of
from tests.support.database import Database
from tests.support.node import FREE, Cluster
from tests.support.people import API, token
from tests.support.reachable import SECRET
from tests.support.road import Way

__all__ = ["axe"]
SESSION, SOCKETIO, ROOM = "/demo/session.html", "/demo/socketio.html", "/demo/room.html"
MARKUP = "<img src=x onerror=__pwned=1>"
SCROLLS_SIDEWAYS = """() => [...document.querySelectorAll("html, body, .entrance, .card, .log, .side, .part")]
  .filter((it) => it.scrollWidth > it.clientWidth).map((it) => it.className || it.localName)"""
# What Chromium says of an answer that is no 200.
REFUSED = "Failed to load resource: the server responded with a status of"


@pytest.fixture
async def stage(cluster: Cluster, database: Database, browser: Any) -> AsyncIterator[Stage]:
    """As `messenger demo` serves it."""
    await seed(database.app_url)
    async with AsyncExitStack() as stack:
        stage = Stage(await cluster.node(auth="off", demo=True, open_rooms=True, **FREE), browser, stack)
        yield stage
        assert stage.complaints == []


def messages(page: Any) -> Any:
    return page.get_by_test_id("message-content")


async def is_online(page: Any) -> None:
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")


async def say(page: Any, text: str) -> None:
    await page.get_by_test_id("composer").fill(text)
    await page.keyboard.press("Enter")


async def ask(page: Any, text: str) -> None:
    await page.get_by_test_id("composer").fill(text)
    await page.get_by_test_id("ask").click()


async def host_of(stage: Stage, title: str = "Biology", path: str = SESSION, **options: Any) -> Any:
    """Alice's page, with a session of hers."""
    page = await stage.page(**options)
    await page.goto(stage.node.origin + path)
    await page.get_by_test_id("host").select_option(str(ALICE))
    await page.get_by_test_id("session-title").fill(title)
    await page.get_by_test_id("do-open").click()
    await is_online(page)
    return page


async def code_of_new(page: Any, origin: str) -> str:
    """The code of a session that is opened on this page."""
    await page.goto(f"{origin}{SESSION}")
    await page.get_by_test_id("session-title").fill("Biology")
    await page.get_by_test_id("do-open").click()
    await is_online(page)
    code: str = await page.get_by_test_id("code").inner_text()
    return code


async def guest_of(stage: Stage, host: Any, nickname: str, **options: Any) -> Any:
    """Somebody who was sent the link of a session."""
    page = await stage.page(**options)
    await page.goto(await host.get_by_test_id("link").get_attribute("href"))
    await join(page, nickname)
    return page


async def join(page: Any, nickname: str) -> None:
    await page.get_by_test_id("nickname").fill(nickname)
    await page.get_by_test_id("do-join").click()
    await is_online(page)


async def opened(stage: Stage, title: str = "Biology") -> str:
    """The code of a session that Alice has opened over REST."""
    url, headers = f"{stage.node.origin}{API.removesuffix('/messenger')}/sessions", {"X-User-Id": str(ALICE)}
    async with stage.node.session.post(url, json={"title": title}, headers=headers) as answer:
        assert answer.status == 201
        code: str = (await answer.json())["session_code"]
        return code


async def in_room(stage: Stage, name: str, room: str = "lobby", **options: Any) -> Any:
    page = await stage.page(**options)
    await page.goto(f"{stage.node.origin}{ROOM}?room={room}")
    await page.get_by_test_id("name").fill(name)
    await page.get_by_test_id("enter").click()
    await is_online(page)
    return page


async def test_the_start_leads_to_the_other_pages_and_they_to_each_other(stage: Stage) -> None:
    page = await stage.page()
    await page.goto(stage.node.origin)
    for name, path in (("Live session", SESSION), ("Socket.IO", SOCKETIO), ("Open room", ROOM)):
        await page.get_by_role("link", name=name).click()
        await page.wait_for_url(f"**{path}")
        await expect(page.get_by_role("heading", name=name)).to_be_visible()
        await expect(page.locator("[data-testid=way][aria-current=page]")).to_have_text(name)
    await page.get_by_role("link", name="Messenger").click()
    await page.get_by_test_id("user-pick").first.wait_for()


async def test_every_page_has_the_policy_of_the_chat(stage: Stage) -> None:
    page = await stage.page()
    chat = await page.goto(stage.node.origin)
    assert "require-trusted-types-for 'script'" in chat.headers["content-security-policy"]
    for path in (SESSION, SOCKETIO, ROOM):
        answer = await page.goto(stage.node.origin + path)
        assert answer.headers["content-security-policy"] == chat.headers["content-security-policy"]


async def test_a_host_and_a_guest_talk_and_see_who_is_there(stage: Stage) -> None:
    alice = await host_of(stage)
    await expect(alice.get_by_test_id("room-title")).to_have_text("Biology")
    ben = await guest_of(stage, alice, "Ben")
    await expect(ben.get_by_test_id("room-title")).to_have_text("Biology")
    await expect(alice.get_by_test_id("person")).to_contain_text(["Alice (you)", "Ben"])
    await expect(ben.get_by_test_id("person")).to_contain_text(["Ben (you)", "Alice"])
    await expect(alice.get_by_test_id("note").last).to_have_text("Ben joined")

    await say(alice, "Welcome")
    await expect(messages(ben)).to_have_text(["Welcome"])
    await expect(ben.get_by_test_id("sender")).to_have_text(["Alice"])
    await ben.get_by_test_id("composer").press_sequentially("Hel")
    await expect(alice.get_by_test_id("typing")).to_contain_text("Ben is typing")
    await say(ben, "Hello")
    await expect(messages(alice)).to_have_text(["Welcome", "Hello"])
    await expect(alice.get_by_test_id("typing")).to_be_hidden()
    await expect(ben.locator("[data-testid=message][data-own=true]")).to_contain_text("Hello")

    await ben.get_by_test_id("leave").click()
    await expect(ben.get_by_test_id("join-form")).to_be_visible()
    await expect(alice.get_by_test_id("note").last).to_have_text("Ben left")
    await expect(alice.get_by_test_id("person")).to_have_count(1)


async def test_a_question_is_listed_apart_until_the_host_marks_it_answered(stage: Stage) -> None:
    alice = await host_of(stage)
    ben, eve = await guest_of(stage, alice, "Ben"), await guest_of(stage, alice, "Eve")
    await ask(ben, "Why?")
    await ask(eve, "How?")
    for page in (alice, ben, eve):
        await expect(page.get_by_test_id("question")).to_contain_text(["Why?", "How?"])
        await expect(page.get_by_test_id("open-questions")).to_have_text("2 open")
        await expect(page.locator("[data-testid=message][data-kind=question]")).to_have_count(2)
    await expect(ben.get_by_test_id("mark")).to_have_count(0)
    await alice.get_by_test_id("question").filter(has_text="Why?").get_by_test_id("mark").click()
    for page in (alice, ben, eve):
        await expect(page.locator("[data-testid=question][data-answered=true]")).to_contain_text("Why?")
        await expect(page.locator("[data-testid=question][data-answered=false]")).to_contain_text("How?")
        await expect(page.get_by_test_id("open-questions")).to_have_text("1 open")


async def test_everybody_follows_the_hosts_slide_and_whoever_comes_later_sees_it(stage: Stage) -> None:
    alice = await host_of(stage)
    ben = await guest_of(stage, alice, "Ben")
    await expect(ben.get_by_text("Nothing is shown yet")).to_be_visible()
    await expect(ben.get_by_test_id("slide-next")).to_be_hidden()
    for _ in range(5):
        await alice.get_by_test_id("slide-next").click()
    await alice.get_by_test_id("slide-back").click()
    await expect(ben.get_by_test_id("slide")).to_have_text("4")
    eve = await guest_of(stage, alice, "Eve")
    await expect(eve.get_by_test_id("slide")).to_have_text("4")


async def test_the_host_closes_the_session_for_everybody(stage: Stage) -> None:
    alice = await host_of(stage)
    ben = await guest_of(stage, alice, "Ben")
    await say(ben, "Goodbye")
    await expect(messages(alice)).to_have_text(["Goodbye"])
    await alice.get_by_test_id("close").click()
    await alice.get_by_test_id("confirm").click()
    for page in (alice, ben):
        await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "stopped")
        await expect(page.get_by_test_id("banner")).to_contain_text("This session is closed.")
        await expect(page.get_by_test_id("composer")).to_be_hidden()
        await expect(messages(page)).to_have_text(["Goodbye"])
    await ben.get_by_test_id("start-over").click()
    await expect(ben.get_by_test_id("join-form")).to_be_visible()


async def test_a_reload_stays_in_with_what_was_heard(stage: Stage) -> None:
    alice = await host_of(stage)
    ben = await guest_of(stage, alice, "Ben")
    await say(alice, "Welcome")
    await ask(ben, "Why?")
    await expect(alice.get_by_test_id("question")).to_have_count(1)
    for page in (alice, ben):
        await page.reload()
        await is_online(page)
        await expect(messages(page)).to_have_text(["Welcome", "Why?"])
        await expect(page.get_by_test_id("question")).to_contain_text(["Why?"])
    await say(ben, "Still here")
    await expect(messages(alice)).to_have_text(["Welcome", "Why?", "Still here"])
    await expect(alice.get_by_test_id("sender").last).to_have_text("Ben")
    await expect(alice.get_by_test_id("person")).to_have_count(2)
    await expect(alice.get_by_test_id("mark")).to_have_count(1)


async def test_whoever_does_not_get_in_is_told_why(stage: Stage) -> None:
    alice = await host_of(stage)
    await guest_of(stage, alice, "Ben")
    page = await stage.page()
    await page.goto(await alice.get_by_test_id("link").get_attribute("href"))
    why = page.get_by_test_id("refusal")
    for nickname, words in (
        ("BEN", "Somebody in this session has that nickname already."),
        ("Ben!", "A nickname is 2 to 20 letters, digits and spaces."),
    ):
        await page.get_by_test_id("nickname").fill(nickname)
        await page.get_by_test_id("do-join").click()
        await expect(why).to_have_text(words)
    await page.get_by_test_id("join-code").fill("NOSUCHCODE")
    await page.get_by_test_id("do-join").click()
    await expect(why).to_have_text("No open session has this code.")

    code = await alice.get_by_test_id("code").inner_text()
    other = await stage.page()
    await other.goto(stage.node.origin + SESSION)
    await other.get_by_test_id("session-title").fill("Chemistry")
    await other.get_by_test_id("own-code").fill(code)
    await other.get_by_test_id("do-open").click()
    await expect(other.get_by_test_id("refusal")).to_have_text("This code is taken.")
    await other.get_by_test_id("own-code").fill("chem101")
    await other.get_by_test_id("do-open").click()
    await expect(other.get_by_test_id("code")).to_have_text("CHEM101")

    assert [re.findall(r"\d{3}", line) for line in stage.complaints if line.startswith(REFUSED)] == [
        ["400"], ["422"], ["404"], ["409"],
    ]  # fmt: skip
    stage.complaints.clear()


async def test_whoever_was_cut_off_comes_back_and_is_told_that_something_is_missing(devices: Devices) -> None:
    alice, ben = await devices.blank(), await devices.blank()
    code = await code_of_new(alice.page, alice.road.origin)
    await ben.page.goto(f"{ben.road.origin}{SESSION}?code={code}")
    await join(ben.page, "Ben")
    ben.road.cut()
    await expect(ben.page.get_by_test_id("connection")).to_have_attribute("data-status", "waiting")
    await expect(ben.page.get_by_test_id("banner")).to_be_visible()
    await say(ben.page, "Not lost")
    await expect(ben.page.get_by_test_id("composer")).to_have_value("Not lost")
    await alice.page.get_by_test_id("slide-next").click()
    await alice.page.get_by_test_id("slide-next").click()
    ben.road.mend()
    await is_online(ben.page)
    await expect(ben.page.get_by_test_id("banner")).to_be_hidden()
    await expect(ben.page.get_by_test_id("note").last).to_contain_text("is not shown here")
    await expect(ben.page.get_by_test_id("slide")).to_have_text("2")
    await ben.page.get_by_test_id("send").click()
    await expect(messages(alice.page)).to_have_text(["Not lost"])


async def test_what_was_given_back_and_was_said_all_the_same_is_not_to_be_said_again(devices: Devices) -> None:
    alice, ben = await devices.blank(), await devices.blank()
    code = await code_of_new(alice.page, alice.road.origin)
    await ben.page.goto(f"{ben.road.origin}{SOCKETIO}?code={code}")
    await join(ben.page, "Ben")
    await expect(ben.page.get_by_test_id("count")).to_have_text("2")
    # It arrives, and he is not told.
    ben.road.hold(Way.BACK, only="GET /socket.io/")
    await say(ben.page, "Said already")
    await expect(messages(alice.page)).to_have_text(["Said already"])
    ben.road.cut()
    await expect(ben.page.get_by_test_id("composer")).to_have_value("Said already")
    ben.road.mend()
    await is_online(ben.page)
    await expect(messages(ben.page)).to_have_text(["Said already"])
    await expect(ben.page.get_by_test_id("composer")).to_have_value("")


async def test_where_tokens_are_wanted_the_host_pastes_one_and_guests_need_none(cluster: Cluster, browser: Any) -> None:
    async with AsyncExitStack() as stack:
        stage = Stage(await cluster.node(demo=True, **FREE), browser, stack)
        alice = await stage.page()
        await alice.goto(stage.node.origin + SESSION)
        await alice.get_by_test_id("session-title").fill("Biology")
        await alice.get_by_test_id("token").fill("no token at all")
        await alice.get_by_test_id("do-open").click()
        await expect(alice.get_by_test_id("refusal")).to_have_text("The server did not accept that token.")
        await alice.get_by_test_id("token").fill(token(ALICE, SECRET, name="Alice"))
        await alice.get_by_test_id("do-open").click()
        await is_online(alice)
        ben = await guest_of(stage, alice, "Ben")
        await say(ben, "Hello")
        await ask(ben, "Why?")
        await alice.get_by_test_id("mark").click()
        await alice.get_by_test_id("slide-next").click()
        await expect(ben.locator("[data-testid=question][data-answered=true]")).to_have_count(1)
        await expect(ben.get_by_test_id("slide")).to_have_text("1")
        # The same person, in the other dialect.
        for page in (alice, ben):
            await page.get_by_role("link", name="Socket.IO").click()
            await is_online(page)
            await expect(messages(page)).to_have_text(["Hello", "Why?"])
        await say(alice, "Alice over Socket.IO")
        await expect(messages(ben)).to_have_count(3)
        await say(ben, "Ben over Socket.IO")
        await expect(messages(alice)).to_have_text(["Hello", "Why?", "Alice over Socket.IO", "Ben over Socket.IO"])
        await expect(alice.get_by_test_id("sender")).to_have_text(["Ben", "Ben", "You", "Ben"])
        assert [line for line in stage.complaints if not line.startswith(REFUSED)] == []


async def test_websocket_and_polling_are_one_room(stage: Stage) -> None:
    code = await opened(stage)
    pages = {}
    for transport, nickname in (("websocket", "Ben"), ("polling", "Eve")):
        page = pages[transport] = await stage.page()
        sockets: list[Any] = []
        page.on("websocket", lambda socket, sockets=sockets: sockets.append(socket))
        await page.goto(f"{stage.node.origin}{SOCKETIO}?code={code}")
        await page.get_by_test_id("transport").locator(f"input[value={transport}]").check()
        await join(page, nickname)
        assert len(sockets) == (transport == "websocket")
    ben, eve = pages.values()
    for page in (ben, eve):
        await expect(page.get_by_test_id("count")).to_have_text("2")
    await say(ben, "By WebSocket")
    await say(eve, "By polling")
    for page in (ben, eve):
        await expect(messages(page)).to_have_text(["By WebSocket", "By polling"])
        await expect(page.get_by_test_id("history")).to_have_text("2 of 2 messages")

    # The history comes with coming in, and with the other transport.
    await ben.get_by_test_id("transport").locator("input[value=polling]").check()
    await is_online(ben)
    await say(ben, "By polling, too")
    await eve.reload()
    for page in (ben, eve):
        await expect(messages(page)).to_have_text(["By WebSocket", "By polling", "By polling, too"])


async def test_whoever_opens_a_session_over_socket_io_is_its_presenter_and_closes_it(stage: Stage) -> None:
    alice = await host_of(stage, path=SOCKETIO)
    ben = await guest_of(stage, alice, "Ben")
    await say(alice, "Welcome")
    await expect(messages(ben)).to_have_text(["Welcome"])
    await expect(ben.get_by_test_id("close")).to_be_hidden()
    await alice.get_by_test_id("close").click()
    await alice.get_by_test_id("confirm").click()
    for page in (alice, ben):
        await expect(page.get_by_test_id("banner")).to_contain_text("This session is closed.")
        await expect(page.get_by_test_id("composer")).to_be_hidden()


async def test_two_people_in_an_open_room_and_one_who_comes_later(stage: Stage) -> None:
    ann, ben = await in_room(stage, "Ann"), await in_room(stage, "Ben")
    await say(ann, "Anybody here?")
    await expect(messages(ben)).to_have_text(["Anybody here?"])
    await say(ben, "Me")
    await say(ben, "Me")
    for page in (ann, ben):
        await expect(messages(page)).to_have_text(["Anybody here?", "Me", "Me"])
    await expect(ann.get_by_test_id("sender")).to_have_text(["You", "Ben", "Ben"])
    eve = await in_room(stage, "Eve")
    await expect(messages(eve)).to_have_text(["Anybody here?", "Me", "Me"])
    elsewhere = await in_room(stage, "Ann", "another")
    await say(elsewhere, "Alone")
    await expect(messages(elsewhere)).to_have_text(["Alone"])
    await expect(messages(ann)).to_have_count(3)
    await ben.reload()
    await is_online(ben)
    await expect(messages(ben)).to_have_text(["Anybody here?", "Me", "Me"])


async def test_an_open_room_shows_the_last_fifty_and_adds_only_what_is_new(stage: Stage) -> None:
    ann, ben = await in_room(stage, "Ann"), await in_room(stage, "Ben")
    for number in range(49):
        await say(ann, f"{number}")
    await expect(messages(ben)).to_have_count(49)
    # A screen reader tells what is added.
    await ben.evaluate(
        """window.added = [];
        new MutationObserver((changes) => {
          for (const { addedNodes } of changes) added.push(...[...addedNodes].map(({ innerText }) => innerText));
        }).observe(document.querySelector('#log'), { childList: true });"""
    )
    for number in range(49, 52):
        await say(ann, f"{number}")
    await expect(messages(ben)).to_have_text([f"{number}" for number in range(2, 52)])
    assert [re.findall(r"\d+", text)[0] for text in await ben.evaluate("added")] == ["49", "50", "51"]


async def test_where_open_rooms_are_off_the_page_says_so(cluster: Cluster, browser: Any) -> None:
    async with AsyncExitStack() as stack:
        stage = Stage(await cluster.node(auth="off", demo=True), browser, stack)
        page = await stage.page()
        await page.goto(stage.node.origin + ROOM)
        await page.get_by_test_id("name").fill("Ann")
        await page.get_by_test_id("enter").click()
        await expect(page.get_by_test_id("banner")).to_contain_text("There are no open rooms on this server.")


async def test_what_people_write_is_text_on_every_page(stage: Stage) -> None:
    alice = await host_of(stage, title=MARKUP)
    ben = await guest_of(stage, alice, "Ben")
    await say(ben, MARKUP)
    await ask(ben, MARKUP)
    await expect(alice.get_by_test_id("question")).to_contain_text([MARKUP])
    eve = await guest_of(stage, alice, "Eve")
    await eve.get_by_role("link", name="Socket.IO").click()
    await is_online(eve)
    ann = await in_room(stage, MARKUP)
    await say(ann, MARKUP)
    dan = await in_room(stage, "Dan")
    for page in (alice, ben, eve, ann, dan):
        await expect(messages(page).first).to_have_text(MARKUP)
        assert await page.evaluate("document.querySelectorAll('img').length") == 0
        assert await page.evaluate("window.__pwned") is None
    for page in (alice, eve):
        await expect(page.get_by_test_id("room-title")).to_have_text(MARKUP)
    await expect(dan.get_by_test_id("sender")).to_have_text([MARKUP])


async def test_the_keyboard_is_enough(stage: Stage) -> None:
    alice = await stage.page(viewport=WIDE)
    await alice.goto(stage.node.origin + SESSION)
    await alice.get_by_test_id("host").wait_for()
    await expect(alice.get_by_test_id("join-code")).to_be_focused()

    async def tab_to(name: str) -> None:
        for _ in range(20):
            if await alice.evaluate("document.activeElement.dataset.testid") == name:
                return
            await alice.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not reach {name}")

    await tab_to("session-title")
    await alice.keyboard.type("Biology")
    await alice.keyboard.press("Enter")
    await is_online(alice)
    await expect(alice.get_by_test_id("composer")).to_be_focused()
    await alice.keyboard.type("Why?")
    await tab_to("ask")
    await alice.keyboard.press("Enter")
    await expect(alice.get_by_test_id("question")).to_have_count(1)
    await tab_to("slide-next")
    await alice.keyboard.press("Enter")
    await expect(alice.get_by_test_id("slide")).to_have_text("1")
    await tab_to("mark")
    await alice.keyboard.press("Space")
    await expect(alice.locator("[data-testid=question][data-answered=true]")).to_have_count(1)


@pytest.mark.parametrize("look", LOOKS)
async def test_no_page_breaks_a_rule_or_scrolls_sideways(stage: Stage, axe: str, look: str) -> None:
    options: dict[str, Any] = {"bypass_csp": True, "reduced_motion": "reduce", **LOOKS[look]}
    found: dict[str, Any] = {}

    async def look_at(page: Any, screen: str) -> None:
        await page.evaluate(AT_REST)
        if not await page.evaluate("'axe' in window"):
            await page.evaluate(axe)
        if violations := await page.evaluate(RUN, TAGS):
            found[screen] = violations
        if sideways := await page.evaluate(SCROLLS_SIDEWAYS):
            found[f"{screen}, sideways"] = sideways

    door = await stage.page(**options)
    for path in (SESSION, SOCKETIO):
        await door.goto(stage.node.origin + path)
        await door.get_by_test_id("open-form").wait_for()
        await look_at(door, f"{path} before")
    await door.goto(stage.node.origin + ROOM)
    await look_at(door, f"{ROOM} before")

    alice = await host_of(stage, **options)
    ben = await guest_of(stage, alice, "Ben", **options)
    await say(alice, "Look at https://example.org/" + "long" * 60)
    await ask(ben, "Why?")
    await ask(ben, "How" * 60)
    for page in (alice, ben):
        await expect(page.get_by_test_id("question")).to_have_count(2)
        await page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    await alice.get_by_test_id("mark").first.click()
    await alice.get_by_test_id("slide-next").click()
    await expect(ben.get_by_test_id("slide")).to_have_text("1")
    await ben.get_by_test_id("composer").press_sequentially("I")
    await expect(alice.get_by_test_id("typing")).to_be_visible()
    await look_at(alice, "a session, its host")
    await look_at(ben, "a session, a guest")
    eve = await guest_of(stage, alice, "Eve", **options)
    await eve.goto(stage.node.origin + SOCKETIO)
    await is_online(eve)
    await expect(messages(eve)).to_have_count(3)
    await look_at(eve, "a session over Socket.IO")
    ann = await in_room(stage, "Ann", **options)
    await say(ann, "Anybody here?")
    await expect(messages(ann)).to_have_count(1)
    await look_at(ann, "an open room")
    await alice.get_by_test_id("close").click()
    await look_at(alice, "closing")
    await alice.get_by_test_id("confirm").click()
    await expect(ben.get_by_test_id("start-over")).to_be_visible()
    await look_at(ben, "closed")
    assert found == {}, json.dumps(found, indent=1)


async def test_a_korean_browser_is_spoken_to_in_korean_on_every_page(stage: Stage) -> None:
    options: dict[str, Any] = {"locale": "ko-KR", "viewport": PHONE}
    alice = await host_of(stage, title="생물", **options)
    ben = await guest_of(stage, alice, "하은", **options)
    await ask(ben, "왜요?")
    await expect(alice.get_by_test_id("question")).to_have_count(1)
    await alice.get_by_test_id("slide-next").click()
    ann = await in_room(stage, "지우", "1", **options)
    door = await stage.page(**options)
    await door.goto(stage.node.origin + SOCKETIO)
    await door.get_by_test_id("open-form").wait_for()
    code = await alice.get_by_test_id("code").inner_text()
    for page in (alice, ben, ann, door):
        assert await page.evaluate("document.documentElement.lang") == "ko"
        await page.evaluate("document.querySelectorAll('.link').forEach((link) => link.remove())")
        texts = [text for text in await page.evaluate(WORDS) if text != code]
        # What has no Korean name.
        assert words_of(texts) - DATA <= {"socket", "io-client"}
