"""Brings the files of messages into our storage. Only the vendor's own are asked for: what else a message's sender gave as an
address stays an address, and nobody is sent there by it.

A file's id is made of where it came from, so that one whose row was never written is overwritten by the next attempt.
"""

import asyncio
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yarl import URL

from messenger.chat_service import wording
from messenger.chat_service.errors import ChatServiceError, FileTooLarge, ForeignFile, NotFound, Unauthorized
from messenger.chat_service.platform import PlatformClient
from messenger.domain.ids import AttachmentId
from messenger.domain.imported import File, StoredFile
from messenger.importing.each import each
from messenger.storage.intake import examine
from messenger.storage.kinds import allowing
from messenger.storage.storage import Storage
from messenger.store.importing import Landing

AT_ONCE = 4
# What an index holds in one entry, and more.
SOURCE_CHARS = 1000
SIGNATURE = "auth"


class NotBrought(Exception):
    """A file did not come; the text says why."""


@dataclass(slots=True)
class Fetched:
    """By the files' addresses. `missing`: why they did not come; `bytes` of those that are `new`."""

    stored: dict[str, StoredFile] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    new: int = 0
    known: int = 0
    bytes: int = 0


class Files:
    """`max_bytes` a file; `types`: what may be kept, as `image/*`. `is_rehearsal`: nothing is brought."""

    def __init__(
        self,
        vendor: PlatformClient,
        storage: Storage,
        landing: Landing,
        *,
        max_bytes: int,
        types: Sequence[str],
        is_rehearsal: bool,
    ) -> None:
        self._vendor = vendor
        self._storage = storage
        self._landing = landing
        self._max_bytes = max_bytes
        self._is_allowed = allowing(types)
        self._is_rehearsal = is_rehearsal
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def fetch(self, files: Sequence[File]) -> Fetched:
        """Those that are not here yet. Raises Unavailable, StorageAway, OSError, Unauthorized."""
        fetched = Fetched()
        own = {}
        for file in files:
            if self._vendor.is_own(file.url):
                own[file.url] = file
            else:
                fetched.elsewhere.add(file.url)
        sources = {url: source_of(url) for url in own}
        known = await self._landing.known_files(list(sources.values())) if own else {}
        wanted = []
        for url, file in own.items():
            if sources[url] in known:
                fetched.stored[url] = StoredFile(known[sources[url]], sources[url])
                fetched.known += 1
            elif file.size is not None and file.size > self._max_bytes:
                fetched.missing[url] = _too_large(self._max_bytes)
            elif self._is_rehearsal:
                fetched.new += 1
                fetched.bytes += file.size or 0
            else:
                wanted.append(file)
        await each(wanted, lambda file: self._fetch(file, fetched), at_once=AT_ONCE)
        return fetched

    async def _fetch(self, file: File, fetched: Fetched) -> None:
        try:
            async with self._turns:
                stored = await self._brought(file)
        except NotBrought as reason:
            fetched.missing[file.url] = str(reason)
            return
        fetched.stored[file.url] = stored
        fetched.new += 1
        fetched.bytes += stored.size or 0

    async def _brought(self, file: File) -> StoredFile:
        source = source_of(file.url)
        async with self._storage.arriving() as arrival:
            await self._download(file, arrival.path)
            examined = await examine(arrival.path, file.name, self._allows)
            stored = StoredFile(
                id=AttachmentId(uuid.uuid5(uuid.NAMESPACE_URL, source)),
                source=source,
                name=examined.name,
                mime_type=examined.mime_type,
                size=examined.size,
                width=examined.width,
                height=examined.height,
                has_thumbnail=examined.thumbnail is not None,
            )
            # Before its row, which is written with its message: a row promises that the bytes are there.
            await self._storage.keep(stored.id, arrival, examined)
        return stored

    def _allows(self, mime_type: str) -> bool:
        """Raises NotBrought, which tells the type."""
        if not self._is_allowed(mime_type):
            raise NotBrought(f"MESSENGER_ATTACHMENT_TYPES does not allow {mime_type}")
        return True

    async def _download(self, file: File, to: Path) -> None:
        try:
            await self._vendor.download(file.url, to, max_bytes=self._max_bytes)
        except FileTooLarge:
            raise NotBrought(_too_large(self._max_bytes)) from None
        except NotFound:
            raise NotBrought("the file is gone there") from None
        except ForeignFile:
            raise NotBrought("its address leads to somebody else's") from None
        except Unauthorized:
            raise
        except ChatServiceError as error:
            raise NotBrought(f"the file was not given out ({type(error).__name__}, status {error.status})") from None


def source_of(url: str) -> str:
    """What a file is known by: its address, without what only says who may load it."""
    address = URL(url)
    plain = address.with_query(None).with_fragment(None)
    rest = address.query.copy()
    rest.pop(SIGNATURE, None)
    # The vendor's hosts name a file by its path; elsewhere the query may say which one it is.
    if rest and not (address.host or "").endswith(wording.DOMAIN):
        plain = plain.with_fragment(_digest(str(sorted(rest.items()))))
    source = str(plain)
    return source if len(source) <= SOURCE_CHARS else f"sha256:{_digest(source)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _too_large(max_bytes: int) -> str:
    return f"it is larger than MESSENGER_MAX_ATTACHMENT_BYTES, {max_bytes:,}"
