"""A child process that ends with the daemon: started, looked after while it starts, stopped.

Not restarted when it falls later: whoever uses it sees the connection fail.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from messenger.embedded.failure import EmbeddedError
from messenger.embedded.launch import NONE
from messenger.embedded.user import User

ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""All that a child sees of ours: no PG… variable that changes it, no secret of the daemon."""
LOG_BYTES_MAX = 4 * 1024 * 1024
"""A log longer than this is put aside at the next start, as `<name>.1`."""
LOG_LINES_TOLD = 3
KILL_S = 5.0
"""How long we wait for the system to clear away a killed child."""
NEEDS_WATCHDOG = sys.platform != "linux"
"""Linux signals a child when its parent dies; elsewhere a process has to wait for that."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, as whom, and how it is asked to end."""

    name: str
    """For the person at the terminal: "PostgreSQL"."""
    argv: list[str]
    user: User | None
    log: Path
    """What it prints is appended here."""
    goodbyes: tuple[tuple[signal.Signals, float], ...]
    """The signals that ask it to end, each with the seconds it is given; SIGKILL comes after.
    The first is also what it gets when the daemon dies."""
    handles: tuple[int, ...] = ()
    """To be inherited under the same numbers."""
    folder: Path = Path("/")
    """Where it starts; its user need not be able to reach it."""
    stdin: bytes = field(default=b"", repr=False)
    """Less than 64 KiB: it is written before anybody reads."""


class Child:
    """A command that is running."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes], log_start: int) -> None:
        self._command = command
        self._process = process
        self._log_start = log_start

    def require_alive(self) -> None:
        """For between two looks at whether it is ready. Raises EmbeddedError."""
        if self._process.poll() is not None:
            raise self.failure(f"ended while starting (exit {self._process.returncode})")

    def finish(self, timeout: float) -> None:
        """Wait for a command that ends by itself. Raises EmbeddedError unless it ends well."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise self.failure(f"took more than {timeout:.0f} s") from error
        if status:
            raise self.failure(f"failed (exit {status})")

    def failure(self, what: str) -> EmbeddedError:
        """What happened and the last that it printed, in one line."""
        with self._command.log.open("rb") as log:
            log.seek(self._log_start)
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
        told = "; ".join([line for line in lines if line][-LOG_LINES_TOLD:])
        return EmbeddedError(f"{self._command.name} {what}: {told} (see {self._command.log})")

    def stop(self) -> None:
        """Ask it to end, ever less politely. Takes no longer than all the patience together."""
        try:
            for goodbye, patience in self._command.goodbyes:
                self._process.send_signal(goodbye)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)
                    return
        finally:
            # Also when another Ctrl-C cuts the wait short.
            if self._process.poll() is None:
                self._process.kill()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(KILL_S)


@contextmanager
def running(command: Command) -> Iterator[Child]:
    """Start a command; stop it on leaving. From the main thread: Linux ends it with the thread."""
    log_start = _tidy_log(command.log)
    with ExitStack() as cleanup:
        lifeline = cleanup.enter_context(_lifeline()) if NEEDS_WATCHDOG else NONE
        process = _spawn(command, lifeline)
        child = Child(command, process, log_start)
        cleanup.callback(child.stop)
        if process.stdin:
            # A child that ends before it reads is told of by require_alive.
            with suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(command.stdin)
        yield child


def _spawn(command: Command, lifeline: int) -> subprocess.Popen[bytes]:
    """Through launch.py and in a session of its own, so that Ctrl-C reaches the daemon alone."""
    user = (command.user.uid, command.user.gid) if command.user else (NONE, NONE)
    step = [os.getpid(), int(command.goodbyes[0][0]), *user, lifeline]
    script = str(Path(__file__).with_name("launch.py"))
    log = os.open(command.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", script, *map(str, step), *command.argv],
            stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=command.folder,
            env=ENVIRONMENT,
            pass_fds=(*command.handles, *([lifeline] if lifeline != NONE else [])),
            start_new_session=True,
        )
    finally:
        os.close(log)


@contextmanager
def _lifeline() -> Iterator[int]:
    """The watchdog's end of a pipe. It breaks when we die; a byte on it says that all is well."""
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(theirs)
        with suppress(BrokenPipeError):
            os.write(ours, b".")
        os.close(ours)


def _tidy_log(log: Path) -> int:
    """Put a long log aside. Returns the length of what is there already, in bytes."""
    size = log.stat().st_size if log.exists() else 0
    if size <= LOG_BYTES_MAX:
        return size
    log.rename(log.with_name(f"{log.name}.1"))
    return 0
