"""Files: they come in by the button, by a drop and by pasting, and go when there is a network; whoever may read a message loads
down what it carries, and nobody else."""

import asyncio
import io
import json
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from PIL import Image
from playwright.async_api import FilePayload, expect

from messenger.demo_data import seed
from tests.e2e.conftest import miss
from tests.e2e.devices import ALICE, BOB, REACT, Device, Devices, said
from tests.support.database import Database
from tests.support.node import FREE, Cluster
from tests.support.people import API

EXECUTABLE = b"MZ\x90\x00" + bytes(range(32)) * 64
# Put some files where a person would drop or paste them: [name, type, bytes as base64].
CARRIED = """(files) => {
  const carried = new DataTransfer();
  for (const [name, type, bytes] of files)
    carried.items.add(new File([Uint8Array.from(bytes)], name, { type }));
  return carried;
}"""
PASTE = """(field, carried) =>
  field.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true }))"""


def picture(width: int = 640, height: int = 480, colour: str = "teal", kind: str = "PNG") -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(made, kind)
    return made.getvalue()


def chosen(name: str, body: bytes, mime_type: str = "application/octet-stream") -> FilePayload:
    """As a file chooser gives it."""
    return {"name": name, "mimeType": mime_type, "buffer": body}


async def put(devices: Devices, user_id: int, name: str, body: bytes) -> dict[str, Any]:
    """Somebody uploads a file with another client."""
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", io.BytesIO(body), filename=name)
    address = f"{devices.node.origin}{API}/attachments"
    async with devices.node.session.post(address, data=form, headers={"X-User-Id": str(user_id)}) as answer:
        assert answer.status == 201, await answer.text()
        told: dict[str, Any] = json.loads(await answer.text())
        return told


async def send(devices: Devices, user_id: int, talk: str, *files: dict[str, Any], content: str = "") -> dict[str, Any]:
    kind = "image" if all(file["mime_type"].startswith("image/") for file in files) else "file"
    body = {"content": content, "message_type": kind, "attachments": [{"url": file["url"]} for file in files]}
    sent: dict[str, Any] = await devices.call(user_id, "POST", f"/conversations/{talk}/messages", body)
    return sent


async def choose(device: Device, *files: FilePayload) -> None:
    """By the button, as a person does."""
    async with device.page.expect_file_chooser() as opening:
        await device.page.get_by_test_id("attach").click()
    await (await opening.value).set_files(list(files))


async def load_down(device: Device, button: Any) -> tuple[str, bytes]:
    """What a click on it saves: the name and the bytes."""
    async with device.page.expect_download() as loading:
        await button.click()
    download = await loading.value
    saved = Path(await download.path())
    return download.suggested_filename, await asyncio.to_thread(saved.read_bytes)


def trayed(device: Device, name: str) -> Any:
    return device.page.get_by_test_id("tray-file").filter(has_text=name)


def pictures(device: Device) -> Any:
    return device.page.get_by_test_id("picture")


async def are_shown(device: Device, count: int = 1) -> None:
    await expect(pictures(device)).to_have_count(count)
    for index in range(count):
        await expect(pictures(device).nth(index)).to_have_attribute("data-state", "shown")


@pytest.fixture
async def talk(devices: Devices) -> str:
    return await devices.group(ALICE, BOB)


@pytest.fixture
async def both(devices: Devices, talk: str) -> list[Device]:
    """Alice and Bob, with the talk open."""
    both = [await devices.of(ALICE), await devices.of(BOB)]
    for device in both:
        await device.open("Tea")
    return both


