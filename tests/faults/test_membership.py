"""Coming and going while the bus is away: who is removed hears nothing above it, who comes misses nothing, on any node."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Self

import asyncpg
import pytest

from tests.support.breakable import BreakableRedis
from tests.support.log import Logs, last_change, pour, stored, unbroken
from tests.support.node import FREE, Cluster, Node
from tests.support.people import PATIENCE_S, Client, Frame, notification
from tests.support.proxy import Proxy, of_redis, proxied

pytestmark = pytest.mark.usefixtures("foreseen")

ANN, BEN, CYD, DEE = 1, 2, 3, 4
# protocol.md §3: so long after a removal ephemeral events may still come.
LATEST_S = 5.0


class Bus:
    """Two nodes on one bus, until it is lost: as the test's parameter says, for one of them or for both, or not at all."""

    def __init__(self, how: str, cluster: Cluster, redis: BreakableRedis, path: Proxy) -> None:
        self._how = how
        self._cluster = cluster
        self._redis = redis
        self._path = path

    async def nodes(self, catch_up_s: float = 0.1) -> tuple[Node, Node]:
        settings = {**FREE, "catch_up_s": catch_up_s}
        url = self._path.redis_url(self._redis.url)
        return await self._cluster.node(**settings), await self._cluster.node(**settings, redis_url=url)

    def lose(self) -> None:
        if self._how == "gone":
            self._redis.kill()
        elif self._how == "cut for one":
            self._path.is_refusing = True
            self._path.cut()


@pytest.fixture(params=["there", "cut for one", "gone"])
async def bus(request: pytest.FixtureRequest, cluster: Cluster, redis: BreakableRedis) -> AsyncIterator[Bus]:
    async with proxied(of_redis(redis.url)) as path:
        yield Bus(request.param, cluster, redis, path)


# For tests to which a bus that is there is nothing new, and for those to which it matters where history begins.
LOST = pytest.mark.parametrize("bus", ["cut for one", "gone"], indirect=True)
GONE = pytest.mark.parametrize("bus", ["gone"], indirect=True)
MIXED = pytest.mark.parametrize(
    ("bus", "history"),
    [("there", "joined"), ("cut for one", "all"), ("gone", "joined")],
    indirect=["bus"],
)


class Chatter:
    """People who say one thing after another until they are stopped, or may no longer."""

    def __init__(self, tea: str, *people: Client) -> None:
        self._tea = tea
        self._people = people
        self._group = asyncio.TaskGroup()
        self._is_over = False
        self._said = asyncio.Condition()
        self.said = 0

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        for who in self._people:
            self._group.create_task(self._talk(who))
        return self

    async def __aexit__(self, *error: Any) -> None:  # noqa: PYI036
        self._is_over = True
        await self._group.__aexit__(*error)

    async def more(self, count: int = 10) -> None:
        """Wait until so many more messages are stored."""
        enough = self.said + count
        async with asyncio.timeout(PATIENCE_S), self._said:
            await self._said.wait_for(lambda: self.said >= enough)

    async def _talk(self, who: Client) -> None:
        while not self._is_over:
            status, told = await who.post(f"/conversations/{self._tea}/messages", {"content": "so they say"})
            if status != 201:
                assert told["code"] == "not_participant"
                return
            async with self._said:
                self.said += 1
                self._said.notify_all()


async def add(client: Client, tea: str, user_id: int) -> None:
    assert (await client.post(f"/conversations/{tea}/participants", {"user_ids": [user_id]}))[0] == 201


async def remove(client: Client, tea: str, who: int | str) -> None:
    assert (await client.delete(f"/conversations/{tea}/participants/{who}"))[0] == 204


async def departure_of(oracle: asyncpg.Connection, tea: str, user_id: int) -> int:
    """The change by which somebody left last."""
    change: int = await oracle.fetchval(
        "select change from messenger.conversation_departures where conversation_id = $1 and user_id = $2::bigint",
        tea,
        user_id,
    )
    return change


