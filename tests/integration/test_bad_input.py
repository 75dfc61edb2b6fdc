"""Fields of the wrong kind: each gets the error of the contract and nothing else, stores nothing, and harms nobody."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from messenger.transport import session
from tests.support.node import Node, Stage, node_of_stage, stage_with
from tests.support.people import Frame, Phone

stage = stage_with(max_frame_bytes=1_000_000)
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"
# What no answer may let through: SQL, a stack, the name of an exception.
SECRETS = re.compile(
    r"(?i)traceback|exception|asyncpg|sqlstate|\bselect\b|\binsert\b|\bpg_|\w\.py\b|[a-z]Error\b|None|<class"
)

TEXT = [None, 7, 1.5, True, [], {}, ["x"], {"x": 1}]
NULLABLE_TEXT = TEXT[1:]
EMOJI = [*TEXT, "", "x" * 33, "👍" * 33]
UUID = [*TEXT, "", "x", "0", NOBODYS[:-1], NOBODYS + "0", NOBODYS.replace("-", ""), f"{{{NOBODYS}}}", f"{NOBODYS}\n"]
UUID += [f" {NOBODYS}", f"urn:uuid:{NOBODYS}", NOBODYS.replace("0", "٠"), NOBODYS.replace("-", "\u2010"), "x" * 36]
WHOLE = ["", "1", "x", 1.0, 1.5, True, False, [], {}, -1, 2**53, 2**63, 2**64, -(2**63), 10**30, 1e300]
IDS = [None, 1, "1", {}, True, [0], [-1], [1.0], ["1"], [True], [None], [[1]], [{}], [2**53], [10**30], [1, 0]]
OBJECT = [None, 7, "x", True, 1.5, [], [{}]]
CURSORS = [*OBJECT, {NOBODYS: "1"}, {NOBODYS: None}, {NOBODYS: -1}, {NOBODYS: 1.0}, {NOBODYS: True}, {NOBODYS: 10**30}]
LISTS = [None, 7, "x", True, {}]
ATTACHMENTS = [*LISTS, [None], [7], ["x"], [[]], [{}], [{"url": "/a"}] * 11]
ATTACHMENTS += [
    [{"url": url}] for url in (None, 7, "", "x", "javascript:alert(1)", "data:text/html,x", "//evil.example")
]
ATTACHMENTS += [[{"url": url}] for url in ("https://", "https://a b", "https://a\n", " https://a", "/" + "x" * 2048)]
ATTACHMENTS += [[{"url": "/a", name: bad}] for name in ("name", "mime_type") for bad in (None, 7, [], "x" * 256)]
ATTACHMENTS += [[{"url": "/a", "size": bad}] for bad in (None, "7", -1, 1.5, True, 2**53)]

# Frame type → a frame that is right, and what is wrong for each of its fields.
FRAMES: dict[str, tuple[Frame, dict[str, list[Any]]]] = {
    "subscribe": ({"conversation_id": "TEA"}, {"conversation_id": UUID}),
    "unsubscribe": ({"conversation_id": "TEA"}, {"conversation_id": UUID}),
    "typing": ({"conversation_id": "TEA"}, {"conversation_id": UUID, "is_typing": [None, 0, 1, "true", "", [], {}]}),
    "typing.start": ({"conversation_id": "TEA"}, {"conversation_id": UUID}),
    "typing.stop": ({"conversation_id": "TEA"}, {"conversation_id": UUID}),
    "message.send": (
        {"conversation_id": "TEA", "content": "x"},
        {
            "conversation_id": UUID,
            "content": TEXT,
            "message_type": [*TEXT, "", "x" * 65],
            "client_id": [*NULLABLE_TEXT, "", "x" * 65],
            "reply_to": UUID[1:],
            "mentions": [*IDS, list(range(1, 102))],
            "attachments": ATTACHMENTS,
            "metadata": [*OBJECT, {"x": "y" * 65_536}],
        },
    ),
    "message.edit": ({"message_id": "HELLO", "content": "y"}, {"message_id": UUID, "content": TEXT}),
    "message.delete": ({"message_id": "HELLO"}, {"message_id": UUID}),
    "reaction.add": ({"message_id": "HELLO", "emoji": "👍"}, {"message_id": UUID, "emoji": EMOJI}),
    "reaction.remove": ({"message_id": "HELLO", "emoji": "👍"}, {"message_id": UUID, "emoji": EMOJI}),
    "message.read": ({"message_id": "HELLO"}, {"message_id": UUID}),
    "history": (
        {"conversation_id": "TEA"},
        {"conversation_id": UUID, "before_seq": WHOLE, "after_seq": WHOLE, "limit": [*WHOLE, 0, None]},
    ),
    "sync": ({"cursors": {}}, {"cursors": CURSORS, "limit": [*WHOLE, 0, None]}),
    "presence": ({"user_ids": [1]}, {"user_ids": [*IDS, list(range(1, 502))]}),
    "auth.refresh": ({"token": "x"}, {"token": TEXT}),
    "ping": ({}, {}),
}
REQUIRED = {
    type_: [name for name in right if name in wrong] for type_, (right, wrong) in FRAMES.items() if type_ != "ping"
}
CASES = [(type_, name) for type_, (_, wrong) in FRAMES.items() for name in wrong]


class Room:
    """Ann's group with one message in it, and her phone, which may be wrong as often as it likes."""

    def __init__(self, stage: Stage, phone: Phone, tea: str, hello: str) -> None:
        self.stage = stage
        self.phone = phone
        self.tea = tea
        self.hello = hello

    def right(self, type_: str) -> Frame:
        names = {"TEA": self.tea, "HELLO": self.hello}
        frame = {
            name: names.get(value, value) if isinstance(value, str) else value
            for name, value in FRAMES[type_][0].items()
        }
        return {"type": type_, **frame}

    async def refused(self, frame: Frame, code: str, field: str | None) -> None:
        """The frame gets this error, at once, alone and with its ref; and the connection goes on."""
        await self.phone.socket.send_str(json.dumps({**frame, "ref": "r"}))
        answer = await self.phone.hear(ref="r")
        assert (answer["type"], answer["code"], answer.get("field")) == ("error", code, field), (frame, answer)
        assert answer.keys() <= {"type", "code", "message", "field", "ref"}
        assert not SECRETS.search(answer["message"]), answer
        assert await self.phone.unheard() == []

    async def stored(self) -> Any:
        return await self.stage.oracle.fetchrow(
            """select (select count(*) from messenger.messages), (select count(*) from messenger.conversations),
            (select sum(last_change) from messenger.conversation_heads), (select count(*) from messenger.read_receipts),
            (select count(*) from messenger.users), (select count(*) from messenger.conversation_participants),
            (select count(*) from messenger.reactions)"""
        )


