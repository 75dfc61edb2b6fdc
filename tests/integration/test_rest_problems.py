"""Refusals on every path: the same problem wherever the same thing is wrong, and every answer behind the same fence."""

import json

import pytest

from messenger.transport.headers import SECURITY_HEADERS
from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import Answer

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"
PROBLEM = "application/problem+json"
JSON = {"Content-Type": "application/json; charset=utf-8"}
GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": SECURITY_HEADERS["Content-Security-Policy"],
}


def told(answer: Answer) -> tuple[int, str, str, str]:
    """Status, code and title of a problem, which is held to its shape."""
    body = answer.body
    assert answer.headers["Content-Type"] == PROBLEM, answer
    assert {"type", "title", "status", "detail", "code", "message"} <= body.keys()
    assert (body["type"], body["status"], body["detail"]) == ("about:blank", answer.status, body["message"])
    return answer.status, body["code"], body["title"], body["detail"]


async def test_a_body_that_is_too_large_is_refused(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    large = json.dumps({"type": "group", "participant_ids": [], "pad": "x" * 262_144}).encode()
    assert told(await client.ask("POST", "/conversations", data=large, headers=JSON))[:2] == (413, "too_large")
    assert (await client.get("/conversations"))[1]["conversations"] == []
    fitting = json.dumps({"type": "group", "participant_ids": [], "pad": "x" * 262_000}).encode()
    assert (await client.ask("POST", "/conversations", data=fitting, headers=JSON)).status == 201


async def test_every_answer_carries_the_headers_that_guard(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    answers = [
        await client.ask("GET", path) for path in ("/users/me", "/nothing", "/conversations/x", "//stats", "//healthz")
    ]
    answers += [await client.ask("PUT", "/conversations"), await node.nobody().ask("GET", "/users/me")]
    answers += [await client.ask("DELETE", f"/conversations/{await client.group()}"), await client.ask("GET", "//ws/1")]
    assert [answer.status for answer in answers] == [200, 404, 422, 200, 200, 405, 401, 204, 426]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in GUARDS} == GUARDS
    policy = GUARDS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("named", ["x", "7", NOBODYS[:-1], NOBODYS.replace("-", ""), f"{NOBODYS}%00", "..%2f"])
async def test_an_id_that_is_none_is_told_so_on_every_path(stage: Stage, node: Node, named: str) -> None:
    (ann,) = stage.people(1)
    client, body = node.client(ann), {"content": "x", "title": "x", "user_ids": [1], "role": "admin"}
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/messages"),
        ("POST", "/messages"),
        ("GET", "/participants"),
        ("POST", "/participants"),
        ("PATCH", "/participants/1"),
        ("DELETE", "/participants/me"),
    ):
        answer = await client.ask(method, f"/conversations/{named}{path}", json=body)
        assert told(answer)[:2] == (422, "invalid_conversation_id")
        assert answer.body["field"] == "conversation_id"
