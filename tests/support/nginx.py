"""nginx as `deploy/nginx` has it, before nodes of a test's: only the nodes, the port and the folder are others."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.programs import needed

SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx"
PATIENCE_S = 10


@dataclass(frozen=True)
class Nginx:
    """One that runs. `log` is its access log, `errors` all that it said otherwise."""

    origin: str
    log: Path
    errors: Path

    def said(self) -> str:
        return self.log.read_text() + self.errors.read_text()


@asynccontextmanager
async def nginx(
    folder: Path, nodes: Sequence[str], *, site: str = "", changes: Mapping[str, str] | None = None
) -> AsyncIterator[Nginx]:
    """Before nodes at these origins. `folder` is a new one; `site` are lines more of site.conf, and `changes` what is to be read
    otherwise in the files as they are shipped."""
    program = needed("nginx", package="nginx-light")
    shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)
    (folder / "conf.d").mkdir()
    (folder / "messenger.conf").rename(folder / "conf.d" / "messenger.conf")
    port = free_port()
    log, errors = folder / "access.log", folder / "error.log"
    (folder / "messenger" / "nodes.conf").write_text(
        "".join(f"server {urlsplit(node).netloc} max_fails=0;\n" for node in nodes)
    )
    (folder / "messenger" / "site.conf").write_text(
        f"listen 127.0.0.1:{port};\naccess_log {log} messenger;\n{site}\n",
    )
    whole = folder / "nginx.conf"
    whole.write_text(whole.read_text().replace("/tmp/", f"{folder}/"))
    for old, new in (changes or {}).items():
        _change(folder, old, new)
    with errors.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(program, "-p", str(folder), "-c", str(whole), "-g", f"daemon off;{_as_us()}"), stderr=stderr
        )
    try:
        await _listens(port, process, errors)
        yield Nginx(f"http://127.0.0.1:{port}", log, errors)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _change(folder: Path, old: str, new: str) -> None:
    found = [path for path in folder.rglob("*.conf") if old in path.read_text()]
    assert found, f"{old!r} is in none of the files"
    for path in found:
        path.write_text(path.read_text().replace(old, new))


def _as_us() -> str:
    """As root it would let its workers be somebody who may not come into the folder."""
    return " user root;" if Path("/proc/self").stat().st_uid == 0 else ""


async def _listens(port: int, process: asyncio.subprocess.Process, errors: Path) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if process.returncode is not None:
                pytest.fail(_text(errors))
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                return


def _text(path: Path) -> str:
    return path.read_text()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
