"""How a socket ends: silence, the end of a token, too many, too large, not text; and nothing that is left behind."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from messenger import lifecycle
from tests.support.node import SECRET, Cluster, Node, Stage, logged, node_of_stage, stage_with
from tests.support.people import forged, token

# A tick of the pulse, which looks for tokens that end, is a quarter of the heartbeat.
stage = stage_with(heartbeat_s=2.0, jwt_leeway_s=0.0, max_frame_bytes=1024)
node = node_of_stage()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def deaf(node: Node, user_id: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A device that answers no ping."""
    headers = {"Authorization": f"Bearer {token(user_id, SECRET)}"}
    async with node.session.ws_connect(f"{node.origin}/ws/me", headers=headers, autoping=False) as socket:
        yield socket


def ending(user_id: int, at: float) -> str:
    return forged({"sub": user_id, "exp": at}, SECRET.encode())


async def test_a_silent_device_is_pinged_and_then_dropped(cluster: Cluster) -> None:
    node = await cluster.node(heartbeat_s=0.2)
    async with deaf(node, 1) as socket:
        heard = []
        async with asyncio.timeout(10):
            while (message := await socket.receive()).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING):
                heard.append(message)
        assert (heard[0].json()["event"], heard[0].json()["heartbeat_s"]) == ("connected", 0.2)
        assert len(heard) > 1
        assert all((ping.type, ping.data) == (aiohttp.WSMsgType.PING, b"") for ping in heard[1:])
        # Cut without a goodbye: nobody was there to hear it.
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert socket.close_code == 1006
    await until(lambda: not node.context.node.hub.people and not node.context.devices)


@pytest.mark.parametrize("answer", ["pong", "frame"])
async def test_whoever_answers_or_says_anything_at_all_stays(cluster: Cluster, answer: str) -> None:
    node = await cluster.node(heartbeat_s=0.2)
    async with deaf(node, 1) as socket:
        pings = 0
        async with asyncio.timeout(10):
            while pings < 5:
                message = await socket.receive()
                assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING)
                if message.type is aiohttp.WSMsgType.PING:
                    pings += 1
                    await (socket.pong(message.data) if answer == "pong" else socket.send_str('{"type":"ping"}'))


async def test_a_clients_own_ping_is_answered_with_its_payload(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    async with deaf(node, ann) as socket:
        await socket.ping(b"are you there?")
        async with asyncio.timeout(10):
            while (message := await socket.receive()).type is not aiohttp.WSMsgType.PONG:
                assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING)
        assert message.data == b"are you there?"


