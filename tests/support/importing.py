"""`messenger import-sendbird` as whoever moves house runs it, and what a database holds afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.command import Told, messenger
from tests.support.database import Database
from tests.support.vendor import Vendor

Row = tuple[Any, ...]

# All that an import writes, told without what is made by chance: ids that we give, and transactions.
CALLED = "(select coalesce(u.external_id, u.id::text) from messenger.users u where u.id = %s)"
TABLES = {
    "users": """
        select coalesce(external_id, id::text), name, avatar_url, metadata, created_at, name_is_set, avatar_is_set,
            profile_version, deleted_at
        from messenger.users
    """,
    "channels": f"""
        select channel_url, type, title, metadata, history, {CALLED % "created_by"}, created_at, last_seq, last_change,
            participant_count, active_at
        from messenger.conversations join messenger.conversation_heads on conversation_id = id
    """,
    "members": f"""
        select channel_url, {CALLED % "user_id"}, role, joined_at, joined_change, first_seq
        from messenger.conversation_participants join messenger.conversations on conversation_id = id
    """,
    "messages": f"""
        select channel_url, m.seq, m.change, i.vendor_id, {CALLED % "m.sender_id"}, m.message_type, m.content,
            m.metadata, m.created_at, m.edited_at, r.vendor_id,
            array(select {CALLED % "one"} from unnest(m.mentions) as one), m.attachments, m.reactions, m.deleted_at
        from messenger.messages m
        join messenger.conversations c on c.id = m.conversation_id
        left join messenger.imported_messages i on i.conversation_id = m.conversation_id and i.message_id = m.id
        left join messenger.imported_messages r on r.conversation_id = m.conversation_id and r.message_id = m.reply_to
    """,
    "reactions": f"""
        select i.vendor_id, {CALLED % "r.user_id"}, r.emoji, r.created_at
        from messenger.reactions r
        join messenger.imported_messages i on i.conversation_id = r.conversation_id and i.message_id = r.message_id
    """,
    "read receipts": f"""
        select channel_url, {CALLED % "r.user_id"}, r.last_read_seq, i.vendor_id, r.read_at
        from messenger.read_receipts r
        join messenger.conversations c on c.id = r.conversation_id
        left join messenger.imported_messages i on i.conversation_id = r.conversation_id and i.message_id = r.message_id
    """,
    "attachments": f"""
        select id, {CALLED % "uploaded_by"}, name, mime_type, size, width, height, has_thumbnail, created_at,
            idle_since is null
        from messenger.attachments
    """,
    "attachment uses": """
        select i.vendor_id, u.attachment_id
        from messenger.attachment_uses u
        join messenger.imported_messages i on i.conversation_id = u.conversation_id and i.message_id = u.message_id
    """,
    "missing files": """
        select i.vendor_id, f.place, f.url
        from messenger.missing_files f
        join messenger.imported_messages i on i.conversation_id = f.conversation_id and i.message_id = f.message_id
    """,
    "missing messages": """
        select channel_url, n.vendor_id, n.reason
        from messenger.missing_messages n join messenger.conversations c on c.id = n.conversation_id
    """,
    "what was taken over": """
        select called, told::text, null from messenger.imported_users
        union all select channel_url, told::text, is_whole from messenger.imported_channels
    """,
}


@dataclass(frozen=True)
class Move:
    """From a vendor into a database, with files under a folder."""

    vendor: Vendor
    database: Database
    folder: Path

    @property
    def args(self) -> tuple[str, ...]:
        return ("import-sendbird", "--base-url", self.vendor.url, "--api-token", self.vendor.api_token)

    @property
    def settings(self) -> dict[str, str]:
        return {"migrate_database_url": self.database.owner_url, "data_dir": str(self.folder)}

    async def run(self, *args: str, **settings: str) -> Told:
        told = await messenger(*self.args, *args, **{**self.settings, **settings})
        assert self.vendor.api_token not in told.out + told.err
        return told

    async def all_of_it(self) -> dict[str, list[Row]]:
        """Everything that an import writes, table by table."""
        connection = await asyncpg.connect(self.database.admin_url)
        try:
            return {
                name: sorted((tuple(row) for row in await connection.fetch(query)), key=repr)
                for name, query in TABLES.items()
            }
        finally:
            await connection.close()

    def files(self) -> dict[str, bytes]:
        """What is kept of files, by their names in the storage; not what is on its way in."""
        kept = self.folder / "attachments"
        return {
            str(path.relative_to(kept)): path.read_bytes()
            for path in kept.rglob("*")
            if path.is_file() and path.parent.name != "arriving"
        }


@asynccontextmanager
async def moving(database: Database, folder: Path) -> AsyncIterator[Move]:
    async with Vendor.running() as vendor:
        yield Move(vendor, database, folder)
