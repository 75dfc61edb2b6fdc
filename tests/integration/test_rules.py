"""What each kind of conversation allows, as its people live it on several nodes: one direct conversation of a pair, who posts,
who only reads, who inherits, who comes back; and what the log tells of all that."""

import asyncio
from http import HTTPStatus
from typing import Any

import pytest

from tests.support.log import Logs, stored
from tests.support.node import FREE, Cluster, Node
from tests.support.people import A_TIME, Client, Frame, Phone, entry

ANN, BEN, CYD, DEE = 1, 2, 3, 4
PEOPLE = (ANN, BEN, CYD, DEE)
# Nothing here waits for a poll.
NO_POLL = {**FREE, "catch_up_s": 3600}


def problem(status: int, code: str, message: str, **more: Any) -> tuple[int, Frame]:
    title = HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": status, "detail": message, "code": code}
    return status, {**told, "message": message, **more}


def refused(message: str, code: str = "forbidden") -> Frame:
    return {"type": "error", "code": code, "message": message}


class Town:
    """Ann and Cyd on one node, Ben and Dee on the other, each with a device."""

    def __init__(self, one: Node, two: Node, phones: dict[int, Phone]) -> None:
        self.nodes = {ANN: one, CYD: one, BEN: two, DEE: two}
        self.phones = phones
        self.ann, self.ben, self.cyd, self.dee = (self.client(user) for user in PEOPLE)

    def client(self, user_id: int, **claims: Any) -> Client:
        return self.nodes[user_id].client(user_id, **claims)

    async def heard(self, type_: str, conversation_id: str, *people: int, **fields: Any) -> None:
        """Return once these people have heard such an event."""
        for user in people:
            await self.phones[user].hear(type_, conversation_id=conversation_id, **fields)

    async def quiet(self, *people: int) -> None:
        """These people have heard nothing that was not asked for."""
        assert [await self.phones[user].unheard() for user in people] == [[] for _ in people]


@pytest.fixture
async def town(cluster: Cluster) -> Town:
    one, two = await cluster.node(**NO_POLL), await cluster.node(**NO_POLL)
    return Town(one, two, {user: await node.phone(user) for user, node in ((1, one), (2, two), (3, one), (4, two))})


async def test_a_pair_that_meets_on_two_nodes_at_once_has_one_conversation(town: Town) -> None:
    async def meet(turn: int) -> tuple[int, Any]:
        me, other = ((ANN, BEN), (BEN, ANN))[turn % 2]
        return await town.client(me).post("/conversations", {"type": "direct", "participant_ids": [other]})

    answers = await asyncio.gather(*(meet(turn) for turn in range(16)))
    assert sorted(status for status, _ in answers) == [200] * 15 + [201]
    (pair,) = {told["id"] for _, told in answers}
    ((maker,),) = [{told["created_by"]} for status, told in answers if status == 201]
    assert {told["my_role"] for _, told in answers} == {"admin", "member"}
    for user in (ANN, BEN):
        created = await town.phones[user].hear("conversation.created")
        assert created["conversation"]["my_role"] == ("admin" if user == maker else "member")
        _, page = await town.client(user).get("/conversations")
        assert [line["id"] for line in page["conversations"]] == [pair]
    await town.quiet(*PEOPLE)
    await town.ben.send(pair, "Hello")
    await town.heard("message.new", pair, ANN, BEN, seq=1)


