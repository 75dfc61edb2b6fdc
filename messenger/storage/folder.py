"""Uploads in a folder. The nodes of a cluster share it: several machines need a file system that all of them mount.

    arriving/<random>          on its way in
    <xx>/<id>                  the bytes; xx are the id's last two letters, which are random
    <xx>/<id>.json             their name and type, for whoever loads them down
    <xx>/<id>.webp             a small picture of them

No name in it is anybody's word. What stands here is for the eyes of the daemon's own user. Whatever waits for a disk does so
in a thread.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from io import FileIO
from pathlib import Path
from typing import ParamSpec, TypeVar

import orjson
import structlog

from messenger.domain.ids import AttachmentId
from messenger.errors import SetupError, StorageAway
from messenger.storage.intake import Examined
from messenger.storage.pictures import THUMBNAIL_TYPE
from messenger.storage.storage import Arrival, Kept

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
ARRIVING = "arriving"
# What nobody wrote to for so long is nobody's any more; a slow upload writes more often.
ABANDONED_S = 3600.0


class Folder:
    """A Storage."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self) -> None:
        """Make the folder where there is none, and try it. Blocks. Raises SetupError, one line."""
        try:
            _make(self._root)
            _make(self._root / ARRIVING)
            with (self._root / ARRIVING / secrets.token_hex(16)).open("xb") as file:
                Path(file.name).unlink()
                made_by = os.fstat(file.fileno()).st_uid  # a mounted folder may give all to one
            owner = (self._root / ARRIVING).stat().st_uid
        except OSError as error:
            raise SetupError(
                f"uploads cannot be kept in {self._root} ({error.strerror}): MESSENGER_DATA_DIR must be a folder that "
                "the daemon may write to"
            ) from None
        if made_by != owner:
            raise SetupError(not_ours(self._root))

    def is_writable(self) -> bool:
        """Whether `prepare` would find nothing in its way; nothing is made. Blocks."""
        try:
            found = next(path for path in (self._root, *self._root.absolute().parents) if path.exists())
        except OSError:  # not even that may be looked at
            return False
        return found.is_dir() and os.access(found, os.W_OK | os.X_OK)

    @asynccontextmanager
    async def arriving(self) -> AsyncIterator[Arrival]:
        path = self._root / ARRIVING / secrets.token_hex(16)
        file = await _in_thread(_created, path)
        try:
            yield _Arrival(path, file)
        finally:
            file.close()
            path.unlink(missing_ok=True)  # not in a thread: whoever was cancelled waits for none

    async def keep(self, attachment_id: AttachmentId, arrival: Arrival, examined: Examined) -> None:
        await _in_thread(self._keep, attachment_id, arrival.path, examined)

    async def find(self, attachment_id: AttachmentId) -> Kept | None:
        return await _in_thread(self._find, attachment_id)

    async def find_thumbnail(self, attachment_id: AttachmentId) -> Kept | None:
        return await _in_thread(self._find_thumbnail, attachment_id)

    async def remove(self, attachment_ids: Sequence[AttachmentId]) -> None:
        await _in_thread(self._remove, attachment_ids)

    async def tidy(self) -> None:
        await _in_thread(self._tidy)

    def _keep(self, attachment_id: AttachmentId, file: Path, examined: Examined) -> None:
        path = self._path(attachment_id)
        _make(path.parent)
        if examined.thumbnail is not None:
            _write(path.with_suffix(".webp"), examined.thumbnail)
        _write(path.with_suffix(".json"), orjson.dumps({"name": examined.name, "mime_type": examined.mime_type}))
        _sync(file)
        # Last: where the bytes are, all of it is.
        file.rename(path)
        _sync(path.parent)

    def _find(self, attachment_id: AttachmentId) -> Kept | None:
        path = self._path(attachment_id)
        try:
            told = orjson.loads(path.with_suffix(".json").read_bytes())
        except FileNotFoundError:
            return None
        return Kept(path, told["name"], told["mime_type"]) if path.is_file() else None

    def _find_thumbnail(self, attachment_id: AttachmentId) -> Kept | None:
        kept = self._find(attachment_id)
        if kept is None:
            return None
        path = kept.path.with_suffix(".webp")
        return Kept(path, f"{kept.name}.webp", THUMBNAIL_TYPE) if path.is_file() else None

    def _remove(self, attachment_ids: Sequence[AttachmentId]) -> None:
        for attachment_id in attachment_ids:
            path = self._path(attachment_id)
            for part in (path, path.with_suffix(".json"), path.with_suffix(".webp")):
                part.unlink(missing_ok=True)

    def _tidy(self) -> None:
        before = time.time() - ABANDONED_S
        for path in (self._root / ARRIVING).iterdir():
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
            except FileNotFoundError:  # finished, or another node was here
                continue

    def _path(self, attachment_id: AttachmentId) -> Path:
        return self._root / attachment_id.hex[-2:] / attachment_id.hex


def not_ours(folder: Path) -> str:
    """In one line: what we made there the other one could not use."""
    return f"uploads in {folder} belong to another user: run as the one whom the daemon runs as"


def _make(folder: Path) -> None:
    """For our own eyes. What stands above it is made too, and may be passed through: the embedded servers have a user of theirs."""
    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            path.mkdir(mode=0o700 if path == folder else 0o711, exist_ok=True)
            _sync(path.parent)


class _Arrival:
    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file

    async def write(self, piece: bytes) -> None:
        await _in_thread(_write_whole, self._file, piece)


async def _in_thread(work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Raises StorageAway."""
    try:
        return await asyncio.to_thread(work, *args, **options)
    except OSError as error:
        log.error("storage failed", error=type(error).__name__, reason=error.strerror)
        raise StorageAway from error


def _created(path: Path) -> FileIO:
    return FileIO(path, "xb", opener=_for_our_eyes)


def _for_our_eyes(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _write_whole(file: FileIO, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]


def _write(path: Path, content: bytes) -> None:
    """A small file, whole, in place of one that a former attempt may have left."""
    with FileIO(path, "wb", opener=_for_our_eyes) as file:
        _write_whole(file, content)
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    """A file's bytes, or a folder's names, as far as the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
