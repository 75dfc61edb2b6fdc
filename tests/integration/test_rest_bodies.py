"""Anything at all as a REST body: a known problem or a proper answer, and never a 5xx."""

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messenger.protocol import schemas
from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import Client

stage = stage_with()
node = node_of_stage()

ROUTES = {
    "POST /conversations": schemas.CreateConversation,
    "PATCH /conversations/TEA": schemas.UpdateConversation,
    "POST /conversations/TEA/messages": schemas.SendBody,
    "POST /conversations/TEA/participants": schemas.AddParticipants,
    "PATCH /conversations/TEA/participants/me": schemas.SetRole,
    "PATCH /messages/HELLO": schemas.EditBody,
}
STATUS = {
    "invalid_frame": 422,
    "content_empty": 422,
    "content_too_long": 422,
    "forbidden": 403,
    "message_not_found": 404,
    "client_id_conflict": 409,
    "conflict": 409,
}
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(
        ["group", "direct", "announcement", "room", "admin", "observer", "all", "joined", "\x00", "\ud800"]
    )
)
VALUES = st.recursive(
    LEAVES | st.lists(st.integers(1, 5), max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
RIGHT = {
    "type": st.sampled_from(["group", "direct", "announcement"]),
    "participant_ids": st.lists(st.integers(1_000_001, 1_000_009), max_size=3),
    "content": st.just("x"),
    "user_ids": st.lists(st.integers(1_000_001, 1_000_009), max_size=3),
    "role": st.sampled_from(["admin", "member", "observer"]),
    "title": st.text(max_size=5),
}


@pytest.fixture
async def owner(stage: Stage, node: Node) -> AsyncIterator[tuple[Client, str, str]]:
    """Somebody with a conversation and a message of his own."""
    (ann,) = stage.people(1)
    client = node.client(ann)
    tea = await client.group()
    yield client, tea, (await client.send(tea, "hello"))["id"]
    assert (await client.get("/users/me"))[0] == 200


@pytest.mark.parametrize("route", list(ROUTES))
@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_no_body_brings_anything_but_a_known_answer(
    owner: tuple[Client, str, str], route: str, data: st.DataObject
) -> None:
    client, tea, hello = owner
    names = sorted(ROUTES[route]().fields)
    body = {name: data.draw(RIGHT.get(name, VALUES)) for name in names if data.draw(st.booleans())}
    body |= {name: data.draw(VALUES) for name in data.draw(st.lists(st.sampled_from([*names, "unknown"]), max_size=2))}
    method, path = route.replace("TEA", tea).replace("HELLO", hello).split()
    headers = {"Content-Type": "application/json"}
    answer = await client.ask(method, path, data=json.dumps(body).encode(), headers=headers)
    if answer.status >= 300:
        assert STATUS[answer.body["code"]] == answer.status, (body, answer)
        assert len(answer.body["message"]) < 200
    else:
        assert answer.status in (200, 201)
        assert isinstance(answer.body, dict)
