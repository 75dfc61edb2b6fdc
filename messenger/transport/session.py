"""The incoming side of one device: a frame becomes a command, a command an answer, a failure an error frame.

What a device says keeps its order: a frame waits for the one before it. Messages in a row need not, because lanes keep their
order; so they are sent without waiting, and without a task, which is the one fast path here.
"""

import asyncio
import secrets
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from aiohttp import WSMessage, WSMsgType

from messenger.domain.message import Sent
from messenger.errors import (
    InvalidConversationId,
    InvalidFrame,
    InvalidJson,
    InvalidMessageId,
    MessengerError,
    UnknownType,
)
from messenger.protocol import frames, schemas
from messenger.transport import close
from messenger.transport.commands import COMMANDS, Entry
from messenger.transport.context import Context
from messenger.transport.device import Device
from messenger.transport.limits import Bucket
from messenger.transport.wire import Wire

log = structlog.get_logger(__name__)

# This many bad frames within this time, and the device is closed (protocol.md §4).
BAD_FRAMES = 20
BAD_FRAMES_S = 10.0
BAD = (InvalidJson, InvalidFrame, InvalidConversationId, InvalidMessageId)
# So many frames may wait for their turn before nothing more is read, and so many messages be on their way to the database.
MOST_WAITING = 32
MOST_SENDING = 32
# Of those that waited, so many are answered before others have their turn.
MOST_AT_ONCE = 64
# Mostly nobody waits, and no queue is made for that.
_NOBODY: deque[str | None] = deque(maxlen=0)


@dataclass(slots=True)
class _Asked:
    """A frame that was understood."""

    kind: str
    ref: str | None
    entry: Entry
    command: Any


