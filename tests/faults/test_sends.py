"""Idempotent sends for ever: whoever asks again, by whatever way and on whatever node, a message is stored and heard once."""

import asyncio
import itertools
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.support.breakable import BreakableRedis
from tests.support.log import last_change, stored, unbroken
from tests.support.node import FREE, Cluster, Node
from tests.support.people import PATIENCE_S, Client, Frame, Phone

pytestmark = pytest.mark.usefixtures("foreseen")

ANN, BEN, CYD = 1, 2, 3
CONFLICT = "client_id_conflict"
# What somebody sees whose node dies before it answers.
LOST = {aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectorError, ConnectionResetError}
# One way to send: the message's fields, `client_id` among them, to what came of it and the message, where there is one.
Way = Callable[[str, Frame], Awaitable[tuple[str, Frame]]]


def by_frame(phone: Phone) -> Way:
    async def send(tea: str, said: Frame) -> tuple[str, Frame]:
        answer = await phone.ask("message.send", conversation_id=tea, **said)
        if answer["type"] == "error":
            return answer["code"], {}
        return "duplicate" if answer.get("duplicate") else "sent", answer["data"]

    return send


def by_rest(client: Client, *, with_header: bool = False) -> Way:
    async def send(tea: str, said: Frame) -> tuple[str, Frame]:
        headers = {}
        if with_header:
            said = dict(said)
            headers = {"Idempotency-Key": said.pop("client_id")}
        status, told = await client.post(f"/conversations/{tea}/messages", said, headers=headers)
        if status >= 400:
            return told["code"], {}
        return {201: "sent", 200: "duplicate"}[status], told

    return send


async def ways_of(user_id: int, *nodes: Node) -> list[Way]:
    """Every way that somebody has: a frame, a field of a body and a header, on each node."""
    ways = []
    for node in nodes:
        client = node.client(user_id)
        ways += [by_frame(await node.phone(user_id)), by_rest(client), by_rest(client, with_header=True)]
    return ways


async def heard_once(phone: Phone, oracle: asyncpg.Connection, tea: str) -> None:
    """A phone that was there from the start has heard every entry of a conversation, in order and once."""
    entries = await stored(oracle, tea)
    events = await phone.durable(tea, entries[-1][1])
    assert unbroken(events, 0) == entries[-1][1]
    assert [event["data"]["id"] for event in events if event["type"] == "message.new"] == [
        entry[2] for entry in entries
    ]


async def has_no_holes(oracle: asyncpg.Connection, tea: str) -> None:
    """Each number once: what came to nothing took none."""
    entries = await stored(oracle, tea)
    numbers = list(range(1, len(entries) + 1))
    assert [entry[0] for entry in entries] == [entry[1] for entry in entries] == numbers
    head = await oracle.fetchrow(
        "select last_seq, last_change from messenger.conversation_heads where conversation_id = $1", tea
    )
    assert tuple(head) == (len(entries), len(entries))


async def test_a_retry_is_answered_as_the_first_whatever_became_of_message_and_sender(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    ann, ben = one.client(ANN), two.client(BEN)
    tea = await ann.group(BEN, CYD)
    listener = await two.phone(CYD)
    asked = (await ann.send(tea, "Milk or sugar?"))["id"]
    said = {"content": "Milk?", "client_id": "b-1", "reply_to": asked, "mentions": [CYD, ANN], "metadata": {"a": [1]}}
    ways = await ways_of(BEN, one, two)
    outcome, first = await ways[0](tea, said)
    assert (outcome, first["mentions"], first["reply_to"]) == ("sent", [CYD, ANN], asked)
    message, person = f"/messages/{first['id']}", f"/conversations/{tea}/participants/{BEN}"

    async def is_the_first(**fields: Any) -> None:
        change = await last_change(oracle, tea)
        for way in ways:
            assert await way(tea, said) == ("duplicate", {**first, **fields})
            for other in ({"content": "Tea?"}, {"reply_to": None}, {"mentions": [ANN, CYD]}, {"metadata": {"a": [2]}}):
                assert await way(tea, {**said, **other}) == (CONFLICT, {})
        assert await last_change(oracle, tea) == change

    await is_the_first()
    edited = (await ben.patch(message, {"content": "Tea?"}))[1]
    changed = {name: edited[name] for name in ("content", "change", "edited_at")}
    await is_the_first(**changed)
    # What was replied to is gone, and one of those mentioned.
    await ann.delete(f"/messages/{asked}")
    await two.client(CYD).delete(f"/conversations/{tea}/participants/me")
    await is_the_first(**changed)
    assert (await ann.patch(person, {"role": "observer"}))[0] == 200
    await is_the_first(**changed)
    assert (await ann.patch(person, {"role": "admin"}))[0] == 200
    assert (await ben.delete(message))[0] == 204
    change, deleted_at = await last_change(oracle, tea), (await ways[0](tea, said))[1]["deleted_at"]
    gone = {"content": None, "mentions": [], "metadata": {}, "change": change, "deleted_at": deleted_at}
    await is_the_first(**{**changed, **gone})
    assert (await ann.delete(person))[0] == 204
    for way in ways:
        assert await way(tea, {"content": "Milk?", "client_id": "b-1"}) == ("not_participant", {})
    assert (await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]}))[0] == 201
    await is_the_first(**{**changed, **gone})
    assert await oracle.fetchval("select count(*) from messenger.messages where client_id is not null") == 1
    told = [frame["type"] for frame in await listener.unheard() if frame.get("data", {}).get("id") == first["id"]]
    assert told == ["message.new", "message.edited"]  # and then she left