async def test_a_picture_goes_to_the_other_who_loads_the_same_bytes_down(
    both: list[Device], oracle: asyncpg.Connection, talk: str
) -> None:
    alice, bob = both
    photo = picture(1200, 800, kind="JPEG")
    await choose(alice, chosen("호수.jpg", photo, "image/jpeg"))
    await expect(trayed(alice, "호수.jpg")).to_have_attribute("data-state", "there")
    preview = trayed(alice, "호수.jpg").locator("img")
    assert await preview.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1200
    # No words are needed.
    await alice.composer.press("Enter")
    for device in both:
        await are_shown(device)
        await expect(device.listed("Tea").locator(".preview")).to_contain_text("Picture")
    await expect(alice.page.get_by_test_id("tray")).to_be_hidden()
    await expect(alice.messages).to_have_attribute("data-message-id", re.compile("."))
    assert await said(oracle, talk) == [""]
    assert await oracle.fetchval("select message_type from messenger.messages where content = ''") == "image"

    # What is shown in the row is the small one; in the dialog it is the picture itself.
    width = "image => image.decode().then(() => image.naturalWidth)"
    assert await pictures(bob).locator("img").evaluate(width) == 512
    await pictures(bob).click()
    viewer = bob.page.get_by_test_id("viewer")
    await expect(viewer.locator("[data-state]")).to_have_attribute("data-state", "shown")
    assert await viewer.get_by_role("img", name="호수.jpg").evaluate(width) == 1200
    assert await load_down(bob, viewer.get_by_test_id("download")) == ("호수.jpg", photo)
    await bob.page.keyboard.press("Escape")
    await expect(pictures(bob)).to_be_focused()


async def test_files_are_dropped_and_pasted(both: list[Device]) -> None:
    alice, bob = both
    page = alice.page
    carried = await page.evaluate_handle(CARRIED, [["notes.txt", "text/plain", list(b"One, two")]])
    pane, veil = page.get_by_test_id("pane"), page.get_by_test_id("veil")
    await pane.dispatch_event("dragenter", {"dataTransfer": carried})
    await expect(veil).to_be_visible()
    await pane.dispatch_event("dragleave", {"dataTransfer": carried})
    await expect(veil).to_be_hidden()
    await pane.dispatch_event("dragenter", {"dataTransfer": carried})
    await pane.dispatch_event("drop", {"dataTransfer": carried})
    await expect(veil).to_be_hidden()
    await expect(trayed(alice, "notes.txt")).to_have_attribute("data-state", "there")
    # Beside the conversation a file falls into nothing, and the browser does not leave for it.
    await page.locator(".sidebar").dispatch_event("drop", {"dataTransfer": carried})

    shot = await page.evaluate_handle(CARRIED, [["image.png", "image/png", list(picture(40, 30))]])
    await alice.composer.evaluate(PASTE, shot)
    await expect(trayed(alice, "image.png")).to_have_attribute("data-state", "there")
    # A table that was copied comes with a picture of itself: its words are meant.
    table = await page.evaluate_handle(CARRIED, [["image.png", "image/png", list(picture(40, 30))]])
    await table.evaluate("carried => { carried.setData('text/plain', 'a b'); carried.setData('text/html', '<b>a'); }")
    await alice.composer.evaluate(PASTE, table)
    await expect(page.get_by_test_id("tray-file")).to_have_count(2)

    await alice.say("Both of them")
    await bob.shows(["Both of them"])
    await are_shown(bob)
    assert await load_down(bob, bob.page.get_by_test_id("file")) == ("notes.txt", b"One, two")


async def test_one_sees_how_far_a_file_is_and_its_message_waits_for_it(both: list[Device]) -> None:
    alice, bob = both
    page = alice.page
    alice.road.hold()
    # More than lies on the way without anybody taking it.
    body = b"%PDF-1.7\n" + b"x" * 24_000_000
    await page.get_by_test_id("attach-files").set_input_files([chosen("plan.pdf", body, "application/pdf")])
    item = trayed(alice, "plan.pdf")
    await expect(item).to_have_attribute("data-state", "going")
    # A part of it is on its way, and the rest is not.
    await expect(item).to_contain_text(re.compile(r"(?<!\d)[1-9]\d?% of 24 MB"))
    bar = item.get_by_role("progressbar", name="Uploading plan.pdf")
    assert 0 < float(await bar.evaluate("bar => bar.value")) < 1
    await alice.say("The plan")
    await expect(alice.composer).not_to_be_editable()
    await expect(page.get_by_test_id("tray-status")).to_contain_text("as soon as its files are there")
    await expect(alice.messages).to_have_count(0)
    alice.road.mend()
    await bob.shows(["The plan"])
    await alice.shows(["The plan"])
    await expect(alice.composer).to_be_editable()
    await expect(alice.composer).to_have_value("")
    name, loaded = await load_down(bob, bob.page.get_by_test_id("file"))
    assert (name, loaded == body) == ("plan.pdf", True)


