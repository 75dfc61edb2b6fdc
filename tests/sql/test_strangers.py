"""A stranger sees, counts, changes and infers nothing of a conversation: it is to him as one that does not exist."""

import re
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.support.scene import (
    ADD,
    ANN,
    ANSWER,
    APPEND,
    BEN,
    BURY,
    CREATE,
    DELETE,
    DENIED,
    EDIT,
    EVE,
    HAL,
    MARK,
    PUT_OUT,
    REACT,
    READ,
    REMOVE,
    RENAME,
    SAY,
    SET_ROLE,
    TAKE_BACK,
    UNKNOWN,
    Refusal,
    Scene,
    batch,
    draft,
    failed,
    outcome,
    refusal,
)

OF_CLIENT = """
    insert into messenger.messages (conversation_id, id, sender_id, client_id, content) values ($1, $2, $3, 'c1', 'x')
"""
OF_SEQ = "insert into messenger.messages (conversation_id, id, sender_id, seq, content) values ($1, $2, $3, 1, 'x')"
# Tables whose rows belong to a conversation, with the column that says to which.
OF_CONVERSATION = """
    select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'messenger'::regnamespace and c.relkind in ('r', 'p')
        and (a.attname = 'conversation_id' or (c.relname = 'conversations' and a.attname = 'id'))
"""


async def test_a_stranger_sees_and_counts_nothing(scene: Scene, witness: asyncpg.Connection) -> None:
    tables = await witness.fetch(OF_CONVERSATION)
    assert len(tables) >= 7
    async with scene.database.as_user(EVE) as connection:
        for table, column in tables:
            counted = f"select count(*) from messenger.{table} where {column} = $1"
            told = await outcome(connection, counted, scene.tea)
            if isinstance(told, Refusal):
                assert told.state == DENIED, table
                continue
            assert told == "[(0,)]", table
            ours = await witness.fetchval(counted, scene.den)
            assert ours > 0, table
            assert await connection.fetchval(f"select count(*) from messenger.{table}") == ours, table


async def test_a_stranger_sees_no_people_but_his_own(scene: Scene) -> None:
    async with scene.database.as_user(EVE) as connection:
        rows = await connection.fetch("select id, name from messenger.users order by id")
        assert [tuple(row) for row in rows] == [(EVE, "Eve"), (HAL, "Hal")]


async def test_a_stranger_changes_nothing(scene: Scene) -> None:
    message = scene.said[scene.tea][0]
    async with scene.database.as_user(EVE) as connection:
        for statement, *args in (
            (EDIT, message, "Mine now"),
            (BURY, message),
            ("update messenger.read_receipts set read_at = now() where conversation_id = $1", scene.tea),
            ("update messenger.notification_settings set level = 'all' where conversation_id = $1", scene.tea),
        ):
            assert await connection.execute(statement, *args) == "UPDATE 0", statement
        # Blindly, without reading a column: his own words, marks and wishes, and nobody else's.
        for statement in (
            "update messenger.messages set content = 'Mine now'",
            "update messenger.read_receipts set read_at = now()",
            "update messenger.notification_settings set level = 'all'",
        ):
            assert await connection.execute(statement) == "UPDATE 1", statement


async def test_a_stranger_learns_nothing_from_keys(scene: Scene) -> None:
    """An insert that repeats a key of a foreign conversation fails as one into a conversation that does not exist."""
    taken, missing = scene.said[scene.tea][0], uuid4()
    statements: list[tuple[object, ...]] = [
        (SAY, taken, "The same id"),
        (SAY, uuid4(), "Another id"),
        (f"{SAY.replace('returning *', '')} on conflict do nothing", taken, "The same id"),
        (OF_CLIENT, uuid4(), EVE),
        (OF_CLIENT, uuid4(), ANN),
        # Nothing of these is well-formed: no constraint may speak before the refusal.
        ("insert into messenger.messages (conversation_id) values ($1)",),
        (OF_CLIENT.replace("'c1'", "''"), uuid4(), UNKNOWN),
    ]
    told = {}
    async with scene.database.as_user(EVE) as connection:
        for conversation_id in (scene.tea, missing):
            told[conversation_id] = [
                await outcome(connection, statement, conversation_id, *args, forget=(conversation_id,))
                for statement, *args in statements
            ]
            # A seq of his choice he may not even name.
            assert await refusal(connection, OF_SEQ, conversation_id, uuid4(), EVE) == Refusal(
                DENIED, "permission denied for table messages", ""
            )
    assert told[scene.tea] == told[missing] == [failed("not_participant")] * len(statements)


