"""The commands that look after the database: migrate, doctor, epoch."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from messenger.store.migrate import numbered
from tests.support.command import in_one_line, messenger, serving, settings_of
from tests.support.database import PASSWORD, Database
from tests.support.node import Cluster

OWN_ROLE = "connect as a login role of its own, with GRANT messenger_app TO it and nothing else"
NOWHERE = "unix:///nowhere/redis.sock"


@pytest.fixture
def settings(database: Database) -> dict[str, str]:
    return settings_of(database)


async def test_migrate_tells_what_it_did_and_what_is_missing(empty_database: Database) -> None:
    url = {"migrate_database_url": empty_database.owner_url}
    steps = [
        "0001 foundation",
        "0002 revocations",
        "0003 people_and_reactions",
        "0004 outbox",
        "0005 cheaper_sends",
        "0006 sessions",
        "0007 channels_and_attachments",
        "0008 needs",
        "0000 functions and policies",
    ]
    check = await messenger("migrate", "--check", **url)
    assert (check.code, check.out.splitlines(), check.err) == (1, [f"missing: {step}" for step in steps], "")
    first = await messenger("migrate", **url)
    assert (first.code, first.out.splitlines(), first.err) == (0, [f"applied: {step}" for step in steps], "")
    for told in await asyncio.gather(messenger("migrate", **url), messenger("migrate", "--check", **url)):
        assert (told.code, told.out) == (0, "Nothing to do: the database is up to date.\n")


async def test_a_database_that_is_ahead_is_served_with_a_warning_until_it_needs_newer_code(
    settings: dict[str, str], database: Database, oracle: asyncpg.Connection
) -> None:
    newest = len(numbered())
    ahead = f"at migration {newest + 1:04d}, ahead of this messenger, which knows {newest:04d} and may run on it"
    laid = (
        "insert into messenger.schema_migrations (version, name, digest, needs) values ($1, 'from the future', '', $2)"
    )
    await oracle.execute(laid, newest + 1, newest)
    await oracle.execute("update messenger.schema_migrations set digest = 'newer' where version = 0")
    url = {"migrate_database_url": database.owner_url}
    for told in await asyncio.gather(messenger("migrate", **url), messenger("migrate", "--check", **url)):
        assert (told.code, told.out) == (0, "Nothing to do.\n")
        assert told.err == f"messenger: warning: the database is {ahead}\n"
    doctor = await messenger("doctor", **settings)
    assert (doctor.code, f"ok    schema: {ahead}" in doctor.out.splitlines()) == (0, True)
    async with serving(**settings) as daemon:
        assert f"messenger: warning: schema: {ahead}" in (await daemon.stop()).lines

    await oracle.execute(laid, newest + 2, newest + 1)
    needs = (
        f"the database is at migration {newest + 2:04d} and needs a messenger that knows {newest + 1:04d}, "
        f"this one knows {newest:04d}: run the newer messenger"
    )
    for told in await asyncio.gather(
        messenger("migrate", **url), messenger("migrate", "--check", **url), messenger("serve", **settings)
    ):
        assert in_one_line(told) == f"messenger: {needs}"
    doctor = await messenger("doctor", **settings)
    assert doctor.code == 1
    assert f"WRONG schema: {needs.removesuffix(': run the newer messenger')}" in doctor.out.splitlines()


async def test_migrate_needs_the_owner(database: Database) -> None:
    missing, weak, nowhere = await asyncio.gather(
        messenger("migrate"),
        messenger("migrate", migrate_database_url=database.app_url),
        messenger("migrate", migrate_database_url=f"postgresql://u:{PASSWORD}@127.0.0.1:1/db"),
    )
    assert in_one_line(missing) == (
        "messenger: MESSENGER_MIGRATE_DATABASE_URL is missing: the owner's, who makes schema and roles"
    )
    assert in_one_line(weak).startswith("messenger: the role of MESSENGER_MIGRATE_DATABASE_URL may not migrate (")
    assert in_one_line(nowhere).startswith("messenger: PostgreSQL does not let us in (ConnectionRefusedError")


async def test_doctor_finds_all_well(settings: dict[str, str]) -> None:
    told = await messenger("doctor", **settings)
    assert (told.code, told.err) == (0, "")
    topics = [line.removeprefix("ok    ").partition(":")[0] for line in told.out.splitlines()]
    assert topics == [
        "settings",
        "uploads",
        "postgres version",
        *["role"] * 4,
        "schema",
        "row-level security",
        "database clock",
        "bus",
        "bus clock",
    ]


async def test_doctor_says_what_is_wrong_and_how_to_mend_it(
    settings: dict[str, str], database: Database, empty_database: Database, oracle: asyncpg.Connection
) -> None:
    await oracle.execute("alter table messenger.messages no force row level security")
    unforced, unmigrated, strong, away, empty = await asyncio.gather(
        messenger("doctor", **settings),
        messenger("doctor", **(settings | {"database_url": empty_database.app_url, "redis_url": NOWHERE})),
        messenger("doctor", **(settings | {"database_url": database.admin_url})),
        messenger("doctor", **(settings | {"database_url": f"postgresql://u:{PASSWORD}@127.0.0.1:1/db"})),
        messenger("doctor"),
    )
    for told, *expected in (
        (unforced, "row-level security: not enforced on messages", "run messenger migrate as the owner"),
        (unmigrated, "schema: the database is not migrated", "run messenger migrate"),
        (unmigrated, "bus: Redis does not answer (ConnectionError)", "check MESSENGER_REDIS_URL"),
        (strong, "is a superuser", OWN_ROLE),
        (away, "database: PostgreSQL does not let us in (ConnectionRefusedError", "check MESSENGER_DATABASE_URL"),
        (empty, "settings: MESSENGER_DATABASE_URL is missing", "see messenger serve --help"),
    ):
        assert (told.code, told.err) == (1, "")
        lines = told.out.splitlines()
        (place,) = [place for place, line in enumerate(lines) if line.startswith("WRONG") and expected[0] in line]
        assert lines[place + 1].startswith(f"      mend: {expected[1]}")


async def test_doctor_looks_at_the_rest_although_the_bus_is_silent(settings: dict[str, str]) -> None:
    told = await messenger("doctor", **(settings | {"redis_url": NOWHERE, "auth": "off"}))
    assert told.code == 1
    lines = told.out.splitlines()
    wrong = [line for line in lines if line.startswith("WRONG")]
    assert wrong == ["WRONG bus: Redis does not answer (ConnectionError)"]
    assert {"ok    authentication: off: for demo and tests only", "ok    schema: up to date"} <= set(lines)


async def test_doctor_says_where_uploads_cannot_be_kept_and_makes_nothing(
    settings: dict[str, str], tmp_path: Path
) -> None:
    told = await messenger("doctor", **(settings | {"data_dir": str(tmp_path / "later")}))
    assert f"ok    uploads: kept in {tmp_path}/later/attachments" in told.out.splitlines()
    assert not (tmp_path / "later").exists()
    (tmp_path / "file").write_text("no folder")
    told = await messenger("doctor", **(settings | {"data_dir": str(tmp_path / "file")}))
    assert told.code == 1
    assert f"WRONG uploads: cannot be kept in {tmp_path}/file/attachments" in told.out.splitlines()


async def test_doctor_finds_keys_that_strangers_could_guess_or_change(settings: dict[str, str]) -> None:
    open_keys = {"jwt_secret": "", "jwt_jwks_url": "http://keys.invalid/jwks.json", "api_token": "guess-me"}
    told = await messenger("doctor", **(settings | open_keys))
    lines = told.out.splitlines()
    assert told.code == 1
    assert {"WRONG key set: fetched over plain http", "WRONG api token: has 8 characters"} <= set(lines)
    assert "guess-me" not in told.out + told.err
    told = await messenger("doctor", **(settings | {"api_token": "x" * 16}))
    assert (told.code, "ok    api token: has 16 characters" in told.out.splitlines()) == (0, True)


async def test_the_epoch_stays_until_it_is_renewed(database: Database) -> None:
    first = await messenger("epoch", database_url=database.app_url)
    renewed = await messenger("epoch", "--renew", migrate_database_url=database.owner_url)
    second = await messenger("epoch", database_url=database.app_url)
    assert (first.code, renewed.code, second.code) == (0, 0, 0)
    assert first.out != renewed.out == second.out
    assert len(second.out.strip()) == 12


async def test_numbers_of_transactions_from_before_a_restore_are_no_longer_ahead(
    database: Database, cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    node = await cluster.node()
    await node.client(1, name="Ann").group(2)
    ahead = "(pg_current_xact_id()::text::bigint + 1000000)::text::xid8"
    await oracle.execute(f"update messenger.conversation_heads set touched = {ahead}")
    await oracle.execute(f"update messenger.users set touched = {ahead}, profile_in = {ahead}, revoked_in = {ahead}")
    assert (await messenger("epoch", "--renew", migrate_database_url=database.owner_url)).code == 0
    assert await oracle.fetchval("select bool_and(touched < pg_current_xact_id()) from messenger.conversation_heads")
    assert await oracle.fetchval("select count(*) from messenger.users where touched is not null") == 0


async def test_the_epoch_is_the_owners_to_renew(database: Database, empty_database: Database) -> None:
    told = await asyncio.gather(
        messenger("epoch"),
        messenger("epoch", "--renew", database_url=database.app_url),
        messenger("epoch", "--renew", migrate_database_url=database.app_url),
        messenger("epoch", "--renew", migrate_database_url=empty_database.owner_url),
        messenger("epoch", database_url=empty_database.app_url),
    )
    assert [in_one_line(one) for one in told] == [
        "messenger: MESSENGER_DATABASE_URL is missing",
        "messenger: MESSENGER_MIGRATE_DATABASE_URL is missing: only the owner renews the epoch",
        f"messenger: role {database.servers.login} is not the owner: give MESSENGER_MIGRATE_DATABASE_URL as for migrate",
        "messenger: the database is not migrated: run messenger migrate",
        "messenger: the database is not migrated: run messenger migrate",
    ]
