"""Messages over REST: paged, sent, sent again, edited, deleted, read; and what phones hear of it."""

import math
from http import HTTPStatus
from typing import Any

import pytest

from messenger.config import Rate
from tests.support.node import Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, Client, Frame, Phone, entry, notification

stage = stage_with(max_content_chars=20)
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"


def problem(status: int, code: str, message: str, **more: Any) -> tuple[int, Frame]:
    title = HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": status, "detail": message, "code": code}
    return status, {**told, "message": message, **more}


NOT_IN = problem(404, "not_participant", "Not a participant of this conversation")
NOT_FOUND = problem(404, "message_not_found", "Message not found")
CONFLICT = problem(409, "client_id_conflict", "client_id was used for another message")


class Room:
    """Ann, its admin, Ben and Cyd in a group; Eve is a stranger. Ann and Ben have a phone each."""

    def __init__(self, stage: Stage, node: Node, ids: list[int], tea: str, phones: list[Phone]) -> None:
        self.stage = stage
        self.ids = ids
        self.ann, self.ben, self.cyd, self.eve = (node.client(user) for user in ids)
        self.tea = tea
        self.path = f"/conversations/{tea}/messages"
        self.phones = phones

    async def heard(self, type_: str) -> Frame:
        """The event that both phones have heard alike; whom a new message is not from is notified of it."""
        told = await self.phones[0].hear(type_)
        assert await self.phones[1].hear(type_) == told
        for phone in self.phones:
            if type_ == "message.new" and phone.user_id != told["data"]["sender_id"]:
                assert await phone.hear("notification") == notification(told, phone.user_id)
        return told

    async def said(self, who: Client, content: str = "Milk?") -> Frame:
        """A message that both phones have heard."""
        message = await who.send(self.tea, content)
        await self.heard("message.new")
        return message

    async def nothing_more(self) -> None:
        for phone in self.phones:
            assert await phone.unheard() == []


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ann, ben, cyd, eve = stage.people(4)
    tea = await node.client(ann).group(ben, cyd)
    return Room(stage, node, [ann, ben, cyd, eve], tea, [await node.phone(ann), await node.phone(ben)])


async def test_history_pages_both_ways_and_between(room: Room) -> None:
    said = [await room.ann.send(room.tea, f"{number}") for number in range(1, 8)]
    for query, seqs, more in (
        ("", [1, 2, 3, 4, 5, 6, 7], False),
        ("?limit=3", [5, 6, 7], True),
        ("?limit=3&before_seq=5", [2, 3, 4], True),
        ("?limit=3&before_seq=4", [1, 2, 3], False),
        ("?limit=3&after_seq=0", [1, 2, 3], True),
        ("?limit=3&after_seq=4", [5, 6, 7], False),
        ("?after_seq=2&before_seq=6", [3, 4, 5], False),
        ("?after_seq=2&before_seq=6&limit=2", [4, 5], True),
        ("?after_seq=6&before_seq=2", [], False),
        ("?after_seq=7", [], False),
        ("?before_seq=1", [], False),
    ):
        told = {"conversation_id": room.tea, "messages": [said[seq - 1] for seq in seqs], "more": more}
        assert await room.ben.get(room.path + query) == (200, told), query


async def test_a_page_has_50_messages_or_as_many_as_asked_for_but_200_at_most(room: Room) -> None:
    await room.stage.oracle.execute(
        """
        with me as (select set_config('messenger.user_id', $2, false))
        insert into messenger.messages (conversation_id, id, sender_id, content)
        select $1, gen_random_uuid(), $3, 'x' from me, generate_series(1, 202)
        """,
        room.tea, str(room.ids[0]), room.ids[0],
    )  # fmt: skip
    for query, count in (("", 50), ("?limit=1", 1), ("?limit=200", 200), ("?limit=201", 200), ("?limit=99999", 200)):
        status, page = await room.ann.get(room.path + query)
        assert (status, [item["seq"] for item in page["messages"]]) == (200, list(range(203 - count, 203)))
        assert page["more"] is True


