"""Uploads, in the books: who may see which. Their bytes are the storage's."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from messenger.domain.attachment import Attachment
from messenger.domain.ids import AttachmentId, UserId
from messenger.store.queries import query
from messenger.store.session import Connection, Store


class AttachmentStore:
    """One of somebody else's and none at all are the same None."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, uploader: UserId, attachment: Attachment) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(
                query("attachments.insert"),
                attachment.id,
                attachment.name,
                attachment.mime_type,
                attachment.size,
                attachment.width,
                attachment.height,
                attachment.has_thumbnail,
            )

        await self._store.as_user(uploader, work)

    async def find(self, reader: UserId, attachment_id: AttachmentId) -> Attachment | None:
        """One that he uploaded, or that a message carries which he may see."""

        async def work(connection: Connection) -> Attachment | None:
            row = await connection.fetchrow(query("attachments.find"), attachment_id)
            return row and Attachment(**dict(row))

        return await self._store.as_user(reader, work)

    async def idle_bytes(self, uploader: UserId) -> int:
        """How much of his no message carries."""

        async def work(connection: Connection) -> int:
            return int(await connection.fetchval(query("attachments.idle_bytes")))

        return await self._store.as_user(uploader, work)

    async def clear(self, idle_s: float, most: int, remove: Callable[[Sequence[AttachmentId]], Awaitable[None]]) -> int:
        """Forget uploads that no message has carried for so long, and have their bytes removed before that is certain: where it
        fails, they are found again. How many."""
        async with self._store.connection() as connection, connection.transaction():
            rows = await connection.fetch(query("attachments.clear"), timedelta(seconds=idle_s), most)
            idle = [AttachmentId(attachment_id) for (attachment_id,) in rows]
            await remove(idle)
        return len(idle)
