"""Who has read a message, and when: asked for over REST."""

import pytest

from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, Client, Frame

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"


def receipt(user_id: int, last_read_seq: int) -> Frame:
    return {"user_id": user_id, "last_read_seq": last_read_seq, "read_at": A_TIME}


class Room:
    """Ann, its admin, Ben and Cyd in a group, in which Ann said three things; Eve is a stranger."""

    def __init__(self, stage: Stage, ids: list[int], clients: list[Client], tea: str, said: list[Frame]) -> None:
        self.stage = stage
        self.ids = ids
        self.ann, self.ben, self.cyd, self.eve = clients
        self.tea = tea
        self.said = said

    async def read(self, who: Client, number: int) -> None:
        status, _ = await who.post(f"/messages/{self.said[number]['id']}/read")
        assert status == 200

    async def receipts(self, who: Client, number: int) -> list[Frame]:
        status, told = await who.get(f"/messages/{self.said[number]['id']}/receipts")
        assert status == 200, told
        assert told.keys() == {"receipts"}
        return list(told["receipts"])


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ids = stage.people(4)
    clients = [node.client(user) for user in ids]
    tea = await clients[0].group(*ids[1:3])
    said = [await clients[0].send(tea, f"{number}") for number in range(3)]
    return Room(stage, ids, clients, tea, said)


async def test_whoever_came_so_far_has_read_it_the_first_first(room: Room) -> None:
    _, ben, cyd, _ = room.ids
    for number in range(3):
        assert await room.receipts(room.ann, number) == []
    await room.read(room.cyd, 1)
    await room.read(room.ben, 0)
    for who in (room.ann, room.ben, room.cyd):
        assert await room.receipts(who, 0) == [receipt(cyd, 2), receipt(ben, 1)]
        assert await room.receipts(who, 1) == [receipt(cyd, 2)]
        assert await room.receipts(who, 2) == []
    before = await room.receipts(room.ann, 0)
    # Going on, he is among the readers of more; and his time is that of his last step.
    await room.read(room.cyd, 2)
    assert await room.receipts(room.ann, 0) == [receipt(ben, 1), receipt(cyd, 3)]
    assert await room.receipts(room.ann, 2) == [receipt(cyd, 3)]
    after = await room.receipts(room.ann, 0)
    assert (after[0], after[1]["read_at"] > before[0]["read_at"]) == (before[1], True)
    # Backwards nothing moves.
    await room.read(room.cyd, 0)
    assert await room.receipts(room.ann, 0) == after


async def test_its_sender_is_not_among_its_readers(room: Room) -> None:
    ann, ben, _, _ = room.ids
    room.said.append(await room.ben.send(room.tea, "Ben's"))
    for who in (room.ann, room.ben):
        await room.read(who, 3)
    assert await room.receipts(room.ann, 3) == [receipt(ann, 4)]
    assert await room.receipts(room.ann, 2) == [receipt(ben, 4)]


async def test_of_an_entry_of_the_system_there_are_readers_too(room: Room) -> None:
    _, ben, _, _ = room.ids
    await room.ann.call("PATCH", f"/conversations/{room.tea}", {"title": "Coffee"})
    page = (await room.ann.get(f"/conversations/{room.tea}/messages"))[1]["messages"]
    room.said.append(page[-1])
    assert room.said[3]["message_type"] == "system"
    await room.read(room.ben, 3)
    assert await room.receipts(room.cyd, 3) == [receipt(ben, 4)]


async def test_who_left_is_no_reader_any_more(room: Room) -> None:
    _, ben, cyd, _ = room.ids
    for who in (room.ben, room.cyd):
        await room.read(who, 2)
    await room.ben.delete(f"/conversations/{room.tea}/participants/me")
    assert await room.receipts(room.ann, 0) == [receipt(cyd, 3)]
    status, told = await room.ben.get(f"/messages/{room.said[0]['id']}/receipts")
    assert (status, told["code"]) == (404, "message_not_found")
    # Back again, he has read nothing yet.
    await room.ann.post(f"/conversations/{room.tea}/participants", {"user_ids": [ben]})
    assert await room.receipts(room.ann, 0) == [receipt(cyd, 3)]


async def test_who_may_not_see_it_has_not_read_it(stage: Stage, node: Node) -> None:
    ann, ben, dee = stage.people(3)
    tea = await node.client(ann).group(ben, history="joined")
    early = await node.client(ann).send(tea, "before Dee came")
    assert (await node.client(ann).post(f"/conversations/{tea}/participants", {"user_ids": [dee]}))[0] == 201
    late = await node.client(ann).send(tea, "welcome")
    for who in (ben, dee):
        assert (await node.client(who).post(f"/messages/{late['id']}/read"))[0] == 200
    assert await node.client(ann).get(f"/messages/{early['id']}/receipts") == (200, {"receipts": [receipt(ben, 3)]})
    _, told = await node.client(ann).get(f"/messages/{late['id']}/receipts")
    assert [item["user_id"] for item in told["receipts"]] == [ben, dee]


async def test_what_one_may_not_see_is_as_what_is_not_there(room: Room, node: Node) -> None:
    (dee,) = room.stage.people(1)
    late = await room.ann.group(room.ids[1], history="joined")
    hidden = await room.ann.send(late, "Before")
    await room.ann.post(f"/conversations/{late}/participants", {"user_ids": [dee]})
    gone = await room.ann.send(late, "Gone")
    await room.ann.delete(f"/messages/{gone['id']}")
    told = [
        await who.ask("GET", f"/messages/{message_id}/receipts")
        for who, message_id in (
            (room.eve, room.said[0]["id"]),
            (node.client(dee), hidden["id"]),
            (room.ann, gone["id"]),
            (room.ann, NOBODYS),
        )
    ]
    assert {(answer.status, answer.text) for answer in told} == {(404, told[-1].text)}
    assert told[-1].body["code"] == "message_not_found"
    status, refused = await room.ann.get("/messages/rubbish/receipts")
    assert (status, refused["code"], refused["field"]) == (422, "invalid_message_id", "message_id")
    status, refused = await node.nobody().get(f"/messages/{NOBODYS}/receipts")
    assert (status, refused["code"]) == (401, "unauthorized")


async def test_of_large_conversations_all_readers_are_told_on_any_node(cluster: Cluster) -> None:
    """There they are not pushed, so they are asked for."""
    one, two = await cluster.node(**FREE), await cluster.node(**FREE)
    people = list(range(2, 122))
    hall = await one.client(1).group(*people)
    said = await one.client(1).send(hall, "Hello, all")
    readers = people[::12]
    for reader in readers:
        assert (await one.client(reader).post(f"/messages/{said['id']}/read"))[0] == 200
    status, told = await two.client(people[-1]).get(f"/messages/{said['id']}/receipts")
    assert (status, told) == (200, {"receipts": [receipt(reader, 1) for reader in readers]})
