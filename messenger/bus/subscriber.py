"""One subscriber connection a node, on which channels are counted: kept, watched, rebuilt.

redis-py's own PubSub is not used: on a silently dead path it spins or sleeps for minutes without an error. Here every
failure ends the connection, silence ends it too, and every new connection is told, because something may have been lost.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Any, Self

import structlog
from redis import asyncio as aioredis

from messenger.background import end
from messenger.bus.away import AWAY
from messenger.bus.link import Link, packed
from messenger.metrics import Histogram

log = structlog.get_logger(__name__)

# How long a caller waits for a subscription to stand; without it the database's poll repairs what is missed.
CONFIRM_S = 1.0
# The watchdog speaks to itself this often, and gives the connection up after this silence.
WATCHDOG_S = 5.0
SILENCE_S = 15.0
RETRY_S = (0.1, 2.0)
# Channels in one SUBSCRIBE.
CHUNK = 1000


class Subscriber:
    """`on_message(channel, data)` and `on_renewed()` are called on the event loop and must not wait."""

    def __init__(
        self,
        pool: aioredis.ConnectionPool,
        own_channel: str,
        on_message: Callable[[str, bytes], None],
        on_renewed: Callable[[], None],
        speak: Callable[[str, bytes], None],
    ) -> None:
        self._pool = pool
        self._own_channel = own_channel
        self._on_message = on_message
        self._on_renewed = on_renewed
        self._speak = speak
        self._wanted: Counter[str] = Counter()
        self._confirmed: set[str] = set()
        self._waiting: dict[str, asyncio.Event] = {}
        self._connection: Link | None = None
        # Commands of this tick.
        self._unsaid: list[tuple[str, list[str]]] = []
        self._heard_at = 0.0
        # The watchdog's last words until they are heard, and when it said them.
        self._nonce: bytes | None = None
        self._spoke_at = 0.0
        self.lag = Histogram()
        self.failed = 0
        # Redis let somebody wait in vain and said nothing: nobody waits again before it does.
        self._is_mute = False
        self._delay_s = RETRY_S[0]
        # The first attempt to connect has come to its end, good or bad.
        self._has_tried = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_connected(self) -> bool:
        return self._own_channel in self._confirmed

    @property
    def channels(self) -> set[str]:
        """What is subscribed to right now, the node's own channel aside."""
        return set(self._wanted)

    async def __aenter__(self) -> Self:
        self._tasks = {
            asyncio.create_task(self._run(), name="bus-subscriber"),
            asyncio.create_task(self._watch(), name="bus-watchdog"),
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self._tasks)
        self._disconnect()

    async def tried(self) -> None:
        """Wait until the first connection stands or has failed, a moment at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CONFIRM_S):
                await self._has_tried.wait()

    async def subscribe(self, channels: Iterable[str]) -> bool:
        """Count each channel once more. True once Redis has confirmed them all; False where it did not in time."""
        channels = list(channels)
        self._tell("SUBSCRIBE", [channel for channel in channels if not self._wanted[channel]])
        self._wanted.update(channels)
        return await self.confirm(channels)

    async def confirm(self, channels: Iterable[str]) -> bool:
        """Wait for channels that are wanted already. True once they stand; False where they do not in time."""
        missing = [channel for channel in channels if channel not in self._confirmed]
        if not missing or not self.is_connected or self._is_mute:
            return not missing
        waiting = [self._waiting.setdefault(channel, asyncio.Event()) for channel in missing]
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(CONFIRM_S):
                for event in waiting:
                    await event.wait()
        except TimeoutError:
            self._is_mute = self._heard_at < began
            return False
        return True

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Count each channel once less; Redis hears of those that nobody wants any more."""
        gone = []
        for channel in channels:
            self._wanted[channel] -= 1
            if self._wanted[channel] <= 0:
                del self._wanted[channel]
                self._confirmed.discard(channel)
                self._waiting.pop(channel, None)
                gone.append(channel)
        self._tell("UNSUBSCRIBE", gone)

    def _tell(self, command: str, channels: list[str]) -> None:
        """At the end of this tick, with what a crowd wants in the same one."""
        if channels and self._connection is not None:  # the next connection asks for everything that is wanted
            if not self._unsaid:
                asyncio.get_running_loop().call_soon(self._say)
            if self._unsaid and self._unsaid[-1][0] == command:
                self._unsaid[-1][1].extend(channels)
            else:
                self._unsaid.append((command, channels))

    def _say(self) -> None:
        unsaid, self._unsaid = self._unsaid, []
        if self._connection is not None:
            for command, channels in unsaid:
                for start in range(0, len(channels), CHUNK):
                    self._connection.say(packed(command, *channels[start : start + CHUNK]))

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (*AWAY, EOFError) as error:
                log.warning("bus away", error=type(error).__name__)
            except Exception:  # whatever else the library raises: a node never does without the bus for ever
                log.exception("bus failed")
            self._has_tried.set()
            self._disconnect()
            await asyncio.sleep(self._delay_s)
            self._delay_s = min(self._delay_s * 2, RETRY_S[1])

    async def _listen(self) -> None:
        self._connection = await Link.made(self._pool, self._receive)
        self._heard_at = asyncio.get_running_loop().time()
        # Its own channel last: once that is confirmed, everything stands.
        self._tell("SUBSCRIBE", [*self._wanted, self._own_channel])
        await self._connection.over

    def _receive(self, reply: Any) -> None:
        if isinstance(reply, Exception):  # to a word that is not allowed here: nothing would ever be heard
            raise reply
        self._heard_at = asyncio.get_running_loop().time()
        self._is_mute = False
        kind, channel, payload = reply[0], reply[1].decode("utf-8", "replace"), reply[2]
        if kind == b"message":
            if channel != self._own_channel:
                self._deliver(channel, payload)
            elif payload == self._nonce:  # an older one tells of an outage, not of the lag
                self._nonce = None
                self.lag.observe(monotonic() - self._spoke_at)
        elif kind == b"subscribe":
            if channel == self._own_channel:
                # A new connection: whatever was published before it is lost.
                self._confirmed.add(channel)
                self._delay_s = RETRY_S[0]
                self._has_tried.set()
                self._on_renewed()
            elif channel in self._wanted:
                self._confirmed.add(channel)
                if (waiting := self._waiting.pop(channel, None)) is not None:
                    waiting.set()
        elif kind == b"unsubscribe" and channel in self._wanted:
            # Wanted again in the meantime: its SUBSCRIBE stands behind this confirmation.
            self._confirmed.discard(channel)

    def _deliver(self, channel: str, payload: bytes) -> None:
        try:
            self._on_message(channel, payload)
        except Exception:  # a poisoned message must not end the subscription
            self.failed += 1
            log.exception("bus message failed", channel=channel)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCHDOG_S)
            if self._connection is None:
                continue
            self._spoke_at = monotonic()
            self._nonce = repr(self._spoke_at).encode()
            self._speak(self._own_channel, self._nonce)
            if asyncio.get_running_loop().time() - self._heard_at > SILENCE_S:
                log.warning("bus silent, reconnecting")
                self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._unsaid.clear()
        self._confirmed.clear()
        self._is_mute = False
        if connection is not None:
            connection.abort()
