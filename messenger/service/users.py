"""People: making a token's user known, looking others up, and shutting somebody's tokens out."""

import re
from collections.abc import Sequence
from datetime import datetime

from messenger.domain.ids import UserId, parse_user_id
from messenger.domain.user import Profile, User
from messenger.errors import Unauthorized, UserNotFound
from messenger.service.announcer import Announcer
from messenger.store.users import UserStore

# One character at least is no digit, so that it is never taken for an integer id.
_EXTERNAL_ID = re.compile("(?=.*[^0-9])[^\x00\ud800-\udfff]{1,128}", re.DOTALL)


class Users:
    """`provision`: an id first seen in a token becomes a user; otherwise its token is invalid."""

    def __init__(self, store: UserStore, announcer: Announcer, *, provision: bool) -> None:
        self._store = store
        self._announcer = announcer
        self._provision = provision

    async def arrive(self, user_id: UserId, profile: Profile) -> None:
        """Make a token's user known. Raises Unauthorized (`token_invalid`, `revoked`), Unavailable."""
        try:
            not_before = await self._store.arrive(user_id, profile, provision=self._provision)
        except UserNotFound:
            raise Unauthorized("token_invalid") from None
        if not_before is not None and profile.issued_at < int(not_before.timestamp()):
            raise Unauthorized("revoked")

    async def be(self, user_id: UserId) -> None:
        """Make a user known who comes without a token of his own. Raises UserNotFound, Unavailable."""
        await self._store.arrive(user_id, Profile(), provision=self._provision)

    async def named(self, text: str) -> UserId | None:
        """Whom an integer in canonical form or an external id names; None for nobody."""
        user_id = parse_user_id(text)
        if user_id is None and _EXTERNAL_ID.fullmatch(text):
            user_id = await self._store.by_external_id(text)
        return user_id

    async def visible(self, actor: UserId, wanted: Sequence[UserId]) -> Sequence[User]:
        """Those of `wanted` who share a conversation with the actor, and himself."""
        return await self._store.visible(actor, wanted)

    async def revoke(self, user_id: UserId) -> datetime:
        """Refuse every token of a user that was issued before now, and close his devices. Raises UserNotFound, Unavailable."""
        not_before = await self._store.revoke(user_id)
        self._announcer.revoked(user_id, not_before)
        return not_before
