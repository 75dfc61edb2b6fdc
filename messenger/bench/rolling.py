"""Every node is replaced while people write. What each device was told, pushed and caught up with, is then compared with what is
stored: nothing is missing, nothing came twice, and everybody was soon back.

A cluster of our own is restarted here; one that runs elsewhere (`--url`) by whoever runs it, while we look.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from time import monotonic
from typing import NamedTuple, TypeAlias

import aiohttp
import asyncpg

from messenger.background import end
from messenger.bench.device import Device
from messenger.bench.scenarios import Bench, Row
from messenger.bench.target import API, PATIENCE_S, Node, Target
from messenger.domain.ids import UserId
from messenger.errors import SetupError

DEVICES = 500
# Each device is in two of these: one with its neighbours, one with others.
CIRCLE = 10
# Messages over sockets: no more than that from all, nor than this from each, of whom a daemon takes 10 a second and 30 at once by
# its default rate limits. What was said in MOST_AWAY_S comes at once, when somebody is back.
A_SECOND = 100
EACH_A_SECOND = 2
MOST_AWAY_S = 10.0
STEP_S = 0.05
# Requests over HTTP: so many ask, and one sends, who has a device as well; each with such pauses.
ASKERS = 4
PAUSE_S = 0.05
SENDERS_PAUSE_S = 0.25
PAGE = 200
_TEXT = "It was the best of times, it was the worst of times."
_STORED = """
select conversation_id::text, change, id::text, sender_id, client_id
from messenger.messages
where conversation_id = any($1::uuid[])
"""


class Entry(NamedTuple):
    """A message as it is stored."""

    id: str
    sender_id: int
    client_id: str | None


# Of each conversation by `change`.
Stored: TypeAlias = Mapping[str, Mapping[int, Entry]]


@dataclass(slots=True)
class Requests:
    """Over HTTP. `failed`: by what was wrong."""

    count: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    sent: set[str] = field(default_factory=set)


async def rolling(bench: Bench) -> AsyncIterator[Row]:
    """All devices write in turn, and others ask and write over HTTP, before, while and after each node is replaced."""
    target = bench.target
    count = max(CIRCLE, min(DEVICES, bench.most_connections) // CIRCLE * CIRCLE)
    user_ids = target.people(count)
    bench.progress("making conversations", 0)
    circles = [*_circles(user_ids), *_circles(_mixed(user_ids))]
    conversation_ids = await target.groups(circles)
    within = _within(circles, conversation_ids)
    case = (
        f"{count} devices, {len(target.nodes)} nodes replaced" if target.nodes else f"{count} devices, restarted by you"
    )
    requests, ended_wrong = Requests(), []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        url = f"{target.origin}/ws/me"
        devices = [Device(it, within[it], session, url, target.sign) for it in user_ids]
        staying = [asyncio.create_task(device.stay(), name="device") for device in devices]
        try:
            await _until(lambda: all(device.is_in for device in devices))
            talking = [
                asyncio.create_task(_talk(devices), name="talk"),
                *(asyncio.create_task(_ask(target, requests, it), name="ask") for it in user_ids[:ASKERS]),
                asyncio.create_task(_send(target, requests, devices[0]), name="send"),
            ]
            try:
                await bench.wait(case, bench.seconds)
                for node in target.nodes:
                    code = await _replaced(target, node)
                    if code != 0:
                        ended_wrong.append(f"a node ended with {code}")
                    await bench.wait(case, bench.seconds)
            finally:
                for task in talking:
                    if task.done() and not task.cancelled():
                        task.result()  # it never ends by itself
                await end(talking)
            await _until(lambda: all(device.is_in for device in devices))
            stored = await _all_told(target, devices)
            row = judged(case, devices, stored, requests, ended_wrong)
        finally:
            await end(staying)
    yield row


def _circles(user_ids: Sequence[UserId]) -> list[Sequence[UserId]]:
    return [user_ids[at : at + CIRCLE] for at in range(0, len(user_ids), CIRCLE)]


def _mixed(user_ids: Sequence[UserId]) -> list[UserId]:
    """In another order, in which neighbours are apart."""
    apart = len(user_ids) // CIRCLE
    return [it for at in range(apart) for it in user_ids[at::apart]]


def _within(circles: Sequence[Sequence[UserId]], conversation_ids: Sequence[str]) -> Mapping[UserId, list[str]]:
    """The conversations of each."""
    found: dict[UserId, list[str]] = {}
    for circle, conversation_id in zip(circles, conversation_ids, strict=True):
        for user_id in circle:
            mine = found.setdefault(user_id, [])
            if conversation_id not in mine:
                mine.append(conversation_id)
    return found


async def _until(is_so: Callable[[], bool]) -> None:
    """Look now and then, and not for ever: what is not so in the end is told."""
    for _ in range(int(PATIENCE_S / STEP_S)):
        if is_so():
            break
        await asyncio.sleep(STEP_S)


async def _talk(devices: Sequence[Device]) -> None:
    """Each device says something in turn, at a steady pace."""
    a_second = min(A_SECOND, EACH_A_SECOND * len(devices))
    began = monotonic()
    for number, device in enumerate(cycle(devices), start=1):
        mine = device.conversation_ids
        await device.say(mine[number // len(devices) % len(mine)], f"r{secrets.token_hex(8)}", _TEXT)
        await asyncio.sleep(max(0.0, began + number / a_second - monotonic()))


async def _ask(target: Target, requests: Requests, user_id: UserId) -> None:
    headers = {"Authorization": f"Bearer {target.sign(user_id)}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            await _requested(requests, session, "GET", f"{target.origin}{API}/conversations")
            await asyncio.sleep(PAUSE_S)


async def _send(target: Target, requests: Requests, device: Device) -> None:
    headers = {"Authorization": f"Bearer {target.sign(device.user_id)}"}
    url = f"{target.origin}{API}/conversations/{device.conversation_ids[0]}/messages"
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            client_id = f"h{secrets.token_hex(8)}"
            if await _requested(requests, session, "POST", url, {"content": _TEXT, "client_id": client_id}):
                requests.sent.add(client_id)
            await asyncio.sleep(SENDERS_PAUSE_S)


async def _requested(
    requests: Requests, session: aiohttp.ClientSession, method: str, url: str, body: Mapping[str, str] | None = None
) -> bool:
    """Whether it was answered as it should be."""
    requests.count += 1
    try:
        async with session.request(method, url, json=body, timeout=aiohttp.ClientTimeout(PATIENCE_S)) as response:
            await response.read()
            if response.status < 400:
                return True
            requests.failed[f"{method} {response.status}"] += 1
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        requests.failed[f"{method} {type(error).__name__}"] += 1
    return False


async def _replaced(target: Target, node: Node) -> int:
    """End a node, start another one in its place, and wait until that is ready. How the old one ended. Raises SetupError."""
    code = await asyncio.to_thread(node.end)
    await asyncio.to_thread(node.start)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with target.session.get(f"{node.origin}/readyz") as response:
                if response.status == 200:
                    return code
            await asyncio.sleep(STEP_S)


async def _all_told(target: Target, devices: Sequence[Device]) -> Stored:
    """Wait until everything was acknowledged and everybody has applied what is stored, or for a while; what that is."""
    for device in devices:
        await device.insist()
    await _until(lambda: not any(device.unacknowledged for device in devices))
    stored = await _stored(target)
    last = {conversation_id: max(log, default=0) for conversation_id, log in stored.items()}
    await _until(lambda: all(device.is_at(last) for device in devices))
    return stored


async def _stored(target: Target) -> Stored:
    """What the conversations that we made hold: as the database says, where it is ours, else as their pages do."""
    found: dict[str, dict[int, Entry]] = {it: {} for it in target.made}
    if target.owner_url is not None:
        connection = await asyncpg.connect(target.owner_url)
        try:
            for row in await connection.fetch(_STORED, list(found)):
                found[row["conversation_id"]][row["change"]] = Entry(row["id"], row["sender_id"], row["client_id"])
        finally:
            await connection.close()
        return found
    for conversation_id, user_id in target.made.items():
        headers = {"Authorization": f"Bearer {target.sign(user_id)}"}
        url, after_seq, more = f"{target.origin}{API}/conversations/{conversation_id}/messages", 0, True
        while more:
            bounds = {"after_seq": after_seq, "limit": PAGE}
            async with target.session.get(url, headers=headers, params=bounds) as response:
                if response.status != 200:
                    raise SetupError(f"what is stored could not be read: {await response.text()}")
                page = await response.json()
            for it in page["messages"]:
                found[conversation_id][it["change"]] = Entry(it["id"], it["sender_id"], it["client_id"])
                after_seq = it["seq"]
            more = page["more"]
    return found


def judged(case: str, devices: Sequence[Device], stored: Stored, requests: Requests, ended_wrong: Sequence[str]) -> Row:
    away = sorted(it for device in devices for it in device.away)
    out = [device.away_since() for device in devices if not device.is_in]
    closes: Counter[int] = sum((device.closes for device in devices), Counter())
    errors: Counter[str] = sum((device.errors for device in devices), Counter())
    lost = sum(_lost(devices, stored, requests))
    doubled = sum(device.repeated for device in devices) + _stored_twice(stored)
    figures = {
        "messages": sum(map(len, stored.values())),
        "reconnects": len(away),
        "refused": sum(device.refused for device in devices),
        "resent": sum(device.resent for device in devices),
        "away_p50_s": away[len(away) // 2] if away else 0.0,
        "away_p99_s": away[len(away) * 99 // 100] if away else 0.0,
        "away_longest_s": max([*away, *out], default=0.0),
        "lost": lost,
        "doubled": doubled,
        "late": sum(device.missed for device in devices),
        "needless_resets": sum(device.needless for device in devices),
        "unanswered": sum(device.unacknowledged for device in devices),
        "requests": requests.count,
        "failed_requests": requests.failed.total(),
    }
    wrong = [
        *ended_wrong,
        *(
            f"{figures[name]} {name.replace('_', ' ')}"
            for name in ("lost", "doubled", "late", "needless_resets", "unanswered")
            if figures[name]
        ),
        *(f"{count} requests failed: {what}" for what, count in requests.failed.items()),
        *(f"{count} messages were refused: {code}" for code, count in errors.items()),
    ]
    if figures["away_longest_s"] > MOST_AWAY_S:
        wrong.append(f"somebody was away for {figures['away_longest_s']:.1f} s; sockets ended as {dict(closes)}")
    if out:
        wrong.append(f"{len(out)} devices are not back; sockets ended as {dict(closes)}")
    return Row("rolling", case, figures, wrong)


def _lost(devices: Sequence[Device], stored: Stored, requests: Requests) -> Iterator[int]:
    """What is stored and not held, held and not stored, or acknowledged and not stored."""
    names = {entry.client_id for log in stored.values() for entry in log.values()}
    yield len(requests.sent - names)
    for device in devices:
        yield sum(client_id not in names for client_id in device.acknowledged)
        for conversation_id in device.conversation_ids:
            begins = device.begins[conversation_id]
            log = {change: entry.id for change, entry in stored[conversation_id].items() if change > begins}
            yield len(log.items() ^ device.held[conversation_id].items())


def _stored_twice(stored: Stored) -> int:
    """Rows beyond the first of one sender's `client_id` in a conversation."""
    return sum(
        len(log) - len({(entry.sender_id, entry.client_id) for entry in log.values()}) for log in stored.values()
    )
