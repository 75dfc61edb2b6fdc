"""/users and /presence: oneself, and those with whom one shares a conversation."""

import asyncio

import pytest

from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME

stage = stage_with()
node = node_of_stage()


async def test_one_sees_oneself_with_ones_external_id(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann, name=" Ann ", picture="https://example.org/a.png")
    shown = {"id": ann, "name": "Ann", "avatar_url": "https://example.org/a.png", "last_seen_at": None}
    assert await client.get("/users/me") == (200, {**shown, "external_id": None})
    await stage.oracle.execute("update messenger.users set external_id = $1 where id = $2", f"ann-{ann}", ann)
    assert await client.get("/users/me") == (200, {**shown, "external_id": f"ann-{ann}"})
    async with node.phone_for_a_while(ann):
        pass
    async with asyncio.timeout(10):
        while (await client.get("/users/me"))[1]["last_seen_at"] is None:
            await asyncio.sleep(0.05)
    assert (await client.get("/users/me"))[1] == {**shown, "external_id": f"ann-{ann}", "last_seen_at": A_TIME}


async def test_others_are_shown_only_where_one_shares_a_conversation(stage: Stage, node: Node) -> None:
    ann, ben, eve = stage.people(3)
    await stage.oracle.execute("insert into messenger.users (id, external_id) values ($1, $2)", ben, f"ben-{ben}")
    client = node.client(ann)
    tea = await client.group(ben)
    assert (await node.client(eve, name="Eve").get("/users/me"))[0] == 200
    bens = {"id": ben, "name": f"User {ben}", "avatar_url": None, "last_seen_at": None}
    mine = {"id": ann, "name": f"User {ann}", "avatar_url": None, "last_seen_at": None, "external_id": None}
    status, told = await client.get(f"/users?ids={eve},{ben},{ann},{ben},{2**53 - 1}")
    assert (status, sorted(told["users"], key=lambda user: user["id"])) == (200, [mine, bens])
    assert (await node.client(ben).delete(f"/conversations/{tea}/participants/me"))[0] == 204
    assert await client.get(f"/users?ids={ben}") == (200, {"users": []})


async def test_presence_is_told_as_in_the_frame(stage: Stage, node: Node) -> None:
    ann, ben, eve = stage.people(3)
    client = node.client(ann)
    await client.group(ben)
    phones = [await node.phone(user) for user in (ben, eve, ann, ann)]
    status, told = await client.get(f"/presence?user_ids={eve},{ben},{ann},{ben}")
    assert (status, told) == (
        200,
        {
            "users": [
                {"user_id": eve, "online": False, "last_seen_at": None},
                {"user_id": ben, "online": True, "last_seen_at": None},
                {"user_id": ann, "online": True, "last_seen_at": None, "devices": 2},
            ]
        },
    )
    assert told["users"] == (await phones[-1].ask("presence", user_ids=[eve, ben, ann, ben]))["users"]


@pytest.mark.parametrize(
    "ids", ["", "x", "1,", ",1", "1,x", "0", "07", "-1", "1.0", "9007199254740992", "%00", "1%2C+2", "٣", "1;2", "1 2"]
)
async def test_ids_that_are_none_are_refused(stage: Stage, node: Node, ids: str) -> None:
    (ann,) = stage.people(1)
    for path, name in (("/users", "ids"), ("/presence", "user_ids")):
        status, told = await node.client(ann).get(f"{path}?{name}={ids}")
        assert (status, told["code"], told["field"]) == (422, "invalid_frame", name)
        status, told = await node.client(ann).get(path)
        assert (status, told["code"], told["field"]) == (422, "invalid_frame", name)


async def test_five_hundred_may_be_asked_for_at_once(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    many = [str(10_000 + number) for number in range(500)]
    for path in ("/users?ids=", "/presence?user_ids="):
        assert (await client.get(path + ",".join(many)))[0] == 200
        assert (await client.get(path + ",".join([*many, "1"])))[0] == 422
