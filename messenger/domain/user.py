"""People."""

from dataclasses import dataclass
from datetime import datetime

from messenger.domain.ids import UserId


@dataclass(frozen=True, slots=True)
class User:
    """A person as those see him who share a conversation. `external_id` is only for himself and the host."""

    id: UserId
    external_id: str | None
    name: str
    avatar_url: str | None
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Profile:
    """What a token says of its user. `issued_at` in seconds since 1970; the newest one wins."""

    name: str | None = None
    avatar_url: str | None = None
    issued_at: int = 0
