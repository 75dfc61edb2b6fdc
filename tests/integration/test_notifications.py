"""What one wants to be told of: notifications right behind messages, and the settings that say to whom they go."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from messenger.domain.conversation import NotificationSettings
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.user import Preferences
from messenger.fanout import hub
from tests.integration.test_feeds import deafen, mute
from tests.support.node import FREE, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import Client, Frame, Phone, notification

stage = stage_with()
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"
NO_POLL = {**FREE, "catch_up_s": 3600}
ANN, BEN, CYD, DEE = 1, 2, 3, 4
DEFAULTS = {"level": "all", "muted_until": None, "push_enabled": True, "email_enabled": False}
NONE = {**DEFAULTS, "level": "none"}


def in_hours(hours: float) -> str:
    at = datetime.now(UTC) + timedelta(hours=hours)
    return at.isoformat().replace("+00:00", "Z")


async def set_(client: Client, conversation_id: str, **settings: Any) -> Frame:
    """Say what one wants to be told of."""
    status, told = await client.call("PUT", f"/conversations/{conversation_id}/notifications", settings)
    assert status == 200, told
    return dict(told)


async def in_effect(node: Node, user_id: int, conversation_id: str, **settings: Any) -> None:
    """Return once a node goes by these settings of somebody; the defaults are not kept."""
    wanted = NotificationSettings(**settings)
    person = node.context.node.hub.people[UserId(user_id)]
    async with asyncio.timeout(10):
        while True:
            kept = person.preferences.notifications.get(ConversationId(UUID(conversation_id)), NotificationSettings())
            if (kept.level, kept.muted_until) == (wanted.level, wanted.muted_until):
                return
            await asyncio.sleep(0.005)


def told_of(phone: Phone, conversation_id: str) -> Sequence[tuple[Any, ...]]:
    """New messages and notifications of a conversation, in the order in which a device heard them."""
    return [
        (frame["type"], frame["seq"])
        for frame in phone.frames
        if frame["type"] in ("message.new", "notification") and frame["conversation_id"] == conversation_id
    ]


class Room:
    """Ann, its admin, and Ben in a group, with a device each."""

    def __init__(self, stage: Stage, node: Node, tea: str, ann: Phone, ben: Phone) -> None:
        self.stage = stage
        self.node = node
        self.tea = tea
        self.path = f"/conversations/{tea}/notifications"
        self.ann = ann
        self.ben = ben
        self.anns = node.client(ann.user_id)
        self.bens = node.client(ben.user_id)

    async def said(self, content: str = "Milk?", **more: Any) -> Frame:
        """A new message of Ann's, as both have heard it."""
        await self.anns.send(self.tea, content, **more)
        told = await self.ben.hear("message.new")
        assert await self.ann.hear("message.new") == told
        return told

    async def wants(self, **settings: Any) -> None:
        """Ben says what he wants to be told of; on the node that answered it counts from now on."""
        told = await set_(self.bens, self.tea, **settings)
        updated = await self.ben.hear("notifications.updated")
        assert updated["notification"] == told


@pytest.fixture
async def room(stage: Stage, node: Node) -> Room:
    ann, ben = stage.people(2)
    tea = await node.client(ann).group(ben)
    return Room(stage, node, tea, await node.phone(ann), await node.phone(ben))


async def test_right_behind_a_new_message_everybody_but_its_sender_is_notified(room: Room) -> None:
    others = [await room.node.phone(room.ben.user_id), await room.node.phone(room.ann.user_id)]
    new = await room.said()
    for phone in (room.ben, others[0]):
        assert await phone.hear("notification") == notification(new, room.ben.user_id)
        assert told_of(phone, room.tea) == [("message.new", 1), ("notification", 1)]
    answer = await room.ben.ask("message.send", conversation_id=room.tea, content="Yes", message_type="question")
    for phone in (room.ann, others[1]):
        event = await phone.hear("message.new", seq=2)
        assert await phone.hear("notification") == notification(event, room.ann.user_id)
        assert event["data"] == answer["data"]
        assert told_of(phone, room.tea)[-2:] == [("message.new", 2), ("notification", 2)]
    for phone in (room.ann, room.ben, *others):
        assert await phone.unheard("notification") == []


async def test_of_a_message_sent_again_nobody_is_notified_again(room: Room) -> None:
    for _ in range(2):
        await room.anns.send(room.tea, "Milk?", client_id="c")
    await room.ben.hear("notification")
    assert await room.ben.unheard("notification") == []