async def joining_of(oracle: asyncpg.Connection, tea: str, user_id: int) -> tuple[int, int]:
    """The change that brought somebody in, and the seq of the entry that tells it."""
    row = await oracle.fetchrow(
        """
        select p.joined_change, m.seq from messenger.conversation_participants p
        join messenger.messages m on m.conversation_id = p.conversation_id and m.change = p.joined_change
        where p.conversation_id = $1 and p.user_id = $2::bigint
        """,
        tea,
        user_id,
    )
    return row["joined_change"], row["seq"]


async def test_who_is_removed_hears_nothing_above_it_on_any_device(bus: Bus, oracle: asyncpg.Connection) -> None:
    one, two = await bus.nodes()
    ann = one.client(ANN)
    tea = await ann.group(BEN, CYD)
    phones = [await node.phone(BEN) for node in (one, one, two, two)]
    witnesses = [await node.phone(CYD) for node in (one, two)]
    async with Chatter(tea, ann, two.client(CYD), two.client(BEN), one.client(BEN)) as chatter:
        await chatter.more()
        bus.lose()
        await chatter.more()
        await remove(ann, tea, BEN)
        await chatter.more()
    last, gone = await last_change(oracle, tea), await departure_of(oracle, tea, BEN)
    assert gone < last
    for witness in witnesses:
        assert unbroken(await witness.durable(tea, last), 0) == last
    for phone in phones:
        events = await phone.durable(tea, gone)
        assert unbroken(events, 0) == gone
        assert (events[-1]["type"], events[-1]["user_id"], events[-1]["by"]) == ("participant.removed", BEN, ANN)
        # Its node has told its witness everything since.
        rest = [frame for frame in await phone.unheard() if frame.get("conversation_id") == tea]
        assert rest == [
            notification(event, BEN)
            for event in events
            if event["type"] == "message.new" and event["data"]["sender_id"] != BEN
        ]
        assert max(event["change"] for event in await phone.durable(tea, gone)) == gone
    # Nor did he write anything above it.
    assert [entry for entry in await stored(oracle, tea) if entry[3] == BEN and entry[1] > gone] == []


@MIXED
async def test_who_is_removed_and_added_again_and_again_ends_as_the_database_says(
    bus: Bus, oracle: asyncpg.Connection, history: str
) -> None:
    one, two = await bus.nodes()
    ann = one.client(ANN)
    tea = await ann.group(BEN, CYD, history=history)
    devices = [Logs(await node.phone(BEN)) for node in (one, one, two, two)]
    for logs in devices:
        await logs.catch_up()
    async with Chatter(tea, ann, two.client(CYD)) as chatter:
        bus.lose()
        for turn in range(6):
            await chatter.more(1 + turn)
            await remove(ann, tea, BEN)
            await chatter.more(turn % 3 + 1)
            await add(ann, tea, BEN)
        await chatter.more()
    last, (_, first_seq) = await last_change(oracle, tea), await joining_of(oracle, tea, BEN)
    for logs in devices:
        await logs.reach(tea, last)
        # From before his coming he may hold what he heard then, where history begins with joining.
        logs.floors[tea] = max(logs.floors[tea], first_seq if history == "joined" else 1)
        assert logs.held(tea) == await stored(oracle, tea, logs.floors[tea])
    # And it goes on from there.
    await two.client(CYD).send(tea, "welcome")
    for logs in devices:
        await logs.reach(tea, last + 1)
    await remove(ann, tea, BEN)
    await two.client(CYD).send(tea, "farewell")
    gone = await departure_of(oracle, tea, BEN)
    for logs in devices:
        farewell = await logs.phone.hear("participant.removed", change=gone)
        assert (farewell["user_id"], gone) == (BEN, last + 2)
        logs.take()
        assert logs.cursors == {}


