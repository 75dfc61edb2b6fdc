"""The host of a live session (dialect A): natively and in the room he and his guests see one another; he answers and closes."""

import asyncio
from typing import Any

from messenger.dialects.places import HALL
from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, A_UUID7, entry
from tests.support.sessions import (
    CLOSED,
    NO_PARTICIPANT,
    NOT_FOUND,
    Ear,
    Frame,
    LiveSession,
    Seat,
    join,
    knock,
    open_session,
    problem,
    session_of_stage,
)

stage = stage_with()
node = node_of_stage()
bees = session_of_stage()


def said(bees: LiveSession, seat: Seat, content: str, kind: str = "chat_message", **more: Any) -> Frame:
    return {
        "type": kind,
        "message_id": A_UUID7,
        "content": content,
        "participant_id": seat.id,
        "participant_nickname": seat.nickname,
        "timestamp": A_TIME,
        "session_code": bees.code,
        **more,
    }


async def ask_question(ear: Ear, content: str = "Do they sleep?") -> str:
    await ear.say({"type": "question", "content": content})
    return str((await ear.hear("question", content=content))["message_id"])


async def test_what_the_host_says_natively_is_heard_in_the_room(node: Node, bees: LiveSession) -> None:
    ben = await bees.join(node, "Ben")
    phone = await node.phone(bees.host)
    async with bees.ear(node, ben) as bens, bees.ear(node, bees.seat) as host:
        sent = await node.client(bees.host).send(bees.id, "by REST")
        await phone.ask("message.send", conversation_id=bees.id, content="by a socket")
        await phone.ask("message.send", conversation_id=bees.id, content="Q", message_type="question")
        for ear in (bens, host):
            told = said(bees, bees.seat, "by REST", message_id=sent["id"], timestamp=sent["created_at"])
            assert await ear.hear("chat_message") == told
            assert await ear.hear("chat_message") == said(bees, bees.seat, "by a socket")
            assert await ear.hear("question") == said(bees, bees.seat, "Q", "question")
        # What the room has no word for is not told: neither edits, nor deletions, nor receipts.
        await node.client(bees.host).patch(f"/messages/{sent['id']}", {"content": "edited"})
        await phone.ask("reaction.add", message_id=sent["id"], emoji="🐝")
        await phone.ask("message.read", message_id=sent["id"])
        await node.client(bees.host).delete(f"/messages/{sent['id']}")
        assert await bens.heard() == []


async def test_what_guests_say_is_heard_natively(node: Node, bees: LiveSession) -> None:
    ben = await bees.join(node, "Ben")
    user_id = await bees.user_id(node, ben)
    phone = await node.phone(bees.host)
    async with bees.ear(node, ben) as bens:
        for kind, message_type in (("chat_message", "text"), ("question", "question")):
            await bens.say({"type": kind, "content": "Do they sleep?"})
            told = await bens.hear(kind)
            heard = await phone.hear("message.new", conversation_id=bees.id)
            new = entry(bees.id, heard["seq"], user_id, "Do they sleep?", message_type=message_type)
            assert heard["data"] == {**new, "id": told["message_id"], "created_at": told["timestamp"]}
        await phone.ask("subscribe", conversation_id=bees.id)
        await bens.say({"type": "typing"})
        assert (await phone.hear("typing"))["user_id"] == user_id
        await phone.say("typing", conversation_id=bees.id)
        assert await bens.hear("typing") == {
            "type": "typing",
            "participant_id": bees.seat.id,
            "participant_nickname": "Ann",
            "is_typing": True,
            "session_code": bees.code,
        }


async def test_a_guest_who_comes_in_is_told_natively(node: Node, bees: LiveSession) -> None:
    phone = await node.phone(bees.host)
    ben = await bees.join(node, "Ben")
    told = await phone.hear("participant.added", conversation_id=bees.id)
    assert (told["name"], told["role"], told["data"]["metadata"]["participant_id"]) == ("Ben", "member", ben.id)
    assert told["user_id"] == await bees.user_id(node, ben) > 2**52
    status, people = await node.client(bees.host).get(f"/conversations/{bees.id}/participants")
    assert [(person["user_id"], person["name"]) for person in people["participants"]] == [
        (bees.host, "Ann"),
        (told["user_id"], "Ben"),
    ]
    assert status == 200


