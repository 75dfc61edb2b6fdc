"""What makes a client of the Platform API's bearable: limits, lost answers, refusals, pages and files."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from messenger.chat_service import (
    ChannelNotFound,
    ChatServiceError,
    Downloaded,
    FileTooLarge,
    ForeignFile,
    MessageNotFound,
    NotAllowed,
    NotFound,
    PlatformClient,
    RateLimited,
    Unavailable,
    UserNotFound,
    wording,
)
from tests.support.receiver import Receiver, receiving
from tests.support.vendor import Json, Vendor

# Limits, lost answers and refusals.


def said(messages: list[Json]) -> list[str]:
    return [message["message"] for message in messages]


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor.running() as vendor:
        yield vendor


def client_of(vendor: Vendor, **more: Any) -> PlatformClient:
    return PlatformClient(vendor.url, vendor.api_token, **more)


@pytest.fixture
async def client(vendor: Vendor) -> AsyncIterator[PlatformClient]:
    """The vendor's, where Ann and Ben have a channel `room`."""
    vendor.add_channel("room", ["ann", "ben"], "Team")
    async with client_of(vendor) as client:
        yield client


HELLO = {"message_type": "MESG", "user_id": "ann", "message": "Hello"}


async def test_who_comes_too_often_waits_as_long_as_it_is_told(vendor: Vendor, client: PlatformClient) -> None:
    vendor.limit(2, 0.3)
    for number in range(6):
        await client.post("/group_channels/room/messages", {**HELLO, "message": f"{number}"})
    assert said(vendor.messages["room"]) == ["0", "1", "2", "3", "4", "5"]
    assert vendor.refused


async def test_who_would_wait_too_long_is_told_when_to_come(vendor: Vendor) -> None:
    vendor.limit(1, 3600)
    async with client_of(vendor, patience_s=60) as hasty:
        await hasty.get("/users")
        with pytest.raises(RateLimited) as caught:
            await hasty.get("/users")
    assert (caught.value.code, caught.value.status) == (500910, 429)
    assert 60 < caught.value.retry_after_s <= 3600
    assert len(vendor.requests) == 2


async def test_patience_is_for_all_waits_of_a_request_together() -> None:
    async with receiving() as receiver, PlatformClient(receiver.url(""), "t", patience_s=0.25) as client:
        receiver.status, receiver.headers = 429, {"Retry-After": "0.1"}
        with pytest.raises(RateLimited):
            await client.get("/users")
        assert len(receiver.posts) == 3


async def test_who_may_come_again_at_once_comes_no_more_often_for_it() -> None:
    async with receiving() as receiver, PlatformClient(receiver.url(""), "t", patience_s=0.25) as client:
        receiver.status, receiver.headers = 429, {"Retry-After": "0"}
        with pytest.raises(RateLimited):
            await client.get("/users")
        assert len(receiver.posts) <= 6


@pytest.mark.parametrize("header", ["X-RateLimit-RetryAfter", "Retry-After"])
async def test_either_header_says_when_to_come_again(header: str) -> None:
    async with receiving() as receiver, PlatformClient(receiver.url(""), "t", patience_s=5) as client:
        receiver.status, receiver.headers = 429, {header: "7"}
        with pytest.raises(RateLimited) as caught:
            await client.get("/users")
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("status", [500, 502, 0])
async def test_a_question_without_an_answer_is_asked_again(vendor: Vendor, client: PlatformClient, status: int) -> None:
    vendor.fail_next(2, status)
    assert (await client.get("/group_channels/room"))["name"] == "Team"
    assert len(vendor.requests) == 3


async def test_there_is_an_end_to_asking_again(vendor: Vendor, client: PlatformClient) -> None:
    vendor.fail_next(100)
    with pytest.raises(Unavailable) as caught:
        await client.get("/group_channels/room")
    assert (caught.value.code, caught.value.status, caught.value.unsent) == (500901, 500, False)
    assert len(vendor.requests) == 4


@pytest.mark.parametrize("status", [500, 0])
@pytest.mark.parametrize("acted", [False, True])
async def test_a_message_is_sent_at_most_once(vendor: Vendor, client: PlatformClient, status: int, acted: bool) -> None:
    vendor.fail_next(1, status, acted=acted, method="POST")
    with pytest.raises(Unavailable) as caught:
        await client.post("/group_channels/room/messages", HELLO)
    assert not caught.value.unsent
    assert said(vendor.messages["room"]) == (["Hello"] if acted else [])
    assert len(vendor.requests) == 1


