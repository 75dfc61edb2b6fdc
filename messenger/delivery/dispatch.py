"""Telling people who are away, put together. Nothing runs, and nothing is asked, where neither way is configured."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from messenger.background import end
from messenger.bus.presence import Presence
from messenger.delivery.courier import Courier
from messenger.delivery.guard import Guard
from messenger.delivery.outbox import Outbox
from messenger.delivery.vapid import Vapid
from messenger.delivery.way import Way
from messenger.delivery.web_push import WebPush
from messenger.delivery.webhook import Webhook
from messenger.store.outbox import OutboxStore
from messenger.store.push_devices import PushDeviceStore

# What each tries at once. The host application is one; of push services more than one user's devices together can hold up.
WEBHOOK_HANDS = 8
WEB_PUSH_HANDS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchSettings:
    """An empty URL is no webhook. `counts`: this process tells how much waits, on behalf of all."""

    webhook_url: str
    webhook_secret: str
    vapid: Vapid | None
    attempts: int
    counts: bool


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What runs; nothing where nothing is configured."""

    couriers: Sequence[Courier] = ()
    outbox: Outbox | None = None

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        settings: DispatchSettings,
        webhook_guard: Guard,
        push_guard: Guard,
        store: OutboxStore,
        devices: PushDeviceStore,
        presence: Presence,
        filled: asyncio.Event,
    ) -> AsyncIterator["Dispatch"]:
        """As long as the context is open. `filled` is set by whoever puts something into the outbox."""
        if not settings.webhook_url and settings.vapid is None:
            yield cls()
            return
        async with AsyncExitStack() as stack:
            ways: list[tuple[Way, int]] = []
            if settings.webhook_url:
                outward = await stack.enter_async_context(webhook_guard.outward())
                webhook = Webhook(store, outward, settings.webhook_url, settings.webhook_secret)
                ways.append((webhook, WEBHOOK_HANDS))
            if settings.vapid is not None:
                outward = await stack.enter_async_context(push_guard.outward())
                ways.append((WebPush(store, devices, outward, settings.vapid), WEB_PUSH_HANDS))
            couriers = [Courier(store, presence, way, attempts=settings.attempts, hands=hands) for way, hands in ways]
            for courier in couriers:
                await stack.enter_async_context(courier.working())
            outbox = Outbox(store, presence, filled, couriers, counts=settings.counts)
            task = asyncio.create_task(outbox.run_forever(), name="outbox")
            try:
                yield cls(couriers, outbox)
            finally:
                await end([task])

    @property
    def notifications(self) -> Mapping[tuple[str, ...], int]:
        """Attempts by channel and result, since this process began."""
        return {
            (courier.channel, result): count for courier in self.couriers for result, count in courier.tally.items()
        }

    @property
    def waiting(self) -> int:
        """Messages and deliveries that wait on all nodes, where this process counts them."""
        return 0 if self.outbox is None else self.outbox.waiting