async def test_a_question_that_the_host_answers_is_told_once_everywhere(cluster: Cluster) -> None:
    near, far = await cluster.node(**FREE), await cluster.node(**FREE)
    bees = await open_session(near, 1)
    ben, cyd = await bees.join(near, "Ben"), await bees.join(far, "Cyd")
    phone = await far.phone(1)
    async with bees.ear(near, bees.seat) as host, bees.ear(near, ben) as bens, bees.ear(far, cyd) as cyds:
        question = await ask_question(bens)
        asked = await phone.hear("message.new", conversation_id=bees.id)
        for _ in range(2):
            await host.say({"type": "question.answered", "message_id": question})
        heard = []
        for ear in (host, bens, cyds):
            heard.append(await ear.hear("question.answered"))
            assert heard[-1] == {
                "type": "question.answered",
                "message_id": question,
                "participant_id": bees.seat.id,
                "participant_nickname": "Ann",
                "timestamp": A_TIME,
                "session_code": bees.code,
            }
        native = await phone.hear("question.answered")
        metadata = {"answered_by": 1, "answered_at": heard[0]["timestamp"]}
        assert native["data"] == {**asked["data"], "change": native["change"], "metadata": metadata}
        # Behind what would have been told of the second time.
        await host.say({"type": "chat_message", "content": "They do."})
        for ear in (host, bens, cyds):
            await ear.hear("chat_message")
            assert "question.answered" not in [frame["type"] for frame in await ear.heard()]
        await phone.hear("message.new", conversation_id=bees.id)
        assert await phone.unheard("question.answered", "message.edited") == []
        assert host.socket.closed is False


async def test_only_the_host_answers_and_only_questions(stage: Stage, node: Node, bees: LiveSession) -> None:
    (other,) = stage.people(1)
    wasps = await open_session(node, other)
    ben, wasp = await bees.join(node, "Ben"), await wasps.join(node, "Wasp")
    async with bees.ear(node, bees.seat) as host, bees.ear(node, ben) as bens, wasps.ear(node, wasp) as wasps_ear:
        await bens.say({"type": "chat_message", "content": "Hi"})
        chat = (await host.hear("chat_message"))["message_id"]
        question, elsewhere = await ask_question(bens), await ask_question(wasps_ear)
        refusals = [
            (bens, question, "Only the host can mark a question answered"),
            (host, chat, "Question not found"),
            (host, elsewhere, "Question not found"),
            (bens, elsewhere, "Question not found"),
            (host, "11111111-2222-4333-8444-555555555555", "Question not found"),
        ]
        for ear, message_id, message in refusals:
            await ear.say({"type": "question.answered", "message_id": message_id})
            assert await ear.hear("error") == {"type": "error", "message": message}
        deleted = await ask_question(bens, "Hm?")
        await node.client(bees.host).delete(f"/messages/{deleted}")
        await host.say({"type": "question.answered", "message_id": deleted})
        assert await host.hear("error") == {"type": "error", "message": "Question not found"}
        for ear in (host, bens, wasps_ear):
            assert "question.answered" not in [frame["type"] for frame in await ear.heard()]


async def test_closing_ends_every_connection_on_every_node(cluster: Cluster) -> None:
    near, far = await cluster.node(**FREE), await cluster.node(**FREE)
    bees = await open_session(near, 1)
    wasps = await open_session(near, 1)
    ben, cyd, wasp = await bees.join(near, "Ben"), await bees.join(near, "Cyd"), await wasps.join(near, "Wasp")
    phone = await far.phone(1)
    async with (
        bees.ear(near, bees.seat) as host,
        bees.ear(near, ben) as bens,
        bees.ear(far, ben) as second,
        bees.ear(far, cyd) as cyds,
        wasps.ear(far, wasp) as others,
    ):
        await bens.say({"type": "chat_message", "content": "Wait!"})
        for ear in (host, bens, second, cyds):
            assert (await ear.hear("chat_message"))["content"] == "Wait!"
        await bees.change(near, status="closed", title="Over")
        for ear in (host, bens, second, cyds):
            assert await ear.closed() == CLOSED
        await others.say({"type": "chat_message", "content": "still here"})
        assert (await others.hear("chat_message"))["content"] == "still here"
    assert await knock(far, bees.path(cyd), cyd.token) == NOT_FOUND
    closed = await phone.hear("conversation.updated", conversation_id=bees.id)
    assert (closed["conversation"]["title"], closed["data"]["metadata"]["status"]) == ("Over", "closed")
    refused = await phone.answer("message.send", conversation_id=bees.id, content="Hello?")
    assert (refused["type"], refused["code"], refused["message"]) == ("error", "forbidden", "This session is closed")
    refusal = await near.client(1).post(f"/conversations/{bees.id}/messages", {"content": "Hello?"})
    assert refusal == problem(403, "forbidden", "This session is closed")
    assert (await join(near, bees.code, "Dee"))[0] == 404
    # What was said stays to be read.
    _, history = await near.client(1).get(f"/conversations/{bees.id}/messages")
    assert "Wait!" in [message["content"] for message in history["messages"]]
    await near.emptied()


