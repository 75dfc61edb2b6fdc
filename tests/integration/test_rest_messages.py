"""/messages over REST: sent, sent again by key, edited, deleted, read; told to the phones as if by a frame."""

from typing import Any

import pytest

from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, Client, Frame, Phone, entry

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"


class Room:
    """Ann's group with Ben, Ben's phone, and a stranger."""

    def __init__(self, tea: str, ann: Client, ben: Client, eve: Client, phone: Phone, ann_id: int) -> None:
        self.tea = tea
        self.path = f"/conversations/{tea}/messages"
        self.ann = ann
        self.ben = ben
        self.eve = eve
        self.phone = phone
        self.ann_id = ann_id


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ann, ben, eve = stage.people(3)
    tea = await node.client(ann).group(ben)
    return Room(tea, node.client(ann), node.client(ben), node.client(eve), await node.phone(ben), ann)


def refused(told: tuple[int, Any]) -> tuple[int, str]:
    return told[0], told[1]["code"]


async def test_a_message_is_sent_and_heard(room: Room) -> None:
    more = {"message_type": "file", "metadata": {"a": 1}, "attachments": [{"url": "/a"}], "client_id": "c"}
    status, told = await room.ann.post(room.path, {"content": "Milk?", **more})
    assert (status, told) == (201, entry(room.tea, 1, room.ann_id, "Milk?", **more))
    assert await room.phone.hear("message.new") == {
        "type": "message.new",
        "conversation_id": room.tea,
        "seq": 1,
        "change": 1,
        "data": told,
    }


async def test_a_key_makes_a_retry_the_same_message(room: Room, stage: Stage) -> None:
    key = {"headers": {"Idempotency-Key": "k" * 64}}
    status, first = await room.ann.post(room.path, {"content": "Milk?"}, **key)
    assert (status, first["client_id"]) == (201, "k" * 64)
    assert await room.ann.post(room.path, {"content": "Milk?", "client_id": None}, **key) == (200, first)
    assert await room.ann.post(room.path, {"content": "Milk?", "client_id": "k" * 64}) == (200, first)
    assert refused(await room.ann.post(room.path, {"content": "Tea?"}, **key)) == (409, "client_id_conflict")
    assert (await room.ben.post(room.path, {"content": "Tea?"}, **key))[0] == 201
    assert await stage.log_of(room.tea) == [(1, 1), (2, 2)]


async def test_a_key_and_a_client_id_are_one_name_space(room: Room, stage: Stage, node: Node) -> None:
    phone = await node.phone(room.ann_id)
    by_frame = await phone.ask("message.send", conversation_id=room.tea, content="Milk?", client_id="c")
    key = {"headers": {"Idempotency-Key": "c"}}
    assert await room.ann.post(room.path, {"content": "Milk?"}, **key) == (200, by_frame["data"])
    status, told = await room.ann.post(room.path, {"content": "Milk?", "client_id": "d"}, **key)
    assert (status, told["code"], told["field"]) == (422, "invalid_frame", "client_id")
    assert await stage.log_of(room.tea) == [(1, 1)]


@pytest.mark.parametrize("key", ["", "k" * 65, "\udcff\udcfe"], ids=ascii)
async def test_a_key_that_is_no_client_id_is_refused(room: Room, key: str) -> None:
    status, told = await room.ann.post(room.path, {"content": "x"}, headers={"Idempotency-Key": key})
    assert (status, told["code"], told["field"]) == (422, "invalid_frame", "client_id")


