"""What must be right before the daemon serves, and what `messenger doctor` looks at."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import jwt
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from messenger.config import Config
from messenger.delivery.guard import Guard, Refused
from messenger.delivery.vapid import Vapid
from messenger.errors import SetupError
from messenger.storage.folder import Folder
from messenger.store.migrate import how_far_ahead, ledger_of_app, missing
from messenger.store.queries import query
from messenger.store.session import in_one_line
from messenger.transport.keys import fetch

# Clocks further apart make tokens and times look wrong.
CLOCK_S = 5.0
MIN_API_TOKEN_CHARS = 16
_ALLOW = "private addresses and http:// need MESSENGER_PRIVATE_TARGETS"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `mend` says what to do where it is wrong. `is_odd`: well, and yet to be told at each start."""

    topic: str
    ok: bool
    text: str
    mend: str = ""
    is_odd: bool = False


def require_settings(config: Config) -> None:
    """What no daemon goes without. Raises SetupError, one line."""
    if not config.database_url:
        raise SetupError(
            "MESSENGER_DATABASE_URL is missing: set it (and run messenger migrate), or start with --embedded"
        )
    if not config.redis_url:
        raise SetupError("MESSENGER_REDIS_URL is missing: set it, or start with --embedded")
    try:
        aioredis.ConnectionPool.from_url(config.redis_url)
    except ValueError:
        raise SetupError("MESSENGER_REDIS_URL cannot be read: one of its options has no such value") from None
    if config.auth == "jwt" and not (config.jwt_secret or config.jwt_public_key_file or config.jwt_jwks_url):
        raise SetupError(
            "no key to check tokens with: set MESSENGER_JWT_SECRET (32 bytes or more), MESSENGER_JWT_PUBLIC_KEY_FILE "
            "or MESSENGER_JWT_JWKS_URL"
        )
    if config.jwt_public_key_file:
        _require_key(config)
    _require_ways_out(config)


def require_room(config: Config) -> None:
    """A folder for uploads; made where there is none. Raises SetupError, one line."""
    Folder(config.attachments_dir).prepare()


def _require_ways_out(config: Config) -> None:
    if config.webhook_url and not config.webhook_secret:
        raise SetupError("MESSENGER_WEBHOOK_URL needs MESSENGER_WEBHOOK_SECRET, which its requests are signed with")
    if config.webhook_url:
        try:
            Guard(config.private_targets).check(config.webhook_url)
        except Refused as refused:
            raise SetupError(f"MESSENGER_WEBHOOK_URL is refused ({refused}): {_ALLOW}") from None
    if config.vapid_private_key and not config.vapid_subject:
        raise SetupError(
            "MESSENGER_VAPID_PRIVATE_KEY needs MESSENGER_VAPID_SUBJECT: mailto: or https: of whoever runs this"
        )
    if config.vapid_private_key:
        try:
            Vapid.of(config.vapid_private_key, config.vapid_subject)
        except ValueError as error:
            raise SetupError(f"MESSENGER_VAPID_PRIVATE_KEY with MESSENGER_VAPID_SUBJECT: {error}") from None


def _require_key(config: Config) -> None:
    try:
        key = Path(config.jwt_public_key_file).read_bytes()
    except OSError as error:
        raise SetupError(f"MESSENGER_JWT_PUBLIC_KEY_FILE cannot be read: {error.strerror}") from None
    for algorithm in config.algorithms:
        with suppress(jwt.InvalidKeyError, ValueError, TypeError):
            jwt.get_algorithm_by_name(algorithm).prepare_key(key)
            return
    raise SetupError(f"MESSENGER_JWT_PUBLIC_KEY_FILE holds no public key in PEM for {', '.join(config.algorithms)}")


async def require_database(config: Config) -> Sequence[str]:
    """A migrated database, reached by a role that bypasses nothing. Returns warnings; raises SetupError, one line."""
    async with _connected(config.database_url) as connection:
        findings = [*await _role(connection), await _schema(connection)]
    for finding in findings:
        if not finding.ok:
            raise SetupError(f"{finding.text}: {finding.mend}")
    return [f"{finding.topic}: {finding.text}" for finding in findings if finding.is_odd]


async def require_owner(database_url: str) -> None:
    """A migrated database, reached by its owner. Raises SetupError, one line."""
    async with _connected(database_url) as connection:
        row = await connection.fetchrow(query("duties.identity"))
    if not row["has_schema"]:
        raise SetupError("the database is not migrated: run messenger migrate")
    if not row["is_owner"]:
        raise SetupError(f"role {row['name']} is not the owner: give MESSENGER_MIGRATE_DATABASE_URL as for migrate")


async def examine(config: Config) -> list[Finding]:
    """Everything that can be wrong, looked at one after another; what cannot be reached ends its own part only."""
    findings = []
    try:
        require_settings(config)
        findings.append(Finding("settings", True, "complete"))
    except SetupError as error:
        findings.append(Finding("settings", False, str(error), "see messenger serve --help"))
    findings.append(_uploads(config))
    if config.auth == "off":
        findings.append(Finding("authentication", True, "off: for demo and tests only"))
    if config.jwt_jwks_url:
        findings += [_encrypted(config.jwt_jwks_url), await _key_set(config.jwt_jwks_url)]
    if config.api_token:
        findings.append(
            Finding(
                "api token",
                len(config.api_token) >= MIN_API_TOKEN_CHARS,
                f"has {len(config.api_token)} characters",
                f"it acts as anybody: make it {MIN_API_TOKEN_CHARS} random characters or more",
            )
        )
    if config.webhook_url:
        findings.append(await _webhook(config))
    if config.database_url:
        try:
            async with _connected(config.database_url) as connection:
                findings += await _role(connection)
                findings.append(await _schema(connection))
                if findings[-1].ok:
                    findings.append(await _row_level_security(connection))
                findings.append(_clock("database clock", await connection.fetchval(query("duties.clock"))))
        except SetupError as error:
            findings.append(Finding("database", False, str(error), "check MESSENGER_DATABASE_URL and the server"))
    if config.redis_url:
        findings += await _bus(config.redis_url)
    return findings


