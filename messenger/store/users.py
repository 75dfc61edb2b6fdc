"""People: who arrives with a token, whom a user may see and does not want to, and what the host application says of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from messenger.domain.ids import UserId
from messenger.domain.user import Arrival, Profile, User
from messenger.errors import UserNotFound
from messenger.store.queries import query
from messenger.store.rows import user_of
from messenger.store.session import Connection, Store


class UserStore:
    """Arriving and revoking are duties of the daemon, `profiles` and `put` the host's; everything else runs as
    the user who asks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._arrivals = store.together(_arrive)

    async def arrive(self, user_id: UserId, profile: Profile, *, provision: bool) -> Arrival:
        """Make a user known. Raises UserNotFound."""
        arrival = await self._arrivals.answer((user_id, profile, provision))
        if arrival is None:
            raise UserNotFound
        return arrival

    async def revoke(self, user_id: UserId) -> datetime:
        """The time before which the user's tokens count no more: now. Raises UserNotFound."""
        async with self._store.connection() as connection:
            not_before: datetime | None = await connection.fetchval(query("users.revoke"), user_id)
        if not_before is None:
            raise UserNotFound
        return not_before

    async def by_external_id(self, external_id: str) -> UserId | None:
        async with self._store.connection() as connection:
            found: UserId | None = await connection.fetchval(query("users.by_external_id"), external_id)
            return found

    async def visible(self, user_id: UserId, wanted: Sequence[UserId]) -> Sequence[User]:
        """Those of `wanted` who share a conversation with the user, and himself, by id."""

        async def work(connection: Connection) -> Sequence[User]:
            return tuple(map(user_of, await connection.fetch(query("users.visible"), list(wanted))))

        return await self._store.as_user(user_id, work)

    async def profiles(self, wanted: Sequence[UserId]) -> Sequence[User]:
        """Those of `wanted` whom there are, for the host application, by id."""
        async with self._store.connection() as connection:
            return tuple(map(user_of, await connection.fetch(query("users.profiles"), list(wanted))))

    async def put(self, named: UserId | str, changes: Mapping[str, str | None]) -> tuple[UserId, int | None]:
        """Make a user, or change of him what `changes` names: `name`, `avatar_url`, `external_id`. `named`: his id, or the
        host's own, for which one is made. His id, and the version of his profile where that changed. Raises Conflict."""
        ids = (None, named) if isinstance(named, str) else (named, None)
        values = [changes.get(name) for name in ("name", "avatar_url", "external_id")]
        async with self._store.connection() as connection:
            row = await connection.fetchrow(query("users.put"), *ids, list(changes), *values)
            return row["user_id"], row["profile_version"]

    async def blocks(self, user_id: UserId) -> Sequence[UserId]:
        """Whom the user has blocked, by id."""

        async def work(connection: Connection) -> Sequence[UserId]:
            return [row["blocked_id"] for row in await connection.fetch(query("users.blocks"))]

        return await self._store.as_user(user_id, work)

    async def block(self, user_id: UserId, other: UserId, *, provision: bool) -> bool:
        """Whether he was not blocked before. Raises UserNotFound, Conflict."""

        async def work(connection: Connection) -> bool:
            return bool(await connection.fetchval(query("users.block"), other, provision))

        return await self._store.as_user(user_id, work)

    async def unblock(self, user_id: UserId, other: UserId) -> bool:
        """Whether he was blocked before."""

        async def work(connection: Connection) -> bool:
            return await connection.fetchval(query("users.unblock"), other) is not None

        return await self._store.as_user(user_id, work)


async def _arrive(connection: Connection, coming: Sequence[tuple[UserId, Profile, bool]]) -> Sequence[Arrival | None]:
    """None for whom there is not."""
    rows = await connection.fetch(
        query("users.arrive"),
        [user_id for user_id, _, _ in coming],
        [profile.name for _, profile, _ in coming],
        [profile.avatar_url for _, profile, _ in coming],
        [profile.issued_at for _, profile, _ in coming],
        [provision for _, _, provision in coming],
    )
    found = {row["place"]: Arrival(row["tokens_not_before"], row["profile_version"]) for row in rows}
    return [found.get(place) for place in range(1, len(coming) + 1)]
