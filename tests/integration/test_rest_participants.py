"""Who takes part, over REST: let in, given a role, removed, gone and back; and what phones hear of it."""

from http import HTTPStatus
from typing import Any

import pytest

from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, A_UUID7, Client, Frame, Phone, entry

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"


def problem(status: int, code: str, message: str, **more: Any) -> tuple[int, Frame]:
    title = HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": status, "detail": message, "code": code}
    return status, {**told, "message": message, **more}


NOT_IN = problem(404, "not_participant", "Not a participant of this conversation")
NO_SUCH = problem(404, "user_not_found", "Not a participant of this conversation")


def seat(user_id: int, role: str = "member", **more: Any) -> Frame:
    told = {"user_id": user_id, "name": f"User {user_id}", "avatar_url": None, "role": role, "online": False}
    return {**told, "last_seen_at": None, "last_read_seq": 0, **more}


def moved(event: str, conversation_id: str, number: int, user_id: int, role: str, by: int, content: str) -> Frame:
    """The event of somebody's coming, going or new role, of people who have no name of their own."""
    named = {"user_id": user_id, "name": f"User {user_id}", "role": role, "by": by}
    system = {"message_type": "system", "metadata": {"event": event, **named}}
    numbers = {"conversation_id": conversation_id, "seq": number, "change": number}
    return {"type": event, **numbers, **named, "data": entry(conversation_id, number, by, content, **system)}


class Room:
    """Ann, its admin, and Ben in a group with a phone each; Dee and Eve have one too and are strangers."""

    def __init__(self, stage: Stage, node: Node, ids: list[int], tea: str, phones: list[Phone]) -> None:
        self.stage = stage
        self.node = node
        self.ids = ids
        self.tea = tea
        self.path = f"/conversations/{tea}/participants"
        self.ann, self.ben, self.dee, self.eve = (node.client(user) for user in ids)
        self.phones = phones

    async def heard(self, expected: Frame, *phones: int) -> None:
        """Assert that these phones hear exactly this next of its type."""
        for number in phones:
            assert await self.phones[number].hear(expected["type"]) == expected

    async def nothing_more(self) -> None:
        for phone in self.phones:
            assert await phone.unheard() == []

    async def roles(self, client: Client | None = None) -> dict[int, str]:
        status, told = await (client or self.ann).get(self.path)
        assert status == 200, told
        return {item["user_id"]: item["role"] for item in told["participants"]}


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ids = stage.people(4)
    tea = await node.client(ids[0]).group(ids[1])
    return Room(stage, node, ids, tea, [await node.phone(user) for user in ids])


async def test_the_list_says_exactly_this(stage: Stage, node: Node) -> None:
    ann, ben, cyd = stage.people(3)
    tea = await node.client(ann, name="Ann", picture="https://example.org/a.png").group(ben, cyd)
    message = await node.client(ann).send(tea, "x")
    await node.client(cyd).post(f"/messages/{message['id']}/read")
    await stage.oracle.execute("update messenger.users set last_seen_at = '2024-02-29' where id = $1", ben)
    await node.phone(cyd)
    expected = [
        seat(ann, "admin", name="Ann", avatar_url="https://example.org/a.png"),
        seat(ben, last_seen_at="2024-02-29T00:00:00Z"),
        seat(cyd, online=True, last_read_seq=1),
    ]
    for user in (ann, ben, cyd):
        told = await node.client(user).get(f"/conversations/{tea}/participants")
        assert told == (200, {"participants": expected})


async def test_an_admin_lets_people_in_and_everybody_hears_it(room: Room) -> None:
    ann, ben, dee, eve = room.ids
    status, told = await room.ann.post(room.path, {"user_ids": [eve, dee, ben, eve], "role": "observer"})
    seats = [seat(ann, "admin", online=True), seat(ben, online=True)]
    seats += [seat(user, "observer", online=True) for user in (dee, eve)]
    assert (status, told) == (201, {"participants": seats})
    both = [
        moved("participant.added", room.tea, number, user, "observer", ann, f"User {ann} added User {user}")
        for number, user in ((1, dee), (2, eve))
    ]
    await room.heard(both[0], 0, 1, 2)
    await room.heard(both[1], 0, 1, 2, 3)
    for number, before in ((2, 0), (3, 1)):
        created = await room.phones[number].hear("conversation.created")
        assert created == {
            "type": "conversation.created",
            "conversation_id": room.tea,
            "conversation": {
                "id": A_UUID7, "type": "group", "title": "Tea", "metadata": {}, "created_by": ann, "created_at": A_TIME,
                "updated_at": A_TIME, "first_seq": 1, "last_seq": before, "last_change": before, "history": "all",
                "participant_count": 4, "my_role": "observer",
            },
        }  # fmt: skip
        types = [frame["type"] for frame in room.phones[number].frames]
        assert types.index("conversation.created") < types.index("participant.added")
    await room.nothing_more()


