"""Where history begins with one's joining, a newcomer reads, counts, answers, marks and alters nothing from before."""

import asyncio
from uuid import uuid4

import asyncpg

from tests.support.scene import (
    ADD,
    ANN,
    ANSWER,
    APPEND,
    BEN,
    BURY,
    DEE,
    DENIED,
    EVE,
    MARK,
    READ,
    REMOVE,
    SAY,
    SET_ROLE,
    Scene,
    act,
    acting,
    batch,
    create,
    draft,
    failed,
    outcome,
    refusal,
    until_it_waits,
)

# In `late`: three messages (seq 1 to 3), Dee's joining (4), a welcome (5).
BEFORE, JOINED, WELCOME = (1, 2, 3), 4, 5


async def test_a_newcomer_reads_from_his_joining_on(scene: Scene) -> None:
    async with scene.database.as_user(DEE) as connection:
        rows = await connection.fetch("select seq, message_type from messenger.messages order by seq")
        assert [tuple(row) for row in rows] == [(JOINED, "system"), (WELCOME, "text")]
    async with scene.database.as_user(BEN) as connection:
        counted = "select count(*) from messenger.messages where conversation_id = $1"
        assert await connection.fetchval(counted, scene.late) == 5


async def test_a_newcomer_counts_nothing_from_before(scene: Scene) -> None:
    async with scene.database.as_user(DEE) as connection:
        assert await connection.fetchval("select count(*) from messenger.messages") == 2
        for read_up_to in (0, 1, 4):
            assert await connection.fetchval("select messenger.my_unread_count($1, $2)", scene.late, read_up_to) == 1
        assert await connection.fetchval("select max(seq) from messenger.messages where seq < 4") is None


async def test_a_newcomer_pages_into_nothing_from_before(scene: Scene) -> None:
    async with scene.database.as_user(DEE, scene.late) as connection:
        for where, expected in (
            ("seq < 5 and seq > 0 order by seq desc limit 50", [JOINED]),
            ("seq > 0 order by seq limit 1", [JOINED]),
            ("change > 0 order by change limit 50", [JOINED, WELCOME]),
            ("seq = 1", []),
            ("message_type <> 'system' order by seq limit 1 offset 1", []),
        ):
            rows = await connection.fetch(
                f"select seq from messenger.messages where conversation_id = $1 and {where}", scene.late
            )
            assert [row["seq"] for row in rows] == expected, where


async def test_a_change_to_what_was_before_stays_hidden(own_scene: Scene) -> None:
    """It takes a number above the newcomer's joining, and is still of a message from before."""
    await own_scene.act(ANN, BURY, own_scene.said[own_scene.late][1])
    async with own_scene.database.as_user(DEE) as connection:
        rows = await connection.fetch("select seq, change from messenger.messages order by change")
        assert [tuple(row) for row in rows] == [(4, 4), (5, 5)]


async def test_a_newcomer_finds_no_message_from_before(scene: Scene) -> None:
    """Neither answers it nor marks it as read; nor is it told apart from one that does not exist."""
    hidden, missing = scene.said[scene.late][0], uuid4()
    async with scene.database.as_user(DEE) as connection:
        told = [
            (
                await outcome(connection, "select messenger.conversation_of_message($1)", message),
                await outcome(connection, "select * from messenger.messages where id = $1 for update", message),
                await refusal(connection, READ, DEE, message),
                await refusal(connection, ANSWER, scene.late, uuid4(), message),
                await refusal(connection, MARK, scene.late, message, 1),
                await refusal(connection, f"{MARK} on conflict do nothing", scene.late, message, 1),
                await outcome(
                    connection,
                    "select item, outcome from messenger.append_drafts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                    *batch(draft(DEE, scene.late, reply_to=message)),
                ),
            )
            for message in (hidden, missing)
        ]
    assert told[0] == told[1]
    assert told[0][2:4] == (failed("message_not_found"),) * 2
    assert told[0][6] == "[(1, 'message_not_found')]"


