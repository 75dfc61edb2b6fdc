"""How far one has read: one's own word, of a message one sees, never backwards."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from messenger.errors import MessageNotFound
from messenger.store.messages import MessageStore
from messenger.store.session import Store
from tests.support.scene import (
    ANN,
    BEN,
    CYD,
    DEE,
    DELETE,
    DENIED,
    EVE,
    MARK,
    READ,
    REMOVE,
    SAY,
    Scene,
    acting,
    outcome,
    refusal,
)

RECEIPTS = "select user_id, last_read_seq from messenger.read_receipts where conversation_id = $1 order by user_id"
WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


async def test_reading_moves_forward_only(own_scene: Scene) -> None:
    tea = own_scene.tea
    last = (await own_scene.act(ANN, SAY, tea, uuid4(), "The last"))[0]
    for message, told in (
        (own_scene.said[tea][1], (3, 2, True)),
        (own_scene.said[tea][0], (3, 2, False)),
        (last["id"], (6, 0, True)),
        (last["id"], (6, 0, False)),
        (own_scene.said[tea][0], (6, 0, False)),
    ):
        rows = await own_scene.act(CYD, READ, CYD, message)
        assert [tuple(row) for row in rows] == [told]


async def test_ones_own_words_and_the_systems_are_never_unread(scene: Scene) -> None:
    async with scene.database.as_user(ANN) as connection:
        # Of five entries two are the system's and two are hers.
        assert await connection.fetchval("select messenger.my_unread_count($1, 0)", scene.tea) == 1


async def test_a_participant_sees_how_far_the_others_are(scene: Scene) -> None:
    async with scene.database.as_user(ANN) as connection:
        assert [tuple(row) for row in await connection.fetch(RECEIPTS, scene.tea)] == [(BEN, 2)]


@pytest.mark.parametrize("meddler", [ANN, CYD, EVE])
async def test_nobody_marks_for_another(scene: Scene, meddler: int) -> None:
    message = scene.said[scene.tea][1]
    mark = "insert into messenger.read_receipts (conversation_id, user_id, message_id, last_read_seq) values ($1, $2, $3, 3)"
    async with scene.database.as_user(meddler) as connection:
        assert (await refusal(connection, mark, scene.tea, DEE, message)).state == DENIED
        moved = await connection.execute(
            "update messenger.read_receipts set message_id = $1, last_read_seq = 3 where user_id = $2", message, BEN
        )
        assert moved == "UPDATE 0"
        for column in ("conversation_id", "user_id"):
            told = await refusal(connection, f"update messenger.read_receipts set {column} = {column}")
            assert told.state == DENIED
        assert (await refusal(connection, "delete from messenger.read_receipts")).state == DENIED


async def test_a_mark_stands_where_its_message_stands(scene: Scene) -> None:
    message, elsewhere = scene.said[scene.tea][0], scene.said[scene.pair][0]
    async with scene.database.as_user(ANN) as connection:
        for wrong in ((message, 3), (message, 2**60), (elsewhere, 1), (uuid4(), 1), (None, 1), (message, None)):
            told = await refusal(connection, MARK, scene.tea, *wrong)
            assert (told.state, told.constraint) == (DENIED, None), wrong
        assert await outcome(connection, MARK, scene.tea, message, 2) == "[]"


async def test_wishes_are_ones_own(scene: Scene) -> None:
    wish = "insert into messenger.notification_settings (conversation_id, user_id) values ($1, $2)"
    mine = "select user_id from messenger.notification_settings"
    async with scene.database.as_user(ANN) as connection:
        assert await connection.fetch(mine) == []
        assert (await refusal(connection, wish, scene.tea, CYD)).state == DENIED
        assert (await refusal(connection, wish, scene.den, ANN)).state == DENIED
        await connection.execute(wish, scene.tea, ANN)
        # Nor are they given away.
        for giving in (f"user_id = {CYD}", f"conversation_id = '{scene.den}'"):
            told = await refusal(connection, f"update messenger.notification_settings set {giving}")
            assert told.state == DENIED
    async with scene.database.as_user(BEN) as connection:
        assert {row["user_id"] for row in await connection.fetch(mine)} == {BEN}


@pytest.mark.parametrize("deed", [REMOVE, DELETE], ids=["removed", "deleted"])
async def test_who_is_removed_while_he_reads_finds_no_message(
    own_scene: Scene, oracle: asyncpg.Connection, deed: str
) -> None:
    """His mark waits for the row of his membership, which then is gone: no surprise, and no internal error."""
    tea = own_scene.tea

    async def read(messages: MessageStore, message: UUID) -> object:
        with pytest.raises(MessageNotFound) as told:
            await messages.mark_read(CYD, message)  # type: ignore[arg-type]
        return told.value.code

    async with Store.connected(own_scene.database.app_url) as store:
        async with acting(own_scene.database, ANN) as admin:
            await admin.fetch(deed, tea, *([CYD] if deed == REMOVE else []))
            reading = asyncio.create_task(read(MessageStore(store), own_scene.said[tea][0]))
            async with asyncio.timeout(10):
                while await oracle.fetchval(WAITING) == 0:
                    await asyncio.sleep(0.005)
        assert await reading == "message_not_found"
