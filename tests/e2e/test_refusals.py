"""A message that the server refuses: its writer is told why, and sends it again once it may be, or gives it up."""

from playwright.async_api import expect

from tests.e2e.devices import ALICE, BOB, CHIARA, REACT, Devices
from tests.support.road import Way


async def test_a_refused_message_is_sent_again_or_given_up(devices: Devices) -> None:
    tea = await devices.group(ALICE, BOB, CHIARA)
    road = await devices.road()
    alice = await devices.of(ALICE)
    writers = {BOB: await devices.of(BOB, road), CHIARA: await devices.of(CHIARA, road, REACT)}
    for device in (alice, *writers.values()):
        await device.open("Tea")

    async def make(role: str) -> None:
        for user_id in writers:
            await devices.call(ALICE, "PATCH", f"/conversations/{tea}/participants/{user_id}", {"role": role})
        for device in writers.values():
            await device.may_write(role != "observer")

    # They are on their way when both lose the right to send them.
    road.hold(Way.THERE, only="GET /ws/")
    for user_id, device in writers.items():
        await device.say(f"{user_id} has to say this", f"{user_id} need not")
    await make("observer")
    road.mend()
    for user_id, device in writers.items():
        for line in (f"{user_id} has to say this", f"{user_id} need not"):
            await expect(device.row(line)).to_have_attribute("data-state", "failed")
            await expect(device.row(line).get_by_test_id("message-error")).to_contain_text("Not sent.")
    await expect(alice.contents).to_have_count(0)
    await make("member")
    log = []
    for user_id, device in writers.items():
        await device.row(f"{user_id} need not").get_by_test_id("message-discard").click()
        await device.row(f"{user_id} has to say this").get_by_test_id("message-retry").click()
        log.append(f"{user_id} has to say this")
        await alice.shows(log)
    # Given up for good, and sent once.
    for device in writers.values():
        await device.page.reload()
        await device.open("Tea")
        await device.shows(log)
