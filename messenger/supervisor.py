"""What the daemon and whoever looks after it say to each other, in systemd's words: sd_notify(3), sd_listen_fds(3),
sd_watchdog_enabled(3).

Without their variables nothing is said and nothing is taken. They are no settings, so they are read here, and they are taken out
of the environment: no child of ours may speak in our name, or take our sockets for its own. Nothing here waits for an answer.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import NoReturn

import structlog

from messenger.errors import SetupError

log = structlog.get_logger(__name__)

# The first descriptor that is handed over.
FIRST = 3
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
# After its time to drain a daemon needs no longer than this, with what is in flight and the servers that it brought.
FAREWELL_S = 30.0
# Whoever looks after us has so long to take a word that is said once.
TELL_S = 1.0


@dataclass(frozen=True, slots=True)
class Supervisor:
    """`address`: where it hears us, a path or, after an @, an abstract name; none: nobody does. `watchdog_s`: it ends us after so
    long without a beat. `sockets`: what it has opened for us to listen on."""

    address: str = ""
    watchdog_s: float | None = None
    sockets: tuple[socket.socket, ...] = ()

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str]) -> "Supervisor":
        """Who looks after this process, by its environment, which says nothing of it afterwards. Sockets and a watchdog that are
        meant for another process are nobody's here. Raises SetupError."""
        said = {name: environ.pop(name, "") for name in VARIABLES}
        own = str(os.getpid())
        watchdog = _number(said["WATCHDOG_USEC"]) if said["WATCHDOG_PID"] in ("", own) else 0
        count = _number(said["LISTEN_FDS"]) if said["LISTEN_PID"] == own else 0
        address = said["NOTIFY_SOCKET"] if said["NOTIFY_SOCKET"].startswith(("/", "@")) else ""
        return cls(
            address=address,
            watchdog_s=watchdog / 1e6 if watchdog and address else None,
            sockets=tuple(_socket(number) for number in range(FIRST, FIRST + count)),
        )

    @property
    def beat_s(self) -> float:
        """How often to beat, where there is a watchdog: twice in the time that it waits."""
        return (self.watchdog_s or 0) / 2

    def ready(self, status: str) -> None:
        """It serves. `status` is shown to whoever asks how it is."""
        self._tell("READY=1", f"STATUS={status}")

    def stopping(self, drain_s: float) -> None:
        """It says farewell to its devices, and is not to be killed before that is over, whatever its unit says."""
        lasts_us = (drain_s + FAREWELL_S) * 1e6
        self._tell("STOPPING=1", f"STATUS=Draining over {drain_s:g} s", f"EXTEND_TIMEOUT_USEC={lasts_us:.0f}")

    def beat(self) -> None:
        """It lives. One that is not heard now is not waited for: the next comes soon."""
        self._tell("WATCHDOG=1", patience_s=0)

    def _tell(self, *lines: str, patience_s: float = TELL_S) -> None:
        if not self.address:
            return
        # Linux' abstract names begin with a zero (unix(7)).
        to = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(patience_s)
                sock.sendto("\n".join(lines).encode(), to)
        except OSError as error:
            log.warning("supervisor not told", what=lines[0], error=error.strerror or type(error).__name__)


NOBODY = Supervisor()


@dataclass(frozen=True, slots=True)
class Heart:
    """Who beats how often: `beat` is called every `every_s` by an event loop, as long as that goes round."""

    every_s: float
    beat: Callable[[], None]

    async def beat_forever(self) -> NoReturn:
        while True:
            self.beat()
            await asyncio.sleep(self.every_s)


def heart_of(supervisor: Supervisor) -> Heart | None:
    """That of a process on its own; None without a watchdog."""
    return Heart(supervisor.beat_s, supervisor.beat) if supervisor.watchdog_s else None


class Pacemaker:
    """The heart of a process without an event loop: beats where it is asked to, and no more often than it should."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._next = 0.0

    def beat(self) -> None:
        now = time.monotonic()
        if self._supervisor.watchdog_s and now >= self._next:
            self._supervisor.beat()
            self._next = now + self._supervisor.beat_s / 2


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _socket(number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)
        return socket.socket(fileno=number)
    except OSError as error:
        raise SetupError(f"LISTEN_FDS: descriptor {number} is no socket ({error.strerror})") from None
