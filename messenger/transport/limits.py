"""Token buckets, a node's own: they hold while Redis is away."""

import math
from collections import OrderedDict
from collections.abc import Hashable
from time import monotonic

from messenger.config import Rate
from messenger.errors import RateLimited

# Buckets of users who have been quiet are full again, and forgotten.
MOST_BUCKETS = 50_000


class Bucket:
    """One token bucket. Starts full."""

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = monotonic()

    def take(self) -> None:
        """Raises RateLimited with `retry_after_s` where there is no token."""
        if self._rate.unlimited:
            return
        now = monotonic()
        refill = self._rate.amount / self._rate.period_s
        self._tokens = min(self._rate.burst, self._tokens + (now - self._at) * refill)
        self._at = now
        if self._tokens < 1:
            # Up to the millisecond: who waits so long is not refused again.
            raise RateLimited(retry_after_s=math.ceil((1 - self._tokens) / refill * 1000) / 1000)
        self._tokens -= 1

    def give_back(self) -> None:
        """What was taken was not used."""
        self._tokens = min(self._rate.burst, self._tokens + 1)


class Buckets:
    """A bucket a key, made when first asked for; the one unused longest goes first."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def take(self, key: Hashable) -> None:
        """Raises RateLimited."""
        self._bucket(key).take()

    def give_back(self, key: Hashable) -> None:
        """What was taken was not used."""
        self._bucket(key).give_back()

    def _bucket(self, key: Hashable) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate)
            if len(self._buckets) > MOST_BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket
