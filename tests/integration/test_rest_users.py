"""People as others see them: by their newest token, as long as they share a conversation."""

import asyncio

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


async def test_a_name_is_what_the_newest_token_says(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group(ben)
    picture = "https://example.org/a.png"
    for claims in ({"name": "Ann", "picture": picture, "iat": 2000}, {"name": "Old", "iat": 1000}, {"iat": 3000}):
        assert (await node.client(ann, **claims).get("/users/me"))[0] == 200
    _, told = await node.client(ben).get(f"/conversations/{tea}/participants")
    assert [(item["name"], item["avatar_url"]) for item in told["participants"]] == [
        ("Ann", picture),
        (f"User {ben}", None),
    ]
