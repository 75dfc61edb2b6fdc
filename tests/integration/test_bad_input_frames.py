"""Frames that are none, too many of them, and what a stranger could try to learn from an answer."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messenger.config import Rate
from messenger.transport import session
from messenger.transport.commands import COMMANDS
from tests.support.node import Cluster, Node, Stage, logged, node_of_stage, stage_with
from tests.support.people import Frame, Phone

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"
INVALID_JSON = {"type": "error", "code": "invalid_json", "message": "Invalid JSON format"}
NO_OBJECT = {"type": "error", "code": "invalid_frame", "message": "A frame must be a JSON object"}
DEEP = 5000

# Every code that a frame may be answered; `internal` is none of them.
CODES = set(["invalid_json", "invalid_frame", "invalid_conversation_id", "invalid_message_id", "not_participant"])
CODES |= set(
    ["message_not_found", "forbidden", "content_empty", "content_too_long", "client_id_conflict", "unauthorized"]
)
CODES |= {"unknown_type"}
ANSWERS = {
    "subscribe": "subscribed",
    "unsubscribe": "unsubscribed",
    "typing": None,
    "typing.start": None,
    "typing.stop": None,
    "message.send": "message.sent",
    "message.edit": "ack",
    "message.delete": "ack",
    "reaction.add": "ack",
    "reaction.remove": "ack",
    "message.read": "read.confirmed",
    "history": "history",
    "sync": "sync",
    "presence": "presence",
    "auth.refresh": "auth.refreshed",
    "ping": "pong",
}


async def answers_to(phone: Phone, text: str) -> list[Frame]:
    """All that comes of one frame, as it stands, before the answer to a ping behind it."""
    await phone.socket.send_str(text)
    return await phone.unheard()


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "}", "[", '{"type":"ping"', "{'type':'ping'}", '{"type":"ping"}x', '{"type":"ping"} {}', "undefined"]
    + [
        '{"type":"ping",}',
        '{type:"ping"}',
        '{"type":"ping"/**/}',
        '"\\x"',
        '{"type":"pi\nng"}',
        '\ufeff{"type":"ping"}',
    ]
    + ['{"type":"ping","x":NaN}', '{"type":"ping","x":Infinity}', '{"x":-Infinity,"type":"ping"}', "NaN"]
    + ['{"type":"ping","x":1e999}', '{"type":"ping","x":-1E400}', '{"type":"ping","x":' + "9" * 5000 + "}"]
    + ['{"type":"ping","x":01}', '{"type":"ping","x":.5}', '{"type":"ping","x":+1}', '{"type":"ping","x":0x10}']
    + ["[" * DEEP + "]" * DEEP, "[" * DEEP, '{"type":"ping","x":' + "[" * DEEP + "]" * DEEP + "}"]
    + ['{"type":"ping","x":' + '{"d":' * DEEP + "1" + "}" * (DEEP + 1)],
    ids=lambda text: repr(text)[:30],
)
async def test_what_is_no_json_is_told_so(stage: Stage, node: Node, text: str) -> None:
    (ann,) = stage.people(1)
    assert await answers_to(await node.phone(ann), text) == [INVALID_JSON]


@pytest.mark.parametrize("text", ["null", "true", "7", "-0.0", '"ping"', "[]", '[{"type":"ping"}]', '"\\ud800"'])
async def test_json_that_is_no_object_is_no_frame(stage: Stage, node: Node, text: str) -> None:
    (ann,) = stage.people(1)
    assert await answers_to(await node.phone(ann), text) == [NO_OBJECT]


async def test_a_binary_frame_is_refused_whatever_it_holds(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann)
    for payload in (b"", b"\xff\xfe\x00", b'{"type":"ping","ref":"r"}'):
        await phone.socket.send_bytes(payload)
        refused = {"type": "error", "code": "invalid_frame", "message": "Frames must be text"}
        assert await phone.unheard() == [refused]


async def test_of_a_key_that_comes_twice_the_last_counts(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann)
    text = '{"type":"message.send","ref":"a","type":"ping","ref":"b"}'
    (answer,) = await answers_to(phone, text)
    assert (answer["type"], answer["ref"]) == ("pong", "b")


@pytest.mark.parametrize("junk", ["1", '"\\ud800"'], ids=["plain", "surrogate"])
async def test_large_integers_are_stored_alike_whatever_stands_beside_them(stage: Stage, node: Node, junk: str) -> None:
    """An unknown field with a lone surrogate takes another parser."""
    (ann,) = stage.people(1)
    phone, tea = await node.phone(ann), await node.client(ann).group()
    numbers = "[18446744073709551615,-9223372036854775808,18446744073709551616,1180591620717411303424,0.1,-0.0,1e16]"
    text = '{"type":"message.send","conversation_id":"%s","content":"x","metadata":{"n":%s},"junk":%s,"ref":"r"}'
    await phone.socket.send_str(text % (tea, numbers, junk))
    answer = await phone.hear(ref="r")
    assert answer["type"] == "message.sent", answer
    assert answer["data"]["metadata"] == {"n": [2**64 - 1, -(2**63), 2.0**64, 2.0**70, 0.1, 0.0, 1e16]}


async def test_twenty_bad_frames_in_ten_seconds_close_the_connection(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    assert (session.BAD_FRAMES, session.BAD_FRAMES_S) == (20, 10.0)
    phone, other = await node.phone(ann), await node.phone(ben)
    bad = ["{", "[]", "{}", '{"type":7}', '{"type":"subscribe"}', '{"type":"message.read","message_id":"x"}']
    for number in range(19):
        assert len(await answers_to(phone, bad[number % len(bad)])) == 1
    # What is well-formed is not bad, whatever comes of it.
    for text in (
        '{"type":"nonsense","ref":"r"}',
        f'{{"type":"subscribe","conversation_id":"{NOBODYS}"}}',
        f'{{"type":"message.send","conversation_id":"{NOBODYS}","content":""}}',
        '{"type":"auth.refresh","token":"rubbish"}',
    ):
        assert [frame["type"] for frame in await answers_to(phone, text)] == ["error"]
    await phone.socket.send_bytes(b"the twentieth")
    assert await phone.closed() == (1008, "protocol_error")
    assert (await other.ask("ping"))["type"] == "pong"


async def test_bad_frames_of_long_ago_do_not_count(stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "BAD_FRAMES_S", 0.0)
    (ann,) = stage.people(1)
    phone = await node.phone(ann)
    for _ in range(30):
        assert await answers_to(phone, "{") == [INVALID_JSON]


async def test_above_the_rate_of_frames_each_is_told_with_its_ref(cluster: Cluster) -> None:
    node = await cluster.node(rate_frames=Rate(1, 300, 3))
    phone, other = await node.phone(1), await node.phone(1)
    for _ in range(3):
        assert (await phone.ask("ping"))["type"] == "pong"
    for _ in range(30):
        answer = await phone.answer("ping")
        assert 200 < answer.pop("retry_after_s") <= 300
        assert answer == {"type": "error", "code": "rate_limited", "message": "Too many requests"}
    assert (await other.ask("ping"))["type"] == "pong"


async def test_above_the_rate_of_messages_nothing_is_stored_and_the_rest_goes_on(cluster: Cluster, oracle: Any) -> None:
    node = await cluster.node(rate_messages=Rate(1, 300, 2))
    tea = await node.client(1).group(2)
    one, two, ben = await node.phone(1), await node.phone(1), await node.phone(2)
    said = {"conversation_id": tea, "content": "hello"}
    assert (await one.ask("message.send", **said))["seq"] == 1
    assert (await two.ask("message.send", **said))["seq"] == 2
    for phone in (one, two):
        answer = await phone.answer("message.send", **said)
        assert 200 < answer.pop("retry_after_s") <= 300
        assert answer == {"type": "error", "code": "rate_limited", "message": "Too many requests"}
        assert (await phone.ask("ping"))["type"] == "pong"
    refused = await node.client(1).ask("POST", f"/conversations/{tea}/messages", json={"content": "hello"})
    assert (refused.status, refused.body["code"]) == (429, "rate_limited")
    assert 200 < refused.body["retry_after_s"] <= int(refused.headers["Retry-After"]) <= 300
    assert (await ben.ask("message.send", **said))["seq"] == 3
    assert await oracle.fetchval("select count(*) from messenger.messages") == 3


async def test_what_nobody_foresaw_is_internal_with_an_id_that_stands_in_the_log(
    stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = "sword" + "fish"  # a stack quotes its lines

    async def fail(*_: object) -> None:
        raise RuntimeError(f"the password is {password}")

    monkeypatch.setattr(node.context.users, "visible", fail)
    (ann,) = stage.people(1)
    phone = await node.phone(ann)
    with logged() as log:
        answer = await phone.answer("presence", user_ids=[1])
    reference = answer["message"].removeprefix("Internal error (").removesuffix(")")
    assert answer == {"type": "error", "code": "internal", "message": f"Internal error ({reference})"}
    (line,) = [line for line in map(json.loads, log.getvalue().splitlines()) if line["level"] == "error"]
    assert (line["event"], line["id"], line["user_id"]) == ("frame failed", reference, ann)
    assert "RuntimeError" in line["exception"]
    assert password not in log.getvalue()
    assert (await phone.ask("ping"))["type"] == "pong"


async def _said(phone: Phone, **frame: Any) -> str:
    await phone.socket.send_json({**frame, "ref": "r"})
    return str((await phone.socket.receive(timeout=10)).data)


async def test_a_stranger_cannot_tell_what_is_hidden_from_what_is_not_there(stage: Stage, node: Node) -> None:
    ann, eve = stage.people(2)
    client, stranger = node.client(ann), node.client(eve)
    tea = await client.group()
    hello = (await client.send(tea, "hello"))["id"]
    mine = await stranger.group()
    phone = await node.phone(eve)
    frames: list[Frame] = [
        *({"type": kind, "conversation_id": "ID"} for kind in ("subscribe", "unsubscribe", "typing", "history")),
        {"type": "message.send", "conversation_id": "ID", "content": "x"},
        {"type": "message.send", "conversation_id": "ID", "content": "x", "client_id": "c", "reply_to": hello},
        {"type": "message.send", "conversation_id": mine, "content": "x", "reply_to": "ID"},
        {"type": "message.edit", "message_id": "ID", "content": "x"},
        {"type": "message.edit", "message_id": "ID", "content": ""},
        *({"type": kind, "message_id": "ID"} for kind in ("message.delete", "message.read")),
        *({"type": kind, "message_id": "ID", "emoji": "👍"} for kind in ("reaction.add", "reaction.remove")),
        {"type": "sync", "cursors": {mine: 0, "ID": 0}},
    ]
    for frame in frames:
        told = [
            (await _said(phone, **json.loads(json.dumps(frame).replace("ID", real)))).replace(real, "ID")
            for real in (tea if "message_id" not in frame and "reply_to" not in frame else hello, NOBODYS)
        ]
        assert told[0] == told[1], frame
        # Leaving what one is not in and catching up with it are no errors.
        kinds = {"unsubscribe": "unsubscribed", "sync": "sync"}
        assert json.loads(told[0])["type"] == kinds.get(str(frame["type"]), "error")
    assert await stage.log_of(tea) == [(1, 1)]


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["TEA", "HELLO", NOBODYS, "x" * 70, "\ud800", "\x00", " ", "0", "system"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.just("TEA"), inner, max_size=4)
    ),
    max_leaves=10,
)
FIELDS = sorted({name for entry in COMMANDS.values() for name in entry.schema.fields} | {"ref", "unknown", "type"})
RIGHT = {
    "conversation_id": st.just("TEA"),
    "message_id": st.just("HELLO"),
    "content": st.just("x"),
    "emoji": st.sampled_from("👍👎"),
}


@st.composite
def _frames(draw: st.DrawFn, kind: str) -> Frame:
    """Mostly right, so that it comes far; at one or more places anything at all."""
    names = draw(st.lists(st.sampled_from(FIELDS), max_size=6, unique=True))
    right = {name: draw(RIGHT[name]) for name in RIGHT if draw(st.booleans())}
    return {"type": kind, **right, **{name: draw(VALUES) for name in names}}


@pytest.fixture
async def victim(stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Phone, str, str]]:
    """A phone, a conversation and a message of its own; it may be wrong as often as it likes."""
    monkeypatch.setattr(session, "BAD_FRAMES", 1_000_000)
    (ann,) = stage.people(1)
    client, phone = node.client(ann), await node.phone(ann)
    tea = await client.group()
    yield phone, tea, (await client.send(tea, "hello"))["id"]
    assert (await phone.ask("ping"))["type"] == "pong"


@pytest.mark.parametrize("kind", sorted(COMMANDS))
@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_no_json_at_all_brings_anything_but_a_known_answer(
    victim: tuple[Phone, str, str], kind: str, data: st.DataObject
) -> None:
    phone, tea, hello = victim
    assert ANSWERS.keys() == COMMANDS.keys()
    frame = data.draw(_frames(kind))
    text = json.dumps(frame).replace('"TEA"', f'"{tea}"').replace('"HELLO"', f'"{hello}"')
    heard = await answers_to(phone, text)
    direct = [item for item in heard if item["type"] in ("error", ANSWERS.get(str(frame["type"])))]
    assert len(direct) <= 1, heard
    for item in direct:
        assert item["type"] != "error" or item["code"] in CODES, item
        assert item["type"] != "error" or len(item["message"]) < 200
