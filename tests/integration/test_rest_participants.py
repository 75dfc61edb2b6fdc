"""/conversations/{id}/participants: who is in it, who comes, goes and has which role; told live to everybody in it."""

from typing import Any

import pytest

from tests.support.node import Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, Frame, Phone, entry

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"


def seat(user_id: int, **more: Any) -> Frame:
    """A participant as a list names him."""
    shown = {"user_id": user_id, "name": f"User {user_id}", "avatar_url": None, "role": "member", "online": False}
    return {**shown, "last_seen_at": None, "last_read_seq": 0, **more}


class Room:
    """Ann, its admin, and Ben in a group, with a phone each; Cyd and Dan stand outside, Cyd with a phone."""

    def __init__(self, node: Node, ids: list[int], tea: str, phones: list[Phone]) -> None:
        self.node = node
        self.ann_id, self.ben_id, self.cyd_id, self.dan_id = ids
        self.ann, self.ben, self.cyd, self.dan = [node.client(user_id) for user_id in ids]
        self.tea = tea
        self.path = f"/conversations/{tea}/participants"
        self.phones = phones
        self.cyds_phone = phones[2]

    async def heard(self, *phones: Phone) -> list[Frame]:
        """All that these phones have heard alike."""
        first, *others = [await phone.unheard() for phone in phones]
        assert all(other == first for other in others)
        return first

    def told(self, event: str, seq: int, user_id: int, content: str, **more: Any) -> Frame:
        """A change of who takes part, by Ann unless said."""
        who = {"user_id": user_id, "name": f"User {user_id}", "role": "member", "by": self.ann_id, **more}
        data = entry(
            self.tea, seq, who["by"], content, message_type="system", metadata={"event": f"participant.{event}", **who}
        )
        return {
            "type": f"participant.{event}",
            "conversation_id": self.tea,
            "seq": seq,
            "change": seq,
            "data": data,
            **who,
        }


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ids = stage.people(4)
    tea = await node.client(ids[0]).group(ids[1])
    return Room(node, ids, tea, [await node.phone(user_id) for user_id in ids[:3]])


async def test_the_list_names_everybody_by_the_order_of_coming(room: Room) -> None:
    sent = await room.ann.send(room.tea, "hello")
    await room.ben.post(f"/messages/{sent['id']}/read")
    everybody = [
        seat(room.ann_id, role="admin", online=True),
        seat(room.ben_id, online=True, last_read_seq=1),
    ]
    assert await room.ben.get(room.path) == (200, {"participants": everybody})
    await room.ann.post(room.path, {"user_ids": [room.dan_id]})
    assert await room.ann.get(room.path) == (200, {"participants": [*everybody, seat(room.dan_id)]})


async def test_who_is_added_hears_of_the_conversation_and_then_of_his_coming(room: Room) -> None:
    await room.ann.send(room.tea, "before")
    status, told = await room.ann.post(room.path, {"user_ids": [room.cyd_id]})
    assert (status, [item["user_id"] for item in told["participants"]]) == (
        201,
        [room.ann_id, room.ben_id, room.cyd_id],
    )
    came = room.told("added", 2, room.cyd_id, f"User {room.ann_id} added User {room.cyd_id}")
    assert (await room.heard(*room.phones[:2]))[1:] == [came]
    created = await room.cyds_phone.hear("conversation.created")
    assert (created["conversation"]["my_role"], created["conversation"]["last_change"]) == ("member", 1)
    assert await room.cyds_phone.hear("participant.added") == came
    assert await room.cyds_phone.unheard() == []
    sent = await room.ann.send(room.tea, "after")
    assert (await room.cyds_phone.hear("message.new"))["data"] == sent


async def test_several_are_added_each_by_a_change_of_his_own(room: Room) -> None:
    body = {"user_ids": [room.dan_id, room.ben_id, room.cyd_id, room.dan_id], "role": "observer"}
    status, _ = await room.ann.post(room.path, body)
    assert status == 201
    heard = await room.heard(*room.phones[:2])
    # Ben is in it already.
    assert {item["user_id"] for item in heard} == {room.cyd_id, room.dan_id}
    assert [(item["type"], item["change"], item["role"]) for item in heard] == [
        ("participant.added", 1, "observer"),
        ("participant.added", 2, "observer"),
    ]
    assert (await room.ann.post(room.path, {"user_ids": [room.ben_id]}))[0] == 201
    assert await room.heard(*room.phones[:2]) == []


