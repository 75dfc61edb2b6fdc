"""What is said in a live session (dialect A), and what is answered to whoever says it wrong."""

from typing import Any

import pytest

from messenger.config import Rate
from messenger.service import typing
from tests.support.node import FREE, Cluster, Node, node_of_stage, stage_with
from tests.support.people import A_TIME, A_UUID7
from tests.support.sessions import Ear, Frame, LiveSession, open_session, session_of_stage

stage = stage_with()
node = node_of_stage()
bees = session_of_stage()


async def test_what_is_said_reaches_everybody_and_the_sender(node: Node, bees: LiveSession) -> None:
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    async with bees.ear(node, bees.seat) as host, bees.ear(node, ben) as bens, bees.ear(node, cyd) as cyds:
        for kind in ("chat_message", "question"):
            await bens.say({"type": kind, "content": "Do they sleep?"})
            for ear in (host, bens, cyds):
                assert await ear.hear(kind) == {
                    "type": kind,
                    "message_id": A_UUID7,
                    "content": "Do they sleep?",
                    "participant_id": ben.id,
                    "participant_nickname": "Ben",
                    "timestamp": A_TIME,
                    "session_code": bees.code,
                }


async def test_typing_is_told_to_all_but_the_sender(node: Node, bees: LiveSession) -> None:
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    async with bees.ear(node, ben) as bens, bees.ear(node, ben) as second, bees.ear(node, cyd) as cyds:
        for is_typing in (True, False):
            await bens.say({"type": "typing", "is_typing": is_typing})
            assert await cyds.hear("typing") == {
                "type": "typing",
                "participant_id": ben.id,
                "participant_nickname": "Ben",
                "is_typing": is_typing,
                "session_code": bees.code,
            }
        assert [frame for ear in (bens, second) for frame in await ear.heard() if frame["type"] == "typing"] == []


async def test_somebody_says_that_he_is_there(node: Node, bees: LiveSession) -> None:
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    async with bees.ear(node, ben) as bens, bees.ear(node, cyd) as cyds:
        await bens.say({"type": "participant_update"})
        for ear in (bens, cyds):
            assert await ear.hear("participant_update") == {
                "type": "participant_update",
                "participant_id": ben.id,
                "participant_nickname": "Ben",
                "is_online": True,
                "session_code": bees.code,
            }


def error(message: str) -> Frame:
    return {"type": "error", "message": message}


async def answer(ear: Ear, frame: Any) -> Frame:
    await ear.say(frame)
    return await ear.hear("error")


@pytest.mark.parametrize("content", ["", " ", "\t\n\u3000", None, ...])
@pytest.mark.parametrize(
    ("kind", "told"),
    [("chat_message", "Message content cannot be empty"), ("question", "Question content cannot be empty")],
)
async def test_content_may_not_be_empty(node: Node, bees: LiveSession, kind: str, content: Any, told: str) -> None:
    async with bees.ear(node, await bees.join(node, "Ben")) as bens:
        frame = {"type": kind} if content is ... else {"type": kind, "content": content}
        assert await answer(bens, frame) == error(told)
        assert await bens.heard() == []


@pytest.mark.parametrize("kind", ["chat_message", "question"])
async def test_content_has_at_most_500_characters(node: Node, bees: LiveSession, kind: str) -> None:
    async with bees.ear(node, await bees.join(node, "Ben")) as bens:
        for character in ("x", "é", "🐝"):
            await bens.say({"type": kind, "content": character * 500})
            assert (await bens.hear(kind))["content"] == character * 500
            told = await answer(bens, {"type": kind, "content": character * 501})
            assert told == error("Message content exceeds 500 characters")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"type": "shout"}, "Unknown message type: shout"),
        ({"type": "message.send", "content": "hi"}, "Unknown message type: message.send"),
        ({"type": ""}, "Unknown message type: "),
        ({"type": "x" * 65}, "Unknown message type: " + "x" * 64),
        ("{", "Invalid JSON format"),
        ("", "Invalid JSON format"),
        ("hello", "Invalid JSON format"),
    ],
)
async def test_what_nobody_understands_is_answered(node: Node, bees: LiveSession, frame: Any, message: str) -> None:
    async with bees.ear(node, await bees.join(node, "Ben")) as bens:
        assert await answer(bens, frame) == error(message)
        await bens.say({"type": "chat_message", "content": "still here"})
        assert (await bens.hear("chat_message"))["content"] == "still here"


@pytest.mark.parametrize(
    "frame",
    ["[]", "7", "null", '"chat_message"', {}, {"content": "hi"}, {"type": 7}, {"type": None}]
    + [{"type": "chat_message", "content": content} for content in (7, True, ["hi"], {}, "\x00", "\ud800")]
    + [{"type": "typing", "is_typing": value} for value in (1, "true", None)]
    + [{"type": "question.answered"}, {"type": "question.answered", "message_id": "7"}],
    ids=repr,
)
async def test_a_frame_that_is_none_is_answered_and_told_to_nobody(node: Node, bees: LiveSession, frame: Any) -> None:
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    async with bees.ear(node, ben) as bens, bees.ear(node, cyd) as cyds:
        await cyds.say({"type": "participant_update"})
        await bens.hear("participant_update")
        told = await answer(bens, frame)
        assert set(told) == {"type", "message"}
        assert told["message"]
        await bens.say({"type": "chat_message", "content": "Hm"})
        assert (await cyds.hear("chat_message"))["content"] == "Hm"
        assert [heard["type"] for heard in await cyds.heard()] == ["participant_update"]