def _uploads(config: Config) -> Finding:
    """Whether they can be kept; nothing is made, for whoever looks may be somebody else than who serves."""
    ok = Folder(config.attachments_dir).is_writable()
    text = f"{'kept' if ok else 'cannot be kept'} in {config.attachments_dir}"
    return Finding("uploads", ok, text, "MESSENGER_DATA_DIR must be a folder that the daemon may write to")


def _encrypted(url: str) -> Finding:
    parts = urlsplit(url)
    ok = parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")
    text = "fetched over https, or from this machine" if ok else "fetched over plain http"
    return Finding(
        "key set", ok, text, "whoever stands between could sign for anybody: use https in MESSENGER_JWT_JWKS_URL"
    )


async def _key_set(url: str) -> Finding:
    mend = "check MESSENGER_JWT_JWKS_URL and that it answers with a JSON Web Key Set"
    try:
        async with aiohttp.ClientSession() as session:
            found = len({id(key) for key in (await fetch(session, url)).values()})
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Finding("key set", False, f"cannot be fetched ({type(error).__name__})", mend)
    return Finding(
        "key set", found > 0, f"{found} usable keys" if found else "holds no public key for signatures", mend
    )


async def _webhook(config: Config) -> Finding:
    """Whether it may be reached; nothing is sent there."""
    try:
        await Guard(config.private_targets).look_up(config.webhook_url)
    except Refused as refused:
        return Finding("webhook", False, f"refused: {refused}", _ALLOW)
    except OSError as error:
        return Finding(
            "webhook", False, f"the host is not found ({type(error).__name__})", "check MESSENGER_WEBHOOK_URL"
        )
    return Finding("webhook", True, "may be reached")


@asynccontextmanager
async def _connected(database_url: str) -> AsyncIterator[Any]:
    try:
        # Nothing is asked twice; and prepared statements would not do behind a PgBouncer.
        connection = await asyncpg.connect(database_url, timeout=10, statement_cache_size=0)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SetupError(f"PostgreSQL does not let us in ({in_one_line(error)})") from None
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def _role(connection: Any) -> list[Finding]:
    row = await connection.fetchrow(query("duties.identity"))
    name = row["name"]
    mend = "connect as a login role of its own, with GRANT messenger_app TO it and nothing else"
    findings = [
        Finding(
            "postgres version",
            row["server_version"] >= 150000,
            f"PostgreSQL {row['server_version'] // 10000}",
            "PostgreSQL 15 or later is needed",
        ),
        Finding(
            "role",
            not row["is_superuser"],
            f"role {name} is {'a' if row['is_superuser'] else 'no'} superuser",
            mend,
        ),
        Finding(
            "role",
            not row["bypasses"],
            f"role {name} {'bypasses' if row['bypasses'] else 'does not bypass'} row-level security",
            mend,
        ),
        Finding(
            "role",
            not row["is_owner"],
            f"role {name} {'owns tables' if row['is_owner'] else 'owns nothing'} of the schema messenger",
            mend,
        ),
    ]
    if row["has_schema"]:
        granted = row["is_app"]
        findings.append(
            Finding(
                "role",
                granted,
                f"role {name} {'has' if granted else 'lacks'} messenger_app",
                f'run as the owner: GRANT messenger_app TO "{name}"',
            )
        )
    return findings


async def _schema(connection: Any) -> Finding:
    mend = "run messenger migrate"
    try:
        ledger = await ledger_of_app(connection)
        steps = missing(ledger)
    except SetupError as error:
        text, _, told = str(error).partition(": ")
        return Finding("schema", False, text, told or mend)
    if steps:
        return Finding("schema", False, f"{len(steps)} migration steps are missing", mend)
    if ledger.is_ahead():
        return Finding("schema", True, how_far_ahead(ledger), is_odd=True)
    return Finding("schema", True, "up to date")


async def _row_level_security(connection: Any) -> Finding:
    rows = await connection.fetch(query("duties.tables"))
    open_ = [row["name"] for row in rows if not (row["enabled"] and row["forced"])]
    return Finding(
        "row-level security",
        not open_,
        f"not enforced on {', '.join(open_)}" if open_ else f"forced on all {len(rows)} tables",
        "run messenger migrate as the owner",
    )


def _clock(topic: str, told: datetime) -> Finding:
    apart = abs((told - datetime.now(UTC)).total_seconds())
    return Finding(topic, apart <= CLOCK_S, f"{apart:.1f} s from this machine's", "synchronise the clocks (NTP)")


async def _bus(redis_url: str) -> list[Finding]:
    try:
        client = aioredis.Redis.from_url(
            redis_url, protocol=2, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0)
        )
    except ValueError:
        return []  # told of the settings
    try:
        async with client:
            info = await client.info("server")
            seconds, microseconds = await client.time()
    except (RedisError, OSError) as error:
        return [Finding("bus", False, f"Redis does not answer ({type(error).__name__})", "check MESSENGER_REDIS_URL")]
    version = info["redis_version"]
    major, minor = (int(part) for part in version.split(".")[:2])
    return [
        Finding("bus", (major, minor) >= (6, 2), f"Redis {version}", "Redis 6.2 or later is needed"),
        _clock("bus clock", datetime.fromtimestamp(int(seconds) + int(microseconds) / 1e6, UTC)),
    ]