async def test_the_path_names_the_conversation_whatever_the_body_says(room: Room, stage: Stage) -> None:
    other = await room.ann.group()
    status, told = await room.ann.post(room.path, {"content": "x", "conversation_id": other})
    assert (status, told["conversation_id"]) == (201, room.tea)
    assert await stage.log_of(other) == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_frame"),
        ({"content": 7}, 422, "invalid_frame"),
        ({"content": ""}, 422, "content_empty"),
        ({"content": " \n"}, 422, "content_empty"),
        ({"content": "x" * 4001}, 422, "content_too_long"),
        ({"content": "\x00"}, 422, "invalid_frame"),
        ({"content": "\ud800"}, 422, "invalid_frame"),
        ({"content": "x", "message_type": "system"}, 403, "forbidden"),
        ({"content": "x", "reply_to": NOBODYS}, 404, "message_not_found"),
        ({"content": "x", "reply_to": 7}, 422, "invalid_frame"),
        ({"content": "x", "metadata": {"a": "x" * 65_536}}, 422, "invalid_frame"),
        ({"content": "x", "mentions": ["1"]}, 422, "invalid_frame"),
    ],
    ids=lambda value: ascii(value)[:50],
)
async def test_bad_messages_are_refused_and_not_stored(
    room: Room, stage: Stage, body: Frame, status: int, code: str
) -> None:
    assert refused(await room.ann.post(room.path, body)) == (status, code)
    assert await stage.log_of(room.tea) == []


async def test_an_edit_is_answered_with_the_whole_message(room: Room) -> None:
    sent = await room.ann.send(room.tea, "Milk?", client_id="c")
    status, told = await room.ann.patch(f"/messages/{sent['id']}", {"content": "Tea?"})
    assert (status, told) == (200, {**sent, "content": "Tea?", "change": 2, "edited_at": A_TIME})
    assert (await room.phone.hear("message.edited"))["data"] == told
    for body, code in (
        ({}, "invalid_frame"),
        ({"content": None}, "invalid_frame"),
        ({"content": " "}, "content_empty"),
    ):
        assert refused(await room.ann.patch(f"/messages/{sent['id']}", body)) == (422, code)
    assert refused(await room.ben.patch(f"/messages/{sent['id']}", {"content": "x"})) == (403, "forbidden")


async def test_a_deletion_has_no_body_and_leaves_a_tombstone(room: Room) -> None:
    sent = await room.ben.send(room.tea, "Milk?")
    assert await room.ann.delete(f"/messages/{sent['id']}") == (204, None)
    deleted = await room.phone.hear("message.deleted")
    assert deleted["deleted_by"] == room.ann_id
    (left,) = (await room.ben.get(room.path))[1]["messages"]
    assert left == {**sent, "content": None, "change": 2, "deleted_at": deleted["deleted_at"]}
    assert refused(await room.ann.delete(f"/messages/{sent['id']}")) == (404, "message_not_found")
    assert refused(await room.ben.patch(f"/messages/{sent['id']}", {"content": "x"})) == (404, "message_not_found")


async def test_a_member_deletes_nobody_elses_message(room: Room) -> None:
    sent = await room.ann.send(room.tea, "Milk?")
    assert refused(await room.ben.delete(f"/messages/{sent['id']}")) == (403, "forbidden")


async def test_reading_is_confirmed_and_told_to_the_readers_phones(room: Room) -> None:
    first, second = await room.ann.send(room.tea, "1"), await room.ann.send(room.tea, "2")
    for message, seq, unread in ((first, 1, 1), (second, 2, 0), (first, 2, 0)):
        status, told = await room.ben.post(f"/messages/{message['id']}/read")
        read = second if seq == 2 else first
        assert (status, told) == (
            200,
            {"message_id": read["id"], "conversation_id": room.tea, "last_read_seq": seq, "unread_count": unread},
        )
    heard = await room.phone.unheard("message.read")
    assert [(item["last_read_seq"], item["unread_count"]) for item in heard] == [(1, 1), (2, 0)]


async def test_reading_needs_no_body(room: Room) -> None:
    sent = await room.ann.send(room.tea, "1")
    answer = await room.ben.ask("POST", f"/messages/{sent['id']}/read")
    assert (answer.status, answer.body["last_read_seq"]) == (200, 1)


