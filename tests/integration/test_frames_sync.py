"""Catching up: from cursors of any age to the log as it is now."""

import json
from typing import Any

import pytest

from messenger.service import sync as catching_up
from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import Client, Frame, Phone, entry

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"


class Room:
    """Ann's group with Ben; Ben's phone catches up."""

    def __init__(self, ann: Client, ben: Phone, tea: str) -> None:
        self.ann = ann
        self.ben = ben
        self.tea = tea

    async def sync(self, cursors: dict[str, int], **more: int) -> Frame:
        """The answer without what every one has."""
        answer = await self.ben.answer("sync", cursors=cursors, **more)
        assert answer.pop("type") == "sync"
        assert answer.pop("epoch") == self.ben.hello["epoch"]
        return answer

    async def caught_up(self, cursor: int, **more: int) -> Frame | None:
        """What comes of this one conversation; None where it is left out."""
        answer = await self.sync({self.tea: cursor}, **more)
        assert (answer["removed"], len(answer["conversations"]) < 2) == ([], True)
        return answer["conversations"][0] if answer["conversations"] else None


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ann, ben = stage.people(2)
    client = node.client(ann)
    return Room(client, await node.phone(ben), await client.group(ben))


async def test_sync_says_exactly_this(room: Room, stage: Stage) -> None:
    sent = [await room.ann.send(room.tea, f"{number}") for number in range(3)]
    await room.ben.ask("message.read", message_id=sent[0]["id"])
    assert await room.ben.answer("sync", cursors={room.tea: 1}) == {
        "type": "sync",
        "conversations": [
            {
                "conversation_id": room.tea,
                "changes": sent[1:],
                "last_change": 3,
                "first_seq": 1,
                "last_seq": 3,
                "last_read_seq": 1,
                "unread_count": 2,
                "more": False,
            }
        ],
        "epoch": room.ben.hello["epoch"],
        "more": False,
        "removed": [],
    }


async def test_what_did_not_change_is_left_out(room: Room) -> None:
    await room.ann.send(room.tea, "hello")
    nothing = {"conversations": [], "more": False, "removed": []}
    assert await room.sync({room.tea: 1}) == nothing
    await room.ben.ask("message.read", message_id=room.ben.frames[-1].get("message_id", NOBODYS))
    assert await room.sync({room.tea: 1}) == nothing


async def test_a_conversation_without_a_cursor_starts_over(room: Room) -> None:
    assert (await room.sync({}))["conversations"] == [
        {
            "conversation_id": room.tea,
            "changes": [],
            "last_change": 0,
            "first_seq": 1,
            "last_seq": 0,
            "last_read_seq": 0,
            "unread_count": 0,
            "more": False,
            "reset": True,
        }
    ]
    sent = [await room.ann.send(room.tea, f"{number}") for number in range(3)]
    (found,) = (await room.sync({}))["conversations"]
    assert (found["changes"], found["reset"], found["last_change"]) == (sent, True, 3)


async def test_a_reset_is_the_newest_page_in_the_order_of_changes(room: Room) -> None:
    ids = [(await room.ann.send(room.tea, f"{number}"))["id"] for number in range(5)]
    assert (await room.ann.patch(f"/messages/{ids[3]}", {"content": "edited"}))[0] == 200
    assert (await room.ann.patch(f"/messages/{ids[0]}", {"content": "too old for the page"}))[0] == 200
    (found,) = (await room.sync({}, limit=3))["conversations"]
    assert [(item["seq"], item["change"]) for item in found["changes"]] == [(3, 3), (5, 5), (4, 6)]
    assert (found["last_change"], found["last_seq"], found["more"], found["reset"]) == (7, 5, False, True)


