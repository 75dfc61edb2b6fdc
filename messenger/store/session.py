"""The connection pool, and the transaction that row-level security sees as one user.

Waits are bounded everywhere; whatever keeps the database from answering comes out as Unavailable.
No setting outlives its transaction, so connections go back to the pool without a reset.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import asyncpg
import orjson

from messenger.domain.ids import ConversationId, UserId
from messenger.errors import (
    Conflict,
    Forbidden,
    MessageNotFound,
    MessengerError,
    NicknameTaken,
    NotParticipant,
    SessionNotFound,
    Unavailable,
    UserNotFound,
)
from messenger.together import Together

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
# A pool's connection behaves as a connection; asyncpg is not typed.
Connection: TypeAlias = Any

# How long one waits for a connection, and how long one may use it.
ACQUIRE_S = 2.0
USE_S = 5.0
POOL_SIZE = 10
ATTEMPTS = 3
SERVER_SETTINGS = {
    "application_name": "messenger",
    # Before we give up on the connection: what answers too late is only slow, and need not be cut off.
    "statement_timeout": "4000",
    # Half of what one waits for a connection: who waits for a lock holds one.
    "lock_timeout": "1000",
    "idle_in_transaction_session_timeout": "5000",
    "timezone": "UTC",
    # Left to itself PostgreSQL plans many statements anew each time, at more than what they cost: all of ours look up by key.
    "plan_cache_mode": "force_generic_plan",
}
# What messenger.fail() says, as the error that a client is told.
FAILURES: dict[str, type[MessengerError]] = {
    error.code: error
    for error in (NotParticipant, MessageNotFound, Forbidden, UserNotFound, Conflict, SessionNotFound, NicknameTaken)
}
# The transaction lost a race and may run again: deadlock, serialisation, a migration that changed what a statement returns.
RACES = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.InvalidCachedStatementError)
AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the backend's last words came while the connection lay idle
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    *RACES,
    OSError,  # TimeoutError is one
)


def failure(code: str, message: str = "") -> MessengerError:
    """The error of a code that SQL gave."""
    return FAILURES.get(code, MessengerError)(message or None)


def in_one_line(error: BaseException) -> str:
    """What went wrong, for the person at the terminal. A plain ValueError may quote a password, so its text is left out."""
    is_told = isinstance(error, asyncpg.InterfaceError) or not isinstance(error, ValueError)
    text = str(error).partition("\n")[0] if is_told else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def translated() -> Iterator[None]:
    """What asyncpg raises, as our errors. Anything unforeseen passes through as it is."""
    try:
        yield
    except (asyncpg.DataError, asyncpg.UnsupportedClientFeatureError):
        raise  # interface errors too, but of our making and not of the connection's
    except asyncpg.PostgresError as error:
        if error.sqlstate == "MG001":
            raise failure(str(error.args[0]), error.detail or "") from None
        if isinstance(error, asyncpg.InsufficientPrivilegeError):
            raise Forbidden from error
        if isinstance(error, AWAY):
            raise Unavailable from error
        raise
    except AWAY as error:
        raise Unavailable from error


async def _prepare(connection: Connection) -> None:
    # In binary, jsonb is one byte of version before the text; composites with it decode in binary only.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
    )


async def _keep(connection: Connection) -> None:
    """Instead of asyncpg's RESET ALL, a round trip: settings here live no longer than their transaction."""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Connections in use and idle, how many there may be, and how many wait for one."""

    used: int
    idle: int
    limit: int
    waiting: int


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    async def close(self, *, timeout: float | None = None) -> None:
        """Without a farewell, for which asyncpg would wait: what hangs does not say it. PostgreSQL sees the end anyway."""
        self.terminate()


