"""Paging through a conversation's messages, backwards and forwards."""

import json
from typing import Any

import pytest

from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import Client, Phone

stage = stage_with()
node = node_of_stage()


class Room:
    """Twelve messages; what is asked of them by a frame and over REST is answered alike."""

    def __init__(self, tea: str, client: Client, phone: Phone, messages: list[Any]) -> None:
        self.tea = tea
        self.client = client
        self.phone = phone
        self.messages = messages

    async def page(self, **bounds: int) -> tuple[list[int], bool]:
        """The seqs of a page, and whether there is more."""
        answer = await self.phone.answer("history", conversation_id=self.tea, **bounds)
        query = "&".join(f"{name}={value}" for name, value in bounds.items())
        status, over_rest = await self.client.get(f"/conversations/{self.tea}/messages?{query}")
        assert (status, {"type": "history", **over_rest}) == (200, answer)
        assert answer["messages"] == [self.messages[item["seq"] - 1] for item in answer["messages"]]
        return [item["seq"] for item in answer["messages"]], answer["more"]


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    (ann,) = stage.people(1)
    client = node.client(ann)
    tea = await client.group()
    messages = [await client.send(tea, f"message {number}") for number in range(1, 13)]
    return Room(tea, client, await node.phone(ann), messages)


async def test_history_says_exactly_this(room: Room) -> None:
    assert await room.phone.answer("history", conversation_id=room.tea) == {
        "type": "history",
        "conversation_id": room.tea,
        "messages": room.messages,
        "more": False,
    }


async def test_pages_go_back_from_the_end(room: Room) -> None:
    assert await room.page(limit=5) == ([8, 9, 10, 11, 12], True)
    assert await room.page(limit=5, before_seq=8) == ([3, 4, 5, 6, 7], True)
    assert await room.page(limit=5, before_seq=3) == ([1, 2], False)
    assert await room.page(limit=12) == (list(range(1, 13)), False)
    assert await room.page(limit=11) == (list(range(2, 13)), True)
    assert await room.page(before_seq=1) == ([], False)
    assert await room.page(before_seq=2**53 - 1, limit=1) == ([12], True)


async def test_nothing_is_before_the_beginning(room: Room) -> None:
    assert await room.page(before_seq=0) == ([], False)


async def test_pages_go_forward_from_a_place(room: Room) -> None:
    assert await room.page(limit=5, after_seq=0) == ([1, 2, 3, 4, 5], True)
    assert await room.page(limit=5, after_seq=5) == ([6, 7, 8, 9, 10], True)
    assert await room.page(limit=5, after_seq=10) == ([11, 12], False)
    assert await room.page(limit=2, after_seq=10) == ([11, 12], False)
    assert await room.page(after_seq=12) == ([], False)
    assert await room.page(after_seq=2**53 - 1) == ([], False)


async def test_both_bounds_give_what_lies_between(room: Room) -> None:
    assert await room.page(after_seq=3, before_seq=7) == ([4, 5, 6], False)
    assert await room.page(after_seq=3, before_seq=12, limit=2) == ([10, 11], True)
    assert await room.page(after_seq=0, before_seq=2) == ([1], False)
    assert await room.page(after_seq=7, before_seq=8) == ([], False)
    assert await room.page(after_seq=8, before_seq=3) == ([], False)


async def test_a_limit_above_200_is_200_and_none_is_50(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client, phone = node.client(ann), await node.phone(ann)
    tea = await client.group()
    for number in range(203):
        await phone.say("message.send", conversation_id=tea, content=f"{number}")
    await phone.hear("message.new", seq=203)
    for limit, count in (({"limit": 201}, 200), ({"limit": 2**53 - 1}, 200), ({"limit": 200}, 200), ({}, 50)):
        answer = await phone.ask("history", conversation_id=tea, **limit)
        assert (len(answer["messages"]), answer["more"]) == (count, True)


async def test_edited_and_deleted_messages_stand_in_their_places(room: Room) -> None:
    ids = [message["id"] for message in room.messages]
    await room.phone.ask("message.edit", message_id=ids[1], content="edited")
    await room.phone.ask("message.delete", message_id=ids[2])
    page = (await room.phone.ask("history", conversation_id=room.tea, limit=3, after_seq=0))["messages"]
    assert [(item["seq"], item["change"], item["content"]) for item in page] == [
        (1, 1, "message 1"),
        (2, 13, "edited"),
        (3, 14, None),
    ]


async def test_a_newcomer_sees_nothing_from_before_where_history_begins_with_joining(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    client = node.client(ann)
    tea = await client.group(history="joined")
    for number in range(3):
        await client.send(tea, f"before {number}")
    await client.post(f"/conversations/{tea}/participants", {"user_ids": [ben]})
    await client.send(tea, "after")
    phone = await node.phone(ben)
    for bounds in ({}, {"after_seq": 0}, {"after_seq": 1, "before_seq": 6}):
        answer = await phone.ask("history", conversation_id=tea, **bounds)
        assert ([item["seq"] for item in answer["messages"]], answer["more"]) == ([4, 5], False)
    assert (await phone.ask("subscribe", conversation_id=tea))["conversation"]["first_seq"] == 4
    assert (await phone.answer("history", conversation_id=tea, before_seq=4))["messages"] == []


async def test_large_messages_come_in_pages_of_256_kib_and_none_is_left_out(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client, phone = node.client(ann), await node.phone(ann)
    tea = await client.group()
    for number in range(12):
        await client.send(tea, "x" * 4000, metadata={"n": number, "pad": "é" * 25_000})
    assert await _paged(phone, tea, "before_seq", {}) == [[9, 10, 11, 12], [5, 6, 7, 8], [1, 2, 3, 4]]
    assert await _paged(phone, tea, "after_seq", {"after_seq": 0}) == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


async def _paged(phone: Phone, tea: str, bound: str, place: dict[str, int]) -> list[list[int]]:
    pages: list[list[int]] = []
    more = True
    while more:
        answer = await phone.ask("history", conversation_id=tea, **place)
        assert len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()) <= 256 * 1024
        pages.append([item["seq"] for item in answer["messages"]])
        place = {bound: pages[-1][0 if bound == "before_seq" else -1]}
        more = answer["more"]
    return pages


async def test_a_foreign_conversation_has_no_history(room: Room, stage: Stage, node: Node) -> None:
    (eve,) = stage.people(1)
    stranger = await node.phone(eve)
    for conversation_id in (room.tea, "01890000-0000-7000-8000-000000000000"):
        assert await stranger.answer("history", conversation_id=conversation_id) == {
            "type": "error",
            "code": "not_participant",
            "message": "Not a participant of this conversation",
        }