async def test_changes_come_as_whole_messages_in_their_last_state(room: Room) -> None:
    one, two, three = [await room.ann.send(room.tea, f"{number}") for number in range(3)]
    await room.ann.patch(f"/messages/{two['id']}", {"content": "edited"})
    await room.ann.delete(f"/messages/{one['id']}")
    await room.ann.patch(f"/messages/{two['id']}", {"content": "edited again"})
    found = await room.caught_up(2)
    assert found is not None
    assert [(item["id"], item["change"], item["content"]) for item in found["changes"]] == [
        (three["id"], 3, "2"),
        (one["id"], 5, None),
        (two["id"], 6, "edited again"),
    ]
    assert (found["last_change"], found["unread_count"]) == (6, 2)


async def test_what_happened_to_people_and_title_is_told_by_its_messages(room: Room, stage: Stage) -> None:
    (cyd,) = stage.people(1)
    await room.ann.post(f"/conversations/{room.tea}/participants", {"user_ids": [cyd]})
    await room.ann.patch(f"/conversations/{room.tea}", {"title": "Milk"})
    found = await room.caught_up(0)
    assert found is not None
    ann = found["changes"][0]["sender_id"]
    told: Any = {"message_type": "system"}
    joined = {"event": "participant.added", "user_id": cyd, "name": f"User {cyd}", "role": "member", "by": ann}
    assert found["changes"] == [
        entry(room.tea, 1, ann, f"User {ann} added User {cyd}", metadata=joined, **told),
        entry(
            room.tea,
            2,
            ann,
            f"User {ann} changed the title to Milk",
            metadata={"event": "conversation.updated", "by": ann, "title": "Milk"},
            **told,
        ),
    ]
    assert found["unread_count"] == 0


async def test_a_limit_cuts_and_the_last_change_of_the_piece_is_the_next_cursor(room: Room) -> None:
    for number in range(7):
        await room.ann.send(room.tea, f"{number}")
    pieces, cursor, more = [], 0, True
    while more:
        answer = await room.sync({room.tea: cursor}, limit=3)
        (found,) = answer["conversations"]
        assert (found["last_change"], found["more"]) == (7, answer["more"])
        pieces.append([item["change"] for item in found["changes"]])
        cursor, more = pieces[-1][-1], answer["more"]
    assert pieces == [[1, 2, 3], [4, 5, 6], [7]]


async def test_a_cursor_ahead_of_the_log_starts_over(room: Room) -> None:
    sent = await room.ann.send(room.tea, "hello")
    found = await room.caught_up(2)
    assert found is not None
    assert (found["changes"], found["last_change"], found["reset"]) == ([sent], 1, True)


