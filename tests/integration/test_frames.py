"""Frames about no message: entering and leaving a conversation, presence, ping, and what every answer has in common."""

import asyncio
from typing import Any

import pytest

from tests.support.node import SECRET, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, A_UUID7, Frame, Phone, token

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"
NOT_IN = {"type": "error", "code": "not_participant", "message": "Not a participant of this conversation"}


def seat(user_id: int, **more: Any) -> Frame:
    """A participant as `subscribed` names him."""
    return {
        "user_id": user_id,
        "name": f"User {user_id}",
        "avatar_url": None,
        "role": "member",
        "online": False,
        "last_seen_at": None,
        "last_read_seq": 0,
        **more,
    }


async def test_subscribed_says_exactly_this(stage: Stage, node: Node) -> None:
    ann, ben, cyd = stage.people(3)
    picture = "https://example.org/a.png"
    tea = await node.client(ann, name="Ann", picture=picture).group(ben, cyd, metadata={"leaf": "green"})
    await node.client(ben).send(tea, "Milk?")
    phone = await node.phone(ann)
    answer = await phone.ask("subscribe", conversation_id=tea)
    ref = answer.pop("ref")
    assert isinstance(ref, str)
    assert answer.pop("participants") == [
        seat(ann, name="Ann", avatar_url=picture, role="admin", online=True),
        seat(ben),
        seat(cyd),
    ]
    assert answer == {
        "type": "subscribed",
        "conversation_id": tea,
        "conversation": {
            "id": A_UUID7,
            "type": "group",
            "title": "Tea",
            "metadata": {"leaf": "green"},
            "created_by": ann,
            "created_at": A_TIME,
            "updated_at": A_TIME,
            "first_seq": 1,
            "last_seq": 1,
            "last_change": 1,
            "history": "all",
            "participant_count": 3,
            "my_role": "admin",
        },
        "last_seq": 1,
        "last_change": 1,
        "unread_count": 1,
    }