@pytest.mark.parametrize("name", ["limit", "before_seq", "after_seq"])
async def test_bounds_are_whole_numbers(room: Room, name: str) -> None:
    least = 1 if name == "limit" else 0
    refusal = problem(422, "invalid_frame", f"{name} must be an integer of at least {least}", field=name)
    for value in ("-1", "1.0", "x", "", "%D9%A7", "9007199254740992", "9" * 5000, *(["0"] if least else [])):
        assert await room.ann.get(f"{room.path}?{name}={value}") == refusal


async def test_a_message_is_stored_and_everybody_hears_it(room: Room) -> None:
    first = await room.said(room.ann)
    body = {
        "content": "é👍\n", "message_type": "image", "client_id": "c", "reply_to": first["id"], "mentions": [room.ids[1]],
        "attachments": [{"url": "/a", "name": "A", "size": 1, "mime_type": "image/png"}], "metadata": {"a": [1.5, None]},
    }  # fmt: skip
    status, told = await room.ben.post(room.path, {**body, "conversation_id": NOBODYS, "sender_id": 7})
    assert (status, told) == (201, entry(room.tea, 2, room.ids[1], **body))
    numbers = {"conversation_id": room.tea, "seq": 2, "change": 2}
    assert await room.heard("message.new") == {"type": "message.new", **numbers, "data": told}
    await room.nothing_more()


async def test_the_same_key_again_is_the_same_message(room: Room) -> None:
    key = {"Idempotency-Key": "k-1"}
    status, first = await room.ann.post(room.path, {"content": "Milk?"}, headers=key)
    assert (status, first) == (201, entry(room.tea, 1, room.ids[0], "Milk?", client_id="k-1"))
    await room.heard("message.new")
    # Header, body and frame are one name space.
    assert await room.ann.post(room.path, {"content": "Milk?"}, headers=key) == (200, first)
    assert await room.ann.post(room.path, {"content": "Milk?", "client_id": "k-1"}) == (200, first)
    assert await room.ann.post(room.path, {"content": "Milk?", "client_id": "k-1"}, headers=key) == (200, first)
    again = await room.phones[0].ask("message.send", conversation_id=room.tea, content="Milk?", client_id="k-1")
    assert (again["duplicate"], again["data"]) == (True, first)
    by_frame = await room.phones[0].ask("message.send", conversation_id=room.tea, content="Tea?", client_id="k-2")
    await room.heard("message.new")
    told = await room.ann.post(room.path, {"content": "Tea?"}, headers={"Idempotency-Key": "k-2"})
    assert told == (200, by_frame["data"])
    await room.nothing_more()
    assert await room.stage.log_of(room.tea) == [(1, 1), (2, 2)]


async def test_a_key_used_for_another_message_is_a_conflict(room: Room) -> None:
    await room.ann.send(room.tea, "Milk?", client_id="k")
    for other in (
        {"content": "Tea?"},
        {"content": "Milk?", "metadata": {"a": 1}},
        {"content": "Milk?", "mentions": [1]},
    ):
        assert await room.ann.post(room.path, other, headers={"Idempotency-Key": "k"}) == CONFLICT
        assert await room.ann.post(room.path, {**other, "client_id": "k"}) == CONFLICT
    assert (await room.ben.post(room.path, {"content": "Tea?", "client_id": "k"}))[0] == 201  # one's own
    assert await room.stage.log_of(room.tea) == [(1, 1), (2, 2)]


async def test_a_key_has_its_form_and_agrees_with_the_body(room: Room) -> None:
    differ = problem(422, "invalid_frame", "client_id and Idempotency-Key differ", field="client_id")
    for client_id in ("other", 7, [], {}, ""):
        body = {"content": "x", "client_id": client_id}
        assert await room.ann.post(room.path, body, headers={"Idempotency-Key": "k"}) == differ
    for key in ("", "x" * 65):
        status, told = await room.ann.post(room.path, {"content": "x"}, headers={"Idempotency-Key": key})
        assert (status, told["code"], told["field"]) == (422, "invalid_frame", "client_id")
    assert (await room.ann.post(room.path, {"content": "x", "client_id": None}, headers={"Idempotency-Key": "k"}))[
        0
    ] == 201
    assert await room.stage.log_of(room.tea) == [(1, 1)]


