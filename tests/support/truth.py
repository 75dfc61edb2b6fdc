"""What the tables say, all of one moment, and a device's logs held against it."""

import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import asyncpg

from tests.support.people import Frame
from tests.support.witness import Witness


@dataclass(frozen=True, slots=True)
class Place:
    """Where one user stands in one conversation."""

    first_seq: int
    last_change: int
    last_read_seq: int
    unread_count: int


@dataclass(slots=True)
class Truth:
    """`entries`: every message of each conversation, as the wire has it, by id. `deleted`: conversations that are gone.
    `wishes`: what somebody wants to be told of in one, and until when not; the defaults where there is none. `blocks`: who
    blocks whom. `directs`: the two of each direct conversation.
    """

    places: dict[int, dict[str, Place]] = field(default_factory=lambda: defaultdict(dict))
    entries: dict[str, dict[str, Frame]] = field(default_factory=lambda: defaultdict(dict))
    deleted: set[str] = field(default_factory=set)
    wishes: dict[Hashable, tuple[str, str | None]] = field(default_factory=dict)
    blocks: set[tuple[int, int]] = field(default_factory=set)
    directs: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    async def read(cls, oracle: asyncpg.Connection) -> Self:
        truth = cls()
        async with oracle.transaction(isolation="repeatable_read", readonly=True):
            for row in await oracle.fetch("select * from messenger.messages order by conversation_id, seq"):
                truth.entries[str(row["conversation_id"])][str(row["id"])] = entry_of(row)
            for row in await oracle.fetch(PLACES):
                truth.places[row["user_id"]][str(row["conversation_id"])] = Place(
                    row["first_seq"], row["last_change"], row["last_read_seq"], row["unread_count"]
                )
            rows = await oracle.fetch("select id from messenger.conversations where deleted_at is not null")
            truth.deleted = {str(row["id"]) for row in rows}
            heads = await oracle.fetch(
                "select conversation_id, last_seq, last_change from messenger.conversation_heads"
            )
            reactions = await oracle.fetch(REACTIONS)
            for row in await oracle.fetch("select * from messenger.notification_settings"):
                wish = row["level"], row["muted_until"] and time(row["muted_until"])
                truth.wishes[row["user_id"], str(row["conversation_id"])] = wish
            truth.blocks = set(map(tuple, await oracle.fetch("select user_id, blocked_id from messenger.blocks")))
            rows = await oracle.fetch("select id, direct_low, direct_high from messenger.conversations")
            truth.directs = {str(row["id"]): tuple(row)[1:] for row in rows if row["direct_low"] is not None}
        truth._hold_to_reactions(reactions)
        for head in heads:
            truth._hold_to_numbers(str(head["conversation_id"]), head["last_seq"], head["last_change"])
        return truth

    def _hold_to_reactions(self, rows: list[asyncpg.Record]) -> None:
        """What is counted beside a message is what people said of it."""
        said: dict[str, dict[str, int]] = defaultdict(dict)
        for row in rows:
            said[str(row["message_id"])][row["emoji"]] = row["count"]
        counted = {id_: entry["reactions"] for entries in self.entries.values() for id_, entry in entries.items()}
        assert {id_: counts for id_, counts in counted.items() if counts} == said

    def _hold_to_numbers(self, conversation_id: str, last_seq: int, last_change: int) -> None:
        if conversation_id in self.deleted:
            return
        entries = self.entries[conversation_id].values()
        assert [entry["seq"] for entry in entries] == list(range(1, last_seq + 1))
        changes = {entry["change"] for entry in entries}
        assert len(changes) == last_seq
        assert max(changes, default=0) == last_change

    def against(self, device: Witness) -> Iterator[str]:
        """Every difference between what a device holds and what its user may see."""
        places = self.places[device.user_id]
        for conversation_id in places.keys() - device.logs.keys():
            yield f"{device} lacks {conversation_id}"
        for conversation_id, log in device.logs.items():
            place = places.get(conversation_id)
            if place is None:
                yield f"{device} still holds {conversation_id}"
                continue
            visible = {
                id_: entry for id_, entry in self.entries[conversation_id].items() if entry["seq"] >= place.first_seq
            }
            # Changes of what is hidden from him need not have been told.
            newest = max((entry["change"] for entry in visible.values()), default=0)
            if not newest <= log.cursor <= place.last_change:
                yield f"{device} is at {log.cursor} of {conversation_id}, and not at {newest} to {place.last_change}"
            due = {id_: entry for id_, entry in visible.items() if entry["seq"] >= log.floor or id_ in log.entries}
            held = {id_: entry for id_, entry in log.entries.items() if entry["seq"] >= place.first_seq}
            for id_ in due.keys() | held.keys():
                if due.get(id_) != held.get(id_):
                    yield f"{device} in {conversation_id}: {difference(held.get(id_), due.get(id_))}"

    def are_apart(self, one: int, other: int) -> bool:
        return not self.blocks.isdisjoint({(one, other), (other, one)})

    def wants(self, user_id: int, entry: Frame) -> bool:
        """Whether somebody is to be notified of a message that is new."""
        level, muted_until = self.wishes.get((user_id, entry["conversation_id"]), ("all", None))
        if user_id == entry["sender_id"] or self.are_apart(user_id, entry["sender_id"]):
            return False
        if muted_until is not None and muted_until > "2020":  # none lies near today
            return False
        return level == "all" or (level == "mentions" and user_id in entry["mentions"])

    def trespasses(self, device: Witness) -> Iterator[str]:
        """Whatever a device heard of a conversation while its user was not in it."""
        moves = {conversation_id: self._moves(conversation_id, device.user_id) for conversation_id, _ in device.heard}
        for conversation_id, change in device.heard:
            if conversation_id in self.deleted:
                continue
            before = [kind for number, kind in moves[conversation_id] if number < change]
            own = [kind for number, kind in moves[conversation_id] if number == change]
            later = [kind for number, kind in moves[conversation_id] if number > change]
            founded = conversation_id in self.places[device.user_id] and not (before or own or later)
            was_in = before[-1] == "participant.added" if before else founded or later[:1] == ["participant.removed"]
            if not (was_in or own):
                yield f"{device} heard change {change} of {conversation_id}: {moves[conversation_id]}"

    def _moves(self, conversation_id: str, user_id: int) -> list[tuple[int, str]]:
        return [
            (entry["change"], entry["metadata"]["event"])
            for entry in self.entries[conversation_id].values()
            if entry["metadata"].get("event") in ("participant.added", "participant.removed")
            and entry["metadata"]["user_id"] == user_id
        ]

    def twice(self) -> list[tuple[str, int, str]]:
        """Every conversation, sender and client_id under which more than one message is stored."""
        count = Counter(
            (conversation_id, entry["sender_id"], entry["client_id"])
            for conversation_id, entries in self.entries.items()
            for entry in entries.values()
            if entry["client_id"] is not None
        )
        return [name for name, stored in count.items() if stored > 1]


