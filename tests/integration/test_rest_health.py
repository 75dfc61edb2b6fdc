"""/stats, /healthz, /readyz: what the daemon counts, and whether it can work."""

from typing import Any

import pytest

from messenger.store import session
from tests.support.node import SECRET, Cluster, Node, node_of_stage, stage_with
from tests.support.people import token

stage = stage_with()
node = node_of_stage()


async def test_stats_count_this_node_and_the_cluster(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    await one.client(1).group(2)
    assert await _stats(one) == {
        "online_users": 0,
        "total_connections": 0,
        "active_conversations": 0,
        "cluster": {"nodes": 2, "online_users": 0, "total_connections": 0, "active_conversations": 0},
    }
    phones = [await one.phone(1), await one.phone(1), await two.phone(2)]
    for node in (one, two):  # what the other one counts is told every few seconds
        await node.context.node.bus.tell_figures(node.context.node.figures())
    cluster_wide = {"nodes": 2, "online_users": 2, "total_connections": 3, "active_conversations": 1}
    for node, users, devices in ((one, 1, 2), (two, 1, 1)):
        figures = {"online_users": users, "total_connections": devices, "active_conversations": 1}
        assert await _stats(node) == {**figures, "cluster": cluster_wide}
    for phone in phones:
        await phone.socket.close()
    await one.emptied()
    assert (await _stats(one))["total_connections"] == 0


async def _stats(node: Node) -> Any:
    answer = await node.nobody().ask("GET", "//stats")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    return answer.body


async def test_a_bus_that_is_away_is_only_told(cluster: Cluster) -> None:
    node = await cluster.node(redis_url="unix:///nowhere/redis.sock")
    answer = await node.nobody().ask("GET", "//readyz")
    assert (answer.status, answer.body) == (200, {"status": "ready", "database": "ok", "bus": "degraded"})
    phone = await node.phone(1)
    assert (await phone.ask("ping"))["type"] == "pong"
    assert (await node.client(1).get("/users/me"))[0] == 200


async def test_a_database_that_is_away_is_unavailable_and_not_ready(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node()
    phone = await node.phone(1)
    monkeypatch.setattr(session, "ACQUIRE_S", 0.1)
    pool = node.context.duties._store._pool
    held = [await pool.acquire() for _ in range(session.POOL_SIZE)]
    try:
        answer = await node.nobody().ask("GET", "//readyz")
        assert (answer.status, answer.body) == (503, {"status": "unready", "database": "away", "bus": "ok"})
        status, told = await node.client(1).get("/conversations")
        assert (status, told["code"]) == (503, "unavailable")
        answer = await phone.answer("message.read", message_id="01890000-0000-7000-8000-000000000000")
        assert (answer["type"], answer["code"]) == ("error", "unavailable")
        assert await node.knock(bearer=token(2, SECRET)) == (1013, "overloaded")
    finally:
        for connection in held:
            await pool.release(connection)
    assert (await phone.ask("message.read", message_id="01890000-0000-7000-8000-000000000000"))[
        "code"
    ] == "message_not_found"