async def test_more_fields_than_anybody_knows_do_no_harm(node: Node, bees: LiveSession) -> None:
    async with bees.ear(node, await bees.join(node, "Ben")) as bens:
        await bens.say({"type": "chat_message", "content": "Hm", "participant_id": bees.seat.id, "ref": 7, "x": {}})
        heard = await bens.hear("chat_message")
        assert (heard["participant_nickname"], set(heard) & {"ref", "x"}) == ("Ben", set())


async def test_a_binary_frame_is_answered(node: Node, bees: LiveSession) -> None:
    async with bees.ear(node, await bees.join(node, "Ben")) as bens:
        await bens.socket.send_bytes(b'{"type": "participant_update"}')
        assert await bens.hear("error") == error("Frames must be text")
        assert await bens.heard() == []


async def test_who_sends_twenty_bad_frames_in_a_row_is_closed(node: Node, bees: LiveSession) -> None:
    async with bees.ear(node, await bees.join(node, "Ben")) as bens:
        for number in range(40):  # those that are merely unknown or empty do not count
            await bens.say({"type": "shout"} if number % 2 else {"type": "chat_message"})
        for _ in range(19):
            await bens.say("{")
        await bens.say({"type": "participant_update"})
        await bens.hear("participant_update")
        await bens.say("[]")
        assert await bens.closed() == (1008, "protocol_error")


async def test_who_speaks_too_fast_is_told_and_stays(cluster: Cluster) -> None:
    node = await cluster.node(**{**FREE, "rate_messages": Rate(1, 3600, 3)})
    bees = await open_session(node, 1)
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    async with bees.ear(node, ben) as bens, bees.ear(node, cyd) as cyds:
        for number in range(3):
            await bens.say({"type": "question", "content": str(number)})
        assert await answer(bens, {"type": "chat_message", "content": "3"}) == error("Too many requests")
        # That an empty one is none is no matter of time.
        assert await answer(bens, {"type": "question"}) == error("Question content cannot be empty")
        assert [(await cyds.hear("question"))["content"] for _ in range(3)] == ["0", "1", "2"]
        await cyds.say({"type": "chat_message", "content": "Hm"})
        assert (await bens.hear("chat_message"))["participant_id"] == cyd.id


async def test_frames_too_many_are_told_and_the_socket_stays(cluster: Cluster) -> None:
    node = await cluster.node(**{**FREE, "rate_frames": Rate(1, 3600, 3)})
    bees = await open_session(node, 1)
    async with bees.ear(node, await bees.join(node, "Ben")) as bens:
        for _ in range(3):
            await bens.say({"type": "participant_update"})
            await bens.hear("participant_update")
        assert await answer(bens, {"type": "participant_update"}) == error("Too many requests")
        assert await answer(bens, "{") == error("Invalid JSON format")


async def test_a_frame_that_is_too_large_ends_the_connection(node: Node, bees: LiveSession) -> None:
    async with bees.ear(node, await bees.join(node, "Ben")) as bens:
        await bens.say({"type": "chat_message", "content": "x" * 70_000})
        assert await bens.closed() == (1009, "frame_too_large")


async def test_typing_ends_by_itself(node: Node, bees: LiveSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typing, "LASTS_S", 0.05)
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    async with bees.ear(node, ben) as bens, bees.ear(node, cyd) as cyds:
        await bens.say({"type": "typing"})
        assert [(await cyds.hear("typing"))["is_typing"] for _ in range(2)] == [True, False]


async def test_whoever_leaves_types_no_more(node: Node, bees: LiveSession) -> None:
    ben, cyd = await bees.join(node, "Ben"), await bees.join(node, "Cyd")
    async with bees.ear(node, cyd) as cyds:
        async with bees.ear(node, ben) as bens:
            await bens.say({"type": "typing", "is_typing": True})
            assert (await cyds.hear("typing"))["is_typing"] is True
        assert (await cyds.hear("typing"))["is_typing"] is False


async def test_everybody_everywhere_hears_the_same_in_the_same_order(cluster: Cluster) -> None:
    near, far = await cluster.node(**FREE), await cluster.node(**FREE)
    bees = await open_session(near, 1)
    seats = [await bees.join(near, name) for name in ("Ben", "Cyd", "Dee")]
    async with (
        bees.ear(near, bees.seat) as host,
        bees.ear(near, seats[0]) as bens,
        bees.ear(far, seats[0]) as second,
        bees.ear(far, seats[1]) as cyds,
        bees.ear(far, seats[2]) as dees,
    ):
        ears = (host, bens, second, cyds, dees)
        for number in range(20):
            for ear in ears:
                await ear.say({"type": "chat_message", "content": str(number)})
        heard = [[await ear.hear("chat_message") for _ in range(100)] for ear in ears]
        assert all(frames == heard[0] for frames in heard)
        assert len({frame["message_id"] for frame in heard[0]}) == 100
