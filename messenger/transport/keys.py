"""The keys that tokens are checked with: the one of the settings, or a set that an identity provider publishes (RFC 7517).

Nothing of a token's header is trusted: `alg` only from the configured list, `kid` only as a name in the set that was fetched
from the configured address, `jku` and `jwk` not at all.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import aiohttp
import jwt
import orjson
import structlog

from messenger.background import end
from messenger.config import Config, Rate
from messenger.errors import RateLimited, SetupError, Unauthorized, Unavailable
from messenger.transport.limits import Bucket

log = structlog.get_logger(__name__)

# A set is taken as it is for so long; one that could not be fetched is asked for again after a while.
FRESH_S = 300.0
RETRY_S = 1.0
# Who has his key waits so long for a fresher one: a withdrawn one should not last, and a provider that hangs hold up nobody.
FRESH_WAIT_S = 0.5
FETCH_S = 5.0
MAX_SET_BYTES = 256 * 1024
# Tokens that name unknown keys can make us fetch so often: a rotation is seen at once, a flood is not passed on.
REFETCH = Rate(1, 30, 2)


@dataclass(frozen=True, slots=True)
class Key:
    """Prepared for PyJWT. `algorithm`: the only one it is for, where its set says so."""

    value: Any
    algorithm: str | None = None


class Keys(Protocol):
    async def of(self, token: str) -> Key:
        """The key that a token's header names. Raises Unauthorized where there is none, Unavailable."""


class FixedKey:
    """One key for all tokens."""

    def __init__(self, value: str | bytes) -> None:
        self._key = Key(value)

    async def of(self, token: str) -> Key:
        return self._key


class KeySet:
    """Keys by their `kid`, fetched when first needed, when no longer fresh, and when an unknown one is named.

    One fetch at a time, on the event loop but never holding it up; where it fails, what was fetched before goes on.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self._keys: dict[str | None, Key] | None = None
        self._due_at = 0.0
        self._refetches = Bucket(REFETCH)
        self._fetching: asyncio.Task[None] | None = None

    async def of(self, token: str) -> Key:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Unauthorized("token_invalid") from None
        is_due = monotonic() >= self._due_at
        is_known = self._keys is not None and kid in self._keys
        if is_known:
            if is_due:
                await self._fetched(FRESH_WAIT_S)
        elif is_due or self._is_fetching or (self._keys is not None and self._may_refetch()):
            await self._fetched(None)
        if self._keys is None:
            raise Unavailable("The keys that tokens are checked with cannot be fetched")
        key = self._keys.get(kid)
        if key is None:
            raise Unauthorized("token_invalid")
        return key

    async def close(self) -> None:
        if self._fetching is not None:
            await end([self._fetching])

    def _may_refetch(self) -> bool:
        try:
            self._refetches.take()
        except RateLimited:
            return False
        return True

    @property
    def _is_fetching(self) -> bool:
        return self._fetching is not None and not self._fetching.done()

    async def _fetched(self, within_s: float | None) -> None:
        """Returns when the set has been fetched or could not be, or after so long."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch(), name="key set")
            self._due_at = monotonic() + FETCH_S  # meanwhile nobody else waits who has his key
        await asyncio.wait([self._fetching], timeout=within_s)

    async def _fetch(self) -> None:
        try:
            self._keys = await fetch(self._session, self._url)
            self._due_at = monotonic() + FRESH_S
        except Exception as error:  # whatever a stranger's answer does to a parser: what was fetched before goes on
            log.warning("key set not fetched", error=type(error).__name__)
            self._due_at = monotonic() + RETRY_S


async def fetch(session: aiohttp.ClientSession, url: str) -> dict[str | None, Key]:
    """The usable public keys of a set, by `kid`; a lone one also stands for tokens that name none.

    Raises aiohttp.ClientError, TimeoutError, ValueError where the answer is no key set.
    """
    timeout = aiohttp.ClientTimeout(total=FETCH_S)
    async with session.get(url, timeout=timeout, allow_redirects=False, raise_for_status=True) as response:
        body = b""
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_SET_BYTES:
                raise ValueError("a key set is not that large")
        if response.status != 200:
            raise ValueError(f"status {response.status}")
    told = orjson.loads(body)
    if not isinstance(told, dict) or not isinstance(told.get("keys"), list):
        raise ValueError("no key set")
    keys = {item.get("kid"): key for item in told["keys"] if isinstance(item, dict) and (key := _key_of(item))}
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    return keys


def _key_of(item: dict[str, Any]) -> Key | None:
    """A public key for signatures; None for anything else. A symmetric one in a published set would be no secret."""
    if item.get("kty") == "oct" or item.get("use", "sig") != "sig" or not isinstance(item.get("kid"), str | None):
        return None
    try:
        # A private key's public half would do, but whoever publishes that has other troubles.
        return Key(jwt.PyJWK(item).key, item.get("alg")) if "d" not in item else None
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Keys]:
    """The keys of the settings, as long as the daemon lives. Raises SetupError."""
    if config.jwt_jwks_url:
        async with aiohttp.ClientSession() as session:
            keys = KeySet(config.jwt_jwks_url, session)
            try:
                yield keys
            finally:
                await keys.close()
    else:
        yield FixedKey(_configured(config))


def _configured(config: Config) -> str | bytes:
    if not config.jwt_public_key_file:
        return config.jwt_secret
    try:
        return Path(config.jwt_public_key_file).read_bytes()
    except OSError as error:
        raise SetupError(f"MESSENGER_JWT_PUBLIC_KEY_FILE cannot be read: {error.strerror}") from None