async def test_a_new_title_ends_nothing(node: Node, bees: LiveSession) -> None:
    async with bees.ear(node, await bees.join(node, "Ben")) as bens:
        await bees.change(node, title="Wasps")
        await bees.change(node, status="active")
        assert await bens.heard() == []


async def test_a_session_that_is_opened_again_is_as_it_was(node: Node, bees: LiveSession) -> None:
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    async with bees.ear(node, ben) as bens:
        await bees.change(node, status="closed")
        assert await bens.closed() == CLOSED
    await bees.change(node, status="active")
    async with bees.ear(node, ben) as bens, bees.ear(node, cyd) as cyds:
        await bens.say({"type": "chat_message", "content": "Again"})
        for ear in (bens, cyds):
            assert await ear.hear("chat_message") == said(bees, ben, "Again")


async def test_a_guest_whom_the_host_removes_is_put_out_and_the_others_are_told(cluster: Cluster) -> None:
    near, far = await cluster.node(**FREE), await cluster.node(**FREE)
    bees = await open_session(near, 1)
    ben, cyd = await bees.join(near, "Ben"), await bees.join(near, "Cyd")
    user_id = await bees.user_id(near, ben)
    async with bees.ear(near, ben) as bens, bees.ear(far, ben) as second, bees.ear(far, cyd) as cyds:
        await bens.say({"type": "chat_message", "content": "Mine"})
        status, _ = await near.client(1).delete(f"/conversations/{bees.id}/participants/{user_id}")
        assert status == 204
        assert await bens.closed() == await second.closed() == NO_PARTICIPANT
        left = {"type": "participant_left", "participant_id": ben.id, "message": "Ben left"}
        assert await cyds.hear("participant_left") == left
        # That his devices are gone is not told once more; what he said keeps his name.
        async with bees.ear(far, await bees.join(near, "Dee")):
            await cyds.hear("participant_joined", message="Dee joined")
        await cyds.hear("participant_left", message="Dee left")
        assert [frame["type"] for frame in await cyds.heard()] == ["chat_message"]
    for node in (near, far):
        assert await knock(node, bees.path(ben), ben.token) == NO_PARTICIPANT
        assert (await bees.status(node))["total_participants"] == 2
    async with bees.ear(far, cyd) as cyds:
        question = await ask_question(cyds, "Who was Ben?")
        assert question


async def test_who_is_removed_while_he_is_away_is_told_to_nobody(node: Node, bees: LiveSession) -> None:
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    user_id = await bees.user_id(node, ben)
    async with bees.ear(node, cyd) as cyds:
        await node.client(bees.host).delete(f"/conversations/{bees.id}/participants/{user_id}")
        assert await cyds.heard() == []


async def test_a_session_that_is_deleted_natively_is_closed(cluster: Cluster) -> None:
    near, far = await cluster.node(**FREE), await cluster.node(**FREE)
    bees = await open_session(near, 1)
    ben = await bees.join(near, "Ben")
    async with bees.ear(near, ben) as bens, bees.ear(far, ben) as second:
        status, _ = await near.client(1).delete(f"/conversations/{bees.id}")
        assert status == 204
        assert await bens.closed() == await second.closed() == CLOSED
    assert (await join(far, bees.code, "Cyd"))[0] == 404
    assert await knock(far, bees.path(ben), ben.token) == NOT_FOUND


async def test_another_host_may_be_made(node: Node, bees: LiveSession) -> None:
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    user_id = await bees.user_id(node, ben)
    async with bees.ear(node, ben) as bens, bees.ear(node, cyd) as cyds:
        question = await ask_question(cyds)
        path = f"/conversations/{bees.id}/participants/{user_id}"
        assert (await node.client(bees.host).patch(path, {"role": "admin"}))[0] == 200
        assert (await bees.status(node))["total_participants"] == 1
        await bens.say({"type": "question.answered", "message_id": question})
        assert (await cyds.hear("question.answered"))["participant_id"] == ben.id


async def test_a_crowd_leaves_nothing_behind(cluster: Cluster) -> None:
    node = await cluster.node(**FREE)
    bees = await open_session(node, 1)
    seats = [await bees.join(node, f"Guest {number}") for number in range(10)]
    async with asyncio.timeout(30):
        await asyncio.gather(*(knock(node, bees.path(seat), seat.token) for seat in seats * 3))
    await node.emptied()
    assert len(node.server.app[HALL].rooms) == 0
    async with asyncio.timeout(10):
        while node.context.devices or node.context.open_sockets:
            await asyncio.sleep(0.01)
