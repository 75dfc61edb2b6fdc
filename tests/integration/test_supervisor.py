"""What `serve` and systemd say to each other, with the test in systemd's place and the daemon as a process."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from messenger.errors import SetupError
from messenger.listening import USER_TIMEOUT_MS, taken_over
from messenger.supervisor import Supervisor
from tests.support.command import settings_of
from tests.support.daemon import PATIENCE_S, SERVE, Daemon, children_of, daemon, environment
from tests.support.database import Database

FAREWELL = "STOPPING=1\nSTATUS=Draining over 0 s\nEXTEND_TIMEOUT_USEC=30000000"


@pytest.fixture
def settings(database: Database) -> dict[str, str]:
    return settings_of(database)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def begun(before: str, *args: str, **settings: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """`serve`, whether or not it comes to anything; at the end it is gone."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", before + SERVE, "serve", "--port", "0", *args),
        env=environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        with nobody_left_of(process.pid):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@contextmanager
def nobody_left_of(parent: int) -> Iterator[None]:
    """What has been stopped in its tracks would not hear that its parent is gone."""
    try:
        yield
    finally:
        with suppress(OSError):
            for pid in children_of(parent):
                os.kill(pid, signal.SIGKILL)


def stands_still(pid: int) -> bool:
    try:
        return "T (stopped)" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def ready(served: Daemon) -> int:
    async with aiohttp.ClientSession() as session, session.get(served.origin + "/readyz") as answer:
        return answer.status


