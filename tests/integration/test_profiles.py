"""Names and pictures: where a person reads them, whose word counts, and that a change is told live, once, to those whom it
concerns."""

import asyncio
from typing import Any

import asyncpg
import pytest

from messenger.domain.ids import UserId
from messenger.errors import Unavailable
from messenger.fanout import acquaintance
from tests.integration.test_feeds import mute
from tests.support.node import FREE, SECRET, Cluster, Node
from tests.support.people import Client, Frame, Phone, token

ANN, BEN, CYD, EVE = 1, 2, 3, 4
API_TOKEN = "the host's own key"
SETTINGS = {**FREE, "api_token": API_TOKEN}
NO_POLL = {**SETTINGS, "catch_up_s": 3600}
PICTURE = "https://example.org/ann.png"
OTHER = "https://example.org/another.png"


def updated(user_id: int, name: str, avatar_url: str | None = None) -> Frame:
    return {"type": "user.updated", "user_id": user_id, "name": name, "avatar_url": avatar_url}


def host(node: Node) -> Client:
    return Client(node.session, node.origin, API_TOKEN)


async def put(node: Node, user_id: int, **changes: Any) -> Frame:
    """The host says how somebody is called and looks."""
    status, told = await host(node).call("PUT", f"/users/{user_id}", changes)
    assert status == 200, told
    return dict(told)


async def arrive(node: Node, user_id: int, issued_at: int, **claims: Any) -> Frame:
    """Somebody comes with a token of that second; his profile then."""
    status, told = await node.client(user_id, iat=issued_at, **claims).get("/users/me")
    assert status == 200, told
    return dict(told)


async def polled(*nodes: Node) -> None:
    """Return once nodes have asked the database what they may have missed, and done what follows from it."""
    for node in nodes:
        await node.context.node.repair.poll()
        async with asyncio.timeout(10):
            while len(node.context.node.chores):
                await asyncio.sleep(0.005)


async def nothing_more(*phones: Phone) -> None:
    assert [await phone.unheard("user.updated") for phone in phones] == [[] for _ in phones]


async def test_a_change_is_told_once_to_ones_own_devices_and_to_acquaintances(cluster: Cluster) -> None:
    one, two = await cluster.node(**NO_POLL), await cluster.node(**NO_POLL)
    ann = one.client(ANN)
    for others in ([BEN], [BEN, CYD]):  # shared twice, told once
        await ann.group(*others)
    await ann.post("/conversations", {"type": "direct", "participant_ids": [BEN]})
    await two.client(EVE).group()
    near = [
        await one.phone(ANN),
        await two.phone(ANN),
        await one.phone(BEN),
        await two.phone(BEN),
        await two.phone(CYD),
    ]
    eve = await one.phone(EVE)
    assert (await put(one, ANN, name="Ann"))["name"] == "Ann"
    for phone in near:
        assert await phone.hear("user.updated") == updated(ANN, "Ann")
    assert (await arrive(two, ANN, 10, picture=PICTURE))["avatar_url"] == PICTURE
    for phone in near:
        assert await phone.hear("user.updated") == updated(ANN, "Ann", PICTURE)
    # What changes nothing is not told, nor is what was told already when a poll comes upon it.
    await put(two, ANN, name="Ann", external_id="ann")
    await arrive(one, ANN, 10, picture=PICTURE)
    await polled(one, two)
    await polled(one, two)
    await nothing_more(*near, eve)


async def test_who_is_alone_hears_it_himself(cluster: Cluster) -> None:
    one, two = await cluster.node(**NO_POLL), await cluster.node(**NO_POLL)
    anns, eve = [await one.phone(ANN), await two.phone(ANN)], await one.phone(EVE)
    await put(one, ANN, name="Ann")
    for phone in anns:
        assert await phone.hear("user.updated") == updated(ANN, "Ann")
    await nothing_more(eve)


async def test_a_device_that_comes_with_a_new_name_tells_it(cluster: Cluster) -> None:
    one, two = await cluster.node(**NO_POLL), await cluster.node(**NO_POLL)
    await one.client(ANN).group(BEN)
    first, ben = await one.phone(ANN), await two.phone(BEN)
    await two.phone(ANN, name="Ann", picture=PICTURE)
    for phone in (first, ben):
        assert await phone.hear("user.updated") == updated(ANN, "Ann", PICTURE)
    # So does one that brings a new token along.
    bearer = token(ANN, SECRET, name="Annie", picture=PICTURE)
    assert (await first.ask("auth.refresh", token=bearer))["type"] == "auth.refreshed"
    for phone in (first, ben):
        assert await phone.hear("user.updated") == updated(ANN, "Annie", PICTURE)