@pytest.mark.parametrize(
    ("settings", "unmentioned", "mentioned"),
    [
        ({}, True, True),
        ({"level": "all"}, True, True),
        ({"level": "mentions"}, False, True),
        ({"level": "none"}, False, False),
        ({"muted_until": in_hours(1)}, False, False),
        ({"muted_until": in_hours(-1)}, True, True),
        ({"level": "mentions", "muted_until": in_hours(1)}, False, False),
        ({"level": "mentions", "muted_until": in_hours(-1)}, False, True),
        ({"level": "none", "muted_until": in_hours(-1)}, False, False),
        # These are for those who are away.
        ({"push_enabled": False, "email_enabled": True}, True, True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else str(value),
)  # fmt: skip
async def test_settings_say_of_what_one_is_notified(
    room: Room, settings: Frame, unmentioned: bool, mentioned: bool
) -> None:
    other = await room.node.phone(room.ben.user_id)
    await room.wants(**settings)
    expected = []
    for mentions, is_due in (([], unmentioned), ([room.ben.user_id], mentioned), ([room.ann.user_id], unmentioned)):
        new = await room.said(mentions=mentions)
        assert await other.hear("message.new") == new
        expected += [notification(new, room.ben.user_id)] * is_due
        assert new["data"]["mentions"] == mentions
    assert [told["mentioned"] for told in expected].count(True) == mentioned
    for phone in (room.ben, other):
        assert await phone.unheard("notification") == expected
    # Nobody else's settings are his.
    await room.ben.ask("message.send", conversation_id=room.tea, content="Yes")
    assert await room.ann.hear("notification") == notification(await room.ann.hear("message.new"), room.ann.user_id)
    assert await room.ann.unheard("notification") == []


async def test_when_the_time_has_come_he_is_notified_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    await room.wants(muted_until=until.isoformat())

    class Clock(datetime):
        at = until

        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return cls.at

    for before, count in ((timedelta(microseconds=1), 0), (timedelta(0), 1), (timedelta(days=-1), 1)):
        Clock.at = until - before
        monkeypatch.setattr(hub, "datetime", Clock)
        await room.said()
        assert len(await room.ben.unheard("notification")) == count


async def test_of_nothing_but_what_people_say_anew_is_anybody_notified(room: Room) -> None:
    new = await room.said()
    await room.ben.hear("notification")
    (cyd,) = room.stage.people(1)
    message_id = new["data"]["id"]
    await room.anns.patch(f"/messages/{message_id}", {"content": "Tea?"})
    await room.ann.ask("reaction.add", message_id=message_id, emoji="👍")
    await room.ben.ask("message.read", message_id=message_id)
    await room.anns.delete(f"/messages/{message_id}")
    await room.anns.post(f"/conversations/{room.tea}/participants", {"user_ids": [cyd]})
    await room.anns.patch(f"/conversations/{room.tea}/participants/{cyd}", {"role": "observer"})
    await room.anns.patch(f"/conversations/{room.tea}", {"title": "Coffee"})
    await room.node.client(cyd).delete(f"/conversations/{room.tea}/participants/me")
    assert len(await room.ben.durable(room.tea, 8)) == 8
    for phone in (room.ann, room.ben):
        assert await phone.unheard("notification") == []


async def test_settings_are_the_defaults_until_they_are_set_and_what_is_absent_is_a_default(room: Room) -> None:
    assert await room.bens.get(room.path) == (200, DEFAULTS)
    until = in_hours(1)
    for body, told in (
        ({"level": "mentions"}, {"level": "mentions"}),
        ({"muted_until": until}, {"muted_until": until}),
        ({"push_enabled": False}, {"push_enabled": False}),
        ({"email_enabled": True}, {"email_enabled": True}),
        ({"level": "none", "muted_until": until, "push_enabled": False, "email_enabled": True}, None),
        ({"level": "all", "muted_until": None, "push_enabled": True, "email_enabled": False}, {}),
        ({"level": "none", "user_id": room.ann.user_id, "conversation_id": NOBODYS}, {"level": "none"}),
        ({}, {}),
    ):
        expected = {**DEFAULTS, **(body if told is None else told)}
        assert await room.bens.call("PUT", room.path, body) == (200, expected)
        assert await room.bens.get(room.path) == (200, expected)
        (line,) = (await room.bens.get("/conversations"))[1]["conversations"]
        assert line["notification"] == expected
    # Of each one his own.
    await set_(room.bens, room.tea, level="none")
    assert await room.anns.get(room.path) == (200, DEFAULTS)
    (line,) = (await room.anns.get("/conversations"))[1]["conversations"]
    assert line["notification"] == DEFAULTS
    other = await room.bens.group()
    assert await room.bens.get(f"/conversations/{other}/notifications") == (200, DEFAULTS)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("2099-01-31T12:00:00Z", "2099-01-31T12:00:00Z"),
        ("2099-01-31t12:00:00z", "2099-01-31T12:00:00Z"),
        ("2099-01-31T12:00:00.5Z", "2099-01-31T12:00:00.500000Z"),
        ("2099-01-31T12:00:00.123456+00:00", "2099-01-31T12:00:00.123456Z"),
        ("2099-01-31T01:00:00+02:00", "2099-01-30T23:00:00Z"),
        ("2099-12-31T23:30:00-00:30", "2100-01-01T00:00:00Z"),
        # These two asyncpg takes for infinity.
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
async def test_a_time_is_told_in_utc_whatever_its_offset_was(room: Room, said: str, told: str) -> None:
    expected = {**DEFAULTS, "level": "mentions", "muted_until": told}
    body = {"level": "mentions", "muted_until": said}
    assert await room.bens.call("PUT", room.path, body) == (200, expected)
    assert await room.bens.get(room.path) == (200, expected)
    assert (await room.ben.hear("notifications.updated"))["notification"] == expected
    (line,) = (await room.bens.get("/conversations"))[1]["conversations"]
    assert line["notification"] == expected
    until = datetime.fromisoformat(told)
    await room.said(mentions=[room.ben.user_id])
    assert len(await room.ben.unheard("notification")) == (until < datetime.now(UTC))


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("level", [None, "", "ALL", "some", "all ", 7, True, [], {}, ["all"], "\x00", "\ud800"]),
        (
            "muted_until",
            ["", "now", "2099-01-31", "2099-01-31T12:00:00", "2099-01-31 12:00:00Z", "2099-13-31T12:00:00Z"]
            + ["2099-02-30T12:00:00Z", "2099-01-31T24:00:00Z", "2099-01-31T12:60:00Z", "2099-01-31T12:00:00+25:00"]
            + ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "infinity"]
            + ["2099-01-31T12:00:00Zx", "2099-01-31T12:00:00.1234567Z", "٢٠٩٩-01-31T12:00:00Z", "\x00", "\ud800"]
            + [7, 4102444800, 1.5, True, [], {}],
        ),
        ("push_enabled", [None, 0, 1, "true", "", [], {}]),
        ("email_enabled", [None, 0, 1, "true", "", [], {}]),
    ],
    ids=["level", "muted_until", "push_enabled", "email_enabled"],
)
async def test_what_is_no_setting_is_refused_by_name_and_changes_nothing(
    room: Room, field: str, bad: Sequence[Any]
) -> None:
    before = await set_(room.bens, room.tea, level="mentions", email_enabled=True)
    await room.ben.hear("notifications.updated")
    for value in bad:
        status, told = await room.bens.call("PUT", room.path, {field: value, "level": "none"} | {field: value})
        assert (status, told["code"], told["field"]) == (422, "invalid_frame", field), value
    assert await room.bens.get(room.path) == (200, before)
    assert await room.ben.unheard() == []


