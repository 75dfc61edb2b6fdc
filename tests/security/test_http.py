"""HTTP that is none, or that two readers would read differently: refused, closed, and never quoted."""

import asyncio
import json
from typing import Any

import pytest

from messenger.transport import doorstep
from messenger.transport.headers import SECURITY_HEADERS
from tests.security.wire import UPGRADE, wire_to
from tests.support.node import SECRET, Node, Stage, logged, node_of_stage, stage_with
from tests.support.people import API, token

stage = stage_with()
node = node_of_stage()

MARK = "swordfish"
BAD_REQUEST = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "Bad Request",
    "code": "invalid_json",
    "message": "Bad Request",
}
MALFORMED = {
    "no request": f"{MARK}\r\n\r\n",
    "odd version": f"GET /{MARK} HTTP/9.9\r\n\r\n",
    "odd method": f"{MARK} / HTTP/1.1\r\nHost: chat\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + MARK.encode() + b"\r\n\r\n",
    "space in a name": f"GET / HTTP/1.1\r\nHost: chat\r\nX {MARK}: 1\r\n\r\n",
    "no name": f"GET / HTTP/1.1\r\nHost: chat\r\n: {MARK}\r\n\r\n",
    "no colon": f"GET / HTTP/1.1\r\nHost: chat\r\n{MARK}\r\n\r\n",
    "NUL in a value": f"GET / HTTP/1.1\r\nHost: chat\r\nX: {MARK}\x00\r\n\r\n",
    "a line too long": f"GET /{MARK * 2000} HTTP/1.1\r\nHost: chat\r\n\r\n",
    "a header too long": f"GET / HTTP/1.1\r\nHost: chat\r\nX: {MARK * 2000}\r\n\r\n",
    "too many headers": "GET / HTTP/1.1\r\nHost: chat\r\n" + f"X: {MARK}\r\n" * 2000 + "\r\n",
    "a token in a bad line": f"GET /?token={MARK} HTTP/1.1 {MARK}\r\n\r\n",
    "a length that is none": f"POST / HTTP/1.1\r\nHost: chat\r\nContent-Length: {MARK}\r\n\r\n",
}
# What a proxy before us might read as one request, and we as two.
SMUGGLED = f"GET /healthz?{MARK} HTTP/1.1\r\nHost: chat\r\n\r\n"
AMBIGUOUS = {
    "length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": "Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "lengths in one": "Content-Length: 0, 5\r\n\r\n",
    "a signed length": "Content-Length: +0\r\n\r\n",
    "a negative length": "Content-Length: -1\r\n\r\n",
    "a length of other digits": "Content-Length: \xb2\r\n\r\n",
    "a hexadecimal length": "Content-Length: 0x5\r\n\r\n",
    "folded": "X: 1\r\n Transfer-Encoding: chunked\r\n\r\n",
    "folded in two": "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": "X: 1\nTransfer-Encoding: chunked\n\n0\r\n\r\n",
    "a bare return": "X: 1\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked, then more": "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an unknown coding": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a chunk's size that is none": "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "a chunk longer than it says": "Transfer-Encoding: chunked\r\n\r\n1\r\nXY0\r\n\r\n",
    "two hosts": "Host: evil.example\r\n\r\n",
}


@pytest.mark.parametrize("name", list(MALFORMED))
async def test_what_is_no_request_is_refused_and_not_repeated(node: Node, name: str) -> None:
    with logged() as log:
        async with wire_to(node) as wire:
            told = await wire.ask(MALFORMED[name])
            assert (told.status, told.json) == (400, BAD_REQUEST)
            assert await wire.rest() == b""
    assert MARK not in str(told)
    assert MARK not in log.getvalue()
    # A line a request, as for others, and no stack: whoever sends rubbish fills no log.
    assert [line for line in log.getvalue().splitlines() if '"info"' not in line] == []
    assert len(log.getvalue().splitlines()) <= 1


@pytest.mark.parametrize("name", list(AMBIGUOUS))
async def test_what_could_be_two_requests_is_answered_once_and_closed(stage: Stage, node: Node, name: str) -> None:
    (ann,) = stage.people(1)
    head = (
        f"POST {API}/conversations HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {token(ann, SECRET)}\r\n"
        "Content-Type: application/json\r\n"
    )
    async with wire_to(node) as wire:
        wire.say(head + AMBIGUOUS[name] + SMUGGLED)
        told = await wire.hear()
        assert (told.status, told.json["status"]) == (400, 400)
        # The second one is never answered.
        assert await wire.rest() == b""


