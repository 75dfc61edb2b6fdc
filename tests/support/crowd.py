"""People with several devices each, who do random things on whatever node is there."""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp

from tests.support.boundaries import Boundaries
from tests.support.people import Frame
from tests.support.weather import Weather
from tests.support.witness import Lost, Witness

PEOPLE = range(1, 6)
DEVICES = 3
# Whose first device never hangs up; all devices of the others may be gone at times.
STEADY = (1, 2, 3)
MOST_CONVERSATIONS = 7
PATIENCE_S = 20
# Anybody may be late: he was removed, or the message deleted, a moment ago. And the database may be away for a moment.
LATE = {"not_participant", "message_not_found", "forbidden", "user_not_found", "conflict", "unavailable"}
LONG = "x" * 3500
EMOJI = "👍🎉"
# Wants to be told of everything, and to do with everybody; and nobody blocks him.
PLAIN = 5

Deed: TypeAlias = Coroutine[Any, Any, None]


@dataclass(slots=True)
class Said:
    """A message that was sent, perhaps more than once; `entry` as it was first acknowledged."""

    user_id: int
    conversation_id: str
    client_id: str
    content: str
    mentions: list[int]
    times: int = 0
    firsts: int = 0
    entry: Frame | None = None


class Crowd:
    """`report(what)` is called for every answer that must not be; `stirred` is set whenever a device applied something.

    `away`: devices that hung up; the others come back by themselves. `acknowledged`: conversation, message and change of
    everything that was. `who`: each participant's conversation, id and role; `directs`: the two of each direct conversation; as
    far as is known.
    """

    def __init__(
        self, chance: random.Random, weather: Weather, report: Callable[[str], None], stirred: asyncio.Event
    ) -> None:
        self.away: set[Witness] = set()
        self.acknowledged: list[tuple[str, str, int]] = []
        self.who: list[tuple[str, int, str]] = []
        self.directs: dict[str, tuple[int, int]] = {}
        self._chance = chance
        self._weather = weather
        self._report = report
        self._stirred = stirred
        self._coming: set[Witness] = set()
        self._said: list[Said] = []
        self._numbers = itertools.count()
        self.boundaries = Boundaries(chance, self._rest, [user_id for user_id in PEOPLE if user_id != PLAIN])
        self.devices = [self.device(user_id, f"u{user_id}.{number}") for user_id in PEOPLE for number in range(DEVICES)]
        self._deeds: dict[Callable[[], Deed | None], int] = {
            self.say: 30,
            self.say_twice_at_once: 4,
            self.say_again: 6,
            self.edit: 10,
            self.delete: 5,
            self.react: 18,
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
            self.wish: 5,
            self.block: 2,
            self.unblock: 1,
            self.change_weather: 2,
        }

    def device(self, user_id: int, name: str) -> Witness:
        """One more device, which is nowhere yet."""
        limit = self._chance.choice((3, 10, 200))
        return Witness(user_id, name, limit, self._report, self._stirred, wants_all=user_id == PLAIN)

    def choose(self) -> Deed | None:
        """Something to do; nothing where what was chosen is not possible just now."""
        (deed,) = self._chance.choices(list(self._deeds), list(self._deeds.values()))
        return deed()

    def lost(self) -> list[Deed]:
        """The returns of those whose connection ended against their will."""
        lost = [device for device in self.devices if not device.is_connected and device not in self.away | self._coming]
        return [self._connect(device) for device in lost]

    def say(self) -> Deed | None:
        return (place := self._somewhere()) and self._say(self._draft(place[0].user_id, place[1]), place[0])

    def say_twice_at_once(self) -> Deed | None:
        """As a client does that lost patience."""
        return (place := self._somewhere()) and self._say_twice(self._draft(place[0].user_id, place[1]), place[0])

    def say_again(self) -> Deed | None:
        return self._say(self._chance.choice(self._said), None) if self._said else None

    async def _say_twice(self, said: Said, device: Witness) -> None:
        await asyncio.gather(self._say(said, device), self._say(said, None))

    async def speak_everywhere(self) -> list[Frame]:
        """Everybody says one thing more in each of his conversations; what was acknowledged."""
        some = [
            self._draft(user_id, conversation_id) for conversation_id, user_id, role in self.who if role != "observer"
        ]
        await asyncio.gather(*(self._say(said, None) for said in some))
        return [said.entry for said in some if said.entry is not None]

    async def _say(self, said: Said, device: Witness | None) -> None:
        """By a device, or by REST on any node."""
        said.times += 1
        apart = self._apart(said.conversation_id)
        request = {"content": said.content, "client_id": said.client_id, "mentions": said.mentions}
        try:
            if device is not None and self._chance.random() < 0.7:
                told = await device.ask("message.send", conversation_id=said.conversation_id, **request)
                entry, duplicate = told.get("data"), "duplicate" in told
            else:
                path = f"/conversations/{said.conversation_id}/messages"
                told = await self._rest("POST", path, said.user_id, request)
                entry, duplicate = (told if "id" in told else None), told["status"] == 200
        except Lost:
            return
        if entry is None:
            self._refused(told)
            return
        if not duplicate and apart is not None and apart == self._apart(said.conversation_id):
            self._report(f"{said} was stored though a block stands: {apart}")
        said.firsts += not duplicate
        if said.firsts > 1 or (duplicate and said.times == 1) or entry["client_id"] != said.client_id:
            self._report(f"{said} was answered with {told}")
        if said.entry is not None and (said.entry["id"], said.entry["seq"]) != (entry["id"], entry["seq"]):
            self._report(f"{said} was answered with another one: {told}")
        said.entry = said.entry or entry
        self.acknowledged.append((said.conversation_id, entry["id"], entry["change"]))

    def edit(self) -> Deed | None:
        return self._alter("message.edit", "PATCH", {"content": f"mended {next(self._numbers)}"})

    def delete(self) -> Deed | None:
        return self._alter("message.delete", "DELETE", {})

    def _alter(self, type_: str, method: str, request: Frame) -> Deed | None:
        place = self._somewhere()
        if place is None:
            return None
        device = place[0]
        mine = [entry for entry in self._entries(place) if entry["sender_id"] == device.user_id]
        if not mine:
            return None
        message_id = self._chance.choice(mine)["id"]
        path = f"/messages/{message_id}"
        if self._chance.random() < 0.5:
            return self._order(method, path, device.user_id, request)
        return self._alter_by(place, type_, message_id, request)

    def react(self) -> Deed | None:
        """Anybody to what he holds; much of it a second time, or taken back."""
        place = self._somewhere()
        entries = self._entries(place) if place else []
        if place is None or not entries:
            return None
        reacted = [(entry["id"], emoji) for entry in entries for emoji in entry["reactions"]]
        if reacted and self._chance.random() < 0.5:
            type_, (message_id, emoji) = "reaction.remove", self._chance.choice(reacted)
        else:
            type_, message_id, emoji = (
                "reaction.add",
                self._chance.choice(entries[-3:])["id"],
                self._chance.choice(EMOJI),
            )
        return self._alter_by(place, type_, message_id, {"emoji": emoji})

    async def _alter_by(self, place: tuple[Witness, str], type_: str, message_id: str, request: Frame) -> None:
        device, conversation_id = place
        apart = self._apart(conversation_id)
        told = await device.ask(type_, message_id=message_id, **request)
        if told["type"] == "ack":
            if type_ == "message.edit" and apart is not None and apart == self._apart(conversation_id):
                self._report(f"{device} edited {message_id} though a block stands: {apart}")
            self.acknowledged.append((conversation_id, message_id, told["change"]))
        else:
            self._refused(told)

    def read(self) -> Deed | None:
        place = self._somewhere()
        entries = self._entries(place) if place else []
        if place is None or not entries:
            return None
        device, entry = place[0], self._chance.choice(entries)

        async def reading() -> None:
            told = await device.ask("message.read", message_id=entry["id"])
            if told["type"] != "read.confirmed":
                self._refused(told)
            elif told["last_read_seq"] < entry["seq"]:
                self._report(f"{device} read {entry['seq']} and is told {told}")

        return reading()

    def add(self) -> Deed | None:
        admin = self._admin()
        if admin is None:
            return None
        conversation_id, user_id = admin
        request = {"user_ids": self._chance.sample(PEOPLE, self._chance.choice((1, 1, 2)))}
        return self._order("POST", f"/conversations/{conversation_id}/participants", user_id, request)

    def remove(self) -> Deed | None:
        admin = self._admin()
        if admin is None:
            return None
        others = [user_id for conversation_id, user_id, _ in self.who if conversation_id == admin[0]]
        path = f"/conversations/{admin[0]}/participants/{self._chance.choice(others)}"
        return self._order("DELETE", path, admin[1], {})

    def leave(self) -> Deed | None:
        if not self.who:
            return None
        conversation_id, user_id, _ = self._chance.choice(self.who)
        return self._order("DELETE", f"/conversations/{conversation_id}/participants/me", user_id, {})

    def change_role(self) -> Deed | None:
        admin = self._admin()
        if admin is None:
            return None
        path = f"/conversations/{admin[0]}/participants/{self._chance.choice(PEOPLE)}"
        return self._order("PATCH", path, admin[1], {"role": self._chance.choice(("admin", "member", "observer"))})

    def rename(self) -> Deed | None:
        admin = self._admin()
        if admin is None:
            return None
        return self._order("PATCH", f"/conversations/{admin[0]}", admin[1], {"title": f"Tea {next(self._numbers)}"})

    def found(self) -> Deed | None:
        user_id = self._chance.choice(PEOPLE)
        others = [other for other in PEOPLE if other != user_id]
        if self._chance.random() < 0.3:
            request: Frame = {"type": "direct", "participant_ids": self._chance.sample(others, 1)}
        elif len({conversation_id for conversation_id, _, _ in self.who}) < MOST_CONVERSATIONS:
            history = self._chance.choice(("all", "joined"))
            some = self._chance.sample(others, self._chance.randint(0, len(others)))
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
        device = self._chance.choice(here)
        self.away.add(device)
        return device.hang_up(politely=self._chance.random() < 0.5)

    def come_back(self) -> Deed | None:
        away = sorted(self.away - self._coming, key=repr)
        if not away:
            return None
        device = self._chance.choice(away)
        self.away.discard(device)
        return None if device.is_connected else self._connect(device)

    def catch_up(self) -> Deed | None:
        here = [device for device in self.devices if device.is_in_step]
        return self._chance.choice(here).catch_up() if here else None

    def subscribe(self) -> Deed | None:
        place = self._somewhere()
        if place is None:
            return None
        device, conversation_id = place

        async def subscribing() -> None:
            self._refused(await device.ask("subscribe", conversation_id=conversation_id))

        return subscribing()

    def wish(self) -> Deed | None:
        some = [(user_id, conversation_id) for conversation_id, user_id, _ in self.who if user_id != PLAIN]
        return self._bound(self.boundaries.wish(*self._chance.choice(some))) if some else None

    def block(self) -> Deed:
        return self._bound(self.boundaries.block(sorted(self.directs.values())))

    def unblock(self) -> Deed:
        return self._bound(self.boundaries.unblock())

    async def _bound(self, asking: Coroutine[Any, Any, Frame]) -> None:
        self._refused(await asking)

    def change_weather(self) -> Deed:
        return self._weather.change()

    def _connect(self, device: Witness) -> Deed:
        self._coming.add(device)

        async def connecting() -> None:
            try:
                await device.connect(self._chance.choice(self._weather.nodes))
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
        device = self._chance.choice(devices)
        directs = sorted(device.logs.keys() & self.directs.keys())
        return device, self._chance.choice(directs if directs and self._chance.random() < 0.3 else sorted(device.logs))

    def _entries(self, place: tuple[Witness, str]) -> list[Frame]:
        """What may be altered or read there, as far as the device knows."""
        device, conversation_id = place
        entries = device.logs[conversation_id].entries.values()
        return [entry for entry in entries if entry["message_type"] != "system" and entry["deleted_at"] is None]

    def _admin(self) -> tuple[str, int] | None:
        admins = [(conversation_id, user_id) for conversation_id, user_id, role in self.who if role == "admin"]
        return self._chance.choice(admins) if admins else None

    def _apart(self, conversation_id: str) -> Hashable:
        """A mark of the block that surely stands between the two of a direct conversation."""
        pair = self.directs.get(conversation_id)
        return pair and self.boundaries.between(pair)

    def _draft(self, user_id: int, conversation_id: str) -> Said:
        number = next(self._numbers)
        content = LONG if self._chance.random() < 0.05 else f"said {number}"
        mentions = self._chance.sample(PEOPLE, self._chance.choice((0, 0, 1, 2)))
        said = Said(user_id, conversation_id, f"c{number}", content, mentions)
        self._said.append(said)
        return said

    async def _order(self, method: str, path: str, user_id: int, request: Frame) -> None:
        self._refused(await self._rest(method, path, user_id, request))

    async def _rest(self, method: str, path: str, user_id: int, request: Frame) -> Frame:
        """The body, with its HTTP status. Raises Lost."""
        client = self._chance.choice(self._weather.nodes).client(user_id)
        try:
            async with asyncio.timeout(PATIENCE_S):
                status, body = await client.call(method, path, request or None)
        except (aiohttp.ClientError, ConnectionError):
            raise Lost from None
        except TimeoutError:
            self._report(f"no answer to {method} {path}")
            raise Lost from None
        return {**(body or {}), "status": status}

    def _refused(self, told: Frame) -> None:
        """An answer may say that one was too late, and nothing worse."""
        is_error = told.get("type") == "error" or told.get("status", 200) >= 400
        if is_error and told["code"] not in LATE:
            self._report(f"refused: {told}")
