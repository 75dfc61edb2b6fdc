"""Who is asking: tokens, and where they stand. A token's text never leaves this module.

One algorithm family, given by the key that is configured; `exp` is required; nothing of a token's header is trusted
but its `alg`, and that only from the list.
"""

import hmac
import math
import re
import time
from dataclasses import dataclass
from typing import Any, TypeAlias

import jwt
from aiohttp import web

from messenger.config import Config
from messenger.domain.ids import MAX_USER_ID, UserId
from messenger.domain.user import Profile
from messenger.errors import Forbidden, SetupError, Unauthorized, UserNotFound
from messenger.protocol.frames import PROTOCOL
from messenger.protocol.schemas import PICTURE
from messenger.service.users import Users
from messenger.transport.keys import Keys

BEARER_PROTOCOL = "bearer."
MAX_NAME_CHARS = 200
MAX_URL_CHARS = 2048
# The end of year 9999: what ends later (a host that counts milliseconds) ends then.
LATEST_EXPIRY = 253_402_300_799

Claims: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose token it is, from when and until when it holds: seconds since 1970, None without a token of his own. `by_host`:
    the host application acts in his name."""

    user_id: UserId
    expires_at: float | None = None
    issued_at: int | None = None
    by_host: bool = False


class Authenticator:
    """Checks tokens, and makes their users known."""

    def __init__(self, config: Config, users: Users, keys: Keys) -> None:
        self._users = users
        self._keys = keys
        self._is_off = config.auth == "off"
        self._api_token = config.api_token.encode()
        self._claim = config.jwt_user_claim
        self._leeway_s = config.jwt_leeway_s
        self._audience = config.jwt_audience or None
        self._issuer = config.jwt_issuer or None
        self._algorithms = config.algorithms
        # A key that is too short must not pass with a warning (PyJWT's default).
        self._jwt = jwt.PyJWT(options={"enforce_minimum_key_length": True})

    @property
    def is_off(self) -> bool:
        return self._is_off

    @property
    def leeway_s(self) -> float:
        return self._leeway_s

    async def shown(self, request: web.Request) -> Claims:
        """What the token says with which a socket is opened, without a look at the database. Raises Unauthorized,
        Unavailable."""
        return {} if self._is_off else await self.claims_of(token_of(request))

    async def of_path(self, shown: Claims, named: str) -> Identity:
        """Who opens a socket at `/ws/{named}`: the token's user, who must be the one that is named. Raises Unauthorized,
        Unavailable."""
        if self._is_off:
            return await self._without_token(await self._users.named(named), "user_mismatch")
        identity = await self.of_claims(shown)
        if named != "me" and await self._users.named(named) != identity.user_id:
            raise Unauthorized("user_mismatch")
        return identity

    async def of_request(self, request: web.Request) -> Identity:
        """On whose behalf a request is: a user's, or the one's whom the host application names. Raises Unauthorized, Forbidden,
        UserNotFound, Unavailable."""
        identity = await self.of_user_or_host(request)
        if identity is None:
            raise Forbidden("X-User-Id is missing: on whose behalf?")
        return identity

    async def of_user_or_host(self, request: web.Request) -> Identity | None:
        """The same; None where the host application asks for itself. Raises Unauthorized, UserNotFound, Unavailable."""
        named = _only(request, "X-User-Id")
        if self._is_off:
            # Without authentication somebody still has to say who he is.
            return await self._without_token(await self._users.named(named or ""), "token_missing")
        claims = await self._of_bearer(request)
        if not _is_service(claims):
            return await self.of_claims(claims)
        if named is None:
            return None
        user_id = await self._users.named(named)
        if user_id is None:
            raise UserNotFound
        await self._users.be(user_id)
        return Identity(user_id, by_host=True)

    async def of_token(self, token: str) -> Identity:
        """Whose token it is. Raises Unauthorized, Unavailable."""
        return await self.of_claims(await self.claims_of(token))

    async def require_service(self, request: web.Request) -> None:
        """The host application asks, by the API token or a token of scope service. Raises Unauthorized, Forbidden, Unavailable."""
        if not self._is_off and not _is_service(await self._of_bearer(request)):
            raise Forbidden("Only the host application may do this")

    async def _of_bearer(self, request: web.Request) -> Claims:
        token = bearer_of(request)
        if token is None:
            raise Unauthorized("token_missing")
        if self._api_token and hmac.compare_digest(token.encode(errors="surrogateescape"), self._api_token):
            return {"scope": "service"}
        return await self.claims_of(token)

    async def claims_of(self, token: str) -> Claims:
        """What a token says, without a look at the database. Raises Unauthorized, Unavailable."""
        if not token:
            raise Unauthorized("token_missing")
        key = await self._keys.of(token)
        try:
            claims: Claims = self._jwt.decode(
                token,
                key.value,
                algorithms=[name for name in self._algorithms if key.algorithm in (None, name)],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                # A numeric subject is ours to check: PyJWT takes only text (its issue 1017). So is the end: it takes text too.
                options={
                    "require": ["exp"],
                    "verify_sub": False,
                    "verify_exp": False,
                    "verify_aud": self._audience is not None,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthorized("token_invalid") from None
        if _expiry(claims) <= time.time() - self._leeway_s:
            raise Unauthorized("token_expired")
        return claims

    async def of_claims(self, claims: Claims) -> Identity:
        """Whose token said that. Raises Unauthorized, Unavailable."""
        subject = None if _is_service(claims) else claims.get(self._claim)
        user_id: UserId | None = None
        if isinstance(subject, str):
            user_id = await self._users.named(subject)
        elif isinstance(subject, int) and not isinstance(subject, bool) and 1 <= subject <= MAX_USER_ID:
            user_id = UserId(subject)
        if user_id is None:
            raise Unauthorized("token_invalid")
        iat = claims.get("iat")
        issued_at = int(iat) if isinstance(iat, int | float) and 0 <= iat < 2**53 else 0
        profile = Profile(
            name=_profile_text(claims.get("name"), MAX_NAME_CHARS),
            avatar_url=_picture(claims.get("picture")),
            issued_at=issued_at,
        )
        await self._users.arrive(user_id, profile)
        return Identity(user_id, _expiry(claims), issued_at)

    async def _without_token(self, user_id: UserId | None, reason: str) -> Identity:
        if user_id is None:
            raise Unauthorized(reason)
        try:
            await self._users.be(user_id)
        except UserNotFound:
            raise Unauthorized("token_invalid") from None
        return Identity(user_id)


def signed(
    config: Config,
    user_id: UserId | str | None,
    *,
    name: str | None = None,
    ttl_s: int = 3600,
    is_service: bool = False,
) -> str:
    """A token for a user, by his id or the host's own, or of the host application. Raises SetupError where another has the key."""
    if not config.jwt_secret:
        raise SetupError("MESSENGER_JWT_SECRET is missing: only the holder of the key can sign")
    now = int(time.time())
    claims: Claims = {"iat": now, "exp": now + ttl_s}
    if user_id is not None:
        claims[config.jwt_user_claim] = str(user_id)
    if name:
        claims["name"] = name
    if is_service:
        claims["scope"] = "service"
    if config.jwt_audience:
        claims["aud"] = config.jwt_audience
    if config.jwt_issuer:
        claims["iss"] = config.jwt_issuer
    return jwt.encode(claims, config.jwt_secret, algorithm=config.algorithms[0])


