"""What an operation costs, as ratios to a small reference in the same run: no time is looked at, only CPU as the system counts it.

The limits leave room for a noisy machine, and still are below what each of these cost before it was made cheap.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest

SCENARIOS = ("fanout", "pairs", "bulk", "idle", "connect", "history")
PATIENCE_S = 300


class Found:
    def __init__(self, results: list[dict[str, Any]]) -> None:
        self._results = results

    def of(self, scenario: str, case: str) -> Mapping[str, float]:
        (row,) = [row for row in self._results if (row["scenario"], row["case"]) == (scenario, case)]
        return row

    @property
    def write_us(self) -> float:
        """The reference: one prebuilt message written to one of 1,000 sockets, and nothing behind it."""
        return self.of("fanout", "1,000 members, bare writes")["server_us"]


@pytest.fixture(scope="module")
async def found() -> Found:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "messenger", "bench", *SCENARIOS, "--json", "--seconds", "1"),
        *("--most-connections", "1000", "--most-messages", "100000"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    told = json.loads(out)
    assert told["machine"]["cores"] >= 1
    return Found(told["results"])


def test_what_goes_out_together_costs_less_than_a_write_each(found: Found) -> None:
    for members in ("100", "1,000"):
        assert found.of("fanout", f"{members} members, 8 in flight")["server_us"] < 0.9 * found.write_us


def test_one_delivery_is_hardly_more_than_its_write(found: Found) -> None:
    assert found.of("fanout", "1,000 members, 1 in flight")["server_us"] < 2 * found.write_us


def test_a_message_of_a_pair(found: Found) -> None:
    """It was 38 writes before frames were decoded by hand, written once a tick, and handed to the lanes without a task."""
    assert found.of("pairs", "250 pairs")["server_us"] < 30 * found.write_us


def test_a_message_that_all_write_at_once(found: Found) -> None:
    assert found.of("bulk", "50 senders, 40 messages each, 8 at once")["server_us"] < 35 * found.write_us


def test_an_idle_connection_holds_little(found: Found) -> None:
    assert found.of("idle", "1,000 connections")["connection_kb"] < 12


def test_coming_in(found: Found) -> None:
    """It was 290 writes before crowds were looked up together."""
    assert found.of("connect", "20 conversations each")["server_us"] < 230 * found.write_us


def test_paging_and_catching_up_cost_the_same_in_a_long_log(found: Found) -> None:
    for kind in ("page", "sync"):
        short, long = (found.of("history", f"{kind} of 50 at {size} messages") for size in ("1,000", "100,000"))
        for part in ("server_us", "postgres_us"):
            assert long[part] < 1.5 * short[part], (kind, part)


def test_the_generator_is_not_what_is_measured(found: Found) -> None:
    for case in ("100 members, 8 in flight", "1,000 members, 8 in flight"):
        assert found.of("fanout", case)["generator_percent"] < 95
    assert found.of("pairs", "250 pairs")["generator_percent"] < 50
