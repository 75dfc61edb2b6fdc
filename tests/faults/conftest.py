"""Servers to break, and nodes on them."""

import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.support.breakable import BreakablePostgres, BreakableRedis
from tests.support.database import Database
from tests.support.node import FREE, Cluster, Node, logged
from tests.support.proxy import Proxy, proxied


@pytest.fixture
async def cluster(redis: BreakableRedis, database: Database) -> AsyncIterator[Cluster]:
    """Nodes on a bus that may be broken."""
    async with AsyncExitStack() as stack:
        yield Cluster(stack, database.app_url, redis.url, prefix="")


@pytest.fixture
def foreseen() -> Iterator[None]:
    """Nothing happens that nobody foresaw: that would stand in the log with a stack. Ask for it before any node."""
    with logged() as log:
        yield
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
    surprises = [line for line in lines if "exception" in line]
    names = Counter(f"{line['event']}: {line['exception'].splitlines()[-1]}" for line in surprises)
    assert not names, f"{dict(names)}\n{surprises[0]['exception']}"


@pytest.fixture
async def nodes(cluster: Cluster) -> tuple[Node, Node]:
    """Two of them, with rates off."""
    return await cluster.node(**FREE), await cluster.node(**FREE)


@pytest.fixture(scope="module")
async def path() -> AsyncIterator[Proxy]:
    """The way to `postgres`: what stands in front of it."""
    async with proxied("") as proxy:
        yield proxy


@pytest.fixture(scope="module")
async def postgres(path: Proxy, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BreakablePostgres]:
    """A running one for the tests of a module. Whoever breaks it mends it."""
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
