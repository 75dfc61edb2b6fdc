"""One random workload: people write, react, come, go, reconnect, block each other and want to be told of this or that, on three
nodes, while Redis, the way to it, connections to the database and a node fail. What each device heard, and of what it was
notified, is held against the tables, again and again.

The seed is printed, and `--workload-seed` begins with it again. Servers do not answer in the same order twice, so that what
is chosen will differ before long, and a race may need several runs. For a night:

    pytest tests/faults/test_workload.py --workload-steps 100000
"""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from tests.support.breakable import BreakableRedis
from tests.support.daemon import Daemon
from tests.support.database import Database
from tests.support.node import FREE, Cluster
from tests.support.proxy import Proxy, of_redis, proxied
from tests.support.weather import Weather
from tests.support.workload import Workload

pytestmark = pytest.mark.usefixtures("foreseen")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given: int | None = request.config.getoption("--workload-seed")
    seed = random.randrange(10**6) if given is None else given
    print(f"--workload-seed {seed}")
    return seed


@pytest.fixture
async def paths(redis: BreakableRedis) -> AsyncIterator[list[Proxy]]:
    """One for each node."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(proxied(of_redis(redis.url))) for _ in range(3)]


async def test_whatever_happens_every_device_ends_with_the_log_that_the_tables_hold(
    seed: int,
    request: pytest.FixtureRequest,
    cluster: Cluster,
    redis: BreakableRedis,
    paths: list[Proxy],
    database: Database,
    oracle: asyncpg.Connection,
) -> None:
    chance = random.Random(seed)
    urls = [path.redis_url(redis.url) for path in paths]
    daemons: list[Daemon] = []

    async def new() -> Daemon:
        daemons.append(await cluster.daemon(redis_url=urls[2], **FREE))
        return daemons[-1]

    lasting = [await cluster.node(redis_url=url, **FREE) for url in urls[:2]]
    weather = Weather(chance, redis, database, paths, [*lasting, await new()], new)
    try:
        await Workload(chance, oracle, weather).run(request.config.getoption("--workload-steps"))
        for node in lasting:
            await node.emptied()
    finally:
        said = [line for daemon in daemons for line in daemon.log.read_text().splitlines()]
        surprises = [line for line in said if '"exception"' in line or "Traceback" in line]
        print(*surprises, sep="\n")
    assert not surprises
