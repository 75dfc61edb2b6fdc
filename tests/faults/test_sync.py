"""Catching up while everything moves: whatever the age of its cursors and whatever happens meanwhile, a device ends whole."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg
import pytest

from tests.support.breakable import BreakableRedis
from tests.support.command import messenger
from tests.support.database import Database
from tests.support.log import Logs, last_change, pour, stored, unbroken
from tests.support.node import FREE, SECRET, Cluster, Node
from tests.support.people import PATIENCE_S, Client, Frame, Phone, token

pytestmark = pytest.mark.usefixtures("foreseen")

ANN, BEN, CYD = 1, 2, 3
# protocol.md §4: the longest frame of an answer.
MOST_BYTES = 256 * 1024


async def live(client: Client, tea: str, turns: int, seed: int) -> None:
    """Say, mend and take back, one after another; each turn is one change."""
    chance, mine = random.Random(seed), list[str]()
    for turn in range(turns):
        what = chance.choice(("say", "say", "mend", "take back")) if mine else "say"
        if what == "say":
            mine.append((await client.send(tea, f"{seed}.{turn}"))["id"])
        elif what == "mend":
            status, _ = await client.patch(f"/messages/{chance.choice(mine)}", {"content": f"{seed}.{turn} mended"})
            assert status == 200
        else:
            status, _ = await client.delete(f"/messages/{mine.pop(chance.randrange(len(mine)))}")
            assert status == 204


def synced(phone: Phone) -> list[Frame]:
    """Every part of every answer that a phone has heard."""
    return [part for frame in phone.frames if frame["type"] == "sync" for part in frame["conversations"]]


@asynccontextmanager
async def narrow_phone(node: Node, user_id: int) -> AsyncIterator[Phone]:
    """A device behind a thin line: what it does not read, the daemon keeps."""

    def thin(address: tuple[int, int, int, str, object]) -> socket.socket:
        line = socket.socket(*address[:3])
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return line

    headers = {"Authorization": f"Bearer {token(user_id, SECRET)}"}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=thin)) as session,
        session.ws_connect(f"{node.origin}/ws/me", headers=headers, max_msg_size=0) as line,
    ):
        phone = Phone(line, user_id)
        await phone.hear("system")
        yield phone


@pytest.mark.parametrize("bus", ["there", "killed on the way"])
async def test_a_device_that_catches_up_while_others_write_ends_whole(
    nodes: tuple[Node, Node], redis: BreakableRedis, oracle: asyncpg.Connection, bus: str
) -> None:
    one, two = nodes
    ann, cyd = one.client(ANN), two.client(CYD)
    tea = await ann.group(BEN, CYD)
    await live(ann, tea, 60, seed=0)
    ben = [Logs(await node.phone(BEN), limit) for node, limit in ((one, 2), (two, 3), (two, 200))]

    async def ann_goes_on() -> None:
        await live(ann, tea, 20, seed=1)
        if bus != "there":
            redis.kill()
        await live(ann, tea, 20, seed=2)

    async with asyncio.TaskGroup() as group:
        group.create_task(ann_goes_on())
        group.create_task(live(cyd, tea, 40, seed=3))
        await ben[1].phone.hear("message.new")
        for logs in ben:
            # From the very beginning, and not by a reset: many small answers, with events in between.
            logs.begin(tea)
            group.create_task(logs.catch_up())
    assert await last_change(oracle, tea) == 140
    whole = await stored(oracle, tea)
    for logs in ben:
        await logs.reach(tea, 140)
        assert logs.held(tea) == whole
        assert unbroken(await logs.phone.durable(tea, 140), 60) == 140
        # Events did come between its answers.
        kinds = "".join("-" if frame["type"] == "sync" else "+" for frame in logs.phone.frames)
        assert "+-" in kinds.lstrip("+") or logs.limit == 200


async def test_answers_alone_make_the_whole_log_whatever_is_written_between_them(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    ann, cyd = one.client(ANN), two.client(CYD)
    tea = await ann.group(BEN, CYD)
    ben = [Logs(await node.phone(BEN)) for node in (one, two)]

    async def ask_until(done: asyncio.Future[object], logs: Logs) -> None:
        """As a device that hears no events."""
        while not done.done():
            logs.apply(await logs.phone.ask("sync", cursors=logs.cursors))
        logs.apply(await logs.phone.ask("sync", cursors=logs.cursors))

    said = asyncio.gather(live(ann, tea, 60, seed=10), live(cyd, tea, 60, seed=11))
    await asyncio.gather(said, *(ask_until(said, logs) for logs in ben))
    for logs in ben:
        assert (logs.cursors, logs.answers > 20) == ({tea: 120}, True)
        assert logs.held(tea) == await stored(oracle, tea)


async def test_a_cursor_of_any_age_ends_with_the_log_as_it_is(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    tea = await one.client(ANN).group(BEN)
    watcher = await one.phone(BEN)
    await live(one.client(ANN), tea, 30, seed=4)
    events = await watcher.durable(tea, 30)
    whole = await stored(oracle, tea)
    phone = await two.phone(BEN)
    for age in range(31):
        logs = Logs(phone, limit=4)
        logs.begin(tea)
        for event in events:
            if event["change"] <= age:
                logs.apply(event)
        assert logs.cursors == {tea: age}
        await logs.catch_up()
        assert (logs.cursors, logs.held(tea)) == ({tea: 30}, whole)
    assert not any(part.get("reset") for part in synced(phone))


async def test_a_cursor_ahead_of_the_log_drops_what_is_held(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    tea = await one.client(ANN).group(BEN)
    await live(one.client(ANN), tea, 30, seed=5)
    phone = await two.phone(BEN)
    for cursor in (31, 2**53 - 1):
        logs = Logs(phone)
        logs.begin(tea, cursor)
        logs.upsert({"conversation_id": tea, "id": "of another history", "seq": 1, "change": cursor})
        await logs.catch_up()
        assert (logs.cursors, logs.held(tea)) == ({tea: 30}, await stored(oracle, tea))


async def test_1000_changes_are_brought_and_1001_start_over(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    tea = await one.client(ANN).group(BEN)
    await pour(oracle, tea, ANN, (f"{number}" for number in range(1001)))
    whole = await stored(oracle, tea)
    near, far = Logs(await one.phone(BEN)), Logs(await two.phone(BEN))
    near.begin(tea, 1)
    far.begin(tea)
    for logs, answers, held, is_reset in ((near, 5, whole[1:], False), (far, 1, whole[-200:], True)):
        await logs.catch_up()
        assert (logs.answers, logs.held(tea)) == (answers, held)
        assert any(part.get("reset", False) for part in synced(logs.phone)) is is_reset
    # From there on both hear alike.
    await one.client(ANN).send(tea, "and one more")
    for logs in (near, far):
        await logs.reach(tea, 1002)
        assert logs.held(tea)[-200:] == (await stored(oracle, tea))[-200:]


async def test_a_page_and_history_and_what_changes_meanwhile_make_the_whole_log(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    ann = one.client(ANN)
    tea = await ann.group(BEN)
    ids = [(await ann.send(tea, f"{number}"))["id"] for number in range(12)]
    await ann.delete(f"/messages/{ids[10]}")
    await ann.patch(f"/messages/{ids[0]}", {"content": "0, mended: still too old for the page"})
    logs = Logs(await two.phone(BEN), limit=4)
    await logs.catch_up()
    (page,) = synced(logs.phone)
    # The newest by seq, one of them a tombstone, in the order of changes.
    assert [(item["seq"], item["change"]) for item in page["changes"]] == [(9, 9), (10, 10), (12, 12), (11, 13)]
    assert (page["reset"], page["more"], page["last_change"], page["last_seq"]) == (True, False, 14, 12)
    before_seq, more = 9, True
    while more:
        # A message not yet paged to and one already held change on the way.
        await ann.patch(f"/messages/{ids[0]}", {"content": f"0, mended before {before_seq}"})
        answer = await logs.phone.ask("history", conversation_id=tea, before_seq=before_seq, limit=3)
        await ann.patch(f"/messages/{ids[before_seq - 2]}", {"content": f"mended behind {before_seq}"})
        for message in answer["messages"]:
            logs.upsert(message)
        before_seq, more = answer["messages"][0]["seq"], answer["more"]
        logs.floors[tea] = before_seq
    await logs.reach(tea, 20)
    assert logs.held(tea) == await stored(oracle, tea)
    assert logs.answers == 1


async def test_megabytes_come_in_frames_of_256_kib_with_nothing_lost_in_between(
    cluster: Cluster, oracle: asyncpg.Connection
) -> None:
    one, two = await cluster.node(**FREE), await cluster.node(**FREE, max_queue_bytes=65536)
    ann = one.client(ANN)
    rooms = await asyncio.gather(*(ann.group(BEN) for _ in range(24)))
    chance = random.Random(6)
    for tea in rooms:
        said = [(chance.choice('x"é👍'), chance.randrange(1, 60_000)) for _ in range(chance.randrange(1, 12))]
        await pour(oracle, tea, ANN, (letter * (size // len(letter.encode())) or "-" for letter, size in said))
    async with narrow_phone(two, BEN) as phone:
        logs = Logs(phone)
        for tea in rooms:
            logs.begin(tea)

        async def ann_goes_on() -> None:
            for _ in range(3):
                for tea in rooms:
                    await ann.send(tea, "a word in between")

        async with asyncio.TaskGroup() as group:
            group.create_task(ann_goes_on())
            group.create_task(logs.catch_up())
        for tea in rooms:
            await logs.reach(tea, await last_change(oracle, tea))
            assert logs.held(tea) == await stored(oracle, tea)
        assert MOST_BYTES // 2 < phone.largest <= MOST_BYTES
        assert logs.answers > 12


async def test_a_device_is_not_closed_as_slow_by_its_own_answers(cluster: Cluster, oracle: asyncpg.Connection) -> None:
    node = await cluster.node(**FREE, max_queue_bytes=65536)
    ann = node.client(ANN)
    tea = await ann.group(BEN)
    await pour(oracle, tea, ANN, ("x" * 50_000 for _ in range(10)))
    async with narrow_phone(node, BEN) as phone:
        # More than every buffer on the way holds: the daemon stands in the middle of an answer.
        for number in range(20):
            await phone.say("sync", cursors={tea: 0}, ref=f"{number}")
        (device,) = node.context.devices
        async with asyncio.timeout(PATIENCE_S):
            while device.wire._transport.get_write_buffer_size() < 65536:
                await asyncio.sleep(0.01)
        await ann.send(tea, "a word in between")
        assert (await phone.hear("message.new"))["data"]["content"] == "a word in between"
        for number in range(20):
            assert (await phone.hear("sync", ref=f"{number}"))["conversations"][0]["conversation_id"] == tea
        assert phone.largest <= MOST_BYTES


async def test_conversations_joined_and_left_while_away_appear_and_vanish(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    ann = one.client(ANN)
    stays, left, lost, back, gone = [await ann.group(BEN, CYD) for _ in range(5)]
    for tea in (stays, left, lost, back, gone):
        await live(ann, tea, 5, seed=7)
    async with two.phone_for_a_while(BEN) as phone:
        logs = Logs(phone, limit=2)
        for tea in (stays, left, lost, back, gone):
            logs.begin(tea)
        await logs.catch_up()
    await one.client(BEN).delete(f"/conversations/{left}/participants/me")
    await ann.delete(f"/conversations/{lost}/participants/{BEN}")
    await ann.delete(f"/conversations/{back}/participants/{BEN}")
    await ann.delete(f"/conversations/{gone}")
    new = await ann.group(BEN)
    entered = await ann.group(CYD)
    for tea in (lost, back, new, entered):
        await live(ann, tea, 3, seed=8)
    for tea in (back, entered):
        assert (await ann.post(f"/conversations/{tea}/participants", {"user_ids": [BEN]}))[0] == 201
    await ann.send(stays, "all the while")
    logs.reconnect(await one.phone(BEN))
    asked = await logs.phone.ask("sync", cursors=logs.cursors, limit=2)
    assert asked["removed"] == [left, lost, gone]
    await logs.catch_up()
    assert set(logs.cursors) == {stays, back, new, entered}
    for tea in logs.cursors:
        assert logs.cursors[tea] == await last_change(oracle, tea)
        assert logs.held(tea) == await stored(oracle, tea, logs.floors[tea])
    assert logs.floors[stays] == logs.floors[back] == 1


async def test_one_who_is_removed_between_two_answers_is_told_so_by_the_next(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    ann = one.client(ANN)
    tea, milk = await ann.group(BEN), await ann.group(BEN)
    for conversation_id in (tea, milk):
        await live(ann, conversation_id, 10, seed=9)
    logs = Logs(await two.phone(BEN), limit=1)
    logs.begin(tea)
    logs.begin(milk)
    first = await logs.phone.ask("sync", cursors=logs.cursors, limit=1)
    assert [part["more"] for part in first["conversations"]] == [True, True]
    await ann.delete(f"/conversations/{tea}/participants/{BEN}")
    second = await logs.phone.ask("sync", cursors=logs.cursors, limit=1)
    assert (second["removed"], [part["conversation_id"] for part in second["conversations"]]) == ([tea], [milk])
    await logs.catch_up()
    assert (list(logs.cursors), logs.held(milk)) == ([milk], await stored(oracle, milk))


async def test_what_was_edited_again_and_again_comes_once_in_its_last_state(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    ann = one.client(ANN)
    tea = await ann.group(BEN)
    ids = [(await ann.send(tea, f"{number}"))["id"] for number in range(6)]
    async with two.phone_for_a_while(BEN) as phone:
        logs = Logs(phone)
        logs.begin(tea)
        await logs.catch_up()
    ids += [(await ann.send(tea, f"{number}"))["id"] for number in range(6, 9)]
    for turn in range(8):
        for number in (4, 0, 7):
            await ann.patch(f"/messages/{ids[number]}", {"content": f"{number}, mended {turn}"})
    for number in (0, 8):
        await ann.delete(f"/messages/{ids[number]}")
    logs.reconnect(await two.phone(BEN))
    await logs.catch_up()
    (part,) = synced(logs.phone)
    told = [(item["change"], item["seq"], item["content"]) for item in part["changes"]]
    assert told == [(7, 7, "6"), (31, 5, "4, mended 7"), (33, 8, "7, mended 7"), (34, 1, None), (35, 9, None)]
    assert logs.held(tea) == await stored(oracle, tea)


async def test_what_the_bus_lost_arrives_folded_in_order_and_under_the_right_name(
    nodes: tuple[Node, Node], redis: BreakableRedis, oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    ann = one.client(ANN)
    tea = await ann.group(BEN)
    old = [(await ann.send(tea, f"{number}"))["id"] for number in range(4)]
    logs = Logs(await two.phone(BEN))
    logs.begin(tea)
    await logs.catch_up()
    redis.kill()
    for seed in range(4):
        await live(ann, tea, 20, seed)
        await ann.patch(f"/messages/{old[seed]}", {"content": f"mended {seed}"})
    await logs.reach(tea, 88)
    events = await logs.phone.durable(tea, 88)
    assert unbroken(events, 4) == 88
    assert len(events) < 84
    assert logs.answers == 1
    assert logs.held(tea) == await stored(oracle, tea)
    known = set(old)
    for event in events:
        names = {"message.deleted", "message.edited" if event["data"]["id"] in known else "message.new"}
        assert event["type"] in names
        known.add(event["data"]["id"])


async def test_where_history_begins_with_joining_no_cursor_brings_what_was_before(
    nodes: tuple[Node, Node], oracle: asyncpg.Connection
) -> None:
    one, two = nodes
    ann = one.client(ANN)
    tea = await ann.group(BEN, history="joined")
    secrets = [(await ann.send(tea, f"secret {number}"))["id"] for number in range(3)]
    witness = await two.phone(CYD)
    for _ in range(2):
        # In, and hidden changes among what she may see; then out, and more that she may not.
        assert (await ann.post(f"/conversations/{tea}/participants", {"user_ids": [CYD]}))[0] == 201
        first_seq = await oracle.fetchval(
            "select first_seq from messenger.conversation_participants where conversation_id = $1 and user_id = $2::int",
            tea,
            CYD,
        )
        for secret in secrets:
            await ann.patch(f"/messages/{secret}", {"content": "secret, mended"})
            await ann.send(tea, "for all")
            await ann.patch(f"/messages/{secret}", {"content": "secret, mended again"})
        last = await last_change(oracle, tea)
        for cursor in (None, *range(last)):
            logs = Logs(witness, limit=2 if cursor is not None else 200)
            if cursor is not None:
                logs.begin(tea, cursor)
            await logs.catch_up()
            entries = [entry for entry in await stored(oracle, tea, first_seq) if entry[1] > (cursor or 0)]
            assert (logs.cursors, logs.held(tea)) == ({tea: last}, entries)
        await ann.delete(f"/conversations/{tea}/participants/{CYD}")
        secrets.append((await ann.send(tea, "secret too"))["id"])
        await ann.patch(f"/messages/{secrets[0]}", {"content": "secret for ever"})
    answer = await witness.ask("sync", cursors={tea: 0})
    assert (answer["conversations"], answer["removed"]) == ([], [tea])
    assert "secret" not in str(witness.frames)


async def test_after_a_restore_a_device_from_before_starts_over_and_ends_right(
    cluster: Cluster, database: Database, oracle: asyncpg.Connection
) -> None:
    async with cluster.node_for_a_while(**FREE) as node:
        ann = node.client(ANN)
        tea = await ann.group(BEN)
        for number in range(5):
            await ann.send(tea, f"{number}")
        before = await node.phone(BEN)
        logs = Logs(before)
        await logs.catch_up()
        told = await messenger("epoch", "--renew", migrate_database_url=database.owner_url)
        # A running daemon goes on under the old name.
        assert (await node.phone(BEN)).hello["epoch"] == before.hello["epoch"]
    # The backup was made after the third message.
    await oracle.execute("delete from messenger.messages where change > 3")
    await oracle.execute("update messenger.conversation_heads set last_seq = 3, last_change = 3")
    node = await cluster.node(**FREE)
    for number in ("3 of another history", "4 of another history"):
        await node.client(ANN).send(tea, number)
    after = await node.phone(BEN)
    assert after.hello["epoch"] == told.out.strip() != before.hello["epoch"]
    # By its cursors alone the device would take what it holds for whole.
    answer = await after.ask("sync", cursors=logs.cursors)
    assert (answer["conversations"], answer["epoch"]) == ([], after.hello["epoch"])
    fresh = Logs(after)
    await fresh.catch_up()
    assert fresh.held(tea) == await stored(oracle, tea)
    assert fresh.held(tea)[:3] == logs.held(tea)[:3]
    assert fresh.held(tea)[3:] != logs.held(tea)[3:]
