"""A small world in SQL: people, a conversation of each kind, and what was said. Made by the functions that the daemon calls."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from tests.support.database import Database

# Ann made everything; Ben is a member; Cyd observes; Dee came late; Eve and Hal are strangers; Gus was removed.
# Ann blocks Gus, and Hal blocks Ann.
ANN, BEN, CYD, DEE, EVE, GUS, HAL = range(1, 8)
UNKNOWN = 99
NAMES = ("Ann", "Ben", "Cyd", "Dee", "Eve", "Gus", "Hal")
PATIENCE_S = 10

CREATE = "select conversation_id from messenger.create_conversation($1, $2, '{}', $3, $4, true)"
ADD = "select (t).seq, (t).change from messenger.add_participants($1, $2, $3, true) t"
REMOVE = "select * from messenger.remove_participant($1, $2)"
SET_ROLE = "select * from messenger.set_role($1, $2, $3)"
RENAME = "select * from messenger.update_conversation($1, true, $2, null)"
DELETE = "select * from messenger.delete_conversation($1)"
SAY = """
    insert into messenger.messages (conversation_id, id, sender_id, content)
    values ($1, $2, messenger.current_user_id(), $3) returning *
"""
ANSWER = """
    insert into messenger.messages (conversation_id, id, sender_id, content, reply_to)
    values ($1, $2, messenger.current_user_id(), 'An answer', $3)
"""
EDIT = "update messenger.messages set content = $2, edited_at = clock_timestamp() where id = $1"
BURY = """
    update messenger.messages
    set content = null, mentions = '{}', attachments = '[]', metadata = '{}',
        deleted_at = clock_timestamp(), deleted_by = messenger.current_user_id()
    where id = $1
"""
MARK = """
    insert into messenger.read_receipts (conversation_id, user_id, message_id, last_read_seq)
    values ($1, messenger.current_user_id(), $2, $3)
"""
WISH = "insert into messenger.notification_settings (conversation_id, user_id, level) values ($1, $2, 'none')"
BLOCK = "select messenger.block($1, true)"
UNBLOCK = "delete from messenger.blocks where blocked_id = $1"
READ = "select last_read_seq, unread_count, moved from messenger.mark_read($1, $2)"
REACT = """
    select moved, (message).seq, (message).change, (message).reactions from messenger.react($1, $2, true)
"""
TAKE_BACK = REACT.replace("true", "false")
APPEND = """
    select item, outcome, coalesce((stored).id, case outcome when 'appended' then ($3::uuid[])[item] end) as id,
        coalesce(seq, (stored).seq) as seq, coalesce(change, (stored).change) as change,
        coalesce((stored).content, case outcome when 'appended' then ($6::text[])[item] end) as content, mentions
    from messenger.append_drafts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
# The same, and whoever is away may have to be told.
APPEND_AND_TELL = APPEND.replace("$11)", "$11, true)")
PUT_OUT = "select messenger.put_out($1, $2)"
DEVICE = "select id, endpoint, name, created_at from messenger.register_push_device($1, 'a public key', 'a secret', $2)"
HAND_OUT = "select messenger.hand_out($1, true, $2, $3, $4, $5, $6)"
UPLOAD = """
    insert into messenger.attachments (id, uploaded_by, name, mime_type, size, width, height, has_thumbnail)
    values ($1, messenger.current_user_id(), $2, 'image/png', 7, 40, 30, true)
"""
CARRY = """
    insert into messenger.messages (conversation_id, id, sender_id, content, attachments)
    values ($1, $2, messenger.current_user_id(), $3, $4::text::jsonb) returning *
"""
# The SQLSTATEs of a refusal: by privilege or policy, and by messenger.fail.
DENIED, FAILED = "42501", "MG001"


# What the owner keeps of an import, of somebody and of what Eve has.
COME_OVER = (
    """
    insert into messenger.deleted_names (external_id, tokens_not_before)
        select 'fay', created_at from messenger.conversations where id = $1
    """,
    "insert into messenger.imported_users (called, user_id) select 'eve', created_by from messenger.conversations where id = $1",
    "insert into messenger.imported_channels (channel_url, conversation_id) values ('den', $1)",
    """
    insert into messenger.imported_messages (conversation_id, vendor_id, message_id)
        select conversation_id, seq, id from messenger.messages where conversation_id = $1
    """,
    """
    insert into messenger.missing_files (conversation_id, message_id, place, url)
        select conversation_id, id, 0, 'https://files.example.org/map.png' from messenger.messages where conversation_id = $1
    """,
    "insert into messenger.missing_messages (conversation_id, vendor_id, reason) values ($1, 7, 'of an unknown type')",
)


