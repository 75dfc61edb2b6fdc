"""Catching up: from a device's cursors to the log as it is now, in pieces."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from messenger.domain.conversation import CaughtUp, Standing, State
from messenger.domain.ids import ConversationId, UserId
from messenger.gate import Gate
from messenger.protocol import frames
from messenger.store.conversations import ConversationStore
from messenger.store.duties import Duties

# A device further behind starts over: replaying more costs it longer than a page.
MOST_BEHIND = 1000
# So many catch up at once, and each waits no longer than this: after a restart everybody does.
WIDTH = 3
WAIT_S = 30.0
# So many changes are read at once, or one conversation's more.
BATCH = 250
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
    def __init__(self, conversations: ConversationStore, duties: Duties) -> None:
        self._conversations = conversations
        self._duties = duties
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
        standings = await self._duties.standings_of(actor)
        mine = {standing.conversation_id for standing in standings}
        removed = [conversation_id for conversation_id in cursors if conversation_id not in mine]
        room = frames.ANSWER_ROOM - ID * len(removed)
        caught: list[CaughtUp] = []
        for batch in _batches(standings, cursors, limit):
            if room < FRAME_OF_ONE:
                return Caught(caught, True, removed, mine)
            states = await self._conversations.states(
                actor, {conversation_id: cursor for conversation_id, (_, cursor) in batch.items()}, limit + 1
            )
            for conversation_id, (known, cursor) in batch.items():
                if conversation_id not in states:  # removed a moment ago
                    if known is not None:
                        removed.append(conversation_id)
                        room -= ID
                    continue
                if room < FRAME_OF_ONE:
                    return Caught(caught, True, removed, mine)
                item, size = _one(conversation_id, states[conversation_id], cursor, limit, room, is_first=not caught)
                if item is None:
                    return Caught(caught, True, removed, mine)
                caught.append(item)
                room -= size
        return Caught(caught, any(item.more for item in caught), removed, mine)


# Of a conversation: the cursor that the device named, and the one from which it is told; None where it starts over.
_Cursors: TypeAlias = tuple[int | None, int | None]


def _batches(
    standings: Sequence[Standing], cursors: Mapping[ConversationId, int], limit: int
) -> Iterator[dict[ConversationId, _Cursors]]:
    """The conversations in which something changed, in their order; in one batch not many more changes than an answer holds."""
    batch: dict[ConversationId, _Cursors] = {}
    expected = 0
    for standing in standings:
        known = cursors.get(standing.conversation_id)
        if known == standing.last_change:
            continue
        behind = standing.last_change if known is None else standing.last_change - known
        reset = known is None or not 0 <= behind <= MOST_BEHIND
        batch[standing.conversation_id] = known, None if reset else known
        expected += limit if reset else min(behind, limit)
        if expected >= BATCH:
            yield batch
            batch, expected = {}, 0
    if batch:
        yield batch


def _one(
    conversation_id: ConversationId, state: State, cursor: int | None, limit: int, room: int, *, is_first: bool
) -> tuple[CaughtUp | None, int]:
    """One conversation, cut to fit, and its size in bytes; None where nothing of it fits. Of the first of an answer one
    change fits always: the device would not come past it otherwise."""
    reset = cursor is None
    found = state.messages[:limit] if reset else state.messages
    kept, size = frames.fitting(found[:limit], room, fewest=is_first)
    if (found and not kept) or (reset and len(kept) < len(found) and not is_first):
        return None, 0  # the next answer has room for it
    return (
        CaughtUp(
            conversation_id=conversation_id,
            # A reset's page came newest first, so that it was cut at the old end.
            changes=tuple(sorted(kept, key=lambda message: message.change)),
            last_change=state.last_change,
            first_seq=state.first_seq,
            last_seq=state.last_seq,
            last_read_seq=state.last_read_seq,
            unread_count=state.unread_count,
            more=not reset and len(kept) < len(found),
            reset=reset,
        ),
        size + FRAME_OF_ONE,
    )
