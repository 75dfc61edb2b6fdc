"""Messages over the Platform API: said in a member's name or in nobody's, read back around any place, changed and withdrawn."""

import asyncio
import base64
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiohttp import FormData

from messenger.config import Rate
from tests.support.database import Database
from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import Frame, Like, notification
from tests.support.platform import (
    API_TOKEN,
    BAD_VALUE,
    MILLISECONDS,
    NOT_ALLOWED,
    NOT_FOUND,
    TAKEN,
    Host,
    fresh,
    message,
    sender,
)

# Nodes are told, and have nothing to find out by themselves.
stage = stage_with(api_token=API_TOKEN, catch_up_s=3600)
node = node_of_stage()

PICTURE = "https://files.example.org/map.png"


@pytest.fixture
def host(node: Node) -> Host:
    return Host(node)


@pytest.fixture
def people() -> list[str]:
    """Ann, Ben and Cyd, by the host's ids."""
    return [fresh(word) for word in ("ann", "ben", "cyd")]


@pytest.fixture
async def url(host: Host, people: list[str]) -> str:
    """A channel of Ann, its operator, and Ben."""
    return await host.channel(*people[:2])


async def test_a_message_is_said_by_a_member_and_heard_by_everybody(
    host: Host, node: Node, people: list[str], url: str
) -> None:
    ann, ben, cyd = people
    phone = await node.phone(await host.me(ann))
    told = await host.say(
        url, ben, "Bring the map", data={"trip": 7}, custom_type="plan", mentioned_user_ids=[ann, cyd, "nobody"]
    )
    assert told == message(
        url, ben, "Bring the map", data='{"trip":7}', custom_type="plan", mentioned_users=[sender(ann)]
    )
    heard = await phone.hear("message.new")
    assert (heard["data"]["content"], heard["data"]["message_type"]) == ("Bring the map", "text")
    assert heard["data"]["sender_id"] == await host.me(ben)
    assert heard["data"]["metadata"] == {"data": '{"trip":7}', "custom_type": "plan"}
    assert await phone.hear("notification") == notification(heard, await host.me(ann))
    assert heard["data"]["mentions"] == [await host.me(ann)]
    assert await host.said(url) == [told]
    everybody = await host.say(url, ben, "All of you", mention_type="channel")
    assert {one["user_id"] for one in everybody["mentioned_users"]} == {ann, ben}


async def test_a_file_is_said_by_its_address(host: Host, node: Node, people: list[str], url: str) -> None:
    ann, ben, _ = people
    phone = await node.phone(await host.me(ann))
    body = {"message_type": "FILE", "user_id": ben, "url": PICTURE, "file_name": "map.png", "file_size": 48213}
    told = await host.post(f"/group_channels/{url}/messages", **body, file_type="image/png")
    file = {"url": PICTURE, "name": "map.png", "type": "image/png", "size": 48213, "data": ""}
    assert told == message(url, ben, "", type="FILE", file=file)
    heard = (await phone.hear("message.new"))["data"]
    assert (heard["content"], heard["message_type"]) == ("", "file")
    assert heard["attachments"] == [{"url": PICTURE, "name": "map.png", "mime_type": "image/png", "size": 48213}]
    bare = await host.post(f"/group_channels/{url}/messages", message_type="FILE", user_id=ben, url=PICTURE)
    assert bare["file"] == {"url": PICTURE, "name": "", "type": "", "size": 0, "data": ""}
    assert await host.said(url) == [told, bare]


async def test_an_upload_is_told_of_by_an_address_that_needs_no_token(
    host: Host, node: Node, people: list[str], url: str
) -> None:
    ann, ben, _ = people
    uploaded = await _upload(node, await host.me(ben), b"Bring the map")
    body = {"message_type": "FILE", "user_id": ben, "file_name": "claimed.exe", "file_size": 1}
    told = await host.post(f"/group_channels/{url}/messages", **body, url=uploaded["url"])
    assert {**told["file"], "url": ""} == {"url": "", "name": "map.txt", "type": "text/plain", "size": 13, "data": ""}
    async with node.session.get(node.origin + told["file"]["url"]) as answer:
        assert (answer.status, await answer.read()) == (200, b"Bring the map")
    # It is not everybody's to send.
    other = await _upload(node, await host.me(ann), b"Mine")
    refused = await host.refused("POST", f"/group_channels/{url}/messages", {**body, "url": other["url"]})
    assert refused == (BAD_VALUE, "attachments must be files that you uploaded or may see")


