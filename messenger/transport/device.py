"""One socket of one user: who it is, and what it is told. `push` never waits; who does not read is closed as slow."""

from collections.abc import Callable
from typing import Any, Protocol

from messenger.domain.ids import UserId
from messenger.protocol import frames
from messenger.transport.close import REVOKED, Close


class Line(Protocol):
    """What a device needs of its connection: a wire, or what a library holds."""

    is_open: bool
    cause: Close | None

    @property
    def heard_at(self) -> float:
        """When it last said anything, on the event loop's clock."""

    def push(self, frame: bytes) -> None: ...

    def close(self, why: Close) -> None: ...

    def abandon(self) -> None: ...

    async def closed(self) -> None: ...


class Device:
    """Compared by identity."""

    __slots__ = ("connection_id", "device_id", "expires_at", "issued_at", "push", "user_id", "warned", "wire")

    def __init__(self, user_id: UserId, device_id: str, connection_id: str, wire: Line) -> None:
        self.user_id = user_id
        self.device_id = device_id
        self.connection_id = connection_id
        self.wire = wire
        # The wire's own: it is called once a delivery.
        self.push: Callable[[bytes], None] = wire.push
        self.expires_at: float | None = None
        self.issued_at: int | None = None
        self.warned = False

    def tell(self, event: dict[str, Any]) -> None:
        """Push one event of this device's own."""
        self.push(frames.text_frame(frames.encode(event)))

    def close(self, why: Close) -> None:
        """Say goodbye and go. Never waits."""
        self.wire.close(why)

    def gone(self) -> None:
        """It hears no more; told once or more."""

    def revoke(self, before: int) -> None:
        """Close where the token was issued before a second (since 1970); without authentication there is none."""
        if self.issued_at is not None and self.issued_at < before:
            self.close(REVOKED)
