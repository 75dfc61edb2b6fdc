"""Reactions by frames and over REST: what whoever reacts is answered, what everybody hears, and who is refused."""

import asyncio
from typing import Any

import pytest

from messenger.store import messages
from tests.integration.test_feeds import deafen, mute
from tests.support.log import unbroken
from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import A_TIME, Frame, Phone, entry, notification

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"
NOT_FOUND = {"type": "error", "code": "message_not_found", "message": "Message not found"}
UP, DOWN = "👍", "👎"
ANN, BEN, CYD = 1, 2, 3


def forbidden(message: str) -> Frame:
    return {"type": "error", "code": "forbidden", "message": message}


class Room:
    """Ann, its admin, and Ben in a group, with a device each; and what Ann said there first, which both have heard."""

    def __init__(self, stage: Stage, node: Node, tea: str, ann: Phone, ben: Phone, said: Frame) -> None:
        self.stage = stage
        self.node = node
        self.tea = tea
        self.ann = ann
        self.ben = ben
        self.said = said
        self.message_id = str(said["id"])

    async def heard(self, type_: str) -> Frame:
        """The event that both have heard alike."""
        heard = await self.ben.hear(type_)
        assert await self.ann.hear(type_) == heard
        return heard

    async def react(self, phone: Phone, emoji: str, type_: str = "reaction.add") -> Frame:
        return await phone.answer(type_, message_id=self.message_id, emoji=emoji)

    async def nothing_more(self) -> None:
        for phone in (self.ann, self.ben):
            assert await phone.unheard() == []


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group(ben)
    phones = await node.phone(ann), await node.phone(ben)
    said = await node.client(ann).send(tea, "Milk?")
    room = Room(stage, node, tea, *phones, said)
    assert await room.ben.hear("notification") == notification(await room.heard("message.new"), ben)
    return room


async def test_a_reaction_is_acknowledged_and_everybody_hears_it_with_the_counts(room: Room) -> None:
    other = await room.node.phone(room.ben.user_id)
    for number, (phone, emoji, type_, counts) in enumerate(
        [
            (room.ben, UP, "reaction.add", {UP: 1}),
            (room.ann, UP, "reaction.add", {UP: 2}),
            (room.ben, DOWN, "reaction.add", {UP: 2, DOWN: 1}),
            (room.ben, UP, "reaction.remove", {UP: 1, DOWN: 1}),
            (room.ben, DOWN, "reaction.remove", {UP: 1}),
            (room.ann, UP, "reaction.remove", {}),
        ],
        start=2,
    ):
        numbers = {"conversation_id": room.tea, "message_id": room.message_id, "change": number}
        assert await room.react(phone, emoji, type_) == {"type": "ack", "for": type_, **numbers}
        event = {"reaction.add": "reaction.added", "reaction.remove": "reaction.removed"}[type_]
        told = {
            "type": event,
            **numbers,
            "user_id": phone.user_id,
            "emoji": emoji,
            "reactions": counts,
            "data": {**room.said, "change": number, "reactions": counts},
        }
        assert await room.heard(event) == told
        assert await other.hear(event) == told
    await room.nothing_more()
    assert await other.unheard() == []


async def test_the_same_one_twice_counts_once_and_is_acknowledged_all_the_same(room: Room) -> None:
    first = await room.react(room.ben, UP)
    await room.heard("reaction.added")
    other = await room.node.phone(room.ben.user_id)
    for phone in (room.ben, other):
        assert await room.react(phone, UP) == first
    # What is not there is taken back as easily; and what somebody else said stays.
    for phone, emoji in ((room.ben, DOWN), (room.ann, UP)):
        told = await room.react(phone, emoji, "reaction.remove")
        assert told == {**first, "for": "reaction.remove"}
    await room.nothing_more()
    assert await room.stage.log_of(room.tea) == [(1, 2)]


