"""REST at its edges: every kind of refusal, who is asking, which pages may, and what lies outside the API."""

import json
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from messenger.transport import demo
from tests.support import contract
from tests.support.node import SECRET, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import API, Answer, Client, Frame, forged, token

ALLOWED = "https://chat.example.org"
stage = stage_with(demo=True, allowed_origins=(ALLOWED,))
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"
KEY = SECRET.encode()
LATER = 4_000_000_000
SECURITY = {"X-Content-Type-Options", "Referrer-Policy", "Content-Security-Policy"}


def refused(answer: Answer, status: int, code: str, message: str, **more: Any) -> None:
    """Assert that this is exactly that problem."""
    assert (answer.status, answer.body) == (
        status,
        {
            "type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": message,
            "code": code, "message": message, **more,
        },
    )  # fmt: skip
    assert answer.headers["Content-Type"] == "application/problem+json"
    fenced(answer)


def fenced(answer: Answer) -> None:
    assert answer.headers.keys() >= SECURITY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def bare(node: Node, method: str, path: str, **options: Any) -> Answer:
    """A request as it stands, on nobody's behalf."""
    url = URL(node.origin + path, encoded=True)
    async with node.session.request(method, url, **options) as response:
        answer = Answer(response.status, response.headers, await response.text())
    contract.answered(method, url.raw_path, answer.status, answer.headers, answer.text)
    return answer


