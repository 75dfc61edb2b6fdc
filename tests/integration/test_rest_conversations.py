"""/conversations: made, listed, shown, changed, deleted; and what the phones of those in it hear."""

from typing import Any

import pytest

from tests.support.node import Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_UUID7, Client, Frame, Phone, entry, group

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"


def problem(status: int, title: str, code: str, message: str, **more: Any) -> tuple[int, Frame]:
    told = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": message,
        "code": code,
        "message": message,
    }
    return status, {**told, **more}


NOT_IN = problem(404, "Not Found", "not_participant", "Not a participant of this conversation")


def shared(conversation: Frame) -> Frame:
    """As everybody sees it."""
    return {name: value for name, value in conversation.items() if name != "my_role"}


async def test_a_conversation_is_made_and_everybody_hears_of_it(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    one, two = await node.phone(ann), await node.phone(ben)
    body = {
        "type": "group",
        "title": "Tea",
        "participant_ids": [ben, ann, ben],
        "metadata": {"a": [1]},
        "history": "joined",
    }
    status, told = await node.client(ann).post("/conversations", body)
    expected = group(A_UUID7, ann, metadata={"a": [1]}, history="joined", participant_count=2)
    assert (status, told) == (201, expected)
    for phone, role in ((one, "admin"), (two, "member")):
        assert await phone.hear("conversation.created") == {
            "type": "conversation.created",
            "conversation_id": told["id"],
            "conversation": {**told, "my_role": role},
        }
        assert await phone.unheard() == []


async def test_what_is_not_said_has_its_default(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    status, told = await node.client(ann).post("/conversations", {"type": "announcement", "participant_ids": []})
    assert (status, told) == (201, group(A_UUID7, ann, type="announcement", title=None))


async def test_a_direct_conversation_is_one_for_each_pair(stage: Stage, node: Node) -> None:
    ann, ben, cyd = stage.people(3)
    status, first = await node.client(ann).post("/conversations", {"type": "direct", "participant_ids": [ben]})
    assert (status, first) == (201, group(A_UUID7, ann, type="direct", title=None, participant_count=2))
    again = await node.client(ann).post(
        "/conversations", {"type": "direct", "participant_ids": [ann, ben], "title": "x"}
    )
    assert again == (200, first)
    from_the_other_side = await node.client(ben).post("/conversations", {"type": "direct", "participant_ids": [ann]})
    assert from_the_other_side == (200, {**first, "my_role": "member"})
    status, other = await node.client(ann).post("/conversations", {"type": "direct", "participant_ids": [cyd]})
    assert (status, other["id"] == first["id"]) == (201, False)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "direct", "participant_ids": []}, "participant_ids"),
        ({"type": "direct", "participant_ids": ["ME"]}, "participant_ids"),
        ({"type": "direct", "participant_ids": [1, 2, 3]}, "participant_ids"),
        ({"type": "room", "participant_ids": [1]}, "type"),
        ({"type": "Group", "participant_ids": [1]}, "type"),
        ({"type": None, "participant_ids": [1]}, "type"),
        ({"participant_ids": [1]}, "type"),
        ({"type": "group"}, "participant_ids"),
        ({"type": "group", "participant_ids": None}, "participant_ids"),
        ({"type": "group", "participant_ids": [0]}, "participant_ids"),
        ({"type": "group", "participant_ids": ["1"]}, "participant_ids"),
        ({"type": "group", "participant_ids": [2**53]}, "participant_ids"),
        ({"type": "group", "participant_ids": list(range(1, 1002))}, "participant_ids"),
        ({"type": "group", "participant_ids": [], "title": 7}, "title"),
        ({"type": "group", "participant_ids": [], "title": "x" * 201}, "title"),
        ({"type": "group", "participant_ids": [], "title": "\x00"}, "title"),
        ({"type": "group", "participant_ids": [], "title": "\ud800"}, "title"),
        ({"type": "group", "participant_ids": [], "metadata": []}, "metadata"),
        ({"type": "group", "participant_ids": [], "metadata": {"\x00": 1}}, "metadata"),
        ({"type": "group", "participant_ids": [], "history": "none"}, "history"),
    ],
    ids=lambda value: str(value)[:60].encode("ascii", "backslashreplace").decode(),
)
async def test_what_makes_no_conversation_is_refused_by_name(stage: Stage, node: Node, body: Frame, field: str) -> None:
    (ann,) = stage.people(1)
    if body.get("participant_ids") == ["ME"]:
        body = {**body, "participant_ids": [ann]}
    status, told = await node.client(ann).post("/conversations", body)
    assert (status, told["code"], told["field"]) == (422, "invalid_frame", field)
    assert (await node.client(ann).get("/conversations"))[1]["conversations"] == []


