"""The seam between uploads and what holds their bytes. Who comes with another one (a bucket, say) writes this protocol again."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from messenger.domain.ids import AttachmentId
from messenger.storage.intake import Examined


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes, and what whoever loads them down is told of them."""

    path: Path
    name: str
    mime_type: str


class Arrival(Protocol):
    """Bytes on their way in. `path` is a file of this machine's."""

    path: Path

    async def write(self, piece: bytes) -> None:
        """Add to it. Raises StorageAway."""


class Storage(Protocol):
    """Each raises StorageAway where it does not answer, or has no room."""

    def arriving(self) -> AbstractAsyncContextManager[Arrival]:
        """An empty file; what is still there at the end is removed."""

    async def keep(self, attachment_id: AttachmentId, arrival: Arrival, examined: Examined) -> None:
        """Put it in its place. Once this returns it survives a power cut."""

    async def find(self, attachment_id: AttachmentId) -> Kept | None:
        """The bytes as they came."""

    async def find_thumbnail(self, attachment_id: AttachmentId) -> Kept | None:
        """A small picture of them."""

    async def remove(self, attachment_ids: Sequence[AttachmentId]) -> None:
        """Remove what is there of them."""

    async def tidy(self) -> None:
        """Remove what uploads that broke off left behind."""
