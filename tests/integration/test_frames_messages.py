"""A message's life by frames: sent, sent again, edited, deleted. What the sender is answered, and what everybody hears."""

from typing import Any

import pytest

from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, A_UUID7, Phone, entry

stage = stage_with(max_content_chars=20)
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"
NOT_FOUND = {"type": "error", "code": "message_not_found", "message": "Message not found"}


def error(code: str, message: str, **more: Any) -> dict[str, Any]:
    return {"type": "error", "code": code, "message": message, **more}


class Room:
    """Ann, its admin, and Ben in a group, with a device each; neither has subscribed."""

    def __init__(self, stage: Stage, node: Node, tea: str, ann: Phone, ben: Phone) -> None:
        self.stage = stage
        self.node = node
        self.tea = tea
        self.ann = ann
        self.ben = ben

    async def sent(self, content: str = "Milk?", **more: Any) -> str:
        """The id of a message of Ann's that both have heard."""
        answer = await self.ann.ask("message.send", conversation_id=self.tea, content=content, **more)
        assert answer["type"] == "message.sent", answer
        for phone in (self.ann, self.ben):
            await phone.hear("message.new")
        return str(answer["message_id"])

    async def heard(self, type_: str) -> dict[str, Any]:
        """The event that both have heard alike."""
        heard = await self.ben.hear(type_)
        assert await self.ann.hear(type_) == heard
        return heard


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group(ben)
    return Room(stage, node, tea, await node.phone(ann), await node.phone(ben))


async def test_message_sent_says_exactly_this_and_everybody_hears_the_same(room: Room) -> None:
    answer = await room.ann.answer("message.send", conversation_id=room.tea, content="Milk?")
    data = entry(room.tea, 1, room.ann.user_id, "Milk?")
    assert answer == {
        "type": "message.sent",
        "message_id": answer["data"]["id"],
        "conversation_id": room.tea,
        "seq": 1,
        "change": 1,
        "data": data,
    }
    assert await room.heard("message.new") == {
        "type": "message.new",
        "conversation_id": room.tea,
        "seq": 1,
        "change": 1,
        "data": answer["data"],
    }


async def test_every_optional_field_comes_back_as_it_was_sent(room: Room) -> None:
    first = await room.sent()
    said = {
        "message_type": "image",
        "client_id": "c-1",
        "reply_to": first,
        "mentions": [room.ben.user_id, room.ann.user_id],
        "attachments": [
            {"url": "https://example.org/a.png", "name": "Ä.png", "size": 2**40, "mime_type": "image/png"},
            {"url": "/files/1"},
        ],
        "metadata": {"deep": {"er": [1, 2.5, True, None, "é👍🏽\u2028"]}, "": -(2**63), "big": 2**64 - 1},
    }
    answer = await room.ann.answer("message.send", conversation_id=room.tea, content="é👍🏽\u202e\n", **said)
    assert answer["client_id"] == "c-1"
    assert answer["data"] == entry(room.tea, 2, room.ann.user_id, "é👍🏽\u202e\n", **said)
    assert (await room.heard("message.new"))["data"] == answer["data"]
    page = await room.ben.ask("history", conversation_id=room.tea, limit=1)
    assert page["messages"] == [answer["data"]]


async def test_null_stands_for_no_client_id_and_no_reply(room: Room) -> None:
    answer = await room.ann.ask(
        "message.send", conversation_id=room.tea, content="x", client_id=None, reply_to=None, unknown={"field": 1}
    )
    assert answer["data"] == entry(room.tea, 1, room.ann.user_id, "x")
    assert "client_id" not in answer


async def test_mentions_keep_participants_once_and_in_order(room: Room) -> None:
    (eve,) = room.stage.people(1)
    wanted = [room.ben.user_id, eve, 2**53 - 1, room.ann.user_id, room.ben.user_id]
    answer = await room.ann.ask("message.send", conversation_id=room.tea, content="x", mentions=wanted)
    assert answer["data"]["mentions"] == [room.ben.user_id, room.ann.user_id]


