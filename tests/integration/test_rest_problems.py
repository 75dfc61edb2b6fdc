"""What every REST answer has in common: who asks, how failures are told, whose pages may read, and which headers guard."""

import gzip
import json
import time
from typing import Any

import pytest

from messenger.transport import middleware
from tests.support.node import SECRET, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import Answer, forged, token

stage = stage_with()
node = node_of_stage()

PROBLEM = "application/problem+json"
GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": middleware.SECURITY_HEADERS["Content-Security-Policy"],
}


def told(answer: Answer) -> tuple[int, str, str, str]:
    """Status, code and title of a problem, which is held to its shape."""
    body = answer.body
    assert answer.headers["Content-Type"] == PROBLEM, answer
    assert {"type", "title", "status", "detail", "code", "message"} <= body.keys()
    assert (body["type"], body["status"], body["detail"]) == ("about:blank", answer.status, body["message"])
    return answer.status, body["code"], body["title"], body["detail"]


async def test_a_problem_says_exactly_this(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    answer = await node.client(ann).ask("GET", "/conversations/x")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (
        422,
        PROBLEM,
        {
            "type": "about:blank",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "Invalid conversation_id format",
            "code": "invalid_conversation_id",
            "message": "Invalid conversation_id format",
            "field": "conversation_id",
        },
    )


async def test_an_answer_that_went_well_is_plain_json(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    answer = await node.client(ann).ask("GET", "/users/me")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize(
    "path", ["/nothing", "/conversations/", "/users/7", "//", "//metrics.html", "//ws", "//ws/1/2"]
)
async def test_what_is_not_there_is_not_found(stage: Stage, node: Node, path: str) -> None:
    (ann,) = stage.people(1)
    assert told(await node.client(ann).ask("GET", path)) == (404, "not_found", "Not Found", "Not Found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/conversations", {"GET", "HEAD", "POST"}),
        ("POST", "/users/me", {"GET", "HEAD"}),
        ("POST", "//stats", {"GET", "HEAD"}),
        ("POST", "//ws/1", {"GET", "HEAD"}),
        ("OPTIONS", "/conversations", {"GET", "HEAD", "POST"}),
    ],
)
async def test_another_method_is_told_which_are_allowed(
    stage: Stage, node: Node, method: str, path: str, allowed: set[str]
) -> None:
    (ann,) = stage.people(1)
    answer = await node.client(ann).ask(method, path)
    assert told(answer) == (405, "method_not_allowed", "Method Not Allowed", "Method Not Allowed")
    assert set(answer.headers["Allow"].split(",")) == allowed


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_that_is_not_said_to_be_json_is_refused(stage: Stage, node: Node, kind: str) -> None:
    (ann,) = stage.people(1)
    body = b'{"type":"group","participant_ids":[]}'
    headers = {"Content-Type": kind} if kind else {}
    options: dict[str, Any] = {} if kind else {"skip_auto_headers": ["Content-Type"]}
    answer = await node.client(ann).ask("POST", "/conversations", data=body, headers=headers, **options)
    assert told(answer)[:2] == (415, "unsupported_media_type")


JSON = {"Content-Type": "application/json; charset=utf-8"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b'{"type":"\xed\xa0\x80"}', b"NaN", b'{"x":1e999}', b"[" * 5000 + b"]" * 5000],
    ids=lambda body: str(body[:20]),
)
async def test_a_body_that_is_no_json_is_told_so(stage: Stage, node: Node, body: bytes) -> None:
    (ann,) = stage.people(1)
    answer = await node.client(ann).ask("POST", "/conversations", data=body, headers=JSON)
    assert told(answer) == (400, "invalid_json", "Bad Request", "Invalid JSON format")


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"x"', b'"\\ud800"'], ids=str)
async def test_a_body_that_is_no_object_is_refused(stage: Stage, node: Node, body: bytes) -> None:
    (ann,) = stage.people(1)
    answer = await node.client(ann).ask("POST", "/conversations", data=body, headers=JSON)
    assert told(answer)[:2] == (422, "invalid_frame")


