"""Appending, in batches that make themselves: what arrives while a statement is in flight goes into the next one.

A lane never waits when it is idle, and has one statement in flight. Conversations are dealt to lanes by their id, so one
conversation's sends of this node stay in order.

Nobody waits long for what is not his: a statement that takes its time goes on beside the lane, and its conversations are
*aside* until it has ended. So is a conversation that was found locked: its items are written alone, one after another.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from time import monotonic
from typing import Any, Self, TypeAlias

import asyncpg
import orjson
import structlog

from messenger.domain.ids import ConversationId, MessageId, UserId, uuid7
from messenger.domain.message import Draft, Message, Sent
from messenger.errors import ClientIdConflict, Forbidden, InvalidFrame, MessengerError, Unavailable
from messenger.metrics import Histogram
from messenger.store.queries import query
from messenger.store.rows import message_of
from messenger.store.session import ACQUIRE_S, USE_S, Connection, Store, failure

LANES = 2
MOST_AT_ONCE = 100
# How long a lane waits for a statement before it goes on without it, and how many of those it may have.
PATIENCE_S = 0.1
MOST_BESIDE = 3
# How long a connection is kept while there is more to write: less than one may be used for.
HOLD_S = 1.0
# When a sender is told that the fate of his message is unknown, wherever it is then: as soon as one statement would be.
ANSWER_S = ACQUIRE_S + USE_S

log = structlog.get_logger(__name__)


# What became of a draft; called once, on the event loop. Messages of a conversation are told in the order of their commits; only
# that something may have been stored all the same (Unavailable) comes when one has waited long enough.
Settle: TypeAlias = Callable[[Sent | MessengerError], None]


class _Item:
    __slots__ = ("_settle", "draft", "handed_at", "id", "is_settled", "sender_id")

    def __init__(self, sender_id: UserId, draft: Draft, settle: Settle) -> None:
        self.sender_id = sender_id
        self.draft = draft
        self._settle = settle
        self.id = MessageId(uuid7())
        self.handed_at = monotonic()
        self.is_settled = False

    def end(self, outcome: Sent | MessengerError) -> None:
        if not self.is_settled:
            self.is_settled = True
            try:
                self._settle(outcome)
            except Exception:  # the others of its batch are not to suffer
                log.exception("announcing failed")


def digest(draft: Draft) -> bytes:
    """What makes two requests of one client_id the same (protocol.md §8): the fields after defaults, before any edit."""
    fields = (
        draft.content,
        draft.message_type,
        draft.reply_to,
        draft.mentions,
        draft.attachments,
        draft.metadata or {},
    )
    return hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)).digest()[:16]


class _Stretch:
    """Batches that are written one after the other on one connection. `batch`: the one in flight, since `began_at` (monotonic).
    `is_beside`: it is the last one, because the lane goes on without it."""

    __slots__ = ("batch", "began_at", "is_beside")

    def __init__(self, batch: list[_Item], *, is_beside: bool = False) -> None:
        self.is_beside = is_beside
        self.begin(batch)

    def begin(self, batch: list[_Item]) -> None:
        self.batch = batch
        self.began_at = monotonic()


class Lanes:
    """Stores drafts. Use as a context: leaving it finishes what is in flight. `outbox_filled` is set whenever something was put
    into the outbox; without it nothing is."""

    def __init__(self, store: Store, outbox_filled: asyncio.Event | None = None) -> None:
        # From handing over to the commit, of what was committed.
        self.commit_times = Histogram()
        self._lanes = [_Lane(store, self.commit_times, outbox_filled) for _ in range(LANES)]
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsettled = 0
        self._quiet = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = {asyncio.create_task(lane.run(), name="lane") for lane in self._lanes}
        return self

    async def __aexit__(self, *_: object) -> None:
        for lane in self._lanes:
            lane.close()
        await asyncio.gather(*self._tasks)

    def append(self, sender_id: UserId, draft: Draft, settle: Settle) -> None:
        """Never waits. `settle` is told of the commit, or of NotParticipant, Forbidden, MessageNotFound, ClientIdConflict,
        InvalidFrame (an attachment that is not the sender's to send), Unavailable; within ANSWER_S, and it must not wait."""
        self._unsettled += 1
        self._lanes[draft.conversation_id.int % LANES].put(_Item(sender_id, draft, partial(self._settled, settle)))

    def _settled(self, settle: Settle, outcome: Sent | MessengerError) -> None:
        self._unsettled -= 1
        if not self._unsettled:
            self._quiet.set()
        settle(outcome)

    async def settled(self) -> None:
        """Wait until nobody waits for what becomes of a draft."""
        while self._unsettled:
            self._quiet.clear()
            await self._quiet.wait()


class _Lane:
    """One queue, and what goes on beside it."""

    def __init__(self, store: Store, commit_times: Histogram, outbox_filled: asyncio.Event | None) -> None:
        self._store = store
        self._outbox_filled = outbox_filled
        self._commit_times = commit_times
        self._queue: deque[_Item] = deque()
        # In the order in which they came, and one timer for all of them.
        self._unsettled: deque[_Item] = deque()
        self._late: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._is_closing = False
        # What waits for a conversation that is aside.
        self._aside: dict[ConversationId, deque[_Item]] = {}
        self._room = asyncio.Semaphore(MOST_BESIDE)
        self._beside: set[asyncio.Task[None]] = set()

    def put(self, item: _Item) -> None:
        self._queue.append(item)
        self._unsettled.append(item)
        if self._late is None:
            self._late = asyncio.get_running_loop().call_later(ANSWER_S, self._end_late)
        self._news.set()

    def _end_late(self) -> None:
        """Tell those who have waited long enough."""
        self._late = None
        before = monotonic() - ANSWER_S
        while self._unsettled and (self._unsettled[0].is_settled or self._unsettled[0].handed_at <= before):
            self._unsettled.popleft().end(Unavailable())
        if self._unsettled and self._late is None:  # somebody who was told may have sent the next one
            in_s = self._unsettled[0].handed_at - before
            self._late = asyncio.get_running_loop().call_later(in_s, self._end_late)

    def close(self) -> None:
        """Nothing more is put in; `run` ends once nothing is left."""
        self._is_closing = True
        self._news.set()

    async def run(self) -> None:
        while batch := await self._next_batch():
            stretch = _Stretch(batch)
            writing = asyncio.create_task(self._write(stretch), name="lane-batch")
            if not await _keeps_going(writing, stretch):
                stretch.is_beside = True
                await self._room.acquire()
                conversation_ids = {item.draft.conversation_id for item in stretch.batch}
                self._aside |= {conversation_id: deque() for conversation_id in conversation_ids}
                self._start(self._finish(writing, conversation_ids))
                continue
            for item in writing.result():
                if item.draft.conversation_id not in self._aside:
                    self._aside[item.draft.conversation_id] = deque()
                    self._start(self._write_alone(item.draft.conversation_id))
                self._aside[item.draft.conversation_id].append(item)
        await asyncio.sleep(0)  # until the last ones were told
        await asyncio.gather(*self._beside)
        if self._late is not None:
            self._late.cancel()

    async def _next_batch(self) -> list[_Item]:
        """What is to be written next; empty at the end of all."""
        while not (batch := self._take()):
            if self._is_closing and not self._aside:
                break
            self._news.clear()
            await self._news.wait()
        return batch

    def _take(self) -> list[_Item]:
        """What waits in the queue and is not to wait elsewhere."""
        batch: list[_Item] = []
        while self._queue and len(batch) < MOST_AT_ONCE:
            item = self._queue.popleft()
            waiting = self._aside.get(item.draft.conversation_id)
            if waiting is not None:
                waiting.append(item)
            elif not item.is_settled:  # its sender was told that its fate is unknown: so it is, if it is not sent
                batch.append(item)
        return batch

    async def _finish(self, writing: asyncio.Task[list[_Item]], conversation_ids: Iterable[ConversationId]) -> None:
        """What goes on beside the lane."""
        locked = await writing
        self._room.release()
        for item in reversed(locked):
            self._aside[item.draft.conversation_id].appendleft(item)
        for conversation_id in conversation_ids:
            if any(item.draft.conversation_id == conversation_id for item in locked):
                self._start(self._write_alone(conversation_id))
            else:
                self._rejoin(conversation_id)

    async def _write_alone(self, conversation_id: ConversationId) -> None:
        """One after another, until the conversation is locked no more."""
        waiting = self._aside[conversation_id]
        while waiting:
            async with self._room:
                item = waiting.popleft()
                if not item.is_settled and not await self._write(_Stretch([item], is_beside=True)):
                    break
        self._rejoin(conversation_id)

    def _rejoin(self, conversation_id: ConversationId) -> None:
        self._queue.extendleft(reversed(self._aside.pop(conversation_id)))
        self._news.set()

    async def _write(self, stretch: _Stretch) -> list[_Item]:
        """Settle what can be settled; the items whose conversation was locked. One that was alone has waited long enough."""
        try:
            return await self._write_on(stretch)
        except Exception as error:  # a lane that ended would hang half of the conversations
            log.exception("append failed", error=type(error).__name__)
            for item in stretch.batch:
                item.end(MessengerError())
            return []

    async def _write_on(self, stretch: _Stretch) -> list[_Item]:
        try:
            async with self._store.connection() as connection:
                until = monotonic() + HOLD_S
                while True:
                    rows = await _append(connection, stretch.batch, notify=self._outbox_filled is not None)
                    locked = self._settle_soon(stretch.batch, rows)
                    if locked or stretch.is_beside or monotonic() > until:
                        return locked
                    batch = self._take()
                    if not batch:
                        return []
                    stretch.begin(batch)
        except Unavailable as error:
            for item in stretch.batch:
                item.end(error)
            return []
        except (asyncpg.PostgresError, ValueError, TypeError):
            # The statement itself was refused, so nothing of it is stored: judge each item alone.
            if len(stretch.batch) == 1:
                raise
            stretch.is_beside = True
            return [locked for item in stretch.batch for locked in await self._write(_Stretch([item], is_beside=True))]

    def _settle_soon(self, batch: list[_Item], rows: list[Any]) -> list[_Item]:
        """Those that were locked. All else is told once the next statement is on its way: PostgreSQL works meanwhile."""
        asyncio.get_running_loop().call_soon(self._settle_all, batch, rows, monotonic())
        return [batch[row["item"] - 1] for row in rows if row["outcome"] == "locked"]

    def _settle_all(self, batch: list[_Item], rows: list[Any], committed_at: float) -> None:
        for row in rows:
            item = batch[row["item"] - 1]
            try:
                self._settle(item, row, committed_at, is_alone=len(batch) == 1)
            except Exception:  # the others of its batch are not to suffer
                log.exception("settling failed")
                item.end(MessengerError())
        while self._unsettled and self._unsettled[0].is_settled:
            self._unsettled.popleft()

    def _settle(self, item: _Item, row: Any, committed_at: float, *, is_alone: bool) -> None:
        match row["outcome"]:
            case "appended":
                self._commit_times.observe(committed_at - item.handed_at)
                if self._outbox_filled is not None:
                    self._outbox_filled.set()
                item.end(Sent(_stored(item, row), False, committed_at))
            case "duplicate":
                item.end(Sent(message_of(row["stored"]), True))
            case "client_id_conflict":
                item.end(ClientIdConflict())
            case "forbidden":
                self._start(self._explain(item))
            case "invalid_frame":
                item.end(InvalidFrame("attachments must be files that you uploaded or may see", field="attachments"))
            case "locked":
                if is_alone:
                    item.end(Unavailable())
            case code:
                item.end(failure(code))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="lane-beside")
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _explain(self, item: _Item) -> None:
        """Why somebody may not post."""

        async def work(connection: Connection) -> Any:
            return await connection.fetchrow(query("messages.posting_refusal"), item.draft.conversation_id)

        try:
            row = await self._store.as_user(item.sender_id, work, item.draft.conversation_id)
        except MessengerError as error:
            item.end(error)
            return
        if row is not None and row["type"] == "direct":  # nobody observes there: a block stood between the two
            item.end(Forbidden("You cannot write to this user"))
            return
        if row is not None and row["closed_at"] is not None:
            item.end(Forbidden("This session is closed"))
            return
        announcement = row is not None and row["type"] == "announcement" and row["role"] == "member"
        item.end(Forbidden("Only admins can post here" if announcement else "Observers cannot post here"))


