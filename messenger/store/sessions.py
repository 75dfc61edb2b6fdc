"""Live sessions and open rooms: finding them, coming into them, and what is cleared away of them."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from messenger.domain.ids import ConversationId, MessageId, UserId
from messenger.domain.message import Message
from messenger.domain.session import Attendee, Guest, LiveSession, Person, Said
from messenger.errors import MessageNotFound, NotParticipant
from messenger.store.messages import require_participant
from messenger.store.queries import query
from messenger.store.rows import message_of
from messenger.store.session import Connection, Store

# So many messages of an open room go in one transaction.
CLEARED_AT_ONCE = 2000


class SessionStore:
    """What names a user runs as him; the rest are duties, which return ids, numbers and times."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def named(self, named: str) -> LiveSession | None:
        """By its code, in any case, or its id."""
        async with self._store.connection() as connection:
            row = await connection.fetchrow(query("sessions.named"), named)
            return row and LiveSession(**dict(row))

    async def attendee(
        self, conversation_id: ConversationId, *, public_id: UUID | None = None, user_id: UserId | None = None
    ) -> Attendee | None:
        """Somebody in it, by one of his ids."""
        async with self._store.connection() as connection:
            row = await connection.fetchrow(query("sessions.attendee"), conversation_id, public_id, user_id)
            return row and Attendee(**dict(row))

    async def audience(self, conversation_id: ConversationId) -> dict[UserId, UUID]:
        """Who is in it beside its hosts, who came first stands first: public ids."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(query("sessions.audience"), conversation_id)
            return {row["user_id"]: row["public_id"] for row in rows}

    async def open(self, host: UserId, title: str, code: str) -> ConversationId:
        """Raises Conflict where the code is taken."""

        async def work(connection: Connection) -> ConversationId:
            return ConversationId(await connection.fetchval(query("sessions.open"), title, code))

        return await self._store.as_user(host, work)

    async def change(
        self, actor: UserId, conversation_id: ConversationId, title: str | None, *, is_closed: bool | None
    ) -> Message | None:
        """What changed, as it stands in the log; None leaves as it is, and what is so already changes nothing. Raises Forbidden,
        NotParticipant."""

        async def work(connection: Connection) -> Message | None:
            row = await connection.fetchrow(
                query("sessions.change"), conversation_id, title is not None, title, is_closed is not None, is_closed
            )
            return row and message_of(row)

        return await self._store.as_user(actor, work, conversation_id)

    async def join(
        self, conversation_id: ConversationId, nickname: str, key: str, lasts_s: float
    ) -> tuple[Guest, Message]:
        """A new guest, and what tells of him in the log. Raises SessionNotFound, NicknameTaken."""
        async with self._store.connection() as connection:
            row = await connection.fetchrow(
                query("sessions.join"), conversation_id, nickname, key, timedelta(seconds=lasts_s)
            )
            guest = Guest(row["user_id"], row["public_id"], nickname, row["joined_at"], row["title"])
            return guest, message_of(row)

    async def people(self, actor: UserId, conversation_id: ConversationId) -> Sequence[Person]:
        """Who is in it or was. Raises NotParticipant."""

        async def work(connection: Connection) -> Sequence[Person]:
            await require_participant(connection, conversation_id)
            rows = await connection.fetch(query("sessions.people"), conversation_id)
            return [Person(**dict(row)) for row in rows]

        return await self._store.as_user(actor, work, conversation_id)

    async def history(self, actor: UserId, conversation_id: ConversationId, most: int) -> tuple[Sequence[Said], int]:
        """Its last messages, oldest first, and how many there are; system entries aside. Raises NotParticipant."""

        async def work(connection: Connection) -> tuple[Sequence[Said], int]:
            await require_participant(connection, conversation_id)
            rows = await connection.fetch(query("sessions.history"), conversation_id, most)
            count = await connection.fetchval(query("sessions.count_messages"), conversation_id)
            return [Said(**dict(row)) for row in reversed(rows)], count

        return await self._store.as_user(actor, work, conversation_id, one_snapshot=True)

    async def answer(self, actor: UserId, message_id: MessageId) -> tuple[Message, bool]:
        """The question, and whether it was not answered before. Raises MessageNotFound, Forbidden."""

        async def work(connection: Connection) -> tuple[Message, bool]:
            row = await connection.fetchrow(query("sessions.answer"), message_id)
            return message_of(row), row["moved"]

        try:
            return await self._store.as_user(actor, work)
        except NotParticipant:  # removed while this waited
            raise MessageNotFound("Question not found") from None

    async def guest_key(self) -> bytes:
        """What guests' tokens are signed with: 32 bytes, the same on every node."""
        async with self._store.connection() as connection:
            return bytes(await connection.fetchval(query("sessions.guest_key")))

    async def idle_guests(self, most: int) -> Sequence[tuple[ConversationId, UserId]]:
        """Whose time is over."""
        async with self._store.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query("sessions.idle_guests"), most)]


class OpenRoomStore:
    """Open rooms: each has one participant, in whose name everybody there speaks and reads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def enter(self, named: str, *, make: bool) -> tuple[ConversationId, UserId] | None:
        """The room and its participant; made where there is none, or None."""
        async with self._store.connection() as connection:
            row = await connection.fetchrow(query("sessions.enter_open_room"), named, make)
            return None if row["conversation_id"] is None else (row["conversation_id"], row["user_id"])

    async def window(self, user_id: UserId, conversation_id: ConversationId, most: int) -> Sequence[Message]:
        """The last messages, oldest first, by one statement."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(query("sessions.open_room_window"), user_id, conversation_id, most)
            return [message_of(row) for row in reversed(rows)]

    async def idle(self, idle_s: float, most: int) -> Sequence[tuple[ConversationId, UserId]]:
        """Rooms that nobody came into or said anything in for so long."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(query("sessions.idle_open_rooms"), timedelta(seconds=idle_s), most)
            return [tuple(row) for row in rows]

    async def clear(self, conversation_id: ConversationId, idle_s: float) -> None:
        """Clear one away that is still idle, with all that was said there."""
        is_done = False
        while not is_done:
            async with self._store.connection() as connection:
                is_done = await connection.fetchval(
                    query("sessions.clear_open_room"), conversation_id, timedelta(seconds=idle_s), CLEARED_AT_ONCE
                )
