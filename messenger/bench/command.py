"""One run: the daemon is found or started, the scenarios load it in turn, and what they found is told."""

import asyncio
import os
import platform
import resource
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import click
import orjson
import psutil
import uvloop

from messenger.bench.meter import Meter, pin
from messenger.bench.scenarios import SCENARIOS, Bench, Progress, Row
from messenger.bench.target import GENERATOR_CORE, Found, Target, own, running
from messenger.config import Config
from messenger.errors import SetupError
from messenger.transport.auth import signed


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

    with nullcontext(running(config, url, pid)) if url else own(lambda line: click.echo(line, err=True)) as found:
        _make_room(options.most_connections)
        pin(psutil.Process(), GENERATOR_CORE)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows = runner.run(_run(found, options, tell))
    if as_json:
        click.echo(_json(rows))


async def _run(found: Found, options: Options, tell: Callable[[Row], None]) -> list[Row]:
    where = urlsplit(found.address)
    above = psutil.Process() if found.owner_url else found.processes[0] if found.processes else None
    rows = []
    async with aiohttp.ClientSession() as session:
        target = Target(
            host=where.hostname or "127.0.0.1",
            port=where.port or 80,
            meter=Meter(found.processes, above),
            sign=lambda user_id: signed(found.config, user_id, is_service=user_id is None),
            session=session,
            owner_url=found.owner_url,
            # Nobody's yet: somewhere in the upper half of what ids there are.
            next_user=2**52 + secrets.randbelow(2**51),
        )
        try:
            for name in options.scenarios or SCENARIOS:
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
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _make_room(connections: int) -> None:
    """Descriptors for as many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 200
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
