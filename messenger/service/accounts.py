"""People as the host application keeps them through the Platform API."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from messenger.domain.channel import Account
from messenger.domain.ids import UserId
from messenger.errors import InvalidFrame, NotParticipant, UserNotFound
from messenger.service.announcer import Announcer
from messenger.service.conversations import Conversations
from messenger.service.users import names_somebody
from messenger.store.channels import AccountStore


class Accounts:
    """People are named by integers in canonical form, as text, or by the host's own ids. `provision`: who is named first becomes a
    user; otherwise there is no such person. Everything here raises InvalidFrame for what names nobody, and Unavailable."""

    def __init__(
        self, store: AccountStore, conversations: Conversations, announcer: Announcer, *, provision: bool
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._announcer = announcer
        self._provision = provision

    async def called(self, names: Iterable[str]) -> Mapping[str, UserId]:
        """Those of them whom there are, in the order given; what names nobody is passed over."""
        wanted = [name for name in dict.fromkeys(names) if names_somebody(name)]
        found = await self._store.called(wanted)
        return {name: found[name] for name in wanted if name in found}

    async def call(self, names: Iterable[str]) -> Mapping[str, UserId]:
        """All of them, in the order given. Raises UserNotFound."""
        wanted = [_checked(name) for name in dict.fromkeys(names)]
        try:
            found = await self._store.call(wanted, provision=self._provision)
        except UserNotFound:
            raise UserNotFound('"User" not found.') from None
        return {name: found[name] for name in wanted}

    async def of(self, user_ids: Iterable[UserId]) -> Mapping[UserId, Account]:
        """By their ids; those too who were deleted."""
        return await self._store.of(list(dict.fromkeys(user_ids)))

    async def find(self, named: str) -> Account:
        """Raises UserNotFound."""
        found = await self.called([named])
        accounts = await self._store.of(list(found.values()))
        if not accounts:
            raise UserNotFound('"User" not found.')
        (account,) = accounts.values()
        return account

    async def page(self, above: int, limit: int) -> tuple[Sequence[Account], int | None]:
        """People by their ids, from above one on, and the last one's where there are more."""
        user_ids = await self._store.page(above, limit + 1)
        accounts = await self._store.of(user_ids[:limit])
        return list(accounts.values()), user_ids[limit - 1] if len(user_ids) > limit else None

    async def make(self, named: str, name: str | None, avatar_url: str | None, metadata: Mapping[str, Any]) -> Account:
        """Raises Conflict where he is there already."""
        user_id, profile_version = await self._store.make(_checked(named), name, avatar_url, metadata)
        if profile_version is not None:
            self._announcer.profiled(user_id, profile_version)
        return (await self._store.of([user_id]))[user_id]

    async def change(self, named: str, changes: Mapping[str, Any]) -> Account:
        """What `changes` names: `name`, `avatar_url`, `metadata`. Raises UserNotFound."""
        account = await self.find(named)
        profile_version = await self._store.change(account.id, changes)
        if profile_version is not None:
            self._announcer.profiled(account.id, profile_version)
        return (await self._store.of([account.id]))[account.id]

    async def delete(self, named: str) -> None:
        """He leaves everything that he is in; what he said stays, and names nobody. Raises UserNotFound."""
        # Nameless first: so the logs tell of his going.
        account = await self.change(named, {"name": None, "avatar_url": None})
        # Before and after: where this breaks off he is still found, and who brought him in meanwhile did so before he was gone.
        await self._leave_everything(account.id)
        deleted = await self._store.delete(account.id)
        if deleted is None:
            raise UserNotFound('"User" not found.')
        not_before, profile_version = deleted
        self._announcer.revoked(account.id, not_before)
        self._announcer.profiled(account.id, profile_version)
        await self._leave_everything(account.id)

    async def _leave_everything(self, user_id: UserId) -> None:
        for conversation_id in await self._store.memberships(user_id):
            with suppress(NotParticipant):
                await self._conversations.remove_participant(user_id, conversation_id, user_id)


def _checked(name: str) -> str:
    """Raises InvalidFrame."""
    if not names_somebody(name):
        raise InvalidFrame("user_id must be an id from 1 to 2^53-1, or an external id", field="user_id")
    return name
