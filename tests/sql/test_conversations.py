"""Making conversations: who is in them, and that a pair has one."""

import asyncio

import asyncpg
import pytest

from tests.support.scene import (
    ANN,
    BEN,
    CREATE,
    CYD,
    DEE,
    EVE,
    HAL,
    Scene,
    act,
    acting,
    connected,
    create,
    failed,
    refusal,
    until_it_waits,
)


async def test_who_makes_one_is_its_admin(own_scene: Scene) -> None:
    made = await create(own_scene.database, BEN, "group", DEE, BEN, EVE, DEE)
    rows = await own_scene.act(
        DEE,
        """
        select user_id, role, first_seq, joined_change from messenger.conversation_participants
        where conversation_id = $1 order by user_id
        """,
        made,
    )
    assert [tuple(row) for row in rows] == [(BEN, "admin", 1, 0), (DEE, "member", 1, 0), (EVE, "member", 1, 0)]
    rows = await own_scene.act(
        EVE,
        """
        select c.created_by, h.last_seq, h.last_change, h.participant_count from messenger.conversations c
        join messenger.conversation_heads h on h.conversation_id = c.id where c.id = $1
        """,
        made,
    )
    assert [tuple(row) for row in rows] == [(BEN, 0, 0, 3)]


async def test_a_conversation_of_ones_own_is_nobody_elses(own_scene: Scene) -> None:
    made = await create(own_scene.database, DEE, "group")
    for other in (ANN, BEN, EVE):
        assert await own_scene.act(other, "select from messenger.conversations where id = $1", made) == []


@pytest.mark.parametrize("others", [[], [ANN], [BEN, CYD]])
async def test_a_direct_conversation_is_between_two(scene: Scene, others: list[int]) -> None:
    async with scene.database.as_user(ANN) as connection:
        told = await refusal(connection, CREATE, "direct", None, "all", others)
        assert told == failed("forbidden", "A direct conversation has two participants")


@pytest.mark.parametrize("maker", [ANN, BEN])
async def test_a_second_direct_one_of_a_pair_is_the_first(scene: Scene, maker: int) -> None:
    other = ANN + BEN - maker
    async with scene.database.as_user(maker) as connection:
        row = await connection.fetchrow(
            "select * from messenger.create_conversation('direct', 'Title', '{}', 'all', $1, true)",
            [other, maker, other],
        )
        assert tuple(row) == (scene.pair, False, [])


async def test_a_pair_has_one_direct_conversation_under_a_race(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    async def make(maker: int) -> object:
        other = DEE + EVE - maker
        rows = await act(own_scene.database, maker, CREATE, "direct", None, "all", [other])
        return rows[0][0]

    made = await asyncio.gather(*(make((DEE, EVE)[number % 2]) for number in range(12)))
    assert len(set(made)) == 1
    people = await oracle.fetch(
        "select user_id from messenger.conversation_participants where conversation_id = $1 order by 1", made[0]
    )
    assert [row["user_id"] for row in people] == [DEE, EVE]
    assert await oracle.fetchval("select count(*) from messenger.conversations where direct_low = $1", DEE) == 1


async def test_the_slower_of_a_pair_waits_and_finds_the_first(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    statement = "select * from messenger.create_conversation('direct', null, '{}', 'all', $1, true)"
    async with acting(own_scene.database, EVE) as slower:
        async with acting(own_scene.database, DEE) as faster:
            first = await faster.fetchrow(statement, [EVE])
            waiting = asyncio.create_task(slower.fetchrow(statement, [DEE]))
            await until_it_waits(oracle, slower)
        second = await waiting
    assert (first["created"], second["created"]) == (True, False)
    assert first["conversation_id"] == second["conversation_id"]


async def test_those_who_provision_the_same_people_do_not_wait_for_each_other_for_ever(own_scene: Scene) -> None:
    """People are made in the order of their ids, whatever order they are named in."""

    async def make(turn: int) -> list[object]:
        made = []
        async with connected(own_scene.database) as connection:
            for number in range(5):
                people = list(range(1000 + number, 1020 + number))
                async with connection.transaction():
                    await connection.execute("select messenger.enter($1)", ANN)
                    made.append(
                        await connection.fetchval(CREATE, "group", "T", "all", people[turn:] + people[:turn][::-1])
                    )
        return made

    made = await asyncio.gather(*(make(turn) for turn in (0, 7, 20)))
    assert len({conversation_id for some in made for conversation_id in some}) == 15


async def test_a_person_knows_those_he_shares_a_conversation_with(scene: Scene) -> None:
    known = "select array_agg(id order by id) from messenger.users"
    for who, people in ((CYD, [ANN, BEN, CYD]), (DEE, [ANN, BEN, DEE]), (HAL, [EVE, HAL])):
        async with scene.database.as_user(who) as connection:
            assert await connection.fetchval(known) == people
            assert (await refusal(connection, "select tokens_not_before from messenger.users")).state == "42501"


async def test_the_newest_token_gives_the_profile(own_scene: Scene) -> None:
    arrive = "select * from messenger.arrive($1, $2, $3, $4, $5)"
    profile = "select name, avatar_url from messenger.users where id = $1"
    for name, avatar, issued_at, expected in (
        ("Annie", "/a.png", 20, ("Annie", "/a.png")),
        ("Anna", None, 10, ("Annie", "/a.png")),
        (None, "/b.png", 30, ("Annie", "/b.png")),
        ("Ann", None, 40, ("Ann", "/b.png")),
    ):
        assert len(await own_scene.act(ANN, arrive, ANN, name, avatar, issued_at, False)) == 1
        assert [tuple(row) for row in await own_scene.act(ANN, profile, ANN)] == [expected]
    assert await own_scene.act(ANN, arrive, 999, "Nobody", None, 50, False) == []
    assert len(await own_scene.act(ANN, arrive, 999, "Somebody", None, 50, True)) == 1


async def test_whatever_refers_to_messages_is_found_by_an_index(witness: asyncpg.Connection) -> None:
    """Else deleting a long conversation asks all of it once for each message."""
    rows = await witness.fetch(
        """
        select k.conname from pg_constraint k
        where k.contype = 'f' and k.confrelid = 'messenger.messages'::regclass and not exists (
            select from pg_index i
            where i.indrelid = k.conrelid
                and array(select unnest(k.conkey) order by 1)
                    = array(select unnest((i.indkey::smallint[])[0:cardinality(k.conkey) - 1]) order by 1)
        )
        """
    )
    # Receipts have gone with their readers by then.
    assert [row["conname"] for row in rows] == ["read_receipts_message_fk"]
