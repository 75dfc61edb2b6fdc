"""The outbox: filled with the message and only with it, emptied once, and handed out to whoever wants to be told."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from messenger.domain.ids import uuid7
from tests.support.database import Database
from tests.support.scene import (
    ANN,
    APPEND,
    APPEND_AND_TELL,
    BEN,
    BURY,
    CYD,
    DEE,
    DENIED,
    DEVICE,
    EVE,
    GUS,
    HAL,
    HAND_OUT,
    PUT_OUT,
    READ,
    SET_ROLE,
    Scene,
    act,
    batch,
    connected,
    draft,
    endpoint_of,
    outcome,
    refusal,
    until_it_waits,
)

AUDIENCE = (
    "select user_id, mentioned, push_enabled, email_enabled from messenger.audience(array[$1::uuid], array[$2::uuid])"
)
CLAIM = "select * from messenger.claim_deliveries($1, $2, $3)"
SETTLE = "select messenger.settle_delivery($1, $2, $3)"
PUT_OFF = "select messenger.put_off_delivery($1, $2, $3, $4)"
WISH = """
    insert into messenger.notification_settings (conversation_id, user_id, level, muted_until, push_enabled, email_enabled)
    values ($1, $2, $3, now() + $4, $5, $6)
    on conflict (conversation_id, user_id) do update set level = excluded.level, muted_until = excluded.muted_until,
        push_enabled = excluded.push_enabled, email_enabled = excluded.email_enabled
"""
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def oracle(own_scene: Scene) -> AsyncIterator[asyncpg.Connection]:
    """Sees the test's own scene as it is, with nothing in the outbox yet."""
    connection = await asyncpg.connect(own_scene.database.admin_url)
    await connection.execute("delete from messenger.outbox; delete from messenger.deliveries")
    yield connection
    await connection.close()


async def waiting(oracle: asyncpg.Connection) -> set[UUID]:
    return {row[0] for row in await oracle.fetch("select message_id from messenger.outbox")}


async def said(scene: Scene, sender: int, place: UUID, **more: Any) -> UUID:
    """Send something that somebody away may have to be told of; its id."""
    item = draft(sender, place, id=uuid7(), **more)
    async with connected(scene.database) as connection:
        (row,) = await connection.fetch(APPEND_AND_TELL, *batch(item))
    assert row["outcome"] == "appended"
    message_id: UUID = row["id"]
    return message_id


async def wish(
    scene: Scene,
    user_id: int,
    level: str = "all",
    muted: timedelta | None = None,
    push: bool = True,
    email: bool = False,
) -> None:
    await act(scene.database, user_id, WISH, scene.tea, user_id, level, muted, push, email)


async def audience(scene: Scene, place: UUID, message_id: UUID) -> dict[int, tuple[bool, bool, bool]]:
    async with connected(scene.database) as connection:
        rows = await connection.fetch(AUDIENCE, place, message_id)
    assert len(rows) == len({row["user_id"] for row in rows})
    return {row["user_id"]: tuple(row)[1:] for row in rows}


