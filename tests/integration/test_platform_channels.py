"""Channels over the Platform API: made, changed, filled and emptied by the host application, and told as everybody's are."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, A_UUID7, Like, group
from tests.support.platform import (
    API_TOKEN,
    BAD_VALUE,
    NOT_ALLOWED,
    NOT_FOUND,
    TAKEN,
    Host,
    channel,
    fresh,
    member,
    message,
)

# Nodes are told, and have nothing to find out by themselves.
stage = stage_with(api_token=API_TOKEN, catch_up_s=3600)
node = node_of_stage()


@pytest.fixture
def host(node: Node) -> Host:
    return Host(node)


@pytest.fixture
async def people(stage: Stage, host: Host) -> AsyncIterator[list[str]]:
    """Ann, Ben and Cyd, by the host's ids."""
    yield [fresh(word) for word in ("ann", "ben", "cyd")]


async def test_a_channel_is_made_shown_changed_and_deleted(host: Host, people: list[str]) -> None:
    ann, ben, cyd = people
    url = fresh("hike")
    made = await host.post(
        "/group_channels",
        channel_url=url,
        name="Hike",
        user_ids=[ann, ben],
        users=[{"user_id": cyd}, {"user_id": ben}],
        custom_type="trip",
        cover_url="https://example.org/hike.png",
        data={"trip": 7},
    )
    told = {"name": "Hike", "custom_type": "trip", "cover_url": "https://example.org/hike.png", "data": '{"trip":7}'}
    everybody = [member(ann, operator=True), member(ben), member(cyd)]
    whole = channel(url, ann, 3, **told)
    # They came at one moment, so that their ids say who stands first.
    assert sorted(made.pop("members"), key=lambda one: people.index(one["user_id"])) == everybody
    assert made == whole
    shown = await host.get(f"/group_channels/{url}")
    assert shown == whole
    shown = await host.get(f"/group_channels/{url}", show_member="True")
    assert sorted(shown["members"], key=lambda one: people.index(one["user_id"])) == everybody
    # What is absent stays, what is empty goes.
    changed = await host.put(f"/group_channels/{url}", name="Long hike", data="")
    assert changed == whole | {"name": "Long hike", "data": ""}
    assert await host.get(f"/group_channels/{url}") == changed
    assert await host.put(f"/group_channels/{url}") == changed
    assert await host.delete(f"/group_channels/{url}") == {}
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/members"), ("PUT", "/leave")):
        told = await host.refused(
            method, f"/group_channels/{url}{path}", {"user_ids": ["x"]} if method == "PUT" else None
        )
        assert told == (NOT_FOUND, '"Channel" not found.'), (method, path)
    # Its name is free again.
    again = await host.post("/group_channels", channel_url=url, user_ids=[ben])
    assert again == channel(url, ben, 1, members=[member(ben, operator=True)])


async def test_every_device_is_told_as_of_any_conversation(host: Host, node: Node, people: list[str]) -> None:
    ann, ben, cyd = [await host.me(name) for name in people]
    phones = [await node.phone(user_id) for user_id in (ann, ben, cyd)]
    url = fresh("hike")
    await host.post("/group_channels", channel_url=url, name="Hike", user_ids=people[:2], data="7")
    created = [await phone.hear("conversation.created") for phone in phones[:2]]
    for told, role in zip(created, ("admin", "member"), strict=True):
        assert told["conversation"] == group(
            A_UUID7, ann, title="Hike", participant_count=2, channel_url=url, metadata={"data": "7"}, my_role=role
        )
    conversation_id = created[0]["conversation_id"]
    status, found = await node.client(ben).get(f"/conversations/{conversation_id}")
    assert (status, found["channel_url"]) == (200, url)
    await host.post(f"/group_channels/{url}/invite", user_ids=people)
    assert (await phones[2].hear("conversation.created"))["conversation"]["channel_url"] == url
    joined = await phones[1].hear("participant.added")
    assert (joined["user_id"], joined["by"], joined["change"]) == (cyd, ann, 1)
    await host.put(f"/group_channels/{url}", name="Long hike")
    for phone in phones:
        assert (await phone.hear("conversation.updated"))["conversation"]["title"] == "Long hike"
    await host.put(f"/group_channels/{url}/leave", user_ids=[people[1], people[1], fresh("stranger"), "\x00"])
    left = await phones[0].hear("participant.removed")
    assert (left["user_id"], left["by"], left["data"]["content"]) == (ben, ben, f"User {ben} left")
    assert await host.members(url) == {people[0]: "operator", people[2]: ""}
    await host.delete(f"/group_channels/{url}")
    for phone in (phones[0], phones[2]):
        await phone.hear("conversation.deleted", conversation_id=conversation_id)


