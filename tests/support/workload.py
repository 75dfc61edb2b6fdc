"""People who do random things on many devices, on whatever node is there, and the proof that nothing was lost by it."""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp
import asyncpg

from tests.support.people import Frame
from tests.support.truth import Truth
from tests.support.weather import Weather
from tests.support.witness import Log, Lost, Witness

PEOPLE = range(1, 6)
# Whose first device never hangs up; the others may all be gone at times.
STEADY = (1, 2, 3)
DEVICES = 3
MOST_CONVERSATIONS = 7
MOST_AT_ONCE = 8
# Steps between two proofs.
ROUND = 75
PATIENCE_S = 20
# Anybody may be late: he was removed, or the message deleted, a moment ago. And the database may be away for a moment.
LATE = {"not_participant", "message_not_found", "forbidden", "user_not_found", "conflict", "unavailable"}
LONG = "x" * 3500

Deed: TypeAlias = Coroutine[Any, Any, None]


@dataclass(slots=True)
class Said:
    """A message that was sent, perhaps more than once; `entry` as it was first acknowledged."""

    user_id: int
    conversation_id: str
    client_id: str
    content: str
    times: int = 0
    firsts: int = 0
    entry: Frame | None = None


class Workload:
    def __init__(self, chance: random.Random, oracle: asyncpg.Connection, weather: Weather) -> None:
        self.chance = chance
        self.oracle = oracle
        self.weather = weather
        self.broken: list[str] = []
        self.stirred = asyncio.Event()
        self.devices = [
            self._device(user_id, f"u{user_id}.{number}") for user_id in PEOPLE for number in range(DEVICES)
        ]
        # Everybody else comes back by himself when his connection ends.
        self.away: set[Witness] = set()
        self._coming: set[Witness] = set()
        self._said: list[Said] = []
        # Conversation, message and change of everything that was acknowledged.
        self._acknowledged: list[tuple[str, str, int]] = []
        self._who: list[tuple[str, int, str]] = []
        self._numbers = itertools.count()
        self._deeds: dict[Callable[[], Deed | None], int] = {
            self.say: 30,
            self.say_twice_at_once: 4,
            self.say_again: 6,
            self.edit: 10,
            self.delete: 5,
            self.read: 8,
            self.add: 6,
            self.remove: 3,
            self.leave: 3,
            self.change_role: 1,
            self.rename: 2,
            self.found: 3,
            self.abolish: 1,
            self.hang_up: 6,
            self.come_back: 8,
            self.catch_up: 3,
            self.subscribe: 2,
            self.change_weather: 2,
        }

    async def run(self, steps: int) -> None:
        """So many steps, with a proof after each round of them. Raises AssertionError."""
        while steps > 0:
            await self._round(min(steps, ROUND))
            steps -= ROUND
            if self.chance.random() < 0.5:
                await self.weather.clear_up()
            await self.prove()
        await self.weather.clear_up()
        self.away.clear()
        await self.prove()
        await self._prove_fresh()
        await asyncio.gather(*(device.hang_up() for device in self.devices))

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
                self._who = [tuple(row) for row in await self.oracle.fetch(WHO)]
                (choice,) = self.chance.choices(list(self._deeds), list(self._deeds.values()))
                deed = choice()
                if deed is not None:
                    await at_once.acquire()
                    group.create_task(do(deed))
                if self.broken:
                    break

    async def prove(self) -> None:
        """Wait until everybody who is connected holds what the tables say. Raises AssertionError."""
        differences: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
                while not self.broken:
                    self._fetch_the_lost(group)
                    self.stirred.clear()
                    truth = await Truth.read(self.oracle)
                    differences = list(self._differences(truth))
                    if not differences:
                        break
                    await self._stirs()
        except TimeoutError:
            self.broken += differences
        if not self.broken:
            for device in self.devices:
                self.broken += truth.trespasses(device)
                device.heard.clear()
            self.broken += self._unkept(truth)
        assert not self.broken, await self._report()

    async def _stirs(self) -> None:
        """Something was applied; or the tables moved: what was asked of a killed node may be written yet."""
        try:
            async with asyncio.timeout(0.2):
                await self.stirred.wait()
        except TimeoutError:
            pass

    def _differences(self, truth: Truth) -> Iterator[str]:
        for device in self.devices:
            if device.is_in_step:
                yield from truth.against(device)
            elif device not in self.away:
                yield f"{device} is not in step"

    def _unkept(self, truth: Truth) -> Iterator[str]:
        """What was acknowledged and is not there as it ought to be."""
        yield from (f"stored twice: {name}" for name in truth.twice())
        for conversation_id, message_id, change in self._acknowledged:
            if conversation_id not in truth.deleted:
                entry = truth.entries[conversation_id].get(message_id)
                if entry is None or entry["change"] < change:
                    yield f"acknowledged with change {change} in {conversation_id}: {entry}"

    async def _prove_fresh(self) -> None:
        """What a device holds that was there all the time is what one is told that comes anew, on any node."""
        truth = await Truth.read(self.oracle)
        for user_id, node in itertools.product(PEOPLE, self.weather.nodes):
            fresh = self._device(user_id, f"u{user_id}.fresh")
            await fresh.connect(node)
            self.broken += truth.against(fresh)
            for conversation_id, place in truth.places[user_id].items():
                counts = fresh.counts[conversation_id]
                if counts != (place.last_read_seq, place.unread_count):
                    self.broken.append(f"{fresh} is told {counts} of {conversation_id}, and not {place}")
                for device in self.devices:
                    if device.user_id == user_id:
                        self._compare(conversation_id, fresh, device)
            await fresh.hang_up()
        for device in self.devices:
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

    def say(self) -> Deed | None:
        return (place := self._somewhere()) and self._say(self._draft(*place), place[0])

    def say_twice_at_once(self) -> Deed | None:
        """As a client does that lost patience."""
        return (place := self._somewhere()) and self._say_twice(self._draft(*place), place[0])

    def say_again(self) -> Deed | None:
        return self._say(self.chance.choice(self._said), None) if self._said else None

    async def _say_twice(self, said: Said, device: Witness) -> None:
        await asyncio.gather(self._say(said, device), self._say(said, None), return_exceptions=True)

    async def _say(self, said: Said, device: Witness | None) -> None:
        """By a device, or by REST on any node."""
        said.times += 1
        request = {"content": said.content, "client_id": said.client_id}
        if device is not None and self.chance.random() < 0.7:
            told = await device.ask("message.send", conversation_id=said.conversation_id, **request)
            entry, duplicate = told.get("data"), "duplicate" in told
        else:
            path = f"/conversations/{said.conversation_id}/messages"
            told = await self._rest("POST", path, said.user_id, request)
            entry, duplicate = (told if "id" in told else None), told["status"] == 200
        if entry is None:
            self._refused(told)
            return
        said.firsts += not duplicate
        if said.firsts > 1 or (duplicate and said.times == 1) or entry["client_id"] != said.client_id:
            self.broken.append(f"{said} was answered with {told}")
        if said.entry is not None and (said.entry["id"], said.entry["seq"]) != (entry["id"], entry["seq"]):
            self.broken.append(f"{said} was answered with another one: {told}")
        said.entry = said.entry or entry
        self._acknowledged.append((said.conversation_id, entry["id"], entry["change"]))

    def edit(self) -> Deed | None:
        return self._alter("message.edit", "PATCH", {"content": f"mended {next(self._numbers)}"})

    def delete(self) -> Deed | None:
        return self._alter("message.delete", "DELETE", {})

    def _alter(self, type_: str, method: str, request: Frame) -> Deed | None:
        place = self._somewhere()
        if place is None:
            return None
        device, conversation_id = place
        mine = [entry for entry in self._entries(place) if entry["sender_id"] == device.user_id]
        if not mine:
            return None
        message_id = self.chance.choice(mine)["id"]

        async def by_device() -> None:
            told = await device.ask(type_, message_id=message_id, **request)
            if told["type"] == "ack":
                self._acknowledged.append((conversation_id, message_id, told["change"]))
            else:
                self._refused(told)

        path = f"/messages/{message_id}"
        return by_device() if self.chance.random() < 0.5 else self._order(method, path, device.user_id, request)

    def read(self) -> Deed | None:
        place = self._somewhere()
        entries = self._entries(place) if place else []
        if place is None or not entries:
            return None
        device, entry = place[0], self.chance.choice(entries)

        async def reading() -> None:
            told = await device.ask("message.read", message_id=entry["id"])
            if told["type"] != "read.confirmed":
                self._refused(told)
            elif told["last_read_seq"] < entry["seq"]:
                self.broken.append(f"{device} read {entry['seq']} and is told {told}")

        return reading()

    def add(self) -> Deed | None:
        admin = self._admin()
        if admin is None:
            return None
        conversation_id, user_id = admin
        request = {"user_ids": self.chance.sample(PEOPLE, self.chance.choice((1, 1, 2)))}
        return self._order("POST", f"/conversations/{conversation_id}/participants", user_id, request)

    def remove(self) -> Deed | None:
        admin = self._admin()
        if admin is None:
            return None
        others = [user_id for conversation_id, user_id, _ in self._who if conversation_id == admin[0]]
        path = f"/conversations/{admin[0]}/participants/{self.chance.choice(others)}"
        return self._order("DELETE", path, admin[1], {})

    def leave(self) -> Deed | None:
        if not self._who:
            return None
        conversation_id, user_id, _ = self.chance.choice(self._who)
        return self._order("DELETE", f"/conversations/{conversation_id}/participants/me", user_id, {})

    def change_role(self) -> Deed | None:
        admin = self._admin()
        if admin is None:
            return None
        path = f"/conversations/{admin[0]}/participants/{self.chance.choice(PEOPLE)}"
        return self._order("PATCH", path, admin[1], {"role": self.chance.choice(("admin", "member", "observer"))})

    def rename(self) -> Deed | None:
        admin = self._admin()
        if admin is None:
            return None
        return self._order("PATCH", f"/conversations/{admin[0]}", admin[1], {"title": f"Tea {next(self._numbers)}"})

    def found(self) -> Deed | None:
        user_id = self.chance.choice(PEOPLE)
        others = [other for other in PEOPLE if other != user_id]
        if self.chance.random() < 0.3:
            request: Frame = {"type": "direct", "participant_ids": self.chance.sample(others, 1)}
        elif len({conversation_id for conversation_id, _, _ in self._who}) < MOST_CONVERSATIONS:
            history = self.chance.choice(("all", "joined"))
            some = self.chance.sample(others, self.chance.randint(0, len(others)))
            request = {"type": "group", "title": "Tea", "history": history, "participant_ids": some}
        else:
            return None
        return self._order("POST", "/conversations", user_id, request)

    def abolish(self) -> Deed | None:
        admin = self._admin()
        return admin and self._order("DELETE", f"/conversations/{admin[0]}", admin[1], {})

    def hang_up(self) -> Deed | None:
        steady = {f"u{user_id}.0" for user_id in STEADY}
        here = [device for device in self.devices if device.is_connected and device.name not in steady]
        if not here:
            return None
        device = self.chance.choice(here)
        self.away.add(device)
        return device.hang_up(politely=self.chance.random() < 0.5)

    def come_back(self) -> Deed | None:
        away = sorted(self.away - self._coming, key=repr)
        if not away:
            return None
        device = self.chance.choice(away)
        self.away.discard(device)
        return None if device.is_connected else self._connect(device)

    def catch_up(self) -> Deed | None:
        here = [device for device in self.devices if device.is_in_step]
        return self.chance.choice(here).catch_up() if here else None

    def subscribe(self) -> Deed | None:
        place = self._somewhere()
        if place is None:
            return None
        device, conversation_id = place

        async def subscribing() -> None:
            self._refused(await device.ask("subscribe", conversation_id=conversation_id))

        return subscribing()

    def change_weather(self) -> Deed:
        return self.weather.change()

    def _device(self, user_id: int, name: str) -> Witness:
        return Witness(user_id, name, self.chance.choice((3, 10, 200)), self.broken.append, self.stirred)

    def _fetch_the_lost(self, group: asyncio.TaskGroup) -> None:
        for device in self.devices:
            if not device.is_connected and device not in self.away | self._coming:
                group.create_task(self._connect(device))

    def _connect(self, device: Witness) -> Deed:
        self._coming.add(device)

        async def connecting() -> None:
            try:
                await device.connect(self.chance.choice(self.weather.nodes))
            except Lost:
                pass  # it will be fetched again
            finally:
                self._coming.discard(device)

        return connecting()

    def _somewhere(self) -> tuple[Witness, str] | None:
        """A device that is in step, and a conversation that it holds."""
        devices = [device for device in self.devices if device.is_in_step and device.logs]
        if not devices:
            return None
        device = self.chance.choice(devices)
        return device, self.chance.choice(sorted(device.logs))

    def _entries(self, place: tuple[Witness, str]) -> list[Frame]:
        """What may be altered or read there, as far as the device knows."""
        device, conversation_id = place
        entries = device.logs[conversation_id].entries.values()
        return [entry for entry in entries if entry["message_type"] != "system" and entry["deleted_at"] is None]

    def _admin(self) -> tuple[str, int] | None:
        admins = [(conversation_id, user_id) for conversation_id, user_id, role in self._who if role == "admin"]
        return self.chance.choice(admins) if admins else None

    def _draft(self, device: Witness, conversation_id: str) -> Said:
        number = next(self._numbers)
        content = LONG if self.chance.random() < 0.05 else f"said {number}"
        said = Said(device.user_id, conversation_id, f"c{number}", content)
        self._said.append(said)
        return said

    async def _order(self, method: str, path: str, user_id: int, request: Frame) -> None:
        self._refused(await self._rest(method, path, user_id, request))

    async def _rest(self, method: str, path: str, user_id: int, request: Frame) -> Frame:
        """The body, with its HTTP status. Raises Lost."""
        client = self.chance.choice(self.weather.nodes).client(user_id)
        try:
            async with asyncio.timeout(PATIENCE_S):
                status, body = await client.call(method, path, request or None)
        except (aiohttp.ClientError, ConnectionError):
            raise Lost from None
        except TimeoutError:
            self.broken.append(f"no answer to {method} {path}")
            raise Lost from None
        return {**(body or {}), "status": status}

    def _refused(self, told: Frame) -> None:
        """An answer may say that one was too late, and nothing worse."""
        is_error = told.get("type") == "error" or told.get("status", 200) >= 400
        if is_error and told["code"] not in LATE:
            self.broken.append(f"refused: {told}")

    async def _report(self) -> str:
        """What is broken; and of the conversations concerned what the tables hold, and what the devices concerned heard."""
        lines = self.broken[:20] + [f"weather: {', '.join(self.weather.history)}"]
        truth = await Truth.read(self.oracle)
        concerned = [id_ for id_ in truth.entries.keys() | truth.deleted if any(id_ in what for what in self.broken)]
        for id_ in concerned:
            lines += [
                f"-- {id_}{' (deleted)' if id_ in truth.deleted else ''}",
                *map(in_short, truth.entries[id_].values()),
            ]
        for device in self.devices:
            if any(device.name in what for what in self.broken):
                lines.append(f"-- {device}")
                lines += [told for about, told in device.journal if about is None or about & {*concerned}]
        return "\n".join(lines)


def in_short(entry: Frame) -> str:
    told = {name: entry["metadata"].get(name) for name in ("event", "user_id", "role", "by") if entry["metadata"]}
    return f"change {entry['change']}, seq {entry['seq']}, by {entry['sender_id']} {told or ''}"


def _from(log: Log, floor: int) -> dict[str, Frame]:
    return {id_: entry for id_, entry in log.entries.items() if entry["seq"] >= floor}


WHO = "select conversation_id::text, user_id, role from messenger.conversation_participants order by 1, 2"
