"""People."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from messenger.domain.conversation import NotificationSettings
from messenger.domain.ids import ConversationId, UserId


@dataclass(frozen=True, slots=True)
class User:
    """A person as those see him who share a conversation. `external_id` is only for himself and the host. `is_apart`: a block
    stands between him and who asks, who does not see him come and go."""

    id: UserId
    external_id: str | None
    name: str
    avatar_url: str | None
    last_seen_at: datetime | None
    is_apart: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """What a token says of its user. `issued_at` in seconds since 1970; the newest one wins."""

    name: str | None = None
    avatar_url: str | None = None
    issued_at: int = 0


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a user who comes with a token: since when his tokens count, and the version of his profile where this
    token made another one of it."""

    tokens_not_before: datetime | None
    profile_version: int | None


@dataclass(frozen=True, slots=True)
class Preferences:
    """What fan-out keeps of a user with a device. `apart`: between whom and him a block stands. `notifications`: what he wants
    to be told of, by conversation; one that is missing has the defaults."""

    apart: frozenset[UserId] = frozenset()
    notifications: Mapping[ConversationId, NotificationSettings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stirred:
    """Somebody of whom nodes have to hear. `tokens_not_before`: his tokens were revoked. `profile_version`: his profile has
    changed to this one. His preferences may be others in any case."""

    user_id: UserId
    tokens_not_before: datetime | None
    profile_version: int | None
