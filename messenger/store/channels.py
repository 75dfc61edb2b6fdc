"""Channels, and people, as the host application keeps them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from messenger.domain.channel import Account, Around, Changes, Channel, Entry, Member, number_of, seq_of
from messenger.domain.conversation import Conversation
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import Message
from messenger.errors import Forbidden, MessageNotFound
from messenger.store.conversations import find
from messenger.store.messages import require_participant
from messenger.store.queries import query
from messenger.store.rows import message_of
from messenger.store.session import Connection, Store


class AccountStore:
    """On nobody's behalf: the host application's. People are named by their integers as text, or by the host's own ids."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def called(self, names: Sequence[str]) -> dict[str, UserId]:
        """Those whom there are."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(query("channels.people_called"), list(names))
            return {row["named"]: row["user_id"] for row in rows}

    async def call(self, names: Sequence[str], *, provision: bool) -> dict[str, UserId]:
        """Every one of them, made if need be. Raises UserNotFound."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(query("channels.call_people"), list(names), provision)
            return {row["named"]: row["user_id"] for row in rows}

    async def of(self, user_ids: Sequence[UserId]) -> dict[UserId, Account]:
        """Guests are left out."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(query("channels.accounts"), list(user_ids))
            return {row["id"]: Account(**dict(row)) for row in rows}

    async def page(self, above: int, most: int) -> Sequence[UserId]:
        """Everybody's ids in their order, from above one on."""
        async with self._store.connection() as connection:
            return [row[0] for row in await connection.fetch(query("channels.accounts_page"), above, most)]

    async def make(
        self, named: str, name: str | None, avatar_url: str | None, metadata: Mapping[str, Any]
    ) -> tuple[UserId, int | None]:
        """His id, and the version of his profile where he has one. Raises Conflict where he is there already."""
        async with self._store.connection() as connection:
            row = await connection.fetchrow(query("channels.make_account"), named, name, avatar_url, metadata)
            return row["user_id"], row["profile_version"]

    async def change(self, user_id: UserId, changes: Mapping[str, Any]) -> int | None:
        """What `changes` names: `name`, `avatar_url`, `metadata`. The version of his profile where that changed."""
        values = [changes.get(name) for name in ("name", "avatar_url", "metadata")]
        async with self._store.connection() as connection:
            version: int | None = await connection.fetchval(
                query("channels.change_account"), user_id, list(changes), *values
            )
            return version

    async def delete(self, user_id: UserId) -> tuple[datetime, int] | None:
        """Since when his tokens count no more, and the version of his profile; None where he is deleted already."""
        async with self._store.connection() as connection:
            row = await connection.fetchrow(query("channels.delete_account"), user_id)
            return row and tuple(row)

    async def memberships(self, user_id: UserId) -> Sequence[ConversationId]:
        async with self._store.connection() as connection:
            return [row[0] for row in await connection.fetch(query("channels.memberships"), user_id)]


