"""Reacting: once a person and emoji, counted beside the message, each a change of it; and nobody counts by himself."""

import asyncio
import itertools
import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from messenger.domain.ids import MessageId, UserId
from messenger.errors import MessengerError
from messenger.store.messages import MessageStore
from messenger.store.session import Store
from tests.support.scene import (
    ADD,
    ANN,
    BEN,
    BLOCK,
    BURY,
    CYD,
    DEE,
    DELETE,
    DENIED,
    EDIT,
    EVE,
    GUS,
    REACT,
    REMOVE,
    RENAME,
    SAY,
    SET_ROLE,
    TAKE_BACK,
    Scene,
    acting,
    connected,
    create,
    failed,
    refusal,
    until_it_waits,
)

UP, DOWN = "👍", "👎"
PEOPLE, TURNS = 24, 6
ROWS = "select user_id, emoji from messenger.reactions where message_id = $1 order by created_at"
HEAD = "select last_seq, last_change from messenger.conversation_heads where conversation_id = $1"
WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


async def reacted(scene: Scene, user_id: int, message_id: UUID, statement: str, emoji: str) -> tuple[Any, ...]:
    """Whether anything changed; seq, change and counts of the message."""
    (row,) = await scene.act(user_id, statement, message_id, emoji)
    return row["moved"], row["seq"], row["change"], json.loads(row["reactions"])


async def counts_are_true(oracle: asyncpg.Connection, message_id: UUID) -> None:
    counted = await oracle.fetchval("select reactions from messenger.messages where id = $1", message_id)
    rows = await oracle.fetch(
        "select emoji, count(*) from messenger.reactions where message_id = $1 group by 1", message_id
    )
    assert json.loads(counted) == dict(map(tuple, rows))


