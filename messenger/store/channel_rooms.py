"""Channels as those who are in them see them."""

from collections.abc import Collection, Sequence

from messenger.domain.channel import ChannelPerson
from messenger.domain.ids import ConversationId, UserId
from messenger.errors import NotParticipant
from messenger.store.messages import require_participant
from messenger.store.queries import query
from messenger.store.session import Connection, Store


class ChannelRoomStore:
    """Everything here runs as the user who asks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, user_id: UserId, channel_url: str) -> ConversationId:
        """The channel of that name. Raises NotParticipant, alike where there is none."""

        async def work(connection: Connection) -> ConversationId | None:
            found: ConversationId | None = await connection.fetchval(query("channel_rooms.find"), channel_url)
            return found

        conversation_id = await self._store.as_user(user_id, work)
        if conversation_id is None:
            raise NotParticipant
        return conversation_id

    async def people(
        self, user_id: UserId, conversation_id: ConversationId, others: Collection[UserId]
    ) -> Sequence[ChannelPerson]:
        """Who is in it, who was, and of `others` who wrote there all the same. Raises NotParticipant."""

        async def work(connection: Connection) -> Sequence[ChannelPerson]:
            await require_participant(connection, conversation_id)
            rows = await connection.fetch(query("channel_rooms.people"), conversation_id, list(others))
            return [ChannelPerson(**dict(row)) for row in rows]

        return await self._store.as_user(user_id, work, conversation_id)