async def test_a_stranger_learns_nothing_from_foreign_keys(scene: Scene) -> None:
    hidden, missing = scene.said[scene.tea][0], uuid4()
    async with scene.database.as_user(EVE) as connection:
        told = [
            (
                # An answer in his own conversation, and in the one of the message.
                await refusal(connection, ANSWER, scene.den, uuid4(), message_id),
                await refusal(connection, ANSWER, scene.tea, uuid4(), message_id),
                await refusal(connection, READ, EVE, message_id),
                await refusal(connection, MARK, scene.tea, message_id, 1),
                await refusal(connection, MARK, uuid4(), message_id, 1),
                await refusal(
                    connection,
                    "update messenger.read_receipts set message_id = $1, last_read_seq = 1 where conversation_id = $2",
                    message_id,
                    scene.den,
                ),
                await refusal(
                    connection,
                    "insert into messenger.notification_settings (conversation_id, user_id) values ($1, $2)",
                    scene.tea if message_id == hidden else uuid4(),
                    EVE,
                ),
            )
            for message_id in (hidden, missing)
        ]
    assert told[0] == told[1]
    assert told[0][:3] == (failed("message_not_found"), failed("not_participant"), failed("message_not_found"))
    assert {item.state for item in told[0][3:]} == {DENIED}


def tries(conversation_id: UUID, message_id: UUID) -> list[tuple[Any, ...]]:
    """All that a stranger may try at a conversation and a message of it: statements and their arguments."""
    return [
        (ADD, conversation_id, [EVE], "admin"),
        (SET_ROLE, conversation_id, EVE, "admin"),
        (SET_ROLE, conversation_id, BEN, "observer"),
        (REMOVE, conversation_id, BEN),
        (REMOVE, conversation_id, EVE),
        (RENAME, conversation_id, "Eve's"),
        (DELETE, conversation_id),
        (SAY, conversation_id, uuid4(), "Hello?"),
        (SAY, conversation_id, message_id, "Hello?"),
        (ANSWER, conversation_id, uuid4(), message_id),
        (EDIT, message_id, "Mine now"),
        (BURY, message_id),
        (READ, EVE, message_id),
        (MARK, conversation_id, message_id, 1),
        (REACT, message_id, "👍"),
        (TAKE_BACK, message_id, "👍"),
        ("select * from messenger.reactions where message_id = $1", message_id),
        (APPEND, *batch(draft(EVE, conversation_id, reply_to=message_id, mentions=[BEN], client_id="c1"))),
        ("select * from messenger.messages where conversation_id = $1 for update", conversation_id),
        ("select * from messenger.conversation_participants where conversation_id = $1", conversation_id),
        ("select messenger.my_first_seq($1)", conversation_id),
        ("select messenger.my_unread_count($1, 0)", conversation_id),
        ("select messenger.conversation_of_message($1)", message_id),
        ("select * from messenger.my_departure($1)", conversation_id),
        ("select * from messenger.former_participants($1)", conversation_id),
        ("select messenger.people_of($1, 4)", conversation_id),
        ("select * from messenger.my_message_by_client_id($1, 'c1')", conversation_id),
        ("select messenger.mentionable($1, '[1, 2]')", conversation_id),
        (PUT_OUT, [conversation_id], [message_id]),
        (
            "select * from messenger.append_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            *batch(draft(EVE, conversation_id, reply_to=message_id)),
        ),
        ("select * from messenger.history($1, $2, 0, 9, true, 5)", EVE, conversation_id),
        ("select * from messenger.catch_up($1, $2, $3, 5)", EVE, [conversation_id], [0]),
        ("select * from messenger.catch_up($1, $2, $3, 5)", EVE, [conversation_id], [None]),
        ("select * from messenger.change_session($1, true, 'Eve''s', true, true)", conversation_id),
        ("select * from messenger.join_session($1, 'Eve', 'eve', '1 day')", conversation_id),
        ("select * from messenger.attendee($1, null, 1)", conversation_id),
        ("select * from messenger.audience_of_session($1)", conversation_id),
        ("select * from messenger.session_people($1)", conversation_id),
        ("select * from messenger.session_history($1, 5)", conversation_id),
        ("select * from messenger.answer_question($1)", message_id),
        ("select * from messenger.open_room_window($1, $2, 5)", EVE, conversation_id),
        ("select messenger.clear_open_room($1, '0', 5)", conversation_id),
        ("select * from messenger.channel_people($1, '{1}')", conversation_id),
        ("select * from messenger.change_channel($1, true, 'Eve''s', '{}')", conversation_id),
        ("select * from messenger.announce_in_channel($1, 'Hear', null, null)", conversation_id),
        ("select * from messenger.invite_to_channel($1, $2)", conversation_id, [EVE]),
        ("select * from messenger.retract_in_channel($1, $2)", conversation_id, message_id),
        ("select * from messenger.vendor_ids($1, $2)", conversation_id, [message_id]),
        ("select messenger.message_by_vendor_id($1, 7)", conversation_id),
        ("select * from messenger.channel_message($1, $2, 1, 7)", EVE, conversation_id),
        ("select * from messenger.last_said($1, $2)", [EVE], [conversation_id]),
        ("select messenger.seq_at($1, now())", conversation_id),
        (
            "select * from messenger.said_around($1, $2, now(), null, 5, 5, true, null, null, null, null)",
            EVE,
            conversation_id,
        ),
    ]


