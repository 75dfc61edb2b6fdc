"""Channels by the host application's names (dialect C): who comes in, what is said, who goes."""

import json

import asyncpg
import pytest

from messenger.dialects.places import HALL
from tests.support.channels import NOT_A_MEMBER, Channel, ChannelEar
from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import token
from tests.support.reachable import SECRET
from tests.support.sessions import knock

stage = stage_with()
node = node_of_stage()
ANN, BEN, CYD, EVE = 1, 2, 3, 4


@pytest.fixture
async def hike(stage: Stage, node: Node) -> Channel:
    return await Channel.made(node, stage.oracle, *stage.people(3))


async def test_what_is_said_reaches_every_member_and_the_sender_too(node: Node, hike: Channel) -> None:
    ann, ben, _ = hike.members
    async with hike.inside(node, ann) as anns, hike.inside(node, ben, anns) as bens:
        await anns.say({"type": "MESG", "message": "Bring the map"})
        for one in (anns, bens):
            assert await one.hear("MESG") == hike.said(ann, "Bring the map")
            assert await one.heard() == []


async def test_what_is_said_is_a_message_of_the_conversation(node: Node, hike: Channel) -> None:
    ann, ben, cyd = hike.members
    phone = await node.phone(cyd)
    async with hike.inside(node, ann) as anns:
        await anns.say({"type": "MESG", "message": "Bring the map"})
        native = await phone.hear("message.new", conversation_id=hike.id)
        assert (native["data"]["content"], native["data"]["message_type"], native["data"]["sender_id"]) == (
            "Bring the map",
            "text",
            ann,
        )
        said = await anns.hear("MESG")
        assert said["timestamp"] == native["data"]["created_at"]
        # And the other way round.
        await node.client(ben).send(hike.id, "I have it")
        assert await anns.hear("MESG") == hike.said(ben, "I have it")


async def test_files_and_pictures_carry_where_they_lie(node: Node, hike: Channel) -> None:
    ann, ben, _ = hike.members
    where = "https://files.example.org/map.png"
    async with hike.inside(node, ann) as anns, hike.inside(node, ben, anns) as bens:
        for kind, native in (("IMAGE", "image"), ("FILE", "file")):
            await anns.say({"type": kind, "message": "", "file_url": where, "file_name": "map.png", "file_size": 48213})
            expected = hike.said(ann, "", kind, file_url=where, file_name="map.png", file_size=48213)
            assert await bens.hear(kind) == expected
            _, page = await node.client(ben).get(f"/conversations/{hike.id}/messages?limit=1")
            (message,) = page["messages"]
            assert message["message_type"] == native
            assert message["attachments"] == [
                {"url": where, "name": "map.png", "size": 48213, "mime_type": "image/png"}
            ]
        # Without one it is what is said, and nothing more.
        await anns.say({"type": "FILE", "message": "https://files.example.org/plan.pdf"})
        assert await bens.hear("FILE") == hike.said(ann, "https://files.example.org/plan.pdf", "FILE")


async def test_a_native_message_is_told_as_what_it_looks_like(node: Node, hike: Channel) -> None:
    ann, ben, _ = hike.members
    picture = {"url": "https://files.example.org/map.png", "name": "map.png", "size": 1, "mime_type": "image/png"}
    plan = {"url": "https://files.example.org/plan.pdf", "name": "plan.pdf", "size": 2, "mime_type": "application/pdf"}
    async with hike.inside(node, ann) as anns:
        for attachment, kind in ((picture, "IMAGE"), (plan, "FILE")):
            await node.client(ben).send(hike.id, "", attachments=[attachment])
            expected = {f"file_{name}": attachment[name] for name in ("url", "name", "size")}
            assert await anns.hear(kind) == hike.said(ben, "", kind, **expected)
        await node.client(ben).send(hike.id, "What now?", message_type="question")
        assert await anns.hear("MESG") == hike.said(ben, "What now?")


async def test_people_are_called_what_the_host_application_calls_them(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    ben = await stage.oracle.fetchval(
        "insert into messenger.users (id, external_id) values (5000000001, 'user-ben') returning id"
    )
    hike = await Channel.made(node, stage.oracle, ann, ben)
    async with hike.inside(node, ann) as anns:
        async with hike.ear(node, ben) as bens:
            assert await anns.hear("USER_JOINED") == hike.joined("user-ben")
            await bens.say({"type": "MESG", "message": "Hello"})
            assert await anns.hear("MESG") == hike.said("user-ben", "Hello")
        assert await anns.hear("USER_LEFT") == hike.left("user-ben")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("{", "Invalid JSON format"),
        ("[]", "A frame must be a JSON object"),
        ('{"message":"Hello"}', "type is required and must be a string"),
        ('{"type":"TYPING","message":"x"}', "Unknown message type: TYPING"),
        ('{"type":"MESG"}', "Message content cannot be empty"),
        ('{"type":"MESG","message":" \\n"}', "Message content cannot be empty"),
        ('{"type":"FILE","message":""}', "Message content cannot be empty"),
        ('{"type":"MESG","message":7}', "message must be a string"),
        ('{"type":"FILE","message":"","file_url":"javascript:alert(1)"}', "file_url must be an http(s) URL or a path"),
        (json.dumps({"type": "MESG", "message": "x" * 4001}), "Message content exceeds 4000 characters"),
    ],
)
async def test_a_bad_frame_is_told_and_the_socket_stays_open(
    node: Node, hike: Channel, frame: str, message: str
) -> None:
    ann, *_ = hike.members
    async with hike.inside(node, ann) as anns:
        await anns.say(frame)
        assert await anns.hear("ERROR") == {"type": "ERROR", "message": message}
        await anns.say({"type": "MESG", "message": "Still here"})
        assert await anns.hear("MESG") == hike.said(ann, "Still here")