def _is_service(claims: Claims) -> bool:
    return claims.get("scope") == "service"


def _only(request: web.Request, name: str) -> str | None:
    """A header that may stand there once: of two, a proxy before us may have looked at the other. Raises Unauthorized."""
    found = request.headers.getall(name, [])
    if len(found) > 1:
        raise Unauthorized("token_invalid")
    return found[0] if found else None


def bearer_of(request: web.Request) -> str | None:
    """The token in a request's header. Raises Unauthorized where there are two."""
    scheme, _, token = (_only(request, "Authorization") or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def token_of(request: web.Request) -> str:
    """The first token found: header, subprotocol, query. Raises Unauthorized."""
    bearer = bearer_of(request)
    if bearer is not None:
        return bearer
    offered = [item.strip() for item in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if PROTOCOL in offered:
        for item in offered:
            if item.startswith(BEARER_PROTOCOL):
                return item.removeprefix(BEARER_PROTOCOL)
    token = request.query.get("token", "")
    if not token:
        raise Unauthorized("token_missing")
    return token


def _expiry(claims: Claims) -> float:
    """When a token ends, in seconds since 1970. Raises Unauthorized where that is no number."""
    exp = claims["exp"]
    if isinstance(exp, bool) or not isinstance(exp, int | float) or not abs(exp) < math.inf:
        raise Unauthorized("token_invalid")
    return float(max(0, min(exp, LATEST_EXPIRY)))


def _picture(value: Any) -> str | None:
    address = _profile_text(value, MAX_URL_CHARS)
    return address if address is not None and re.fullmatch(PICTURE, address) else None


def _profile_text(value: Any, longest: int) -> str | None:
    """A name or address as the profile keeps it; what is none is left out, never a reason to refuse somebody."""
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        return None
    if any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in value):
        return None
    return value.strip()