async def test_a_body_that_is_no_object_sets_nothing(room: Room) -> None:
    for text, type_, status, code in (
        ("[]", "application/json", 422, "invalid_frame"),
        ("null", "application/json", 422, "invalid_frame"),
        ("{", "application/json", 400, "invalid_json"),
        ("", "application/json", 400, "invalid_json"),
        ('{"level":"none"}', "text/plain", 415, "unsupported_media_type"),
    ):
        answer = await room.bens.ask("PUT", room.path, data=text.encode(), headers={"Content-Type": type_})
        assert (answer.status, answer.body["code"]) == (status, code), text
    assert await room.bens.get(room.path) == (200, DEFAULTS)


async def test_settings_of_a_foreign_conversation_are_as_of_none(room: Room) -> None:
    (eve,) = room.stage.people(1)
    stranger = room.node.client(eve)
    for conversation_id in (room.tea, NOBODYS):
        path = f"/conversations/{conversation_id}/notifications"
        for answer in (await stranger.get(path), await stranger.call("PUT", path, {"level": "none"})):
            status, told = answer
            told_of_it = (status, told["code"], told["detail"])
            assert told_of_it == (404, "not_participant", "Not a participant of this conversation")
    status, told = await stranger.get("/conversations/rubbish/notifications")
    assert (status, told["code"], told["field"]) == (422, "invalid_conversation_id", "conversation_id")
    status, told = await room.node.nobody().get(room.path)
    assert (status, told["code"]) == (401, "unauthorized")
    assert await room.stage.oracle.fetch("select from messenger.notification_settings where user_id = $1", eve) == []


