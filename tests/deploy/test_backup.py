"""Backup and restore, by the commands of deploy/README.md as they stand there."""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from signal import SIGTERM
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from messenger.embedded.programs import find_programs
from messenger.store.migrate import migrate
from tests.support.command import in_one_line, messenger, settings_of
from tests.support.daemon import Daemon, daemon, environment
from tests.support.database import Database
from tests.support.log import Logs
from tests.support.people import API
from tests.support.programs import lacking, needed
from tests.support.reachable import SECRET

README = (Path(__file__).parents[2] / "deploy" / "README.md").read_text(encoding="utf-8")
ANN, BEN = 1, 2
OLDER = """
from dataclasses import replace
from pathlib import Path
from messenger.embedded import postgres, programs
programs.POSTGRES_BIN, programs.NOT_COPIED = Path("pginstall", "bin"), ("include", "pgxs", "*.a", "*.py", "__pycache__")
initdb = postgres.Cluster._initdb
def without_what_it_does_not_know(self, folder, handles):
    command = initdb(self, folder, handles)
    return replace(command, argv=[word for word in command.argv if "builtin" not in word])
postgres.Cluster._initdb = without_what_it_does_not_know
"""


def block(beginning: str) -> str:
    (found,) = [code for code in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) if code.startswith(beginning)]
    return str(found)


BACKUP, RESTORE = block("# backup"), block("# restore")
(ENTER,) = re.findall(r"`(eval [^`]*messenger pg-env[^`]*)` sets all of that", README)
# What Docker would run in a container of compose.yaml, run here: as PostgreSQL's superuser, as a node, or as the schema's owner.
DOCKER = """
docker() {
    [ "$COMPOSE_FILE $1" = "deploy/compose.yaml compose" ] || return
    case "$*" in
        "compose exec -T postgres "*) shift 4; "$@" ;;
        "compose exec -T messenger-1 "*) shift 4; "$@" ;;
        "compose run --rm -T --no-deps --entrypoint tar messenger-1 "*) shift 8; tar "$@" ;;
        "compose run --rm -T migrate") messenger migrate ;;
        "compose run --rm -T migrate "*) shift 5; messenger "$@" ;;
        "compose stop messenger-1 messenger-2" | "compose up --detach --wait") ;;
        *) return 1 ;;
    esac
}
"""


async def shell(script: str, before: str = "", **variables: str) -> tuple[int, str]:
    """Run by a shell that knows `messenger`; its exit code, and all that it said. `before` is Python that runs first."""
    code = shlex.join([sys.executable, "-c", f"{before}\nfrom messenger.cli import main; main()"])
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", f'messenger() {{ {code} "$@"; }}\n{script}'),
        env=environment({}) | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def done(script: str, before: str = "", **variables: str) -> None:
    code, said = await shell(script, before, **variables)
    assert code == 0, said


@pytest.fixture(scope="module", autouse=True)
def clients() -> str:
    """The folder of `pg_dump` and its like: those of the embedded server, or whatever is on the PATH."""
    needed("bash", package="bash")
    return str(find_programs().postgres_clients)


def variables_of(url: str, clients: str) -> dict[str, str]:
    """What libpq reads, of a URL."""
    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return {
        "PATH": f"{clients}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": options.get("host") or parts.hostname or "",
        "PGPORT": options.get("port") or str(parts.port or 5432),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
        "PGDATABASE": parts.path[1:],
    }


@dataclass(frozen=True)
class Before:
    """What was before the data were lost: a device that is ahead of the backup, and the epoch that it knew."""

    tea: str
    held: Logs
    epoch: str


async def live_through(node: Daemon, script: str, before: str = "", **variables: str) -> Before:
    """A message, one with a file, the backup, and two messages that it does not have."""
    ann = node.client(ANN)
    tea = await ann.group(BEN)
    await ann.send(tea, "in the backup")
    file = (await ann.ask("POST", "/attachments", data=aiohttp.FormData({"file": BytesIO(b"a leaf")}))).body
    await ann.send(tea, "with a file", attachments=[file])
    await done(script, before, **variables)
    for content in ("lost", "lost too"):
        await ann.send(tea, content)
    async with node.phone_for_a_while(BEN) as phone:
        held = Logs(phone)
        await held.catch_up()
    await end(node)
    return Before(tea, held, phone.hello["epoch"])


async def start_over(node: Daemon, before: Before) -> None:
    """The device from before ends with exactly the log of a fresh one."""
    ann = node.client(ANN)
    for content in ("other", "other too"):
        await ann.send(before.tea, content)
    async with (
        node.phone_for_a_while(BEN, device="before") as ben,
        node.phone_for_a_while(BEN, device="fresh") as other,
    ):
        # By its cursors it would take what it holds for whole: the epoch alone says that it is not.
        assert (await ben.ask("sync", cursors=before.held.cursors))["conversations"] == []
        assert ben.hello["epoch"] != before.epoch
        again, fresh = Logs(ben), Logs(other)
        for logs in (again, fresh):
            await logs.catch_up()
    assert again.held(before.tea) == fresh.held(before.tea) != before.held.held(before.tea)
    status, history = await ann.get(f"/conversations/{before.tea}/messages")
    contents = ["in the backup", "with a file", "other", "other too"]
    assert (status, [message["content"] for message in history["messages"]]) == (200, contents)
    (file,) = history["messages"][1]["attachments"]
    assert (await ann.ask("GET", file["url"].removeprefix(API))).text == "a leaf"
    await end(node)


