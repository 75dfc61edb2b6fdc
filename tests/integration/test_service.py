"""The host application: by its own key or a token of scope service, as itself or in the name of a user, over REST alone."""

import time
from http import HTTPStatus
from typing import Any

import asyncpg
import jwt
import pytest

from tests.support.node import FREE, SECRET, Cluster, Node
from tests.support.people import Client, Frame, group, token

ANN, BEN, CYD, EVE = 1, 2, 3, 4
API_TOKEN = "the host's own key"
SETTINGS = {**FREE, "api_token": API_TOKEN}
LATER = 4_000_000_000


def scoped(**claims: Any) -> str:
    return jwt.encode({"scope": "service", "exp": LATER, **claims}, SECRET, algorithm="HS256")


# The two ways in which the host says who it is.
BEARERS = pytest.mark.parametrize("bearer", [API_TOKEN, scoped()], ids=["key", "scope"])


@pytest.fixture
async def node(cluster: Cluster) -> Node:
    return await cluster.node(**SETTINGS)


def host(node: Node, bearer: str = API_TOKEN) -> Client:
    return Client(node.session, node.origin, bearer)


class Named:
    """The host's REST calls in the name of a user."""

    def __init__(self, node: Node, bearer: str, named: int | str) -> None:
        self._client = host(node, bearer)
        self._headers = {"X-User-Id": str(named)}

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = await self._client.ask(method, path, json=body, headers=self._headers)
        return answer.status, answer.body


def problem(status: int, code: str, message: str, **more: Any) -> tuple[int, Frame]:
    title = HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": status, "detail": message, "code": code}
    return status, {**told, "message": message, **more}


UNNAMED = problem(403, "forbidden", "X-User-Id is missing: on whose behalf?")
HOST_ONLY = problem(403, "forbidden", "Only the host application may do this")
STARTS_ONLY = problem(403, "forbidden", "Only the host application makes conversations")
NOBODY = problem(404, "user_not_found", "User not found")


def shown(user_id: int, **more: Any) -> Frame:
    return {
        "id": user_id,
        "name": f"User {user_id}",
        "avatar_url": None,
        "last_seen_at": None,
        "external_id": None,
        **more,
    }


@BEARERS
async def test_as_itself_it_sees_everybody(node: Node, oracle: asyncpg.Connection, bearer: str) -> None:
    await node.client(ANN, name="Ann").group(BEN)
    await node.client(EVE).group()
    await host(node, bearer).call("PUT", f"/users/{EVE}", {"external_id": "eve"})
    await oracle.execute("update messenger.users set last_seen_at = '2024-02-29' where id = $1", BEN)
    at = "2024-02-29T00:00:00Z"
    everybody = [shown(ANN, name="Ann"), shown(BEN, last_seen_at=at), shown(EVE, external_id="eve")]
    assert await host(node, bearer).get(f"/users?ids={EVE},{BEN},99,{ANN},{EVE}") == (200, {"users": everybody})
    await node.client(EVE).call("PUT", f"/users/me/blocks/{ANN}")
    await node.phone(EVE)
    async with node.phone_for_a_while(ANN):
        _, told = await host(node, bearer).get(f"/presence?user_ids={ANN},{BEN},{EVE},99")
        assert told["users"] == [
            {"user_id": ANN, "online": True, "last_seen_at": None},
            {"user_id": BEN, "online": False, "last_seen_at": at},
            {"user_id": EVE, "online": True, "last_seen_at": None},
            {"user_id": 99, "online": False, "last_seen_at": None},
        ]


@BEARERS
async def test_in_a_users_name_it_sees_what_he_sees(node: Node, bearer: str) -> None:
    """And the host's own ids of those whom it sees."""
    tea = await node.client(ANN).group(BEN)
    await node.client(EVE).group()
    for user, name in ((BEN, "ben"), (EVE, "eve")):
        await host(node).call("PUT", f"/users/{user}", {"external_id": name})
    await node.phone(EVE)
    await node.phone(BEN)
    ann = Named(node, bearer, ANN)
    everybody = f"{ANN},{BEN},{EVE}"
    assert await ann.call("GET", f"/users?ids={everybody}") == (
        200,
        {"users": [shown(ANN), shown(BEN, external_id="ben")]},
    )
    _, told = await ann.call("GET", f"/presence?user_ids={everybody}")
    assert told["users"] == [
        {"user_id": ANN, "online": False, "last_seen_at": None, "devices": 0},
        {"user_id": BEN, "online": True, "last_seen_at": None},
        {"user_id": EVE, "online": False, "last_seen_at": None},
    ]
    assert (await ann.call("GET", "/users/me"))[1] == shown(ANN)
    assert (await ann.call("GET", f"/conversations/{tea}"))[0] == 200
    _, told = await node.client(ANN).get(f"/users?ids={everybody}")  # Ann herself is told of hers alone
    assert [user.get("external_id", "-") for user in told["users"]] == [None, "-"]
    assert (await Named(node, bearer, EVE).call("GET", f"/conversations/{tea}"))[0] == 404


