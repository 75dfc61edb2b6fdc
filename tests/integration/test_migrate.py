"""Migrating: from nothing to what sql/ says, once, whoever else tries; what does not fit is refused."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files

import asyncpg
import pytest

from messenger.errors import SetupError
from messenger.store import migrate as migrations
from messenger.store.migrate import (
    ADVISORY_LOCK,
    LOCK_ORDER,
    REPEATABLE,
    Step,
    ledger_of_app,
    migrate,
    missing,
    numbered,
    repeatable,
)
from tests.support.database import PASSWORD, Database, Servers
from tests.support.node import FREE, Cluster
from tests.support.schema import dump

EVERYTHING = [step.name for step in (*numbered(), repeatable())]
RECORDED = "select version, name, digest from messenger.schema_migrations order by version"
WAITING = "select count(*) from pg_locks where locktype = 'advisory' and objid = $1 and not granted"


@pytest.fixture
async def migrated(empty_database: Database) -> Database:
    """A current database that its owner owns."""
    await migrate(empty_database.owner_url)
    return empty_database


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def schema_of(database: Database) -> str:
    async with connected(database.admin_url) as connection:
        return await dump(connection)


def names(steps: Sequence[Step]) -> list[str]:
    return [step.name for step in steps]


async def test_an_empty_database_becomes_current(empty_database: Database) -> None:
    assert names(await migrate(empty_database.owner_url)) == EVERYTHING
    async with connected(empty_database.admin_url) as connection:
        rows = await connection.fetch(RECORDED)
    assert [tuple(row) for row in rows] == [
        (step.version, step.name, step.digest) for step in (repeatable(), *numbered())
    ]


async def test_a_second_run_does_nothing(migrated: Database) -> None:
    async with connected(migrated.admin_url) as connection:
        before = await connection.fetch("select *, xmin from messenger.schema_migrations order by version")
        assert names(await migrate(migrated.owner_url)) == []
        assert await connection.fetch("select *, xmin from messenger.schema_migrations order by version") == before


async def test_of_two_at_once_one_works_and_the_other_finds_nothing(empty_database: Database) -> None:
    async with connected(empty_database.admin_url) as gate:
        # Both stand before the lock, so that both have looked at nothing yet.
        await gate.execute("select pg_advisory_lock($1)", ADVISORY_LOCK)
        runs = [asyncio.create_task(migrate(empty_database.owner_url)) for _ in range(2)]
        async with asyncio.timeout(10):
            while await gate.fetchval(WAITING, ADVISORY_LOCK) < 2:
                await asyncio.sleep(0.005)
        assert not any(run.done() for run in runs)
        await gate.execute("select pg_advisory_unlock($1)", ADVISORY_LOCK)
        assert sorted(map(names, await asyncio.gather(*runs))) == [[], EVERYTHING]


async def test_a_check_tells_and_does_nothing(empty_database: Database) -> None:
    assert names(await migrate(empty_database.owner_url, check=True)) == EVERYTHING
    async with connected(empty_database.admin_url) as connection:
        assert await connection.fetchval("select to_regnamespace('messenger')") is None
    await migrate(empty_database.owner_url)
    assert names(await migrate(empty_database.owner_url, check=True)) == []


async def test_changed_functions_and_policies_are_laid_anew(
    migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And everything else is left as it is."""
    laid = repeatable()
    changed = Step(
        REPEATABLE,
        laid.name,
        laid.sql + "\ncreate or replace function messenger.uuid7() returns uuid return null::uuid;",
    )
    monkeypatch.setattr(migrations, "repeatable", lambda: changed)
    assert names(await migrate(migrated.owner_url)) == [laid.name]
    async with connected(migrated.admin_url) as connection:
        assert await connection.fetchval("select messenger.uuid7()") is None
        rows = {row["version"]: row["digest"] for row in await connection.fetch(RECORDED)}
    assert rows[REPEATABLE] == changed.digest


