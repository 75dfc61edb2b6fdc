"""Who is online, over all nodes: leases of devices in Redis, on Redis' own clock.

A node holds a lease for each of its devices and renews it; a node that dies lets them expire. Transitions are made and
published by the scripts, once for the whole cluster. While Redis is away nobody is told anything, and what is asked is
answered by what this node knows.

Redis may forget, or be out of everybody's reach for longer than leases last: its era is when what it holds begins to count.
Every node renews its leases as soon as it sees another era, so that whoever has no lease one TTL after its beginning is
offline, and nobody is said to be before.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Self, cast

import orjson
import structlog
from redis import asyncio as aioredis
from redis.exceptions import NoScriptError

from messenger.background import end
from messenger.bus.away import AWAY
from messenger.bus.breaker import Breaker
from messenger.bus.channels import PRESENCE_SHARDS, Channels
from messenger.domain.ids import MAX_USER_ID, UserId
from messenger.together import Together

log = structlog.get_logger(__name__)

SWEEP_S = 0.5
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Transition:
    """Somebody came online with his first device, or went offline with his last."""

    user_id: UserId
    online: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Survey:
    """Who is online and who is not. Whoever Redis cannot tell of yet is left out, and to be asked for `again_s` later."""

    online: Mapping[UserId, bool]
    again_s: float | None


def decode_transition(data: bytes) -> Transition | None:
    """What a script published; None for anything else."""
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    match told:
        case {"user_id": int(user_id), "online": bool(online), "at": int(at)} if 1 <= user_id <= MAX_USER_ID:
            return Transition(UserId(user_id), online, _time_of(at))
    return None


def _time_of(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _script(name: str) -> str:
    return files("messenger.bus.lua").joinpath(f"{name}.lua").read_text(encoding="utf-8")


class Presence:
    """Leases of this node's devices.

    `on_leaving` is awaited with those whom this node is about to say offline, or lets go without Redis, and since when
    they are; it must not raise.
    `on_forgotten` is called when Redis turns out to have lost its memory; it must not wait.
    """

    def __init__(
        self,
        client: aioredis.Redis,
        breaker: Breaker,
        channels: Channels,
        node_id: str,
        *,
        ttl_s: float,
        grace_s: float,
        on_leaving: Callable[[Mapping[UserId, datetime]], Awaitable[None]],
        on_forgotten: Callable[[], None],
    ) -> None:
        self._client = client
        self._breaker = breaker
        self._channels = channels
        self._node_id = node_id
        self._ttl_ms = int(ttl_s * 1000)
        self._grace_ms = int(grace_s * 1000)
        # Several times within an era's life.
        self._sweep_s = min(SWEEP_S, ttl_s / 6)
        self._on_leaving = on_leaving
        self._on_forgotten = on_forgotten
        self._held: dict[str, UserId] = {}
        self._here: Counter[UserId] = Counter()
        self._era = b""
        self._due = asyncio.Event()
        # Whose leases are to be shortened: a crowd that goes at once is one pipeline, not a connection each.
        self._leaving: list[tuple[str, UserId]] = []
        self._left = asyncio.Event()
        self._hold = client.register_script(_script("presence_hold"))
        self._release = client.register_script(_script("presence_release"))
        self._expired = client.register_script(_script("presence_expired"))
        self._sweep = client.register_script(_script("presence_sweep"))
        self._arrivals = Together(self._arrive)
        # Renewals that Redis did not take, in leases.
        self.not_renewed = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._tasks = {
            asyncio.create_task(self._renew_forever(), name="presence-renew"),
            asyncio.create_task(self._release_forever(), name="presence-release"),
            asyncio.create_task(self._sweep_forever(), name="presence-sweep"),
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._arrivals.close()
        await end(self._tasks)
        await self._release_all()

    async def arrive(self, user_id: UserId, connection_id: str) -> int:
        """Hold a lease for a device. Returns how many devices the user has on all nodes; 0 where Redis is away."""
        self._held[connection_id] = user_id
        self._here[user_id] += 1
        return await self._arrivals.answer((user_id, connection_id))

    async def _arrive(self, coming: Sequence[tuple[UserId, str]]) -> Sequence[int]:
        try:
            with self._breaker.guarding():
                return await self._each(self._hold, [self._holding(*device) for device in coming])
        except AWAY:
            return [0] * len(coming)

    def leave(self, connection_id: str) -> None:
        """Let a device's lease end after the grace period. Never waits."""
        user_id = self._held.pop(connection_id, None)
        if user_id is not None:
            self._here[user_id] -= 1
            if not self._here[user_id]:
                del self._here[user_id]
            self._let_go(connection_id, user_id)

    def _let_go(self, connection_id: str, user_id: UserId) -> None:
        self._leaving.append((connection_id, user_id))
        self._left.set()

    async def online_of(self, user_ids: Iterable[UserId]) -> set[UserId]:
        """Those of `user_ids` who are online; what this node knows itself, where Redis is away."""
        wanted = list(user_ids)
        here = {user_id for user_id in wanted if user_id in self._here}
        try:
            with self._breaker.guarding():
                async with self._client.pipeline(transaction=False) as pipeline:
                    self._ask_for(pipeline, wanted)
                    scores = await pipeline.execute()
        except AWAY:
            return here
        return here | {user_id for user_id, score in zip(wanted, scores, strict=True) if score is not None}

    async def live_of(self, user_ids: Iterable[UserId]) -> tuple[set[UserId], set[UserId]]:
        """Those with a device that hears; and those who have only just left, are still online, and hear nothing any more.
        What this node knows itself, where Redis is away."""
        wanted = list(user_ids)
        live = {user_id for user_id in wanted if user_id in self._here}
        leaving: set[UserId] = set()
        try:
            with self._breaker.guarding():
                for start in range(0, len(wanted), CHUNK):
                    chunk = wanted[start : start + CHUNK]
                    async with self._client.pipeline(transaction=False) as pipeline:
                        pipeline.time()
                        self._ask_for(pipeline, chunk)
                        (seconds, microseconds), *scores = await pipeline.execute()
                    # Later than anything that is about to end.
                    beyond = seconds * 1000 + microseconds // 1000 + self._grace_ms
                    ends = {user_id: end for user_id, end in zip(chunk, scores, strict=True) if end is not None}
                    live |= {user_id for user_id, end in ends.items() if end > beyond}
                    leaving |= ends.keys() - live
        except AWAY:
            pass
        return live, leaving

    async def survey(self, user_ids: Iterable[UserId]) -> Survey | None:
        """Who of these is online and who is not, as far as Redis can tell; None where it is away."""
        wanted = list(user_ids)
        try:
            with self._breaker.guarding():
                # Of one moment: leases that are missing from a memory that has just begun prove nothing.
                async with self._client.pipeline(transaction=True) as pipeline:
                    pipeline.time()
                    pipeline.get(self._channels.era)
                    self._ask_for(pipeline, wanted)
                    (seconds, microseconds), era, *scores = await pipeline.execute()
        except AWAY:
            return None
        now = seconds * 1000 + microseconds // 1000
        open_ms = max(0, int(era) + self._ttl_ms - now) if era else self._ttl_ms
        online = {
            user_id: score is not None or user_id in self._here for user_id, score in zip(wanted, scores, strict=True)
        }
        if open_ms:
            online = {user_id: True for user_id, is_online in online.items() if is_online}
        return Survey(online, open_ms / 1000 + self._sweep_s if len(online) < len(wanted) else None)

    async def devices_of(self, user_id: UserId) -> int:
        """How many devices a user has on all nodes."""
        try:
            with self._breaker.guarding():
                # Those within their grace period are gone.
                seconds, microseconds = await self._client.time()
                beyond = seconds * 1000 + microseconds // 1000 + self._grace_ms
                return int(await self._client.zcount(self._channels.leases(user_id), f"({beyond}", "+inf"))
        except AWAY:
            return self._here[user_id]

    async def online_users(self) -> int:
        """How many users are online on all nodes; 0 while Redis is away."""
        try:
            with self._breaker.guarding():
                async with self._client.pipeline(transaction=False) as pipeline:
                    for number in range(PRESENCE_SHARDS):
                        pipeline.zcard(self._channels.shard(number))
                    return sum(await pipeline.execute())
        except AWAY:
            return 0

    def hurry(self) -> None:
        """The bus has a new connection, perhaps to a Redis that knows nothing: renew now."""
        self._due.set()

    def _ask_for(self, pipeline: Any, user_ids: Iterable[UserId]) -> None:
        for user_id in user_ids:
            pipeline.zscore(self._channels.shard_of(user_id), str(user_id))

    def _holding(self, user_id: UserId, connection_id: str) -> tuple[list[str], list[Any]]:
        keys = [self._channels.shard_of(user_id), self._channels.leases(user_id)]
        lease = f"{self._node_id}:{connection_id}"
        return keys, [user_id, lease, self._ttl_ms, self._channels.presence, self._grace_ms]

    def _releasing(self, user_id: UserId, connection_id: str) -> tuple[list[str], list[Any]]:
        keys = [self._channels.shard_of(user_id), self._channels.leases(user_id)]
        return keys, [user_id, f"{self._node_id}:{connection_id}", self._grace_ms]

    async def _each(self, script: Any, calls: list[tuple[list[str], list[Any]]]) -> list[int]:
        """One pipeline. redis-py would ask first whether Redis knows the script; here only one that does not is told of it."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for keys, args in calls:
                pipeline.evalsha(script.sha, len(keys), *keys, *args)
            try:
                return cast("list[int]", await pipeline.execute())
            except NoScriptError:
                await self._client.script_load(script.script)
        return await self._each(script, calls)

    async def _renew_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._ttl_ms / 3000):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            held = list(self._held.items())
            for start in range(0, len(held), CHUNK):
                try:
                    await self._renew([item for item in held[start : start + CHUNK] if item[0] in self._held])
                except Exception:  # without its renewals everybody here would go offline
                    log.exception("presence renewal failed")

    async def _renew(self, held: list[tuple[str, UserId]]) -> None:
        try:
            await self._each(self._hold, [self._holding(user_id, connection_id) for connection_id, user_id in held])
        except AWAY as error:
            self.not_renewed += len(held)
            log.warning("presence not renewed", error=type(error).__name__)
        for connection_id, user_id in held:
            if connection_id not in self._held:
                self._let_go(connection_id, user_id)  # it left meanwhile, and was renewed after that

    async def _release_forever(self) -> None:
        while True:
            await self._left.wait()
            self._left.clear()
            try:
                await self._release_all()
            except Exception:  # they expire by themselves
                log.exception("presence release failed")
                self._leaving.clear()

    async def _release_all(self) -> None:
        while self._leaving:
            leaving = self._leaving[:CHUNK]
            try:
                with self._breaker.guarding():
                    await self._each(
                        self._release, [self._releasing(user_id, connection_id) for connection_id, user_id in leaving]
                    )
            except AWAY:
                log.info("presence leases left to expire", leases=len(leaving))
                now = datetime.now(UTC)
                await self._on_leaving({user_id: now for _, user_id in leaving})
            del self._leaving[: len(leaving)]

    async def _sweep_forever(self) -> None:
        while True:
            try:
                # While Redis is away nobody is said offline.
                with suppress(*AWAY):
                    await self._sweep_once()
            except Exception:  # without its sweep a cluster says nobody offline any more
                log.exception("presence sweep failed")
            await asyncio.sleep(self._sweep_s)

    async def _sweep_once(self) -> None:
        shards = [self._channels.shard(number) for number in range(PRESENCE_SHARDS)]
        with self._breaker.guarding():
            found = cast(
                "list[bytes]",
                await self._expired(
                    keys=[self._channels.era, self._channels.sweeper, *shards], args=[self._node_id, self._ttl_ms]
                ),
            )
        if found[0] != self._era:
            self._era = found[0]
            self.hurry()
            self._on_forgotten()
        leaving = {UserId(int(user)): _time_of(float(at)) for user, at in zip(found[1::2], found[2::2], strict=True)}
        if leaving:
            # Before anybody hears of it: who asks then is told since when.
            await self._on_leaving(leaving)
            await self._sweep(
                keys=[self._channels.shard_of(user_id) for user_id in leaving],
                args=[self._channels.presence, *leaving],
            )
