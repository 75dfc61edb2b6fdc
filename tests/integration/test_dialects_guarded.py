"""Live sessions and open rooms, guarded: what somebody may try to break, guess or use up. Each of these once got through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import pytest

from messenger.config import Rate
from messenger.dialects import session as dialect
from messenger.dialects.places import HALL
from tests.security.wire import UPGRADE, masked, wire_to
from tests.support.node import FREE, Cluster, Node, node_of_stage, stage_with
from tests.support.sessions import (
    NOT_FOUND,
    LiveSession,
    Seat,
    answered,
    ask,
    ben_of_session,
    join,
    knock,
    open_session,
    problem,
    session_of_stage,
)

PATIENCE_S = 15
OPEN: dict[str, Any] = {**FREE, "open_rooms": True}
NO_SUCH = problem(404, "not_found", "Session not found")
FULL, OVERLOADED = (1013, "too_many_connections"), (1013, "overloaded")

stage = stage_with()
node = node_of_stage()
bees, ben = session_of_stage(), ben_of_session()


# Questions, and what cannot be translated.


@pytest.mark.parametrize(
    "claimed", [{"answered_at": "2026-01-01T00:00:00Z"}, {"answered_by": 1}, {"answered_by": None, "answered_at": []}]
)
async def test_nobody_says_himself_that_a_question_is_answered(
    node: Node, bees: LiveSession, ben: Seat, claimed: dict[str, Any]
) -> None:
    phone, client = await node.phone(bees.host), node.client(bees.host)
    why = "Only the host can mark a question answered"
    question = {"content": "Q", "message_type": "question", "metadata": {**claimed, "more": 1}}
    async with bees.ear(node, ben) as bens:
        refused = await phone.answer("message.send", conversation_id=bees.id, **question)
        assert refused == {"type": "error", "code": "forbidden", "message": why}
        told = await client.post(f"/conversations/{bees.id}/messages", question)
        assert told == problem(403, "forbidden", why)
        # It is a word of questions alone, and not the only one.
        sent = await client.send(bees.id, "Q", message_type="question", metadata={"more": 1})
        assert (await bens.hear("question"))["message_id"] == sent["id"]
        text = {"content": "by a socket", "metadata": claimed}
        assert (await phone.ask("message.send", conversation_id=bees.id, **text))["type"] == "message.sent"
        assert (await client.send(bees.id, "by REST", metadata=claimed))["metadata"] == claimed
        assert [(await bens.hear("chat_message"))["content"] for _ in range(2)] == ["by a socket", "by REST"]
        assert await bens.heard() == []


async def test_what_cannot_be_translated_silences_nobody(
    node: Node, bees: LiveSession, ben: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = dialect.TONGUE.events["message.new"]

    def failing(room: Any, event: Any) -> Any:
        if event["data"]["content"] == "poison":
            raise ZeroDivisionError
        return said(room, event)

    monkeypatch.setitem(dialect.TONGUE.events, "message.new", failing)
    cyd = await bees.join(node, "Cyd")
    contents = ["before", "poison", "behind", "poison", "last"]
    # One phone came before the guests, and one after them: each is told at its place in one row.
    first = await node.phone(bees.host, "first")
    async with bees.ear(node, ben) as bens, bees.ear(node, cyd) as cyds:
        second = await node.phone(bees.host, "second")
        for number, content in enumerate(contents):
            if number % 2:
                await node.client(bees.host).send(bees.id, content)
            else:
                await bens.say({"type": "chat_message", "content": content})
            heard = [await phone.hear("message.new", conversation_id=bees.id) for phone in (first, second)]
            assert [frame["data"]["content"] for frame in heard] == [content] * 2
        for listener in (bens, cyds):
            told = [await listener.hear("chat_message") for _ in range(3)]
            assert [frame["content"] for frame in told] == ["before", "behind", "last"]
            assert [frame for frame in await listener.heard() if frame["type"] == "chat_message"] == []


# Live sessions' doors.


async def test_who_is_refused_is_not_served(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    node = await cluster.node(**FREE, max_devices_per_user=1)
    bees = await open_session(node, 1)
    ben = await bees.join(node, "Ben")
    early = masked(0x81, b'{"type":"chat_message","content":"Boo"}')
    handshake = f"GET {bees.path(ben)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ben.token}\r\n{UPGRADE}\r\n"
    async with bees.ear(node, bees.seat) as host:
        async with bees.ear(node, ben) as bens:
            async with wire_to(node) as wire:
                wire.say(handshake.encode() + early)
                assert (await wire.hear()).status == 101
                assert await wire.frame() == (0x88, (1013).to_bytes(2, "big") + b"too_many_connections")
            await bens.say({"type": "chat_message", "content": "It was me"})
            for listener in (host, bens):
                assert (await listener.hear("chat_message"))["content"] == "It was me"
                assert [frame for frame in await listener.heard() if frame["type"] == "chat_message"] == []
        # What came behind a handshake is not lost where he is let in.
        async with wire_to(node) as wire:
            wire.say(handshake.encode() + early)
            assert (await host.hear("chat_message"))["content"] == "Boo"
    contents = "select content from messenger.messages where message_type = 'text' order by seq"
    assert [row["content"] for row in await oracle.fetch(contents)] == ["It was me", "Boo"]


async def test_who_guesses_much_at_once_is_told_no_more(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    node = await cluster.node(**FREE, rate_guesses=Rate(1, 3600, 1))
    bees = await open_session(node, 1)
    # Who knows the code does not guess.
    for _ in range(20):
        assert (await bees.status(node))["status"] == "active"
    visitors, sessions = node.server.app[HALL].visitors, node.context.sessions
    asking: list[Any] = []
    may, session, named = asyncio.Event(), visitors.session, sessions.named

    async def counted(*args: Any, **more: Any) -> Any:
        asking.append(args)
        return await session(*args, **more)

    async def late(code: str) -> Any:
        await may.wait()
        return await named(code)

    async def status_of(code: str) -> int:
        return (await answered(node, "GET", f"/sessions/{code}/status")).status

    async def asked(*codes: str) -> list[asyncio.Task[int]]:
        tasks, before = [asyncio.create_task(status_of(code)) for code in codes], len(asking)
        while len(asking) < before + len(codes):
            await asyncio.sleep(0.01)
        return tasks

    monkeypatch.setattr(visitors, "session", counted)
    monkeypatch.setattr(sessions, "named", late)
    async with asyncio.timeout(PATIENCE_S):
        tasks = [*await asked(*(f"NOSUCH2{number}" for number in range(10))), *await asked(bees.code)]
        may.set()
        *wrong, right = await asyncio.gather(*tasks)
    # The right one among them is answered no better than the others.
    assert (sorted(wrong), right) == ([404, *[429] * 9], 429)


async def test_a_class_that_comes_by_one_address_does_not_guess(cluster: Cluster) -> None:
    node = await cluster.node(**FREE, rate_guesses=Rate(1, 3600, 1))
    bees = await open_session(node, 1)
    guests = await asyncio.gather(*(bees.join(node, f"Guest {number}") for number in range(40)))
    assert await asyncio.gather(*(knock(node, bees.path(guest), guest.token) for guest in guests)) == ["in"] * 40


async def test_a_session_goes_by_its_code_alone(node: Node, bees: LiveSession, ben: Seat) -> None:
    for named in (bees.id, bees.id.upper()):
        assert await ask(node, "GET", f"/sessions/{named}/status") == NO_SUCH
        assert await ask(node, "GET", f"/sessions/{named}/state", ben.token) == NO_SUCH
        assert await ask(node, "PATCH", f"/sessions/{named}", bees.seat.token, {"title": "Wasps"}) == NO_SUCH
        assert await join(node, named, "Cyd") == NO_SUCH
        assert await knock(node, f"/ws/{named}/{ben.id}", ben.token) == NOT_FOUND
    for named in (bees.code, bees.code.lower()):
        assert (await ask(node, "GET", f"/sessions/{named}/status"))[0] == 200
        assert await knock(node, f"/ws/{named}/{ben.id}", ben.token) == "in"


async def test_a_closed_session_does_not_look_at_nicknames(node: Node, bees: LiveSession) -> None:
    status, told = await join(node, bees.code, "!")
    assert (status, told["code"]) == (422, "invalid_frame")
    assert (await bees.change(node, status="closed"))[0] == 200
    for nickname in ("!", "Ann", "Cyd"):
        assert await join(node, bees.code, nickname) == NO_SUCH


# Open rooms.


@asynccontextmanager
async def entered(node: Node, room_id: str, **headers: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with node.session.ws_connect(f"{node.origin}/ws/chat/{room_id}", headers=headers) as socket:
        yield socket


async def first_word(socket: aiohttp.ClientWebSocketResponse) -> Any:
    """The code and reason of the end, or `in`."""
    message = await socket.receive(timeout=PATIENCE_S)
    return (message.data, message.extra) if message.type is aiohttp.WSMsgType.CLOSE else "in"


async def rooms(oracle: asyncpg.Connection) -> list[str]:
    rows = await oracle.fetch("select open_room from messenger.conversations where open_room is not null order by 1")
    return [row["open_room"] for row in rows]


async def test_a_crowd_of_one_address_is_counted(cluster: Cluster) -> None:
    node = await cluster.node(**OPEN, max_connections_per_address=5)
    callers = node.server.app[HALL].callers
    for _ in range(2):
        async with AsyncExitStack() as stack:
            sockets = await asyncio.gather(
                *(stack.enter_async_context(entered(node, f"room-{number % 3}")) for number in range(25))
            )
            words = await asyncio.gather(*map(first_word, sockets))
            assert (words.count("in"), words.count(FULL)) == (5, 20)
            assert sum(callers.values()) == 5
        await node.emptied()
        assert not callers


async def test_so_many_rooms_are_made_from_one_address(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    node = await cluster.node(**{**OPEN, "rate_rooms": Rate(1, 3600, 2), "trusted_proxies": ("127.0.0.1",)})
    here, there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    entries = [("a", here, "in"), ("b", here, "in"), ("c", here, OVERLOADED), ("a", here, "in"), ("b", here, "in")]
    entries += [("d", there, "in"), ("c", there, "in"), ("c", here, "in"), ("e", there, OVERLOADED)]
    for room_id, headers, word in entries:
        async with entered(node, room_id, **headers) as socket:
            assert await first_word(socket) == word, (room_id, headers)
    assert await rooms(oracle) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"rate_joins": Rate(1, 3600, 1)}, OVERLOADED), ({"max_connections_per_address": 1}, FULL)],
    ids=["too often", "too many"],
)
async def test_who_is_refused_at_the_door_makes_no_room(
    cluster: Cluster, oracle: asyncpg.Connection, settings: dict[str, Any], word: Any
) -> None:
    node = await cluster.node(**{**OPEN, **settings})
    async with entered(node, "lobby") as ann, entered(node, "attic") as eve:
        assert await first_word(ann) == "in"
        assert await first_word(eve) == word
    await node.emptied()
    assert await rooms(oracle) == ["lobby"]
