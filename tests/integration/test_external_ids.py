"""A host's own ids: users made and found by them over REST, in tokens and in a socket's path; and which are none."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.node import FREE, SECRET, Cluster, Node
from tests.support.people import Answer, Client, Frame, forged, token

API_TOKEN = "the host's own key"
SETTINGS = {**FREE, "api_token": API_TOKEN}
STRICT = {**SETTINGS, "unknown_users": "refuse"}
INVALID = (1008, "token_invalid")
MISMATCH = (1008, "user_mismatch")
# Ids of those whom the host calls by its own are above it.
MADE_UP = 2**52
ODD = [
    "ann@example.org", "7a", "a/b", "a b", "ünï-cødé", "名前", "%41", "a%2Fb", "{user_id}", "{6F9619FF-8B86}",
    "-7", "7.0", "٧", "+7", "me2", "x" * 128, "😀" * 128, "/", "null", "a?b#c", "a\nb", "'; drop table users", "former", "blocks",
]  # fmt: skip


@pytest.fixture
async def node(cluster: Cluster) -> Node:
    return await cluster.node(**SETTINGS)


def host(node: Node) -> Client:
    return Client(node.session, node.origin, API_TOKEN)


def named(node: Node, external_id: str) -> Client:
    """The REST calls of somebody whose token knows him by the host's id alone."""
    return Client(node.session, node.origin, token(external_id, SECRET))


def problem(status: int, code: str, message: str, **more: Any) -> tuple[int, Frame]:
    title = HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": status, "detail": message, "code": code}
    return status, {**told, "message": message, **more}


TAKEN = problem(409, "conflict", "external_id is taken")


async def put(node: Node, who: int | str, **changes: Any) -> tuple[int, Any]:
    return await host(node).call("PUT", "/users/" + quote(str(who), safe=""), changes)


async def made(node: Node, who: int | str, **changes: Any) -> int:
    """The id of a user whom the host puts."""
    status, told = await put(node, who, **changes)
    assert status == 200, told
    return int(told["id"])


async def test_the_host_makes_a_user_of_its_own_id(node: Node) -> None:
    status, told = await put(node, "ann@example.org")
    ann = told["id"]
    shown = {
        "id": ann,
        "external_id": "ann@example.org",
        "name": f"User {ann}",
        "avatar_url": None,
        "last_seen_at": None,
    }
    assert (status, told) == (200, shown)
    assert MADE_UP <= ann < 2**53
    picture = "https://example.org/a.png"
    shown |= {"name": "Ann", "avatar_url": picture}
    assert await put(node, "ann@example.org", name="Ann", avatar_url=picture) == (200, shown)
    assert await put(node, ann) == (200, shown)
    ben = await made(node, "ben@example.org")
    assert MADE_UP <= ben < 2**53
    assert ben != ann


async def test_the_host_names_a_user_whom_it_counts(node: Node) -> None:
    shown = {"id": 7, "external_id": "seven", "name": "User 7", "avatar_url": None, "last_seen_at": None}
    assert await put(node, 7, external_id="seven") == (200, shown)
    assert await put(node, "seven") == (200, shown)
    assert await put(node, 7, external_id="eleven") == (200, {**shown, "external_id": "eleven"})
    assert await made(node, "seven") >= MADE_UP  # the name is free again, and somebody else's now
    assert await put(node, "eleven", external_id=None) == (200, {**shown, "external_id": None})


@pytest.mark.parametrize("external_id", ODD, ids=ascii)
async def test_any_text_may_be_an_id(node: Node, external_id: str) -> None:
    ann = await made(node, external_id)
    assert ann >= MADE_UP
    assert await made(node, 7, external_id=external_id + "x" if len(external_id) < 128 else "y") == 7
    assert (await put(node, ann, external_id=external_id))[0] == 200
    status, told = await named(node, external_id).get("/users/me")
    assert (status, told["id"], told["external_id"]) == (200, ann, external_id)
    heard = await node.knock("/ws/" + quote(external_id, safe=""), token(ann, SECRET))
    assert isinstance(heard, dict)
    assert heard["user_id"] == ann


