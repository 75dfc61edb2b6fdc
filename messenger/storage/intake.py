"""What a file is that came in: its type, its size, and a small picture of it. Nothing of that is the sender's word."""

import asyncio
import re
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import structlog

from messenger.errors import TypeNotAllowed
from messenger.storage.kinds import PICTURES, kind_of
from messenger.storage.pictures import Picture, picture_of

log = structlog.get_logger(__name__)

MAX_NAME_CHARS = 255
NAMELESS = "file"
# Whoever waits longer for his turn goes without a small picture: a crowd uploads.
TURN_S = 15.0


@dataclass(frozen=True, slots=True)
class Examined:
    """The facts. `width` and `height` in pixels, as it is shown; None where it is no picture that we read."""

    name: str
    mime_type: str
    size: int
    width: int | None
    height: int | None
    thumbnail: bytes | None


class Painter:
    """One picture at a time: each may take memory for all its pixels. Its thread does nothing else, and nobody waits for it at
    the end of the process, as one would for an executor's: what has begun cannot be ended."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Path, Future[Picture | None]]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def paint(self, file: Path) -> "Future[Picture | None]":
        if self._thread is None:
            self._thread = threading.Thread(target=self._paint_forever, name="pictures", daemon=True)
            self._thread.start()
        painting: Future[Picture | None] = Future()
        self._waiting.put((file, painting))
        return painting

    def _paint_forever(self) -> None:
        while True:
            file, painting = self._waiting.get()
            if painting.set_running_or_notify_cancel():
                try:
                    painting.set_result(picture_of(file))
                except BaseException as error:
                    painting.set_exception(error)


_painter = Painter()


async def examine(file: Path, name: str, allows: Callable[[str], object] = bool) -> Examined:
    """What a finished file is; `name` is what whoever sent it calls it, `allows` is asked about its type before there is much
    to do. Raises OSError, TypeNotAllowed."""
    name = cleaned(name)
    size, mime_type = await asyncio.to_thread(lambda: (file.stat().st_size, kind_of(file, name)))
    if not allows(mime_type):
        raise TypeNotAllowed
    picture = await _picture(file) if mime_type in PICTURES else None
    if picture is None:
        return Examined(name, mime_type, size, None, None, None)
    return Examined(name, mime_type, size, picture.width, picture.height, picture.thumbnail)


async def _picture(file: Path) -> Picture | None:
    painting = asyncio.wrap_future(_painter.paint(file))
    try:
        # What has begun cannot be ended, and still reads the file, whose name may be gone by then.
        return await asyncio.wait_for(painting, TURN_S)
    except TimeoutError:
        log.warning("no thumbnail in time")
        return None


def cleaned(name: str) -> str:
    """A file's name without a path, without what cannot be seen or turns the reading direction around, and with its ending
    where it is too long."""
    name = re.split(r"[/\\]", name)[-1]
    # Cc are control characters, Cf formatting such as bidirectional overrides, Cs halves of characters, Zl and Zp line ends.
    name = "".join(
        character for character in name if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ).strip()
    if name.strip(". ") == "":
        return NAMELESS
    if len(name) > MAX_NAME_CHARS:
        stem, dot, ending = name.rpartition(".")
        ending = dot + ending if stem and len(ending) <= 16 else ""
        name = name[: MAX_NAME_CHARS - len(ending)] + ending
    return name
