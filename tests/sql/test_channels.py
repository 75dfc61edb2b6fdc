"""Channels in SQL: their names and numbers, in whose name the host application acts there, and what of them nobody else sees."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.test_strangers import attempts
from tests.support.database import Database
from tests.support.scene import (
    ANN,
    BEN,
    BURY,
    CYD,
    DEE,
    EVE,
    HAL,
    REMOVE,
    SAY,
    SET_ROLE,
    UNKNOWN,
    Refusal,
    Scene,
    act,
    acting,
    connected,
    failed,
    refusal,
    until_it_waits,
)

MAKE = "select messenger.create_channel($1, 'Hike', '{}', $2, $3, $4)"
CALLED = "select conversation_id, channel_no, participant_count, admin_id from messenger.channels_called(array[$1])"
ANNOUNCE = "select (told).id, (told).seq from messenger.announce_in_channel($1, 'Hear', null, null) as told"
RETRACT = "select id, content, deleted_by from messenger.retract_in_channel($1, $2)"
REVIVE = "select seq, sender_id from messenger.revive_channel($1, $2)"
INVITE = "select seq from messenger.invite_to_channel($1, $2)"
AROUND = """
    select (message).seq from messenger.said_around($1, $2, $3, $4, $5, $6, true, null, null, null, null)
"""


async def made(scene: Scene, url: str, *others: int) -> UUID:
    """A channel of Ann's."""
    ((conversation_id,),) = await scene.act(ANN, MAKE, url, [ANN, *others], [], ANN)
    return UUID(str(conversation_id))


async def called(database: Database, url: str) -> tuple[object, ...] | None:
    async with connected(database) as connection:
        row = await connection.fetchrow(CALLED, url)
    return row and tuple(row)


async def test_a_channel_has_a_number_of_its_own_and_a_name_that_is_taken_costs_none(own_scene: Scene) -> None:
    first = await made(own_scene, "hike", BEN)
    for _ in range(3):
        with pytest.raises(asyncpg.PostgresError, match="conflict"):
            await made(own_scene, "hike")
    second = await made(own_scene, "tea")
    assert await called(own_scene.database, "hike") == (first, 1, 2, ANN)
    assert await called(own_scene.database, "tea") == (second, 2, 1, ANN)
    assert await called(own_scene.database, "none") is None


async def test_the_host_acts_as_whoever_is_an_admin_now(own_scene: Scene) -> None:
    hike = await made(own_scene, "hike", BEN, CYD)
    await own_scene.act(ANN, SET_ROLE, hike, CYD, "admin")
    assert await called(own_scene.database, "hike") == (hike, 1, 3, ANN)
    await own_scene.act(CYD, SET_ROLE, hike, ANN, "member")
    assert await called(own_scene.database, "hike") == (hike, 1, 3, CYD)


async def test_of_two_who_take_a_name_at_once_the_other_is_told(own_scene: Scene) -> None:
    witness = await asyncpg.connect(own_scene.database.admin_url)
    before = await witness.fetchval("select count(*) from messenger.conversations")
    async with acting(own_scene.database, ANN) as one:
        await one.fetchval(MAKE, "hike", [ANN], [], ANN)
        other = await asyncpg.connect(own_scene.database.app_url)

        async def take_it_too() -> Refusal:
            async with other.transaction():
                await other.execute("select messenger.enter(2)")
                return await refusal(other, MAKE, "hike", [BEN], [], BEN)

        waiting = asyncio.create_task(take_it_too())
        await until_it_waits(witness, other)
    assert await waiting == failed("conflict", "channel_url is taken")
    await other.close()
    assert await witness.fetchval("select count(*) from messenger.conversations") == before + 1
    await witness.close()


