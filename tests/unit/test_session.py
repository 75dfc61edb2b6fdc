"""Nicknames and codes: what is taken for a name, which names count as one, and what a made code looks like."""

import pytest

from messenger.domain.session import make_code, nickname_key, nickname_of


@pytest.mark.parametrize(
    ("text", "nickname"),
    [
        ("Ann", "Ann"),
        ("  Ann  ", "Ann"),
        ("Zoe\u0308", "Zoë"),
        ("김 민준", "김 민준"),
        ("नेहा", "नेहा"),
        ("42", "42"),
        ("Ann\u00a0\u2003B", "Ann B"),
        ("x" * 20, "x" * 20),
    ],
)
def test_letters_digits_and_spaces_of_any_script_make_a_nickname(text: str, nickname: str) -> None:
    assert nickname_of(text) == nickname


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "A", " A ", "x" * 21),
        *(
            "Ann!",
            "<b>Ann",
            "A\u0000n",
            "A\nn",
            "Ann🙂",
            "A_n",
            "A-n",
            "A\u200bn",
            "A\u202en",
            "²²",
            "A\ud800n",
            "Ann\ufe0f",
            "A\u3164n",
        ),
        "\u0301\u0301",  # marks on nothing
    ],
)
def test_anything_else_makes_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"must have 2 to 20 characters|may have letters, digits and spaces only"):
        nickname_of(text)


@pytest.mark.parametrize(
    ("one", "other"), [("Ann", "ANN"), ("Straße", "STRASSE"), ("Zoë", "ZOE\u0308"), ("Σίσυφος", "ΣΊΣΥΦΟΣ")]
)
def test_nicknames_that_look_alike_folded_count_as_one(one: str, other: str) -> None:
    assert nickname_key(nickname_of(one)) == nickname_key(nickname_of(other))


@pytest.mark.parametrize(("one", "other"), [("Ann", "Anne"), ("Zoe", "Zoë"), ("Ann B", "AnnB")])
def test_others_do_not(one: str, other: str) -> None:
    assert nickname_key(nickname_of(one)) != nickname_key(nickname_of(other))


def test_a_made_code_is_long_and_has_no_look_alikes() -> None:
    codes = {make_code() for _ in range(1000)}
    assert len(codes) == 1000
    assert {len(code) for code in codes} == {8}
    letters = set("".join(codes))
    assert letters == set("ABCDEFGHJKLMNPQRSTUVWXYZ23456789")