@pytest.mark.parametrize("origin", ["", "https://chat.example.org"])
async def test_an_address_that_expires_names_the_upload_for_good(cluster: Cluster, origin: str) -> None:
    node = await cluster.node(**FREE, api_token=API_TOKEN, public_url=origin)
    host = Host(node)
    ann, ben = fresh("ann"), fresh("ben")
    url = await host.channel(ann, ben)
    ben_id = await host.me(ben)
    uploaded = await _upload(node, await host.me(ann), b"Bring the map")
    body = {"message_type": "FILE", "user_id": ann, "url": uploaded["url"]}
    signed = (await host.post(f"/group_channels/{url}/messages", **body))["file"]["url"]
    assert signed.startswith(f"{origin}{uploaded['url']}/content?expires=")
    # Over the Platform API, over REST, and in a frame.
    phone, device = await node.phone(await host.me(ann)), await node.phone(ben_id)
    again = await host.post(f"/group_channels/{url}/messages", **body | {"user_id": ben, "url": signed})
    heard = [(await phone.hear("message.new"))["data"]]
    sent = {"content": "", "message_type": "file", "attachments": [{"url": signed, "name": "claimed.exe"}]}
    await node.client(ben_id).send(heard[0]["conversation_id"], **sent)
    heard.append((await phone.hear("message.new"))["data"])
    await device.say("message.send", conversation_id=heard[0]["conversation_id"], **sent)
    heard.append((await phone.hear("message.new"))["data"])
    assert [told["attachments"][0]["url"] for told in heard] == [uploaded["url"]] * 3
    assert [told["file"]["name"] for told in await host.said(url)] == ["map.txt"] * 4
    async with node.session.get(node.origin + again["file"]["url"].removeprefix(origin)) as answer:
        assert (answer.status, await answer.read()) == (200, b"Bring the map")


async def _upload(node: Node, user_id: int, content: bytes) -> Frame:
    form = FormData()
    form.add_field("file", content, filename="map.txt")
    answer = await node.client(user_id).ask("POST", "/attachments", data=form)
    assert answer.status == 201, answer.text
    return dict(answer.body)


async def test_the_host_says_something_in_nobodys_name(host: Host, node: Node, people: list[str], url: str) -> None:
    phone = await node.phone(await host.me(people[1]))
    body = {"message_type": "ADMM", "message": "The hut is closed", "custom_type": "news", "data": "7"}
    told = await host.post(f"/group_channels/{url}/messages", **body)
    assert told == message(url, None, "The hut is closed", custom_type="news", data="7")
    heard = (await phone.hear("message.new"))["data"]
    assert (heard["message_type"], heard["content"]) == ("system", "The hut is closed")
    assert heard["metadata"] == {"admin_message": True, "custom_type": "news", "data": "7"}
    assert await host.said(url) == [told]
    path = f"/group_channels/{url}/messages/{told['message_id']}"
    refused = await host.refused("PUT", path, {"message": "It is open"})
    assert refused == (NOT_ALLOWED, "What the host application said is not changed, only deleted")
    assert await host.delete(path) == {}
    assert (await phone.hear("message.deleted"))["message_id"] == heard["id"]
    assert await host.said(url) == []
    assert await host.refused("DELETE", path) == (NOT_FOUND, '"Message" not found.')


