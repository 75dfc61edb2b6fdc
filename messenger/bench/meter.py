"""What a stretch of work cost, as the operating system counts it: CPU time of the daemon, its database, its bus, and of us."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil


@dataclass(slots=True)
class Cost:
    """In seconds; all but `wall` are CPU time. Filled in when the stretch ends."""

    wall: float = 0.0
    server: float = 0.0
    postgres: float = 0.0
    redis: float = 0.0
    generator: float = 0.0

    def add(self, other: "Cost") -> None:
        self.wall += other.wall
        self.server += other.server
        self.postgres += other.postgres
        self.redis += other.redis
        self.generator += other.generator


class Meter:
    """`server` are the daemon's own processes. Those of its database and bus come and go, and are looked for each time
    among the children of `above`; where they run elsewhere, their cost stays 0."""

    def __init__(self, server: Sequence[psutil.Process], above: psutil.Process | None) -> None:
        self._server = server
        self._above = above

    @contextmanager
    def measured(self) -> Iterator[Cost]:
        cost = Cost()
        before, began = self._read(), time.monotonic()
        yield cost
        after = self._read()
        cost.wall = time.monotonic() - began
        cost.server, cost.postgres, cost.redis, cost.generator = (
            now - then for now, then in zip(after, before, strict=True)
        )

    @property
    def resident_bytes(self) -> int:
        """The memory that the daemon holds."""
        return sum(process.memory_info().rss for process in self._server)

    def _read(self) -> tuple[float, float, float, float]:
        beside = [] if self._above is None else self._above.children(recursive=True)
        return (
            sum(map(_cpu_s, self._server)),
            sum(_cpu_s(process) for process in beside if _is(process, "postgres")),
            sum(_cpu_s(process) for process in beside if _is(process, "redis")),
            time.process_time(),
        )


def pin(process: psutil.Process, core: int) -> None:
    """Keep a process on one core, where there are several and the system can."""
    if (os.cpu_count() or 1) > 1 and hasattr(process, "cpu_affinity"):
        with suppress(psutil.Error, OSError):
            process.cpu_affinity([core])


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        # With those of its children that have ended: backends come and go.
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _is(process: psutil.Process, name: str) -> bool:
    with suppress(psutil.Error):
        return name in process.name()
    return False
