"""Who comes into a live session (dialect A) and goes: told to all others, once."""

from uuid import UUID

from messenger.dialects.places import HALL
from messenger.dialects.room import Room
from messenger.domain.ids import ConversationId
from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import token
from tests.support.reachable import SECRET
from tests.support.sessions import Ear, Frame, LiveSession, Seat, open_session, session_of_stage

stage = stage_with()
node = node_of_stage()
bees = session_of_stage()


def joined(seat: Seat) -> Frame:
    return {"type": "participant_joined", "participant_id": seat.id, "message": f"{seat.nickname} joined"}


def left(seat: Seat) -> Frame:
    return {"type": "participant_left", "participant_id": seat.id, "message": f"{seat.nickname} left"}


async def presence(ear: Ear) -> list[Frame]:
    return [frame for frame in await ear.heard() if frame["type"].startswith("participant_")]


async def test_coming_and_going_is_told_to_all_others_once(node: Node, bees: LiveSession) -> None:
    ben, cyd, dee = [await bees.join(node, name) for name in ("Ben", "Cyd", "Dee")]
    async with bees.ear(node, bees.seat) as host, bees.ear(node, cyd) as cyds:
        async with bees.ear(node, ben) as bens:
            for ear in (host, cyds):
                assert await ear.hear("participant_joined", participant_id=ben.id) == joined(ben)
            async with bees.ear(node, ben) as second:
                # Behind what would have been told of the second device.
                async with bees.ear(node, dee):
                    for ear in (host, cyds, bens, second):
                        assert await ear.hear("participant_joined", participant_id=dee.id) == joined(dee)
                # Behind what would have been told of Dee's going if nobody waited for her.
                for ear in (host, cyds, bens, second):
                    assert await ear.hear("participant_left") == left(dee)
                for ear in (bens, second):
                    assert await presence(ear) == []
        for ear in (host, cyds):
            assert await ear.hear("participant_left") == left(ben)
        assert await presence(cyds) == []
        assert await presence(host) == [joined(cyd)]


async def test_a_reload_within_the_grace_period_is_told_to_nobody(cluster: Cluster) -> None:
    near, far = await cluster.node(presence_grace_s=60), await cluster.node(presence_grace_s=60)
    bees = await open_session(near, 1)
    ben, cyd, dee = [await bees.join(near, name) for name in ("Ben", "Cyd", "Dee")]
    async with bees.ear(near, cyd) as cyds, bees.ear(far, bees.seat) as host:
        async with bees.ear(near, ben):
            for ear in (cyds, host):
                await ear.hear("participant_joined", participant_id=ben.id)
        async with bees.ear(near, ben):
            pass
        async with bees.ear(far, ben), bees.ear(far, dee):
            for ear in (cyds, host):
                assert await ear.hear("participant_joined", participant_id=dee.id) == joined(dee)
            assert await presence(host) == []
            assert await presence(cyds) == [joined(bees.seat)]


async def test_who_has_a_device_on_another_node_has_not_left(cluster: Cluster) -> None:
    near, far = await cluster.node(), await cluster.node()
    bees = await open_session(near, 1)
    ben, cyd, dee = [await bees.join(near, name) for name in ("Ben", "Cyd", "Dee")]
    async with bees.ear(near, cyd) as cyds:
        async with bees.ear(far, ben):
            assert await cyds.hear("participant_joined") == joined(ben)
            async with bees.ear(near, ben):
                pass
            async with bees.ear(far, dee):
                await cyds.hear("participant_joined", participant_id=dee.id)
            # He went before her, and a grace period of his own would be over.
            assert await cyds.hear("participant_left") == left(dee)
            assert await presence(cyds) == []
        assert await cyds.hear("participant_left") == left(ben)


async def test_who_comes_natively_is_there_and_so_are_newcomers_to_the_room(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    bees = await open_session(node, ann)
    cyd = await bees.join(node, "Cyd")
    async with bees.ear(node, cyd) as cyds:
        host = await node.phone(ann)
        assert await cyds.hear("participant_joined") == joined(bees.seat)
        await node.phone(ben, name="Ben")
        assert await presence(cyds) == []
        await host.ask("ping")
        await node.client(ann).post(f"/conversations/{bees.id}/participants", {"user_ids": [ben]})
        heard = await cyds.hear("participant_joined")
        assert (heard["message"], set(heard)) == ("Ben joined", set(joined(cyd)))
        async with bees.ear(node, Seat("me", "Ben", token(ben, SECRET))) as bens:
            await bens.say({"type": "chat_message", "content": "Hi"})
            told = await cyds.hear("chat_message")
            assert (told["participant_id"], told["participant_nickname"]) == (heard["participant_id"], "Ben")


async def test_who_came_in_is_told_once_whoever_hears_of_it_again(node: Node, bees: LiveSession) -> None:
    """As a device does that is brought in while others are there."""
    cyd, phone = await bees.join(node, "Cyd"), await node.phone(bees.host)
    async with bees.ear(node, cyd) as cyds:
        ben = await bees.join(node, "Ben")
        added = await phone.hear("participant.added", name="Ben")
        async with bees.ear(node, ben):
            assert await cyds.hear("participant_joined") == joined(ben)
            room = node.server.app[HALL].rooms.of(ConversationId(UUID(bees.id)), Room)
            room.note(added)
            await node.context.node.chores.finished(("who is there", room.conversation_id))
            assert await presence(cyds) == []


async def test_another_name_of_a_user_is_told_from_then_on(stage: Stage, node: Node, bees: LiveSession) -> None:
    cyd = await bees.join(node, "Cyd")
    async with bees.ear(node, cyd) as cyds, bees.ear(node, bees.seat) as host:
        await host.say({"type": "chat_message", "content": "1"})
        assert (await cyds.hear("chat_message"))["participant_nickname"] == "Ann"
        phone = await node.phone(bees.host, name="Dr Ann")
        assert (await node.client(bees.host, name="Dr Ann").get("/users/me"))[1]["name"] == "Dr Ann"
        await phone.hear("user.updated")
        await host.say({"type": "chat_message", "content": "2"})
        assert (await cyds.hear("chat_message"))["participant_nickname"] == "Dr Ann"


async def test_who_says_that_he_is_there_is_told_on_every_node(cluster: Cluster) -> None:
    near, far = await cluster.node(**FREE), await cluster.node(**FREE)
    bees = await open_session(near, 1)
    ben, cyd = await bees.join(near, "Ben"), await bees.join(near, "Cyd")
    async with bees.ear(near, ben) as bens, bees.ear(far, cyd) as cyds:
        await cyds.say({"type": "participant_update"})
        for ear in (bens, cyds):
            assert await ear.hear("participant_update") == {
                "type": "participant_update",
                "participant_id": cyd.id,
                "participant_nickname": "Cyd",
                "is_online": True,
                "session_code": bees.code,
            }
