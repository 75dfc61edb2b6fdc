"""/metrics: every figure that is promised is there and moves when the thing happens, and nobody outside makes new ones."""

import asyncio
import os
import resource
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from importlib.metadata import version
from platform import python_version
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import asyncio as aioredis

from messenger import lifecycle
from messenger.bus import subscriber
from messenger.config import Rate
from messenger.fanout.node import Census
from messenger.fanout.node import Node as FanoutNode
from messenger.service.sync import WIDTH
from messenger.store import lanes, session
from messenger.transport import wire
from messenger.transport.context import ENTRANCE_WIDTH
from tests.faults.test_many_nodes import node_of, on_every_worker
from tests.support.database import Servers
from tests.support.log import pour
from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import Client, token
from tests.support.reachable import SECRET, Reachable
from tests.support.stalled import stalled

ANN, BEN, CYD = 1, 2, 3
API_TOKEN = "the host's own key"
NOWHERE = "unix:///nowhere/redis.sock"

PROMISED = {
    "messenger_workers": "gauge",
    "messenger_build_info": "gauge",
    "messenger_draining": "gauge",
    "messenger_connections": "gauge",
    "messenger_connections_limit": "gauge",
    "messenger_devices": "gauge",
    "messenger_online_users": "gauge",
    "messenger_active_conversations": "gauge",
    "messenger_frames_total": "counter",
    "messenger_unknown_type_total": "counter",
    "messenger_closes_total": "counter",
    "messenger_http_requests_total": "counter",
    "messenger_send_to_commit_seconds": "histogram",
    "messenger_commit_to_socket_seconds": "histogram",
    "messenger_bus_lag_seconds": "histogram",
    "messenger_bus_up": "gauge",
    "messenger_bus_dropped_total": "counter",
    "messenger_feed_gaps_filled_total": "counter",
    "messenger_poll_seconds": "histogram",
    "messenger_presence_renewals_failed_total": "counter",
    "messenger_database_up": "gauge",
    "messenger_database_connections": "gauge",
    "messenger_database_connections_limit": "gauge",
    "messenger_database_waiting": "gauge",
    "messenger_gate_waiting": "gauge",
    "messenger_notifications_total": "counter",
    "messenger_outbox_waiting": "gauge",
    "messenger_uploads_total": "counter",
    "messenger_uploaded_bytes_total": "counter",
    "messenger_loop_delay_seconds": "histogram",
    "process_resident_memory_bytes": "gauge",
    "process_cpu_seconds_total": "counter",
    "process_open_fds": "gauge",
    "process_max_fds": "gauge",
    "process_start_time_seconds": "gauge",
}
stage = stage_with(max_frame_bytes=4096)
node = node_of_stage()


