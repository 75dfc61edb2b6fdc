"""Dialect B on several nodes: one room, one count, and a node that goes sends its clients to another."""

import asyncio
import json
from typing import Any

import pytest

from messenger import lifecycle
from messenger.dialects import live
from messenger.dialects.socket_io import DOOR
from tests.support.node import FREE, Cluster, Node
from tests.support.people import A_TIME, A_UUID7
from tests.support.proxy import proxied
from tests.support.sessions import LiveSession, open_session
from tests.support.socket_io import (
    EITHER,
    POLLING,
    Client,
    Clients,
    clients_of_test,
    driver_of_module,
    handshake,
    left,
    url,
)

ANN = 1

driver = driver_of_module()


@pytest.fixture
async def nodes(cluster: Cluster) -> tuple[Node, Node]:
    return await cluster.node(**FREE), await cluster.node(**FREE)


clients = clients_of_test()


@pytest.fixture
async def bees(nodes: tuple[Node, Node]) -> LiveSession:
    return await open_session(nodes[0], ANN)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has gone counts for a second."""
    monkeypatch.setattr(live, "COUNTS_S", 1.0)


async def counts(client: Client, count: int) -> None:
    assert await client.hear("participant_count_update", {"count": count}) == {"count": count}


async def test_what_is_said_on_one_node_is_heard_on_the_other_in_order(
    nodes: tuple[Node, Node], bees: LiveSession, clients: Clients
) -> None:
    one, two = nodes
    seats = [await bees.join(one, name) for name in ("Ben", "Cyd", "Dee")]
    bens = await clients.joined(one, bees, seats[0])
    cyds = await clients.joined(two, bees, seats[1], transports=POLLING)
    dees = await clients.joined(two, bees, seats[2], transports=None)
    for number in range(30):
        (bens, cyds, dees)[number % 3].emit("send_message", {"message": f"{number}"})
        for client in (bens, cyds, dees):
            told = {
                "id": A_UUID7,
                "participant_nickname": ("Ben", "Cyd", "Dee")[number % 3],
                "message": f"{number}",
                "message_type": "text",
                "created_at": A_TIME,
            }
            assert await client.hear("new_message") == told
    heard = [[data for name, data in client.events if name == "new_message"] for client in (bens, cyds, dees)]
    assert heard[0] == heard[1] == heard[2]
    bens.emit("get_chat_history", {})
    cyds.emit("get_chat_history", {})
    history = await bens.hear("chat_history")
    assert history == await cyds.hear("chat_history") == {"messages": heard[0], "total_count": 30}


async def test_counts_agree_on_every_node(nodes: tuple[Node, Node], bees: LiveSession, clients: Clients) -> None:
    one, two = nodes
    ben, cyd, dee = [await bees.join(one, name) for name in ("Ben", "Cyd", "Dee")]
    bens = await clients.joined(one, bees, ben)
    cyds = await clients.connected(two, cyd.token)
    assert await cyds.join(bees.code, cyd) == 2
    await counts(bens, 2)
    host = await clients.connected(two, bees.seat.token, transports=POLLING)
    assert await host.join(bees.id, bees.seat, role="presenter") == 3
    for client in (bens, cyds, host):
        await counts(client, 3)
    # Whoever is on both nodes counts once.
    again = await clients.connected(two, ben.token)
    assert await again.join(bees.code, ben) == 3
    async with bees.ear(one, dee):
        for client in (bens, cyds, host, again):
            await counts(client, 4)
        for node, seat in ((one, ben), (two, cyd)):
            assert await (await clients.connected(node, seat.token)).join(bees.code, seat) == 4


@pytest.mark.usefixtures("brief")
async def test_who_has_gone_counts_for_a_while_on_every_node_and_then_no_more(
    nodes: tuple[Node, Node], bees: LiveSession, clients: Clients
) -> None:
    one, two = nodes
    ben, cyd, dee = [await bees.join(one, name) for name in ("Ben", "Cyd", "Dee")]
    bens, cyds = await clients.joined(one, bees, ben), await clients.joined(two, bees, cyd)
    dees = await clients.joined(two, bees, dee)
    for client in (bens, cyds, dees):
        await counts(client, 3)
        await client.heard("participant_count_update")
    dees.close()
    for client in (bens, cyds):
        # Everybody is told at once, with the count as it stands.
        await counts(client, 3)
    for client in (bens, cyds):
        await counts(client, 2)
    # Whoever comes in now is told the same, on either node.
    for node, seat in ((one, cyd), (two, ben)):
        assert await (await clients.connected(node, seat.token)).join(bees.code, seat) == 2


async def test_whoever_goes_is_told_at_once_though_he_may_come_back(cluster: Cluster, clients: Clients) -> None:
    one, two = [await cluster.node(**FREE, presence_grace_s=3600) for _ in range(2)]
    bees = await open_session(one, ANN)
    ben, cyd, dee = [await bees.join(one, name) for name in ("Ben", "Cyd", "Dee")]
    bens, cyds = await clients.joined(one, bees, ben), await clients.joined(two, bees, cyd)
    dees = await clients.joined(two, bees, dee)
    for client in (bens, cyds):
        await counts(client, 3)
        await client.heard("participant_count_update")
    dees.close()
    for client in (bens, cyds):
        await counts(client, 3)


@pytest.mark.usefixtures("brief")
async def test_who_comes_back_within_that_time_has_never_been_gone(
    nodes: tuple[Node, Node], bees: LiveSession, clients: Clients
) -> None:
    one, two = nodes
    ben, cyd = [await bees.join(one, name) for name in ("Ben", "Cyd")]
    bens, cyds = await clients.joined(one, bees, ben), await clients.joined(two, bees, cyd)
    await counts(bens, 2)
    cyds.close()
    await cyds.hear("disconnect")
    again = await clients.connected(one, cyd.token)
    assert await again.join(bees.code, cyd) == 2
    dee = await bees.join(one, "Dee")
    dees = await clients.joined(two, bees, dee)
    for client in (bens, again):
        await counts(client, 3)
    dees.close()
    # When Dee's time is over, Cyd's would have been long before.
    for client in (bens, again):
        async with asyncio.timeout(15):
            while told_counts(client)[-1] != 2:
                await asyncio.sleep(0.02)
        assert 1 not in told_counts(client)[1:]


def told_counts(client: Client) -> list[int]:
    return [data["count"] for name, data in client.events if name == "participant_count_update"]


async def test_a_newcomer_counts_whoever_was_seen_a_moment_ago_though_nobody_is_left_who_saw_him(
    nodes: tuple[Node, Node], bees: LiveSession, clients: Clients
) -> None:
    one, two = nodes
    ben, cyd = [await bees.join(one, name) for name in ("Ben", "Cyd")]
    bens = await clients.joined(one, bees, ben)
    bens.close()
    await left(one)
    async with asyncio.timeout(15):
        while await two.context.node.presence.online_users():
            await asyncio.sleep(0.02)
    for node in (one, two):
        client = await clients.connected(node, cyd.token)
        assert await client.join(bees.code, cyd) == 2


async def test_a_host_counts_while_he_is_connected_and_no_longer(
    nodes: tuple[Node, Node], bees: LiveSession, clients: Clients
) -> None:
    one, two = nodes
    ben, cyd = [await bees.join(one, name) for name in ("Ben", "Cyd")]
    bens, cyds = await clients.joined(one, bees, ben), await clients.joined(two, bees, cyd)
    host = await clients.joined(two, bees, bees.seat, role="presenter")
    for client in (bens, cyds):
        await counts(client, 3)
    host.close()
    for client in (bens, cyds):
        await counts(client, 2)
    async with bees.ear(one, bees.seat):
        for client in (bens, cyds):
            await counts(client, 3)
    for client in (bens, cyds):
        await counts(client, 2)


async def test_a_guest_who_never_came_does_not_count(
    nodes: tuple[Node, Node], bees: LiveSession, clients: Clients
) -> None:
    ben, _ = await bees.join(nodes[0], "Ben"), await bees.join(nodes[0], "Cyd")
    client = await clients.connected(nodes[1], ben.token)
    assert await client.join(bees.code, ben) == 1


@EITHER
async def test_a_node_that_goes_sends_its_clients_to_another(
    cluster: Cluster, clients: Clients, transports: list[str] | None
) -> None:
    two = await cluster.node(**FREE)
    bees = await open_session(two, ANN)
    ben, cyd = [await bees.join(two, name) for name in ("Ben", "Cyd")]
    cyds = await clients.joined(two, bees, cyd)
    async with proxied("") as gate:
        async with cluster.node_for_a_while(**FREE) as one:
            gate.target = (one.server.host, one.server.port)
            retry: dict[str, Any] = {"reconnection": True, "reconnectionDelay": 50, "reconnectionDelayMax": 100}
            origin = f"http://127.0.0.1:{gate.port}"
            bens = await clients.joined(one, bees, ben, transports=transports, origin=origin, **retry)
            await counts(cyds, 2)
            gate.target = (two.server.host, two.server.port)
        # Not the daemon's own "io server disconnect": after that a client stays away.
        assert await bens.hear("disconnect") in ("transport close", "transport error")
        assert await bens.hear("connected") == {"status": "connected"}
        assert await bens.join(bees.code, ben) == 2
        cyds.emit("send_message", {"message": "Welcome back"})
        assert (await bens.hear("new_message"))["message"] == "Welcome back"
        assert len(two.server.app[DOOR].connections) == 2
        await clients.close()


async def test_a_node_that_goes_takes_nobody_in(nodes: tuple[Node, Node], bees: LiveSession, clients: Clients) -> None:
    one, _ = nodes
    await lifecycle.drain(one.server.app)
    client = clients.open(one, bees.seat.token)
    await client.hear("connect_error")


@pytest.mark.usefixtures("brief")
async def test_while_many_come_and_go_every_node_ends_with_the_same_count(
    nodes: tuple[Node, Node], bees: LiveSession, clients: Clients
) -> None:
    one, two = nodes
    seats = [await bees.join(one, f"Guest {number}") for number in range(8)]
    staying = [
        await clients.joined(one, bees, seats[0]),
        await clients.joined(two, bees, seats[1], transports=POLLING),
    ]

    async def come_and_go(number: int) -> None:
        for turn in range(3):
            node = nodes[(number + turn) % 2]
            client = await clients.connected(node, seats[number].token, transports=(POLLING, None)[number % 2])
            await client.join(bees.code, seats[number])
            if turn % 2:
                client.break_off() if number % 2 else client.close()
            else:
                client.close()

    await asyncio.gather(*(come_and_go(number) for number in range(2, 8)))
    for client in staying:
        async with asyncio.timeout(15):
            while told_counts(client)[-1] != 2:
                await asyncio.sleep(0.02)
    assert await staying[0].join(bees.code, seats[0]) == await staying[1].join(bees.code, seats[1]) == 2


async def test_a_node_that_drains_sends_a_proxy_on_with_whom_it_does_not_know(nodes: tuple[Node, Node]) -> None:
    """A proxy that looks for a client's node by his id tries this one first; an error of the client's would end there."""
    one, two = nodes
    _, _, text = await handshake(two)
    sid = json.loads(text.removeprefix("0"))["sid"]
    at_one = url(one, transport="polling", sid=sid)
    statuses = []
    for _ in range(2):
        async with one.session.get(at_one) as got, one.session.post(at_one, data="3") as posted:
            statuses.append((got.status, posted.status))
        await lifecycle.drain(one.server.app)
    assert statuses == [(400, 400), (503, 503)]
    assert (await handshake(one))[0] == 503
    async with two.session.post(url(two, transport="polling", sid=sid), data="1") as posted:
        assert posted.status == 200
    await left(two)