async def test_subscribing_again_is_answered_again_and_tells_nothing_twice(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group(ben)
    one, two = await node.phone(ann), await node.phone(ben)
    first = await one.answer("subscribe", conversation_id=tea)
    second = await one.answer("subscribe", conversation_id=tea)
    assert second == {**first, "participants": second["participants"]}
    await two.say("typing", conversation_id=tea)
    await two.ask("ping")
    assert len(await one.unheard("typing")) == 1


async def test_unsubscribed_says_exactly_this_and_ends_what_is_ephemeral(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group(ben)
    one, two = await node.phone(ann), await node.phone(ben)
    await one.ask("subscribe", conversation_id=tea)
    assert await one.answer("unsubscribe", conversation_id=tea) == {"type": "unsubscribed", "conversation_id": tea}
    await two.say("typing", conversation_id=tea)
    sent = await two.ask("message.send", conversation_id=tea, content="still heard")
    await two.ask("message.read", message_id=sent["message_id"])
    await one.hear("message.new")
    assert await one.unheard("typing", "message.read") == []
    # Never subscribed, or not even in it: it is no longer subscribed.
    for conversation_id in (tea, NOBODYS):
        answer = await one.answer("unsubscribe", conversation_id=conversation_id)
        assert answer == {"type": "unsubscribed", "conversation_id": conversation_id}


async def test_subscribing_to_a_foreign_conversation_is_as_to_none(stage: Stage, node: Node) -> None:
    ann, eve = stage.people(2)
    tea = await node.client(ann).group()
    stranger = await node.phone(eve)
    assert await stranger.answer("subscribe", conversation_id=tea) == NOT_IN
    assert await stranger.answer("subscribe", conversation_id=NOBODYS) == NOT_IN


async def test_of_a_large_conversation_subscribed_names_the_first_hundred(stage: Stage, node: Node) -> None:
    people = stage.people(102)
    tea = await node.client(people[0]).group(*people[1:])
    answer = await (await node.phone(people[-1])).ask("subscribe", conversation_id=tea)
    assert [item["user_id"] for item in answer["participants"]] == people[:100]
    assert answer["conversation"]["participant_count"] == 102


async def test_subscribers_of_a_conversation_hear_who_comes_and_goes(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group(ben)
    one, other = await node.phone(ann), await node.phone(ann)
    await one.ask("subscribe", conversation_id=tea)
    async with node.phone_for_a_while(ben):
        online = await one.hear("user.online")
        assert online == {"type": "user.online", "user_id": ben, "timestamp": A_TIME}
    offline = await one.hear("user.offline")
    assert offline == {"type": "user.offline", "user_id": ben, "timestamp": A_TIME, "last_seen_at": A_TIME}
    assert await other.unheard("user.online", "user.offline") == []


async def test_presence_says_exactly_this_and_goes_on_telling(stage: Stage, node: Node) -> None:
    ann, ben, cyd, eve = stage.people(4)
    await node.client(ann).group(ben, cyd)
    await node.phone(ben)
    await node.phone(eve)
    phone = await node.phone(ann)
    assert await phone.answer("presence", user_ids=[eve, cyd, ann, ben, cyd, 2**53 - 1]) == {
        "type": "presence",
        "users": [
            {"user_id": eve, "online": False, "last_seen_at": None},  # no acquaintance
            {"user_id": cyd, "online": False, "last_seen_at": None},
            {"user_id": ann, "online": True, "last_seen_at": None, "devices": 1},
            {"user_id": ben, "online": True, "last_seen_at": None},
            {"user_id": 2**53 - 1, "online": False, "last_seen_at": None},
        ],
    }
    async with node.phone_for_a_while(cyd), node.phone_for_a_while(2**53 - 1):
        assert await phone.hear("user.online") == {"type": "user.online", "user_id": cyd, "timestamp": A_TIME}
    gone = await phone.hear("user.offline")
    assert gone["user_id"] == cyd
    # Written down a moment after it was told.
    async with asyncio.timeout(10):
        while (await phone.ask("presence", user_ids=[cyd]))["users"][0]["last_seen_at"] is None:
            pass
    async with node.phone_for_a_while(ann):
        own = (await phone.ask("presence", user_ids=[ann, cyd]))["users"]
    assert own[0]["devices"] == 2
    assert own[1] == {"user_id": cyd, "online": False, "last_seen_at": A_TIME}
    assert await phone.unheard("user.online", "user.offline") == []


async def test_presence_of_nobody_is_nobodys(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    assert await (await node.phone(ann)).answer("presence", user_ids=[]) == {"type": "presence", "users": []}


async def test_ping_is_answered_with_the_time(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann)
    assert await phone.answer("ping") == {"type": "pong", "timestamp": A_TIME}
    await phone.say("ping")
    assert await phone.hear("pong") == {"type": "pong", "timestamp": A_TIME}


async def test_auth_refresh_answers_with_the_new_end(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann)
    answer = await phone.answer("auth.refresh", token=token(ann, SECRET, exp=4_000_000_000))
    assert answer == {"type": "auth.refreshed", "expires_at": "2096-10-02T07:06:40Z"}


async def test_without_authentication_there_is_nothing_to_refresh(cluster: Cluster) -> None:
    node = await cluster.node(auth="off", jwt_secret="")
    async with node.session.ws_connect(f"{node.origin}/ws/7") as socket:
        phone = Phone(socket, 7)
        assert (await phone.hear("system"))["user_id"] == 7
        assert await phone.answer("auth.refresh", token="any") == {"type": "auth.refreshed", "expires_at": None}


async def test_an_unknown_type_is_answered_only_where_there_is_a_ref(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann)
    before = node.context.unknown_types
    await phone.say("message.sing", conversation_id=NOBODYS)
    answer = await phone.answer("message.sing")
    assert answer == {"type": "error", "code": "unknown_type", "message": "Unknown type: message.sing"}
    assert await phone.unheard() == []
    assert node.context.unknown_types == before + 2


@pytest.mark.parametrize("ref", ["", "r", "x" * 64, "ü\n\"'", "0"])
async def test_success_and_error_carry_the_ref_as_it_came(stage: Stage, node: Node, ref: str) -> None:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group(ben)
    phone = await node.phone(ann)
    for said in (
        {"type": "ping"},
        {"type": "subscribe", "conversation_id": tea},
        {"type": "message.send", "conversation_id": tea, "content": "hello"},
        {"type": "message.send", "conversation_id": tea, "content": " "},
        {"type": "message.send", "conversation_id": NOBODYS, "content": "hello"},
        {"type": "message.send", "conversation_id": "rubbish", "content": "hello"},
        {"type": "message.send", "conversation_id": tea, "content": 7},
        {"type": "message.edit", "message_id": NOBODYS, "content": "hello"},
        {"type": "history", "conversation_id": tea, "limit": 0},
        {"type": "nonsense"},
        {"type": 7},
        {},
    ):
        await phone.socket.send_json({**said, "ref": ref})
        assert (await phone.hear(ref=ref))["type"] in ("pong", "subscribed", "message.sent", "error")
    new = await phone.hear("message.new")
    assert "ref" not in new


async def test_an_answer_without_a_ref_has_none(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    phone = await node.phone(ann)
    for ref in ({}, {"ref": None}):
        await phone.say("subscribe", conversation_id=NOBODYS, **ref)
        assert await phone.hear("error") == NOT_IN


async def test_frames_are_handled_in_the_order_in_which_they_were_said(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group(ben)
    phone = await node.phone(ann)
    for number in range(10):
        await phone.say("message.send", conversation_id=tea, content=f"{number}", ref=f"{number}")
    answers = [await phone.hear("message.sent") for _ in range(10)]
    assert [(item["ref"], item["seq"]) for item in answers] == [(f"{number}", number + 1) for number in range(10)]
