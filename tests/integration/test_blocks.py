"""A block: neither writes to the other, nor sees him come, go or type, nor is notified of him; groups go on, and nobody is
told that he is blocked."""

import asyncio
from http import HTTPStatus
from typing import Any

import pytest

from messenger.domain.ids import UserId
from messenger.errors import Unavailable
from tests.integration.test_feeds import mute
from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, Client, Frame, Phone, entry, notification

stage = stage_with()
node = node_of_stage()

ANN, BEN, CYD, DEE = 1, 2, 3, 4
NO_POLL = {**FREE, "catch_up_s": 3600}
# Who places the block between the two, Ann or Ben; it is the same for both.
EITHER = pytest.mark.parametrize("placed_by", ["Ann", "Ben"])


def problem(status: int, code: str, message: str, **more: Any) -> tuple[int, Frame]:
    title = HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": status, "detail": message, "code": code}
    return status, {**told, "message": message, **more}


APART = problem(403, "forbidden", "You cannot write to this user")
NOBODY = problem(404, "user_not_found", "User not found")


async def blocks(client: Client) -> list[int]:
    status, told = await client.get("/users/me/blocks")
    assert (status, set(told)) == (200, {"user_ids"})
    return list(told["user_ids"])


async def block(client: Client, other: int) -> None:
    status, told = await client.call("PUT", f"/users/me/blocks/{other}")
    assert (status, other in told["user_ids"]) == (200, True)


async def unblock(client: Client, other: int) -> None:
    assert await client.delete(f"/users/me/blocks/{other}") == (204, None)


async def in_effect(node: Node, user_id: int, other: int, *, apart: bool = True) -> None:
    """Return once a node goes by the block on behalf of somebody with a device there."""
    async with asyncio.timeout(10):
        while node.context.node.hub.are_apart(UserId(user_id), UserId(other)) is not apart:
            await asyncio.sleep(0.005)


def offline(user_id: int) -> Frame:
    return {"type": "user.offline", "user_id": user_id, "timestamp": A_TIME, "last_seen_at": A_TIME}


def online(user_id: int) -> Frame:
    return {"type": "user.online", "user_id": user_id, "timestamp": A_TIME}


class Room:
    """Ann, Ben and Cyd in a group, with a device each; Ann and Ben also in a direct conversation. Those who are `placing` and
    `placed` are Ann and Ben, in one order or the other."""

    def __init__(self, nodes: list[Node], ids: list[int], tea: str, pair: str, phones: list[Phone]) -> None:
        self.nodes = nodes
        self.ids = ids
        self.tea = tea
        self.pair = pair
        self.ann, self.ben, self.cyd = phones
        self.anns, self.bens, self.cyds = (node.client(user) for node, user in zip(nodes, ids, strict=True))

    async def part(self, placed_by: str) -> None:
        """A block is placed, and counts for both."""
        ann, ben, _ = self.ids
        await (block(self.anns, ben) if placed_by == "Ann" else block(self.bens, ann))
        await self.counts()

    async def meet(self, placed_by: str) -> None:
        ann, ben, _ = self.ids
        await (unblock(self.anns, ben) if placed_by == "Ann" else unblock(self.bens, ann))
        await self.counts(apart=False)

    async def counts(self, *, apart: bool = True) -> None:
        ann, ben, _ = self.ids
        await in_effect(self.nodes[0], ann, ben, apart=apart)
        await in_effect(self.nodes[1], ben, ann, apart=apart)

    async def heard_by_now(self, *types: str) -> list[list[Frame]]:
        """What the three have heard of these types since they were last asked."""
        return [await phone.unheard(*types) for phone in (self.ann, self.ben, self.cyd)]


