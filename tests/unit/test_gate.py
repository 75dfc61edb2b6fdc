"""A crowd takes turns, and a user with many devices is no crowd."""

import asyncio

import pytest

from messenger.errors import Unavailable
from messenger.gate import Gate


async def test_so_many_are_inside_and_no_more_and_all_come_in() -> None:
    gate, inside, most = Gate(3, 5), 0, 0

    async def pass_(key: int) -> None:
        nonlocal inside, most
        async with gate.passed(key):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*map(pass_, range(20)))
    assert (most, inside) == (3, 0)


async def test_of_one_key_there_is_one_inside_and_others_are_not_held_up_by_those_who_wait() -> None:
    gate, order = Gate(2, 5), []
    leave = asyncio.Event()

    async def pass_(key: str, name: str) -> None:
        async with gate.passed(key):
            order.append(name)
            await leave.wait()

    tasks = [asyncio.create_task(pass_("ann", f"ann {number}")) for number in range(3)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(pass_("ben", "ben")))
    await asyncio.sleep(0.01)
    assert order == ["ann 0", "ben"]
    leave.set()
    await asyncio.gather(*tasks)
    assert order == ["ann 0", "ben", "ann 1", "ann 2"]
    assert not gate._turns


@pytest.mark.parametrize("key", ["ann", "ben"])
async def test_whose_turn_does_not_come_in_time_is_told_so_and_keeps_nobody_out(key: str) -> None:
    gate = Gate(1, 0.05)
    async with gate.passed("ann"):
        with pytest.raises(Unavailable):
            async with gate.passed(key):
                raise AssertionError
    async with gate.passed("ann"):
        assert list(gate._turns) == ["ann"]
    assert not gate._turns
