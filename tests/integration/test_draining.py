"""A node that drains, as a proxy sees it: sockets are sent to another node at once, and requests are answered until the end."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support.node import FREE, SECRET, Cluster, Node
from tests.support.people import token

ANN, BEN = 1, 2
OPEN = {**FREE, "open_rooms": True}
DOORS = [
    "/ws/me",
    f"/ws/{ANN}",
    "/api/v1/messenger/ws/me",
    "/ws/ABCDEFGH/7",
    "/api/v1/chat/ws/club",
    "/ws/chat/0b5ab8f4-53b5-4d55-b0c4-9a9e4cb3a6ea",
]
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.fixture
async def node(cluster: Cluster) -> AsyncIterator[Node]:
    """Behind a proxy, which is us."""
    async with cluster.node_for_a_while(**OPEN, trusted_proxies=("127.0.0.1",)) as node:
        yield node


@pytest.mark.parametrize("door", DOORS)
async def test_a_proxy_is_told_to_ask_another_node(node: Node, door: str) -> None:
    node.context.is_draining = True
    headers = {**UPGRADE, "Authorization": f"Bearer {token(ANN, SECRET)}"}
    async with node.session.get(node.origin + door, headers=headers) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        told = await response.json()
        assert (told["code"], told["detail"]) == ("unavailable", "Draining; ask another node")


async def test_until_it_drains_it_lets_them_in(node: Node) -> None:
    assert isinstance(await node.knock(bearer=token(ANN, SECRET)), dict)


@pytest.mark.parametrize("door", DOORS)
async def test_who_comes_by_himself_hears_it_after_the_handshake(cluster: Cluster, door: str) -> None:
    """Whatever he claims to come through."""
    node = await cluster.node(**OPEN, trusted_proxies=("192.0.2.1",))
    node.context.is_draining = True
    told = {"X-Forwarded-For": "192.0.2.1"}
    assert await node.knock(door, bearer=token(ANN, SECRET), **told) == (1012, "draining")


async def test_a_foreign_page_is_refused_as_ever(node: Node) -> None:
    node.context.is_draining = True
    assert await node.knock(bearer=token(ANN, SECRET), Origin="https://evil.example") == 403
    async with node.session.get(f"{node.origin}/ws/me") as response:
        assert response.status == 426


async def test_requests_are_answered_and_their_connection_is_let_go(node: Node) -> None:
    """Else the proxy would send its next request just as the daemon ends."""
    tea = await node.client(ANN).group(BEN)
    headers = {"Authorization": f"Bearer {token(ANN, SECRET)}"}
    asked = [
        ("GET", "/api/v1/messenger/users/me", None, 200),
        ("POST", f"/api/v1/messenger/conversations/{tea}/messages", {"content": "Tea?"}, 201),
        ("GET", "/api/v1/messenger/nothing", None, 404),
        ("POST", "/api/v1/messenger/conversations", {"type": 7}, 422),
    ]
    for is_draining, kept in ((False, None), (True, "close")):
        node.context.is_draining = is_draining
        async with aiohttp.ClientSession(headers=headers) as session:
            for method, path, body, status in asked:
                async with session.request(method, node.origin + path, json=body) as response:
                    assert (response.status, response.headers.get("Connection")) == (status, kept)
                    await response.read()
