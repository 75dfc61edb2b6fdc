"""A device that stays: it comes back as the shipped client does, catches up from its cursors, says again what was not
acknowledged, and keeps what it was told, to be compared with what is stored. It looks at every frame, and so costs much more than
`wire.Client`."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

import aiohttp
import orjson

from messenger.domain.ids import UserId
from messenger.protocol.frames import Json

# protocol.md §2 and demo/client/backoff.js, in seconds.
DRAINING_S = 5.0
FIRST_S, MOST_S = 0.5, 30.0
STABLE_S = 5.0
SORE_FROM = 3
FAR_BEHIND = 1000
HELLO_S = 10.0
# What may be said again as it is.
PASSING = frozenset({"unavailable", "rate_limited"})
DRAINING, FOR_GOOD, FULL, LOST = 1012, 1008, 1013, 1006
# What is durable, where it carries a change.
DURABLE = ("message.", "reaction.", "participant.", "conversation.")


class Device:
    """One person's only device. `held`: the message that each change brought, in each of his conversations, and `begins`: behind
    which change that begins, where he was so far behind that he began anew with the newest page; `away`: how long he was each time,
    from his socket's end until he had caught up, in seconds.

    `repeated`: changes that one connection was handed twice; `missed`: those that it was not handed at their turn, and had to ask
    for; `needless`: times that it had to begin anew although it was not far behind; `resent`: messages that were stored when they
    were said again; `refused`: handshakes that were not answered with one.
    """

    def __init__(
        self,
        user_id: UserId,
        conversation_ids: Sequence[str],
        session: aiohttp.ClientSession,
        url: str,
        sign: Callable[[UserId], str],
    ) -> None:
        self.user_id = user_id
        self.conversation_ids = conversation_ids
        self._session = session
        self._url = url
        self._sign = sign
        self._epoch: str | None = None
        self._cursors = dict.fromkeys(conversation_ids, 0)
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        # By `client_id`, in the order in which they were said; and which of them were refused for now.
        self._unacknowledged: dict[str, Json] = {}
        self._deferred: deque[str] = deque()
        # Of this connection: the last change that was pushed, and what was while it catches up.
        self._pushed: dict[str, int] = {}
        self._waiting: list[Json] = []
        self._opened_at = 0.0
        self._left_at: float | None = None
        self.is_in = False
        self.held: dict[str, dict[int, str]] = {it: {} for it in conversation_ids}
        self.begins = dict.fromkeys(conversation_ids, 0)
        self.acknowledged: dict[str, int] = {}
        self.away: list[float] = []
        self.repeated = self.missed = self.needless = self.resent = self.refused = 0
        self.closes: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()

    @property
    def unacknowledged(self) -> int:
        return len(self._unacknowledged)

    def away_since(self) -> float:
        """For how long it has been away, where it is; 0 else."""
        return 0.0 if self.is_in or self._left_at is None else monotonic() - self._left_at

    def is_at(self, last: Mapping[str, int]) -> bool:
        """Whether it has applied all up to these changes."""
        return self.is_in and all(self._cursors[it] >= last.get(it, 0) for it in self.conversation_ids)

    async def stay(self) -> None:
        """Connect, and again whenever that ends; for ever, or until the daemon will not have it any more."""
        failures = 0
        while True:
            code = await self._connected()
            self.closes[code] += 1
            if code == FOR_GOOD:
                return
            if self._opened_at and monotonic() - self._opened_at >= STABLE_S:
                failures = 0
            self._opened_at = 0.0
            if code == DRAINING:
                delay = random.uniform(0, DRAINING_S)  # noqa: S311 - it spreads a crowd, and is no secret
            else:
                failures = max(failures, SORE_FROM) if code == FULL else failures
                delay = random.uniform(0, min(MOST_S, FIRST_S * 2 ** min(failures, 16)))  # noqa: S311
                failures += 1
            await asyncio.sleep(delay)

    async def say(self, conversation_id: str, client_id: str, content: str) -> None:
        """Send a message; at once, or when it is back. What was refused for now is said again first."""
        self._unacknowledged[client_id] = {
            "type": "message.send",
            "conversation_id": conversation_id,
            "content": content,
            "client_id": client_id,
            "ref": client_id,
        }
        await self.insist()
        if self.is_in:
            await self._send(self._unacknowledged[client_id])

    async def insist(self) -> None:
        """Say again what was refused for now."""
        while self.is_in and self._deferred:
            frame = self._unacknowledged.get(self._deferred.popleft())
            if frame is not None:
                await self._send(frame)

    async def _connected(self) -> int:
        """One connection, until it ends; its close code."""
        headers = {"Authorization": f"Bearer {self._sign(self.user_id)}"}
        code: int | None = None
        try:
            async with self._session.ws_connect(self._url, headers=headers, max_msg_size=0) as socket:
                self._socket = socket
                message = await socket.receive(timeout=HELLO_S)
                while message.type is aiohttp.WSMsgType.TEXT:
                    await self._hear(orjson.loads(message.data))
                    message = await socket.receive()
                self._leaves()
                code = socket.close_code
        except aiohttp.WSServerHandshakeError:
            self.refused += 1
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass
        finally:
            self._leaves()
            self._socket = None
        return code or LOST

    def _leaves(self) -> None:
        if self._opened_at and self._left_at is None:
            self._left_at = monotonic()
        self.is_in = False

    async def _send(self, frame: Json) -> None:
        if self._socket is not None and not self._socket.closed:
            # A socket that has just ended: it is said again on the next one.
            try:
                await self._socket.send_str(orjson.dumps(frame).decode())
            except (aiohttp.ClientError, OSError):
                self.is_in = False

    async def _hear(self, frame: Json) -> None:
        match frame["type"]:
            case "system" if frame["event"] == "connected":
                await self._greeted(frame["epoch"])
            case "sync":
                await self._caught_up(frame)
            case "message.sent":
                self._acknowledge(frame)
            case "error":
                self._refuse(frame)
            case str(kind) if "change" in frame and kind.startswith(DURABLE):
                await self._told(frame)

    async def _greeted(self, epoch: str) -> None:
        self._opened_at = monotonic()
        if self._epoch not in (None, epoch):
            # Another history: what is held is of none.
            for conversation_id in self.conversation_ids:
                self._start_over(conversation_id)
        self._epoch = epoch
        self._pushed.clear()
        self._waiting.clear()
        await self._catch_up()

    async def _catch_up(self) -> None:
        self.is_in = False
        await self._send({"type": "sync", "cursors": self._cursors})

    async def _caught_up(self, frame: Json) -> None:
        for told in frame["conversations"]:
            conversation_id = told["conversation_id"]
            if conversation_id not in self._cursors:
                continue
            if told.get("reset"):
                self.needless += told["last_change"] - self._cursors[conversation_id] <= FAR_BEHIND
                self._start_over(conversation_id)
                self.begins[conversation_id] = min(
                    (it["change"] - 1 for it in told["changes"]), default=told["last_change"]
                )
            for message in told["changes"]:
                self._apply(conversation_id, message["change"], message["id"])
            if not told["more"]:
                self._cursors[conversation_id] = max(self._cursors[conversation_id], told["last_change"])
        if frame["more"]:
            return await self._catch_up()
        self.is_in = True
        if self._left_at is not None:
            self.away.append(monotonic() - self._left_at)
            self._left_at = None
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            await self._follow(event)
        for unacknowledged in list(self._unacknowledged.values()):
            await self._send(unacknowledged)
        return None

    async def _told(self, event: Json) -> None:
        conversation_id, change = event["conversation_id"], event["change"]
        if conversation_id not in self._cursors:
            return
        before = self._pushed.get(conversation_id)
        if before is not None and change <= before:
            self.repeated += 1
        elif before is not None and event.get("after", change - 1) > before:
            self.missed += 1
        self._pushed[conversation_id] = max(change, before or 0)
        await self._follow(event)

    async def _follow(self, event: Json) -> None:
        """Apply what follows on what is held; what is ahead of it waits for what is between."""
        conversation_id, change = event["conversation_id"], event["change"]
        if not self.is_in:
            self._waiting.append(event)
        elif change <= self._cursors[conversation_id]:
            pass
        elif event.get("after", change - 1) > self._cursors[conversation_id]:
            self._waiting.append(event)
            await self._catch_up()
        else:
            self._apply(conversation_id, change, event["data"]["id"])

    def _apply(self, conversation_id: str, change: int, message_id: str) -> None:
        self.held[conversation_id][change] = message_id
        self._cursors[conversation_id] = max(self._cursors[conversation_id], change)

    def _start_over(self, conversation_id: str) -> None:
        self.held[conversation_id] = {}
        self.begins[conversation_id] = 0
        self._cursors[conversation_id] = 0

    def _acknowledge(self, frame: Json) -> None:
        client_id: Any = frame.get("client_id")
        if self._unacknowledged.pop(client_id, None) is not None:
            self.acknowledged[client_id] = frame["change"]
            self.resent += bool(frame.get("duplicate"))

    def _refuse(self, frame: Json) -> None:
        ref: Any = frame.get("ref")
        self.errors[frame["code"]] += 1
        if frame["code"] in PASSING and ref in self._unacknowledged:
            self._deferred.append(ref)