async def test_who_is_no_acquaintance_any_more_hears_nothing(cluster: Cluster) -> None:
    one, two = await cluster.node(**NO_POLL), await cluster.node(**NO_POLL)
    ann = one.client(ANN)
    tea = await ann.group(BEN, CYD)
    ben, cyd = await two.phone(BEN), await two.phone(CYD)
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    for phone in (ben, cyd):
        await phone.hear("participant.removed")
    await put(one, ANN, name="Ann")
    assert await cyd.hear("user.updated") == updated(ANN, "Ann")
    await nothing_more(ben)


@pytest.mark.parametrize("by", ["the host", "a token"])
async def test_what_the_bus_lost_is_told_by_the_poll(cluster: Cluster, by: str) -> None:
    one, two = await cluster.node(**SETTINGS), await cluster.node(**SETTINGS)
    await one.client(ANN).group(BEN)
    phones = [await two.phone(ANN), await two.phone(BEN)]
    mute(one)
    await (put(one, ANN, name="Ann") if by == "the host" else arrive(one, ANN, 10, name="Ann"))
    for phone in phones:
        assert await phone.hear("user.updated") == updated(ANN, "Ann")
    await polled(two)
    await polled(two)
    await nothing_more(*phones)


async def test_what_could_not_be_read_is_told_by_the_next_poll(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node(**SETTINGS)
    await node.client(ANN).group(BEN)
    ben = await node.phone(BEN)
    duties, failures = node.context.duties, [Unavailable(), Unavailable()]
    conversations_of = duties.conversations_of

    async def fails(user_id: UserId) -> Any:
        if failures:
            raise failures.pop()
        return await conversations_of(user_id)

    monkeypatch.setattr(duties, "conversations_of", fails)
    await put(node, ANN, name="Ann")
    assert await ben.hear("user.updated") == updated(ANN, "Ann")
    assert failures == []
    await polled(node)
    await nothing_more(ben)


async def test_a_crowd_that_is_renamed_leaves_room_for_others(
    cluster: Cluster, oracle: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node(**NO_POLL)
    crowd = range(10, 110)
    await node.client(ANN).group(*crowd)
    ann = await node.phone(ANN)
    duties, most = node.context.duties, 0
    conversations_of, reading = duties.conversations_of, set()

    async def counted(user_id: UserId) -> Any:
        nonlocal most
        reading.add(user_id)
        most = max(most, len(reading))
        found = await conversations_of(user_id)
        reading.remove(user_id)
        return found

    monkeypatch.setattr(duties, "conversations_of", counted)
    await oracle.execute(
        """
        update messenger.users set name = 'New ' || id, profile_version = profile_version + 1,
            profile_in = pg_current_xact_id(), touched = pg_current_xact_id()
        where id >= 10
        """
    )
    await polled(node)
    told = await ann.unheard("user.updated")
    assert sorted(frame["user_id"] for frame in told) == list(crowd)
    assert most == acquaintance.WIDTH


async def test_the_newest_token_gives_the_name(cluster: Cluster) -> None:
    node = await cluster.node(**SETTINGS)
    for issued_at, claims, name, picture in (
        (20, {"name": "Ann", "picture": PICTURE}, "Ann", PICTURE),
        (10, {"name": "Old", "picture": OTHER}, "Ann", PICTURE),
        (30, {}, "Ann", PICTURE),
        (20, {"name": "Annie"}, "Annie", PICTURE),
        (40, {"name": "Annie"}, "Annie", PICTURE),
        (30, {"name": "Old"}, "Annie", PICTURE),
        (50, {"picture": OTHER}, "Annie", OTHER),
        (45, {"name": "Old"}, "Annie", OTHER),
        (60, {"name": " ", "picture": "javascript:alert(1)"}, "Annie", OTHER),
    ):
        told = await arrive(node, ANN, issued_at, **claims)
        assert (told["name"], told["avatar_url"]) == (name, picture), (issued_at, claims)


async def test_what_the_host_has_set_stays_until_it_gives_it_back(cluster: Cluster) -> None:
    node = await cluster.node(**SETTINGS)
    await node.client(ANN).group(BEN)
    ben = await node.phone(BEN)

    async def told(name: str, picture: str | None) -> None:
        assert await ben.hear("user.updated") == updated(ANN, name, picture)
        await nothing_more(ben)

    await put(node, ANN, name="Dr. Ann")
    await told("Dr. Ann", None)
    await arrive(node, ANN, 10, name="Ann", picture=PICTURE)
    await told("Dr. Ann", PICTURE)
    await put(node, ANN, avatar_url=OTHER)
    await told("Dr. Ann", OTHER)
    await arrive(node, ANN, 20, name="Ann", picture=PICTURE)
    await put(node, ANN, name=None, avatar_url=None)
    await told(f"User {ANN}", None)
    await arrive(node, ANN, 20, name="Ann", picture=PICTURE)
    await told("Ann", PICTURE)


async def test_a_name_stands_wherever_a_person_reads_it(cluster: Cluster) -> None:
    node = await cluster.node(**SETTINGS)
    await put(node, ANN, name="Ann", avatar_url=PICTURE)
    await put(node, CYD, name="Cyd")
    ann, ben = node.client(ANN), await node.phone(BEN)
    tea = await ann.group(BEN)
    _, pair = await ann.post("/conversations", {"type": "direct", "participant_ids": [BEN]})
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [CYD]})
    added = await ben.hear("participant.added")
    assert (added["name"], added["data"]["content"]) == ("Cyd", "Ann added Cyd")
    await put(node, CYD, name="Cynthia")
    assert await ben.hear("user.updated") == updated(CYD, "Cynthia")
    # What was said in the log stays as it was said.
    _, page = await node.client(BEN).get(f"/conversations/{tea}/messages")
    assert page["messages"] == [added["data"]]
    for asked in (
        (await ben.ask("subscribe", conversation_id=tea))["participants"],
        (await node.client(BEN).get(f"/conversations/{tea}/participants"))[1]["participants"],
    ):
        assert [(person["name"], person["avatar_url"]) for person in asked] == [
            ("Ann", PICTURE), (f"User {BEN}", None), ("Cynthia", None),
        ]  # fmt: skip
    anns = {"user_id": ANN, "name": "Ann", "avatar_url": PICTURE}
    cyds = {"user_id": CYD, "name": "Cynthia", "avatar_url": None}
    _, page = await node.client(BEN).get("/conversations")
    assert {line["id"]: line["people"] for line in page["conversations"]} == {tea: [anns, cyds], pair["id"]: [anns]}
    _, told = await node.client(BEN).get(f"/users?ids={ANN},{CYD}")
    assert [(user["id"], user["name"], user["avatar_url"]) for user in told["users"]] == [
        (ANN, "Ann", PICTURE), (CYD, "Cynthia", None),
    ]  # fmt: skip
    former = f"/conversations/{tea}/participants/former"
    assert await node.client(BEN).get(former) == (200, {"participants": []})
    await node.client(CYD).delete(f"/conversations/{tea}/participants/me")
    assert (await ben.hear("participant.removed"))["data"]["content"] == "Cynthia left"
    assert await node.client(BEN).get(former) == (200, {"participants": [cyds]})
    status, told = await node.client(CYD).get(former)
    assert (status, told["code"]) == (404, "not_participant")