@MIXED
async def test_who_is_added_sees_it_appear_and_misses_nothing(
    bus: Bus, oracle: asyncpg.Connection, history: str
) -> None:
    one, two = await bus.nodes()
    ann = one.client(ANN)
    tea = await ann.group(CYD, history=history)
    phones = [await node.phone(BEN) for node in (one, one, two, two)]
    async with Chatter(tea, ann, two.client(CYD)) as chatter:
        await chatter.more()
        bus.lose()
        await chatter.more()
        await add(ann, tea, BEN)
        await chatter.more()
    last, (joined, first_seq) = await last_change(oracle, tea), await joining_of(oracle, tea, BEN)
    for phone in phones:
        created = await phone.hear("conversation.created", conversation_id=tea)
        place = [created["conversation"][name] for name in ("last_change", "last_seq", "first_seq", "my_role")]
        assert place == [joined - 1, first_seq - 1, first_seq if history == "joined" else 1, "member"]
        events = await phone.durable(tea, last)
        assert unbroken(events, joined - 1) == last
        told = [(event["seq"], event["change"], event["data"]["id"]) for event in events]
        assert told == [entry[:3] for entry in await stored(oracle, tea, first_seq)]
        assert (events[0]["type"], events[0]["user_id"], events[0]["by"]) == ("participant.added", BEN, ANN)
        await phone.ask("ping")
        kinds = [frame["type"] for frame in phone.frames if frame.get("conversation_id") == tea]
        assert kinds == [
            *("conversation.created", "participant.added"),
            *["message.new", "notification"] * (last - joined),
        ]


@LOST
async def test_when_the_last_admin_leaves_his_heir_may_act_on_the_other_node(
    bus: Bus, oracle: asyncpg.Connection
) -> None:
    one, two = await bus.nodes()
    tea = await one.client(ANN).group(BEN, CYD)
    ann = [await node.phone(ANN) for node in (one, two)]
    others = [await node.phone(who) for who in (BEN, CYD) for node in (one, two)]
    bus.lose()
    await remove(one.client(ANN), tea, "me")
    await add(two.client(BEN), tea, DEE)

    def told(events: list[Frame]) -> list[tuple[Any, ...]]:
        return [tuple(event[name] for name in ("type", "change", "user_id", "role", "by")) for event in events]

    for phone in others:
        assert told(await phone.durable(tea, 3)) == [
            ("participant.updated", 1, BEN, "admin", ANN),
            ("participant.removed", 2, ANN, "admin", ANN),
            ("participant.added", 3, DEE, "member", BEN),
        ]
    for phone in ann:
        # What came before it she may no longer read, where her node did not hear of it in time.
        events = await phone.durable(tea, 2)
        assert (unbroken(events, 0), told(events)[-1]) == (2, ("participant.removed", 2, ANN, "admin", ANN))
    status, refusal = await two.client(ANN).post(f"/conversations/{tea}/messages", {"content": "Wait!"})
    assert (status, refusal["code"]) == (404, "not_participant")
    assert await last_change(oracle, tea) == 3


@LOST
async def test_a_direct_conversation_that_was_left_is_there_again_on_both_nodes(bus: Bus) -> None:
    one, two = await bus.nodes()
    pair = {"type": "direct", "participant_ids": [BEN]}
    tea = (await one.client(ANN).post("/conversations", pair))[1]["id"]
    ann, ben = [[await node.phone(who) for node in (one, two)] for who in (ANN, BEN)]
    bus.lose()
    assert (await two.client(BEN).delete(f"/conversations/{tea}"))[0] == 204
    for phone in ann + ben:
        assert (await phone.hear("participant.removed"))["user_id"] == BEN
    status, again = await one.client(ANN).post("/conversations", pair)
    assert (status, again["id"]) == (200, tea)
    await two.client(BEN).send(tea, "Here I am")
    for phone in ben:
        created = await phone.hear("conversation.created")
        assert (created["conversation_id"], created["conversation"]["last_change"]) == (tea, 1)
    for phone in ann + ben:
        kinds = [(event["type"], event["change"]) for event in await phone.durable(tea, 3)]
        assert kinds == [("participant.removed", 1), ("participant.added", 2), ("message.new", 3)]


