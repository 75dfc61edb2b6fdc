"""PostgreSQL away, hung or crowded: everything is answered in time, nothing acknowledged is lost, and it heals by itself."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import Draft, Sent
from messenger.fanout import repair
from messenger.store import lanes, session
from tests.support.breakable import BreakablePostgres, BreakableRedis, stopped
from tests.support.database import Database
from tests.support.meanwhile import Sender, have_heard_all, responsive
from tests.support.node import FREE, Cluster, Node
from tests.support.people import Phone, token
from tests.support.proxy import Proxy
from tests.support.reachable import SECRET, Reachable

ANN, BEN, CYD, DEE = 1, 2, 3, 4
# Waiting for a connection and using it take 7 s at most; the rest is for a busy machine.
BOUND_S = session.ACQUIRE_S + session.USE_S + 1
# Where it is told at once that there is no database, or there is one again.
SOON_S = 2.0


# Statements get a second there; what is asked of Redis two, and what is published last one.
STOP_S = 6.0

pytestmark = pytest.mark.usefixtures("foreseen")


@dataclass
class Scene:
    """Ann sends to Ben, both on one node; Cyd only pings."""

    node: Node
    postgres: BreakablePostgres
    path: Proxy
    database: str
    tea: str
    ann: Sender
    ben: Phone
    cyd: Phone

    async def backends(self) -> list[int]:
        return await self.postgres.backends(self.database)

    async def fill_the_pool(self, *, hung: Iterable[int] = ()) -> None:
        """So many at once that every connection is needed, beside those to `hung` backends. They are made meanwhile, for which
        a busy machine may take longer than anybody waits; one that is lost is missing however long one waits."""
        listing = (self.node.client(BEN).get("/conversations") for _ in range(3 * session.POOL_SIZE))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "ACQUIRE_S", 10 * session.ACQUIRE_S)
            assert {status for status, _ in await asyncio.gather(*listing)} == {200}
        assert len(set(await self.backends()).difference(hung)) >= session.POOL_SIZE

    async def is_whole(self, *senders: Sender) -> None:
        """What was acknowledged is stored, once, and Ben has heard it, once."""
        oracle = await self.postgres.connect(self.database)
        try:
            for sender in (self.ann, *senders):
                await sender.is_stored(oracle)
                await have_heard_all(oracle, sender.conversation_id, self.ben)
        finally:
            await oracle.close()


@pytest.fixture
async def scene(fragile: Cluster, postgres: BreakablePostgres, path: Proxy, own_database: Database) -> Scene:
    node = await fragile.node(**FREE)
    tea = await node.client(ANN).group(BEN)
    ann, ben, cyd = await node.phone(ANN), await node.phone(BEN), await node.phone(CYD)
    return Scene(node, postgres, path, own_database.name, tea, Sender(ann, tea, BOUND_S), ben, cyd)


async def readiness(node: Reachable) -> tuple[int, str]:
    answer = await node.nobody().ask("GET", "//readyz")
    return answer.status, answer.body["database"]


async def ready(node: Reachable, *, expected: tuple[int, str] = (200, "ok")) -> None:
    async with asyncio.timeout(BOUND_S):
        while await readiness(node) != expected:
            await asyncio.sleep(0.02)


async def everything_fails(node: Reachable, *attempts: Awaitable[Any]) -> list[Any]:
    """What these attempts give, while REST says `unavailable` and the daemon that it is not ready."""
    calls = (node.client(BEN).get("/conversations"), node.client(BEN).get("/users/me"), readiness(node))
    (conversations, me, state), *rest = await asyncio.gather(asyncio.gather(*calls), *attempts)
    assert (conversations[0], conversations[1]["code"]) == (503, "unavailable")
    assert (me[0], me[1]["code"]) == (503, "unavailable")
    assert state == (503, "away")
    return rest


async def post(node: Reachable, conversation_id: str, client_id: str | None = None) -> tuple[int, str | None]:
    """Ben sends over REST; the status, and an error's code."""
    body = {"content": "over REST", "client_id": client_id}
    status, told = await node.client(BEN).post(f"/conversations/{conversation_id}/messages", body)
    return status, told.get("code")


