"""The doorstep: connections that are no device. Who dawdles there is cut, and where room is short, who has stood there longest
makes way for who comes. Devices are only counted here; the pulse looks after them.

No timer and no task a connection: one sweep looks at those whose time is up, who are always the first. And no limit by address:
behind a proxy it would be the proxy's, in an office everybody's, and an attacker has as many as he likes.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from itertools import takewhile
from typing import Any

import structlog
from aiohttp import hdrs, web

from messenger.transport import headers
from messenger.transport.problems import problem_of_status

log = structlog.get_logger(__name__)

# Whoever has not sent his first request's whole head so long after he began is cut. Who says nothing at all, as browsers and
# balancers do that come before they have a question, and what dribbles in later count as idle, which aiohttp ends by its
# keep-alive: it holds no more than who is silent between two requests.
HEAD_S = 10.0
# A body that is not there so long after its head is waited for no longer.
BODY_S = 30.0
# What is much longer, a file, has as long as it takes at this rate; the first BODY_S are free.
LEAST_BYTES_S = 8192
# Longer than any keep-alive: who is still here reads his answer drop by drop.
IDLE_S = 150.0
SWEEP_S = 1.0
# So many load the same file down at once from the same address. Only large ones take so long that this is told.
MOST_LOADING = 16
# So many descriptors above the last are lent to who comes while somebody makes way: his own is free a moment later.
LOAN = 16


class Late(TimeoutError):
    """A request's body did not arrive in time; raised where it is read."""


class Lengthy(TimeoutError):
    """A request's body is longer than what it is for; raised where it is read. Once that is answered aiohttp reads what is left
    of a body, and takes nothing but a TimeoutError for its end."""


