"""Who is typing: told to those who subscribed, not too often, and never for ever."""

import asyncio

import pytest

from messenger.service import typing as indicator
from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, Frame, Phone

stage = stage_with()
node = node_of_stage()


class Room:
    """Ann and Ben in a group, each with a device that subscribed."""

    def __init__(self, node: Node, tea: str, ann: Phone, ben: Phone) -> None:
        self.node = node
        self.tea = tea
        self.ann = ann
        self.ben = ben

    async def ann_types(self, type_: str = "typing", **fields: object) -> list[Frame]:
        """What Ben hears of it."""
        await self.ann.say(type_, conversation_id=self.tea, **fields)
        assert await self.ann.unheard("typing", "error") == []
        return await self.ben.unheard("typing")

    def typing(self, is_typing: bool) -> Frame:
        return {
            "type": "typing",
            "conversation_id": self.tea,
            "user_id": self.ann.user_id,
            "is_typing": is_typing,
            "timestamp": A_TIME,
        }


@pytest.fixture(autouse=True)
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, what a test says at once is within the limit."""
    assert (indicator.LASTS_S, indicator.AT_MOST_EVERY_S) == (5.0, 1.0)
    monkeypatch.setattr(indicator, "LASTS_S", 300.0)
    monkeypatch.setattr(indicator, "AT_MOST_EVERY_S", 60.0)


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group(ben)
    room = Room(node, tea, await node.phone(ann), await node.phone(ben))
    for phone in (room.ann, room.ben):
        await phone.ask("subscribe", conversation_id=tea)
    return room


async def test_typing_is_told_and_so_is_its_end(room: Room) -> None:
    assert await room.ann_types() == [room.typing(True)]
    assert await room.ann_types(is_typing=False) == [room.typing(False)]
    assert await room.ann_types("typing.start") == [room.typing(True)]
    assert await room.ann_types("typing.stop") == [room.typing(False)]
    assert await room.ann_types(is_typing=True) == [room.typing(True)]


async def test_typing_has_no_direct_answer_not_even_with_a_ref(room: Room) -> None:
    for type_ in ("typing", "typing.start", "typing.stop"):
        await room.ann.say(type_, conversation_id=room.tea, ref="r")
    await room.ann.ask("ping")
    assert [frame for frame in room.ann.frames if frame.get("ref") == "r"] == []


async def test_typing_is_told_once_a_second_and_a_change_of_state_at_once(room: Room) -> None:
    assert await room.ann_types() == [room.typing(True)]
    assert await room.ann_types() == []
    assert await room.ann_types("typing.start") == []
    assert await room.ann_types("typing.stop") == [room.typing(False)]
    assert await room.ann_types("typing.stop") == []
    assert await room.ann_types() == [room.typing(True)]
    assert await room.ann_types() == []


async def test_typing_repeated_after_the_limit_is_told_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indicator, "AT_MOST_EVERY_S", 0.0)
    assert await room.ann_types() == [room.typing(True)]
    assert await room.ann_types() == [room.typing(True)]


async def test_the_limit_is_for_each_device_and_conversation(stage: Stage, node: Node, room: Room) -> None:
    milk = await node.client(room.ann.user_id).group(room.ben.user_id)
    await room.ben.ask("subscribe", conversation_id=milk)
    second = await node.phone(room.ann.user_id)
    assert await room.ann_types() == [room.typing(True)]
    await room.ann.say("typing", conversation_id=milk)
    await second.say("typing", conversation_id=room.tea)
    await asyncio.gather(room.ann.ask("ping"), second.ask("ping"))
    assert sorted(item["conversation_id"] for item in await room.ben.unheard("typing")) == sorted([milk, room.tea])


async def test_typing_that_nobody_ends_ends_itself(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indicator, "LASTS_S", 0.1)
    assert await room.ann_types() == [room.typing(True)]
    assert await room.ben.hear("typing") == room.typing(False)
    assert len(room.node.context.typing) == 0
    assert await room.ann_types("typing.stop") == []


async def test_typing_repeated_in_time_goes_on(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indicator, "LASTS_S", 0.3)
    began = asyncio.get_running_loop().time()
    ended = asyncio.create_task(room.ben.hear("typing", is_typing=False))
    while asyncio.get_running_loop().time() < began + 0.4:
        await room.ann.ask("ping")
        await room.ann.say("typing", conversation_id=room.tea)
        assert not ended.done()
    assert await ended == room.typing(False)


async def test_typing_ends_with_the_device(room: Room) -> None:
    async with room.node.phone_for_a_while(room.ann.user_id) as other:
        await other.say("typing", conversation_id=room.tea)
        assert await room.ben.hear("typing") == room.typing(True)
    assert await room.ben.hear("typing") == room.typing(False)
    assert len(room.node.context.typing) == 0


async def test_typing_is_never_echoed_to_any_device_of_the_typist(room: Room) -> None:
    second = await room.node.phone(room.ann.user_id)
    await second.ask("subscribe", conversation_id=room.tea)
    assert await room.ann_types() == [room.typing(True)]
    assert await second.unheard("typing") == []


async def test_typing_is_told_only_to_devices_that_subscribed(room: Room) -> None:
    other = await room.node.phone(room.ben.user_id)
    assert await room.ann_types() == [room.typing(True)]
    assert await other.unheard("typing") == []


async def test_an_observer_is_never_seen_typing(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group()
    await node.client(ann).post(f"/conversations/{tea}/participants", {"user_ids": [ben], "role": "observer"})
    one, two = await node.phone(ann), await node.phone(ben)
    await one.ask("subscribe", conversation_id=tea)
    await two.say("typing", conversation_id=tea)
    assert await two.unheard("error") == []
    assert await one.unheard("typing") == []
    # Once he is a member he is.
    assert (await node.client(ann).patch(f"/conversations/{tea}/participants/{ben}", {"role": "member"}))[0] == 200
    await two.hear("participant.updated")
    await two.say("typing", conversation_id=tea)
    assert (await one.hear("typing"))["user_id"] == ben


async def test_in_a_large_conversation_typing_is_not_passed_on(stage: Stage, node: Node) -> None:
    people = stage.people(102)
    tea = await node.client(people[0]).group(*people[1:])
    one, two = await node.phone(people[0]), await node.phone(people[1])
    await one.ask("subscribe", conversation_id=tea)
    await two.say("typing", conversation_id=tea)
    assert await two.unheard("error") == []
    assert await one.unheard("typing") == []


async def test_typing_in_a_foreign_conversation_is_refused_as_in_none(stage: Stage, node: Node, room: Room) -> None:
    (eve,) = stage.people(1)
    stranger = await node.phone(eve)
    for conversation_id in (room.tea, "01890000-0000-7000-8000-000000000000"):
        for type_ in ("typing", "typing.start", "typing.stop"):
            assert await stranger.answer(type_, conversation_id=conversation_id) == {
                "type": "error",
                "code": "not_participant",
                "message": "Not a participant of this conversation",
            }
    assert await room.ben.unheard("typing") == []


async def test_who_was_removed_is_not_seen_typing(stage: Stage, node: Node, room: Room) -> None:
    status, _ = await node.client(room.ann.user_id).delete(f"/conversations/{room.tea}/participants/{room.ben.user_id}")
    assert status == 204
    await room.ben.hear("participant.removed")
    assert (await room.ben.ask("typing", conversation_id=room.tea))["code"] == "not_participant"
    assert await room.ann_types() == []
    assert await room.ann.unheard("typing") == []
