"""Small on the wire, large in memory: nobody unpacks anything, neither frames nor bodies, with a good token or without."""

import gzip
import json
import zlib
from pathlib import Path

import pytest

from tests.security.wire import UPGRADE, masked, wire_to
from tests.support.node import FREE, SECRET, Cluster, Node, Stage, logged, node_of_stage, stage_with
from tests.support.people import API, token

stage = stage_with()
node = node_of_stage()

TEXT, RSV = 0x81, (0x40, 0x20, 0x10)
BOMB_MIB = 60


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def handshake(user_id: int, *lines: str) -> str:
    named = "".join(f"{line}\r\n" for line in (f"Authorization: Bearer {token(user_id, SECRET)}", *lines))
    return f"GET /ws/me HTTP/1.1\r\nHost: chat\r\n{named}{UPGRADE}\r\n"


@pytest.mark.parametrize(
    "offer",
    ["permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate; server_max_window_bits=8"]
    + ["x-webkit-deflate-frame", "permessage-bzip2, permessage-deflate"],
)
async def test_no_compression_that_is_offered_is_accepted(stage: Stage, node: Node, offer: str) -> None:
    (ann,) = stage.people(1)
    async with wire_to(node) as wire:
        told = await wire.ask(handshake(ann, f"Sec-WebSocket-Extensions: {offer}"))
        assert (told.status, "sec-websocket-extensions" in told.headers) == (101, False)
        first, payload = await wire.frame()
        assert (first, json.loads(payload)["event"]) == (TEXT, "connected")


@pytest.mark.parametrize("bit", RSV)
async def test_a_frame_that_says_it_is_compressed_ends_the_connection(stage: Stage, node: Node, bit: int) -> None:
    """Nobody unpacks it: what was not agreed on is an error of the protocol (RFC 6455 §5.2)."""
    (ann,) = stage.people(1)
    async with wire_to(node) as wire:
        await wire.ask(handshake(ann, "Sec-WebSocket-Extensions: permessage-deflate"))
        await wire.frame()
        wire.say(masked(TEXT | bit, deflated(b'{"type":"ping","ref":"x"}')))
        first, payload = await wire.frame()
        assert (first, int.from_bytes(payload[:2], "big")) == (0x88, 1002)
        assert b"pong" not in await wire.rest()


BOMB = b" " * (BOMB_MIB << 20)


@pytest.mark.parametrize("who", ["somebody", "nobody"])
async def test_a_bomb_over_http_is_refused_and_never_unpacked(cluster: Cluster, who: str) -> None:
    daemon = await cluster.daemon(**FREE)
    packed = {"gzip": gzip.compress(BOMB, 9), "deflate": zlib.compress(BOMB, 9)}
    client = daemon.client(1) if who == "somebody" else daemon.nobody()
    assert (await daemon.client(1).get("/users/me"))[0] == 200

    def most() -> int:
        """The most memory that it ever had, in KiB."""
        line = next(line for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines() if "VmHWM" in line)
        return int(line.split()[1])

    before = most()
    refusal = (415, "unsupported_media_type") if who == "somebody" else (401, "unauthorized")
    for coding, body in packed.items():
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        # What is small would be unpacked as well.
        for data in (body, gzip.compress(b"{}"), b"rubbish"):
            answer = await client.ask("POST", "/conversations", data=data, headers=headers)
            assert (answer.status, answer.body["code"]) == refusal
    assert most() - before < BOMB_MIB * 1024 // 4
    assert (await daemon.client(1).get("/users/me"))[0] == 200


@pytest.mark.parametrize("path", [f"{API}/conversations", "/nope"])
async def test_what_nobody_reads_is_not_unpacked_either(node: Node, path: str) -> None:
    """Behind the answer, up to the end of the body: rubbish is no reason to stop there, and what follows is heard."""
    with logged() as log:
        async with wire_to(node) as wire:
            head = f"POST {path} HTTP/1.1\r\nHost: chat\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
            told = await wire.ask(f"{head}Content-Length: 6\r\n\r\nabc")
            assert told.status == (404 if path == "/nope" else 401)
            wire.say("def")
            assert (await wire.ask("GET /healthz HTTP/1.1\r\nHost: chat\r\n\r\n")).status == 200
        assert "exception" not in log.getvalue().lower()


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "compress", "gzip, gzip", "x-gzip", "identity, gzip"])
async def test_no_coding_of_a_body_is_taken(stage: Stage, node: Node, coding: str) -> None:
    (ann,) = stage.people(1)
    body = gzip.compress(b'{"type":"group","participant_ids":[]}')
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = await node.client(ann).ask("POST", "/conversations", data=body, headers=headers)
    assert (answer.status, answer.body["code"]) == (415, "unsupported_media_type")
    assert (await node.client(ann).get("/conversations"))[1]["conversations"] == []


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
async def test_a_body_as_it_is_may_say_so(stage: Stage, node: Node, coding: str) -> None:
    (ann,) = stage.people(1)
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    body = b'{"type":"group","participant_ids":[]}'
    assert (await node.client(ann).ask("POST", "/conversations", data=body, headers=headers)).status == 201
