"""What is decoded by hand is what the schema makes of it, and what the schema refuses is never decoded."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messenger.errors import MessengerError
from messenger.protocol import schemas
from messenger.transport.commands import COMMANDS

TEA = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
REFUSED = object()
QUICK = {named: entry for named, entry in COMMANDS.items() if entry.quick is not None}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
# Nearly right, more often than anything at all.
IDS = st.sampled_from(
    [TEA, TEA.upper(), TEA[:-1], TEA + "0", "{" + TEA + "}", TEA.replace("-", ""), TEA + "\n", ""]
) | st.uuids().map(str)
TEXTS = st.text(max_size=70) | st.sampled_from(["text", "file", "a\x00b", "\ud800", "x" * 64, "x" * 65, ""])
FIELDS: Mapping[str, st.SearchStrategy[Any]] = {
    "conversation_id": IDS | JSON,
    "message_id": IDS | JSON,
    "content": TEXTS | JSON,
    "message_type": TEXTS | JSON,
    "client_id": TEXTS | JSON,
    "reply_to": IDS | JSON,
    "mentions": st.lists(st.integers(0, 5), max_size=3) | JSON,
    "attachments": st.just([]) | JSON,
    "metadata": st.just({}) | JSON,
    "is_typing": st.booleans() | JSON,
    "something": JSON,
}
FRAMES = st.fixed_dictionaries({}, optional=dict(FIELDS)) | st.fixed_dictionaries(
    {"conversation_id": IDS, "message_id": IDS, "content": TEXTS},
    optional={"client_id": TEXTS, "is_typing": st.booleans()},
)


def loaded(named: str, frame: Mapping[str, Any]) -> Any:
    try:
        return schemas.load(COMMANDS[named].schema, frame)
    except MessengerError:
        return REFUSED


@pytest.mark.parametrize("named", QUICK)
@given(frame=FRAMES)
@settings(max_examples=500, deadline=None)
def test_whatever_is_decoded_by_hand_is_what_the_schema_makes_of_it(named: str, frame: dict[str, Any]) -> None:
    quick = QUICK[named].quick
    assert quick is not None
    decoded = quick(frame)
    assert decoded is None or decoded == loaded(named, frame)


@pytest.mark.parametrize("named", QUICK)
def test_what_is_plain_needs_no_schema(named: str) -> None:
    frame = {"type": named, "ref": "1", "conversation_id": TEA, "message_id": TEA, "content": "hi", "client_id": "c"}
    quick = QUICK[named].quick
    assert quick is not None
    assert quick(frame) == loaded(named, frame) != REFUSED


def test_the_frames_that_are_said_most_are_among_them() -> None:
    assert set(QUICK) == {"message.send", "message.read", "typing"}
