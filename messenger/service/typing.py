"""Who is typing. Nothing is stored: it counts for a few seconds, and the daemon ends it where nobody does.

Passed on at most once a second for each device and conversation; a change of state always passes.
"""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass

from messenger.domain.ids import ConversationId, UserId
from messenger.errors import NotParticipant
from messenger.service.announcer import Announcer, Floor

LASTS_S = 5.0
AT_MOST_EVERY_S = 1.0


@dataclass(slots=True)
class _Typing:
    user_id: UserId
    told_at: float
    end: asyncio.TimerHandle


class TypingIndicator:
    """`device` is whatever tells one device from another; it must be dismissed when it goes."""

    def __init__(self, announcer: Announcer, floor: Floor) -> None:
        self._announcer = announcer
        self._floor = floor
        self._typing: dict[tuple[Hashable, ConversationId], _Typing] = {}

    def __len__(self) -> int:
        return len(self._typing)

    def note(self, device: Hashable, user_id: UserId, conversation_id: ConversationId, *, is_typing: bool) -> None:
        """Somebody types, or has stopped. Raises NotParticipant."""
        role = self._floor.role_of(conversation_id, user_id)
        if role is None:
            raise NotParticipant
        if role == "observer" or self._floor.is_large(conversation_id):
            return
        if is_typing:
            self._go_on(device, user_id, conversation_id)
        else:
            self._end(device, conversation_id)

    def dismiss(self, device: Hashable) -> None:
        """A device has gone: it types no more."""
        for other, conversation_id in list(self._typing):
            if other is device:
                self._end(device, conversation_id)

    def _go_on(self, device: Hashable, user_id: UserId, conversation_id: ConversationId) -> None:
        loop = asyncio.get_running_loop()
        end = loop.call_later(LASTS_S, self._end, device, conversation_id)
        state = self._typing.get((device, conversation_id))
        if state is not None:
            state.end.cancel()
            state.end = end
            if loop.time() - state.told_at < AT_MOST_EVERY_S:
                return
            state.told_at = loop.time()
        else:
            self._typing[device, conversation_id] = _Typing(user_id, loop.time(), end)
        self._announcer.typing(conversation_id, user_id, is_typing=True)

    def _end(self, device: Hashable, conversation_id: ConversationId) -> None:
        state = self._typing.pop((device, conversation_id), None)
        if state is not None:
            state.end.cancel()
            self._announcer.typing(conversation_id, state.user_id, is_typing=False)
