"""One run: the daemon is found or started, the scenarios load it in turn, and what they found is told."""

import asyncio
import os
import platform
import resource
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import click
import orjson
import psutil
import uvloop

from messenger.background import on_signals
from messenger.bench.cluster import NO_NGINX, own_cluster, program
from messenger.bench.meter import Meter, pin
from messenger.bench.rolling import rolling
from messenger.bench.scenarios import SCENARIOS as OTHERS
from messenger.bench.scenarios import Bench, Progress, Row
from messenger.bench.target import GENERATOR_CORE, Found, Target, own, port_of, running
from messenger.config import Config
from messenger.errors import SetupError
from messenger.transport.auth import signed

ROLLING = "rolling"
SCENARIOS: Mapping[str, Callable[[Bench], AsyncIterator[Row]]] = {**OTHERS, ROLLING: rolling}


@dataclass(frozen=True, slots=True)
class Options:
    """`scenarios`: all of them where empty. `seconds`: about how long one measurement takes."""

    scenarios: Sequence[str]
    seconds: float
    most_connections: int
    most_messages: int


def bench(config: Config, url: str | None, pid: int | None, options: Options, *, as_json: bool) -> None:
    """Load the daemon at `url`, or one of our own, and print what was found. Raises SetupError, EmbeddedError."""
    for name in options.scenarios:
        if name not in SCENARIOS:
            raise SetupError(f"{name!r} is no scenario: {', '.join(SCENARIOS)}")

    def tell(row: Row) -> None:
        if not as_json:
            click.echo(_line(row))

    rows: list[Row] = []
    for stage, names in _stages(config, url, pid, options.scenarios):
        with stage as found:
            _make_room(options.most_connections)
            pin(psutil.Process(), GENERATOR_CORE)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                rows += runner.run(_until_stopped(_run(found, names, options, tell)))
    if as_json:
        click.echo(_json(rows))
    wrong = [f"{row.scenario}: {what}" for row in rows for what in row.wrong]
    for line in wrong:
        click.echo(f"messenger: {line}", err=True)
    if wrong:
        sys.exit(1)


def _stages(
    config: Config, url: str | None, pid: int | None, named: Sequence[str]
) -> Iterator[tuple[AbstractContextManager[Found], Sequence[str]]]:
    """Daemons, and what is tried on each. A running one is restarted by somebody else, who asks for that by name. Raises
    SetupError."""

    def say(line: str) -> None:
        click.echo(line, err=True)

    others = [name for name in named or SCENARIOS if name != ROLLING]
    if url:
        yield nullcontext(running(config, url, pid)), named or others
        return
    is_rolling = not named or ROLLING in named
    if is_rolling and program() is None:
        if named:
            raise SetupError(NO_NGINX)
        say(f"left out: {NO_NGINX}")
        is_rolling = False
    if others:
        yield own(say), others
    if is_rolling:
        yield own_cluster(config.drain_s, say), [ROLLING]


async def _until_stopped(run: Coroutine[Any, Any, list[Row]]) -> list[Row]:
    """Raises KeyboardInterrupt where it is told to stop, once it has tidied up."""
    under_way = asyncio.ensure_future(run)
    with on_signals(lambda: under_way.cancel()):
        try:
            return await under_way
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def _run(found: Found, names: Sequence[str], options: Options, tell: Callable[[Row], None]) -> list[Row]:
    where = urlsplit(found.address)
    above = psutil.Process() if found.owner_url else found.processes[0] if found.processes else None
    rows = []
    async with aiohttp.ClientSession() as session:
        target = Target(
            scheme=where.scheme,
            host=where.hostname or "127.0.0.1",
            port=port_of(found.address),
            meter=Meter(found.processes, above),
            sign=lambda user_id: signed(found.config, user_id, is_service=user_id is None),
            session=session,
            owner_url=found.owner_url,
            # Nobody's yet: somewhere in the upper half of what ids there are.
            next_user=2**52 + secrets.randbelow(2**51),
            nodes=found.nodes,
        )
        try:
            for name in names:
                with _shown(name) as progress:
                    bench = Bench(target, options.seconds, options.most_connections, options.most_messages, progress)
                    async for row in SCENARIOS[name](bench):
                        rows.append(row)
                        tell(row)
        except (OSError, TimeoutError) as error:
            raise SetupError(f"the daemon did not answer: {type(error).__name__} {error}") from None
        finally:
            if not found.owner_url:
                await target.clear()
    return rows


@contextmanager
def _shown(name: str) -> Iterator[Progress]:
    """A progress bar on stderr, where that is a terminal."""
    with click.progressbar(length=1000, label=name, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def show(case: str, done: float) -> None:
            bar.label = f"{name}: {case}"
            bar.update(int(1000 * done) - bar.pos)

        yield show


def _json(rows: Sequence[Row]) -> str:
    """What was found, and on what machine."""
    told = {
        "machine": _machine(),
        "results": [{"scenario": row.scenario, "case": row.case, **row.figures} for row in rows],
    }
    return orjson.dumps(told, option=orjson.OPT_INDENT_2).decode()


def _machine() -> Mapping[str, object]:
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "messenger": version("messenger"),
    }


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _line(row: Row) -> str:
    figures = "  ".join(f"{_rounded(value)} {name.replace('_', ' ')}" for name, value in row.figures.items())
    return f"{row.scenario:<9}{row.case:<52}{figures}"


def _rounded(value: float) -> str:
    return (
        f"{value:,.0f}" if value >= 100 or isinstance(value, int) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    )


def _make_room(connections: int) -> None:
    """Descriptors for as many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 200
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