@pytest.mark.parametrize("chunk", ["xyz\r\n", "5\r\nabcdefgh\r\n", "-1\r\n", "5;\n\r\n", f"{'f' * 17}\r\n"])
async def test_a_body_that_goes_wrong_on_its_way_ends_the_connection(
    stage: Stage, node: Node, chunk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp tells its reader nothing of it, who would wait for ever: his time is up like that of others."""
    (ann,) = stage.people(1)
    head = (
        f"POST {API}/conversations HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {token(ann, SECRET)}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    monkeypatch.setattr(doorstep, "BODY_S", 0.0)
    with logged() as log:
        async with wire_to(node) as wire:
            wire.say(head + "1\r\n{\r\n")
            async with asyncio.timeout(10):
                while not node.server.doorstep._asking:
                    await asyncio.sleep(0.01)
                (caller,) = node.server.doorstep._asking
                wire.say(chunk + SMUGGLED)
                while not caller._messages:  # aiohttp has noticed
                    await asyncio.sleep(0.01)
            hearing = asyncio.create_task(wire.hear())
            while not hearing.done():
                node.server.doorstep.sweep()
                await asyncio.sleep(0.01)
            assert (await hearing).status == 408
            assert b"200 OK" not in await wire.rest()
    assert '"exception"' not in log.getvalue()


async def test_nothing_is_smuggled_behind_a_handshake(stage: Stage, node: Node) -> None:
    """What stands behind an upgrade is a frame or nothing; what was no upgrade does not become one by its body."""
    (ann,) = stage.people(1)
    bearer = f"Authorization: Bearer {token(ann, SECRET)}\r\n"
    async with wire_to(node) as wire:
        told = await wire.ask(f"GET /ws/me HTTP/1.1\r\nHost: chat\r\n{bearer}{UPGRADE}\r\n{SMUGGLED}")
        assert told.status == 101
        heard = await wire.rest()
        assert b"HTTP/1.1" not in heard
    async with wire_to(node) as wire:
        told = await wire.ask(f"GET /ws/me HTTP/1.1\r\nHost: chat\r\n{bearer}Upgrade: websocket\r\n\r\n{SMUGGLED}")
        assert told.status == 426
        assert (await wire.hear()).json == {"status": "ok"}


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PROPFIND"])
async def test_no_other_method_does_anything(node: Node, method: str) -> None:
    target = "evil.example:443" if method == "CONNECT" else f"/healthz?{MARK}"
    async with wire_to(node) as wire:
        told = await wire.ask(f"{method} {target} HTTP/1.1\r\nHost: chat\r\nX: {MARK}\r\nConnection: close\r\n\r\n")
        assert told.status in (400, 404, 405)
        assert MARK not in str(told)
        assert await wire.rest() == b""


async def test_an_answer_is_not_split_by_what_was_asked(node: Node) -> None:
    path = "/demo/%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>"
    async with wire_to(node) as wire:
        told = await wire.ask(f"GET {path} HTTP/1.1\r\nHost: chat\r\n\r\n")
        assert (told.status, "set-cookie" in told.headers) == (404, False)
        assert b"script" not in told.body


async def test_what_fails_outside_of_everything_is_told_in_the_same_words(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    from messenger.transport import peer

    def fail(*_: object) -> Any:
        raise RuntimeError(MARK)

    monkeypatch.setattr(peer, "address_of", fail)
    with logged() as log:
        async with wire_to(node) as wire:
            told = await wire.ask("GET /healthz HTTP/1.1\r\nHost: chat\r\nAccept: text/html\r\n\r\n")
            assert (told.status, told.json["code"], told.headers["connection"]) == (500, "internal", "close")
            assert await wire.rest() == b""
    assert "request failed" in log.getvalue()
    assert MARK not in log.getvalue() + str(told)


async def test_a_crowd_of_rubbish_harms_nobody(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann)

    async def rubbish(number: int) -> int:
        async with wire_to(node) as wire:
            return (await wire.ask(bytes([number % 256]) * 100 + b"\r\n\r\n")).status

    assert set(await asyncio.gather(*(rubbish(number) for number in range(200) if number not in (10, 13)))) == {400}
    assert (await phone.ask("ping"))["type"] == "pong"


@pytest.mark.parametrize("path", ["/healthz", f"{API}/users/me", "/nope", "/ws/1"])
async def test_an_expectation_that_nobody_knows_is_refused_and_not_repeated(node: Node, path: str) -> None:
    with logged() as log:
        async with wire_to(node) as wire:
            told = await wire.ask(f"GET {path} HTTP/1.1\r\nHost: chat\r\nExpect: <b>xx</b>\r\n\r\n")
            assert await wire.rest() == b""
        assert (told.status, told.headers["content-type"]) == (417, "application/problem+json")
        assert (told.json["status"], told.json["message"]) == (417, "Expectation Failed")
        assert SECURITY_HEADERS.items() <= {name: told.headers[name.lower()] for name in SECURITY_HEADERS}.items()
        (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
        assert (line["event"], line["status"]) == ("no request", 417)
        assert b"xx" not in told.body


async def test_who_waits_for_a_go_before_his_body_gets_it(stage: Stage, node: Node) -> None:
    bearer, body = f"Authorization: Bearer {token(*stage.people(1), SECRET)}", b'{"type":"group","participant_ids":[]}'
    async with wire_to(node) as wire:
        told = await wire.ask(
            f"POST {API}/conversations HTTP/1.1\r\nHost: chat\r\nContent-Type: application/json\r\n{bearer}\r\n"
            f"Expect: 100-Continue\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        assert told.status == 100
        assert (await wire.ask(body)).status == 201
