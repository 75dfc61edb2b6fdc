"""Who is online, over all nodes: leases of devices in Redis, on Redis' own clock.

A node holds a lease for each of its devices and renews it; a node that dies lets them expire. Transitions are made and
published by the scripts, once for the whole cluster. While Redis is away nobody is told anything, and what is asked is
answered by what this node knows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Self, cast

import orjson
import structlog
from redis import asyncio as aioredis
from redis.exceptions import RedisError

from messenger.background import end
from messenger.bus.channels import PRESENCE_SHARDS, Channels
from messenger.domain.ids import MAX_USER_ID, UserId

log = structlog.get_logger(__name__)

SWEEP_S = 0.5
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Transition:
    """Somebody came online with his first device, or went offline with his last."""

    user_id: UserId
    online: bool
    at: datetime


def decode_transition(data: bytes) -> Transition | None:
    """What a script published; None for anything else."""
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    match told:
        case {"user_id": int(user_id), "online": bool(online), "at": int(at)} if 1 <= user_id <= MAX_USER_ID:
            return Transition(UserId(user_id), online, datetime.fromtimestamp(at / 1000, UTC))
    return None


def _script(name: str) -> str:
    return files("messenger.bus.lua").joinpath(f"{name}.lua").read_text(encoding="utf-8")


class Presence:
    """Leases of this node's devices. `on_offline` is awaited for each user whom this node's sweep found gone."""

    def __init__(
        self,
        client: aioredis.Redis,
        channels: Channels,
        node_id: str,
        *,
        ttl_s: float,
        grace_s: float,
        on_offline: Callable[[UserId, datetime], Awaitable[None]],
    ) -> None:
        self._client = client
        self._channels = channels
        self._node_id = node_id
        self._ttl_ms = int(ttl_s * 1000)
        self._grace_ms = int(grace_s * 1000)
        self._on_offline = on_offline
        self._held: dict[str, UserId] = {}
        self._hold = client.register_script(_script("presence_hold"))
        self._release = client.register_script(_script("presence_release"))
        self._sweep = client.register_script(_script("presence_sweep"))
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._tasks = {
            asyncio.create_task(self._renew_forever(), name="presence-renew"),
            asyncio.create_task(self._sweep_forever(), name="presence-sweep"),
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self._tasks)

    async def arrive(self, user_id: UserId, connection_id: str) -> int:
        """Hold a lease for a device. Returns how many devices the user has on all nodes; 0 where Redis is away."""
        self._held[connection_id] = user_id
        try:
            return int(await self._hold_lease(user_id, connection_id, self._client))
        except (RedisError, OSError):
            return 0

    async def leave(self, connection_id: str) -> None:
        """Let a device's lease end after the grace period."""
        user_id = self._held.pop(connection_id, None)
        if user_id is not None:
            await self._let_go(user_id, connection_id)

    async def _let_go(self, user_id: UserId, connection_id: str) -> None:
        try:
            await self._release(
                keys=[self._channels.shard_of(user_id), self._channels.leases(user_id)],
                args=[user_id, f"{self._node_id}:{connection_id}", self._grace_ms],
            )
        except (RedisError, OSError):
            log.info("presence lease left to expire")

    async def online_of(self, user_ids: Iterable[UserId]) -> set[UserId]:
        """Those of `user_ids` who are online; what this node knows itself, where Redis is away."""
        wanted = list(user_ids)
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for user_id in wanted:
                    pipeline.zscore(self._channels.shard_of(user_id), str(user_id))
                scores = await pipeline.execute()
        except (RedisError, OSError):
            return set(self._held.values()) & set(wanted)
        return {user_id for user_id, score in zip(wanted, scores, strict=True) if score is not None}

    async def devices_of(self, user_id: UserId) -> int:
        """How many devices a user has on all nodes."""
        try:
            return int(await self._client.zcard(self._channels.leases(user_id)))
        except (RedisError, OSError):
            return sum(held == user_id for held in self._held.values())

    async def online_users(self) -> int:
        """How many users are online on all nodes; 0 while Redis is away."""
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for number in range(PRESENCE_SHARDS):
                    pipeline.zcard(self._channels.shard(number))
                return sum(await pipeline.execute())
        except (RedisError, OSError):
            return 0

    async def _hold_lease(self, user_id: UserId, connection_id: str, client: Any) -> Any:
        return await self._hold(
            keys=[self._channels.shard_of(user_id), self._channels.leases(user_id)],
            args=[
                user_id,
                f"{self._node_id}:{connection_id}",
                self._ttl_ms,
                self._channels.presence,
                self._grace_ms,
            ],
            client=client,
        )

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._ttl_ms / 3000)
            held = list(self._held.items())
            for start in range(0, len(held), CHUNK):
                await self._renew([item for item in held[start : start + CHUNK] if item[0] in self._held])

    async def _renew(self, held: list[tuple[str, UserId]]) -> None:
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for connection_id, user_id in held:
                    await self._hold_lease(user_id, connection_id, pipeline)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            log.warning("presence not renewed", error=type(error).__name__)
        for connection_id, user_id in held:
            if connection_id not in self._held:
                await self._let_go(user_id, connection_id)  # it left meanwhile, and was renewed after that

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                gone = await self._sweep(
                    keys=[self._channels.shard(number) for number in range(PRESENCE_SHARDS)],
                    args=[self._channels.presence],
                )
            except (RedisError, OSError):
                continue
            at = datetime.now(UTC)
            for user_id in cast("list[bytes]", gone):
                await self._on_offline(UserId(int(user_id)), at)