class ChannelStore:
    """What goes by a channel's name is on nobody's behalf; what names a user runs as him, an admin of it mostly."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def called(self, urls: Sequence[str]) -> Sequence[Channel]:
        """Those that there are, in the order of `urls`."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(query("channels.called"), list(urls))
        found = {row["url"]: Channel(**dict(row)) for row in rows}
        return [found[url] for url in dict.fromkeys(urls) if url in found]

    async def page(
        self,
        before: tuple[datetime, ConversationId] | None,
        limit: int,
        *,
        by_message: bool,
        user_ids: Sequence[UserId] | None,
        urls: Sequence[str] | None,
        empty: bool,
    ) -> Sequence[tuple[str, datetime, ConversationId]]:
        """Names of channels with their places, the newest first: by what was said last, or by when they were made. `empty`: those
        too in which nothing was said."""
        at, conversation_id = before or (None, None)
        narrowed = [None if some is None else list(some) for some in (user_ids, urls)]
        async with self._store.connection() as connection:
            rows = await connection.fetch(
                query("channels.page"), by_message, at, conversation_id, *narrowed, empty, limit
            )
            return [tuple(row) for row in rows]

    async def create(
        self,
        actor: UserId,
        url: str,
        title: str | None,
        metadata: Mapping[str, str],
        user_ids: Sequence[UserId],
        operator_ids: Sequence[UserId],
        created_by: UserId,
    ) -> ConversationId:
        """With the actor as an admin of it. Raises Conflict where the name is taken, UserNotFound."""

        async def work(connection: Connection) -> ConversationId:
            created: ConversationId = await connection.fetchval(
                query("channels.create"), url, title, metadata, list(user_ids), list(operator_ids), created_by
            )
            return created

        return await self._store.as_user(actor, work)

    async def change(self, actor: UserId, channel: Channel, changes: Changes) -> tuple[Conversation, Sequence[Message]]:
        """The conversation as it now is, and what its log tells. Raises NotParticipant, Forbidden."""

        async def work(connection: Connection) -> tuple[Conversation, Sequence[Message]]:
            rows = await connection.fetch(
                query("channels.change"), channel.id, changes.set_title, changes.title, changes.fields
            )
            return await find(connection, channel.id), tuple(map(message_of, rows))

        return await self._store.as_user(actor, work, channel.id)

    async def invite(self, actor: UserId, channel: Channel, user_ids: Sequence[UserId]) -> Sequence[Message]:
        """Who is in it already is passed over. Raises NotParticipant, Forbidden, UserNotFound."""

        async def work(connection: Connection) -> Sequence[Message]:
            rows = await connection.fetch(query("channels.invite"), channel.id, list(user_ids))
            return tuple(map(message_of, rows))

        return await self._store.as_user(actor, work, channel.id)

    async def revive(self, channel: Channel, user_id: UserId) -> Sequence[Message]:
        """Bring somebody into a channel that everybody has left; nothing where it has people. Raises UserNotFound."""
        async with self._store.connection() as connection:
            return tuple(map(message_of, await connection.fetch(query("channels.revive"), channel.url, user_id)))

    async def delete_empty(self, channel: Channel) -> bool:
        """False where it has people."""
        async with self._store.connection() as connection:
            return await connection.fetchval(query("channels.delete_empty"), channel.url) is not None

    async def members(
        self, actor: UserId, channel: Channel, above: tuple[datetime, UserId] | None, limit: int
    ) -> Sequence[Member]:
        """Who came first stands first. Raises NotParticipant."""

        async def work(connection: Connection) -> Sequence[Member]:
            await require_participant(connection, channel.id)
            rows = await connection.fetch(query("channels.members"), channel.id, *(above or (None, None)), limit)
            return [Member(**dict(row)) for row in rows]

        return await self._store.as_user(actor, work, channel.id)

    async def announce(
        self, actor: UserId, channel: Channel, content: str, custom_type: str | None, data: str | None
    ) -> Message:
        """Say what is nobody's word. Raises NotParticipant, Forbidden."""

        async def work(connection: Connection) -> Message:
            return message_of(
                await connection.fetchrow(query("channels.announce"), channel.id, content, custom_type, data)
            )

        return await self._store.as_user(actor, work, channel.id)

    async def retract(self, actor: UserId, message: Message) -> Message:
        """Take such a word back. Raises NotParticipant, Forbidden, MessageNotFound."""

        async def work(connection: Connection) -> Message:
            row = await connection.fetchrow(query("channels.retract"), message.conversation_id, message.id)
            if row is None:
                raise MessageNotFound
            return message_of(row)

        return await self._store.as_user(actor, work, message.conversation_id)

    async def message(self, actor: UserId, channel: Channel, number: int) -> Message:
        """Raises MessageNotFound."""
        async with self._store.connection() as connection:
            row = await connection.fetchrow(
                query("channels.message"), actor, channel.id, seq_of(channel.number, number), number
            )
            if row is None:
                raise MessageNotFound
            return message_of(row)

    async def last_said(self, channels: Sequence[Channel]) -> dict[ConversationId, Entry]:
        """What was said last in each, if anything; in none that everybody has left."""
        asked = [(channel.admin_id, channel.id) for channel in channels if channel.admin_id is not None]
        numbers = {channel.id: channel.number for channel in channels}
        async with self._store.connection() as connection:
            rows = await connection.fetch(
                query("channels.last_said"),
                [admin_id for admin_id, _ in asked],
                [conversation_id for _, conversation_id in asked],
            )
        entries = [_entry(row, numbers[row["message"]["conversation_id"]]) for row in rows]
        return {entry.message.conversation_id: entry for entry in entries}

    async def around(self, actor: UserId, channel: Channel, asked: Around, seq: int | None) -> Sequence[Entry]:
        """In ascending `seq`; `seq`: that of the message that is asked about. Raises NotParticipant."""
        narrowed = [
            None if some is None else list(some)
            for some in (asked.types, asked.but_types, asked.custom_types, asked.sender_ids)
        ]
        async with self._store.connection() as connection:
            rows = await connection.fetch(
                query("channels.said_around"),
                actor,
                channel.id,
                asked.at,
                seq,
                asked.before,
                asked.after,
                asked.at_it,
                *narrowed,
            )
        return [_entry(row, channel.number) for row in rows]

    async def edit(self, message: Message, content: str | None, fields: Mapping[str, str | None]) -> Message:
        """As its sender, who has to be in the channel still; None leaves as it is, and takes a field away. Raises Forbidden,
        NotParticipant."""

        async def work(connection: Connection) -> Message:
            row = await connection.fetchrow(query("channels.edit"), message.id, content, fields)
            if row is None:
                raise Forbidden("Its sender is no member of the channel any more")
            return message_of(row)

        return await self._store.as_user(message.sender_id, work, message.conversation_id)


def _entry(row: Mapping[str, Any], channel_number: int) -> Entry:
    message = message_of(row["message"])
    return Entry(message, row["vendor_id"] or number_of(channel_number, message.seq))
