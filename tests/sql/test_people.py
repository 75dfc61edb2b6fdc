"""Profiles, as tokens and the host say them; what nodes are told of people; and who was here before."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.support.scene import (
    ADD,
    ANN,
    BEN,
    BLOCK,
    CYD,
    DEE,
    DENIED,
    EVE,
    GUS,
    HAL,
    REMOVE,
    SAY,
    UNBLOCK,
    UNKNOWN,
    Scene,
    acting,
    connected,
    failed,
    refusal,
    until_it_waits,
)

ARRIVE = "select tokens_not_before, profile_version from messenger.arrive($1, $2, $3, $4, true)"
PUT = "select user_id, profile_version from messenger.put_user($1, $2, $3, $4, $5, $6)"
PROFILE = "select name, avatar_url, external_id from messenger.users where id = $1"
SINCE = "select user_id, tokens_not_before, profile_version from messenger.people_since($1) order by user_id"
HORIZON = "select messenger.horizon()"
PREFERENCES = "select apart, conversation_ids, levels, muted_until from messenger.preferences_of($1)"
# Above it are the ids of those who have only an external one.
MADE_UP = 2**52


class Registry:
    """The people of a database, as the daemon and the host go about them: on nobody's behalf."""

    def __init__(self, connection: asyncpg.Connection, oracle: asyncpg.Connection) -> None:
        self.connection = connection
        self._oracle = oracle

    async def arrive(
        self, user_id: int, issued_at: int, name: str | None = None, picture: str | None = None
    ) -> int | None:
        """The version of the profile where the token made another one of it."""
        row = await self.connection.fetchrow(ARRIVE, user_id, name, picture, issued_at)
        return row["profile_version"]  # type: ignore[no-any-return]

    async def put(self, named: int | str, **changes: str | None) -> tuple[int, int | None]:
        """The host says it: the user's id, and the version of his profile where that changed."""
        ids = (None, named) if isinstance(named, str) else (named, None)
        values = [changes.get(name) for name in ("name", "avatar_url", "external_id")]
        return tuple(await self.connection.fetchrow(PUT, *ids, list(changes), *values))  # type: ignore[return-value]

    async def profile(self, user_id: int) -> tuple[str | None, str | None, str | None]:
        return tuple(await self._oracle.fetchrow(PROFILE, user_id))  # type: ignore[return-value]


@pytest.fixture
async def registry(own_scene: Scene, oracle: asyncpg.Connection) -> Any:
    async with connected(own_scene.database) as connection:
        yield Registry(connection, oracle)


async def test_each_token_that_changes_a_profile_makes_a_version_of_it(registry: Registry) -> None:
    before = await registry.arrive(ANN, 10, "Annie")
    assert before is not None
    assert await registry.arrive(ANN, 10, "Annie") is None
    assert await registry.arrive(ANN, 20) is None
    assert await registry.arrive(ANN, 20, "Annie", "https://example.org/a.png") == before + 1
    assert await registry.arrive(ANN, 5, "Anna") is None
    assert await registry.profile(ANN) == ("Annie", "https://example.org/a.png", None)


async def test_a_token_that_says_what_is_known_outdates_older_ones_too(registry: Registry) -> None:
    await registry.arrive(ANN, 10, "Annie")
    assert await registry.arrive(ANN, 30, "Annie") is None
    assert await registry.arrive(ANN, 20, "Anna") is None
    assert (await registry.profile(ANN))[0] == "Annie"
    assert await registry.arrive(ANN, 30, "Ann") is not None


async def test_what_the_host_has_set_stays_until_it_gives_it_back(registry: Registry) -> None:
    await registry.arrive(ANN, 10, "Annie", "https://example.org/a.png")
    _, version = await registry.put(ANN, name="Dr. Ann")
    assert version is not None
    assert await registry.arrive(ANN, 20, "Anna") is None
    assert await registry.profile(ANN) == ("Dr. Ann", "https://example.org/a.png", None)
    # What it has not set is still the token's.
    assert await registry.arrive(ANN, 30, "Anna", "https://example.org/b.png") == version + 1
    assert await registry.profile(ANN) == ("Dr. Ann", "https://example.org/b.png", None)
    assert await registry.put(ANN, name="Dr. Ann") == (ANN, None)
    assert await registry.put(ANN, name=None) == (ANN, version + 2)
    assert await registry.profile(ANN) == (None, "https://example.org/b.png", None)
    assert await registry.arrive(ANN, 20, "Annie") is None  # older than one that was looked at
    assert await registry.arrive(ANN, 30, "Anna") == version + 3
    assert (await registry.profile(ANN))[0] == "Anna"