async def test_in_between_other_changes_it_keeps_its_place(room: Room) -> None:
    ann, ben, of_it = room.ann, room.ben, {"message_id": room.message_id}
    deeds: list[tuple[Phone, str, Frame]] = [
        (ben, "reaction.add", {**of_it, "emoji": UP}),
        (ann, "message.edit", {**of_it, "content": "Tea?"}),
        (ben, "message.send", {"conversation_id": room.tea, "content": "Yes"}),
        (ann, "reaction.add", {**of_it, "emoji": UP}),
        (ben, "reaction.remove", {**of_it, "emoji": UP}),
        (ann, "message.delete", of_it),
        (ben, "message.send", {"conversation_id": room.tea, "content": "Why?"}),
    ]
    for phone, type_, fields in deeds:
        assert (await phone.ask(type_, **fields))["type"] in ("ack", "message.sent")
    for phone in (ann, ben):
        events = await phone.durable(room.tea, 8)
        told = [
            (event["type"], event["change"], event["data"]["content"], event["data"]["reactions"]) for event in events
        ]
        assert told == [
            ("message.new", 1, "Milk?", {}),
            ("reaction.added", 2, "Milk?", {UP: 1}),
            ("message.edited", 3, "Tea?", {UP: 1}),
            ("message.new", 4, "Yes", {}),
            ("reaction.added", 5, "Tea?", {UP: 2}),
            ("reaction.removed", 6, "Tea?", {UP: 1}),
            ("message.deleted", 7, None, {}),
            ("message.new", 8, "Why?", {}),
        ]
        assert all("after" not in event for event in events)


async def test_pages_lists_and_answers_carry_the_counts(room: Room) -> None:
    await room.react(room.ben, UP)
    await room.react(room.ann, UP)
    await room.react(room.ann, DOWN)
    now = {**room.said, "change": 4, "reactions": {UP: 2, DOWN: 1}}
    ben = room.node.client(room.ben.user_id)
    assert (await room.ben.ask("history", conversation_id=room.tea))["messages"] == [now]
    assert (await ben.get(f"/conversations/{room.tea}/messages"))[1]["messages"] == [now]
    for cursors in ({}, {room.tea: 1}, {room.tea: 3}):
        (part,) = (await room.ben.ask("sync", cursors=cursors))["conversations"]
        assert (part["changes"], part["last_change"], part["unread_count"]) == ([now], 4, 1)
    (line,) = (await ben.get("/conversations"))[1]["conversations"]
    assert (line["last_message"], line["last_change"], line["unread_count"]) == (now, 4, 1)
    edited = await room.node.client(room.ann.user_id).patch(f"/messages/{room.message_id}", {"content": "Tea?"})
    assert edited == (200, {**now, "content": "Tea?", "change": 5, "edited_at": A_TIME})


async def test_nobody_is_notified_of_a_reaction_and_nothing_is_unread_for_it(room: Room) -> None:
    await room.ben.ask("message.read", message_id=room.message_id)
    await room.ben.hear("message.read")
    await room.react(room.ben, UP)
    await room.react(room.ann, UP)
    for _ in range(2):
        await room.heard("reaction.added")
    await room.nothing_more()
    (part,) = (await room.ben.ask("sync", cursors={room.tea: 0}))["conversations"]
    assert (part["unread_count"], part["last_read_seq"]) == (0, 1)


@pytest.mark.parametrize(
    "emoji",
    [" ", "x" * 32, UP * 32, "👩‍👩‍👧‍👦", "é", "e\u0301", "\u202e", '"', "\\", "$.a", "0", "constructor", "__proto__"],
    ids=ascii,
)
async def test_an_emoji_is_any_text_of_1_to_32_characters_and_comes_back_as_it_was(room: Room, emoji: str) -> None:
    await room.react(room.ben, emoji)
    told = await room.heard("reaction.added")
    assert (told["emoji"], told["reactions"], told["data"]["reactions"]) == (emoji, {emoji: 1}, {emoji: 1})
    status, who = await room.node.client(room.ann.user_id).get(f"/messages/{room.message_id}/reactions")
    assert (status, [reaction["emoji"] for reaction in who["reactions"]]) == (200, [emoji])
    await room.react(room.ben, emoji, "reaction.remove")
    assert (await room.heard("reaction.removed"))["reactions"] == {}


async def test_a_message_takes_a_hundred_different_ones_and_no_more(room: Room) -> None:
    for number in range(100):
        phone = (room.ann, room.ben)[number % 2]
        assert (await room.react(phone, f"{number}"))["type"] == "ack"
    refused = {
        "type": "error",
        "code": "conflict",
        "message": "A message has at most 100 different reactions",
    }
    assert await room.react(room.ann, UP) == refused
    assert (await room.react(room.ann, "1"))["change"] == 102
    assert (await room.react(room.ann, "0", "reaction.remove"))["change"] == 103
    assert (await room.react(room.ann, UP))["change"] == 104
    events = await room.ben.durable(room.tea, 104)
    assert [event["change"] for event in events] == list(range(1, 105))
    assert len(events[-1]["reactions"]) == 100
    assert (events[-1]["reactions"]["1"], events[-1]["reactions"][UP]) == (2, 1)


