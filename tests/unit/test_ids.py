"""Ids: UUIDv7 as RFC 9562 has it, and user ids in the one form that counts."""

import time
from uuid import RFC_4122

import pytest

from messenger.domain.ids import MAX_USER_ID, parse_user_id, uuid7


def test_a_uuid7_has_the_version_and_variant_of_the_rfc() -> None:
    made = [uuid7() for _ in range(1000)]
    assert {(value.version, value.variant) for value in made} == {(7, RFC_4122)}
    assert len(set(made)) == 1000


def test_a_uuid7_begins_with_the_milliseconds_of_now() -> None:
    before = time.time_ns() // 1_000_000
    value = uuid7()
    assert before <= value.int >> 80 <= time.time_ns() // 1_000_000


def test_uuid7s_of_different_milliseconds_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for milliseconds in (0, 1, 255, 256, 1_700_000_000_000, 1_700_000_000_001, 2**48 - 1):
        monkeypatch.setattr("messenger.domain.ids.time.time_ns", lambda now=milliseconds: now * 1_000_000 + 999_999)
        made.append(uuid7())
        assert made[-1].int >> 80 == milliseconds
    assert made == sorted(made)
    assert [str(value) for value in made] == sorted(str(value) for value in made)


@pytest.mark.parametrize("value", [1, 7, 10, 9_007_199_254_740_990, MAX_USER_ID])
def test_a_canonical_user_id_is_read(value: int) -> None:
    assert parse_user_id(str(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "00", "07", "-1", "+1", " 1", "1 ", "1\n", "1.0", "1e3", "1_000", "0x1", "a", "me", "\x00", "\ud800",
        "٧", "７", "²", "①", str(MAX_USER_ID + 1), "9" * 16, "9" * 17, "9" * 5000,
    ],
    ids=lambda text: ascii(text)[:20],
)  # fmt: skip
def test_any_other_text_is_no_user_id(text: str) -> None:
    assert parse_user_id(text) is None