@dataclass(frozen=True)
class Refusal:
    """Everything of an error that reaches a client of the database."""

    state: str
    text: str
    detail: str | None = None
    hint: str | None = None
    constraint: str | None = None
    column: str | None = None


def failed(code: str, detail: str = "") -> Refusal:
    """What messenger.fail(code, detail) says."""
    return Refusal(FAILED, code, detail)


@dataclass(frozen=True)
class Scene:
    """Ids of what there is. `said` holds the messages of each conversation in order; system entries are not among them."""

    database: Database
    tea: UUID  # a group of Ann, Ben and Cyd, who observes; Gus was removed from it
    hall: UUID  # an announcement of Ann and Ben
    late: UUID  # a group of Ann and Ben with history joined; Dee was let in after three messages
    pair: UUID  # Ann and Ben
    den: UUID  # Eve's and Hal's group, a stranger to all the others
    said: dict[UUID, list[UUID]] = field(default_factory=dict)
    # Uploads that a message carries: Ann's in tea, Ben's in late before Dee came, Eve's in den.
    files: dict[UUID, UUID] = field(default_factory=dict)

    async def act(self, user_id: int, statement: str, *args: Any) -> list[asyncpg.Record]:
        return await act(self.database, user_id, statement, *args)


async def act(database: Database, user_id: int, statement: str, *args: Any) -> list[asyncpg.Record]:
    """Run a statement as somebody, and commit."""
    async with acting(database, user_id) as connection:
        rows: list[asyncpg.Record] = await connection.fetch(statement, *args)
        return rows


@asynccontextmanager
async def acting(database: Database, user_id: int) -> AsyncIterator[asyncpg.Connection]:
    """A transaction as somebody, committed at the end."""
    async with connected(database) as connection, connection.transaction():
        await connection.execute("select messenger.enter($1)", user_id)
        yield connection


