"""Looks at each message that was stored whom it concerns that is away, on any node, and notes what is to be handed out.

The row in the outbox was written with the message, in its transaction; it goes with the notes about it, in theirs. So no message
is forgotten or told of twice, whatever fails in between. Who is away is what presence says at that moment: one whose node was
killed counts as here until his lease ends.
"""

import asyncio
import time
from collections.abc import Sequence

import structlog

from messenger.bus.presence import Presence
from messenger.delivery.courier import Courier
from messenger.domain.notification import Away, Waiting
from messenger.errors import Unavailable
from messenger.store.outbox import OutboxStore

log = structlog.get_logger(__name__)

# How often it is looked for what other nodes left, and at once when this one stored something.
POLL_S = 1.0
# Messages at once, and participants of them all together: the first one may have more.
MOST_MESSAGES = 100
MOST_PEOPLE = 10_000
# Who was here so lately has so long to come back, and is told only then: a reload, another network, a node that is replaced (whose
# devices come back within five seconds).
LATELY_S = 6.0
# How often it is counted what waits, and what was given up long ago is forgotten.
COUNT_S = 15.0
CLEAR_S = 3600.0


class Outbox:
    """`filled` is set when this node put something in. `couriers` hand out what is noted; those of a channel that nobody
    configured are not there, and nothing is noted for it. `waiting`: how much waits on all nodes, where this one `counts`."""

    def __init__(
        self,
        store: OutboxStore,
        presence: Presence,
        filled: asyncio.Event,
        couriers: Sequence[Courier],
        *,
        counts: bool,
    ) -> None:
        self._store = store
        self._presence = presence
        self._filled = filled
        self._couriers = couriers
        channels = {courier.channel for courier in couriers}
        self._by_webhook, self._by_web_push = "webhook" in channels, "web_push" in channels
        self._counts = counts
        self.waiting = 0

    async def run_forever(self) -> None:
        """Ends by cancellation."""
        count_at = clear_at = 0.0
        is_blind = False
        while True:
            self._filled.clear()
            try:
                while await self._look():
                    pass
                now = time.monotonic()
                if self._counts and now >= count_at:
                    self.waiting = await self._store.count_waiting()
                    count_at = now + COUNT_S
                if now >= clear_at:
                    await self._store.clear()
                    clear_at = now + CLEAR_S
                is_blind = False
            except Unavailable:
                if not is_blind:
                    log.warning("outbox not looked at")  # once, until the database is back
                is_blind = True
            except Exception:  # a node that looks no more would tell nobody who is away
                log.exception("outbox not looked at")
            try:
                async with asyncio.timeout(POLL_S):
                    await self._filled.wait()
            except TimeoutError:
                pass

    async def _look(self) -> bool:
        """Note whom the oldest messages concern. Whether there may be more of them."""
        messages = _few(await self._store.waiting(MOST_MESSAGES))
        if not messages:
            return False
        audience = await self._store.audience(messages)
        live, leaving = await self._presence.live_of({listener.user_id for listener in audience})
        away = [
            Away(
                listener.message_id,
                listener.user_id,
                push=listener.push_enabled and self._by_web_push,
                later=listener.user_id in leaving or (listener.seen_s is not None and listener.seen_s < LATELY_S),
            )
            for listener in audience
            if listener.user_id not in live and (listener.push_enabled or self._by_webhook)
        ]
        taken = await self._store.hand_out(messages, away, webhook=self._by_webhook, pause_s=LATELY_S)
        if away:
            for courier in self._couriers:
                courier.hurry()
        return taken > 0  # else another node has them in hand, or its statement is stuck


def _few(messages: Sequence[Waiting]) -> Sequence[Waiting]:
    """As many from the beginning as have no more participants together than are looked at in one go."""
    people = 0
    for place, message in enumerate(messages):
        people += message.participant_count
        if place and people > MOST_PEOPLE:
            return messages[:place]
    return messages
