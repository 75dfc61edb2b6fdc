"""What is tried: each scenario makes its own people, loads the daemon for a while, and tells what one operation cost."""

import asyncio
import random
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, cycle, islice
from time import monotonic
from typing import TypeAlias

import orjson
import psutil

from messenger.bench import filling, wire
from messenger.bench.meter import Cost, Meter, pin
from messenger.bench.target import PATIENCE_S, SERVER_CORE, Target
from messenger.bench.wire import Client
from messenger.domain.ids import UserId

# What is measured, and how far along it is: from 0 to 1.
Progress: TypeAlias = Callable[[str, float], None]

_TEXT = "It was the best of times, it was the worst of times."
# Every message has a client_id of its own.
_NUMBERS = count()
# So many messages wait for their acknowledgement where several do.
IN_FLIGHT = 8
PAIRS = 250
SENDERS = 50
A_SECOND = 200
CROWD = 2000
EACH = 20
PAGE = 50
# Until those who hung up are gone, with what was theirs.
GONE_S = 2.5


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: figures by name, each with its unit as its last word; `wrong`: what must not be, a line each."""

    scenario: str
    case: str
    figures: Mapping[str, float]
    wrong: Sequence[str] = ()


def _ignore(_: bytes, __: int, ___: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Bench:
    """`seconds`: about how long one measurement loads the daemon."""

    target: Target
    seconds: float
    most_connections: int
    most_messages: int
    progress: Progress

    @property
    def meter(self) -> Meter:
        return self.target.meter

    async def wait(self, case: str, seconds: float) -> None:
        for step in range(20):
            self.progress(case, step / 20)
            await asyncio.sleep(seconds / 20)

    @asynccontextmanager
    async def connected(
        self, user_ids: Sequence[UserId], heard: wire.Heard = lambda *_: None
    ) -> AsyncIterator[list[Client]]:
        """A device for each of these."""
        clients = await self.target.devices(user_ids, heard)
        try:
            yield clients
        finally:
            for client in clients:
                client.close()


class Tally:
    """Counts up; whoever waits for a number is told when it is reached."""

    def __init__(self) -> None:
        self.count = 0
        self._awaited = sys.maxsize
        self._reached: asyncio.Future[None] | None = None

    def add(self) -> None:
        self.count += 1
        # Nobody waits any more where it took too long.
        if self.count == self._awaited and self._reached is not None and not self._reached.done():
            self._reached.set_result(None)

    async def reach(self, number: int) -> None:
        """Raises TimeoutError."""
        if self.count < number:
            self._awaited, self._reached = number, asyncio.get_running_loop().create_future()
            async with asyncio.timeout(PATIENCE_S):
                await self._reached


class Sender:
    """Sends its next message when one was acknowledged, `most` in all; all else that is heard goes to `hear`."""

    def __init__(
        self, client: Client, conversation_id: str, acknowledged: Tally, hear: wire.Heard, most: int = sys.maxsize
    ) -> None:
        self._client = client
        self._conversation_id = conversation_id
        self._acknowledged = acknowledged
        self._left = most
        self._hear = hear
        client.heard = self._heard
        self.sent = 0

    def start(self, at_once: int = 1) -> None:
        for _ in range(at_once):
            self._send()

    def _send(self) -> None:
        self.sent += 1
        self._left -= 1
        self._client.send(message(self._conversation_id))

    def stop(self) -> None:
        self._left = 0

    def _heard(self, data: bytes, start: int, stop: int) -> None:
        if data.startswith(wire.SENT, start):
            self._acknowledged.add()
            if self._left:
                self._send()
        else:
            self._hear(data, start, stop)


def message(conversation_id: str) -> bytes:
    # One as the other clients' are, and cheaper to make than to encode.
    return b'{"type":"message.send","conversation_id":"%b","content":"%b","client_id":"b%d"}' % (
        conversation_id.encode(),
        _TEXT.encode(),
        next(_NUMBERS),
    )


def spent(cost: Cost, operations: int) -> dict[str, float]:
    """CPU time an operation; how many a second there were; what of one core the generator needed meanwhile."""
    parts = (("server", cost.server), ("postgres", cost.postgres), ("redis", cost.redis))
    return {
        **{f"{name}_us": 1e6 * seconds / operations for name, seconds in parts},
        "per_s": operations / cost.wall,
        "generator_percent": 100 * cost.generator / cost.wall,
    }


async def fanout(bench: Bench) -> AsyncIterator[Row]:
    """One conversation whose members are all connected; an operation is one delivery. Beside it the least that it could
    cost: prebuilt bytes written to as many connections, by a process that does nothing else."""
    for members in (10, 100, 1000):
        user_ids = bench.target.people(members)
        conversation_id = await bench.target.group(user_ids)
        delivered, sizes = Tally(), Tally()

        def hear(data: bytes, start: int, stop: int, delivered: Tally = delivered, sizes: Tally = sizes) -> None:
            if data.startswith(wire.NEW, start):
                delivered.add()
            sizes.count += stop - start

        async with bench.connected(user_ids, hear) as clients:
            case = f"{members:,} members, 1 in flight"
            with bench.meter.measured() as cost:
                sent = await _one_by_one(bench, case, clients[:IN_FLIGHT], conversation_id, delivered, members)
            yield Row("fanout", case, spent(cost, sent * members))
            yield await _bare_writes(bench, members, sizes.count // delivered.count)
            case = f"{members:,} members, {IN_FLIGHT} in flight"
            before, acknowledged = delivered.count, Tally()
            senders = [Sender(client, conversation_id, acknowledged, hear) for client in clients[:IN_FLIGHT]]
            with bench.meter.measured() as cost:
                sent = await _all_at_once(bench, case, senders, acknowledged)
                await delivered.reach(before + sent * members)
            yield Row("fanout", case, spent(cost, sent * members))


async def _one_by_one(
    bench: Bench, case: str, clients: Sequence[Client], conversation_id: str, delivered: Tally, members: int
) -> int:
    """Each message when the one before has reached everybody. How many were sent."""
    began, sent = monotonic(), 0
    while (passed := monotonic() - began) < bench.seconds:
        if sent % 100 == 0:
            bench.progress(case, passed / bench.seconds)
        before = delivered.count
        clients[sent % len(clients)].send(message(conversation_id))
        sent += 1
        await delivered.reach(before + members)
    return sent


async def _all_at_once(bench: Bench, case: str, senders: Sequence[Sender], acknowledged: Tally) -> int:
    """Everybody at the same time, for a while. How many were sent, and acknowledged."""
    for sender in senders:
        sender.start()
    await bench.wait(case, bench.seconds)
    for sender in senders:
        sender.stop()
    sent = sum(sender.sent for sender in senders)
    await acknowledged.reach(sent)
    return sent


class _Reader(asyncio.Protocol):
    """Counts whole frames of one length."""

    def __init__(self, length: int, whole: Tally) -> None:
        self._length = length
        self._whole = whole
        self._rest = 0

    def data_received(self, data: bytes) -> None:
        frames, self._rest = divmod(self._rest + len(data), self._length)
        for _ in range(frames):
            self._whole.add()


async def _bare_writes(bench: Bench, members: int, length: int) -> Row:
    case = f"{members:,} members, bare writes"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "messenger.bench.reference", str(length)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        port = int(await process.stdout.readline())
        writer = psutil.Process(process.pid)
        pin(writer, SERVER_CORE)
        loop, whole, speaker = asyncio.get_running_loop(), Tally(), None
        for _ in range(members):
            speaker, _ = await loop.create_connection(lambda: _Reader(length, whole), "127.0.0.1", port)
        assert speaker is not None
        began, sent = monotonic(), 0
        with Meter([writer], writer).measured() as cost:
            while (passed := monotonic() - began) < bench.seconds:
                bench.progress(case, passed / bench.seconds)
                speaker.write(b"1")
                sent += 1
                await whole.reach(sent * members)
        return Row("fanout", case, spent(cost, sent * members))
    finally:
        process.kill()
        await process.wait()


async def pairs(bench: Bench) -> AsyncIterator[Row]:
    """Pairs play ping-pong: each answers what the other says. An operation is one message: sent, stored, acknowledged, and
    delivered to both."""
    user_ids = bench.target.people(2 * PAIRS)
    couples = list(zip(user_ids[::2], user_ids[1::2], strict=True))
    conversation_ids = await bench.target.groups(couples)
    case, is_over, said, answered = f"{PAIRS} pairs", False, Tally(), Tally()

    def hear(client: Client, conversation_id: str, turns: Iterator[bool], data: bytes, start: int, stop: int) -> None:
        # They take turns, and each is told of his own messages too.
        if data.startswith(wire.NEW, start) and next(turns):
            said.add()
            if not is_over:
                client.send(message(conversation_id))
        elif data.startswith(wire.SENT, start):
            answered.add()

    async with bench.connected(user_ids) as clients:
        for at, client in enumerate(clients):
            client.heard = partial(hear, client, conversation_ids[at // 2], cycle((at % 2 == 1, at % 2 == 0)))
        with bench.meter.measured() as cost:
            for conversation_id, client in zip(conversation_ids, clients[::2], strict=True):
                client.send(message(conversation_id))
            await bench.wait(case, bench.seconds)
            is_over = True
            await said.reach(said.count + PAIRS)
            await answered.reach(said.count)
        yield Row("pairs", case, spent(cost, said.count))


async def bulk(bench: Bench) -> AsyncIterator[Row]:
    """Everybody writes into one conversation as fast as he is acknowledged; an operation is one message, delivered to all."""
    each = max(IN_FLIGHT, int(200 * bench.seconds / 5))
    user_ids = bench.target.people(SENDERS)
    conversation_id = await bench.target.group(user_ids)
    delivered, acknowledged = Tally(), Tally()

    def hear(data: bytes, start: int, stop: int) -> None:
        if data.startswith(wire.NEW, start):
            delivered.add()

    async with bench.connected(user_ids, hear) as clients:
        for case, at_once in ((f"{each} messages each", 1), (f"{each} messages each, {IN_FLIGHT} at once", IN_FLIGHT)):
            case = f"{SENDERS} senders, {case}"
            bench.progress(case, 0)
            acknowledged.count = delivered.count = 0
            senders = [Sender(client, conversation_id, acknowledged, hear, each) for client in clients]
            with bench.meter.measured() as cost:
                for sender in senders:
                    sender.start(at_once)
                await acknowledged.reach(SENDERS * each)
                await delivered.reach(SENDERS * each * SENDERS)
            yield Row("bulk", case, spent(cost, SENDERS * each))


async def latency(bench: Bench) -> AsyncIterator[Row]:
    """A message now and then: how long from a sender's socket to the other's, after its commit."""
    couples = [bench.target.people(2) for _ in range(20)]
    conversation_ids = await bench.target.groups(couples)
    took: list[float] = []
    heard = Tally()
    async with AsyncExitStack() as stack:
        senders: list[tuple[Client, str, deque[float]]] = []
        for conversation_id, couple in zip(conversation_ids, couples, strict=True):
            one, other = await stack.enter_async_context(bench.connected(couple))
            sent_at: deque[float] = deque()

            def hear(data: bytes, start: int, stop: int, sent_at: deque[float] = sent_at) -> None:
                if data.startswith(wire.NEW, start):
                    took.append(monotonic() - sent_at.popleft())
                    heard.add()

            other.heard = hear
            senders.append((one, conversation_id, sent_at))
        case = f"{A_SECOND} messages a second"
        total, began = int(A_SECOND * 2 * bench.seconds), monotonic()
        with bench.meter.measured() as cost:
            for number in range(total):
                if (early := began + number / A_SECOND - monotonic()) > 0:
                    await asyncio.sleep(early)
                if number % A_SECOND == 0:
                    bench.progress(case, number / total)
                one, conversation_id, sent_at = senders[number % len(senders)]
                sent_at.append(monotonic())
                one.send(message(conversation_id))
            await heard.reach(total)
    took.sort()
    waited = {"p50_ms": 1000 * took[total // 2], "p99_ms": 1000 * took[total * 99 // 100]}
    yield Row("latency", case, {**waited, **spent(cost, total)})


async def idle(bench: Bench) -> AsyncIterator[Row]:
    """Connections that say nothing, in conversations of ten: the memory of each, and what of a core they cost all together."""
    async with bench.connected(bench.target.people(500)):
        pass  # what the daemon needs once, it has by now
    before = bench.meter.resident_bytes
    for connections in sorted({min(number, bench.most_connections) for number in (5000, 10_000)}):
        case = f"{connections:,} connections"
        bench.progress(case, 0)
        user_ids = bench.target.people(connections)
        await bench.target.groups([user_ids[start : start + 10] for start in range(0, connections, 10)])
        with bench.meter.measured() as coming:
            clients = await bench.target.devices(user_ids, _ignore)
        try:
            held = bench.meter.resident_bytes - before
            with bench.meter.measured() as staying:
                await bench.wait(case, 4 * bench.seconds)
        finally:
            for client in clients:
                client.close()
        yield Row(
            "idle",
            case,
            {
                "connection_kb": held / connections / 1000,
                "connect_us": 1e6 * coming.server / connections,
                "connects_per_s": connections / coming.wall,
                "server_percent": 100 * staying.server / staying.wall,
                "postgres_percent": 100 * staying.postgres / staying.wall,
                "redis_percent": 100 * staying.redis / staying.wall,
            },
        )
        await asyncio.sleep(2 * GONE_S)


async def connect(bench: Bench) -> AsyncIterator[Row]:
    """Coming in, up to the greeting: token, membership, presence, feeds; in circles of ten who share their conversations."""
    for conversations in (1, 20, 200):
        user_ids = bench.target.people(100)
        circles = [user_ids[start : start + 10] for start in range(0, len(user_ids), 10)]
        case = f"{conversations} conversations each"
        for done in range(conversations):
            bench.progress(case, done / conversations)
            await bench.target.groups(circles)
        bench.target.prepare(user_ids)
        total = Cost()
        rounds = max(1, int(2 * bench.seconds))
        for done in range(rounds):
            bench.progress(case, done / rounds)
            with bench.meter.measured() as cost:
                clients = await bench.target.devices(user_ids, _ignore)
            total.add(cost)
            for client in clients:
                client.close()
            await asyncio.sleep(GONE_S)
        yield Row("connect", case, spent(total, rounds * len(user_ids)))


async def storm(bench: Bench) -> AsyncIterator[Row]:
    """Everybody comes back at once, and catches up in all his conversations."""
    user_ids = bench.target.people(CROWD)
    ring = user_ids + user_ids
    case = f"{CROWD:,} reconnects, sync of {EACH} conversations"
    bench.progress(case, 0)
    conversation_ids = await bench.target.groups([ring[at : at + EACH] for at in range(CROWD)])
    cursors = await _cursors(bench, user_ids[:: EACH // 2])
    yield await _return(bench, f"{case}, nothing new", user_ids, conversation_ids, cursors)
    await asyncio.sleep(2 * GONE_S)
    async with bench.connected(user_ids) as clients:
        acknowledged = Tally()
        for client, conversation_id in zip(clients, conversation_ids, strict=True):
            Sender(client, conversation_id, acknowledged, _ignore, 1).start()
        await acknowledged.reach(CROWD)
    await asyncio.sleep(2 * GONE_S)
    yield await _return(bench, f"{case}, a message in each", user_ids, conversation_ids, cursors)


async def _cursors(bench: Bench, user_ids: Sequence[UserId]) -> dict[str, int]:
    """Where the conversations of these stand."""
    found: dict[str, int] = {}
    answered = Tally()

    def hear(data: bytes, start: int, stop: int) -> None:
        if data.startswith(wire.SYNC, start):
            for told in orjson.loads(data[start:stop])["conversations"]:
                found[told["conversation_id"]] = told["last_change"]
            answered.add()

    async with bench.connected(user_ids, hear) as clients:
        for client in clients:
            client.send(b'{"type":"sync","cursors":{}}')
        await answered.reach(len(clients))
    return found


async def _return(
    bench: Bench, case: str, user_ids: Sequence[UserId], conversation_ids: Sequence[str], cursors: Mapping[str, int]
) -> Row:
    synced, clients = Tally(), []

    def hear(data: bytes, start: int, stop: int) -> None:
        if data.startswith(wire.SYNC, start):
            synced.add()

    async def come(user_id: UserId, frame: bytes) -> None:
        client = await bench.target.device(user_id, hear)
        clients.append(client)
        client.send(frame)

    # Made ahead: it is not the generator that is measured.
    frames = [
        _sync({name: cursors[name] for name in islice(ring, EACH)})
        for ring in (chain(conversation_ids[at::-1], reversed(conversation_ids)) for at in range(CROWD))
    ]
    bench.target.prepare(user_ids)
    with bench.meter.measured() as cost:
        await asyncio.gather(*map(come, user_ids, frames))
        await synced.reach(CROWD)
    for client in clients:
        client.close()
    return Row("storm", case, {"all_s": cost.wall, **spent(cost, CROWD)})


async def history(bench: Bench) -> AsyncIterator[Row]:
    """A page of messages from anywhere, and a `sync` of as many changes, in a conversation that grows: in a database of our
    own only, because it is filled up without the daemon."""
    if bench.target.owner_url is None:
        return
    user_ids = bench.target.people(2)
    conversation_id = await bench.target.group(user_ids)
    size = 1000
    while size <= bench.most_messages:
        growing = partial(bench.progress, f"filling up to {size:,} messages")
        await filling.fill(bench.target.owner_url, conversation_id, user_ids[0], size, growing)
        case = f"page of {PAGE} at {size:,} messages"
        yield await _asked(bench, case, user_ids[0], wire.HISTORY, partial(_page, conversation_id, size))
        case = f"sync of {PAGE} at {size:,} messages"
        yield await _asked(bench, case, user_ids[0], wire.SYNC, partial(_sync, {conversation_id: size - PAGE}))
        size *= 10


def _page(conversation_id: str, size: int) -> bytes:
    before_seq = random.randint(PAGE + 1, size)  # noqa: S311 - which page is no secret
    return orjson.dumps(
        {"type": "history", "conversation_id": conversation_id, "before_seq": before_seq, "limit": PAGE}
    )


def _sync(cursors: Mapping[str, int]) -> bytes:
    return orjson.dumps({"type": "sync", "cursors": cursors})


async def _asked(bench: Bench, case: str, user_id: UserId, answer: bytes, question: Callable[[], bytes]) -> Row:
    """One question after another."""
    answered = Tally()

    def hear(data: bytes, start: int, stop: int) -> None:
        if data.startswith(answer, start):
            answered.add()

    async with bench.connected([user_id], hear) as (client,):

        async def ask() -> None:
            client.send(question())
            await answered.reach(answered.count + 1)

        for _ in range(20):  # statements are prepared, and pages read in, before it counts
            await ask()
        began = monotonic()
        with bench.meter.measured() as cost:
            while (passed := monotonic() - began) < bench.seconds:
                bench.progress(case, passed / bench.seconds)
                await ask()
        return Row("history", case, spent(cost, answered.count - 20))


SCENARIOS: Mapping[str, Callable[[Bench], AsyncIterator[Row]]] = {
    "idle": idle,  # first: memory that others used and gave back would hide its own
    "fanout": fanout,
    "pairs": pairs,
    "bulk": bulk,
    "latency": latency,
    "connect": connect,
    "storm": storm,
    "history": history,
}
