"""The bus of one node: a publisher, a subscriber, presence, and the figures of the other nodes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import cast

import orjson
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from messenger.bus.away import AWAY
from messenger.bus.breaker import Breaker
from messenger.bus.channels import Channels
from messenger.bus.presence import Presence
from messenger.bus.publisher import Publisher
from messenger.bus.states import States
from messenger.bus.subscriber import Subscriber
from messenger.domain.ids import UserId
from messenger.metrics import Histogram

# A node that has not told its figures for so long counts no more.
FIGURES_S = 5
FIGURES_TTL_S = 16
TIMEOUT_S = 2.0
# To Redis, beside the subscriber's: who asks while all are in use waits a moment, and is not refused.
CONNECTIONS = 8


class Bus:
    """Everything of Redis that a node needs. Inbound messages go to `on_message`, new connections to `on_renewed`."""

    def __init__(
        self, client: aioredis.Redis, channels: Channels, node_id: str, publisher: Publisher, subscriber: Subscriber
    ) -> None:
        self._client = client
        self._breaker = Breaker()
        self.node_id = node_id
        self._publisher = publisher
        self._subscriber = subscriber
        self.channels = channels

    @classmethod
    @asynccontextmanager
    async def connected(
        cls,
        redis_url: str,
        prefix: str,
        node_id: str,
        on_message: Callable[[str, bytes], None],
        on_renewed: Callable[[], None],
    ) -> AsyncIterator["Bus"]:
        """A running bus. It does not wait for Redis: whoever starts while Redis is away goes on without."""
        channels = Channels(prefix)
        # Retries are ours to make: the library's own would hold up whoever waits for seconds.
        pool = aioredis.BlockingConnectionPool.from_url(
            redis_url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            protocol=2,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        client = aioredis.Redis.from_pool(pool)
        async with client, Publisher(pool) as publisher:
            subscriber = Subscriber(pool, channels.node(node_id), on_message, on_renewed, publisher.publish)
            async with subscriber:
                yield cls(client, channels, node_id, publisher, subscriber)

    @property
    def is_healthy(self) -> bool:
        return self._subscriber.is_connected and self._publisher.is_healthy

    @property
    def unpublished(self) -> int:
        """How many messages Redis did not take."""
        return self._publisher.dropped

    @property
    def failed(self) -> int:
        """How many messages came in and could not be handed on."""
        return self._subscriber.failed

    @property
    def lag(self) -> Histogram:
        """From publishing to hearing oneself."""
        return self._subscriber.lag

    @property
    def subscribed(self) -> set[str]:
        return self._subscriber.channels

    @property
    def of_everybody(self) -> set[str]:
        """The channels that every node hears, whoever is there."""
        return {self.channels.presence, self.channels.whereabouts.presence, self.channels.profiles}

    def publish(self, channel: str, data: bytes) -> None:
        """A hint to the other nodes; never waits, never fails."""
        self._publisher.publish(channel, data)

    async def tried(self) -> None:
        """Wait, a moment at most, until Redis was reached for the first time or is known to be away."""
        await self._subscriber.tried()

    async def subscribe(self, channels: Iterable[str]) -> bool:
        """True once Redis has confirmed; False where it is away."""
        return await self._subscriber.subscribe(channels)

    async def confirm(self, channels: Iterable[str]) -> bool:
        """Wait for what was subscribed before; False where it does not stand in time."""
        return await self._subscriber.confirm(channels)

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Never waits."""
        self._subscriber.unsubscribe(channels)

    def presence(
        self,
        *,
        ttl_s: float,
        grace_s: float,
        on_leaving: Callable[[Mapping[UserId, datetime]], Awaitable[None]],
        on_forgotten: Callable[[], None],
        channels: Channels | None = None,
    ) -> Presence:
        """`channels`: other names than those of who is online."""
        return Presence(
            self._client,
            self._breaker,
            channels or self.channels,
            self.node_id,
            ttl_s=ttl_s,
            grace_s=grace_s,
            on_leaving=on_leaving,
            on_forgotten=on_forgotten,
        )

    def states(self, *, lasts_s: int) -> States:
        return States(self._client, self._breaker, self.channels, lasts_s=lasts_s)

    async def tell_figures_forever(self, figures: Callable[[], Mapping[str, int]]) -> None:
        """Let the cluster know what this node counts."""
        while True:
            await self.tell_figures(figures())
            await asyncio.sleep(FIGURES_S)

    async def tell_figures(self, figures: Mapping[str, int]) -> None:
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.set(self.channels.node_figures(self.node_id), orjson.dumps(figures), ex=FIGURES_TTL_S)
                pipeline.sadd(self.channels.nodes, self.node_id)
                await pipeline.execute()
        except AWAY:
            return

    async def forget_figures(self) -> None:
        """A node that stops counts no more; the last one leaves nothing behind."""
        try:
            with self._breaker.guarding():
                await self._client.delete(self.channels.node_figures(self.node_id))
                await self._client.srem(self.channels.nodes, self.node_id)
                if not await self._client.exists(self.channels.nodes):
                    where = self.channels.whereabouts
                    await self._client.delete(self.channels.era, self.channels.sweeper, where.era, where.sweeper)
        except AWAY:
            return

    async def cluster_figures(self) -> list[Mapping[str, int]] | None:
        """The figures of every living node but this one; None while Redis is away."""
        try:
            with self._breaker.guarding():
                names = cast("set[bytes]", await self._client.smembers(self.channels.nodes))
                others = [name for name in names if name.decode() != self.node_id]
                if not others:
                    return []
                told = await self._client.mget([self.channels.node_figures(name.decode()) for name in others])
                dead = [name for name, figures in zip(others, told, strict=True) if figures is None]
                if dead:
                    await self._client.srem(self.channels.nodes, *dead)
        except AWAY:
            return None
        return [orjson.loads(figures) for figures in told if figures is not None]

    async def cluster_conversations(self) -> int:
        """How many conversations have a connected participant on any node; 0 while Redis is away."""
        try:
            with self._breaker.guarding():
                return len(await self._client.pubsub_channels(self.channels.every_conversation))
        except AWAY:
            return 0