@asynccontextmanager
async def connected(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the application, as nobody yet. No statement is waited for longer than 10 s."""
    connection = await asyncpg.connect(database.app_url, command_timeout=PATIENCE_S)
    try:
        yield connection
    finally:
        await connection.close(timeout=PATIENCE_S)


async def create(database: Database, user_id: int, type_: str, *others: int, history: str = "all") -> UUID:
    """Make a conversation; its id."""
    rows = await act(database, user_id, CREATE, type_, None if type_ == "direct" else "Title", history, list(others))
    conversation_id: UUID = rows[0]["conversation_id"]
    return conversation_id


async def set_the_scene(database: Database) -> Scene:
    """Fill a migrated database so that every table has something to hide."""
    async with connected(database) as connection:

        async def do(user_id: int, statement: str, *args: Any) -> Any:
            async with connection.transaction():
                await connection.execute("select messenger.enter($1)", user_id)
                return await connection.fetchrow(statement, *args)

        for user_id, name in enumerate(NAMES, start=1):
            await do(user_id, "select messenger.arrive($1, $2, null, 1, true)", user_id, name)
        scene = Scene(
            database,
            tea=(await do(ANN, CREATE, "group", "Tea", "all", [BEN, CYD, GUS]))[0],
            hall=(await do(ANN, CREATE, "announcement", "Hall", "all", [BEN]))[0],
            late=(await do(ANN, CREATE, "group", "Late", "joined", [BEN]))[0],
            pair=(await do(ANN, CREATE, "direct", None, "all", [BEN]))[0],
            den=(await do(EVE, CREATE, "group", "Den", "all", [HAL]))[0],
        )
        await do(ANN, SET_ROLE, scene.tea, CYD, "observer")
        for uploader, place in ((ANN, scene.tea), (BEN, scene.late), (EVE, scene.den)):
            scene.files[place] = uuid4()
            await do(uploader, UPLOAD, scene.files[place], f"{NAMES[uploader - 1]}.png")
        for speaker, place in (
            (ANN, scene.tea),
            (BEN, scene.tea),
            (ANN, scene.hall),
            (ANN, scene.late),
            (BEN, scene.late),
            (ANN, scene.late),
            (BEN, scene.pair),
            (EVE, scene.den),
        ):
            word = f"A word of {NAMES[speaker - 1]}"
            if (speaker, place) in ((BEN, scene.late), (EVE, scene.den)):
                row = await do(speaker, CARRY, place, uuid4(), word, carrying(scene.files[place]))
            else:
                row = await do(speaker, SAY, place, uuid4(), word)
            scene.said.setdefault(place, []).append(row["id"])
        await do(
            ANN, APPEND, *batch(draft(ANN, scene.tea, client_id="c1", attachments=carrying(scene.files[scene.tea])))
        )
        await do(ANN, ADD, scene.late, [DEE], "member")
        scene.said[scene.late].append((await do(BEN, SAY, scene.late, uuid4(), "Welcome"))["id"])
        await do(ANN, REMOVE, scene.tea, GUS)
        for reader, place in ((BEN, scene.tea), (BEN, scene.late), (EVE, scene.den)):
            await do(reader, READ, reader, scene.said[place][0])
            await do(reader, WISH, place, reader)
        await do(EVE, REACT, scene.said[scene.den][0], "👍")
        for who, other in ((ANN, GUS), (HAL, ANN)):
            await do(who, BLOCK, other)
        for owner in (BEN, EVE):
            await do(owner, DEVICE, endpoint_of(owner), None)
        told = scene.said[scene.tea][0]
        await do(ANN, PUT_OUT, [scene.tea] * 2, scene.said[scene.tea][:2])
        await do(ANN, HAND_OUT, [told], [told], [BEN], [True], [False], timedelta())
    owner = await asyncpg.connect(database.owner_url)
    try:
        for statement in COME_OVER:
            await owner.execute(statement, scene.den)
    finally:
        await owner.close(timeout=PATIENCE_S)
    return scene


def carrying(*attachment_ids: UUID) -> str:
    """What a message names uploads by; the rest is said by their rows."""
    return json.dumps([{"url": f"/api/v1/messenger/attachments/{id_}"} for id_ in attachment_ids])


def endpoint_of(user_id: int) -> str:
    """Where somebody's browser is told."""
    return f"https://push.example.org/{NAMES[user_id - 1]}"


async def refusal(
    connection: asyncpg.Connection, statement: str, *args: Any, forget: tuple[object, ...] = ()
) -> Refusal:
    """The error of a statement that must fail, without the texts of `forget`; the transaction goes on."""
    told = await outcome(connection, statement, *args, forget=forget)
    assert isinstance(told, Refusal), f"allowed: {statement} gave {told}"
    return told


async def outcome(
    connection: asyncpg.Connection, statement: str, *args: Any, forget: tuple[object, ...] = ()
) -> Refusal | str:
    """The error of a statement, or its rows as text, without the texts of `forget`; nothing that it did stays."""

    def scrubbed(text: str | None) -> str:
        for item in forget:
            text = (text or "").replace(str(item), "…")
        return text or ""

    savepoint = connection.transaction()
    await savepoint.start()
    try:
        rows = await connection.fetch(statement, *args)
        return scrubbed(str([tuple(row.values()) for row in rows]))
    except asyncpg.PostgresError as error:
        return Refusal(
            str(error.sqlstate),
            scrubbed(str(error.args[0])),
            scrubbed(error.detail),
            error.hint,
            error.constraint_name,
            error.column_name,
        )
    finally:
        await savepoint.rollback()


async def until_it_waits(oracle: asyncpg.Connection, connection: asyncpg.Connection) -> None:
    """Return once the connection waits for a lock."""
    async with asyncio.timeout(PATIENCE_S):
        while (
            await oracle.fetchval(
                "select wait_event_type from pg_stat_activity where pid = $1", connection.get_server_pid()
            )
            != "Lock"
        ):
            await asyncio.sleep(0.005)


def draft(sender_id: int, conversation_id: UUID, content: str = "x", **more: Any) -> dict[str, Any]:
    """One item of append_drafts."""
    return {
        "sender": sender_id,
        "conversation": conversation_id,
        "id": uuid4(),
        "client_id": None,
        "digest": b"as first sent",
        "content": content,
        "type": "text",
        "reply_to": None,
        "mentions": [],
        "attachments": "[]",
        "metadata": "{}",
        **more,
    }


def batch(*drafts: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments of APPEND."""
    names = ("sender", "conversation", "id", "client_id", "digest", "content", "type", "reply_to")
    head = [[item[name] for item in drafts] for name in names]
    mentions = json.dumps([item["mentions"] for item in drafts])
    return (*head, mentions, [item["attachments"] for item in drafts], [item["metadata"] for item in drafts])