async def test_in_tokens_and_paths_it_stands_for_its_user(node: Node) -> None:
    ann, ben = await made(node, "ann@example.org"), await made(node, "ben@example.org")
    anns = token("ann@example.org", SECRET)
    for path in ("me", "ann@example.org", "ann%40example.org", str(ann)):
        for bearer in (anns, token(ann, SECRET)):
            heard = await node.knock(f"/ws/{path}", bearer)
            assert isinstance(heard, dict), heard
            assert heard["user_id"] == ann
    for path in ("ben@example.org", str(ben), "Ann@example.org", "nobody@example.org", "ann%2540example.org"):
        assert await node.knock(f"/ws/{path}", anns) == MISMATCH
    # As everybody else they are told of, and taken part with, by the number.
    tea = await named(node, "ann@example.org").group(ben)
    async with node.phone_for_a_while(ben) as phone:
        said = await named(node, "ann@example.org").send(tea, "Hello", mentions=[ben])
        assert said["sender_id"] == ann
        assert (await phone.hear("message.new"))["data"] == said
        refreshed = await phone.ask("auth.refresh", token=token("ben@example.org", SECRET))
        assert refreshed["type"] == "auth.refreshed"
        refused = await phone.ask("auth.refresh", token=anns)
        assert (refused["code"], refused["reason"]) == ("unauthorized", "user_mismatch")


async def test_a_claim_of_the_hosts_choice_may_hold_it(cluster: Cluster) -> None:
    node = await cluster.node(**SETTINGS, jwt_user_claim="email")
    ann = await made(node, "ann@example.org")
    heard = await node.knock(bearer=token("somebody else", SECRET, email="ann@example.org"))
    assert isinstance(heard, dict)
    assert heard["user_id"] == ann
    assert await node.knock(bearer=token("ann@example.org", SECRET)) == INVALID


@pytest.mark.parametrize("settings", [SETTINGS, STRICT], ids=["provision", "refuse"])
async def test_one_that_nobody_has_is_no_token(cluster: Cluster, settings: dict[str, Any]) -> None:
    """Nobody is made of it: the host alone says who that is. It also does where unknown users are refused."""
    node = await cluster.node(**settings)
    assert await node.knock(bearer=token("ann@example.org", SECRET)) == INVALID
    answer: Answer = await named(node, "ann@example.org").ask("GET", "/users/me")
    assert (answer.status, answer.body["code"], answer.body["reason"]) == (401, "unauthorized", "token_invalid")
    ann = await made(node, "ann@example.org")
    assert (await named(node, "ann@example.org").get("/users/me"))[1]["id"] == ann
    assert isinstance(await node.knock(bearer=token("ann@example.org", SECRET)), dict)
    await made(node, ann, external_id=None)
    assert await node.knock(bearer=token("ann@example.org", SECRET)) == INVALID
    assert isinstance(await node.knock(bearer=token(ann, SECRET)), dict)


async def test_the_host_acts_as_whom_it_names_by_it(node: Node) -> None:
    ann = await made(node, "ann@example.org")
    for name, status in (
        ("ann@example.org", 200),
        (str(ann), 200),
        ("nobody@example.org", 404),
        ("", 404),
        ("me", 404),
    ):
        answer = await host(node).ask("GET", "/users/me", headers={"X-User-Id": name})
        assert answer.status == status, name
        assert answer.body.get("id" if status == 200 else "code") in (ann, "user_not_found")
    other = await made(node, "ünï {7}")
    answer = await host(node).ask("GET", "/users/me", headers={"X-User-Id": "ünï {7}"})
    assert (answer.status, answer.body["id"]) == (200, other)
    status, told = await host(node).call("POST", "/users/ann@example.org/revoke")
    assert (status, told["user_id"]) == (200, ann)
    old = forged({"sub": "ann@example.org", "exp": 4_000_000_000, "iat": 1000}, SECRET.encode())
    assert await node.knock(bearer=old) == (1008, "revoked")


