"""Speaks the Platform API v3, to the vendor or to this daemon: a token in a header, JSON, the vendor's errors, its limits.

A request that was refused for coming too often is repeated when the answer says, whatever it was. One that was not answered, or
with 5xx, is repeated only where a second time does no harm: a POST is not, unless it never left. What the vendor calls
`dedup_id` is documented for imports only, and not what it answers to the second; so nothing is built on it.

Redirects are not followed but by `download`, no cookie is kept, and the token goes to nobody but whom it is for.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from yarl import URL

from messenger.chat_service import wording
from messenger.chat_service.errors import (
    TOO_MANY,
    ChatServiceError,
    FileTooLarge,
    ForeignFile,
    NotFound,
    RateLimited,
    Unavailable,
    error_of,
)
from messenger.chat_service.wording import Json, Query

T = TypeVar("T")

TIMEOUT_S = 30.0
CONNECT_S = 10.0
# How long one request may wait, all in all, because there were too many.
PATIENCE_S = 30.0
# Where an answer does not say when to come again; and the least, whatever it says.
LATER_S = 1.0
LEAST_S = 0.05
# How often a request is repeated that was not answered, and how long after the first of them.
REPEATS = 3
AGAIN_S = 0.2
REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Downloaded:
    """`size` in bytes; `content_type` as its host says, which is no proof."""

    size: int
    content_type: str


class PlatformClient:
    """One side of the Platform API; an async context manager. `base_url` may end in `/v3` or not.

    Whatever is asked of it returns the JSON object of the answer, or raises a ChatServiceError; ids that cannot stand in a path
    raise ValueError. It may be used by many tasks at once.
    """

    def __init__(
        self, base_url: str, api_token: str, *, patience_s: float = PATIENCE_S, timeout_s: float = TIMEOUT_S
    ) -> None:
        """`patience_s`: how long one request may wait, all in all, because there were too many."""
        self._base = base_url.rstrip("/").removesuffix(wording.VERSION) + wording.VERSION
        self._token = {wording.TOKEN: api_token}
        self._patience_s = patience_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_S, timeout_s))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # Requests. A path is one of wording's: below `/v3`, percent-encoded.

    async def get(self, path: str, query: Query | None = None) -> Json:
        return await self._asked("GET", path, query=query)

    async def post(self, path: str, body: Mapping[str, Any]) -> Json:
        """Done at most once: Unavailable means that nobody knows whether it was."""
        return await self._asked("POST", path, body=body)

    async def put(self, path: str, body: Mapping[str, Any]) -> Json:
        return await self._asked("PUT", path, body=body)

    async def delete(self, path: str) -> Json:
        """Done when it is gone, also where an answer was lost and the next one says that there is no such thing."""
        return await self._asked("DELETE", path)

    # Lists, page by page.

    def users(self) -> AsyncIterator[Json]:
        """Everybody, also who is deactivated."""
        return self._listed(wording.users(), wording.USERS, wording.every_user())

    def channels(self) -> AsyncIterator[Json]:
        """Every group channel, also those without messages; without their members."""
        return self._listed(wording.channels(), wording.CHANNELS, wording.every_channel())

    def members(self, channel_url: str) -> AsyncIterator[Json]:
        return self._listed(wording.members(channel_url), wording.MEMBERS, {})

    async def pages(self, path: str, name: str, query: Query) -> AsyncIterator[list[Json]]:
        """A list, as long as there is another page. `name` is the field it stands in."""
        token = ""
        while True:
            page = await self.get(path, {**query, **wording.page(token)})
            yield page[name]
            told = page.get(wording.NEXT) or ""
            if not told:
                return
            if told == token:
                raise ChatServiceError(f"GET {path}: the next page is the same one again")
            token = told

    async def messages(self, channel_url: str, since_ms: int = 0) -> AsyncIterator[Json]:
        """All from a time on, that time included, oldest first, each once; replies in threads, too.

        The next page begins after the last message, for there may be any number at one millisecond; where that one was deleted
        meanwhile, at its time.
        """
        path, query = wording.messages(channel_url), wording.since(since_ms)
        seen: set[int] = set()
        at_ms = since_ms
        # An anchor that was not found once: the page at its time may have brought us past it.
        stuck: Query | None = None
        while True:
            try:
                page = (await self.get(path, query))[wording.MESSAGES]
            except NotFound:
                if "message_id" not in query:
                    raise
                if query == stuck:  # what is listed and cannot be asked for would be listed for ever
                    raise
                stuck, query = query, wording.since(at_ms)
                continue
            if not page:
                return
            fresh = [message for message in page if message["message_id"] not in seen]
            for message in fresh:
                yield message
            last = page[-1]
            if last["created_at"] != at_ms:
                at_ms, seen = last["created_at"], set()
            seen |= {message["message_id"] for message in page if message["created_at"] == at_ms}
            query = wording.after(last["message_id"])

    async def _listed(self, path: str, name: str, query: Query) -> AsyncIterator[Json]:
        async for page in self.pages(path, name, query):
            for item in page:
                yield item

    # Files.

    def is_own(self, url: str) -> bool:
        """Whether an address is the vendor's: below the base URL's origin, or a host of its domain by HTTPS."""
        try:
            address = URL(url)
            if address.origin() == URL(self._base).origin():
                return True
        except ValueError:
            return False
        return address.scheme == "https" and (address.host or "").endswith(wording.DOMAIN)

    async def download(self, url: str, to: Path, *, max_bytes: int | None = None) -> Downloaded:
        """Bring a file of the vendor's to a path, which is empty or gone where this raises.

        The address of a message's file is whatever its sender gave, and might be one inside our own network: only the vendor's
        are asked for, and followed (ForeignFile). Raises FileTooLarge, and what requests raise; NotFound where it is gone.
        """
        if not self.is_own(url):
            raise ForeignFile
        return await self._repeated("GET", URL(url).path, lambda: self._brought(url, to, max_bytes))

    async def _brought(self, url: str, to: Path, max_bytes: int | None) -> Downloaded:
        address = URL(url)
        for _ in range(REDIRECTS + 1):
            async with self._open.get(address, headers=self._shown_to(address), allow_redirects=False) as response:
                if response.status not in (301, 302, 303, 307, 308):
                    return await _saved(response, to, max_bytes)
                address = address.join(URL(response.headers.get("Location", "")))
            if not self.is_own(str(address)):
                raise ForeignFile
        raise ForeignFile("The file's address redirects without end")

    def _shown_to(self, address: URL) -> Mapping[str, str]:
        """The token, where the host that keeps a file is the one that gave it; not to the vendor where somebody stands between."""
        base = URL(self._base)
        is_vendors = all((url.host or "").endswith(wording.DOMAIN) for url in (address, base))
        return self._token if is_vendors or address.origin() == base.origin() else {}

    # One request.

    async def _asked(
        self, method: str, path: str, *, query: Query | None = None, body: Mapping[str, Any] | None = None
    ) -> Json:
        url = URL(self._base + path, encoded=True).with_query(query or {})

        async def once() -> Json:
            sent = self._open.request(method, url, json=body, headers=self._token, allow_redirects=False)
            async with sent as response:
                return _read(response, await response.read(), f"{method} {path}")

        return await self._repeated(method, path, once, gone={} if method == "DELETE" else None)

    async def _repeated(self, method: str, path: str, once: Callable[[], Awaitable[T]], gone: T | None = None) -> T:
        """Do it, and again where that helps and does no harm. `gone` is the answer where it was done before, unheard."""
        patience_s, failures, fate_unknown = self._patience_s, 0, False
        while True:
            try:
                return await _told(once, f"{method} {path}")
            except RateLimited as error:
                if error.retry_after_s > patience_s:
                    raise
                patience_s -= error.retry_after_s
                await asyncio.sleep(error.retry_after_s)
            except Unavailable as error:
                if failures == REPEATS or (method == "POST" and not error.unsent):
                    raise
                fate_unknown |= not error.unsent
                longest = AGAIN_S * 2**failures
                await asyncio.sleep(longest * random.uniform(0.5, 1))  # noqa: S311 - jitter is no secret
                failures += 1
            except NotFound:
                if gone is not None and fate_unknown:
                    return gone
                raise

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("Use it inside `async with`")
        return self._session


async def _told(once: Callable[[], Awaitable[T]], what: str) -> T:
    """What goes wrong on the way, as an Unavailable that says no address and no token."""
    try:
        return await once()
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Unavailable(f"{what}: {type(error).__name__}", unsent=True) from error
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise Unavailable(f"{what}: {type(error).__name__}") from error


def _read(response: aiohttp.ClientResponse, body: bytes, what: str) -> Json:
    """The object of an answer. Raises a ChatServiceError."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    said: Json = answer if isinstance(answer, dict) else {}
    code, message = said.get("code"), said.get("message")
    if response.status == 429 or code == TOO_MANY:
        raise RateLimited(message, retry_after_s=_later(response), code=code, status=response.status)
    if response.status < 300 and isinstance(answer, dict) and not answer.get("error"):
        return answer
    if isinstance(code, int):
        raise error_of(response.status, code, str(message), what.partition(" ")[2])
    if response.status >= 500:
        raise Unavailable(f"{what}: status {response.status}", status=response.status)
    hint = ": no Platform API there; of this daemon's, is MESSENGER_API_TOKEN set?" if response.status == 404 else ""
    raise ChatServiceError(f"{what}: status {response.status}{hint}", status=response.status)


def _later(response: aiohttp.ClientResponse) -> float:
    """When to come again, in seconds from now."""
    for header in wording.RETRY_AFTER:
        try:
            seconds = float(response.headers.get(header, ""))
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return max(seconds, LEAST_S)
    return LATER_S


async def _saved(response: aiohttp.ClientResponse, to: Path, max_bytes: int | None) -> Downloaded:
    if response.status == 429:
        raise RateLimited(retry_after_s=_later(response), status=429)
    if response.status >= 500:
        raise Unavailable(f"status {response.status}", status=response.status)
    if response.status in (404, 410):
        raise NotFound("File not found", status=response.status)
    if response.status != 200:
        raise ChatServiceError(f"The file's host answers with status {response.status}", status=response.status)
    size, whole = 0, False
    file = await asyncio.to_thread(to.open, "wb")
    try:
        async for chunk in response.content.iter_chunked(2**18):
            size += len(chunk)
            if max_bytes is not None and size > max_bytes:
                raise FileTooLarge
            await asyncio.to_thread(file.write, chunk)
        whole = True
    finally:
        await asyncio.to_thread(file.close)
        if not whole:
            await asyncio.to_thread(to.unlink, missing_ok=True)
    return Downloaded(size, response.content_type)