@pytest.fixture
async def room(stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    monkeypatch.setattr(session, "BAD_FRAMES", 1_000_000)
    (ann,) = stage.people(1)
    client = node.client(ann)
    tea = await client.group()
    hello = (await client.send(tea, "hello"))["id"]
    room = Room(stage, await node.phone(ann), tea, hello)
    before = await room.stored()
    yield room
    assert await room.stored() == before


def code_of(field: str) -> str:
    return {"conversation_id": "invalid_conversation_id", "message_id": "invalid_message_id"}.get(
        field, "invalid_frame"
    )


@pytest.mark.parametrize(("type_", "field"), CASES)
async def test_a_field_of_the_wrong_kind_is_refused_by_name(room: Room, type_: str, field: str) -> None:
    bad = FRAMES[type_][1][field]
    assert bad
    for value in bad:
        await room.refused({**room.right(type_), field: value}, code_of(field), field)


async def test_what_is_required_is_missed_by_name(room: Room) -> None:
    for type_, fields in REQUIRED.items():
        assert fields
        for field in fields:
            frame = {name: value for name, value in room.right(type_).items() if name != field}
            await room.refused(frame, code_of(field), field)


@pytest.mark.parametrize("cursor", ["", "x", NOBODYS.replace("-", ""), f"{NOBODYS} ", "\ud800", "\x00"])
async def test_a_cursor_of_no_conversation_is_an_invalid_conversation_id(room: Room, cursor: str) -> None:
    await room.refused({"type": "sync", "cursors": {cursor: 1}}, "invalid_conversation_id", "cursors")


@pytest.mark.parametrize("bad", ["\x00", "a\x00b", "\ud800", "\udfff", "a\udc00\ud800b"], ids=ascii)
async def test_nul_and_lone_surrogates_are_refused_wherever_text_may_stand(room: Room, bad: str) -> None:
    send, edit = room.right("message.send"), room.right("message.edit")
    for field, value in (
        ("content", bad),
        ("message_type", bad),
        ("client_id", bad),
        ("metadata", {"x": bad}),
        ("metadata", {bad: "x"}),
        ("metadata", {"x": [[{"y": ["z", bad]}]]}),
        ("attachments", [{"url": "https://example.org/" + bad}]),
        ("attachments", [{"url": "/a", "name": bad}]),
        ("attachments", [{"url": "/a", "mime_type": bad}]),
    ):
        await room.refused({**send, field: value}, "invalid_frame", field)
    await room.refused({**edit, "content": bad}, "invalid_frame", "content")
    for type_ in ("reaction.add", "reaction.remove"):
        await room.refused({**room.right(type_), "emoji": bad}, "invalid_frame", "emoji")
    await room.refused({"type": "auth.refresh", "token": bad}, "invalid_frame", "token")
    await room.refused({"type": bad}, "invalid_frame", "type")
    # Unknown fields are ignored, whatever they hold.
    assert (await room.phone.ask("ping", unknown=bad))["type"] == "pong"


@pytest.mark.parametrize(
    "ref", ["x" * 65, "x" * 900_000, 7, True, [], {}, 1.5, "\x00", "\ud800"], ids=lambda ref: repr(ref)[:9]
)
async def test_a_bad_ref_is_told_and_not_repeated(room: Room, ref: Any) -> None:
    await room.phone.socket.send_str(json.dumps({"type": "ping", "ref": ref}))
    answer = await room.phone.hear("error")
    assert (answer["code"], answer["field"], "ref" in answer) == ("invalid_frame", "ref", False)
    assert await room.phone.unheard() == []


@pytest.mark.parametrize("type_", [None, 7, True, [], {}, ["ping"]], ids=repr)
async def test_a_type_that_is_no_text_is_refused(room: Room, type_: Any) -> None:
    await room.refused({"type": type_}, "invalid_frame", "type")


async def test_white_space_is_empty_and_too_long_is_too_long(room: Room) -> None:
    for content in ("", " ", "\t\r\n\v\f", "\u00a0\u2003\u3000\u2028\u2029\x85\x1c"):
        for type_ in ("message.send", "message.edit"):
            await room.refused({**room.right(type_), "content": content}, "content_empty", "content")
    for content in ("x" * 4001, "👍" * 4001, " " * 4000 + "x", "é" * 100_000):
        for type_ in ("message.send", "message.edit"):
            await room.refused({**room.right(type_), "content": content}, "content_too_long", "content")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"d": value}
    return value


async def test_metadata_may_be_deep_but_not_bottomless(room: Room) -> None:
    for levels in (17, 300, 900):
        await room.refused({**room.right("message.send"), "metadata": nested(levels)}, "invalid_frame", "metadata")


async def test_numbers_that_the_database_would_write_out_at_length_count_as_long(room: Room) -> None:
    for number in (1e308, -1e308, 5e-324):
        frame = {**room.right("message.send"), "metadata": {"n": [number] * 300}}
        await room.refused(frame, "invalid_frame", "metadata")


async def test_every_frame_without_any_field_is_refused_or_answered(room: Room) -> None:
    for type_ in FRAMES:
        answer = await room.phone.ask(type_)
        assert answer["type"] == ("pong" if type_ == "ping" else "error")
        assert answer.get("code") in (None, "invalid_frame", "invalid_conversation_id", "invalid_message_id")