async def test_a_line_of_the_list_shows_four_others_at_most(cluster: Cluster) -> None:
    node = await cluster.node(**SETTINGS)
    crowd = await node.client(3).group(*range(4, 10))
    empty = await node.client(3).group()
    _, page = await node.client(3).get("/conversations")
    assert {line["id"]: [person["user_id"] for person in line["people"]] for line in page["conversations"]} == {
        crowd: [4, 5, 6, 7], empty: [],
    }  # fmt: skip
    # In a direct conversation it is the other one, though he has left.
    _, pair = await node.client(ANN).post("/conversations", {"type": "direct", "participant_ids": [BEN]})
    await node.client(BEN).delete(f"/conversations/{pair['id']}")
    _, page = await node.client(ANN).get("/conversations")
    assert page["conversations"][0]["people"] == [{"user_id": BEN, "name": f"User {BEN}", "avatar_url": None}]


async def test_who_blocks_somebody_still_learns_what_he_is_called(cluster: Cluster) -> None:
    """His words stand in a group of both, and so does his name."""
    node = await cluster.node(**SETTINGS)
    await node.client(ANN).group(BEN)
    ben = await node.phone(BEN)
    await node.client(BEN).call("PUT", f"/users/me/blocks/{ANN}")
    await put(node, ANN, name="Ann")
    assert await ben.hear("user.updated") == updated(ANN, "Ann")
