"""The stage: real PostgreSQL and Redis, started once; a database of its own for each test, cloned from a migrated one."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest
import uvloop

from messenger.embedded import embedded_servers
from tests.support.breakable import BreakableRedis
from tests.support.database import Database, Servers
from tests.support.node import Cluster

FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--workload-seed", type=int, help="repeat a random workload; else one by chance, which it prints")
    parser.addoption("--workload-steps", type=int, default=1000, help="how long the random workload is")
    parser.addoption("--contract-examples", type=int, default=10, help="how much schemathesis asks of each operation")
    parser.addoption("--data-in", help="a folder in memory, as /dev/shm, for the embedded servers' data while they run")
    parser.addoption("--soak-minutes", type=float, help="how long the soak test churns; else ten seconds")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the daemon runs on: its transports are not asyncio's own."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Path]:
    """Where the embedded servers keep what they have. A database is 300 files and lives for one test; ext4 without a journal
    looks at every inode that was given back lately before it gives one out, so that a new database takes it up to 0.2 s."""
    memory = pytestconfig.getoption("--data-in")
    if memory is None:
        yield tmp_path_factory.mktemp("data")
        return
    with TemporaryDirectory(prefix="messenger-test-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def servers(data_folder: Path) -> Iterator[Servers]:
    """The servers of the environment, where it names any; else the embedded ones."""
    database_url = os.environ.get("MESSENGER_TEST_DATABASE_URL")
    redis_url = os.environ.get("MESSENGER_TEST_REDIS_URL")
    if database_url and redis_url:
        yield Servers(database_url, redis_url)
        return
    with embedded_servers(data_folder, lambda line: None) as embedded:
        yield Servers(database_url or embedded.admin_url, redis_url or embedded.redis_url)


@pytest.fixture(scope="session")
def template(servers: Servers) -> Iterator[str]:
    """The name of a migrated database that others are cloned from; nobody connects to it."""
    name = f"messenger_template_{secrets.token_hex(4)}"

    async def make() -> None:
        await servers.make_roles()
        await servers.make_database(name)

    asyncio.run(make())
    yield name
    asyncio.run(servers.execute(f'drop database "{name}" with (force)'))


@pytest.fixture
async def database(servers: Servers, template: str) -> AsyncIterator[Database]:
    """A migrated, empty database of the test's own."""
    name = f"messenger_test_{secrets.token_hex(6)}"
    await servers.execute(f'create database "{name}" template "{template}"')
    yield Database(servers, name)
    await servers.execute(f'drop database "{name}" with (force)')


@pytest.fixture
async def empty_database(servers: Servers, template: str) -> AsyncIterator[Database]:
    """A database in which nothing was migrated; the roles exist."""
    name = f"messenger_test_{secrets.token_hex(6)}"
    await servers.execute(f'create database "{name}" owner {servers.owner}')
    yield Database(servers, name)
    await servers.execute(f'drop database "{name}" with (force)')


@pytest.fixture
async def oracle(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A second pair of eyes: reads the tables as the superuser, never the daemon's own word."""
    connection = await asyncpg.connect(database.admin_url)
    yield connection
    await connection.close()


@pytest.fixture
def redis() -> Iterator[BreakableRedis]:
    """A running one of the test's own, to be broken."""
    redis = BreakableRedis()
    redis.start()
    yield redis
    redis.close()


@pytest.fixture
async def cluster(servers: Servers, database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """Nodes on one database and one bus, started on demand; what they were started with is given back."""
    async with AsyncExitStack() as stack:
        cluster = Cluster(stack, database.app_url, servers.redis_url, prefix=f"t{secrets.token_hex(5)}:")
        yield cluster
        if FAILED in request.node.stash:
            cluster.describe()