async def test_a_message_that_waits_goes_into_its_own_conversation(
    devices: Devices, both: list[Device], oracle: asyncpg.Connection, talk: str
) -> None:
    alice, bob = both
    alice.road.hold()
    await alice.page.get_by_test_id("attach-files").set_input_files([chosen("a.png", picture(), "image/png")])
    await alice.say("Look")
    await alice.listed("Bob").click()
    await expect(alice.page.get_by_test_id("conversation-title")).to_have_text("Bob")
    await expect(alice.page.get_by_test_id("tray")).to_be_hidden()
    await alice.composer.fill("Not this")
    alice.road.mend()
    await bob.shows(["Look"])
    await expect(alice.composer).to_have_value("Not this")
    assert await said(oracle, talk) == ["Look"]


async def test_without_a_network_files_wait_and_go_later(both: list[Device]) -> None:
    alice, bob = both
    alice.road.cut()
    await expect(alice.connection).not_to_have_attribute("data-status", "online")
    await choose(alice, chosen("a.png", picture(), "image/png"))
    status = alice.page.get_by_test_id("tray-status")
    await expect(status).to_have_text("Files are uploaded as soon as you are connected.")
    await expect(trayed(alice, "a.png")).to_have_attribute("data-state", "waiting")
    await alice.say("From the dark")
    await expect(alice.messages).to_have_count(0)
    alice.road.mend()
    await alice.shows(["From the dark"])
    await bob.shows(["From the dark"])
    await are_shown(bob)

    # It breaks off on its way.
    alice.road.hold()
    await alice.page.get_by_test_id("attach-files").set_input_files([chosen("b.png", picture(), "image/png")])
    await alice.say("Once more")
    await expect(trayed(alice, "b.png")).to_have_attribute("data-state", "going")
    alice.road.cut()
    await expect(trayed(alice, "b.png")).not_to_have_attribute("data-state", "going")
    alice.road.mend()
    await bob.shows(["From the dark", "Once more"])
    await are_shown(bob, 2)


async def test_what_is_refused_is_told_in_words(
    cluster: Cluster, database: Database, browser: Any, example: str
) -> None:
    await seed(database.app_url)
    node = await cluster.node(auth="off", demo=True, **{**FREE, "max_attachment_bytes": 40_000})
    async with AsyncExitStack() as stack:
        devices = Devices(stack, browser, example, node)
        await devices.group(ALICE, BOB)
        alice = await devices.of(ALICE)
        await alice.open("Tea")
        page = alice.page
        await choose(
            alice,
            chosen("large.zip", b"PK\x03\x04" + b"\x01" * 40_000, "application/zip"),
            chosen("setup.exe", EXECUTABLE, "application/x-msdownload"),
            chosen("a.png", picture(), "image/png"),
        )
        await expect(trayed(alice, "large.zip").get_by_role("alert")).to_have_text("Too large: at most 40 kB.")
        await expect(trayed(alice, "setup.exe").get_by_role("alert")).to_have_text("Files of this kind cannot be sent.")
        await expect(trayed(alice, "a.png")).to_have_attribute("data-state", "there")
        await alice.say("Three of them")
        await expect(page.get_by_test_id("tray-status")).to_contain_text("Remove what could not be uploaded")
        await expect(alice.messages).to_have_count(0)
        for name in ("large.zip", "setup.exe"):
            await trayed(alice, name).get_by_test_id("tray-remove").click()
        await alice.composer.press("Enter")
        await alice.shows(["Three of them"])
        await are_shown(alice)

        # A page that does not know the limit is told by the daemon.
        await page.route("**/demo/config.json", lambda route: route.fulfill(json={"auth": "off", "users": []}))
        await page.reload()
        await alice.open("Tea")
        await choose(alice, chosen("large.zip", b"PK\x03\x04" + b"\x01" * 80_000, "application/zip"))
        await expect(trayed(alice, "large.zip").get_by_role("alert")).to_have_text("This file is too large.")
        assert [text for text in devices.complaints if not re.search("status of 41[35]", text)] == []


