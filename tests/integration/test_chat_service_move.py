"""The move of a ChatService from the vendor to the daemon: channels live on either side, and none on both.

The daemon is played by another server that speaks the same API: what it does itself is in test_chat_service.py.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from messenger.chat_service import AlreadyExists, ChannelNotFound, ChatService, Unavailable, WouldSplit
from tests.support.vendor import Json, Vendor


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor.running() as vendor:
        yield vendor


def said(messages: list[Json]) -> list[str]:
    return [message["message"] for message in messages]


@dataclass
class Move:
    """The vendor and the daemon, where Ann, Ben, Cho and Eve are known; Ann and Ben are listed, and the channel `pilot`."""

    vendor: Vendor
    daemon: Vendor
    service: ChatService

    def texts(self, channel_url: str) -> tuple[list[str] | None, list[str] | None]:
        """What was said in a channel at the vendor's, and at the daemon's; None where it is not there."""
        sides = (self.vendor, self.daemon)
        return tuple(said(it.messages[channel_url]) if channel_url in it.channels else None for it in sides)  # type: ignore[return-value]


@pytest.fixture
async def move(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Move]:
    async with Vendor.running() as daemon:
        daemon.api_token = "ours"
        for user_id in ("ann", "ben", "cho", "eve"):
            vendor.add_user(user_id)
            daemon.add_user(user_id)
        chat = {
            "websocket_channels": ["pilot"],
            "websocket_users": ["ann", "ben"],
            "sendbird": {"base_url": vendor.url, "api_token": vendor.api_token},
            "websocket": {"base_url": daemon.url, "api_token": "ours"},
        }
        (tmp_path / "chat.yaml").write_text(yaml.safe_dump({"chat": chat}))
        async with ChatService.from_config(tmp_path / "chat.yaml", {}) as service:
            yield Move(vendor, daemon, service)


async def everything_done(move: Move, url: str, user_ids: list[str]) -> None:
    """All that one does with a channel, by any of its people."""
    await move.service.create_group_channel(url, "Team", user_ids)
    await move.service.send_message(url, user_ids[0], "1")
    await move.service.update_channel(url, name="Crew")
    await move.service.send_message(url, None, "2", "ADMM")
    await move.service.add_members(url, ["cho"])
    await move.service.send_message(url, "cho", "3")
    await move.service.remove_members(url, ["cho"])
    await move.service.send_message(url, user_ids[-1], "4")
    assert said(await move.service.list_messages(url)) == ["1", "2", "3", "4"]
    assert (await move.service.get_channel_metadata(url))["name"] == "Crew"


async def test_a_listed_channel_lives_at_the_daemons_whoever_is_in_it(move: Move) -> None:
    await everything_done(move, "pilot", ["eve", "ann"])
    assert move.texts("pilot") == (None, ["1", "2", "3", "4"])
    assert move.vendor.requests == []


async def test_a_channel_of_listed_users_lives_at_the_daemons_also_when_others_come_in(move: Move) -> None:
    await everything_done(move, "new", ["ann", "ben"])
    assert move.texts("new") == (None, ["1", "2", "3", "4"])
    assert await move.service.home_of("new") == "websocket"


async def test_a_channel_of_others_lives_at_the_vendors_whoever_speaks(move: Move) -> None:
    await everything_done(move, "mixed", ["ann", "eve"])
    assert move.texts("mixed") == (["1", "2", "3", "4"], None)
    assert await move.service.home_of("mixed") == "sendbird"


async def test_a_channel_of_the_vendors_stays_there_though_all_in_it_are_listed(move: Move) -> None:
    """Its past is there; it moves when it is imported."""
    move.vendor.add_channel("old", ["ann", "ben"])
    await move.service.send_message("old", "ann", "1")
    assert move.texts("old") == (["1"], None)
    move.daemon.add_channel("old", ["ann", "ben"])
    move.daemon.add_message("old", "ann", "1")
    await move.service.send_message("old", "ann", "2")
    assert move.texts("old") == (["1"], ["1", "2"])
    assert said(await move.service.list_messages("old")) == ["1", "2"]


async def test_an_imported_copy_is_not_the_channel_while_others_are_in_it(move: Move) -> None:
    for it in (move.vendor, move.daemon):
        it.add_channel("old", ["ann", "eve"])
    for number in range(3):
        await move.service.send_message("old", "ann", f"{number}")
        await move.service.send_message("old", "eve", f"{number}")
    assert move.texts("old") == (["0", "0", "1", "1", "2", "2"], [])
    # The vendor is asked once whether it has the channel.
    assert sum(method == "GET" for method, _, _ in move.vendor.requests) == 1


async def test_a_crowd_is_not_read_to_find_somebody_who_is_not_listed(move: Move) -> None:
    for it in (move.vendor, move.daemon):
        it.add_channel("old", ["ann", "ben", "eve"])
    assert await move.service.home_of("old") == "sendbird"
    assert [path for _, path, _ in move.daemon.requests] == ["/v3/group_channels/old"]


async def test_an_empty_channel_is_where_the_vendor_says(move: Move) -> None:
    for it in (move.vendor, move.daemon):
        it.add_channel("old")
    assert await move.service.home_of("old") == "sendbird"


async def test_a_channel_that_was_moved_takes_nobody_who_would_move_it_back(move: Move) -> None:
    for it in (move.vendor, move.daemon):
        it.add_channel("old", ["ann"])
    with pytest.raises(WouldSplit, match=r"Not in chat\.websocket_users: cho, eve"):
        await move.service.add_members("old", ["eve", "ben", "cho"])
    assert list(move.daemon.members["old"]) == ["ann"]
    await move.service.add_members("old", ["ben"])
    assert list(move.daemon.members["old"]) == ["ann", "ben"]
    assert list(move.vendor.members["old"]) == ["ann"]


@pytest.mark.parametrize("user_ids", [["ann"], ["eve"]])
@pytest.mark.parametrize("where", ["vendor", "daemon"])
async def test_a_channel_is_not_made_where_the_other_side_has_it(move: Move, where: str, user_ids: list[str]) -> None:
    getattr(move, where).add_channel("old", ["ann", "cho"])
    with pytest.raises(AlreadyExists):
        await move.service.create_group_channel("old", "Team", user_ids)
    assert len(move.vendor.channels) + len(move.daemon.channels) == 1


@pytest.mark.parametrize("members", [["ann"], ["ann", "eve"]])
async def test_a_deleted_channel_does_not_come_back_as_its_copy(move: Move, members: list[str]) -> None:
    for it in (move.vendor, move.daemon):
        it.add_channel("old", members)
    await move.service.home_of("old")
    await move.service.delete_channel("old")
    assert (move.vendor.channels, move.daemon.channels) == ({}, {})
    with pytest.raises(ChannelNotFound):
        await move.service.get_channel_metadata("old")
    # What comes after it is another one, of which nothing is known from before.
    await move.service.create_group_channel("old", "Team", ["ann"])
    await move.service.add_members("old", ["cho"])
    await move.service.send_message("old", "cho", "1")
    assert move.texts("old") == (None, ["1"])


async def test_a_deletion_that_failed_half_way_can_be_repeated(move: Move) -> None:
    for it in (move.vendor, move.daemon):
        it.add_channel("old", ["ann"])
    move.daemon.fail_next(4, method="DELETE")
    with pytest.raises(Unavailable):
        await move.service.delete_channel("old")
    await move.service.delete_channel("old")
    assert (move.vendor.channels, move.daemon.channels) == ({}, {})


async def test_where_a_channel_lives_cannot_be_said_without_the_daemon(move: Move) -> None:
    """Better no message than one on the wrong side."""
    move.vendor.add_channel("old", ["ann"])
    move.daemon.fail_next(4)
    with pytest.raises(Unavailable):
        await move.service.send_message("old", "ann", "1")
    assert move.texts("old") == ([], None)


async def test_without_listed_users_nobody_is_asked(move: Move, tmp_path: Path) -> None:
    chat = yaml.safe_load((tmp_path / "chat.yaml").read_text())["chat"]
    (tmp_path / "chat.yaml").write_text(yaml.safe_dump({"chat": {**chat, "websocket_users": []}}))
    for it in (move.vendor, move.daemon):
        it.add_channel("old", ["ann"])
    async with ChatService.from_config(tmp_path / "chat.yaml", {}) as service:
        await service.send_message("old", "ann", "1")
        await service.delete_channel("old")
    assert move.daemon.requests == []
    assert list(move.daemon.channels) == ["old"]


async def test_the_flag_moves_everything_at_once(move: Move, tmp_path: Path) -> None:
    for it in (move.vendor, move.daemon):
        it.add_channel("old", ["ann", "eve"])
    async with ChatService.from_config(tmp_path / "chat.yaml", {"USE_WEBSOCKET_CHAT": "on"}) as service:
        assert await service.home_of("old") == "websocket"
        await service.send_message("old", "eve", "1")
    assert move.texts("old") == ([], ["1"])
    assert move.vendor.requests == []
