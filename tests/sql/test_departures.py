"""Who is removed or leaves loses everything at once, and may still learn that he is gone. Deleting ends it for all."""

import asyncio
import json
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.support.scene import (
    ADD,
    ANN,
    APPEND,
    BEN,
    CYD,
    DEE,
    DELETE,
    EVE,
    GUS,
    READ,
    REMOVE,
    SAY,
    SET_ROLE,
    Scene,
    acting,
    batch,
    connected,
    draft,
    failed,
    outcome,
    refusal,
    until_it_waits,
)

DEPARTURE = "select * from messenger.my_departure($1)"


async def visible(connection: asyncpg.Connection, conversation_id: UUID) -> dict[str, int]:
    """How much of a conversation one sees in each table."""
    return {
        table: await connection.fetchval(f"select count(*) from messenger.{table} where {column} = $1", conversation_id)
        for table, column in (
            ("conversations", "id"),
            ("conversation_heads", "conversation_id"),
            ("conversation_participants", "conversation_id"),
            ("messages", "conversation_id"),
            ("read_receipts", "conversation_id"),
            ("notification_settings", "conversation_id"),
        )
    }


@pytest.mark.parametrize("by", [ANN, BEN], ids=["removed", "left"])
async def test_who_is_gone_sees_nothing_any_more(own_scene: Scene, oracle: asyncpg.Connection, by: int) -> None:
    tea = own_scene.tea
    async with own_scene.database.as_user(BEN) as connection:
        assert all((await visible(connection, tea)).values())
        # In the same transaction even: the next statement finds nothing.
        await connection.fetch(REMOVE, tea, BEN)
        assert not any((await visible(connection, tea)).values())
    await own_scene.act(by, REMOVE, tea, BEN)
    message = own_scene.said[tea][1]
    async with own_scene.database.as_user(BEN) as connection:
        assert not any((await visible(connection, tea)).values())
        assert await refusal(connection, SAY, tea, uuid4(), "Still here?") == failed("not_participant")
        assert await refusal(connection, READ, BEN, message) == failed("message_not_found")
        assert await refusal(connection, REMOVE, tea, CYD) == failed("not_participant")
        assert (
            await connection.execute("update messenger.messages set content = 'x' where id = $1", message) == "UPDATE 0"
        )
    left = await visible(oracle, tea)
    assert (left["conversation_participants"], left["read_receipts"], left["notification_settings"]) == (2, 0, 0)


async def test_who_is_gone_may_learn_of_his_own_departure(scene: Scene) -> None:
    async with scene.database.as_user(GUS) as connection:
        rows = await connection.fetch(DEPARTURE, scene.tea)
        assert [(row["content"], row["message_type"], row["seq"]) for row in rows] == [("Ann removed Gus", "system", 5)]
        assert json.loads(rows[0]["metadata"]) == {
            "event": "participant.removed",
            "user_id": GUS,
            "name": "Gus",
            "role": "member",
            "by": ANN,
        }
        assert not any((await visible(connection, scene.tea)).values())
    for other in (ANN, DEE, EVE):
        async with scene.database.as_user(other) as connection:
            assert await connection.fetch(DEPARTURE, scene.tea) == []


async def test_who_is_back_has_not_departed(own_scene: Scene) -> None:
    await own_scene.act(ANN, ADD, own_scene.tea, [GUS], "member")
    assert await own_scene.act(GUS, DEPARTURE, own_scene.tea) == []
    await own_scene.act(GUS, REMOVE, own_scene.tea, GUS)
    rows = await own_scene.act(GUS, DEPARTURE, own_scene.tea)
    assert [row["content"] for row in rows] == ["Gus left"]


@pytest.mark.parametrize(
    ("roles", "heir"),
    [
        ({BEN: "member", CYD: "observer"}, BEN),
        ({BEN: "observer", CYD: "member"}, CYD),
        ({BEN: "observer", CYD: "observer"}, BEN),
    ],
    ids=["the longest", "the longest who may write", "an observer where there is nobody else"],
)
async def test_the_last_admin_leaving_hands_over(
    own_scene: Scene, oracle: asyncpg.Connection, roles: dict[int, str], heir: int
) -> None:
    tea = own_scene.tea
    for user, role in roles.items():
        await own_scene.act(ANN, SET_ROLE, tea, user, role)
    # Who comes later stands behind those.
    await own_scene.act(ANN, ADD, tea, [EVE], "observer" if "member" not in roles.values() else "member")
    rows = await own_scene.act(ANN, REMOVE, tea, ANN)
    name = {BEN: "Ben", CYD: "Cyd"}[heir]
    # The heir first, then the leaving, in consecutive numbers.
    assert [row["content"] for row in rows] == [f"{name} is now admin", "Ann left"]
    assert rows[1]["change"] == rows[0]["change"] + 1
    admins = await oracle.fetch(
        "select user_id from messenger.conversation_participants where conversation_id = $1 and role = 'admin'", tea
    )
    assert [row["user_id"] for row in admins] == [heir]