async def test_who_may_not_react_is_told_why(room: Room) -> None:
    dee, eve = room.stage.people(2)
    client = room.node.client(room.ann.user_id)
    await client.post(f"/conversations/{room.tea}/participants", {"user_ids": [dee], "role": "observer"})
    joined = await room.heard("participant.added")
    observer, stranger = await room.node.phone(dee), await room.node.phone(eve)
    assert await room.react(observer, UP) == forbidden("Observers cannot react")
    assert await room.react(stranger, UP) == NOT_FOUND
    nothing = await room.ann.answer("reaction.add", message_id=NOBODYS, emoji=UP)
    assert nothing == NOT_FOUND
    told = await room.ann.answer("reaction.add", message_id=joined["data"]["id"], emoji=UP)
    assert told == forbidden("Nobody reacts to a system message")
    # Whoever went is a stranger, and what he said stays.
    await room.react(room.ben, UP)
    await room.heard("reaction.added")
    await room.node.client(room.ben.user_id).delete(f"/conversations/{room.tea}/participants/me")
    await room.heard("participant.removed")
    for type_, emoji in (("reaction.add", DOWN), ("reaction.remove", UP), ("reaction.remove", DOWN)):
        assert await room.react(room.ben, emoji, type_) == NOT_FOUND
    page = await room.ann.ask("history", conversation_id=room.tea)
    assert page["messages"][0]["reactions"] == {UP: 1}
    await room.nothing_more()


async def test_in_an_announcement_members_react(room: Room) -> None:
    client = room.node.client(room.ann.user_id)
    news = await client.group(room.ben.user_id, type="announcement")
    for phone in (room.ann, room.ben):  # else it may be told of with all that was done in it by then
        await phone.hear("conversation.created", conversation_id=news)
    said = await client.send(news, "No milk today")
    answer = await room.ben.answer("reaction.add", message_id=said["id"], emoji=DOWN)
    assert answer == {
        "type": "ack",
        "for": "reaction.add",
        "conversation_id": news,
        "message_id": said["id"],
        "change": 2,
    }
    assert (await room.heard("reaction.added"))["user_id"] == room.ben.user_id


@pytest.mark.parametrize("by", ["sender", "admin"])
async def test_a_tombstone_has_no_reactions_and_takes_none(room: Room, by: str) -> None:
    said = (await room.ben.ask("message.send", conversation_id=room.tea, content="Oops"))["data"]
    for phone in (room.ann, room.ben):
        await phone.ask("reaction.add", message_id=said["id"], emoji=UP)
    await (room.ben if by == "sender" else room.ann).ask("message.delete", message_id=said["id"])
    gone = (await room.heard("message.deleted"))["data"]
    assert gone == {**said, "change": 5, "content": None, "deleted_at": A_TIME}
    for phone in (room.ann, room.ben):
        for type_ in ("reaction.add", "reaction.remove"):
            assert await phone.answer(type_, message_id=said["id"], emoji=UP) == NOT_FOUND
    status, told = await room.node.client(room.ann.user_id).get(f"/messages/{said['id']}/reactions")
    assert (status, told["code"]) == (404, "message_not_found")
    assert await room.stage.oracle.fetch("select from messenger.reactions where message_id = $1", said["id"]) == []


