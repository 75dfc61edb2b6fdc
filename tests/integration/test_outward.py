"""The way out, over real sockets: what is refused is never connected to, whatever a resolver says, and nobody else leads there."""

import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from messenger.delivery.guard import Guard, Outward, Refused
from tests.support.receiver import Receiver, receiving

# Loopback has more than one address: this one is allowed, and what listens at the other is not meant to be reached.
ALLOWED = "127.0.0.2"
HIDDEN = "127.0.0.1"


class Resolver(AbstractResolver):
    """Says of every name what it is told to say, another thing each time; at the end the last one again."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
async def hidden() -> AsyncIterator[Receiver]:
    """What must never be reached."""
    async with receiving() as receiver:
        yield receiver
        assert receiver.posts == []


@pytest.fixture
async def meant(hidden: Receiver) -> AsyncIterator[Receiver]:
    """What may be reached, at the same port of another address; it keeps no connection open."""
    async with receiving(ALLOWED, hidden.port) as receiver:
        receiver.headers = {"Connection": "close"}
        yield receiver


async def posted(outward: Outward, url: str) -> int:
    return (await outward.post(url, b"{}", {})).status


async def test_what_is_allowed_is_reached_by_address_and_by_name(meant: Receiver) -> None:
    guard = Guard([ALLOWED])
    async with guard.outward(Resolver([ALLOWED])) as outward:
        assert await posted(outward, f"http://{ALLOWED}:{meant.port}/a") == 204
        assert await posted(outward, f"http://host.example:{meant.port}/b") == 204
    assert {post.headers["User-Agent"] for post in meant.posts} == {"messenger"}
    assert [(post.path, post.headers["Host"]) for post in meant.posts] == [
        ("/a", f"{ALLOWED}:{meant.port}"),
        ("/b", f"host.example:{meant.port}"),
    ]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "2130706433",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "0",
    ],
)
async def test_a_private_address_is_not_reached_however_it_is_written(hidden: Receiver, host: str) -> None:
    """By the system's own resolver, which knows all these ways."""
    async with Guard([ALLOWED]).outward() as outward:
        for scheme in ("http", "https"):
            with pytest.raises((Refused, aiohttp.InvalidURL)):
                await posted(outward, f"{scheme}://{host}:{hidden.port}/")


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "10.0.0.1", "fd00:ec2::254"])
async def test_a_name_that_leads_to_a_private_address_is_refused(hidden: Receiver, address: str) -> None:
    async with Guard([ALLOWED]).outward(Resolver([address])) as outward:
        for scheme in ("http", "https"):
            with pytest.raises(Refused, match="a private address"):
                await posted(outward, f"{scheme}://host.example:{hidden.port}/")


async def test_a_public_address_is_not_spoken_to_in_the_clear() -> None:
    async with Guard([ALLOWED]).outward(Resolver(["93.184.216.34"])) as outward:
        with pytest.raises(Refused, match="not encrypted"):
            await posted(outward, "http://host.example/")


async def test_a_name_that_turns_private_between_two_looks_is_refused(meant: Receiver, hidden: Receiver) -> None:
    """DNS rebinding: the first answer is good, the second is not."""
    resolver = Resolver([ALLOWED], [HIDDEN])
    async with Guard([ALLOWED]).outward(resolver) as outward:
        assert await posted(outward, f"http://rebind.example:{meant.port}/") == 204
        with pytest.raises(Refused):
            await posted(outward, f"http://rebind.example:{meant.port}/")
    assert (len(meant.posts), resolver.asked) == (1, 2)


async def test_nothing_is_resolved_a_second_time_before_it_is_connected_to(meant: Receiver, hidden: Receiver) -> None:
    """What was judged is what is connected to: one answer a connection."""
    resolver = Resolver([ALLOWED], [HIDDEN])
    async with Guard([ALLOWED]).outward(resolver) as outward:
        assert await posted(outward, f"http://rebind.example:{meant.port}/") == 204
    assert (len(meant.posts), resolver.asked) == (1, 1)


@pytest.mark.parametrize("addresses", [[HIDDEN, ALLOWED], [ALLOWED, HIDDEN], [HIDDEN, "10.0.0.1", ALLOWED]])
async def test_of_several_addresses_only_an_allowed_one_is_connected_to(
    meant: Receiver, hidden: Receiver, addresses: list[str]
) -> None:
    async with Guard([ALLOWED]).outward(Resolver(addresses)) as outward:
        assert await posted(outward, f"http://host.example:{meant.port}/") == 204
    assert len(meant.posts) == 1


async def test_an_answer_that_is_no_address_is_refused(hidden: Receiver) -> None:
    """A resolver that hands the name back would have it resolved by somebody else."""
    async with Guard([ALLOWED]).outward(Resolver(["localhost"])) as outward:
        with pytest.raises(Refused, match="no address"):
            await posted(outward, f"http://host.example:{hidden.port}/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(meant: Receiver, hidden: Receiver, status: int) -> None:
    meant.status = status
    meant.headers |= {"Location": f"http://{ALLOWED}:{meant.port}/elsewhere"}
    async with Guard([ALLOWED]).outward() as outward:
        assert await posted(outward, f"http://{ALLOWED}:{meant.port}/") == status
    assert [post.path for post in meant.posts] == ["/"]


async def test_no_proxy_of_the_environment_is_asked(
    meant: Receiver, hidden: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, hidden.url("/proxy"))
    monkeypatch.setenv("no_proxy", "")
    async with Guard([ALLOWED]).outward() as outward:
        assert await posted(outward, f"http://{ALLOWED}:{meant.port}/") == 204


async def test_no_cookie_is_kept(meant: Receiver) -> None:
    meant.headers |= {"Set-Cookie": "who=me"}
    async with Guard([ALLOWED]).outward(Resolver([ALLOWED])) as outward:
        for _ in range(2):
            await posted(outward, f"http://host.example:{meant.port}/")
    assert [post.headers.get("Cookie") for post in meant.posts] == [None, None]


async def test_a_body_without_end_is_not_read(meant: Receiver) -> None:
    written = 0
    gone = asyncio.Event()

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"\x1f\x8b" + bytes(65_534))
                written += 65_536
        except ConnectionError:
            gone.set()
            raise

    meant.answers = [pour]
    async with Guard([ALLOWED]).outward() as outward:
        assert await posted(outward, f"http://{ALLOWED}:{meant.port}/") == 200
        async with asyncio.timeout(10):
            await gone.wait()
    assert written < 64 * 1024 * 1024


async def test_who_does_not_answer_is_not_waited_for(meant: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messenger.delivery.guard.ANSWER_S", 0.2)
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    meant.answers = [hang]
    async with Guard([ALLOWED]).outward() as outward:
        with pytest.raises(TimeoutError):
            await posted(outward, f"http://{ALLOWED}:{meant.port}/")
    over.set()