async def test_a_channel_that_is_not_made_leaves_nothing(own_scene: Scene) -> None:
    witness = await asyncpg.connect(own_scene.database.admin_url)
    before = await witness.fetchval("select count(*) from messenger.conversations")
    with pytest.raises(asyncpg.PostgresError, match="user_not_found"):
        await made(own_scene, "hike", UNKNOWN)
    assert await called(own_scene.database, "hike") is None
    assert await witness.fetchval("select count(*) from messenger.conversations") == before
    await witness.close()


async def test_only_an_admin_of_a_channel_speaks_in_nobodys_name(own_scene: Scene) -> None:
    hike = await made(own_scene, "hike", BEN)
    ((message_id, seq),) = await own_scene.act(ANN, ANNOUNCE, hike)
    assert seq == 1
    refused = failed("forbidden", "Only admins of a channel can do this")
    async with own_scene.database.as_user(BEN) as ben:
        assert await refusal(ben, ANNOUNCE, hike) == refused
        assert await refusal(ben, RETRACT, hike, message_id) == refused
        # Nor does he take it back as he would take back his own, nor say what looks like it.
        assert await ben.execute(BURY, message_id) == "UPDATE 0"
    async with own_scene.database.as_user(ANN) as ann:
        assert await refusal(ann, ANNOUNCE, own_scene.tea) == refused
        assert await refusal(ann, ANNOUNCE, uuid4()) == failed("not_participant")
        # She takes nothing else back that way, whosever it is.
        await ann.fetch(SAY, hike, uuid4(), "Mine")
        joined = await ann.fetchval("select id from messenger.add_participants($1, '{3}', 'member', true)", hike)
        for other in (joined, *(await ann.fetch("select id from messenger.messages where content = 'Mine'"))[0]):
            assert await ann.fetch(RETRACT, hike, other) == []
        assert [tuple(row) for row in await ann.fetch(RETRACT, hike, message_id)] == [(message_id, None, ANN)]
        assert await ann.fetch(RETRACT, hike, message_id) == []


async def test_an_empty_channel_is_revived_and_deleted_and_no_other_is(own_scene: Scene) -> None:
    hike = await made(own_scene, "hike", BEN)
    async with connected(own_scene.database) as nobody:
        assert await nobody.fetch(REVIVE, "hike", CYD) == []
        assert await nobody.fetchval("select messenger.delete_empty_channel('hike')") is None
        assert await nobody.fetchval("select messenger.delete_empty_channel('none')") is None
    await own_scene.act(ANN, REMOVE, hike, ANN)
    assert (await called(own_scene.database, "hike"))[2:] == (1, BEN)  # type: ignore[index]
    await own_scene.act(BEN, REMOVE, hike, BEN)
    assert (await called(own_scene.database, "hike"))[2:] == (0, None)  # type: ignore[index]
    async with connected(own_scene.database) as nobody:
        assert await refusal(nobody, REVIVE, "hike", UNKNOWN) == failed("user_not_found", '"User" not found.')
        assert [tuple(row) for row in await nobody.fetch(REVIVE, "hike", CYD)] == [(4, CYD)]
        assert await nobody.fetch(REVIVE, "hike", DEE) == []
    assert (await called(own_scene.database, "hike"))[2:] == (1, CYD)  # type: ignore[index]
    await own_scene.act(CYD, REMOVE, hike, CYD)
    async with connected(own_scene.database) as nobody:
        assert await nobody.fetchval("select messenger.delete_empty_channel('hike')") == hike
    witness = await asyncpg.connect(own_scene.database.admin_url)
    for table in ("messages", "conversation_departures"):
        assert await witness.fetchval(f"select count(*) from messenger.{table} where conversation_id = $1", hike) == 0
    row = await witness.fetchrow(
        "select channel_url, title, deleted_at from messenger.conversations where id = $1", hike
    )
    assert (row["channel_url"], row["title"]) == (None, None)
    assert row["deleted_at"] is not None
    await witness.close()