async def test_whoever_may_not_read_it_any_more_loads_nothing_down(
    devices: Devices, both: list[Device], talk: str
) -> None:
    alice, bob = both
    await choose(alice, chosen("a.png", picture(), "image/png"), chosen("a.pdf", b"%PDF-1.7", "application/pdf"))
    await expect(trayed(alice, "a.pdf")).to_have_attribute("data-state", "there")
    await expect(trayed(alice, "a.png")).to_have_attribute("data-state", "there")
    await alice.say("For us")
    await bob.shows(["For us"])
    await are_shown(bob)
    # He is put out while his page does not hear of it, and looks on.
    bob.road.hold(only="GET /ws/")
    await devices.call(ALICE, "DELETE", f"/conversations/{talk}/participants/{BOB}")
    # The link that his page has still holds for a while; another one is not to be had.
    await bob.page.evaluate("Date.now = ((now) => () => now() + 3_600_000)(Date.now)")
    await bob.page.get_by_test_id("file").click()
    await expect(bob.page.get_by_test_id("toast")).to_have_text("This file is not there any more.")
    # She may, until it is deleted.
    assert (await load_down(alice, alice.page.get_by_test_id("file")))[1] == b"%PDF-1.7"
    devices.complaints[:] = [text for text in devices.complaints if "status of 404" not in text]


async def test_a_link_that_has_expired_is_renewed_and_one_that_fails_again_is_given_up(
    devices: Devices, talk: str
) -> None:
    await send(devices, BOB, talk, await put(devices, BOB, "a.png", picture()))
    await send(devices, BOB, talk, await put(devices, BOB, "b.png", picture(colour="navy")), content="Two")
    alice = await devices.of(ALICE)
    asked: list[str] = []
    refused: list[str] = []

    async def refuse(route: Any) -> None:
        # Of the first picture once, and of the second always.
        of = route.request.url.split("/")[-2]
        first = asked[0].split("/")[-2] if asked else of
        if of != first or of not in refused:
            refused.append(of)
            await route.fulfill(status=403, json={"code": "forbidden"})
        else:
            await route.continue_()

    alice.page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/links") else None)
    await alice.page.route("**/thumbnail?*", refuse)
    await alice.open("Tea")
    states = pictures(alice)
    await expect(alice.page.locator('[data-testid="picture"][data-state="shown"]')).to_have_count(1)
    await expect(alice.page.locator('[data-testid="picture"][data-state="broken"]')).to_have_count(1)
    await expect(states).to_have_count(2)
    assert sorted(asked.count(address) for address in set(asked)) == [2, 2]
    devices.complaints[:] = [text for text in devices.complaints if "status of 403" not in text]


async def test_pictures_are_asked_for_when_they_come_near_and_move_nothing(devices: Devices, talk: str) -> None:
    for number in range(24):
        await send(devices, BOB, talk, await put(devices, BOB, f"{number}.png", picture(320, 240 + number)))
    for user_id in (ALICE, BOB):
        newest = (await devices.call(user_id, "GET", f"/conversations/{talk}/messages?limit=1"))["messages"][-1]
        await devices.call(ALICE, "POST", f"/messages/{newest['id']}/read")
    alice = await devices.of(ALICE)
    page = alice.page
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url) if request.url.endswith("/links") else None)
    may_come = asyncio.Event()

    async def wait(route: Any) -> None:
        await may_come.wait()
        await route.continue_()

    await page.route("**/thumbnail?*", wait)
    await alice.open("Tea")
    last = pictures(alice).last
    await expect(last).to_have_attribute("title", "23.png")
    await expect(last.locator("img")).to_have_count(1)
    before = await last.bounding_box()
    may_come.set()
    await expect(last).to_have_attribute("data-state", "shown")
    assert await last.bounding_box() == before
    assert 1 <= len(asked) < 12
    await page.evaluate("document.querySelector('#scroller').scrollTop = 0")
    await expect(page.get_by_title("0.png", exact=True)).to_have_attribute("data-state", "shown")
    assert len(asked) < 24


