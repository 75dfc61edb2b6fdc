"""People over the Platform API: as the host application keeps them, and what becomes of those whom it deletes."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.support.node import FREE, SECRET, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import Client, Frame, token
from tests.support.platform import (
    API_TOKEN,
    BAD_VALUE,
    MILLISECONDS,
    NOT_FOUND,
    SECONDS,
    TAKEN,
    Host,
    fresh,
    sender,
)
from tests.support.sessions import open_session

# Nodes are told, and have nothing to find out by themselves.
stage = stage_with(api_token=API_TOKEN, catch_up_s=3600)
node = node_of_stage()

PICTURE = "https://example.org/ann.png"
UNKNOWN = (NOT_FOUND, '"User" not found.')


@pytest.fixture
def host(node: Node) -> Host:
    return Host(node)


def user(named: str, nickname: str = "", profile_url: str = "", **more: Any) -> Frame:
    return {
        **sender(named, nickname, profile_url),
        "access_token": "",
        "session_tokens": [],
        "discovery_keys": [],
        "preferred_languages": [],
        "phone_number": "",
        "is_active": True,
        "is_online": False,
        "has_ever_logged_in": False,
        "last_seen_at": 0,
        "created_at": SECONDS,
        **more,
    }


@pytest.mark.parametrize("word", ["ann", "Ann Smith <ann@example.org>/?", "안", "4711"])
async def test_somebody_is_made_shown_changed_and_deleted(host: Host, word: str) -> None:
    named = word if word.isdigit() else fresh(word)
    body = {"user_id": named, "nickname": "Ann", "profile_url": PICTURE, "metadata": {"team": "green"}}
    ann = user(named, "Ann", PICTURE, metadata={"team": "green"})
    assert await host.post("/users", **body, issue_access_token=True) == ann
    path = "/users/" + "".join(f"%{byte:02X}" for byte in named.encode())
    assert await host.get(path) == ann
    assert await host.refused("POST", "/users", body) == (TAKEN, "user_id is taken")
    # What is absent stays, what is empty goes.
    assert await host.put(path, nickname="Anna", is_active=True) == ann | {"nickname": "Anna"}
    assert await host.put(path, profile_url="", metadata={}) == user(named, "Anna")
    assert await host.put(path) == user(named, "Anna")
    assert await host.delete(path) == {}
    for method, body in (("GET", None), ("PUT", {"nickname": "x"}), ("DELETE", None)):
        assert await host.refused(method, path, body) == UNKNOWN
    assert await host.post("/users", user_id=named) == user(named)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "user_id is required"),
        *(
            ({"user_id": name}, "user_id must be an id from 1 to 2^53-1, or an external id")
            for name in ("me", "0", "007", "9007199254740992")
        ),
        ({"user_id": ""}, "user_id must not be empty"),
        ({"user_id": "x" * 129}, "user_id must have at most 128 characters"),
        ({"user_id": 7}, "user_id must be a string"),
        ({"user_id": "x", "nickname": "x" * 201}, "nickname must have at most 200 characters"),
        ({"user_id": "x", "profile_url": "javascript:x"}, "profile_url must be an http(s) URL"),
        ({"user_id": "x", "metadata": []}, "metadata must be an object"),
    ],
)
async def test_what_is_nobody_is_refused(host: Host, body: Frame, words: str) -> None:
    assert await host.refused("POST", "/users", body) == (BAD_VALUE, words)


async def test_nobody_is_put_to_sleep(host: Host) -> None:
    named = fresh("ann")
    await host.post("/users", user_id=named)
    told = await host.refused("PUT", f"/users/{named}", {"is_active": False, "nickname": "x"})
    assert told == (BAD_VALUE, "is_active cannot be false: delete the user")
    assert (await host.get(f"/users/{named}"))["nickname"] == ""


@pytest.mark.parametrize("named", ["ann", "4711"])
async def test_of_many_who_make_one_user_at_once_one_does(cluster: Cluster, named: str) -> None:
    hosts = [Host(await cluster.node(**FREE, api_token=API_TOKEN)) for _ in range(2)]
    for _ in range(3):
        told = await asyncio.gather(
            *(hosts[number % 2].call("POST", "/users", {"user_id": named}) for number in range(8))
        )
        assert sorted(status for status, _ in told) == [200, *[400] * 7]
        assert {body["code"] for status, body in told if status == 400} == {TAKEN}
        # And of many who delete him, one does.
        told = await asyncio.gather(*(hosts[number % 2].call("DELETE", f"/users/{named}") for number in range(8)))
        assert sorted(status for status, _ in told) == [200, *[400] * 7]
        assert {body["code"] for status, body in told if status == 400} == {NOT_FOUND}


async def test_who_came_with_a_token_is_there(host: Host, stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    assert await host.refused("GET", f"/users/{ann}") == UNKNOWN
    async with node.phone_for_a_while(ann, name="Ann", picture=PICTURE):
        online = await host.get(f"/users/{ann}")
        assert online == user(str(ann), "Ann", PICTURE, is_online=True, has_ever_logged_in=True)
    assert (await host.refused("POST", "/users", {"user_id": str(ann)}))[0] == TAKEN
    async with asyncio.timeout(10):
        while (seen := await host.get(f"/users/{ann}"))["is_online"] or not seen["last_seen_at"]:
            await asyncio.sleep(0.02)
    assert seen == user(str(ann), "Ann", PICTURE, has_ever_logged_in=True, last_seen_at=MILLISECONDS)


async def test_those_who_share_a_conversation_are_told_of_a_change(host: Host, node: Node) -> None:
    ann, ben = fresh("ann"), fresh("ben")
    await host.channel(ann, ben)
    phone = await node.phone(await host.me(ben))
    await host.put(f"/users/{ann}", nickname="Anna", profile_url=PICTURE)
    told = await phone.hear("user.updated")
    assert (told["user_id"], told["name"], told["avatar_url"]) == (await host.me(ann), "Anna", PICTURE)
    # What the host keeps of its own is nobody's business.
    await host.put(f"/users/{ann}", metadata={"team": "green"})
    await phone.silence("user.updated")


async def test_people_are_listed_page_by_page(cluster: Cluster) -> None:
    node = await cluster.node(**FREE, api_token=API_TOKEN)
    host = Host(node)
    names = {"7", "12", *(f"user-{number}" for number in range(10))}
    for name in names:
        await host.post("/users", user_id=name)
    # A guest is none of the host's people, whoever asks for him.
    session = await open_session(node, 7)
    await session.join(node, "Zoë")
    found, token, pages = [], "", 0
    while token or not pages:
        told = await host.get("/users", limit=5, token=token, active_mode="all")
        found += [one["user_id"] for one in told["users"]]
        token, pages = told["next"], pages + 1
    assert (len(found), set(found), pages) == (12, names, 3)
    assert len((await host.get("/users"))["users"]) == 10
    told = await host.get("/users", user_ids="user-1,7,nobody,me,user-1")
    assert sorted(one["user_id"] for one in told["users"]) == ["7", "user-1"]
    for query in ({"limit": 0}, {"limit": 101}, {"token": "x"}, {"token": "9" * 17}):
        assert (await host.refused("GET", "/users", **query))[0] == BAD_VALUE


async def test_guests_are_nobody_here(host: Host, stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    session = await open_session(node, ann)
    await session.join(node, "Zoë")
    guest = await stage.oracle.fetchval("select max(id) from messenger.users where kind = 'guest'")
    for method, body in (("GET", None), ("PUT", {"nickname": "x"}), ("DELETE", None)):
        assert await host.refused(method, f"/users/{guest}", body) == UNKNOWN
    assert (await host.get("/users", user_ids=str(guest)))["users"] == []
    assert await host.refused("POST", "/group_channels", {"user_ids": [str(ann), str(guest)]}) == UNKNOWN
    assert (await host.refused("POST", "/users", {"user_id": str(guest)}))[0] == TAKEN
    assert await stage.oracle.fetchval("select name from messenger.users where id = $1", guest) == "Zoë"


async def test_who_is_deleted_leaves_everything_and_what_he_said_stays(host: Host, stage: Stage, node: Node) -> None:
    ann, ben, cyd = (fresh(word) for word in ("ann", "ben", "cyd"))
    await host.post("/users", user_id=ben, nickname="Ben", profile_url=PICTURE, metadata={"team": "green"})
    url = await host.channel(ann, ben)
    alone = await host.channel(ben, data="7")
    ann_id, ben_id = await host.me(ann), await host.me(ben)
    native = await node.client(ann_id).group(ben_id)
    _, pair = await node.client(ben_id).post("/conversations", {"type": "direct", "participant_ids": [ann_id]})
    said = await host.say(url, ben, "Bring the map")
    phone, device = await node.phone(ann_id), await node.phone(ben_id, iat=1_700_000_000)
    await host.delete(f"/users/{ben}")
    assert await device.closed() == (1008, "revoked")
    for _ in range(3):
        left = await phone.hear("participant.removed")
        assert (left["user_id"], left["name"], left["by"]) == (ben_id, f"User {ben_id}", ben_id)
    assert await host.members(url) == {ann: "operator"}
    assert (await host.get(f"/group_channels/{alone}"))["created_by"] is None
    # It names nobody.
    assert await host.said(url) == [said | {"user": sender(str(ben_id))}]
    status, page = await node.client(ann_id).get(f"/conversations/{native}")
    assert (status, page["participant_count"]) == (200, 1)
    assert (await node.client(ann_id).get(f"/conversations/{pair['id']}"))[0] == 200
    row = await stage.oracle.fetchrow("select * from messenger.users where id = $1", ben_id)
    kept = {
        name: row[name] for name in ("external_id", "name", "avatar_url", "name_is_set", "avatar_is_set", "metadata")
    }
    assert kept == {
        "external_id": None, "name": None, "avatar_url": None, "name_is_set": False, "avatar_is_set": False, "metadata": "{}",
    }  # fmt: skip
    assert row["deleted_at"] is not None
    assert row["tokens_not_before"] is not None
    # Who has his name after him is somebody else.
    await host.channel(ben, cyd)
    assert await host.me(ben) != ben_id
    assert (await host.get(f"/users/{ben}"))["nickname"] == ""
    assert await host.refused("GET", f"/users/{ben_id}") == UNKNOWN


async def test_an_old_token_of_who_was_deleted_lets_nobody_in(host: Host, node: Node) -> None:
    await host.post("/users", user_id="815", nickname="Ann")
    client = node.client(815, iat=1_700_000_000)
    assert (await client.get("/users/me"))[0] == 200
    await host.delete("/users/815")
    assert (await client.get("/users/me"))[0] == 401


@pytest.mark.parametrize("again", ["made", "named", "put", "called"])
async def test_nor_does_it_where_another_has_his_name(host: Host, stage: Stage, node: Node, again: str) -> None:
    ben, cyd = fresh("ben"), fresh("cyd")
    await host.post("/users", user_id=ben)
    old = Client(node.session, node.origin, token(ben, SECRET, iat=1_700_000_000))
    assert (await old.get("/users/me"))[0] == 200
    await host.delete(f"/users/{ben}")
    if again == "made":
        await host.post("/users", user_id=ben)
    elif again == "named":
        await host.channel(ben)
    elif again == "put":
        await host.me(ben)
    else:
        (other,) = stage.people(1)
        native = Client(node.session, node.origin, API_TOKEN)
        assert (await native.call("PUT", f"/users/{other}", {"external_id": ben}))[0] == 200
    status, told = await old.get("/users/me")
    assert (status, told.get("reason")) == (401, "revoked")
    # One that was issued since then is good, even if that was before he was made again.
    assert (await Client(node.session, node.origin, token(ben, SECRET)).get("/users/me"))[0] == 200
    # So is an old one of whoever has a name that nobody had before him.
    await host.post("/users", user_id=cyd)
    assert (await Client(node.session, node.origin, token(cyd, SECRET, iat=1_700_000_000)).get("/users/me"))[0] == 200


async def test_who_was_deleted_is_somebody_again_where_he_is_named(host: Host) -> None:
    await host.post("/users", user_id="816", nickname="Ann")
    await host.delete("/users/816")
    url = await host.channel("816", fresh("ben"))
    assert "816" in await host.members(url)
    assert await host.get("/users/816") == user("816")


async def test_people_who_are_deleted_while_they_are_invited_are_in_nothing(
    cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    host = Host(await cluster.node(**FREE, api_token=API_TOKEN))
    url = await host.channel("ann")
    for number in range(10):
        await host.post("/users", user_id=f"ben-{number}")

    async def invite(name: str) -> None:
        await host.call("POST", f"/group_channels/{url}/invite", {"user_ids": [name]})

    await asyncio.gather(
        *(coming for number in range(10) for coming in (invite(f"ben-{number}"), host.delete(f"/users/ben-{number}")))
    )
    deleted = await oracle.fetch(
        """
        select p.conversation_id from messenger.users u
        left join messenger.conversation_participants p on p.user_id = u.id where u.deleted_at is not null
        """
    )
    assert len(deleted) >= 10
    assert {row["conversation_id"] for row in deleted} == {None}
