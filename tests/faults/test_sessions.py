"""Live sessions (dialect A) while something breaks: guests miss nothing, hear nothing twice, and nothing of them stays."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import pytest

from messenger.bus import subscriber
from messenger.dialects.places import HALL
from messenger.service import sessions
from tests.faults.test_redis import NO_POLL, bus_is
from tests.support.breakable import BreakablePostgres, BreakableRedis
from tests.support.node import FREE, Cluster, Node
from tests.support.sessions import Ear, Frame, LiveSession, answered, ask, ear, join, knock, open_session

ANN = 1
TTL_S = 2.0


@dataclass
class Class:
    """A session whose guests are on two nodes, one of which asks the database for nothing that the bus loses."""

    near: Node
    far: Node
    bees: LiveSession
    ben: Ear
    ears: tuple[Ear, ...]
    oracle: asyncpg.Connection
    said: int = 0

    async def say(self, count: int) -> None:
        """Each is heard at once by who is on the same node."""
        for _ in range(count):
            await self.ben.say({"type": "question" if self.said % 2 else "chat_message", "content": str(self.said)})
            self.said += 1

    async def have_heard_all(self) -> None:
        rows = await self.oracle.fetch(
            "select id::text from messenger.messages where conversation_id = $1 and message_type <> 'system' order by seq",
            self.bees.id,
        )
        while len(rows) < self.said:
            await asyncio.sleep(0.02)
            rows = await self.oracle.fetch(
                "select id::text from messenger.messages "
                "where conversation_id = $1 and message_type <> 'system' order by seq",
                self.bees.id,
            )
        for ears in self.ears:
            heard: list[Frame] = []
            while len(heard) < self.said:
                kind = "question" if len(heard) % 2 else "chat_message"
                heard.append(await ears.hear(kind, content=str(len(heard))))
            assert [frame["message_id"] for frame in heard] == [row["id"] for row in rows]
        # Nothing twice, and no other word: it would stand among what nobody asked for.
        for ears in self.ears:
            types = [frame["type"] for frame in await ears.heard()]
            assert not {"question", "chat_message", "error"} & set(types), types


@pytest.fixture
async def bees(cluster: Cluster, oracle: asyncpg.Connection) -> AsyncIterator[Class]:
    near, far = await cluster.node(**FREE), await cluster.node(**NO_POLL)
    await bus_is(near, "ok")
    await bus_is(far, "ok")
    session = await open_session(near, ANN)
    ben, cyd, dee = [await session.join(near, name) for name in ("Ben", "Cyd", "Dee")]
    async with AsyncExitStack() as stack:
        places = ((near, ben), (near, cyd), (far, dee), (far, ben), (far, session.seat))
        ears = [await stack.enter_async_context(session.ear(node, seat)) for node, seat in places]
        yield Class(near, far, session, ears[0], tuple(ears), oracle)


async def test_while_redis_is_away_and_comes_back_guests_miss_nothing(bees: Class, redis: BreakableRedis) -> None:
    for _ in range(2):
        await bees.say(10)
        redis.kill()
        await bus_is(bees.near, "degraded")
        await bees.say(10)
        redis.start()
        await bus_is(bees.near, "ok")
        await bus_is(bees.far, "ok")
        await bees.say(10)
    await bees.have_heard_all()


async def test_while_redis_hangs_guests_miss_nothing(
    bees: Class, redis: BreakableRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "SILENCE_S", 0.5)
    redis.pause()
    await bees.say(10)
    await bus_is(bees.near, "degraded")
    await bees.say(10)
    redis.resume()
    await bus_is(bees.near, "ok")
    await bus_is(bees.far, "ok")
    await bees.say(10)
    await bees.have_heard_all()


async def test_while_redis_is_away_guests_come_in_and_hear(bees: Class, redis: BreakableRedis) -> None:
    redis.kill()
    await bus_is(bees.near, "degraded")
    eve = await bees.bees.join(bees.near, "Eve")
    async with bees.bees.ear(bees.near, eve) as eves:
        await eves.say({"type": "chat_message", "content": "Hi"})
        for ears in (eves, bees.ears[0], bees.ears[1]):
            assert (await ears.hear("chat_message", content="Hi"))["participant_nickname"] == "Eve"
        path = f"/sessions/{bees.bees.code}/state"
        for method, body in (("PUT", {"slide": 1}), ("GET", None)):
            status, told = await ask(bees.near, method, path, bees.bees.seat.token, body)
            assert (status, told["code"]) == (503, "unavailable")
        assert (await bees.bees.status(bees.near))["total_participants"] == 4
        redis.start()
        await bus_is(bees.far, "ok")
        assert (await bees.ears[2].hear("chat_message", content="Hi"))["participant_nickname"] == "Eve"


async def test_closing_reaches_the_other_node_once_redis_is_back(bees: Class, redis: BreakableRedis) -> None:
    redis.kill()
    await bus_is(bees.near, "degraded")
    assert (await bees.bees.change(bees.near, status="closed"))[0] == 200
    for ears in bees.ears[:2]:
        assert await ears.closed() == (1000, "session closed")
    redis.start()
    for ears in bees.ears[2:]:
        assert await ears.closed() == (1000, "session closed")


async def test_while_the_database_is_away_guests_are_told_and_stay(
    fragile: Cluster, postgres: BreakablePostgres
) -> None:
    node = await fragile.node(**FREE)
    bees = await open_session(node, ANN)
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    async with bees.ear(node, ben) as bens:
        await postgres.fall()
        try:
            await bens.say({"type": "chat_message", "content": "lost"})
            assert set(await bens.hear("error")) == {"type", "message"}
            await bens.say({"type": "participant_update"})
            await bens.hear("participant_update")
            assert await knock(node, bees.path(cyd), cyd.token) == (1013, "overloaded")
            assert (await join(node, bees.code, "Dee"))[0] == 503
        finally:
            await postgres.start()
        async with asyncio.timeout(20):
            while await knock(node, bees.path(cyd), cyd.token) != "in":
                await asyncio.sleep(0.1)
        async with bees.ear(node, cyd) as cyds:
            await bens.say({"type": "chat_message", "content": "found"})
            for ears in (bens, cyds):
                assert (await ears.hear("chat_message"))["content"] == "found"


async def test_the_guests_of_a_node_that_is_killed_have_left(cluster: Cluster) -> None:
    near = await cluster.node(presence_ttl_s=TTL_S, **FREE)
    far = await cluster.daemon(presence_ttl_s=TTL_S, **FREE)
    bees = await open_session(near, ANN)
    ben, cyd, dee = [await bees.join(near, name) for name in ("Ben", "Cyd", "Dee")]
    async with (
        bees.ear(near, cyd) as cyds,
        bees.ear(near, dee),
        bees.ear(far, dee),
        bees.ear(far, ben),
    ):
        await cyds.hear("participant_joined", participant_id=ben.id)
        assert (await bees.status(near))["online_count"] == 3
        far.send(signal.SIGKILL)
        assert await cyds.hear("participant_left") == {
            "type": "participant_left",
            "participant_id": ben.id,
            "message": "Ben left",
        }
        assert (await bees.status(near))["online_participants"] == [cyd.id, dee.id]
        assert "participant_left" not in [frame["type"] for frame in await cyds.heard()]


async def test_after_everybody_has_left_nothing_stays(bees: Class) -> None:
    await bees.say(3)
    await bees.ears[1].say({"type": "typing"})
    await bees.have_heard_all()
    for ears in bees.ears[:3]:
        ears.socket._writer.transport.abort()  # gone without a word
    for ears in bees.ears[3:]:
        await ears.socket.close()
    for node in (bees.near, bees.far):
        await node.emptied()
        assert len(node.server.app[HALL].rooms) == 0
        async with asyncio.timeout(10):
            while node.context.devices or node.context.open_sockets:
                await asyncio.sleep(0.01)


async def test_guests_whose_time_is_over_are_cleared_away_and_their_words_stay(
    cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    near, far = [await cluster.node(presence_ttl_s=1, **FREE) for _ in range(2)]
    bees = await open_session(near, ANN)
    phone = await far.phone(ANN)
    ben = await bees.join(near, "Ben")
    user_id = await bees.user_id(near, ben)
    async with bees.ear(near, ben) as bens:
        await bens.say({"type": "chat_message", "content": "Mine"})
        said = await bens.hear("chat_message")
    await all_are_late(oracle)
    async with asyncio.timeout(20):
        while not await clear(near):
            await asyncio.sleep(0.05)
    assert await clear(far) == 0
    gone = await phone.hear("participant.removed", conversation_id=bees.id)
    assert gone["user_id"] == user_id
    assert (
        await oracle.fetchval("select count(*) from messenger.conversation_participants where user_id = $1", user_id)
        == 0
    )
    assert await phone.unheard("participant.removed") == []
    # The nickname is free again; who had it is called so where he spoke, and by nobody who has his token now.
    again = await bees.join(far, "Ben")
    assert again.id != ben.id
    assert await knock(far, bees.path(ben), ben.token) == (1008, "Participant not found")
    _, history = await far.client(ANN).get(f"/conversations/{bees.id}/messages")
    assert (said["message_id"], user_id) in [(message["id"], message["sender_id"]) for message in history["messages"]]
    _, former = await far.client(ANN).get(f"/conversations/{bees.id}/participants/former")
    assert ("Ben", user_id) in [(person["name"], person["user_id"]) for person in former["participants"]]


async def test_a_guest_who_is_there_is_not_cleared_away(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    node = await cluster.node(guest_ttl_s=3, auth="off", jwt_secret="", **FREE)
    status, told = await ask(node, "POST", "/sessions", None, {"title": "Bees"}, **{"X-User-Id": "1"})
    assert status == 201
    code = told["session_code"]
    ben, cyd = [(await join(node, code, name))[1]["participant"] for name in ("Ben", "Cyd")]
    async with ear(node, f"/ws/{code}/{ben['id']}") as bens:
        async with asyncio.timeout(20):
            while (await answered(node, "GET", f"/sessions/{code}/status")).body["total_participants"] != 1:
                await asyncio.sleep(0.05)
        told = (await answered(node, "GET", f"/sessions/{code}/status")).body
        assert told["online_participants"] == [ben["id"]]
        await bens.say({"type": "chat_message", "content": "still here"})
        assert (await bens.hear("chat_message"))["participant_nickname"] == "Ben"
    # Gone, he is.
    async with asyncio.timeout(20):
        while (await answered(node, "GET", f"/sessions/{code}/status")).body["total_participants"]:
            await asyncio.sleep(0.05)
    assert await oracle.fetchval("select count(*) from messenger.conversation_participants") == 1
    assert await knock(node, f"/ws/{code}/{cyd['id']}") == (1008, "Participant not found")


async def all_are_late(oracle: asyncpg.Connection) -> None:
    await oracle.execute(
        """
        update messenger.conversation_participants set guest_until = joined_at - interval '1 hour'
        where guest_until is not null
        """
    )


async def clear(node: Node) -> int:
    """Look for guests whose time is over, as every node does now and then."""
    return await node.context.sessions.clear_idle_guests(node.context.node.presence)


async def test_while_redis_cannot_say_who_is_there_nobody_is_cleared_away(
    cluster: Cluster, redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    near, far = [await cluster.node(auth="off", jwt_secret="", presence_ttl_s=TTL_S, **FREE) for _ in range(2)]
    bees = (await ask(near, "POST", "/sessions", None, {"title": "Bees"}, **{"X-User-Id": "1"}))[1]
    ben, cyd = [(await join(near, bees["session_code"], name))[1]["participant"] for name in ("Ben", "Cyd")]
    async with ear(far, f"/ws/{bees['session_code']}/{ben['id']}") as bens:
        await all_are_late(oracle)
        redis.kill()
        await bus_is(near, "degraded")
        assert await clear(near) == 0
        redis.start()
        await bus_is(near, "ok")
        await bus_is(far, "ok")
        # Nor is who has no lease in a memory that has just begun known to be away; later he is.
        assert await clear(near) == 0
        async with asyncio.timeout(20):
            while not await clear(near):
                await asyncio.sleep(0.1)
        assert await clear(near) == 0
        told = (await ask(near, "GET", f"/sessions/{bees['session_code']}/status"))[1]
        assert (told["online_participants"], told["total_participants"]) == ([ben["id"]], 1)
        await bens.say({"type": "chat_message", "content": "still here"})
        assert (await bens.hear("chat_message"))["participant_nickname"] == "Ben"
    assert await knock(near, f"/ws/{bees['session_code']}/{cyd['id']}") == (1008, "Participant not found")


async def test_who_stays_too_long_keeps_nobody_from_being_cleared_away(
    cluster: Cluster, oracle: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "CLEARED_AT_ONCE", 1)
    node = await cluster.node(auth="off", jwt_secret="", presence_ttl_s=1, **FREE)
    bees = (await ask(node, "POST", "/sessions", None, {"title": "Bees"}, **{"X-User-Id": "1"}))[1]
    ben, cyd = [(await join(node, bees["session_code"], name))[1]["participant"] for name in ("Ben", "Cyd")]
    async with ear(node, f"/ws/{bees['session_code']}/{ben['id']}"):
        await all_are_late(oracle)
        async with asyncio.timeout(20):
            while not await clear(node):
                await asyncio.sleep(0.1)
        assert (await ask(node, "GET", f"/sessions/{bees['session_code']}/status"))[1]["total_participants"] == 1
    assert await knock(node, f"/ws/{bees['session_code']}/{cyd['id']}") == (1008, "Participant not found")