async def test_a_cursor_too_far_behind_starts_over(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    assert catching_up.MOST_BEHIND == 1000
    monkeypatch.setattr(catching_up, "MOST_BEHIND", 3)
    for number in range(5):
        await room.ann.send(room.tea, f"{number}")
    near, far = await room.caught_up(2), await room.caught_up(1)
    assert near is not None
    assert far is not None
    assert ([item["change"] for item in near["changes"]], "reset" in near) == ([3, 4, 5], False)
    assert ([item["change"] for item in far["changes"]], far["reset"]) == ([1, 2, 3, 4, 5], True)


async def test_what_one_takes_part_in_no_longer_is_named_as_removed(room: Room, stage: Stage, node: Node) -> None:
    (eve,) = stage.people(1)
    ben = room.ben.user_id
    left, deleted = await room.ann.group(ben), await room.ann.group(ben)
    foreign = await node.client(eve).group()
    assert (await node.client(ben).delete(f"/conversations/{left}/participants/me"))[0] == 204
    assert (await room.ann.delete(f"/conversations/{deleted}"))[0] == 204
    answer = await room.sync({room.tea: 0, left: 5, deleted: 0, foreign: 1, NOBODYS: 2**53 - 1})
    assert answer == {"conversations": [], "more": False, "removed": [left, deleted, foreign, NOBODYS]}


async def test_a_newcomer_catches_up_from_where_he_may_see(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    client = node.client(ann)
    tea = await client.group(history="joined")
    await client.send(tea, "before")
    await client.post(f"/conversations/{tea}/participants", {"user_ids": [ben]})
    await client.send(tea, "after")
    room = Room(client, await node.phone(ben), tea)
    for cursors in ({}, {tea: 0}, {tea: 1}):
        (found,) = (await room.sync(cursors))["conversations"]
        assert [item["seq"] for item in found["changes"]] == [2, 3]
        assert (found["first_seq"], found["last_seq"], found["last_change"], found["unread_count"]) == (2, 3, 3, 1)


async def _all_pieces(room: Room, cursors: dict[str, int]) -> tuple[dict[str, list[int]], int]:
    """Every change by conversation, and how many answers it took; each is held to its size and to bring something."""
    held: dict[str, list[int]] = {}
    answers, more = 0, True
    while more:
        answer = await room.sync(cursors)
        answers, more = answers + 1, answer["more"]
        assert len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()) <= 256 * 1024 - 100
        assert answer["conversations"]
        for found in answer["conversations"]:
            changes = [item["change"] for item in found["changes"]]
            held[found["conversation_id"]] = held.get(found["conversation_id"], []) + changes
            cursors[found["conversation_id"]] = changes[-1] if found["more"] else found["last_change"]
        cursors = {key: cursors[key] for key in cursors if key not in answer["removed"]}
    return held, answers


async def test_large_messages_come_in_pieces_of_256_kib(room: Room) -> None:
    milk = await room.ann.group(room.ben.user_id)
    for conversation_id in (room.tea, milk):
        for _ in range(7):
            await room.ann.send(conversation_id, "x" * 4000, metadata={"pad": "é" * 25_000})
    held, answers = await _all_pieces(room, {room.tea: 0, milk: 0})
    assert held == {room.tea: list(range(1, 8)), milk: list(range(1, 8))}
    assert answers == 4
    # Starting over brings the newest that fit, each conversation in an answer of its own.
    held, answers = await _all_pieces(room, {NOBODYS: 1})
    assert held == {room.tea: [4, 5, 6, 7], milk: [4, 5, 6, 7]}
    assert answers == 2


async def test_a_message_larger_than_an_answer_holds_nobody_up(stage: Stage, room: Room) -> None:
    ann = (await room.ann.send(room.tea, "before"))["sender_id"]
    async with stage.oracle.transaction():
        await stage.oracle.execute("select messenger.enter($1)", ann)
        await stage.oracle.execute(
            """insert into messenger.messages (conversation_id, id, sender_id, content)
            values ($1, gen_random_uuid(), $2, repeat('x', 300000))""",
            room.tea,
            ann,
        )
    await room.ann.send(room.tea, "after")
    pieces = []
    for cursor in (0, 1, 2):
        found = await room.caught_up(cursor)
        assert found is not None
        pieces.append(([item["change"] for item in found["changes"]], found["more"]))
    assert pieces == [([1], True), ([2], True), ([3], False)]
    pages = [await room.ben.ask("history", conversation_id=room.tea, before_seq=seq) for seq in (4, 3, 2)]
    assert [([item["seq"] for item in page["messages"]], page["more"]) for page in pages] == [
        ([3], True),
        ([2], True),
        ([1], False),
    ]


async def test_many_empty_conversations_are_too_many_for_one_answer(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    tea = await client.group()
    async with stage.oracle.transaction():
        await stage.oracle.execute(
            """with made as (
                insert into messenger.conversations (id, type, created_by)
                select gen_random_uuid(), 'group', $1 from generate_series(1, 1500) returning id
            ), heads as (insert into messenger.conversation_heads (conversation_id) select id from made)
            insert into messenger.conversation_participants (conversation_id, user_id, role)
            select id, $1, 'admin' from made""",
            ann,
        )
    # She comes behind them: else her node would bring her into each of them while she asks.
    held, answers = await _all_pieces(Room(client, await node.phone(ann), tea), {})
    assert (len(held), answers) == (1501, 2)
    assert not any(held.values())
