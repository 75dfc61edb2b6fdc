"""What the daemon asks for itself: ids, numbers and times, never content."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from messenger.domain.conversation import Standing, Touched
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.user import Preferences, Stirred
from messenger.store.queries import query
from messenger.store.rows import preferences_of, standing_of, touched_of
from messenger.store.session import Connection, Store


class Duties:
    """Each is one definer function of sql/functions/50_duties.sql. All raise Unavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._preferences = store.together(_preferences_of)
        self._standings = store.together(_standings_of)

    async def epoch(self) -> str:
        async with self._store.connection() as connection:
            epoch: str = await connection.fetchval(query("duties.epoch"))
            return epoch

    async def renew_epoch(self) -> str:
        """A new name for this database's history; the owner's only."""
        async with self._store.connection() as connection:
            epoch: str = await connection.fetchval(query("duties.renew_epoch"))
            return epoch

    async def horizon(self) -> int:
        """The transaction id at which the next poll begins."""
        async with self._store.connection() as connection:
            horizon: int = await connection.fetchval(query("duties.horizon"))
            return horizon

    async def touched_since(self, since: int, user_ids: Sequence[UserId]) -> Sequence[Touched]:
        """What changed in or after transaction `since`, and which of these users take part in it."""
        async with self._store.connection() as connection:
            return [touched_of(row) for row in await connection.fetch(query("duties.touched_since"), since, user_ids)]

    async def people_since(self, since: int) -> Sequence[Stirred]:
        """Of whom nodes have to hear since transaction `since`."""
        async with self._store.connection() as connection:
            return [Stirred(**dict(row)) for row in await connection.fetch(query("duties.people_since"), since)]

    async def preferences_of(self, user_id: UserId) -> Preferences:
        """Between whom and a user a block stands, and what he wants to be told of."""
        return await self._preferences.answer(user_id)

    async def standings_of(self, user_id: UserId) -> Sequence[Standing]:
        """Where a user stands in every conversation of his, latest activity first."""
        return await self._standings.answer(user_id)

    async def conversations_of(self, user_id: UserId) -> Sequence[ConversationId]:
        """The conversations that somebody takes part in."""
        async with self._store.connection() as connection:
            return [row[0] for row in await connection.fetch(query("duties.conversations_of"), user_id)]

    async def standing(self, conversation_id: ConversationId, user_ids: Iterable[UserId]) -> Sequence[Standing]:
        """Where these users stand; who is not in the conversation is left out."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(query("duties.standing"), conversation_id, list(user_ids))
            return tuple(map(standing_of, rows))

    async def record_last_seen(self, seen: Mapping[UserId, datetime]) -> None:
        """When these were last online; a time before the one that stands there changes nothing."""
        async with self._store.connection() as connection:
            await connection.execute(query("duties.record_last_seen"), list(seen), list(seen.values()))

    async def ping(self) -> None:
        async with self._store.connection() as connection:
            await connection.fetchval("select 1")


async def _preferences_of(connection: Connection, user_ids: Sequence[UserId]) -> Sequence[Preferences]:
    rows = await connection.fetch(query("duties.preferences_of"), user_ids)
    return tuple(map(preferences_of, rows))


async def _standings_of(connection: Connection, user_ids: Sequence[UserId]) -> Sequence[Sequence[Standing]]:
    found: dict[UserId, list[Standing]] = {user_id: [] for user_id in user_ids}
    for row in await connection.fetch(query("duties.standings_of"), list(found)):
        found[row["user_id"]].append(standing_of(row))
    return [found[user_id] for user_id in user_ids]
