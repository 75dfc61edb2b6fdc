"""Bringing a chat over: as the database's owner, in everybody's name. Each call is one transaction, and may be made again.

Where the database does not answer for a moment, each waits and tries again: an import takes hours. `Rehearsal` only looks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

import asyncpg

from messenger.domain.ids import AttachmentId, ConversationId, UserId
from messenger.domain.imported import (
    Brought,
    Channel,
    File,
    Landed,
    LandedChannel,
    Member,
    Message,
    MissingFile,
    Person,
    StoredFile,
)
from messenger.errors import Unavailable
from messenger.store.queries import query
from messenger.store.session import Connection, Store

T = TypeVar("T")


class Unstorable(Exception):
    """The database takes something not as it is. Its text says what kind of thing, and no content."""


# How long one waits before each further attempt: a restart of PostgreSQL is waited out.
AGAIN_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
# In a rehearsal, whom there is not yet.
NOBODY_YET = UserId(0)


class Landing(Protocol):
    """Where an import goes. Each raises Unavailable, and Unstorable where nothing of it was written; `messages` and `mend` raise
    Conflict where a file that was known is gone."""

    async def users(self, people: Sequence[Person]) -> Sequence[Landed]: ...

    async def channel(
        self, channel: Channel, created_by: UserId, members: Sequence[tuple[UserId, Member]], *, anew: bool
    ) -> LandedChannel:
        """`anew`: also where it was deleted here."""

    async def messages(
        self,
        conversation_id: ConversationId | None,
        messages: Sequence[Message],
        people: Mapping[str, UserId],
        files: Mapping[str, StoredFile],
        missing: Collection[str],
        failed: Mapping[int, str],
    ) -> Brought:
        """In their order. `people` by the vendor's ids; `files` that are here, and those that are missing, by their addresses;
        `failed`: which messages do not come, and why."""

    async def whole(self, conversation_id: ConversationId) -> None:
        """It has been read to its end."""

    async def forget(self, conversation_id: ConversationId, vendor_id: int) -> None:
        """A message that did not come is gone there."""

    async def mend(self, conversation_id: ConversationId, missing: MissingFile, file: StoredFile) -> bool: ...

    async def last_time(self, conversation_id: ConversationId | None) -> datetime | None:
        """When the latest message was sent that came over."""

    async def known_messages(self, conversation_id: ConversationId | None, vendor_ids: Sequence[int]) -> set[int]:
        """Which of these came over before, or failed to."""

    async def known_files(self, sources: Sequence[str]) -> Mapping[str, AttachmentId]: ...

    async def missing_files(self, conversation_id: ConversationId | None) -> Sequence[MissingFile]: ...

    async def missing_messages(self, conversation_id: ConversationId | None) -> Mapping[int, str]:
        """Which failed, by the vendor's ids, and why."""


