"""Who may open a live session's socket (dialect A), by which token, and what a guest's token opens beside it: nothing."""

import time
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from messenger.dialects import visitors
from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import Client, forged, token
from tests.support.reachable import SECRET
from tests.support.sessions import (
    INVALID_ID,
    NO_PARTICIPANT,
    NOT_FOUND,
    LiveSession,
    ask,
    ear,
    join,
    knock,
    open_session,
    problem,
    session_of_stage,
)

HOSTS_KEY = "the host's own key"
stage = stage_with(api_token=HOSTS_KEY, guest_ttl_s=100, jwt_leeway_s=0)
node = node_of_stage()
bees = session_of_stage()
V1 = "messenger.v1"
A_UUID = "11111111-2222-4333-8444-555555555555"
NO_UUIDS = [
    "me",
    "7",
    "nobody",
    A_UUID[:-1],
    A_UUID + "0",
    A_UUID.replace("-", ""),
    "%00",
    "%ED%A0%80",
    f"urn:uuid:{A_UUID}",
]


async def test_a_guests_token_may_stand_in_the_header_among_the_subprotocols_or_in_the_query(
    node: Node, bees: LiveSession
) -> None:
    ben = await bees.join(node, "Ben")
    path = bees.path(ben)
    assert await knock(node, path, ben.token) == "in"
    assert await knock(node, f"{path}?token={ben.token}") == "in"
    offered = (V1, f"bearer.{ben.token}")
    assert await knock(node, path, protocols=offered) == "in"
    async with node.session.ws_connect(node.origin + path, protocols=offered) as socket:
        assert socket.protocol == V1


async def test_code_and_participant_id_count_in_any_case(node: Node, bees: LiveSession) -> None:
    ben = await bees.join(node, "Ben")
    assert await knock(node, f"/ws/{bees.code.lower()}/{ben.id.upper()}", ben.token) == "in"


async def test_first_the_token_is_judged_then_the_session_then_the_participant(node: Node, bees: LiveSession) -> None:
    ben = await bees.join(node, "Ben")
    wrong, nowhere, nobody = ben.token[:-4] + "AAAA", "/ws/NOSUCHCODE/nobody", f"/ws/{bees.code}/nobody"
    for path in (nowhere, nobody, bees.path(ben)):
        assert await knock(node, path) == (1008, "token_missing")
        assert await knock(node, path, wrong) == (1008, "token_invalid")
        assert await knock(node, path, "rubbish") == (1008, "token_invalid")
        expired = token(bees.host, SECRET, exp=int(time.time()) - 60)
        assert await knock(node, path, expired) == (1008, "token_expired")
    for bearer in (ben.token, bees.seat.token):
        assert await knock(node, nowhere, bearer) == NOT_FOUND
        assert await knock(node, f"/ws/NOSUCHCODE/{ben.id}", bearer) == NOT_FOUND
        assert await knock(node, f"/ws/{bees.code}/{A_UUID}", bearer) == NO_PARTICIPANT
    await bees.change(node, status="closed")
    for path in (nobody, f"/ws/{bees.code}/{A_UUID}", bees.path(ben)):
        assert await knock(node, path, wrong) == (1008, "token_invalid")
        assert await knock(node, path, ben.token) == NOT_FOUND


@pytest.mark.parametrize("named", NO_UUIDS)
async def test_what_is_no_uuid_is_no_participant_id(node: Node, bees: LiveSession, named: str) -> None:
    ben = await bees.join(node, "Ben")
    assert await knock(node, f"/ws/{bees.code}/{named}", ben.token) == INVALID_ID


@pytest.mark.parametrize("code", ["NOSUCHCODE", "x", "%00", "%ED%A0%80", "a" * 200, "%2e%2e%2e%2e%2e%2e"])
async def test_what_is_no_code_is_no_session(node: Node, bees: LiveSession, code: str) -> None:
    ben = await bees.join(node, "Ben")
    assert await knock(node, f"/ws/{code}/{ben.id}", ben.token) == NOT_FOUND