async def test_the_host_changes_what_it_names_and_nothing_else(registry: Registry) -> None:
    await registry.put(UNKNOWN)
    assert await registry.profile(UNKNOWN) == (None, None, None)
    picture = "https://example.org/x.png"
    assert await registry.put(UNKNOWN, name="Xe", avatar_url=picture, external_id="xe") == (UNKNOWN, 1)
    assert await registry.put(UNKNOWN) == (UNKNOWN, None)
    assert await registry.put(UNKNOWN, external_id="xe-2") == (UNKNOWN, None)
    assert await registry.profile(UNKNOWN) == ("Xe", picture, "xe-2")
    assert await registry.put(UNKNOWN, avatar_url=None) == (UNKNOWN, 2)
    assert await registry.put(UNKNOWN, external_id=None) == (UNKNOWN, None)
    assert await registry.profile(UNKNOWN) == ("Xe", None, None)


async def test_who_has_only_the_hosts_id_is_made_once(registry: Registry, own_scene: Scene) -> None:
    made, version = await registry.put("ann@example.org", name="Ann")
    assert MADE_UP <= made < 2**53
    assert version == 1
    assert await registry.put("ann@example.org", name="Annie") == (made, 2)
    assert await registry.profile(made) == ("Annie", None, "ann@example.org")

    async def make(number: int) -> int:
        async with connected(own_scene.database) as connection:
            row = await connection.fetchrow(PUT, None, f"both-{number % 3}", [], None, None, None)
            return row["user_id"]  # type: ignore[no-any-return]

    ids = await asyncio.gather(*(make(number) for number in range(12)))
    assert len(set(ids)) == 3


async def test_an_external_id_is_one_persons_and_a_refusal_leaves_nothing_behind(
    registry: Registry, own_scene: Scene
) -> None:
    await registry.put(ANN, external_id="ann")
    async with own_scene.database.as_user(None) as connection:
        for ids in ((BEN, None), (UNKNOWN, None), (None, "benjamin")):
            told = await refusal(connection, PUT, *ids, ["name", "external_id"], "Ben", None, "ann")
            assert told == failed("conflict", "external_id is taken")
    for ids in ((BEN, None), (UNKNOWN, None), (None, "benjamin")):
        with pytest.raises(asyncpg.PostgresError, match="conflict"):
            await registry.connection.fetchrow(PUT, *ids, ["name", "external_id"], "Ben", None, "ann")
    assert await registry.profile(BEN) == ("Ben", None, None)
    everybody = await registry.connection.fetch("select id from messenger.profiles($1)", [BEN, UNKNOWN])
    assert [row["id"] for row in everybody] == [BEN]
    assert await registry.connection.fetchval("select messenger.user_by_external_id('benjamin')") is None
    assert await registry.put(ANN, external_id=None) == (ANN, None)
    assert (await registry.put(BEN, external_id="ann"))[0] == BEN


async def test_a_later_change_has_the_higher_version_whatever_its_transaction_is_called(
    own_scene: Scene, oracle: asyncpg.Connection
) -> None:
    """Who waits for a row has his transaction's number already. By those numbers the last word would pass for an old one."""
    async with connected(own_scene.database) as slow, connected(own_scene.database) as fast:
        slower = slow.transaction()
        await slower.start()
        early = await slow.fetchval("select pg_current_xact_id()")
        first = (await fast.fetchrow(ARRIVE, ANN, "First", None, 10))["profile_version"]
        last = (await slow.fetchrow(ARRIVE, ANN, "Last", None, 10))["profile_version"]
        await slower.commit()
        assert last == first + 1
        (row,) = await fast.fetch(SINCE, early)
        assert tuple(row) == (ANN, None, last)


async def test_nobody_writes_a_profile_by_himself(scene: Scene) -> None:
    async with scene.database.as_user(ANN) as connection:
        for statement in (
            "update messenger.users set name = 'Queen' where id = 1",
            "insert into messenger.users (id, name) values (77, 'Mine')",
            "delete from messenger.users where id = 1",
            "select profile_version from messenger.users",
            "select touched from messenger.users",
            "select name_is_set from messenger.users",
            "select messenger.user_named('mine')",
        ):
            assert (await refusal(connection, statement)).state == DENIED, statement