async def test_what_never_left_is_sent_again(client: PlatformClient) -> None:
    """Whoever is not there yet when a message is sent gets it when he is."""
    async with Vendor.running() as gone:
        port = gone.port
    async with asyncio.TaskGroup() as group, PlatformClient(f"http://127.0.0.1:{port}", gone.api_token) as early:
        sending = group.create_task(early.post("/group_channels/room/messages", HELLO))
        await asyncio.sleep(0.05)
        async with Vendor.running(port) as there:
            there.add_channel("room", ["ann"])
            assert (await sending)["message"] == "Hello"
            assert said(there.messages["room"]) == ["Hello"]


async def test_who_is_not_there_at_all_got_nothing() -> None:
    async with Vendor.running() as gone:
        url = gone.url
    async with PlatformClient(url, "t") as client:
        with pytest.raises(Unavailable) as caught:
            await client.post("/group_channels/room/messages", HELLO)
    assert caught.value.unsent


async def test_a_silent_side_is_not_waited_for_without_end() -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async with receiving() as receiver, PlatformClient(receiver.url(""), "t", timeout_s=0.1) as client:
        receiver.answers = [silent]
        with pytest.raises(Unavailable) as caught:
            async with asyncio.timeout(10):
                await client.post("/users", {})
    assert not caught.value.unsent


async def test_what_was_deleted_unheard_is_deleted(vendor: Vendor, client: PlatformClient) -> None:
    vendor.fail_next(1, acted=True)
    await client.delete("/group_channels/room")
    assert vendor.channels == {}
    assert len(vendor.requests) == 2


async def test_what_was_never_there_is_not_deleted(vendor: Vendor, client: PlatformClient) -> None:
    with pytest.raises(ChannelNotFound):
        await client.delete("/group_channels/other")
    vendor.limit(1, 0.2)
    await client.get("/users")
    with pytest.raises(ChannelNotFound):
        await client.delete("/group_channels/other")


async def test_each_kind_of_thing_that_is_not_there_has_its_error(vendor: Vendor, client: PlatformClient) -> None:
    with pytest.raises(UserNotFound):
        await client.get("/users/zoe")
    with pytest.raises(UserNotFound):
        await client.post("/group_channels/room/messages", {**HELLO, "user_id": "zoe"})
    with pytest.raises(MessageNotFound):
        await client.delete("/group_channels/room/messages/1")
    vendor.refuse("/users")
    with pytest.raises(UserNotFound):
        await client.get("/users/ann")


async def test_who_is_no_member_is_not_allowed(vendor: Vendor, client: PlatformClient) -> None:
    vendor.add_user("eve")
    with pytest.raises(NotAllowed):
        await client.post("/group_channels/room/messages", {**HELLO, "user_id": "eve"})


@pytest.mark.parametrize("ending", ["", "/", "/v3", "/v3/"])
async def test_an_address_may_name_the_version_or_not(vendor: Vendor, ending: str) -> None:
    async with PlatformClient(vendor.url + ending, vendor.api_token) as client:
        assert (await client.get("/users"))["users"] == []


@pytest.mark.parametrize("user_id", ["a/b", "../group_channels", "ü ?x=1#y&%41", "a+b@c.de", "...", "%2e%2e"])
async def test_any_id_names_one_user(vendor: Vendor, client: PlatformClient, user_id: str) -> None:
    vendor.add_user(user_id, "Odd")
    assert (await client.get(wording.user(user_id)))["user_id"] == user_id


