"""What goes wrong around the nodes of a workload: one trouble at a time, each until it is ended."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import asyncpg

from tests.support.breakable import BreakableRedis
from tests.support.daemon import Daemon
from tests.support.database import Database
from tests.support.node import Node
from tests.support.proxy import Proxy
from tests.support.reachable import Reachable

# Ends a trouble.
End: TypeAlias = Callable[[], Awaitable[None]]
Hear: TypeAlias = Callable[[str, bytes], None]


class Weather:
    """`paths` lead from the nodes to Redis. Among `nodes` is one that is killed, and replaced by one that `new` makes."""

    def __init__(
        self,
        chance: random.Random,
        redis: BreakableRedis,
        database: Database,
        paths: list[Proxy],
        nodes: list[Reachable],
        new: Callable[[], Awaitable[Daemon]],
    ) -> None:
        self.chance = chance
        self.nodes = nodes
        self.history: list[str] = []
        self._redis = redis
        self._database = database
        self._paths = paths
        self._new = new
        self._end: End | None = None
        self._changing = asyncio.Lock()
        self._troubles = (
            self.redis_killed,
            self.redis_paused,
            self.redis_flushed,
            self.path_cut,
            self.path_closed,
            self.path_dead,
            self.bus_unreliable,
            self.database_connections_ended,
            self.node_killed,
        )

    async def change(self) -> None:
        """Let the trouble end that there is, or begin another."""
        async with self._changing:
            if self._end is not None:
                end, self._end = self._end, None
                await end()
                self.history.append("over")
            else:
                trouble = self.chance.choice(self._troubles)
                self.history.append(trouble.__name__)
                self._end = await trouble()

    async def clear_up(self) -> None:
        """Let the trouble end that there is."""
        async with self._changing:
            if self._end is not None:
                end, self._end = self._end, None
                await end()
                self.history.append("over")

    async def redis_killed(self) -> End:
        self._redis.kill()
        return lambda: asyncio.to_thread(self._redis.start)

    async def redis_paused(self) -> End:
        self._redis.pause()

        async def end() -> None:
            self._redis.resume()

        return end

    async def redis_flushed(self) -> None:
        await asyncio.to_thread(self._redis.flush)

    async def path_cut(self) -> None:
        self.chance.choice(self._paths).cut()

    async def path_closed(self) -> End:
        path = self.chance.choice(self._paths)
        path.is_refusing = True
        path.cut()

        async def end() -> None:
            path.is_refusing = False

        return end

    async def path_dead(self) -> End:
        """Connections stay, and carry nothing; nobody is told."""
        path = self.chance.choice(self._paths)
        path.freeze()

        async def end() -> None:
            path.cut()

        return end

    async def bus_unreliable(self) -> End:
        """What the nodes in this process are told is lost, repeated and held back until later."""
        relays = [node.context.node.relay for node in self.nodes if isinstance(node, Node)]
        rains = [Rain(self.chance, relay.receive) for relay in relays]
        for relay, rain in zip(relays, rains, strict=True):
            relay.receive = rain.hear  # type: ignore[method-assign]

        async def end() -> None:
            for relay, rain in zip(relays, rains, strict=True):
                del relay.receive
                rain.stop()

        return end

    async def database_connections_ended(self) -> None:
        connection = await asyncpg.connect(self._database.admin_url)
        await connection.execute(
            """
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and application_name = 'messenger'
            """
        )
        await connection.close()

    async def node_killed(self) -> End:
        (mortal,) = (node for node in self.nodes if isinstance(node, Daemon))
        self.nodes.remove(mortal)
        mortal.process.kill()

        async def end() -> None:
            self.nodes.append(await self._new())

        return end


class Rain:
    """Between the bus and one who hears it."""

    def __init__(self, chance: random.Random, hear: Hear) -> None:
        self._chance = chance
        self._hear = hear
        self._held: list[tuple[str, bytes]] = []

    def hear(self, channel: str, data: bytes) -> None:
        what = self._chance.choices(("pass on", "lose", "repeat", "hold back", "let go"), (40, 20, 10, 20, 10))[0]
        if what == "hold back":
            self._held.append((channel, data))
        elif what != "lose":
            self._hear(channel, data)
            if what == "repeat":
                self._hear(channel, data)
            elif what == "let go":
                self.stop()

    def stop(self) -> None:
        held, self._held = self._held, []
        self._chance.shuffle(held)
        for channel, data in held:
            self._hear(channel, data)