async def test_operators_are_admins_and_whoever_invited_is_in_it_only_where_he_is_named(
    host: Host, people: list[str]
) -> None:
    ann, ben, cyd = people
    url = await host.channel(ben, cyd, inviter_id=ann)
    assert await host.members(url) == {ben: "operator", cyd: ""}
    assert (await host.get(f"/group_channels/{url}"))["created_by"]["user_id"] == ann
    url = await host.channel(ann, ben, cyd, inviter_id=cyd)
    assert await host.members(url) == {ann: "", ben: "", cyd: "operator"}
    url = await host.channel(ann, ben, inviter_id=ann, operator_ids=[cyd, ben])
    assert await host.members(url) == {ann: "", ben: "operator", cyd: "operator"}
    url = await host.channel(inviter_id=ann)
    assert await host.members(url) == {ann: "operator"}


async def test_integers_are_the_daemons_ids(host: Host, stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    url = await host.channel(str(ann), "me-too")
    assert await host.members(url) == {str(ann): "operator", "me-too": ""}
    status, told = await node.client(ann).get("/conversations")
    assert (status, [one["channel_url"] for one in told["conversations"]]) == (200, [url])


async def test_a_name_is_made_where_none_is_given(host: Host, people: list[str]) -> None:
    made = await host.post("/group_channels", user_ids=people)
    assert made["channel_url"] == Like("group_channel_[0-9a-f]{32}")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "user_ids must name somebody"),
        ({"user_ids": []}, "user_ids must name somebody"),
        ({"user_ids": ["ann"], "is_distinct": True}, "is_distinct is not supported: give the channel a channel_url"),
        ({"user_ids": ["ann"], "channel_url": "a b"}, "channel_url must be 1 to 100 of A-Za-z0-9_-"),
        ({"user_ids": ["ann"], "channel_url": "a" * 101}, "channel_url must be 1 to 100 of A-Za-z0-9_-"),
        ({"user_ids": ["ann"], "channel_url": "hike\n"}, "channel_url must be 1 to 100 of A-Za-z0-9_-"),
        ({"user_ids": ["ann"], "cover_url": "javascript:alert(1)"}, "cover_url must be an http(s) URL"),
        ({"user_ids": ["ann"], "data": "x" * 60_001}, "data must not be larger than 60000 bytes"),
        ({"user_ids": ["ann"], "data": 7}, "data must be a string or an object"),
        ({"user_ids": ["ann"], "name": None}, "name must not be null"),
        ({"user_ids": [7]}, "user_ids must be a list of at most 1000 strings"),
        ({"user_ids": "ann"}, "user_ids must be a list of at most 1000 strings"),
        ({"users": [{"id": "ann"}]}, "users must be a list of at most 1000 objects with a user_id"),
        *(
            ({"user_ids": [name]}, "user_id must be an id from 1 to 2^53-1, or an external id")
            for name in ("", "me", "07", "9007199254740992", "x" * 129, "\x00")
        ),
    ],
)
async def test_what_is_no_channel_is_refused(host: Host, body: dict[str, object], words: str) -> None:
    assert await host.refused("POST", "/group_channels", body) == (BAD_VALUE, words)


