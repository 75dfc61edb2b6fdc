"""The incoming side of one device: a frame becomes a command, a command an answer, a failure an error frame."""

import asyncio
import secrets
from collections import deque

import structlog

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
from messenger.transport.commands import COMMANDS
from messenger.transport.context import Context
from messenger.transport.device import Device
from messenger.transport.limits import Bucket

log = structlog.get_logger(__name__)

# This many bad frames within this time, and the device is closed (protocol.md §4).
BAD_FRAMES = 20
BAD_FRAMES_S = 10.0
BAD = (InvalidJson, InvalidFrame, InvalidConversationId, InvalidMessageId)


class Session:
    """Frames are handled one after another: what a device says keeps its order."""

    def __init__(self, context: Context, device: Device) -> None:
        self._context = context
        self._device = device
        self._frames = Bucket(context.config.rate_frames)
        self._bad: deque[float] = deque(maxlen=BAD_FRAMES)

    async def hear(self, text: str | None) -> None:
        """One frame; None for a binary one."""
        ref: str | None = None
        kind, result = "invalid", "ok"
        try:
            if text is None:
                raise InvalidFrame("Frames must be text")
            frame = schemas.parse(text)
            ref = schemas.ref_of(frame)
            named = schemas.type_of(frame)
            entry = COMMANDS.get(named)
            kind = "unknown" if entry is None else named
            # Behind the ref, which a refusal carries too.
            self._frames.take()
            if entry is None:
                raise self._unknown(named)
            command = schemas.load(entry.schema, frame)
            answer = await entry.use_case(self._context, self._device, command)
        except MessengerError as error:
            result = error.code
            if isinstance(error, BAD):
                self._count_bad()
            answer = None if isinstance(error, UnknownType) and ref is None else frames.error(error)
        except Exception:
            # What nobody foresaw: its text stays here, under an id that the client can name.
            result = MessengerError.code
            reference = secrets.token_hex(6)
            log.exception("frame failed", id=reference, user_id=self._device.user_id)
            answer = frames.error(MessengerError(f"Internal error ({reference})"))
        self._context.frames[kind, result] += 1
        if answer is not None:
            await self._device.answer(answer if ref is None else answer | {"ref": ref})

    def _unknown(self, named: str) -> UnknownType:
        self._context.unknown_types += 1
        # Not which: what stands there may be a password, or what somebody wrote, and looks like a type all the same.
        log.info("unknown type", user_id=self._device.user_id)
        return UnknownType(f"Unknown type: {named[:64]}")

    def _count_bad(self) -> None:
        now = asyncio.get_running_loop().time()
        self._bad.append(now)
        if len(self._bad) == BAD_FRAMES and now - self._bad[0] <= BAD_FRAMES_S:
            self._device.close(close.PROTOCOL_ERROR)