async def _keeps_going(writing: asyncio.Task[Any], stretch: _Stretch) -> bool:
    """Wait for the end of a stretch; False as soon as one of its statements takes its time. This is on the way of every message,
    and a third of what asyncio.wait would cost."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def end(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    late: asyncio.TimerHandle

    def look() -> None:
        nonlocal late
        left_s = stretch.began_at + PATIENCE_S - monotonic()
        if left_s > 0:
            late = loop.call_later(left_s, look)
        else:
            end()

    writing.add_done_callback(end)
    late = loop.call_later(PATIENCE_S, look)
    await over
    late.cancel()
    return writing.done()


def _stored(item: _Item, row: Any) -> Message:
    """A draft as it stands in its row; read back is only what the draft does not say for certain."""
    draft = item.draft
    return Message(
        conversation_id=draft.conversation_id,
        id=item.id,
        seq=row["seq"],
        change=row["change"],
        sender_id=item.sender_id,
        content=draft.content,
        message_type=draft.message_type,
        created_at=row["created_at"],
        edited_at=None,
        deleted_at=None,
        deleted_by=None,
        reply_to=draft.reply_to,
        mentions=tuple(row["mentions"]),
        # What they are is said by the database, whatever the draft said.
        attachments=tuple(row["stored"]["attachments"]) if draft.attachments else (),
        metadata=draft.metadata or {},
        client_id=draft.client_id,
        reactions={},
    )


async def outcome_of(begin: Callable[[Settle], None]) -> Sent:
    """Wait for what becomes of a draft; raises what `begin` raises, and what is told."""
    done: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()

    def settle(outcome: Sent | MessengerError) -> None:
        if done.done():
            return  # nobody waits any more
        if isinstance(outcome, Sent):
            done.set_result(outcome)
        else:
            done.set_exception(outcome)

    begin(settle)
    return await done


async def _append(connection: Connection, batch: list[_Item], *, notify: bool) -> list[Any]:
    drafts = [item.draft for item in batch]
    rows: list[Any] = await connection.fetch(
        query("messages.append"),
        [item.sender_id for item in batch],
        [draft.conversation_id for draft in drafts],
        [item.id for item in batch],
        [draft.client_id for draft in drafts],
        [digest(draft) for draft in drafts],
        [draft.content for draft in drafts],
        [draft.message_type for draft in drafts],
        [draft.reply_to for draft in drafts],
        [draft.mentions for draft in drafts],
        [draft.attachments for draft in drafts],
        [draft.metadata or {} for draft in drafts],
        notify,
    )
    return rows