async def test_content_has_its_limits(room: Room) -> None:
    message = await room.ann.send(room.tea, "👍" * 20)
    for content, refusal in (
        ("x" * 21, problem(422, "content_too_long", "Message content exceeds 20 characters", field="content")),
        ("", problem(422, "content_empty", "Message content cannot be empty", field="content")),
        (" \n\u00a0\u2028", problem(422, "content_empty", "Message content cannot be empty", field="content")),
        (7, problem(422, "invalid_frame", "content must be a string", field="content")),
        (None, problem(422, "invalid_frame", "content must not be null", field="content")),
        ("\x00", problem(422, "invalid_frame", "content must not contain U+0000 or lone surrogates", field="content")),
        (
            "\ud800",
            problem(422, "invalid_frame", "content must not contain U+0000 or lone surrogates", field="content"),
        ),
    ):
        assert await room.ann.post(room.path, {"content": content}) == refusal
        assert await room.ann.patch(f"/messages/{message['id']}", {"content": content}) == refusal
    missing = problem(422, "invalid_frame", "content is required", field="content")
    assert await room.ann.post(room.path, {}) == missing
    assert await room.ann.patch(f"/messages/{message['id']}", {}) == missing
    assert await room.stage.log_of(room.tea) == [(1, 1)]


async def test_who_may_not_post_is_told_why(room: Room) -> None:
    assert await room.eve.post(room.path, {"content": "x"}) == NOT_IN
    assert await room.eve.get(room.path) == NOT_IN
    await room.ann.patch(f"/conversations/{room.tea}/participants/{room.ids[1]}", {"role": "observer"})
    told = await room.ben.post(room.path, {"content": "x"})
    assert told == problem(403, "forbidden", "Observers cannot post here")
    news = await room.ann.group(room.ids[1], type="announcement")
    told = await room.ben.post(f"/conversations/{news}/messages", {"content": "x"})
    assert told == problem(403, "forbidden", "Only admins can post here")
    told = await room.ann.post(room.path, {"content": "x", "message_type": "system"})
    assert told == problem(403, "forbidden", "Only the daemon writes system messages")
    assert await room.ann.post(room.path, {"content": "x", "reply_to": NOBODYS}) == NOT_FOUND


async def test_the_sender_edits_and_nobody_else(room: Room) -> None:
    message = await room.said(room.ben)
    path = f"/messages/{message['id']}"
    for client in (room.ann, room.cyd):
        assert await client.patch(path, {"content": "Tea?"}) == problem(
            403, "forbidden", "Only sender can edit message"
        )
    assert await room.eve.patch(path, {"content": "Tea?"}) == NOT_FOUND
    assert await room.ben.patch(f"/messages/{NOBODYS}", {"content": "Tea?"}) == NOT_FOUND
    await room.nothing_more()
    edited = {**message, "content": "Tea?", "change": 2, "edited_at": A_TIME}
    assert await room.ben.patch(path, {"content": "Tea?", "sender_id": 7}) == (200, edited)
    assert await room.heard("message.edited") == {
        "type": "message.edited",
        "conversation_id": room.tea,
        "message_id": message["id"],
        "change": 2,
        "data": edited,
    }
    assert (await room.ann.get(room.path))[1]["messages"] == [edited]