async def test_a_body_that_is_too_large_is_refused_packed_or_not(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    large = json.dumps({"type": "group", "participant_ids": [], "pad": "x" * 262_144}).encode()
    for body, headers in ((large, JSON), (gzip.compress(large), {**JSON, "Content-Encoding": "gzip"})):
        answer = await client.ask("POST", "/conversations", data=body, headers=headers)
        assert told(answer)[:2] == (413, "too_large")
    assert (await client.get("/conversations"))[1]["conversations"] == []
    fitting = json.dumps({"type": "group", "participant_ids": [], "pad": "x" * 262_000}).encode()
    assert (await client.ask("POST", "/conversations", data=fitting, headers=JSON)).status == 201


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "token_missing"),
        ("", "token_missing"),
        ("Bearer", "token_missing"),
        ("Basic YTpi", "token_missing"),
        ("Bearer rubbish", "token_invalid"),
        ("Bearer GOOD.x", "token_invalid"),
        ("Bearer OLD", "token_expired"),
        ("Bearer SERVICE_EXPIRED", "token_invalid"),
        ("Bearer REVOKED", "revoked"),
    ],
)
async def test_without_a_good_token_nothing_is_told_but_why(
    stage: Stage, node: Node, authorization: str | None, reason: str
) -> None:
    (ann,) = stage.people(1)
    await node.client(ann).get("/users/me")
    await stage.oracle.execute("update messenger.users set tokens_not_before = now() where id = $1", ann)
    now = int(time.time())
    tokens = {
        "OLD": token(1, SECRET, exp=now - 60),
        "SERVICE_EXPIRED": forged({"sub": 1, "exp": now - 60, "scope": "service"}, SECRET.encode()),
        "REVOKED": token(ann, SECRET, iat=now - 60),
        "GOOD": token(1, SECRET),
    }
    headers = {}
    if authorization is not None:
        for name, real in tokens.items():
            authorization = authorization.replace(name, real)
        headers["Authorization"] = authorization
    for method, path in (("GET", "/conversations"), ("POST", "/conversations"), ("GET", "/users/me?token=x")):
        answer = await node.nobody().ask(method, path, headers=headers)
        assert told(answer) == (401, "unauthorized", "Unauthorized", "Unauthorized")
        assert (answer.body["reason"], answer.headers["WWW-Authenticate"]) == (reason, "Bearer")


async def test_a_query_token_opens_no_rest(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    answer = await node.nobody().ask("GET", f"/users/me?token={token(ann, SECRET)}")
    assert (answer.status, answer.body["reason"]) == (401, "token_missing")


async def test_x_user_id_does_nothing_beside_a_users_token(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    tea = await node.client(ben).group()
    acting = {"headers": {"X-User-Id": str(ben)}}
    assert (await node.client(ann).get("/users/me", **acting))[1]["id"] == ann
    assert (await node.client(ann).get(f"/conversations/{tea}", **acting))[0] == 404
    answer = await node.nobody().ask("GET", "/users/me", **acting)
    assert (answer.status, answer.body["reason"]) == (401, "token_missing")


async def test_with_authentication_off_x_user_id_says_who_asks(cluster: Cluster) -> None:
    node = await cluster.node(auth="off", jwt_secret="")
    answer = await node.nobody().ask("GET", "/users/me", headers={"X-User-Id": "7"})
    assert (answer.status, answer.body["id"]) == (200, 7)
    for named in ({}, {"X-User-Id": "07"}, {"X-User-Id": "x"}, {"X-User-Id": "0"}):
        answer = await node.nobody().ask("GET", "/users/me", headers=named)
        assert (answer.status, answer.body["reason"]) == (401, "token_missing")


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


async def test_a_page_of_a_listed_origin_may_ask_and_read(cluster: Cluster) -> None:
    friend, enemy = "https://chat.example.org", "https://evil.example"
    node = await cluster.node(allowed_origins=(friend,))
    for path in ("/conversations", "/conversations/x/messages"):
        answer = await node.nobody().ask("OPTIONS", path, headers={"Origin": friend, **PREFLIGHT})
        assert (answer.status, answer.text) == (204, "")
        assert answer.headers["Access-Control-Allow-Origin"] == friend
        assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(
            answer.headers["Access-Control-Allow-Methods"].split(", ")
        )
        allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert {"authorization", "content-type", "idempotency-key"} <= set(allowed)
        assert "Access-Control-Allow-Credentials" not in answer.headers
    client = node.client(1)
    for status, path in ((200, "/users/me"), (422, "/conversations/x"), (404, "/nothing")):
        answer = await client.ask("GET", path, headers={"Origin": friend})
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, friend)
        assert "Origin" in answer.headers["Vary"]
        for origin in (enemy, "null", friend + ".evil.example"):
            answer = await client.ask("GET", path, headers={"Origin": origin})
            assert (answer.status, "Access-Control-Allow-Origin" in answer.headers) == (status, False)
    answer = await node.nobody().ask("OPTIONS", "/conversations", headers={"Origin": enemy, **PREFLIGHT})
    assert (answer.status, "Access-Control-Allow-Origin" in answer.headers) == (403, False)


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
