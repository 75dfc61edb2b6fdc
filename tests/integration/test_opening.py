"""The way in: where a token may stand, whom a path may name, what the first frame says, and whose pages may knock."""

import re
from typing import Any

import pytest

from tests.support.node import SECRET, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import API, Frame, token

stage = stage_with()
node = node_of_stage()

NOW = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
V1 = "messenger.v1"


def key(user_id: int | str, **claims: Any) -> str:
    return token(user_id, SECRET, **claims)


def user_of(heard: Any) -> Any:
    return heard["user_id"] if isinstance(heard, dict) else heard


async def test_a_token_may_stand_in_the_header(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    heard = await node.knock(f"/ws/{ann}", bearer=key(ann))
    assert isinstance(heard, dict)
    assert (heard["user_id"], heard["subprotocol"]) == (ann, None)


async def test_a_token_may_stand_among_the_subprotocols_and_only_ours_is_answered(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    for offered in ((V1, f"bearer.{key(ann)}"), (f"bearer.{key(ann)}", V1)):
        heard = await node.knock(f"/ws/{ann}", protocols=offered)
        assert isinstance(heard, dict)
        assert (heard["user_id"], heard["subprotocol"]) == (ann, V1)


async def test_a_token_may_stand_in_the_query(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    assert user_of(await node.knock(f"/ws/{ann}?token={key(ann)}")) == ann


async def test_a_bearer_without_our_subprotocol_is_no_token(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    assert await node.knock(f"/ws/{ann}", protocols=(f"bearer.{key(ann)}",)) == (1008, "token_missing")


async def test_the_header_goes_before_the_subprotocol_and_that_before_the_query(stage: Stage, node: Node) -> None:
    ann, ben, cyd = stage.people(3)
    path, offered = f"/ws/me?token={key(cyd)}", (V1, f"bearer.{key(ben)}")
    assert user_of(await node.knock(path, key(ann), offered)) == ann
    assert user_of(await node.knock(path, protocols=offered)) == ben
    assert user_of(await node.knock(path)) == cyd


async def test_a_bad_token_found_first_is_not_rescued_by_a_good_one_behind_it(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    path, offered = f"/ws/me?token={key(ann)}", (V1, f"bearer.{key(ann)}")
    assert await node.knock(path, "rubbish", offered) == (1008, "token_invalid")
    assert await node.knock(path, protocols=(V1, "bearer.rubbish")) == (1008, "token_invalid")


async def test_another_scheme_than_bearer_is_no_token(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    assert await node.knock(Authorization="Basic YW5uOnNlY3JldA==") == (1008, "token_missing")
    assert user_of(await node.knock(f"/ws/me?token={key(ann)}", Authorization="Basic YTpi")) == ann
    assert user_of(await node.knock(Authorization=f"bearer {key(ann)}")) == ann


async def test_both_paths_lead_in(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    for path in (f"/ws/{ann}", f"{API}/ws/{ann}", "/ws/me", f"{API}/ws/me"):
        assert user_of(await node.knock(path, key(ann))) == ann


@pytest.mark.parametrize(
    "named",
    ["0{}", "abc", "{}%00", "..", "%2e%2e", "%2e%2e%2f{}", "+{}", "-{}", "{}.0", "{}%20", "%20{}", "{}%0d%0aX:1"]
    + ["0", "9007199254740992", "*", "null", "Me", "%D9%A7", "%ED%A0%80", "{}" + "0" * 200],
)
async def test_a_path_that_does_not_name_the_tokens_user_is_a_mismatch(stage: Stage, node: Node, named: str) -> None:
    (ann,) = stage.people(1)
    assert await node.knock(f"/ws/{named.format(ann)}", key(ann)) == (1008, "user_mismatch")


async def test_nobody_opens_anothers_socket(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    assert await node.knock(f"/ws/{ben}", key(ann)) == (1008, "user_mismatch")


async def test_a_subject_may_be_a_number(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    heard = await node.knock(f"/ws/{ann}", bearer=_numeric(ann))
    assert user_of(heard) == ann
    assert user_of(await node.knock(bearer=_numeric(2**53 - 1))) == 2**53 - 1


def _numeric(user_id: int) -> str:
    from tests.support.people import forged

    return forged({"sub": user_id, "exp": 4_000_000_000}, SECRET.encode())


async def test_an_external_id_names_the_user_in_token_and_path(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    await node.knock(bearer=key(ann))
    name = f"ann-{ann}@example.org"
    await stage.oracle.execute("update messenger.users set external_id = $1 where id = $2", name, ann)
    for path in ("me", name, str(ann)):
        assert user_of(await node.knock(f"/ws/{path}", key(name))) == ann
    assert user_of(await node.knock(f"/ws/{name}", key(ann))) == ann
    assert await node.knock("/ws/somebody-else", key(name)) == (1008, "user_mismatch")
    assert await node.knock("/ws/me", key("nobody@example.org")) == (1008, "token_invalid")


async def test_hello_says_exactly_this(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann, device="kitchen")
    hello = dict(phone.hello)
    assert NOW.fullmatch(hello.pop("timestamp"))
    assert re.fullmatch(r"[0-9a-f]{16}", hello.pop("connection_id"))
    assert hello == {
        "type": "system",
        "event": "connected",
        "message": "Connected to messenger",
        "user_id": ann,
        "device_id": "kitchen",
        "heartbeat_s": 25,
        "epoch": await stage.oracle.fetchval("select epoch from messenger.installation"),
        "protocol": V1,
    }


@pytest.mark.parametrize("name", ["a", "Z-9._x", "x" * 64])
async def test_a_device_keeps_its_good_name(stage: Stage, node: Node, name: str) -> None:
    (ann,) = stage.people(1)
    assert (await node.phone(ann, device=name)).hello["device_id"] == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a%20b", "%C3%A4", "a%0A", "a/b", "%00", "%ED%A0%80", "a;b"])
async def test_a_bad_device_name_is_replaced_by_one_of_ours(stage: Stage, node: Node, name: str) -> None:
    (ann,) = stage.people(1)
    heard = await node.knock(f"/ws/me?device={name}", key(ann))
    assert isinstance(heard, dict)
    assert re.fullmatch(r"d-[0-9a-f]{12}", heard["device_id"])


async def test_two_connections_of_one_name_are_two_devices(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    one, two = await node.phone(ann, "desk"), await node.phone(ann, "desk")
    assert one.hello["device_id"] == two.hello["device_id"]
    assert one.hello["connection_id"] != two.hello["connection_id"]
    await one.ask("ping")
    own = (await two.ask("presence", user_ids=[ann]))["users"][0]
    assert (own["online"], own["devices"]) == (True, 2)


async def test_a_plain_get_is_told_to_upgrade(node: Node) -> None:
    for path in ("/ws/1", f"{API}/ws/me"):
        async with node.session.get(node.origin + path) as response:
            assert (response.status, response.headers["Upgrade"]) == (426, "websocket")


async def knock_from(node: Node, ann: int, origin: str) -> Frame | Any:
    return user_of(await node.knock(bearer=key(ann), Origin=origin))


async def test_pages_of_other_origins_are_refused_before_the_upgrade(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    host = node.origin.removeprefix("http://")
    for origin in ("https://evil.example", "null", f"http://{host}.evil.example", f"http://evil@{host}", "http://", ""):
        assert await knock_from(node, ann, origin) == 403, origin
    for origin in (node.origin, f"https://{host}"):
        assert await knock_from(node, ann, origin) == ann, origin
    # What names no origin is no browser.
    assert user_of(await node.knock(bearer=key(ann))) == ann


async def test_a_foreign_origin_learns_nothing_of_its_token(node: Node) -> None:
    assert await node.knock(bearer="rubbish", Origin="https://evil.example") == 403
    assert await node.knock(Origin="https://evil.example") == 403


async def test_listed_origins_are_let_in_exactly(cluster: Cluster) -> None:
    node = await cluster.node(allowed_origins=("https://chat.example.org", "http://localhost:5173"))
    for origin in ("https://chat.example.org", "http://localhost:5173", node.origin):
        assert await knock_from(node, 1, origin) == 1, origin
    for origin in (
        "http://chat.example.org",
        "https://chat.example.org:8443",
        "https://chat.example.org.evil.example",
        "https://chat.example.org/",
        "http://localhost",
        "null",
    ):
        assert await knock_from(node, 1, origin) == 403, origin


async def test_a_star_lets_every_origin_in_but_null(cluster: Cluster) -> None:
    node = await cluster.node(allowed_origins=("*",))
    assert await knock_from(node, 1, "https://anybody.example") == 1
    assert await knock_from(node, 1, "null") == 403


async def test_with_authentication_off_the_path_says_who_comes(cluster: Cluster) -> None:
    node = await cluster.node(auth="off", jwt_secret="")
    assert user_of(await node.knock("/ws/7")) == 7
    for named in ("07", "0", "me", "abc"):
        assert await node.knock(f"/ws/{named}") == (1008, "user_mismatch")