async def attempts(connection: asyncpg.Connection, conversation_id: UUID, message_id: UUID) -> list[Refusal | str]:
    """What he is told."""
    forget = (conversation_id, message_id)
    return [await outcome(connection, *attempt, forget=forget) for attempt in tries(conversation_id, message_id)]


async def test_every_function_of_a_conversation_or_message_is_tried(witness: asyncpg.Connection) -> None:
    """A new one goes into `tries`, so that the tests below judge it. Duties answer of everybody (test_functions)."""
    rows = await witness.fetch(
        """
        select distinct proname from pg_proc
        where pronamespace = 'messenger'::regnamespace and has_function_privilege('messenger_app', oid, 'execute')
            and proargnames && '{p_conversation_id, p_conversation_ids, p_message_id, p_message_ids}'
        """
    )
    tried = {name for statement, *_ in tries(uuid4(), uuid4()) for name in re.findall(r"messenger\.(\w+)\(", statement)}
    assert len(rows) >= 10
    assert {row["proname"] for row in rows} <= tried | {"standing", "audience", "recipients", "hand_out"}


async def test_a_stranger_is_told_the_same_of_what_is_hidden_and_of_what_is_not_there(scene: Scene) -> None:
    async with scene.database.as_user(EVE) as connection:
        hidden = await attempts(connection, scene.tea, scene.said[scene.tea][0])
        missing = await attempts(connection, uuid4(), uuid4())
    assert hidden == missing
    assert hidden[:10] == [failed("not_participant")] * 10


@pytest.mark.parametrize("deed", [SAY, REMOVE, EDIT])
async def test_a_stranger_waits_for_nobodys_lock(scene: Scene, deed: str) -> None:
    """Whatever its people hold, he is told at once what he would be told of nothing."""
    message = scene.said[scene.tea][0]
    arguments = {SAY: (scene.tea, uuid4(), "Held"), REMOVE: (scene.tea, BEN), EDIT: (message, "Held")}[deed]
    async with scene.database.as_user(ANN) as writer, scene.database.as_user(EVE) as stranger:
        await writer.fetch(deed, *arguments)
        await writer.fetch("select from messenger.messages where conversation_id = $1 for update", scene.tea)
        # Whoever waits is told lock_not_available, and not what he is told here.
        await stranger.execute("set local lock_timeout = '100ms'")
        assert await attempts(stranger, scene.tea, message) == await attempts(stranger, uuid4(), uuid4())


async def test_a_stranger_holds_up_nobody(scene: Scene) -> None:
    """His attempts take no lock of the conversation that a writer would have to wait for."""
    message = scene.said[scene.tea][0]
    async with scene.database.as_user(EVE) as stranger, scene.database.as_user(ANN) as writer:
        for statement, *args in ((EDIT, message, "x"), (BURY, message), (APPEND, *batch(draft(EVE, scene.tea)))):
            await stranger.fetch(statement, *args)
        assert await refusal(stranger, REMOVE, scene.tea, EVE) == failed("not_participant")
        await writer.execute("set local lock_timeout = '100ms'")
        assert len(await writer.fetch(SAY, scene.tea, uuid4(), "Free")) == 1
        assert len(await writer.fetch(REMOVE, scene.tea, BEN)) == 1


async def test_nobody_chooses_the_id_of_a_conversation(scene: Scene) -> None:
    """A chosen one that is taken would fail, and tell so."""
    async with scene.database.as_user(EVE) as connection:
        for conversation_id in (scene.tea, uuid4()):
            told = await refusal(
                connection,
                "insert into messenger.conversations (id, type, created_by) values ($1, 'group', $2)",
                conversation_id,
                EVE,
            )
            assert told == Refusal(DENIED, "permission denied for table conversations", "")
        made = await connection.fetchval(CREATE, "group", "Eve's", "all", [HAL])
        assert made.version == 7