async def within(bound_s: float, work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(bound_s):
        return await work


async def hold(oracle: asyncpg.Connection, conversation_id: str) -> None:
    """Somebody's open transaction."""
    await oracle.execute(
        "select from messenger.conversation_heads where conversation_id = $1 for update", UUID(conversation_id)
    )


async def until_one_waits(oracle: asyncpg.Connection) -> None:
    """For what is held."""
    waiting = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(SOON_S):
        while not await oracle.fetch(waiting):
            await oracle.execute("select pg_stat_clear_snapshot()")
            await asyncio.sleep(0.005)


async def kill_one(scene: Scene) -> None:
    """Like a segmentation fault: PostgreSQL ends every other backend and recovers. It does so once it has noticed."""
    other = await scene.postgres.connect(scene.database)
    os.kill((await scene.backends())[0], signal.SIGKILL)
    while not other.is_closed():
        await asyncio.sleep(0.001)


async def terminate_all(scene: Scene) -> None:
    """What an administrator does. The backend says goodbye first, into whatever the daemon is doing then."""
    oracle = await scene.postgres.connect(scene.database)
    await oracle.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and application_name = 'messenger'",
        scene.database,
    )
    await oracle.close()


async def cut_all(scene: Scene) -> None:
    """Every connection is reset, and PostgreSQL knows nothing of it."""
    scene.path.cut()


async def test_a_power_cut_loses_nothing_that_was_acknowledged(scene: Scene) -> None:
    async with responsive(scene.cyd):
        await scene.ann.send(5)
        sending = asyncio.create_task(scene.ann.send(20))
        await scene.postgres.fall()
        await ready(scene.node, expected=(503, "away"))
        status, told = await within(SOON_S, scene.node.client(BEN).get("/conversations"))
        assert (status, told["code"]) == (503, "unavailable")
        await scene.postgres.start()
        await ready(scene.node)
        await within(SOON_S, sending)
    assert scene.ann.refused
    assert scene.ann.slowest_s < SOON_S
    await scene.is_whole()


@pytest.mark.parametrize(("fault", "times"), [(kill_one, 1), (terminate_all, 10), (cut_all, 10)])
async def test_connections_that_end_amid_sends_are_made_anew(
    scene: Scene, fault: Callable[[Scene], Awaitable[None]], times: int
) -> None:
    async with responsive(scene.cyd):
        for _ in range(times):
            sending = asyncio.create_task(scene.ann.send(10))
            await asyncio.sleep(random.uniform(0, 0.03))  # wherever that finds it
            await fault(scene)
            await within(BOUND_S, sending)
        await ready(scene.node)
    assert scene.ann.slowest_s < SOON_S
    await scene.is_whole()