async def test_a_new_migration_is_applied_once_and_the_rest_laid_over_it(
    migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that it makes is opened to the owner, like all others."""
    known = numbered()
    new = Step(
        len(known) + 1,
        "stickers",
        "create table messenger.stickers (id uuid); alter table messenger.stickers force row level security;",
    )
    monkeypatch.setattr(migrations, "numbered", lambda: [*known, new])
    assert names(await migrate(migrated.owner_url)) == ["stickers", repeatable().name]
    assert names(await migrate(migrated.owner_url)) == []
    async with connected(migrated.admin_url) as connection:
        assert (
            await connection.fetchval("select policyname from pg_policies where tablename = 'stickers'") == "owner_all"
        )


async def test_a_migration_that_fails_leaves_nothing(empty_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    known = numbered()
    broken = Step(len(known) + 1, "broken", "create table messenger.half (); select 1 / 0;")
    monkeypatch.setattr(migrations, "numbered", lambda: [*known, broken])
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database.owner_url)
    async with connected(empty_database.admin_url) as connection:
        assert await connection.fetchval("select to_regnamespace('messenger')") is None


async def from_the_future(database: Database, *, needs: int) -> int:
    """Lay what newer code would: a migration that says what it needs, and functions that we do not know. Gives its number."""
    newest = len(numbered())
    async with connected(database.admin_url) as connection:
        await connection.execute(
            "insert into messenger.schema_migrations (version, name, digest, needs) values ($1, 'from the future', '', $2)",
            newest + 1,
            needs,
        )
        await connection.execute("update messenger.schema_migrations set digest = 'newer' where version = 0")
    return newest


@pytest.mark.parametrize("check", [False, True])
async def test_a_database_that_is_ahead_is_left_as_it_is_and_told_of(migrated: Database, check: bool) -> None:
    newest = await from_the_future(migrated, needs=len(numbered()))
    told: list[str] = []
    async with connected(migrated.admin_url) as connection:
        before = await connection.fetch("select *, xmin from messenger.schema_migrations order by version")
        assert await migrate(migrated.owner_url, check=check, report=told.append) == []
        assert await connection.fetch("select *, xmin from messenger.schema_migrations order by version") == before
    assert told == [
        f"the database is at migration {newest + 1:04d}, ahead of this messenger, which knows {newest:04d} and may run on it"
    ]


async def test_a_database_that_needs_newer_code_is_refused(migrated: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its owner, who would migrate, as by whoever would serve."""
    newest = await from_the_future(migrated, needs=len(numbered()))
    known = numbered()[:-1]
    monkeypatch.setattr(migrations, "numbered", lambda: known)
    refused = (
        f"the database is at migration {newest + 1:04d} and needs a messenger that knows {newest:04d}, "
        f"this one knows {newest - 1:04d}: run the newer messenger"
    )
    for check in (False, True):
        with pytest.raises(SetupError) as failed:
            await migrate(migrated.owner_url, check=check)
        assert str(failed.value) == refused
    async with connected(migrated.admin_url) as connection:
        await connection.execute(f"grant messenger_app to {migrated.servers.login}")
    async with connected(migrated.app_url) as connection:
        with pytest.raises(SetupError) as failed:
            missing(await ledger_of_app(connection))
    assert str(failed.value) == refused


async def test_a_migration_that_is_ahead_hides_none_that_was_altered(migrated: Database) -> None:
    await from_the_future(migrated, needs=0)
    async with connected(migrated.admin_url) as connection:
        await connection.execute("update messenger.schema_migrations set digest = 'another' where version = 1")
    with pytest.raises(SetupError, match=r"^migration 0001 in the database is not the one of this messenger$"):
        await migrate(migrated.owner_url)


async def test_what_a_migration_needs_is_kept(migrated: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    known = numbered()
    new = Step(len(known) + 1, "narrower", f"-- Away with it.\n-- needs: {len(known):04d}\nselect 1;")
    monkeypatch.setattr(migrations, "numbered", lambda: [*known, new])
    await migrate(migrated.owner_url)
    async with connected(migrated.admin_url) as connection:
        needs = await connection.fetch("select needs from messenger.schema_migrations order by version")
        assert [row[0] for row in needs] == [0] * (1 + len(known)) + [len(known)]
        assert await connection.fetchval("select messenger.needed_migration()") == len(known)


def to_be_laid(monkeypatch: pytest.MonkeyPatch) -> str:
    """Have functions and policies that differ from what was laid; their name."""
    laid = repeatable()
    changed = Step(REPEATABLE, laid.name, f"{laid.sql}\n-- {secrets.token_hex(4)}")
    monkeypatch.setattr(migrations, "repeatable", lambda: changed)
    return laid.name


async def until_it_waits(oracle: asyncpg.Connection, mode: str) -> None:
    """Until somebody waits for a table in that mode."""
    async with asyncio.timeout(10):
        while not await oracle.fetchval(
            "select count(*) from pg_locks where relation is not null and mode = $1 and not granted", mode
        ):
            await asyncio.sleep(0.005)


async def test_who_waits_for_a_lock_lets_others_by_and_begins_again(
    migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, told = numbered(), list[str]()
    # What it does once it has the tables may take longer than it waits for them.
    new = Step(
        len(known) + 1, "wider", "alter table messenger.users add column shoe_size integer; select pg_sleep(0.2)"
    )
    monkeypatch.setattr(migrations, "numbered", lambda: [*known, new])
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_MS", 50)
    monkeypatch.setattr(migrations, "PAUSE_S", 0.01)
    monkeypatch.setattr(migrations, "GIVE_UP_S", 0.5)
    async with connected(migrated.admin_url) as reader:
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch("select * from messenger.users")
        with pytest.raises(SetupError, match=r"^what is to be altered was in use at every try for 0.5 s: end the"):
            await migrate(migrated.owner_url, report=told.append)
        assert told == ["what is to be altered is in use: trying again for 0.5 s"]
        assert names(await migrate(migrated.owner_url, check=True)) == ["wider", repeatable().name]

        monkeypatch.setattr(migrations, "GIVE_UP_S", 30)
        ends: list[asyncio.Task[None]] = []
        assert names(
            await migrate(
                migrated.owner_url, report=lambda line: ends.append(asyncio.create_task(transaction.rollback()))
            )
        ) == ["wider", repeatable().name]
        assert len(ends) == 1


async def test_for_all_tables_together_it_waits_no_longer_than_for_one(
    migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other their users could hold it up, and it everybody."""
    name = to_be_laid(monkeypatch)
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_MS", 400)
    told: list[str] = []
    async with connected(migrated.admin_url) as oracle, AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(connected(migrated.admin_url)) for _ in range(3)]
        for reader, table in zip(readers, ("conversation_participants", "messages", "users"), strict=True):
            await reader.execute(f"begin; lock table messenger.{table} in access share mode")
        migration = asyncio.create_task(migrate(migrated.owner_url, report=told.append))
        for reader in readers[:-1]:  # each within the time for one, and both beyond it
            await until_it_waits(oracle, "AccessExclusiveLock")
            await asyncio.sleep(0.25)
            await reader.execute("rollback")
        await until_it_waits(oracle, "AccessExclusiveLock")
        assert len(told) == 1
        await readers[-1].execute("rollback")
        assert names(await migration) == [name]


async def test_who_takes_the_tables_as_the_daemon_does_is_not_in_its_way(
    migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has nothing yet that he needs while it waits for what he has."""
    name, told = to_be_laid(monkeypatch), list[str]()
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_MS", 5000)
    async with connected(migrated.admin_url) as oracle, connected(migrated.admin_url) as writer:
        await writer.execute("set lock_timeout = 300; begin; select from messenger.conversation_participants")
        migration = asyncio.create_task(migrate(migrated.owner_url, report=told.append))
        await until_it_waits(oracle, "AccessExclusiveLock")
        for table in ("conversation_heads", "messages", "conversations", "users"):
            await writer.execute(f"lock table messenger.{table} in row exclusive mode")
        await writer.execute("commit")
        assert names(await migration) == [name]
    assert told == []


async def test_one_deadlock_with_somebody_is_a_try_like_others(
    migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, told = to_be_laid(monkeypatch), list[str]()
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_MS", 10_000)  # so that PostgreSQL comes first
    async with connected(migrated.admin_url) as oracle, connected(migrated.admin_url) as writer:
        await writer.execute("set deadlock_timeout = '30s'; begin; lock table messenger.users in row exclusive mode")
        migration = asyncio.create_task(migrate(migrated.owner_url, report=told.append))
        await until_it_waits(oracle, "AccessExclusiveLock")
        await writer.execute("lock table messenger.conversation_participants in row exclusive mode; commit")
        assert names(await migration) == [name]
    assert len(told) == 1


async def test_people_go_on_while_it_waits_for_a_vacuum(migrated: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which PostgreSQL ends for others by itself, but after a second only; nobody could wait behind us for as long."""
    name, told = to_be_laid(monkeypatch), list[str]()
    async with connected(migrated.admin_url) as vacuum, connected(migrated.admin_url) as writer:
        await vacuum.execute("begin; lock table messenger.messages in share update exclusive mode")
        migration = asyncio.create_task(migrate(migrated.owner_url, report=told.append))
        await until_it_waits(writer, "ShareUpdateExclusiveLock")
        await writer.execute("set lock_timeout = 50; lock table messenger.messages in row exclusive mode")
        await vacuum.execute("commit")
        assert names(await migration) == [name]
    assert told == []


async def test_every_table_has_its_place_in_the_order_of_locks(migrated: Database) -> None:
    async with connected(migrated.admin_url) as connection:
        rows = await connection.fetch("select tablename::text from pg_tables where schemaname = 'messenger'")
    assert sorted(LOCK_ORDER) == sorted(row[0] for row in rows)


async def test_nobody_fails_while_it_migrates_beneath_them_or_waits_for_somebody(
    cluster: Cluster, migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(migrated.admin_url) as reader:
        await reader.execute(f"grant messenger_app to {migrated.servers.login}")
        node = await cluster.node(**FREE, database_url=migrated.app_url)
        rooms = {ann: await node.client(ann).group(ann + 1) for ann in range(1, 20, 2)}
        is_over, answers = asyncio.Event(), Counter[int]()

        async def write(ann: int) -> None:
            while not is_over.is_set():
                answers[
                    (await node.client(ann).post(f"/conversations/{rooms[ann]}/messages", {"content": "x"}))[0]
                ] += 1

        async def let_in_and_out(ann: int) -> None:
            people = f"/conversations/{rooms[ann]}/participants"
            while not is_over.is_set():
                answers[(await node.client(ann).post(people, {"user_ids": [500 + ann]}))[0]] += 1
                answers[(await node.client(ann).delete(f"{people}/{500 + ann}"))[0]] += 1

        async with asyncio.TaskGroup() as tasks:
            for ann in rooms:
                tasks.create_task(write(ann))
                tasks.create_task(let_in_and_out(ann))
            for _ in range(5):
                name = to_be_laid(monkeypatch)
                assert names(await migrate(migrated.owner_url)) == [name]
            to_be_laid(monkeypatch)
            monkeypatch.setattr(migrations, "GIVE_UP_S", 3)
            await reader.execute("begin; select from messenger.messages")
            with pytest.raises(SetupError, match=r"^what is to be altered was in use"):
                await migrate(migrated.owner_url)
            is_over.set()
    assert set(answers) == {201, 204}, answers


async def test_a_migration_of_another_digest_is_refused(migrated: Database) -> None:
    async with connected(migrated.admin_url) as connection:
        await connection.execute("update messenger.schema_migrations set digest = 'another' where version = 1")
    with pytest.raises(SetupError, match=r"^migration 0001 in the database is not the one of this messenger$"):
        await migrate(migrated.owner_url)


async def test_an_applied_migration_that_was_rewritten_is_refused(
    migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was released stands for ever: what is to change goes into a migration of its own."""
    first, *others = numbered()
    rewritten = Step(first.version, first.name, first.sql + "\n-- a remark")
    monkeypatch.setattr(migrations, "numbered", lambda: [rewritten, *others])
    with pytest.raises(SetupError, match=r"^migration 0001 in the database is not the one of this messenger$"):
        await migrate(migrated.owner_url)


@pytest.mark.parametrize(
    "found", [["0002_late.sql"], ["0001_one.sql", "0003_three.sql"], ["0001_one.sql", "1_two.sql"]]
)
def test_numbers_neither_skip_nor_stray(monkeypatch: pytest.MonkeyPatch, found: list[str]) -> None:
    monkeypatch.setattr(migrations, "_texts", lambda folder: [(name, "") for name in found])
    with pytest.raises(ValueError, match=f"^{found[-1]} is not migration number {len(found):04d}$"):
        numbered()


async def test_the_owner_needs_no_superuser(servers: Servers, template: str) -> None:
    """CREATEROLE and a database of his own are enough, and what he makes is his; the application may use it all the same."""
    owner, database = (
        f"messenger_owner_{secrets.token_hex(4)}",
        Database(servers, f"messenger_test_{secrets.token_hex(6)}"),
    )
    await servers.execute(f"create role {owner} login createrole password '{PASSWORD}'")
    await servers.execute(f'create database "{database.name}" owner {owner}')
    try:
        assert template
        assert names(await migrate(database.owner_url.replace(servers.owner, owner, 1))) == EVERYTHING
        async with connected(database.admin_url) as connection:
            row = await connection.fetchrow("select rolsuper, rolbypassrls from pg_roles where rolname = $1", owner)
            assert tuple(row) == (False, False)
            owners = await connection.fetch("select distinct tableowner from pg_tables where schemaname = 'messenger'")
            assert [row[0] for row in owners] == [owner]
        async with database.as_user(1) as connection:
            await connection.execute("select messenger.arrive(1, 'Ann', null, 1, true)")
            assert await connection.fetchval("select count(*) from messenger.users") == 1
    finally:
        await servers.execute(f'drop database "{database.name}" with (force)')
        await servers.execute(f"drop owned by {owner}; drop role {owner}")


@pytest.mark.parametrize("is_migrated", [False, True])
async def test_who_may_not_migrate_is_told_in_one_line(empty_database: Database, is_migrated: bool) -> None:
    """He may make no schema and no role; or they are there, and somebody else's."""
    if is_migrated:
        await migrate(empty_database.owner_url)
    with pytest.raises(
        SetupError, match=r"^the role of MESSENGER_MIGRATE_DATABASE_URL may not migrate .*CREATEROLE$"
    ) as refused:
        await migrate(empty_database.app_url)
    assert "\n" not in str(refused.value)


async def test_the_epoch_is_a_databases_own(database: Database, empty_database: Database) -> None:
    await migrate(empty_database.owner_url)
    epochs = []
    for one in (database, empty_database):
        async with connected(one.app_url) as connection:
            epochs.append(await connection.fetchval("select messenger.epoch()"))
    assert len(set(epochs)) == 2
    assert all(len(epoch) == 12 for epoch in epochs)


async def test_schema_sql_is_what_the_migrations_make(migrated: Database) -> None:
    """Write it anew: python -m tests.support.schema > sql/schema.sql"""
    committed = files("messenger.sql").joinpath("schema.sql").read_text(encoding="utf-8")
    assert await schema_of(migrated) == committed


async def test_laying_everything_again_changes_nothing(migrated: Database) -> None:
    """Functions and policies are written to be laid over themselves."""
    before = await schema_of(migrated)
    async with connected(migrated.admin_url) as connection:
        await connection.execute("update messenger.schema_migrations set digest = 'older' where version = 0")
    assert names(await migrate(migrated.owner_url)) == [repeatable().name]
    assert await schema_of(migrated) == before