async def test_sent_again_a_message_is_answered_as_first_and_nothing_is_new(room: Room) -> None:
    said = {"conversation_id": room.tea, "content": "Milk?", "client_id": "x" * 64, "metadata": {"a": 1, "b": [2]}}
    first = await room.ann.answer("message.send", **said)
    await room.heard("message.new")
    # From another device, spelled in another order, with the defaults said aloud: the same request.
    again = await room.node.phone(room.ann.user_id)
    said = {**said, "metadata": {"b": [2], "a": 1}, "message_type": "text", "mentions": [], "attachments": []}
    assert await again.answer("message.send", **said, reply_to=None) == {**first, "duplicate": True}
    for phone in (room.ann, room.ben, again):
        assert await phone.unheard("message.new") == []
    assert await room.stage.log_of(room.tea) == [(1, 1)]


@pytest.mark.parametrize(
    "other",
    [
        {"content": "Tea?"},
        {"message_type": "image"},
        {"mentions": [1]},
        {"attachments": [{"url": "/a"}]},
        {"metadata": {"a": 1}},
        {"reply_to": NOBODYS},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_a_client_id_used_for_another_request_is_a_conflict(room: Room, other: dict[str, Any]) -> None:
    said = {"conversation_id": room.tea, "content": "Milk?", "client_id": "c"}
    await room.ann.ask("message.send", **said)
    assert await room.ann.answer("message.send", **{**said, **other}) == error(
        "client_id_conflict", "client_id was used for another message"
    )
    assert await room.stage.log_of(room.tea) == [(1, 1)]


async def test_an_edit_or_deletion_in_between_changes_nothing_about_the_original_request(room: Room) -> None:
    said = {"conversation_id": room.tea, "content": "Milk?", "client_id": "c"}
    message_id = (await room.ann.ask("message.send", **said))["message_id"]
    await room.ann.ask("message.edit", message_id=message_id, content="Tea?")
    again = await room.ann.ask("message.send", **said)
    assert (again["duplicate"], again["data"]["content"]) == (True, "Tea?")
    assert (await room.ann.ask("message.send", **{**said, "content": "Tea?"}))["code"] == "client_id_conflict"
    await room.ann.ask("message.delete", message_id=message_id)
    again = await room.ann.ask("message.send", **said)
    assert (again["duplicate"], again["message_id"], again["data"]["content"]) == (True, message_id, None)
    assert await room.stage.log_of(room.tea) == [(1, 3)]


async def test_a_client_id_is_ones_own_in_one_conversation(room: Room) -> None:
    milk = await room.node.client(room.ann.user_id).group(room.ben.user_id)
    for phone, where in ((room.ann, room.tea), (room.ben, room.tea), (room.ann, milk)):
        answer = await phone.ask("message.send", conversation_id=where, content=f"{phone.user_id}", client_id="c")
        assert (answer["type"], "duplicate" in answer) == ("message.sent", False)


async def test_a_reply_to_what_is_not_in_the_conversation_is_not_found(room: Room) -> None:
    milk = await room.node.client(room.ann.user_id).group()
    elsewhere = (await room.ann.ask("message.send", conversation_id=milk, content="x"))["message_id"]
    for reply_to in (NOBODYS, elsewhere):
        answer = await room.ann.answer("message.send", conversation_id=room.tea, content="x", reply_to=reply_to)
        assert answer == NOT_FOUND
    assert await room.stage.log_of(room.tea) == []


async def test_nobody_but_the_daemon_writes_system_messages(room: Room) -> None:
    answer = await room.ann.ask("message.send", conversation_id=room.tea, content="x", message_type="system")
    assert (answer["code"], await room.stage.log_of(room.tea)) == ("forbidden", [])
    for kind in ("file", "question", "x" * 64, "System"):
        answer = await room.ann.ask("message.send", conversation_id=room.tea, content="x", message_type=kind)
        assert answer["data"]["message_type"] == kind


async def test_content_has_its_limits(room: Room) -> None:
    too_long = error("content_too_long", "Message content exceeds 20 characters", field="content")
    empty = error("content_empty", "Message content cannot be empty", field="content")
    message_id = await room.sent("👍" * 20)
    for content, told in (("x" * 21, too_long), ("", empty), (" \t\n\u00a0\u3000\u2028", empty)):
        assert await room.ann.answer("message.send", conversation_id=room.tea, content=content) == told
        assert await room.ann.answer("message.edit", message_id=message_id, content=content) == told
    assert await room.stage.log_of(room.tea) == [(1, 1)]


async def test_observers_and_members_of_an_announcement_do_not_post(room: Room) -> None:
    ann, ben = room.node.client(room.ann.user_id), room.ben.user_id
    await ann.patch(f"/conversations/{room.tea}/participants/{ben}", {"role": "observer"})
    answer = await room.ben.answer("message.send", conversation_id=room.tea, content="x")
    assert answer == error("forbidden", "Observers cannot post here")
    news = await ann.group(ben, type="announcement")
    answer = await room.ben.answer("message.send", conversation_id=news, content="x")
    assert answer == error("forbidden", "Only admins can post here")
    assert (await room.ann.ask("message.send", conversation_id=news, content="x"))["seq"] == 1


async def test_an_edit_says_exactly_this(room: Room) -> None:
    message_id = await room.sent("Milk?", client_id="c", metadata={"a": 1}, mentions=[room.ben.user_id])
    assert await room.ann.answer("message.edit", message_id=message_id, content="Tea?") == {
        "type": "ack",
        "for": "message.edit",
        "conversation_id": room.tea,
        "message_id": message_id,
        "change": 2,
    }
    kept = {"client_id": "c", "metadata": {"a": 1}, "mentions": [room.ben.user_id]}
    assert await room.heard("message.edited") == {
        "type": "message.edited",
        "conversation_id": room.tea,
        "message_id": message_id,
        "change": 2,
        "data": entry(room.tea, 1, room.ann.user_id, "Tea?", id=message_id, change=2, edited_at=A_TIME, **kept),
    }


async def test_only_the_sender_edits(room: Room) -> None:
    said = await room.ben.ask("message.send", conversation_id=room.tea, content="Milk?")
    # Ann is the admin.
    answer = await room.ann.answer("message.edit", message_id=said["message_id"], content="Tea?")
    assert answer == error("forbidden", "Only sender can edit message")
    assert await room.stage.log_of(room.tea) == [(1, 1)]


@pytest.mark.parametrize("who", ["ann", "ben"])
async def test_a_deletion_by_sender_or_admin_leaves_a_tombstone(room: Room, who: str) -> None:
    said = await room.ben.ask(
        "message.send",
        conversation_id=room.tea,
        content="Milk?",
        client_id="c",
        mentions=[room.ann.user_id],
        attachments=[{"url": "/a"}],
        metadata={"a": 1},
    )
    phone: Phone = getattr(room, who)
    answer = await phone.answer("message.delete", message_id=said["message_id"])
    assert answer == {
        "type": "ack",
        "for": "message.delete",
        "conversation_id": room.tea,
        "message_id": said["message_id"],
        "change": 2,
    }
    heard = await room.heard("message.deleted")
    assert heard == {
        "type": "message.deleted",
        "conversation_id": room.tea,
        "message_id": said["message_id"],
        "change": 2,
        "deleted_by": phone.user_id,
        "deleted_at": A_TIME,
        "data": entry(room.tea, 1, room.ben.user_id, None, change=2, deleted_at=heard["deleted_at"], client_id="c"),
    }
    for type_, more in (("message.edit", {"content": "x"}), ("message.delete", {})):
        assert await room.ben.answer(type_, message_id=said["message_id"], **more) == NOT_FOUND


async def test_a_member_deletes_nobody_elses_message(room: Room) -> None:
    message_id = await room.sent()
    answer = await room.ben.ask("message.delete", message_id=message_id)
    assert (answer["code"], await room.stage.log_of(room.tea)) == ("forbidden", [(1, 1)])


async def test_what_the_daemon_wrote_is_nobodys_to_change(room: Room) -> None:
    (cyd,) = room.stage.people(1)
    await room.node.client(room.ann.user_id).post(f"/conversations/{room.tea}/participants", {"user_ids": [cyd]})
    message_id = (await room.heard("participant.added"))["data"]["id"]
    assert message_id == A_UUID7
    for type_, more in (("message.edit", {"content": "x"}), ("message.delete", {})):
        assert (await room.ann.ask(type_, message_id=message_id, **more))["code"] == "forbidden"
    assert await room.stage.log_of(room.tea) == [(1, 1)]


async def test_a_strangers_or_unknown_message_is_not_found(room: Room) -> None:
    message_id = await room.sent()
    (eve,) = room.stage.people(1)
    stranger = await room.node.phone(eve)
    for wanted in (message_id, NOBODYS):
        for type_, more in (("message.edit", {"content": "x"}), ("message.delete", {}), ("message.read", {})):
            assert await stranger.answer(type_, message_id=wanted, **more) == NOT_FOUND
    assert await room.stage.log_of(room.tea) == [(1, 1)]
