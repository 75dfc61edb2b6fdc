"""What live sessions (dialect A) bear from one address: codes that are guessed, and guests who come in."""

import asyncio
from typing import Any

import pytest

from messenger.config import Rate
from tests.support.node import Cluster, Node
from tests.support.sessions import answered, ask, join, knock, open_session

# As many as the burst, and no more while the test lasts.
TWENTY = Rate(1, 3600, 20)


async def refused(node: Node, method: str, path: str, **options: Any) -> None:
    answer = await answered(node, method, path, **options)
    assert (answer.status, answer.body["code"], answer.body["message"]) == (429, "rate_limited", "Too many requests")
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    assert answer.body["retry_after_s"] <= 3600


async def test_who_guesses_codes_has_to_wait_also_with_the_right_one(cluster: Cluster) -> None:
    node = await cluster.node(rate_guesses=TWENTY)
    bees = await open_session(node, 1)
    ben = await bees.join(node, "Ben")
    for number in range(0, 20, 4):
        assert (await ask(node, "GET", f"/sessions/WRONG{number}/status"))[0] == 404
        assert (await join(node, f"WRONG{number}", "Eve"))[0] == 404
        assert (await ask(node, "GET", f"/sessions/WRONG{number}/state", ben.token))[0] == 404
        assert await knock(node, f"/ws/WRONG{number}/{ben.id}", ben.token) == (1008, "Session not found")
        assert number == 16 or (await bees.status(node))["status"] == "active"
    await refused(node, "GET", "/sessions/WRONG/status")
    await refused(node, "GET", f"/sessions/{bees.code}/status")
    await refused(node, "POST", f"/join/{bees.code}", json={"nickname": "Eve"})
    assert (await knock(node, bees.path(ben), ben.token)) == (1013, "overloaded")


async def test_right_codes_are_no_guesses(cluster: Cluster) -> None:
    node = await cluster.node(rate_guesses=Rate(1, 3600, 1))
    bees = await open_session(node, 1)
    for number in range(5):
        await bees.status(node)
        await bees.join(node, f"Guest {number}")


async def test_a_class_that_comes_in_at_once_is_not_taken_for_guessers(cluster: Cluster) -> None:
    node = await cluster.node(rate_guesses=Rate(1, 3600, 1))
    bees = await open_session(node, 1)
    joined = await asyncio.gather(*(join(node, bees.code, f"Guest {number}") for number in range(60)))
    assert {status for status, _ in joined} == {200}


async def test_so_many_guests_come_in_from_one_address(cluster: Cluster) -> None:
    node = await cluster.node(rate_joins=Rate(1, 3600, 3))
    bees = await open_session(node, 1)
    for number in range(3):
        await bees.join(node, f"Guest {number}")
    await refused(node, "POST", f"/join/{bees.code}", json={"nickname": "Eve"})
    assert (await bees.status(node))["total_participants"] == 3


@pytest.mark.parametrize("proxies", [("127.0.0.1",), ()])
async def test_behind_a_trusted_proxy_each_client_counts_by_itself(cluster: Cluster, proxies: tuple[str, ...]) -> None:
    node = await cluster.node(rate_joins=Rate(1, 3600, 1), rate_guesses=Rate(1, 3600, 1), trusted_proxies=proxies)
    bees = await open_session(node, 1)
    clients = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", "2001:db8::2"]
    joins = [await join(node, bees.code, f"Guest {place}", **{"X-Forwarded-For": clients[place]}) for place in range(5)]
    # Of IPv6 a subscriber has 64 bits.
    expected = [200, 200, 200, 200, 429] if proxies else [200, 429, 429, 429, 429]
    assert [status for status, _ in joins] == expected
    guesses = await asyncio.gather(
        *(ask(node, "GET", "/sessions/WRONGCODE/status", None, None, **{"X-Forwarded-For": of}) for of in clients[:2])
    )
    assert sorted(status for status, _ in guesses) == ([404, 404] if proxies else [404, 429])