async def test_a_retry_is_the_same_message(host: Host, people: list[str], url: str) -> None:
    for dedup_id in ("once", "x" * 500):
        first = await host.say(url, people[0], "Bring the map", dedup_id=dedup_id)
        again = await asyncio.gather(*(host.say(url, people[0], "Bring the map", dedup_id=dedup_id) for _ in range(3)))
        assert again == [first] * 3
        assert first["dedup_id"] == (dedup_id if len(dedup_id) <= 64 else Like("[0-9a-f]{64}"))
        body = {"message_type": "MESG", "user_id": people[0], "message": "Another", "dedup_id": dedup_id}
        assert (await host.refused("POST", f"/group_channels/{url}/messages", body))[0] == TAKEN
    assert len(await host.said(url)) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "message_type is required"),
        ({"message_type": "TEXT"}, "message_type must be MESG, FILE or ADMM"),
        ({"message_type": "MESG", "message": "x"}, "user_id is required"),
        ({"message_type": "MESG", "user_id": "ANN"}, "message is required"),
        ({"message_type": "MESG", "user_id": "ANN", "message": ""}, "message is required"),
        ({"message_type": "MESG", "user_id": "ANN", "message": " "}, "Message content cannot be empty"),
        ({"message_type": "MESG", "user_id": "ANN", "message": "x" * 4001}, "Message content exceeds 4000 characters"),
        (
            {"message_type": "MESG", "user_id": "ANN", "message": "\x00"},
            "message must not contain U+0000 or lone surrogates",
        ),
        ({"message_type": "FILE", "user_id": "ANN"}, "url is required"),
        ({"message_type": "FILE", "user_id": "ANN", "url": "javascript:x"}, "url must be an http(s) URL or a path"),
        ({"message_type": "ADMM"}, "message is required"),
        ({"message_type": "ADMM", "message": " "}, "Message content cannot be empty"),
        ({"message_type": "ADMM", "message": "x" * 4001}, "Message content exceeds 4000 characters"),
        ({"message_type": "MESG", "user_id": "ANN", "message": "x", "data": []}, "data must be a string or an object"),
    ],
)
async def test_what_is_no_message_is_refused(
    host: Host, people: list[str], url: str, body: dict[str, Any], words: str
) -> None:
    named = body | ({"user_id": people[0]} if "user_id" in body else {})
    assert await host.refused("POST", f"/group_channels/{url}/messages", named) == (BAD_VALUE, words)
    assert await host.said(url) == []


async def test_only_members_say_something(host: Host, node: Node, people: list[str], url: str) -> None:
    cyd = people[2]
    await host.post("/users", user_id=cyd)
    body = {"message_type": "MESG", "user_id": cyd, "message": "Let me in"}
    path = f"/group_channels/{url}/messages"
    assert await host.refused("POST", path, body) == (NOT_ALLOWED, "user_id must be a member of the channel")
    for named in ("nobody", "4711", "007", "me"):
        assert await host.refused("POST", path, body | {"user_id": named}) == (NOT_FOUND, '"User" not found.')
    assert (await host.refused("POST", "/group_channels/none/messages", body))[1] == '"Channel" not found.'
    # Who only looks on does not speak either.
    status, found = await node.client(await host.me(people[0])).get("/conversations")
    conversation_id = next(one["id"] for one in found["conversations"] if one["channel_url"] == url)
    await node.client(await host.me(people[0])).post(
        f"/conversations/{conversation_id}/participants", {"user_ids": [await host.me(cyd)], "role": "observer"}
    )
    assert (status, (await host.refused("POST", path, body))[0]) == (200, NOT_ALLOWED)


async def test_messages_are_read_around_any_place(host: Host, node: Node, people: list[str]) -> None:
    ann, ben, cyd = people
    url = await host.channel(ann, ben)
    said = [
        await host.say(url, (ann, ben)[number % 2], str(number), custom_type="odd" * (number % 2))
        for number in range(8)
    ]
    # Who comes and goes is told to members, and is no message.
    await host.post(f"/group_channels/{url}/invite", user_ids=[cyd])
    said.append(await host.post(f"/group_channels/{url}/messages", message_type="FILE", user_id=cyd, url=PICTURE))
    await host.put(f"/group_channels/{url}/leave", user_ids=[cyd])
    said.append(await host.post(f"/group_channels/{url}/messages", message_type="ADMM", message="9"))
    assert await host.said(url) == said
    ids = [one["message_id"] for one in said]
    assert ids == sorted(set(ids))
    path = f"/group_channels/{url}/messages"

    async def places(**query: Any) -> list[int]:
        told = await host.get(path, **query)
        return [ids.index(one["message_id"]) for one in told["messages"]]

    # Around a message.
    for number in (0, 4, 9):
        for before, after in ((0, 0), (2, 0), (0, 2), (2, 3), (200, 200)):
            expected = list(range(10))[max(0, number - before) : number + after + 1]
            query = {"message_id": ids[number], "prev_limit": before, "next_limit": after}
            assert await places(**query) == expected
            assert await places(**query, include="false") == [place for place in expected if place != number]
            assert await places(**query, reverse="true") == expected[::-1]
    # Around a time: everything of that millisecond is there itself.
    times = [one["created_at"] for one in said]
    for at in {*times, times[0] - 1, times[-1] + 1, times[4] + 1, 0, 2**53 - 1}:
        below, here, above = (
            [place for place, time in enumerate(times) if is_(time)]
            for is_ in (lambda time: time < at, lambda time: time == at, lambda time: time > at)  # noqa: B023
        )
        query = {"message_ts": at, "prev_limit": 2, "next_limit": 3}
        assert await places(**query) == below[-2:] + here + above[:3]
        assert await places(**query, include="false") == below[-2:] + above[:3]
    # Of some kind, before what is cut off.
    around = {"message_id": ids[4], "prev_limit": 2, "next_limit": 2}
    assert await places(**around, message_type="MESG") == [2, 3, 4, 5, 6]
    assert await places(**around, message_type="FILE") == [8]
    assert await places(**around, message_type="ADMM") == [9]
    assert await places(**around, custom_types="odd") == [1, 3, 5, 7]
    assert await places(**around, custom_types=",odd") == [2, 3, 4, 5, 6]
    assert await places(**around, sender_ids=f"{ben},nobody") == [1, 3, 5, 7]
    # Ann is whoever the host acts as, too; what it says is not hers.
    assert await places(message_id=ids[9], sender_ids=ann) == [0, 2, 4, 6]
    assert await places(**around, sender_ids="nobody") == []
    # 15 before and 15 after, where nothing else is asked.
    for _ in range(20):
        await host.say(url, ann, "more")
    assert len((await host.get(path, message_id=ids[9]))["messages"]) == 25
    assert len((await host.get(path, message_ts=0))["messages"]) == 15
    assert len((await host.get(path, message_ts=2**52))["messages"]) == 15