async def room_on(nodes: list[Node], ids: list[int]) -> Room:
    ann, ben, cyd = ids
    anns = nodes[0].client(ann)
    tea = await anns.group(ben, cyd)
    _, made = await anns.post("/conversations", {"type": "direct", "participant_ids": [ben]})
    phones = [await node.phone(user) for node, user in zip(nodes, ids, strict=True)]
    return Room(nodes, ids, tea, made["id"], phones)


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    return await room_on([node] * 3, stage.people(3))


async def test_a_list_of_ones_own_is_kept(stage: Stage, node: Node) -> None:
    ann, ben, cyd, dee = stage.people(4)
    client = node.client(ann)
    assert await blocks(client) == []
    for other, told in ((cyd, [cyd]), (ben, [ben, cyd]), (ben, [ben, cyd])):
        assert await client.call("PUT", f"/users/me/blocks/{other}") == (200, {"user_ids": told})
    assert await blocks(client) == [ben, cyd]
    for other in (ben, dee, dee):  # twice is once, and taking back what there is not changes nothing
        await unblock(client, other)
    assert await blocks(client) == [cyd]
    # Of those who are on it nobody learns that.
    assert [await blocks(node.client(user)) for user in (ben, cyd)] == [[], []]


async def test_one_blocks_somebody_else_whom_there_is(cluster: Cluster, stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    client = node.client(ann)
    told = await client.call("PUT", f"/users/me/blocks/{ann}")
    assert told == problem(422, "invalid_frame", "user_id must be somebody else's", field="user_id")
    for named in ("0", "07", "me", "x", "-1", str(2**53), "%00"):
        for method in ("PUT", "DELETE"):
            assert await client.call(method, f"/users/me/blocks/{named}") == NOBODY
    assert await blocks(client) == []
    strict = await cluster.node(unknown_users="refuse")
    open_ = await cluster.node()
    await open_.client(ANN).group()
    assert await strict.client(ANN).call("PUT", f"/users/me/blocks/{BEN}") == NOBODY
    await block(open_.client(ANN), BEN)  # made known by that
    assert await strict.client(ANN).call("PUT", f"/users/me/blocks/{BEN}") == (200, {"user_ids": [BEN]})
    assert await strict.client(ANN).delete(f"/users/me/blocks/{CYD}") == (204, None)


async def test_there_is_an_end_to_it(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    some = 10_000_000
    assert (await node.client(ann).get("/users/me"))[0] == 200
    async with stage.oracle.transaction():
        await stage.oracle.execute("set local session_replication_role = replica")  # no node need hear of each
        await stage.oracle.execute(
            "insert into messenger.users (id) select generate_series($1::bigint, $1 + 10000)", some
        )
        await stage.oracle.execute(
            "insert into messenger.blocks select $1, generate_series($2::bigint, $2 + 9999)", ann, some
        )
    told = await node.client(ann).call("PUT", f"/users/me/blocks/{some + 10000}")
    assert told == problem(409, "conflict", "At most 10000 users can be blocked")
    await unblock(node.client(ann), some)
    await block(node.client(ann), some + 10000)


@EITHER
async def test_neither_writes_to_the_other(room: Room, placed_by: str) -> None:
    ann, ben, _ = room.ids
    words = {who: await client.send(room.pair, "x") for who, client in ((ann, room.anns), (ben, room.bens))}
    await room.part(placed_by)
    await room.heard_by_now()
    for phone, client, own, other in ((room.ann, room.anns, ann, ben), (room.ben, room.bens, ben, ann)):
        mine, his = words[own]["id"], words[other]["id"]
        refused = {"type": "error", "code": "forbidden", "message": "You cannot write to this user"}
        for type_, fields in (
            ("message.send", {"conversation_id": room.pair, "content": "Hello?"}),
            ("message.edit", {"message_id": mine, "content": "Hello!"}),
            ("reaction.add", {"message_id": mine, "emoji": "👍"}),
            ("reaction.add", {"message_id": his, "emoji": "👍"}),
        ):
            assert await phone.answer(type_, **fields) == refused
        assert await client.post(f"/conversations/{room.pair}/messages", {"content": "Hello?"}) == APART
        assert await client.patch(f"/messages/{mine}", {"content": "Hello!"}) == APART
        assert await client.post("/conversations", {"type": "direct", "participant_ids": [other]}) == APART
    assert await room.heard_by_now() == [[], [], []]
    # What is there stays to be read, and what is one's own can be taken back.
    for phone, client, own in ((room.ann, room.anns, ann), (room.ben, room.bens, ben)):
        _, page = await client.get(f"/conversations/{room.pair}/messages")
        assert words[own] in page["messages"]
        assert (await phone.ask("message.read", message_id=words[own]["id"]))["type"] == "read.confirmed"
    assert (await room.ann.ask("message.delete", message_id=words[ann]["id"]))["type"] == "ack"
    assert await room.bens.delete(f"/messages/{words[ben]['id']}") == (204, None)
    assert (await room.ann.durable(room.pair, 4))[-1]["type"] == "message.deleted"
    await room.meet(placed_by)
    for client in (room.anns, room.bens):
        await client.send(room.pair, "Again")


async def test_what_was_sent_before_is_answered_as_it_was(room: Room) -> None:
    """Its sender may have heard no answer; it is stored, and nothing new is."""
    first = await room.ben.answer("message.send", conversation_id=room.pair, content="x", client_id="c")
    await room.part("Ann")
    again = await room.ben.answer("message.send", conversation_id=room.pair, content="x", client_id="c")
    assert again == {**first, "duplicate": True}
    other = await room.ben.ask("message.send", conversation_id=room.pair, content="x", client_id="c2")
    assert other["code"] == "forbidden"


@EITHER
async def test_there_is_no_new_direct_conversation(stage: Stage, node: Node, placed_by: str) -> None:
    ann, ben = stage.people(2)
    await (block(node.client(ann), ben) if placed_by == "Ann" else block(node.client(ben), ann))
    phones = [await node.phone(user) for user in (ann, ben)]
    for user, other in ((ann, ben), (ben, ann)):
        assert await node.client(user).post("/conversations", {"type": "direct", "participant_ids": [other]}) == APART
        assert (await node.client(user).get("/conversations"))[1]["conversations"] == []
    assert [await phone.unheard() for phone in phones] == [[], []]
    await (unblock(node.client(ann), ben) if placed_by == "Ann" else unblock(node.client(ben), ann))
    status, _ = await node.client(ben).post("/conversations", {"type": "direct", "participant_ids": [ann]})
    assert status == 201


@EITHER
async def test_one_leaves_and_nobody_comes_back(room: Room, placed_by: str) -> None:
    ann, ben, _ = room.ids
    await room.part(placed_by)
    assert await room.bens.delete(f"/conversations/{room.pair}") == (204, None)
    assert (await room.ann.hear("participant.removed"))["user_id"] == ben
    for client, other in ((room.anns, ben), (room.bens, ann)):
        assert await client.post("/conversations", {"type": "direct", "participant_ids": [other]}) == APART
    assert (await room.bens.get(f"/conversations/{room.pair}"))[0] == 404
    await room.meet(placed_by)
    status, told = await room.bens.post("/conversations", {"type": "direct", "participant_ids": [ann]})
    assert (status, told["id"], told["participant_count"]) == (200, room.pair, 2)


@EITHER
async def test_in_a_group_they_go_on(room: Room, placed_by: str) -> None:
    ann, ben, _ = room.ids
    await room.part(placed_by)
    said = await room.bens.send(room.tea, "Milk?")
    for phone in (room.ann, room.ben, room.cyd):
        assert (await phone.hear("message.new"))["data"] == said
    assert (await room.ann.ask("reaction.add", message_id=said["id"], emoji="👍"))["type"] == "ack"
    assert (await room.ben.hear("reaction.added"))["user_id"] == ann
    assert (await room.ben.ask("message.edit", message_id=said["id"], content="Milk!"))["type"] == "ack"
    assert (await room.ann.hear("message.edited"))["data"]["content"] == "Milk!"
    answer = await room.ann.ask("message.send", conversation_id=room.tea, content="Yes", reply_to=said["id"])
    assert (await room.ben.hear("message.new", seq=2))["data"] == answer["data"]
    # A new one of more than two they may find themselves in, too.
    milk = await room.anns.group(ben)
    assert (await room.ben.hear("conversation.created"))["conversation_id"] == milk


@EITHER
async def test_neither_sees_the_other_type(room: Room, placed_by: str) -> None:
    ann, ben, cyd = room.ids
    for phone in (room.ann, room.ben, room.cyd):
        await phone.ask("subscribe", conversation_id=room.tea)
    for phone in (room.ann, room.ben):
        await phone.ask("subscribe", conversation_id=room.pair)
    await room.part(placed_by)

    def types(user: int, is_typing: bool, conversation_id: str = room.tea) -> Frame:
        told = {"conversation_id": conversation_id, "user_id": user, "is_typing": is_typing}
        return {"type": "typing", **told, "timestamp": A_TIME}

    for is_typing in (True, False):
        for phone in (room.ann, room.ben, room.cyd):
            await phone.say("typing", conversation_id=room.tea, is_typing=is_typing)
            await phone.ask("ping")
        heard = await room.heard_by_now("typing")
        assert heard == [
            [types(cyd, is_typing)],
            [types(cyd, is_typing)],
            [types(ann, is_typing), types(ben, is_typing)],
        ]
    for phone in (room.ann, room.ben):
        await phone.say("typing", conversation_id=room.pair)
        await phone.ask("ping")
    assert await room.heard_by_now("typing") == [[], [], []]
    await room.meet(placed_by)
    await room.ben.say("typing.stop", conversation_id=room.pair)
    assert await room.ann.hear("typing") == types(ben, False, room.pair)


@EITHER
async def test_neither_sees_the_other_here_wherever_he_asks(stage: Stage, room: Room, placed_by: str) -> None:
    ann, ben, cyd = room.ids
    await stage.oracle.execute(
        "update messenger.users set last_seen_at = '2024-02-29' where id = any($1)", [ann, ben, cyd]
    )
    await room.part(placed_by)
    at = "2024-02-29T00:00:00Z"

    def seen(asked: Any) -> dict[int, tuple[bool, str | None]]:
        return {person["user_id"]: (person["online"], person["last_seen_at"]) for person in asked}

    hidden = (False, None)
    for phone, client, expected in (
        (room.ann, room.anns, {ann: (True, at), ben: hidden, cyd: (True, at)}),
        (room.ben, room.bens, {ann: hidden, ben: (True, at), cyd: (True, at)}),
        (room.cyd, room.cyds, {ann: (True, at), ben: (True, at), cyd: (True, at)}),
    ):
        _, told = await client.get(f"/presence?user_ids={ann},{ben},{cyd}")
        assert seen(told["users"]) == expected
        _, told = await client.get(f"/conversations/{room.tea}/participants")
        assert seen(told["participants"]) == expected
        assert seen((await phone.ask("presence", user_ids=[ann, ben, cyd]))["users"]) == expected
        assert seen((await phone.ask("subscribe", conversation_id=room.tea))["participants"]) == expected
        _, told = await client.get(f"/users?ids={ann},{ben},{cyd}")
        assert {person["id"]: person["last_seen_at"] for person in told["users"]} == {
            user: last_seen for user, (_, last_seen) in expected.items()
        }
    assert await room.heard_by_now() == [[], [], []]


@EITHER
@pytest.mark.parametrize("reason", ["subscribed", "asked"])
async def test_who_watches_sees_the_other_go_at_once_and_come_again(room: Room, placed_by: str, reason: str) -> None:
    ann, ben, cyd = room.ids
    second = await room.nodes[0].phone(ann)
    for phone in (room.ann, room.ben, room.cyd, second):
        if reason == "subscribed":
            await phone.ask("subscribe", conversation_id=room.tea)
        else:
            await phone.ask("presence", user_ids=[ann, ben, cyd])
    await room.part(placed_by)
    for phone, other in ((room.ann, ben), (second, ben), (room.ben, ann)):
        assert await phone.hear("user.offline") == offline(other)
    assert await room.heard_by_now() == [[], [], []]
    # That is no untruth, to be put right again and again.
    assert await room.nodes[0].context.node.attendance._compare() is None
    await room.meet(placed_by)
    for phone, other in ((room.ann, ben), (second, ben), (room.ben, ann)):
        assert await phone.hear("user.online") == online(other)
    assert await room.heard_by_now() == [[], [], []]


async def test_nothing_is_written_into_a_direct_conversation_by_its_title_either(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    _, pair = await node.client(ann).post("/conversations", {"type": "direct", "participant_ids": [ben]})
    await block(node.client(ben), ann)
    for wanted in ({"title": "You cannot get rid of me"}, {"metadata": {"note": "hello"}}):
        assert await node.client(ann).patch(f"/conversations/{pair['id']}", wanted) == APART
    assert (await node.client(ben).get(f"/conversations/{pair['id']}"))[1]["last_change"] == 0


async def test_who_has_gone_while_a_block_stood_is_not_said_to_be_here_after_it(stage: Stage, node: Node) -> None:
    ann, ben, cyd = stage.people(3)
    tea = await node.client(ann).group(ben, cyd)
    watching, third = await node.phone(ann), await node.phone(cyd)
    async with node.phone_for_a_while(ben):
        for phone in (watching, third):
            await phone.ask("subscribe", conversation_id=tea)
        await block(node.client(ben), ann)
        assert await watching.hear("user.offline") == offline(ben)
    assert (await third.hear("user.offline"))["user_id"] == ben
    assert await watching.unheard() == []
    await unblock(node.client(ben), ann)
    await in_effect(node, ann, ben, apart=False)
    async with node.phone_for_a_while(ben):
        assert await watching.hear("user.online") == online(ben)
        assert await third.hear("user.online") == online(ben)
    # He was told to be here once, and nothing before that; that he went again comes when his lease has ended.
    assert await watching.hear("user.offline") == offline(ben)
    assert await watching.unheard() == []


async def test_who_comes_while_a_block_stands_is_seen_by_all_but_one(room: Room, node: Node, stage: Stage) -> None:
    ann, ben, _ = room.ids
    (dee,) = stage.people(1)
    tea = await room.anns.group(ben, dee)
    for phone in (room.ann, room.ben):
        await phone.ask("subscribe", conversation_id=tea)
    await block(node.client(dee), ann)
    await in_effect(node, ann, dee)
    async with node.phone_for_a_while(dee) as third:
        assert await room.ben.hear("user.online") == online(dee)
        told = await third.ask("subscribe", conversation_id=tea)
        assert {person["user_id"]: person["online"] for person in told["participants"]} == {
            ann: False, ben: True, dee: True,
        }  # fmt: skip
        await room.ben.say("typing", conversation_id=tea)
        await room.ann.say("typing", conversation_id=tea)
        await room.ann.ask("ping")
        assert (await third.hear("typing"))["user_id"] == ben
        assert await third.unheard() == []
    assert (await room.ben.hear("user.offline"))["user_id"] == dee
    assert await room.ann.unheard("user.online", "user.offline") == []


async def test_who_watches_no_more_hears_nothing_when_a_block_is_taken_back(room: Room) -> None:
    ann, ben, _ = room.ids
    await room.ann.ask("subscribe", conversation_id=room.tea)
    await room.ben.ask("presence", user_ids=[ann])
    await room.part("Ann")
    assert await room.ann.hear("user.offline") == offline(ben)
    assert await room.ben.hear("user.offline") == offline(ann)
    await room.ann.ask("unsubscribe", conversation_id=room.tea)
    await room.meet("Ann")
    assert await room.ben.hear("user.online") == online(ann)
    assert await room.ann.unheard() == []


@EITHER
async def test_neither_is_notified_of_the_other(room: Room, placed_by: str) -> None:
    ann, ben, cyd = room.ids
    await room.part(placed_by)
    for client, mentions in ((room.anns, [ben, cyd]), (room.bens, [ann, cyd]), (room.cyds, [ann])):
        await client.send(room.tea, "Milk?", mentions=mentions)
    one, two, three = [await room.cyd.hear("message.new", seq=seq) for seq in (1, 2, 3)]
    assert await room.heard_by_now("message.new", "notification") == [
        [one, two, three, notification(three, ann)],
        [one, two, three, notification(three, ben)],
        [notification(one, cyd), notification(two, cyd)],
    ]
    await room.meet(placed_by)
    await room.bens.send(room.pair, "Hello")
    hello = await room.ann.hear("message.new")
    assert await room.ann.hear("notification") == notification(hello, ann)


async def test_nobody_is_told_that_he_is_blocked(room: Room) -> None:
    """Not by an event, and nothing that he may ask for looks otherwise than before; only writing is refused."""
    ann, ben, cyd = room.ids
    await room.bens.send(room.pair, "x")
    await room.heard_by_now()
    async with room.nodes[0].phone_for_a_while(ben):
        pass
    asked = (
        "/users/me", "/users/me/blocks", "/conversations", f"/conversations/{room.pair}", f"/users?ids={ann},{cyd}",
        f"/conversations/{room.pair}/messages", f"/conversations/{room.pair}/notifications",
        f"/conversations/{room.pair}/participants/former",
    )  # fmt: skip
    before = [await room.bens.get(path) for path in asked]
    assert {status for status, _ in before} == {200}
    sync = await room.ben.answer("sync", cursors={})
    await room.part("Ann")
    assert [await room.bens.get(path) for path in asked] == before
    assert await room.ben.answer("sync", cursors={}) == sync
    assert await room.heard_by_now() == [[], [], []]


@pytest.mark.parametrize("is_heard", [True, False], ids=["by the bus", "by the poll"])
@EITHER
async def test_it_counts_on_every_node(cluster: Cluster, placed_by: str, is_heard: bool) -> None:
    """Where the bus lost the word of it, within a poll."""
    settings = NO_POLL if is_heard else FREE
    nodes = [await cluster.node(**settings) for _ in range(3)]
    room = await room_on(nodes, [ANN, BEN, CYD])
    elsewhere = await cluster.node(**FREE)
    if not is_heard:
        mute(elsewhere)
    placing = elsewhere.client(ANN if placed_by == "Ann" else BEN)
    for phone in (room.ann, room.ben, room.cyd):
        await phone.ask("subscribe", conversation_id=room.tea)
    other = BEN if placed_by == "Ann" else ANN
    await block(placing, other)
    assert await room.ann.hear("user.offline") == offline(BEN)
    assert await room.ben.hear("user.offline") == offline(ANN)
    for client in (room.anns, room.bens):
        assert await client.post(f"/conversations/{room.pair}/messages", {"content": "Hello?"}) == APART
    await room.ben.say("typing", conversation_id=room.tea)
    assert (await room.cyd.hear("typing"))["user_id"] == BEN
    await room.ann.say("typing", conversation_id=room.tea)
    assert (await room.cyd.hear("typing"))["user_id"] == ANN
    said = await room.bens.send(room.tea, "Milk?")
    new = await room.ann.hear("message.new")
    assert new["data"] == said
    assert await room.cyd.hear("notification") == notification(new, CYD)
    await room.cyds.send(room.tea, "After it")
    for phone in (room.ann, room.ben):
        await phone.hear("message.new", seq=2)
        assert (await phone.hear("notification"))["sender_id"] == CYD
        assert await phone.unheard("typing", "notification", "user.online", "user.offline") == []
    await unblock(placing, other)
    assert await room.ann.hear("user.online") == online(BEN)
    assert await room.ben.hear("user.online") == online(ANN)
    await room.bens.send(room.pair, "Hello")
    hello = await room.ann.hear("message.new", conversation_id=room.pair)
    assert hello["data"] == entry(room.pair, 1, BEN, "Hello", id=hello["data"]["id"])
    assert await room.ann.hear("notification") == notification(hello, ANN)


async def test_it_counts_for_who_was_coming_in_while_it_was_placed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of him before the block must not be taken for what he wants when it comes to hand after it."""
    node = await cluster.node(**NO_POLL)
    tea = await node.client(ANN).group(BEN)
    ben = await node.phone(BEN)
    await ben.ask("subscribe", conversation_id=tea)
    duties, was_read, go_on = node.context.duties, asyncio.Event(), asyncio.Event()
    preferences_of = duties.preferences_of

    async def late(user_id: UserId) -> Any:
        found = await preferences_of(user_id)
        if user_id == ANN and not was_read.is_set():
            was_read.set()
            await go_on.wait()
        return found

    monkeypatch.setattr(duties, "preferences_of", late)
    entering = asyncio.create_task(node.phone(ANN))
    await was_read.wait()
    await block(node.client(BEN), ANN)
    await in_effect(node, ANN, BEN)
    go_on.set()
    ann = await entering
    told = await ann.ask("subscribe", conversation_id=tea)
    assert [person["online"] for person in told["participants"]] == [True, False]
    await ben.say("typing", conversation_id=tea)
    await ben.ask("ping")
    assert await ann.unheard() == []


async def test_what_the_database_did_not_tell_at_first_is_asked_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node(**FREE)
    tea = await node.client(ANN).group(BEN)
    ann = await node.phone(ANN)
    await node.phone(BEN)
    await ann.ask("subscribe", conversation_id=tea)
    duties, failures = node.context.duties, [Unavailable(), Unavailable(), Unavailable()]
    preferences_of = duties.preferences_of

    async def fails(user_id: UserId) -> Any:
        if failures:
            raise failures.pop()
        return await preferences_of(user_id)

    monkeypatch.setattr(duties, "preferences_of", fails)
    await block(node.client(ANN), BEN)
    assert await ann.hear("user.offline") == offline(BEN)
    assert failures == []


async def test_once_a_block_is_told_nothing_more_is_written(cluster: Cluster) -> None:
    """Whatever was on its way: it was there before the answer, or it is refused."""
    nodes = [await cluster.node(**FREE) for _ in range(2)]
    room = await room_on([*nodes, nodes[0]], [ANN, BEN, CYD])
    over, answers = asyncio.Event(), []

    async def insist() -> None:
        while not over.is_set():
            answers.append(await room.ben.ask("message.send", conversation_id=room.pair, content="Hello"))

    async def written() -> int:
        _, told = await room.anns.get(f"/conversations/{room.pair}")
        return int(told["last_seq"])

    insisting = asyncio.create_task(insist())
    for _ in range(20):
        await block(room.anns, BEN)
        before, refused = await written(), len(answers)
        async with asyncio.timeout(10):
            while len(answers) < refused + 3:
                await asyncio.sleep(0.001)
        assert await written() == before
        await unblock(room.anns, BEN)
        async with asyncio.timeout(10):
            while await written() == before:
                await asyncio.sleep(0.001)
    over.set()
    await insisting
    kinds = {(answer["type"], answer.get("message")) for answer in answers}
    assert kinds == {("message.sent", None), ("error", "You cannot write to this user")}
    stored = await written()
    assert [answer["seq"] for answer in answers if answer["type"] == "message.sent"] == list(range(1, stored + 1))
    events = await room.ann.durable(room.pair, stored)
    assert [event["change"] for event in events] == list(range(1, stored + 1))
