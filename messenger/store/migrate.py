"""Brings a database to what sql/ says: once, whoever else tries at the same time.

One transaction under an advisory lock does it all: roles.sql, the missing migrations in order, then functions and
policies where they differ from what was laid last (recorded as version 0). Nothing is ever taken back. A database that is
ahead of this code is served and left as it is, unless one of its migrations needs code that knows more than this one.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import asyncpg

from messenger.errors import SetupError
from messenger.store.queries import query
from messenger.store.session import in_one_line

# Any number will do, as long as it is ours: "msgr".
ADVISORY_LOCK = 0x6D736772
REPEATABLE = 0
# Who waits for a whole table has everybody wait behind him, who give in after a second (store/session.py): for all of them
# together no longer than this, and then again.
LOCK_TIMEOUT_MS = 300
PAUSE_S = 0.5
GIVE_UP_S = 30.0
# Behind this one waits nobody but vacuums, and those of PostgreSQL's own accord give way, after its deadlock_timeout of a second.
VACUUM_TIMEOUT_MS = 3000
# Every table, in the order in which most transactions of the daemon come by them. Entering and leaving wait for a head while they
# have the participants, writing while it has these and the messages; all else comes after that.
LOCK_ORDER = (
    "conversation_participants",
    "conversation_heads",
    "messages",
    "conversations",
    "blocks",
    "reactions",
    "conversation_departures",
    "missing_messages",
    "attachment_uses",
    "attachments",
    "read_receipts",
    "notification_settings",
    "outbox",
    "deliveries",
    "push_devices",
    "users",
    "deleted_names",
    "imported_channels",
    "imported_messages",
    "imported_users",
    "missing_files",
    "installation",
    "schema_migrations",
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to apply. Version 0 is everything that is laid anew when it changes."""

    version: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def needs(self) -> int:
        """The lowest migration that code has to know to run on what this one leaves behind, said by its line `-- needs: NNNN`; 0
        where any will do."""
        said = re.search(r"^-- needs: (\d{4})$", self.sql, re.MULTILINE)
        return int(said[1]) if said else 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a database holds: the digest of each version, and the lowest migration that code on it has to know."""

    applied: Mapping[int, str]
    needs: int = 0

    @property
    def level(self) -> int:
        return max(self.applied, default=0)

    def is_ahead(self) -> bool:
        return self.level > len(numbered())


def _texts(folder: str) -> list[tuple[str, str]]:
    root: Traversable = files("messenger.sql")
    found = [item for item in (root / folder).iterdir() if item.name.endswith(".sql")]
    return [(item.name, item.read_text(encoding="utf-8")) for item in sorted(found, key=lambda item: item.name)]


def numbered() -> Sequence[Step]:
    """The migrations in order. Raises ValueError where numbers repeat or skip."""
    steps = []
    for place, (name, text) in enumerate(_texts("migrations"), start=1):
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", name)
        if match is None or int(match[1]) != place:
            raise ValueError(f"{name} is not migration number {place:04d}")
        steps.append(Step(place, match[2], text))
    return steps


def repeatable() -> Step:
    """Roles, functions, then the policies that rest on them, as one text."""
    texts = [_roles(), *(text for folder in ("functions", "policies") for _, text in _texts(folder))]
    return Step(REPEATABLE, "functions and policies", "\n".join(texts))


def _roles() -> str:
    return (files("messenger.sql") / "roles.sql").read_text(encoding="utf-8")


def missing(ledger: Ledger) -> Sequence[Step]:
    """What a database lacks: nothing where it is ahead of us, for what is older is never laid over it. Raises SetupError where it
    does not do for this code."""
    known = {step.version: step for step in numbered()}
    newest = max(known)
    if ledger.needs > newest:
        raise SetupError(
            f"the database is at migration {ledger.level:04d} and needs a messenger that knows {ledger.needs:04d}, "
            f"this one knows {newest:04d}: run the newer messenger"
        )
    for version, digest in ledger.applied.items():
        if REPEATABLE < version <= newest and known[version].digest != digest:
            raise SetupError(f"migration {version:04d} in the database is not the one of this messenger")
    if ledger.level > newest:
        return []
    steps = [step for step in known.values() if step.version not in ledger.applied]
    laid = repeatable()
    return steps if ledger.applied.get(REPEATABLE) == laid.digest and not steps else [*steps, laid]


def how_far_ahead(ledger: Ledger) -> str:
    """For the person at the terminal, of a database that is ahead and will do."""
    return (
        f"at migration {ledger.level:04d}, ahead of this messenger, which knows {len(numbered()):04d} and may run on it"
    )


async def ledger_of_app(connection: Any) -> Ledger:
    """Asked as the application role. Raises SetupError where nothing was migrated."""
    try:
        ledger = Ledger(dict(tuple(row) for row in await connection.fetch(query("duties.applied"))))
        # Only where it counts: a database from before 0008 cannot say it.
        return replace(ledger, needs=await connection.fetchval(query("duties.needs"))) if ledger.is_ahead() else ledger
    except (asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError):
        raise SetupError("the database is not migrated: run messenger migrate") from None
    except asyncpg.InsufficientPrivilegeError:
        raise SetupError("the database does not tell this role what it holds: grant it messenger_app") from None


async def _ledger_of_owner(connection: Any) -> Ledger:
    if await connection.fetchval("select to_regclass('messenger.schema_migrations')") is None:
        return Ledger({})
    rows = await connection.fetch("select version, digest from messenger.schema_migrations")
    ledger = Ledger(dict(tuple(row) for row in rows))
    if not ledger.is_ahead():
        return ledger
    return replace(ledger, needs=await connection.fetchval("select max(needs) from messenger.schema_migrations"))


async def migrate(
    database_url: str, *, check: bool = False, report: Callable[[str], None] = lambda line: None
) -> Sequence[Step]:
    """Apply what is missing and return it; with `check` only return it. `report` is told, a line each, of a database that is ahead
    and of waiting. Raises SetupError."""
    try:
        connection = await asyncpg.connect(database_url, timeout=10)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SetupError(f"PostgreSQL does not let us in ({in_one_line(error)})") from None
    try:
        return await _migrate_in_turns(connection, check=check, report=report)
    except asyncpg.InsufficientPrivilegeError as error:
        raise SetupError(
            f"the role of MESSENGER_MIGRATE_DATABASE_URL may not migrate ({in_one_line(error)}): "
            "it has to be the owner, with CREATE on the database and CREATEROLE"
        ) from None
    finally:
        await connection.close(timeout=5)


async def _migrate_in_turns(connection: Any, *, check: bool, report: Callable[[str], None]) -> Sequence[Step]:
    """What gets no lock in time has changed nothing, lets by who waits behind it, and begins again."""
    now = asyncio.get_running_loop().time
    ends, is_told = now() + GIVE_UP_S, False
    while True:
        try:
            return await _migrate(connection, check=check, report=report)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if now() + PAUSE_S > ends:
                raise SetupError(
                    f"what is to be altered was in use at every try for {GIVE_UP_S:g} s: end the transactions that do not end by "
                    "themselves (pg_stat_activity has them by xact_start), or migrate later"
                ) from None
            if not is_told:
                report(f"what is to be altered is in use: trying again for {GIVE_UP_S:g} s")
                is_told = True
        await asyncio.sleep(PAUSE_S)


async def _take_all(connection: Any) -> None:
    """Have every table to ourselves until the end of the transaction. All at once and before anything is altered: policies and
    triggers take them one by one in an order of their own, across that of the daemon."""
    rows = await connection.fetch(
        """
        select format('messenger.%I', tablename) from pg_tables where schemaname = 'messenger'
        order by array_position($1::text[], tablename::text), tablename
        """,
        LOCK_ORDER,
    )
    if not rows:
        return
    tables = ", ".join(row[0] for row in rows)
    await connection.execute(
        f"set local lock_timeout = {VACUUM_TIMEOUT_MS}; lock table {tables} in share update exclusive mode"
    )
    limit = await connection.fetchval("show statement_timeout")
    # The one is for each table, the other for all.
    await connection.execute(
        f"set local lock_timeout = {LOCK_TIMEOUT_MS}; set local statement_timeout = {LOCK_TIMEOUT_MS}"
    )
    try:
        await connection.execute(f"lock table {tables} in access exclusive mode")
    except asyncpg.QueryCanceledError as error:
        raise asyncpg.LockNotAvailableError(str(error)) from None
    await connection.execute("select set_config('statement_timeout', $1, true)", limit)


async def _migrate(connection: Any, *, check: bool, report: Callable[[str], None]) -> Sequence[Step]:
    if connection.get_server_version() < (15,):
        raise SetupError("PostgreSQL 15 or later is needed")
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", ADVISORY_LOCK)
        # Read under the lock: whoever waited finds what the other one did.
        ledger = await _ledger_of_owner(connection)
        steps = missing(ledger)
        if ledger.is_ahead():
            report(f"the database is {how_far_ahead(ledger)}")
        if check or not steps:
            return steps
        # After the advisory lock, for which one waits as long as another migration takes.
        await _take_all(connection)
        await connection.execute(_roles())  # the migrations need the schema
        for step in steps:
            await connection.execute(step.sql)
            await connection.execute(
                """
                insert into messenger.schema_migrations (version, name, digest) values ($1, $2, $3)
                on conflict (version) do update set digest = excluded.digest, applied_at = now()
                """,
                step.version,
                step.name,
                step.digest,
            )
            if step.needs:
                await connection.execute(
                    "update messenger.schema_migrations set needs = $2 where version = $1", step.version, step.needs
                )
        return steps