async def test_who_may_start_and_with_whom_is_a_setting(cluster: Cluster, oracle: Any) -> None:
    closed = await cluster.node(who_starts="service")
    status, told = await closed.client(1).post("/conversations", {"type": "group", "participant_ids": []})
    assert (status, told["code"]) == (403, "forbidden")
    known = await cluster.node(unknown_users="refuse")
    for body in ({"type": "group", "participant_ids": [7]}, {"type": "direct", "participant_ids": [7]}):
        assert await known.client(1).post("/conversations", body) == problem(
            404, "Not Found", "user_not_found", "User not found"
        )
    assert await oracle.fetchval("select count(*) from messenger.conversations") == 0
    await oracle.execute("insert into messenger.users (id) values (7)")
    assert (await known.client(1).post("/conversations", body))[0] == 201


async def test_one_is_shown_as_its_participant_sees_it(stage: Stage, node: Node) -> None:
    ann, ben, eve = stage.people(3)
    tea = await node.client(ann).group(ben)
    await node.client(ann).send(tea, "hello")
    expected = group(tea, ann, participant_count=2, last_seq=1, last_change=1)
    assert await node.client(ann).get(f"/conversations/{tea}") == (200, expected)
    assert await node.client(ben).get(f"/conversations/{tea.upper()}") == (200, {**expected, "my_role": "member"})
    for conversation_id in (tea, NOBODYS):
        assert await node.client(eve).get(f"/conversations/{conversation_id}") == NOT_IN


@pytest.mark.parametrize("named", ["x", "7", NOBODYS[:-1], NOBODYS.replace("-", ""), NOBODYS + "%00", "..%2f"])
async def test_an_id_that_is_none_is_told_so_on_every_path(stage: Stage, node: Node, named: str) -> None:
    (ann,) = stage.people(1)
    client, body = node.client(ann), {"content": "x", "title": "x", "user_ids": [1], "role": "admin"}
    invalid = problem(
        422,
        "Unprocessable Entity",
        "invalid_conversation_id",
        "Invalid conversation_id format",
        field="conversation_id",
    )
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/messages"),
        ("POST", "/messages"),
        ("GET", "/participants"),
        ("POST", "/participants"),
        ("PATCH", "/participants/1"),
        ("DELETE", "/participants/me"),
    ):
        assert await client.call(method, f"/conversations/{named}{path}", body) == invalid, (method, path)


class Room:
    """Ann's group with Ben, and a phone of each."""

    def __init__(self, ann: Client, ben: Client, tea: str, phones: tuple[Phone, Phone]) -> None:
        self.ann = ann
        self.ben = ben
        self.tea = tea
        self.path = f"/conversations/{tea}"
        self.phones = phones

    async def heard(self, type_: str) -> Frame:
        """The event that both have heard alike, and nothing beside it."""
        first, second = [await phone.hear(type_) for phone in self.phones]
        assert first == second
        assert [await phone.unheard() for phone in self.phones] == [[], []]
        return first


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ann, ben = stage.people(2)
    tea = await node.client(ann, name="Ann").group(ben)
    phones = (await node.phone(ann), await node.phone(ben))
    return Room(node.client(ann), node.client(ben), tea, phones)


async def test_a_new_title_is_one_change_one_message_and_one_event(room: Room) -> None:
    ann = room.phones[0].user_id
    status, told = await room.ann.patch(room.path, {"title": "Milk", "metadata": {"b": 2}})
    expected = group(room.tea, ann, title="Milk", metadata={"b": 2}, participant_count=2, last_seq=1, last_change=1)
    assert (status, told) == (200, expected)
    assert told["updated_at"] > told["created_at"]
    metadata = {"event": "conversation.updated", "by": ann, "title": "Milk"}
    assert await room.heard("conversation.updated") == {
        "type": "conversation.updated",
        "conversation_id": room.tea,
        "conversation": shared(told),
        "seq": 1,
        "change": 1,
        "data": entry(room.tea, 1, ann, "Ann changed the title to Milk", message_type="system", metadata=metadata),
    }


