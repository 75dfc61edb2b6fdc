"""`serve --workers N`: processes that share one port, each a node of its own, and a parent that looks after them.

The parent serves nobody. A worker that falls is replaced, and who connects meanwhile waits; when the parent is asked to
stop, or dies, the workers drain.
"""

import mmap
import os
import select
import signal
import socket
import struct
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
from messenger.supervisor import NOBODY, Heart, Pacemaker, Supervisor
from messenger.transport.context import Place

log = structlog.get_logger(__name__)

# A worker that fell is replaced after so long: not in a tight loop where it cannot start.
REST_S = 1.0
# One that does not serve so long after it began hangs. An honest start is over before, well or not: of its handful of questions to
# PostgreSQL and Redis each gives up by itself within 7 s.
START_S = 60.0
# Meanwhile we look so often whether we are asked to stop.
LOOK_S = 0.05
# A worker that has not ended so long after it should have drained hangs.
PATIENCE_S = 20.0
ASKED = (signal.SIGTERM, signal.SIGINT)


def serve(
    config: Config,
    every: Sequence[Sequence[socket.socket]],
    on_ready: Callable[[], None],
    supervisor: Supervisor = NOBODY,
) -> None:
    """A worker for each set of sockets. Blocks until SIGTERM or SIGINT; exits with the code of a worker that cannot start. The
    parent beats for all: a worker whose event loop stands still is ended and replaced, and the others go on."""
    # With a handler of its own a signal that would be ignored waits to be fetched, on every system.
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*ASKED, signal.SIGCHLD))
    try:
        with tempfile.TemporaryDirectory(prefix="messenger-") as folder:
            workers = _Workers(config, every, Path(folder), mask, supervisor)
            try:
                # One after another: what keeps the first from starting is told once.
                for number in range(len(every)):
                    if (code := workers.start(number)) is not None:
                        sys.exit(code)
                if not workers.is_asked_to_stop:
                    on_ready()
                workers.look_after()
                supervisor.stopping(config.drain_s)
            finally:
                workers.stop()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGCHLD, before)


class _Workers:
    """`mask`: the signals that were blocked before, and are again in each worker."""

    def __init__(
        self,
        config: Config,
        every: Sequence[Sequence[socket.socket]],
        folder: Path,
        mask: set[signal.Signals | int],
        supervisor: Supervisor,
    ) -> None:
        self._config = config
        self._every = every
        self._folder = folder
        self._mask = mask
        self._supervisor = supervisor
        self._pacemaker = Pacemaker(supervisor)
        self._beats = _Beats(len(every))
        self._looked_at = time.monotonic()
        # The parent's end closes when the parent dies, however it dies.
        self._lifeline, self._ours = os.pipe()
        self._running: dict[int, int] = {}
        # Fell, and were not replaced yet.
        self._missing: set[int] = set()

    @property
    def is_asked_to_stop(self) -> bool:
        """Until `look_after` has taken notice."""
        return not signal.sigpending().isdisjoint(ASKED)

    def start(self, number: int) -> int | None:
        """Returns None once a worker serves, or where we are asked to stop before that; its exit code where it ended, and has said
        why; 1 where it hung, and was ended."""
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
        is_told = self._wait(START_S, ready)
        is_ready = is_told and os.read(ready, 1) != b""
        os.close(ready)
        if is_ready:
            self._running[number] = pid
            self._missing.discard(number)
            return None
        if not is_told:
            os.kill(pid, signal.SIGKILL)  # nobody is with it yet
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if self.is_asked_to_stop:
            return None
        if not is_told:
            log.error("worker not started", worker=number, error=f"not ready after {START_S:g} s")
            return 1
        return code

    def look_after(self) -> None:
        """Replace workers that fall, until asked to stop."""
        while self._signal() not in ASKED:
            self._look()
            if self._missing:
                self._wait(REST_S)
                for number in sorted(self._missing):
                    self.start(number)
            if self._missing:
                os.kill(os.getpid(), signal.SIGCHLD)  # try again

    def _look(self) -> None:
        self._pacemaker.beat()
        self._missing |= self._fallen()
        self._end_who_hangs()  # and its end comes as a signal

    def _wait(self, lasts_s: float, *told: int) -> bool:
        """Whether a pipe can be read, before so long is over or we are asked to stop. The others are looked after meanwhile."""
        until = time.monotonic() + lasts_s
        while True:
            self._look()
            if select.select(told, [], [], LOOK_S)[0]:
                return True
            if self.is_asked_to_stop or time.monotonic() > until:
                return False

    @property
    def _wait_s(self) -> float | None:
        """How long to wait for anything before the next beat; without a watchdog as long as it takes."""
        return self._supervisor.beat_s / 2 or None

    def _signal(self) -> int | None:
        """The next one; None where it is time for a beat."""
        every = (*ASKED, signal.SIGCHLD)
        if self._wait_s is None:
            return signal.sigwait(every)
        told = signal.sigtimedwait(every, self._wait_s)
        return None if told is None else told.si_signo

    def _end_who_hangs(self) -> None:
        limit = self._supervisor.watchdog_s
        now, before = time.monotonic(), self._looked_at
        self._looked_at = now
        # Nobody is judged by a time in which we slept ourselves.
        if limit is None or now - before > limit:
            return
        for number, pid in self._running.items():
            if now - self._beats.last(number) > limit:
                log.error("worker hangs", worker=number)
                os.kill(pid, signal.SIGKILL)
                self._beats.beat(number)  # it is told once, though it may take its time to end

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
            self._pacemaker.beat()
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

    def _heart(self, number: int) -> Heart | None:
        if self._supervisor.watchdog_s is None:
            return None
        return Heart(self._supervisor.beat_s, lambda: self._beats.beat(number))

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
                heart=self._heart(number),
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


class _Beats:
    """When the event loop of each of so many workers last went round, by the clock that all processes share. In memory that they
    share too, so that a beat costs no system call and nobody has to read it."""

    def __init__(self, count: int) -> None:
        self._memory = mmap.mmap(-1, count * _BEAT.size)

    def beat(self, number: int) -> None:
        _BEAT.pack_into(self._memory, number * _BEAT.size, time.monotonic())

    def last(self, number: int) -> float:
        """In seconds."""
        at: float = _BEAT.unpack_from(self._memory, number * _BEAT.size)[0]
        return at


_BEAT = struct.Struct("d")
