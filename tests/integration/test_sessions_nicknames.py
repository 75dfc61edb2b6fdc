"""What a guest of a live session (dialect A) may be called, and which nicknames count as the same."""

import asyncio
import unicodedata
from typing import Any

import asyncpg
import pytest

from tests.support.node import Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import token
from tests.support.reachable import SECRET
from tests.support.sessions import LiveSession, ask, join, open_session, problem, session_of_stage

stage = stage_with()
node = node_of_stage()
bees = session_of_stage()
TAKEN = problem(400, "nickname_taken", "Nickname is already taken")
TOO_SHORT_OR_LONG = problem(422, "invalid_frame", "nickname must have 2 to 20 characters", field="nickname")
OTHER = problem(422, "invalid_frame", "nickname may have letters, digits and spaces only", field="nickname")
UNSTORABLE = problem(422, "invalid_frame", "nickname must not contain U+0000 or lone surrogates", field="nickname")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Bo", "Bo"),
        ("x" * 20, "x" * 20),
        ("  Ben\t\n", "Ben"),
        ("Ben  the\u00a0 Bee", "Ben the Bee"),
        ("42", "42"),
        ("शर्मिष्ठा", "शर्मिष्ठा"),
        ("मोदक ४२", "मोदक ४२"),
        ("สมชาย", "สมชาย"),
        ("김민준", "김민준"),
        ("李雷", "李雷"),
        ("Ольга", "Ольга"),
        ("مُحَمَّد ١٢", "مُحَمَّد ١٢"),
        ("𐐨𐑋𐐨", "𐐨𐑋𐐨"),
        (unicodedata.normalize("NFD", "Zoë"), "Zoë"),
        (unicodedata.normalize("NFD", "é" * 20), "é" * 20),
        (unicodedata.normalize("NFD", "각" * 20), "각" * 20),
    ],
)
async def test_a_nickname_is_letters_marks_digits_and_spaces_of_any_script(
    node: Node, bees: LiveSession, given: str, kept: str
) -> None:
    status, told = await join(node, bees.code, given)
    assert (status, told.get("participant", told).get("nickname")) == (200, kept)


@pytest.mark.parametrize("nickname", ["", " ", "B", "  B  ", "x" * 21, "\u00e9" * 21, "\t\n"])
async def test_a_nickname_has_2_to_20_characters_once_it_is_trimmed(
    node: Node, bees: LiveSession, nickname: str
) -> None:
    assert await join(node, bees.code, nickname) == TOO_SHORT_OR_LONG


@pytest.mark.parametrize(
    "nickname",
    ["Ben 🐝", "<b>Ben", "Ben_1", "B-n", "Ben.", "B\nen", "B\ten", "Be\u200bn", "Be\u202en", "½½", "²²", "Ⅳ Ⅴ"]
    + ["\u0301\u0301", "B\u0007en", "Be\u2028n", "@ben", "Be'n", "\ue000\ue000"],
)
async def test_a_nickname_has_nothing_else(node: Node, bees: LiveSession, nickname: str) -> None:
    assert await join(node, bees.code, nickname) == OTHER


@pytest.mark.parametrize("nickname", ["Ben\x00", "Ben\ud800"])
async def test_a_nickname_that_nobody_can_store_is_refused(node: Node, bees: LiveSession, nickname: str) -> None:
    assert await join(node, bees.code, nickname) == UNSTORABLE


@pytest.mark.parametrize("body", [{}, {"nickname": None}, {"nickname": 42}, {"nickname": ["Ben"]}])
async def test_a_nickname_is_a_text(node: Node, bees: LiveSession, body: Any) -> None:
    status, told = await ask(node, "POST", f"/join/{bees.code}", None, body)
    assert (status, told["code"], told["field"]) == (422, "invalid_frame", "nickname")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Ben", "Ben"),
        ("Ben", " bEN "),
        ("Straße", "STRASSE"),
        ("José", unicodedata.normalize("NFD", "José")),
        (unicodedata.normalize("NFD", "JOSÉ"), "josé"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("Big Ben", "big  ben"),
    ],
)
async def test_a_nickname_is_taken_in_any_case_and_spelling(
    node: Node, bees: LiveSession, first: str, second: str
) -> None:
    assert (await join(node, bees.code, first))[0] == 200
    assert await join(node, bees.code, second) == TAKEN


@pytest.mark.parametrize(
    ("name", "nickname"),
    [
        ("Ann", "ann"),
        ("Straße", "STRASSE"),
        ("STRASSE", "Straße"),
        (unicodedata.normalize("NFD", "René"), "RENÉ"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
    ],
)
async def test_no_guest_passes_for_the_host(stage: Stage, node: Node, name: str, nickname: str) -> None:
    (host,) = stage.people(1)
    status, bees = await ask(node, "POST", "/sessions", token(host, SECRET, name=name), {"title": "Bees"})
    assert (status, bees["participant"]["nickname"]) == (201, name)
    assert await join(node, bees["session_code"], nickname) == TAKEN


async def test_the_same_nickname_is_free_in_another_session(stage: Stage, node: Node, bees: LiveSession) -> None:
    (other,) = stage.people(1)
    wasps = await open_session(node, other)
    assert (await bees.join(node, "Ben")).id != (await wasps.join(node, "Ben")).id


async def test_a_nickname_stays_taken_after_leaving(node: Node, bees: LiveSession) -> None:
    ben = await bees.join(node, "Ben")
    async with bees.ear(node, ben) as ear:
        assert await ear.heard() == []
    async with asyncio.timeout(10):
        while (await bees.status(node))["online_count"]:
            await asyncio.sleep(0.02)
    assert await join(node, bees.code, "Ben") == TAKEN


async def test_of_many_who_want_a_nickname_at_once_one_gets_it(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    nodes = await cluster.node(), await cluster.node()
    bees = await open_session(nodes[0], 1)
    answers = await asyncio.gather(*(join(nodes[place % 2], bees.code, "Ben") for place in range(20)))
    assert sorted(status for status, _ in answers) == [200] + [400] * 19
    assert [answer for answer in answers if answer[0] == 400] == [TAKEN] * 19
    # Who was refused has left nothing behind.
    assert await oracle.fetchval("select count(*) from messenger.users where kind = 'guest'") == 1
    assert (await bees.status(nodes[1]))["total_participants"] == 1
