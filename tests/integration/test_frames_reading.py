"""Reading: how far somebody is, who hears of it, and what counts as unread."""

import pytest

from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, Frame, Phone

stage = stage_with()
node = node_of_stage()

NOT_FOUND = {"type": "error", "code": "message_not_found", "message": "Message not found"}


class Room:
    """Five messages of Ann's in a group with Ben and Cyd; Ben, who reads, has two devices."""

    def __init__(self, tea: str, ids: list[str], ann: Phone, ben: Phone, bens_other: Phone, cyd: Phone) -> None:
        self.tea = tea
        self.ids = ids
        self.ann = ann
        self.ben = ben
        self.bens_other = bens_other
        self.cyd = cyd

    def confirmed(self, seq: int) -> Frame:
        return {
            "type": "read.confirmed",
            "message_id": self.ids[seq - 1],
            "conversation_id": self.tea,
            "last_read_seq": seq,
            "unread_count": 5 - seq,
        }

    def read(self, seq: int) -> Frame:
        return {
            "type": "message.read",
            "conversation_id": self.tea,
            "message_id": self.ids[seq - 1],
            "user_id": self.ben.user_id,
            "last_read_seq": seq,
            "read_at": A_TIME,
        }


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ann, ben, cyd = stage.people(3)
    tea = await node.client(ann).group(ben, cyd)
    ids = [(await node.client(ann).send(tea, f"{number}"))["id"] for number in range(5)]
    return Room(tea, ids, *[await node.phone(user) for user in (ann, ben, ben, cyd)])


async def test_all_devices_of_the_reader_hear_and_others_where_they_subscribed(room: Room) -> None:
    await room.ann.ask("subscribe", conversation_id=room.tea)
    await room.bens_other.ask("subscribe", conversation_id=room.tea)
    assert await room.ben.answer("message.read", message_id=room.ids[2]) == room.confirmed(3)
    for phone in (room.ben, room.bens_other):
        assert await phone.unheard("message.read") == [{**room.read(3), "unread_count": 2}]
    assert await room.ann.unheard("message.read") == [room.read(3)]
    assert await room.cyd.unheard("message.read") == []


async def test_reading_never_moves_backwards(room: Room) -> None:
    await room.ann.ask("subscribe", conversation_id=room.tea)
    await room.ben.ask("message.read", message_id=room.ids[3])
    for seq in (4, 2):
        # Where he is, not where he was.
        assert await room.ben.answer("message.read", message_id=room.ids[seq - 1]) == room.confirmed(4)
    for phone in (room.ben, room.bens_other, room.ann):
        assert [frame["last_read_seq"] for frame in await phone.unheard("message.read")] == [4]
    assert await room.ben.answer("message.read", message_id=room.ids[4]) == room.confirmed(5)
    seats = (await room.ann.ask("subscribe", conversation_id=room.tea))["participants"]
    assert {seat["user_id"]: seat["last_read_seq"] for seat in seats} == {
        room.ann.user_id: 0,
        room.ben.user_id: 5,
        room.cyd.user_id: 0,
    }


async def test_neither_ones_own_nor_system_messages_nor_tombstones_are_unread(room: Room, node: Node) -> None:
    async def unread(phone: Phone) -> int:
        return int((await phone.ask("subscribe", conversation_id=room.tea))["unread_count"])

    assert (await unread(room.ann), await unread(room.ben)) == (0, 5)
    await node.client(room.ann.user_id).patch(f"/conversations/{room.tea}", {"title": "Milk"})
    assert (await unread(room.ann), await unread(room.ben)) == (0, 5)
    await room.ann.ask("message.delete", message_id=room.ids[4])
    await room.ann.ask("message.edit", message_id=room.ids[3], content="edited")
    assert (await unread(room.ann), await unread(room.ben)) == (0, 4)
    answer = await room.ben.ask("message.read", message_id=room.ids[4])
    assert (answer["last_read_seq"], answer["unread_count"]) == (5, 0)


async def test_a_message_that_the_reader_may_not_see_is_not_found(room: Room, stage: Stage, node: Node) -> None:
    (eve,) = stage.people(1)
    stranger = await node.phone(eve)
    for message_id in (room.ids[0], "01890000-0000-7000-8000-000000000000"):
        assert await stranger.answer("message.read", message_id=message_id) == NOT_FOUND
    ann = node.client(room.ann.user_id)
    milk = await ann.group(history="joined")
    before = (await ann.send(milk, "before"))["id"]
    await ann.post(f"/conversations/{milk}/participants", {"user_ids": [eve]})
    after = (await ann.send(milk, "after"))["id"]
    assert await stranger.answer("message.read", message_id=before) == NOT_FOUND
    assert (await stranger.ask("message.read", message_id=after))["last_read_seq"] == 3
    assert await stage.oracle.fetch("select 1 from messenger.read_receipts where conversation_id = $1", room.tea) == []


async def test_an_observer_reads(room: Room, stage: Stage, node: Node) -> None:
    (eve,) = stage.people(1)
    ann = node.client(room.ann.user_id)
    await ann.post(f"/conversations/{room.tea}/participants", {"user_ids": [eve], "role": "observer"})
    observer = await node.phone(eve)
    assert await observer.answer("message.read", message_id=room.ids[4]) == room.confirmed(5)


async def test_in_a_large_conversation_receipts_are_not_pushed(stage: Stage, node: Node) -> None:
    people = stage.people(102)
    tea = await node.client(people[0]).group(*people[1:])
    message_id = (await node.client(people[0]).send(tea, "hello"))["id"]
    writer, reader, other = await node.phone(people[0]), await node.phone(people[1]), await node.phone(people[1])
    await writer.ask("subscribe", conversation_id=tea)
    await reader.ask("message.read", message_id=message_id)
    assert len(await other.unheard("message.read")) == 1
    assert await writer.unheard("message.read") == []
