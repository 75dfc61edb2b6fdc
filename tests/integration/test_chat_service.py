"""ChatService, against both of its backends: the vendor, played by tests.support.vendor, and a node of this daemon.

What both must do is told once. What a client of the vendor's has to bear is in test_platform_client.py, and how channels move
from the one to the other in test_chat_service_move.py.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from messenger.chat_service import (
    AlreadyExists,
    ChannelNotFound,
    ChatService,
    ChatServiceError,
    InvalidRequest,
    PlatformClient,
    Unauthorized,
)
from tests.support.node import Stage, stage_with
from tests.support.people import token
from tests.support.reachable import SECRET
from tests.support.vendor import NOT_FOUND, Json, Vendor

TOKEN = "the daemon's own api token"
stage = stage_with(api_token=TOKEN)
numbers = itertools.count(1)


@dataclass(frozen=True)
class Side:
    """One backend; `settings` are its part of the YAML."""

    backend: str
    settings: dict[str, Any]

    @asynccontextmanager
    async def service(self, folder: Path, **changed: Any) -> AsyncIterator[ChatService]:
        """A ChatService that is told to use this one, by a file."""
        chat = {"use_websocket": self.backend == "websocket", self.backend: {**self.settings, **changed}}
        file = folder / "chat.yaml"
        file.write_text(yaml.safe_dump({"chat": chat}))
        async with ChatService.from_config(file, {}) as service:
            yield service

    def client(self, **more: Any) -> PlatformClient:
        return PlatformClient(self.settings["base_url"], self.settings["api_token"], **more)


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor.running() as vendor:
        yield vendor


def side_of(vendor: Vendor) -> Side:
    return Side("sendbird", {"base_url": vendor.url, "api_token": vendor.api_token})


@pytest.fixture(params=["sendbird", "websocket"])
def side(request: pytest.FixtureRequest) -> Side:
    if request.param == "sendbird":
        return side_of(request.getfixturevalue("vendor"))
    stage: Stage = request.getfixturevalue("stage")
    return Side("websocket", {"base_url": stage.node.origin, "api_token": TOKEN})


@dataclass(frozen=True)
class Scene:
    """A side on which Ann, Ben, Cho and Eve are known, as ids that no other test has, and nobody is in any channel."""

    side: Side
    service: ChatService
    url: str
    ann: str
    ben: str
    cho: str
    eve: str

    async def channel(self, **more: Any) -> Json:
        """Of Ann and Ben."""
        return await self.service.create_group_channel(self.url, "Team", [self.ann, self.ben], **more)

    async def members(self) -> set[str]:
        return people(await self.service.get_channel_metadata(self.url))


@pytest.fixture
async def scene(side: Side, tmp_path: Path) -> AsyncIterator[Scene]:
    number = next(numbers)
    async with side.service(tmp_path) as service, side.client() as client:
        ids = [f"{name}-{number}" for name in ("ann", "ben", "cho", "eve")]
        for user_id in ids:
            await client.post("/users", {"user_id": user_id, "nickname": user_id.title(), "profile_url": ""})
        yield Scene(side, service, f"room_{number}-A", *ids)


def people(channel: Json) -> set[str]:
    return {member["user_id"] for member in channel["members"]}


def said(messages: list[Json]) -> list[str]:
    return [message["message"] for message in messages]


def some_of(answer: Json, expected: Json) -> Json:
    """The fields of an answer that something is expected of."""
    return {name: answer[name] for name in expected}


async def test_a_channel_is_made_with_its_people(scene: Scene) -> None:
    made = await scene.channel(data="plain text")
    expected = {
        "channel_url": scene.url,
        "name": "Team",
        "data": "plain text",
        "custom_type": "",
        "cover_url": "",
        "member_count": 2,
        "joined_member_count": 2,
    }
    assert some_of(made, expected) == expected
    assert people(made) == {scene.ann, scene.ben}
    assert isinstance(made["created_at"], int)


async def test_what_was_made_is_found_with_its_people(scene: Scene) -> None:
    made = await scene.channel(data="x")
    found = await scene.service.get_channel_metadata(scene.url)
    assert people(found) == {scene.ann, scene.ben}
    names = ("channel_url", "name", "data", "member_count", "created_at", "freeze", "is_distinct")
    assert [found[name] for name in names] == [made[name] for name in names]
    ann = next(member for member in found["members"] if member["user_id"] == scene.ann)
    assert (ann["nickname"], ann["state"]) == (scene.ann.title(), "joined")


async def test_a_channel_without_data_has_an_empty_text(scene: Scene) -> None:
    assert (await scene.channel())["data"] == ""


@pytest.mark.parametrize("data", [{"order": 7, "say": "Grüße ✓"}, ["a", None], {}, 7])
async def test_data_that_is_no_text_is_kept_as_json(scene: Scene, data: Any) -> None:
    made = await scene.channel(data=data)
    found = await scene.service.get_channel_metadata(scene.url)
    assert made["data"] == found["data"]
    assert json.loads(found["data"]) == data


async def test_a_channel_url_is_taken_once(scene: Scene) -> None:
    await scene.channel()
    with pytest.raises(AlreadyExists) as caught:
        await scene.service.create_group_channel(scene.url, "Other", [scene.eve])
    assert (caught.value.code, caught.value.status) == (400202, 400)
    assert (await scene.service.get_channel_metadata(scene.url))["name"] == "Team"


async def test_a_channel_needs_people(scene: Scene) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await scene.service.create_group_channel(scene.url, "Team", [])
    assert caught.value.code == 400105
    with pytest.raises(ChannelNotFound):
        await scene.service.get_channel_metadata(scene.url)


CALLS: dict[str, Callable[[Scene], Awaitable[Any]]] = {
    "get_channel_metadata": lambda it: it.service.get_channel_metadata(it.url),
    "update_channel": lambda it: it.service.update_channel(it.url, name="x"),
    "delete_channel": lambda it: it.service.delete_channel(it.url),
    "add_members": lambda it: it.service.add_members(it.url, [it.ann]),
    "remove_members": lambda it: it.service.remove_members(it.url, [it.ann]),
    "send_message": lambda it: it.service.send_message(it.url, it.ann, "Hello"),
    "list_messages": lambda it: it.service.list_messages(it.url),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_channel_that_is_not_there_is_not_found(scene: Scene, name: str) -> None:
    with pytest.raises(ChannelNotFound) as caught:
        await CALLS[name](scene)
    assert (caught.value.code, caught.value.status) == (NOT_FOUND, 400)


async def test_a_change_leaves_the_rest_as_it_is(scene: Scene) -> None:
    await scene.channel(data="kept")
    renamed = await scene.service.update_channel(scene.url, name="Crew")
    found = await scene.service.get_channel_metadata(scene.url)
    assert [(it["name"], it["data"]) for it in (renamed, found)] == [("Crew", "kept")] * 2
    changed = await scene.service.update_channel(
        scene.url, data={"a": 1}, cover_url="https://img.example/c.png", custom_type="deal"
    )
    found = await scene.service.get_channel_metadata(scene.url)
    expected = {"name": "Crew", "data": '{"a":1}', "cover_url": "https://img.example/c.png", "custom_type": "deal"}
    assert [some_of(it, expected) for it in (changed, found)] == [expected] * 2


async def test_a_deleted_channel_is_gone(scene: Scene) -> None:
    await scene.channel()
    await scene.service.send_message(scene.url, scene.ann, "Hello")
    await scene.service.delete_channel(scene.url)
    with pytest.raises(ChannelNotFound):
        await scene.service.get_channel_metadata(scene.url)
    with pytest.raises(ChannelNotFound):
        await scene.service.list_messages(scene.url)


async def test_people_are_added_once_however_often(scene: Scene) -> None:
    await scene.channel()
    for _ in range(2):
        channel = await scene.service.add_members(scene.url, [scene.cho, scene.ann])
        assert (channel["channel_url"], channel["member_count"]) == (scene.url, 3)
    assert await scene.members() == {scene.ann, scene.ben, scene.cho}


async def test_removed_people_are_out_and_may_say_nothing(scene: Scene) -> None:
    await scene.channel()
    await scene.service.add_members(scene.url, [scene.cho])
    await scene.service.remove_members(scene.url, [scene.ben, scene.cho])
    assert await scene.members() == {scene.ann}
    with pytest.raises(ChatServiceError):
        await scene.service.send_message(scene.url, scene.ben, "Still here?")
    await scene.service.send_message(scene.url, scene.ann, "Alone")
    assert "Still here?" not in said(await scene.service.list_messages(scene.url))


@pytest.mark.parametrize("name", ["add_members", "remove_members"])
async def test_nobody_is_nobody_to_add_or_remove(scene: Scene, name: str) -> None:
    await scene.channel()
    with pytest.raises(InvalidRequest) as caught:
        await getattr(scene.service, name)(scene.url, [])
    assert caught.value.code == 400105
    assert await scene.members() == {scene.ann, scene.ben}


async def test_a_message_is_sent_and_listed_as_the_same(scene: Scene) -> None:
    await scene.channel()
    begin = time.time_ns() // 10**6
    sent = await scene.service.send_message(scene.url, scene.ann, "Grüße 🎈 <b>", data={"ref": 7})
    end = time.time_ns() // 10**6
    expected = {
        "type": "MESG",
        "message": "Grüße 🎈 <b>",
        "channel_url": scene.url,
        "data": '{"ref":7}',
        "custom_type": "",
        "is_removed": False,
        "updated_at": 0,
    }
    assert some_of(sent, expected) == expected
    assert (sent["user"]["user_id"], sent["user"]["nickname"]) == (scene.ann, scene.ann.title())
    assert isinstance(sent["message_id"], int)
    # The database's clock is this machine's.
    assert begin - 1 <= sent["created_at"] <= end + 1
    (listed,) = await scene.service.list_messages(scene.url)
    names = (*expected, "message_id", "created_at")
    assert [listed[name] for name in names] == [sent[name] for name in names]
    assert listed["user"]["user_id"] == scene.ann


async def test_a_stranger_says_nothing_in_a_channel(scene: Scene) -> None:
    await scene.channel()
    with pytest.raises(ChatServiceError):
        await scene.service.send_message(scene.url, scene.eve, "Hello")
    assert await scene.service.list_messages(scene.url) == []


async def test_an_empty_message_is_refused(scene: Scene) -> None:
    await scene.channel()
    with pytest.raises(InvalidRequest):
        await scene.service.send_message(scene.url, scene.ann, "")
    assert await scene.service.list_messages(scene.url) == []


async def test_a_file_is_an_address(scene: Scene) -> None:
    await scene.channel()
    address = "https://files.example/plan.pdf"
    sent = await scene.service.send_message(scene.url, scene.ann, address, "FILE", data="x")
    (listed,) = await scene.service.list_messages(scene.url)
    for it in (sent, listed):
        assert (it["type"], it["file"]["url"], it["user"]["user_id"], it["data"]) == ("FILE", address, scene.ann, "x")


async def test_an_administrator_speaks_as_nobody(scene: Scene) -> None:
    await scene.channel()
    sent = await scene.service.send_message(scene.url, None, "Closed for the night", "ADMM")
    (listed,) = await scene.service.list_messages(scene.url)
    for it in (sent, listed):
        assert (it["type"], it["message"], it["message_id"]) == ("ADMM", "Closed for the night", sent["message_id"])


async def test_a_message_of_no_known_type_is_not_sent(scene: Scene) -> None:
    await scene.channel()
    with pytest.raises(ValueError, match="MESG, FILE, ADMM"):
        await scene.service.send_message(scene.url, scene.ann, "Hello", "LOGI")


async def test_the_newest_messages_are_listed_oldest_first(scene: Scene) -> None:
    await scene.channel()
    for number in range(53):
        sender = (scene.ann, scene.ben)[number % 2]
        await scene.service.send_message(scene.url, sender, f"{number}")
    listed = await scene.service.list_messages(scene.url)
    assert said(listed) == [f"{number}" for number in range(3, 53)]
    assert said(await scene.service.list_messages(scene.url, limit=2)) == ["51", "52"]
    assert len(await scene.service.list_messages(scene.url, limit=200)) == 53
    ids = [message["message_id"] for message in listed]
    assert ids == sorted(set(ids))
    times = [message["created_at"] for message in listed]
    assert times == sorted(times)


async def test_messages_before_a_time_are_those_and_none_at_it(scene: Scene) -> None:
    await scene.channel()
    sent = []
    for number in range(4):
        sent.append(await scene.service.send_message(scene.url, scene.ann, f"{number}"))
        await asyncio.sleep(0.002)  # times are in ms
    earlier = await scene.service.list_messages(scene.url, before=sent[2]["created_at"])
    assert said(earlier) == ["0", "1"]
    assert said(await scene.service.list_messages(scene.url, 1, sent[2]["created_at"])) == ["1"]
    assert await scene.service.list_messages(scene.url, before=sent[0]["created_at"]) == []


async def test_one_pages_by_messages_whatever_their_times(scene: Scene) -> None:
    await scene.channel()
    for number in range(7):
        await scene.service.send_message(scene.url, scene.ann, f"{number}")
    pages, before_id = [], None
    while page := await scene.service.list_messages(scene.url, limit=3, before_id=before_id):
        pages.append(said(page))
        before_id = page[0]["message_id"]
    assert pages == [["4", "5", "6"], ["1", "2", "3"], ["0"]]
    with pytest.raises(ValueError, match="one of them"):
        await scene.service.list_messages(scene.url, before=1, before_id=2)


@pytest.mark.parametrize("limit", [0, 201, -1])
async def test_a_page_has_its_bounds(scene: Scene, limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        await scene.service.list_messages(scene.url, limit)


async def test_a_wrong_token_is_refused(scene: Scene, tmp_path: Path) -> None:
    await scene.channel()
    async with scene.side.service(tmp_path, api_token="another") as stranger:
        with pytest.raises(Unauthorized) as caught:
            await stranger.get_channel_metadata(scene.url)
        assert (caught.value.code, caught.value.status) == (400401, 400)
        with pytest.raises(Unauthorized):
            await stranger.send_message(scene.url, scene.ann, "Hello")
    assert await scene.service.list_messages(scene.url) == []


async def test_the_whole_of_a_channel_can_be_read_by_pages(scene: Scene) -> None:
    """What an importer does."""
    await scene.channel()
    for number in range(5):
        await scene.service.send_message(scene.url, scene.ann, f"{number}")
    async with scene.side.client() as client:
        assert scene.ann in {user["user_id"] async for user in client.users()}
        assert scene.url in {channel["channel_url"] async for channel in client.channels()}
        assert {member["user_id"] async for member in client.members(scene.url)} == {scene.ann, scene.ben}
        everything = [message async for message in client.messages(scene.url)]
        assert said(everything) == ["0", "1", "2", "3", "4"]
        later = [message async for message in client.messages(scene.url, everything[-1]["created_at"])]
        assert later[-1] == everything[-1]


async def test_more_than_a_hundred_people_come_in_and_go(side: Side, tmp_path: Path) -> None:
    url = f"crowd_{next(numbers)}"
    crowd = [f"{url}-{number}" for number in range(205)]
    async with side.service(tmp_path) as service, side.client() as client:
        for user_id in crowd:
            await client.post("/users", {"user_id": user_id, "nickname": "x", "profile_url": ""})
        made = await service.create_group_channel(url, "Crowd", crowd[:201])
        assert made["member_count"] == 201
        assert (await service.add_members(url, crowd))["member_count"] == 205
        assert {member["user_id"] async for member in client.members(url)} == set(crowd)
        await service.remove_members(url, crowd[1:])
        assert [member["user_id"] async for member in client.members(url)] == crowd[:1]


async def test_what_the_host_says_is_heard_in_the_channel_of_the_daemon(stage: Stage, tmp_path: Path) -> None:
    number = next(numbers)
    ann, ben, url = f"ann-{number}", f"ben-{number}", f"room_{number}"
    daemon = Side("websocket", {"base_url": stage.node.origin, "api_token": TOKEN})
    async with daemon.service(tmp_path) as service, daemon.client() as client:
        for user_id in (ann, ben):
            await client.post("/users", {"user_id": user_id, "nickname": "x", "profile_url": ""})
        await service.create_group_channel(url, "Team", [ann, ben])
        socket_url = f"{stage.node.origin}/api/v1/chat/ws/{url}?token={token(ben, SECRET)}"
        async with stage.node.session.ws_connect(socket_url) as bens:
            assert (await bens.receive_json(timeout=10))["type"] == "USER_JOINED"
            await service.send_message(url, ann, "Hello")
            frame = await bens.receive_json(timeout=10)
            assert frame.pop("timestamp")
            assert frame == {"type": "MESG", "channel_url": url, "user_id": ann, "message": "Hello"}
            await bens.send_json({"type": "MESG", "message": "Hello yourself"})
            assert (await bens.receive_json(timeout=10))["message"] == "Hello yourself"
        assert said(await service.list_messages(url)) == ["Hello", "Hello yourself"]


async def test_channels_move_to_the_daemon_with_their_people(stage: Stage, vendor: Vendor, tmp_path: Path) -> None:
    """With the real daemon; every turn of it is in test_chat_service_move.py."""
    number = next(numbers)
    ann, ben, eve = (f"{name}-{number}" for name in ("ann", "ben", "eve"))
    new, mixed, old = (f"{name}_{number}" for name in ("new", "mixed", "old"))
    daemon = Side("websocket", {"base_url": stage.node.origin, "api_token": TOKEN})
    chat = {
        "websocket_users": [ann, ben],
        "sendbird": side_of(vendor).settings,
        "websocket": daemon.settings,
    }
    (tmp_path / "chat.yaml").write_text(yaml.safe_dump({"chat": chat}))
    async with ChatService.from_config(tmp_path / "chat.yaml", {}) as service, daemon.client() as client:
        for user_id in (ann, ben, eve):
            vendor.add_user(user_id)
            await client.post("/users", {"user_id": user_id, "nickname": "x", "profile_url": ""})
        await service.create_group_channel(new, "New", [ann, ben])
        await service.create_group_channel(mixed, "Mixed", [ann, eve])
        vendor.add_channel(old, [ann, eve])
        await client.post("/group_channels", {"channel_url": old, "name": "A copy", "user_ids": [ann, eve]})
        homes = [await service.home_of(url) for url in (new, mixed, old)]
        assert homes == ["websocket", "sendbird", "sendbird"]
        await service.add_members(new, [eve])
        for url in (new, mixed, old):
            await service.send_message(url, eve, f"In {url}")
        assert said([message async for message in client.messages(new)]) == [f"In {new}"]
        assert [said(vendor.messages[url]) for url in (mixed, old)] == [[f"In {mixed}"], [f"In {old}"]]
        assert [message async for message in client.messages(old)] == []
        # Eve leaves the copy, too, as the next import would have it: now it is theirs who are listed.
        await client.put(f"/group_channels/{old}/leave", {"user_ids": [eve]})
        await service.send_message(old, ann, "Here now")
        assert said(await service.list_messages(old)) == ["Here now"]