async def test_in_an_announcement_only_admins_post(town: Town) -> None:
    hall = await town.ann.group(BEN, CYD, type="announcement")
    await town.heard("conversation.created", hall, ANN, BEN, CYD)
    said = await town.ann.send(hall, "News")
    refusal = refused("Only admins can post here")
    for user in (BEN, CYD):
        await town.heard("message.new", hall, user, seq=1)
        assert await town.phones[user].answer("message.send", conversation_id=hall, content="x") == refusal
        told = await town.client(user).post(f"/conversations/{hall}/messages", {"content": "x"})
        assert told == problem(403, "forbidden", "Only admins can post here")
        # He answers by what is no post.
        assert (await town.phones[user].ask("reaction.add", message_id=said["id"], emoji="👍"))["type"] == "ack"
        assert (await town.phones[user].ask("message.read", message_id=said["id"]))["type"] == "read.confirmed"
    # Whoever becomes one posts at once, wherever he is; who is one no longer does not, nor alters what he posted.
    await town.ann.patch(f"/conversations/{hall}/participants/{BEN}", {"role": "admin"})
    bens = await town.ben.send(hall, "More news")
    await town.heard("message.new", hall, ANN, seq=3)
    await town.ann.patch(f"/conversations/{hall}/participants/{BEN}", {"role": "member"})
    assert await town.phones[BEN].answer("message.send", conversation_id=hall, content="x") == refusal
    told = await town.phones[BEN].ask("message.edit", message_id=bens["id"], content="No news")
    assert (told["type"], told["code"]) == ("error", "forbidden")
    _, page = await town.cyd.get(f"/conversations/{hall}/messages")
    assert [message["content"] for message in page["messages"] if message["message_type"] == "text"] == [
        "News", "More news",
    ]  # fmt: skip


async def test_an_observer_reads_and_does_nothing_else(town: Town) -> None:
    tea = await town.ann.group(BEN)
    said, bens = await town.ann.send(tea, "Milk?"), await town.ben.send(tea, "Yes")
    await town.ann.patch(f"/conversations/{tea}/participants/{BEN}", {"role": "observer"})
    await town.heard("participant.updated", tea, ANN, BEN)
    phone, path = town.phones[BEN], f"/conversations/{tea}"
    for type_, fields in (
        ("message.send", {"conversation_id": tea, "content": "x"}),
        ("message.edit", {"message_id": bens["id"], "content": "No"}),
        ("message.delete", {"message_id": said["id"]}),
        ("reaction.add", {"message_id": said["id"], "emoji": "👍"}),
    ):
        told = await phone.ask(type_, **fields)
        assert (told["type"], told["code"]) == ("error", "forbidden"), told
    for method, where, body in (
        ("POST", f"{path}/messages", {"content": "x"}),
        ("PATCH", path, {"title": "Mine"}),
        ("DELETE", path, None),
        ("POST", f"{path}/participants", {"user_ids": [DEE]}),
        ("PATCH", f"{path}/participants/me", {"role": "member"}),
        ("DELETE", f"{path}/participants/{ANN}", None),
    ):
        assert (await town.ben.call(method, where, body))[0] == 403, where
    # He sees it all, and what is his own he settles.
    latest = await town.ann.send(tea, "Still there?")
    assert (await phone.hear("message.new", seq=4))["data"] == latest
    assert [message["seq"] for message in (await phone.ask("history", conversation_id=tea))["messages"]] == [1, 2, 3, 4]
    assert (await phone.ask("message.read", message_id=latest["id"]))["unread_count"] == 0
    assert (await town.ben.call("PUT", f"{path}/notifications", {"level": "none"}))[0] == 200
    assert (await town.ben.delete(f"{path}/participants/me"))[0] == 204


async def test_the_heir_of_the_last_admin_governs_at_once_wherever_he_is(town: Town) -> None:
    tea = await town.ann.group(CYD)
    await town.ann.patch(f"/conversations/{tea}/participants/{CYD}", {"role": "observer"})
    for newcomer in (DEE, BEN):
        await town.ann.post(f"/conversations/{tea}/participants", {"user_ids": [newcomer]})
    assert (await town.dee.patch(f"/conversations/{tea}", {"title": "Dee's"}))[0] == 403
    assert await town.ann.delete(f"/conversations/{tea}/participants/me") == (204, None)
    # The longest member, and no observer as long as there is one.
    await town.heard("participant.updated", tea, CYD, BEN, DEE, user_id=DEE, role="admin")
    assert (await town.dee.patch(f"/conversations/{tea}", {"title": "Dee's"}))[0] == 200
    for leaving in (BEN, DEE):
        assert await town.client(leaving).delete(f"/conversations/{tea}/participants/me") == (204, None)
    await town.heard("participant.updated", tea, CYD, user_id=CYD, role="admin")
    assert (await town.cyd.patch(f"/conversations/{tea}", {"title": "Cyd's"}))[0] == 200
    _, told = await town.cyd.get(f"/conversations/{tea}/participants/former")
    assert [person["user_id"] for person in told["participants"]] == [DEE, BEN, ANN]


