"""A random workload on failing nodes, and the proof that nothing was lost by it."""

import asyncio
import itertools
import random
from collections.abc import Iterator

import asyncpg

from tests.support.crowd import PEOPLE, Crowd, Deed
from tests.support.people import Frame
from tests.support.truth import Truth
from tests.support.weather import Weather
from tests.support.witness import Log, Lost, Witness

MOST_AT_ONCE = 8
# Steps between two proofs.
ROUND = 75
PATIENCE_S = 20


class Workload:
    """`broken` is all that must not be."""

    def __init__(self, chance: random.Random, oracle: asyncpg.Connection, weather: Weather) -> None:
        self.broken: list[str] = []
        self._chance = chance
        self._oracle = oracle
        self._weather = weather
        self._stirred = asyncio.Event()
        self._crowd = Crowd(chance, weather, self.broken.append, self._stirred)

    async def run(self, steps: int) -> None:
        """So many steps, with a proof after each round of them. Raises AssertionError."""
        while steps > 0:
            await self._round(min(steps, ROUND))
            steps -= ROUND
            if self._chance.random() < 0.5:
                await self._weather.clear_up()
            await self.prove()
            await self._prove_notified()
        await self._weather.clear_up()
        self._crowd.away.clear()
        await self.prove()
        await self._prove_notified()
        await self._prove_fresh()
        await asyncio.gather(*(device.hang_up() for device in self._crowd.devices))

    async def _round(self, steps: int) -> None:
        at_once = asyncio.Semaphore(MOST_AT_ONCE)

        async def do(deed: Deed) -> None:
            try:
                await deed
            except Lost:
                pass
            finally:
                at_once.release()

        async with asyncio.TaskGroup() as group:
            for _ in range(steps):
                self._fetch_the_lost(group)
                await self._look_around()
                deed = self._crowd.choose()
                if deed is not None:
                    await at_once.acquire()
                    group.create_task(do(deed))
                if self.broken:
                    break

    async def _look_around(self) -> None:
        self._crowd.who = [tuple(row) for row in await self._oracle.fetch(WHO)]
        self._crowd.directs = {row["id"]: tuple(row)[1:] for row in await self._oracle.fetch(DIRECTS)}

    async def prove(self) -> None:
        """Wait until everybody who is connected holds what the tables say. Raises AssertionError."""
        differences: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
                while not self.broken:
                    self._fetch_the_lost(group)
                    self._stirred.clear()
                    truth = await Truth.read(self._oracle)
                    differences = list(self._differences(truth))
                    if not differences:
                        break
                    await self._stirs()
        except TimeoutError:
            self.broken += differences or ["the tables did not answer"]
        if not self.broken:
            for device in self._crowd.devices:
                self.broken += truth.trespasses(device)
                device.heard.clear()
            self.broken += [*self._unkept(truth), *self._crowd.boundaries.against(truth)]
        assert not self.broken, await self._report()

    async def _prove_notified(self) -> None:
        """Whoever wants to be told of what is said is notified, and nobody else: as soon as the nodes go by what the tables
        say. Raises AssertionError."""
        differences: list[str] = []
        try:
            async with asyncio.timeout(2 * PATIENCE_S), asyncio.TaskGroup() as group:
                while not self.broken:
                    self._fetch_the_lost(group)
                    differences = await self._falsely_notified()
                    if not differences:
                        break
                    await self._stirs()
        except TimeoutError:
            self.broken += differences or ["nothing was said"]
        assert not self.broken, await self._report()

    async def _falsely_notified(self) -> list[str]:
        await self._look_around()
        there = {device: device.comings for device in self._crowd.devices if device.is_in_step}
        said = await self._crowd.speak_everywhere()
        await self.prove()
        truth = await Truth.read(self._oracle)
        differences = []
        for device, comings in there.items():
            try:
                await device.ask("ping")  # whatever stands behind what it holds has come by then
            except Lost:
                continue
            places = truth.places[device.user_id]
            due = {
                entry["id"]
                for entry in said
                if entry["conversation_id"] in places and truth.wants(device.user_id, entry)
            }
            told = device.notified & {entry["id"] for entry in said}
            if told != due and device.comings == comings:
                differences.append(f"{device} was notified of {sorted(told)}, and not of {sorted(due)}")
        return differences

    def _fetch_the_lost(self, group: asyncio.TaskGroup) -> None:
        for deed in self._crowd.lost():
            group.create_task(deed)

    async def _stirs(self) -> None:
        """Something was applied; or the tables moved: what was asked of a killed node may be written yet."""
        try:
            async with asyncio.timeout(0.2):
                await self._stirred.wait()
        except TimeoutError:
            pass

    def _differences(self, truth: Truth) -> Iterator[str]:
        for device in self._crowd.devices:
            if device.is_in_step:
                yield from truth.against(device)
            elif device not in self._crowd.away:
                yield f"{device} is not in step"

    def _unkept(self, truth: Truth) -> Iterator[str]:
        """What was acknowledged and is not there as it ought to be."""
        yield from (f"stored twice: {name}" for name in truth.twice())
        for conversation_id, message_id, change in self._crowd.acknowledged:
            if conversation_id not in truth.deleted:
                entry = truth.entries[conversation_id].get(message_id)
                if entry is None or entry["change"] < change:
                    yield f"acknowledged with change {change} in {conversation_id}: {entry}"

    async def _prove_fresh(self) -> None:
        """What a device holds that was there all the time is what one is told that comes anew, on any node."""
        truth = await Truth.read(self._oracle)
        for user_id, node in itertools.product(PEOPLE, self._weather.nodes):
            fresh = self._crowd.device(user_id, f"u{user_id}.fresh")
            await fresh.connect(node)
            self.broken += truth.against(fresh)
            for conversation_id, place in truth.places[user_id].items():
                counts = fresh.counts[conversation_id]
                if counts != (place.last_read_seq, place.unread_count):
                    self.broken.append(f"{fresh} is told {counts} of {conversation_id}, and not {place}")
                for device in self._crowd.devices:
                    if device.user_id == user_id:
                        self._compare(conversation_id, fresh, device)
            await fresh.hang_up()
        for device in self._crowd.devices:
            cursors = {conversation_id: log.cursor for conversation_id, log in device.logs.items()}
            answer = await device.ask("sync", cursors=cursors)
            if any(part["changes"] for part in answer["conversations"]) or answer["removed"]:
                self.broken.append(f"{device} had missed {answer}")
        assert not self.broken, await self._report()

    def _compare(self, conversation_id: str, one: Witness, other: Witness) -> None:
        logs = one.logs[conversation_id], other.logs[conversation_id]
        floor = max(log.floor for log in logs)
        held = [_from(log, floor) for log in logs]
        if held[0] != held[1]:
            self.broken.append(f"{one} and {other} differ in {conversation_id}")

    async def _report(self) -> str:
        """What is broken; and of the conversations concerned what the tables hold, and what the devices concerned heard."""
        lines = self.broken[:20] + [f"weather: {', '.join(self._weather.history)}"]
        truth = await Truth.read(self._oracle)
        concerned = [id_ for id_ in truth.entries.keys() | truth.deleted if any(id_ in what for what in self.broken)]
        for id_ in concerned:
            lines += [
                f"-- {id_}{' (deleted)' if id_ in truth.deleted else ''}",
                *map(in_short, truth.entries[id_].values()),
            ]
        for device in self._crowd.devices:
            if any(device.name in what for what in self.broken):
                lines.append(f"-- {device}")
                lines += [told for about, told in device.journal if about is None or about & {*concerned}]
        return "\n".join(lines)


def in_short(entry: Frame) -> str:
    told = {name: entry["metadata"].get(name) for name in ("event", "user_id", "role", "by") if entry["metadata"]}
    return f"change {entry['change']}, seq {entry['seq']}, by {entry['sender_id']} {told or ''}"


def _from(log: Log, floor: int) -> dict[str, Frame]:
    return {id_: entry for id_, entry in log.entries.items() if entry["seq"] >= floor}


DIRECTS = "select id::text, direct_low, direct_high from messenger.conversations where direct_low is not null"
WHO = "select conversation_id::text, user_id, role from messenger.conversation_participants order by 1, 2"
