"""The servers' passwords: made once for a data folder, kept in a file that only we can read."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from messenger.embedded.failure import EmbeddedError

FILE = "secrets"


@dataclass(frozen=True, slots=True)
class Passwords:
    """One for each login. All are letters, digits, `-` and `_`: safe in a URL, SQL or a file."""

    admin: str = field(repr=False)
    owner: str = field(repr=False)
    login: str = field(repr=False)
    redis: str = field(repr=False)


def passwords_of(data_dir: Path, *, new: bool) -> Passwords:
    """Those of this data folder; made if it is new and has none. Raises EmbeddedError."""
    file = data_dir / FILE
    if new and not file.exists():
        _write(file, Passwords(*(secrets.token_urlsafe(24) for _ in range(4))))
    try:
        return Passwords(**json.loads(file.read_bytes()))
    except FileNotFoundError as error:
        raise EmbeddedError(f"{file} is missing, the passwords of the database: restore it") from error
    except (ValueError, TypeError) as error:
        raise EmbeddedError(f"{file} does not hold the passwords any more: restore it") from error


def _write(file: Path, passwords: Passwords) -> None:
    """All or nothing: a file cut short would lock us out of the database."""
    part = file.with_suffix(".new")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        json.dump(asdict(passwords), out)
        out.flush()
        os.fsync(handle)
    part.rename(file)