@BEARERS
async def test_in_a_users_name_it_does_what_he_may(node: Node, bearer: str) -> None:
    tea = await node.client(ANN).group(BEN)
    phone = await node.phone(BEN)
    status, said = await Named(node, bearer, ANN).call("POST", f"/conversations/{tea}/messages", {"content": "Milk?"})
    assert (status, said["sender_id"]) == (201, ANN)
    assert (await phone.hear("message.new"))["data"] == said
    told = await Named(node, bearer, BEN).call("PATCH", f"/messages/{said['id']}", {"content": "Beer?"})
    assert told == problem(403, "forbidden", "Only sender can edit message")
    told = await Named(node, bearer, BEN).call("PATCH", f"/conversations/{tea}", {"title": "Beer"})
    assert told == problem(403, "forbidden", "Only admins can change a conversation")
    assert await Named(node, bearer, BEN).call("PUT", f"/users/me/blocks/{ANN}") == (200, {"user_ids": [ANN]})
    assert (await node.client(BEN).get("/users/me/blocks"))[1] == {"user_ids": [ANN]}


@BEARERS
async def test_what_is_somebodys_needs_a_name(node: Node, bearer: str) -> None:
    tea = await node.client(ANN).group()
    for method, path in (
        ("GET", "/users/me"), ("GET", "/users/me/blocks"), ("PUT", f"/users/me/blocks/{ANN}"), ("GET", "/conversations"),
        ("DELETE", f"/users/me/blocks/{ANN}"), ("GET", f"/conversations/{tea}"),
        ("GET", f"/conversations/{tea}/messages"), ("GET", f"/conversations/{tea}/participants"),
    ):  # fmt: skip
        assert await host(node, bearer).call(method, path) == UNNAMED, path
    for method, path, body in (
        ("POST", "/conversations", {"type": "group", "participant_ids": [BEN]}),
        ("POST", f"/conversations/{tea}/messages", {"content": "x"}),
        ("POST", "/sync", {"cursors": {}}),
    ):
        assert await host(node, bearer).call(method, path, body) == UNNAMED, path


async def test_whom_it_names_there_is_or_is_made(cluster: Cluster, node: Node) -> None:
    strict = await cluster.node(**SETTINGS, unknown_users="refuse")
    assert await Named(strict, API_TOKEN, 77).call("GET", "/users/me") == NOBODY
    for name in ("0", "07", "-1", str(2**53), "", "me", "nobody", "x" * 129):
        for somewhere in (node, strict):
            assert await Named(somewhere, API_TOKEN, name).call("GET", "/users/me") == NOBODY
            assert await Named(somewhere, API_TOKEN, name).call("GET", f"/users?ids={ANN}") == NOBODY
    assert await Named(node, API_TOKEN, 77).call("GET", "/users/me") == (200, shown(77))
    assert await Named(strict, API_TOKEN, 77).call("GET", "/users/me") == (200, shown(77))
    assert await host(strict).call("PUT", "/users/78", {}) == (200, shown(78))
    assert await Named(strict, API_TOKEN, 78).call("GET", "/users/me") == (200, shown(78))


@BEARERS
async def test_where_the_service_starts_it_starts_in_a_users_name(cluster: Cluster, bearer: str) -> None:
    node = await cluster.node(**SETTINGS, who_starts="service")
    phones = [await node.phone(user) for user in (ANN, BEN)]
    for type_ in ("group", "direct", "announcement"):
        body = {"type": type_, "title": "Tea", "participant_ids": [BEN]}
        assert await node.client(ANN).post("/conversations", body) == STARTS_ONLY
        answer = await node.client(ANN).ask("POST", "/conversations", json=body, headers={"X-User-Id": str(ANN)})
        assert (answer.status, answer.body) == STARTS_ONLY
        assert await host(node, bearer).call("POST", "/conversations", body) == UNNAMED
        status, told = await Named(node, bearer, ANN).call("POST", "/conversations", body)
        assert (status, told) == (201, group(told["id"], ANN, type=type_, participant_count=2))
        for phone, role in zip(phones, ("admin", "member"), strict=True):
            created = await phone.hear("conversation.created")
            assert created["conversation"] == {**told, "my_role": role}
    assert [await phone.unheard() for phone in phones] == [[], []]
    # In what there is, people do as everywhere else.
    tea = (await node.client(ANN).get("/conversations"))[1]["conversations"][-1]["id"]
    assert (await node.client(ANN).post(f"/conversations/{tea}/participants", {"user_ids": [CYD]}))[0] == 201
    await node.client(BEN).send(tea, "Milk?")