async def test_a_file_of_somebody_elses_cannot_be_sent(node: Node, hike: Channel) -> None:
    ann, *_ = hike.members
    unknown = "/api/v1/messenger/attachments/01890b3c-7d5e-7a41-9f3c-2b6d1c0a5e11"
    async with hike.inside(node, ann) as anns:
        await anns.say({"type": "FILE", "message": "Mine", "file_url": unknown})
        told = await anns.hear("ERROR")
        assert told["message"] == "attachments must be files that you uploaded or may see"


async def test_neither_a_stranger_nor_anybody_without_a_channel_comes_in(
    stage: Stage, node: Node, hike: Channel
) -> None:
    (eve,) = stage.people(1)
    eves = token(eve, SECRET)
    assert await knock(node, hike.path, eves) == NOT_A_MEMBER
    for nowhere in ("nowhere", "a%20b", "%00", "x" * 101, "..%2f..", "%F0%9F%8F%94"):
        assert await knock(node, f"/api/v1/chat/ws/{nowhere}", eves) == NOT_A_MEMBER
    # A conversation without a name is no channel, whoever is in it.
    group = await node.client(eve).group()
    assert await knock(node, f"/api/v1/chat/ws/{group}", eves) == NOT_A_MEMBER


async def test_a_token_is_asked_for(node: Node, hike: Channel) -> None:
    ann, *_ = hike.members
    assert await knock(node, hike.path) == (1008, "token_missing")
    assert await knock(node, f"{hike.path}?user_id={ann}") == (1008, "token_missing")
    assert await knock(node, hike.path, "x.y.z") == (1008, "token_invalid")
    assert await knock(node, f"{hike.path}?token={token(ann, SECRET)}") == "in"


async def test_the_socket_for_trying_it_is_not_there_where_authentication_is_on(node: Node, hike: Channel) -> None:
    ann, *_ = hike.members
    assert await knock(node, f"{hike.path}/test?user_id={ann}") == 404
    assert await knock(node, f"{hike.path}/test?user_id={ann}", token(ann, SECRET)) == 404


async def test_without_authentication_the_query_says_who_it_is(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    node = await cluster.node(auth="off", **FREE)
    async with node.session.post(
        f"{node.origin}/api/v1/messenger/conversations",
        json={"type": "group", "participant_ids": []},
        headers={"X-User-Id": str(ANN)},
    ) as response:
        assert response.status == 201, await response.text()
        conversation_id = (await response.json())["id"]
    await oracle.execute(
        "update messenger.conversations set channel_url = 'hike', channel_no = 1 where id = $1", conversation_id
    )
    hike = Channel(conversation_id, "hike", ANN)
    for path in (f"{hike.path}/test?user_id={ANN}", f"{hike.path}?user_id={ANN}"):
        async with node.session.ws_connect(node.origin + path) as socket:
            ear = ChannelEar(socket)
            await ear.say({"type": "MESG", "message": "Hello"})
            assert await ear.hear("MESG") == hike.said(ANN, "Hello")
    for nobody in (f"user_id={EVE}", "user_id=user-eve", "user_id=", ""):
        assert await knock(node, f"{hike.path}/test?{nobody}") == NOT_A_MEMBER


async def test_a_removed_member_is_sent_away_and_the_others_hear_that_he_left(node: Node, hike: Channel) -> None:
    ann, ben, cyd = hike.members
    async with (
        hike.inside(node, ann) as anns,
        hike.inside(node, cyd, anns) as cyds,
        hike.inside(node, ben, anns, cyds) as bens,
    ):
        assert (await node.client(ann).delete(f"/conversations/{hike.id}/participants/{ben}"))[0] == 204
        assert await bens.closed() == NOT_A_MEMBER
        for one in (anns, cyds):
            assert await one.hear("USER_LEFT") == hike.left(ben)
        await node.client(ann).send(hike.id, "He is gone")
        for one in (anns, cyds):
            assert await one.hear("MESG") == hike.said(ann, "He is gone")
            # Once: that his device went says nothing new.
            assert await one.heard() == []
        assert await knock(node, hike.path, token(ben, SECRET)) == NOT_A_MEMBER


async def test_with_the_channel_its_sockets_go(node: Node, hike: Channel) -> None:
    ann, ben, _ = hike.members
    async with hike.inside(node, ann) as anns, hike.inside(node, ben, anns) as bens:
        assert (await node.client(ann).delete(f"/conversations/{hike.id}"))[0] == 204
        for one in (anns, bens):
            assert await one.closed() == NOT_A_MEMBER


async def test_a_newcomer_is_heard_and_told_of(stage: Stage, node: Node, hike: Channel) -> None:
    ann, *_ = hike.members
    (dee,) = stage.people(1)
    async with hike.inside(node, ann) as anns:
        status, _ = await node.client(ann).post(f"/conversations/{hike.id}/participants", {"user_ids": [dee]})
        assert status == 201
        async with hike.inside(node, dee, anns) as dees:
            await dees.say({"type": "MESG", "message": "Hello"})
            assert await anns.hear("MESG") == hike.said(dee, "Hello")
        assert await anns.hear("USER_LEFT") == hike.left(dee)


async def test_nothing_is_left_of_a_channel_that_everybody_left(node: Node, hike: Channel) -> None:
    ann, ben, _ = hike.members
    async with hike.inside(node, ann) as anns, hike.inside(node, ben, anns):
        assert len(node.server.app[HALL].rooms) == 1
        assert len(node.context.node.whereabouts) == 3
    await node.emptied()
