"""What the presenter of a live session (dialect A) shows: a small JSON object, for an hour."""

import json
from typing import Any

import pytest
from redis import asyncio as aioredis

from tests.support.database import Servers
from tests.support.node import Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import token
from tests.support.reachable import SECRET
from tests.support.sessions import (
    Frame,
    LiveSession,
    answered,
    ask,
    open_session,
    problem,
    session_of_stage,
)

stage = stage_with()
node = node_of_stage()
bees = session_of_stage()
MOST_BYTES = 16 * 1024
SLIDE = {"slide": 7, "poll": {"question": "Do they sleep?", "votes": [1, 2, 0.5, None, True]}, "": "Ⅶ"}


async def show(node: Node, bees: LiveSession, state: Any, bearer: str | None = None) -> tuple[int, Frame]:
    return await ask(node, "PUT", f"/sessions/{bees.code}/state", bearer or bees.seat.token, state)


async def shown(node: Node, bees: LiveSession, bearer: str | None) -> tuple[int, Frame]:
    return await ask(node, "GET", f"/sessions/{bees.code}/state", bearer)


async def test_what_the_host_shows_is_seen_and_told_on_every_node(cluster: Cluster, servers: Servers) -> None:
    near, far = await cluster.node(), await cluster.node()
    bees = await open_session(near, 1)
    ben, cyd = await bees.join(near, "Ben"), await bees.join(far, "Cyd")
    assert await shown(far, bees, ben.token) == (200, {})
    async with bees.ear(near, ben) as bens, bees.ear(near, bees.seat) as host, bees.ear(far, cyd) as cyds:
        for state in (SLIDE, {}):
            assert await show(near, bees, state) == (200, state)
            for ear in (bens, host, cyds):
                assert await ear.hear("state_update") == {
                    "type": "state_update",
                    "state": state,
                    "session_code": bees.code,
                }
            for node, seat in ((near, bees.seat), (far, bees.seat), (far, ben), (near, cyd)):
                assert await shown(node, bees, seat.token) == (200, state)
        assert await cyds.heard() == []
    async with aioredis.Redis.from_url(servers.redis_url) as redis:
        (key,) = [key async for key in redis.scan_iter(f"{cluster.prefix}session:*")]
        assert 0 < await redis.ttl(key) <= 3600


async def test_each_session_has_a_state_of_its_own(stage: Stage, node: Node, bees: LiveSession) -> None:
    (other,) = stage.people(1)
    wasps = await open_session(node, other)
    ben = await wasps.join(node, "Ben")
    async with wasps.ear(node, ben) as ear:
        await show(node, bees, SLIDE)
        assert await ear.heard() == []
    assert await shown(node, wasps, ben.token) == (200, {})


async def test_only_the_host_shows_and_only_participants_see(stage: Stage, node: Node, bees: LiveSession) -> None:
    eve, cyd = stage.people(2)
    ben = await bees.join(node, "Ben")
    await node.client(bees.host).post(f"/conversations/{bees.id}/participants", {"user_ids": [cyd]})
    wasp = await (await open_session(node, eve)).join(node, "Wasp")
    not_host = problem(403, "forbidden", "Only the host can change the state")
    stranger = problem(404, "not_participant", "Not a participant of this session")
    nobody = problem(401, "unauthorized", "Unauthorized", reason="token_missing")
    assert await show(node, bees, SLIDE, ben.token) == not_host
    assert await show(node, bees, SLIDE, token(cyd, SECRET)) == not_host
    for bearer in (token(eve, SECRET), wasp.token):
        assert await show(node, bees, SLIDE, bearer) == stranger
        assert await shown(node, bees, bearer) == stranger
    assert await ask(node, "PUT", f"/sessions/{bees.code}/state", None, SLIDE) == nobody
    assert await shown(node, bees, None) == nobody
    assert await shown(node, bees, token(cyd, SECRET)) == (200, {})


async def test_a_state_has_at_most_16_kib(node: Node, bees: LiveSession) -> None:
    longest = {"text": "x" * (MOST_BYTES - len('{"text": ""}'))}
    assert len(json.dumps(longest)) == MOST_BYTES
    assert (await show(node, bees, longest))[0] == 200
    longest["text"] += "x"
    refused = await show(node, bees, longest)
    assert refused == problem(413, "too_large", "Request Entity Too Large")
    assert len((await shown(node, bees, bees.seat.token))[1]["text"]) == len(longest["text"]) - 1


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"", 400, "invalid_json"),
        (b'{"a": "\xff"}', 400, "invalid_json"),
        (b"[]", 422, "invalid_frame"),
        (b'"slide"', 422, "invalid_frame"),
        (b"null", 422, "invalid_frame"),
        (rb'{"a": "\u0000"}', 422, "invalid_frame"),
        (rb'{"\ud800": 1}', 422, "invalid_frame"),
        (b'{"a":' * 17 + b"1" + b"}" * 17, 422, "invalid_frame"),
    ],
)
async def test_a_state_is_a_json_object(node: Node, bees: LiveSession, data: bytes, status: int, code: str) -> None:
    path, headers = f"/sessions/{bees.code}/state", {"Content-Type": "application/json"}
    answer = await answered(node, "PUT", path, bees.seat.token, data=data, headers=headers)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert await shown(node, bees, bees.seat.token) == (200, {})


async def test_a_closed_session_shows_nothing(node: Node, bees: LiveSession) -> None:
    await show(node, bees, SLIDE)
    await bees.change(node, status="closed")
    not_found = problem(404, "not_found", "Session not found")
    assert await shown(node, bees, bees.seat.token) == not_found
    assert await show(node, bees, SLIDE) == not_found
    await bees.change(node, status="active")
    assert await shown(node, bees, bees.seat.token) == (200, SLIDE)


async def test_where_authentication_is_off_anybody_sees_and_the_host_shows(cluster: Cluster) -> None:
    node = await cluster.node(auth="off", jwt_secret="")
    headers = {"X-User-Id": "1"}
    status, bees = await ask(node, "POST", "/sessions", None, {"title": "Bees"}, **headers)
    assert status == 201
    path = f"/sessions/{bees['session_code']}/state"
    assert await ask(node, "PUT", path, None, SLIDE, **headers) == (200, SLIDE)
    assert await ask(node, "GET", path) == (200, SLIDE)
    assert (await ask(node, "PUT", path, None, {}))[0] == 401
    assert (await ask(node, "PUT", path, None, {}, **{"X-User-Id": "2"}))[0] == 404
