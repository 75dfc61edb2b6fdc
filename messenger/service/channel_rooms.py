"""Channels as those who are in them see them: finding one by the host application's name, and what its people are called."""

from collections.abc import Collection, Sequence

from messenger.domain.channel import CHANNEL_URL, ChannelPerson
from messenger.domain.ids import ConversationId, UserId
from messenger.errors import NotParticipant
from messenger.store.channel_rooms import ChannelRoomStore


class ChannelRooms:
    def __init__(self, store: ChannelRoomStore) -> None:
        self._store = store

    async def find(self, actor: UserId, channel_url: str) -> ConversationId:
        """A channel that the actor is in. Raises NotParticipant, alike where there is none; Unavailable."""
        # Any text may be asked for; PostgreSQL takes not every one.
        if not CHANNEL_URL.fullmatch(channel_url):
            raise NotParticipant
        return await self._store.find(actor, channel_url)

    async def people(
        self, actor: UserId, conversation_id: ConversationId, others: Collection[UserId] = ()
    ) -> Sequence[ChannelPerson]:
        """Who is in it, who was, and of `others` who wrote there all the same. Raises NotParticipant, Unavailable."""
        return await self._store.people(actor, conversation_id, others)