async def test_of_two_admins_who_leave_at_once_the_second_leaves_an_heir(town: Town) -> None:
    for _ in range(5):
        tea = await town.ann.group(BEN, CYD)
        await town.ann.patch(f"/conversations/{tea}/participants/{BEN}", {"role": "admin"})
        mine = f"/conversations/{tea}/participants/me"
        assert await asyncio.gather(town.ann.delete(mine), town.ben.delete(mine)) == [(204, None)] * 2
        _, told = await town.cyd.get(f"/conversations/{tea}/participants")
        assert [(person["user_id"], person["role"]) for person in told["participants"]] == [(CYD, "admin")]


async def test_who_left_a_direct_conversation_comes_back_to_the_whole_of_it(town: Town, oracle: Any) -> None:
    _, made = await town.ann.post("/conversations", {"type": "direct", "participant_ids": [BEN]})
    pair = made["id"]
    await town.heard("conversation.created", pair, ANN, BEN)
    await town.ann.send(pair, "Before")
    await town.heard("message.new", pair, ANN, BEN)
    await town.heard("notification", pair, BEN)
    assert await town.ben.delete(f"/conversations/{pair}") == (204, None)
    await town.heard("participant.removed", pair, ANN, BEN)
    await town.ann.send(pair, "While he was away")
    await town.heard("message.new", pair, ANN, seq=3)
    await town.quiet(BEN)
    assert (await town.ben.post("/conversations", {"type": "direct", "participant_ids": [ANN]}))[0] == 200
    await town.heard("participant.added", pair, ANN, BEN, seq=4)
    await town.ben.send(pair, "After")
    await town.heard("message.new", pair, ANN, BEN, seq=5)
    # By now both hold the same, the one who never left and the one who did.
    assert [event["change"] for event in await town.phones[ANN].durable(pair, 5)] == [1, 2, 3, 4, 5]
    for user in (ANN, BEN):
        logs = Logs(town.phones[user])
        await logs.catch_up()
        assert logs.held(pair) == await stored(oracle, pair)
    for user, other in ((ANN, BEN), (BEN, ANN)):  # again, and it is still the one
        assert (await town.client(user).post("/conversations", {"type": "direct", "participant_ids": [other]}))[
            0
        ] == 200


async def test_one_whom_both_have_left_is_made_again_by_either(town: Town) -> None:
    _, made = await town.ann.post("/conversations", {"type": "direct", "participant_ids": [BEN]})
    await town.heard("conversation.created", made["id"], ANN, BEN)
    await town.ann.send(made["id"], "Before")
    await town.heard("message.new", made["id"], ANN, BEN)
    for client in (town.ann, town.ben):
        assert await client.delete(f"/conversations/{made['id']}") == (204, None)
    assert (await town.ben.get("/conversations"))[1]["conversations"] == []
    status, told = await town.ben.post("/conversations", {"type": "direct", "participant_ids": [ANN]})
    assert (status, told["id"], told["participant_count"], told["my_role"]) == (200, made["id"], 2, "member")
    assert (await town.ann.get(f"/conversations/{made['id']}"))[1]["my_role"] == "admin"  # who made it first
    await town.heard("participant.added", made["id"], ANN, BEN, user_id=ANN)
    await town.heard("participant.added", made["id"], BEN, user_id=BEN)


