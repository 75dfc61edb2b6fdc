"""What every page of the browser said, and what it looked like where a test failed."""

import re
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST_LINES = 300
MOST_CHARS = 2_000
PATIENCE_MS = 5_000
TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")


class Witness:
    """Listens to the pages of each context that it is shown. `save` leaves a folder with two files for each page: a picture, if it
    is still open, and the last of its console's lines, its socket's frames and what it fetched, in order."""

    def __init__(self) -> None:
        self._heard: dict[Any, deque[str]] = {}

    def watch(self, context: Any) -> None:
        context.on("page", self._begin)

    def forget(self) -> None:
        """Another test begins: what was heard before is none of its."""
        self._heard = {page: lines for page, lines in self._heard.items() if not page.is_closed()}

    async def save(self, folder: Path) -> list[Path]:
        """The files, in the order of the pages."""
        saved: list[Path] = []
        for place, (page, lines) in enumerate(self._heard.items(), start=1):
            name = f"{place}-{re.sub(r'[^A-Za-z0-9=]+', '-', page.url.partition('//')[2])[:60].strip('-') or 'blank'}"
            if not page.is_closed():
                picture = folder / f"{name}.png"
                # It may hang, or be gone in the meantime: then its lines are all there is.
                with suppress(Exception):
                    await page.screenshot(path=picture, timeout=PATIENCE_MS)
                    saved.append(picture)
            text = folder / f"{name}.txt"
            text.write_text("\n".join([page.url, *lines]) + "\n")
            saved.append(text)
        return saved

    def _begin(self, page: Any) -> None:
        lines = self._heard[page] = deque(maxlen=MOST_LINES)

        def hear(kind: str, text: object) -> None:
            lines.append(f"{kind}: {TOKEN.sub('…', str(text))[:MOST_CHARS]}")

        def listen(socket: Any) -> None:
            hear("socket", "opened")
            socket.on("framesent", lambda frame: hear("->", frame))
            socket.on("framereceived", lambda frame: hear("<-", frame))
            socket.on("close", lambda _: hear("socket", "closed"))

        def answered(answer: Any) -> None:
            if answer.request.resource_type == "fetch":
                hear(answer.request.method, f"{answer.url.partition('?')[0]} {answer.status}")

        page.on("response", answered)
        page.on("console", lambda line: hear(line.type, line.text))
        page.on("pageerror", lambda error: hear("error", error))
        page.on("requestfailed", lambda request: hear("failed", f"{request.url.partition('?')[0]} {request.failure}"))
        page.on("websocket", listen)
