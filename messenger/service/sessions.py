"""Live sessions: opening one, coming in as a guest, the presenter's state, questions; and clearing away who stayed too long."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import orjson
import structlog

from messenger.domain.conversation import Conversation
from messenger.domain.ids import ConversationId, MessageId, UserId
from messenger.domain.message import Message
from messenger.domain.session import (
    Attendee,
    Guest,
    LiveSession,
    Person,
    Said,
    Status,
    make_code,
    nickname_key,
    nickname_of,
)
from messenger.errors import Conflict, InvalidFrame, MessengerError, SessionNotFound
from messenger.protocol import frames
from messenger.service.announcer import Announcer
from messenger.service.idle import WhoIsOffline, abandoned
from messenger.store.conversations import ConversationStore
from messenger.store.sessions import SessionStore

log = structlog.get_logger(__name__)

# Codes that were made and turn out to be taken: of a million million, so many tries are plenty.
ATTEMPTS = 5
CLEARED_AT_ONCE = 100
_MAY_NAME = re.compile("[A-Za-z0-9-]{6,36}")
MOST_HISTORY = 50


class Shelf(Protocol):
    """Where presenters' states are kept for a while: JSON texts. Raises Unavailable."""

    async def put(self, conversation_id: ConversationId, state: bytes) -> None: ...

    async def get(self, conversation_id: ConversationId) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that its host has just opened, and the host himself as its participant."""

    session: LiveSession
    title: str
    host: Attendee
    joined_at: datetime


class Sessions:
    """`guest_s`: so long a guest may stay; then his token ends and he is cleared away."""

    def __init__(
        self,
        store: SessionStore,
        conversations: ConversationStore,
        announcer: Announcer,
        shelf: Shelf,
        *,
        guest_s: float,
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._announcer = announcer
        self._shelf = shelf
        self._guest_s = guest_s

    async def open(self, host: UserId, title: str, code: str | None) -> Opened:
        """Raises Conflict where the code is taken, Unavailable."""
        for attempt in range(ATTEMPTS):
            try:
                taken = code or make_code()
                conversation_id = await self._store.open(host, title, taken)
                break
            except Conflict:
                if code is not None or attempt == ATTEMPTS - 1:
                    raise
        self._announcer.joined(conversation_id, [host])
        conversation = await self._conversations.find(host, conversation_id)
        me = await self._store.attendee(conversation_id, user_id=host)
        assert me is not None
        return Opened(LiveSession(conversation_id, taken, "active"), title, me, conversation.created_at)

    async def named(self, named: str) -> LiveSession | None:
        """By its code, in any case, or its id; a closed one too. Raises Unavailable."""
        # Any text may be asked for; PostgreSQL takes not every one.
        return await self._store.named(named) if _MAY_NAME.fullmatch(named) else None

    async def change(
        self, actor: UserId, session: LiveSession, *, title: str | None, status: Status | None
    ) -> Conversation:
        """Give it another title, close it, open it again. Raises Forbidden, NotParticipant, Unavailable."""
        is_closed = None if status is None else status == "closed"
        told = await self._store.change(actor, session.id, title, is_closed=is_closed)
        conversation = await self._conversations.find(actor, session.id)
        if told is not None:
            self._announcer.changed(told, "conversation.updated", conversation)
        return conversation

    async def join(self, session: LiveSession, nickname: str) -> Guest:
        """A new guest. Raises InvalidFrame, SessionNotFound, NicknameTaken, Unavailable."""
        if session.status == "closed":
            raise SessionNotFound
        try:
            nickname = nickname_of(nickname)
        except ValueError as error:
            raise InvalidFrame(f"nickname {error}", field="nickname") from None
        guest, told = await self._store.join(session.id, nickname, nickname_key(nickname), self._guest_s)
        self._announcer.changed(told, "participant.added")
        self._announcer.joined(session.id, [guest.user_id])
        return guest

    async def attendee(
        self, conversation_id: ConversationId, *, public_id: UUID | None = None, user_id: UserId | None = None
    ) -> Attendee | None:
        """Somebody in a session, by one of his ids. Raises Unavailable."""
        return await self._store.attendee(conversation_id, public_id=public_id, user_id=user_id)

    async def audience(self, conversation_id: ConversationId) -> Mapping[UserId, UUID]:
        """Who is in a session beside its hosts, who came first stands first: public ids. Raises Unavailable."""
        return await self._store.audience(conversation_id)

    async def people(self, actor: UserId, conversation_id: ConversationId) -> Sequence[Person]:
        """Raises NotParticipant, Unavailable."""
        return await self._store.people(actor, conversation_id)

    async def history(self, actor: UserId, conversation_id: ConversationId) -> tuple[Sequence[Said], int]:
        """The last 50 messages, oldest first, and how many there are. Raises NotParticipant, Unavailable."""
        return await self._store.history(actor, conversation_id, MOST_HISTORY)

    async def answer(self, actor: UserId, message_id: MessageId) -> Message:
        """Mark a question answered; once is enough. Raises MessageNotFound, Forbidden, Unavailable."""
        message, moved = await self._store.answer(actor, message_id)
        if moved:
            self._announcer.changed(message, "question.answered")
        return message

    async def state(self, conversation_id: ConversationId) -> Mapping[str, Any]:
        """What the presenter shows; nothing after an hour. Raises Unavailable."""
        kept = await self._shelf.get(conversation_id)
        state: dict[str, Any] = {} if kept is None else orjson.loads(kept)
        return state

    async def show(self, conversation_id: ConversationId, state: Mapping[str, Any]) -> None:
        """Keep what the presenter shows, and tell everybody in the room. Raises Unavailable."""
        await self._shelf.put(conversation_id, frames.encode(state))
        self._announcer.signal(conversation_id, frames.session_state(conversation_id, state))

    def appear(self, conversation_id: ConversationId, user_id: UserId) -> None:
        """Somebody in the room says that he is there."""
        self._announcer.signal(conversation_id, frames.session_participant(conversation_id, user_id))

    def stir(self, conversation_id: ConversationId) -> None:
        """Somebody came into the room or went, by whatever way: it is time to count again."""
        self._announcer.signal(conversation_id, frames.session_stirred(conversation_id))

    async def clear_idle_guests(self, presence: WhoIsOffline) -> int:
        """Let guests go whose time is over and who are not there; how many went. Raises Unavailable."""
        gone = 0
        for conversation_id, user_id in await abandoned(self._store.idle_guests, presence, CLEARED_AT_ONCE):
            try:
                told = await self._conversations.remove_participant(user_id, conversation_id, user_id)
            except MessengerError as error:
                log.info("guest not cleared away", error=type(error).__name__)
                continue
            for message in told:
                self._announcer.changed(message, message.system_event or "message.new")
            gone += 1
        return gone