async def test_a_reaction_is_counted_and_is_a_change_of_its_message(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    message = own_scene.said[own_scene.tea][0]
    before = dict(await oracle.fetchrow("select * from messenger.messages where id = $1", message))
    last_seq, last = await oracle.fetchrow(HEAD, own_scene.tea)
    for number, (user, statement, emoji, counts) in enumerate(
        [
            (BEN, REACT, UP, {UP: 1}),
            (ANN, REACT, UP, {UP: 2}),
            (BEN, REACT, DOWN, {UP: 2, DOWN: 1}),
            (BEN, TAKE_BACK, UP, {UP: 1, DOWN: 1}),
            (BEN, TAKE_BACK, DOWN, {UP: 1}),
            (ANN, TAKE_BACK, UP, {}),
            (ANN, REACT, UP, {UP: 1}),
        ],
        start=1,
    ):
        assert await reacted(own_scene, user, message, statement, emoji) == (True, 2, last + number, counts)
        await counts_are_true(oracle, message)
        assert tuple(await oracle.fetchrow(HEAD, own_scene.tea)) == (last_seq, last + number)
    after = await oracle.fetchrow("select * from messenger.messages where id = $1", message)
    assert {name for name in before if before[name] != after[name]} == {"change", "reactions"}
    assert [tuple(row) for row in await oracle.fetch(ROWS, message)] == [(ANN, UP)]


async def test_the_same_twice_counts_once_and_takes_no_number(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    message = own_scene.said[own_scene.tea][0]
    told = await reacted(own_scene, BEN, message, REACT, UP)
    head = await oracle.fetchrow(HEAD, own_scene.tea)
    assert await reacted(own_scene, BEN, message, REACT, UP) == (False, *told[1:])
    # Neither what he never said, nor what somebody else said, can he take back.
    assert await reacted(own_scene, BEN, message, TAKE_BACK, DOWN) == (False, *told[1:])
    assert await reacted(own_scene, ANN, message, TAKE_BACK, UP) == (False, *told[1:])
    assert await oracle.fetchrow(HEAD, own_scene.tea) == head
    await counts_are_true(oracle, message)


async def test_members_react_everywhere_and_observers_nowhere(own_scene: Scene) -> None:
    tea, hall = own_scene.tea, own_scene.hall
    assert (await reacted(own_scene, BEN, own_scene.said[hall][0], REACT, UP))[0]
    await reacted(own_scene, CYD, own_scene.said[tea][0], TAKE_BACK, UP)  # which changes nothing
    async with own_scene.database.as_user(CYD) as connection:
        told = await refusal(connection, REACT, own_scene.said[tea][0], UP)
        assert told == failed("forbidden", "Observers cannot react")
    # Whoever is made one keeps what he said, and takes it back no more.
    await reacted(own_scene, BEN, own_scene.said[tea][0], REACT, UP)
    await own_scene.act(ANN, SET_ROLE, tea, BEN, "observer")
    async with own_scene.database.as_user(BEN) as connection:
        told = await refusal(connection, TAKE_BACK, own_scene.said[tea][0], UP)
        assert told == failed("forbidden", "Observers cannot react")


async def test_what_one_may_not_see_is_as_what_is_not_there(scene: Scene) -> None:
    hidden = [(EVE, scene.said[scene.tea][0]), (GUS, scene.said[scene.tea][0]), (DEE, scene.said[scene.late][0])]
    for who, message in hidden:
        async with scene.database.as_user(who) as connection:
            for statement in (REACT, TAKE_BACK):
                told = [await refusal(connection, statement, message_id, UP) for message_id in (message, uuid4())]
                assert told == [failed("message_not_found")] * 2
    async with scene.database.as_user(None) as connection:
        assert await refusal(connection, REACT, scene.said[scene.tea][0], UP) == failed("message_not_found")


async def test_nobody_reacts_to_what_the_system_says(scene: Scene, witness: asyncpg.Connection) -> None:
    entries = await witness.fetch(
        "select id from messenger.messages where conversation_id = $1 and message_type = 'system'", scene.tea
    )
    assert len(entries) == 2
    async with scene.database.as_user(ANN) as connection:
        for (entry,) in entries:
            told = await refusal(connection, REACT, entry, UP)
            assert told == failed("forbidden", "Nobody reacts to a system message")


async def test_where_a_block_stands_nobody_reacts_between_the_two(own_scene: Scene) -> None:
    message = own_scene.said[own_scene.pair][0]
    await reacted(own_scene, ANN, message, REACT, UP)
    await own_scene.act(BEN, BLOCK, ANN)
    refused = failed("forbidden", "You cannot write to this user")
    for who, statement, emoji in ((ANN, REACT, DOWN), (BEN, REACT, UP), (ANN, TAKE_BACK, UP)):
        async with own_scene.database.as_user(who) as connection:
            assert await refusal(connection, statement, message, emoji) == refused
            # Groups go on.
            (row,) = await connection.fetch(REACT, own_scene.said[own_scene.tea][0], emoji)
            assert row["moved"]


async def test_nobody_writes_reactions_by_himself(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    """Neither the rows nor the counts: not of others, not of oneself, not as an author or admin."""
    tea, message = own_scene.tea, own_scene.said[own_scene.tea][0]
    await reacted(own_scene, BEN, message, REACT, UP)
    before = [await oracle.fetch("select * from messenger.reactions"), await oracle.fetchrow(HEAD, tea)]
    for who in (ANN, BEN, CYD, EVE, None):
        async with own_scene.database.as_user(who) as connection:
            for statement, *args in (
                (
                    "insert into messenger.reactions (conversation_id, message_id, user_id, emoji) values ($1, $2, $3, 'x')",
                    *(tea, message, who or ANN),
                ),
                ("update messenger.reactions set emoji = 'x'",),
                ("update messenger.reactions set user_id = $1", who or ANN),
                ("delete from messenger.reactions",),
                ("truncate messenger.reactions",),
                ("update messenger.messages set reactions = '{\"x\": 1000}' where id = $1", message),
                ("update messenger.messages set content = 'x', reactions = '{}' where id = $1", message),
                ("update messenger.messages set reactions = default",),
                (
                    """
                    insert into messenger.messages (conversation_id, id, sender_id, content, reactions)
                    values ($1, $2, $3, 'x', '{"x": 1000}')
                    """,
                    *(tea, uuid4(), who or ANN),
                ),
            ):
                assert (await refusal(connection, statement, *args)).state == DENIED, (who, statement)
    assert [await oracle.fetch("select * from messenger.reactions"), await oracle.fetchrow(HEAD, tea)] == before


async def test_who_reacted_is_seen_by_those_who_see_the_message(own_scene: Scene) -> None:
    tea, late = own_scene.tea, own_scene.late
    for who, message in ((BEN, own_scene.said[tea][0]), (BEN, own_scene.said[late][0]), (ANN, own_scene.said[late][3])):
        await reacted(own_scene, who, message, REACT, UP)
    seen = "select conversation_id, user_id from messenger.reactions order by created_at"
    all_of = {
        ANN: [(tea, BEN), (late, BEN), (late, ANN)],
        CYD: [(tea, BEN)],
        DEE: [(late, ANN)],  # his history begins with his joining
        EVE: [(own_scene.den, EVE)],
        GUS: [],
        None: [],
    }
    for reader, told in all_of.items():
        async with own_scene.database.as_user(reader) as connection:
            assert [tuple(row) for row in await connection.fetch(seen)] == told, reader
            assert await connection.fetchval("select count(*) from messenger.reactions") == len(told)


@pytest.mark.parametrize("undertaker", [ANN, BEN])
async def test_of_a_tombstone_the_reactions_are_gone(
    own_scene: Scene, oracle: asyncpg.Connection, undertaker: int
) -> None:
    message = own_scene.said[own_scene.tea][1]
    for who, emoji in ((ANN, UP), (BEN, UP), (BEN, DOWN)):
        await reacted(own_scene, who, message, REACT, emoji)
    other = own_scene.said[own_scene.tea][0]
    await reacted(own_scene, BEN, other, REACT, UP)
    await own_scene.act(undertaker, BURY, message)
    assert await oracle.fetchval("select reactions from messenger.messages where id = $1", message) == "{}"
    assert await oracle.fetch(ROWS, message) == []
    assert len(await oracle.fetch(ROWS, other)) == 1
    for who, statement in itertools.product((ANN, BEN), (REACT, TAKE_BACK)):
        async with own_scene.database.as_user(who) as connection:
            assert await refusal(connection, statement, message, UP) == failed("message_not_found")


async def test_no_tombstone_has_reactions(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    """A law of the table, whoever writes."""
    message = own_scene.said[own_scene.tea][1]
    await own_scene.act(BEN, BURY, message)
    await oracle.execute("alter table messenger.messages disable trigger user")
    told = await refusal(oracle, "update messenger.messages set reactions = '{\"x\": 1}' where id = $1", message)
    assert told.constraint == "messages_tombstone"


async def test_with_a_conversation_its_reactions_go(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    await reacted(own_scene, BEN, own_scene.said[own_scene.tea][0], REACT, UP)
    await own_scene.act(ANN, DELETE, own_scene.tea)
    rows = await oracle.fetch("select conversation_id from messenger.reactions")
    assert [row[0] for row in rows] == [own_scene.den]


async def test_an_emoji_has_1_to_32_characters(scene: Scene) -> None:
    message = scene.said[scene.tea][0]
    async with scene.database.as_user(BEN) as connection:
        for bad in ("", "x" * 33, UP * 33):
            assert (await refusal(connection, REACT, message, bad)).constraint == "reactions_emoji_length"
        for good in (" ", "x" * 32, UP * 32, "👩‍👩‍👧‍👦", '"', "\\", "{}", "$.a", "0", "é"):
            (row,) = await connection.fetch(REACT, message, good)
            assert json.loads(row["reactions"])[good] == 1, good
        for good in (" ", "x" * 32, UP * 32, "👩‍👩‍👧‍👦", '"', "\\", "{}", "$.a", "0", "é"):
            (row,) = await connection.fetch(TAKE_BACK, message, good)
            assert good not in json.loads(row["reactions"])


async def test_a_message_has_at_most_a_hundred_different_ones(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    message = own_scene.said[own_scene.tea][0]
    for number in range(100):
        await reacted(own_scene, (ANN, BEN)[number % 2], message, REACT, f"{number}")
    too_many = failed("conflict", "A message has at most 100 different reactions")
    for who in (ANN, BEN):
        async with own_scene.database.as_user(who) as connection:
            assert await refusal(connection, REACT, message, "one more") == too_many
    # One that is there already is none more.
    assert (await reacted(own_scene, ANN, message, REACT, "1"))[3]["1"] == 2
    assert (await reacted(own_scene, ANN, message, TAKE_BACK, "0"))[0]
    assert (await reacted(own_scene, BEN, message, REACT, "one more"))[0]
    await counts_are_true(oracle, message)
    async with own_scene.database.as_user(ANN) as connection:
        assert await refusal(connection, REACT, message, "0") == too_many


async def test_many_at_once_leave_no_hole_and_no_false_count(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    """Everybody reacts to the same two messages on a connection of his own, while their author edits and talks on."""
    people = list(range(101, 101 + PEOPLE))
    tea = await create(own_scene.database, ANN, "group", *people)
    messages = [uuid4(), uuid4()]
    for message in messages:
        await own_scene.act(ANN, SAY, tea, message, "What do you think?")

    async def react(user: int) -> int:
        moved = 0
        async with connected(own_scene.database) as connection:
            for turn in range(TURNS):
                message = messages[(user + turn) % 2]
                statement, emoji = (REACT, (UP, DOWN)[turn // 2 % 2]) if turn < 4 else (TAKE_BACK, UP)
                async with connection.transaction():
                    await connection.execute("select messenger.enter($1)", user)
                    moved += (await connection.fetchrow(statement, message, emoji))["moved"]
        return moved

    async def talk() -> int:
        async with connected(own_scene.database) as connection:
            for turn in range(PEOPLE):
                for statement, *args in ((EDIT, messages[turn % 2], f"{turn}?"), (SAY, tea, uuid4(), f"{turn}!")):
                    async with connection.transaction():
                        await connection.execute("select messenger.enter($1, $2)", ANN, [tea])
                        await connection.execute(statement, *args)
        return 2 * PEOPLE

    moved = await asyncio.gather(talk(), *(react(user) for user in people))
    assert moved[1:] == [TURNS] * PEOPLE
    rows = await oracle.fetch("select seq, change from messenger.messages where conversation_id = $1", tea)
    assert sorted(row["seq"] for row in rows) == list(range(1, 3 + PEOPLE))
    assert len({row["change"] for row in rows}) == len(rows)
    assert tuple(await oracle.fetchrow(HEAD, tea)) == (2 + PEOPLE, 2 + sum(moved))
    for message in messages:
        assert len(await oracle.fetch(ROWS, message)) == PEOPLE
        await counts_are_true(oracle, message)


@pytest.mark.parametrize("first", ["edit", "reaction"])
async def test_an_edit_and_a_reaction_at_once_are_both_kept(
    own_scene: Scene, oracle: asyncpg.Connection, first: str
) -> None:
    """The second one waits for the first, and neither takes the other back."""
    message = own_scene.said[own_scene.tea][1]
    _, last = await oracle.fetchrow(HEAD, own_scene.tea)
    edit, react = (BEN, EDIT, "Mended"), (ANN, REACT, UP)
    one, other = (edit, react) if first == "edit" else (react, edit)
    async with acting(own_scene.database, other[0]) as second:
        async with acting(own_scene.database, one[0]) as holder:
            await holder.fetch(one[1], message, one[2])
            waiting = asyncio.create_task(second.fetch(other[1], message, other[2]))
            await until_it_waits(oracle, second)
        await waiting
    row = await oracle.fetchrow("select * from messenger.messages where id = $1", message)
    told = row["content"], json.loads(row["reactions"]), row["change"]
    assert told == ("Mended", {UP: 1}, last + 2)
    await counts_are_true(oracle, message)


async def test_who_reacts_to_what_is_being_deleted_finds_no_message(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    message = own_scene.said[own_scene.tea][1]
    async with acting(own_scene.database, ANN) as second:
        async with acting(own_scene.database, BEN) as holder:
            await holder.execute(BURY, message)
            waiting = asyncio.create_task(refusal(second, REACT, message, UP))
            await until_it_waits(oracle, second)
        assert await waiting == failed("message_not_found")
    assert await oracle.fetch(ROWS, message) == []


async def test_who_deletes_what_is_being_reacted_to_leaves_no_reaction(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    message = own_scene.said[own_scene.tea][1]
    async with acting(own_scene.database, BEN) as second:
        async with acting(own_scene.database, ANN) as holder:
            await holder.fetch(REACT, message, UP)
            waiting = asyncio.create_task(second.execute(BURY, message))
            await until_it_waits(oracle, second)
        assert await waiting == "UPDATE 1"
    assert await oracle.fetch(ROWS, message) == []
    assert await oracle.fetchval("select reactions from messenger.messages where id = $1", message) == "{}"


async def test_two_who_react_at_once_are_both_counted(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    message = own_scene.said[own_scene.tea][1]
    async with acting(own_scene.database, BEN) as second:
        async with acting(own_scene.database, ANN) as holder:
            await holder.fetch(REACT, message, UP)
            waiting = asyncio.create_task(second.fetchrow(REACT, message, UP))
            await until_it_waits(oracle, second)
        assert json.loads((await waiting)["reactions"]) == {UP: 2}
    await counts_are_true(oracle, message)


@pytest.mark.parametrize("verb", ["react", "edit", "delete"])
@pytest.mark.parametrize(
    ("deed", "code"),
    [
        ((REMOVE, BEN), "message_not_found"),
        ((SET_ROLE, BEN, "observer"), "forbidden"),
        ((RENAME, "Coffee"), None),
        ((ADD, [EVE], "member"), None),
    ],
    ids=["removed", "made an observer", "renamed", "joined"],
)
async def test_who_waits_for_the_conversation_is_judged_as_he_stands_then(
    own_scene: Scene, oracle: asyncpg.Connection, deed: tuple[Any, ...], code: str | None, verb: str
) -> None:
    """Alike, whatever he wants of a message; as a client is told it."""
    ben, message = UserId(BEN), MessageId(own_scene.said[own_scene.tea][1])
    async with Store.connected(own_scene.database.app_url) as store:
        messages = MessageStore(store)

        async def act() -> str | None:
            try:
                match verb:
                    case "react":
                        await messages.react(ben, message, UP, is_added=True)
                    case "edit":
                        await messages.edit(ben, message, "Mended")
                    case "delete":
                        await messages.delete(ben, message)
            except MessengerError as error:
                return error.code
            return None

        async with acting(own_scene.database, ANN) as admin:
            await admin.fetch(deed[0], own_scene.tea, *deed[1:])
            acting_ = asyncio.create_task(act())
            await somebody_waits(oracle)
        assert await acting_ == code
    row = await oracle.fetchrow("select * from messenger.messages where id = $1", message)
    is_done = {
        "react": json.loads(row["reactions"]) == {UP: 1},
        "edit": row["content"] == "Mended",
        "delete": row["deleted_by"] == BEN,
    }
    assert [name for name, done in is_done.items() if done] == ([verb] if code is None else [])
    await counts_are_true(oracle, message)


async def test_a_reaction_that_fails_leaves_nothing(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    """Neither a row nor a number, also where it is refused after it was counted."""
    message = own_scene.said[own_scene.tea][0]
    head = await oracle.fetchrow(HEAD, own_scene.tea)
    for who, emoji in ((CYD, UP), (BEN, "x" * 33), (EVE, UP)):
        async with acting(own_scene.database, who) as connection:
            await refusal(connection, REACT, message, emoji)
    async with own_scene.database.as_user(BEN) as connection:
        await connection.fetch(REACT, message, UP)  # taken back with its transaction
    assert await oracle.fetch(ROWS, message) == []
    assert await oracle.fetchrow(HEAD, own_scene.tea) == head
    await counts_are_true(oracle, message)


async def somebody_waits(oracle: asyncpg.Connection) -> None:
    async with asyncio.timeout(10):
        while await oracle.fetchval(WAITING) == 0:
            await asyncio.sleep(0.005)
