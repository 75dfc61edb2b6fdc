"""`python -m messenger …` as a process of its own, and what it said. No output may hold a password or a key."""

import asyncio
import os
import re
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from tests.support.database import PASSWORD, Database

JWT_SECRET = "a-key-that-nobody-should-ever-see-printed"
PATIENCE_S = 30


@dataclass(frozen=True)
class Told:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it said on stderr, a line each."""
        return self.err.splitlines()


async def messenger(*args: str, **settings: str) -> Told:
    """Run a command to its end. Settings are named without their prefix."""
    async with _process(*args, settings=settings) as process, asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    return _told(process, settings, out, err)


def in_one_line(told: Told) -> str:
    """The one line of a command that could not begin."""
    assert (told.code, told.out) == (2, "")
    assert len(told.lines) == 1, told.err
    return told.lines[0]


def settings_of(database: Database) -> dict[str, str]:
    """Of a daemon that is well."""
    return {
        "database_url": database.app_url,
        "redis_url": database.servers.redis_url,
        "redis_prefix": f"t{secrets.token_hex(5)}:",
        "jwt_secret": JWT_SECRET,
        "drain_s": "0",
    }


class Serving:
    """A daemon that said where it serves; `stop` ends it."""

    def __init__(
        self, process: asyncio.subprocess.Process, settings: Mapping[str, str], origin: str, heard: bytes
    ) -> None:
        self._process = process
        self._settings = settings
        self._heard = heard
        self.origin = origin

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> Told:
        self._process.send_signal(number)
        async with asyncio.timeout(PATIENCE_S):
            out, err = await self._process.communicate()
        return _told(self._process, self._settings, self._heard + out, err)


@asynccontextmanager
async def serving(*args: str, **settings: str) -> AsyncIterator[Serving]:
    """`serve` on a free port, once it is ready."""
    async with _process("serve", "--port", "0", *args, settings=settings) as process:
        assert process.stdout
        async with asyncio.timeout(PATIENCE_S):
            line = await process.stdout.readline()
        if not line.startswith(b"Serving on "):
            raise AssertionError(_told(process, settings, line, (await process.communicate())[1]))
        yield Serving(process, settings, line.decode().split()[-1], line)


@asynccontextmanager
async def begun(*args: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command that runs, for whoever ends it in the middle; at the end it is gone."""
    async with _process(*args, settings=settings) as process:
        yield process


@asynccontextmanager
async def _process(*args: str, settings: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MESSENGER_")}
    with TemporaryDirectory() as folder:
        environ |= {
            f"MESSENGER_{name.upper()}": value for name, value in ({"data_dir": folder} | dict(settings)).items()
        }
        async with _running(args, environ) as process:
            yield process


@asynccontextmanager
async def _running(args: Sequence[str], environ: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "messenger", *args),
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _told(process: asyncio.subprocess.Process, settings: Mapping[str, str], out: bytes, err: bytes) -> Told:
    assert process.returncode is not None
    told = Told(process.returncode, out.decode(), err.decode())
    for secret in (PASSWORD, JWT_SECRET, *re.findall(r"://[^:/]*:([^@/]+)@", " ".join(settings.values()))):
        assert secret not in told.out + told.err
    assert "Traceback" not in told.err, told.err
    return told
