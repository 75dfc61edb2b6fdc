"""Two locks on a data folder: one says that a daemon runs on it, the other that a server does.

The daemon's is held by the daemon alone, and so is free the moment it dies. The servers' is
inherited by PostgreSQL, its processes and Redis, and so is free when the last of them is gone:
there is no guessing from process numbers whether an earlier one is still shutting down.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from messenger.embedded.failure import EmbeddedError

DAEMON = "lock"
SERVERS = "servers.lock"
FAREWELL_S = 15.0
"""How long the servers of a daemon that was killed may take to shut down."""

_held: set[int] = set()


def _let_go_in_child() -> None:
    for handle in _held:
        os.close(handle)
    _held.clear()


# An exec closes the handle anyway; a worker that is forked must not keep the lock of a dead daemon.
os.register_at_fork(after_in_child=_let_go_in_child)


@contextmanager
def only_daemon(data_dir: Path) -> Iterator[None]:
    """Be the only daemon on this folder. Never waits: refused at once if there is another."""
    handle = _open(data_dir / DAEMON)
    _held.add(handle)
    try:
        if not _lock(handle):
            pid = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
            raise EmbeddedError(f"{data_dir} is in use by another messenger (pid {pid})")
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        _held.discard(handle)
        os.close(handle)


@contextmanager
def only_servers(data_dir: Path, report: Callable[[str], None]) -> Iterator[int]:
    """Wait until no server of an earlier daemon is left; gives the handle that ours must inherit."""
    handle = _open(data_dir / SERVERS)
    try:
        if not _lock(handle):
            report("Waiting for the servers of an earlier messenger to shut down …")
            deadline = time.monotonic() + FAREWELL_S
            while not _lock(handle):
                if time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"{data_dir}: the servers of an earlier messenger are still running "
                        f"{FAREWELL_S:.0f} s after it ended"
                    )
                time.sleep(0.05)
        yield handle
    finally:
        os.close(handle)


def _open(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
