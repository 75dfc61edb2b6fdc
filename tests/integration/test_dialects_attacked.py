"""Dialect B, attacked: what a client by Socket.IO may try, and what it comes to. Each of these once got through."""

import asyncio
import json
import time
from typing import Any

import pytest

from messenger import lifecycle
from messenger.config import Rate
from messenger.dialects import socket_door
from messenger.dialects.live import LiveRoom
from messenger.dialects.places import HALL
from messenger.dialects.socket_io import DOOR
from messenger.errors import Unavailable
from tests.support.node import FREE, Cluster, Node, node_of_stage, stage_with
from tests.support.people import token
from tests.support.reachable import SECRET
from tests.support.sessions import LiveSession, Seat, ben_of_session, open_session, session_of_stage
from tests.support.socket_io import (
    POLLING,
    WEBSOCKET,
    Clients,
    Poller,
    clients_of_test,
    driver_of_module,
    join_packet,
    left,
    packet,
    poller,
    raw,
)

PATIENCE_S = 15
# As short as a setting may be: what waits for somebody who does not read.
FEW_BYTES = 65536

stage = stage_with()
node = node_of_stage()
bees, ben = session_of_stage(), ben_of_session()
driver = driver_of_module()
clients = clients_of_test()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does not go by himself is cut soon."""
    monkeypatch.setattr(socket_door, "FAREWELL_S", 0.2)


async def joined(node: Node, session: LiveSession, seat: Seat) -> Poller:
    client = await poller(node, seat.token)
    assert await client.post(join_packet(session, seat)) == 200
    while not any(told.startswith('42["joined_session"') for told in await client.hear()):
        pass
    return client


async def test_who_joins_four_times_at_once_is_one_device(node: Node, bees: LiveSession, ben: Seat) -> None:
    client = await poller(node, ben.token)
    assert await asyncio.gather(*(client.post(join_packet(bees, ben)) for _ in range(4))) == [200] * 4
    assert len(node.context.devices) == 1
    answer = packet("joined_session", session_id=bees.code, participant_count=1)
    heard: list[str] = []
    while heard.count(answer) < 4:
        heard += await client.hear()
    assert await client.post("1") == 200
    await left(node)
    assert not node.context.devices


@pytest.mark.usefixtures("brief")
async def test_a_client_that_answers_nothing_holds_up_no_drain(cluster: Cluster) -> None:
    node = await cluster.node(**FREE)
    bees = await open_session(node, 1)
    ben = await bees.join(node, "Ben")
    door = node.server.app[DOOR]
    # Neither reads anything from here on.
    silent, deaf = await poller(node, bees.seat.token), await raw(node, ben.token)
    await asyncio.gather(*(silent.post(join_packet(bees, bees.seat)) for _ in range(4)))
    await deaf.socket.send_str(join_packet(bees, ben))
    async with asyncio.timeout(PATIENCE_S):
        while len(node.context.devices) < 2 or not all(client.hearer for client in door.connections.values()):
            await asyncio.sleep(0.01)
        await lifecycle.drain(node.server.app)
    await left(node)
    assert not node.context.devices
    await deaf.socket.close()


@pytest.mark.usefixtures("brief")
async def test_who_is_refused_while_it_is_drained_holds_up_no_drain(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node(**FREE)
    bees = await open_session(node, 1)
    is_closed, close = asyncio.Event(), socket_door.Held.close

    async def away(*_: Any) -> None:
        """The database, just now."""
        await is_closed.wait()
        raise Unavailable

    def closing(held: socket_door.Held, why: Any) -> None:
        close(held, why)
        is_closed.set()

    monkeypatch.setattr(LiveRoom, "turned_away", away)
    monkeypatch.setattr(socket_door.Held, "close", closing)
    client = await poller(node, bees.seat.token)
    joining = asyncio.create_task(client.post(join_packet(bees, bees.seat)))
    async with asyncio.timeout(PATIENCE_S):
        while not node.context.devices:
            await asyncio.sleep(0.01)
        await lifecycle.drain(node.server.app)
        await joining
    await left(node)
    assert not node.context.devices


async def test_of_a_body_with_too_many_packets_nothing_is_done(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients
) -> None:
    cyds = await clients.joined(node, bees, await bees.join(node, "Cyd"))
    client = await joined(node, bees, ben)
    assert await client.post(*(packet("send_message", message=f"of 257: {number}") for number in range(257))) == 413
    assert await client.post(*(packet("send_message", message=f"{number}") for number in range(256))) == 200
    assert [(await cyds.hear("new_message"))["message"] for _ in range(256)] == [f"{number}" for number in range(256)]
    assert await client.post("1") == 200


@pytest.mark.parametrize("is_in", [False, True], ids=["connected", "joined"])
async def test_who_is_told_no_a_hundred_times_is_ended(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, is_in: bool
) -> None:
    client = await clients.connected(node, ben.token)
    if is_in:
        await client.join(bees.code, ben)
    for number in range(99):
        client.emit(f"nonsense {number}")
    for number in range(99):
        assert await client.hear("error") == {"message": f"Unknown event: nonsense {number}"}
    assert await client.join(bees.code, ben) == 1  # it is served still
    client.emit("send_message", {"message": ""})
    assert await client.hear("error") == {"message": "Message content cannot be empty"}
    assert await client.hear("error") == {"message": "protocol_error"}
    assert await client.hear("disconnect") == "io server disconnect"


@pytest.mark.usefixtures("brief")
async def test_who_leaves_too_many_bytes_unread_is_ended(cluster: Cluster) -> None:
    node = await cluster.node(**FREE, max_queue_bytes=FEW_BYTES)
    door = node.server.app[DOOR]
    bees = await open_session(node, 1)
    client = await joined(node, bees, await bees.join(node, "Ben"))
    waiting = door._server.eio.sockets[client.sid].queue
    said = 0
    while door.connections and said * 2000 <= 2 * FEW_BYTES:
        before = waiting.qsize()
        await node.client(bees.host).send(bees.id, "🐝" * 500)
        said += 1
        async with asyncio.timeout(PATIENCE_S):
            while door.connections and waiting.qsize() == before:
                await asyncio.sleep(0.01)
    # The one that was too much stands behind as many as there was room for.
    assert (said - 1) * 2000 <= FEW_BYTES
    async with asyncio.timeout(PATIENCE_S):
        while door.connections:
            await asyncio.sleep(0.01)
    await left(node)


async def test_what_was_said_may_be_asked_for_as_often_as_something_may_be_said(
    cluster: Cluster, clients: Clients
) -> None:
    node = await cluster.node(**{**FREE, "rate_messages": Rate(1, 3600, 3)})
    bees = await open_session(node, 1)
    client = await clients.joined(node, bees, bees.seat)
    for _ in range(3):
        client.emit("get_chat_history", {})
        assert await client.hear("chat_history") == {"messages": [], "total_count": 0}
    for event in ("get_chat_history", "send_message"):
        assert (await client.refused(event, {"message": "Hello"})).startswith("Too many requests")
    assert await client.heard("chat_history", "new_message") == []


@pytest.mark.parametrize("whose", ["a guest's", "a user's"])
async def test_whose_token_ended_since_he_connected_does_not_join(
    cluster: Cluster, clients: Clients, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    node = await cluster.node(**FREE, jwt_leeway_s=0, guest_ttl_s=2)
    bees = await open_session(node, 1)

    async def none(_: Any) -> int:
        return 0

    # He is not cleared away before he is seen.
    monkeypatch.setattr(node.context.sessions, "clear_idle_guests", none)
    if whose == "a guest's":
        ben = await bees.join(node, "Ben")
    else:
        ben = Seat(bees.seat.id, "Ann", token(1, SECRET, name="Ann", exp=int(time.time()) + 2))
    ended_at = time.time() + 2
    client = await clients.connected(node, ben.token)
    while time.time() <= ended_at:
        await asyncio.sleep(0.05)
    data = {"session_id": bees.code, "participant_id": ben.id}
    assert await client.refused("join_session", data) == "token_expired"
    assert not node.context.devices


async def test_who_says_goodbye_while_he_is_let_in_leaves_no_room_behind(
    node: Node, bees: LiveSession, ben: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    reception, hall = node.context.node.reception, node.server.app[HALL]
    begun, may, is_over, admit = asyncio.Event(), asyncio.Event(), asyncio.Event(), reception.admit

    async def late(*args: Any) -> None:
        begun.set()
        await may.wait()
        try:
            await admit(*args)
        finally:
            is_over.set()

    async with node.phone_for_a_while(bees.host) as phone, asyncio.timeout(PATIENCE_S):
        client = await poller(node, ben.token)
        monkeypatch.setattr(reception, "admit", late)
        joining = asyncio.create_task(client.post(join_packet(bees, ben)))
        await begun.wait()
        assert await client.post("1") == 200
        may.set()
        await is_over.wait()
        await joining
        await phone.ask("ping")
        feed = next(iter(feed for feed in node.context.node.hub.feeds.values() if str(feed.conversation_id) == bees.id))
        assert not [sink for sink in feed.subscribers if isinstance(sink, LiveRoom)]
        assert len(hall.rooms) == 0
    await node.emptied()


async def test_who_connects_anew_has_said_no_less(cluster: Cluster) -> None:
    node = await cluster.node(**{**FREE, "rate_frames": Rate(1, 3600, 5)})
    bees = await open_session(node, 1)
    client = await raw(node, bees.seat.token)  # one
    connect = "40" + json.dumps({"token": bees.seat.token})
    for _ in range(4):
        await client.socket.send_str("41")
        await client.socket.send_str(connect)
        assert (await client.hear()).startswith("40{")
        assert await client.hear() == packet("connected", status="connected")
    await client.socket.send_str("41")
    await client.socket.send_str(connect)
    told = await client.hear()
    assert told.startswith("44{")
    assert json.loads(told.removeprefix("44"))["message"].startswith("Too many requests")
    await client.socket.close()
    await left(node)
    assert not node.server.app[DOOR]._rates


@pytest.mark.parametrize("transports", [WEBSOCKET, POLLING], ids=["websocket", "polling"])
async def test_who_connects_and_joins_nothing_is_ended(
    cluster: Cluster, clients: Clients, monkeypatch: pytest.MonkeyPatch, transports: list[str]
) -> None:
    monkeypatch.setattr(socket_door, "SWEEP_S", 0.05)
    node = await cluster.node(**FREE)
    bees = await open_session(node, 1)
    idle = await clients.connected(node, bees.seat.token, transports=transports)
    busy = await clients.joined(node, bees, bees.seat, transports=transports)
    monkeypatch.setattr(socket_door, "JOINS_WITHIN_S", 0.0)
    # The stock client takes it for a broken line, and would connect again by itself.
    assert await idle.hear("disconnect") in ("transport close", "transport error")
    busy.emit("send_message", {"message": "Still here"})
    assert (await busy.hear("new_message"))["message"] == "Still here"
    assert await busy.heard("disconnect") == []
