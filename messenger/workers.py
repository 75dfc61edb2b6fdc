"""`serve --workers N`: processes that share one port, each a node of its own, and a parent that looks after them.

The parent serves nobody. A worker that falls is replaced, and who connects meanwhile waits; when the parent is asked to
stop, or dies, the workers drain.
"""

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click
import structlog

from messenger.config import Config
from messenger.errors import SetupError
from messenger.server import serve as serve_alone
from messenger.transport.context import Place

log = structlog.get_logger(__name__)

# A worker that fell is replaced after so long: not in a tight loop where it cannot start.
REST_S = 1.0
# A worker that has not ended so long after it should have drained hangs.
PATIENCE_S = 20.0
ASKED = (signal.SIGTERM, signal.SIGINT)


def serve(config: Config, every: Sequence[Sequence[socket.socket]], on_ready: Callable[[], None]) -> None:
    """A worker for each set of sockets. Blocks until SIGTERM or SIGINT; exits with the code of a worker that cannot start."""
    # With a handler of its own a signal that would be ignored waits to be fetched, on every system.
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*ASKED, signal.SIGCHLD))
    try:
        with tempfile.TemporaryDirectory(prefix="messenger-") as folder:
            workers = _Workers(config, every, Path(folder), mask)
            try:
                # One after another: what keeps the first from starting is told once.
                for number in range(len(every)):
                    if (code := workers.start(number)) is not None:
                        sys.exit(code)
                on_ready()
                workers.look_after()
            finally:
                workers.stop()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGCHLD, before)


class _Workers:
    """`mask`: the signals that were blocked before, and are again in each worker."""

    def __init__(
        self, config: Config, every: Sequence[Sequence[socket.socket]], folder: Path, mask: set[signal.Signals | int]
    ) -> None:
        self._config = config
        self._every = every
        self._folder = folder
        self._mask = mask
        # The parent's end closes when the parent dies, however it dies.
        self._lifeline, self._ours = os.pipe()
        self._running: dict[int, int] = {}

    def start(self, number: int) -> int | None:
        """Returns None once a worker serves; its exit code where it ended before, and has said why."""
        ready, told = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            log.error("worker not started", worker=number, error=error.strerror)
            os.close(ready)
            os.close(told)
            return 1
        if pid == 0:
            os.close(ready)
            self._become(number, told)
        os.close(told)
        is_ready = os.read(ready, 1) != b""
        os.close(ready)
        if not is_ready:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._running[number] = pid
        return None

    def look_after(self) -> None:
        """Replace workers that fall, until asked to stop."""
        missing: set[int] = set()
        while signal.sigwait((*ASKED, signal.SIGCHLD)) not in ASKED:
            missing |= self._fallen()
            if missing:
                time.sleep(REST_S)
                missing = {number for number in missing if self.start(number) is not None}
            if missing:
                os.kill(os.getpid(), signal.SIGCHLD)  # try again

    def stop(self) -> None:
        """Ask the workers to drain, and wait until they have; one that does not end by itself is ended."""
        for sockets in self._every:
            for sock in sockets:
                sock.close()  # the workers' are the last: who comes after them is refused, and does not wait for nobody
        os.close(self._ours)
        for pid in self._running.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + self._config.drain_s + PATIENCE_S
        while self._running:
            self._fallen()
            if time.monotonic() > deadline:
                for pid in self._running.values():
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        os.close(self._lifeline)

    def _fallen(self) -> set[int]:
        fallen = set()
        for number, pid in list(self._running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                if code := os.waitstatus_to_exitcode(status):
                    log.error("worker fell", worker=number, exit=code)
                del self._running[number]
                fallen.add(number)
        return fallen

    def _become(self, number: int, told: int) -> NoReturn:
        """The rest of a worker's life. Nothing of the parent's is unwound here: its servers and folders are not ours."""
        code = 1
        try:
            os.close(self._ours)
            for other, sockets in enumerate(self._every):
                for sock in sockets:
                    if other != number:
                        sock.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            serve_alone(
                self._config,
                self._every[number],
                lambda: os.write(told, b"+"),
                place=Place(self._folder, number),
                lifeline=self._lifeline,
            )
            code = 0
        except SetupError as error:
            code = 2
            for line in str(error).splitlines():
                click.echo(f"messenger: {line}", err=True)
        except KeyboardInterrupt:
            code = 0
        except BaseException:
            log.exception("worker failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
