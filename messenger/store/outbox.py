"""The outbox and what is handed out of it. Taking and settling are duties of the daemon; content is read as a recipient."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta

from messenger.domain.notification import Away, Channel, Delivery, Listener, Notice, Recipient, Subscription, Waiting
from messenger.store.queries import query
from messenger.store.rows import notice_of
from messenger.store.session import Connection, Store

# Of the pool, for all that is handed out: however much piles up, it takes none that a message waits for.
CONNECTIONS = 3


class OutboxStore:
    """All raise Unavailable. A delivery that another node holds by now is left alone by whoever held it before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = asyncio.Semaphore(CONNECTIONS)

    async def waiting(self, most: int) -> Sequence[Waiting]:
        """The oldest messages that nobody looked at yet. Another node may be at it."""
        async with self._turn, self._store.connection() as connection:
            return [Waiting(**dict(row)) for row in await connection.fetch(query("outbox.waiting"), most)]

    async def audience(self, messages: Collection[Waiting]) -> Sequence[Listener]:
        """Who wants to be told of these, here or away."""
        async with self._turn, self._store.connection() as connection:
            rows = await connection.fetch(
                query("outbox.audience"),
                [message.conversation_id for message in messages],
                [message.message_id for message in messages],
            )
            return [Listener(**dict(row)) for row in rows]

    async def hand_out(
        self, messages: Collection[Waiting], away: Collection[Away], *, webhook: bool, pause_s: float
    ) -> int:
        """Take messages out of the outbox and note what is to be delivered, in one transaction: to some only after a pause.
        Those that another node took are passed over. Returns how many messages it took."""
        async with self._turn, self._store.connection() as connection:
            taken: int = await connection.fetchval(
                query("outbox.hand_out"),
                [message.message_id for message in messages],
                webhook,
                [one.message_id for one in away],
                [one.user_id for one in away],
                [one.push for one in away],
                [one.later for one in away],
                timedelta(seconds=pause_s),
            )
            return taken

    async def claim(self, channel: Channel, most: int, lease_s: float) -> Sequence[Delivery]:
        """What is due, the longest waiting first; nobody else takes it for so long."""
        async with self._turn, self._store.connection() as connection:
            rows = await connection.fetch(query("outbox.claim"), channel, most, timedelta(seconds=lease_s))
            return [Delivery(**dict(row)) for row in rows]

    async def settle(self, delivery: Delivery, *, taken: bool) -> None:
        """It was `taken`, or concerns nobody any more."""
        async with self._turn, self._store.connection() as connection:
            await connection.execute(query("outbox.settle"), delivery.id, delivery.attempt, taken)

    async def put_off(self, delivery: Delivery, error: str, again_s: float | None) -> None:
        """It failed, and is tried again in so long; None gives it up. `error` must hold no content and no address."""
        again = None if again_s is None else timedelta(seconds=again_s)
        async with self._turn, self._store.connection() as connection:
            await connection.execute(query("outbox.put_off"), delivery.id, delivery.attempt, error, again)

    async def clear(self) -> None:
        """Forget what was given up long ago."""
        async with self._turn, self._store.connection() as connection:
            await connection.execute(query("outbox.clear"))

    async def count_waiting(self) -> int:
        """How many messages and deliveries wait, on all nodes."""
        async with self._turn, self._store.connection() as connection:
            count: int = await connection.fetchval(query("outbox.count_waiting"))
            return count

    async def notice(self, delivery: Delivery) -> Notice | None:
        """What is to be told now, read as one of those who still want to be told and may; None where there is nobody left, or
        nothing, or no such device of his."""

        async def work(connection: Connection) -> Notice | None:
            rows = await connection.fetch(
                query("outbox.recipients"), delivery.conversation_id, delivery.message_id, list(delivery.user_ids)
            )
            recipients = [Recipient(**dict(row)) for row in rows]
            if not recipients:
                return None
            reader = recipients[0].user_id
            await connection.fetchval("select messenger.enter($1, $2)", reader, [delivery.conversation_id])
            row = await connection.fetchrow(query("outbox.notice"), delivery.conversation_id, delivery.message_id)
            if row is None or delivery.device_id is None:
                return row and notice_of(row, recipients, None)
            device = await connection.fetchrow(query("push_devices.subscription"), delivery.device_id)
            return device and notice_of(row, recipients, Subscription(**dict(device)))

        async with self._turn:
            # Of one moment: who wants to be told then sees what he is told.
            return await self._store.as_user(delivery.user_ids[0], work, delivery.conversation_id, one_snapshot=True)