async def test_of_two_admins_leaving_at_once_the_second_hands_over(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    """Each would leave the conversation to the other."""
    await own_scene.act(ANN, SET_ROLE, own_scene.tea, CYD, "admin")
    async with acting(own_scene.database, CYD) as second:
        async with acting(own_scene.database, ANN) as first:
            assert len(await first.fetch(REMOVE, own_scene.tea, ANN)) == 1
            leaving = asyncio.create_task(second.fetch(REMOVE, own_scene.tea, CYD))
            await until_it_waits(oracle, second)
        assert [row["content"] for row in await leaving] == ["Ben is now admin", "Cyd left"]


async def test_an_admin_among_admins_just_leaves(own_scene: Scene) -> None:
    await own_scene.act(ANN, SET_ROLE, own_scene.tea, CYD, "admin")
    rows = await own_scene.act(ANN, REMOVE, own_scene.tea, ANN)
    assert [row["content"] for row in rows] == ["Ann left"]


async def test_the_last_one_out_leaves_an_empty_conversation(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    for user in (ANN, BEN, CYD):
        await own_scene.act(user, REMOVE, own_scene.tea, user)
    head = await oracle.fetchrow(
        "select last_seq, last_change, participant_count from messenger.conversation_heads where conversation_id = $1",
        own_scene.tea,
    )
    # Two of them handed over before.
    assert tuple(head) == (10, 10, 0)


async def test_who_left_a_direct_conversation_is_back_when_it_is_made_again(own_scene: Scene) -> None:
    again = """
        select conversation_id, created, (told[1]).content
        from messenger.create_conversation('direct', null, '{}', 'all', $1, true)
    """
    await own_scene.act(BEN, REMOVE, own_scene.pair, BEN)
    rows = await own_scene.act(ANN, again, [BEN])
    assert [tuple(row) for row in rows] == [(own_scene.pair, False, "Ann added Ben")]
    await own_scene.act(BEN, REMOVE, own_scene.pair, BEN)
    await own_scene.act(ANN, REMOVE, own_scene.pair, ANN)
    rows = await own_scene.act(BEN, again, [ANN])
    assert [tuple(row) for row in rows] == [(own_scene.pair, False, "Ben joined")]
    async with own_scene.database.as_user(BEN) as connection:
        people = await connection.fetch(
            "select user_id, role from messenger.conversation_participants where conversation_id = $1 order by 1",
            own_scene.pair,
        )
        assert [tuple(row) for row in people] == [(ANN, "admin"), (BEN, "member")]


@pytest.mark.parametrize(
    ("history", "maker_sees", "other_sees"), [("joined", [3, 4, 5], [4, 5]), ("all", [1, 2, 3, 4, 5], [1, 2, 3, 4, 5])]
)
async def test_who_is_back_in_a_direct_conversation_sees_what_its_history_grants(
    own_scene: Scene, history: str, maker_sees: list[int], other_sees: list[int]
) -> None:
    """With history joined both begin anew, each at his own joining."""
    make = "select conversation_id from messenger.create_conversation('direct', null, '{}', $2, $1, true)"
    seqs = "select seq from messenger.messages where conversation_id = $1 order by seq"
    ((pair,),) = await own_scene.act(DEE, make, [EVE], history)
    await own_scene.act(EVE, REMOVE, pair, EVE)
    await own_scene.act(DEE, REMOVE, pair, DEE)
    await own_scene.act(DEE, make, [EVE], "all")
    await own_scene.act(DEE, SAY, pair, uuid4(), "Once more")
    assert [row["seq"] for row in await own_scene.act(DEE, seqs, pair)] == maker_sees
    assert [row["seq"] for row in await own_scene.act(EVE, seqs, pair)] == other_sees


async def test_deleting_leaves_a_shell_and_nothing_in_it(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    tea = own_scene.tea
    horizon = await oracle.fetchval("select messenger.horizon()")
    assert sorted(row[0] for row in await own_scene.act(ANN, DELETE, tea)) == [ANN, BEN, CYD]
    left = await visible(oracle, tea)
    assert left == dict.fromkeys(left, 0) | {"conversations": 1, "conversation_heads": 1}
    assert await oracle.fetchval("select count(*) from messenger.conversation_departures") == 0
    shell = await oracle.fetchrow("select title, metadata, deleted_at from messenger.conversations where id = $1", tea)
    assert (shell["title"], shell["metadata"]) == (None, "{}")
    assert shell["deleted_at"] is not None
    touched = await oracle.fetch("select conversation_id, deleted from messenger.touched_since($1, $2)", horizon, [ANN])
    assert (tea, True) in [tuple(row) for row in touched]
    for user in (ANN, BEN, GUS):
        async with own_scene.database.as_user(user) as connection:
            assert not any((await visible(connection, tea)).values())
            assert await outcome(connection, DEPARTURE, tea) == "[]"
            assert await refusal(connection, DELETE, tea) == failed("not_participant")
            assert await refusal(connection, SAY, tea, uuid4(), "Is this on?") == failed("not_participant")
    assert (
        await oracle.fetchval("select count(*) from messenger.messages where conversation_id = $1", own_scene.hall) == 1
    )


@pytest.mark.parametrize("deed", [REMOVE, DELETE], ids=["removed", "deleted"])
async def test_who_writes_while_it_ends_is_told_that_he_is_not_in_it(
    own_scene: Scene, oracle: asyncpg.Connection, deed: str
) -> None:
    tea = own_scene.tea
    async with connected(own_scene.database) as sending, acting(own_scene.database, BEN) as renaming:
        async with acting(own_scene.database, ANN) as admin:
            await admin.fetch(deed, tea, *([BEN] if deed == REMOVE else []))
            sent = asyncio.create_task(sending.fetch(APPEND, *batch(draft(BEN, tea))))
            left = asyncio.create_task(outcome(renaming, REMOVE, tea, BEN))
            await until_it_waits(oracle, sending)
            await until_it_waits(oracle, renaming)
        assert [row["outcome"] for row in await sent] == ["not_participant"]
        assert await left == failed("not_participant")