async def test_backends_that_hang_are_left_behind(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    dee = Sender(await scene.node.phone(DEE), await scene.node.client(DEE).group(BEN), BOUND_S)
    await scene.ann.send()
    await scene.fill_the_pool()
    monkeypatch.setattr(session, "USE_S", 1.0)
    with stopped(await scene.backends()):
        async with responsive(scene.cyd):
            sends = (scene.ann.attempt(), dee.attempt())
            assert await within(BOUND_S, everything_fails(scene.node, *sends)) == [False, False]
            # Nobody else has to find out: the same again goes well, and at once.
            await within(SOON_S, ready(scene.node))
            await within(SOON_S, asyncio.gather(scene.ann.send(10), dee.send(10)))
    # The old ones go on with whatever they had been asked; sent again, it is there once all the same.
    await scene.is_whole(dee)


async def test_what_a_hung_backend_commits_after_all_is_told_once(
    fragile: Cluster, postgres: BreakablePostgres, own_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No poll, so that all sends use the one connection that knows the statement by now.
    node = await fragile.node(catch_up_s=3600)
    tea = await node.client(ANN).group(BEN)
    ann, ben = Sender(await node.phone(ANN), tea, BOUND_S), await node.phone(BEN)
    await ann.send()
    monkeypatch.setattr(session, "USE_S", 0.5)
    oracle = await postgres.connect(own_database.name)
    with stopped(await postgres.backends(own_database.name)):
        assert not await ann.attempt()
    async with asyncio.timeout(BOUND_S):
        while await oracle.fetchval("select count(*) from messenger.messages") < 2:
            await asyncio.sleep(0.01)
    await ann.send(2)
    assert [frame.get("duplicate", False) for frame in ann.sent] == [False, True, False]
    await ann.is_stored(oracle)
    await have_heard_all(oracle, tea, ben)
    await oracle.close()


async def test_a_server_that_hangs_costs_nobody_his_connection(scene: Scene) -> None:
    gone = await scene.node.phone(DEE)
    await scene.node.client(DEE).group(BEN)
    await scene.ben.ask("presence", user_ids=[DEE])
    await scene.ann.send()
    crowd = [await scene.node.client(BEN).group(ANN) for _ in range(8)]
    with stopped(scene.postgres.processes()):
        async with responsive(scene.cyd):
            await gone.socket.close()
            attempts = (
                scene.ann.attempt(),
                scene.node.knock(bearer=token(DEE, SECRET)),
                # More than there are connections, so that some wait behind what hangs.
                *(post(scene.node, conversation_id) for conversation_id in crowd * 5),
            )
            answers = await within(BOUND_S, everything_fails(scene.node, *attempts))
            assert answers == [False, (1013, "overloaded")] + [(503, "unavailable")] * 40
            # Known to be away by now: new connections only.
            assert await within(session.ACQUIRE_S + 1, scene.ann.attempt()) is False
            # Who goes is said to have gone, although it cannot be written down.
            await scene.ben.hear("user.offline", user_id=DEE)
    await ready(scene.node)
    await within(SOON_S, scene.ann.send())
    assert await scene.node.phone(DEE)
    await scene.is_whole()


async def test_a_path_that_died_silently_is_left_after_one_wait(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.ann.send()
    await scene.fill_the_pool()
    monkeypatch.setattr(session, "USE_S", 1.0)
    async with responsive(scene.cyd):
        scene.path.freeze()
        assert not await scene.ann.attempt()
        # The other connections were as dead, and nobody waited for them.
        await within(SOON_S, scene.ann.send(10))
        await within(SOON_S, ready(scene.node))
    await scene.is_whole()


async def test_more_hangs_than_connections_leave_the_pool_whole(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "USE_S", 0.2)
    hung: set[int] = set()
    with ExitStack() as stack:
        while scene.ann.refused <= session.POOL_SIZE:
            fresh = set(await scene.backends()) - hung
            stack.enter_context(stopped(fresh))
            hung |= fresh
            await scene.ann.attempt()
        monkeypatch.undo()
        await scene.fill_the_pool(hung=hung)
        await scene.ann.send(10)
    await scene.is_whole()


@pytest.mark.parametrize("most", [0, 2])
async def test_connections_that_others_have_taken_are_told_at_once(scene: Scene, most: int) -> None:
    servers = scene.postgres.servers
    await scene.ann.send()
    await servers.execute(f"alter role {servers.login} connection limit {most}")
    await terminate_all(scene)
    async with responsive(scene.cyd), asyncio.timeout(BOUND_S):
        listing = (scene.node.client(BEN).get("/conversations") for _ in range(30))
        told = {(status, answer.get("code")) for status, answer in await within(SOON_S, asyncio.gather(*listing))}
        # Where there are a few, they serve whom they can.
        assert told == {(503, "unavailable")} | ({(200, None)} if most else set())
        sending = asyncio.create_task(scene.ann.send(10))
        if not most:
            await within(SOON_S, everything_fails(scene.node))
            assert not sending.done()
        await servers.execute(f"alter role {servers.login} connection limit -1")
        await within(SOON_S, sending)
        await within(SOON_S, ready(scene.node))
    await scene.is_whole()


async def test_a_conversation_that_somebody_holds_holds_up_no_other(
    cluster: Cluster, oracle: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than one waits for a lock, so that some are refused by PostgreSQL, and the others while they wait their turn.
    monkeypatch.setattr(lanes, "ANSWER_S", 2.0)
    node = await cluster.node(**FREE)
    tea = await node.client(ANN).group(BEN)
    # Some on each lane.
    others = [Sender(await node.phone(CYD), await node.client(CYD).group(BEN), SOON_S) for _ in range(6)]
    async with oracle.transaction():
        await hold(oracle, tea)
        first = asyncio.create_task(post(node, tea, "0"))
        await until_one_waits(oracle)
        held = asyncio.gather(first, *(post(node, tea, str(number)) for number in range(1, 30)))
        await asyncio.gather(*(other.send(50) for other in others))
        assert max(other.slowest_s for other in others) < SOON_S / 2
        assert not held.done()
        assert await within(BOUND_S, held) == [(503, "unavailable")] * 30
    # Some may have been let in after their sender was told that nobody knows.
    again = await asyncio.gather(*(post(node, tea, str(number)) for number in range(30)))
    assert set(again) <= {(201, None), (200, None)}
    assert await oracle.fetchval(
        "select array_agg(seq order by seq) from messenger.messages where conversation_id = $1", tea
    ) == [*range(1, 31)]


async def test_who_waits_for_a_lock_keeps_nobody_from_a_connection(
    cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    node = await cluster.node(**FREE)
    tea = await node.client(ANN).group(BEN)
    said = [await node.client(ANN).send(tea, str(number)) for number in range(session.POOL_SIZE)]
    async with oracle.transaction():
        await hold(oracle, tea)
        edits = asyncio.gather(*(node.client(ANN).patch(f"/messages/{one['id']}", {"content": "x"}) for one in said))
        await until_one_waits(oracle)
        # Well before one would give up waiting for a connection.
        status, _ = await within(0.75 * session.ACQUIRE_S, node.client(BEN).get("/conversations"))
        assert status == 200
        assert {(status, told["code"]) for status, told in await within(BOUND_S, edits)} == {(503, "unavailable")}


def say(node: Node, conversation_id: str, number: int) -> asyncio.Task[Sent]:
    draft = Draft(ConversationId(UUID(conversation_id)), str(number))
    return asyncio.create_task(node.context.messages.send(UserId(ANN), draft))


async def test_a_batch_waits_once_for_a_conversation_that_somebody_holds(
    cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    node = await cluster.node()
    tea, *others = [await node.client(ANN).group(BEN) for _ in range(12)]
    milk = next(other for other in others if (UUID(other).int - UUID(tea).int) % lanes.LANES == 0)
    async with oracle.transaction():
        await hold(oracle, tea)
        # Asked for in one breath, so in one batch; the held one comes first or last in it.
        held = [say(node, tea, number) for number in range(30)]
        assert (await within(1.5, say(node, milk, 0))).message.seq == 1
    assert [(await sent).message.seq for sent in held] == [*range(1, 31)]


async def test_what_waited_for_a_lock_is_sent_in_its_order(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    node = await cluster.node()
    tea, milk = await node.client(ANN).group(BEN), await node.client(ANN).group(BEN)
    async with oracle.transaction():
        await hold(oracle, tea)
        held = [say(node, tea, 0)]
        await until_one_waits(oracle)
        for number in range(1, 40):
            held.append(say(node, tea, number))
            await say(node, milk, number)
        assert not any(sent.done() for sent in held)
    assert [(await sent).message.seq for sent in held] == [*range(1, 41)]


async def test_a_daemon_that_is_asked_to_stop_stops_although_everything_hangs(
    fragile: Cluster, postgres: BreakablePostgres, redis: BreakableRedis
) -> None:
    daemon = await fragile.daemon(before="from messenger.store import session; session.USE_S = 1.0")
    tea = await daemon.client(ANN).group(BEN)
    ann, ben = await daemon.phone(ANN), await daemon.phone(BEN)
    with stopped(postgres.processes()):
        redis.pause()
        await ann.say("message.send", conversation_id=tea, content="into the void", ref="void")
        assert (await ben.ask("ping"))["type"] == "pong"
        daemon.send(signal.SIGTERM)
        assert await asyncio.gather(ann.closed(), ben.closed()) == [(1012, "draining")] * 2
        assert await within(STOP_S, daemon.ended()) == 0
    assert "Traceback" not in daemon.log.read_text()
    assert "never retrieved" not in daemon.log.read_text()


async def database_is_up(node: Reachable, expected: int) -> None:
    """Wait until /metrics says so."""
    async with asyncio.timeout(BOUND_S + repair.ANSWER_S):
        while f"\nmessenger_database_up {expected}.0\n" not in (await node.nobody().ask("GET", "//metrics")).text:
            await asyncio.sleep(0.02)


async def test_a_database_that_hangs_or_is_away_shows_in_the_metrics(
    fragile: Cluster, postgres: BreakablePostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "USE_S", 3600)
    monkeypatch.setattr(repair, "ANSWER_S", 0.5)
    node = await fragile.node()
    await database_is_up(node, 1)
    with stopped(postgres.processes()):
        await database_is_up(node, 0)  # although nobody has given it up
    await database_is_up(node, 1)
    await postgres.stop()
    try:
        await database_is_up(node, 0)
    finally:
        await postgres.start()
    await database_is_up(node, 1)