async def test_every_kind_of_refusal_is_a_problem(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    tea = await client.group()
    here = f"/conversations/{tea}"
    sent = {"headers": {"Content-Type": "application/json"}}
    for data in ("", "{", "{'a': 1}", '{"content": NaN}', b"\xff", '{"content": "x"}'.encode("utf-16")):
        answer = await client.ask("POST", f"{here}/messages", data=data, **sent)
        refused(answer, 400, "invalid_json", "Invalid JSON format")
    for data in ("[]", "null", '"x"'):
        answer = await client.ask("POST", f"{here}/messages", data=data, **sent)
        refused(answer, 422, "invalid_frame", "A frame must be a JSON object")
    for type_ in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream", "text/json"):
        answer = await client.ask("POST", f"{here}/messages", data=b'{"content":"x"}', headers={"Content-Type": type_})
        refused(answer, 415, "unsupported_media_type", "Unsupported Media Type")
    answer = await client.ask("POST", f"{here}/messages", data=b" " * 262_145, **sent)
    refused(answer, 413, "too_large", HTTPStatus(413).phrase)
    answer = await client.ask("POST", f"{here}/messages", data=b'{"content":"x"}'.ljust(262_144), **sent)
    assert answer.status == 201
    answer = await client.ask("PUT", here)
    refused(answer, 405, "method_not_allowed", "Method Not Allowed")
    assert set(answer.headers["Allow"].split(",")) == {"DELETE", "GET", "HEAD", "PATCH"}
    for path in ("/conversation", "/", "/conversations/x/y/z", "//nowhere", "//api/v2/messenger/conversations"):
        refused(await client.ask("GET", path), 404, "not_found", "Not Found")
    assert await stage.log_of(tea) == [(1, 1)]


async def test_an_unforeseen_failure_says_a_number_and_nothing_of_what_it_was(
    stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(node.context.users, "visible", fail)
    answer = await node.client(*stage.people(1)).ask("GET", "/users/me")
    told = answer.body["message"]
    refused(answer, 500, "internal", told)
    assert told.startswith("Internal error (")
    assert "swordfish" not in answer.text


async def test_each_failing_token_is_told_its_reason(stage: Stage, node: Node) -> None:
    ann, bob = stage.people(2)
    now = int(time.time())
    assert (await node.client(bob).get("/users/me"))[0] == 200
    await stage.oracle.execute(
        "update messenger.users set tokens_not_before = to_timestamp($1) where id = $2", now + 60, bob
    )
    good = token(ann, SECRET)
    for headers, reason in (
        ({}, "token_missing"),
        ({"Authorization": ""}, "token_missing"),
        ({"Authorization": "Bearer"}, "token_missing"),
        ({"Authorization": f"Basic {good}"}, "token_missing"),
        ({"Authorization": good}, "token_missing"),
        ({"X-User-Id": str(ann)}, "token_missing"),
        ({"Authorization": "Bearer rubbish"}, "token_invalid"),
        ({"Authorization": f"Bearer {good}x"}, "token_invalid"),
        ({"Authorization": f"Bearer {token(ann, 'another-secret-of-at-least-thirty-two-bytes')}"}, "token_invalid"),
        ({"Authorization": f"Bearer {forged({'sub': ann}, KEY)}"}, "token_invalid"),
        ({"Authorization": f"Bearer {forged({'sub': 0, 'exp': LATER}, KEY)}"}, "token_invalid"),
        ({"Authorization": f"Bearer {forged({'sub': ann, 'exp': LATER}, KEY, alg='none')}"}, "token_invalid"),
        ({"Authorization": f"Bearer {forged({'sub': ann, 'exp': now - 60}, KEY)}"}, "token_expired"),
        ({"Authorization": f"Bearer {token(bob, SECRET)}"}, "revoked"),
    ):
        for method, path in (("GET", "/users/me"), ("POST", "/conversations"), ("DELETE", f"/messages/{NOBODYS}")):
            answer = await bare(node, method, API + path, headers=headers)
            refused(answer, 401, "unauthorized", "Unauthorized", reason=reason)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (await bare(node, "GET", f"{API}/users/me?token={good}")).body["reason"] == "token_missing"
    assert (await bare(node, "GET", f"{API}/users/me", headers={"Authorization": f"bEARER   {good}"})).status == 200


async def test_where_unknown_users_are_refused_their_token_is_invalid(cluster: Cluster) -> None:
    node = await cluster.node(unknown_users="refuse")
    refused(await node.client(1).ask("GET", "/users/me"), 401, "unauthorized", "Unauthorized", reason="token_invalid")


async def test_what_is_foreign_and_what_is_not_there_are_told_alike_to_the_byte(stage: Stage, node: Node) -> None:
    ann, eve = stage.people(2)
    tea = await node.client(ann).group()
    message = (await node.client(ann).send(tea, "x"))["id"]
    stranger = node.client(eve)
    for method, path, foreign, body in (
        ("GET", "/conversations/{}", tea, None),
        ("PATCH", "/conversations/{}", tea, {"title": "x"}),
        ("DELETE", "/conversations/{}", tea, None),
        ("GET", "/conversations/{}/messages", tea, None),
        ("POST", "/conversations/{}/messages", tea, {"content": "x"}),
        ("GET", "/conversations/{}/participants", tea, None),
        ("POST", "/conversations/{}/participants", tea, {"user_ids": [eve]}),
        ("PATCH", f"/conversations/{{}}/participants/{ann}", tea, {"role": "member"}),
        ("DELETE", f"/conversations/{{}}/participants/{ann}", tea, None),
        ("DELETE", "/conversations/{}/participants/me", tea, None),
        ("PATCH", "/messages/{}", message, {"content": "x"}),
        ("DELETE", "/messages/{}", message, None),
        ("POST", "/messages/{}/read", message, None),
    ):
        one, other = [await stranger.ask(method, path.format(id_), json=body) for id_ in (foreign, NOBODYS)]
        assert one.status == 404
        assert (one.status, one.text) == (other.status, other.text), path
        assert dict(one.headers) | {"Date": ""} == dict(other.headers) | {"Date": ""}
        assert foreign not in one.text


async def test_x_user_id_does_nothing_with_a_users_own_token(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    tea = await node.client(ben).group()
    as_ben = {"X-User-Id": str(ben)}
    assert (await node.client(ann).get("/users/me", headers=as_ben))[1]["id"] == ann
    assert (await node.client(ann).get(f"/conversations/{tea}", headers=as_ben))[0] == 404


async def test_without_authentication_one_says_who_one_is(cluster: Cluster) -> None:
    node = await cluster.node(auth="off", jwt_secret="", demo=True)
    answer = await bare(node, "GET", f"{API}/users/me", headers={"X-User-Id": "7"})
    assert answer.body == {
        "id": 7, "name": "User 7", "avatar_url": None, "last_seen_at": None, "external_id": None,
    }  # fmt: skip
    for wrong in ({}, {"X-User-Id": "0"}, {"X-User-Id": "07"}, {"X-User-Id": "x"}, {"Authorization": "Bearer 7"}):
        answer = await bare(node, "GET", f"{API}/users/me", headers=wrong)
        refused(answer, 401, "unauthorized", "Unauthorized", reason="token_missing")
    names = ["Alice", "Bob", "Chiara", "Dae-jung"]
    users = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    told = {"auth": "off", "users": users, "max_attachment_bytes": 26_214_400}
    assert (await bare(node, "GET", "/demo/config.json")).body == told


async def test_a_page_is_let_in_from_allowed_origins_and_from_no_others(stage: Stage, node: Node) -> None:
    client = node.client(*stage.people(1))
    ask = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    for origin, allowed in (
        (ALLOWED, True), (node.origin, True), ("https://evil.example", False), ("null", False), ("", False),
        (ALLOWED.upper(), False), (ALLOWED + ":444", False), (ALLOWED + ".evil.example", False),
    ):  # fmt: skip
        for path in (f"{API}/conversations", f"{API}/messages/{NOBODYS}"):
            answer = await bare(node, "OPTIONS", path, headers={"Origin": origin, **ask})
            assert (answer.status, answer.text) == (204 if allowed else 403, "")
            assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
            assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
            fenced(answer)
        for path, status in (("/users/me", 200), (f"/conversations/{NOBODYS}", 404), ("//nowhere", 404)):
            answer = await client.ask("GET", path, headers={"Origin": origin})
            assert answer.status == status
            assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
            assert answer.headers.get("Vary") == "Origin"
            assert "Access-Control-Allow-Credentials" not in answer.headers
            fenced(answer)
    assert "Access-Control-Allow-Origin" not in (await client.ask("GET", "/users/me")).headers
    refused(await bare(node, "OPTIONS", f"{API}/conversations"), 405, "method_not_allowed", "Method Not Allowed")


async def test_one_sees_oneself_and_those_one_shares_a_conversation_with(stage: Stage, node: Node) -> None:
    ann, ben, eve = stage.people(3)
    picture = "https://example.org/a.png"
    client = node.client(ann, name="Ann", picture=picture)
    await client.group(ben)
    await node.client(eve).group()
    await stage.oracle.execute(
        "update messenger.users set external_id = 'x-' || id, last_seen_at = '2024-02-29' where id = any($1)",
        [ann, ben],
    )
    at = "2024-02-29T00:00:00Z"
    me = {"id": ann, "name": "Ann", "avatar_url": picture, "last_seen_at": at, "external_id": f"x-{ann}"}
    friend = {"id": ben, "name": f"User {ben}", "avatar_url": None, "last_seen_at": at}
    assert await client.get("/users/me") == (200, me)
    assert await client.get(f"/users?ids={eve},{ben},{ann},{ben},{2**53 - 1}") == (200, {"users": [me, friend]})
    assert await client.get(f"/users?ids={eve}") == (200, {"users": []})
    assert (await node.client(ben).get(f"/users?ids={ann}"))[1]["users"] == [
        {name: value for name, value in me.items() if name != "external_id"}
    ]


@pytest.mark.parametrize(("path", "name"), [("/users", "ids"), ("/presence", "user_ids")])
async def test_a_list_of_ids_has_its_form(stage: Stage, node: Node, path: str, name: str) -> None:
    client = node.client(*stage.people(1))
    many = ",".join(map(str, range(1, 502)))
    for query in ("", f"?{name}=", *(f"?{name}={text}" for text in ("x", "0", "07", "1,", ",1", "1,,2", "1, 2", many))):
        answer = await client.ask("GET", path + query)
        message = f"{name} must be 1 to 500 user ids, separated by commas"
        refused(answer, 422, "invalid_frame", message, field=name)
    assert (await client.get(f"{path}?{name}={many.removesuffix(',501')}"))[0] == 200


async def test_presence_is_told_of_acquaintances_only(stage: Stage, node: Node) -> None:
    ann, ben, cyd, eve = stage.people(4)
    await node.client(ann).group(ben, cyd)
    for user in (ann, ann, ben, eve):
        await node.phone(user)
    told = await node.client(ann).get(f"/presence?user_ids={eve},{cyd},{ben},{ann},{ben}")
    off: Frame = {"online": False, "last_seen_at": None}
    on: Frame = {"online": True, "last_seen_at": None}
    users = [{"user_id": eve, **off}, {"user_id": cyd, **off}, {"user_id": ben, **on}]
    assert told == (200, {"users": [*users, {"user_id": ann, **on, "devices": 2}]})


async def test_watchers_are_told_how_it_goes_without_a_token(cluster: Cluster) -> None:
    node = await cluster.node()
    none = {"online_users": 0, "total_connections": 0, "active_conversations": 0}
    assert (await bare(node, "GET", "/stats")).body == {**none, "cluster": {"nodes": 1, **none}}
    await node.client(1).group(2)
    for user in (1, 1, 2):
        await node.phone(user)
    figures = {"online_users": 2, "total_connections": 3, "active_conversations": 1}
    assert (await bare(node, "GET", "/stats")).body == {**figures, "cluster": {"nodes": 1, **figures}}
    assert (await bare(node, "GET", "/healthz")).body == {"status": "ok"}
    answer = await bare(node, "GET", "/readyz")
    assert (answer.status, answer.body) == (200, {"status": "ready", "database": "ok", "bus": "ok"})
    node.context.is_draining = True
    answer = await bare(node, "GET", "/readyz")
    assert (answer.status, answer.body) == (503, {"status": "draining", "database": "ok", "bus": "ok"})
    assert (await bare(node, "GET", "/healthz")).status == 200
    for path in ("/stats", "/healthz", "/readyz"):
        answer = await bare(node, "GET", path)
        fenced(answer)
        assert answer.headers["Content-Type"] == "application/json"


async def test_the_demo_is_served_out_of_its_folder_and_nothing_else_is(node: Node) -> None:
    types = {"/": "html", "/demo/index.html": "html", "/demo/app.js": "javascript", "/demo/app.css": "css"}
    types |= {"/demo/session.html": "html", "/demo/vendor/socket.io.esm.min.js": "javascript"}
    for path, type_ in types.items():
        answer = await bare(node, "GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, f"text/{type_}; charset=utf-8")
        assert answer.headers["Cache-Control"] == "no-cache"
        fenced(answer)
    answer = await bare(node, "GET", "/demo/config.json")
    assert (answer.status, json.loads(answer.text)) == (
        200,
        {"auth": "jwt", "users": [], "max_attachment_bytes": 26_214_400},
    )
    for path in (
        "..%2f..%2fapp.py", "..%2Fmessenger%2Fapp.py", "%2e%2e/app.py", "..%5c..%5capp.py", "client/..%2f..%2fREADME.md",
        "%2fetc%2fpasswd", "/etc/passwd", "client//core.js", "client/", "client", ".", "__init__.py", "package.json",
        "vendor/LICENSE", ".hidden.js", "nowhere.js", "app.js/x.js", "app.js%00", "app.js%00.html", "%ff.js", "%ed%a0%80.js",
        "x" * 300 + ".js", "x/" * 2500 + "x.js", "%252e%252e%252fapp.py",
    ):  # fmt: skip
        answer = await bare(node, "GET", f"/demo/{path}")
        refused(answer, 404, "not_found", "Not Found")


async def test_of_the_demos_folder_only_the_page_is_served(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editable install finds there what npm installed and built, and the tests, too."""
    page = {"app.js", "client/index.js", "vendor/x.js", "words/ko.js"}
    beside = {
        "node_modules/x/index.js", "react/size.js", "react/dist/client/index.js", "react/example/index.html",
        "react/example/node_modules/x.css", "tests/stage.js", "Client/index.js", "react/client/index.js",
    }  # fmt: skip
    for path in page | beside:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    monkeypatch.setattr(demo, "files", lambda package: tmp_path)
    for path in page:
        assert (await bare(node, "GET", f"/demo/{path}")).text == path
    for path in beside:
        refused(await bare(node, "GET", f"/demo/{path}"), 404, "not_found", "Not Found")


async def test_where_the_demo_is_off_there_is_none(cluster: Cluster) -> None:
    node = await cluster.node()
    for path in ("/", "/demo/", "/demo/index.html", "/demo/config.json", "/demo/app.js"):
        refused(await bare(node, "GET", path), 404, "not_found", "Not Found")


async def test_an_answer_of_ours_is_json_and_one_without_a_body_has_none(stage: Stage, node: Node) -> None:
    client: Client = node.client(*stage.people(1))
    tea = await client.group()
    answer = await client.ask("GET", f"/conversations/{tea}")
    assert answer.headers["Content-Type"] == "application/json"
    fenced(answer)
    answer = await client.ask("DELETE", f"/conversations/{tea}")
    assert (answer.status, answer.text, "Content-Type" in answer.headers) == (204, "", False)
    fenced(answer)