async def test_who_is_removed_hears_that_and_nothing_after(room: Room) -> None:
    await room.phones[1].ask("subscribe", conversation_id=room.tea)
    assert await room.ann.delete(f"{room.path}/{room.ben_id}") == (204, None)
    gone = room.told("removed", 1, room.ben_id, f"User {room.ann_id} removed User {room.ben_id}")
    assert await room.heard(*room.phones[:2]) == [gone]
    sent = await room.ann.send(room.tea, "after")
    await room.phones[0].say("typing", conversation_id=room.tea)
    assert (await room.phones[0].hear("message.new"))["data"] == sent
    assert await room.phones[1].unheard() == []
    for method, path in (("GET", room.path), ("DELETE", f"{room.path}/me")):
        assert (await room.ben.call(method, path))[1]["code"] == "not_participant"
    assert (await room.phones[1].ask("message.send", conversation_id=room.tea, content="x"))[
        "code"
    ] == "not_participant"


async def test_whoever_leaves_may_be_let_in_again(room: Room) -> None:
    await room.ann.send(room.tea, "hello")
    assert await room.ben.delete(f"{room.path}/me") == (204, None)
    left = room.told("removed", 2, room.ben_id, f"User {room.ben_id} left", by=room.ben_id)
    assert (await room.heard(*room.phones[:2]))[-1] == left
    assert (await room.ann.post(room.path, {"user_ids": [room.ben_id]}))[0] == 201
    back = room.told("added", 3, room.ben_id, f"User {room.ann_id} added User {room.ben_id}")
    await room.phones[1].hear("conversation.created")
    assert await room.phones[1].hear("participant.added") == back
    sent = await room.ann.send(room.tea, "again")
    for phone in room.phones[:2]:
        assert (await phone.hear("message.new"))["data"] == sent
        assert "participant.added" in {item["type"] for item in phone.frames}


async def test_a_role_is_changed_once_and_told(room: Room) -> None:
    status, told = await room.ann.patch(f"{room.path}/{room.ben_id}", {"role": "observer"})
    assert (status, told["participants"][1]) == (200, seat(room.ben_id, role="observer", online=True))
    changed = room.told("updated", 1, room.ben_id, f"User {room.ben_id} is now observer", role="observer")
    assert await room.heard(*room.phones[:2]) == [changed]
    assert (await room.ann.patch(f"{room.path}/{room.ben_id}", {"role": "observer"}))[0] == 200
    assert await room.heard(*room.phones[:2]) == []
    assert (await room.phones[1].ask("message.send", conversation_id=room.tea, content="x"))["code"] == "forbidden"
    assert (await room.ann.patch(f"{room.path}/{room.ben_id}", {"role": "admin"}))[0] == 200
    assert (await room.ben.patch(f"{room.path}/me", {"role": "member"}))[0] == 200
    assert [item["role"] for item in await room.heard(*room.phones[:2])] == ["admin", "member"]


async def test_only_an_admin_adds_removes_and_gives_roles(room: Room) -> None:
    for method, path, body in (
        ("POST", "", {"user_ids": [room.cyd_id]}),
        ("PATCH", f"/{room.ann_id}", {"role": "member"}),
        ("PATCH", "/me", {"role": "admin"}),
        ("DELETE", f"/{room.ann_id}", None),
    ):
        status, told = await room.ben.call(method, room.path + path, body)
        assert (status, told["code"]) == (403, "forbidden"), (method, path)
    assert await room.heard(*room.phones[:2]) == []