async def test_a_token_that_ends_soon_is_told_once_and_a_later_one_is_not(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    later, soon = await node.phone(ben), await node.phone(ann, exp=int(time.time()) + 55)
    told = await soon.hear("system")
    assert 50 <= told.pop("expires_in_s") <= 55
    assert told == {"type": "system", "event": "token_expiring"}
    await soon.silence("system", for_s=0.3)
    assert await later.unheard("system") == []


async def test_a_token_that_ended_closes_the_socket_and_a_refreshed_one_goes_on(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    end = time.time() + 1
    one, two = await node.phone(ann, exp=end), await node.phone(ann, exp=end)
    assert (await two.hear("system"))["expires_in_s"] in (0, 1)
    refreshed = await two.answer("auth.refresh", token=ending(ann, time.time() + 40))
    assert refreshed.pop("expires_at").endswith("Z")
    assert refreshed == {"type": "auth.refreshed"}
    told = await two.hear("system")
    assert (told["event"], 35 <= told["expires_in_s"] <= 40) == ("token_expiring", True)
    assert await one.closed() == (1008, "token_expired")
    assert time.time() >= end
    assert (await two.ask("ping"))["type"] == "pong"


async def test_a_bad_refresh_leaves_the_old_token_in_place(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    phone = await node.phone(ann)
    for bearer, reason in (
        ("rubbish", "token_invalid"),
        ("", "token_missing"),
        (ending(ann, 1), "token_expired"),
        (token(ben, SECRET), "user_mismatch"),
    ):
        assert await phone.answer("auth.refresh", token=bearer) == {
            "type": "error",
            "code": "unauthorized",
            "message": "Unauthorized",
            "reason": reason,
        }
    assert (await phone.ask("ping"))["type"] == "pong"


async def test_one_device_too_many_is_turned_away_on_any_node(cluster: Cluster) -> None:
    one, two = await cluster.node(max_devices_per_user=2), await cluster.node(max_devices_per_user=2)
    first, _second = await one.phone(1), await two.phone(1)
    for node in (one, two):
        assert await node.knock(bearer=token(1, SECRET)) == (1013, "too_many_connections")
    assert isinstance(await one.knock(bearer=token(2, SECRET)), dict)
    assert (await first.ask("ping"))["type"] == "pong"
    await first.socket.close()
    # A device that has gone counts no more, though its lease lasts through the grace period.
    async with asyncio.timeout(10):
        while not isinstance(await two.knock(bearer=token(1, SECRET)), dict):
            await asyncio.sleep(0.01)


async def test_a_full_node_turns_newcomers_away_until_somebody_goes(cluster: Cluster) -> None:
    node = await cluster.node(max_connections=2)
    first, second = await node.phone(1), await node.phone(2)
    assert await node.knock(bearer=token(3, SECRET)) == (1013, "overloaded")
    assert await node.knock(bearer="rubbish") == (1013, "overloaded")
    assert (await second.ask("ping"))["type"] == "pong"
    await first.socket.close()
    await until(lambda: node.context.open_sockets < 2)
    assert isinstance(await node.knock(bearer=token(3, SECRET)), dict)


async def test_a_frame_may_be_as_large_as_set_and_no_larger(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann)
    frame = {"type": "ping", "ref": "r", "pad": ""}
    frame["pad"] = "x" * (1024 - len(json.dumps(frame)))
    await phone.socket.send_str(json.dumps(frame))
    assert (await phone.hear(ref="r"))["type"] == "pong"
    await phone.socket.send_str(json.dumps(frame | {"pad": frame["pad"] + "x"}))
    assert await phone.closed() == (1009, "frame_too_large")


async def test_a_frame_is_measured_in_bytes(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann)
    await phone.socket.send_str('{"type":"ping","pad":"' + "é" * 600 + '"}')
    assert await phone.closed() == (1009, "frame_too_large")


async def test_a_frame_in_pieces_is_measured_as_a_whole(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann)

    def write(first: int, payload: bytes) -> None:
        # Opcode and FIN, length, a mask of zeros (RFC 6455 §5.2).
        phone.socket._writer.transport.write(bytes([first, 0x80 | len(payload)]) + bytes(4) + payload)

    write(0x01, b'{"type":"ping",')
    write(0x80, b'"ref":"pieces"}')
    assert (await phone.hear(ref="pieces"))["type"] == "pong"
    write(0x01, b"x" * 120)
    for _ in range(8):
        write(0x00, b"x" * 120)
    assert await phone.closed() == (1009, "frame_too_large")


@pytest.mark.parametrize("payload", [b"\xff\xfe", b'{"type":"ping","ref":"\xed\xa0\x80"}', b'{"type":"\xc0\xaf"}'])
async def test_what_is_no_utf8_closes_with_1007(stage: Stage, node: Node, payload: bytes) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann)
    await phone.socket.send_frame(payload, aiohttp.WSMsgType.TEXT)
    assert (await phone.closed())[0] == 1007


async def test_a_draining_node_says_so_and_lets_nobody_in(cluster: Cluster) -> None:
    node = await cluster.node()
    phone = await node.phone(1)
    await lifecycle.drain(node.server.app)
    assert await phone.hear("system") == {"type": "system", "event": "draining"}
    assert await phone.closed() == (1012, "draining")
    assert await node.knock(bearer=token(1, SECRET)) == (1012, "draining")
    async with node.session.get(node.origin + "/readyz") as answer:
        assert (answer.status, await answer.json()) == (
            503,
            {"status": "draining", "database": "ok", "bus": "ok"},
        )


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with logged() as stream:
        yield stream


async def test_a_device_that_vanishes_in_the_middle_of_its_answers_is_no_error(
    stage: Stage, node: Node, log: io.StringIO
) -> None:
    (ann,) = stage.people(1)
    for _ in range(20):
        phone = await node.phone(ann)
        for _ in range(50):
            await phone.say("sync", cursors={})
        phone.socket._writer.transport.abort()
    await until(lambda: node.context.open_sockets == 0)
    assert not node.context.devices
    assert [line for line in map(json.loads, log.getvalue().splitlines()) if line["level"] != "info"] == []


async def test_a_device_that_hangs_up_before_its_hello_is_no_error(stage: Stage, node: Node, log: io.StringIO) -> None:
    (ann,) = stage.people(1)
    for _ in range(30):
        _, writer = await asyncio.open_connection(node.server.host, node.server.port)
        writer.write(
            f"GET /ws/me?token={token(ann, SECRET)} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await asyncio.sleep(0)
        writer.transport.abort()
    await until(lambda: log.getvalue().count('"/ws/me"') >= 1 and node.context.open_sockets == 0)
    assert (await (await node.phone(ann)).ask("ping"))["type"] == "pong"
    assert [line for line in map(json.loads, log.getvalue().splitlines()) if line["level"] != "info"] == []
    assert not node.context.node.hub.people.keys() - {ann}


async def test_what_nobody_foresaw_ends_a_socket_as_a_socket_ends(
    stage: Stage, node: Node, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ann,) = stage.people(1)

    async def fails(*_: object) -> None:
        raise ArithmeticError("not for clients")

    monkeypatch.setattr(node.context.node.presence, "arrive", fails)
    assert await node.knock(bearer=token(ann, SECRET)) == (1013, "overloaded")
    monkeypatch.undo()
    assert (await (await node.phone(ann)).ask("ping"))["type"] == "pong"
    assert log.getvalue().count("socket failed") == 1
