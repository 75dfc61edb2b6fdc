"""The network goes and comes back, and people write meanwhile: everything arrives once, and what was missed is asked for."""

import json
import re
from typing import Any

import asyncpg
from playwright.async_api import expect

from tests.e2e.devices import ALICE, BOB, CHIARA, REACT, Device, Devices, each, said


def listen(device: Device) -> list[dict[str, Any]]:
    """The frames that it sends from its next socket on."""
    sent: list[dict[str, Any]] = []
    device.page.on("websocket", lambda socket: socket.on("framesent", lambda text: sent.append(json.loads(text))))
    return sent


async def test_a_network_is_cut_and_restored(devices: Devices, oracle: asyncpg.Connection) -> None:
    tea = await devices.group(ALICE, BOB, CHIARA)
    near, far = await devices.road(), await devices.road()
    alice, bob = await devices.of(ALICE, near), await devices.of(BOB, far)
    alice_too, bob_too = await devices.of(ALICE, far, REACT), await devices.of(BOB, near, REACT)
    everybody = [alice, alice_too, bob, bob_too]
    for device in everybody:
        await device.open("Tea")
    await alice.say("Hello")
    await bob_too.shows(["Hello"])
    sent, sent_too = listen(alice), listen(bob_too)

    near.cut()
    for device in (alice, bob_too):
        await expect(device.connection).not_to_have_attribute("data-status", "online")
    await alice.say("from the dark", "and again")
    await bob_too.say("from the dark as well")
    await bob.say("into the dark", "and twice")
    await alice_too.say("to myself in the dark")
    await alice.is_pending("from the dark", "and again")
    await bob_too.is_pending("from the dark as well")
    await bob.shows(["Hello", "into the dark", "and twice", "to myself in the dark"])
    await expect(alice.row("into the dark")).to_have_count(0)
    near.mend()
    await each(everybody, Device.all_sent)
    log = await said(oracle, tea)
    assert sorted(log[4:]) == ["and again", "from the dark", "from the dark as well"]
    await each(everybody, lambda device: device.shows(log))
    # What was missed was asked for by the cursor of what they had, and nothing was read anew or sent twice.
    for frames, lines in ((sent, ["from the dark", "and again"]), (sent_too, ["from the dark as well"])):
        assert next(frame for frame in frames if frame["type"] == "sync")["cursors"][tea] == 1
        assert not [frame for frame in frames if frame["type"] == "history"]
        assert [frame["content"] for frame in frames if frame["type"] == "message.send"] == lines


async def test_a_network_hangs_and_another_one_dies(devices: Devices, oracle: asyncpg.Connection) -> None:
    tea = await devices.group(ALICE, BOB, CHIARA)
    near, far = await devices.road(), await devices.road()
    alice, chiara = near_ones = [await devices.of(ALICE, near), await devices.of(CHIARA, near, REACT)]
    bob = await devices.of(BOB, far)
    everybody = [bob, *near_ones]
    for device in everybody:
        await device.open("Tea")
    await bob.say("Hello")
    for device in near_ones:
        await device.shows(["Hello"])

    # Nothing passes, nothing closes, and nobody is told.
    near.hold()
    await alice.say("alice into the void")
    await chiara.say("chiara into the void")
    await bob.say("out of the void")
    await bob.shows(["Hello", "out of the void"])
    await alice.is_pending("alice into the void")
    await chiara.is_pending("chiara into the void")
    for device in near_ones:
        await expect(device.row("out of the void")).to_have_count(0)
    near.mend()
    await each(everybody, Device.all_sent)
    log = await said(oracle, tea)
    assert log[:2] == ["Hello", "out of the void"]
    assert sorted(log[2:]) == ["alice into the void", "chiara into the void"]
    await each(everybody, lambda device: device.shows(log))

    # The path is gone for good; the browser says that there is a network, and the client finds out that its socket is dead.
    near.freeze()
    await alice.say("alice into a dead socket")
    await chiara.say("chiara into a dead socket")
    await bob.say("out of a living one")
    await bob.all_sent()
    for device in near_ones:
        await device.page.evaluate("dispatchEvent(new Event('online'))")
    await each(near_ones, lambda device: expect(device.row("out of a living one")).to_have_count(1))
    await each(everybody, Device.all_sent)
    log = await said(oracle, tea)
    assert sorted(log[4:]) == ["alice into a dead socket", "chiara into a dead socket", "out of a living one"]
    await each(everybody, lambda device: device.shows(log))


async def test_a_reload_keeps_what_was_not_sent(devices: Devices, oracle: asyncpg.Connection) -> None:
    tea = await devices.group(ALICE, BOB)
    road = await devices.road()
    alice, bob = both = [await devices.of(ALICE, road), await devices.of(BOB, road, REACT)]
    for device in both:
        await device.open("Tea")
    await alice.say("Hello")
    await bob.shows(["Hello"])

    # Sockets hang; what the page is made of comes. What lies on the road arrives in the end as well, beside what is sent anew.
    road.hold(only="GET /ws/")
    for device, name in ((alice, "alice"), (bob, "bob")):
        lines = [f"{name} before the reload", f"{name} once more"]
        await device.say(*lines)
        await device.is_pending(*lines)
        await device.page.reload()
    road.mend()
    for device in both:
        await device.open("Tea")
        await device.all_sent()
    await alice.say("after it")
    await alice.all_sent()
    log = await said(oracle, tea)
    assert [line for line in log if "alice" in line] == ["alice before the reload", "alice once more"]
    assert [line for line in log if "bob" in line] == ["bob before the reload", "bob once more"]
    assert len(log) == 6
    await each(both, lambda device: device.shows(log))


async def test_ones_own_switch_cuts_the_network_and_tells_what_a_resume_does(
    devices: Devices, oracle: asyncpg.Connection
) -> None:
    tea = await devices.group(ALICE, BOB)
    alice, bob = await devices.of(ALICE), await devices.of(BOB)
    for device in (alice, bob):
        await device.open("Tea")
    await alice.say("Hello")
    await bob.shows(["Hello"])
    page = alice.page
    await page.get_by_test_id("frames-toggle").click()
    switch, banner = page.get_by_test_id("network-cut"), page.get_by_test_id("connection-banner")
    summary = page.get_by_test_id("resume-summary")
    await expect(summary).to_be_hidden()
    await switch.click()
    await expect(switch).to_have_attribute("aria-checked", "true")
    await expect(alice.connection).to_have_attribute("data-cut", "true")
    await expect(banner).to_be_visible()
    await alice.say("one in the dark", "two in the dark")
    await alice.is_pending("one in the dark", "two in the dark")
    await bob.say("three for her", "four for her", "five for her")
    await bob.all_sent()
    await expect(alice.row("three for her")).to_have_count(0)

    await switch.click()
    await expect(banner).to_be_hidden()
    await expect(summary).to_contain_text(re.compile(r"Back after \d+\.\d s"))
    await expect(summary).to_contain_text(re.compile(r"Asked what changed in \d conversations since their cursors"))
    for words in ("3 changes were missed and came", "2 waiting messages sent"):
        await expect(summary.get_by_text(words, exact=True)).to_be_visible()
    log = await said(oracle, tea)
    assert log == [
        "Hello",
        "three for her",
        "four for her",
        "five for her",
        "one in the dark",
        "two in the dark",
    ]
    await each([alice, bob], lambda device: device.shows(log))
    # The other end of the switch is in the banner.
    await switch.click()
    await banner.get_by_test_id("reconnect").click()
    await expect(switch).to_have_attribute("aria-checked", "false")
    await expect(summary).to_contain_text("Nothing was missed")
