"""Who may post, in whose name, and what of a message is his to choose."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from tests.support.scene import (
    ANN,
    APPEND,
    BEN,
    CYD,
    DEE,
    DENIED,
    EDIT,
    EVE,
    REMOVE,
    SAY,
    SET_ROLE,
    UNKNOWN,
    Scene,
    acting,
    batch,
    connected,
    draft,
    failed,
    outcome,
    refusal,
    until_it_waits,
)

AS_ANOTHER = "insert into messenger.messages (conversation_id, id, sender_id, content) values ($1, $2, $3, 'Forged')"
OF_TYPE = """
    insert into messenger.messages (conversation_id, id, sender_id, content, message_type)
    values ($1, $2, messenger.current_user_id(), 'x', $3)
"""


async def test_a_member_posts_in_his_own_name(scene: Scene) -> None:
    async with scene.database.as_user(BEN) as connection:
        row = await connection.fetchrow(SAY, scene.tea, uuid4(), "Milk?")
        assert (row["sender_id"], row["content"], row["message_type"]) == (BEN, "Milk?", "text")


@pytest.mark.parametrize(("forger", "victim"), [(ANN, BEN), (BEN, ANN), (BEN, CYD), (ANN, EVE), (BEN, UNKNOWN)])
async def test_nobody_writes_in_anothers_name(scene: Scene, forger: int, victim: int) -> None:
    async with scene.database.as_user(forger) as connection:
        told = await refusal(connection, AS_ANOTHER, scene.tea, uuid4(), victim)
        assert told.state == DENIED or told == failed("forbidden")


@pytest.mark.parametrize("author", [ANN, BEN])
async def test_nobody_writes_system_messages(scene: Scene, author: int) -> None:
    async with scene.database.as_user(author) as connection:
        assert (await refusal(connection, OF_TYPE, scene.tea, uuid4(), "system")).state == DENIED
        assert await outcome(connection, OF_TYPE, scene.tea, uuid4(), "question") == "[]"
        rows = await connection.fetch(APPEND, *batch(draft(author, scene.tea, type="system")))
        assert [row["outcome"] for row in rows] == ["forbidden"]


async def test_an_observer_reads_and_does_not_post(scene: Scene) -> None:
    async with scene.database.as_user(CYD) as connection:
        seen = await connection.fetch("select id from messenger.messages where conversation_id = $1", scene.tea)
        assert {row["id"] for row in seen} >= set(scene.said[scene.tea])
        assert await refusal(connection, SAY, scene.tea, uuid4(), "May I?") == failed("forbidden")
        rows = await connection.fetch(APPEND, *batch(draft(CYD, scene.tea)))
        assert [row["outcome"] for row in rows] == ["forbidden"]


async def test_in_an_announcement_only_admins_post(scene: Scene) -> None:
    async with scene.database.as_user(BEN) as connection:
        assert await refusal(connection, SAY, scene.hall, uuid4(), "A word") == failed("forbidden")
        rows = await connection.fetch(APPEND, *batch(draft(BEN, scene.hall)))
        assert [row["outcome"] for row in rows] == ["forbidden"]
    async with scene.database.as_user(ANN) as connection:
        assert (await connection.fetchrow(SAY, scene.hall, uuid4(), "Hear, hear"))["seq"] == 2


@pytest.mark.parametrize("column", ["seq", "change", "created_at", "edited_at", "deleted_at", "deleted_by"])
async def test_an_author_sets_no_number_and_no_time_of_a_new_message(scene: Scene, column: str) -> None:
    value = "now()" if column.endswith("_at") else "2"
    async with scene.database.as_user(BEN) as connection:
        told = await refusal(
            connection,
            f"""
            insert into messenger.messages (conversation_id, id, sender_id, content, {column})
            values ($1, $2, $3, 'x', {value})
            """,
            scene.tea,
            uuid4(),
            BEN,
        )
        assert (told.state, told.text) == (DENIED, "permission denied for table messages")


@pytest.mark.parametrize(
    "column",
    [
        "conversation_id",
        "id",
        "seq",
        "change",
        "sender_id",
        "client_id",
        "request_digest",
        "message_type",
        "reply_to",
        "created_at",
    ],
)
async def test_an_author_alters_nothing_that_stands_for_ever(scene: Scene, column: str) -> None:
    async with scene.database.as_user(BEN) as connection:
        told = await refusal(
            connection,
            f"update messenger.messages set {column} = {column} where id = $1",
            scene.said[scene.tea][1],
        )
        assert (told.state, told.text) == (DENIED, "permission denied for table messages")


async def test_an_edit_takes_a_change_and_leaves_the_place(scene: Scene) -> None:
    message = scene.said[scene.tea][1]
    find = "select * from messenger.messages where id = $1"
    async with scene.database.as_user(BEN) as connection:
        before = await connection.fetchrow(find, message)
        last = await connection.fetchval(
            "select last_change from messenger.conversation_heads where conversation_id = $1", scene.tea
        )
        await connection.execute(EDIT, message, "Tea, rather")
        after = await connection.fetchrow(find, message)
    altered = {name for name in after.keys() if after[name] != before[name]}  # noqa: SIM118 - a Record iterates over values
    assert altered == {"content", "edited_at", "change"}
    assert after["change"] == last + 1


@pytest.mark.parametrize("meddler", [ANN, CYD, DEE, EVE])
async def test_nobody_edits_anothers_message(scene: Scene, meddler: int) -> None:
    """An admin gets as far as the policy, the others find no row."""
    async with scene.database.as_user(meddler) as connection:
        told = await outcome(connection, EDIT + " returning id", scene.said[scene.tea][1], "I am Ben")
        if meddler == ANN:
            assert getattr(told, "state", None) == DENIED
        else:
            assert told == "[]"


async def test_who_was_made_an_observer_no_longer_edits(own_scene: Scene) -> None:
    await own_scene.act(ANN, SET_ROLE, own_scene.tea, BEN, "observer")
    async with own_scene.database.as_user(BEN) as connection:
        assert await connection.execute(EDIT, own_scene.said[own_scene.tea][1], "Too late") == "UPDATE 0"


async def test_no_row_of_the_log_is_ever_deleted(scene: Scene) -> None:
    for user in (ANN, BEN):
        async with scene.database.as_user(user) as connection:
            told = await refusal(connection, "delete from messenger.messages where id = $1", scene.said[scene.tea][1])
            assert told.state == DENIED


async def test_an_answer_is_to_a_message_of_the_same_conversation(scene: Scene) -> None:
    answer = """
        insert into messenger.messages (conversation_id, id, sender_id, content, reply_to)
        values ($1, $2, $3, 'x', $4) returning reply_to
    """
    async with scene.database.as_user(BEN) as connection:
        there, elsewhere = scene.said[scene.tea][0], scene.said[scene.pair][0]
        assert await connection.fetchval(answer, scene.tea, uuid4(), BEN, there) == there
        for other in (elsewhere, uuid4()):
            assert await refusal(connection, answer, scene.tea, uuid4(), BEN, other) == failed("message_not_found")


async def test_only_participants_are_mentioned(scene: Scene) -> None:
    async with scene.database.as_user(BEN) as connection:
        rows = await connection.fetch(APPEND, *batch(draft(BEN, scene.tea, mentions=[CYD, EVE, ANN, UNKNOWN])))
        assert [(row["outcome"], row["mentions"]) for row in rows] == [("appended", [CYD, ANN])]


async def test_a_bad_item_takes_no_other_down(own_scene: Scene) -> None:
    """Each is judged as its own sender's, and told so."""
    tea, hall, den = own_scene.tea, own_scene.hall, own_scene.den
    drafts = [
        draft(ANN, tea, "a"),
        draft(EVE, tea),
        draft(CYD, tea),
        draft(EVE, den, "b"),
        draft(BEN, hall),
        draft(BEN, tea, reply_to=own_scene.said[hall][0]),
        draft(UNKNOWN, den),
        draft(BEN, uuid4()),
        draft(BEN, tea, "c"),
    ]
    async with connected(own_scene.database) as connection:
        rows = await connection.fetch(APPEND, *batch(*drafts))
    told = {row["item"]: row["outcome"] for row in rows}
    assert [told[place] for place in range(1, 10)] == [
        "appended",
        "not_participant",
        "forbidden",
        "appended",
        "forbidden",
        "message_not_found",
        "not_participant",
        "not_participant",
        "appended",
    ]
    numbers = {row["content"]: row["seq"] for row in rows if row["content"]}
    assert numbers["c"] == numbers["a"] + 1
    assert {row["item"] for row in rows if row["id"]} == {1, 4, 9}