async def test_history_says_exactly_this(room: Room) -> None:
    sent = [await room.ann.send(room.tea, f"{number}") for number in range(4)]
    told = await room.ben.get(f"{room.path}?after_seq=1&before_seq=4&limit=1")
    assert told == (200, {"conversation_id": room.tea, "messages": sent[2:3], "more": True})
    nothing = await room.ben.get(f"{room.path}?before_seq=0")
    assert (nothing[0], nothing[1]["messages"], nothing[1]["more"]) == (200, [], False)
    told = await room.ben.get(f"{room.path}?after_seq=1&before_seq=4")
    assert told == (200, {"conversation_id": room.tea, "messages": sent[1:3], "more": False})


@pytest.mark.parametrize(
    "query", ["before_seq=x", "after_seq=-1", "before_seq=", "after_seq=1.0", "before_seq=" + "9" * 17]
)
async def test_a_bound_that_is_no_number_is_refused(room: Room, query: str) -> None:
    status, told = await room.ann.get(f"{room.path}?{query}")
    assert (status, told["code"], told["field"]) == (422, "invalid_frame", query.partition("=")[0])


@pytest.mark.parametrize("named", ["x", "7", NOBODYS[:-1], NOBODYS.replace("-", ""), f"{NOBODYS}%00", "..%2f"])
async def test_a_message_id_that_is_none_is_told_so(room: Room, named: str) -> None:
    for method, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/read")):
        status, told = await room.ann.call(method, f"/messages/{named}{path}", {"content": "x"})
        assert (status, told["code"], told["field"]) == (422, "invalid_message_id", "message_id")


async def test_a_stranger_cannot_tell_what_is_hidden_from_what_is_not_there(room: Room, stage: Stage) -> None:
    hello = (await room.ann.send(room.tea, "hello"))["id"]
    mine = await room.eve.group()
    requests = [
        ("GET", "/conversations/TEA", None),
        ("PATCH", "/conversations/TEA", {"title": "x"}),
        ("DELETE", "/conversations/TEA", None),
        ("GET", "/conversations/TEA/messages?limit=1", None),
        ("POST", "/conversations/TEA/messages", {"content": "x"}),
        ("POST", "/conversations/TEA/messages", {"content": "x", "reply_to": hello, "client_id": "c"}),
        ("POST", f"/conversations/{mine}/messages", {"content": "x", "reply_to": "HELLO"}),
        ("GET", "/conversations/TEA/participants", None),
        ("POST", "/conversations/TEA/participants", {"user_ids": [room.ann_id]}),
        ("PATCH", f"/conversations/TEA/participants/{room.ann_id}", {"role": "member"}),
        ("DELETE", f"/conversations/TEA/participants/{room.ann_id}", None),
        ("DELETE", "/conversations/TEA/participants/me", None),
        ("PATCH", "/messages/HELLO", {"content": "x"}),
        ("PATCH", "/messages/HELLO", {"content": ""}),
        ("DELETE", "/messages/HELLO", None),
        ("POST", "/messages/HELLO/read", None),
        ("GET", "/users?ids=USER", None),
        ("GET", "/presence?user_ids=USER", None),
    ]
    for method, path, body in requests:
        answers = []
        for real in (
            {"TEA": room.tea, "HELLO": hello, "USER": str(room.ann_id)},
            {"TEA": NOBODYS, "HELLO": NOBODYS, "USER": "987654321"},
        ):
            named, sent = path, body
            for name, id_ in real.items():
                named = named.replace(name, id_)
                sent = sent and {key: id_ if value == name else value for key, value in sent.items()}
            answer = await room.eve.ask(method, named, json=sent)
            headers = {name: value for name, value in answer.headers.items() if name not in ("Date", "Content-Length")}
            answers.append((answer.status, headers, answer.text.replace(real["USER"], "USER")))
        assert answers[0] == answers[1], (method, path)
        assert answers[0][0] in (404, 422) or method == "GET"
    assert await stage.log_of(room.tea) == [(1, 1)]
    assert await stage.log_of(mine) == []
