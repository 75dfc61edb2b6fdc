"""Browsers that take Web Push. Everything here runs as the user whose they are."""

from collections.abc import Sequence
from uuid import UUID

from messenger.domain.ids import UserId
from messenger.domain.notification import PushDevice, Subscription
from messenger.store.queries import query
from messenger.store.session import Connection, Store


class PushDeviceStore:
    """A device of somebody else and none at all are the same None."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def register(self, user_id: UserId, subscription: Subscription) -> PushDevice:
        """Of more than 20 the one that was registered longest ago goes. An address that was another user's is his no more."""

        async def work(connection: Connection) -> PushDevice:
            row = await connection.fetchrow(
                query("push_devices.register"),
                subscription.endpoint,
                subscription.p256dh,
                subscription.auth,
                subscription.name,
            )
            return PushDevice(**dict(row))

        return await self._store.as_user(user_id, work)

    async def own(self, user_id: UserId) -> Sequence[PushDevice]:
        """The user's, the newest first."""

        async def work(connection: Connection) -> Sequence[PushDevice]:
            return [PushDevice(**dict(row)) for row in await connection.fetch(query("push_devices.own"))]

        return await self._store.as_user(user_id, work)

    async def remove(self, user_id: UserId, device_id: UUID) -> bool:
        """Whether there was one."""

        async def work(connection: Connection) -> bool:
            return await connection.fetchval(query("push_devices.remove"), device_id) is not None

        return await self._store.as_user(user_id, work)
