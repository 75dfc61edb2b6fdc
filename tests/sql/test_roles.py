"""What only an admin may: title, people and roles. A conversation keeps an admin."""

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.support.scene import (
    ADD,
    ANN,
    BEN,
    CYD,
    DEE,
    DELETE,
    DENIED,
    EVE,
    GUS,
    HAL,
    REMOVE,
    RENAME,
    SET_ROLE,
    UNKNOWN,
    Refusal,
    Scene,
    failed,
    outcome,
    refusal,
)

PARTICIPANTS = (
    "select user_id, role from messenger.conversation_participants where conversation_id = $1 order by user_id"
)


async def roles(oracle: asyncpg.Connection, conversation_id: UUID) -> dict[int, str]:
    return {row["user_id"]: row["role"] for row in await oracle.fetch(PARTICIPANTS, conversation_id)}


@pytest.mark.parametrize("who", [BEN, CYD])
async def test_only_an_admin_does_what_admins_may(scene: Scene, who: int) -> None:
    async with scene.database.as_user(who) as connection:
        told = [
            await refusal(connection, statement, *args)
            for statement, *args in (
                (RENAME, scene.tea, "Coffee"),
                ("select * from messenger.update_conversation($1, false, null, '{}')", scene.tea),
                (ADD, scene.tea, [EVE], "member"),
                (SET_ROLE, scene.tea, who, "admin"),
                (SET_ROLE, scene.tea, ANN, "observer"),
                (REMOVE, scene.tea, ANN),
                (DELETE, scene.tea),
            )
        ]
    assert told == [
        failed("forbidden", "Only admins can change a conversation"),
        failed("forbidden", "Only admins can change a conversation"),
        failed("forbidden", "Only admins can add participants"),
        failed("forbidden", "Only admins can change roles"),
        failed("forbidden", "Only admins can change roles"),
        failed("forbidden", "Only admins can remove participants"),
        failed("forbidden", "Only admins can delete a conversation"),
    ]


@pytest.mark.parametrize("who", [ANN, BEN, CYD])
@pytest.mark.parametrize(
    "statement",
    [
        "update messenger.conversation_participants set role = 'admin'",
        "update messenger.conversation_participants set first_seq = 1",
        "update messenger.conversation_participants set joined_at = '-infinity'",
        "insert into messenger.conversation_participants (conversation_id, user_id, role) values ('{tea}', 5, 'admin')",
        "delete from messenger.conversation_participants where user_id = 1",
        "update messenger.conversations set title = 'Coffee'",
        "update messenger.conversations set history = 'all'",
        "update messenger.conversations set created_by = 2",
        "insert into messenger.conversations (id, type, created_by) values (gen_random_uuid(), 'group', 2)",
        "delete from messenger.conversations",
        "update messenger.conversation_heads set last_seq = 0",
        "update messenger.conversation_heads set last_change = last_change + 1",
        "update messenger.conversation_heads set participant_count = 2",
        "update messenger.conversation_heads set touched = '1'",
        "delete from messenger.conversation_heads",
        "select from messenger.conversation_heads for update",
        "update messenger.conversation_departures set change = 1",
        "delete from messenger.conversation_departures",
        "update messenger.users set name = 'Ann'",
        "update messenger.users set tokens_not_before = null",
        "update messenger.installation set epoch = 'mine'",
        "update messenger.schema_migrations set digest = ''",
    ],
)
async def test_no_role_goes_past_the_functions(scene: Scene, who: int, statement: str) -> None:
    """Roles, titles, counters, the people and the epoch: not even an admin writes them himself."""
    async with scene.database.as_user(who) as connection:
        told = await refusal(connection, statement.format(tea=scene.tea))
        assert (told.state, told.text.partition(" for ")[0]) == (DENIED, "permission denied")