async def test_a_reply_by_one_who_was_removed_is_refused_because_of_that(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    tea = await one.client(ANN).group(BEN)
    asked = (await one.client(ANN).send(tea, "Milk?"))["id"]
    ways = await ways_of(BEN, one, two)
    assert (await one.client(ANN).delete(f"/conversations/{tea}/participants/{BEN}"))[0] == 204
    for way in ways:
        said = {"content": "Yes", "client_id": "b-1", "reply_to": asked}
        assert await way(tea, said) == ("not_participant", {})


async def test_a_retry_is_none_even_where_history_begins_with_coming_back(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    ann = one.client(ANN)
    tea = await ann.group(BEN, history="joined")
    ways = await ways_of(BEN, one, two)
    outcome, first = await ways[1](tea, {"content": "Milk?", "client_id": "b-1"})
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]})
    for way in ways:
        assert await way(tea, {"content": "Milk?", "client_id": "b-1"}) == ("duplicate", first)
        assert await way(tea, {"content": "Tea?", "client_id": "b-1"}) == (CONFLICT, {})
    assert (outcome, await last_change(oracle, tea)) == ("sent", 3)


ORIGINAL: Frame = {
    "content": "Milk?",
    "message_type": "image",
    "mentions": [ANN, CYD],
    "attachments": [{"url": "/a", "name": "A", "size": 1, "mime_type": "image/png"}],
    "metadata": {"a": {"b": [1, None]}, "c": "é"},
}
SPELLED_OTHERWISE: Frame = {
    "metadata": {"c": "é", "a": {"b": [1, None]}},
    "attachments": [{"mime_type": "image/png", "size": 1, "name": "A", "url": "/a", "unknown": "field"}],
    "reply_to": None,
    **{name: ORIGINAL[name] for name in ("mentions", "message_type", "content")},
}
DIFFERENT: list[Frame] = [
    {"content": "Milk? "},
    {"content": "MILK?"},
    {"message_type": "text"},
    {"mentions": [CYD, ANN]},
    {"mentions": [ANN]},
    {"mentions": []},
    {"attachments": []},
    {"attachments": [{**ORIGINAL["attachments"][0], "size": 2}]},
    {"attachments": ORIGINAL["attachments"] * 2},
    {"attachments": [{"url": "/a"}]},
    {"metadata": {}},
    {"metadata": {**ORIGINAL["metadata"], "c": "e\u0301"}},
    {"metadata": {**ORIGINAL["metadata"], "d": None}},
]


