"""Sending, editing, deleting, reading and paging through messages."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from messenger.domain.conversation import LARGE, Reader, Receipt
from messenger.domain.ids import ConversationId, MessageId, UserId
from messenger.domain.message import ANSWERED, QUESTION, SYSTEM, Draft, Message, Reaction, Sent
from messenger.errors import ContentEmpty, ContentTooLong, Forbidden, MessengerError
from messenger.protocol import frames
from messenger.service.announcer import Announcer
from messenger.store.lanes import Lanes, Settle, outcome_of
from messenger.store.messages import MessageStore


class Messages:
    """`max_content_chars` counts Unicode code points."""

    def __init__(self, store: MessageStore, lanes: Lanes, announcer: Announcer, *, max_content_chars: int) -> None:
        self._store = store
        self._lanes = lanes
        self._announcer = announcer
        self._max_content_chars = max_content_chars

    def post(self, actor: UserId, draft: Draft, told: Settle) -> None:
        """Store a message once, without waiting: `told` hears what became of it, after everybody was told of a new one. Raises
        Forbidden, ContentEmpty, ContentTooLong; `told` may hear NotParticipant, Forbidden, ClientIdConflict, MessageNotFound (of
        `reply_to`), InvalidFrame (of `attachments`), Unavailable."""
        # A picture speaks for itself.
        if draft.content or not draft.attachments:
            self.check(draft.content)
        if draft.message_type == SYSTEM:
            raise Forbidden("Only the daemon writes system messages")
        if draft.message_type == QUESTION and draft.metadata and not ANSWERED.isdisjoint(draft.metadata):
            raise Forbidden("Only the host can mark a question answered")
        self._lanes.append(actor, draft, partial(self._posted, told))

    def _posted(self, told: Settle, outcome: Sent | MessengerError) -> None:
        try:
            if isinstance(outcome, Sent) and not outcome.duplicate:
                self._announcer.changed(outcome.message, "message.new", committed_at=outcome.committed_at)
        finally:
            told(outcome)

    async def send(self, actor: UserId, draft: Draft) -> Sent:
        """The same, and wait for it. Raises what `told` may hear too."""
        return await outcome_of(partial(self.post, actor, draft))

    async def settled(self) -> None:
        """Wait until it is known what became of all that was sent."""
        await self._lanes.settled()

    async def edit(self, actor: UserId, message_id: MessageId, content: str) -> Message:
        """Raises MessageNotFound, Forbidden, ContentEmpty, ContentTooLong, Unavailable."""
        self.check(content)
        message = await self._store.edit(actor, message_id, content)
        self._announcer.changed(message, "message.edited")
        return message

    async def delete(self, actor: UserId, message_id: MessageId) -> Message:
        """Leave a tombstone. Raises MessageNotFound, Forbidden, Unavailable."""
        message = await self._store.delete(actor, message_id)
        self._announcer.changed(message, "message.deleted")
        return message

    async def react(self, actor: UserId, message_id: MessageId, emoji: str, *, is_added: bool) -> Message:
        """Add a reaction or take it back; the same one twice counts once. Raises MessageNotFound, Forbidden, Conflict,
        Unavailable."""
        message, moved = await self._store.react(actor, message_id, emoji, is_added=is_added)
        if moved:
            event = "reaction.added" if is_added else "reaction.removed"
            self._announcer.changed(message, event, reaction=Reaction(actor, emoji, is_added))
        return message

    async def reactions(self, actor: UserId, message_id: MessageId) -> Sequence[tuple[Reaction, datetime]]:
        """Who reacted with what, and when, the first first. Raises MessageNotFound, Unavailable."""
        return await self._store.reactions(actor, message_id)

    async def readers(self, actor: UserId, message_id: MessageId) -> Sequence[Reader]:
        """Who has read a message and when, without its sender. Raises MessageNotFound, Unavailable."""
        return await self._store.readers(actor, message_id)

    async def read(self, actor: UserId, message_id: MessageId) -> Receipt:
        """Read everything up to a message, never backwards. Raises MessageNotFound, Unavailable."""
        receipt = await self._store.mark_read(actor, message_id)
        if receipt.moved:
            self._announcer.read(receipt, to_others=receipt.participant_count <= LARGE)
        return receipt

    async def history(
        self,
        actor: UserId,
        conversation_id: ConversationId,
        before_seq: int | None,
        after_seq: int | None,
        limit: int,
    ) -> tuple[Sequence[Message], bool]:
        """A page in ascending `seq` that fits into one answer, and whether there is more in the direction of paging.

        Raises NotParticipant, Unavailable.
        """
        page, more = await self._store.history(actor, conversation_id, before_seq, after_seq, limit)
        forward = after_seq is not None and before_seq is None
        # Cut where paging goes on, and never to nothing: paging would not come past a message that fills a page.
        kept, _ = frames.fitting(page if forward else page[::-1], frames.ANSWER_ROOM, fewest=1)
        return kept if forward else kept[::-1], more or len(kept) < len(page)

    def check(self, content: str) -> None:
        """Raises ContentEmpty, ContentTooLong."""
        if not content.strip():
            raise ContentEmpty(field="content")
        if len(content) > self._max_content_chars:
            raise ContentTooLong.over(self._max_content_chars)
