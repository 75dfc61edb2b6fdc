"""Making and changing conversations, and who is in them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from messenger.domain.conversation import (
    LARGE,
    Conversation,
    ConversationType,
    History,
    Name,
    NotificationSettings,
    Overview,
    Participant,
    Role,
)
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import Message
from messenger.errors import Forbidden, InvalidFrame
from messenger.service.announcer import Announcer
from messenger.store.conversations import ConversationStore


class Conversations:
    """`provision`: unknown participants become users. `anyone_starts`: users make conversations, not only the host."""

    def __init__(self, store: ConversationStore, announcer: Announcer, *, provision: bool, anyone_starts: bool) -> None:
        self._store = store
        self._announcer = announcer
        self._provision = provision
        self._anyone_starts = anyone_starts

    async def create(
        self,
        actor: UserId,
        type_: ConversationType,
        title: str | None,
        metadata: Mapping[str, Any],
        history: History,
        participant_ids: Sequence[UserId],
        *,
        by_host: bool = False,
    ) -> tuple[Conversation, bool]:
        """The conversation, and whether it is new. `by_host`: the host application makes it in the actor's name. Raises
        InvalidFrame, UserNotFound, Forbidden, Unavailable."""
        if not (self._anyone_starts or by_host):
            raise Forbidden("Only the host application makes conversations")
        others = [user_id for user_id in participant_ids if user_id != actor]
        if type_ == "direct" and len(others) != 1:
            raise InvalidFrame("participant_ids must name one other user", field="participant_ids")
        conversation, created, told = await self._store.create(
            actor, type_, title, metadata, history, others, provision=self._provision
        )
        if created:
            self._announcer.joined(conversation.id, [actor, *others])
        self.tell(told)
        return conversation, created

    async def entered(
        self, actor: UserId, conversation_id: ConversationId
    ) -> tuple[Conversation, Sequence[Participant], int]:
        """What somebody sees who enters: the conversation, its first 100 participants, his unread count."""
        return await self._store.entered(actor, conversation_id, LARGE)

    async def find(self, actor: UserId, conversation_id: ConversationId) -> Conversation:
        """Raises NotParticipant, Unavailable."""
        return await self._store.find(actor, conversation_id)

    async def overview(
        self, actor: UserId, before: tuple[datetime, ConversationId] | None, limit: int
    ) -> Sequence[Overview]:
        """A page of the user's list, latest activity first."""
        return await self._store.overview(actor, before, limit)

    async def update(
        self,
        actor: UserId,
        conversation_id: ConversationId,
        *,
        set_title: bool,
        title: str | None,
        metadata: Mapping[str, Any] | None,
    ) -> Conversation:
        """Raises NotParticipant, Forbidden, Unavailable."""
        conversation, told = await self._store.update(
            actor, conversation_id, set_title=set_title, title=title, metadata=metadata
        )
        self.tell(told, conversation)
        return conversation

    async def delete(self, actor: UserId, conversation_id: ConversationId) -> None:
        """Delete it with everything in it; a direct one is only left. Raises NotParticipant, Forbidden, Unavailable."""
        conversation = await self._store.find(actor, conversation_id)
        if conversation.type == "direct":
            await self.remove_participant(actor, conversation_id, actor)
            return
        await self._store.delete(actor, conversation_id)
        self._announcer.deleted(conversation_id)

    async def participants(self, actor: UserId, conversation_id: ConversationId) -> Sequence[Participant]:
        """Raises NotParticipant, Unavailable."""
        return await self._store.participants(actor, conversation_id)

    async def former_participants(self, actor: UserId, conversation_id: ConversationId) -> Sequence[Name]:
        """Who left it and is not back, latest first. Raises NotParticipant, Unavailable."""
        return await self._store.former_participants(actor, conversation_id)

    async def notification(self, actor: UserId, conversation_id: ConversationId) -> NotificationSettings:
        """What the actor wants to be told of. Raises NotParticipant, Unavailable."""
        return await self._store.notification(actor, conversation_id)

    async def set_notification(
        self, actor: UserId, conversation_id: ConversationId, wanted: NotificationSettings
    ) -> None:
        """Raises NotParticipant, Unavailable."""
        await self._store.set_notification(actor, conversation_id, wanted)
        self._announcer.notified(actor, conversation_id, wanted)

    async def add_participants(
        self, actor: UserId, conversation_id: ConversationId, newcomers: Sequence[UserId], role: Role
    ) -> None:
        """Raises NotParticipant, Forbidden, UserNotFound, Unavailable."""
        self.tell(
            await self._store.add_participants(actor, conversation_id, newcomers, role, provision=self._provision)
        )

    async def set_role(self, actor: UserId, conversation_id: ConversationId, other: UserId, role: Role) -> None:
        """Raises NotParticipant, Forbidden, UserNotFound, Conflict, Unavailable."""
        self.tell(await self._store.set_role(actor, conversation_id, other, role))

    async def remove_participant(self, actor: UserId, conversation_id: ConversationId, other: UserId) -> None:
        """Leave, or remove somebody. Raises NotParticipant, Forbidden, UserNotFound, Unavailable."""
        self.tell(await self._store.remove_participant(actor, conversation_id, other))

    def tell(self, told: Sequence[Message], subject: Conversation | None = None) -> None:
        """Announce what a log tells of."""
        for message in told:
            event = message.system_event or "message.new"
            self._announcer.changed(message, event, subject)
            if event == "participant.added" and message.metadata is not None:
                self._announcer.joined(message.conversation_id, [message.metadata["user_id"]])
