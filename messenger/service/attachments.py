"""Uploading files, finding them again, and addresses at which their bytes are to be had for a while."""

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from messenger.domain.attachment import ATTACHMENTS, Attachment, Links
from messenger.domain.ids import AttachmentId, UserId, uuid7
from messenger.errors import AttachmentNotFound, Forbidden, TooLarge
from messenger.storage.intake import examine
from messenger.storage.kinds import allowing
from messenger.storage.storage import Kept, Storage
from messenger.store.attachments import AttachmentStore

# So many go in one transaction: as long as their bytes are removed, it lasts.
CLEARED_AT_ONCE = 100
# What the installation's key signs is told apart by what it is for.
PURPOSE = b"messenger attachment links"

# What an address leads to.
Part: TypeAlias = Literal["content", "thumbnail"]


class Addresses:
    """Signed addresses of bytes. Whoever knows one needs no token, so it ends soon. `origin`: what stands before the path;
    nothing where whoever asks knows it.

    They stay the same for half of `lasts_s`, so that a browser keeps what it has loaded.
    """

    def __init__(self, installation_key: bytes, *, lasts_s: int, origin: str) -> None:
        self._key = hmac.digest(installation_key, PURPOSE, hashlib.sha256)
        self._step_s = max(1, lasts_s // 2)
        self._origin = origin

    def expiry(self) -> int:
        """Of those that are made now, in seconds since 1970."""
        return (int(time.time()) // self._step_s + 2) * self._step_s

    def of(self, attachment_id: AttachmentId, part: Part) -> str:
        expires = str(self.expiry())
        signature = self._signature(attachment_id, part, expires)
        return f"{self._origin}{ATTACHMENTS}/{attachment_id}/{part}?expires={expires}&signature={signature}"

    def check(self, attachment_id: AttachmentId, part: Part, expires: str, signature: str) -> int:
        """The seconds that are left. Raises Forbidden."""
        made = self._signature(attachment_id, part, expires).encode()
        # Looked at only once it is certain that we wrote it.
        if not hmac.compare_digest(made, signature.encode(errors="surrogateescape")):
            raise Forbidden("This link is not valid")
        left_s = int(expires) - int(time.time())
        if left_s <= 0:
            raise Forbidden("This link has expired")
        return left_s

    def _signature(self, attachment_id: AttachmentId, part: Part, expires: str) -> str:
        signed = f"{attachment_id}/{part}/{expires}".encode(errors="surrogateescape")
        return base64.urlsafe_b64encode(hmac.digest(self._key, signed, hashlib.sha256)).rstrip(b"=").decode()


class Attachments:
    """`types`: what may be uploaded, as `image/*`; `idle_s`: what no message has carried for so long is cleared away;
    `idle_bytes`: whose files that none carries have more uploads nothing."""

    def __init__(
        self,
        store: AttachmentStore,
        storage: Storage,
        addresses: Addresses,
        *,
        types: Sequence[str],
        idle_s: float,
        idle_bytes: int,
    ) -> None:
        self._store = store
        self._storage = storage
        self._addresses = addresses
        self._allows = allowing(types)
        self._idle_s = idle_s
        self._idle_bytes = idle_bytes
        # Uploads, and the bytes of them, since the start.
        self.count = 0
        self.bytes = 0

    async def upload(self, uploader: UserId, name: str, pieces: AsyncIterator[bytes]) -> Attachment:
        """Keep a file. Where `pieces` raises, nothing is left of it. Raises TooLarge, TypeNotAllowed, StorageAway, Unavailable."""
        if await self._store.idle_bytes(uploader) > self._idle_bytes:
            raise TooLarge(
                f"Your files that no message carries have more than {self._idle_bytes} bytes: send them, or wait until "
                "they are cleared away",
                field="file",
            )
        async with self._storage.arriving() as arrival:
            async for piece in pieces:
                await arrival.write(piece)
            examined = await examine(arrival.path, name, self._allows)
            attachment = Attachment(
                id=AttachmentId(uuid7()),
                name=examined.name,
                mime_type=examined.mime_type,
                size=examined.size,
                width=examined.width,
                height=examined.height,
                has_thumbnail=examined.thumbnail is not None,
            )
            # In the books first: bytes that stand in none would never be cleared away.
            await self._store.add(uploader, attachment)
            await self._storage.keep(attachment.id, arrival, examined)
        self.count += 1
        self.bytes += attachment.size
        return attachment

    async def find(self, reader: UserId, attachment_id: AttachmentId) -> Attachment:
        """One that he uploaded, or that a message carries which he may see. Raises AttachmentNotFound."""
        attachment = await self._store.find(reader, attachment_id)
        if attachment is None:
            raise AttachmentNotFound
        return attachment

    def address(self, attachment_id: AttachmentId, part: Part = "content") -> str:
        """Where its bytes are to be had for a while, for whoever it is told to."""
        return self._addresses.of(attachment_id, part)

    def links(self, attachment: Attachment) -> Links:
        return Links(
            url=self.address(attachment.id),
            thumbnail_url=self.address(attachment.id, "thumbnail") if attachment.has_thumbnail else None,
            expires_at=datetime.fromtimestamp(self._addresses.expiry(), UTC),
        )

    async def opened(self, attachment_id: AttachmentId, part: Part, expires: str, signature: str) -> tuple[Kept, int]:
        """What a signed address leads to, and for how many seconds still. Raises Forbidden, AttachmentNotFound, StorageAway."""
        left_s = self._addresses.check(attachment_id, part, expires, signature)
        kept = await (self._storage.find if part == "content" else self._storage.find_thumbnail)(attachment_id)
        if kept is None:
            raise AttachmentNotFound
        return kept, left_s

    async def clear_idle(self) -> bool:
        """Clear some away that nobody uses; whether there may be more. Raises Unavailable."""
        return await self._store.clear(self._idle_s, CLEARED_AT_ONCE, self._storage.remove) == CLEARED_AT_ONCE

    async def tidy(self) -> None:
        """Remove what uploads that broke off left behind. Raises StorageAway."""
        await self._storage.tidy()
