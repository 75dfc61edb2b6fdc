"""Hands out what is due, by one way, on any node: takes it in hand for a while, tries, and settles it or puts it off.

Nothing is tried inside a transaction. A node that dies leaves what it had in hand to the others, after its lease; one that was
too slow to settle finds that it is not its own any more. So each delivery is made at least once, and rarely twice.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog

from messenger.background import end
from messenger.bus.presence import Presence
from messenger.delivery.way import Failed, Way
from messenger.domain.notification import Delivery
from messenger.errors import Unavailable
from messenger.store.outbox import OutboxStore

log = structlog.get_logger(__name__)

# How often it is looked for what others put off or left.
POLL_S = 1.0
# An attempt ends well before its lease does.
LEASE_S = 30.0
ATTEMPT_S = 25.0
# After the first failure, and four times as long after each one more: eight attempts take two and a half hours.
PAUSE_S = 5.0
LONGEST_PAUSE_S = 3600.0
# Who stops finishes what it began, for so long.
FAREWELL_S = 3.0


class Courier:
    """`attempts`: after so many failures a delivery is given up. `hands`: how many it tries at once. `tally` counts attempts:
    delivered, dropped (nobody to tell any more), failed (to be tried again), dead (given up)."""

    def __init__(self, store: OutboxStore, presence: Presence, way: Way, *, attempts: int, hands: int) -> None:
        self._store = store
        self._presence = presence
        self._way = way
        self._attempts = attempts
        self._hands = hands
        self._due = asyncio.Event()
        self._in_hand: set[asyncio.Task[None]] = set()
        # There was more than hands: who has one free looks again at once.
        self._is_behind = False
        # The database is away: told once.
        self._is_blind = False
        self.tally = Counter({"delivered": 0, "dropped": 0, "failed": 0, "dead": 0})

    @property
    def channel(self) -> str:
        return self._way.channel

    def hurry(self) -> None:
        """Something is due now."""
        self._due.set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """As long as the context is open. Leaving it finishes what is in hand, or after a moment leaves it to its lease."""
        task = asyncio.create_task(self._run(), name=f"courier {self.channel}")
        try:
            yield
        finally:
            await end([task])
            if self._in_hand:
                await asyncio.wait(self._in_hand, timeout=FAREWELL_S)
            await end(self._in_hand)

    async def _run(self) -> None:
        while True:
            self._due.clear()
            await self._take()
            try:
                async with asyncio.timeout(POLL_S):
                    await self._due.wait()
            except TimeoutError:
                pass

    async def _take(self) -> None:
        free = self._hands - len(self._in_hand)
        self._is_behind = not free
        if not free:
            return
        try:
            claimed = await self._store.claim(self._way.channel, free, LEASE_S)
        except Unavailable:
            if not self._is_blind:
                log.warning("deliveries not looked for", channel=self.channel)
            self._is_blind = True
            return
        except Exception:  # whatever it is, a node that hands out no more would not be missed
            log.exception("deliveries not looked for", channel=self.channel)
            return
        self._is_blind = False
        self._is_behind = len(claimed) == free
        for delivery in claimed:
            task = asyncio.create_task(self._try(delivery), name=f"delivery {self._way.channel}")
            self._in_hand.add(task)
            task.add_done_callback(self._put_down)

    def _put_down(self, task: asyncio.Task[None]) -> None:
        self._in_hand.discard(task)
        if self._is_behind:
            self._due.set()

    async def _try(self, delivery: Delivery) -> None:
        try:
            try:
                taken = await self._hand_over(delivery)
            except Failed as failed:
                await self._put_off(delivery, failed)
            else:
                self.tally["delivered" if taken else "dropped"] += 1
                await self._store.settle(delivery, taken=taken)
        except Unavailable:
            log.warning("delivery left to its lease", channel=self.channel, id=str(delivery.id))
        except Exception:  # it comes again, and is given up one day
            log.exception("delivery left to its lease", channel=self.channel, id=str(delivery.id))

    async def _hand_over(self, delivery: Delivery) -> bool:
        """Whether there was somebody to tell. Raises Failed, Unavailable."""
        if delivery.attempt > self._attempts:
            raise Failed("no attempt came to an end")
        try:
            async with asyncio.timeout(ATTEMPT_S):
                live, _ = await self._presence.live_of(delivery.user_ids)
                # Who has come back meanwhile was told by his device.
                away = [user_id for user_id in delivery.user_ids if user_id not in live]
                return bool(away) and await self._way.deliver(replace(delivery, user_ids=away))
        except TimeoutError:
            raise Failed("timeout") from None

    async def _put_off(self, delivery: Delivery, failed: Failed) -> None:
        told = {"channel": self.channel, "id": str(delivery.id), "attempt": delivery.attempt, "error": failed.error}
        if delivery.attempt < self._attempts:
            self.tally["failed"] += 1
            log.info("delivery failed", **told)
            again_s = min(failed.again_s or 0.0, LONGEST_PAUSE_S)
            await self._store.put_off(delivery, failed.error, max(pause(delivery.attempt), again_s))
        else:
            self.tally["dead"] += 1
            log.warning("delivery given up", **told)
            await self._store.put_off(delivery, failed.error, None)


def pause(attempt: int) -> float:
    """Seconds until the next attempt, a quarter more or less by chance, so that what failed together does not return together."""
    longest = min(PAUSE_S * 4.0 ** min(attempt - 1, 20), LONGEST_PAUSE_S)
    return longest * random.uniform(0.75, 1.25)  # noqa: S311 - jitter is no secret
