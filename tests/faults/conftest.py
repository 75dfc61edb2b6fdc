"""Servers to break, and nodes on them."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.support.breakable import BreakablePostgres, BreakableRedis
from tests.support.database import Database
from tests.support.node import Cluster
from tests.support.proxy import Proxy, proxied


@pytest.fixture
def redis() -> Iterator[BreakableRedis]:
    """A running one of the test's own."""
    redis = BreakableRedis()
    redis.start()
    yield redis
    redis.kill()


@pytest.fixture
async def cluster(redis: BreakableRedis, database: Database) -> AsyncIterator[Cluster]:
    """Nodes on a bus that may be broken."""
    async with AsyncExitStack() as stack:
        yield Cluster(stack, database.app_url, redis.url, prefix="")


@pytest.fixture
async def path() -> AsyncIterator[Proxy]:
    """The way to `postgres`: what stands in front of it."""
    async with proxied("") as proxy:
        yield proxy


@pytest.fixture
async def postgres(path: Proxy, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BreakablePostgres]:
    """A running one of the test's own."""
    postgres = BreakablePostgres(tmp_path_factory.mktemp("postgres"), path)
    await postgres.start()
    yield postgres
    await postgres.close()


@pytest.fixture
async def own_database(postgres: BreakablePostgres) -> Database:
    """A migrated, empty database on `postgres`."""
    name = f"messenger_test_{secrets.token_hex(6)}"
    await postgres.servers.make_roles()
    await postgres.servers.make_database(name)
    return Database(postgres.servers, name)


@pytest.fixture
async def fragile(redis: BreakableRedis, postgres: BreakablePostgres, own_database: Database) -> AsyncIterator[Cluster]:
    """Nodes on a database that may be broken, through `path`."""
    async with AsyncExitStack() as stack:
        yield Cluster(stack, postgres.url(own_database.app_url), redis.url, prefix="")
