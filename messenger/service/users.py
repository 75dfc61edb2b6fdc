"""People: making a token's user known, and looking others up."""

from collections.abc import Sequence

from messenger.domain.ids import UserId
from messenger.domain.user import Profile, User
from messenger.errors import Unauthorized, UserNotFound
from messenger.store.users import UserStore


class Users:
    """`provision`: an id first seen in a token becomes a user; otherwise its token is invalid."""

    def __init__(self, store: UserStore, *, provision: bool) -> None:
        self._store = store
        self._provision = provision

    async def arrive(self, user_id: UserId, profile: Profile) -> None:
        """Make a token's user known. Raises Unauthorized (`token_invalid`, `revoked`), Unavailable."""
        try:
            not_before = await self._store.arrive(user_id, profile, provision=self._provision)
        except UserNotFound:
            raise Unauthorized("token_invalid") from None
        if not_before is not None and profile.issued_at < int(not_before.timestamp()):
            raise Unauthorized("revoked")

    async def by_external_id(self, external_id: str) -> UserId | None:
        return await self._store.by_external_id(external_id)

    async def visible(self, actor: UserId, wanted: Sequence[UserId]) -> Sequence[User]:
        """Those of `wanted` who share a conversation with the actor, and himself."""
        return await self._store.visible(actor, wanted)
