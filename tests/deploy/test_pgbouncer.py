"""PgBouncer as deploy/pgbouncer has it: only its ports and folders are others, and its pool is smaller than what is asked of it."""

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from messenger.store.session import SERVER_SETTINGS
from tests.support.command import messenger, settings_of
from tests.support.daemon import daemon
from tests.support.database import Database
from tests.support.log import Logs, stored
from tests.support.people import Client
from tests.support.programs import needed
from tests.support.proxy import of_postgres, proxied
from tests.support.reachable import SECRET

SHIPPED = Path(__file__).parents[2] / "deploy" / "pgbouncer" / "pgbouncer.ini"
POOL = 3
EVE = 99
PATIENCE_S = 10


@asynccontextmanager
async def bouncing(database: Database) -> AsyncIterator[str]:
    """PgBouncer in front of a database; the application role's URL through it."""
    program = needed("pgbouncer", package="pgbouncer")
    login, at, _ = urlsplit(database.app_url).netloc.rpartition("@")
    name, _, password = login.partition(":")
    with TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        async with proxied(of_postgres(database.app_url)) as postgres:
            settings = _changed(
                SHIPPED.read_text(),
                (
                    "messenger = host=127.0.0.1 port=5432 dbname=messenger ",
                    f"{database.name} = host=127.0.0.1 port={postgres.port} dbname={database.name} ",
                ),
                ("listen_port = 6432", f"listen_port = {port}"),
                ("/etc/pgbouncer", folder),
                ("default_pool_size = 20", f"default_pool_size = {POOL}"),
            )
            _lay(Path(folder), settings, f'"{name}" "{password}"\n')
            as_user = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses root
            process = await asyncio.create_subprocess_exec(
                program, "-q", *as_user, f"{folder}/pgbouncer.ini", stderr=-1
            )
            try:
                await _listens(port, process)
                yield f"postgresql://{name}:{password}{at}127.0.0.1:{port}/{database.name}"
            finally:
                if process.returncode is None:
                    process.kill()
                await process.communicate()


def _changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def _lay(folder: Path, settings: str, users: str) -> None:
    (folder / "pgbouncer.ini").write_text(settings)
    (folder / "userlist.txt").write_text(users)
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "nobody")


async def _listens(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if process.returncode is not None:
                raise AssertionError((await process.communicate())[1])
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return


async def keep(connection: Any) -> None:
    """Instead of asyncpg's RESET ALL, as the daemon has it: what the pool said at its start would be lost."""


def of_pool(database: Database, url: str, **settings: Any) -> dict[str, Any]:
    return settings_of(database) | {"database_url": url, "database_pooled": "on", "jwt_secret": SECRET} | settings


async def test_nodes_behind_a_pool_that_is_too_small_lose_nothing_and_mix_up_nobody(
    database: Database, oracle: asyncpg.Connection, tmp_path: Path
) -> None:
    """Twelve people on two nodes in six groups, with three connections for all of them."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(bouncing(database))
        settings = of_pool(database, url, data_dir=str(tmp_path), rate_messages="off", rate_frames="off")
        nodes = [await stack.enter_async_context(daemon(**settings)) for _ in range(2)]
        groups = {
            await nodes[0].client(2 * number + 1).group(2 * number + 2): (2 * number + 1, 2 * number + 2)
            for number in range(6)
        }

        async def talk(who: Client, group: str) -> None:
            for number in range(10):
                message = await who.send(group, f"{number}")
                status, _ = await who.patch(f"/messages/{message['id']}", {"content": f"{number}, edited"})
                assert status == 200

        await asyncio.gather(
            *(
                talk(nodes[i].client(user_id), group)
                for group, people in groups.items()
                for i, user_id in enumerate(people)
            )
        )
        for group, people in groups.items():
            senders = await oracle.fetch(
                "select sender_id, count(*) from messenger.messages where conversation_id = $1 group by 1 order by 1",
                group,
            )
            assert [tuple(row) for row in senders] == [(user_id, 10) for user_id in people]
            held = Logs(await nodes[1].phone(people[0]))
            await held.catch_up()
            assert list(held.cursors) == [group]
            assert held.held(group) == await stored(oracle, group)
            assert (await nodes[0].client(EVE).get(f"/conversations/{group}/messages"))[0] == 404
        used = "select count(*) from pg_stat_activity where datname = $1 and usename = $2"
        assert await oracle.fetchval(used, database.name, database.servers.login) <= POOL


async def test_a_connection_of_the_pool_carries_nobody_to_the_next_and_has_the_daemons_settings(
    database: Database,
) -> None:
    options = {"statement_cache_size": 0, "server_settings": SERVER_SETTINGS, "reset": keep}
    async with bouncing(database) as url, asyncpg.create_pool(url, min_size=12, max_size=12, **options) as pool:

        async def come_and_go(user_id: int) -> None:
            for _ in range(30):
                async with pool.acquire() as connection:
                    async with connection.transaction():
                        await connection.fetchval("select messenger.enter($1, null)", user_id)
                        await asyncio.sleep(0)
                        assert await connection.fetchval("select messenger.current_user_id()") == user_id
                    # Somebody else's connection by now, perhaps; nobody's in any case.
                    assert not await connection.fetchval("select current_setting('messenger.user_id', true)")
                    assert await connection.fetchval(f"select {user_id} + $1::integer", user_id) == 2 * user_id

        await asyncio.gather(*map(come_and_go, range(1, 13)))
        for name, value in SERVER_SETTINGS.items():
            said = await pool.fetchval("select setting from pg_settings where lower(name) = lower($1)", name)
            assert said == value, name


async def test_doctor_and_epoch_look_through_the_pool(database: Database) -> None:
    async with bouncing(database) as url:
        told = await messenger("doctor", **of_pool(database, url))
        assert (told.code, "WRONG" in told.out) == (0, False), told.out
        assert (await messenger("epoch", database_url=url, database_pooled="on")).code == 0


def test_the_settings_that_the_pool_says_itself_are_those_that_the_daemon_asks_for() -> None:
    text = SHIPPED.read_text()
    said = dict(re.findall(r"set (\w+) = (\w+)", text))
    told = {name: value for name, value in SERVER_SETTINGS.items() if name not in ("application_name", "timezone")}
    assert said == told
    assert re.findall(r"^ignore_startup_parameters = (.*)$", text, re.MULTILINE) == [",".join(told)]
