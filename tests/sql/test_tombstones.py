"""Who may turn what into a tombstone, and that it stays one."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.support.scene import (
    ANN,
    ANSWER,
    BEN,
    BURY,
    CYD,
    DEE,
    DENIED,
    EDIT,
    EVE,
    SET_ROLE,
    Scene,
    failed,
    outcome,
    refusal,
)

BURY_AS = """
    update messenger.messages
    set content = null, mentions = '{}', attachments = '[]', metadata = '{}', deleted_at = clock_timestamp(), deleted_by = $2
    where id = $1
"""
RAISE = "update messenger.messages set content = 'I live', deleted_at = null, deleted_by = null where id = $1"


async def buried(scene: Scene, undertaker: int) -> UUID:
    """Ben's message, a tombstone now; undone with the scene."""
    message = scene.said[scene.tea][1]
    await scene.act(undertaker, BURY, message)
    return message


@pytest.mark.parametrize("undertaker", [ANN, BEN])
async def test_an_author_and_an_admin_leave_a_tombstone(
    own_scene: Scene, oracle: asyncpg.Connection, undertaker: int
) -> None:
    last = await oracle.fetchval(
        "select last_change from messenger.conversation_heads where conversation_id = $1", own_scene.tea
    )
    message = await buried(own_scene, undertaker)
    row = await oracle.fetchrow("select * from messenger.messages where id = $1", message)
    told: dict[str, Any] = {
        name: row[name] for name in ("content", "mentions", "attachments", "metadata", "deleted_by")
    }
    assert told == {"content": None, "mentions": [], "attachments": "[]", "metadata": "{}", "deleted_by": undertaker}
    assert (row["seq"], row["change"], row["sender_id"]) == (3, last + 1, BEN)


@pytest.mark.parametrize("meddler", [CYD, DEE, EVE])
async def test_nobody_else_does(scene: Scene, meddler: int) -> None:
    async with scene.database.as_user(meddler) as connection:
        assert await connection.execute(BURY, scene.said[scene.tea][1]) == "UPDATE 0"


async def test_a_member_buries_no_message_of_another(scene: Scene) -> None:
    async with scene.database.as_user(BEN) as connection:
        assert await connection.execute(BURY, scene.said[scene.tea][0]) == "UPDATE 0"


async def test_nobody_buries_in_anothers_name(scene: Scene) -> None:
    for undertaker in (ANN, BEN):
        async with scene.database.as_user(undertaker) as connection:
            for other in (ANN + BEN - undertaker, EVE):
                told = await refusal(connection, BURY_AS, scene.said[scene.tea][1], other)
                assert told.state == DENIED


@pytest.mark.parametrize(
    "half",
    [
        "content = null",
        "deleted_at = now()",
        "deleted_by = 1",
        "content = null, deleted_at = now()",
        "deleted_at = now(), deleted_by = 1",
        'content = null, deleted_at = now(), deleted_by = 1, metadata = \'{"was": "this"}\'',
        "content = null, deleted_at = now(), deleted_by = 1, mentions = '{2}'",
        "content = null, deleted_at = now(), deleted_by = 1, attachments = '[{}]'",
    ],
)
async def test_there_is_no_half_tombstone(scene: Scene, half: str) -> None:
    async with scene.database.as_user(ANN) as connection:
        told = await refusal(
            connection, f"update messenger.messages set {half} where id = $1", scene.said[scene.tea][0]
        )
        assert told.constraint == "messages_tombstone"


@pytest.mark.parametrize(
    "meddling",
    ["content = 'I am Ben'", "content = 'I am Ben', edited_at = now()", "metadata = '{\"a\": 1}'", "mentions = '{3}'"],
)
async def test_an_admin_alters_nothing_else_of_anothers_message(scene: Scene, meddling: str) -> None:
    async with scene.database.as_user(ANN) as connection:
        told = await refusal(
            connection, f"update messenger.messages set {meddling} where id = $1", scene.said[scene.tea][1]
        )
        assert told.state == DENIED
        told = await refusal(
            connection,
            f"update messenger.messages set {meddling}, deleted_by = 1 where id = $1",
            scene.said[scene.tea][1],
        )
        assert told.constraint == "messages_tombstone"


@pytest.mark.parametrize("undertaker", [ANN, BEN])
async def test_nobody_revives_or_alters_a_tombstone(own_scene: Scene, undertaker: int) -> None:
    message = await buried(own_scene, undertaker)
    for meddler in (ANN, BEN):
        async with own_scene.database.as_user(meddler) as connection:
            for statement in (RAISE, BURY, "update messenger.messages set deleted_at = now() where id = $1"):
                assert await refusal(connection, statement, message) == failed("message_not_found")
            assert await refusal(connection, EDIT, message, "I live") == failed("message_not_found")
    # Nor does it come back by a change of roles.
    await own_scene.act(ANN, SET_ROLE, own_scene.tea, BEN, "admin")
    async with own_scene.database.as_user(BEN) as connection:
        assert await refusal(connection, RAISE, message) == failed("message_not_found")


async def test_a_tombstone_can_still_be_answered(own_scene: Scene) -> None:
    message = await buried(own_scene, BEN)
    async with own_scene.database.as_user(ANN) as connection:
        assert await outcome(connection, ANSWER, own_scene.tea, message, message) != "[]"


async def test_an_entry_of_the_system_is_nobodys_to_alter(scene: Scene, witness: asyncpg.Connection) -> None:
    entries = await witness.fetch(
        "select id from messenger.messages where conversation_id = $1 and message_type = 'system'", scene.tea
    )
    assert len(entries) == 2
    for meddler in (ANN, BEN):
        async with scene.database.as_user(meddler) as connection:
            for (entry,) in entries:
                assert await connection.execute(EDIT, entry, "Nobody was removed") == "UPDATE 0"
                assert await connection.execute(BURY, entry) == "UPDATE 0"