async def test_a_conversation_that_is_deleted_is_gone_everywhere_and_at_once(town: Town) -> None:
    tea = await town.ann.group(BEN, CYD)
    said = await town.ben.send(tea, "Milk?")
    await town.heard("message.new", tea, ANN, BEN, CYD)
    assert await town.ben.delete(f"/conversations/{tea}") == problem(
        403, "forbidden", "Only admins can delete a conversation"
    )
    assert await town.ann.delete(f"/conversations/{tea}") == (204, None)
    await town.heard("conversation.deleted", tea, ANN, BEN, CYD, conversation=None)
    for user in (ANN, BEN, CYD):
        assert (await town.client(user).get(f"/conversations/{tea}"))[0] == 404
        answer = await town.phones[user].ask("message.send", conversation_id=tea, content="x")
        assert answer["code"] == "not_participant"
        assert (await town.phones[user].ask("message.read", message_id=said["id"]))["code"] == "message_not_found"
        assert (await town.phones[user].ask("sync", cursors={tea: 1}))["removed"] == [tea]
        _, page = await town.client(user).get("/conversations")
        assert page["conversations"] == []


async def test_the_log_tells_of_joins_leaves_roles_and_renames(town: Town, oracle: Any) -> None:
    """Each one change, one entry, one frame; none of them is a new message, unread, or worth a notification."""
    for user, name in zip(PEOPLE, ("Ann", "Ben", "Cyd", "Dee"), strict=True):
        assert (await town.client(user, name=name).get("/users/me"))[0] == 200
    tea = await town.ann.group(BEN)
    people = f"/conversations/{tea}/participants"
    await town.heard("conversation.created", tea, ANN, BEN)
    for method, path, body in (
        ("POST", people, {"user_ids": [CYD]}),
        ("PATCH", f"{people}/{CYD}", {"role": "observer"}),
        ("PATCH", f"/conversations/{tea}", {"title": "Milk"}),
        ("PATCH", f"/conversations/{tea}", {"metadata": {"colour": "white"}}),
        ("PATCH", f"/conversations/{tea}", {"title": None}),
        ("DELETE", f"{people}/{CYD}", None),
        ("DELETE", f"{people}/me", None),
    ):
        assert (await town.ann.call(method, path, body))[0] in (200, 201, 204), (method, path)

    def told(seq: int, content: str, event: str, **more: Any) -> Frame:
        metadata = {"event": event, "by": ANN, **more}
        return entry(tea, seq, ANN, content, message_type="system", metadata=metadata, created_at=A_TIME)

    cyd = {"user_id": CYD, "name": "Cyd"}
    log = [
        told(1, "Ann added Cyd", "participant.added", **cyd, role="member"),
        told(2, "Cyd is now observer", "participant.updated", **cyd, role="observer"),
        told(3, "Ann changed the title to Milk", "conversation.updated", title="Milk"),
        told(4, "Ann changed the conversation", "conversation.updated"),
        told(5, "Ann removed the title", "conversation.updated", title=None),
        told(6, "Ann removed Cyd", "participant.removed", **cyd, role="observer"),
        told(7, "Ben is now admin", "participant.updated", user_id=BEN, name="Ben", role="admin"),
        told(8, "Ann left", "participant.removed", user_id=ANN, name="Ann", role="admin"),
    ]
    for user, up_to in ((ANN, 8), (BEN, 8), (CYD, 6)):
        events = await town.phones[user].durable(tea, up_to)
        assert [(event["type"], event["seq"], event["change"], event["data"]) for event in events] == [
            (message["metadata"]["event"], message["seq"], message["change"], message) for message in log[:up_to]
        ]
        assert await town.phones[user].unheard("message.new", "notification") == []
    _, page = await town.ben.get(f"/conversations/{tea}/messages")
    assert page["messages"] == log
    _, page = await town.ben.get("/conversations")
    (line,) = page["conversations"]
    assert (line["unread_count"], line["last_message"], line["my_role"]) == (0, log[-1], "admin")
    logs = Logs(town.phones[BEN])
    await logs.catch_up()
    assert logs.held(tea) == await stored(oracle, tea)
