"""What fan-out needs of a device; transport makes it."""

from typing import Protocol

from messenger.domain.ids import UserId


class Sink(Protocol):
    """One device of a user. Compared by identity."""

    @property
    def user_id(self) -> UserId: ...

    def push(self, frame: bytes) -> None:
        """Hand over one or more whole WebSocket frames. Never waits; a device that cannot keep up is closed by itself."""

    def revoke(self, before: int) -> None:
        """Close where its token was issued before a second (since 1970). Never waits."""