async def test_a_deleted_conversation_ends_once_for_everybody_whatever_is_said_meanwhile(
    bus: Bus, oracle: asyncpg.Connection
) -> None:
    one, two = await bus.nodes()
    ann = one.client(ANN)
    tea = await ann.group(BEN, CYD)
    phones = [await node.phone(who) for who in (ANN, BEN, CYD) for node in (one, two)]
    async with Chatter(tea, two.client(BEN), one.client(CYD), two.client(CYD)) as chatter:
        await chatter.more()
        bus.lose()
        await chatter.more()
        assert (await ann.delete(f"/conversations/{tea}"))[0] == 204
    milk = await ann.group(BEN, CYD)
    for phone in phones:
        await phone.hear("conversation.created", conversation_id=milk)
        kinds = [frame["type"] for frame in phone.frames if frame.get("conversation_id") == tea]
        assert (kinds[-1], kinds.count("conversation.deleted")) == ("conversation.deleted", 1)
    assert await stored(oracle, tea) == []


@GONE
async def test_who_was_removed_sees_nobody_typing_after_five_seconds(bus: Bus) -> None:
    one, two = await bus.nodes(catch_up_s=3.0)  # as it is by default
    tea = await one.client(ANN).group(BEN, CYD, DEE)
    ben, cyd, dee = [await two.phone(who) for who in (BEN, CYD, DEE)]
    for phone in (ben, dee):
        await phone.ask("subscribe", conversation_id=tea)
    bus.lose()
    await remove(one.client(ANN), tea, BEN)
    removed_at = time.monotonic()

    async def type_a_little() -> None:
        for is_typing in (True, False):
            await cyd.say("typing", conversation_id=tea, is_typing=is_typing)
            await dee.hear("typing", is_typing=is_typing)
            await asyncio.sleep(0.01)  # as fast as people type, and more

    hears_of_it = asyncio.create_task(ben.hear("participant.removed"))
    while not hears_of_it.done():
        await type_a_little()
    assert time.monotonic() - removed_at < LATEST_S
    await type_a_little()
    message = await dee.ask("message.send", conversation_id=tea, content="He is gone")
    await cyd.ask("message.read", message_id=message["message_id"])
    await dee.hear("message.read")
    await ben.unheard()
    kinds = [frame["type"] for frame in ben.frames]
    assert "typing" in kinds
    assert kinds[kinds.index("participant.removed") + 1 :] == ["pong"]


@LOST
async def test_a_role_that_changed_on_one_node_counts_on_the_other(bus: Bus, oracle: asyncpg.Connection) -> None:
    one, two = await bus.nodes()
    ann = one.client(ANN)
    tea = await ann.group(BEN, CYD)
    ben, cyd = await two.phone(BEN), await two.phone(CYD)
    await ben.ask("subscribe", conversation_id=tea)
    role, people = f"/conversations/{tea}/participants/{CYD}", f"/conversations/{tea}/participants"
    bus.lose()
    assert (await ann.patch(role, {"role": "observer"}))[0] == 200
    answer = await cyd.answer("message.send", conversation_id=tea, content="May I?")
    assert answer == {"type": "error", "code": "forbidden", "message": "Observers cannot post here"}
    for phone in (ben, cyd):
        told = await phone.hear("participant.updated")
        assert (told["user_id"], told["role"], told["change"]) == (CYD, "observer", 1)
    await cyd.say("typing", conversation_id=tea)
    await cyd.ask("ping")
    assert await ben.unheard("typing", "message.new") == []
    assert (await ann.patch(role, {"role": "admin"}))[0] == 200
    assert (await two.client(CYD).post(people, {"user_ids": [DEE]}))[0] == 201
    assert (await cyd.ask("message.send", conversation_id=tea, content="I may."))["type"] == "message.sent"
    await cyd.hear("participant.updated", role="admin")
    await cyd.say("typing", conversation_id=tea)
    assert (await ben.hear("typing"))["user_id"] == CYD
    assert (await ann.patch(role, {"role": "member"}))[0] == 200
    assert (await two.client(CYD).delete(f"{people}/{DEE}"))[0] == 403
    events = [(event["type"], event["change"]) for event in await ben.durable(tea, 5)]
    assert events == [
        ("participant.updated", 1),
        ("participant.updated", 2),
        ("participant.added", 3),
        ("message.new", 4),
        ("participant.updated", 5),
    ]
    assert await last_change(oracle, tea) == 5