class _Looking:
    """What is only read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def last_time(self, conversation_id: ConversationId | None) -> datetime | None:
        at: datetime | None = await self._value("importing.last_time", conversation_id)
        return at

    async def known_messages(self, conversation_id: ConversationId | None, vendor_ids: Sequence[int]) -> set[int]:
        return {row[0] for row in await self._rows("importing.known_messages", conversation_id, vendor_ids)}

    async def known_files(self, sources: Sequence[str]) -> Mapping[str, AttachmentId]:
        return {row["source"]: row["id"] for row in await self._rows("importing.known_sources", sources)}

    async def missing_files(self, conversation_id: ConversationId | None) -> Sequence[MissingFile]:
        return [
            MissingFile(
                row["message_id"], row["vendor_id"], row["place"], File(row["url"], row["name"], row["mime_type"], None)
            )
            for row in await self._rows("importing.missing_files", conversation_id)
        ]

    async def missing_messages(self, conversation_id: ConversationId | None) -> Mapping[int, str]:
        rows = await self._rows("importing.missing_messages", conversation_id)
        return {row["vendor_id"]: row["reason"] for row in rows}

    async def _value(self, name: str, *args: Any) -> Any:
        return await self._patiently(lambda connection: connection.fetchval(query(name), *args))

    async def _row(self, name: str, *args: Any) -> Any:
        return await self._patiently(lambda connection: connection.fetchrow(query(name), *args))

    async def _rows(self, name: str, *args: Any) -> Any:
        return await self._patiently(lambda connection: connection.fetch(query(name), *args))

    async def _patiently(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        for again_s in AGAIN_S:
            try:
                return await self._at_once(work)
            except Unavailable:
                await asyncio.sleep(again_s)
        return await self._at_once(work)

    async def _at_once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            async with self._store.connection() as connection:
                return await work(connection)
        except (asyncpg.PostgresError, asyncpg.DataError) as error:
            raise Unstorable(type(error).__name__) from error


class Arrivals(_Looking):
    """A Landing: the functions of sql/functions/48_import.sql."""

    async def may(self) -> bool:
        """Whether the connection is the owner's own: one of a role that may become him is judged as everybody."""
        return bool(await self._value("importing.may_import"))

    async def users(self, people: Sequence[Person]) -> Sequence[Landed]:
        told = [
            {
                "vendor_id": person.vendor_id,
                "id": None if isinstance(person.named, str) else person.named,
                "external_id": person.named if isinstance(person.named, str) else None,
                "created_at": person.created_at,
                "profile": person.profile,
            }
            for person in people
        ]
        return [Landed(**dict(row)) for row in await self._rows("importing.bring_users", told)]

    async def channel(
        self, channel: Channel, created_by: UserId, members: Sequence[tuple[UserId, Member]], *, anew: bool
    ) -> LandedChannel:
        told = {
            "channel_url": channel.channel_url,
            "created_at": channel.created_at,
            "created_by": created_by,
            "profile": channel.profile,
        }
        people = [
            {"user_id": user_id, "role": member.role, "joined_at": member.joined_at}
            for user_id, member in dict(members).items()
        ]
        return LandedChannel(**dict(await self._row("importing.bring_channel", told, people, anew)))

    async def messages(
        self,
        conversation_id: ConversationId | None,
        messages: Sequence[Message],
        people: Mapping[str, UserId],
        files: Mapping[str, StoredFile],
        missing: Collection[str],
        failed: Mapping[int, str],
    ) -> Brought:
        told = [
            {
                "vendor_id": message.vendor_id,
                "sender_id": people[message.sender],
                "message_type": message.message_type,
                "content": message.content,
                "metadata": message.metadata,
                "mentions": list(dict.fromkeys(people[one] for one in message.mentions)),
                "parent": message.parent,
                "created_at": message.created_at,
                "edited_at": message.edited_at,
                "reactions": [
                    {"emoji": emoji, "user_ids": list(dict.fromkeys(people[one] for one in who))}
                    for emoji, who in message.reactions.items()
                ],
                "files": [
                    _stored(files[file.url])
                    if file.url in files
                    else {**_elsewhere(file), **({"is_missing": True} if file.url in missing else {})}
                    for file in message.files
                ],
            }
            for message in messages
        ]
        not_told = [{"vendor_id": vendor_id, "reason": reason} for vendor_id, reason in failed.items()]
        return Brought(**dict(await self._row("importing.bring_messages", conversation_id, told, not_told)))

    async def whole(self, conversation_id: ConversationId) -> None:
        await self._value("importing.whole", conversation_id)

    async def forget(self, conversation_id: ConversationId, vendor_id: int) -> None:
        await self._value("importing.forget_message", conversation_id, vendor_id)

    async def mend(self, conversation_id: ConversationId, missing: MissingFile, file: StoredFile) -> bool:
        args = (conversation_id, missing.message_id, missing.place, _stored(file))
        return bool(await self._value("importing.mend_file", *args))


class Rehearsal(_Looking):
    """A Landing that writes nothing, and says what would be written."""

    async def users(self, people: Sequence[Person]) -> Sequence[Landed]:
        integers = [person.named for person in people if not isinstance(person.named, str)]
        names = [person.named for person in people if isinstance(person.named, str)]
        known: dict[UserId | str, UserId] = {}
        for row in await self._rows("importing.known_people", integers, names):
            known[row["id"]] = known[row["called"]] = row["id"]
        return [
            Landed(person.vendor_id, known.get(person.named, NOBODY_YET), person.named not in known, is_changed=False)
            for person in people
        ]

    async def channel(
        self, channel: Channel, created_by: UserId, members: Sequence[tuple[UserId, Member]], *, anew: bool
    ) -> LandedChannel:
        row = await self._row("importing.whereabouts", channel.channel_url)
        conversation_id = row["conversation_id"]
        if conversation_id is None:
            is_deleted = row["is_imported"] and not anew
            return LandedChannel(None, "deleted" if is_deleted else "made", 0 if is_deleted else len(members), False)
        if not row["is_imported"]:
            return LandedChannel(conversation_id, "native", 0, is_changed=False)
        joined = await self._value("importing.newcomers", conversation_id, [user_id for user_id, _ in members])
        return LandedChannel(conversation_id, "known", joined, is_changed=False)

    async def messages(
        self,
        conversation_id: ConversationId | None,
        messages: Sequence[Message],
        people: Mapping[str, UserId],
        files: Mapping[str, StoredFile],
        missing: Collection[str],
        failed: Mapping[int, str],
    ) -> Brought:
        return Brought(len(messages), 0, gone=False)

    async def whole(self, conversation_id: ConversationId) -> None: ...

    async def forget(self, conversation_id: ConversationId, vendor_id: int) -> None: ...

    async def mend(self, conversation_id: ConversationId, missing: MissingFile, file: StoredFile) -> bool:
        return True


def _elsewhere(file: File) -> dict[str, Any]:
    told = {"url": file.url, "name": file.name, "size": file.size, "mime_type": file.mime_type}
    return {name: value for name, value in told.items() if value not in (None, "")}


def _stored(file: StoredFile) -> dict[str, Any]:
    return {
        "id": str(file.id),  # asyncpg's own UUIDs are none that orjson knows
        "source": file.source,
        "name": file.name,
        "mime_type": file.mime_type,
        "size": file.size,
        "width": file.width,
        "height": file.height,
        "has_thumbnail": file.has_thumbnail,
    }
