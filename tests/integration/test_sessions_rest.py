"""Live sessions over REST (dialect A): opening and changing one, coming in, and who is there."""

import asyncio
from typing import Any

import pytest

from tests.support.node import Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, Like, token
from tests.support.reachable import SECRET
from tests.support.sessions import (
    A_UUID,
    LiveSession,
    answered,
    ask,
    join,
    knock,
    open_session,
    problem,
    session_of_stage,
)

stage = stage_with()
node = node_of_stage()
bees = session_of_stage()
# No 0 and O, no 1 and I.
A_CODE = Like("[A-HJ-NP-Z2-9]{6,12}")
NO_SESSION = problem(404, "not_found", "Session not found")


async def test_whoever_opens_a_session_is_its_host(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    bearer = token(ann, SECRET, name="Ann")
    status, told = await ask(node, "POST", "/sessions", bearer, {"title": "Bees", "session_code": None})
    assert (status, told) == (
        201,
        {
            "id": A_UUID,
            "title": "Bees",
            "session_code": A_CODE,
            "status": "active",
            "participant": {"id": A_UUID, "nickname": "Ann", "joined_at": A_TIME, "is_online": False},
        },
    )
    status, shown = await node.client(ann).get(f"/conversations/{told['id']}")
    assert (status, shown["type"], shown["title"], shown["my_role"]) == (200, "room", "Bees", "admin")


@pytest.mark.parametrize("code", ["QUEEN7", "ABCDEFGHIJKL", "O0I1O0I1"])
async def test_a_host_may_give_the_code(stage: Stage, node: Node, code: str) -> None:
    ann, ben = stage.people(2)
    assert (await open_session(node, ann, session_code=code)).code == code
    taken = await ask(node, "POST", "/sessions", token(ben, SECRET), {"title": "Wasps", "session_code": code})
    assert taken == problem(409, "conflict", "Session code is already taken")


@pytest.mark.parametrize("code", ["ABCDE", "ABCDEFGHIJKLM", "abcdef", "ABC-EF", "ABCDÉF", "ABCDEF\n", "", 123456])
async def test_a_code_that_does_not_fit_is_refused(stage: Stage, node: Node, code: Any) -> None:
    (ann,) = stage.people(1)
    body = {"title": "Bees", "session_code": code}
    status, told = await ask(node, "POST", "/sessions", token(ann, SECRET), body)
    assert (status, told["code"], told["field"]) == (422, "invalid_frame", "session_code")


@pytest.mark.parametrize("body", [{}, {"title": None}, {"title": ""}, {"title": "x" * 201}, {"title": 7}])
async def test_a_session_needs_a_title(stage: Stage, node: Node, body: Any) -> None:
    (ann,) = stage.people(1)
    status, told = await ask(node, "POST", "/sessions", token(ann, SECRET), body)
    assert (status, told["code"], told["field"]) == (422, "invalid_frame", "title")


async def test_nobody_opens_a_session_without_a_token(node: Node) -> None:
    assert await ask(node, "POST", "/sessions", None, {"title": "Bees"}) == problem(
        401, "unauthorized", "Unauthorized", reason="token_missing"
    )


async def test_sessions_are_opened_by_anybody_where_only_the_host_application_starts_conversations(
    cluster: Cluster,
) -> None:
    node = await cluster.node(who_starts="service")
    refused = await node.client(1).post("/conversations", {"type": "group", "participant_ids": []})
    assert refused[0] == 403
    await open_session(node, 1)


async def test_codes_that_are_made_are_made_anew_where_one_is_taken(
    stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, ben = stage.people(2)
    taken = (await open_session(node, ann)).code
    made = iter([taken, taken, "NEWC0DE"])
    monkeypatch.setattr("messenger.service.sessions.make_code", lambda: next(made))
    assert (await open_session(node, ben)).code == "NEWC0DE"


async def test_the_host_changes_title_and_status(node: Node, bees: LiveSession) -> None:
    told = {"id": bees.id, "title": "Wasps", "session_code": bees.code, "status": "active"}
    assert await bees.change(node, title="Wasps") == (200, told)
    assert await bees.change(node, status="closed") == (200, {**told, "status": "closed"})
    both = await bees.change(node, title="Hornets", status="active")
    assert both == (200, {**told, "title": "Hornets"})


@pytest.mark.parametrize(
    "body", [{}, {"title": ""}, {"title": None}, {"status": "open"}, {"status": None}, {"title": "x" * 201}]
)
async def test_a_change_must_say_something_that_fits(node: Node, bees: LiveSession, body: Any) -> None:
    status, told = await bees.change(node, **body)
    assert (status, told["code"]) == (422, "invalid_frame")


async def test_only_the_host_changes_a_session(stage: Stage, node: Node, bees: LiveSession) -> None:
    (eve,) = stage.people(1)
    ben = await bees.join(node, "Ben")
    path = f"/sessions/{bees.code}"
    forbidden = problem(403, "forbidden", "Only the host can change a session")
    assert await ask(node, "PATCH", path, token(eve, SECRET), {"status": "closed"}) == forbidden
    await node.client(bees.host).post(f"/conversations/{bees.id}/participants", {"user_ids": [eve]})
    assert await ask(node, "PATCH", path, token(eve, SECRET), {"status": "closed"}) == forbidden
    as_guest = await ask(node, "PATCH", path, ben.token, {"status": "closed"})
    assert as_guest == problem(401, "unauthorized", "Unauthorized", reason="token_invalid")
    as_nobody = await ask(node, "PATCH", path, None, {"status": "closed"})
    assert as_nobody == problem(401, "unauthorized", "Unauthorized", reason="token_missing")
    assert (await bees.status(node))["status"] == "active"


async def test_a_session_that_nobody_knows_is_not_found(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    bearer = token(ann, SECRET)
    assert await ask(node, "PATCH", "/sessions/NOSUCHCODE", bearer, {"status": "closed"}) == NO_SESSION
    assert await ask(node, "GET", "/sessions/NOSUCHCODE/status") == NO_SESSION
    assert await ask(node, "GET", "/sessions/NOSUCHCODE/state", bearer) == NO_SESSION
    assert await ask(node, "PUT", "/sessions/NOSUCHCODE/state", bearer, {}) == NO_SESSION
    for code in ("NOSUCHCODE", "x", "%00", "%ED%A0%80", "a" * 200):
        assert await join(node, code, "Ben") == NO_SESSION


async def test_a_conversation_that_is_no_session_has_no_code(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    status, room = await node.client(ann).post("/conversations", {"type": "group", "participant_ids": []})
    assert status == 201
    assert await join(node, room["id"], "Ben") == NO_SESSION
    assert await ask(node, "GET", f"/sessions/{room['id']}/status") == NO_SESSION


async def test_a_closed_session_admits_nobody_until_it_is_opened_again(node: Node, bees: LiveSession) -> None:
    ben = await bees.join(node, "Ben")
    for _ in range(2):  # closing twice is no mistake
        assert (await bees.change(node, status="closed"))[0] == 200
    assert await join(node, bees.code, "Cyd") == NO_SESSION
    assert await knock(node, bees.path(ben), ben.token) == (1008, "Session not found")
    assert await bees.status(node) == {
        "session_code": bees.code,
        "status": "closed",
        "online_participants": [],
        "online_count": 0,
        "total_participants": 1,
    }
    assert (await bees.change(node, status="active"))[0] == 200
    assert (await join(node, bees.code, "Cyd"))[0] == 200
    assert await knock(node, bees.path(ben), ben.token) == "in"


async def test_closing_twice_is_told_once(stage: Stage, node: Node, bees: LiveSession) -> None:
    host = await node.phone(bees.host)
    before = await stage.log_of(bees.id)
    for _ in range(2):
        await bees.change(node, status="closed")
    assert len(await stage.log_of(bees.id)) == len(before) + 1
    told = await host.hear("conversation.updated", conversation_id=bees.id)
    assert told["data"]["metadata"]["status"] == "closed"
    assert await host.unheard("conversation.updated") == []


async def test_a_guest_comes_in_by_code_and_nickname(node: Node, bees: LiveSession) -> None:
    assert await join(node, bees.code.lower(), "  Zoë 2 ") == (
        200,
        {
            "participant": {"id": A_UUID, "nickname": "Zoë 2", "joined_at": A_TIME, "is_online": False},
            "session": {"id": bees.id, "title": "Bees", "session_code": bees.code},
            "message": "Welcome, Zoë 2",
            "token": Like(r"[\w-]+\.[\w-]+\.[\w-]+"),
        },
    )


async def test_who_is_online_is_public_and_the_same_on_every_node(cluster: Cluster) -> None:
    near, far = await cluster.node(), await cluster.node()
    bees = await open_session(near, 1)
    told = {"session_code": bees.code, "status": "active", "online_participants": [], "online_count": 0}
    assert await bees.status(far) == {**told, "total_participants": 0}
    ben, cyd, dee = [await bees.join(near, name) for name in ("Ben", "Cyd", "Dee")]
    assert await bees.status(far) == {**told, "total_participants": 3}
    async with bees.ear(near, bees.seat), bees.ear(far, cyd), bees.ear(near, ben), bees.ear(far, ben):
        # Hosts do not count; who came first stands first.
        there = {**told, "online_participants": [ben.id, cyd.id], "online_count": 2, "total_participants": 3}
        for node in (near, far):
            assert await bees.status(node) == there
    async with asyncio.timeout(10):
        while (await bees.status(far))["online_count"]:
            await asyncio.sleep(0.02)
    assert await bees.status(near) == {**told, "total_participants": 3}
    assert dee.id not in (ben.id, cyd.id)


async def test_what_is_no_json_is_told_so(node: Node, bees: LiveSession) -> None:
    for path in (f"/join/{bees.code}", "/sessions"):
        answer = await answered(
            node, "POST", path, bees.seat.token, data=b"{", headers={"Content-Type": "application/json"}
        )
        assert (answer.status, answer.body["code"]) == (400, "invalid_json")
