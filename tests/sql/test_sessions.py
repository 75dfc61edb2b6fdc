"""Live sessions and open rooms in SQL: a guest is a user like every other, in one room and nowhere else."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.support.scene import (
    ADD,
    ANN,
    BEN,
    CREATE,
    DELETE,
    EVE,
    REMOVE,
    SAY,
    SET_ROLE,
    Scene,
    act,
    connected,
    failed,
    outcome,
    refusal,
    until_it_waits,
)

OPEN = "select messenger.open_session($1, $2)"
CHANGE = "select (t).content, (t).metadata from messenger.change_session($1, $2, $3, $4, $5) t"
JOIN = "select user_id, public_id, (told).content from messenger.join_session($1, $2, $3, '1 day')"
ANSWER = "select moved, (message).change, (message).metadata from messenger.answer_question($1)"
ENTER = "select conversation_id, user_id from messenger.enter_open_room($1, true)"
CLEAR = "select messenger.clear_open_room($1, $2, $3)"
ASK = """
    insert into messenger.messages (conversation_id, id, sender_id, message_type, content)
    values ($1, $2, messenger.current_user_id(), 'question', $3) returning id
"""
NOW, DAY = timedelta(), timedelta(days=1)


async def open_(scene: Scene, code: str = "BEES23", host: int = ANN) -> UUID:
    ((session,),) = await scene.act(host, OPEN, "Bees", code)
    return session


async def duty(scene: Scene, statement: str, *args: Any) -> list[asyncpg.Record]:
    """Run a duty, as nobody, and commit."""
    async with connected(scene.database) as connection:
        rows: list[asyncpg.Record] = await connection.fetch(statement, *args)
        return rows


async def join(scene: Scene, session: UUID, nickname: str) -> int:
    ((guest, _, _),) = await duty(scene, JOIN, session, nickname, nickname.lower())
    return guest


async def ask(scene: Scene, user_id: int, session: UUID) -> UUID:
    ((question,),) = await scene.act(user_id, ASK, session, uuid4(), "Do they sleep?")
    return question


async def test_a_guest_sees_his_room_and_nothing_else(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    session = await open_(own_scene)
    zoe, yan = await join(own_scene, session, "Zoe"), await join(own_scene, session, "Yan")
    elsewhere = await open_(own_scene, "WASPS2", BEN)
    await join(own_scene, elsewhere, "Zoe")
    async with own_scene.database.as_user(zoe) as connection:
        rooms = await connection.fetch("select id from messenger.conversations")
        people = await connection.fetch("select id, name, kind from messenger.users order by id")
        said = await connection.fetch("select distinct conversation_id from messenger.messages")
    assert [row["id"] for row in rooms] == [session]
    assert {tuple(row) for row in people} == {(ANN, "Ann", "person"), (zoe, "Zoe", "guest"), (yan, "Yan", "guest")}
    assert [row["conversation_id"] for row in said] == [session]


async def test_a_guest_rules_nothing_and_is_let_in_nowhere(own_scene: Scene) -> None:
    session = await open_(own_scene)
    zoe = await join(own_scene, session, "Zoe")
    async with own_scene.database.as_user(zoe) as connection:
        for statement, args, told in (
            (CHANGE, (session, True, "Mine", True, True), failed("forbidden", "Only the host can change a session")),
            (ADD, (session, [EVE], "member"), failed("forbidden", "Only admins can add participants")),
            (SET_ROLE, (session, zoe, "admin"), failed("forbidden", "Only admins can change roles")),
            (REMOVE, (session, ANN), failed("forbidden", "Only admins can remove participants")),
            (DELETE, (session,), failed("forbidden", "Only admins can delete a conversation")),
            (SAY, (own_scene.tea, uuid4(), "Hello"), failed("not_participant")),
        ):
            assert await refusal(connection, statement, *args) == told, statement


async def test_nobody_takes_a_guest_elsewhere(own_scene: Scene) -> None:
    zoe = await join(own_scene, await open_(own_scene), "Zoe")
    async with own_scene.database.as_user(ANN) as connection:
        for statement, args in (
            (ADD, (own_scene.tea, [zoe], "member")),
            (CREATE, ("direct", None, "all", [zoe])),
            (CREATE, ("group", "Tea", "all", [BEN, zoe])),
        ):
            assert await refusal(connection, statement, *args) == failed("user_not_found"), statement


async def test_a_code_is_taken_once(own_scene: Scene) -> None:
    await open_(own_scene)
    async with own_scene.database.as_user(BEN) as connection:
        assert await refusal(connection, OPEN, "Wasps", "BEES23") == failed("conflict", "Session code is already taken")
        assert (await refusal(connection, OPEN, "Wasps", "bees23")).constraint == "conversations_join_code_shape"


async def test_a_code_is_free_once_its_session_is_deleted(own_scene: Scene) -> None:
    await own_scene.act(ANN, DELETE, await open_(own_scene))
    assert await duty(own_scene, "select * from messenger.session_named('BEES23')") == []
    await open_(own_scene, host=BEN)


@pytest.mark.parametrize("named", ["BEES23", "bees23"])
async def test_a_session_is_found_by_its_code_in_any_case_and_by_its_id(own_scene: Scene, named: str) -> None:
    session = await open_(own_scene)
    for name in (named, str(session), str(session).upper()):
        rows = await duty(own_scene, "select * from messenger.session_named($1)", name)
        assert [tuple(row) for row in rows] == [(session, "BEES23", False)]
    for name in ("BEES24", str(own_scene.tea), "", "BEES23 "):
        assert await duty(own_scene, "select * from messenger.session_named($1)", name) == []


async def test_a_nickname_is_taken_once_and_nobody_passes_for_the_host(own_scene: Scene) -> None:
    session = await open_(own_scene)
    await join(own_scene, session, "Zoe")
    async with connected(own_scene.database) as connection:
        for nickname in ("Zoe", "ZOE", "Ann", "ANN"):
            assert await refusal_of(connection, session, nickname) == failed("nickname_taken")


async def test_a_nickname_stays_taken_after_leaving_and_is_free_once_its_guest_is_cleared_away(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    session = await open_(own_scene)
    yan, zoe = await join(own_scene, session, "Yan"), await join(own_scene, session, "Zoe")
    await own_scene.act(ANN, REMOVE, session, yan)
    async with connected(own_scene.database) as connection:
        assert await refusal_of(connection, session, "YAN") == failed("nickname_taken")
    await oracle.execute("update messenger.conversation_participants set guest_until = now() where user_id = $1", zoe)
    await own_scene.act(zoe, REMOVE, session, zoe)
    await join(own_scene, session, "Zoe")


async def refusal_of(connection: asyncpg.Connection, session: UUID, nickname: str) -> Any:
    async with connection.transaction():
        return await refusal(connection, JOIN, session, nickname, nickname.lower())


async def test_of_two_who_want_one_nickname_the_second_is_told(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    session = await open_(own_scene)
    async with connected(own_scene.database) as first, connected(own_scene.database) as second:
        held = first.transaction()
        await held.start()
        await first.fetch(JOIN, session, "Zoe", "zoe")
        waiting = asyncio.create_task(second.fetch(JOIN, session, "zoe", "zoe"))
        await until_it_waits(oracle, second)
        await held.commit()
        with pytest.raises(asyncpg.PostgresError, match="nickname_taken"):
            await waiting


async def test_who_joins_while_it_is_closed_is_too_late(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    session = await open_(own_scene)
    async with connected(own_scene.database) as host, connected(own_scene.database) as guest:
        held = host.transaction()
        await held.start()
        await host.execute("select messenger.enter($1)", ANN)
        await host.fetch(CHANGE, session, False, None, True, True)
        waiting = asyncio.create_task(guest.fetch(JOIN, session, "Zoe", "zoe"))
        await until_it_waits(oracle, guest)
        await held.commit()
        with pytest.raises(asyncpg.PostgresError, match="not_found"):
            await waiting


async def test_a_closed_session_takes_no_message_and_still_tells_who_goes(own_scene: Scene) -> None:
    session = await open_(own_scene)
    zoe = await join(own_scene, session, "Zoe")
    ((told, _),) = await own_scene.act(ANN, CHANGE, session, False, None, True, True)
    assert told == "Ann closed the session"
    for user_id in (ANN, zoe):
        async with own_scene.database.as_user(user_id) as connection:
            assert await refusal(connection, SAY, session, uuid4(), "Hello") == failed(
                "forbidden", "This session is closed"
            )
    await own_scene.act(zoe, REMOVE, session, zoe)
    await own_scene.act(ANN, CHANGE, session, False, None, True, False)
    await own_scene.act(ANN, SAY, session, uuid4(), "Hello again")


async def test_what_is_so_already_takes_no_change(own_scene: Scene) -> None:
    session = await open_(own_scene)
    for args in ((True, "Bees", True, False), (True, "Bees", False, None), (False, None, True, False)):
        assert await own_scene.act(ANN, CHANGE, session, *args) == []
    ((told, _),) = await own_scene.act(ANN, CHANGE, session, True, "Wasps", False, None)
    assert told == "Ann changed the title to Wasps"


async def test_a_question_is_answered_once_and_by_a_host(own_scene: Scene) -> None:
    session = await open_(own_scene)
    zoe = await join(own_scene, session, "Zoe")
    question = await ask(own_scene, zoe, session)
    async with own_scene.database.as_user(zoe) as connection:
        assert await refusal(connection, ANSWER, question) == failed(
            "forbidden", "Only the host can mark a question answered"
        )
    ((moved, change, metadata),) = await own_scene.act(ANN, ANSWER, question)
    assert (moved, change) == (True, 3)
    assert f'"answered_by": {ANN}' in metadata
    assert await own_scene.act(ANN, ANSWER, question) == [(False, 3, metadata)]


async def test_only_questions_are_answered(own_scene: Scene) -> None:
    session = await open_(own_scene)
    ((said, *_),) = await own_scene.act(ANN, SAY.replace("returning *", "returning id"), session, uuid4(), "Hello")
    async with own_scene.database.as_user(ANN) as connection:
        for message_id in (said, uuid4(), own_scene.said[own_scene.den][0]):
            assert await refusal(connection, ANSWER, message_id) == failed("message_not_found", "Question not found")


async def test_history_names_those_who_have_gone(own_scene: Scene) -> None:
    session = await open_(own_scene)
    zoe = await join(own_scene, session, "Zoe")
    await ask(own_scene, zoe, session)
    await own_scene.act(zoe, REMOVE, session, zoe)
    rows = await own_scene.act(ANN, "select nickname, content from messenger.session_history($1, 5)", session)
    assert [tuple(row) for row in rows] == [("Zoe", "Do they sleep?")]
    people = await own_scene.act(ANN, "select nickname, is_host, is_in from messenger.session_people($1)", session)
    assert {tuple(row) for row in people} == {("Ann", True, True), ("Zoe", False, False)}


async def test_of_what_is_no_session_nothing_is_told_in_its_words(scene: Scene) -> None:
    async with scene.database.as_user(ANN) as connection:
        for statement in (
            "select * from messenger.session_people($1)",
            "select * from messenger.audience_of_session($1)",
            "select * from messenger.attendee($1, null, 2)",
        ):
            assert await outcome(connection, statement, scene.tea) == "[]", statement


async def test_whose_time_is_over_is_named(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    session = await open_(own_scene)
    zoe, _ = await join(own_scene, session, "Zoe"), await join(own_scene, session, "Yan")
    assert await duty(own_scene, "select * from messenger.idle_guests(5)") == []
    await oracle.execute(
        "update messenger.conversation_participants set guest_until = now() - interval '1 s' where user_id = $1", zoe
    )
    assert await duty(own_scene, "select * from messenger.idle_guests(5)") == [(session, zoe)]


async def test_guests_are_nobody_that_the_host_application_tells(own_scene: Scene) -> None:
    session = await open_(own_scene)
    zoe = await join(own_scene, session, "Zoe")
    question = await ask(own_scene, zoe, session)
    rows = await duty(own_scene, "select user_id from messenger.audience($1, $2)", [session], [question])
    assert [row["user_id"] for row in rows] == [ANN]
    ((said, *_),) = await own_scene.act(ANN, SAY.replace("returning *", "returning id"), session, uuid4(), "They do")
    assert await duty(own_scene, "select user_id from messenger.audience($1, $2)", [session], [said]) == []


async def test_an_open_room_is_made_once_and_is_one_guests_alone(own_scene: Scene) -> None:
    first, again = await duty(own_scene, ENTER, "lobby"), await duty(own_scene, ENTER, "lobby")
    assert first == again
    ((_, other),) = await duty(own_scene, ENTER, "Lobby")
    ((lobby, voice),) = first
    assert other != voice
    async with own_scene.database.as_user(voice) as connection:
        assert [row["id"] for row in await connection.fetch("select id from messenger.conversations")] == [lobby]
    async with own_scene.database.as_user(ANN) as connection:
        assert await refusal(connection, SAY, lobby, uuid4(), "Hello") == failed("not_participant")


async def test_an_open_room_is_not_made_by_asking(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    rows = await duty(own_scene, ENTER.replace("true", "false"), "lobby")
    assert [tuple(row) for row in rows] == [(None, None)]
    assert await oracle.fetchval("select count(*) from messenger.conversations where open_room is not null") == 0


async def test_a_room_in_which_nobody_ever_said_anything_is_idle_after_an_hour(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    ((empty, voice),), ((lobby, other),) = await duty(own_scene, ENTER, "empty"), await duty(own_scene, ENTER, "lobby")
    await own_scene.act(other, SAY, lobby, uuid4(), "Hello")
    await oracle.execute(
        "update messenger.conversation_heads set active_at = now() - interval '61 minutes' where conversation_id = any ($1)",
        [empty, lobby],
    )
    assert await duty(own_scene, "select * from messenger.idle_open_rooms($1, 5)", DAY) == [(empty, voice)]
    assert await duty(own_scene, CLEAR, lobby, DAY, 5) == [(True,)]
    assert await duty(own_scene, CLEAR, empty, DAY, 5) == [(True,)]
    rooms = await oracle.fetch("select open_room from messenger.conversations where open_room is not null")
    assert [row["open_room"] for row in rooms] == ["lobby"]


async def test_crowds_that_enter_an_open_room_at_once_make_one(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    rooms = await asyncio.gather(*(duty(own_scene, ENTER, "lobby") for _ in range(12)))
    assert len({tuple(row) for (row,) in rooms}) == 1
    assert await oracle.fetchval("select count(*) from messenger.conversations where open_room = 'lobby'") == 1


async def test_an_idle_open_room_is_cleared_away_piece_by_piece(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    ((lobby, voice),) = await duty(own_scene, ENTER, "lobby")
    for _ in range(5):
        await own_scene.act(voice, SAY, lobby, uuid4(), "Hello")
    assert await duty(own_scene, "select * from messenger.idle_open_rooms($1, 5)", DAY) == []
    assert await duty(own_scene, CLEAR, lobby, DAY, 2) == [(True,)]
    assert await oracle.fetchval("select count(*) from messenger.messages where conversation_id = $1", lobby) == 5
    assert await duty(own_scene, "select * from messenger.idle_open_rooms($1, 5)", NOW) == [(lobby, voice)]
    assert [(await duty(own_scene, CLEAR, lobby, NOW, 2))[0][0] for _ in range(3)] == [False, False, True]
    for table, column in (
        ("messages", "conversation_id"),
        ("conversation_heads", "conversation_id"),
        ("conversations", "id"),
    ):
        assert await oracle.fetchval(f"select count(*) from messenger.{table} where {column} = $1", lobby) == 0
    assert (await duty(own_scene, ENTER, "lobby"))[0][0] != lobby


async def test_nothing_but_an_open_room_is_cleared_away(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    session = await open_(own_scene)
    for room in (session, own_scene.tea):
        assert await duty(own_scene, CLEAR, room, NOW, 100) == [(True,)]
        assert await oracle.fetchval("select count(*) from messenger.conversations where id = $1", room) == 1


async def test_only_rooms_have_codes(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    for column, value in (("join_code", "BEES23"), ("open_room", "lobby")):
        with pytest.raises(asyncpg.CheckViolationError, match="conversations_rooms_only"):
            await oracle.execute(
                f"update messenger.conversations set {column} = $1 where id = $2", value, own_scene.tea
            )


async def test_everybody_has_a_public_id_of_his_own(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    await act(own_scene.database, ANN, CREATE, "group", "New", "all", [77])
    ids = [row[0] for row in await oracle.fetch("select public_id from messenger.users")]
    assert None not in ids
    assert len(set(ids)) == len(ids) > 7
