"""Catching up: from a device's cursors to the log as it is now, in pieces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from messenger.domain.conversation import CaughtUp, Standing
from messenger.domain.ids import ConversationId, UserId
from messenger.errors import NotParticipant
from messenger.protocol import frames
from messenger.store.conversations import ConversationStore
from messenger.store.messages import MessageStore

# A device further behind starts over: replaying more costs it longer than a page.
MOST_BEHIND = 1000


@dataclass(frozen=True, slots=True)
class Caught:
    """One answer. `more`: send the new cursors again. `removed`: what the user no longer takes part in."""

    conversations: Sequence[CaughtUp]
    more: bool
    removed: Sequence[ConversationId]


class Sync:
    def __init__(self, messages: MessageStore, conversations: ConversationStore) -> None:
        self._messages = messages
        self._conversations = conversations

    async def catch_up(self, actor: UserId, cursors: Mapping[ConversationId, int], limit: int) -> Caught:
        """As much as goes into one frame, latest activity first; `limit` in changes a conversation. Raises Unavailable."""
        standings = await self._conversations.standings(actor)
        mine = {standing.conversation_id for standing in standings}
        removed = [conversation_id for conversation_id in cursors if conversation_id not in mine]
        room = frames.ANSWER_ROOM - 40 * len(removed)
        caught: list[CaughtUp] = []
        for standing in standings:
            cursor = cursors.get(standing.conversation_id)
            if cursor == standing.last_change:
                continue
            try:
                item, size = await self._one(actor, standing, cursor, limit, room)
            except NotParticipant:
                continue  # removed a moment ago: the next answer says so
            if item is None:
                return Caught(caught, True, removed)
            caught.append(item)
            room -= size
        return Caught(caught, any(item.more for item in caught), removed)

    async def _one(
        self, actor: UserId, standing: Standing, cursor: int | None, limit: int, room: int
    ) -> tuple[CaughtUp | None, int]:
        """One conversation, cut to fit, and its size in bytes; None where nothing of it fits."""
        reset = cursor is None or cursor > standing.last_change or standing.last_change - cursor > MOST_BEHIND
        if reset or cursor is None:
            page, _ = await self._messages.history(actor, standing.conversation_id, None, None, limit)
            # Cut at the old end: the newest page is what a reset is about.
            kept, size = frames.fitting(list(reversed(page)), room)
            if len(kept) < len(page) and room < frames.ANSWER_ROOM:
                return None, 0  # the next answer has room for all of it
            changes = sorted(kept, key=lambda message: message.change)
            more = False
        else:
            page = await self._messages.changes(actor, standing.conversation_id, cursor, limit + 1)
            kept, size = frames.fitting(page[:limit], room)
            changes, more = kept, len(kept) < len(page)
        if page and not kept:
            return None, 0
        # Read after the changes, so that it counts what they bring; `last_change` below is no further than they are.
        last_read_seq, unread_count = await self._conversations.reading(actor, standing.conversation_id)
        return (
            CaughtUp(
                conversation_id=standing.conversation_id,
                changes=tuple(changes),
                # What was written after the standing was read is in the page already, and the cursor has to say so.
                last_change=max([standing.last_change, *(message.change for message in changes)]),
                first_seq=standing.first_seq,
                last_seq=max([standing.last_seq, *(message.seq for message in changes)]),
                last_read_seq=last_read_seq,
                unread_count=unread_count,
                more=more,
                reset=reset,
            ),
            size + 300,
        )
