"""The logs that a device holds, kept as protocol.md §1 says: what it applies, what it ignores, when it asks. And the truth."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import asyncpg

from tests.support.people import PATIENCE_S, Frame, Phone

# seq, change, id, sender_id, content, message_type, client_id
Entry: TypeAlias = tuple[int, int, str, int, str | None, str, str | None]

FIELDS = ("seq", "change", "id", "sender_id", "content", "message_type", "client_id")


async def stored(oracle: asyncpg.Connection, conversation_id: str, from_seq: int = 1) -> list[Entry]:
    """The log as it stands in the table, in the order of changes."""
    rows = await oracle.fetch(
        """
        select seq, change, id::text, sender_id, content, message_type, client_id
        from messenger.messages where conversation_id = $1 and seq >= $2 order by change
        """,
        conversation_id,
        from_seq,
    )
    return [tuple(row) for row in rows]


async def last_change(oracle: asyncpg.Connection, conversation_id: str) -> int:
    number: int = await oracle.fetchval(
        "select last_change from messenger.conversation_heads where conversation_id = $1", conversation_id
    )
    return number


async def pour(oracle: asyncpg.Connection, conversation_id: str, sender_id: int, contents: Iterable[str]) -> None:
    """Say many things at once: one transaction, past the daemon, through the table's own trigger."""
    async with oracle.transaction():
        await oracle.execute("select messenger.enter($1)", sender_id)
        await oracle.execute(
            """
            insert into messenger.messages (conversation_id, id, sender_id, content)
            select $1, gen_random_uuid(), $2, content
            from unnest($3::text[]) with ordinality as said (content, place) order by place
            """,
            conversation_id,
            sender_id,
            list(contents),
        )


def unbroken(events: Sequence[Frame], above: int) -> int:
    """Hold durable events of one conversation to their order: each is above the one before, and none leaves a hole.
    The last change that they cover."""
    for event in events:
        after = event.get("after", event["change"] - 1)
        assert after <= above < event["change"], (
            above,
            [(one["type"], one.get("after"), one["change"]) for one in events],
        )
        above = event["change"]
    return above


class Logs:
    """What one person's device holds of every conversation: all from a seq (`floors`) on, as it is at a change (`cursors`).

    `answers`: how many `sync` answers it took so far.
    """

    def __init__(self, phone: Phone, limit: int = 200) -> None:
        self.limit = limit
        self.answers = 0
        self.cursors: dict[str, int] = {}
        self.floors: dict[str, int] = {}
        self._messages: dict[str, dict[str, Frame]] = {}
        self._wanted: dict[str, int] = {}
        self._more = False
        self.reconnect(phone)

    def reconnect(self, phone: Phone) -> None:
        """Go on with what is held, on another connection, from now on."""
        self.phone = phone
        self._read = len(phone.frames)

    def begin(self, conversation_id: str, cursor: int = 0, floor: int = 1) -> None:
        """Hold an empty log that is said to end there; one that is held already goes on."""
        if conversation_id not in self.cursors:
            self.cursors[conversation_id], self.floors[conversation_id] = cursor, floor
            self._messages[conversation_id] = {}

    def held(self, conversation_id: str) -> list[Entry]:
        """The log as this device has it from its floor on, in the order of changes."""
        floor, messages = self.floors[conversation_id], self._messages[conversation_id].values()
        entries = [tuple(item[name] for name in FIELDS) for item in messages if item["seq"] >= floor]
        return sorted(entries, key=lambda entry: entry[1])

    @property
    def is_whole(self) -> bool:
        """Nothing was heard of that is missing, as far as it came."""
        missing = any(
            self.cursors.get(conversation_id, -1) < change for conversation_id, change in self._wanted.items()
        )
        return not self._more and not missing

    async def catch_up(self) -> None:
        """Ask until nothing is missing."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self.phone.ask("sync", cursors=self.cursors, limit=self.limit)
                assert answer["type"] == "sync", answer
                self.take()
                if self.is_whole:
                    return

    async def reach(self, conversation_id: str, change: int) -> None:
        """Listen until a change has been applied, asking where there is a hole."""
        async with asyncio.timeout(PATIENCE_S):
            self.take()
            while self.cursors.get(conversation_id, -1) < change:
                if self.is_whole:
                    await self.phone.hear()
                    self.take()
                else:
                    await self.catch_up()

    def take(self) -> None:
        """Apply what the phone has received by now, in the order in which it came."""
        for frame in self.phone.frames[self._read :]:
            self.apply(frame)
        self._read = len(self.phone.frames)

    def apply(self, frame: Frame) -> None:
        match frame["type"]:
            case "sync":
                self._more = frame["more"]
                self.answers += 1
                for conversation_id in frame["removed"]:
                    self._forget(conversation_id)
                for part in frame["conversations"]:
                    self._apply_part(part)
                if not self._more:
                    # What is neither held nor told of is no longer ours.
                    self._wanted = {key: change for key, change in self._wanted.items() if key in self.cursors}
            case "conversation.created":
                told = frame["conversation"]
                self.begin(told["id"], told["last_change"], told["last_seq"] + 1)
            case "conversation.deleted":
                self._forget(frame["conversation_id"])
            case "message.sent" | "ack":
                pass
            case _ if "change" in frame:
                self._apply_event(frame)

    def _apply_event(self, event: Frame) -> None:
        conversation_id, change = event["conversation_id"], event["change"]
        cursor = self.cursors.get(conversation_id, -1)
        if change <= cursor:
            return
        if event["type"] == "participant.removed" and event["user_id"] == self.phone.user_id:
            self._forget(conversation_id)
        elif event.get("after", change - 1) > cursor:
            self._wanted[conversation_id] = max(change, self._wanted.get(conversation_id, 0))
        else:
            self.upsert(event["data"])
            self.cursors[conversation_id] = change

    def _apply_part(self, part: Frame) -> None:
        conversation_id = part["conversation_id"]
        if part.get("reset"):
            self._forget(conversation_id)
            self.begin(
                conversation_id, 0, min((message["seq"] for message in part["changes"]), default=part["last_seq"] + 1)
            )
        for message in part["changes"]:
            self.upsert(message)
        reached = part["changes"][-1]["change"] if part["more"] else part["last_change"]
        self.cursors[conversation_id] = max(self.cursors[conversation_id], reached)

    def upsert(self, message: Frame) -> None:
        """Insert or replace a message, unless a later state of it is held."""
        held = self._messages[message["conversation_id"]]
        if message["id"] not in held or held[message["id"]]["change"] < message["change"]:
            held[message["id"]] = message

    def _forget(self, conversation_id: str) -> None:
        for held in (self.cursors, self.floors, self._messages, self._wanted):
            held.pop(conversation_id, None)