async def test_what_lies_elsewhere_is_a_link_and_is_not_loaded(devices: Devices, talk: str) -> None:
    elsewhere = [
        {"url": "https://files.example/a.png", "name": "a.png", "size": 7, "mime_type": "image/png"},
        {"url": "http://files.example/b.png", "name": "b.png", "mime_type": "image/png"},
    ]
    body = {"content": "", "message_type": "image", "attachments": elsewhere}
    await devices.call(BOB, "POST", f"/conversations/{talk}/messages", body)
    alice = await devices.of(ALICE)
    asked: list[str] = []
    alice.page.on("request", lambda request: asked.append(request.url))
    await alice.open("Tea")
    await expect(alice.page.locator("a.attachment")).to_have_count(1)
    await expect(alice.page.locator("a.attachment")).to_have_attribute("href", "https://files.example/a.png")
    await expect(alice.page.locator("span.attachment")).to_contain_text("b.png")
    await expect(alice.listed("Tea").locator(".preview")).to_have_text("Bob: 2 pictures")
    await expect(alice.messages.locator("img")).to_have_count(0)
    assert [url for url in asked if not url.startswith(alice.road.origin)] == []


async def test_a_message_that_is_edited_reacted_to_and_read_keeps_its_picture(
    both: list[Device], devices: Devices, talk: str
) -> None:
    _, bob = both
    sent = await send(devices, ALICE, talk, await put(devices, ALICE, "a.png", picture()), content="Look")
    await are_shown(bob)
    await pictures(bob).evaluate("picture => { window.first = picture; picture.focus(); }")
    await devices.call(ALICE, "PATCH", f"/messages/{sent['id']}", {"content": "Look at that"})
    await bob.shows(["Look at that"])
    assert await bob.page.evaluate("first === document.querySelector('[data-testid=picture]')")
    await expect(pictures(bob)).to_be_focused()
    await devices.call(ALICE, "DELETE", f"/messages/{sent['id']}")
    await expect(pictures(bob)).to_have_count(0)
    await expect(bob.contents).to_have_text(["This message was deleted"])


async def test_the_keyboard_reaches_all_of_it(both: list[Device], devices: Devices, talk: str) -> None:
    alice, bob = both
    page = alice.page
    async with page.expect_file_chooser() as opening:
        await alice.composer.press("Shift+Tab")
        await page.keyboard.press("Enter")
    await (await opening.value).set_files([chosen("a.png", picture(), "image/png"), chosen("b.txt", b"b")])
    await expect(alice.composer).to_be_focused()
    for name in ("a.png", "b.txt"):
        await expect(trayed(alice, name)).to_have_attribute("data-state", "there")
    # The last one that is taken out leaves the focus with its neighbour.
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Shift+Tab")
    await expect(page.get_by_role("button", name="Remove b.txt")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Remove a.png")).to_be_focused()
    await alice.say("Look")
    await are_shown(bob)
    await bob.page.get_by_test_id("pane").focus()
    await bob.page.keyboard.press("ArrowUp")
    await expect(bob.row("Look")).to_be_focused()
    await bob.page.keyboard.press("Tab")
    await expect(pictures(bob)).to_be_focused()
    await bob.page.keyboard.press("Enter")
    await expect(bob.page.get_by_test_id("viewer")).to_be_visible()


async def test_an_application_of_another_origin_sends_and_gets_files(devices: Devices, talk: str) -> None:
    if not devices.example:
        miss("the React example is not built (npm run build in demo/)")
    alice, bob = await devices.of(ALICE, face=REACT), await devices.of(BOB)
    for device in (alice, bob):
        await device.open("Tea")
    await alice.page.get_by_test_id("attach-files").set_input_files([chosen("a.png", picture(), "image/png")])
    await are_shown(bob)
    await choose(bob, chosen("b.pdf", b"%PDF-1.7", "application/pdf"))
    await expect(trayed(bob, "b.pdf")).to_have_attribute("data-state", "there")
    await bob.composer.press("Enter")
    await alice.page.evaluate("window.open = (url) => { window.opened = url; }")
    await alice.page.get_by_role("button", name="b.pdf").click()
    address = await (await alice.page.wait_for_function("window.opened")).json_value()
    assert address.startswith(alice.road.origin)
    async with devices.node.session.get(address) as answer:
        assert await answer.read() == b"%PDF-1.7"
