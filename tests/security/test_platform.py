"""The Platform API is the host application's alone: by its key, said once; without one it is not there, and costs nothing."""

import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from yarl import URL

from messenger.app import make_app
from messenger.config import Config
from messenger.dialects import platform
from messenger.service.channels import Channels
from messenger.transport.contract import routes_of
from tests.support.database import Database, Servers
from tests.support.node import FREE, SECRET, Cluster, Node, logged, node_of_stage, stage_with
from tests.support.people import Answer, token
from tests.support.platform import API_TOKEN, BAD_TOKEN, BAD_VALUE, NOT_FOUND, Host
from tests.support.proxy import of_postgres, proxied

PAGE = "https://chat.example.org"
stage = stage_with(api_token=API_TOKEN, allowed_origins=(PAGE,), max_content_chars=200_000)
node = node_of_stage()

ROUTES = [
    (
        route.method,
        route.path.replace("{channel_url}", "hike").replace("{message_number}", "7").replace("{user_id}", "ann"),
    )
    for route in routes_of(make_app(Config()))
    if route.path.startswith("/v3/")
]
ELSEWHERE = [
    ("GET", "/v3"),
    ("GET", "/v3/"),
    ("GET", "/v3/nowhere"),
    ("PATCH", "/v3/users"),
    ("POST", "/v3/open_channels"),
]


async def asked(node: Node, method: str, path: str, headers: Any = None, **options: Any) -> Answer:
    url = URL(node.origin + path, encoded=True)
    async with node.session.request(method, url, headers=headers, **options) as response:
        return Answer(response.status, response.headers, await response.text())


def refused(answer: Answer, code: int) -> str:
    """Assert that this is a refusal in the vendor's words; its message."""
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/json"), answer
    assert (answer.body.keys(), answer.body["error"], answer.body["code"]) == ({"error", "code", "message"}, True, code)
    return str(answer.body["message"])


def test_there_is_something_to_guard() -> None:
    assert len(ROUTES) == 17


@pytest.mark.parametrize("auth", ["jwt", "off"])
async def test_it_is_not_there_while_no_key_is_set(cluster: Cluster, auth: str) -> None:
    node = await cluster.node(**FREE, auth=auth)
    absent = await asked(node, "GET", "/nowhere")
    assert (absent.status, absent.body["code"]) == (404, "not_found")
    for headers in ({}, {"Api-Token": ""}, {"Api-Token": "x"}, {"Authorization": f"Bearer {token(1, SECRET)}"}):
        for method, path in (*ROUTES, *ELSEWHERE):
            answer = await asked(node, method, path, headers, json={"user_id": "ann", "user_ids": ["ann"]})
            assert (answer.status, answer.text) == (404, absent.text), (method, path)


KEYS: Mapping[str, list[tuple[str, str]]] = {
    "none": [],
    "empty": [("Api-Token", "")],
    "wrong": [("Api-Token", API_TOKEN[:-1] + "x")],
    "shorter": [("Api-Token", API_TOKEN[:-1])],
    "longer": [("Api-Token", API_TOKEN + "x")],
    "no ASCII": [("Api-Token", "schlüssel")],
    "two": [("Api-Token", API_TOKEN), ("Api-Token", API_TOKEN)],
    "two, one of them wrong": [("Api-Token", API_TOKEN), ("Api-Token", "x")],
    "as a bearer": [("Authorization", f"Bearer {API_TOKEN}")],
    "a user's": [("Authorization", f"Bearer {token(1, SECRET)}"), ("Api-Token", token(1, SECRET))],
    "of scope service": [("Authorization", f"Bearer {token(1, SECRET, scope='service')}")],
}


@pytest.mark.parametrize("keys", KEYS)
async def test_without_the_key_nothing_is_told(node: Node, keys: str) -> None:
    told = {
        (method, path): refused(await asked(node, method, path, KEYS[keys], json={"user_id": "ann"}), BAD_TOKEN)
        for method, path in (*ROUTES, *ELSEWHERE)
    }
    # Alike, whatever is there and whatever is asked.
    assert set(told.values()) == {"No valid Api-Token."}


