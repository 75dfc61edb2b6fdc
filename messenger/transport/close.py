"""The close codes of protocol.md §2, with their reasons. Each tells the client what to do next."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Close:
    """A close code (RFC 6455 §7.4) and its reason."""

    code: int
    reason: str


PROTOCOL_ERROR = Close(1008, "protocol_error")  # stop
REVOKED = Close(1008, "revoked")  # stop
TOKEN_EXPIRED = Close(1008, "token_expired")  # get a new token
FRAME_TOO_LARGE = Close(1009, "frame_too_large")  # fix yourself
DRAINING = Close(1012, "draining")  # reconnect after a random 0 to 5 s, then sync
TOO_MANY_CONNECTIONS = Close(1013, "too_many_connections")  # back off, reconnect, then sync
SLOW_CONSUMER = Close(1013, "slow_consumer")
OVERLOADED = Close(1013, "overloaded")


def unauthorized(reason: str) -> Close:
    """One of `token_missing`, `token_invalid`, `token_expired`, `user_mismatch`, `revoked`."""
    return Close(1008, reason)
