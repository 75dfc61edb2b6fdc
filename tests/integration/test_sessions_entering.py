"""Coming into a live session (dialect A) while it is closed, while one is removed, and before a node knows of it."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from messenger.dialects.places import HALL
from messenger.dialects.room import Room
from messenger.domain.ids import UserId
from tests.support.node import FREE, Cluster
from tests.support.sessions import CLOSED, NO_PARTICIPANT, join, knock, open_session, problem


@pytest.mark.parametrize("others", [(), ("Cyd",)], ids=["nobody is there", "somebody is there"])
async def test_who_is_on_his_way_in_while_the_session_closes_is_closed_too(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, others: tuple[str, ...]
) -> None:
    node = await cluster.node()
    bees = await open_session(node, 1)
    ben, *seats = [await bees.join(node, name) for name in ("Ben", *others)]
    reception = node.context.node.reception
    admit = reception.admit

    async def admit_later(*args: Any) -> None:
        assert (await bees.change(node, status="closed"))[0] == 200
        await admit(*args)

    async with AsyncExitStack() as stack:
        ears = [await stack.enter_async_context(bees.ear(node, seat)) for seat in seats]
        monkeypatch.setattr(reception, "admit", admit_later)
        assert await knock(node, bees.path(ben), ben.token) == CLOSED
        for there in ears:
            assert await there.closed() == CLOSED
    await node.emptied()
    assert len(node.context.devices) == len(node.server.app[HALL].rooms) == 0


async def test_who_is_on_his_way_in_while_he_is_removed_is_closed_too(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node()
    bees = await open_session(node, 1)
    ben = await bees.join(node, "Ben")
    user_id = await bees.user_id(node, ben)
    reception = node.context.node.reception
    admit = reception.admit

    async def admit_later(*args: Any) -> None:
        status, _ = await node.client(1).delete(f"/conversations/{bees.id}/participants/{user_id}")
        assert status == 204
        await admit(*args)

    monkeypatch.setattr(reception, "admit", admit_later)
    assert await knock(node, bees.path(ben), ben.token) == NO_PARTICIPANT
    await node.emptied()
    assert len(node.context.devices) == len(node.server.app[HALL].rooms) == 0


async def test_a_host_whose_place_is_not_known_on_a_node_yet_is_brought_in(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = await cluster.node(), await cluster.node(catch_up_s=1000)
    await far.phone(1)
    # What the bus says of his new session is lost.
    monkeypatch.setattr(far.context.node.relay, "receive", lambda *_: None)
    bees = await open_session(near, 1)
    ben = await bees.join(near, "Ben")
    async with bees.ear(far, bees.seat) as host:
        await host.say({"type": "participant_update"})
        await host.hear("participant_update")
    async with bees.ear(far, bees.seat) as host, bees.ear(far, ben) as bens:
        for said in ({"type": "chat_message", "content": "Hi"}, {"type": "participant_update"}):
            await host.say(said)
            for ears in (host, bens):
                assert (await ears.hear(said["type"]))["participant_id"] == bees.seat.id
        await host.say({"type": "typing"})
        assert (await bens.hear("typing"))["is_typing"] is True


async def test_who_is_removed_while_the_room_is_read_in_his_name_sends_nobody_away(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node(**FREE)
    bees = await open_session(node, 1)
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    user_id = await bees.user_id(node, ben)
    sessions, rooms = node.context.sessions, node.server.app[HALL].rooms
    people, reading = sessions.people, asyncio.Event()

    async def people_later(reader: Any, conversation_id: Any) -> Any:
        if reader == user_id and not reading.is_set():
            reading.set()
            room = rooms.of(conversation_id, Room)
            while len(room.devices) < 2:
                await asyncio.sleep(0.01)
            await node.client(1).delete(f"/conversations/{bees.id}/participants/{user_id}")
        return await people(reader, conversation_id)

    monkeypatch.setattr(sessions, "people", people_later)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        entering = tasks.create_task(knock(node, bees.path(ben), ben.token))
        await reading.wait()
        async with bees.ear(node, cyd) as cyds:
            assert await entering == NO_PARTICIPANT
            await cyds.say({"type": "chat_message", "content": "Hm"})
            assert (await cyds.hear("chat_message"))["participant_id"] == cyd.id


async def test_nobody_joins_a_session_that_closes_meanwhile(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    node = await cluster.node()
    bees = await open_session(node, 1)
    sessions = node.context.sessions
    named = sessions.named

    async def named_before(code: str) -> Any:
        found = await named(code)
        monkeypatch.undo()
        # Not over REST: those of one address take turns, and this one is at it.
        await sessions.change(UserId(1), found, title=None, status="closed")
        return found

    monkeypatch.setattr(sessions, "named", named_before)
    assert await join(node, bees.code, "Ben") == problem(404, "not_found", "Session not found")
    assert (await bees.status(node))["total_participants"] == 0
