"""The child processes of `--embedded`: a real PostgreSQL and a real Redis of one's own.

They are started from the programs inside two wheels, listen on Unix sockets only, keep everything
in one data folder and end with the daemon, however it ends. Nothing here runs without the daemon,
nothing restarts a server that fell, and no folder outside the data folder has its owner or
permissions changed.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from messenger.embedded import postgres, redis
from messenger.embedded.failure import EmbeddedError
from messenger.embedded.folders import RUN, SOCKETS, make_data_folder, socket_folder
from messenger.embedded.locks import only_daemon, only_servers
from messenger.embedded.passwords import passwords_of
from messenger.embedded.postgres import grant_app_role
from messenger.embedded.programs import find_programs, within_reach
from messenger.embedded.user import server_user

__all__ = ["EmbeddedError", "EmbeddedServers", "clients_environment", "embedded_servers", "grant_app_role"]


@dataclass(frozen=True, slots=True)
class EmbeddedServers:
    """Where the running servers are. The addresses hold passwords, so `repr` does not show them."""

    admin_url: str = field(repr=False)
    """The superuser `postgres`, for the test-suite only."""
    migrate_url: str = field(repr=False)
    """`messenger_owner`: owns the database, may create roles, is no superuser."""
    database_url: str = field(repr=False)
    """`messenger_login`: may log in and nothing more; see `grant_app_role`."""
    redis_url: str = field(repr=False)


@contextmanager
def embedded_servers(data_dir: Path, report: Callable[[str], None]) -> Iterator[EmbeddedServers]:
    """Run both servers on `data_dir` while the context is open; it is made if it does not exist.

    To be entered in the main thread: Linux ends the children with the *thread* that started them.
    `report` is told of progress, a line at a time. Raises EmbeddedError.
    """
    with ExitStack() as cleanup:
        try:
            servers = _start(data_dir, report, cleanup)
        except OSError as error:
            raise EmbeddedError(_in_one_line(error)) from error
        yield servers


def clients_environment(data_dir: Path) -> Mapping[str, str]:
    """How the programs of PostgreSQL reach the server that runs on `data_dir`, as its owner. Raises EmbeddedError."""
    try:
        return _clients_environment(data_dir.expanduser().resolve())
    except OSError as error:
        raise EmbeddedError(_in_one_line(error)) from error


def _clients_environment(data_dir: Path) -> Mapping[str, str]:
    programs = find_programs()
    if not postgres.is_made(data_dir, programs.postgres_version()):
        raise EmbeddedError(f"{data_dir} holds no database: the first serve --embedded makes one")
    run = data_dir / RUN
    sockets = run.readlink() if run.is_symlink() else run
    if not (sockets / SOCKETS[0]).exists():
        raise EmbeddedError(f"no messenger runs on {data_dir}: its database is reached while serve --embedded runs")
    return postgres.owners_environment(passwords_of(data_dir, new=False).owner, sockets, programs.postgres_clients)


def _start(data_dir: Path, report: Callable[[str], None], cleanup: ExitStack) -> EmbeddedServers:
    programs = find_programs()
    version = programs.postgres_version()
    data_dir = make_data_folder(data_dir)
    cleanup.enter_context(only_daemon(data_dir))
    user = server_user(data_dir / postgres.FOLDER)
    if user:
        report(f"Running as root: the servers run as user {user.name}")
    # While we hold this lock no server of an earlier daemon lives: what they left may be swept.
    with only_servers(data_dir, report) as lock:
        postgres.sweep(data_dir)
        made = postgres.is_made(data_dir, version)
        passwords = passwords_of(data_dir, new=not made)
        programs = within_reach(programs, user, data_dir, report)
        sockets = cleanup.enter_context(socket_folder(data_dir, user))
        cluster = postgres.Cluster(data_dir, sockets, user, programs, version, passwords, lock)
        if not made:
            cluster.create(report)
        cleanup.enter_context(cluster.running(report))
        cleanup.enter_context(redis.serving(data_dir, sockets, user, programs, passwords.redis, lock, report))
    return EmbeddedServers(
        admin_url=postgres.url("postgres", passwords.admin, sockets),
        migrate_url=postgres.url("messenger_owner", passwords.owner, sockets),
        database_url=postgres.url("messenger_login", passwords.login, sockets),
        redis_url=redis.url(passwords.redis, sockets),
    )


def _in_one_line(error: OSError) -> str:
    about = f"{error.filename}: " if error.filename else ""
    hint = ""
    if os.geteuid() == 0 and error.errno in (errno.EPERM, errno.EACCES, errno.EINVAL):
        # In a container with few capabilities or users.
        hint = "; this root lacks rights to change to another user: start as an ordinary user"
    return f"{about}{error.strerror or error}{hint}"