async def test_his_devices_on_every_node_agree_and_nobody_elses_hear_of_it(cluster: Cluster) -> None:
    nodes = [await cluster.node(**NO_POLL) for _ in range(2)]
    tea = await nodes[0].client(ANN).group(BEN)
    bens = [await node.phone(BEN) for node in (*nodes, nodes[0])]
    anns = [await node.phone(ANN) for node in nodes]
    told = await set_(nodes[0].client(BEN), tea, level="mentions", email_enabled=True)
    assert told == {**DEFAULTS, "level": "mentions", "email_enabled": True}
    for phone in bens:
        updated = {"type": "notifications.updated", "conversation_id": tea, "notification": told}
        assert await phone.hear("notifications.updated") == updated
    for node in nodes:
        await in_effect(node, BEN, tea, level="mentions")
    new = await nodes[1].client(ANN).send(tea, "Milk?")
    for phone in (*bens, *anns):
        assert (await phone.hear("message.new"))["data"] == new
        assert await phone.unheard() == []
    await nodes[1].client(ANN).send(tea, "Milk?", mentions=[BEN])
    for phone in bens:
        assert await phone.hear("notification") == notification(await phone.hear("message.new"), BEN)


async def test_once_it_is_answered_it_counts_however_long_the_node_takes_to_find_out(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    duties = room.node.context.duties
    read = duties.preferences_of

    async def slowly(user_id: UserId) -> Preferences:
        await asyncio.sleep(0.1)
        return await read(user_id)

    monkeypatch.setattr(duties, "preferences_of", slowly)
    for level, count in (("none", 0), ("all", 1), ("none", 0)):
        await room.wants(level=level)
        await room.said()
        assert len(await room.ben.unheard("notification")) == count


@pytest.mark.parametrize("fault", [deafen, mute], ids=["heard nothing", "was told nothing"])
async def test_where_the_bus_lost_the_word_the_poll_brings_it(cluster: Cluster, fault: Any) -> None:
    one, two = await cluster.node(**FREE), await cluster.node(**FREE)
    tea = await one.client(ANN).group(BEN)
    ben = await two.phone(BEN)
    fault(two if fault is deafen else one)
    for level in ("none", "all", "mentions"):
        await set_(one.client(BEN), tea, level=level)
        await in_effect(two, BEN, tea, level=level)
        await two.client(ANN).send(tea, level)
        new = await ben.hear("message.new")
        due = [notification(new, BEN)] if level == "all" else []
        assert await ben.unheard("notification") == due


async def test_a_device_that_comes_later_goes_by_what_was_set_before(room: Room) -> None:
    (cyd,) = room.stage.people(1)
    await room.anns.post(f"/conversations/{room.tea}/participants", {"user_ids": [cyd]})
    await set_(room.node.client(cyd), room.tea, level="none")
    late = await room.node.phone(cyd)
    new = await room.said()
    assert await late.hear("message.new") == new
    assert await late.unheard() == []


@pytest.mark.parametrize("way", ["heard of it", "heard nothing"])
async def test_settings_go_with_him_who_leaves_and_who_comes_back_has_none(cluster: Cluster, way: str) -> None:
    one, two = await cluster.node(**FREE), await cluster.node(**FREE)
    tea = await one.client(ANN).group(BEN)
    milk = await one.client(ANN).group(BEN)
    phones = [await one.phone(BEN), await two.phone(BEN)]
    for where in (tea, milk):
        await set_(one.client(BEN), where, level="none")
        for node in (one, two):
            await in_effect(node, BEN, where, level="none")
    if way == "heard nothing":
        deafen(two)
    await one.client(BEN).delete(f"/conversations/{tea}/participants/me")
    for deed in (
        await one.client(BEN).get(f"/conversations/{tea}/notifications"),
        await one.client(BEN).call("PUT", f"/conversations/{tea}/notifications", {"level": "none"}),
    ):
        assert (deed[0], deed[1]["code"]) == (404, "not_participant")
    await one.client(ANN).post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
    assert await one.client(BEN).get(f"/conversations/{tea}/notifications") == (200, DEFAULTS)
    for phone in phones:
        await phone.hear("participant.added")
    await one.client(ANN).send(tea, "Welcome back")
    await one.client(ANN).send(milk, "Still quiet here")
    for phone in phones:
        assert await phone.hear("notification") == notification(
            await phone.hear("message.new", conversation_id=tea), BEN
        )
        await phone.hear("message.new", conversation_id=milk)
        assert await phone.unheard("notification") == []


async def test_who_is_let_in_is_notified_of_what_was_said_before_his_node_knew(cluster: Cluster) -> None:
    """Of the first word of a conversation above all: somebody makes it to say something."""
    one, two = await cluster.node(**FREE), await cluster.node(**FREE)
    ben = await two.phone(BEN)
    deafen(two)
    tea = await one.client(ANN).group(BEN)
    await one.client(ANN).send(tea, "Hello")
    await one.client(ANN).send(tea, "Are you there?")
    frames = [await ben.hear(conversation_id=tea) for _ in range(5)]
    assert [frame["type"] for frame in frames] == ["conversation.created"] + ["message.new", "notification"] * 2
    assert [frames[2], frames[4]] == [notification(new, BEN) for new in (frames[1], frames[3])]


async def test_who_is_let_in_is_notified_of_what_is_said_meanwhile(cluster: Cluster) -> None:
    """While he is brought up, others are told already; he is told the same, and of the same."""
    node = await cluster.node(**NO_POLL)
    tea = await node.client(ANN).group(CYD)
    ben, cyd = await node.phone(BEN), await node.phone(CYD)
    changes = node.context.node.repair._messages.changes
    has_read, go_on = asyncio.Event(), asyncio.Event()

    async def held(*args: Any) -> Any:
        page = await changes(*args)
        has_read.set()
        await go_on.wait()
        return page

    node.context.node.repair._messages.changes = held  # type: ignore[assignment,method-assign]
    try:
        await node.client(ANN).post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
        await has_read.wait()
        await node.client(ANN).send(tea, "Hello, Ben")
        await cyd.hear("notification")
    finally:
        del node.context.node.repair._messages.changes
        go_on.set()
    frames = [await ben.hear(conversation_id=tea) for _ in range(4)]
    told = [frame["type"] for frame in frames]
    assert told == ["conversation.created", "participant.added", "message.new", "notification"]
    assert frames[3] == notification(frames[2], BEN)


async def test_of_what_a_node_lost_he_is_notified_when_it_is_read_back_and_once(cluster: Cluster) -> None:
    one, two = await cluster.node(**FREE), await cluster.node(**FREE)
    tea = await one.client(ANN).group(BEN, CYD)
    ben = await two.phone(BEN)
    heard = await one.client(CYD).send(tea, "heard")
    await ben.hear("notification", message_id=heard["id"])
    deafen(two)
    for number in range(5):
        await one.client((ANN, CYD)[number % 2]).send(tea, f"{number}")
    said = await one.client(CYD).send(tea, "mend me")
    for message_id in (said["id"], heard["id"]):
        await one.client(CYD).patch(f"/messages/{message_id}", {"content": "mended"})
    events = (await ben.durable(tea, 9))[1:]
    assert (events[-1]["type"], events[-1]["message_id"]) == ("message.edited", heard["id"])
    new = [event for event in events if event["type"] == "message.new"]
    assert len(new) == 6
    assert await ben.unheard("notification") == [notification(event, BEN) for event in new]
    assert told_of(ben, tea)[2:] == [
        (type_, event["seq"]) for event in new for type_ in ("message.new", "notification")
    ]


async def test_of_a_conversation_that_one_left_one_is_notified_no_more(room: Room) -> None:
    await room.bens.delete(f"/conversations/{room.tea}/participants/me")
    await room.ben.hear("participant.removed")
    await room.anns.send(room.tea, "Alone")
    await room.ann.hear("message.new")
    assert await room.ben.unheard("notification", "message.new") == []
