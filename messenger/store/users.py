"""People: who arrives with a token, and whom a user may see."""

from collections.abc import Sequence
from datetime import datetime

from messenger.domain.ids import UserId
from messenger.domain.user import Profile, User
from messenger.errors import UserNotFound
from messenger.store.queries import query
from messenger.store.rows import user_of
from messenger.store.session import Connection, Store


class UserStore:
    """Profiles. Arriving is a duty of the daemon; everything else runs as the user who asks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def arrive(self, user_id: UserId, profile: Profile, *, provision: bool) -> datetime | None:
        """Make a user known; returns the time before which his tokens do not count. Raises UserNotFound."""
        async with self._store.connection() as connection:
            row = await connection.fetchrow(
                query("users.arrive"), user_id, profile.name, profile.avatar_url, profile.issued_at, provision
            )
        if row is None:
            raise UserNotFound
        not_before: datetime | None = row["tokens_not_before"]
        return not_before

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
