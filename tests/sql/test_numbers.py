"""`seq` and `change` have no holes and no repeats, whoever writes, fails or repeats himself at once."""

import asyncio
from collections.abc import Sequence
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
    CYD,
    EDIT,
    EVE,
    REMOVE,
    RENAME,
    SAY,
    SET_ROLE,
    Scene,
    acting,
    batch,
    connected,
    create,
    draft,
    refusal,
    until_it_waits,
)

WRITERS, EACH = 32, 6


async def numbers(oracle: asyncpg.Connection, conversation_id: UUID) -> tuple[list[int], list[int], tuple[int, int]]:
    """Every seq, every change, and what the head says was taken."""
    rows = await oracle.fetch("select seq, change from messenger.messages where conversation_id = $1", conversation_id)
    head = await oracle.fetchrow(
        "select last_seq, last_change from messenger.conversation_heads where conversation_id = $1", conversation_id
    )
    return sorted(row["seq"] for row in rows), sorted(row["change"] for row in rows), tuple(head)


@pytest.mark.parametrize("wrong", [{"client_id": "c" * 65}, {"client_id": ""}, {"type": "t" * 65}, {"type": ""}])
async def test_type_and_client_id_have_lengths_whoever_writes(
    own_scene: Scene, oracle: asyncpg.Connection, wrong: dict[str, str]
) -> None:
    before = await numbers(oracle, own_scene.tea)
    async with own_scene.database.as_user(ANN) as connection:
        assert (
            await refusal(connection, APPEND, *batch(draft(ANN, own_scene.tea, **wrong)))
        ).constraint == "messages_lengths"
    assert await numbers(oracle, own_scene.tea) == before