async def test_who_is_deleted_waits_for_who_brings_him_in_and_comes_in_nowhere_after(own_scene: Scene) -> None:
    hike = await made(own_scene, "hike")
    delete = "select tokens_not_before is not null, profile_version from messenger.delete_account($1)"
    witness = await asyncpg.connect(own_scene.database.admin_url)
    async with connected(own_scene.database) as deleting:
        async with acting(own_scene.database, ANN) as inviting:
            assert len(await inviting.fetch(INVITE, hike, [DEE, BEN])) == 2
            waiting = asyncio.create_task(deleting.fetch(delete, DEE))
            await until_it_waits(witness, deleting)
        assert [tuple(row) for row in await waiting] == [(True, 2)]
        assert await deleting.fetch(delete, DEE) == []
        assert await deleting.fetch(delete, UNKNOWN) == []
    unknown = failed("user_not_found", '"User" not found.')
    async with own_scene.database.as_user(ANN) as ann:
        assert await refusal(ann, INVITE, hike, [DEE]) == unknown
        assert await refusal(ann, MAKE, "other", [ANN, DEE], [], ANN) == unknown
    await witness.close()


async def test_strangers_see_nothing_of_a_channel(own_scene: Scene) -> None:
    """Nor of what came over, and of what the host said: it is as one that does not exist."""
    witness = await asyncpg.connect(own_scene.database.admin_url)
    message = own_scene.said[own_scene.tea][0]
    await witness.execute(
        "update messenger.conversations set channel_url = 'tea', channel_no = 7 where id = $1", own_scene.tea
    )
    await own_scene.act(ANN, ANNOUNCE, own_scene.tea)
    await witness.execute("insert into messenger.imported_messages values ($1, 7, $2)", own_scene.tea, message)
    async with own_scene.database.as_user(EVE) as eve:
        assert await attempts(eve, own_scene.tea, message) == await attempts(eve, uuid4(), uuid4())
        assert await eve.fetch("select * from messenger.channel_people($1, '{1, 5}')", own_scene.tea) == []
        assert (await refusal(eve, "select * from messenger.imported_messages")).text.startswith("permission denied")
    async with own_scene.database.as_user(BEN) as ben:
        seen = "select (message).id, vendor_id from messenger.last_said('{2}', array[$1::uuid])"
        assert (await ben.fetchrow(seen, own_scene.tea))["vendor_id"] is None
        ids = await ben.fetch("select * from messenger.vendor_ids($1, $2)", own_scene.tea, [message])
        assert [tuple(row) for row in ids] == [(message, 7)]
        assert await ben.fetchval("select messenger.message_by_vendor_id($1, 7)", own_scene.tea) == message
    await witness.close()


async def test_a_time_is_found_in_a_log_however_its_messages_lie(own_scene: Scene) -> None:
    hike = await made(own_scene, "hike")
    owner = await asyncpg.connect(own_scene.database.owner_url)
    # Several of one moment, gaps, and what is no message in between.
    moments = [0, 5, 5, 5, 6, 9, 9, 20, 21, 21]
    async with owner.transaction():
        await owner.execute("select set_config('messenger.importing', 'on', true)")
        for number, moment in enumerate(moments):
            await owner.execute(
                """
                insert into messenger.messages (conversation_id, id, sender_id, message_type, content, created_at)
                values ($1, $2, 1, $3, 'x', '2026-01-01T00:00:00Z'::timestamptz + $4 * interval '1 millisecond')
                """,
                hike, uuid4(), "system" if number % 4 == 3 else "text", moment,
            )  # fmt: skip
    said = [number for number in range(len(moments)) if number % 4 != 3]
    async with own_scene.database.as_user(ANN, hike) as ann:
        for at in range(-1, 23):
            when = await owner.fetchval(
                "select '2026-01-01T00:00:00Z'::timestamptz + $1 * interval '1 millisecond'", at
            )
            first = sum(moment < at for moment in moments)
            assert await ann.fetchval("select messenger.seq_at($1, $2)", hike, when) == first + 1
            found = [row["seq"] - 1 for row in await ann.fetch(AROUND, ANN, hike, when, None, 2, 3)]
            below, here, above = (
                [number for number in said if is_(moments[number])]
                for is_ in (lambda moment: moment < at, lambda moment: moment == at, lambda moment: moment > at)  # noqa: B023
            )
            assert found == below[-2:] + here + above[:3], at
    async with own_scene.database.as_user(HAL) as hal:
        assert await refusal(hal, AROUND, HAL, hike, None, 1, 2, 2) == failed("not_participant")
    await owner.close()


