"""Uploads: who sees one, what a message says of it, and when nobody needs it any more."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.support.scene import (
    ANN,
    APPEND,
    BEN,
    BURY,
    CARRY,
    CYD,
    DEE,
    DELETE,
    DENIED,
    EVE,
    GUS,
    HAL,
    UPLOAD,
    Scene,
    acting,
    batch,
    carrying,
    create,
    draft,
    failed,
    outcome,
    refusal,
    until_it_waits,
)

SEEN = "select id from messenger.attachments"
CLEAR = "select messenger.clear_attachments($1, $2)"
NOW, MOST = timedelta(), 100


def path_of(attachment_id: UUID) -> str:
    return f"/api/v1/messenger/attachments/{attachment_id}"


def canonical(attachment_id: UUID, name: str) -> dict[str, Any]:
    """What a message says of a file of the scene's."""
    return {
        "url": path_of(attachment_id),
        "name": name,
        "size": 7,
        "mime_type": "image/png",
        "width": 40,
        "height": 30,
        "thumbnail": True,
    }


async def seen_by(scene: Scene, user_id: int) -> set[UUID]:
    return {row["id"] for row in await scene.act(user_id, SEEN)}


async def uploaded(scene: Scene, user_id: int) -> UUID:
    attachment_id = uuid4()
    await scene.act(user_id, UPLOAD, attachment_id, "trail.png")
    return attachment_id


async def carried(scene: Scene, user_id: int, place: UUID, *items: dict[str, Any]) -> tuple[UUID, list[Any]]:
    """Say something with attachments; the message's id, and what it says of them."""
    (row,) = await scene.act(user_id, CARRY, place, uuid4(), "See", json.dumps(items))
    return row["id"], json.loads(row["attachments"])


async def is_idle(witness: asyncpg.Connection, attachment_id: UUID) -> bool:
    found = await witness.fetchrow("select idle_since from messenger.attachments where id = $1", attachment_id)
    assert found is not None
    return found["idle_since"] is not None


async def test_a_file_is_seen_by_who_sees_a_message_that_carries_it(scene: Scene) -> None:
    tea, late, den = scene.files[scene.tea], scene.files[scene.late], scene.files[scene.den]
    for user_id, expected in {
        ANN: {tea, late},
        BEN: {tea, late},
        CYD: {tea},
        DEE: set[UUID](),  # it was said before she came
        EVE: {den},
        GUS: set[UUID](),  # he was removed
        HAL: {den},
    }.items():
        assert await seen_by(scene, user_id) == expected, user_id


async def test_until_it_is_sent_only_its_uploader_sees_it(scene: Scene) -> None:
    mine = await uploaded(scene, BEN)
    assert mine in await seen_by(scene, BEN)
    assert mine not in await seen_by(scene, ANN)
    await carried(scene, BEN, scene.tea, {"url": path_of(mine)})
    assert mine in await seen_by(scene, ANN)
    assert mine not in await seen_by(scene, EVE)


async def test_nobody_uploads_in_anothers_name(scene: Scene) -> None:
    async with scene.database.as_user(EVE) as connection:
        told = await refusal(connection, UPLOAD.replace("messenger.current_user_id()", str(ANN)), uuid4(), "x")
        assert told.state == DENIED


@pytest.mark.parametrize("change", ["update messenger.attachments set name = 'x'", "delete from messenger.attachments"])
async def test_nobody_alters_what_stands_in_the_books(scene: Scene, change: str) -> None:
    async with scene.database.as_user(ANN) as connection:
        assert (await refusal(connection, change)).state == DENIED


async def test_a_message_says_of_a_file_what_it_is_whatever_its_sender_claims(scene: Scene) -> None:
    mine = await uploaded(scene, BEN)
    _, told = await carried(
        scene, BEN, scene.tea, {"url": path_of(mine), "name": "salary.xls", "size": 1, "mime_type": "text/html"}
    )
    assert told == [canonical(mine, "trail.png")]


async def test_a_file_without_a_picture_says_so_by_silence(scene: Scene) -> None:
    mine = uuid4()
    await scene.act(BEN, UPLOAD.replace("40, 30, true", "null, null, false"), mine, "notes.txt")
    _, told = await carried(scene, BEN, scene.tea, {"url": path_of(mine)})
    assert told == [{"url": path_of(mine), "name": "notes.txt", "size": 7, "mime_type": "image/png"}]


async def test_what_one_may_see_one_may_pass_on(scene: Scene) -> None:
    anns = scene.files[scene.tea]
    _, told = await carried(scene, BEN, scene.pair, {"url": f"https://chat.example.org{path_of(anns)}"})
    assert told == [canonical(anns, "Ann.png")]


async def test_a_transaction_that_is_about_one_conversation_passes_on_from_another(scene: Scene) -> None:
    anns = scene.files[scene.tea]
    (row,) = await scene.act(BEN, APPEND, *batch(draft(BEN, scene.pair, attachments=carrying(anns))))
    assert row["outcome"] == "appended"
    async with acting(scene.database, BEN) as connection:
        await connection.execute("select messenger.enter($1, $2)", BEN, [scene.pair])
        await connection.fetch(CARRY, scene.pair, uuid4(), "See", carrying(anns))
        # And is about that one still.
        assert await connection.fetchval("select messenger.current_scope()") == [scene.pair]