class Gate:
    """A slow database: what is read on one user's behalf comes only once the gate is opened. `late`: it was read before."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, node: Node, name: str, user_id: int, *, late: bool = False
    ) -> None:
        self._reached = asyncio.Event()
        self._opened = asyncio.Event()
        store = node.context.node.repair._messages
        method = getattr(store, name)

        async def held(whose: int, *args: Any) -> Any:
            answer = await method(whose, *args) if late else None
            if whose == user_id:
                self._reached.set()
                await self._opened.wait()
            return answer if late else await method(whose, *args)

        monkeypatch.setattr(store, name, held)

    async def reached(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._reached.wait()

    def open(self) -> None:
        self._opened.set()


@GONE
async def test_who_is_back_before_his_node_knows_that_he_went_has_no_hole(
    bus: Bus, oracle: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await bus.nodes()
    ann = one.client(ANN)
    tea = await ann.group(BEN)
    logs = Logs(await two.phone(BEN))
    await logs.catch_up()
    bus.lose()
    # The node has found him gone, and is about to read how.
    gate = Gate(monkeypatch, two, "departure", BEN)
    await ann.send(tea, "unheard")
    await remove(ann, tea, BEN)
    await ann.send(tea, "while he was out")
    await gate.reached()
    await add(ann, tea, BEN)
    await ann.send(tea, "welcome")
    gate.open()
    await logs.reach(tea, 5)
    assert logs.held(tea) == await stored(oracle, tea, logs.floors[tea])


@GONE
@pytest.mark.parametrize("is_back", [False, True])
async def test_who_went_while_he_was_brought_in_is_out_until_he_is_back(
    bus: Bus, oracle: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, is_back: bool
) -> None:
    one, two = await bus.nodes()
    ann = one.client(ANN)
    tea = await ann.group(DEE)
    logs, dee = Logs(await two.phone(BEN)), await two.phone(DEE)
    bus.lose()
    gate = Gate(monkeypatch, two, "changes", BEN, late=True)
    await add(ann, tea, BEN)
    await gate.reached()
    await remove(ann, tea, BEN)
    await dee.durable(tea, 2)
    if is_back:
        await add(ann, tea, BEN)
        await dee.durable(tea, 3)
    gate.open()
    if is_back:
        await logs.reach(tea, 3)
        assert logs.held(tea) == await stored(oracle, tea, logs.floors[tea])
        return
    await logs.phone.hear("participant.removed")
    await ann.send(tea, "He is gone")
    await dee.durable(tea, 3)
    await logs.phone.unheard()
    kinds = [(frame["type"], frame.get("change")) for frame in logs.phone.frames if frame.get("conversation_id") == tea]
    assert kinds == [("conversation.created", None), ("participant.added", 1), ("participant.removed", 2)]


@GONE
async def test_who_comes_while_his_node_is_far_behind_is_told_everything_once(
    bus: Bus, oracle: asyncpg.Connection
) -> None:
    one, two = await bus.nodes()
    tea = await one.client(ANN).group(DEE)
    ben, dee = await two.phone(BEN), await two.phone(DEE)
    bus.lose()
    async with oracle.transaction():
        await pour(oracle, tea, ANN, ["of old"] * 700)
        for change in (
            "add_participants($1, array[$2::bigint], 'member', true)",
            "remove_participant($1, $2)",
            "add_participants($1, array[$2::bigint], 'member', true)",
        ):
            await oracle.execute(f"select messenger.{change}", tea, BEN)
    assert unbroken(await dee.durable(tea, 703), 0) == 703
    await one.client(ANN).send(tea, "welcome")
    await dee.durable(tea, 704)
    await ben.durable(tea, 704)
    kinds = [(frame["type"], frame.get("change")) for frame in ben.frames if frame.get("conversation_id") == tea]
    assert kinds == [("conversation.created", None), ("participant.added", 703), ("message.new", 704)]