async def comes_up(settings: dict[str, Any], before: Before) -> None:
    """A daemon on what was restored has nothing to complain of."""
    told = await messenger("doctor", **settings)
    assert told.code == 0, told.out
    async with daemon(**settings) as node:
        await start_over(node, before)


async def end(node: Daemon) -> None:
    node.send(SIGTERM)
    assert await node.ended() == 0


@pytest.fixture
def place(pytestconfig: pytest.Config) -> Iterator[Path]:
    """A folder for data folders, in memory where there is one."""
    with TemporaryDirectory(prefix="messenger-test-", dir=pytestconfig.getoption("--data-in")) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def older(clients: str) -> str:
    """Python that has the embedded kind run the older PostgreSQL that lies in the same wheel."""
    if not Path(clients, "../../pginstall/bin/postgres").is_file():
        lacking("the wheel has one PostgreSQL only")
    return OLDER


async def test_an_embedded_database_is_restored_into_a_fresh_daemon_with_a_newer_postgres(
    older: str, place: Path
) -> None:
    first, second = place / "first", place / "second"
    backup = {"BACKUP": str(place / "backup")}
    enter = f"{ENTER}\n"
    settings: dict[str, Any] = {"jwt_secret": SECRET, "drain_s": 0}
    async with daemon("--embedded", before=older, data_dir=first, **settings) as node:
        before = await live_through(node, enter + BACKUP, before=older, MESSENGER_DATA_DIR=str(first), **backup)
    told = await messenger("serve", "--embedded", "--port", "0", data_dir=str(first), jwt_secret=SECRET)
    assert (told.code, len(told.lines)) == (2, 1)
    assert told.err.startswith(f"messenger: {first}/postgres was made by PostgreSQL 16, this is PostgreSQL 18: make a")
    async with daemon("--embedded", data_dir=second, **settings) as node:
        await done(enter + RESTORE, MESSENGER_DATA_DIR=str(second), **backup)
        await end(node)
    async with daemon("--embedded", data_dir=second, **settings) as node:
        await start_over(node, before)


Script: TypeAlias = tuple[str, dict[str, str]]


async def is_carried_over(database: Database, other: Database, folder: Path, backup: Script, restore: Script) -> None:
    """What lives through the one script in a database is whole in the other after the other script; each has its variables."""
    first, second = folder / "first", folder / "second"
    second.mkdir()
    settings = settings_of(database) | {"jwt_secret": SECRET, "data_dir": str(first)}
    (save, at_first), (load, at_second) = backup, restore
    at_both = {"BACKUP": str(folder / "backup")}
    async with daemon(**settings) as node:
        before = await live_through(node, save, MESSENGER_DATA_DIR=str(first), **at_both, **at_first)
    await done(load, MESSENGER_DATA_DIR=str(second), **at_both, **at_second)
    await comes_up(settings | {"database_url": other.app_url, "data_dir": str(second)}, before)


async def test_a_database_of_ones_own_server_is_restored_into_an_empty_one(
    database: Database, empty_database: Database, clients: str, tmp_path: Path
) -> None:
    await migrate(empty_database.owner_url)
    backup = BACKUP, variables_of(database.owner_url, clients)
    restore = RESTORE, variables_of(empty_database.owner_url, clients)
    await is_carried_over(database, empty_database, tmp_path, backup, restore)


def in_compose(beginning: str, superuser: dict[str, str]) -> str:
    """A block for compose, with the database, its superuser and the folder of files that are here."""
    script = block(beginning)
    for there, here in (
        ("-U postgres", f"-U {superuser['PGUSER']}"),
        ("--dbname=messenger", f"--dbname={superuser['PGDATABASE']}"),
        ("/var/lib/messenger", '"$MESSENGER_DATA_DIR"'),
    ):
        assert there in script
        script = script.replace(there, here)
    return DOCKER + script


async def test_in_compose_it_goes_through_the_containers(
    database: Database, empty_database: Database, clients: str, tmp_path: Path
) -> None:
    first, second = (variables_of(each.admin_url, clients) for each in (database, empty_database))
    backup = in_compose("# in compose: backup", first), first
    owner = {"MESSENGER_MIGRATE_DATABASE_URL": empty_database.owner_url}
    restore = in_compose("# in compose: restore", second), second | owner
    await is_carried_over(database, empty_database, tmp_path, backup, restore)


async def test_the_owner_reads_no_rows_without_the_option_and_is_told(
    database: Database, clients: str, tmp_path: Path
) -> None:
    """Row-level security is forced on him too: the dump fails, and is not empty in silence."""
    code, said = await shell(
        BACKUP.replace("--enable-row-security ", ""),
        BACKUP=str(tmp_path),
        MESSENGER_DATA_DIR=str(tmp_path),
        **variables_of(database.owner_url, clients),
    )
    assert code != 0
    assert "query would be affected by row-level security policy" in said


async def test_a_database_that_does_not_run_is_not_reached(tmp_path: Path) -> None:
    told = await messenger("pg-env", data_dir=str(tmp_path))
    assert in_one_line(told) == f"messenger: {tmp_path} holds no database: the first serve --embedded makes one"


async def test_a_script_ends_where_it_does_not_reach_the_database(tmp_path: Path) -> None:
    """It would go on with the database that the shell knew from before."""
    code, said = await shell(f"{ENTER}\necho reached $PGHOST", MESSENGER_DATA_DIR=str(tmp_path), PGHOST="elsewhere")
    assert (code, said) == (
        1,
        f"messenger: {tmp_path} holds no database: the first serve --embedded makes one\n",
    )