async def test_the_key_is_compared_in_constant_time(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    class Witness:
        @staticmethod
        def compare_digest(shown: bytes, key: bytes) -> bool:
            compared.append((shown, key))
            return hmac.compare_digest(shown, key)

    monkeypatch.setattr(platform, "hmac", Witness)
    refused(await asked(node, "GET", "/v3/users", {"Api-Token": "guess"}), BAD_TOKEN)
    assert (await asked(node, "GET", "/v3/users", {"Api-Token": API_TOKEN})).status == 200
    assert compared == [(b"guess", API_TOKEN.encode()), (API_TOKEN.encode(), API_TOKEN.encode())]


async def test_without_the_key_nothing_is_asked_of_the_database(
    cluster: Cluster, servers: Servers, database: Database
) -> None:
    said: list[bytes] = []
    async with (
        proxied(of_postgres(database.app_url)) as postgres,
        cluster.node_for_a_while(
            **FREE, api_token=API_TOKEN, catch_up_s=3600, database_url=postgres.postgres_url(database.app_url)
        ) as node,
    ):
        await Host(node).channel("ann")
        postgres.watch = said.append
        for method, path in (*ROUTES, *ELSEWHERE):
            refused(await asked(node, method, path, {"Api-Token": "guess"}, data=b"x" * 100_000), BAD_TOKEN)
        assert not [statement for statement in said if b"people_called" in statement or b"channels_called" in statement]
        # And the proxy does hear what is said.
        await Host(node).get("/users/ann")
        assert [statement for statement in said if b"ann" in statement]


async def test_every_failure_is_told_in_the_vendors_words(node: Node) -> None:
    key = {"Api-Token": API_TOKEN}
    json_ = {**key, "Content-Type": "application/json"}
    for data in ("", "{", "{'a': 1}", '{"user_id": NaN}', b"\xff", "[]", "null", '"x"'):
        refused(await asked(node, "POST", "/v3/users", json_, data=data), BAD_VALUE)
    for type_ in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = await asked(node, "POST", "/v3/users", {**key, "Content-Type": type_}, data=b'{"user_id":"x"}')
        assert refused(answer, BAD_VALUE) == "Unsupported Media Type"
    packed = {**json_, "Content-Encoding": "gzip"}
    refused(await asked(node, "POST", "/v3/users", packed, data=b'{"user_id":"x"}', skip_auto_headers=()), BAD_VALUE)
    refused(await asked(node, "POST", "/v3/users", json_, data=b'{"user_id":"x"}'.ljust(262_145)), BAD_VALUE)
    for method, path in ELSEWHERE:
        refused(await asked(node, method, path, key), NOT_FOUND)
    for path in ("/v3/group_channels/%ff", "/v3/users/%00", "/v3/group_channels/..%2f..", f"/v3/users/{'x' * 4000}"):
        refused(await asked(node, "GET", path, key), NOT_FOUND)
    answer = await asked(node, "HEAD", "/v3/group_channels/none", key)
    assert (answer.status, answer.text) == (400, "")


async def test_a_surprise_tells_nothing_but_a_reference(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    async def surprised(*_: Any) -> None:
        raise RuntimeError("the secret of the database")

    monkeypatch.setattr(Channels, "find", surprised)
    with logged() as stream:
        answer = await asked(node, "GET", "/v3/group_channels/hike", {"Api-Token": API_TOKEN})
    assert (answer.status, answer.body["error"], answer.body["code"]) == (500, True, 500901)
    reference = answer.body["message"].removeprefix("Internal error (").removesuffix(")")
    assert "secret" not in answer.text
    (told,) = (line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == "request failed")
    assert (told["id"], told["path"]) == (reference, "/v3/group_channels/hike")
    assert API_TOKEN not in stream.getvalue()


async def test_no_page_uses_it(node: Node) -> None:
    """A browser asks first, and is not allowed to send the key; what it sends without being asked changes nothing."""
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "api-token"}
    allowed = await asked(node, "OPTIONS", "/v3/users", {"Origin": PAGE, **ask})
    assert "api-token" not in allowed.headers["Access-Control-Allow-Headers"].lower()
    foreign = await asked(node, "OPTIONS", "/v3/users", {"Origin": "https://evil.example", **ask})
    assert foreign.status == 403
    told = {"Origin": "https://evil.example", "Api-Token": API_TOKEN}
    answer = await asked(node, "POST", "/v3/users", told, json={"user_id": "eve"})
    assert (answer.status, answer.body["code"]) == (403, "forbidden")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_answers_are_guarded_as_all_are(node: Node) -> None:
    for key in (API_TOKEN, "guess"):
        answer = await asked(node, "GET", "/v3/users", {"Api-Token": key})
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_what_a_channel_says_is_not_logged(node: Node) -> None:
    with logged() as stream:
        host = Host(node)
        url = await host.channel("ann", name="A secret name", data="a secret word")
        await host.say(url, "ann", "A secret word", data="a secret word")
        await host.post("/users", user_id="secretive", metadata={"secret": "secret"}, nickname="secret")
    assert "A secret" not in stream.getvalue()
    assert "a secret" not in stream.getvalue()