async def test_nobody_comes_in_as_somebody_else(stage: Stage, node: Node, bees: LiveSession) -> None:
    eve, dee = stage.people(2)
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    wasps = await open_session(node, eve)
    wasp = await wasps.join(node, "Wasp")
    mismatch = (1008, "user_mismatch")
    assert await knock(node, bees.path(ben), cyd.token) == mismatch
    assert await knock(node, bees.path(bees.seat), cyd.token) == mismatch
    assert await knock(node, bees.path(ben), bees.seat.token) == mismatch
    # Of another room: neither there as himself, nor as somebody of it.
    assert await knock(node, bees.path(ben), wasp.token) == mismatch
    assert await knock(node, bees.path(wasp), wasp.token) == NO_PARTICIPANT
    # A user who takes no part.
    assert await knock(node, bees.path(ben), token(eve, SECRET)) == mismatch
    assert await knock(node, bees.path(wasps.seat), wasps.seat.token) == NO_PARTICIPANT
    assert await knock(node, f"/ws/{bees.code}/me", token(dee, SECRET)) == NO_PARTICIPANT
    assert await knock(node, f"/ws/{bees.code}/me", bees.seat.token) == "in"


async def test_nobody_takes_a_guest_elsewhere(stage: Stage, node: Node, bees: LiveSession) -> None:
    (eve,) = stage.people(1)
    wasps = await open_session(node, eve)
    ben = await bees.join(node, "Ben")
    user_id = await bees.user_id(node, ben)
    eves = node.client(eve)
    for path, body in (
        (f"/conversations/{wasps.id}/participants", {"user_ids": [user_id]}),
        ("/conversations", {"type": "direct", "participant_ids": [user_id]}),
    ):
        status, told = await eves.post(path, body)
        assert (status, told["code"]) == (404, "user_not_found")
    assert await knock(node, wasps.path(ben), ben.token) == NO_PARTICIPANT
    assert await knock(node, bees.path(ben), ben.token) == "in"


async def test_a_guests_token_opens_nothing_else(node: Node, bees: LiveSession) -> None:
    ben = await bees.join(node, "Ben")
    user_id = await bees.user_id(node, ben)
    for path in ("/ws/me", f"/ws/{user_id}", f"/ws/{ben.id}", f"/ws/{bees.host}", f"/ws/{bees.code}"):
        assert await knock(node, path, ben.token) == (1008, "token_invalid")
    refused = problem(401, "unauthorized", "Unauthorized", reason="token_invalid")
    guest = Client(node.session, node.origin, ben.token)
    asked: list[tuple[str, str, Any]] = [
        ("GET", "/users/me", None),
        ("GET", "/conversations", None),
        ("GET", f"/conversations/{bees.id}", None),
        ("GET", f"/conversations/{bees.id}/messages", None),
        ("GET", f"/conversations/{bees.id}/participants", None),
        ("POST", f"/conversations/{bees.id}/messages", {"content": "hi"}),
        ("POST", "/conversations", {"type": "group", "participant_ids": []}),
        ("POST", "/sync", {"cursors": {}}),
        ("POST", f"/users/{user_id}/revoke", {}),
        ("POST", "//api/v1/sessions", {"title": "Wasps"}),
    ]
    for method, path, body in asked:
        assert await guest.call(method, path, body) == refused


async def test_a_token_that_the_host_application_signs_is_no_guests(node: Node, bees: LiveSession) -> None:
    """Whatever it says of itself: a guest's is signed with the daemon's own key."""
    ben = await bees.join(node, "Ben")
    claims = jwt.decode(ben.token, options={"verify_signature": False})
    assert claims == {"sub": ben.id, "session": bees.id, "iat": claims["iat"], "exp": claims["iat"] + 100}
    for header in ({"typ": "guest+jwt"}, {}, {"typ": "guest+jwt", "alg": "none"}):
        assert await knock(node, bees.path(ben), forged(claims, SECRET.encode(), **header)) == (1008, "token_invalid")


