"""PostgreSQL as a child: one cluster in the data folder, made once, started at every start.

Listens on a Unix socket only and asks everybody for a password. Brings no cluster of another
major version up to date and changes nothing in one that it did not make.
"""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from messenger.embedded.child import Child, Command, running
from messenger.embedded.failure import EmbeddedError
from messenger.embedded.folders import as_seen_by, own_folder
from messenger.embedded.passwords import Passwords
from messenger.embedded.programs import Programs
from messenger.embedded.user import User

FOLDER = "postgres"
LOG = "postgres.log"
NEW = "postgres.new-"
PORT = 5432
DATABASE = "messenger"

CREATE_S = 120.0
START_S = 120.0
"""Long enough to recover from a power cut."""
GOODBYES = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))
"""Fast shutdown, then immediate shutdown, after which the next start recovers."""

OURS_TO_TUNE = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Above ERROR: the daemon tells of failed statements; here they would fill the disk.
    "log_min_messages": "log",
}
"""Written to postgresql.conf when a cluster is made: whoever runs it may change them there."""

RELIED_ON = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "logging_collector": "off",
    "log_destination": "stderr",
    # No statement and no row is ever logged, so no message and no password.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
"""Given at every start, whatever postgresql.conf says."""


def url(login: str, password: str, sockets: Path) -> str:
    """For asyncpg and libpq. Host and port are both given: PGHOST and PGPORT would count else."""
    return f"postgresql://{login}:{password}@/{DATABASE}?host={quote(str(sockets))}&port={PORT}"


def owners_environment(password: str, sockets: Path, clients: Path) -> Mapping[str, str]:
    """What libpq's programs read: for `psql`, `pg_dump` and `pg_restore` as the owner, with nothing on their command line."""
    return {
        "PATH": f"{clients}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PGHOST": str(sockets),
        "PGPORT": str(PORT),
        "PGUSER": "messenger_owner",
        "PGPASSWORD": password,
        "PGDATABASE": DATABASE,
    }


async def grant_app_role(migrate_url: str) -> None:
    """Give the daemon's login the rights of `messenger_app`: after migrate, any number of times."""
    connection = await asyncpg.connect(migrate_url)
    try:
        await connection.execute("GRANT messenger_app TO messenger_login")
    finally:
        await connection.close()


def is_made(data_dir: Path, version: str) -> bool:
    """Whether there is a cluster. Raises EmbeddedError if `version` of PostgreSQL cannot use it."""
    folder = data_dir / FOLDER
    if not folder.exists() or not any(folder.iterdir()):
        return False
    file = folder / "PG_VERSION"
    if not file.is_file():
        raise EmbeddedError(f"{folder} is not empty and not a PostgreSQL data folder: move it away")
    theirs, ours = file.read_text().strip(), version.partition(".")[0]
    if theirs != ours:
        raise EmbeddedError(
            f"{folder} was made by PostgreSQL {theirs}, this is PostgreSQL {ours}: make a backup with the messenger that "
            "made it, and restore that into a new data folder (deploy/README.md tells how)"
        )
    return True


