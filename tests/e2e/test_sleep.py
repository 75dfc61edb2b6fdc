"""A tab that slept: frozen by the browser, hidden for long, or with the machine that it is on. Awake, it shows what the others do.
Alice sleeps twice: in the HTML demo and in the React example."""

from contextlib import AsyncExitStack

from tests.e2e.devices import ALICE, BOB, HTML, REACT, Device, Devices, each
from tests.support.people import Phone

DELETED = "This message was deleted"


async def write(phone: Phone, talk: str, *lines: str) -> list[str]:
    """Send them, one after another; their ids."""
    sent = [await phone.ask("message.send", conversation_id=talk, content=line) for line in lines]
    return [frame["message_id"] for frame in sent]


async def test_a_frozen_tab_catches_up(devices: Devices) -> None:
    tea = await devices.group(ALICE, BOB)
    bob = await devices.phone(BOB)
    road = await devices.road()
    both = [await devices.of(ALICE, road, face) for face in (HTML, REACT)]
    for device in both:
        await device.open("Tea")
    first, second, _ = await write(bob, tea, "one", "two", "three")
    await each(both, lambda device: device.shows(["one", "two", "three"]))

    # For a moment: what came lies in the socket.
    async with AsyncExitStack() as stack:
        for device in both:
            await stack.enter_async_context(device.frozen())
        await write(bob, tea, "four", "five")
        await bob.ask("message.edit", message_id=first, content="one and a half")
    await each(both, lambda device: device.shows(["one and a half", "two", "three", "four", "five"]))

    # For so long that the connection was given up.
    async with AsyncExitStack() as stack:
        for device in both:
            await stack.enter_async_context(device.frozen())
        road.cut()
        await write(bob, tea, "six")
        await bob.ask("message.delete", message_id=second)
        road.mend()
    lines = ["one and a half", DELETED, "three", "four", "five", "six"]
    await each(both, lambda device: device.shows(lines))
    await both[0].say("I am awake")
    await each(both, lambda device: device.shows([*lines, "I am awake"]))


async def test_what_a_hidden_tab_shows_was_not_read(devices: Devices) -> None:
    await devices.group(ALICE, BOB)
    bob = await devices.of(BOB)
    road = await devices.road()
    both = [await devices.of(ALICE, road, face) for face in (HTML, REACT)]
    for device in (bob, *both):
        await device.open("Tea")
    await each(both, Device.hide)
    await bob.say("Do you see this?")
    for device in both:
        await device.shows(["Do you see this?"])
        await device.has_unread("Tea", 1)
    await bob.ticks("Do you see this?", "none")

    # For long, and without a network: it comes back when somebody looks again.
    road.cut()
    await bob.say("And this?")
    await bob.all_sent()
    road.mend()
    await each(both, lambda device: device.hide(False))
    for device in both:
        await device.shows(["Do you see this?", "And this?"])
        await device.has_unread("Tea", 0)
    await bob.ticks("And this?", "all")


async def test_a_machine_that_slept_finds_out_that_its_socket_is_dead(devices: Devices) -> None:
    tea = await devices.group(ALICE, BOB)
    bob = await devices.phone(BOB)
    road = await devices.road()
    both = [await devices.blank(road, face) for face in (HTML, REACT)]
    for device in both:
        await device.page.clock.install()
        await device.page.goto(devices.address(device, user=ALICE))
        await device.open("Tea")
    await write(bob, tea, "good night")
    await each(both, lambda device: device.shows(["good night"]))
    # Nothing passes any more and nothing closes, as where a router has forgotten the connection in the meantime.
    road.freeze()
    await write(bob, tea, "one in the night", "two in the night")
    await each(both, lambda device: device.page.clock.fast_forward("08:00:00"))
    await each(both, lambda device: device.shows(["good night", "one in the night", "two in the night"]))
