"""Without a user nothing is visible and nothing can be written, in whatever table there is."""

from collections.abc import Sequence

import asyncpg
import pytest

from tests.support.scene import (
    ADD,
    ANN,
    APPEND,
    BEN,
    CREATE,
    DELETE,
    DENIED,
    REMOVE,
    RENAME,
    SET_ROLE,
    UNKNOWN,
    Refusal,
    Scene,
    batch,
    draft,
    failed,
    outcome,
    refusal,
)

# Nobody entered, or a mistake did.
NOBODIES = (None, 0, -1, UNKNOWN)


async def tables(connection: asyncpg.Connection) -> Sequence[str]:
    rows = await connection.fetch("select tablename from pg_tables where schemaname = 'messenger' order by 1")
    assert len(rows) >= 10
    return [row["tablename"] for row in rows]


async def columns(connection: asyncpg.Connection, table: str, privilege: str) -> list[str]:
    """The columns on which the application role has a privilege; all of them where it has none."""
    rows = await connection.fetch(
        """
        select attname, has_column_privilege('messenger_app', attrelid, attnum, $2) as granted
        from pg_attribute where attrelid = format('messenger.%I', $1::text)::regclass and attnum > 0 and not attisdropped
        """,
        table,
        privilege,
    )
    return [row["attname"] for row in rows if row["granted"]] or [row["attname"] for row in rows]


async def test_the_scene_fills_every_table(scene: Scene, witness: asyncpg.Connection) -> None:
    """The tests below prove something only of a table with rows: let set_the_scene fill a new one."""
    empty = [name for name in await tables(witness) if not await witness.fetch(f"select from messenger.{name} limit 1")]
    assert empty == []


@pytest.mark.parametrize("nobody", NOBODIES)
async def test_nobody_sees_a_row_of_any_table(scene: Scene, witness: asyncpg.Connection, nobody: int | None) -> None:
    async with scene.database.as_user(nobody) as connection:
        for table in await tables(witness):
            for statement in (
                f"select count(*) from messenger.{table}",
                f"select from messenger.{table} for key share",
            ):
                told = await outcome(connection, statement)
                if isinstance(told, Refusal):
                    assert told.state == DENIED, (table, told)
                else:
                    assert told in ("[(0,)]", "[]"), table


@pytest.mark.parametrize("nobody", NOBODIES)
async def test_nobody_inserts_into_any_table(scene: Scene, witness: asyncpg.Connection, nobody: int | None) -> None:
    async with scene.database.as_user(nobody) as connection:
        for table in await tables(witness):
            names = ", ".join(await columns(witness, table, "INSERT"))
            row = await witness.fetchval(f"select to_jsonb(t) from messenger.{table} t limit 1")
            told = await refusal(
                connection,
                f"""
                insert into messenger.{table} ({names})
                select {names} from jsonb_populate_record(null::messenger.{table}, $1)
                """,
                row,
            )
            # By privilege, by policy, or by the trigger that comes before both; never by a key, which would tell of the row.
            assert told.state == DENIED or told == failed("not_participant"), (table, told)


@pytest.mark.parametrize("nobody", NOBODIES)
async def test_nobody_changes_a_row_of_any_table(scene: Scene, witness: asyncpg.Connection, nobody: int | None) -> None:
    async with scene.database.as_user(nobody) as connection:
        for table in await tables(witness):
            settable = await columns(witness, table, "UPDATE")
            changes = [f"update messenger.{table} set {name} = {name}" for name in settable]
            # Reading no column, these ask the policies for updating alone.
            changes += [f"update messenger.{table} set {name} = default" for name in settable]
            for statement in (*changes, f"delete from messenger.{table}", f"truncate messenger.{table}"):
                assert await effect(connection, statement) in (DENIED, 0), statement


async def effect(connection: asyncpg.Connection, statement: str) -> int | str:
    """How many rows a statement touched, or the SQLSTATE of its refusal."""
    savepoint = connection.transaction()
    await savepoint.start()
    try:
        return int((await connection.execute(statement)).rpartition(" ")[2])
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    finally:
        await savepoint.rollback()


async def test_nobody_acts_through_functions(scene: Scene, witness: asyncpg.Connection) -> None:
    message = scene.said[scene.tea][0]
    async with scene.database.as_user(None) as connection:
        for statement, *args in (
            (ADD, scene.tea, [BEN], "member"),
            (SET_ROLE, scene.tea, BEN, "admin"),
            (REMOVE, scene.tea, BEN),
            (RENAME, scene.tea, "Coffee"),
            (DELETE, scene.tea),
        ):
            assert await refusal(connection, statement, *args) == failed("not_participant")
        told = await refusal(connection, CREATE, "group", "T", "all", [BEN])
        assert (told.state, told.column) == ("23502", "created_by")
        for statement, *args in (
            ("select * from messenger.my_conversation_ids()",),
            ("select * from messenger.my_posting_conversation_ids()",),
            ("select * from messenger.my_administered_conversation_ids()",),
            ("select * from messenger.my_cut_conversation_ids()",),
            ("select * from messenger.my_departure($1)", scene.tea),
            ("select * from messenger.my_message_by_client_id($1, 'c')", scene.tea),
        ):
            assert await outcome(connection, statement, *args) == "[]", statement
        for statement, *args in (
            ("select messenger.current_user_id()",),
            ("select messenger.my_first_seq($1)", scene.tea),
            ("select messenger.conversation_of_message($1)", message),
        ):
            assert await outcome(connection, statement, *args) == "[(None,)]", statement
        assert await outcome(connection, "select messenger.my_unread_count($1, 0)", scene.tea) == "[(0,)]"


async def test_who_was_somebody_is_nobody_after_his_transaction(scene: Scene) -> None:
    """What PostgreSQL leaves of a setting after its transaction is empty text, and not null."""
    connection = await asyncpg.connect(scene.database.app_url)
    try:
        async with connection.transaction():
            await connection.execute("select messenger.enter($1, $2)", ANN, [scene.tea])
            assert await connection.fetchval("select count(*) from messenger.conversations") == 1
        assert await connection.fetchval("select current_setting('messenger.user_id', true)") == ""
        assert await connection.fetchval("select count(*) from messenger.conversations") == 0
        assert await connection.fetchval("select messenger.current_scope()") is None
    finally:
        await connection.close()


async def test_a_batch_leaves_nobody_entered(scene: Scene) -> None:
    connection = await asyncpg.connect(scene.database.app_url)
    transaction = connection.transaction()
    try:
        rows = await connection.fetch(APPEND, *batch(draft(UNKNOWN, scene.tea)))
        assert [row["outcome"] for row in rows] == ["not_participant"]
        assert await connection.fetchval("select messenger.current_user_id()") is None
        await transaction.start()
        assert await refusal(connection, "insert into messenger.messages (conversation_id) values ($1)", scene.tea) == (
            failed("not_participant")
        )
        await transaction.rollback()
    finally:
        await connection.close()


async def test_a_user_that_is_no_number_opens_nothing(scene: Scene) -> None:
    async with scene.database.as_user(None) as connection:
        await connection.execute("select set_config('messenger.user_id', 'ann', true)")
        told = await refusal(connection, "select from messenger.messages")
        assert told.state == "22P02"
