"""The workers of one daemon, who answer for each other: what is counted here is counted over all of them.

Each listens on a Unix socket in a folder that only its user may enter. Nothing else is asked there, and nobody else can. What
grows lies there too, as each one told it last: whoever takes the place of one that fell goes on from there, and meanwhile, or
while one hangs, the others count that. So no sum falls while the daemon runs, which Prometheus would take for a restart of all.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from messenger.fanout.node import Node
from messenger.metrics import Labels, Numbers, Readings, added
from messenger.protocol import frames

# Measured by each worker, and no sum over them.
ONLINE_USERS = "messenger_online_users"
ACTIVE_CONVERSATIONS = "messenger_active_conversations"
BEGAN_AT = "process_start_time_seconds"
# A worker that does not answer so long is left out, but for what it told last: it is about to be replaced.
ASK_S = 2.0


@dataclass(frozen=True, slots=True)
class _Told:
    """What one worker counts."""

    users: frozenset[int]
    conversations: frozenset[str]
    connections: int
    readings: Readings


class Siblings:
    """`folder`: where the workers' sockets lie, one named after each; None for a daemon of one process. `read`: what this one
    measures. `growing`: the names of what only grows."""

    def __init__(
        self, node: Node, read: Callable[[], Readings], growing: frozenset[str], folder: Path | None, number: int
    ) -> None:
        self._node = node
        self._read = read
        self._growing = growing
        # What was counted in this one's place by those before it.
        self._before: Readings = {}
        self._folder = folder
        self._own = f"{number}.sock"

    async def figures(self) -> Mapping[str, int]:
        """What all workers count, each user and each conversation once."""
        return self._node.figures() if self._folder is None else _figures(await self._everybody())

    async def readings(self) -> Readings:
        """What all workers measure: sums, but each user and each conversation once, and the latest beginning."""
        if self._folder is None:
            return self._read()
        every = await self._everybody()
        figures = _figures(every)
        total = added(told.readings for told in every)
        total[ONLINE_USERS] = {(): [figures["online_users"]]}
        total[ACTIVE_CONVERSATIONS] = {(): [figures["active_conversations"]]}
        total[BEGAN_AT] = {(): max(told.readings[BEGAN_AT][()] for told in every if BEGAN_AT in told.readings)}
        return total

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Answer the others, as long as the context is open."""
        if self._folder is None:
            yield
            return
        app = web.Application()
        app.router.add_get("/", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            path = self._folder / self._own
            self._before = _kept(path)
            path.unlink(missing_ok=True)  # of the worker before this one
            await web.UnixSite(runner, str(path)).start()
            yield
        finally:
            await runner.cleanup()

    async def _everybody(self) -> list[_Told]:
        """What this worker counts, and each other one; of who does not answer, what it told last."""
        others = await asyncio.gather(*map(self._ask, self._others()))
        return [self._told(), *others]

    def _others(self) -> set[Path]:
        assert self._folder is not None
        # Of one that ended in order there may be no socket any more.
        return {path.with_suffix(".sock") for path in self._folder.iterdir()} - {self._folder / self._own}

    async def _ask(self, path: Path) -> _Told:
        try:
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
                session.get("http://sibling/", timeout=aiohttp.ClientTimeout(total=ASK_S)) as response,
            ):
                return _decode(orjson.loads(await response.read()))
        except (aiohttp.ClientError, OSError, ValueError):
            return _Told(frozenset(), frozenset(), 0, readings=_kept(path))

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response(body=_encode(self._told()), content_type="application/json")

    def _told(self) -> _Told:
        own = self._node.census()
        readings = added((self._before, self._read()))
        self._keep(readings)
        return _Told(frozenset(own.users), frozenset(map(str, own.conversations)), own.connections, readings)

    def _keep(self, readings: Readings) -> None:
        """Before anybody hears it: what was told once must not be forgotten."""
        assert self._folder is not None
        growing = {name: by_labels for name, by_labels in readings.items() if name in self._growing}
        path = self._folder / self._own
        with suppress(OSError):  # a full disk makes the next sum fall, and this one is told all the same
            path.with_suffix(".new").write_bytes(frames.encode(_listed(growing)))
            path.with_suffix(".new").replace(path.with_suffix(".told"))


def _figures(every: Iterable[_Told]) -> Mapping[str, int]:
    users: set[int] = set()
    conversations: set[str] = set()
    connections = 0
    for told in every:
        users |= told.users
        conversations |= told.conversations
        connections += told.connections
    return {
        "online_users": len(users),
        "total_connections": connections,
        "active_conversations": len(conversations),
    }


def _encode(told: _Told) -> bytes:
    return frames.encode(
        {
            "users": list(told.users),
            "conversations": list(told.conversations),
            "connections": told.connections,
            "readings": _listed(told.readings),
        }
    )


def _decode(told: Any) -> _Told:
    return _Told(
        frozenset(told["users"]),
        frozenset(told["conversations"]),
        told["connections"],
        _unlisted(told["readings"]),
    )


def _listed(readings: Readings) -> dict[str, list[tuple[Labels, Numbers]]]:
    """JSON has no key that is a list."""
    return {name: list(by_labels.items()) for name, by_labels in readings.items()}


def _unlisted(told: Any) -> Readings:
    return {name: {tuple(labels): numbers for labels, numbers in by_labels} for name, by_labels in told.items()}


def _kept(path: Path) -> Readings:
    """What grows, as whoever listened there told it last."""
    try:
        return _unlisted(orjson.loads(path.with_suffix(".told").read_bytes()))
    except (OSError, ValueError):
        return {}
