"""POST /sync: catching up without a socket, by the same rules as the frame."""

from typing import Any

import pytest

from messenger.protocol import frames
from messenger.service import sync
from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import Client, Frame, Phone, entry

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"


class Room:
    """Ann and Ben in a group; it is Ben who catches up, over REST and on his phone."""

    def __init__(self, stage: Stage, node: Node, ids: list[int], tea: str, phone: Phone) -> None:
        self.stage = stage
        self.node = node
        self.ids = ids
        self.ann, self.ben = (node.client(user) for user in ids)
        self.tea = tea
        self.phone = phone

    async def caught_up(self, cursors: Frame, **more: Any) -> Frame:
        """The answer over REST, which is that of the frame."""
        status, told = await self.ben.post("/sync", {"cursors": cursors, **more})
        assert status == 200, told
        by_frame = await self.phone.answer("sync", cursors=cursors, **more)
        assert {"type": "sync", **told} == by_frame
        return dict(told)


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ids = stage.people(2)
    tea = await node.client(ids[0]).group(ids[1])
    return Room(stage, node, ids, tea, await node.phone(ids[1]))


async def test_without_a_cursor_a_conversation_begins_with_its_newest_page(room: Room) -> None:
    said = [await room.ann.send(room.tea, f"{number}") for number in range(1, 4)]
    part = {
        "conversation_id": room.tea,
        "changes": said,
        "last_change": 3,
        "first_seq": 1,
        "last_seq": 3,
        "last_read_seq": 0,
        "unread_count": 3,
        "more": False,
        "reset": True,
    }
    whole = {"conversations": [part], "epoch": room.node.context.epoch, "more": False, "removed": []}
    assert await room.caught_up({}) == whole
    newest = {**whole, "conversations": [{**part, "changes": said[1:]}]}
    assert await room.caught_up({}, limit=2) == newest
    assert said[0] == entry(room.tea, 1, room.ids[0], "1")


async def test_above_a_cursor_comes_what_changed_and_in_pieces(room: Room) -> None:
    said = [await room.ann.send(room.tea, f"{number}") for number in range(1, 6)]
    await room.phone.ask("reaction.add", message_id=said[0]["id"], emoji="👍")
    await room.ann.delete(f"/messages/{said[1]['id']}")
    held: list[tuple[int, int]] = []
    cursor, more = 1, True
    while more:
        told = await room.caught_up({room.tea: cursor}, limit=2)
        (part,) = told["conversations"]
        assert "reset" not in part
        held += [(item["seq"], item["change"]) for item in part["changes"]]
        cursor = part["changes"][-1]["change"] if part["more"] else part["last_change"]
        more = told["more"]
        assert part["more"] == more
    assert held == [(3, 3), (4, 4), (5, 5), (1, 6), (2, 7)]
    assert cursor == 7
    assert (await room.caught_up({room.tea: 7}))["conversations"] == []
    (part,) = (await room.caught_up({room.tea: 5}))["conversations"]
    assert [(item["reactions"], item["content"]) for item in part["changes"]] == [({"👍": 1}, "1"), ({}, None)]


