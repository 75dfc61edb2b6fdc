"""Redis as a child: presence and hints, which may vanish with it, so nothing is put on disk.

Listens on a Unix socket only and asks for a password.
"""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from messenger.embedded.child import Child, Command, running
from messenger.embedded.folders import as_seen_by, own_folder
from messenger.embedded.programs import Programs
from messenger.embedded.user import User

FOLDER = "redis"
LOG = "redis.log"
SOCKET = "redis.sock"
START_S = 30.0
GOODBYES = ((signal.SIGTERM, 5.0),)

CONFIG = """\
port 0
unixsocket {socket}
unixsocketperm 700
requirepass {password}
daemonize no
loglevel notice
save ""
appendonly no
maxmemory-policy noeviction
"""


def url(password: str, sockets: Path) -> str:
    """For redis-py."""
    return f"unix://:{password}@{quote(str(sockets / SOCKET))}"


@contextmanager
def serving(
    data_dir: Path,
    sockets: Path,
    user: User | None,
    programs: Programs,
    password: str,
    lock: int,
    report: Callable[[str], None],
) -> Iterator[None]:
    """Run the server until the context is left. Only for who holds the servers' lock, `lock`."""
    begun = time.monotonic()
    own_folder(data_dir / FOLDER, user)
    with as_seen_by(user, sockets) as (seen, handles):
        config = CONFIG.format(socket=_quoted(f"{seen}/{SOCKET}"), password=password)
        command = Command(
            "Redis",
            # The settings come by stdin: a password in the arguments can be read by everybody.
            [str(programs.redis_server), "-"],
            user,
            data_dir / LOG,
            goodbyes=GOODBYES,
            handles=(*handles, lock),
            folder=data_dir / FOLDER,
            stdin=config.encode(errors="surrogateescape"),
        )
        with running(command) as server:
            version = _wait_until_ready(server, sockets / SOCKET, password)
            report(f"Redis {version} ready in {time.monotonic() - begun:.1f} s")
            yield


def _wait_until_ready(server: Child, path: Path, password: str) -> str:
    """Returns its version. Raises EmbeddedError."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            return _ask_version(path, password)
        except OSError:
            server.require_alive()
            if time.monotonic() > deadline:
                raise server.failure(f"does not answer after {START_S:.0f} s") from None
            time.sleep(0.02)


def _ask_version(path: Path, password: str) -> str:
    """Raises OSError if it does not answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(START_S)
        connection.connect(str(path))
        connection.sendall(f"AUTH {password}\r\nINFO server\r\nQUIT\r\n".encode())
        answer = connection.makefile().read()
    _, found, rest = answer.partition("redis_version:")
    if not found:
        raise ConnectionError(answer)
    return rest.splitlines()[0]


def _quoted(text: str) -> str:
    """As a word of redis.conf."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
