"""The scope of a transaction narrows what its user sees and may write, and never widens it."""

from uuid import uuid4

import asyncpg
import pytest

from tests.support.scene import ANN, BEN, DEE, DENIED, EVE, RENAME, SAY, Scene, failed, refusal

MINE = "select id from messenger.conversations order by id"
MESSAGES = "select id from messenger.messages where message_type <> 'system' order by seq"


async def test_a_scope_narrows_to_its_conversations(scene: Scene) -> None:
    async with scene.database.as_user(ANN) as connection:
        everything = {row["id"] for row in await connection.fetch(MINE)}
    assert everything == {scene.tea, scene.hall, scene.late, scene.pair}
    async with scene.database.as_user(ANN, scene.hall, scene.pair) as connection:
        assert {row["id"] for row in await connection.fetch(MINE)} == {scene.hall, scene.pair}
        messages = {row["id"] for row in await connection.fetch(MESSAGES)}
        assert messages == {*scene.said[scene.hall], *scene.said[scene.pair]}
        assert {row["id"] for row in await connection.fetch("select id from messenger.users")} == {ANN, BEN}


async def test_a_scope_does_not_widen(scene: Scene) -> None:
    async with scene.database.as_user(EVE, scene.tea, scene.den, uuid4()) as connection:
        assert [row["id"] for row in await connection.fetch(MINE)] == [scene.den]
        assert [row["id"] for row in await connection.fetch(MESSAGES)] == scene.said[scene.den]
        assert await refusal(connection, SAY, scene.tea, uuid4(), "Hello?") == failed("not_participant")
        assert await refusal(connection, RENAME, scene.tea, "Eve's") == failed("not_participant")


async def test_a_scope_does_not_lift_the_veil_from_before_joining(scene: Scene) -> None:
    async with scene.database.as_user(DEE) as connection:
        unscoped = await connection.fetch(MESSAGES)
    assert [row["id"] for row in unscoped] == scene.said[scene.late][3:]
    for scope in ((scene.late,), (scene.late, scene.tea), (uuid4(), scene.late)):
        async with scene.database.as_user(DEE, *scope) as connection:
            assert await connection.fetch(MESSAGES) == unscoped


@pytest.mark.parametrize("scope", ["{}", "{00000000-0000-0000-0000-000000000000}"])
async def test_a_scope_of_nothing_shows_and_takes_nothing(scene: Scene, scope: str) -> None:
    async with scene.database.as_user(ANN) as connection:
        await connection.execute("select set_config('messenger.scope', $1, true)", scope)
        assert await connection.fetch(MINE) == []
        assert await connection.fetch(MESSAGES) == []
        assert [row["id"] for row in await connection.fetch("select id from messenger.users")] == [ANN]
        assert (await refusal(connection, SAY, scene.tea, uuid4(), "Out of scope")).state == DENIED
        assert await connection.execute("update messenger.messages set content = 'Out of scope'") == "UPDATE 0"


async def test_entering_again_forgets_the_scope(scene: Scene) -> None:
    async with scene.database.as_user(ANN, scene.hall) as connection:
        await connection.execute("select messenger.enter($1)", ANN)
        assert len(await connection.fetch(MINE)) == 4


async def test_a_scope_that_is_no_list_of_ids_opens_nothing(scene: Scene) -> None:
    async with scene.database.as_user(ANN) as connection:
        await connection.execute("select set_config('messenger.scope', 'everything', true)")
        with pytest.raises(asyncpg.InvalidTextRepresentationError):
            await connection.fetch(MINE)