async def test_it_starts_over_where_the_cursor_is_ahead_or_too_far_behind(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await room.ann.send(room.tea, f"{number}")
    (part,) = (await room.caught_up({room.tea: 5}))["conversations"]
    assert (part["reset"], len(part["changes"]), part["last_change"]) == (True, 4, 4)
    assert sync.MOST_BEHIND == 1000
    monkeypatch.setattr(sync, "MOST_BEHIND", 3)
    (part,) = (await room.caught_up({room.tea: 0}, limit=1))["conversations"]
    assert (part["reset"], [item["seq"] for item in part["changes"]], part["more"]) == (True, [4], False)
    (part,) = (await room.caught_up({room.tea: 1}))["conversations"]
    assert ("reset" in part, [item["seq"] for item in part["changes"]]) == (False, [2, 3, 4])


async def test_what_one_is_not_in_any_more_or_never_was_is_removed(room: Room) -> None:
    await room.ann.send(room.tea, "x")
    milk = await room.ann.group(room.ids[1])
    await room.ben.delete(f"/conversations/{room.tea}/participants/me")
    foreign = await room.ann.group()
    told = await room.caught_up({room.tea: 1, foreign: 0, NOBODYS: 7, milk: 0})
    assert sorted(told.pop("removed")) == sorted([room.tea, foreign, NOBODYS])
    assert told == {"conversations": [], "epoch": room.node.context.epoch, "more": False}


async def test_an_answer_holds_as_much_as_a_frame_and_the_rest_comes_next(room: Room) -> None:
    other = await room.ann.group(room.ids[1])
    for where in (room.tea, other):
        for _ in range(40):
            await room.ann.send(where, "x" * 4000)
    cursors: dict[str, int] = {room.tea: 0, other: 0}
    seen: dict[str, list[int]] = {room.tea: [], other: []}
    rounds, more = 0, True
    while more:
        answer = await room.ben.ask("POST", "/sync", json={"cursors": cursors})
        assert len(answer.text.encode()) <= frames.MAX_ANSWER_BYTES
        for part in answer.body["conversations"]:
            seen[part["conversation_id"]] += [item["seq"] for item in part["changes"]]
            last = part["changes"][-1]["change"] if part["more"] else part["last_change"]
            cursors[part["conversation_id"]] = last
        rounds, more = rounds + 1, answer.body["more"]
    assert rounds > 1
    assert seen == {room.tea: list(range(1, 41)), other: list(range(1, 41))}


async def test_history_that_begins_with_joining_begins_there(room: Room) -> None:
    late = await room.ann.group(history="joined")
    hidden = await room.ann.send(late, "Before")
    await room.ann.post(f"/conversations/{late}/participants", {"user_ids": [room.ids[1]]})
    await room.ann.patch(f"/messages/{hidden['id']}", {"content": "Still before"})
    for cursors in ({}, {late: 0}, {late: 1}):
        told = await room.caught_up({room.tea: 0, **cursors})
        (part,) = told["conversations"]
        assert [item["seq"] for item in part["changes"]] == [2]
        assert (part["first_seq"], part["last_seq"], part["last_change"]) == (2, 2, 3)


async def test_who_asks_for_himself_alone_needs_a_token(room: Room, stage: Stage, node: Node) -> None:
    await room.ann.send(room.tea, "x")
    (eve,) = stage.people(1)
    nothing = {"conversations": [], "epoch": node.context.epoch, "more": False}
    assert await node.client(eve).post("/sync", {"cursors": {}}) == (200, {**nothing, "removed": []})
    told = await node.client(eve).post("/sync", {"cursors": {room.tea: 0}})
    assert told == (200, {**nothing, "removed": [room.tea]})
    status, refused = await node.nobody().post("/sync", {"cursors": {}})
    assert (status, refused["code"]) == (401, "unauthorized")


NO_CURSORS: list[Any] = [None, 7, "x", True, [], [{}]]
NO_CHANGE: list[Any] = [None, "1", 1.0, True, -1, 2**53, [], {}]
NO_ID = ["", "x", NOBODYS[:-1], NOBODYS.replace("-", ""), f"{NOBODYS}\n", "\x00"]
NO_LIMIT: list[Any] = [None, 0, -1, "1", 1.0, True, []]
BAD: list[tuple[Any, str, str]] = [
    ({}, "invalid_frame", "cursors"),
    *(({"cursors": bad}, "invalid_frame", "cursors") for bad in NO_CURSORS),
    *(({"cursors": {NOBODYS: bad}}, "invalid_frame", "cursors") for bad in NO_CHANGE),
    *(({"cursors": {bad: 1}}, "invalid_conversation_id", "cursors") for bad in NO_ID),
    *(({"cursors": {}, "limit": bad}, "invalid_frame", "limit") for bad in NO_LIMIT),
]


@pytest.mark.parametrize(("body", "code", "field"), BAD, ids=lambda value: ascii(value)[:40])
async def test_what_is_no_question_is_refused_by_name(room: Room, body: Any, code: str, field: str) -> None:
    status, told = await room.ben.post("/sync", body)
    assert (status, told["code"], told["field"]) == (422, code, field)


async def test_a_body_that_is_none_is_refused(room: Room) -> None:
    for text, type_, status, code in (
        ("[]", "application/json", 422, "invalid_frame"),
        ("{", "application/json", 400, "invalid_json"),
        ("", "application/json", 400, "invalid_json"),
        ('{"cursors":{}}', "text/plain", 415, "unsupported_media_type"),
    ):
        answer = await room.ben.ask("POST", "/sync", data=text.encode(), headers={"Content-Type": type_})
        assert (answer.status, answer.body["code"]) == (status, code), text
    answer = await room.ben.ask("GET", "/sync")
    assert (answer.status, answer.body["code"]) == (405, "method_not_allowed")


async def test_a_limit_above_200_is_200(room: Room) -> None:
    await room.stage.oracle.execute(
        """
        with me as (select set_config('messenger.user_id', $2, false))
        insert into messenger.messages (conversation_id, id, sender_id, content)
        select $1, gen_random_uuid(), $3, 'x' from me, generate_series(1, 202)
        """,
        room.tea, str(room.ids[0]), room.ids[0],
    )  # fmt: skip
    for more in ({}, {"limit": 200}, {"limit": 201}, {"limit": 2**53 - 1}):
        (part,) = (await room.caught_up({}, **more))["conversations"]
        assert [item["seq"] for item in part["changes"]] == list(range(3, 203))


async def numbers(client: Client, conversation_id: str) -> Any:
    status, told = await client.get(f"/conversations/{conversation_id}")
    assert status == 200
    return told["last_seq"], told["last_change"]


async def test_catching_up_reads_and_writes_nothing(room: Room) -> None:
    await room.ann.send(room.tea, "x")
    before = await numbers(room.ben, room.tea)
    (part,) = (await room.caught_up({}))["conversations"]
    assert part["unread_count"] == 1
    assert (await room.caught_up({}))["conversations"] == [part]
    assert await numbers(room.ben, room.tea) == before
