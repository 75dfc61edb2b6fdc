"""The scene: one for a module whose tests take everything back, or one of a test's own."""

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.database import Database, Servers
from tests.support.scene import Scene, set_the_scene


@pytest.fixture(scope="module")
async def scene(servers: Servers, template: str) -> AsyncIterator[Scene]:
    """A filled database. Use it through `as_user`, which takes back what a test did."""
    name = f"messenger_scene_{secrets.token_hex(6)}"
    await servers.execute(f'create database "{name}" template "{template}"')
    yield await set_the_scene(Database(servers, name))
    await servers.execute(f'drop database "{name}" with (force)')


@pytest.fixture
async def witness(scene: Scene) -> AsyncIterator[asyncpg.Connection]:
    """Sees the scene as it is, as the superuser."""
    connection = await asyncpg.connect(scene.database.admin_url)
    yield connection
    await connection.close()


@pytest.fixture
async def own_scene(database: Database) -> Scene:
    """A filled database of the test's own, to commit to."""
    return await set_the_scene(database)
