"""What travels on the bus: it comes out as it went in, and what is no envelope is none."""

from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messenger.domain.ids import MAX_USER_ID, ConversationId, MessageId, UserId
from messenger.protocol import envelope
from messenger.protocol.envelope import (
    Change,
    Deleted,
    Envelope,
    Joined,
    Move,
    News,
    Personal,
    Preferred,
    Profiled,
    Revoked,
    Signal,
)

# A busy machine is no failure.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEA = ConversationId(UUID("01890000-0000-7000-8000-000000000001"))
BODY = b'{"type":"message.new","change":2}'

user_ids = st.builds(UserId, st.integers(1, MAX_USER_ID))
roles = st.sampled_from(["admin", "member", "observer"])
moves = st.builds(Move, st.sampled_from(["came", "went", "role"]), user_ids, roles)
SAID_AT = "2026-01-31T12:00:00Z"
SAID = MessageId(UUID("01890000-0000-7000-8000-000000000002"))
SAID_SO = (str(SAID), SAID_AT)
times = st.datetimes().map(lambda at: at.isoformat() + "Z")
news = st.builds(News, user_ids, st.frozensets(user_ids, max_size=5), st.builds(MessageId, st.uuids()), times)
texts = st.text(st.characters(exclude_categories=["Cs"]))
bodies = st.builds(orjson.dumps, st.dictionaries(texts, st.none() | st.integers(-(2**63), 2**63) | texts))
changes = st.integers(1, 2**53).flatmap(
    lambda change: st.builds(
        Change,
        st.just(change),
        st.integers(0, change - 1),
        st.integers(1, 2**53),
        bodies,
        st.none() | moves,
        st.none() | news,
    )
)
envelopes: st.SearchStrategy[Envelope] = st.one_of(
    changes,
    st.builds(Signal, user_ids, bodies, st.booleans()),
    st.builds(Personal, bodies),
    st.builds(Joined, st.builds(ConversationId, st.uuids())),
    st.builds(Revoked, st.integers(0, 2**53)),
    st.builds(Deleted, bodies),
    st.just(Preferred()),
    st.builds(Profiled, user_ids, st.integers(0, 2**63)),
)
ALL: list[Envelope] = [
    Change(2, 1, 2, BODY),
    Change(2, 0, 1, BODY, Move("went", UserId(7), "observer")),
    Change(2, 1, 2, BODY, news=News(UserId(7), frozenset({UserId(8), UserId(9)}), SAID, SAID_AT)),
    Signal(UserId(7), BODY),
    Signal(UserId(7), BODY, is_shy=True),
    Personal(BODY),
    Joined(TEA),
    Revoked(1_800_000_000),
    Deleted(BODY),
    Preferred(),
    Profiled(UserId(7), 1000),
]


@PATIENT
@given(envelopes, texts)
def test_an_envelope_comes_out_as_it_went_in(told: Envelope, origin: str) -> None:
    assert envelope.decode(envelope.encode(told, origin)) == told


@pytest.mark.parametrize("told", ALL, ids=lambda told: type(told).__name__)
def test_a_node_knows_its_own_words_and_nobody_elses(told: Envelope) -> None:
    said = envelope.encode(told, "n5f3a")
    assert envelope.is_echo(said, envelope.mark_of("n5f3a"))
    assert not any(envelope.is_echo(said, envelope.mark_of(other)) for other in ("n5f3", "5f3a", "n5f3ab", "change"))


def test_what_only_quotes_a_node_is_not_its_own() -> None:
    for data in (b'{"type":"app.x","by":1,"n1"', b'[1,"personal","n2"]\n{"said":["x","n1"]}', b',"n1"', b""):
        assert not envelope.is_echo(data, envelope.mark_of("n1"))


def test_a_body_travels_as_the_very_bytes_that_it_was() -> None:
    body = '{ "spaced" :\t"é\\n\n",\n"x":1}'.encode()
    assert envelope.encode(Personal(body), "n1") == b'[1,"personal","n1"]\n' + body
    assert envelope.decode(envelope.encode(Personal(body), "n1")) == Personal(body)


@pytest.mark.parametrize("told", ALL, ids=lambda told: type(told).__name__)
def test_no_truncation_is_an_envelope(told: Envelope) -> None:
    whole = envelope.encode(told, "n1")
    assert envelope.decode(whole) == told
    assert [cut for cut in range(len(whole)) if envelope.decode(whole[:cut]) is not None] == []


@PATIENT
@given(st.binary())
def test_garbage_is_none(data: bytes) -> None:
    assert envelope.decode(data) is None


@PATIENT
@given(
    st.lists(st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-(2**63), 2**63) | texts, max_size=8)
)
def test_a_list_of_anything_is_none(parts: list[Any]) -> None:
    assert envelope.decode(orjson.dumps(parts) + b"\n" + BODY) is None


@PATIENT
@given(st.lists(st.recursive(st.none() | st.integers(0, 9) | texts, lambda inner: st.lists(inner)), max_size=5))
def test_the_right_beginning_does_not_make_an_envelope(rest: list[Any]) -> None:
    for kind in ("change", "signal", "personal", "joined", "deleted", "preferred", "profiled", "unheard-of"):
        data = orjson.dumps([1, kind, "n1", "rubbish", rest])
        assert envelope.decode(data + b"\n" + BODY) is None


