"""A circuit breaker for what somebody waits on: while Redis is away, calls fail at once but for one a second that finds out.

Without it whoever comes in while Redis hangs waits out a timeout for every question.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from messenger.bus.away import AWAY

REST_S = 1.0


class Breaker:
    """Closed while Redis answers."""

    def __init__(self) -> None:
        self._is_open = False
        self._again_at = 0.0

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Around one call. Raises redis' ConnectionError at once while the breaker is open."""
        loop = asyncio.get_running_loop()
        if self._is_open:
            if loop.time() < self._again_at:
                raise exceptions.ConnectionError("Redis did not answer a moment ago")
            self._again_at = loop.time() + REST_S  # the others go on failing while this one finds out
        try:
            yield
        except exceptions.ResponseError:
            self._is_open = False  # it did answer
            raise
        except AWAY:
            self._is_open = True
            self._again_at = loop.time() + REST_S
            raise
        self._is_open = False