class Ear:
    """Where a supervisor hears what it is told; `before` makes a daemon speak to it."""

    def __init__(self, address: str, **variables: str) -> None:
        self.before = f"import os; os.environ.update({ {'NOTIFY_SOCKET': address, **variables}!r})"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    async def hear(self) -> str:
        async with asyncio.timeout(PATIENCE_S):
            return (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode()

    async def hear_other(self, than: str) -> str:
        """The next that is something else."""
        while (told := await self.hear()) == than:
            pass
        return told

    def forget(self) -> None:
        """Whatever was said and not heard."""
        try:
            while self._socket.recv(4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """Of a supervisor with a watchdog that waits for 2 s: no longer does a worker lie still that is only short of CPU."""
    ear = Ear(str(tmp_path / "notify"), WATCHDOG_USEC="2000000")
    yield ear
    ear.close()


@pytest.mark.parametrize(("workers", "is_abstract"), [("1", False), ("2", True)])
async def test_it_says_when_it_serves_and_when_it_drains(
    settings: dict[str, str], tmp_path: Path, workers: str, is_abstract: bool
) -> None:
    ear = Ear(f"@messenger-{secrets.token_hex(8)}" if is_abstract else str(tmp_path / "notify"))
    async with daemon("--workers", workers, before=ear.before, **settings) as served:
        assert await ear.hear() == f"READY=1\nSTATUS=Serving on {served.origin}"
        assert await ready(served) == 200
        served.send(signal.SIGTERM)
        assert await ear.hear() == FAREWELL
        assert await served.ended() == 0
    ear.close()


def test_a_supervisor_that_does_not_listen_holds_nobody_up(tmp_path: Path) -> None:
    with capture_logs() as logs:
        Supervisor(str(tmp_path / "nobody")).ready("Serving")
    assert [(line["event"], line["what"]) for line in logs] == [("supervisor not told", "READY=1")]


async def test_it_beats_as_long_as_its_loop_goes_round(settings: dict[str, str], tmp_path: Path) -> None:
    ear = Ear(str(tmp_path / "notify"), WATCHDOG_USEC="400000")
    async with daemon(before=ear.before, **settings) as served:
        assert (await ear.hear_other("WATCHDOG=1")).startswith("READY=1\n")
        assert [await ear.hear() for _ in range(3)] == ["WATCHDOG=1"] * 3
        served.send(signal.SIGSTOP)
        await until(lambda: stands_still(served.pid))
        ear.forget()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await ear.hear()
    ear.close()


async def test_a_worker_that_hangs_is_replaced_and_the_others_go_on(settings: dict[str, str], ear: Ear) -> None:
    async with daemon("--workers", "2", before=ear.before, **settings) as served:
        hangs, goes_on = served.workers()
        os.kill(hangs, signal.SIGSTOP)
        try:
            await until(lambda: len(set(served.workers()) - {hangs}) == 2)
        finally:
            with suppress(ProcessLookupError):
                os.kill(hangs, signal.SIGKILL)  # it would hear nothing else
        assert goes_on in served.workers()
        assert (await ear.hear_other("WATCHDOG=1")).startswith("READY=1\n")
        ear.forget()
        assert await ear.hear() == "WATCHDOG=1"
        log = served.log.read_text()
        assert '"worker hangs"' in log
        served.send(signal.SIGTERM)
        assert await ear.hear_other("WATCHDOG=1") == FAREWELL
        assert await served.ended() == 0
        assert served.log.read_text().count('"worker hangs"') == log.count('"worker hangs"') == 1


def hanging(while_there: Path, start_s: float) -> str:
    """Python that makes each worker stand still before it serves, as long as there is a file."""
    return f"""
import os, signal
from messenger import workers
def serve(*args, alone=workers.serve_alone, **options):
    if os.path.exists({str(while_there)!r}):
        os.kill(os.getpid(), signal.SIGSTOP)
    alone(*args, **options)
workers.serve_alone, workers.START_S = serve, {start_s}
"""


async def test_one_that_hangs_as_it_starts_is_tried_again_and_the_others_are_looked_after_meanwhile(
    settings: dict[str, str], ear: Ear, tmp_path: Path
) -> None:
    stone = tmp_path / "stone"
    async with daemon("--workers", "2", before=f"{ear.before}\n{hanging(stone, 3)}", **settings) as served:
        with nobody_left_of(served.pid):
            stone.touch()
            falls, hangs = served.workers()
            os.kill(falls, signal.SIGKILL)
            await until(lambda: any(map(stands_still, served.workers())))
            os.kill(hangs, signal.SIGSTOP)
            await until(lambda: '"worker hangs"' in served.log.read_text())
            await until(lambda: '"worker not started"' in served.log.read_text())
            stone.unlink()
            await until(lambda: len(served.workers()) == 2 and not any(map(stands_still, served.workers())))
            assert await ready(served) == 200
            served.send(signal.SIGTERM)
            assert await served.ended() == 0


async def test_who_is_asked_to_stop_does_not_wait_for_one_that_hangs_as_it_starts(
    settings: dict[str, str], tmp_path: Path
) -> None:
    """The bound is far beyond our patience."""
    async with begun(hanging(tmp_path, 3600), "--workers", "2", **settings) as process, asyncio.timeout(PATIENCE_S):
        await until(lambda: any(map(stands_still, children_of(process.pid))))
        process.send_signal(signal.SIGTERM)
        assert await process.communicate() == (b"", b"")
        assert process.returncode == 0


async def test_where_the_first_worker_hangs_nothing_is_served(settings: dict[str, str], tmp_path: Path) -> None:
    async with begun(hanging(tmp_path, 0.5), "--workers", "2", **settings) as process, asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert (process.returncode, out, len(err.splitlines())) == (1, b"", 1)
    assert (b'"worker not started"' in err, b"not ready after 0.5 s" in err) == (True, True)


class Held:
    """Sockets that a supervisor holds; `before` makes a daemon take them over."""

    def __init__(self, folder: Path, *sockets: socket.socket) -> None:
        self._sockets = sockets
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(folder / "door"))
        self._door.listen()
        self._door.setblocking(False)
        self.before = f"""
import os, socket
with socket.socket(socket.AF_UNIX) as door:
    door.connect({str(folder / "door")!r})
    _, found, _, _ = socket.recv_fds(door, 1, 8)
for place, number in enumerate(found, 3):
    os.dup2(number, place)
    if number != place:
        os.close(number)
os.environ.update(LISTEN_FDS=str(len(found)), LISTEN_PID=str(os.getpid()))
"""

    @asynccontextmanager
    async def handing_over(self) -> AsyncIterator[None]:
        """To whoever asks meanwhile."""
        handing = asyncio.create_task(self._hand_over())
        try:
            yield
        finally:
            handing.cancel()
            await asyncio.gather(handing, return_exceptions=True)

    async def _hand_over(self) -> None:
        while True:
            there, _ = await asyncio.get_running_loop().sock_accept(self._door)
            with there:
                socket.send_fds(there, [b"."], [sock.fileno() for sock in self._sockets])

    def close(self) -> None:
        for sock in (self._door, *self._sockets):
            sock.close()


def listening(host: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((host, 0), backlog=100)


async def test_who_comes_between_two_daemons_waits_and_is_served(settings: dict[str, str], tmp_path: Path) -> None:
    """The second one has workers, which share what the first had alone."""
    sock = listening()
    origin = f"http://127.0.0.1:{sock.getsockname()[1]}"
    held = Held(tmp_path, sock)
    async with held.handing_over(), aiohttp.ClientSession() as session:
        async with daemon(before=held.before, **settings) as first:
            assert first.origin == origin
            assert await ready(first) == 200
            first.send(signal.SIGTERM)
            assert await first.ended() == 0
        waits = asyncio.create_task(session.get(origin + "/readyz"))
        done, _ = await asyncio.wait([waits], timeout=0.3)
        assert not done
        async with daemon("--workers", "2", before=held.before, **settings) as second:
            assert second.origin == origin
            async with await waits as answer:
                assert answer.status == 200
    held.close()


async def refused(held: Held, *args: str, **settings: Any) -> str:
    """What a daemon says that does not begin."""
    try:
        async with held.handing_over(), asyncio.timeout(PATIENCE_S), begun(held.before, *args, **settings) as process:
            out, err = await process.communicate()
    finally:
        held.close()
    assert (process.returncode, out) == (2, b"")
    return err.decode()


async def test_authentication_off_stays_at_home_on_a_socket_of_somebody_elses(
    settings: dict[str, str], tmp_path: Path
) -> None:
    settings["auth"] = "off"
    told = await refused(Held(tmp_path, listening(), listening("0.0.0.0")), "--host", "127.0.0.1", **settings)
    assert told == (
        "messenger: authentication is off and 0.0.0.0 is not loopback: anybody could be anybody; --insecure allows it\n"
    )


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_what_is_no_listening_socket_is_refused(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(
            SetupError, match=r"^LISTEN_FDS: .* is no TCP socket that listens \(ListenStream= with a port\)$"
        ):
            taken_over([sock])


def test_nothing_of_it_is_left_for_children() -> None:
    environ = {
        "PATH": "/bin",
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": str(os.getpid()),
        "LISTEN_FDS": "0",
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDNAMES": "",
    }
    assert Supervisor.taken_from(environ) == Supervisor("/run/notify", 3.0, ())
    assert environ == {"PATH": "/bin"}


def test_what_is_meant_for_another_process_is_left_alone() -> None:
    other = str(os.getpid() + 1)
    environ = {
        "NOTIFY_SOCKET": "@x",
        "WATCHDOG_USEC": "3",
        "WATCHDOG_PID": other,
        "LISTEN_FDS": "1",
        "LISTEN_PID": other,
    }
    assert Supervisor.taken_from(environ) == Supervisor("@x")
    assert environ == {}


def test_words_that_make_no_sense_are_nobodys() -> None:
    own = str(os.getpid())
    for environ in (
        {"NOTIFY_SOCKET": "vsock:2:1", "WATCHDOG_USEC": "3000000"},
        {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "x", "LISTEN_FDS": "-1", "LISTEN_PID": own},
        {"WATCHDOG_USEC": "0", "LISTEN_FDS": "", "LISTEN_PID": own},
        {},
    ):
        assert Supervisor.taken_from(environ) == Supervisor()


def test_a_descriptor_that_is_no_socket_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setattr("messenger.supervisor.FIRST", file.fileno())
        with pytest.raises(SetupError, match=rf"^LISTEN_FDS: descriptor {file.fileno()} is no socket \(.+\)$"):
            Supervisor.taken_from({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})


def test_what_is_taken_over_goes_to_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as sock:
        number = os.dup(sock.fileno())
        os.set_inheritable(number, True)
        monkeypatch.setattr("messenger.supervisor.FIRST", number)
        (taken,) = Supervisor.taken_from({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}).sockets
        with taken:
            assert taken.getsockname() == sock.getsockname()
            assert not os.get_inheritable(number)


def test_who_vanishes_is_found_out_on_a_socket_of_somebody_elses_too() -> None:
    """And each worker has a descriptor of its own to close."""
    with listening() as sock:
        every = taken_over([sock], 2)
        assert [one.getsockname() for (one,) in every] == [sock.getsockname()] * 2
        assert len({one.fileno() for (one,) in every}) == 2
        for (one,) in every:
            assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == USER_TIMEOUT_MS
            one.close()
