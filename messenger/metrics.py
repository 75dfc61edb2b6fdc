"""What the daemon measures, as plain numbers on the objects that know them; `/metrics` reads them when somebody asks.

Nothing here is global: several nodes may live in one process. Nothing is counted a delivery, only a frame or an event: a
counter is an int, or a `Counter` by labels from a list of ours, never by what a client says.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable
from time import monotonic
from typing import TypeAlias

# The values of a metric's labels, in its order.
Labels: TypeAlias = tuple[str, ...]
# One number; or a histogram's: how many in each bucket, then the sum of all. Two processes' are added place by place.
Numbers: TypeAlias = list[float]
Readings: TypeAlias = dict[str, dict[Labels, Numbers]]

# Upper bounds in seconds; what takes longer goes into one more bucket.
BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# How often the event loop is asked how late it is.
LOOP_S = 0.1


class Histogram:
    """How long things took. A quarter of what prometheus_client's own costs: this is on the way of every message."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS_S, seconds)] += 1
        self._sum += seconds

    @property
    def numbers(self) -> Numbers:
        return [*self._counts, self._sum]


def added(every: Iterable[Readings]) -> Readings:
    """The sums of what several processes read."""
    total: Readings = {}
    for readings in every:
        for name, by_labels in readings.items():
            sums = total.setdefault(name, {})
            for labels, numbers in by_labels.items():
                before = sums.get(labels)
                sums[labels] = numbers if before is None else [a + b for a, b in zip(before, numbers, strict=True)]
    return total


async def watch_loop_forever(delay: Histogram) -> None:
    """Note how much later than asked for the event loop wakes a task: so long everything else waited, too."""
    while True:
        due = monotonic() + LOOP_S
        await asyncio.sleep(LOOP_S)
        delay.observe(max(0.0, monotonic() - due))
