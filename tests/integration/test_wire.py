"""A socket after its handshake: what goes out together, what comes in together, and what is left of aiohttp's request."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from messenger.transport import session, wire
from tests.support.node import FREE, SECRET, Cluster
from tests.support.people import Frame, Phone, token

ANN, BEN = 1, 2


class Written:
    """What a transport was given, write by write."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def said(phone: Phone, *kinds: str) -> list[Frame]:
    """As many frames of these types, in the order in which they come."""
    found: list[Frame] = []
    async with asyncio.timeout(20):
        while len(found) < len(kinds):
            frame = await phone._receive()
            if frame["type"] in kinds:
                found.append(frame)
    return found


async def test_what_is_pushed_in_one_turn_is_one_write(cluster: Cluster) -> None:
    node = await cluster.node()
    phone = await node.phone(ANN)
    (device,) = node.context.devices
    written = device.wire._transport = Written(device.wire._transport)
    for number in range(5):
        device.tell({"type": "app.x", "number": number})
    assert written.writes == []
    assert [frame["number"] for frame in await said(phone, *["app.x"] * 5)] == [0, 1, 2, 3, 4]
    assert len(written.writes) == 1


async def test_an_idle_device_keeps_no_task_and_nothing_of_its_request(cluster: Cluster) -> None:
    node = await cluster.node()
    await node.phone(ANN)
    before = {task.get_name() for task in asyncio.all_tasks()}
    phones = [await node.phone(ANN) for _ in range(10)]
    assert len(node.context.devices) == 11
    assert node.server._runner.server is not None
    async with asyncio.timeout(10):
        while node.server._runner.server.connections or node.context.answering:
            await asyncio.sleep(0)
    serving = [task for task in asyncio.all_tasks() if "RequestHandler" in repr(task.get_coro())]
    assert serving == []
    assert len({task.get_name() for task in asyncio.all_tasks()} - before) == 0
    await phones[-1].ask("ping")


async def test_messages_in_a_row_do_not_wait_for_each_other_and_keep_their_order(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node(**FREE)
    tea = await node.client(ANN).group(BEN)
    phone = await node.phone(ANN)
    posted: list[str] = []
    most = 0
    post = node.context.messages.post

    def counted(actor: Any, draft: Any, told: Any) -> None:
        nonlocal most
        posted.append(draft.content)
        answered: list[object] = []

        def tell(outcome: Any) -> None:
            answered.append(outcome)
            posted.remove(draft.content)
            told(outcome)

        most = max(most, len(posted))
        post(actor, draft, tell)

    monkeypatch.setattr(node.context.messages, "post", counted)
    for number in range(100):
        await phone.say("message.send", conversation_id=tea, content=f"{number}")
    # It waits for all of them.
    await phone.say("history", conversation_id=tea, ref="then", limit=200)
    acknowledged = [frame["data"]["content"] for frame in await said(phone, *["message.sent"] * 100)]
    assert acknowledged == [f"{number}" for number in range(100)]
    page = await phone.hear("history")
    assert [message["content"] for message in page["messages"]] == acknowledged
    assert 1 < most <= session.MOST_SENDING


async def test_a_refusal_among_messages_holds_nothing_up(cluster: Cluster) -> None:
    node = await cluster.node(**FREE)
    tea = await node.client(ANN).group(BEN)
    phone = await node.phone(ANN)
    for content in ("one", " ", "two"):
        await phone.say("message.send", conversation_id=tea, content=content, ref=content)
    told = await said(phone, "message.sent", "message.sent", "error")
    assert {frame["ref"]: frame["type"] for frame in told} == {
        "one": "message.sent",
        " ": "error",
        "two": "message.sent",
    }
    assert (await phone.ask("ping"))["type"] == "pong"


async def test_what_comes_right_behind_the_handshake_is_answered(cluster: Cluster) -> None:
    node = await cluster.node()
    host, port = node.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    payload = b'{"type":"ping","ref":"early"}'
    writer.write(
        f"GET /ws/me HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token(ANN, SECRET)}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        + b"\x81"
        + bytes([0x80 | len(payload)])
        + bytes(4)
        + payload
    )
    heard = b""
    async with asyncio.timeout(20):
        while b'"early"' not in heard:
            heard += await reader.read(4096)
    assert heard.index(b'"connected"') < heard.index(b'"pong"')
    writer.close()


async def test_who_says_too_much_before_he_is_let_in_is_read_no_further(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node(**FREE)
    held: list[wire.Wire] = []
    hold_back = wire.Wire.hold_back

    def noted(self: wire.Wire) -> None:
        held.append(self)
        hold_back(self)

    monkeypatch.setattr(wire.Wire, "hold_back", noted)
    may = asyncio.Event()
    arrive = node.context.node.presence.arrive

    async def arrive_late(*args: Any) -> int:
        await may.wait()
        return await arrive(*args)

    monkeypatch.setattr(node.context.node.presence, "arrive", arrive_late)
    headers = {"Authorization": f"Bearer {token(ANN, SECRET)}"}
    async with node.session.ws_connect(f"{node.origin}/ws/me", headers=headers) as socket:
        for number in range(3 * session.MOST_WAITING):
            await socket.send_str(json.dumps({"type": "ping", "ref": f"{number}"}))
        async with asyncio.timeout(20):
            while not held:
                await asyncio.sleep(0.01)
        may.set()
        refs: list[str] = []
        async with asyncio.timeout(20):
            while len(refs) < 3 * session.MOST_WAITING:
                frame = await socket.receive_json()
                if frame["type"] == "pong":
                    refs.append(frame["ref"])
        assert refs == [f"{number}" for number in range(3 * session.MOST_WAITING)]


def test_what_we_need_of_aiohttp_is_there() -> None:
    """Private names, on which a wire rests: an aiohttp without them is told here, and not by a socket that hangs."""
    assert {"_message_tail"} <= set(web.RequestHandler.__slots__)
    assert hasattr(web.WebSocketResponse, "_post_start")


async def test_who_goes_in_the_middle_of_a_frame_leaves_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the frame makes it known to learns of its going too."""
    node = await cluster.node()
    tea = await node.client(ANN).group(BEN)
    asked, may = asyncio.Event(), asyncio.Event()
    brought_in, visible = node.context.node.repair.brought_in, node.context.users.visible

    async def wait() -> None:
        asked.set()
        await may.wait()

    async def brought_in_late(*args: Any) -> bool:
        await wait()
        return await brought_in(*args)

    async def visible_late(*args: Any) -> Any:
        await wait()
        return await visible(*args)

    monkeypatch.setattr(node.context.node.repair, "brought_in", brought_in_late)
    monkeypatch.setattr(node.context.users, "visible", visible_late)
    ben = await node.phone(BEN)  # the feed stays open
    for frame in ({"type": "subscribe", "conversation_id": tea}, {"type": "presence", "user_ids": [BEN]}):
        asked.clear()
        may.clear()
        phone = await node.phone(ANN)
        await phone.socket.send_json(frame)
        await asked.wait()
        phone.socket._writer.transport.abort()
        async with asyncio.timeout(20):
            while node.context.open_sockets > 1:
                await asyncio.sleep(0.01)
        may.set()
        async with asyncio.timeout(20):
            while node.context.answering:
                await asyncio.sleep(0.01)
        (feed,) = node.context.node.hub.feeds.values()
        assert (dict(feed.subscribers), len(node.context.node.hub.watches)) == ({}, 0)
        assert {device.user_id for device in node.context.devices} == {BEN}
    await ben.ask("ping")