async def test_a_message_and_its_row_are_of_one_transaction(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    item = draft(ANN, own_scene.tea)
    async with connected(own_scene.database) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch(APPEND_AND_TELL, *batch(item))
        (row,) = await connection.fetch("select * from messenger.waiting_messages(10)")
        assert tuple(row) == (own_scene.tea, item["id"], 3)
        assert await waiting(oracle) == set()
        await transaction.rollback()
    assert await waiting(oracle) == set()
    assert await oracle.fetchval("select count(*) from messenger.messages where id = $1", item["id"]) == 0


async def test_of_a_batch_only_what_was_stored_is_put_out(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    first = draft(ANN, own_scene.tea, id=uuid7(), client_id="of the batch")
    fine = draft(BEN, own_scene.pair, id=uuid7())
    items = [
        first,
        draft(ANN, own_scene.tea, client_id="of the batch"),  # the same again
        draft(ANN, own_scene.tea, client_id="of the batch", digest=b"another request"),
        draft(EVE, own_scene.tea),  # a stranger
        draft(CYD, own_scene.tea),  # an observer
        draft(ANN, own_scene.tea, reply_to=uuid4()),
        draft(ANN, own_scene.tea, type="system"),
        fine,
    ]
    async with connected(own_scene.database) as connection:
        rows = await connection.fetch(APPEND_AND_TELL, *batch(*items))
        assert sorted(row["outcome"] for row in rows) == [
            *("appended", "appended", "client_id_conflict", "duplicate"),
            *("forbidden", "forbidden", "message_not_found", "not_participant"),
        ]
        assert await waiting(oracle) == {first["id"], fine["id"]}
        # And a retry in a batch of its own.
        (again,) = await connection.fetch(APPEND_AND_TELL, *batch({**first, "id": uuid4()}))
    assert again["outcome"] == "duplicate"
    assert await waiting(oracle) == {first["id"], fine["id"]}


async def test_where_nothing_is_configured_nothing_is_put_out(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    async with connected(own_scene.database) as connection:
        (row,) = await connection.fetch(APPEND, *batch(draft(ANN, own_scene.tea)))
    assert row["outcome"] == "appended"
    assert await waiting(oracle) == set()


async def test_system_entries_tell_nobody(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    await act(own_scene.database, ANN, SET_ROLE, own_scene.tea, BEN, "observer")
    assert await waiting(oracle) == set()
    told = await oracle.fetchval("select id from messenger.messages where message_type = 'system' limit 1")
    assert await audience(own_scene, own_scene.tea, told) == {}


async def test_all_but_the_sender_are_told_by_default(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    await oracle.execute("delete from messenger.notification_settings")
    plain = (False, True, False)
    tea = await said(own_scene, ANN, own_scene.tea)
    assert await audience(own_scene, own_scene.tea, tea) == {BEN: plain, CYD: plain}  # Gus has left, Eve is a stranger
    assert await audience(own_scene, own_scene.hall, tea) == {}  # it is not of that conversation
    pair = await said(own_scene, BEN, own_scene.pair)
    assert await audience(own_scene, own_scene.pair, pair) == {ANN: plain}
    assert await audience(own_scene, own_scene.tea, uuid4()) == {}


@pytest.mark.parametrize(
    ("settings", "is_told", "is_told_if_mentioned"),
    [
        ({}, True, True),
        ({"level": "mentions"}, False, True),
        ({"level": "none"}, False, False),
        ({"muted": MINUTE}, False, False),
        ({"muted": -MINUTE}, True, True),
        ({"level": "mentions", "muted": -MINUTE}, False, True),
        ({"level": "none", "muted": -MINUTE}, False, False),
        ({"push": False, "email": True}, True, True),
        ({"push": False, "email": False}, False, False),
        ({"push": True, "email": True}, True, True),
    ],
)
async def test_somebody_is_told_as_his_settings_say(
    own_scene: Scene,
    oracle: asyncpg.Connection,
    settings: dict[str, Any],
    is_told: bool,
    is_told_if_mentioned: bool,
) -> None:
    await wish(own_scene, BEN, **settings)
    for mentions, expected in (([], is_told), ([BEN], is_told_if_mentioned)):
        message_id = await said(own_scene, ANN, own_scene.tea, mentions=mentions)
        told = await audience(own_scene, own_scene.tea, message_id)
        assert told.pop(CYD) == (False, True, False)
        flags = (bool(mentions), settings.get("push", True), settings.get("email", False))
        assert told == ({BEN: flags} if expected else {})


@pytest.mark.parametrize(("blocker", "blocked"), [(ANN, BEN), (BEN, ANN)])
async def test_between_two_of_whom_one_blocks_the_other_nobody_is_told(
    own_scene: Scene, oracle: asyncpg.Connection, blocker: int, blocked: int
) -> None:
    await oracle.execute("delete from messenger.notification_settings")
    message_id = await said(own_scene, ANN, own_scene.tea)
    assert {BEN, CYD} == (await audience(own_scene, own_scene.tea, message_id)).keys()
    await oracle.execute("insert into messenger.blocks (user_id, blocked_id) values ($1, $2)", blocker, blocked)
    assert {CYD} == (await audience(own_scene, own_scene.tea, message_id)).keys()


async def test_nobody_is_told_of_what_is_gone_read_hidden_or_old(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    await oracle.execute("delete from messenger.notification_settings")
    read = await said(own_scene, ANN, own_scene.tea)
    await act(own_scene.database, BEN, READ, BEN, read)
    assert (await audience(own_scene, own_scene.tea, read)).keys() == {CYD}
    later = await said(own_scene, ANN, own_scene.tea)
    assert (await audience(own_scene, own_scene.tea, later)).keys() == {BEN, CYD}
    buried = await said(own_scene, ANN, own_scene.tea)
    await act(own_scene.database, ANN, BURY, buried)
    assert await audience(own_scene, own_scene.tea, buried) == {}
    # Dee came when three messages had been said; Ben may see them all.
    await oracle.execute("delete from messenger.read_receipts")
    assert (await audience(own_scene, own_scene.late, own_scene.said[own_scene.late][0])).keys() == {BEN}
    assert DEE in await audience(own_scene, own_scene.late, await said(own_scene, ANN, own_scene.late))
    await oracle.execute("alter table messenger.messages disable trigger user")
    await oracle.execute("update messenger.messages set created_at = now() - interval '25 hours' where id = $1", later)
    assert await audience(own_scene, own_scene.tea, later) == {}


async def test_the_host_is_told_its_own_ids_and_what_is_unread(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    await oracle.execute("delete from messenger.notification_settings; delete from messenger.read_receipts")
    await oracle.execute("update messenger.users set external_id = 'ben' where id = $1", BEN)
    (before,) = await oracle.fetch(
        "select count(*) from messenger.messages where conversation_id = $1 and sender_id = $2 and message_type = 'text'",
        own_scene.tea,
        ANN,
    )
    message_id = await said(own_scene, ANN, own_scene.tea, mentions=[CYD])
    asked = "select * from messenger.recipients($1, $2, $3)"
    async with connected(own_scene.database) as connection:
        rows = await connection.fetch(asked, own_scene.tea, message_id, [BEN, ANN, EVE])
        assert [tuple(row) for row in rows] == [(BEN, "ben", False, True, False, before["count"] + 1)]
        # Ben's own words are unread to Cyd, and system entries to nobody.
        (row,) = await connection.fetch(asked, own_scene.tea, message_id, [CYD])
        assert tuple(row) == (CYD, None, True, True, False, before["count"] + 2)
    await act(own_scene.database, BEN, READ, BEN, own_scene.said[own_scene.tea][0])
    async with connected(own_scene.database) as connection:
        (row,) = await connection.fetch(asked, own_scene.tea, message_id, [BEN])
    assert row["unread_count"] == before["count"]


async def test_unread_is_counted_up_to_a_thousand(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    """Who never reads a large conversation costs no more than that."""
    async with oracle.transaction():
        await oracle.execute("select messenger.enter($1)", ANN)
        await oracle.execute(
            """
            insert into messenger.messages (conversation_id, id, sender_id, content)
            select $1, gen_random_uuid(), $2, n::text from generate_series(1, 1010) as n
            """,
            own_scene.tea,
            ANN,
        )
    message_id = await said(own_scene, ANN, own_scene.tea)
    async with connected(own_scene.database) as connection:
        rows = await connection.fetch(
            "select user_id, unread_count from messenger.recipients($1, $2, $3)", own_scene.tea, message_id, [CYD]
        )
    assert [tuple(row) for row in rows] == [(CYD, 1000)]


async def hand_out(
    scene: Scene, message_ids: list[UUID], told: list[tuple[UUID, int, bool]], later: tuple[int, ...] = ()
) -> int:
    async with connected(scene.database) as connection:
        columns = (list(each) for each in zip(*((*one, one[1] in later) for one in told), strict=True))
        taken: int = await connection.fetchval(HAND_OUT, message_ids, *columns, MINUTE)
        return taken


async def test_a_message_is_handed_out_once(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    """Its row goes with the notes of it; who comes second finds none."""
    message_id = await said(own_scene, ANN, own_scene.tea)
    other = await said(own_scene, ANN, own_scene.tea)
    told = [(message_id, BEN, True), (message_id, CYD, True), (other, BEN, False)]
    assert await hand_out(own_scene, [message_id], told) == 1
    assert await waiting(oracle) == {other}
    assert await hand_out(own_scene, [message_id], told) == 0
    (device,) = await oracle.fetch("select id from messenger.push_devices where user_id = $1", BEN)
    rows = await oracle.fetch(
        "select channel, message_id, user_ids, device_id from messenger.deliveries order by channel"
    )
    assert [tuple(row) for row in rows] == [
        ("web_push", message_id, [BEN], device["id"]),  # Cyd has no device
        ("webhook", message_id, [BEN, CYD], None),
    ]


async def test_who_wants_no_push_of_one_message_may_want_it_of_another(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    quiet, loud = await said(own_scene, ANN, own_scene.tea), await said(own_scene, ANN, own_scene.tea)
    assert await hand_out(own_scene, [quiet, loud], [(quiet, BEN, False), (loud, BEN, True)]) == 2
    rows = await oracle.fetch("select message_id from messenger.deliveries where channel = 'web_push'")
    assert [row["message_id"] for row in rows] == [loud]


async def test_what_one_node_has_in_hand_another_passes_over(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    first, second = await said(own_scene, ANN, own_scene.tea), await said(own_scene, ANN, own_scene.tea)
    async with connected(own_scene.database) as one, one.transaction():
        assert await one.fetchval(HAND_OUT, [first], [first], [BEN], [False], [False], MINUTE) == 1
        told = [(first, BEN, False), (second, BEN, False)]
        assert await hand_out(own_scene, [first, second], told) == 1
    rows = await oracle.fetch("select message_id from messenger.deliveries order by message_id")
    assert [row["message_id"] for row in rows] == sorted([first, second])


async def test_a_crowd_is_told_five_hundred_at_once(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    message_id = await said(own_scene, ANN, own_scene.tea)
    assert await hand_out(own_scene, [message_id], [(message_id, user_id, False) for user_id in range(1, 1202)]) == 1
    rows = await oracle.fetch("select user_ids from messenger.deliveries order by user_ids[1]")
    assert [row["user_ids"] for row in rows] == [
        list(range(1, 501)),
        list(range(501, 1001)),
        list(range(1001, 1202)),
    ]


async def test_who_was_here_a_moment_ago_is_told_later_than_the_others(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    message_id = await said(own_scene, ANN, own_scene.tea)
    told = [(message_id, user_id, True) for user_id in (BEN, CYD, EVE)]
    assert await hand_out(own_scene, [message_id], told, later=(BEN, CYD)) == 1
    rows = await oracle.fetch(
        "select channel, user_ids, due_at > now() + interval '50 seconds' from messenger.deliveries order by channel, user_ids"
    )
    assert [tuple(row) for row in rows] == [
        ("web_push", [BEN], True),
        ("web_push", [EVE], False),
        ("webhook", [BEN, CYD], True),
        ("webhook", [EVE], False),
    ]


async def test_it_is_told_how_long_ago_somebody_was_here(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    await oracle.execute("delete from messenger.notification_settings")
    await oracle.execute("update messenger.users set last_seen_at = now() - $1::interval where id = $2", MINUTE, BEN)
    message_id = await said(own_scene, ANN, own_scene.tea)
    async with connected(own_scene.database) as connection:
        rows = await connection.fetch(
            "select user_id, seen_s from messenger.audience(array[$1::uuid], array[$2::uuid])",
            own_scene.tea,
            message_id,
        )
    seen = {row["user_id"]: row["seen_s"] for row in rows}
    assert (seen[CYD], 59 < seen[BEN] < 75) == (None, True)


async def test_a_device_that_goes_at_this_moment_is_passed_over(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    message_id = await said(own_scene, ANN, own_scene.tea)
    async with connected(own_scene.database) as one:
        async with oracle.transaction():
            await oracle.execute("delete from messenger.push_devices where user_id = $1", BEN)
            handing = asyncio.create_task(
                one.fetchval(HAND_OUT, [message_id], [message_id], [BEN], [True], [False], MINUTE)
            )
            async with asyncio.timeout(10):
                await until_it_waits(oracle, one)
        assert await handing == 1
    rows = await oracle.fetch("select channel from messenger.deliveries")
    assert [row["channel"] for row in rows] == ["webhook"]


@pytest.fixture
async def due(own_scene: Scene, oracle: asyncpg.Connection) -> list[UUID]:
    """Three deliveries by the webhook, the one that is due longest first, which was noted last."""
    rows = await oracle.fetch(
        """
        insert into messenger.deliveries (channel, conversation_id, message_id, user_ids, due_at)
        select 'webhook', $1, gen_random_uuid(), '{2}', now() - n * interval '1 second' from generate_series(1, 3) as n
        returning id, due_at
        """,
        own_scene.tea,
    )
    return [row["id"] for row in sorted(rows, key=lambda row: row["due_at"])]


async def claim(database: Database, most: int = 10, channel: str = "webhook") -> list[asyncpg.Record]:
    async with connected(database) as connection:
        rows: list[asyncpg.Record] = await connection.fetch(CLAIM, channel, most, MINUTE)
        return rows


async def test_what_is_due_longest_is_taken_first_and_by_one_only(own_scene: Scene, due: list[UUID]) -> None:
    async with connected(own_scene.database) as one, connected(own_scene.database) as other:
        await one.execute("set enable_indexscan = off; set enable_bitmapscan = off")  # whichever way it is planned
        async with one.transaction():
            (first,) = await one.fetch(CLAIM, "webhook", 1, MINUTE)
            rest = await other.fetch(CLAIM, "webhook", 10, MINUTE)  # without waiting for the first
        assert [first["id"], *sorted([row["id"] for row in rest], key=due.index)] == due
        assert await other.fetch(CLAIM, "webhook", 10, MINUTE) == []
    assert {row["attempts"] for row in (first, *rest)} == {1}


async def test_a_channel_is_taken_by_itself(own_scene: Scene, due: list[UUID]) -> None:
    assert await claim(own_scene.database, channel="web_push") == []
    assert len(await claim(own_scene.database)) == 3


async def test_after_its_lease_a_delivery_is_somebody_elses(
    own_scene: Scene, due: list[UUID], oracle: asyncpg.Connection
) -> None:
    """Whoever had it before changes nothing of it any more."""
    (mine,) = await claim(own_scene.database, 1)
    await oracle.execute(
        "update messenger.deliveries set due_at = now() - $2::interval where id = $1", mine["id"], MINUTE
    )
    (theirs,) = await claim(own_scene.database, 1)
    assert (theirs["id"], theirs["attempts"]) == (mine["id"], 2)
    async with connected(own_scene.database) as connection:
        await connection.execute(SETTLE, mine["id"], mine["attempts"], True)
        await connection.execute(PUT_OFF, mine["id"], mine["attempts"], "late", None)
        assert await oracle.fetchval(
            "select (attempts, last_error, dead_at) from messenger.deliveries where id = $1", mine["id"]
        ) == (2, None, None)
        await connection.execute(SETTLE, theirs["id"], theirs["attempts"], True)
    assert await oracle.fetchval("select count(*) from messenger.deliveries where id = $1", mine["id"]) == 0


async def test_what_failed_comes_again_later_and_what_is_given_up_never(
    own_scene: Scene, due: list[UUID], oracle: asyncpg.Connection
) -> None:
    async with connected(own_scene.database) as connection:
        for again in (MINUTE, None):
            (taken,) = await claim(own_scene.database, 1)
            await connection.execute(PUT_OFF, taken["id"], taken["attempts"], "status 503", again)
    rows = await oracle.fetch(
        "select attempts, last_error, due_at > now() + interval '50 seconds' as later, dead_at is not null as dead"
        " from messenger.deliveries where id = any ($1) order by dead_at nulls first",
        due[:2],
    )
    assert [tuple(row) for row in rows] == [(1, "status 503", True, False), (1, "status 503", False, True)]
    assert [row["id"] for row in await claim(own_scene.database)] == due[2:]
    assert await claim(own_scene.database) == []


async def test_what_was_given_up_is_forgotten_after_a_month(
    own_scene: Scene, due: list[UUID], oracle: asyncpg.Connection
) -> None:
    await oracle.execute(
        "update messenger.deliveries set created_at = now() - interval '31 days', dead_at = now() where id = $1", due[0]
    )
    await oracle.execute(
        "update messenger.deliveries set created_at = now() - interval '29 days', dead_at = now() where id = $1", due[1]
    )
    async with connected(own_scene.database) as connection:
        await connection.execute("select messenger.clear_deliveries()")
        assert await connection.fetchval("select messenger.count_waiting()") == 1  # the dead wait for nothing
    rows = await oracle.fetch("select id from messenger.deliveries")
    assert {row["id"] for row in rows} == set(due[1:])


async def pushes(oracle: asyncpg.Connection, scene: Scene, count: int) -> list[UUID]:
    """Deliveries to Ben's one device, all due."""
    rows = await oracle.fetch(
        """
        insert into messenger.deliveries (channel, conversation_id, message_id, user_ids, device_id, due_at)
        select 'web_push', $1, gen_random_uuid(), array[d.user_id], d.id, now() - interval '1 second'
        from messenger.push_devices d, generate_series(1, $2) where d.user_id = $3 returning id
        """,
        scene.tea,
        count,
        BEN,
    )
    return [row["id"] for row in rows]


RESTS = "select failures, resting_until - now() from messenger.push_devices where user_id = $1"


async def test_a_device_that_hangs_rests_longer_each_time_and_is_tried_once_then(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    """So that whoever registers an address that never answers takes nobody's time but a little."""
    ids = await pushes(oracle, own_scene, 5)
    async with connected(own_scene.database) as connection:
        for rounds, seconds in enumerate((5, 20, 80, 300, 300), start=1):
            (taken,) = await claim(own_scene.database, 1, "web_push")
            assert taken["id"] in ids
            await connection.execute(PUT_OFF, taken["id"], taken["attempts"], "timeout", timedelta(seconds=1))
            failures, rests = tuple(await oracle.fetchrow(RESTS, BEN))
            assert failures == rounds
            assert seconds - 5 < rests.total_seconds() <= seconds
            assert await claim(own_scene.database, 10, "web_push") == []
            # When it has rested, one is due, and the others wait for what comes of it.
            soon = timedelta(seconds=seconds + 1)
            await oracle.execute("update messenger.push_devices set resting_until = resting_until - $1::interval", soon)
            await oracle.execute("update messenger.deliveries set due_at = due_at - $1::interval", soon)
        (taken,) = await claim(own_scene.database, 10, "web_push")
        await connection.execute(SETTLE, taken["id"], taken["attempts"], True)
    assert tuple(await oracle.fetchrow(RESTS, BEN)) == (0, None)


async def test_failures_of_one_moment_are_one(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    await pushes(oracle, own_scene, 3)
    async with connected(own_scene.database) as connection:
        for taken in await claim(own_scene.database, 3, "web_push"):
            await connection.execute(PUT_OFF, taken["id"], taken["attempts"], "timeout", timedelta(seconds=1))
    assert (await oracle.fetchrow(RESTS, BEN))["failures"] == 1


async def test_what_ends_at_once_for_one_device_does_not_wait_in_a_circle(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    """Each end of a delivery touches its device, and a failure all that is meant for it."""
    for _ in range(10):
        await pushes(oracle, own_scene, 8)
        await oracle.execute("update messenger.push_devices set failures = 1, resting_until = null")
        taken = await claim(own_scene.database, 8, "web_push")
        assert len(taken) == 8

        async def end(rows: list[asyncpg.Record]) -> None:
            async with connected(own_scene.database) as connection:
                for place, row in enumerate(rows):
                    if place % 2:
                        await connection.execute(PUT_OFF, row["id"], row["attempts"], "timeout", MINUTE)
                    else:
                        await connection.execute(SETTLE, row["id"], row["attempts"], True)

        await asyncio.gather(*(end(taken[part::4]) for part in range(4)))
        await oracle.execute("delete from messenger.deliveries")


async def test_what_is_new_for_a_device_that_rests_waits_too(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    await oracle.execute(
        "update messenger.push_devices set resting_until = now() + $1::interval where user_id = $2", MINUTE, BEN
    )
    message_id = await said(own_scene, ANN, own_scene.tea)
    await hand_out(own_scene, [message_id], [(message_id, BEN, True)])
    assert await claim(own_scene.database, 10, "web_push") == []
    assert len(await claim(own_scene.database)) == 1


async def test_a_user_sees_and_removes_his_own_devices_only(scene: Scene) -> None:
    """Least of all another one's keys."""
    for owner in (BEN, EVE):
        async with scene.database.as_user(owner) as connection:
            rows = await connection.fetch("select user_id, endpoint, p256dh, auth from messenger.push_devices")
            assert [tuple(row) for row in rows] == [(owner, endpoint_of(owner), "a public key", "a secret")]
            assert await connection.execute("delete from messenger.push_devices") == "DELETE 1"
    for other in (ANN, HAL, GUS, None):
        async with scene.database.as_user(other) as connection:
            assert await connection.fetch("select id, auth from messenger.push_devices") == []
            assert await connection.execute("delete from messenger.push_devices") == "DELETE 0"


async def test_a_user_writes_no_device_past_the_function(scene: Scene) -> None:
    async with scene.database.as_user(BEN) as connection:
        for statement in (
            "insert into messenger.push_devices (user_id, endpoint, p256dh, auth) values (2, 'x', 'x', 'x')",
            "update messenger.push_devices set endpoint = 'x'",
            "update messenger.push_devices set user_id = 1",
        ):
            assert (await refusal(connection, statement)).state == DENIED


async def test_nobody_reads_or_writes_what_waits(scene: Scene) -> None:
    for somebody in (ANN, BEN, EVE, None):
        async with scene.database.as_user(somebody) as connection:
            for table in ("outbox", "deliveries"):
                for statement in (
                    f"select from messenger.{table}",
                    f"insert into messenger.{table} default values",
                    f"update messenger.{table} set message_id = message_id",
                    f"delete from messenger.{table}",
                ):
                    assert (await refusal(connection, statement)).state == DENIED, statement


async def test_an_address_that_was_anothers_is_ones_own_and_nothing_of_his_goes_there(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    """A browser that two people share: who logged in last is told there, and of what is his."""
    await pushes(oracle, own_scene, 2)
    (bens,) = await oracle.fetch("select id from messenger.push_devices where user_id = $1", BEN)
    (row,) = await act(own_scene.database, HAL, DEVICE, endpoint_of(BEN), "Ours")
    assert (row["endpoint"], row["name"]) == (endpoint_of(BEN), "Ours")
    assert row["id"] != bens["id"]
    rows = await oracle.fetch("select user_id from messenger.push_devices where endpoint = $1", endpoint_of(BEN))
    assert [row["user_id"] for row in rows] == [HAL]
    assert await oracle.fetch("select from messenger.deliveries") == []


async def test_registering_again_renews_and_wakes_it(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    await oracle.execute("update messenger.push_devices set failures = 3, resting_until = now() + interval '1 hour'")
    (before,) = await oracle.fetch("select * from messenger.push_devices where user_id = $1", BEN)
    (row,) = await act(own_scene.database, BEN, DEVICE, endpoint_of(BEN), "Mine")
    assert tuple(row) == (before["id"], endpoint_of(BEN), "Mine", before["created_at"])
    (after,) = await oracle.fetch("select * from messenger.push_devices where user_id = $1", BEN)
    assert (after["failures"], after["resting_until"]) == (0, None)
    assert after["renewed_at"] > before["renewed_at"]


async def test_of_more_than_twenty_devices_the_oldest_goes(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    for number in range(19):
        await act(own_scene.database, BEN, DEVICE, f"https://push.example.org/{number}", None)
    await act(own_scene.database, BEN, DEVICE, endpoint_of(BEN), None)  # the very first one, renewed
    await act(own_scene.database, BEN, DEVICE, "https://push.example.org/19", None)
    rows = await oracle.fetch("select endpoint from messenger.push_devices where user_id = $1", BEN)
    assert {row["endpoint"] for row in rows} == {
        endpoint_of(BEN),
        *(f"https://push.example.org/{number}" for number in range(1, 20)),
    }
    assert await oracle.fetchval("select count(*) from messenger.push_devices where user_id = $1", EVE) == 1


async def test_two_who_register_one_address_at_once_leave_it_to_one(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    endpoint = "https://push.example.org/shared"
    async with connected(own_scene.database) as one, connected(own_scene.database) as other:
        first, second = one.transaction(), other.transaction()
        await first.start()
        await second.start()
        await one.execute("select messenger.enter($1)", ANN)
        await other.execute("select messenger.enter($1)", HAL)
        await one.fetch(DEVICE, endpoint, None)
        late = asyncio.create_task(other.fetch(DEVICE, endpoint, None))
        await until_it_waits(oracle, other)
        await first.commit()
        assert len(await late) == 1
        await second.commit()
    rows = await oracle.fetch("select user_id from messenger.push_devices where endpoint = $1", endpoint)
    assert [row["user_id"] for row in rows] == [HAL]


async def test_nobody_registers_a_device_for_nobody(scene: Scene) -> None:
    async with scene.database.as_user(None) as connection:
        told = await outcome(connection, DEVICE, "https://push.example.org/nobody", None)
        assert not isinstance(told, str)
        assert (told.state, told.column) == ("23502", "user_id")


async def test_putting_out_tells_nothing_of_a_message(scene: Scene) -> None:
    async with scene.database.as_user(EVE) as connection:
        told = {
            await outcome(connection, PUT_OUT, [scene.tea], [message_id], forget=(message_id,))
            for message_id in (scene.said[scene.tea][1], uuid4())  # the first of them waits
        }
    assert len(told) == 1