async def test_a_place_has_to_be_named(host: Host, url: str) -> None:
    path = f"/group_channels/{url}/messages"
    assert await host.refused("GET", path) == (BAD_VALUE, "message_ts or message_id is required")
    for query in (
        {"message_ts": "x"}, {"message_ts": -1}, {"message_ts": 1, "prev_limit": 201}, {"message_ts": 1, "next_limit": "x"},
        {"message_ts": 1, "include": "x"}, {"message_ts": 1, "message_type": "x"},
    ):  # fmt: skip
        assert (await host.refused("GET", path, **query))[0] == BAD_VALUE
    for number in (1, 2**52, 2**53 - 1):
        assert await host.refused("GET", path, message_id=number) == (NOT_FOUND, '"Message" not found.')


# Places in a list that are none.
TOKENS = [
    base64.urlsafe_b64encode(text).decode()
    for text in (
        b"1:" + b"9" * 30, b"1:" + b"9" * 5000, b"9" * 30 + b":1", b"-" + b"9" * 17 + b":1", b"1:", b"1", b"1:x", b"1:0", b"\xff",
    )
]  # fmt: skip
QUERIES = (
    "limit", "token", "show_member", "show_empty", "members_include_in", "channel_urls", "order", "distinct_mode",
    "public_mode", "super_mode", "message_ts", "message_id", "prev_limit", "next_limit", "include", "reverse", "message_type",
    "custom_types", "sender_ids", "user_ids",
)  # fmt: skip
ODD = (
    "", "-1", "%2B1", "0x1", "1e3", "%D9%A3", "9" * 30, "9" * 16, "%00", "a,%00", "%ED%A0%80", "%FF", "%", "%3D", "a", "%C3%A9",
    base64.urlsafe_b64encode(b"-62135596800000000:1").decode(), *TOKENS,
)  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/group_channels?", "/group_channels/URL?", "/group_channels/URL/members?", "/group_channels/URL/messages?message_ts=1&",
        "/group_channels/URL/messages?", "/users?",
    ],
)  # fmt: skip
async def test_no_query_breaks_anything(host: Host, url: str, path: str) -> None:
    for name in QUERIES:
        for value in ODD:
            status, told = await host.call("GET", f"{path.replace('URL', url)}{name}={value}")
            assert status == 200 or told["code"] in (BAD_VALUE, NOT_FOUND), (name, value, told)


async def test_what_no_text_may_hold_is_refused_in_a_query_too(host: Host, url: str) -> None:
    for name in ("custom_types", "sender_ids"):
        refused = await host.refused("GET", f"/group_channels/{url}/messages?message_ts=1&{name}=a,%00")
        assert refused == (BAD_VALUE, f"{name} must not contain U+0000 or lone surrogates")


async def test_a_place_in_a_list_is_one_of_ours(host: Host, url: str) -> None:
    for path in (f"/group_channels/{url}/members", "/group_channels"):
        for token in TOKENS:
            assert await host.refused("GET", path, token=token) == (BAD_VALUE, "token is none of ours"), token