async def test_who_is_in_already_is_passed_over(room: Room) -> None:
    ann, ben, *_ = room.ids
    status, told = await room.ann.post(room.path, {"user_ids": [ben, ann], "role": "observer"})
    assert (status, told) == (201, {"participants": [seat(ann, "admin", online=True), seat(ben, online=True)]})
    await room.nothing_more()
    assert await room.stage.log_of(room.tea) == []


async def test_with_history_joined_newcomers_see_nothing_from_before(room: Room) -> None:
    ann, _, dee, _ = room.ids
    late = await room.ann.group(history="joined")
    await room.ann.send(late, "a secret")
    assert (await room.ann.post(f"/conversations/{late}/participants", {"user_ids": [dee]}))[0] == 201
    added = moved("participant.added", late, 2, dee, "member", ann, f"User {ann} added User {dee}")
    assert await room.phones[2].hear("participant.added") == added
    _, page = await room.dee.get(f"/conversations/{late}/messages?after_seq=0")
    assert page == {"conversation_id": late, "messages": [added["data"]], "more": False}
    assert (await room.dee.get(f"/conversations/{late}"))[1]["first_seq"] == 2


async def test_only_admins_change_who_takes_part(room: Room) -> None:
    ann, ben, dee, _ = room.ids
    for role in ("member", "observer"):
        await room.ann.patch(f"{room.path}/{ben}", {"role": role})
        told = await room.ben.post(room.path, {"user_ids": [dee]})
        assert told == problem(403, "forbidden", "Only admins can add participants")
        told = await room.ben.patch(f"{room.path}/me", {"role": "admin"})
        assert told == problem(403, "forbidden", "Only admins can change roles")
        told = await room.ben.delete(f"{room.path}/{ann}")
        assert told == problem(403, "forbidden", "Only admins can remove participants")
    assert await room.roles() == {ann: "admin", ben: "observer"}


async def test_a_stranger_hears_the_same_of_a_foreign_conversation_as_of_none(room: Room) -> None:
    ann, _, dee, _ = room.ids
    for path in (room.path, f"/conversations/{NOBODYS}/participants"):
        assert await room.dee.get(path) == NOT_IN
        assert await room.dee.post(path, {"user_ids": [dee]}) == NOT_IN
        assert await room.dee.patch(f"{path}/{ann}", {"role": "member"}) == NOT_IN
        assert await room.dee.delete(f"{path}/{ann}") == NOT_IN
        assert await room.dee.delete(f"{path}/me") == NOT_IN
    await room.nothing_more()


async def test_a_role_is_given_and_everybody_hears_it(room: Room) -> None:
    ann, ben, dee, _ = room.ids
    for number, role in enumerate(("observer", "admin", "member"), start=1):
        status, told = await room.ann.patch(f"{room.path}/{ben}", {"role": role})
        assert (status, told) == (
            200,
            {"participants": [seat(ann, "admin", online=True), seat(ben, role, online=True)]},
        )
        event = moved("participant.updated", room.tea, number, ben, role, ann, f"User {ben} is now {role}")
        await room.heard(event, 0, 1)
        # The same again changes nothing.
        assert await room.ann.patch(f"{room.path}/{ben}", {"role": role}) == (200, told)
    await room.nothing_more()
    for named in (dee, 2**53 - 1, 0, "07", "x", "%00"):
        assert await room.ann.patch(f"{room.path}/{named}", {"role": "member"}) == NO_SUCH
        assert await room.ann.delete(f"{room.path}/{named}") == NO_SUCH
    assert await room.stage.log_of(room.tea) == [(1, 1), (2, 2), (3, 3)]


async def test_the_last_admin_cannot_demote_himself(room: Room) -> None:
    ann, ben, *_ = room.ids
    refusal = problem(409, "conflict", "A conversation keeps at least one admin")
    for named in ("me", ann):
        assert await room.ann.patch(f"{room.path}/{named}", {"role": "member"}) == refusal
    await room.nothing_more()
    await room.ann.patch(f"{room.path}/{ben}", {"role": "admin"})
    assert (await room.ann.patch(f"{room.path}/me", {"role": "observer"}))[0] == 200
    assert await room.roles() == {ann: "observer", ben: "admin"}


async def test_who_is_removed_hears_that_as_the_last_thing(room: Room) -> None:
    ann, ben, *_ = room.ids
    assert await room.ann.delete(f"{room.path}/{ben}") == (204, None)
    event = moved("participant.removed", room.tea, 1, ben, "member", ann, f"User {ann} removed User {ben}")
    await room.heard(event, 0, 1)
    await room.ann.send(room.tea, "He is gone")
    await room.phones[0].hear("message.new")
    await room.nothing_more()
    assert await room.ben.get(room.path) == NOT_IN
    assert await room.ann.delete(f"{room.path}/{ben}") == NO_SUCH
    assert await room.roles() == {ann: "admin"}


