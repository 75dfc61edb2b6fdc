"""Migrating: from nothing to what sql/ says, once, whoever else tries; what does not fit is refused."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files

import asyncpg
import pytest

from messenger.errors import SetupError
from messenger.store import migrate as migrations
from messenger.store.migrate import ADVISORY_LOCK, REPEATABLE, Step, migrate, numbered, repeatable
from tests.support.database import PASSWORD, Database, Servers
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


async def test_a_database_ahead_of_the_code_is_refused(migrated: Database) -> None:
    newest = len(numbered())
    async with connected(migrated.admin_url) as connection:
        await connection.execute(
            "insert into messenger.schema_migrations (version, name, digest) values ($1, 'from the future', '')",
            newest + 1,
        )
    for check in (False, True):
        with pytest.raises(SetupError) as refused:
            await migrate(migrated.owner_url, check=check)
        assert str(refused.value) == (
            f"the database is at migration {newest + 1:04d}, ahead of this messenger, which knows {newest:04d}: "
            "run the newer messenger"
        )


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