@pytest.mark.parametrize(
    "odd", ["%00", "%ED%A0%80", "%FF", "9" * 30, "9" * 16, "-1", "%D9%A3", "x" * 300, "%2F", "%25"]
)
async def test_no_path_breaks_anything(host: Host, url: str, odd: str) -> None:
    say, name = {"message_type": "MESG", "user_id": "1", "message": "x"}, {"user_ids": ["1"]}
    calls = [
        *((method, f"/{kind}/{odd}", {}) for kind in ("group_channels", "users") for method in ("GET", "PUT", "DELETE")),
        ("GET", f"/group_channels/{odd}/members", None), ("GET", f"/group_channels/{odd}/messages?message_ts=1", None),
        ("POST", f"/group_channels/{odd}/messages", say), ("POST", f"/group_channels/{odd}/invite", name),
        ("PUT", f"/group_channels/{odd}/leave", name),
        *((method, f"/group_channels/{url}/messages/{odd}", {"message": "x"}) for method in ("PUT", "DELETE")),
    ]  # fmt: skip
    for method, path, body in calls:
        assert (await host.refused(method, path, body))[0] == NOT_FOUND, (method, path)


async def test_a_message_is_known_by_one_number_in_one_channel(host: Host, people: list[str]) -> None:
    urls = [await host.channel(*people) for _ in range(2)]
    said = [[await host.say(url, people[0], f"{number}") for number in range(3)] for url in urls]
    numbers = [one["message_id"] for of_one in said for one in of_one]
    assert len(set(numbers)) == 6
    assert all(2**52 < number < 2**53 for number in numbers)
    for method, body in (("PUT", {"message": "x"}), ("DELETE", None)):
        refused = await host.refused(method, f"/group_channels/{urls[0]}/messages/{numbers[3]}", body)
        assert refused == (NOT_FOUND, '"Message" not found.')
    for nonsense in ("0", "-1", "x", "9" * 17, str(2**53 - 1)):
        refused = await host.refused("DELETE", f"/group_channels/{urls[0]}/messages/{nonsense}")
        assert refused == (NOT_FOUND, '"Message" not found.')
    assert await host.said(urls[1]) == said[1]


async def test_what_came_over_keeps_its_number(stage: Stage, host: Host, node: Node, people: list[str]) -> None:
    ann, ben, _ = people
    url, other = await host.channel(ann, ben), await host.channel(ann)
    phone = await node.phone(await host.me(ben))
    said = await host.say(url, ann, "From there")
    heard = (await phone.hear("message.new"))["data"]
    await stage.oracle.execute(
        "insert into messenger.imported_messages (conversation_id, vendor_id, message_id) values ($1, $2, $3)",
        UUID(heard["conversation_id"]), 7_777_777_777, UUID(heard["id"]),
    )  # fmt: skip
    over = said | {"message_id": 7_777_777_777}
    after = await host.say(url, ben, "From here")
    assert await host.said(url) == [over, after]
    found = await host.get(f"/group_channels/{url}/messages", message_id=7_777_777_777, next_limit=0)
    assert found["messages"] == [over]
    path = f"/group_channels/{url}/messages/7777777777"
    edited = await host.put(path, message="From over there")
    assert edited == over | {"message": "From over there", "updated_at": MILLISECONDS}
    assert (await host.refused("DELETE", f"/group_channels/{other}/messages/7777777777"))[0] == NOT_FOUND
    (channel,) = (await host.get("/group_channels", channel_urls=url))["channels"]
    assert channel["last_message"] == after
    await host.delete(f"/group_channels/{url}/messages/{after['message_id']}")
    assert (await host.get(f"/group_channels/{url}"))["last_message"] == edited
    await host.delete(path)
    assert (await host.get(f"/group_channels/{url}"))["last_message"] is None


async def test_a_message_is_changed_as_its_sender(host: Host, node: Node, people: list[str], url: str) -> None:
    ann, ben, _ = people
    phone = await node.phone(await host.me(ann))
    said = await host.say(url, ben, "Bring the map", data="7")
    path = f"/group_channels/{url}/messages/{said['message_id']}"
    edited = await host.put(path, message_type="MESG", message="Bring the new map", custom_type="plan")
    assert edited == said | {"message": "Bring the new map", "custom_type": "plan", "updated_at": MILLISECONDS}
    heard = (await phone.hear("message.edited"))["data"]
    assert (heard["content"], heard["metadata"]) == ("Bring the new map", {"data": "7", "custom_type": "plan"})
    # What is absent stays, what is empty goes, and nothing is nothing.
    edited = await host.put(path, data="")
    assert (edited["message"], edited["data"], edited["custom_type"]) == ("Bring the new map", "", "plan")
    assert (await phone.hear("message.edited"))["data"]["metadata"] == {"custom_type": "plan"}
    assert await host.put(path) == edited
    await phone.silence("message.edited")
    assert await host.said(url) == [edited]
    for content, words in (("", "cannot be empty"), (" ", "cannot be empty"), ("x" * 4001, "exceeds 4000 characters")):
        assert await host.refused("PUT", path, {"message": content}) == (BAD_VALUE, f"Message content {words}")
    await host.put(f"/group_channels/{url}/leave", user_ids=[ben])
    gone = (NOT_ALLOWED, "Its sender is no member of the channel any more")
    assert await host.refused("PUT", path, {"message": "x"}) == gone
    assert await host.delete(path) == {}