async def test_one_that_is_taken_stays_whose_it_is(node: Node) -> None:
    ann = await made(node, "ann")
    assert await put(node, 7, external_id="ann", name="Seven") == TAKEN
    assert await put(node, "ben", external_id="ann") == TAKEN
    assert await named(node, "ben").get("/users/me") == problem(
        401, "unauthorized", "Unauthorized", reason="token_invalid"
    )
    assert await host(node).get(f"/users?ids=7,{ann}") == (
        200,
        {"users": [{"id": ann, "external_id": "ann", "name": f"User {ann}", "avatar_url": None, "last_seen_at": None}]},
    )
    assert (await put(node, ann, external_id="ann"))[0] == 200  # one's own is not taken
    await made(node, ann, external_id="ann-2")
    assert await made(node, 7, external_id="ann") == 7


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("external_id", ["", "x" * 129, "7", "123456789", "0", "me", "a\x00", "\ud800", 7, True, [], {}]),
        ("name", ["", "x" * 201, "a\x00", "\udfff", 7, False, ["Ann"]]),
        ("avatar_url", ["", "a.png", "/a.png", "javascript:alert(1)", "data:image/png;base64,", "ftp://a/b",
                        "https://" + "a" * 2048, "https://a b", "https://a\n", " https://a", "\x00", 7, {}]),
    ],
)  # fmt: skip
async def test_what_is_none_is_told_with_the_field(node: Node, field: str, values: list[Any]) -> None:
    for value in values:
        for who in (7, "seven"):
            status, told = await put(node, who, **{field: value})
            assert (status, told["code"], told["field"]) == (422, "invalid_frame", field), ascii(value)
    assert await host(node).get("/users?ids=7") == (200, {"users": []})
    for longest in ({"external_id": "x" * 128}, {"name": "x" * 200}, {"avatar_url": "https://" + "a" * 2040}):
        assert (await put(node, 7, **longest))[0] == 200


@pytest.mark.parametrize("who", ["0", "07", "123456789012345678", str(2**53), "x" * 129, "a\x00b", "0" * 128])
async def test_a_path_that_names_nobody_makes_nobody(node: Node, who: str) -> None:
    told = await put(node, who, name="Ann")
    message = "user_id must be an id from 1 to 2^53-1, or an external id"
    assert told == problem(422, "invalid_frame", message, field="user_id")


async def test_a_body_is_a_json_object(node: Node) -> None:
    for body, status, code in ((b"{", 400, "invalid_json"), (b"[]", 422, "invalid_frame"), (b"", 400, "invalid_json")):
        answer = await host(node).ask("PUT", "/users/7", data=body, headers={"Content-Type": "application/json"})
        assert (answer.status, answer.body["code"]) == (status, code)
    answer = await host(node).ask("PUT", "/users/7", data=b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.body["code"]) == (415, "unsupported_media_type")
    assert (await put(node, 7, colour="green"))[0] == 200  # what nobody knows is ignored


async def test_ones_own_is_seen_by_oneself_and_the_host_alone(node: Node) -> None:
    ann, ben = await made(node, "ann"), await made(node, "ben")
    await named(node, "ann").group(ben)
    _, told = await named(node, "ben").get(f"/users?ids={ann},{ben}")
    assert {user["id"]: user.get("external_id") for user in told["users"]} == {ann: None, ben: "ben"}
    assert [("external_id" in user) for user in told["users"]] == [user["id"] == ben for user in told["users"]]
    answer = await host(node).ask("GET", f"/users?ids={ann},{ben}", headers={"X-User-Id": "ben"})
    assert {user["id"]: user["external_id"] for user in answer.body["users"]} == {ann: "ann", ben: "ben"}
    _, page = await named(node, "ben").get("/conversations")
    assert page["conversations"][0]["people"] == [{"user_id": ann, "name": f"User {ann}", "avatar_url": None}]