async def test_a_mark_is_moved_to_nothing_from_before(own_scene: Scene) -> None:
    welcome = own_scene.said[own_scene.late][3]
    assert [tuple(row) for row in await own_scene.act(DEE, READ, DEE, welcome)] == [(WELCOME, 0, True)]
    move = "update messenger.read_receipts set message_id = $1, last_read_seq = $2 where user_id = $3"
    async with own_scene.database.as_user(DEE) as connection:
        told = [
            await refusal(connection, move, message, 1, DEE) for message in (own_scene.said[own_scene.late][0], uuid4())
        ]
        assert told[0] == told[1]
        assert told[0].state == DENIED
        # Nor to a place that is not that of the message.
        assert (await refusal(connection, move, welcome, 999, DEE)).state == DENIED


async def test_a_newcomer_who_is_admin_alters_nothing_from_before(own_scene: Scene) -> None:
    await own_scene.act(ANN, SET_ROLE, own_scene.late, DEE, "admin")
    async with own_scene.database.as_user(DEE) as connection:
        assert await connection.execute(BURY, own_scene.said[own_scene.late][0]) == "UPDATE 0"
        # Blindly, without reading a column: the welcome, and nothing from before.
        assert await connection.execute(BURY.partition("where")[0]) == "UPDATE 1"


async def test_who_comes_back_sees_no_more_than_a_newcomer(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    late = own_scene.late
    await own_scene.act(ANN, REMOVE, late, BEN)
    await own_scene.act(ANN, SAY, late, uuid4(), "While he was away")
    rows = await own_scene.act(ANN, ADD, late, [BEN, EVE], "member")
    assert [row["seq"] for row in rows] == [8, 9]
    for who, first in ((BEN, 8), (EVE, 9)):
        async with own_scene.database.as_user(who) as connection:
            seen = await connection.fetch("select seq from messenger.messages where conversation_id = $1", late)
            assert min(row["seq"] for row in seen) == first
            assert await connection.fetchval("select messenger.my_first_seq($1)", late) == first
            # What he wrote himself before is from before, and not his to alter blindly.
            changed = await connection.execute("update messenger.messages set content = 'x'")
            # In tea and to Ann alone; in the den.
            assert changed == ("UPDATE 2" if who == BEN else "UPDATE 1")
    assert await oracle.fetchval("select count(*) from messenger.messages where conversation_id = $1", late) == 9


async def test_what_commits_while_he_is_let_in_is_from_before(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    late = own_scene.late
    async with acting(own_scene.database, ANN) as admin:
        async with acting(own_scene.database, BEN) as writer:
            await writer.fetch(SAY, late, uuid4(), "In the last moment")
            adding = asyncio.create_task(admin.fetch(ADD, late, [EVE], "member"))
            await until_it_waits(oracle, admin)
        assert [row["seq"] for row in await adding] == [7]
    rows = await own_scene.act(EVE, "select seq, content from messenger.messages where conversation_id = $1", late)
    assert [tuple(row) for row in rows] == [(7, "Ann added Eve")]


async def test_where_history_is_all_a_newcomer_reads_everything(own_scene: Scene) -> None:
    await own_scene.act(ANN, ADD, own_scene.tea, [EVE], "observer")
    async with own_scene.database.as_user(EVE, own_scene.tea) as connection:
        rows = await connection.fetch("select seq from messenger.messages order by seq")
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
        assert len(rows) == 6


async def test_who_was_there_from_the_start_reads_from_the_start(own_scene: Scene) -> None:
    made = await create(own_scene.database, ANN, "group", BEN, history="joined")
    await act(own_scene.database, BEN, APPEND, *batch(draft(BEN, made)))
    async with own_scene.database.as_user(ANN, made) as connection:
        assert await connection.fetchval("select array_agg(seq) from messenger.messages") == [1]