class Told:
    """One answer of /metrics, read as Prometheus does."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __getitem__(self, name: str) -> float:
        """A sample without labels."""
        return self.samples["messenger_" + name, frozenset()]

    def of(self, name: str, **labels: str) -> float:
        """A sample by its labels; what never happened is none."""
        return self.samples.get(("messenger_" + name, frozenset(labels.items())), 0)

    def plain(self, name: str) -> float:
        """A sample without labels, by its whole name."""
        return self.samples[name, frozenset()]

    def grown(self, before: "Told", name: str) -> Mapping[frozenset[tuple[str, str]], float]:
        """What of a counter grew, and by how much."""
        now = {labels: value for (of, labels), value in self.samples.items() if of == "messenger_" + name}
        more = {labels: value - before.samples.get(("messenger_" + name, labels), 0) for labels, value in now.items()}
        return {labels: value for labels, value in more.items() if value}


def labels(**values: str) -> frozenset[tuple[str, str]]:
    return frozenset(values.items())


async def metrics(daemon: Reachable) -> Told:
    answer = await daemon.nobody().ask("GET", "//metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return Told(answer.text)


async def until(daemon: Reachable, true: Callable[[Told], Any]) -> Told:
    async with asyncio.timeout(10):
        while not true(told := await metrics(daemon)):
            await asyncio.sleep(0.02)
    return told


def pings(told: Told) -> float:
    return told.of("frames_total", type="ping", result="ok")


async def test_every_metric_that_is_promised_is_there_with_its_meaning(stage: Stage, node: Node) -> None:
    told = await metrics(node)
    types = {name + "_total" * (family.type == "counter"): family.type for name, family in told.families.items()}
    assert types == PROMISED
    for name, kind in PROMISED.items():
        family = told.families[name.removesuffix("_total") if kind == "counter" else name]
        assert len(family.documentation) > 20
        assert family.documentation.endswith(".")
        assert f"# HELP {name} " in told.text
        assert f"# TYPE {name} {kind}\n" in told.text


async def test_who_is_here_is_counted(cluster: Cluster) -> None:
    one, two = await cluster.node(), await cluster.node()
    names = ("connections", "devices", "online_users", "active_conversations")
    assert [(await metrics(one))[name] for name in names] == [0, 0, 0, 0]
    await one.client(ANN).group(BEN)
    phones = [await one.phone(ANN), await one.phone(ANN), await one.phone(BEN), await two.phone(ANN)]
    assert [(await metrics(one))[name] for name in names] == [3, 3, 2, 1]
    # Nodes in one process have no figure in common.
    assert [(await metrics(two))[name] for name in names] == [1, 1, 1, 1]
    for phone in phones:
        await phone.socket.close()
    await until(one, lambda told: [told[name] for name in names] == [0, 0, 0, 0])


@pytest.mark.parametrize("path", ["//stats", "//metrics"])
async def test_who_is_alone_is_counted_and_not_listed(
    stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Nobody else counts the same ones: their ids are of no interest, however many there are."""

    class Crowd(list[Any]):
        def __len__(self) -> int:
            return 20_000

        def __iter__(self) -> Any:
            raise AssertionError("each of them was looked at")

    counted = []

    def census(_: Any) -> Census:
        counted.append(path)
        return Census(Crowd(), Crowd(), 30_000)

    monkeypatch.setattr(FanoutNode, "census", census)
    answer = await node.nobody().ask("GET", path)
    if path == "//stats":
        told = {"online_users": 20_000, "total_connections": 30_000, "active_conversations": 20_000}
        assert {name: answer.body[name] for name in told} == told
        # Once for this daemon, once for its part in the cluster.
        assert len(counted) <= 2
    else:
        told_of = Told(answer.text)
        assert [told_of[name] for name in ("devices", "online_users", "active_conversations")] == [
            30_000,
            20_000,
            20_000,
        ]
        assert len(counted) == 1


async def test_a_socket_counts_before_its_device_is_let_in(cluster: Cluster) -> None:
    node = await cluster.node()
    async with AsyncExitStack() as stack:
        for _ in range(ENTRANCE_WIDTH):
            await stack.enter_async_context(node.context.entrance.passed(object()))
        coming = asyncio.create_task(node.phone(ANN))
        told = await until(node, lambda told: told.of("gate_waiting", gate="entrance"))
        assert (told["connections"], told["devices"], told.of("gate_waiting", gate="entrance")) == (1, 0, 1)
    await coming
    told = await metrics(node)
    assert (told["connections"], told["devices"], told.of("gate_waiting", gate="entrance")) == (1, 1, 0)


async def test_who_waits_to_catch_up_is_counted(cluster: Cluster) -> None:
    node = await cluster.node()
    phone = await node.phone(ANN)
    async with AsyncExitStack() as stack:
        for _ in range(WIDTH):
            await stack.enter_async_context(node.context.sync._gate.passed(object()))
        await phone.say("sync", cursors={})
        await until(node, lambda told: told.of("gate_waiting", gate="sync") == 1)
    await phone.hear("sync")
    assert (await metrics(node)).of("gate_waiting", gate="sync") == 0