async def test_a_block_holds_for_the_host_in_a_users_name_too(node: Node) -> None:
    await node.client(ANN).call("PUT", f"/users/me/blocks/{BEN}")
    for maker, other in ((ANN, BEN), (BEN, ANN)):
        told = await Named(node, API_TOKEN, maker).call(
            "POST", "/conversations", {"type": "direct", "participant_ids": [other]}
        )
        assert told == problem(403, "forbidden", "You cannot write to this user")


@BEARERS
async def test_it_has_no_socket(node: Node, bearer: str) -> None:
    assert await node.knock("/ws/me", bearer) == (1008, "token_invalid")
    assert await node.knock(f"/ws/{ANN}", bearer, **{"X-User-Id": str(ANN)}) == (1008, "token_invalid")
    assert await node.knock("/ws/me?token=" + bearer.replace(" ", "%20")) == (1008, "token_invalid")
    phone = await node.phone(ANN)
    refused = await phone.answer("auth.refresh", token=bearer)
    assert (refused["code"], refused["reason"]) == ("unauthorized", "token_invalid")
    mixed = scoped(sub=str(ANN), iat=int(time.time()))  # a service's, whoever else it names
    assert await node.knock("/ws/me", mixed) == (1008, "token_invalid")
    assert await host(node, mixed).get("/users/me") == UNNAMED


async def test_a_users_own_token_makes_nobody_else_of_him(node: Node) -> None:
    tea = await node.client(BEN).group()
    for named in (str(BEN), "nobody", "", "0"):
        answer = await node.client(ANN).ask("GET", "/users/me", headers={"X-User-Id": named})
        assert (answer.status, answer.body) == (200, shown(ANN))
        answer = await node.client(ANN).ask("GET", f"/conversations/{tea}", headers={"X-User-Id": named})
        assert answer.status == 404
        answer = await node.client(ANN).ask("GET", f"/users?ids={BEN}", headers={"X-User-Id": named})
        assert answer.body == {"users": []}


async def test_nobody_else_is_the_host(node: Node) -> None:
    for bearer, told in (
        (token(ANN, SECRET), HOST_ONLY),
        (token(ANN, SECRET, scope="services"), HOST_ONLY),
        (token(ANN, SECRET, scope=["service"]), HOST_ONLY),
        (scoped(exp=1), problem(401, "unauthorized", "Unauthorized", reason="token_expired")),
        (API_TOKEN[:-1], problem(401, "unauthorized", "Unauthorized", reason="token_invalid")),
        (API_TOKEN.upper(), problem(401, "unauthorized", "Unauthorized", reason="token_invalid")),
    ):
        assert await host(node, bearer).call("PUT", f"/users/{ANN}", {"name": "Queen"}) == told
        assert await host(node, bearer).call("POST", f"/users/{BEN}/revoke") == told
    missing = problem(401, "unauthorized", "Unauthorized", reason="token_missing")
    for method, path, body in (("PUT", f"/users/{ANN}", {}), ("GET", f"/users?ids={ANN}", None)):
        assert await node.nobody().call(method, path, body) == missing
    assert await host(node, scoped(iss="x")).get(f"/users?ids={ANN},{BEN}") == (200, {"users": []})
    forged = jwt.encode({"scope": "service", "exp": LATER}, "another-secret-of-at-least-32-bytes!", algorithm="HS256")
    assert (await host(node, forged).get(f"/users?ids={ANN}"))[0] == 401


async def test_a_name_that_the_host_gives_is_seen_at_once(node: Node) -> None:
    await node.client(ANN).group(BEN)
    phone = await node.phone(BEN)
    picture = "https://example.org/a.png"
    await host(node).call("PUT", f"/users/{ANN}", {"name": "Ann", "avatar_url": picture})
    assert await phone.hear("user.updated") == {
        "type": "user.updated", "user_id": ANN, "name": "Ann", "avatar_url": picture,
    }  # fmt: skip