async def test_another_request_is_a_conflict_in_each_field_and_on_each_way(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    tea = await one.client(ANN).group(BEN, CYD)
    earlier = (await one.client(ANN).send(tea, "Well?"))["id"]
    ways = await ways_of(BEN, one, two)
    listener = await two.phone(CYD)
    for number, first in enumerate(ways):
        key = {"client_id": f"b-{number}"}
        outcome, message = await first(tea, {**ORIGINAL, **key})
        assert outcome == "sent"
        for way in ways:
            assert await way(tea, {**SPELLED_OTHERWISE, **key}) == ("duplicate", message)
            for other in (*DIFFERENT, {"reply_to": earlier}):
                assert await way(tea, {**ORIGINAL, **other, **key}) == (CONFLICT, {})
    await has_no_holes(oracle, tea)
    assert await last_change(oracle, tea) == 1 + len(ways)
    assert len(await listener.unheard("message.new")) == len(ways)


@pytest.mark.parametrize("bus", ["there", "gone"])
async def test_many_at_once_with_one_client_id_are_one_message(
    nodes: tuple[Node, Node], redis: BreakableRedis, oracle: asyncpg.Connection, bus: str
) -> None:
    one, two = nodes
    tea = await one.client(ANN).group(BEN)
    ways = [*await ways_of(BEN, one, two), *await ways_of(BEN, one, two)]
    listeners = [await node.phone(who) for node in nodes for who in (ANN, BEN)]
    if bus == "gone":
        redis.kill()
    for turn in range(12):
        # Alike, all different, or two camps.
        contents = [[0], range(len(ways)), [0, 1]][turn % 3]
        said = [
            {"content": f"{turn}.{content}", "client_id": f"b-{turn}"}
            for _, content in zip(ways, itertools.cycle(contents), strict=False)
        ]
        random.Random(turn).shuffle(ways)
        answers = await asyncio.gather(*(way(tea, what) for way, what in zip(ways, said, strict=True)))
        (winner,) = [message for outcome, message in answers if outcome == "sent"]
        for (outcome, message), what in zip(answers, said, strict=True):
            if what["content"] != winner["content"]:
                assert (outcome, message) == (CONFLICT, {})
            else:
                assert (message, outcome in ("sent", "duplicate")) == (winner, True)
        (row,) = await oracle.fetch(
            "select id::text, content from messenger.messages where client_id = $1", f"b-{turn}"
        )
        assert tuple(row) == (winner["id"], winner["content"])
    assert len(await stored(oracle, tea)) == 12
    await has_no_holes(oracle, tea)
    for listener in listeners:
        await heard_once(listener, oracle, tea)


WAITING = """
    select count(distinct pid) from pg_locks join pg_stat_activity using (pid)
    where not granted and datname = current_database()
"""


async def test_all_that_wait_for_one_lock_with_one_client_id_are_one_message(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    tea = await one.client(ANN).group(BEN)
    listeners = [await node.phone(ANN) for node in nodes]
    ways = await ways_of(BEN, one, two)
    for turn in range(3):
        said = {"content": f"{turn}", "client_id": f"b-{turn}"}
        async with oracle.transaction():
            await oracle.execute("select from messenger.conversation_heads where conversation_id = $1 for update", tea)
            sends = [asyncio.create_task(way(tea, said)) for way in ways]
            async with asyncio.timeout(PATIENCE_S):
                # A statement of each node hangs: it has looked for the client_id already, and has not found it.
                while await oracle.fetchval(WAITING) < len(nodes):
                    await asyncio.sleep(0.005)
        answers = await asyncio.gather(*sends)
        assert Counter(outcome for outcome, _ in answers) == {"sent": 1, "duplicate": len(ways) - 1}
        assert len({message["id"] for _, message in answers}) == 1
    await has_no_holes(oracle, tea)
    for listener in listeners:
        await heard_once(listener, oracle, tea)


async def test_senders_and_conversations_with_one_client_id_do_not_meet(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    rooms = [await one.client(ANN).group(BEN, CYD) for _ in range(2)]
    listener = await two.phone(CYD)
    said = {"content": "the same", "client_id": "the same"}
    ways = [way for who in (ANN, BEN) for way in await ways_of(who, one, two)]
    answers = [answer for tea in rooms for answer in await asyncio.gather(*(way(tea, said) for way in ways))]
    assert Counter(outcome for outcome, _ in answers) == {"sent": 4, "duplicate": 20}
    for tea in rooms:
        assert sorted((entry[0], entry[4:]) for entry in await stored(oracle, tea)) == [
            (seq, ("the same", "text", "the same")) for seq in (1, 2)
        ]
        assert {entry[3] for entry in await stored(oracle, tea)} == {ANN, BEN}
        await has_no_holes(oracle, tea)
        await heard_once(listener, oracle, tea)


async def test_after_a_node_is_killed_in_the_middle_all_is_sent_again_and_stored_once(
    cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    one, two = await cluster.daemon(**FREE), await cluster.node(**FREE)
    ann = one.client(ANN)
    rooms = [await ann.group(BEN) for _ in range(3)]
    listeners = [await two.phone(BEN), await two.phone(ANN)]
    acknowledged: dict[str, Frame] = {}
    numbers = iter(range(300))

    async def send_on() -> None:
        for number in numbers:
            said = {"content": f"{number}", "client_id": f"a-{number}"}
            status, message = await ann.post(f"/conversations/{rooms[number % 3]}/messages", said)
            assert status == 201
            acknowledged[said["client_id"]] = message
            if len(acknowledged) == 40:
                one.send(signal.SIGKILL)

    # No more at once than leave some unsent, however late the kill takes effect.
    failures = await asyncio.gather(*(send_on() for _ in range(50)), return_exceptions=True)
    assert 0 < len(acknowledged) < 300
    assert {type(failure) for failure in failures if failure is not None} <= LOST
    again = by_frame(await two.phone(ANN))
    outcomes = Counter[str]()
    for number in random.Random(1).sample(range(300), 300):
        said = {"content": f"{number}", "client_id": f"a-{number}"}
        outcome, message = await again(rooms[number % 3], said)
        outcomes[outcome] += 1
        if said["client_id"] in acknowledged:
            assert (outcome, message) == ("duplicate", acknowledged[said["client_id"]])
    assert outcomes["sent"] + outcomes["duplicate"] == 300
    assert outcomes["duplicate"] >= len(acknowledged)
    for index, tea in enumerate(rooms):
        entries = await stored(oracle, tea)
        assert sorted(entry[6] or "" for entry in entries) == sorted(f"a-{number}" for number in range(index, 300, 3))
        await has_no_holes(oracle, tea)
        for listener in listeners:
            await heard_once(listener, oracle, tea)
