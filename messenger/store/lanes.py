"""Appending, in batches that make themselves: what arrives while a statement is in flight goes into the next one.

A lane never waits when it is idle, and never has more than one statement in flight. Conversations are dealt to lanes by
their id, so one conversation's sends of this node stay in order. An item that finds its conversation locked goes alone,
so that it holds up nobody.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Any, Self

import asyncpg
import orjson
import structlog

from messenger.domain.ids import MessageId, UserId, uuid7
from messenger.domain.message import Draft, Sent
from messenger.errors import ClientIdConflict, Forbidden, MessengerError, Unavailable
from messenger.store.queries import query
from messenger.store.rows import message_of
from messenger.store.session import Connection, Store, failure

LANES = 2
MOST_AT_ONCE = 50

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Item:
    sender_id: UserId
    draft: Draft
    done: asyncio.Future[Sent]
    id: MessageId = field(default_factory=lambda: MessageId(uuid7()))


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


class Lanes:
    """Stores drafts. Use as a context: leaving it finishes what is in flight."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queues: list[asyncio.Queue[_Item | None]] = [asyncio.Queue() for _ in range(LANES)]
        self._tasks: set[asyncio.Task[None]] = set()
        self._alone: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._tasks = {asyncio.create_task(self._run(queue), name="lane") for queue in self._queues}
        return self

    async def __aexit__(self, *_: object) -> None:
        for queue in self._queues:
            queue.put_nowait(None)
        await asyncio.gather(*self._tasks)
        await asyncio.gather(*self._alone)

    async def append(self, sender_id: UserId, draft: Draft) -> Sent:
        """Returns once committed. Raises NotParticipant, Forbidden, MessageNotFound, ClientIdConflict, Unavailable."""
        item = _Item(sender_id, draft, asyncio.get_running_loop().create_future())
        self._queues[draft.conversation_id.int % LANES].put_nowait(item)
        return await item.done

    async def _run(self, queue: asyncio.Queue[_Item | None]) -> None:
        while (first := await queue.get()) is not None:
            batch = [first]
            while len(batch) < MOST_AT_ONCE and not queue.empty():
                item = queue.get_nowait()
                if item is None:  # the end, behind this batch
                    queue.put_nowait(None)
                    break
                batch.append(item)
            await self._write(batch)

    async def _write(self, batch: list[_Item]) -> None:
        try:
            async with self._store.connection() as connection:
                rows = await _append(connection, batch)
        except Unavailable as error:
            for item in batch:
                _fail(item, error)
        except (asyncpg.PostgresError, ValueError, TypeError) as error:
            # The statement itself was refused, so nothing of it is stored: judge each item alone.
            if len(batch) > 1:
                for item in batch:
                    self._send_alone(item)
            else:
                log.exception("append refused", error=type(error).__name__)
                _fail(batch[0], MessengerError())
        except Exception as error:  # a lane that ended would hang half of the conversations
            log.exception("append failed", error=type(error).__name__)
            for item in batch:
                _fail(item, MessengerError())
        else:
            for row in rows:
                self._settle(batch[row["item"] - 1], row, alone=len(batch) == 1)

    def _settle(self, item: _Item, row: Any, *, alone: bool) -> None:
        match row["outcome"]:
            case "appended" | "duplicate" as outcome:
                if not item.done.done():
                    item.done.set_result(Sent(message_of(row), duplicate=outcome == "duplicate"))
            case "client_id_conflict":
                _fail(item, ClientIdConflict())
            case "forbidden":
                self._refuse(item)
            case "locked" if not alone:
                self._send_alone(item)
            case "locked":
                _fail(item, Unavailable())
            case code:
                _fail(item, failure(code))

    def _send_alone(self, item: _Item) -> None:
        task = asyncio.create_task(self._write([item]), name="lane-alone")
        self._alone.add(task)
        task.add_done_callback(self._alone.discard)

    def _refuse(self, item: _Item) -> None:
        task = asyncio.create_task(self._explain(item), name="lane-refusal")
        self._alone.add(task)
        task.add_done_callback(self._alone.discard)

    async def _explain(self, item: _Item) -> None:
        async def work(connection: Connection) -> Any:
            return await connection.fetchrow(query("messages.posting_refusal"), item.draft.conversation_id)

        try:
            row = await self._store.as_user(item.sender_id, work, item.draft.conversation_id)
        except MessengerError as error:
            _fail(item, error)
            return
        announcement = row is not None and row["type"] == "announcement" and row["role"] == "member"
        _fail(item, Forbidden("Only admins can post here" if announcement else "Observers cannot post here"))


def _fail(item: _Item, error: MessengerError) -> None:
    if not item.done.done():  # its sender may have gone
        item.done.set_exception(error)


async def _append(connection: Connection, batch: list[_Item]) -> list[Any]:
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
    )
    return rows
