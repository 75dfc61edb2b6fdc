"""People: making a token's user known, looking others up, and shutting somebody's tokens out."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from messenger.domain.ids import UserId, parse_user_id
from messenger.domain.user import Profile, User
from messenger.errors import InvalidFrame, Unauthorized, UserNotFound
from messenger.service.announcer import Announcer
from messenger.store.users import UserStore

# One character at least is no digit, so that it is never taken for an integer id; `me` is whoever asks.
EXTERNAL_ID = re.compile("(?!me\\Z)(?=.*[^0-9])[^\x00\ud800-\udfff]{1,128}", re.DOTALL)


def names_somebody(text: str) -> bool:
    """Whether it may name a person: an integer in canonical form, or an external id."""
    return parse_user_id(text) is not None or EXTERNAL_ID.fullmatch(text) is not None


class Users:
    """`provision`: an id first seen in a token becomes a user; otherwise its token is invalid."""

    def __init__(self, store: UserStore, announcer: Announcer, *, provision: bool) -> None:
        self._store = store
        self._announcer = announcer
        self._provision = provision

    async def arrive(self, user_id: UserId, profile: Profile) -> None:
        """Make a token's user known. Raises Unauthorized (`token_invalid`, `revoked`), Unavailable."""
        try:
            arrival = await self._store.arrive(user_id, profile, provision=self._provision)
        except UserNotFound:
            raise Unauthorized("token_invalid") from None
        if arrival.tokens_not_before is not None and profile.issued_at < int(arrival.tokens_not_before.timestamp()):
            raise Unauthorized("revoked")
        if arrival.profile_version is not None:
            self._announcer.profiled(user_id, arrival.profile_version)

    async def be(self, user_id: UserId) -> None:
        """Make a user known who comes without a token of his own. Raises UserNotFound, Unavailable."""
        await self._store.arrive(user_id, Profile(), provision=self._provision)

    async def named(self, text: str) -> UserId | None:
        """Whom an integer in canonical form or an external id names; None for nobody."""
        user_id = parse_user_id(text)
        if user_id is None and EXTERNAL_ID.fullmatch(text):
            user_id = await self._store.by_external_id(text)
        return user_id

    async def visible(self, actor: UserId, wanted: Sequence[UserId]) -> Sequence[User]:
        """Those of `wanted` who share a conversation with the actor, and himself."""
        return await self._store.visible(actor, wanted)

    async def profiles(self, wanted: Sequence[UserId]) -> Sequence[User]:
        """Those of `wanted` whom there are, for the host application. Raises Unavailable."""
        return await self._store.profiles(wanted)

    async def put(self, named: str, changes: Mapping[str, str | None]) -> User:
        """A user as the host application wants him, made if need be: by his integer id, or by the host's own. What `changes`
        names is set and stays so whatever tokens say; None gives it back to them. Raises InvalidFrame, Conflict, Unavailable."""
        number = parse_user_id(named)
        if number is None and not EXTERNAL_ID.fullmatch(named):
            raise InvalidFrame("user_id must be an id from 1 to 2^53-1, or an external id", field="user_id")
        user_id, profile_version = await self._store.put(named if number is None else number, changes)
        if profile_version is not None:
            self._announcer.profiled(user_id, profile_version)
        (user,) = await self._store.profiles([user_id])
        return user

    async def blocks(self, actor: UserId) -> Sequence[UserId]:
        """Whom the actor has blocked, by id. Raises Unavailable."""
        return await self._store.blocks(actor)

    async def block(self, actor: UserId, other: UserId) -> None:
        """Neither writes to the other any more, nor sees him come, go or type. Raises InvalidFrame, UserNotFound, Conflict,
        Unavailable."""
        if other == actor:
            raise InvalidFrame("user_id must be somebody else's", field="user_id")
        if await self._store.block(actor, other, provision=self._provision):
            self._announcer.preferred([actor, other])

    async def unblock(self, actor: UserId, other: UserId) -> None:
        """Raises Unavailable."""
        if await self._store.unblock(actor, other):
            self._announcer.preferred([actor, other])

    async def revoke(self, user_id: UserId) -> datetime:
        """Refuse every token of a user that was issued before now, and close his devices; of one too who has never come, where
        he would be let in. Raises UserNotFound, Unavailable."""
        await self.be(user_id)
        not_before = await self._store.revoke(user_id)
        self._announcer.revoked(user_id, not_before)
        return not_before
