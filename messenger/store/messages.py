"""Messages: reading pages of the log, editing, deleting, marking read. Appending stands in lanes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import asyncpg

from messenger.domain.conversation import Reader, Receipt
from messenger.domain.ids import ConversationId, MessageId, UserId
from messenger.domain.message import Message, Reaction
from messenger.errors import Forbidden, MessageNotFound, NotParticipant
from messenger.store.queries import query
from messenger.store.rows import message_of, receipt_of
from messenger.store.session import Connection, Store

# Of a message, in one answer.
MOST_REACTIONS = 1000


class MessageStore:
    """Everything here runs as the user in question; what he may not see does not exist."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def edit(self, user_id: UserId, message_id: MessageId, content: str) -> Message:
        """Raises MessageNotFound, Forbidden."""

        async def work(connection: Connection) -> Message:
            message = await _locate(connection, user_id, message_id)
            if message.sender_id != user_id:
                raise Forbidden("Only sender can edit message")
            row = await connection.fetchrow(query("messages.edit"), message_id, content)
            if row is None:
                raise Forbidden("Only sender can edit message")
            return message_of(row)

        with _found_no_more():
            return await self._store.as_user(user_id, work)

    async def delete(self, user_id: UserId, message_id: MessageId) -> Message:
        """Raises MessageNotFound, Forbidden."""

        async def work(connection: Connection) -> Message:
            await _locate(connection, user_id, message_id)
            row = await connection.fetchrow(query("messages.delete"), message_id)
            if row is None:
                raise Forbidden("Only sender or admins can delete message")
            return message_of(row)

        with _found_no_more():
            return await self._store.as_user(user_id, work)

    async def react(
        self, user_id: UserId, message_id: MessageId, emoji: str, *, is_added: bool
    ) -> tuple[Message, bool]:
        """The message, and whether anything changed: the same reaction twice counts once. Raises MessageNotFound, Forbidden,
        Conflict."""

        async def work(connection: Connection) -> tuple[Message, bool]:
            row = await connection.fetchrow(query("messages.react"), message_id, emoji, is_added)
            return message_of(row), row["moved"]

        with _found_no_more():
            return await self._store.as_user(user_id, work)

    async def reactions(self, user_id: UserId, message_id: MessageId) -> Sequence[tuple[Reaction, datetime]]:
        """Who reacted with what, and when, the first first. Raises MessageNotFound."""

        async def work(connection: Connection) -> Sequence[tuple[Reaction, datetime]]:
            message = await _locate(connection, user_id, message_id)
            rows = await connection.fetch(
                query("messages.reactions"), message.conversation_id, message_id, MOST_REACTIONS
            )
            return [(Reaction(row["user_id"], row["emoji"], is_added=True), row["created_at"]) for row in rows]

        return await self._store.as_user(user_id, work)

    async def readers(self, user_id: UserId, message_id: MessageId) -> Sequence[Reader]:
        """Who has read a message and when, without its sender. Raises MessageNotFound."""

        async def work(connection: Connection) -> Sequence[Reader]:
            message = await _locate(connection, user_id, message_id)
            rows = await connection.fetch(
                query("messages.readers"), message.conversation_id, message.seq, message.sender_id
            )
            return [Reader(**dict(row)) for row in rows]

        return await self._store.as_user(user_id, work)

    async def mark_read(self, user_id: UserId, message_id: MessageId) -> Receipt:
        """Raises MessageNotFound."""
        async with self._store.connection() as connection:
            try:
                row = await connection.fetchrow(query("messages.mark_read"), user_id, message_id)
            except (asyncpg.ForeignKeyViolationError, asyncpg.InsufficientPrivilegeError):
                # He was removed, or the conversation deleted, while this waited.
                raise MessageNotFound from None
            return receipt_of(row, user_id)

    async def history(
        self,
        user_id: UserId,
        conversation_id: ConversationId,
        before_seq: int | None,
        after_seq: int | None,
        limit: int,
    ) -> tuple[Sequence[Message], bool]:
        """A page in ascending `seq`, and whether there is more in the direction of paging. Raises NotParticipant."""
        is_forward = after_seq is not None and before_seq is None
        async with self._store.connection() as connection:
            rows = await connection.fetch(
                query("messages.history"),
                user_id,
                conversation_id,
                after_seq or 0,
                2**62 if before_seq is None else before_seq,
                is_forward,
                limit + 1,  # one more than asked for tells whether there is more
            )
        page = rows[:limit] if is_forward else reversed(rows[:limit])
        return tuple(map(message_of, page)), len(rows) > limit

    async def changes(
        self, user_id: UserId, conversation_id: ConversationId, above: int, limit: int
    ) -> Sequence[Message]:
        """What changed above a cursor, ascending by `change`: the last state of each message. Raises NotParticipant."""

        async def work(connection: Connection) -> Sequence[Message]:
            await require_participant(connection, conversation_id)
            return tuple(
                map(message_of, await connection.fetch(query("messages.changes"), conversation_id, above, limit))
            )

        return await self._store.as_user(user_id, work, conversation_id)

    async def departure(self, user_id: UserId, conversation_id: ConversationId) -> Message | None:
        """The entry that tells of the user's own leaving; None where he is in, or never was."""

        async def work(connection: Connection) -> Message | None:
            row = await connection.fetchrow(query("messages.departure"), conversation_id)
            return row and message_of(row)

        return await self._store.as_user(user_id, work)


async def require_participant(connection: Connection, conversation_id: ConversationId) -> None:
    """Raises NotParticipant."""
    if await connection.fetchval("select messenger.my_first_seq($1)", conversation_id) is None:
        raise NotParticipant


@contextmanager
def _found_no_more() -> Iterator[None]:
    """Who was removed while he waited for the conversation finds no message in it."""
    try:
        yield
    except NotParticipant:
        raise MessageNotFound from None


async def _locate(connection: Connection, user_id: UserId, message_id: MessageId) -> Message:
    """The message, and the rest of the transaction narrowed to its conversation. Raises MessageNotFound."""
    conversation_id: UUID | None = await connection.fetchval(query("messages.conversation_of"), message_id)
    if conversation_id is None:
        raise MessageNotFound
    await connection.fetchval("select messenger.enter($1, $2)", user_id, [conversation_id])
    row = await connection.fetchrow(query("messages.find"), message_id)
    if row is None or row["deleted_at"] is not None:
        raise MessageNotFound
    return message_of(row)
