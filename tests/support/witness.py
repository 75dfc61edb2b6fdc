"""A device written after protocol.md alone, which believes nothing: whatever breaks the contract is reported.

It never asks again because of a hole, as a client of ours would: while it is connected there must be none.
"""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from tests.support.people import Frame, notification, token
from tests.support.reachable import SECRET, Reachable

PATIENCE_S = 20
# protocol.md §4: the longest answer, and how far behind a device may be without starting over.
MOST_BYTES = 256 * 1024
MOST_BEHIND = 1000
# What it heard last, for whoever has to find out what went wrong.
MOST_REMEMBERED = 1000
CONVERSATIONS = ("conversation.created", "conversation.deleted")
# Durable events of a conversation that one is in no more.
GONE = -1


class Lost(Exception):
    """The connection ended before the answer came: what was asked for may have happened or not."""


@dataclass(slots=True)
class Log:
    """What is held of one conversation: every entry from `floor` (a `seq`) on, as it is at the change `cursor`.

    Of what lies below, some entries are held that were altered meanwhile.
    """

    cursor: int
    floor: int
    entries: dict[str, Frame] = field(default_factory=dict)

    def upsert(self, entry: Frame) -> None:
        held = self.entries.get(entry["id"])
        if held is None or held["change"] < entry["change"]:
            self.entries[entry["id"]] = entry