async def test_with_a_guests_token_his_connection_ends(cluster: Cluster) -> None:
    node = await cluster.node(guest_ttl_s=1, jwt_leeway_s=0, **FREE)
    bees = await open_session(node, 1)
    ben = await bees.join(node, "Ben")
    async with bees.ear(node, ben) as bens:
        assert await bens.closed() == (1008, "token_expired")
    assert await knock(node, bees.path(ben), ben.token) == (1008, "token_expired")
    path = f"/sessions/{bees.code}/state"
    assert await ask(node, "GET", path, ben.token) == problem(
        401, "unauthorized", "Unauthorized", reason="token_expired"
    )


async def test_a_guest_whose_tokens_are_taken_back_is_put_out(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = await cluster.node(api_token=HOSTS_KEY), await cluster.node()
    bees = await open_session(near, 1)
    # Tokens are counted in seconds: his is of one that is over.
    past = time.time() - 5
    with monkeypatch.context() as patch:
        patch.setattr(visitors, "time", SimpleNamespace(time=lambda: past))
        ben = await bees.join(near, "Ben")
    cyd = await bees.join(near, "Cyd")
    user_id = await bees.user_id(near, ben)
    async with bees.ear(near, ben) as here, bees.ear(far, ben) as there, bees.ear(far, cyd) as cyds:
        revoked = await Client(near.session, near.origin, HOSTS_KEY).post(f"/users/{user_id}/revoke")
        assert revoked[0] == 200
        assert await here.closed() == await there.closed() == (1008, "revoked")
        assert await cyds.hear("participant_left") == {
            "type": "participant_left",
            "participant_id": ben.id,
            "message": "Ben left",
        }
    for node in (near, far):
        # The token is judged first.
        for path in (bees.path(ben), f"/ws/NOSUCH1/{ben.id}"):
            assert await knock(node, path, ben.token) == (1008, "revoked")
        told = await ask(node, "GET", f"/sessions/{bees.code}/state", ben.token)
        assert told == problem(401, "unauthorized", "Unauthorized", reason="revoked")


async def test_pages_of_other_origins_and_plain_requests_stay_outside(node: Node, bees: LiveSession) -> None:
    ben = await bees.join(node, "Ben")
    assert await knock(node, bees.path(ben), ben.token, Origin="https://evil.example") == 403
    assert await knock(node, bees.path(ben), ben.token, Origin=node.origin) == "in"
    async with node.session.get(node.origin + bees.path(ben)) as response:
        assert (response.status, response.headers["Upgrade"]) == (426, "websocket")


async def test_one_guest_has_so_many_devices(cluster: Cluster) -> None:
    node = await cluster.node(max_devices_per_user=2)
    bees = await open_session(node, 1)
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    async with bees.ear(node, ben) as first, bees.ear(node, ben) as second:
        assert await knock(node, bees.path(ben), ben.token) == (1013, "too_many_connections")
        assert await knock(node, bees.path(cyd), cyd.token) == "in"
        for ear in (first, second):
            assert [frame["type"] for frame in await ear.heard()] in (["participant_joined"], [])


async def test_where_authentication_is_off_no_token_is_needed(cluster: Cluster) -> None:
    node = await cluster.node(auth="off", jwt_secret="")
    status, bees = await ask(node, "POST", "/sessions", None, {"title": "Bees"}, **{"X-User-Id": "1"})
    assert status == 201
    ben, cyd = [(await join(node, bees["session_code"], name))[1]["participant"] for name in ("Ben", "Cyd")]
    room = f"/ws/{bees['session_code']}"
    async with (
        ear(node, f"{room}/{cyd['id']}") as cyds,
        ear(node, f"{room}/{ben['id']}") as bens,
        ear(node, f"{room}/{bees['participant']['id']}") as host,
    ):
        await bens.say({"type": "chat_message", "content": "Hm"})
        for hears in (cyds, bens, host):
            assert (await hears.hear("chat_message"))["participant_id"] == ben["id"]
    assert await knock(node, f"/ws/NOSUCHCODE/{ben['id']}") == NOT_FOUND
    assert await knock(node, f"{room}/me") == INVALID_ID
    assert await knock(node, f"{room}/{A_UUID}") == NO_PARTICIPANT
