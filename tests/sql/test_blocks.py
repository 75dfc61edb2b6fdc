"""Blocks: who sees them, who places them, and that nothing is written between the two once one stands."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.support.scene import (
    ANN,
    APPEND,
    BEN,
    BLOCK,
    BURY,
    CREATE,
    CYD,
    DEE,
    DENIED,
    EDIT,
    EVE,
    GUS,
    HAL,
    REMOVE,
    SAY,
    UNBLOCK,
    UNKNOWN,
    Scene,
    act,
    acting,
    batch,
    create,
    draft,
    failed,
    refusal,
    until_it_waits,
)

APART = failed("forbidden", "You cannot write to this user")
NOTICED = "select messenger.my_apart_ids()"
REACT = "select moved from messenger.react($1, '👍', true)"
# What the other does, and which of them blocks.
DEEDS = pytest.mark.parametrize(
    ("deed", "blocker"), [("say", DEE), ("say", EVE), ("edit", DEE), ("make", DEE), ("make", EVE), ("come back", EVE)]
)


@pytest.mark.parametrize(
    ("who", "blocked", "apart"),
    [(ANN, [GUS], [GUS, HAL]), (HAL, [ANN], [ANN]), (GUS, [], [ANN]), (BEN, [], []), (None, [], [])],
)
async def test_one_sees_whom_one_has_blocked_oneself(
    scene: Scene, who: int | None, blocked: list[int], apart: list[int]
) -> None:
    async with scene.database.as_user(who) as connection:
        rows = await connection.fetch("select user_id, blocked_id from messenger.blocks")
        assert [tuple(row) for row in rows] == [(who, other) for other in blocked]
        # Which is both ways, and says not whose it is; of those who block whom one cannot ask.
        assert sorted(row[0] for row in await connection.fetch(NOTICED)) == apart
        told = await refusal(connection, "select messenger.are_apart($1, $2)", ANN, GUS)
        assert told.state == DENIED


async def test_one_takes_back_ones_own_and_nobody_elses(scene: Scene) -> None:
    for who, count in ((GUS, 0), (BEN, 0), (None, 0), (HAL, 1), (ANN, 1)):
        async with scene.database.as_user(who) as connection:
            assert await connection.execute("delete from messenger.blocks") == f"DELETE {count}"
            assert await connection.fetchval("select count(*) from messenger.blocks") == 0


async def test_a_block_is_placed_by_the_function_in_ones_own_name(scene: Scene) -> None:
    async with scene.database.as_user(EVE) as connection:
        for statement in (
            "insert into messenger.blocks (user_id, blocked_id) values (5, 1)",
            "insert into messenger.blocks (user_id, blocked_id) values (2, 1)",
            "update messenger.blocks set blocked_id = 2",
        ):
            assert (await refusal(connection, statement)).state == DENIED
        await connection.execute(BLOCK, BEN)
        await connection.execute(BLOCK, BEN)
        rows = await connection.fetch("select user_id, blocked_id from messenger.blocks")
        assert [tuple(row) for row in rows] == [(EVE, BEN)]
        told = await refusal(connection, BLOCK, EVE)
        assert (told.state, told.constraint) == ("23514", "blocks_somebody_else")
    async with scene.database.as_user(None) as connection:
        told = await refusal(connection, BLOCK, BEN)
        assert (told.state, told.column) == ("23502", "user_id")


async def test_an_unknown_one_is_made_known_or_refused(scene: Scene, witness: asyncpg.Connection) -> None:
    async with scene.database.as_user(ANN) as connection:
        told = await refusal(connection, "select messenger.block($1, false)", UNKNOWN)
        assert told == failed("user_not_found")
        await connection.execute("select messenger.block($1, false)", BEN)
        await connection.execute(BLOCK, UNKNOWN)
        assert await connection.fetchval("select count(*) from messenger.blocks") == 3
    assert await witness.fetchval("select count(*) from messenger.users where id = $1", UNKNOWN) == 0


async def test_nobody_blocks_everybody(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    await oracle.execute("set session_replication_role = replica")  # no node need hear of each
    await oracle.execute("insert into messenger.users (id) select generate_series(1000, 11000)")
    await oracle.execute("insert into messenger.blocks select $1, generate_series(1000, 10999)", BEN)
    async with own_scene.database.as_user(BEN) as connection:
        await connection.execute(BLOCK, 1000)  # once more, and not one more
        told = await refusal(connection, BLOCK, 11000)
        assert told == failed("conflict", "At most 10000 users can be blocked")


@pytest.mark.parametrize("blocker", [ANN, BEN])
async def test_neither_writes_to_the_other_whoever_blocked_whom(own_scene: Scene, blocker: int) -> None:
    pair, tea = own_scene.pair, own_scene.tea
    words = own_scene.said[pair]  # one of Ben's
    words.append((await own_scene.act(ANN, SAY, pair, uuid4(), "A word of Ann's"))[0]["id"])
    await own_scene.act(blocker, BLOCK, ANN + BEN - blocker)
    for who, other, own in ((BEN, ANN, words[0]), (ANN, BEN, words[1])):
        async with own_scene.database.as_user(who) as connection:
            assert await refusal(connection, SAY, pair, uuid4(), "Hello?") == APART
            assert await refusal(connection, EDIT, own, "Hello!") == APART
            for message in words:
                assert await refusal(connection, "select messenger.react($1, '👍', true)", message) == APART
            for again in ([other], [other, who]):
                assert await refusal(connection, CREATE, "direct", None, "all", again) == APART
            # What he himself said he takes back, and elsewhere they go on.
            assert await connection.execute(BURY, own) == "UPDATE 1"
            assert len(await connection.fetch(SAY, tea, uuid4(), "In the group")) == 1
            assert await connection.fetchval(REACT, own_scene.said[tea][0])
        rows = await own_scene.act(who, APPEND, *batch(draft(who, pair), draft(who, tea)))
        assert {row["item"]: row["outcome"] for row in rows} == {1: "forbidden", 2: "appended"}
    await own_scene.act(blocker, UNBLOCK, ANN + BEN - blocker)
    for who in (ANN, BEN):
        assert len(await own_scene.act(who, SAY, pair, uuid4(), "Again")) == 1


async def test_a_block_of_each_is_taken_back_by_each(own_scene: Scene) -> None:
    await own_scene.act(ANN, BLOCK, BEN)
    await own_scene.act(BEN, BLOCK, ANN)
    await own_scene.act(ANN, UNBLOCK, BEN)
    async with own_scene.database.as_user(ANN) as connection:
        assert await refusal(connection, SAY, own_scene.pair, uuid4(), "Hello?") == APART
    await own_scene.act(BEN, UNBLOCK, ANN)
    assert len(await own_scene.act(ANN, SAY, own_scene.pair, uuid4(), "Hello")) == 1


async def test_a_block_is_between_two_and_nobody_else(own_scene: Scene) -> None:
    other = await create(own_scene.database, ANN, "direct", DEE)
    await own_scene.act(ANN, BLOCK, BEN)
    for who in (ANN, DEE):
        assert len(await own_scene.act(who, SAY, other, uuid4(), "Undisturbed")) == 1
    async with own_scene.database.as_user(BEN) as connection:
        await connection.fetchval(CREATE, "direct", None, "all", [CYD])


async def test_one_still_leaves_and_does_not_come_back(own_scene: Scene) -> None:
    await own_scene.act(BEN, BLOCK, ANN)
    rows = await own_scene.act(BEN, REMOVE, own_scene.pair, BEN)
    assert rows[0]["content"] == "Ben left"
    for who, other in ((BEN, ANN), (ANN, BEN)):
        async with own_scene.database.as_user(who) as connection:
            assert await refusal(connection, CREATE, "direct", None, "all", [other]) == APART
    await own_scene.act(BEN, UNBLOCK, ANN)
    assert (await own_scene.act(BEN, CREATE, "direct", None, "all", [ANN]))[0][0] == own_scene.pair


async def test_who_is_made_known_for_a_refused_conversation_is_not(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    """A refusal leaves nothing behind."""
    async with own_scene.database.as_user(GUS) as connection:
        assert await refusal(connection, CREATE, "direct", None, "all", [ANN]) == APART
    assert await oracle.fetchval("select count(*) from messenger.conversations where direct_high = $1", GUS) == 0


@DEEDS
async def test_what_the_other_does_just_now_is_waited_for(
    own_scene: Scene, oracle: asyncpg.Connection, deed: str, blocker: int
) -> None:
    """Once a block is told, nothing comes after it that was decided before."""
    writer = DEE + EVE - blocker
    statement, args = await prepared(own_scene, writer, deed)
    async with acting(own_scene.database, blocker) as late:
        async with acting(own_scene.database, writer) as early:
            await early.fetch(statement, *args)
            blocking = asyncio.create_task(late.execute(BLOCK, writer))
            await until_it_waits(oracle, late)
        await blocking
    async with own_scene.database.as_user(writer) as connection:
        if deed != "make":  # that has an answer of its own
            assert await refusal(connection, statement, *again(deed, args)) == APART


@DEEDS
async def test_who_comes_while_one_is_being_blocked_waits_and_is_refused(
    own_scene: Scene, oracle: asyncpg.Connection, deed: str, blocker: int
) -> None:
    writer = DEE + EVE - blocker
    statement, args = await prepared(own_scene, writer, deed)
    async with own_scene.database.as_user(writer) as late:
        async with acting(own_scene.database, blocker) as early:
            await early.execute(BLOCK, writer)
            writing = asyncio.create_task(refusal(late, statement, *args))
            await until_it_waits(oracle, late)
        assert await writing == APART


async def prepared(scene: Scene, writer: int, deed: str) -> tuple[str, tuple[Any, ...]]:
    """What Dee or Eve is about to do to the other: a statement and its arguments."""
    other = DEE + EVE - writer
    if deed == "make":
        return CREATE, ("direct", None, "all", [other])
    pair = await create(scene.database, writer, "direct", other)
    if deed == "say":
        return SAY, (pair, uuid4(), "Hello")
    if deed == "come back":
        await scene.act(writer, REMOVE, pair, writer)
        return CREATE, ("direct", None, "all", [other])
    word = (await scene.act(writer, SAY, pair, uuid4(), "Hello"))[0]["id"]
    return EDIT, (word, "Hello!")


def again(deed: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same once more: a message has an id of its own."""
    return (args[0], uuid4(), args[2]) if deed == "say" else args


async def test_those_who_block_each_other_do_not_wait_for_each_other_for_ever(own_scene: Scene) -> None:
    pair, database = own_scene.pair, own_scene.database

    async def quarrel(who: int, other: int) -> None:
        for _ in range(15):
            await act(database, who, BLOCK, other)
            await act(database, who, UNBLOCK, other)

    async def write(who: int) -> None:
        for _ in range(15):
            told = await act(database, who, APPEND, *batch(draft(who, pair)))
            assert told[0]["outcome"] in ("appended", "forbidden")

    async def meet(who: int, other: int) -> None:
        for _ in range(15):
            try:
                assert (await act(database, who, CREATE, "direct", None, "all", [other]))[0][0] == pair
            except asyncpg.PostgresError as error:
                assert (error.sqlstate, error.args[0]) == ("MG001", "forbidden")

    deeds = [deed(who, ANN + BEN - who) for who in (ANN, BEN) for deed in (quarrel, meet)]
    await asyncio.gather(*deeds, write(ANN), write(BEN))
    assert len(await own_scene.act(ANN, SAY, pair, uuid4(), "Peace")) == 1
