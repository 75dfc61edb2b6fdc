"""Two people with two devices each, one with the HTML demo and one with the React example: whatever one device shows, the others
show, once and in the same order."""

from itertools import chain

import asyncpg

from tests.e2e.devices import ALICE, BOB, CHIARA, REACT, Device, Devices, each, said


async def test_everybody_is_shown_everything_once_and_in_order(devices: Devices, oracle: asyncpg.Connection) -> None:
    tea = await devices.group(ALICE, BOB, CHIARA)
    alice, alice_too = await devices.of(ALICE), await devices.of(ALICE, face=REACT)
    bob, bob_too = await devices.of(BOB), await devices.of(BOB, face=REACT)
    chiara = await devices.phone(CHIARA)

    # Badges of all devices of one person agree.
    for device in (alice, alice_too):
        await device.open("Tea")
    await alice.say("Who is in?")
    await alice_too.say("I bring cake")
    for device in (alice, alice_too):
        await device.ticks("I bring cake", "none")
    for device in (bob, bob_too):
        await device.has_unread("Tea", 2)
    await bob_too.open("Tea")
    for device in (bob, bob_too):
        await device.has_unread("Tea", 0)

    # Ticks: of nobody, of some, of all.
    for device in (alice, alice_too):
        await device.ticks("Who is in?", "some")
        await device.ticks("I bring cake", "some")
    cake = await alice.row("I bring cake").get_attribute("data-message-id")
    await chiara.ask("message.read", message_id=cake)
    for device in (alice, alice_too):
        await device.ticks("Who is in?", "all")
        await device.ticks("I bring cake", "all")

    # All at once.
    await bob.open("Tea")
    everybody = {"alice": alice, "alice too": alice_too, "bob": bob, "bob too": bob_too}
    lines = {name: [f"{name} {number}" for number in range(4)] for name in everybody}

    async def speak(device: Device) -> None:
        (name,) = (name for name, other in everybody.items() if other is device)
        await device.say(*lines[name])
        await device.all_sent()

    await each(list(everybody.values()), speak)
    log = await said(oracle, tea)
    assert sorted(log) == sorted(["Who is in?", "I bring cake", *chain(*lines.values())])
    for name in everybody:
        # In the order of writing as well.
        assert [line for line in log if line in lines[name]] == lines[name]
    await each(list(everybody.values()), lambda device: device.shows(log))