async def test_a_conversation_keeps_an_admin(room: Room) -> None:
    status, told = await room.ann.patch(f"{room.path}/me", {"role": "member"})
    assert (status, told["code"]) == (409, "conflict")
    await room.ann.post(room.path, {"user_ids": [room.dan_id]})
    await room.heard(*room.phones[:2])
    # The last admin leaves: who has been there longest is admin, and that is told before.
    assert await room.ann.delete(f"{room.path}/me") == (204, None)
    heard = await room.heard(*room.phones[:2])
    assert heard == [
        room.told("updated", 2, room.ben_id, f"User {room.ben_id} is now admin", role="admin"),
        room.told("removed", 3, room.ann_id, f"User {room.ann_id} left", role="admin"),
    ]
    assert (await room.ben.delete(f"{room.path}/{room.dan_id}"))[0] == 204
    assert (await room.ben.delete(f"{room.path}/me"))[0] == 204


async def test_an_observer_is_the_last_to_inherit(room: Room) -> None:
    await room.ann.patch(f"{room.path}/{room.ben_id}", {"role": "observer"})
    await room.ann.post(room.path, {"user_ids": [room.dan_id]})
    assert (await room.ann.delete(f"{room.path}/me"))[0] == 204
    _, told = await room.dan.get(room.path)
    assert [(item["user_id"], item["role"]) for item in told["participants"]] == [
        (room.ben_id, "observer"),
        (room.dan_id, "admin"),
    ]


@pytest.mark.parametrize("named", ["0", "07", "x", "9007199254740992", "%00", "..%2f", "12345678"])
async def test_somebody_who_is_not_in_it_is_not_found(room: Room, named: str) -> None:
    for method, body in (("PATCH", {"role": "member"}), ("DELETE", None)):
        status, told = await room.ann.call(method, f"{room.path}/{named}", body)
        assert (status, told["code"], told["message"]) == (
            404,
            "user_not_found",
            "Not a participant of this conversation",
        )


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "", {}, "user_ids"),
        ("POST", "", {"user_ids": []}, "user_ids"),
        ("POST", "", {"user_ids": ["1"]}, "user_ids"),
        ("POST", "", {"user_ids": [0]}, "user_ids"),
        ("POST", "", {"user_ids": [1], "role": "owner"}, "role"),
        ("POST", "", {"user_ids": [1], "role": None}, "role"),
        ("PATCH", "/me", {}, "role"),
        ("PATCH", "/me", {"role": 7}, "role"),
        ("PATCH", "/me", {"role": "Admin"}, "role"),
    ],
    ids=str,
)
async def test_bad_bodies_are_refused_by_name(room: Room, method: str, path: str, body: Frame, field: str) -> None:
    status, told = await room.ann.call(method, room.path + path, body)
    assert (status, told["code"], told["field"]) == (422, "invalid_frame", field)


async def test_a_direct_conversation_has_two_people_and_no_roles(room: Room) -> None:
    _, made = await room.ann.post("/conversations", {"type": "direct", "participant_ids": [room.ben_id]})
    path = f"/conversations/{made['id']}/participants"
    for method, more, body in (
        ("POST", "", {"user_ids": [room.cyd_id]}),
        ("PATCH", f"/{room.ben_id}", {"role": "admin"}),
        ("DELETE", f"/{room.ben_id}", None),
    ):
        status, told = await room.ann.call(method, path + more, body)
        assert (status, told["code"]) == (403, "forbidden")
    assert (await room.ann.delete(f"{path}/me"))[0] == 204


async def test_unknown_people_are_refused_where_that_is_set(cluster: Cluster, oracle: Any) -> None:
    node = await cluster.node(unknown_users="refuse")
    await oracle.execute("insert into messenger.users (id) values (1), (2)")
    tea = await node.client(1).group(2)
    status, told = await node.client(1).post(f"/conversations/{tea}/participants", {"user_ids": [3]})
    assert (status, told["code"]) == (404, "user_not_found")
    assert await oracle.fetchval("select count(*) from messenger.users") == 2


async def test_a_name_is_what_the_newest_token_says(room: Room) -> None:
    ann = room.ann_id
    picture = "https://example.org/a.png"
    for claims in ({"name": "Ann", "picture": picture, "iat": 2000}, {"name": "Old", "iat": 1000}, {"iat": 3000}):
        assert (await room.node.client(ann, **claims).get("/users/me"))[0] == 200
    _, told = await room.ben.get(room.path)
    assert told["participants"][0] == seat(ann, name="Ann", avatar_url=picture, role="admin", online=True)
    assert told["participants"][0]["last_seen_at"] != A_TIME