async def test_the_host_sees_everybody_whom_there_is(registry: Registry) -> None:
    await registry.put(EVE, external_id="eve", avatar_url="https://example.org/e.png")
    await registry.put(UNKNOWN)
    rows = await registry.connection.fetch("select * from messenger.profiles($1)", [UNKNOWN, EVE, ANN, 12345])
    assert [tuple(row) for row in rows] == [
        (ANN, None, "Ann", None, None),
        (EVE, "eve", "Eve", "https://example.org/e.png", None),
        (UNKNOWN, None, f"User {UNKNOWN}", None, None),
    ]


async def test_nodes_hear_of_those_whom_something_happened_to(registry: Registry, own_scene: Scene) -> None:
    ask = registry.connection
    since = await ask.fetchval(HORIZON)
    assert await ask.fetch(SINCE, since) == []
    await registry.arrive(CYD, 1)
    await registry.put(CYD, external_id="cyd")
    await own_scene.act(CYD, "select messenger.mark_read($1, $2)", CYD, own_scene.said[own_scene.tea][0])
    assert await ask.fetch(SINCE, since) == []
    version = await registry.arrive(ANN, 10, "Annie")
    assert [tuple(row) for row in await ask.fetch(SINCE, since)] == [(ANN, None, version)]
    since = await ask.fetchval(HORIZON)
    _, version = await registry.put(CYD, name="Cy")
    assert [tuple(row) for row in await ask.fetch(SINCE, since)] == [(CYD, None, version)]
    since = await ask.fetchval(HORIZON)
    not_before = await ask.fetchval("select messenger.revoke_tokens($1)", BEN)
    assert [tuple(row) for row in await ask.fetch(SINCE, since)] == [(BEN, not_before, None)]
    for who, statement, *args in (
        (DEE, BLOCK, EVE),
        (DEE, UNBLOCK, EVE),
    ):
        since = await ask.fetchval(HORIZON)
        await own_scene.act(who, statement, *args)
        assert [tuple(row) for row in await ask.fetch(SINCE, since)] == [(DEE, None, None), (EVE, None, None)]
    for statement in (
        "insert into messenger.notification_settings (conversation_id, user_id) values ($1, 3)",
        "update messenger.notification_settings set level = 'none' where conversation_id = $1",
    ):
        since = await ask.fetchval(HORIZON)
        await own_scene.act(CYD, statement, own_scene.tea)
        assert [tuple(row) for row in await ask.fetch(SINCE, since)] == [(CYD, None, None)]
    # What was heard of before is not told again of who is heard of for something else.
    since = await ask.fetchval(HORIZON)
    await own_scene.act(ANN, BLOCK, BEN)
    assert [tuple(row) for row in await ask.fetch(SINCE, since)] == [(ANN, None, None), (BEN, None, None)]


async def test_nothing_lies_between_two_polls(own_scene: Scene) -> None:
    """What began before a poll and is committed after it is found by the next one."""
    async with connected(own_scene.database) as ask:
        async with acting(own_scene.database, DEE) as early:
            await early.execute(BLOCK, EVE)
            async with acting(own_scene.database, ANN) as other:
                await other.execute(BLOCK, BEN)
            begun = await ask.fetchval(HORIZON)
        assert {row["user_id"] for row in await ask.fetch(SINCE, begun)} >= {DEE, EVE}


async def test_preferences_are_blocks_both_ways_and_what_is_not_the_default(own_scene: Scene) -> None:
    settings = """
        insert into messenger.notification_settings as n (conversation_id, user_id, level, muted_until) values ($1, $2, $3, $4)
        on conflict on constraint notification_settings_pk do update set level = $3, muted_until = excluded.muted_until
    """
    async with connected(own_scene.database) as ask:
        later = await ask.fetchval("select date_trunc('second', now()) + interval '1 hour'")
        before = await ask.fetchval("select now() - interval '1 hour'")
        for place, level, until in (
            (own_scene.hall, "all", None),
            (own_scene.pair, "all", before),
            (own_scene.tea, "mentions", None),
            (own_scene.late, "all", later),
        ):
            await own_scene.act(ANN, settings, place, ANN, level, until)
        row = await ask.fetchrow(PREFERENCES, ANN)
        assert sorted(row["apart"]) == [GUS, HAL]
        told = zip(row["conversation_ids"], row["levels"], row["muted_until"], strict=True)
        assert sorted(told) == sorted([(own_scene.tea, "mentions", None), (own_scene.late, "all", later)])
        assert tuple(await ask.fetchrow(PREFERENCES, UNKNOWN)) == ([], [], [], [])


