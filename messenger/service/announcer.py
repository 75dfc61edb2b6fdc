"""What use cases need of fan-out. They announce after the commit, never before: announcing earlier makes ghosts."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from messenger.domain.conversation import Conversation, NotificationSettings, Receipt, Role
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import Message, Reaction


class Announcer(Protocol):
    """Nothing here waits or fails."""

    def changed(
        self,
        message: Message,
        event: str,
        subject: Conversation | None = None,
        reaction: Reaction | None = None,
        *,
        committed_at: float | None = None,
    ) -> None: ...

    def joined(self, conversation_id: ConversationId, user_ids: Iterable[UserId]) -> None: ...

    def deleted(self, conversation_id: ConversationId) -> None: ...

    def typing(self, conversation_id: ConversationId, user_id: UserId, *, is_typing: bool) -> None: ...

    def signal(self, conversation_id: ConversationId, told: Mapping[str, Any]) -> None:
        """An ephemeral event, for everybody who hears a conversation's."""

    def read(self, receipt: Receipt, *, to_others: bool) -> None: ...

    def revoked(self, user_id: UserId, not_before: datetime) -> None: ...

    def preferred(self, user_ids: Iterable[UserId]) -> None: ...

    def notified(self, user_id: UserId, conversation_id: ConversationId, settings: NotificationSettings) -> None: ...

    def profiled(self, user_id: UserId, profile_version: int) -> None: ...


class Floor(Protocol):
    """Who is in a conversation, as far as this node's devices go; no database is asked."""

    def role_of(self, conversation_id: ConversationId, user_id: UserId) -> Role | None:
        """None for somebody who is in no such conversation."""

    def is_large(self, conversation_id: ConversationId) -> bool: ...
