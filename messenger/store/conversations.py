"""Conversations and participants: reading them, and calling the functions that change them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from messenger.domain.conversation import (
    Conversation,
    ConversationType,
    History,
    Name,
    NotificationSettings,
    Overview,
    Participant,
    Role,
    State,
)
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import Message
from messenger.errors import Forbidden, NotParticipant
from messenger.store.messages import require_participant
from messenger.store.queries import query
from messenger.store.rows import (
    conversation_of,
    message_of,
    notification_of,
    overview_of,
    participant_of,
    state_of,
)
from messenger.store.session import Connection, Store


class ConversationStore:
    """Everything here runs as the user in question. A foreign conversation and none at all are the same NotParticipant."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, user_id: UserId, conversation_id: ConversationId) -> Conversation:
        """Raises NotParticipant."""

        async def work(connection: Connection) -> Conversation:
            return await find(connection, conversation_id)

        return await self._store.as_user(user_id, work, conversation_id)

    async def entered(
        self, user_id: UserId, conversation_id: ConversationId, most: int
    ) -> tuple[Conversation, Sequence[Participant], int]:
        """What somebody sees who enters: the conversation, its first `most` participants, his unread count."""

        async def work(connection: Connection) -> tuple[Conversation, Sequence[Participant], int]:
            conversation = await find(connection, conversation_id)
            participants = await connection.fetch(query("conversations.participants"), conversation_id, most)
            reading = await connection.fetchrow(query("conversations.reading"), conversation_id)
            return conversation, tuple(map(participant_of, participants)), reading["unread_count"]

        return await self._store.as_user(user_id, work, conversation_id, one_snapshot=True)

    async def states(
        self, user_id: UserId, cursors: Mapping[ConversationId, int | None], limit: int
    ) -> Mapping[ConversationId, State]:
        """Of each conversation the first `limit` changes above its cursor, ascending by `change`; without one the newest page,
        newest first. The numbers are of the same moment: a message that they do not count is not among them. What the user
        takes no part in is left out."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(
                query("conversations.states"), user_id, list(cursors), list(cursors.values()), limit
            )
        return {row["conversation_id"]: state_of(row) for row in rows}

    async def overview(
        self, user_id: UserId, before: tuple[datetime, ConversationId] | None, limit: int
    ) -> Sequence[Overview]:
        """A page of the user's list, latest activity first, from below `before` on."""

        async def work(connection: Connection) -> Sequence[Overview]:
            at, conversation_id = before or (None, None)
            return tuple(
                map(overview_of, await connection.fetch(query("conversations.overview"), at, conversation_id, limit))
            )

        return await self._store.as_user(user_id, work)

    async def participants(self, user_id: UserId, conversation_id: ConversationId) -> Sequence[Participant]:
        """Raises NotParticipant."""

        async def work(connection: Connection) -> Sequence[Participant]:
            await require_participant(connection, conversation_id)
            rows = await connection.fetch(query("conversations.participants"), conversation_id, None)
            return tuple(map(participant_of, rows))

        return await self._store.as_user(user_id, work, conversation_id)

    async def former_participants(self, user_id: UserId, conversation_id: ConversationId) -> Sequence[Name]:
        """Who left it and is not back, latest first; at most 500. Raises NotParticipant."""

        async def work(connection: Connection) -> Sequence[Name]:
            await require_participant(connection, conversation_id)
            rows = await connection.fetch(query("conversations.former_participants"), conversation_id)
            return tuple(Name(**dict(row)) for row in rows)

        return await self._store.as_user(user_id, work, conversation_id)

    async def notification(self, user_id: UserId, conversation_id: ConversationId) -> NotificationSettings:
        """What the user wants to be told of. Raises NotParticipant."""

        async def work(connection: Connection) -> NotificationSettings:
            await require_participant(connection, conversation_id)
            row = await connection.fetchrow(query("conversations.notification"), conversation_id)
            return NotificationSettings() if row is None else notification_of(row)

        return await self._store.as_user(user_id, work, conversation_id)

    async def set_notification(
        self, user_id: UserId, conversation_id: ConversationId, wanted: NotificationSettings
    ) -> None:
        """Raises NotParticipant."""

        async def work(connection: Connection) -> None:
            await require_participant(connection, conversation_id)
            await connection.execute(
                query("conversations.set_notification"),
                conversation_id,
                wanted.level,
                wanted.muted_until,
                wanted.push_enabled,
                wanted.email_enabled,
            )

        try:
            await self._store.as_user(user_id, work, conversation_id)
        except (asyncpg.ForeignKeyViolationError, Forbidden):  # he was removed while this waited
            raise NotParticipant from None

    async def create(
        self,
        user_id: UserId,
        type_: ConversationType,
        title: str | None,
        metadata: Mapping[str, Any],
        history: History,
        participant_ids: Sequence[UserId],
        *,
        provision: bool,
    ) -> tuple[Conversation, bool, Sequence[Message]]:
        """The conversation, whether it is new, and what its log tells of who came back. Raises UserNotFound, Forbidden."""

        async def work(connection: Connection) -> tuple[Conversation, bool, Sequence[Message]]:
            row = await connection.fetchrow(
                query("conversations.create"),
                type_,
                title,
                metadata,
                history,
                list(participant_ids),
                provision,
            )
            return await find(connection, row["conversation_id"]), row["created"], tuple(map(message_of, row["told"]))

        return await self._store.as_user(user_id, work)

    async def add_participants(
        self,
        user_id: UserId,
        conversation_id: ConversationId,
        newcomers: Sequence[UserId],
        role: Role,
        *,
        provision: bool,
    ) -> Sequence[Message]:
        """Raises NotParticipant, Forbidden, UserNotFound."""
        return await self._tell(
            user_id, "conversations.add_participants", conversation_id, list(newcomers), role, provision
        )

    async def set_role(
        self, user_id: UserId, conversation_id: ConversationId, other: UserId, role: Role
    ) -> Sequence[Message]:
        """Raises NotParticipant, Forbidden, UserNotFound, Conflict."""
        return await self._tell(user_id, "conversations.set_role", conversation_id, other, role)

    async def remove_participant(
        self, user_id: UserId, conversation_id: ConversationId, other: UserId
    ) -> Sequence[Message]:
        """Raises NotParticipant, Forbidden, UserNotFound."""
        return await self._tell(user_id, "conversations.remove_participant", conversation_id, other)

    async def update(
        self,
        user_id: UserId,
        conversation_id: ConversationId,
        *,
        set_title: bool,
        title: str | None,
        metadata: Mapping[str, Any] | None,
    ) -> tuple[Conversation, Sequence[Message]]:
        """The conversation as it now is, and what its log tells. Raises NotParticipant, Forbidden."""

        async def work(connection: Connection) -> tuple[Conversation, Sequence[Message]]:
            rows = await connection.fetch(query("conversations.update"), conversation_id, set_title, title, metadata)
            return await find(connection, conversation_id), tuple(map(message_of, rows))

        return await self._store.as_user(user_id, work, conversation_id)

    async def delete(self, user_id: UserId, conversation_id: ConversationId) -> Sequence[UserId]:
        """Who took part until now. Raises NotParticipant, Forbidden."""

        async def work(connection: Connection) -> Sequence[UserId]:
            return [row[0] for row in await connection.fetch(query("conversations.delete"), conversation_id)]

        return await self._store.as_user(user_id, work, conversation_id)

    async def _tell(
        self, user_id: UserId, name: str, conversation_id: ConversationId, *arguments: object
    ) -> Sequence[Message]:
        async def work(connection: Connection) -> Sequence[Message]:
            return tuple(map(message_of, await connection.fetch(query(name), conversation_id, *arguments)))

        return await self._store.as_user(user_id, work, conversation_id)


async def find(connection: Connection, conversation_id: ConversationId) -> Conversation:
    row = await connection.fetchrow(query("conversations.one"), conversation_id)
    if row is None:
        raise NotParticipant
    return conversation_of(row)