async def test_a_page_of_a_long_log_is_read_from_its_place(own_scene: Scene) -> None:
    hike = await made(own_scene, "hike")
    owner = await asyncpg.connect(own_scene.database.owner_url)
    async with owner.transaction():
        await owner.execute("select set_config('messenger.importing', 'on', true)")
        await owner.execute(
            """
            insert into messenger.messages (conversation_id, id, sender_id, content, created_at)
            select $1, gen_random_uuid(), 1, 'x', now() - n * interval '1 second' from generate_series(5000, 1, -1) as n
            """,
            hike,
        )
    await owner.execute("analyze messenger.messages")
    await owner.close()
    witness = await asyncpg.connect(own_scene.database.admin_url)
    read = "select idx_tup_fetch + seq_tup_read from pg_stat_user_tables where relname = 'messages'"

    async def settled() -> int:
        """Counters are told once a session has nothing to do for a while."""
        await witness.execute("select pg_stat_clear_snapshot()")
        return int(await witness.fetchval(read))

    async with connected(own_scene.database) as nobody:
        await nobody.execute("set plan_cache_mode = force_generic_plan")
        await nobody.execute("select pg_stat_force_next_flush()")
        before = await settled()
        for seq in (10, 2500, 4990):
            assert len(await nobody.fetch(AROUND, ANN, hike, None, seq, 5, 5)) == 11
        await nobody.execute("select pg_stat_force_next_flush()")
        await nobody.execute("select 1")
        fetched = await settled() - before
    assert 0 < fetched < 200
    await witness.close()


async def test_people_are_called_by_either_of_their_ids(database: Database) -> None:
    call = "select named, user_id from messenger.call_people($1, $2)"
    async with connected(database) as nobody:
        made_once = dict(await nobody.fetch(call, ["7", "ann", "8"], True))
        assert (made_once["7"], made_once["8"]) == (7, 8)
        assert made_once["ann"] > 2**52
        assert dict(await nobody.fetch(call, ["ann", "7"], False)) == {"7": 7, "ann": made_once["ann"]}
        assert await refusal(nobody, call, ["ann", "ben"], False) == failed("user_not_found")
        found = "select named, user_id from messenger.people_called($1)"
        assert dict(await nobody.fetch(found, ["ann", "ben", "7", "9"])) == {"7": 7, "ann": made_once["ann"]}
        guest = await guest_of(database)
        assert await nobody.fetch(found, [str(guest)]) == []
        for provision in (True, False):
            assert await refusal(nobody, call, [str(guest)], provision) == failed("user_not_found")
        assert await nobody.fetch("select * from messenger.accounts(array[$1::bigint])", guest) == []
        assert await nobody.fetch("select messenger.accounts_page($1, 5)", guest - 1) in ([], [(made_once["ann"],)])


async def guest_of(database: Database) -> int:
    """Somebody in a live session."""
    async with connected(database) as connection:
        await connection.fetch("select * from messenger.arrive(1, 'Ann', null, 1, true)")
    ((session,),) = await act(database, 1, "select messenger.open_session('Bees', 'HIVE42')")
    async with connected(database) as connection:
        joined = "select user_id from messenger.join_session($1, 'Zoe', 'zoe', '1 day')"
        return int(await connection.fetchval(joined, session))
