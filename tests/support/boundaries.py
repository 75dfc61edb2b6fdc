"""What people of a workload want to be told of, and with whom they want nothing to do: asked for at random, and what was
answered is held against the tables."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator, Sequence
from typing import Any, TypeAlias

from tests.support.people import Frame
from tests.support.truth import Truth
from tests.support.witness import Lost

Ask: TypeAlias = Callable[[str, str, int, Frame], Awaitable[Frame]]
# Somebody, and another one or a conversation.
Key: TypeAlias = tuple[int, int | str]

# Muted for long, muted no more, never muted; no time that could come meanwhile.
MUTES = ("2999-12-31T23:59:59Z", "2001-01-01T00:00:00Z", None, None)
LEVELS = ("all", "mentions", "none")


class Boundaries:
    """`ask` is REST on somebody's behalf, on any node. `people` are those who set any; between others there are none."""

    def __init__(self, chance: random.Random, ask: Ask, people: Sequence[int]) -> None:
        self._chance = chance
        self._ask = ask
        self._people = people
        # What was answered last, where nothing else was asked at the same time and no answer was ever lost.
        self._settled: dict[Key, Any] = {}
        self._asked: Counter[Key] = Counter()
        self._under_way: Counter[Key] = Counter()
        self._doubtful: set[Key] = set()

    async def wish(self, user_id: int, conversation_id: str) -> Frame:
        """Somebody wants to be told of something else. Raises Lost."""
        request = {"level": self._chance.choice(LEVELS), "muted_until": self._chance.choice(MUTES)}
        path = f"/conversations/{conversation_id}/notifications"
        wanted = request["level"], request["muted_until"]
        return await self._settle((user_id, conversation_id), wanted, "PUT", path, user_id, request)

    async def block(self, pairs: Sequence[tuple[int, int]]) -> Frame:
        """Somebody of one of these pairs blocks the other; where there is none, just anybody. Raises Lost."""
        some = [pair for pair in pairs if {*pair} <= {*self._people}] or [(self._people[0], self._people[-1])]
        user_id, other = self._chance.sample(self._chance.choice(some), 2)
        return await self._settle((user_id, other), True, "PUT", f"/users/me/blocks/{other}", user_id, {})

    async def unblock(self) -> Frame:
        """Whom one is known to have blocked, or just anybody. Raises Lost."""
        blocked = [key for key, value in self._settled.items() if value is True]
        user_id, other = self._chance.choice(blocked or [(self._people[0], self._people[-1])])
        return await self._settle((user_id, other), False, "DELETE", f"/users/me/blocks/{other}", user_id, {})

    async def _settle(self, key: Key, value: object, method: str, path: str, user_id: int, request: Frame) -> Frame:
        self._settled.pop(key, None)
        self._asked[key] += 1
        turn, comes_alone = self._asked[key], not self._under_way[key]
        self._under_way[key] += 1
        try:
            told = await self._ask(method, path, user_id, request)
        except Lost:
            self._doubtful.add(key)
            raise
        finally:
            self._under_way[key] -= 1
        if told["status"] == 503:  # its fate is unknown
            self._doubtful.add(key)
        # Of two at the same time either may have been the last.
        if told["status"] < 300 and comes_alone and self._asked[key] == turn and key not in self._doubtful:
            self._settled[key] = value
        return told

    def between(self, pair: Collection[int]) -> Hashable:
        """A mark of the block that surely stands between two, the same as long as it does; None where there is none."""
        one, other = pair
        keys = [key for key in ((one, other), (other, one)) if self._settled.get(key) is True]
        return tuple((key, self._asked[key]) for key in keys) or None

    def against(self, truth: Truth) -> Iterator[str]:
        """What was answered, and is not so."""
        for key, value in self._settled.items():
            if isinstance(value, bool):
                if (key in truth.blocks) is not value:
                    yield f"block of {key}: told {value}"
            # Who left has no wishes any more.
            elif truth.wishes.get(key, value) != value:
                yield f"wish of {key}: told {value}, and not {truth.wishes[key]}"