def test_none_of_these_is_an_envelope() -> None:
    good = [1, "change", "n1", 2, 1, 2, None, None]
    assert envelope.decode(orjson.dumps(good) + b"\n" + BODY) == Change(2, 1, 2, BODY)

    def told(*parts: Any) -> bytes:
        return orjson.dumps(parts) + b"\n" + BODY

    for data in (
        orjson.dumps(good),  # no body
        orjson.dumps(good) + b"\n",
        orjson.dumps(good) + b"\n[1]",
        orjson.dumps(good) + b'\n"{}"',
        orjson.dumps(good) + BODY,
        b"\n" + BODY,
        told(2, *good[1:]),  # another version
        told("1", *good[1:]),
        told(1, "changed", *good[2:]),
        told(1, "change", 7, *good[3:]),  # nobody speaks
        told(1, "change", None, *good[3:]),
        told(*good[:-1]),
        told(*good, None),
        told(1, "change", "n1", 2, 2, 2, None, None),  # covers nothing
        told(1, "change", "n1", 1, 2, 2, None, None),
        told(1, "change", "n1", 2, -1, 2, None, None),
        told(1, "change", "n1", 2, 1, 0, None, None),
        told(1, "change", "n1", 2.0, 1, 2, None, None),
        told(1, "change", "n1", "2", 1, 2, None, None),
        told(1, "change", "n1", 2, 1, 2, [], None),
        told(1, "change", "n1", 2, 1, 2, ["came", 7], None),
        told(1, "change", "n1", 2, 1, 2, ["came", "7", "member"], None),
        told(1, "change", "n1", 2, 1, 2, ["came", 0, "member"], None),
        told(1, "change", "n1", 2, 1, 2, ["came", MAX_USER_ID + 1, "member"], None),
        told(1, "change", "n1", 2, 1, 2, ["came", 7, "owner"], None),
        told(1, "change", "n1", 2, 1, 2, ["flew", 7, "member"], None),
        told(1, "change", "n1", 2, 1, 2, None, []),
        told(1, "change", "n1", 2, 1, 2, None, [7]),
        told(1, "change", "n1", 2, 1, 2, None, [7, 8]),
        told(1, "change", "n1", 2, 1, 2, None, [7, [8]]),
        told(1, "change", "n1", 2, 1, 2, None, [7, [8], "no-id", SAID_AT]),
        told(1, "change", "n1", 2, 1, 2, None, [7, [8], str(SAID), "noon"]),
        told(1, "change", "n1", 2, 1, 2, None, [7, [8], *SAID_SO, 9]),
        told(1, "change", "n1", 2, 1, 2, None, ["7", [], *SAID_SO]),
        told(1, "change", "n1", 2, 1, 2, None, [None, [], *SAID_SO]),
        told(1, "change", "n1", 2, 1, 2, None, [True, [], *SAID_SO]),
        told(1, "change", "n1", 2, 1, 2, None, [0, [], *SAID_SO]),
        told(1, "change", "n1", 2, 1, 2, None, [7, ["8"], *SAID_SO]),
        told(1, "change", "n1", 2, 1, 2, None, [7, [8.0], *SAID_SO]),
        told(1, "change", "n1", 2, 1, 2, None, [7, [MAX_USER_ID + 1], *SAID_SO]),
        told(1, "change", "n1", 2, 1, 2, None, {"7": []}),
        told(1, "signal", "n1", False),
        told(1, "signal", "n1", None, False),
        told(1, "signal", "n1", "7", False),
        told(1, "signal", "n1", 7),
        told(1, "signal", "n1", 7, None),
        told(1, "signal", "n1", 7, 1),
        told(1, "preferred", "n1", 7),
        told(1, "profiled", "n1"),
        told(1, "profiled", "n1", 7),
        told(1, "profiled", "n1", 0, 1000),
        told(1, "profiled", "n1", "7", 1000),
        told(1, "profiled", "n1", 7, None),
        told(1, "profiled", "n1", 7, 1000, 7),
        told(1, "personal", "n1", 7),
        told(1, "deleted", "n1", 7),
        told(1, "joined", "n1"),
        told(1, "joined", "n1", None),
        told(1, "joined", "n1", 7),
        told(1, "joined", "n1", "rubbish"),
        orjson.dumps({"0": 1}) + b"\n" + BODY,
        b"[" * 100_000,
    ):
        assert envelope.decode(data) is None, data[:80]


@pytest.mark.parametrize("data", [b'{"type":"app.call","n":1}', b'{"n": {"m": []}, "type" : "app."}'])
def test_an_app_object_of_the_hosts_is_for_one_person_as_it_is(data: bytes) -> None:
    assert envelope.decode(data) == Personal(data)


@pytest.mark.parametrize(
    "data",
    [
        b"{", b"{}", b'{"type":"message.new"}', b'{"type":"apple"}', b'{"type":"App.call"}', b'{"type":["app.call"]}',
        b'{"type":null}', b'{"type":7}', b'{"type":"app.call"', b'{"type":"app.call"}x', b'[{"type":"app.call"}]',
        b' {"type":"app.call"}', b'{"type":"app.\xff"}', b'{"type":"app.call","n":' + b"[" * 5000,
    ],
    ids=lambda data: ascii(data)[:40],
)  # fmt: skip
def test_any_other_object_from_outside_is_none(data: bytes) -> None:
    assert envelope.decode(data) is None