async def test_duties_tell_where_somebody_is_and_no_more(scene: Scene) -> None:
    async with connected(scene.database) as ask:
        rows = await ask.fetch("select messenger.conversations_of($1)", BEN)
        assert {row[0] for row in rows} == {scene.tea, scene.hall, scene.late, scene.pair}
        assert await ask.fetch("select messenger.conversations_of($1)", UNKNOWN) == []


@pytest.mark.parametrize(
    ("who", "gone"), [(ANN, [(GUS, "Gus")]), (BEN, [(GUS, "Gus")]), (GUS, []), (EVE, []), (None, [])]
)
async def test_who_left_is_told_to_those_who_are_there(scene: Scene, who: int | None, gone: list[Any]) -> None:
    async with scene.database.as_user(who) as connection:
        rows = await connection.fetch("select user_id, name from messenger.former_participants($1)", scene.tea)
        assert [tuple(row) for row in rows] == gone


async def test_who_left_before_ones_own_history_begins_is_not_told(own_scene: Scene) -> None:
    late, former = own_scene.late, "select user_id from messenger.former_participants($1)"
    await own_scene.act(ANN, ADD, late, [CYD], "member")
    await own_scene.act(ANN, REMOVE, late, DEE)
    await own_scene.act(ANN, ADD, late, [EVE], "member")
    await own_scene.act(ANN, REMOVE, late, CYD)
    expected: dict[int, list[int]] = {ANN: [CYD, DEE], BEN: [CYD, DEE], EVE: [CYD]}
    for who, gone in expected.items():
        assert [row[0] for row in await own_scene.act(who, former, late)] == gone
    await own_scene.act(ANN, ADD, late, [DEE], "member")
    assert [row[0] for row in await own_scene.act(ANN, former, late)] == [CYD]
    assert [row[0] for row in await own_scene.act(DEE, former, late)] == []


async def test_a_line_of_the_list_shows_a_few_of_the_others(own_scene: Scene) -> None:
    people, pair = "select jsonb_path_query_array(messenger.people_of($1, $2), '$[*].name')::text", own_scene.pair
    async with own_scene.database.as_user(ANN) as connection:
        assert await connection.fetchval(people, own_scene.tea, 4) == '["Ben", "Cyd"]'
        assert await connection.fetchval(people, own_scene.tea, 1) == '["Ben"]'
        assert await connection.fetchval(people, pair, 4) == '["Ben"]'
        assert await connection.fetchval(people, own_scene.den, 4) == "[]"
    await own_scene.act(BEN, REMOVE, pair, BEN)
    async with own_scene.database.as_user(ANN) as connection:
        assert await connection.fetchval(people, pair, 4) == '["Ben"]'
    for who in (BEN, EVE, None):
        async with own_scene.database.as_user(who) as connection:
            assert await connection.fetchval(people, pair, 4) == "[]"


async def test_who_writes_is_not_held_up_by_who_renames_him(own_scene: Scene) -> None:
    """A message refers to its sender; only taking his row away would have to wait for that."""
    async with connected(own_scene.database) as host, host.transaction():
        await host.fetchrow(PUT, ANN, None, ["name"], "Dr. Ann", None, None)
        async with own_scene.database.as_user(ANN) as connection:
            await connection.execute("set local lock_timeout = '100ms'")
            assert len(await connection.fetch(SAY, own_scene.tea, uuid4(), "Hello")) == 1


async def test_of_two_who_take_an_external_id_at_once_one_gets_it(own_scene: Scene, oracle: asyncpg.Connection) -> None:
    async with connected(own_scene.database) as one, connected(own_scene.database) as two:
        async with one.transaction():
            await one.fetchrow(PUT, ANN, None, ["external_id"], None, None, "a")
            waiting = asyncio.create_task(two.fetchrow(PUT, BEN, None, ["external_id"], None, None, "a"))
            await until_it_waits(oracle, two)
        with pytest.raises(asyncpg.PostgresError, match="conflict"):
            await waiting