async def test_a_frame_counts_by_its_type_and_by_what_became_of_it(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group(ben)
    phone = await node.phone(ann)
    before = await metrics(node)
    await phone.ask("ping")
    await phone.ask("message.send", conversation_id=tea, content="hi")
    await phone.ask("message.send", conversation_id=tea, content=" ")
    await phone.ask("message.send", conversation_id="tea", content="hi")
    await phone.ask("message.sing")
    await phone.say("message.sing")
    await phone.socket.send_str("{")
    await phone.socket.send_str("[]")
    await phone.socket.send_str('{"type":7}')
    await phone.socket.send_bytes(b"{}")
    await phone.ask("ping")
    told = await metrics(node)
    assert told.grown(before, "frames_total") == {
        labels(type="ping", result="ok"): 2,
        labels(type="message.send", result="ok"): 1,
        labels(type="message.send", result="content_empty"): 1,
        labels(type="message.send", result="invalid_conversation_id"): 1,
        labels(type="unknown", result="unknown_type"): 2,
        labels(type="invalid", result="invalid_json"): 1,
        labels(type="invalid", result="invalid_frame"): 3,
    }
    assert told["unknown_type_total"] == before["unknown_type_total"] + 2


async def test_what_nobody_foresaw_and_what_comes_too_fast_are_counted_as_such(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node(rate_frames=Rate(1, 3600, 1))
    phone = await node.phone(ANN)

    async def fail(*_: Any) -> None:
        raise LookupError

    monkeypatch.setattr(node.context.users, "visible", fail)
    assert (await phone.ask("presence", user_ids=[BEN]))["code"] == "internal"
    assert (await phone.ask("ping"))["code"] == "rate_limited"
    told = await metrics(node)
    assert told.of("frames_total", type="presence", result="internal") == 1
    assert told.of("frames_total", type="ping", result="rate_limited") == 1


async def test_a_message_is_timed_from_its_lane_to_its_commit_and_from_there_to_the_sockets(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await cluster.node(**FREE), await cluster.node(**FREE)
    tea = await one.client(ANN).group(BEN)
    ann, ben = await one.phone(ANN), await two.phone(BEN)
    append, flush = lanes._append, wire.Wire.flush

    async def append_slowly(*args: Any, **options: Any) -> Any:
        await asyncio.sleep(0.3)
        return await append(*args, **options)

    def flush_slowly(self: wire.Wire) -> None:
        time.sleep(0.03)  # writing does not give way
        flush(self)

    monkeypatch.setattr(lanes, "_append", append_slowly)
    monkeypatch.setattr(wire.Wire, "flush", flush_slowly)
    for client_id in ("a", "b", "b"):  # a duplicate is committed once
        await ann.ask("message.send", conversation_id=tea, content="hi", client_id=client_id)
    await ben.durable(tea, 2)
    told, far = await metrics(one), await metrics(two)
    assert told["send_to_commit_seconds_count"] == 2
    assert told["send_to_commit_seconds_sum"] >= 2 * 0.3
    assert told.of("send_to_commit_seconds_bucket", le="0.25") == 0
    assert told.of("send_to_commit_seconds_bucket", le="+Inf") == 2
    assert far["send_to_commit_seconds_count"] == 0
    for node_told, path, other in ((told, "local", "bus"), (far, "bus", "local")):
        assert node_told.of("commit_to_socket_seconds_count", path=path) == 2
        assert node_told.of("commit_to_socket_seconds_sum", path=path) >= 2 * 0.03
        assert node_told.of("commit_to_socket_seconds_bucket", path=path, le="0.025") == 0
        assert node_told.of("commit_to_socket_seconds_count", path=other) == 0


async def test_what_was_missing_is_counted_and_its_time_on_the_way_is_not_guessed(
    cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    node = await cluster.node(catch_up_s=3600)
    tea = await node.client(ANN).group(BEN)
    ben = await node.phone(BEN)
    await pour(oracle, tea, ANN, ["nobody said", "that these are there"])
    await node.client(ANN).send(tea, "but now")
    assert [event["change"] for event in await ben.durable(tea, 3)] == [1, 2, 3]
    told = await until(node, lambda told: told["feed_gaps_filled_total"])
    assert told["feed_gaps_filled_total"] == 3
    assert told["send_to_commit_seconds_count"] == 1
    assert told.of("commit_to_socket_seconds_count", path="local") == 0


async def test_dropped_envelopes_are_counted_by_the_reason(
    cluster: Cluster, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node()
    reasons = ("refused", "failed", "unpublished")

    def dropped(told: Told) -> list[float]:
        return [told.samples["messenger_bus_dropped_total", labels(reason=reason)] for reason in reasons]

    assert dropped(await metrics(node)) == [0, 0, 0]
    await node.phone(BEN)
    async with aioredis.Redis.from_url(servers.redis_url, protocol=2) as redis:
        await redis.publish(f"{cluster.prefix}user:{BEN}", b"poison")
        await redis.publish(f"{cluster.prefix}online:status", b"[" * 5000)
        told = await until(node, lambda told: dropped(told)[0] >= 2)
        assert dropped(told) == [2, 0, 0]

        def fail(*_: Any) -> None:
            raise LookupError

        monkeypatch.setattr(node.context.node.relay, "receive", fail)
        await redis.publish(f"{cluster.prefix}user:{BEN}", b'{"type":"app.invoice"}')
        told = await until(node, lambda told: dropped(told)[1])
        assert dropped(told) == [2, 1, 0]
    alone = await cluster.node(redis_url=NOWHERE)
    tea = await alone.client(ANN).group(BEN)
    await alone.client(ANN).send(tea, "to whom?")
    told = await until(alone, lambda told: dropped(told)[2] >= 1)
    assert dropped(told)[:2] == [0, 0]


async def test_the_bus_is_timed_by_who_hears_himself(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "WATCHDOG_S", 0.05)
    node, alone = await cluster.node(), await cluster.node(redis_url=NOWHERE)
    told = await until(node, lambda told: told["bus_lag_seconds_count"] >= 3)
    assert told["bus_up"] == 1
    told = await metrics(alone)
    assert (told["bus_up"], told["bus_lag_seconds_count"]) == (0, 0)


async def test_nobody_else_speaks_for_the_watchdog(
    cluster: Cluster, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "WATCHDOG_S", 3600)
    node = await cluster.node()
    bus = node.context.node.bus
    async with aioredis.Redis.from_url(servers.redis_url, protocol=2) as redis:
        for poison in (b"", b"echo", b"0.0", b"None", b"\xff", b"1e999"):
            assert await redis.publish(bus.channels.node(bus.node_id), poison) == 1
        await redis.publish(f"{cluster.prefix}online:status", b"the last")
    told = await until(node, lambda told: told.of("bus_dropped_total", reason="refused") == 1)
    assert told["bus_lag_seconds_count"] == 0


async def test_leases_that_are_not_renewed_and_polls_are_counted(cluster: Cluster) -> None:
    node, alone = await cluster.node(presence_ttl_s=1), await cluster.node(presence_ttl_s=1, redis_url=NOWHERE)
    for somebody in (ANN, BEN):
        await alone.phone(somebody)
        await node.phone(somebody)
    told = await until(alone, lambda told: told["presence_renewals_failed_total"])
    assert told["presence_renewals_failed_total"] == 2
    told = await until(node, lambda told: told["poll_seconds_count"] >= 4)
    assert told["presence_renewals_failed_total"] == 0
    assert told["poll_seconds_sum"] > 0


async def test_the_use_of_the_database_is_told(cluster: Cluster) -> None:
    node = await cluster.node(catch_up_s=3600)
    store = node.context.duties._store
    async with AsyncExitStack() as stack:
        for _ in range(session.POOL_SIZE - 1):
            await stack.enter_async_context(store.connection())
        told = await metrics(node)
        assert told["database_connections_limit"] == session.POOL_SIZE
        assert told.of("database_connections", state="used") == session.POOL_SIZE - 1
        assert told["database_waiting"] == 0
        await stack.enter_async_context(store.connection())
        late = asyncio.create_task(node.client(ANN).get("/conversations"))
        told = await until(node, lambda told: told["database_waiting"])
        assert told["database_waiting"] == 1
        assert told.of("database_connections", state="used") == session.POOL_SIZE
        assert told.of("database_connections", state="idle") == 0
    assert (await late)[0] == 200
    told = await until(node, lambda told: not told.of("database_connections", state="used"))
    assert told.of("database_connections", state="idle") == session.POOL_SIZE
    assert told["database_waiting"] == 0


async def test_the_daemon_tells_what_it_is_and_how_far_it_may_go(cluster: Cluster) -> None:
    node = await cluster.node(max_connections=123)
    told = await metrics(node)
    assert told.samples["messenger_build_info", labels(version=version("messenger"), python=python_version())] == 1
    assert told["connections_limit"] == 123
    assert told["database_up"] == 1


async def test_what_the_system_knows_of_the_process_is_told(cluster: Cluster) -> None:
    daemon, before = await cluster.daemon(), time.time()
    first = await metrics(daemon)
    assert daemon.resident_bytes() / 2 < first.plain("process_resident_memory_bytes") < daemon.resident_bytes() * 2
    assert before - 60 < first.plain("process_start_time_seconds") < before
    assert first.plain("process_max_fds") == resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[0]
    for _ in range(5):
        await daemon.phone(ANN)
    told = await until(
        daemon, lambda told: told.plain("process_cpu_seconds_total") > first.plain("process_cpu_seconds_total")
    )
    assert told.plain("process_start_time_seconds") == first.plain("process_start_time_seconds")
    # The connection on which it is asked comes and goes.
    assert abs(told.plain("process_open_fds") - daemon.descriptors()) <= 2
    assert told.plain("process_open_fds") >= first.plain("process_open_fds") + 3


async def test_a_daemon_that_was_asked_to_stop_tells_so(cluster: Cluster) -> None:
    node = await cluster.node()
    assert (await metrics(node))["draining"] == 0
    await lifecycle.drain(node.server.app)
    assert (await metrics(node))["draining"] == 1


async def test_a_loop_that_is_held_up_shows(stage: Stage, node: Node) -> None:
    def late(told: Told) -> float:
        return told["loop_delay_seconds_count"] - told.of("loop_delay_seconds_bucket", le="0.25")

    before = await until(node, lambda told: told["loop_delay_seconds_count"])
    time.sleep(0.5)  # noqa: ASYNC251 - who does such a thing is to be found out
    await until(node, lambda told: late(told) > late(before))


async def test_a_request_counts_by_its_route_and_never_by_its_path(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client, api = node.client(ann), "/api/v1/messenger"
    before = await metrics(node)
    tea = await client.group()
    await client.get(f"/conversations/{tea}")
    await client.get("/conversations/nobody-knows")
    await client.ask("PUT", f"/conversations/{tea}")
    await client.get("/nowhere")
    await node.nobody().get("/users/me")
    async with node.phone_for_a_while(ann):
        pass
    ended = {"method": "GET", "route": "/ws/{user_id}", "status": "101"}
    was = before.of("http_requests_total", **ended)
    told = await until(node, lambda told: told.of("http_requests_total", **ended) > was)
    grown = told.grown(before, "http_requests_total")
    assert grown.pop(labels(method="GET", route="/metrics", status="200")) >= 1
    assert grown == {
        labels(method="POST", route=api + "/conversations", status="201"): 1,
        labels(method="GET", route=api + "/conversations/{conversation_id}", status="200"): 1,
        labels(method="GET", route=api + "/conversations/{conversation_id}", status="422"): 1,
        labels(method="PUT", route="none", status="405"): 1,
        labels(method="GET", route="none", status="404"): 1,
        labels(method="GET", route=api + "/users/me", status="401"): 1,
        labels(**ended): 1,
    }


async def test_a_socket_counts_by_how_it_ended(cluster: Cluster) -> None:
    node = await cluster.node(max_frame_bytes=1024, max_devices_per_user=8, heartbeat_s=0.4, api_token=API_TOKEN)
    phones = [await node.phone(ANN) for _ in range(6)]
    await phones[0].socket.close()
    await phones[1].socket.close(code=4321, message=b"a reason of my own")
    phones[2].socket._writer.transport.abort()
    await phones[3].socket.send_str("x" * 2000)
    assert await phones[3].closed() == (1009, "frame_too_large")
    await phones[4].socket._writer.send_frame(b"\xff", aiohttp.WSMsgType.TEXT)
    assert (await phones[4].closed())[0] == 1007
    for _ in range(20):
        await phones[5].socket.send_str("{")
    assert await phones[5].closed() == (1008, "protocol_error")
    assert await node.knock("/ws/me") == (1008, "token_missing")
    assert await node.knock(f"/ws/{BEN}", bearer=token(ANN, SECRET)) == (1008, "user_mismatch")
    async with stalled(node, BEN):  # answers no ping
        told = await until(node, lambda told: told.of("closes_total", code="1006", reason="silent"))
    assert told.grown(await metrics(await cluster.node()), "closes_total") == {
        labels(code="1000", reason="client"): 1,
        labels(code="other", reason="client"): 1,
        labels(code="1006", reason="client"): 1,
        labels(code="1009", reason="frame_too_large"): 1,
        labels(code="1007", reason="malformed"): 1,
        labels(code="1008", reason="protocol_error"): 1,
        labels(code="1008", reason="token_missing"): 1,
        labels(code="1008", reason="user_mismatch"): 1,
        labels(code="1006", reason="silent"): 1,
    }
    cyd = await node.phone(CYD, iat=int(time.time()) - 5)
    await Client(node.session, node.origin, API_TOKEN).post(f"/users/{CYD}/revoke")
    assert await cyd.closed() == (1008, "revoked")
    eve = await node.phone(4)
    await asyncio.gather(lifecycle.drain(node.server.app), eve.closed())
    told = await until(node, lambda told: told.of("closes_total", code="1012", reason="draining"))
    assert told.of("closes_total", code="1008", reason="revoked") == 1


async def test_a_slow_consumer_is_counted_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "FAREWELL_S", 0.1)
    node = await cluster.node(**FREE, max_queue_bytes=65_536, max_content_chars=60_000, heartbeat_s=60)
    tea = await node.client(ANN).group(BEN)
    ann = await node.phone(ANN)
    slow = {"code": "1013", "reason": "slow_consumer"}
    # From the beginning, or Prometheus would not see the first ones.
    assert (await metrics(node)).samples["messenger_closes_total", labels(**slow)] == 0
    async with stalled(node, BEN), asyncio.timeout(20):
        while not (await metrics(node)).of("closes_total", **slow):
            await ann.ask("message.send", conversation_id=tea, content="x" * 60_000)
    assert (await metrics(node)).of("closes_total", **slow) == 1


async def test_nobody_outside_makes_new_figures(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)

    async def attack() -> str:
        secret = secrets.token_hex(8)
        async with node.phone_for_a_while(ann, device=secret) as phone:
            for kind in (secret, "message." + secret, "unknown\n" + secret, "invalid", '"} 1\n' + secret):
                await phone.ask(kind)
            await phone.say("ping", ref={secret: secret})
            await phone.socket.send_str(secret)
            await phone.socket.close(code=3000 + secrets.randbelow(2000), message=secret.encode())
        for path in (
            f"//{secret}",
            f"/{secret}",
            f"/users/{secret}",
            f"/messages/{secret}/read",
            f"/conversations/{secret}",
        ):
            for method in ("GET", "POST", "TRACE", "PROPFIND"):
                await client.ask(method, path, params={secret: secret}, headers={"X-" + secret: secret})
        assert await node.knock(f"/ws/{secret}", bearer=secret) == (1008, "token_invalid")
        return secret

    said = [await attack()]
    before = await until(node, lambda told: told["connections"] == 0)
    said += [await attack() for _ in range(10)]
    after = await until(node, lambda told: told["connections"] == 0)
    assert set(after.samples) == set(before.samples)
    for secret in (*said, client._headers["Authorization"].split()[1]):
        assert secret not in after.text
    assert after["unknown_type_total"] == before["unknown_type_total"] + 10 * 5


@pytest.mark.parametrize("path", ["//metrics", "//stats"])
async def test_private_figures_are_for_the_host_only(cluster: Cluster, path: str) -> None:
    node = await cluster.node(stats_private=True, api_token=API_TOKEN)

    async def ask(bearer: str | None) -> Any:
        return await Client(node.session, node.origin, bearer).ask("GET", path)

    for bearer in (API_TOKEN, token(ANN, SECRET, scope="service")):
        answer = await ask(bearer)
        assert answer.status == 200
        assert "online_users" in answer.text
    refused = {
        None: "token_missing",
        "a guess": "token_invalid",
        token(ANN, SECRET): "token_invalid",
        token(ANN, SECRET, scope="service", exp=int(time.time()) - 60): "token_expired",
    }
    for bearer, reason in refused.items():
        answer = await ask(bearer)
        assert (answer.status, answer.headers["Content-Type"]) == (401, "application/problem+json")
        assert (answer.body["code"], answer.body["reason"]) == ("unauthorized", reason)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "online_users" not in answer.text
    for probe in ("//healthz", "//readyz"):
        assert (await node.nobody().ask("GET", probe)).status == 200


async def test_workers_are_counted_together_whichever_is_asked(cluster: Cluster) -> None:
    daemon = await cluster.daemon("--workers", "2", **FREE)
    tea = await daemon.client(ANN).group(BEN)
    phones = [*await on_every_worker(daemon, ANN), *await on_every_worker(daemon, BEN)]
    for number, phone in enumerate(phones, start=1):
        await phone.ask("message.send", conversation_id=tea, content="hi")
        # Everywhere, before the next one may overtake it: what waits for the one before it is not timed.
        for other in phones:
            await other.durable(tea, number)
    for _ in range(8):
        # A new connection each time, so that either worker is asked.
        async with daemon.session.get(daemon.origin + "/metrics", headers={"Connection": "close"}) as response:
            told = Told(await response.text())
        figures = ("workers", "connections", "devices", "online_users", "active_conversations", "bus_up")
        assert [told[name] for name in figures] == [2, 4, 4, 2, 1, 2]
        assert told.of("frames_total", type="message.send", result="ok") == 4
        assert told["send_to_commit_seconds_count"] == told.of("send_to_commit_seconds_bucket", le="+Inf") == 4
        # Each message in the worker that committed it, and in the other one.
        assert [told.of("commit_to_socket_seconds_count", path=path) for path in ("local", "bus")] == [4, 4]
        assert told["database_connections_limit"] == 2 * session.POOL_SIZE
        assert (told["database_up"], told["draining"]) == (2, 0)
        assert told.samples["messenger_build_info", labels(version=version("messenger"), python=python_version())] == 2
        began = max(psutil.Process(pid).create_time() for pid in daemon.workers())
        assert began <= told.plain("process_start_time_seconds") <= time.time()
        types = {name + "_total" * (family.type == "counter"): family.type for name, family in told.families.items()}
        assert types == PROMISED


async def test_what_a_worker_counted_before_it_fell_stays_in_the_sums(cluster: Cluster) -> None:
    daemon = await cluster.daemon("--workers", "2", **FREE)
    one, two = await on_every_worker(daemon, ANN)
    for phone, times in ((one, 1), (two, 2)):
        for _ in range(times):
            await phone.ask("ping")
    before = await metrics(daemon)
    assert pings(before) == 3
    os.kill(node_of(one, daemon), signal.SIGKILL)
    await one.closed()

    def is_replaced(told: Told) -> bool:
        assert pings(told) == 3
        return told["workers"] == 2 and told["devices"] == 1

    told = await until(daemon, is_replaced)
    assert told.plain("process_start_time_seconds") > before.plain("process_start_time_seconds")
    # And whoever takes its place goes on from there.
    (three,) = [phone for phone in await on_every_worker(daemon, BEN) if node_of(phone, daemon) != node_of(two, daemon)]
    await three.ask("ping")
    assert pings(await metrics(daemon)) == 4


async def test_a_worker_that_hangs_counts_as_it_told_last(cluster: Cluster) -> None:
    daemon = await cluster.daemon("--workers", "2", **FREE)
    for phone in await on_every_worker(daemon, ANN):
        await phone.ask("ping")

    async def ask(session: aiohttp.ClientSession) -> Told:
        async with session.get(daemon.origin + "/metrics") as response:
            assert response.status == 200
            return Told(await response.text())

    def ports() -> set[int]:
        """Where we hold connections to the daemon."""
        its = int(daemon.origin.rpartition(":")[2])
        return {
            one.laddr.port for one in psutil.Process().net_connections("tcp") if one.raddr and one.raddr.port == its
        }

    before = ports()
    async with aiohttp.ClientSession() as session:  # of one connection, so that the same worker is asked again
        assert pings(await ask(session)) == 2
        (port,) = ports() - before
        (other,) = set(daemon.workers()) - {daemon.holder_of(port)}
        os.kill(other, signal.SIGSTOP)
        try:
            told = await ask(session)
        finally:
            os.kill(other, signal.SIGCONT)
    assert (told["workers"], told["devices"], pings(told)) == (1, 1, 2)


async def test_what_the_system_hides_costs_no_other_figure(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under ProcSubset=pid, where nothing of /proc is there but processes; and as where not even these are."""
    node = await cluster.node()

    def hidden() -> None:
        raise FileNotFoundError("/proc/stat")

    monkeypatch.setattr("psutil._pslinux.boot_time", hidden)
    whole = await metrics(node)
    assert {name for name in PROMISED if name.startswith("process_")} <= {name for name, _ in whole.samples}
    monkeypatch.setattr(psutil, "Process", hidden)
    told = await metrics(node)
    assert {name for name, _ in whole.samples} - {name for name, _ in told.samples} == {"process_resident_memory_bytes"}
