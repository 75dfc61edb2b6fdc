"""Who is asking: tokens, and where they stand. A token's text never leaves this module.

One algorithm family, given by the key that is configured; `exp` is required; nothing of a token's header is trusted
but its `alg`, and that only from the list.
"""

import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web

from messenger.config import Config
from messenger.domain.ids import MAX_USER_ID, UserId, parse_user_id
from messenger.domain.user import Profile
from messenger.errors import SetupError, Unauthorized
from messenger.protocol.frames import PROTOCOL
from messenger.service.users import Users

BEARER_PROTOCOL = "bearer."
MAX_NAME_CHARS = 200
MAX_URL_CHARS = 2048
# The end of year 9999: what ends later (a host that counts milliseconds) ends then.
LATEST_EXPIRY = 253_402_300_799
# One character at least is no digit, so that it is never taken for an integer id.
_EXTERNAL_ID = re.compile("(?=.*[^0-9])[^\x00\ud800-\udfff]{1,128}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose token it is, and until when it holds: seconds since 1970, None without authentication."""

    user_id: UserId
    expires_at: float | None


class Authenticator:
    """Checks tokens, and makes their users known."""

    def __init__(self, config: Config, users: Users) -> None:
        self._users = users
        self._is_off = config.auth == "off"
        self._claim = config.jwt_user_claim
        self._leeway_s = config.jwt_leeway_s
        self._audience = config.jwt_audience or None
        self._issuer = config.jwt_issuer or None
        self._algorithms = list(config.algorithms)
        self._key: str | bytes = config.jwt_secret
        if config.jwt_public_key_file:
            try:
                self._key = Path(config.jwt_public_key_file).read_bytes()
            except OSError as error:
                raise SetupError(f"MESSENGER_JWT_PUBLIC_KEY_FILE cannot be read: {error.strerror}") from None
        # A key that is too short must not pass with a warning (PyJWT's default).
        self._jwt = jwt.PyJWT(options={"enforce_minimum_key_length": True})

    @property
    def is_off(self) -> bool:
        return self._is_off

    @property
    def leeway_s(self) -> float:
        return self._leeway_s

    async def of_path(self, request: web.Request, named: str) -> Identity:
        """Who opens a socket at `/ws/{named}`: the token's user, who must be the one that is named. Raises Unauthorized."""
        if self._is_off:
            user_id = parse_user_id(named)
            if user_id is None:
                raise Unauthorized("user_mismatch")
            return await self._arrived(user_id, Profile(), None)
        identity = await self._identify(self._claims(_token_of(request)))
        if named != "me" and await self._user_named(named) != identity.user_id:
            raise Unauthorized("user_mismatch")
        return identity

    async def of_request(self, request: web.Request) -> Identity:
        """Who asks over REST. Raises Unauthorized."""
        if self._is_off:
            # Without authentication somebody still has to say who he is.
            user_id = parse_user_id(request.headers.get("X-User-Id", ""))
            if user_id is None:
                raise Unauthorized("token_missing")
            return await self._arrived(user_id, Profile(), None)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("token_missing")
        return await self._identify(self._claims(token.strip()))

    async def of_token(self, token: str) -> Identity:
        """Whose token a live socket brings to go on. Raises Unauthorized."""
        return await self._identify(self._claims(token))

    def _claims(self, token: str) -> dict[str, Any]:
        if not token:
            raise Unauthorized("token_missing")
        try:
            claims: dict[str, Any] = self._jwt.decode(
                token,
                self._key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                # A numeric subject is ours to check: PyJWT takes only text (its issue 1017). So is the end: it takes text too.
                options={
                    "require": ["exp", self._claim],
                    "verify_sub": False,
                    "verify_exp": False,
                    "verify_aud": self._audience is not None,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthorized("token_invalid") from None
        if claims.get("scope") == "service":
            raise Unauthorized("token_invalid")
        if _expiry(claims) <= time.time() - self._leeway_s:
            raise Unauthorized("token_expired")
        return claims

    async def _user_named(self, text: str) -> UserId | None:
        """Whom an integer in canonical form or an external id names; None for nobody."""
        user_id = parse_user_id(text)
        if user_id is None and _EXTERNAL_ID.fullmatch(text):
            user_id = await self._users.by_external_id(text)
        return user_id

    async def _identify(self, claims: dict[str, Any]) -> Identity:
        subject = claims[self._claim]
        user_id: UserId | None = None
        if isinstance(subject, str):
            user_id = await self._user_named(subject)
        elif isinstance(subject, int) and not isinstance(subject, bool) and 1 <= subject <= MAX_USER_ID:
            user_id = UserId(subject)
        if user_id is None:
            raise Unauthorized("token_invalid")
        issued_at = claims.get("iat")
        profile = Profile(
            name=_profile_text(claims.get("name"), MAX_NAME_CHARS),
            avatar_url=_profile_text(claims.get("picture"), MAX_URL_CHARS),
            issued_at=int(issued_at) if isinstance(issued_at, int | float) and 0 <= issued_at < 2**53 else 0,
        )
        return await self._arrived(user_id, profile, _expiry(claims))

    async def _arrived(self, user_id: UserId, profile: Profile, expires_at: float | None) -> Identity:
        await self._users.arrive(user_id, profile)
        return Identity(user_id, expires_at)


def _token_of(request: web.Request) -> str:
    """The first token found: header, subprotocol, query. Raises Unauthorized."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    offered = [item.strip() for item in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if PROTOCOL in offered:
        for item in offered:
            if item.startswith(BEARER_PROTOCOL):
                return item.removeprefix(BEARER_PROTOCOL)
    token = request.query.get("token", "")
    if not token:
        raise Unauthorized("token_missing")
    return token


def _expiry(claims: dict[str, Any]) -> float:
    """When a token ends, in seconds since 1970. Raises Unauthorized where that is no number."""
    exp = claims["exp"]
    if isinstance(exp, bool) or not isinstance(exp, int | float) or not abs(exp) < math.inf:
        raise Unauthorized("token_invalid")
    return float(max(0, min(exp, LATEST_EXPIRY)))


def _profile_text(value: Any, longest: int) -> str | None:
    """A name or address as the profile keeps it; what is none is left out, never a reason to refuse somebody."""
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        return None
    if any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in value):
        return None
    return value.strip()