@pytest.mark.parametrize("by", ["sender", "admin"])
async def test_sender_and_admin_delete_and_leave_a_tombstone(room: Room, by: str) -> None:
    message = await room.said(room.ben)
    path, who = f"/messages/{message['id']}", room.ben if by == "sender" else room.ann
    refusal = problem(403, "forbidden", "Only sender or admins can delete message")
    assert await room.cyd.delete(path) == refusal
    assert await room.eve.delete(path) == NOT_FOUND
    await room.nothing_more()
    assert await who.delete(path) == (204, None)
    gone = {**message, "content": None, "change": 2, "deleted_at": A_TIME}
    told = await room.heard("message.deleted")
    assert told == {
        "type": "message.deleted",
        "conversation_id": room.tea,
        "message_id": message["id"],
        "change": 2,
        "deleted_by": room.ids[1 if by == "sender" else 0],
        "deleted_at": told["data"]["deleted_at"],
        "data": gone,
    }
    for client in (room.ann, room.ben, room.cyd, room.eve):
        assert await client.delete(path) == NOT_FOUND
        assert await client.patch(path, {"content": "x"}) == NOT_FOUND
    assert (await room.cyd.get(room.path))[1]["messages"] == [gone]
    await room.nothing_more()


async def test_reading_goes_forward_and_is_told(room: Room) -> None:
    first, second = [await room.said(room.ann) for _ in range(2)]
    await room.phones[0].ask("subscribe", conversation_id=room.tea)
    for message, seq, unread in ((first, 1, 1), (second, 2, 0), (first, 2, 0)):
        status, told = await room.ben.post(f"/messages/{message['id']}/read")
        told_id = second["id"] if seq == 2 else first["id"]
        expected = {"message_id": told_id, "conversation_id": room.tea, "last_read_seq": seq, "unread_count": unread}
        assert (status, told) == (200, expected)
    for seq, message, unread in ((1, first, 1), (2, second, 0)):
        read = {
            "type": "message.read", "conversation_id": room.tea, "message_id": message["id"], "user_id": room.ids[1],
            "last_read_seq": seq, "read_at": A_TIME,
        }  # fmt: skip
        assert await room.phones[0].hear("message.read") == read
        assert await room.phones[1].hear("message.read") == {**read, "unread_count": unread}
    await room.nothing_more()
    assert await room.eve.post(f"/messages/{first['id']}/read") == NOT_FOUND
    assert await room.ann.post(f"/messages/{NOBODYS}/read") == NOT_FOUND


@pytest.mark.parametrize("named", ["x", "7", NOBODYS[:-1], NOBODYS.replace("-", ""), "%00", "urn:uuid:" + NOBODYS])
async def test_an_id_that_is_none_is_told_as_what_it_should_be(room: Room, named: str) -> None:
    refusal = problem(422, "invalid_message_id", "Invalid message_id format", field="message_id")
    assert await room.ann.patch(f"/messages/{named}", {"content": "x"}) == refusal
    assert await room.ann.delete(f"/messages/{named}") == refusal
    assert await room.ann.post(f"/messages/{named}/read") == refusal
    refusal = problem(422, "invalid_conversation_id", "Invalid conversation_id format", field="conversation_id")
    for method in ("GET", "PATCH", "DELETE"):
        assert await room.ann.call(method, f"/conversations/{named}", {"title": "x"}) == refusal
    assert await room.ann.get(f"/conversations/{named}/messages") == refusal
    assert await room.ann.post(f"/conversations/{named}/messages", {"content": "x"}) == refusal


async def test_above_the_rate_one_is_told_when_to_come_again(cluster: Cluster) -> None:
    node = await cluster.node(rate_messages=Rate(1, 60, 3))
    ann, ben = node.client(1), node.client(2)
    tea = await ann.group(2)
    phone = await node.phone(1)
    await ann.send(tea, "one")
    await phone.ask("message.send", conversation_id=tea, content="two")  # the same bucket
    assert (await ann.post(f"/conversations/{tea}/messages", {"content": 7}))[0] == 422  # costs nothing
    await ann.send(tea, "three")
    answer = await ann.ask("POST", f"/conversations/{tea}/messages", json={"content": "four"})
    seconds = answer.body["retry_after_s"]
    assert 50 < seconds <= 60
    refusal = problem(429, "rate_limited", "Too many requests", retry_after_s=seconds)
    assert (answer.status, answer.body, answer.headers["Retry-After"]) == (*refusal, str(math.ceil(seconds)))
    assert (await phone.ask("message.send", conversation_id=tea, content="four"))["code"] == "rate_limited"
    assert (await ben.send(tea, "mine"))["seq"] == 4
