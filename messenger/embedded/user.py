"""Who the servers run as. PostgreSQL refuses to run as root, so root must name somebody else."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from messenger.embedded.failure import EmbeddedError

PREFERRED = ("messenger", "nobody")


@dataclass(frozen=True, slots=True)
class User:
    """An account that root's servers change to."""

    name: str
    uid: int
    gid: int


def server_user(database: Path) -> User | None:
    """None: as who we are. For root: the owner of `database`, else the first of PREFERRED."""
    owner = database.stat() if database.is_dir() else None
    if os.geteuid() != 0:
        if owner and owner.st_uid != os.geteuid():
            raise EmbeddedError(
                f"{database} belongs to user {_name(owner.st_uid)}: start messenger as that user "
                "(or as root), or choose another data folder"
            )
        return None
    if owner and owner.st_uid != 0:
        return User(_name(owner.st_uid), owner.st_uid, owner.st_gid)
    for name in PREFERRED:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name, account.pw_uid, account.pw_gid)
    raise EmbeddedError(
        "PostgreSQL refuses to run as root and there is no user to run it as: make one (useradd --system messenger)"
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