PLACES = """
    select p.conversation_id, p.user_id, p.first_seq, h.last_change, coalesce(r.last_read_seq, 0) as last_read_seq, (
        select count(*) from messenger.messages m
        where m.conversation_id = p.conversation_id
            and m.seq > coalesce(r.last_read_seq, 0) and m.seq >= p.first_seq
            and m.sender_id <> p.user_id and m.message_type <> 'system' and m.deleted_at is null
    ) as unread_count
    from messenger.conversation_participants p
    join messenger.conversation_heads h using (conversation_id)
    left join messenger.read_receipts r on r.conversation_id = p.conversation_id and r.user_id = p.user_id
"""

REACTIONS = "select message_id, emoji, count(*) from messenger.reactions group by 1, 2"


def entry_of(row: Mapping[str, Any]) -> Frame:
    """A row as protocol.md §6 has it."""
    names = ("seq", "change", "sender_id", "content", "message_type", "mentions", "client_id")
    return {
        **{name: row[name] for name in names},
        **{name: row[name] and str(row[name]) for name in ("id", "conversation_id", "reply_to")},
        **{name: row[name] and time(row[name]) for name in ("created_at", "edited_at", "deleted_at")},
        **{name: json.loads(row[name]) for name in ("attachments", "metadata", "reactions")},
    }


def difference(held: Frame | None, due: Frame | None) -> str:
    """In one line, for a failure's report."""
    if held is None or due is None:
        entry = held or due or {}
        return f"{'lacks' if held is None else 'holds what is not there'}: seq {entry['seq']}, change {entry['change']}"
    names = [name for name in ("seq", "change", *due) if held.get(name) != due.get(name)]
    return ", ".join(f"{name} is {str(held.get(name))[:80]} for {str(due.get(name))[:80]}" for name in names)


def time(value: Any) -> str:
    text: str = value.isoformat()
    return text.replace("+00:00", "Z")
