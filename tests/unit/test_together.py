"""Whoever asks while one question is being answered is in the next one."""

import asyncio
from collections.abc import Sequence

import pytest

from messenger.errors import Unavailable
from messenger.together import MOST_AT_ONCE, Together


class Oracle:
    """Doubles numbers, once it may."""

    def __init__(self) -> None:
        self.asked: list[Sequence[int]] = []
        self.may = asyncio.Event()
        self.fails = False

    async def answer(self, numbers: Sequence[int]) -> Sequence[int]:
        self.asked.append(numbers)
        await self.may.wait()
        if self.fails:
            raise Unavailable
        return [2 * number for number in numbers]


async def test_who_asks_meanwhile_is_answered_together() -> None:
    oracle = Oracle()
    together = Together(oracle.answer)
    first = asyncio.create_task(together.answer(1))
    while not oracle.asked:
        await asyncio.sleep(0)
    others = [asyncio.create_task(together.answer(number)) for number in range(2, MOST_AT_ONCE + 3)]
    await asyncio.sleep(0)
    oracle.may.set()
    assert await asyncio.gather(first, *others) == [2 * number for number in range(1, MOST_AT_ONCE + 3)]
    assert [len(numbers) for numbers in oracle.asked] == [1, MOST_AT_ONCE, 1]


async def test_a_failure_is_told_to_each_and_the_next_are_answered() -> None:
    oracle = Oracle()
    oracle.may.set()
    oracle.fails = True
    together = Together(oracle.answer)
    assert [type(told) for told in await asyncio.gather(*map(together.answer, (1, 2)), return_exceptions=True)] == [
        Unavailable,
        Unavailable,
    ]
    oracle.fails = False
    assert await together.answer(3) == 6


async def test_who_waits_no_more_takes_nobody_along() -> None:
    oracle = Oracle()
    together = Together(oracle.answer)
    gone, there = asyncio.create_task(together.answer(1)), asyncio.create_task(together.answer(2))
    await asyncio.sleep(0)
    gone.cancel()
    oracle.may.set()
    assert await there == 4
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_closing_leaves_nobody_waiting() -> None:
    oracle = Oracle()
    together = Together(oracle.answer)
    asking = [asyncio.create_task(together.answer(number)) for number in range(MOST_AT_ONCE + 1)]
    while not oracle.asked:
        await asyncio.sleep(0)
    await together.close()
    assert {type(told) for told in await asyncio.gather(*asking, return_exceptions=True)} == {asyncio.CancelledError}