@dataclass(frozen=True, slots=True)
class Cluster:
    """The database of one data folder. Only for who holds the servers' lock, `lock`."""

    data_dir: Path
    sockets: Path
    user: User | None
    programs: Programs
    version: str
    passwords: Passwords
    lock: int

    def create(self, report: Callable[[str], None]) -> None:
        """Make the cluster aside and move it in place when complete: half a one is never seen."""
        report(f"PostgreSQL {self.version}: making a new database in {self.data_dir} …")
        new = Path(tempfile.mkdtemp(prefix=NEW, dir=self.data_dir))
        try:
            own_folder(new, self.user)
            (new / "password").write_text(self.passwords.admin)
            with as_seen_by(self.user, new) as (seen, handles):
                if self.user:
                    os.chown(new / "password", self.user.uid, self.user.gid)
                with running(self._initdb(seen, handles)) as initdb:
                    initdb.finish(CREATE_S)
            (new / "data").rename(self.data_dir / FOLDER)
            _sync(self.data_dir)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    @contextmanager
    def running(self, report: Callable[[str], None]) -> Iterator[None]:
        """Run the server, its roles and its database made, until the context is left."""
        begun = time.monotonic()
        folder = self.data_dir / FOLDER
        _forget_stranger(folder / "postmaster.pid")
        with (
            as_seen_by(self.user, folder) as (data, data_handles),
            as_seen_by(self.user, self.sockets) as (sockets, sockets_handles),
        ):
            handles = (*data_handles, *sockets_handles, self.lock)
            with running(self._server(data, sockets, handles)) as server:
                _run(self._prepare(server))
                took = time.monotonic() - begun
                report(f"PostgreSQL {self.version} ready in {took:.1f} s")
                yield

    def _initdb(self, folder: str, handles: tuple[int, ...]) -> Command:
        argv = [
            str(self.programs.initdb),
            f"--pgdata={folder}/data",
            "--username=postgres",
            f"--pwfile={folder}/password",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # Sorts the same on every system and knows upper and lower case of all scripts.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
            *(f"--set={name}={value}" for name, value in OURS_TO_TUNE.items()),
        ]
        return Command(
            "initdb",
            argv,
            self.user,
            self.data_dir / LOG,
            goodbyes=((signal.SIGINT, 5.0),),
            handles=(*handles, self.lock),
        )

    def _server(self, folder: str, sockets: str, handles: tuple[int, ...]) -> Command:
        # A list of quoted names, as in search_path.
        relied_on = {**RELIED_ON, "unix_socket_directories": '"' + sockets.replace('"', '""') + '"'}
        argv = [str(self.programs.postgres), "-D", folder]
        argv += [word for name, value in relied_on.items() for word in ("-c", f"{name}={value}")]
        return Command("PostgreSQL", argv, self.user, self.data_dir / LOG, goodbyes=GOODBYES, handles=handles)

    async def _prepare(self, server: Child) -> None:
        """Wait until it answers, then make what an earlier start may not have come to make."""
        connection = await self._first_connection(server)
        try:
            await self._make_roles_and_database(connection)
        except asyncpg.PostgresError as error:
            raise server.failure(f"cannot make its roles and database: {error}") from error
        finally:
            await connection.close()

    async def _make_roles_and_database(self, connection: asyncpg.Connection) -> None:
        roles = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for role, password, rights in (
            ("messenger_owner", self.passwords.owner, "CREATEROLE"),
            ("messenger_login", self.passwords.login, ""),
        ):
            if role not in roles:
                await connection.execute(f"CREATE ROLE {role} LOGIN {rights} PASSWORD '{password}'")
        if not await connection.fetch("SELECT FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER messenger_owner")

    async def _first_connection(self, server: Child) -> asyncpg.Connection:
        address = url("postgres", self.passwords.admin, self.sockets)
        deadline = time.monotonic() + START_S
        while True:
            try:
                return await asyncpg.connect(address, database="postgres", timeout=START_S)
            except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
                server.require_alive()
                if time.monotonic() > deadline:
                    raise server.failure(f"does not answer after {START_S:.0f} s") from None
                await asyncio.sleep(0.02)
            except asyncpg.InvalidPasswordError:
                raise EmbeddedError(
                    f"{self.data_dir / FOLDER} has other passwords than {self.data_dir}/secrets: "
                    "restore both from the same backup"
                ) from None


def _run(work: Coroutine[object, object, None]) -> None:
    """In a loop of its own, and without a word to asyncio about which loop is the current one."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(work)


def _forget_stranger(pid_file: Path) -> None:
    """Remove the number of an earlier postmaster that now, after a reboot or in a new container,
    belongs to another process: PostgreSQL would take it for its predecessor and refuse.
    """
    with suppress(OSError, ValueError, IndexError):
        process = Path("/proc", str(int(pid_file.read_text().split("\n", 1)[0])))
        try:
            stranger = not (process / "cwd").samefile(pid_file.parent)
        except PermissionError:
            # Root without CAP_SYS_PTRACE. A postgres is given the benefit of the doubt.
            stranger = (process / "comm").read_text().strip() != "postgres"
        if stranger:
            pid_file.unlink()


def sweep(data_dir: Path) -> None:
    """Remove what an initdb that was killed left behind."""
    for leftover in data_dir.glob(f"{NEW}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Make a rename in it outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