async def test_who_reacted_with_what_is_told_the_first_first(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, ben = room.ann.user_id, room.ben.user_id
    client, path = room.node.client(ann), f"/messages/{room.message_id}/reactions"
    assert await client.get(path) == (200, {"reactions": []})
    for phone, emoji in ((room.ben, DOWN), (room.ann, UP), (room.ben, UP)):
        await room.react(phone, emoji)
    whole = [(ben, DOWN), (ann, UP), (ben, UP)]
    for who in (ann, ben):
        status, told = await room.node.client(who).get(path)
        expected = [{"user_id": user, "emoji": emoji, "created_at": A_TIME} for user, emoji in whole]
        assert (status, told) == (200, {"reactions": expected})
    # Taken back and said again, it is the last.
    await room.react(room.ben, DOWN, "reaction.remove")
    await room.react(room.ben, DOWN)
    told = (await client.get(path))[1]["reactions"]
    assert [(item["user_id"], item["emoji"]) for item in told] == [(ann, UP), (ben, UP), (ben, DOWN)]
    assert messages.MOST_REACTIONS == 1000
    monkeypatch.setattr(messages, "MOST_REACTIONS", 2)
    assert len((await client.get(path))[1]["reactions"]) == 2
    (eve,) = room.stage.people(1)
    for message_id in (room.message_id, NOBODYS):
        status, told = await room.node.client(eve).get(f"/messages/{message_id}/reactions")
        assert (status, told["code"]) == (404, "message_not_found")
    status, told = await client.get("/messages/rubbish/reactions")
    assert (status, told["code"], told["field"]) == (422, "invalid_message_id", "message_id")


async def test_of_a_message_from_before_his_joining_a_newcomer_hears_sees_and_says_nothing(
    stage: Stage, node: Node
) -> None:
    ann, ben, cyd = stage.people(3)
    client = node.client(ann)
    tea = await client.group(ben, history="joined")
    hidden = await client.send(tea, "Before")
    phone = await node.phone(ben)
    await phone.ask("reaction.add", message_id=hidden["id"], emoji=UP)
    late = await node.phone(cyd)
    await client.post(f"/conversations/{tea}/participants", {"user_ids": [cyd]})
    assert (await late.hear("participant.added"))["change"] == 3
    for emoji in (UP, DOWN):
        assert await late.answer("reaction.add", message_id=hidden["id"], emoji=emoji) == NOT_FOUND
        assert await late.answer("reaction.remove", message_id=hidden["id"], emoji=emoji) == NOT_FOUND
    status, _ = await node.client(cyd).get(f"/messages/{hidden['id']}/reactions")
    assert status == 404
    await phone.ask("reaction.add", message_id=hidden["id"], emoji=DOWN)
    await phone.ask("reaction.remove", message_id=hidden["id"], emoji=UP)
    visible = await client.send(tea, "Welcome")
    await phone.ask("reaction.add", message_id=visible["id"], emoji=UP)
    events = await late.durable(tea, 7)
    assert [(event["type"], event.get("after"), event["change"]) for event in events] == [
        ("participant.added", None, 3),
        ("message.new", 3, 6),  # what was hidden from him is folded in
        ("reaction.added", None, 7),
    ]
    for cursor in (3, 5, 6):
        (part,) = (await late.ask("sync", cursors={tea: cursor}))["conversations"]
        assert [item["id"] for item in part["changes"]] == [visible["id"]]
    assert [event["change"] for event in await phone.durable(tea, 7)] == list(range(2, 8))


async def test_the_other_node_tells_the_very_same(cluster: Cluster) -> None:
    one, two = await cluster.node(**FREE), await cluster.node(**FREE)
    tea = await one.client(ANN).group(BEN)
    said = await one.client(ANN).send(tea, "Milk?")
    ann, ben = await one.phone(ANN), await two.phone(BEN)
    for phone, type_ in ((ann, "reaction.add"), (ben, "reaction.add"), (ann, "reaction.remove")):
        assert (await phone.ask(type_, message_id=said["id"], emoji=UP))["type"] == "ack"
    assert await ann.durable(tea, 4) == await ben.durable(tea, 4)
    assert [(event["type"], event["reactions"]) for event in await ben.durable(tea, 4)] == [
        ("reaction.added", {UP: 1}),
        ("reaction.added", {UP: 2}),
        ("reaction.removed", {UP: 1}),
    ]


@pytest.mark.parametrize("fault", [deafen, mute], ids=["heard nothing", "was told nothing"])
async def test_a_node_that_lost_it_reads_it_back_as_an_edited_message_with_the_counts(
    cluster: Cluster, fault: Any
) -> None:
    one, two = await cluster.node(**FREE), await cluster.node(**FREE)
    tea = await one.client(ANN).group(BEN)
    said = await one.client(ANN).send(tea, "Milk?")
    ann, ben = await one.phone(ANN), await two.phone(BEN)
    fault(two if fault is deafen else one)
    for emoji in (UP, DOWN, "🎉"):
        await ann.ask("reaction.add", message_id=said["id"], emoji=emoji)
    await ann.ask("reaction.remove", message_id=said["id"], emoji=DOWN)
    events = await ben.durable(tea, 5)
    now = {**said, "change": 5, "reactions": {UP: 1, "🎉": 1}}
    # As many of them folded together as there were before the poll came by.
    assert {event["type"] for event in events} == {"message.edited"}
    last, position = events[-1], 1
    for event in events:
        assert event.get("after", event["change"] - 1) == position
        position = event["change"]
    folded = {"after": last["after"]} if "after" in last else {}
    assert last == {
        "type": "message.edited", "conversation_id": tea, "message_id": said["id"], "change": 5, **folded, "data": now,
    }  # fmt: skip
    assert await ben.unheard() == []


async def test_a_node_that_lost_the_message_too_tells_it_as_new_with_the_counts(cluster: Cluster) -> None:
    one, two = await cluster.node(**FREE), await cluster.node(**FREE, catch_up_s=3600)
    tea = await one.client(ANN).group(BEN)
    ann, ben = await one.phone(ANN), await two.phone(BEN)
    publish = one.context.node.bus.publish
    mute(one)
    said = (await ann.ask("message.send", conversation_id=tea, content="Milk?"))["data"]
    await ann.ask("reaction.add", message_id=said["id"], emoji=UP)
    one.context.node.bus.publish = publish  # type: ignore[method-assign]
    await ann.ask("reaction.add", message_id=said["id"], emoji=DOWN)
    (new,) = await ben.durable(tea, 3)
    now = {**said, "change": 3, "reactions": {UP: 1, DOWN: 1}}
    assert new == {
        "type": "message.new", "conversation_id": tea, "seq": 1, "change": 3, "after": 0, "data": now,
    }  # fmt: skip
    assert await ben.hear("notification") == notification(new, BEN)


async def test_many_on_two_nodes_at_once_leave_no_hole_and_are_all_counted(cluster: Cluster) -> None:
    nodes = [await cluster.node(**FREE) for _ in range(2)]
    people = list(range(101, 125))
    tea = await nodes[0].client(ANN).group(*people)
    said = await nodes[0].client(ANN).send(tea, "Who comes?")
    phones = [await nodes[user % 2].phone(user) for user in people]
    ann = await nodes[0].phone(ANN)

    async def react(phone: Phone) -> None:
        for type_, emoji in (("add", UP), ("add", "🎉"), ("add", UP), ("remove", UP), ("remove", DOWN), ("add", DOWN)):
            answer = await phone.ask(f"reaction.{type_}", message_id=said["id"], emoji=emoji)
            assert answer["type"] == "ack", answer

    async def edit() -> None:
        for number in range(len(people)):
            answer = await ann.ask("message.edit", message_id=said["id"], content=f"Who comes? {number}")
            assert answer["type"] == "ack", answer

    await asyncio.gather(edit(), *map(react, phones))
    # Of six the third and the fifth change nothing.
    last = 1 + len(people) + 4 * len(people)
    for phone in (ann, *phones):
        events = await phone.durable(tea, last)
        assert unbroken(events, 1) == last
        assert events[-1]["data"]["reactions"] == {"🎉": len(people), DOWN: len(people)}
        assert events[-1]["data"]["content"] == f"Who comes? {len(people) - 1}"
    page = await ann.ask("history", conversation_id=tea)
    edited = {"edited_at": A_TIME, "reactions": {"🎉": len(people), DOWN: len(people)}}
    content = f"Who comes? {len(people) - 1}"
    assert page["messages"] == [entry(tea, 1, ANN, content, change=last, **edited)]


async def test_editing_and_reacting_at_once_never_end_in_an_error(cluster: Cluster) -> None:
    """Both lock the message before the conversation; what locked them in another order would wait for the other for ever."""
    one, two = await cluster.node(**FREE), await cluster.node(**FREE)
    tea = await one.client(ANN).group(BEN, CYD)
    said = [await one.client(ANN).send(tea, "x") for _ in range(2)]
    ann, ben, cyd = await one.phone(ANN), await two.phone(BEN), await one.phone(CYD)
    rounds = 40

    async def do(phone: Phone, turn: int) -> None:
        for number in range(rounds):
            message_id = said[(number + turn) % 2]["id"]
            if phone is ann:
                answer = await phone.ask("message.edit", message_id=message_id, content=f"{number}")
            else:
                type_ = ("reaction.add", "reaction.remove")[number // 2 % 2]
                answer = await phone.ask(type_, message_id=message_id, emoji=UP)
            assert answer["type"] == "ack", answer

    async def answer_it() -> None:
        for number in range(rounds):
            await two.client(CYD).send(tea, f"{number}", reply_to=said[number % 2]["id"])

    await asyncio.gather(do(ann, 0), do(ben, 1), do(cyd, 0), answer_it())
    last = 2 + 4 * rounds
    for phone in (ann, ben, cyd):
        events = await phone.durable(tea, last)
        assert events[-1]["change"] == last