async def test_an_admin_changes_title_people_and_roles(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    tea = own_scene.tea
    await own_scene.act(ANN, RENAME, tea, "Coffee")
    await own_scene.act(ANN, ADD, tea, [EVE, HAL, EVE, BEN], "observer")
    await own_scene.act(ANN, SET_ROLE, tea, HAL, "admin")
    await own_scene.act(HAL, REMOVE, tea, EVE)
    assert await roles(oracle, tea) == {ANN: "admin", BEN: "member", CYD: "observer", HAL: "admin"}
    assert await oracle.fetchval("select title from messenger.conversations where id = $1", tea) == "Coffee"
    rows = await oracle.fetch(
        """
        select content, sender_id, metadata ->> 'event' as event from messenger.messages
        where conversation_id = $1 and message_type = 'system' order by seq desc limit 5
        """,
        tea,
    )
    assert [tuple(row) for row in reversed(rows)] == [
        ("Ann changed the title to Coffee", ANN, "conversation.updated"),
        ("Ann added Eve", ANN, "participant.added"),
        ("Ann added Hal", ANN, "participant.added"),
        ("Hal is now admin", ANN, "participant.updated"),
        ("Hal removed Eve", HAL, "participant.removed"),
    ]


async def test_the_head_counts_who_takes_part(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    count = "select participant_count from messenger.conversation_heads where conversation_id = $1"
    assert await oracle.fetchval(count, own_scene.tea) == 3
    await own_scene.act(ANN, ADD, own_scene.tea, [EVE, HAL], "member")
    assert await oracle.fetchval(count, own_scene.tea) == 5
    await own_scene.act(EVE, REMOVE, own_scene.tea, EVE)
    assert await oracle.fetchval(count, own_scene.tea) == 4


async def test_the_last_admin_cannot_step_down(scene: Scene) -> None:
    async with scene.database.as_user(ANN) as connection:
        for role in ("member", "observer"):
            told = await refusal(connection, SET_ROLE, scene.tea, ANN, role)
            assert told == failed("conflict", "A conversation keeps at least one admin")
        await connection.fetch(SET_ROLE, scene.tea, BEN, "admin")
        assert len(await connection.fetch(SET_ROLE, scene.tea, ANN, "member")) == 1


async def test_a_role_that_is_held_already_changes_nothing(scene: Scene) -> None:
    async with scene.database.as_user(ANN) as connection:
        assert await outcome(connection, SET_ROLE, scene.tea, BEN, "member") == "[]"


@pytest.mark.parametrize("statement", [SET_ROLE, REMOVE])
async def test_who_is_not_in_it_has_no_role_to_change(scene: Scene, statement: str) -> None:
    async with scene.database.as_user(ANN) as connection:
        for other in (GUS, EVE, UNKNOWN):
            args: list[Any] = [scene.tea, other, *(["admin"] if statement == SET_ROLE else [])]
            told = await refusal(connection, statement, *args)
            assert told == failed("user_not_found", "Not a participant of this conversation")


async def test_a_direct_conversation_has_no_roles_and_nobody_else(scene: Scene) -> None:
    async with scene.database.as_user(ANN) as connection:
        told = [
            await refusal(connection, statement, *args)
            for statement, *args in (
                (ADD, scene.pair, [DEE], "member"),
                (SET_ROLE, scene.pair, BEN, "observer"),
                (REMOVE, scene.pair, BEN),
                (DELETE, scene.pair),
            )
        ]
    assert told == [
        failed("forbidden", "A direct conversation has two participants"),
        failed("forbidden", "A direct conversation has no roles to change"),
        failed("forbidden", "Nobody can be removed from a direct conversation"),
        failed("forbidden", "A direct conversation can only be left"),
    ]


@pytest.mark.parametrize(("provision", "told"), [(True, None), (False, failed("user_not_found"))])
async def test_unknown_people_are_made_or_refused(scene: Scene, provision: bool, told: Refusal | None) -> None:
    add = "select count(*) from messenger.add_participants($1, $2, 'member', $3)"
    create = "select created from messenger.create_conversation('group', 'T', '{}', 'all', $1, $2)"
    async with scene.database.as_user(ANN) as connection:
        assert await outcome(connection, add, scene.tea, [DEE, EVE], provision) == "[(2,)]"
        assert await outcome(connection, create, [BEN, CYD], provision) == "[(True,)]"
        assert await outcome(connection, add, scene.tea, [EVE, UNKNOWN], provision) == (told or "[(2,)]")
        assert await outcome(connection, create, [BEN, UNKNOWN], provision) == (told or "[(True,)]")


@pytest.mark.parametrize("statement", [SET_ROLE, ADD])
async def test_there_are_three_roles(scene: Scene, statement: str) -> None:
    async with scene.database.as_user(ANN) as connection:
        told = await refusal(connection, statement, scene.tea, BEN if statement == SET_ROLE else [EVE], "owner")
        assert told.constraint == "conversation_participants_role"


async def test_an_admin_here_is_nobody_there(scene: Scene) -> None:
    async with scene.database.as_user(EVE) as connection:
        assert (await outcome(connection, RENAME, scene.den, "Eve's")) != "[]"
        assert await refusal(connection, RENAME, scene.tea, "Eve's") == failed("not_participant")
        assert await refusal(connection, RENAME, uuid4(), "Eve's") == failed("not_participant")
