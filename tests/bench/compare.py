"""Measures the daemon and what people would write instead, in the same run, and draws the chart of README.

    (cd tests/bench/peers && npm ci)
    python -m tests.bench.compare [SECONDS]

Writes tests/bench/costs.json and tests/bench/costs.svg. Each server has one core, the load generator the other; PostgreSQL runs
with fsync on both. Best on a machine that does nothing else.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import psutil

from messenger.bench.meter import pin
from messenger.bench.target import SERVER_CORE
from messenger.embedded import embedded_servers

HERE = Path(__file__).parent
SCENARIOS = ("fanout", "pairs", "latency", "idle", "connect")
# What is drawn: scenario, case, figure, what it is.
DRAWN = (
    ("fanout", "1,000 members, 8 in flight", "server_us", "a delivery, 1,000 members, 8 messages in flight: µs of CPU"),
    (
        "fanout",
        "1,000 members, 1 in flight",
        "server_us",
        "a delivery, 1,000 members, one message in flight: µs of CPU",
    ),
    ("pairs", "250 pairs", "server_us", "a message of 250 pairs, stored and acknowledged: µs of CPU"),
    ("connect", "1 conversations each", "server_us", "coming in, token checked: µs of CPU"),
    ("idle", "5,000 connections", "connection_kb", "an idle connection: kB"),
)
BARE = "1,000 members, bare writes"
COLOURS = {"messenger": "#2563eb", "Node, ws": "#94a3b8", "bare writes": "#d4d4d8"}

Results = Mapping[str, Sequence[Mapping[str, Any]]]


@contextmanager
def peer() -> Iterator[tuple[str, str]]:
    """The Node server on a database of its own: its address, and the key that its tokens are signed with."""
    secret = secrets.token_hex(32)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs as somebody else where we are root
        with embedded_servers(Path(folder) / "data", lambda _: None) as servers:
            process = subprocess.Popen(
                ["node", "ws-server.js"],
                cwd=HERE / "peers",
                env={
                    **os.environ,
                    "MESSENGER_JWT_SECRET": secret,
                    "PEER_DATABASE_URL": servers.admin_url,
                    "PEER_REDIS_URL": servers.redis_url,
                },
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                assert process.stdout
                line = process.stdout.readline()
                pin(psutil.Process(process.pid), SERVER_CORE)
                yield line.split()[-1], secret
            finally:
                process.kill()
                process.wait()


def bench(*options: str, **settings: str) -> Any:
    told = subprocess.run(
        [sys.executable, "-m", "messenger", "bench", "--json", "--most-connections", "5000", *options, *SCENARIOS],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(told.stdout)


def figure(results: Sequence[Mapping[str, Any]], scenario: str, case: str, name: str) -> float:
    return next(row[name] for row in results if (row["scenario"], row["case"]) == (scenario, case))


def drawn(results: Results, machine: Mapping[str, Any]) -> str:
    """The chart: one group of bars a figure, each to its own scale."""
    parts, y = [], 34
    for scenario, case, name, what in DRAWN:
        values = {who: figure(found, scenario, case, name) for who, found in results.items()}
        if scenario == "fanout":
            values["bare writes"] = figure(results["messenger"], scenario, BARE, name)
        parts.append(f'<text x="16" y="{y}" class="what">{escape(what)}</text>')
        for who, value in values.items():
            y += 22
            width = 420 * value / max(values.values())
            parts.append(f'<text x="16" y="{y + 12}">{who}</text>')
            parts.append(f'<rect x="120" y="{y}" width="{width:.1f}" height="16" rx="2" fill="{COLOURS[who]}"/>')
            parts.append(f'<text x="{126 + width:.1f}" y="{y + 12}">{value:,.3g}</text>')
        y += 46
    named = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}; each server on one of them"
    parts.append(f'<text x="16" y="{y - 8}">{escape(named)}</text>')
    style = "text{font:13px system-ui,sans-serif;fill:#475569}.what{font-weight:600;fill:#0f172a}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {y + 8}" role="img" aria-label="What an operation costs">'
        f'<style>{style}</style><rect width="640" height="{y + 8}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def main(seconds: str = "5") -> None:
    ours = bench("--seconds", seconds)
    with peer() as (address, secret):
        theirs = bench("--seconds", seconds, "--url", address, MESSENGER_JWT_SECRET=secret)
    results = {"messenger": ours["results"], "Node, ws": theirs["results"]}
    (HERE / "costs.json").write_text(json.dumps({"machine": ours["machine"], **results}, indent=1) + "\n")
    (HERE / "costs.svg").write_text(drawn(results, ours["machine"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