class Witness:
    """`report(what)` is called for everything that must not be, `stirred` is set whenever something was applied.

    `heard`: conversation and change of every durable event so far. `counts`: `last_read_seq` and `unread_count` of each
    conversation that `sync` spoke of last. `notified`: the messages of which it was notified. `wants_all`: its user wants to
    be told of everything, and no block stands between him and anybody.
    """

    def __init__(
        self,
        user_id: int,
        name: str,
        limit: int,
        report: Callable[[str], None],
        stirred: asyncio.Event,
        *,
        wants_all: bool,
    ) -> None:
        self.user_id = user_id
        self.name = name
        self.limit = limit
        self.logs: dict[str, Log] = {}
        self.heard: list[tuple[str, int]] = []
        self.counts: dict[str, tuple[int, int]] = {}
        self.notified: set[str] = set()
        self.wants_all = wants_all
        # How often it came in.
        self.comings = 0
        # What came, and about which conversations; None for what happened to the connection.
        self.journal: deque[tuple[set[str] | None, str]] = deque(maxlen=MOST_REMEMBERED)
        self.epoch = ""
        self._report = report
        self._stirred = stirred
        self._refs = itertools.count()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._listening: asyncio.Task[None] | None = None
        self._answers: dict[str, asyncio.Future[Frame]] = {}
        self._syncing = asyncio.Lock()
        # Events that came while an answer to `sync` is on its way; None while there is none.
        self._ahead: list[Frame] | None = None
        # The last change that came on this connection, of each conversation.
        self._told: dict[str, int] = {}
        # The new message that came last, where a notification of it may follow.
        self._new: Frame | None = None

    def __repr__(self) -> str:
        return self.name

    @property
    def is_connected(self) -> bool:
        return self._listening is not None and not self._listening.done()

    @property
    def is_in_step(self) -> bool:
        """Connected, and not waiting for `sync`."""
        return self.is_connected and self._ahead is None

    async def connect(self, node: Reachable) -> None:
        """Come in, and catch up from the cursors that are held. Raises Lost."""
        bearer = {"Authorization": f"Bearer {token(self.user_id, SECRET)}"}
        self._told, self._ahead, self._new = {}, [], None
        self.comings += 1
        self.journal.append((None, f"connects to {node.origin}"))
        try:
            async with asyncio.timeout(PATIENCE_S):
                self._socket = await node.session.ws_connect(
                    f"{node.origin}/ws/me?device={self.name}", headers=bearer, max_msg_size=0
                )
        except aiohttp.ClientError:
            raise Lost from None
        self._listening = asyncio.create_task(self._listen(self._socket), name=f"witness {self.name}")
        await self.catch_up()

    async def hang_up(self, *, politely: bool = True) -> None:
        """Go: with a farewell, or as a phone does in a tunnel."""
        if self._socket is None or self._listening is None:
            return
        if politely:
            await self._socket.close()
        else:
            self._socket._writer.transport.abort()
        await asyncio.wait([self._listening])

    async def ask(self, type_: str, **fields: object) -> Frame:
        """Say something, and wait for its direct answer. Raises Lost."""
        if self._socket is None or not self.is_connected:
            raise Lost
        ref = f"r{next(self._refs)}"
        answer = self._answers[ref] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._socket.send_json({"type": type_, "ref": ref, **fields})
                return await answer
        except (aiohttp.ClientError, ConnectionError):
            raise Lost from None
        except TimeoutError:
            self._broken(f"no answer to {type_}")
            raise Lost from None
        finally:
            self._answers.pop(ref, None)

    async def catch_up(self) -> None:
        """Ask `sync` until there is no more, and apply what came meanwhile. Raises Lost."""
        async with self._syncing:
            self._ahead = []
            while True:
                cursors = {conversation_id: log.cursor for conversation_id, log in self.logs.items()}
                answer = await self.ask("sync", cursors=cursors, limit=self.limit)
                if answer["type"] == "error":
                    if answer["code"] != "unavailable":
                        self._broken(f"no sync: {answer}")
                    continue
                for part in answer["conversations"]:
                    self._take_part(part, cursors.get(part["conversation_id"]))
                for conversation_id in answer["removed"]:
                    self.logs.pop(conversation_id, None)
                if not answer["more"]:
                    break
                if not answer["conversations"]:
                    self._broken("sync has more, and brings nothing")
            ahead, self._ahead = self._ahead, None
            for event in ahead:
                self._apply(event)
            self._stirred.set()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                self._hear(json.loads(message.data), len(message.data.encode()))
            self.journal.append((None, f"ends: {message.type.name} {message.data} {message.extra}"))
            if message.type is aiohttp.WSMsgType.CLOSE and message.data not in (1000, 1001, 1012, 1013):
                self._broken(f"closed with {message.data} {message.extra}")
            if message.type is aiohttp.WSMsgType.CLOSE and message.extra == "slow_consumer":
                self._broken("closed as slow")
        except ConnectionError:
            pass  # cut off by ourselves, with a ping to be answered
        finally:
            await socket.close()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Lost())
            self._stirred.set()

    def _hear(self, frame: Frame, size: int) -> None:
        if size > MOST_BYTES:
            self._broken(f"{frame['type']} of {size} bytes")
        self._hold_to_notifications(frame)
        if "ref" in frame:
            self._remember(frame)
            answer = self._answers.get(frame["ref"])
            if answer is not None and not answer.done():
                answer.set_result(frame)
        elif frame["type"] == "system":
            if frame["event"] == "connected" and self.epoch not in ("", frame["epoch"]):
                self._broken("another epoch")
            self.epoch = frame.get("epoch", self.epoch)
        elif frame["type"] == "error":
            self._broken(f"error without a ref: {frame}")
        elif frame["type"] in CONVERSATIONS or "change" in frame:
            self._remember(frame)
            self._hold_to_order(frame)
            if self._ahead is not None:
                self._ahead.append(frame)
            else:
                self._apply(frame)
            self._stirred.set()

    def _hold_to_notifications(self, frame: Frame) -> None:
        """One stands right behind the new message of another that it tells of, and nowhere else."""
        new, self._new = self._new, None
        if frame["type"] == "message.new" and frame["data"]["sender_id"] != self.user_id:
            self._new = frame
        if frame["type"] == "notification":
            self.notified.add(frame["message_id"])
            if new is None or frame != notification(new, self.user_id):
                self._broken(f"notified behind {new and shown(new)}: {frame}")
        elif new is not None and self.wants_all:
            self._broken(f"not notified of {shown(new)}, but told {shown(frame)}")

    def _hold_to_order(self, frame: Frame) -> None:
        """What one connection brings is in itself without a hole and without a repeat."""
        conversation_id = frame["conversation_id"]
        told = self._told.get(conversation_id)
        if frame["type"] == "conversation.deleted":
            self._told[conversation_id] = GONE
        elif frame["type"] == "conversation.created":
            begins = frame["conversation"]["last_change"]
            if told in (None, GONE):
                self._told[conversation_id] = begins
            elif begins <= told:
                self._broken(f"created again: {shown(frame)}")
            # Else one was removed and let in again where nobody might see it: what comes next covers that.
        else:
            change = frame["change"]
            self.heard.append((conversation_id, change))
            if told == GONE:
                self._broken(f"told of what it was removed from: {shown(frame)}")
            elif told is not None and change <= told:
                self._broken(f"told again, or too late: {shown(frame)} behind {told}")
            elif told is not None and after_of(frame) > told:
                self._broken(f"a hole on the way: {shown(frame)} behind {told}")
            self._told[conversation_id] = GONE if self._is_my_removal(frame) else change

    def _apply(self, frame: Frame) -> None:
        conversation_id = frame["conversation_id"]
        log = self.logs.get(conversation_id)
        if frame["type"] == "conversation.deleted":
            self.logs.pop(conversation_id, None)
        elif frame["type"] == "conversation.created":
            then = frame["conversation"]
            if log is None:
                self.logs[conversation_id] = Log(then["last_change"], then["last_seq"] + 1)
        elif log is None:
            # `sync` knew of the removal before the node did: up to it, events are still due.
            pass
        elif frame["change"] > log.cursor:
            if after_of(frame) > log.cursor:
                self._broken(f"a hole above {log.cursor}: {shown(frame)}")
            log.cursor = frame["change"]
            log.upsert(frame["data"])
            if self._is_my_removal(frame):
                del self.logs[conversation_id]

    def _take_part(self, part: Frame, cursor: int | None) -> None:
        """One conversation of an answer to `sync`; `cursor` is what was asked with."""
        conversation_id, changes = part["conversation_id"], part["changes"]
        numbers = [entry["change"] for entry in changes]
        if (
            numbers != sorted(set(numbers))
            or len(numbers) > self.limit
            or any(n > part["last_change"] for n in numbers)
        ):
            self._broken(f"sync out of order: {shown(part)}")
        self.counts[conversation_id] = part["last_read_seq"], part["unread_count"]
        if part.get("reset"):
            seqs = sorted(entry["seq"] for entry in changes)
            first = seqs[0] if seqs else part["last_seq"] + 1
            if seqs != list(range(first, part["last_seq"] + 1)) or first < part["first_seq"] or part["more"]:
                self._broken(f"no newest page: {shown(part)}")
            if cursor is not None and part["last_change"] - cursor <= MOST_BEHIND:
                self._broken(f"reset without need from {cursor}: {shown(part)}")
            self.logs[conversation_id] = Log(part["last_change"], first, {entry["id"]: entry for entry in changes})
            return
        log = self.logs[conversation_id]
        if cursor is None or (numbers and numbers[0] <= cursor):
            self._broken(f"sync below the cursor {cursor}: {shown(part)}")
        log.cursor = numbers[-1] if part["more"] else part["last_change"]
        log.floor = max(log.floor, part["first_seq"])
        for entry in changes:
            log.upsert(entry)

    def _is_my_removal(self, frame: Frame) -> bool:
        return frame["type"] == "participant.removed" and frame["user_id"] == self.user_id

    def _remember(self, frame: Frame) -> None:
        parts = frame.get("conversations", [frame])
        about = {*frame.get("removed", ())} | {part["conversation_id"] for part in parts if "conversation_id" in part}
        self.journal.append((about, shown(frame)))

    def _broken(self, what: str) -> None:
        self._report(f"{self.name}: {what}")


def after_of(frame: Frame) -> int:
    """A durable event covers the changes from here, exclusive, to its `change`."""
    after: int = frame.get("after", frame["change"] - 1)
    return after


def shown(frame: Frame) -> str:
    """A frame in one line, with what matters for its order."""
    if frame.get("type") == "sync":
        return f"sync [{', '.join(map(shown, frame['conversations']))}] more={frame['more']} removed={frame['removed']}"
    kind = "part" if "changes" in frame else frame["type"]
    names = (
        "conversation_id",
        "after",
        "change",
        "seq",
        "user_id",
        "last_change",
        "last_seq",
        "first_seq",
        "more",
        "reset",
    )
    told = [f"{name}={frame[name]}" for name in (*names, "code") if name in frame]
    if kind == "part":
        told.append(f"changes={[entry['change'] for entry in frame['changes']]}")
    if kind == "conversation.created":
        told.append(f"last_change={frame['conversation']['last_change']}")
    return " ".join([kind, *told])