class Doorstep:
    """Who stands here, each in one of five groups, and in each whoever came into it first is the first.

    `last`: the highest number that a connection's descriptor may have. They are numbered from the lowest that is free.
    """

    def __init__(self, last: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._last = last
        # For how many connections there is room, as far as is known: nobody counts descriptors before they are scarce.
        self._room = sys.maxsize
        # Everybody's time, which does not go on while we ourselves are too busy to hear anybody.
        self._now = 0.0
        self._swept_at = self._loop.time()
        # Since when.
        self._strangers: dict[Caller, float] = {}
        self._begun: dict[Caller, float] = {}  # of the strangers, who said anything
        self._asking: dict[Caller, tuple[float, web.BaseRequest]] = {}
        self._uploading: dict[Caller, tuple[float, web.BaseRequest, int]] = {}
        self._loading: dict[Caller, object] = {}  # what
        self._idle: dict[Caller, float] = {}
        self._devices: set[object] = set()

    def __len__(self) -> int:
        return len(self._strangers) + len(self._asking) + len(self._uploading) + len(self._loading) + len(self._idle)

    def admits(self, number: int) -> bool:
        """Whether a connection whose descriptor has this number may come; where room is short, once somebody made way."""
        count = len(self) + len(self._devices)
        if number > self._last:
            self._room = min(self._room, count)
        elif count <= self._room // 2:
            self._room = sys.maxsize
        return count < self._room or (number <= self._last + LOAN and self.make_way())

    def came(self, caller: "Caller") -> None:
        """A connection was made."""
        self._strangers[caller] = self._now

    def begins(self, caller: "Caller") -> None:
        """The first bytes of its first request are there."""
        if caller in self._strangers:
            self._begun[caller] = self._now

    def asks(self, caller: "Caller", request: web.BaseRequest) -> None:
        """A whole head is there; the body may still be on its way."""
        self._leave(caller)
        if caller.transport is not None:  # it may have hung up since
            self._asking[caller] = (self._now, request)

    def uploads(self, caller: "Caller", most_bytes: int) -> None:
        """The body of his request is a file, and may take longer than others, but must not be longer than this."""
        asking = self._asking.pop(caller, None)
        if asking is not None:
            self._uploading[caller] = (self._now, asking[1], most_bytes)

    def loads(self, caller: "Caller", what: object) -> bool:
        """The answer is a file, and takes as long as he reads. False where as many as may load the same down already do."""
        if sum(1 for other in self._loading.values() if other == what) >= MOST_LOADING:
            return False
        if self._asking.pop(caller, None):
            self._loading[caller] = what
        return True

    def answered(self, caller: "Caller") -> None:
        """The request is done with, but for what of the answer is still to be written."""
        for group in (self._asking, self._uploading, self._loading):
            if group.pop(caller, None) is not None:
                self._idle[caller] = self._now

    def became_device(self, caller: "Caller", device: object) -> None:
        """From here on the connection is the device's, and over when that has gone."""
        self._leave(caller)
        self._devices.add(device)

    def went(self, caller: "Caller") -> None:
        """The connection is over."""
        self._leave(caller)

    def device_went(self, device: object) -> None:
        self._devices.discard(device)

    def make_way(self) -> bool:
        """Cut whoever has stood here longest without a request; where nobody does, who has loaded a file down for longest, of
        which he can ask for the rest. False where there is none either."""
        longest = next(iter(self._strangers or self._idle or self._loading), None)
        if longest is not None:
            self._cut(longest)
        return longest is not None

    async def sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()

    def sweep(self) -> None:
        """Cut whose time is up, and let nobody wait for a body any longer whose time is up."""
        at = self._loop.time()
        self._now += min(at - self._swept_at, 2 * SWEEP_S)
        self._swept_at = at
        self._cut_since(self._begun, self._now - HEAD_S)
        self._cut_since(self._idle, self._now - IDLE_S)
        for since, request in self._asking.values():
            if self._now - since < BODY_S:
                break
            _end(request, Late())
        for since, request, most_bytes in self._uploading.values():
            if request.content.total_bytes > most_bytes:
                _end(request, Lengthy())
            elif request.content.total_bytes < (self._now - since - BODY_S) * LEAST_BYTES_S:
                _end(request, Late())

    def _cut_since(self, group: "dict[Caller, float]", before: float) -> None:
        for caller in [caller for caller, _ in takewhile(lambda item: item[1] <= before, group.items())]:
            self._cut(caller)

    def _leave(self, caller: "Caller") -> None:
        for group in (self._strangers, self._begun, self._asking, self._uploading, self._loading, self._idle):
            group.pop(caller, None)

    def _cut(self, caller: "Caller") -> None:
        self._leave(caller)
        if caller.transport is not None:
            caller.transport.abort()


def _end(request: web.BaseRequest, why: Exception) -> None:
    """Let nobody wait for more of a body."""
    if not request.content.is_eof() and request.content.exception() is None:
        request.content.set_exception(why)


class Caller(web.RequestHandler):
    """A connection as aiohttp serves it, on the doorstep until it is over or a device's."""

    __slots__ = ("_doorstep",)

    def __init__(self, server: web.Server, doorstep: Doorstep, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._doorstep = doorstep

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._doorstep.came(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._doorstep.went(self)
        super().connection_lost(exc)

    def begins(self) -> None:
        self._doorstep.begins(self)

    def asks(self, request: web.BaseRequest) -> None:
        self._doorstep.asks(self, request)

    def uploads(self, most_bytes: int) -> None:
        self._doorstep.uploads(self, most_bytes)

    def loads(self, what: object) -> bool:
        return self._doorstep.loads(self, what)

    def answered(self) -> None:
        self._doorstep.answered(self)

    def becomes(self, device: object) -> "Doorstep":
        """Hand the connection over to a device; who is to be told when that has gone."""
        self._doorstep.became_device(self, device)
        return self._doorstep

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        """Before any route is looked for: there aiohttp refuses an expectation itself, in words of the client's."""
        if request.headers.get(hdrs.EXPECT, "").lower() not in ("", "100-continue"):
            request_handler = self._refuse_expectation
        return await super()._handle_request(request, start_time, request_handler)

    async def _refuse_expectation(self, request: web.BaseRequest) -> web.StreamResponse:
        return self.handle_error(request, HTTPStatus.EXPECTATION_FAILED)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp could not read, or nobody handled. It would quote what came, in its answer and in the log: a token."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun")
        if status < 500:
            log.info("no request", status=status, peer=request.remote)
        else:
            log.error("request failed", status=status, exc_info=exc)
        response = problem_of_status(status)
        response.force_close()
        headers.guard(response)
        return response
