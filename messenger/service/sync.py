"""Catching up: from a device's cursors to the log as it is now, in pieces."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from messenger.domain.conversation import CaughtUp, Standing
from messenger.domain.ids import ConversationId, UserId
from messenger.errors import NotParticipant
from messenger.gate import Gate
from messenger.protocol import frames
from messenger.store.conversations import ConversationStore

# A device further behind starts over: replaying more costs it longer than a page.
MOST_BEHIND = 1000
# So many catch up at once, and each waits no longer than this: after a restart everybody does.
WIDTH = 3
WAIT_S = 30.0
# What a conversation takes in an answer beside its changes, in bytes.
FRAME_OF_ONE = 300
# An id in the list of those that he no longer takes part in.
ID = 40


@dataclass(frozen=True, slots=True)
class Caught:
    """One answer. `more`: send the new cursors again. `removed`: what the user no longer takes part in. `mine`: what he does,
    told of or not."""

    conversations: Sequence[CaughtUp]
    more: bool
    removed: Sequence[ConversationId]
    mine: Collection[ConversationId]


class Sync:
    def __init__(self, conversations: ConversationStore) -> None:
        self._conversations = conversations
        self._gate = Gate(WIDTH, WAIT_S)

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._gate.waiting

    async def catch_up(self, actor: UserId, cursors: Mapping[ConversationId, int], limit: int) -> Caught:
        """As much as goes into one frame, latest activity first; `limit` in changes a conversation. Raises Unavailable."""
        async with self._gate.passed(actor):
            return await self._catch_up(actor, cursors, limit)

    async def _catch_up(self, actor: UserId, cursors: Mapping[ConversationId, int], limit: int) -> Caught:
        standings = await self._conversations.standings(actor)
        mine = {standing.conversation_id for standing in standings}
        removed = [conversation_id for conversation_id in cursors if conversation_id not in mine]
        room = frames.ANSWER_ROOM - ID * len(removed)
        caught: list[CaughtUp] = []
        for standing in standings:
            cursor = cursors.get(standing.conversation_id)
            if cursor == standing.last_change:
                continue
            if room < FRAME_OF_ONE:
                return Caught(caught, True, removed, mine)
            try:
                item, size = await self._one(actor, standing, cursor, limit, room, is_first=not caught)
            except NotParticipant:  # removed a moment ago
                if cursor is not None:
                    removed.append(standing.conversation_id)
                    room -= ID
                continue
            if item is None:
                return Caught(caught, True, removed, mine)
            caught.append(item)
            room -= size
        return Caught(caught, any(item.more for item in caught), removed, mine)

    async def _one(
        self, actor: UserId, standing: Standing, cursor: int | None, limit: int, room: int, *, is_first: bool
    ) -> tuple[CaughtUp | None, int]:
        """One conversation, cut to fit, and its size in bytes; None where nothing of it fits. Of the first of an answer
        one change fits always: the device would not come past it otherwise."""
        reset = cursor is None or cursor > standing.last_change or standing.last_change - cursor > MOST_BEHIND
        state = await self._conversations.state(
            actor, standing.conversation_id, None if reset else cursor, limit if reset else limit + 1
        )
        kept, size = frames.fitting(state.messages[:limit], room, fewest=is_first)
        if (state.messages and not kept) or (reset and len(kept) < len(state.messages) and not is_first):
            return None, 0  # the next answer has room for it
        return (
            CaughtUp(
                conversation_id=standing.conversation_id,
                # A reset's page came newest first, so that it was cut at the old end.
                changes=tuple(sorted(kept, key=lambda message: message.change)),
                last_change=state.last_change,
                first_seq=state.first_seq,
                last_seq=state.last_seq,
                last_read_seq=state.last_read_seq,
                unread_count=state.unread_count,
                more=not reset and len(kept) < len(state.messages),
                reset=reset,
            ),
            size + FRAME_OF_ONE,
        )