async def test_one_leaves_as_me_or_by_ones_id(room: Room) -> None:
    ann, ben, dee, _ = room.ids
    await room.ann.post(room.path, {"user_ids": [dee]})
    await room.heard(
        moved("participant.added", room.tea, 1, dee, "member", ann, f"User {ann} added User {dee}"), 0, 1, 2
    )
    assert await room.ben.delete(f"{room.path}/me") == (204, None)
    await room.heard(moved("participant.removed", room.tea, 2, ben, "member", ben, f"User {ben} left"), 0, 1, 2)
    assert await room.dee.delete(f"{room.path}/{dee}") == (204, None)
    await room.heard(moved("participant.removed", room.tea, 3, dee, "member", dee, f"User {dee} left"), 0, 2)
    assert await room.ben.delete(f"{room.path}/me") == NOT_IN
    assert await room.roles() == {ann: "admin"}


async def test_the_last_admin_hands_over_to_the_longest_member(room: Room) -> None:
    ann, ben, dee, eve = room.ids
    await room.ann.patch(f"{room.path}/{ben}", {"role": "observer"})  # longest there, but no member
    await room.ann.post(room.path, {"user_ids": [eve]})
    await room.ann.post(room.path, {"user_ids": [dee]})
    assert await room.ann.delete(f"{room.path}/me") == (204, None)
    heir = moved("participant.updated", room.tea, 4, eve, "admin", ann, f"User {eve} is now admin")
    gone = moved("participant.removed", room.tea, 5, ann, "admin", ann, f"User {ann} left")
    for number in range(4):
        assert (await room.phones[number].durable(room.tea, 5))[-2:] == [heir, gone]
    assert await room.roles(room.eve) == {ben: "observer", eve: "admin", dee: "member"}
    assert (await room.eve.patch(f"/conversations/{room.tea}", {"title": "Mine"}))[0] == 200


async def test_nobody_is_left_to_hand_over_to(room: Room) -> None:
    alone = await room.ann.group()
    assert await room.ann.delete(f"/conversations/{alone}/participants/me") == (204, None)
    assert await room.ann.get(f"/conversations/{alone}") == NOT_IN


@pytest.mark.parametrize("who", ["who left", "the other"])
async def test_a_direct_conversation_is_left_and_come_back_to(room: Room, who: str) -> None:
    ann, ben, *_ = room.ids
    _, made = await room.ann.post("/conversations", {"type": "direct", "participant_ids": [ben]})
    pair, path = made["id"], f"/conversations/{made['id']}"
    # Who leaves before his phone has heard of it at all hears nothing of it.
    for phone in room.phones[:2]:
        await phone.hear("conversation.created")
    before = await room.ann.send(pair, "Before")
    assert await room.ben.delete(f"{path}/participants/me") == (204, None)
    left = moved("participant.removed", pair, 2, ben, "member", ben, f"User {ben} left")
    await room.heard(left, 0, 1)
    assert await room.ben.get(path) == NOT_IN
    by, client, text = (ben, room.ben, f"User {ben} joined")
    if who == "the other":
        by, client, text = (ann, room.ann, f"User {ann} added User {ben}")
    status, again = await client.post("/conversations", {"type": "direct", "participant_ids": [ann, ben]})
    role = {"my_role": "member" if by == ben else "admin"}
    assert (status, again) == (200, {**made, **role, "last_seq": 3, "last_change": 3})
    added = moved("participant.added", pair, 3, ben, "member", by, text)
    await room.heard(added, 0, 1)
    created = await room.phones[1].hear("conversation.created")
    assert created["conversation"] == {**made, "my_role": "member", "last_seq": 2, "last_change": 2}
    _, page = await room.ben.get(f"{path}/messages")
    assert page["messages"] == [before, left["data"], added["data"]]


async def test_a_direct_conversation_is_of_two_and_has_no_roles(room: Room) -> None:
    _, ben, dee, _ = room.ids
    _, made = await room.ann.post("/conversations", {"type": "direct", "participant_ids": [ben]})
    path = f"/conversations/{made['id']}/participants"
    told = await room.ann.post(path, {"user_ids": [dee]})
    assert told == problem(403, "forbidden", "A direct conversation has two participants")
    told = await room.ann.patch(f"{path}/{ben}", {"role": "admin"})
    assert told == problem(403, "forbidden", "A direct conversation has no roles to change")
    told = await room.ann.delete(f"{path}/{ben}")
    assert told == problem(403, "forbidden", "Nobody can be removed from a direct conversation")


async def test_wrong_bodies_are_told_with_the_field(room: Room) -> None:
    for body, field in (({}, "user_ids"), ({"user_ids": []}, "user_ids"), ({"user_ids": [1], "role": "owner"}, "role")):
        status, told = await room.ann.post(room.path, body)
        assert (status, told["code"], told["field"]) == (422, "invalid_frame", field)
    for role in (None, "", "owner", 7):
        status, told = await room.ann.patch(f"{room.path}/{room.ids[1]}", {"role": role})
        assert (status, told["code"], told["field"]) == (422, "invalid_frame", "role")
    await room.nothing_more()