async def test_a_title_may_go_and_metadata_changes_alone(room: Room) -> None:
    status, told = await room.ann.patch(room.path, {"title": None})
    assert (status, told["title"], told["metadata"]) == (200, None, {})
    assert (await room.heard("conversation.updated"))["data"]["content"] == "Ann removed the title"
    status, told = await room.ann.patch(room.path, {"metadata": {"a": 1}})
    assert (status, told["title"], told["metadata"], told["last_change"]) == (200, None, {"a": 1}, 2)
    assert (await room.heard("conversation.updated"))["data"]["content"] == "Ann changed the conversation"


@pytest.mark.parametrize(
    "body", [{}, {"type": "direct"}, {"title": 7}, {"title": "x" * 201}, {"metadata": None}], ids=str
)
async def test_a_change_of_nothing_or_to_nonsense_is_refused(room: Room, body: Frame) -> None:
    status, told = await room.ann.patch(room.path, body)
    assert (status, told["code"]) == (422, "invalid_frame")
    assert [await phone.unheard() for phone in room.phones] == [[], []]


async def test_only_an_admin_changes_or_deletes(room: Room, stage: Stage, node: Node) -> None:
    (eve,) = stage.people(1)
    for method, body in (("PATCH", {"title": "x"}), ("DELETE", None)):
        status, told = await room.ben.call(method, room.path, body)
        assert (status, told["code"]) == (403, "forbidden")
        for path in (room.path, f"/conversations/{NOBODYS}"):
            assert await node.client(eve).call(method, path, body) == NOT_IN
    assert (await room.ann.get(room.path))[1]["last_change"] == 0


async def test_a_deleted_conversation_is_gone_for_everybody(room: Room, stage: Stage) -> None:
    await room.ann.send(room.tea, "hello")
    for phone in room.phones:
        await phone.ask("subscribe", conversation_id=room.tea)
        await phone.hear("message.new")
    assert await room.ann.delete(room.path) == (204, None)
    assert await room.heard("conversation.deleted") == {
        "type": "conversation.deleted",
        "conversation_id": room.tea,
        "conversation": None,
    }
    for client in (room.ann, room.ben):
        assert await client.get(room.path) == NOT_IN
        assert await client.delete(room.path) == NOT_IN
        assert (await client.get("/conversations"))[1]["conversations"] == []
    assert (await room.phones[1].ask("message.send", conversation_id=room.tea, content="x"))[
        "code"
    ] == "not_participant"
    assert await stage.oracle.fetch("select from messenger.messages where conversation_id = $1", room.tea) == []


async def test_deleting_a_direct_conversation_is_leaving_it_and_making_it_is_coming_back(
    stage: Stage, node: Node
) -> None:
    ann, ben = stage.people(2)
    one, two = await node.phone(ann), await node.phone(ben)
    _, made = await node.client(ann).post("/conversations", {"type": "direct", "participant_ids": [ben]})
    path = f"/conversations/{made['id']}"
    for phone in (one, two):
        await phone.hear("conversation.created")
    await node.client(ann).send(made["id"], "hello")
    assert await node.client(ben).delete(path) == (204, None)
    assert await node.client(ben).get(path) == NOT_IN
    for phone in (one, two):
        gone = await phone.hear("participant.removed")
        assert (gone["user_id"], gone["by"], gone["change"]) == (ben, ben, 2)
    assert (await node.client(ann).get(path))[1]["participant_count"] == 1
    await two.unheard()
    status, back = await node.client(ben).post("/conversations", {"type": "direct", "participant_ids": [ann]})
    assert (status, back["id"], back["last_change"], back["participant_count"]) == (200, made["id"], 3, 2)
    created = await two.hear("conversation.created")
    assert created["conversation"] == {**back, "last_seq": 2, "last_change": 2}
    for phone in (one, two):
        came = await phone.hear("participant.added")
        assert (came["user_id"], came["by"], came["change"], came["role"]) == (ben, ben, 3, "member")
    history = (await node.client(ben).get(f"{path}/messages"))[1]["messages"]
    assert [item["seq"] for item in history] == [1, 2, 3]