class Store:
    """A pool of connections, and the two ways to use one: as a user, or for a duty of the daemon."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._togethers: list[Together[Any, Any]] = []
        # Who has a connection or waits for one.
        self._wanted = 0

    @classmethod
    @asynccontextmanager
    async def connected(cls, database_url: str, *, is_pooled: bool = False) -> AsyncIterator["Store"]:
        """A store on its own pool, closed at the end. `is_pooled`: each transaction may have another server connection, by a
        PgBouncer. Raises Unavailable where the database does not answer."""
        with translated():
            pool = await asyncpg.create_pool(
                database_url,
                # None is kept at all costs: the pool would try again and again by itself while PostgreSQL is away.
                min_size=0,
                init_size=2,
                max_size=POOL_SIZE,
                command_timeout=USE_S,
                timeout=ACQUIRE_S,
                connection_class=_Connection,
                server_settings=SERVER_SETTINGS,
                init=_prepare,
                reset=_keep,
                # A named statement would be prepared on one server connection and looked for on another.
                **({"statement_cache_size": 0} if is_pooled else {}),
            )
        store = cls(pool)
        try:
            yield store
        finally:
            for together in store._togethers:
                await together.close()
            try:
                async with asyncio.timeout(USE_S):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection on nobody's behalf: row-level security shows it nothing. Raises Unavailable, after ACQUIRE_S and USE_S
        at the latest."""
        with translated(), self._counted():
            async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                # asyncpg's own timeouts ask the statement to end and wait for that, again and again where it hangs.
                end = asyncio.get_running_loop().call_later(USE_S, connection.terminate)
                try:
                    yield connection
                except asyncio.CancelledError:
                    with suppress(asyncpg.InterfaceError):  # terminated by now
                        connection.terminate()
                    raise
                finally:
                    end.cancel()
                    if asyncio.get_running_loop().time() >= end.when():
                        # Those that lie idle are no better: a path died, or a server. Each would cost somebody as much.
                        await self._pool.expire_connections()

    def together(self, ask: Callable[[Connection, Sequence[K]], Awaitable[Sequence[V]]]) -> Together[K, V]:
        """A question that is asked for a whole crowd in one statement, on nobody's behalf. Answers raise Unavailable."""

        async def answers(keys: Sequence[K]) -> Sequence[V | Exception]:
            try:
                async with self.connection() as connection:
                    return await ask(connection, keys)
            except Unavailable as error:
                # One of them is in somebody's way: the others are not to suffer.
                if len(keys) > 1 and isinstance(error.__cause__, (asyncpg.LockNotAvailableError, *RACES)):
                    return [await alone(key) for key in keys]
                raise

        async def alone(key: K) -> V | Exception:
            try:
                return (await answers([key]))[0]
            except Unavailable as error:
                return error

        self._togethers.append(Together(answers))
        return self._togethers[-1]

    def use(self) -> PoolUse:
        idle = self._pool.get_idle_size()
        used = self._pool.get_size() - idle
        return PoolUse(used, idle, self._pool.get_max_size(), waiting=max(0, self._wanted - used))

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._wanted += 1
        try:
            yield
        finally:
            self._wanted -= 1

    async def as_user(
        self,
        user_id: UserId,
        work: Callable[[Connection], Awaitable[T]],
        *scope: ConversationId,
        one_snapshot: bool = False,
    ) -> T:
        """Run `work` in one transaction in which row-level security sees `user_id`, narrowed to `scope` where given.

        With `one_snapshot` all that it reads is of one moment; it must not write then.

        A transaction that lost a race runs again, so `work` must do nothing but SQL. Raises our errors.
        """
        options = {"isolation": "repeatable_read", "readonly": True} if one_snapshot else {}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self.connection() as connection, connection.transaction(**options):
                    # In a statement of its own: a query that set it itself might be judged before it did.
                    await connection.fetchval("select messenger.enter($1, $2)", user_id, list(scope) or None)
                    return await work(connection)
            except Unavailable as error:
                if attempt == ATTEMPTS or not isinstance(error.__cause__, RACES):
                    raise
                await asyncio.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311 - jitter is no secret
        raise AssertionError("the last attempt returns or raises")