async def test_somebody_elses_file_is_refused_like_one_that_is_not_there(scene: Scene) -> None:
    async with scene.database.as_user(EVE) as connection:
        for id_ in (scene.files[scene.tea], uuid4()):
            told = await refusal(connection, CARRY, scene.den, uuid4(), "See", carrying(id_))
            assert told == failed("invalid_frame")
    rows = await scene.act(EVE, APPEND, *batch(draft(EVE, scene.den, attachments=carrying(scene.files[scene.tea]))))
    assert [row["outcome"] for row in rows] == ["invalid_frame"]


async def test_a_foreign_address_that_looks_like_ours_opens_nothing(scene: Scene, witness: asyncpg.Connection) -> None:
    item = {"url": f"https://evil.example{path_of(scene.files[scene.tea])}", "name": "x"}
    message_id, told = await carried(scene, EVE, scene.den, item)
    assert told == [item]
    assert scene.files[scene.tea] not in await seen_by(scene, EVE)
    assert not await witness.fetch("select from messenger.attachment_uses where message_id = $1", message_id)


async def test_what_is_deleted_carries_nothing(scene: Scene, witness: asyncpg.Connection) -> None:
    mine = await uploaded(scene, BEN)
    assert await is_idle(witness, mine)
    first, _ = await carried(scene, BEN, scene.tea, {"url": path_of(mine)})
    second, _ = await carried(scene, BEN, scene.pair, {"url": path_of(mine)})
    assert not await is_idle(witness, mine)
    await scene.act(BEN, BURY, first)
    assert not await is_idle(witness, mine)
    assert mine not in await seen_by(scene, CYD)
    assert mine in await seen_by(scene, ANN)
    await scene.act(BEN, BURY, second)
    assert await is_idle(witness, mine)
    assert mine not in await seen_by(scene, ANN)


async def test_a_conversation_takes_its_files_with_it(scene: Scene, witness: asyncpg.Connection) -> None:
    mine, place = await uploaded(scene, ANN), await create(scene.database, ANN, "group", BEN)
    await carried(scene, ANN, place, {"url": path_of(mine)})
    await scene.act(ANN, DELETE, place)
    assert await is_idle(witness, mine)
    assert mine not in await seen_by(scene, BEN)


async def test_what_nobody_needs_is_cleared_away_when_it_is_time(scene: Scene) -> None:
    mine = await uploaded(scene, BEN)
    async with scene.database.as_user(None) as connection:
        assert await outcome(connection, CLEAR, timedelta(hours=1), MOST) == "[]"
        assert await outcome(connection, CLEAR, NOW, 0) == "[]"
        told = await outcome(connection, CLEAR, NOW, MOST)
        assert str(mine) in str(told)
        assert str(scene.files[scene.tea]) not in str(told)


async def test_who_sends_a_file_while_it_is_cleared_away_keeps_it_or_is_told(
    scene: Scene, witness: asyncpg.Connection
) -> None:
    mine = await uploaded(scene, BEN)
    async with acting(scene.database, BEN) as sending:
        await sending.fetch(CARRY, scene.tea, uuid4(), "See", carrying(mine))
        async with scene.database.as_user(None) as clearing:
            assert str(mine) not in str(await outcome(clearing, CLEAR, NOW, MOST))
    late = await uploaded(scene, BEN)
    async with acting(scene.database, ANN) as clearing, acting(scene.database, BEN) as sending:
        assert late in [row[0] for row in await clearing.fetch(CLEAR, NOW, MOST)]
        told = asyncio.create_task(refusal(sending, CARRY, scene.tea, uuid4(), "See", carrying(late)))
        await until_it_waits(witness, sending)
        await clearing.execute("commit; begin")
        assert await told == failed("invalid_frame")
    assert not await is_idle(witness, mine)


@pytest.mark.parametrize("last", [True, False])
async def test_of_two_at_once_the_second_knows_what_the_first_did(
    scene: Scene, witness: asyncpg.Connection, last: bool
) -> None:
    """Both messages that carry it go; or one goes, and another one takes it."""
    mine = await uploaded(scene, BEN)
    first, _ = await carried(scene, BEN, scene.tea, {"url": path_of(mine)})
    second = (await carried(scene, BEN, scene.pair, {"url": path_of(mine)}))[0] if last else None
    async with acting(scene.database, BEN) as one, acting(scene.database, BEN) as other:
        await one.execute(BURY, first)
        doing = asyncio.create_task(
            other.execute(BURY, second) if last else other.execute(CARRY, scene.pair, uuid4(), "See", carrying(mine))
        )
        await until_it_waits(witness, other)
        await one.execute("commit; begin")
        await doing
        await other.execute("commit; begin")
    assert await is_idle(witness, mine) == last


async def test_what_is_used_and_was_taken_for_idle_holds_nothing_up(scene: Scene, witness: asyncpg.Connection) -> None:
    mine = await uploaded(scene, BEN)
    since = "update messenger.attachments set idle_since = $1::text::timestamptz where id = $2"
    await witness.execute(since, "2020-01-01", scene.files[scene.tea])
    await witness.execute(since, "2021-01-01", mine)
    async with scene.database.as_user(None) as connection:
        assert str(mine) in str(await outcome(connection, CLEAR, NOW, 1))
