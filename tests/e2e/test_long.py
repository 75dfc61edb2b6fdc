"""A conversation of 5,000 messages: the document holds what is near the view, and nothing moves under the reader's eyes."""

from typing import Any

import asyncpg
import pytest
from playwright.async_api import expect

from tests.e2e.devices import ALICE, BOB, Device, Devices
from tests.support.road import Way
from tests.support.scene import APPEND, batch, draft

COUNT = 5_000
AT_ONCE = 500
MOST_ROWS = 200
# In the page: what is in the document, and what is seen. `scrolledTo` tells the first row that is wholly in view, and where.
LOOK = """() => {
  const pane = document.querySelector("[data-testid=pane]");
  window.rows = () => [...pane.querySelectorAll("[data-testid=message]")];
  window.heightOfAll = () => document.querySelector("#messages").offsetHeight;
  window.placeOf = (seq) =>
    pane.querySelector(`[data-seq="${seq}"]`).getBoundingClientRect().top - pane.getBoundingClientRect().top;
  const frame = () => new Promise((run) => requestAnimationFrame(() => setTimeout(run)));
  window.scrolledTo = async (scrollTop) => {
    pane.scrollTop = scrollTop;
    await frame();
    await frame();
    const places = rows().map(({ dataset }) => ({ seq: +dataset.seq, y: placeOf(dataset.seq) }));
    const uppermost = places.filter(({ y }) => y >= 0).sort((a, b) => a.y - b.y)[0];
    return { ...uppermost, height: heightOfAll() };
  };
  // What is in the middle of the view, so that a hole would be noticed: a row, or a line between two.
  const isFilled = () => {
    const { left, top, width, height } = pane.getBoundingClientRect();
    return [0.1, 0.5, 0.9].every((part) => {
      const y = top + height * part;
      return [...pane.querySelectorAll(".entry")].some((entry) => {
        const box = entry.getBoundingClientRect();
        return box.top - 24 <= y && y <= box.bottom + 24;
      });
    });
  };
  // Scroll until `isOver`, one `step` for each frame; the most rows that there were, and how often a part of the view was empty.
  window.scroll = async (step, isOver) => {
    let most = 0;
    let holes = 0;
    while (!isOver()) {
      pane.scrollTop += step(pane);
      await frame();
      most = Math.max(most, rows().length);
      if (!isFilled()) holes += 1;
    }
    return { most, holes };
  };
  window.isBeginning = () => document.querySelector("#top").dataset.state === "beginning" && pane.scrollTop <= 0;
  window.isEnd = () => pane.scrollHeight - pane.scrollTop - pane.clientHeight < 2;
}"""


@pytest.fixture
async def reader(devices: Devices, oracle: asyncpg.Connection) -> Device:
    """Alice, with the whole of it read, at its end."""
    talk = await devices.group(BOB, ALICE)
    for start in range(1, COUNT + 1, AT_ONCE):
        lines = [words(number) for number in range(start, start + AT_ONCE)]
        await oracle.fetch(APPEND, *batch(*(draft(BOB, talk, line) for line in lines)))
    alice = await devices.of(ALICE)
    await alice.has_unread("Tea", 99)
    (last,) = await oracle.fetchrow(
        "select id from messenger.messages where conversation_id = $1 and seq = $2", talk, COUNT
    )
    await devices.call(ALICE, "POST", f"/messages/{last}/read")
    await alice.has_unread("Tea", 0)
    await alice.open("Tea")
    await expect(row(alice, COUNT)).to_be_in_viewport()
    await alice.page.evaluate(LOOK)
    return alice


def words(number: int) -> str:
    """Of one line and of several."""
    return " ".join([f"line {number}", *(["and so on"] * (number % 7 * number % 40))])


def row(device: Device, seq: int) -> Any:
    return device.page.locator(f'[data-testid="message"][data-seq="{seq}"]')


async def test_the_document_holds_few_rows_however_many_there_are(reader: Device) -> None:
    page, pane = reader.page, reader.page.get_by_test_id("pane")
    assert await page.evaluate("rows().length") < MOST_ROWS
    # Older pages come by themselves, and where one looks nothing moves.
    for _ in range(4):
        reader.road.hold(Way.BACK, only="GET /ws/")
        before = await page.evaluate("scrolledTo(200)")
        reader.road.mend()
        await page.wait_for_function("height => heightOfAll() > height + 500", arg=before["height"])
        after = await page.evaluate("seq => placeOf(seq)", before["seq"])
        assert abs(after - before["y"]) <= 1
    # To the beginning, and back to the end.
    up = await page.evaluate("scroll((pane) => -pane.clientHeight * 3, isBeginning)")
    assert up["most"] < MOST_ROWS
    await expect(row(reader, 1)).to_be_in_viewport()
    down = await page.evaluate("scroll((pane) => pane.clientHeight * 3, isEnd)")
    assert down["most"] < MOST_ROWS
    assert down["holes"] == 0
    await expect(row(reader, COUNT)).to_be_in_viewport()
    assert await page.evaluate("rows().length") < MOST_ROWS
    # From one message to another, and from one end to the other, by the keyboard.
    await pane.focus()
    await pane.press("ArrowUp")
    await expect(row(reader, COUNT)).to_be_focused()
    await page.keyboard.press("Home")
    await expect(row(reader, 1)).to_be_focused()
    await expect(row(reader, 1)).to_be_in_viewport()
    await expect(row(reader, 1)).to_have_attribute("aria-posinset", "1")
    await expect(row(reader, 1)).to_have_attribute("aria-setsize", str(COUNT))
    await page.keyboard.press("ArrowDown")
    await expect(row(reader, 2)).to_be_focused()
    await page.keyboard.press("End")
    await expect(row(reader, COUNT)).to_be_focused()
    await expect(row(reader, COUNT)).to_be_in_viewport()
    assert await page.evaluate("rows().length") < MOST_ROWS