async def test_what_fails_takes_no_number(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    """Neither by a policy, a constraint or a key after the numbers were taken, nor in a transaction that is taken back."""
    tea = own_scene.tea
    before = await numbers(oracle, tea)
    async with acting(own_scene.database, CYD) as connection:
        await refusal(connection, SAY, tea, uuid4(), "An observer's")
    async with acting(own_scene.database, BEN) as connection:
        for statement, *args in (
            (SAY, tea, own_scene.said[tea][0], "The same id again"),
            (SAY, tea, uuid4(), None),
            (ANSWER, tea, uuid4(), uuid4()),
            (
                "insert into messenger.messages (conversation_id, id, sender_id, content) values ($1, $2, 1, 'x')",
                tea,
                uuid4(),
            ),
            (EDIT, own_scene.said[tea][1], None),
        ):
            await refusal(connection, statement, *args)
    async with acting(own_scene.database, ANN) as connection:
        await refusal(connection, EDIT, own_scene.said[tea][1], "Not mine")
        await refusal(connection, SET_ROLE, tea, BEN, "owner")
    async with own_scene.database.as_user(ANN) as connection:
        await connection.fetch(SAY, tea, uuid4(), "Taken back")
        await connection.fetch(RENAME, tea, "Taken back")
    assert await numbers(oracle, tea) == before
    row = await own_scene.act(BEN, SAY, tea, uuid4(), "The next")
    assert (row[0]["seq"], row[0]["change"]) == (before[2][0] + 1, before[2][1] + 1)


async def test_each_alteration_is_one_change(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    tea = own_scene.tea
    _, _, (last_seq, last_change) = await numbers(oracle, tea)
    head = "select last_seq, last_change from messenger.conversation_heads where conversation_id = $1"
    for user, statement, args, entries in (
        (ANN, SAY, (tea, uuid4(), "x"), 1),
        (ANN, EDIT, (own_scene.said[tea][0], "y"), 0),
        (ANN, BURY, (own_scene.said[tea][0],), 0),
        (ANN, RENAME, (tea, "Coffee"), 1),
        (ANN, ADD, (tea, [EVE], "member"), 1),
        (ANN, SET_ROLE, (tea, BEN, "admin"), 1),
        (BEN, REMOVE, (tea, EVE), 1),
    ):
        await own_scene.act(user, statement, *args)
        last_seq, last_change = last_seq + entries, last_change + 1
        assert tuple(await oracle.fetchrow(head, tea)) == (last_seq, last_change), statement


async def test_writers_at_once_leave_no_hole(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    """Each sends, fails, edits his last and deletes it, on a connection of his own."""
    people = list(range(101, 101 + WRITERS))
    tea = await create(own_scene.database, ANN, "group", *people)

    async def write(user: int) -> None:
        async with connected(own_scene.database) as connection:
            for number in range(EACH):
                message = uuid4()
                rows = await connection.fetch(APPEND, *batch(draft(user, tea, f"{user}:{number}", id=message)))
                assert [row["outcome"] for row in rows] == ["appended"]
                rows = await connection.fetch(APPEND, *batch(draft(user, tea, type="system")))
                assert [row["outcome"] for row in rows] == ["forbidden"]
                for statement, *args in ((EDIT, message, "Again"), (BURY, message))[: number % 3]:
                    async with connection.transaction():
                        await connection.execute("select messenger.enter($1, $2)", user, [tea])
                        assert await connection.execute(statement, *args) == "UPDATE 1"

    await asyncio.gather(*(write(user) for user in people))
    seqs, changes, head = await numbers(oracle, tea)
    alterations = WRITERS * sum(1 + number % 3 for number in range(EACH))
    assert seqs == list(range(1, WRITERS * EACH + 1))
    # The latest change of each entry: no repeats, and the last one taken is the count of all alterations.
    assert len(set(changes)) == len(changes)
    assert head == (WRITERS * EACH, alterations)
    assert max(changes) == alterations


async def test_batches_in_any_order_do_not_wait_for_each_other_for_ever(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    """Items are taken in the order of conversations, whatever order they came in."""
    rooms = [await create(own_scene.database, ANN, "group", BEN) for _ in range(6)]

    async def write(user: int, order: Sequence[UUID]) -> None:
        async with connected(own_scene.database) as connection:
            for _ in range(10):
                waiting = [draft(user, room) for room in order]
                while waiting:
                    rows = await connection.fetch(APPEND, *batch(*waiting))
                    taken = [waiting[row["item"] - 1]["conversation"] for row in rows]
                    assert taken == sorted(taken)
                    assert {row["outcome"] for row in rows} <= {"appended", "locked"}
                    waiting = [waiting[row["item"] - 1] for row in rows if row["outcome"] == "locked"]

    await asyncio.gather(write(ANN, rooms), write(BEN, rooms[::-1]), write(ANN, rooms[3:] + rooms[:3]))
    for room in rooms:
        assert await numbers(oracle, room) == (list(range(1, 31)), list(range(1, 31)), (30, 30))


async def test_an_item_whose_conversation_is_held_is_sent_back(own_scene: Scene) -> None:
    """In a batch it is not waited for; alone it waits its turn."""
    async with connected(own_scene.database) as connection:
        async with acting(own_scene.database, ANN) as holder:
            await holder.fetch(SAY, own_scene.tea, uuid4(), "I hold it")
            drafts = (draft(BEN, own_scene.tea), draft(BEN, own_scene.late, "free"))
            rows = await connection.fetch(APPEND, *batch(*drafts))
            told = {row["item"]: (row["outcome"], row["content"]) for row in rows}
            assert told == {1: ("locked", None), 2: ("appended", "free")}
        rows = await connection.fetch(APPEND, *batch(draft(BEN, own_scene.tea)))
        assert [row["outcome"] for row in rows] == ["appended"]


@pytest.mark.parametrize(("digest", "told"), [(b"as first sent", "duplicate"), (b"another", "client_id_conflict")])
async def test_a_client_id_makes_one_message(own_scene: Scene, digest: bytes, told: str) -> None:
    tea = own_scene.tea
    first, second = draft(BEN, tea, "once", client_id="c7"), draft(BEN, tea, "twice", client_id="c7", digest=digest)
    async with connected(own_scene.database) as connection:
        (sent,) = await connection.fetch(APPEND, *batch(first))
        (again,) = await connection.fetch(APPEND, *batch(second))
        assert (sent["outcome"], again["outcome"]) == ("appended", told)
        assert (again["id"], again["seq"], again["content"]) == (first["id"], sent["seq"], "once")
        # Another's of the same name, and his own elsewhere, are others.
        rows = await connection.fetch(
            APPEND, *batch(draft(ANN, tea, client_id="c7"), draft(BEN, own_scene.late, client_id="c7"))
        )
        assert [row["outcome"] for row in rows] == ["appended", "appended"]


@pytest.mark.parametrize(("digest", "told"), [(b"as first sent", "duplicate"), (b"another", "client_id_conflict")])
@pytest.mark.parametrize("company", [False, True], ids=["alone", "in a batch"])
async def test_a_client_id_makes_one_message_under_a_race(
    own_scene: Scene, oracle: asyncpg.Connection, digest: bytes, told: str, company: bool
) -> None:
    """Two nodes hold the same draft: the second one waits for the first, and finds what it committed."""
    tea, late = own_scene.tea, own_scene.late
    if company:
        # Another sender's item goes first, and must not be taken for this one.
        tea, late = max(tea, late), min(tea, late)
    first, second = draft(BEN, tea, "once", client_id="c7"), draft(BEN, tea, "twice", client_id="c7", digest=digest)
    drafts: list[dict[str, Any]] = [draft(ANN, late, "company"), second] if company else [second]
    async with connected(own_scene.database) as one, connected(own_scene.database) as two:
        transaction = one.transaction()
        await transaction.start()
        (sent,) = await one.fetch(APPEND, *batch(first))
        racing = asyncio.create_task(two.fetch(APPEND, *batch(*drafts)))
        await until_it_waits(oracle, two)
        await transaction.commit()
        rows = {row["item"]: row for row in await racing}
    last = rows[len(drafts)]
    if last["outcome"] == "locked":  # a batch waits a tenth of a second only
        async with connected(own_scene.database) as two:
            (last,) = await two.fetch(APPEND, *batch(second))
    assert (last["outcome"], last["id"], last["seq"]) == (told, first["id"], sent["seq"])
    if company:
        assert rows[1]["outcome"] == "appended"
    seqs, _, head = await numbers(oracle, tea)
    assert seqs == list(range(1, head[0] + 1))


async def test_an_id_that_is_taken_is_no_success(own_scene: Scene) -> None:
    """Ids are made at random, so this is a mistake of ours: told as such, and never as the item before it was."""
    taken = own_scene.said[own_scene.tea][0]
    async with connected(own_scene.database) as connection:
        rows = await connection.fetch(APPEND, *batch(draft(ANN, own_scene.tea), draft(BEN, own_scene.tea, id=taken)))
        assert [(row["outcome"], row["id"] == taken) for row in rows] == [("appended", False), ("internal", False)]


async def test_the_poll_sees_what_committed_after_the_last_one(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    """A transaction that began before a poll and commits after it is in the next one."""
    touched = "select conversation_id, last_change from messenger.touched_since($1, $2)"
    async with acting(own_scene.database, ANN) as slow:
        await slow.fetch(SAY, own_scene.tea, uuid4(), "Slow")
        await own_scene.act(BEN, SAY, own_scene.late, uuid4(), "Quick")
        horizon = await oracle.fetchval("select messenger.horizon()")
    found = {row["conversation_id"]: row["last_change"] for row in await oracle.fetch(touched, horizon, [ANN])}
    assert found[own_scene.tea] == 6
    later = await oracle.fetchval("select messenger.horizon()")
    assert later > horizon
    assert await oracle.fetch(touched, later, [ANN]) == []


async def test_a_node_of_the_code_before_still_sends(own_scene: Scene) -> None:
    """`migrate` runs before nodes are replaced."""
    async with own_scene.database.as_user(ANN) as connection:
        (row,) = await connection.fetch(
            "select outcome, (message).* from messenger.append_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            *batch(draft(ANN, own_scene.tea, "from before", client_id="c")),
        )
    assert (row["outcome"], row["content"], row["seq"] > 0) == ("appended", "from before", True)
