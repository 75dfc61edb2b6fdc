"""Takes README's picture of the demo: `messenger demo` in one terminal, `python -m tests.e2e.screenshot` in another."""

import asyncio
import sys
from pathlib import Path

from playwright.async_api import async_playwright

from tests.e2e.conftest import CHROMIUM, FLAGS

PICTURE = Path(__file__).parents[2] / "demo" / "screenshot.png"


async def take(address: str) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = await browser.new_context(viewport={"width": 1120, "height": 640}, device_scale_factor=1.5)
        alice, dae = await context.new_page(), await context.new_page()
        await dae.goto(f"{address}/?user=4")
        await dae.get_by_text("Weekend hike", exact=True).click()
        await alice.goto(f"{address}/?user=1")
        await alice.get_by_text("Weekend hike", exact=True).click()
        await alice.get_by_text("Then it is the lake.").last.wait_for()
        # Slowly: typing is passed on when it begins, and again while it goes on.
        typed = asyncio.create_task(
            dae.get_by_test_id("composer").press_sequentially("I bring tea and " * 3, delay=120)
        )
        await alice.get_by_test_id("typing").filter(has_text="Dae-jung").wait_for()
        await alice.screenshot(path=PICTURE)
        await typed
        await browser.close()


if __name__ == "__main__":
    asyncio.run(take(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