@pytest.mark.parametrize("user_id", ["", ".", ".."])
def test_what_would_be_another_path_is_no_id(user_id: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a path"):
        wording.user(user_id)


@pytest.mark.parametrize("body", ["<html>", "[]", "null", '{"error": true}', ""])
async def test_an_answer_that_is_none_is_an_error(body: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text=body)

    async with receiving() as receiver, PlatformClient(receiver.url(""), "t") as client:
        receiver.answers = [answer]
        with pytest.raises(ChatServiceError, match="status 200"):
            await client.get("/users")


async def test_where_there_is_no_platform_api_that_is_said() -> None:
    async with receiving() as receiver, PlatformClient(receiver.url(""), "t") as client:
        receiver.status = 404
        with pytest.raises(ChatServiceError, match="is MESSENGER_API_TOKEN set") as caught:
            await client.get("/users")
    assert (caught.value.code, caught.value.status) == (None, 404)


async def test_the_token_goes_nowhere_else() -> None:
    """Neither where an answer redirects to, nor into an error."""
    async with receiving() as receiver, receiving() as elsewhere, PlatformClient(receiver.url(""), "s3cret") as client:
        receiver.status, receiver.headers = 307, {"Location": elsewhere.url()}
        with pytest.raises(ChatServiceError) as caught:
            await client.get("/users")
        assert elsewhere.posts == []
        assert [post.headers["Api-Token"] for post in receiver.posts] == ["s3cret"]
        assert "s3cret" not in repr(caught.value)


async def test_a_service_is_used_inside_its_context(vendor: Vendor) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await client_of(vendor).get("/users")


# Pages.


async def test_everybody_and_everything_is_listed_whatever_the_page(vendor: Vendor, client: PlatformClient) -> None:
    everybody = [vendor.add_user(f"u{number}", is_active=number % 7 > 0)["user_id"] for number in range(250)]
    urls = [vendor.add_channel(f"c{number}")["channel_url"] for number in range(150)]
    vendor.add_channel("big", everybody)
    assert [user["user_id"] async for user in client.users()] == ["ann", "ben", *everybody]
    assert [channel["channel_url"] async for channel in client.channels()] == ["room", *urls, "big"]
    assert [member["user_id"] async for member in client.members("big")] == everybody


async def test_a_page_that_names_itself_as_the_next_is_not_read_for_ever() -> None:
    async def again(request: web.Request) -> web.StreamResponse:
        return web.json_response({"users": [], "next": "same"})

    async with receiving() as receiver, PlatformClient(receiver.url(""), "t") as client:
        receiver.answers = [again] * 10
        with pytest.raises(ChatServiceError, match="the same one again"):
            _ = [user async for user in client.users()]


def crowded(vendor: Vendor) -> list[int]:
    """More messages than a page has at one millisecond, some before, some after, one of them a reply; their ids in order."""
    vendor.messages["room"].clear()
    for at in [5000] * 3 + [5001] * 450 + [5002] * 70:
        vendor.add_message("room", "ann", "x", created_at=at)
    parent = vendor.messages["room"][0]["message_id"]
    vendor.add_message("room", "ben", "reply", created_at=5003, parent_message_id=parent)
    return [message["message_id"] for message in vendor.messages["room"]]


async def test_every_message_comes_once_in_order(vendor: Vendor, client: PlatformClient) -> None:
    ids = crowded(vendor)
    assert [message["message_id"] async for message in client.messages("room")] == ids


async def test_messages_since_a_time_are_those_at_it_too(vendor: Vendor, client: PlatformClient) -> None:
    ids = crowded(vendor)
    assert [message["message_id"] async for message in client.messages("room", 5001)] == ids[3:]
    assert [message["message_id"] async for message in client.messages("room", 5003)] == ids[-1:]
    assert [message["message_id"] async for message in client.messages("room", 5004)] == []


async def test_a_message_deleted_between_two_pages_loses_no_other(vendor: Vendor, client: PlatformClient) -> None:
    """The page's last message is where the next one begins."""
    vendor.messages["room"].clear()
    for number in range(450):
        vendor.add_message("room", "ann", created_at=5000 + number // 3)
    ids, came = [message["message_id"] for message in vendor.messages["room"]], []
    async for message in client.messages("room"):
        came.append(message["message_id"])
        if len(came) == 200:
            del vendor.messages["room"][199]
    assert came == ids


async def test_the_same_among_more_messages_at_one_time_than_a_page_has(vendor: Vendor, client: PlatformClient) -> None:
    ids, came = crowded(vendor), []
    async for message in client.messages("room"):
        came.append(message["message_id"])
        if len(came) == 400:
            del vendor.messages["room"][399]
    assert came == ids


async def test_a_channel_deleted_between_two_pages_is_not_found(vendor: Vendor, client: PlatformClient) -> None:
    crowded(vendor)
    with pytest.raises(ChannelNotFound):
        async for _ in client.messages("room"):
            vendor.channels.pop("room", None)


# Files.


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


PHOTO = b"\x89PNG" + bytes(range(256)) * 4000


@pytest.mark.parametrize("protected", [False, True])
async def test_a_file_is_brought_whole(vendor: Vendor, client: PlatformClient, tmp_path: Path, protected: bool) -> None:
    url = vendor.add_file("a b/photo.png", PHOTO, "image/png", protected=protected)
    assert await client.download(url, tmp_path / "photo") == Downloaded(len(PHOTO), "image/png")
    assert (tmp_path / "photo").read_bytes() == PHOTO


async def test_a_file_is_asked_for_again_where_that_helps(
    vendor: Vendor, client: PlatformClient, tmp_path: Path
) -> None:
    url = vendor.add_file("photo.png", PHOTO, "image/png")
    vendor.fail_next(1, 503)
    vendor.fail_next(1, 0)
    await client.download(url, tmp_path / "photo")
    assert (tmp_path / "photo").read_bytes() == PHOTO
    assert len(vendor.requests) == 3


async def test_a_file_that_is_gone_is_not_found(vendor: Vendor, client: PlatformClient, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        await client.download(f"{vendor.url}/files/gone.png", tmp_path / "photo")
    assert caught.value.status == 404
    assert contents(tmp_path) == []


async def test_a_file_that_is_too_large_leaves_nothing(vendor: Vendor, client: PlatformClient, tmp_path: Path) -> None:
    url = vendor.add_file("photo.png", PHOTO, "image/png")
    with pytest.raises(FileTooLarge):
        await client.download(url, tmp_path / "photo", max_bytes=len(PHOTO) - 1)
    assert contents(tmp_path) == []
    await client.download(url, tmp_path / "photo", max_bytes=len(PHOTO))


async def test_a_file_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 500)
        assert request.transport is not None
        request.transport.close()
        return response

    async with receiving() as receiver, PlatformClient(receiver.url(""), "t") as client:
        receiver.answers = [half] * 4
        with pytest.raises(Unavailable):
            await client.download(receiver.url("/photo"), tmp_path / "photo")
        assert len(receiver.posts) == 4
    assert contents(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://api-A.sendbird.com.evil.test/x",
        "file:///etc/passwd",
        "/x",
        "",
        "http://[",
        "x",
    ],
)
async def test_an_address_of_somebody_elses_is_not_asked_for(
    vendor: Vendor, client: PlatformClient, tmp_path: Path, url: str
) -> None:
    assert not client.is_own(url)
    with pytest.raises(ForeignFile):
        await client.download(url, tmp_path / "photo")
    assert contents(tmp_path) == []


def test_the_vendors_files_lie_on_hosts_of_its_domain() -> None:
    client = PlatformClient("https://api-A.sendbird.com", "t")
    assert client.is_own("https://file-eu-1.sendbird.com/abc.png?auth=1")
    assert client.is_own("https://api-A.sendbird.com/x")
    assert not client.is_own("http://file-eu-1.sendbird.com/abc.png")
    assert not client.is_own("https://evilsendbird.com/abc.png")
    assert not client.is_own("https://user@evil.test/.sendbird.com")
    # So they do where somebody stands between; the token is for him, and not for them.
    between = PlatformClient("https://proxy.example.org", "t")
    assert between.is_own("https://file-eu-1.sendbird.com/abc.png")
    shown = {
        url: dict(one._shown_to(URL(url)))
        for one, url in (
            (client, "https://file-eu-1.sendbird.com/a"),
            (between, "https://file-eu-1.sendbird.com/b"),
            (between, "https://proxy.example.org/c"),
        )
    }
    assert [list(headers.values()) for headers in shown.values()] == [["t"], [], ["t"]]


@pytest.fixture
async def elsewhere() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_a_redirect_is_followed_to_the_vendors_own_only(tmp_path: Path, elsewhere: Receiver) -> None:
    async def file(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"content")

    def to(address: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def redirect(request: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": address})

        return redirect

    async with receiving() as receiver, PlatformClient(receiver.url(""), "t") as client:
        receiver.answers = [to("/real"), file]
        await client.download(receiver.url("/photo"), tmp_path / "photo")
        assert (tmp_path / "photo").read_bytes() == b"content"
        assert [post.path for post in receiver.posts] == ["/photo", "/real"]
        (tmp_path / "photo").unlink()
        for answers in ([to(elsewhere.url())], [to("/again")] * 4):
            receiver.answers = list(answers)
            with pytest.raises(ForeignFile):
                await client.download(receiver.url("/photo"), tmp_path / "photo")
    assert elsewhere.posts == []
    assert contents(tmp_path) == []


def test_an_administrators_message_names_nobody() -> None:
    """It has no sender, whoever asked for it."""
    assert wording.new_message("ADMM", "ann", "x", None) == {"message_type": "ADMM", "message": "x"}
