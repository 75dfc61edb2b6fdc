"""Two nodes behind nginx are replaced one after another while people write: nobody misses anything (`messenger bench rolling`)."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest

from tests.support.node import Cluster
from tests.support.programs import needed
from tests.support.reachable import SECRET

PATIENCE_S = 120


@asynccontextmanager
async def rolling(*args: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command as it runs, in a group of its own as a shell has it; killed at the end if it still runs."""
    needed("nginx", package="nginx-light")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MESSENGER_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "messenger", "bench", "rolling", *args),
        env={**ours, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def row_of(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """What it found, where that is well."""
    out, errors = await process.communicate()
    # It is 1 where anything was lost, doubled, late or refused, or somebody was away for too long.
    assert process.returncode == 0, errors.decode()
    (row,) = json.loads(out)["results"]
    assert {row[name] for name in ("lost", "doubled", "late", "needless_resets", "unanswered", "failed_requests")} == {
        0
    }
    return dict(row)


async def test_nodes_are_replaced_and_nobody_misses_anything() -> None:
    async with rolling("--json", "--seconds", "0.5", "--most-connections", "60", MESSENGER_DRAIN_S="1") as process:
        row = await row_of(process)
    assert row["case"] == "60 devices, 2 nodes replaced"
    # Each node was asked to go, and everybody of it came back.
    assert row["reconnects"] >= 60
    assert row["messages"] > 300
    assert row["requests"] > 100


async def test_a_cluster_that_runs_elsewhere_keeps_its_rate_limits(cluster: Cluster) -> None:
    daemon = await cluster.daemon()
    # As few as there may be, and all at one node: each says as much as ever.
    options = ("--url", daemon.origin, "--json", "--seconds", "5", "--most-connections", "10")
    async with rolling(*options, MESSENGER_JWT_SECRET=SECRET) as process:
        row = await row_of(process)
    assert row["case"] == "10 devices, restarted by you"
    assert row["messages"] > 50
    assert row["requests"] > 50


def below(process: asyncio.subprocess.Process) -> dict[psutil.Process, list[str]]:
    """Whatever it has started and which still runs, with its command line; who is about to end has none any more."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            found[child] = child.cmdline()
        except psutil.NoSuchProcess:
            continue
    return {child: line for child, line in found.items() if line}


# SIGTERM goes to the command, as from a supervisor, and a Ctrl-C to all that it has started in its terminal. The third daemon takes
# the place of the first, under load.
@pytest.mark.parametrize(("number", "daemons"), [(signal.SIGTERM, 1), (signal.SIGTERM, 3), (signal.SIGINT, 3)])
async def test_nothing_stays_of_a_run_that_is_ended_in_the_middle(number: signal.Signals, daemons: int) -> None:
    with TemporaryDirectory() as folder:
        options = ("--seconds", "0.2", "--most-connections", "20")
        async with rolling(*options, TMPDIR=folder, MESSENGER_DRAIN_S="0") as process:
            seen: dict[psutil.Process, list[str]] = {}
            while sum("serve" in line for line in seen.values()) < daemons:
                assert process.returncode is None, await process.communicate()
                seen |= below(process)
                await asyncio.sleep(0.01)
            (os.kill if number is signal.SIGTERM else os.killpg)(process.pid, number)
            await process.wait()  # and for nobody who holds its stderr
            left = {child: line for child, line in seen.items() if child.is_running()}
            for child in left:
                child.kill()
            out, _ = await process.communicate()
        assert (list(left.values()), list(Path(folder).iterdir())) == ([], [])  # noqa: ASYNC240 - a look at a small folder
        assert (process.returncode, out) == (1, b"")
