"""Brings a database to what sql/ says: once, whoever else tries at the same time.

One transaction under an advisory lock does it all: roles.sql, the missing migrations in order, then functions and
policies where they differ from what was laid last (recorded as version 0). A database that is ahead of this code is
refused, and nothing is ever taken back.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to apply. Version 0 is everything that is laid anew when it changes."""

    version: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


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


def missing(applied: Mapping[int, str]) -> Sequence[Step]:
    """What a database lacks, given the digest of each version that it holds. Raises SetupError where it is ahead of us."""
    known = {step.version: step for step in numbered()}
    newest = max(known)
    ahead = max(applied, default=0)
    if ahead > newest:
        raise SetupError(
            f"the database is at migration {ahead:04d}, ahead of this messenger, which knows {newest:04d}: "
            "run the newer messenger"
        )
    for version, digest in applied.items():
        if version != REPEATABLE and known[version].digest != digest:
            raise SetupError(f"migration {version:04d} in the database is not the one of this messenger")
    steps = [step for step in known.values() if step.version not in applied]
    laid = repeatable()
    return steps if applied.get(REPEATABLE) == laid.digest and not steps else [*steps, laid]


async def applied_by_app(connection: Any) -> Mapping[int, str]:
    """What a database holds, asked as the application role. Raises SetupError where nothing was migrated."""
    try:
        return dict(tuple(row) for row in await connection.fetch(query("duties.applied")))
    except (asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError):
        raise SetupError("the database is not migrated: run messenger migrate") from None
    except asyncpg.InsufficientPrivilegeError:
        raise SetupError("the database does not tell this role what it holds: grant it messenger_app") from None


async def _applied_by_owner(connection: Any) -> Mapping[int, str]:
    if await connection.fetchval("select to_regclass('messenger.schema_migrations')") is None:
        return {}
    return dict(tuple(row) for row in await connection.fetch("select version, digest from messenger.schema_migrations"))


async def migrate(database_url: str, *, check: bool = False) -> Sequence[Step]:
    """Apply what is missing and return it; with `check` only return it. Raises SetupError."""
    try:
        connection = await asyncpg.connect(database_url, timeout=10)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SetupError(f"PostgreSQL does not let us in ({in_one_line(error)})") from None
    try:
        return await _migrate(connection, check=check)
    except asyncpg.InsufficientPrivilegeError as error:
        raise SetupError(
            f"the role of MESSENGER_MIGRATE_DATABASE_URL may not migrate ({in_one_line(error)}): "
            "it has to be the owner, with CREATE on the database and CREATEROLE"
        ) from None
    finally:
        await connection.close(timeout=5)


async def _migrate(connection: Any, *, check: bool) -> Sequence[Step]:
    if connection.get_server_version() < (15,):
        raise SetupError("PostgreSQL 15 or later is needed")
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", ADVISORY_LOCK)
        # Read under the lock: whoever waited finds what the other one did.
        steps = missing(await _applied_by_owner(connection))
        if check or not steps:
            return steps
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
        return steps