class Session:
    """Hears its wire from the handshake on, and answers once a device has begun. Nothing here raises.

    It speaks messenger.v1; a dialect says otherwise by `entry_of` and `refusal`."""

    __slots__ = ("_bad", "_context", "_device", "_frames", "_is_busy", "_next", "_sending", "_waiting", "_wire")

    def __init__(self, context: Context, wire: Wire) -> None:
        self._context = context
        self._wire = wire
        self._device: Device | None = None
        self._frames = Bucket(context.config.rate_frames)
        self._bad: deque[float] | None = None
        # Frames whose turn has not come; None for a binary one.
        self._waiting: deque[str | None] = _NOBODY
        # The frame behind messages that are still being sent.
        self._next: _Asked | None = None
        self._sending = 0
        self._is_busy = True  # nobody has begun

    def begin(self, device: Device) -> None:
        """Answer a device that was let in."""
        self._device = device
        self._is_busy = False
        self._go_on()

    def hear(self, message: WSMessage) -> None:
        if message.type is WSMsgType.TEXT:
            self._wait(message.data)
        elif message.type is WSMsgType.BINARY:
            self._wait(None)
        elif message.type is WSMsgType.PING:
            self._wire.push(frames.pong_frame(message.data))

    def resumed(self) -> None:
        self._go_on()

    def ended(self) -> None:
        self._waiting = _NOBODY
        self._next = None
        # What is being done for it may still make it known somewhere: then it is forgotten behind that.
        if self._device is not None and not self._is_busy:
            leave(self._context, self._device)

    def gone(self) -> None:
        self._context.open_sockets -= 1
        self._context.closes[self._wire.ending] += 1

    def _wait(self, text: str | None) -> None:
        if self._waiting is _NOBODY:
            self._waiting = deque()
        self._waiting.append(text)
        if len(self._waiting) == MOST_WAITING:
            self._wire.hold_back()
        self._go_on()

    def _go_on(self) -> None:
        """Whatever need not wait. A device that does not read its answers waits too."""
        was_full = len(self._waiting) >= MOST_WAITING
        for _ in range(MOST_AT_ONCE):
            if self._is_busy or self._wire.is_choked:
                break
            asked, self._next = self._next, None
            if asked is None:
                if not self._waiting or self._sending == MOST_SENDING:
                    break
                asked = self._asked(self._waiting.popleft())
            if asked is None:
                continue
            if asked.entry.posts:
                self._send(asked)
            elif self._sending:
                self._next = asked
                break
            else:
                self._start(asked)
        else:
            asyncio.get_running_loop().call_soon(self._go_on)  # others have their turn
        if not self._waiting:
            self._waiting = _NOBODY
        if was_full and len(self._waiting) < MOST_WAITING:
            self._wire.read_on()

    def ref_of(self, frame: frames.Json) -> str | None:
        """The mark that the direct answer to a frame carries too. Raises InvalidFrame."""
        return schemas.ref_of(frame)

    def entry_of(self, frame: frames.Json) -> tuple[str, Entry | None]:
        """What a frame asks for, and its line of the router; None where there is none. Raises InvalidFrame."""
        named = schemas.type_of(frame)
        return named, COMMANDS.get(named)

    def refusal(self, error: MessengerError, ref: str | None) -> frames.Json | None:
        """How a failure is told; None where it is not."""
        return None if isinstance(error, UnknownType) and ref is None else frames.error(error)

    def _asked(self, text: str | None) -> _Asked | None:
        """What a frame asks for; where it is none, its sender is told."""
        kind, ref = "invalid", None
        try:
            if text is None:
                raise InvalidFrame("Frames must be text")
            frame = schemas.parse(text)
            ref = self.ref_of(frame)
            named, entry = self.entry_of(frame)
            kind = "unknown" if entry is None else named
            # Behind the ref, which a refusal carries too.
            self._frames.take()
            if entry is None:
                raise self._unknown(named)
            return _Asked(kind, ref, entry, entry.decode(frame))
        except Exception as error:
            self._refuse(kind, ref, error)
            return None

    def _send(self, asked: _Asked) -> None:
        assert self._device is not None
        try:
            asked.entry.use_case(self._context, self._device, asked.command, partial(self._sent, asked))
            self._sending += 1
        except Exception as error:
            self._refuse(asked.kind, asked.ref, error)

    def _sent(self, asked: _Asked, outcome: Sent | MessengerError) -> None:
        self._sending -= 1
        if isinstance(outcome, Sent):
            self._answer(asked.kind, asked.ref, asked.entry.sent(outcome))
        else:
            self._refuse(asked.kind, asked.ref, outcome)
        self._go_on()

    def _start(self, asked: _Asked) -> None:
        self._is_busy = True
        task = asyncio.create_task(self._run(asked), name="frame")
        self._context.answering.add(task)
        task.add_done_callback(self._context.answering.discard)

    async def _run(self, asked: _Asked) -> None:
        assert self._device is not None
        try:
            doing = asked.entry.use_case(self._context, self._device, asked.command)
            self._answer(asked.kind, asked.ref, None if doing is None else await doing)
        except Exception as error:
            self._refuse(asked.kind, asked.ref, error)
        finally:
            self._is_busy = False
            if not self._wire.is_open:
                leave(self._context, self._device)
        self._go_on()

    def _refuse(self, kind: str, ref: str | None, error: Exception) -> None:
        if not isinstance(error, MessengerError):
            # What nobody foresaw: its text stays here, under an id that the client can name.
            reference = secrets.token_hex(6)
            log.error("frame failed", id=reference, user_id=self._device and self._device.user_id, exc_info=error)
            error = MessengerError(f"Internal error ({reference})")
        if isinstance(error, BAD):
            self._count_bad()
        self._answer(kind, ref, self.refusal(error, ref), error.code)

    def _answer(self, kind: str, ref: str | None, told: frames.Json | None, result: str = "ok") -> None:
        self._context.frames[kind, result] += 1
        if told is not None:
            if ref is not None:
                told["ref"] = ref
            self._wire.answer(frames.text_frame(frames.encode(told)))

    def _unknown(self, named: str) -> UnknownType:
        self._context.unknown_types += 1
        # Not which: what stands there may be a password, or what somebody wrote, and looks like a type all the same.
        log.info("unknown type", user_id=self._device and self._device.user_id)
        return UnknownType(f"Unknown type: {named[:64]}")

    def _count_bad(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._bad is None:
            self._bad = deque(maxlen=BAD_FRAMES)
        self._bad.append(now)
        if len(self._bad) == BAD_FRAMES and now - self._bad[0] <= BAD_FRAMES_S:
            self._wire.close(close.PROTOCOL_ERROR)


def leave(context: Context, device: Device) -> None:
    """A device hears no more: forget it. More than once does no harm."""
    if device.wire.cause is close.SLOW_CONSUMER:
        log.info("slow consumer", user_id=device.user_id, connection_id=device.connection_id)
    context.devices.discard(device)
    device.gone()
    context.typing.dismiss(device)
    context.node.reception.dismiss(device)
    context.node.presence.leave(device.connection_id)