async def test_what_other_clients_keep_with_a_message_stays(
    host: Host, node: Node, people: list[str], url: str
) -> None:
    ann = node.client(await host.me(people[0]))
    _, found = await ann.get("/conversations")
    kept = {"colour": None, "nested": {"empty": None}, "data": {"mine": 1}}
    sent = await ann.send(found["conversations"][0]["id"], "Mine", metadata=kept)
    (told,) = await host.said(url)
    assert (told["message"], told["data"], told["custom_type"]) == ("Mine", "", "")
    await host.put(f"/group_channels/{url}/messages/{told['message_id']}", custom_type="plan")
    _, page = await ann.get(f"/conversations/{sent['conversation_id']}/messages")
    assert page["messages"][0]["metadata"] == {**kept, "custom_type": "plan"}


async def test_a_message_is_withdrawn_whosever_it_is(host: Host, node: Node, people: list[str], url: str) -> None:
    ann, ben, _ = people
    phone = await node.phone(await host.me(ben))
    said = [await host.say(url, named, "Oh no") for named in (ann, ben)]
    for one in said:
        path = f"/group_channels/{url}/messages/{one['message_id']}"
        assert await host.delete(path) == {}
        gone = (await phone.hear("message.deleted"))["data"]
        assert (gone["content"], gone["metadata"]) == (None, {})
        assert (await host.refused("DELETE", path))[0] == NOT_FOUND
        assert (await host.refused("PUT", path, {"message": "x"}))[0] == NOT_FOUND
    assert await host.said(url) == []
    # A place that was left is no place to read around.
    assert (await host.refused("GET", f"/group_channels/{url}/messages", message_id=said[0]["message_id"]))[
        0
    ] == NOT_FOUND


async def test_rates_that_bound_people_do_not_bound_the_host(cluster: Cluster) -> None:
    host = Host(await cluster.node(api_token=API_TOKEN, rate_messages=Rate(1, 60, 1)))
    url = await host.channel("ann")
    for number in range(10):
        await host.say(url, "ann", str(number))
    assert len(await host.said(url)) == 10


async def test_where_an_import_jumbled_the_times_one_pages_in_their_order(cluster: Cluster, database: Database) -> None:
    host = Host(await cluster.node(**FREE, api_token=API_TOKEN))
    url = await host.channel("ann", "ben")
    for number in range(5):
        await host.say(url, "ann", f"Here {number}")
    owner = await asyncpg.connect(database.owner_url)
    async with owner.transaction():
        await owner.execute("select set_config('messenger.importing', 'on', true)")
        for number in range(7):  # two and two at one time
            await owner.execute(
                """
                insert into messenger.messages (conversation_id, id, sender_id, content, created_at)
                select c.id, messenger.uuid7(), c.created_by, $2, timestamptz '2024-01-01Z' + $3 * interval '1 second'
                from messenger.conversations c where c.channel_url = $1
                """,
                url,
                f"There {number}",
                number // 2,
            )
    await owner.close()
    said = await host.said(url)
    in_order = [f"There {number}" for number in range(7)] + [f"Here {number}" for number in range(5)]
    assert [entry["message"] for entry in said] == in_order
    for place, entry in enumerate(said):
        around = {"message_id": entry["message_id"], "include": "false", "prev_limit": 3, "next_limit": 2}
        beside = said[max(0, place - 3) : place] + said[place + 1 : place + 3]
        assert await host.said(url, **around) == beside
        at = {"message_ts": entry["created_at"], "include": "true", "prev_limit": 0, "next_limit": 0}
        assert await host.said(url, **at) == [one for one in said if one["created_at"] == entry["created_at"]]
        before = [one for one in said if one["created_at"] < entry["created_at"]][-4:]
        at |= {"include": "false", "prev_limit": 4}
        assert await host.said(url, **at) == before
