"""Folders that the servers need, and how a server of another user gets into them.

Owner and permissions are given to folders that are made here, when they are made. What exists
outside the data folder is never changed, however closed it is: `as_seen_by` goes around.
"""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from messenger.embedded.failure import EmbeddedError
from messenger.embedded.user import User

RUN = "run"
SOCKETS = (".s.PGSQL.5432", ".s.PGSQL.5432.lock", "redis.sock")
SHORT_PREFIX = "messenger-"
SOCKET_PATH_MAX = 107 if sys.platform == "linux" else 103
"""Bytes, without the closing zero: sun_path in unix(7)."""


def make_data_folder(path: Path) -> Path:
    """Make the folder and the parents that it lacks: ours alone; root's may be passed through."""
    path = path.expanduser().resolve()
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)
    if not path.is_dir():
        raise EmbeddedError(f"{path} is not a folder")
    return path


def own_folder(path: Path, user: User | None) -> None:
    """Make a folder inside the data folder that only the servers' user (and root) may enter."""
    path.mkdir(mode=0o700, exist_ok=True)
    if user and path.lstat().st_uid != user.uid:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def open_to_all(path: Path) -> bool:
    """Whether anybody may get as far as `path`. Errs to no: ACLs and group rights do not count."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


@contextmanager
def as_seen_by(user: User | None, folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The name by which a child of that user reaches `folder`, and the handles it must inherit.

    Below a folder that is closed to the user (root's 0700) the path leads nowhere, but a handle
    on the folder itself still does, in the child and in all its own children: /proc/self/fd/N,
    see proc(5). No permission is changed and the child gets no privilege.
    """
    if user is None or open_to_all(folder):
        yield str(folder), ()
    elif sys.platform == "linux" and Path("/proc/self/fd").is_dir():
        handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{handle}", (handle,)
        finally:
            os.close(handle)
    else:
        raise EmbeddedError(
            f"{folder} cannot be reached by user {user.name}, who runs the servers: choose a data "
            "folder below one that is open to all (MESSENGER_DATA_DIR)"
        )


@contextmanager
def socket_folder(data_dir: Path, user: User | None) -> Iterator[Path]:
    """Where the sockets are: `<data_dir>/run`, which is a link to a short folder if it is too long.

    No server may be alive on this data folder: what an earlier one left is removed.
    """
    run = data_dir / RUN
    if run.is_symlink():
        _remove_short(run.readlink())
        run.unlink()
    if _fits(run):
        own_folder(run, user)
        for leftover in run.iterdir():
            leftover.unlink()
        yield run
        return
    with suppress(FileNotFoundError):
        run.rmdir()
    short = _make_short()
    try:
        own_folder(short, user)
        run.symlink_to(short)
        yield short
    finally:
        run.unlink(missing_ok=True)
        shutil.rmtree(short, ignore_errors=True)


def _fits(folder: Path) -> bool:
    """Short enough for a socket; and a comma would separate hosts in a database URL."""
    return len(os.fsencode(folder / SOCKETS[0])) <= SOCKET_PATH_MAX and "," not in str(folder)


def _make_short() -> Path:
    private = os.environ.get("XDG_RUNTIME_DIR")
    bases = [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108
    # Under sudo the variable may still name the folder of somebody else.
    if private and Path(private).is_dir() and Path(private).stat().st_uid == os.geteuid():
        bases.insert(0, Path(private))
    for base in bases:
        if _fits(base / f"{SHORT_PREFIX}12345678"):
            return Path(tempfile.mkdtemp(prefix=SHORT_PREFIX, dir=base))
    raise EmbeddedError(f"{bases[0]} is too long a path for a socket: set TMPDIR to a shorter one")


def _remove_short(folder: Path) -> None:
    """Sweep up after a daemon that was killed. The name was no secret: the folder may not be ours
    any more, so nothing but dead sockets is removed.
    """
    if folder.name.startswith(SHORT_PREFIX):
        with suppress(OSError):
            for name in SOCKETS:
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()