async def test_of_many_who_make_one_channel_at_once_one_does(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    hosts = [Host(await cluster.node(**FREE, api_token=API_TOKEN)) for _ in range(2)]
    told = await asyncio.gather(
        *(
            hosts[number % 2].call(
                "POST", "/group_channels", {"channel_url": "hike", "user_ids": ["ann", f"ben-{number}"]}
            )
            for number in range(8)
        )
    )
    assert sorted(status for status, _ in told) == [200, *[400] * 7]
    assert {body["code"] for status, body in told if status == 400} == {TAKEN}
    # Of those that were not made nothing is left, and the people are there once.
    assert await oracle.fetchval("select count(*) from messenger.conversations") == 1
    assert await oracle.fetchval("select count(*) from messenger.users where external_id = 'ann'") == 1
    assert (await hosts[1].get("/group_channels/hike"))["member_count"] == 2


async def test_what_other_clients_keep_with_a_channel_stays(host: Host, node: Node, people: list[str]) -> None:
    url = await host.channel(*people, data="old", custom_type="trip")
    ann = node.client(await host.me(people[0]))
    _, told = await ann.get("/conversations")
    (conversation,) = (one for one in told["conversations"] if one["channel_url"] == url)
    path = f"/conversations/{conversation['id']}"
    kept = {"pins": [1, None], "colours": {"dark": None}, "cover_url": 7}
    await ann.patch(path, {"metadata": {**conversation["metadata"], **kept}})
    # What is no text of the host's is none of its.
    changed = await host.put(f"/group_channels/{url}", custom_type="", name="Hike")
    assert (changed["name"], changed["custom_type"], changed["data"], changed["cover_url"]) == ("Hike", "", "old", "")
    assert (await ann.get(path))[1]["metadata"] == {**kept, "data": "old"}


async def test_changes_of_several_fields_at_once_all_count(host: Host, people: list[str]) -> None:
    url = await host.channel(*people)
    fields = {"name": "Hike", "data": "7", "custom_type": "trip", "cover_url": "https://example.org/a.png"}
    for _ in range(5):
        await asyncio.gather(*(host.put(f"/group_channels/{url}", **{name: ""}) for name in fields))
        await asyncio.gather(*(host.put(f"/group_channels/{url}", **{name: value}) for name, value in fields.items()))
        told = await host.get(f"/group_channels/{url}")
        assert {name: told[name] for name in fields} == fields


async def test_a_channel_outlives_its_people_and_is_filled_again(host: Host, node: Node, people: list[str]) -> None:
    ann, ben, cyd = people
    url = await host.channel(ann, ben)
    said = await host.say(url, ann, "Bring the map")
    # Where the last operator goes, somebody else is one.
    await host.put(f"/group_channels/{url}/leave", user_ids=[ann])
    assert await host.members(url) == {ben: "operator"}
    await host.put(f"/group_channels/{url}/leave", user_ids=[], should_leave_all=True)
    empty = await host.get(f"/group_channels/{url}", show_member="true")
    assert empty == channel(url, ann, 0, members=[])
    assert (await host.members(url), await host.said(url)) == ({}, [])
    gone = (NOT_ALLOWED, "Everybody has left this channel: invite somebody first")
    admin_message = {"message_type": "ADMM", "message": "Hear"}
    for method, path, body in (
        ("PUT", "", {"name": "x"}),
        ("POST", "/messages", admin_message),
        ("DELETE", f"/messages/{said['message_id']}", None),
    ):
        assert await host.refused(method, f"/group_channels/{url}{path}", body) == gone
    phone = await node.phone(await host.me(cyd))
    filled = await host.post(f"/group_channels/{url}/invite", user_ids=[cyd, ann])
    assert [(one["user_id"], one["role"]) for one in filled["members"]] == [(cyd, "operator"), (ann, "")]
    created = await phone.hear("conversation.created")
    # His device goes on from before his coming, without a hole.
    assert created["conversation"]["channel_url"] == url
    events = await phone.durable(created["conversation_id"], created["conversation"]["last_change"] + 2)
    assert [event["type"] for event in events][-2:] == ["participant.added", "participant.added"]
    assert [one["message"] for one in await host.said(url)] == ["Bring the map"]
    await host.put(f"/group_channels/{url}/leave", should_leave_all=True)
    assert await host.delete(f"/group_channels/{url}") == {}
    assert (await host.refused("GET", f"/group_channels/{url}"))[0] == NOT_FOUND


async def test_of_several_who_are_invited_into_an_empty_channel_at_once_all_are_in_it(host: Host) -> None:
    names = [fresh("guest") for _ in range(6)]
    url = await host.channel(names[0])
    for _ in range(3):
        await host.put(f"/group_channels/{url}/leave", should_leave_all=True)
        await asyncio.gather(*(host.post(f"/group_channels/{url}/invite", user_ids=[name]) for name in names))
        roles = await host.members(url)
        assert roles.keys() == set(names)
        assert list(roles.values()).count("operator") == 1


async def test_the_host_acts_though_its_admins_come_and_go(host: Host) -> None:
    """Whoever it acts as may be no admin any more by then: somebody else is."""
    names = [fresh("admin") for _ in range(6)]
    url = await host.channel(*names, fresh("stays"))

    async def leave() -> None:
        for name in names:
            await host.put(f"/group_channels/{url}/leave", user_ids=[name])

    async def rename() -> None:
        for number in range(12):
            await host.put(f"/group_channels/{url}", name=f"Hike {number}")

    await asyncio.gather(leave(), rename())
    told = await host.get(f"/group_channels/{url}")
    assert (told["name"], told["member_count"]) == ("Hike 11", 1)


@pytest.mark.parametrize("path", ["invite", "leave"])
async def test_somebody_has_to_be_named(host: Host, people: list[str], path: str) -> None:
    url = await host.channel(*people)
    method = "POST" if path == "invite" else "PUT"
    for body in ({}, {"user_ids": []}):
        told = await host.refused(method, f"/group_channels/{url}/{path}", body)
        assert told == (BAD_VALUE, "user_ids must name somebody")


async def test_unknown_people_are_refused_where_that_is_set(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    host = Host(await cluster.node(**FREE, api_token=API_TOKEN, unknown_users="refuse"))
    unknown = (NOT_FOUND, '"User" not found.')
    await host.post("/users", user_id="ann")
    assert await host.refused("POST", "/group_channels", {"user_ids": ["ann", "ben"]}) == unknown
    assert await host.refused("POST", "/group_channels", {"user_ids": ["ann", "7"]}) == unknown
    url = await host.channel("ann")
    assert await host.refused("POST", f"/group_channels/{url}/invite", {"user_ids": ["ben"]}) == unknown
    await host.post("/users", user_id="7")
    await host.post(f"/group_channels/{url}/invite", user_ids=["7"])
    assert await oracle.fetchval("select count(*) from messenger.users") == 2


async def test_members_are_listed_page_by_page(host: Host) -> None:
    first, *others = [fresh("member") for _ in range(12)]
    url = await host.channel(first)
    for name in others:
        await host.post(f"/group_channels/{url}/invite", user_ids=[name])
    found, token, pages = [], "", 0
    while token or not pages:
        told = await host.get(f"/group_channels/{url}/members", limit=5, token=token)
        found += [one["user_id"] for one in told["members"]]
        token, pages = told["next"], pages + 1
    assert (found, pages) == ([first, *others], 3)
    assert len((await host.get(f"/group_channels/{url}/members"))["members"]) == 10
    for query in ({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"token": "nonsense"}, {"token": "ż"}):
        assert (await host.refused("GET", f"/group_channels/{url}/members", **query))[0] == BAD_VALUE


async def test_channels_are_listed_the_newest_first(cluster: Cluster) -> None:
    host = Host(await cluster.node(**FREE, api_token=API_TOKEN))
    urls = [await host.channel("ann", f"ben-{number % 2}", name=f"Hike {number}") for number in range(7)]

    async def listed(**query: object) -> list[str]:
        found, token = [], ""
        while True:
            told = await host.get("/group_channels", **{"limit": 2, "token": token, "show_empty": "false", **query})
            assert len(told["channels"]) <= 2
            found += [one["channel_url"] for one in told["channels"]]
            token = told["next"]
            if not token:
                return found

    newest = urls[::-1]
    assert await listed(show_empty="true") == newest
    assert [one["channel_url"] for one in (await host.get("/group_channels"))["channels"]] == newest
    # Until something is said in them they are empty, whoever came and went.
    assert await listed() == []
    for number in (4, 1, 5, 0):
        await host.say(urls[number], "ann", f"In {number}")
    await host.post(f"/group_channels/{urls[2]}/messages", message_type="ADMM", message="Hear")
    assert await listed() == [urls[number] for number in (5, 4, 2, 1, 0)]
    assert await listed(order="latest_last_message") == [urls[number] for number in (2, 0, 5, 1, 4)]
    assert await listed(members_include_in="ben-1, nobody") == [urls[5], urls[1]]
    assert await listed(members_include_in="nobody", show_empty="true") == []
    assert await listed(channel_urls=f"{urls[3]},{urls[4]},no such", show_empty="true") == [urls[4], urls[3]]
    for mode, none in (("distinct_mode", "distinct"), ("public_mode", "public"), ("super_mode", "super")):
        assert await listed(**{mode: none}) == []
        assert (
            len(
                await listed(
                    **{mode: f"{'non' if mode != 'public_mode' else 'private'}{none if mode != 'public_mode' else ''}"}
                )
            )
            == 5
        )
    told = await host.get("/group_channels", channel_urls=urls[5], show_member="true")
    (found,) = told["channels"]
    assert found == channel(
        urls[5], "ann", 2, name="Hike 5", last_message=message(urls[5], "ann", "In 5"), members=found["members"]
    )
    assert {one["user_id"] for one in found["members"]} == {"ann", "ben-1"}
    # A message that is gone is nobody's last one.
    await host.delete(f"/group_channels/{urls[5]}/messages/{found['last_message']['message_id']}")
    assert await listed() == [urls[number] for number in (4, 2, 1, 0)]
    for query in ({"order": "x"}, {"limit": 0}, {"token": "x"}, {"show_empty": "x"}, {"super_mode": "x"}):
        assert (await host.refused("GET", "/group_channels", **query))[0] == BAD_VALUE
    # Nobody else's conversations are channels.
    assert len(await listed(show_empty="true")) == 7


async def test_who_is_there_is_told(host: Host, node: Node, people: list[str]) -> None:
    ann, ben, _ = people
    url = await host.channel(ann, ben)
    await node.phone(await host.me(ann))
    told = await host.get(f"/group_channels/{url}/members")
    assert {one["user_id"]: one["is_online"] for one in told["members"]} == {ann: True, ben: False}


async def test_a_native_admin_and_the_host_rule_the_same_channel(host: Host, node: Node, people: list[str]) -> None:
    ann, ben, cyd = people
    url = await host.channel(ann, ben)
    client = node.client(await host.me(ann))
    _, told = await client.get("/conversations")
    path = f"/conversations/{told['conversations'][0]['id']}"
    await client.post(f"{path}/participants", {"user_ids": [await host.me(cyd)], "role": "observer"})
    await client.patch(path, {"title": "Tea"})
    assert await host.members(url) == {ann: "operator", ben: "", cyd: ""}
    assert (await host.get(f"/group_channels/{url}"))["name"] == "Tea"
    assert (await client.delete(path))[0] == 204
    assert (await host.refused("GET", f"/group_channels/{url}"))[0] == NOT_FOUND
    assert told["conversations"][0]["created_at"] == A_TIME