@pytest.mark.parametrize(
    ("deed", "told"), [(SET_ROLE, "forbidden"), (REMOVE, "not_participant")], ids=["role", "place"]
)
async def test_who_loses_the_right_while_he_waits_does_not_post(
    own_scene: Scene, oracle: asyncpg.Connection, deed: str, told: str
) -> None:
    """Membership and roles hold in the order of the log: nothing of his stands above the change that ended it."""
    tea = own_scene.tea
    arguments = (tea, BEN, "observer") if deed == SET_ROLE else (tea, BEN)
    async with connected(own_scene.database) as sending, acting(own_scene.database, BEN) as editing:
        async with acting(own_scene.database, ANN) as admin:
            await admin.fetch(deed, *arguments)
            sent = asyncio.create_task(sending.fetch(APPEND, *batch(draft(BEN, tea))))
            edited = asyncio.create_task(outcome(editing, EDIT, own_scene.said[tea][1], "Too late"))
            await until_it_waits(oracle, sending)
            await until_it_waits(oracle, editing)
        assert [row["outcome"] for row in await sent] == [told]
        assert await edited == failed(told)


async def test_times_of_creation_run_with_the_places(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    """created_at is taken under the lock too, and not when the transaction began."""
    async with acting(own_scene.database, ANN) as early:
        await own_scene.act(BEN, SAY, own_scene.tea, uuid4(), "first")
        await early.fetch(SAY, own_scene.tea, uuid4(), "second")
    rows = await oracle.fetch(
        "select content, created_at from messenger.messages where conversation_id = $1 order by seq desc limit 2",
        own_scene.tea,
    )
    assert [row["content"] for row in rows] == ["second", "first"]
    assert rows[0]["created_at"] > rows[1]["created_at"]


@pytest.mark.parametrize(
    ("user", "posts", "administers"),
    [
        (ANN, ("tea", "hall", "late", "pair"), ("tea", "hall", "late", "pair")),
        (BEN, ("tea", "late", "pair"), ()),
        (CYD, (), ()),
        (DEE, ("late",), ()),
        (EVE, ("den",), ("den",)),
    ],
)
async def test_where_somebody_may_post(
    scene: Scene, user: int, posts: tuple[str, ...], administers: tuple[str, ...]
) -> None:
    async with scene.database.as_user(user) as connection:
        for function, names in (("my_posting", posts), ("my_administered", administers)):
            rows = await connection.fetch(f"select messenger.{function}_conversation_ids()")
            assert sorted(row[0] for row in rows) == sorted(getattr(scene, name) for name in names)


async def test_the_policies_judge_without_the_trigger_too(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    """It only judges once more, under the lock."""
    await oracle.execute("alter table messenger.messages disable trigger b_number_message")
    for user, place in ((CYD, own_scene.tea), (BEN, own_scene.hall), (EVE, own_scene.tea)):
        async with own_scene.database.as_user(user) as connection:
            assert (await refusal(connection, SAY, place, uuid4(), "x")).state == DENIED
    async with own_scene.database.as_user(BEN) as connection:
        # Let through, and lacking the number that the trigger would have given.
        assert (await refusal(connection, SAY, own_scene.tea, uuid4(), "x")).column == "seq"
