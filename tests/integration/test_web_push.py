"""Web Push: encrypted for one browser, signed by the daemon, and kept from whoever it is not for."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec

from messenger.delivery import courier
from messenger.delivery.vapid import new_key_pair
from tests.integration.test_outbox import settled, wish
from tests.support.browser import CURVE, Browser, from_base64url, signed
from tests.support.node import FREE, Cluster, Node, logged
from tests.support.people import Client
from tests.support.receiver import LOOPBACK, Receiver, receiving

ANN, BEN, CYD = 1, 2, 3
PRIVATE_KEY, PUBLIC_KEY = new_key_pair()
SUBJECT = "mailto:ann@example.org"


@pytest.fixture
async def service() -> AsyncIterator[Receiver]:
    """A push service, of all browsers."""
    async with receiving() as receiver:
        receiver.status = 201
        yield receiver


@pytest.fixture
def pushing() -> dict[str, Any]:
    """Settings of a node that tells browsers."""
    return {
        **FREE,
        "vapid_private_key": PRIVATE_KEY,
        "vapid_subject": SUBJECT,
        "private_push_targets": LOOPBACK,
    }


@pytest.fixture
async def node(cluster: Cluster, pushing: dict[str, Any]) -> Node:
    return await cluster.node(**pushing)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fails is tried again soon, and looked for often; devices take a moment longer (they rest)."""
    monkeypatch.setattr(courier, "PAUSE_S", 0.02)
    monkeypatch.setattr(courier, "POLL_S", 0.02)


async def registered(node: Node, service: Receiver, user_id: int, path: str = "/push/one") -> Browser:
    browser = Browser(service.url(path))
    status, told = await node.client(user_id).post("/users/me/devices", browser.subscription())
    assert status == 201, told
    return browser


async def test_a_browser_reads_what_it_is_told_and_nobody_else_does(
    node: Node, service: Receiver, oracle: asyncpg.Connection
) -> None:
    browser = await registered(node, service, BEN)
    ann = node.client(ANN, name="Ann")
    tea = await ann.group(BEN)
    sent = await ann.send(tea, "Grüße, @Ben")
    (post,) = await service.came(1)
    assert browser.read(post) == {
        "title": "Tea",
        "body": "Grüße, @Ben",
        "sender": "Ann",
        "conversation_id": tea,
        "message_id": sent["id"],
        "seq": 1,
        "mentioned": False,
    }
    assert b"Gr" not in post.body
    for other in (Browser(browser.endpoint), Browser(browser.endpoint, key=browser.key)):
        with pytest.raises(InvalidTag):
            other.read(post)
    await settled(oracle)
    assert node.context.dispatch.notifications[("web_push", "delivered")] == 1


async def test_the_push_service_sees_that_it_is_us(node: Node, service: Receiver) -> None:
    await registered(node, service, BEN)
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    (post,) = await service.came(1)
    claims = signed(post, PUBLIC_KEY, audience=f"http://127.0.0.1:{service.port}")
    assert claims["sub"] == SUBJECT
    assert 3600 < claims["exp"] - time.time() < 24 * 3600  # RFC 8292 §2
    assert post.path == "/push/one"
    assert post.headers["TTL"] == "86400"
    assert post.headers["Content-Type"] == "application/octet-stream"
    assert len(post.body) <= 4096  # RFC 8030 §7.2


async def test_who_is_mentioned_is_told_with_more_urgency_and_under_a_topic_of_its_own(
    node: Node, service: Receiver
) -> None:
    """A push service keeps the latest of a topic for a browser that is off: chatter must not replace it."""
    browser = await registered(node, service, BEN)
    ann = node.client(ANN)
    tea, coffee = await ann.group(BEN), await ann.group(BEN)
    for place, mentions in ((tea, []), (tea, []), (tea, [BEN]), (coffee, [])):
        await ann.send(place, "hello", mentions=mentions)
        await service.came(len(service.posts) + (not service.posts))
    posts = await service.came(4)
    told = sorted(
        (browser.read(post)["conversation_id"] == coffee, browser.read(post)["seq"], post.headers["Urgency"])
        for post in posts
    )
    assert told == [(False, 1, "normal"), (False, 2, "normal"), (False, 3, "high"), (True, 1, "normal")]
    topics = {}
    for post in posts:
        read = browser.read(post)
        topics.setdefault((read["conversation_id"], read["mentioned"]), set()).add(post.headers["Topic"])
    assert {key: len(names) for key, names in topics.items()} == {(tea, False): 1, (tea, True): 1, (coffee, False): 1}
    every = set().union(*topics.values())
    assert len(every) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,32}", topic) for topic in every)  # RFC 8030 §5.4


async def test_a_direct_conversation_is_called_by_who_writes(node: Node, service: Receiver) -> None:
    browser = await registered(node, service, BEN)
    ann = node.client(ANN, name="Ann")
    _, made = await ann.post("/conversations", {"type": "direct", "participant_ids": [BEN]})
    await ann.send(made["id"], "you")
    (post,) = await service.came(1)
    assert (browser.read(post)["title"], browser.read(post)["sender"]) == ("Ann", "Ann")


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
        ("ü" * 4000, "ü" * 199 + "…"),
        ("👍" * 4000, "👍" * 199 + "…"),
        ("\x01" * 4000, "\x01" * 99 + "…"),  # six bytes each in JSON: cut once more
    ],
)
async def test_what_is_long_is_cut(
    node: Node, service: Receiver, oracle: asyncpg.Connection, content: str, shown: str
) -> None:
    browser = await registered(node, service, BEN)
    ann = node.client(ANN)
    tea = await ann.group(BEN, title=content[:200])
    await oracle.execute("update messenger.users set name = $1", content[:200])
    await ann.send(tea, content)
    (post,) = await service.came(1)
    read = browser.read(post)
    assert read["body"] == shown
    assert len(json.dumps(read, ensure_ascii=False).encode()) <= 3100
    assert len(post.body) <= 4096


async def test_every_device_of_a_user_is_told(node: Node, service: Receiver) -> None:
    browsers = {path: await registered(node, service, BEN, path) for path in ("/push/one", "/push/two")}
    await registered(node, service, ANN, "/push/anns")
    tea = await node.client(ANN).group(BEN, CYD)
    await node.client(ANN).send(tea, "hello")
    posts = await service.came(2)
    assert {post.path for post in posts} == set(browsers)
    assert [browsers[post.path].read(post)["body"] for post in posts] == ["hello", "hello"]


async def test_who_is_here_is_not_pushed_to(node: Node, service: Receiver, oracle: asyncpg.Connection) -> None:
    await registered(node, service, BEN)
    tea = await node.client(ANN).group(BEN)
    async with node.phone_for_a_while(BEN) as ben:
        await node.client(ANN).send(tea, "here")
        await ben.hear("message.new")
        await settled(oracle)
    assert service.posts == []


async def test_who_wants_no_push_gets_none(node: Node, service: Receiver, oracle: asyncpg.Connection) -> None:
    await registered(node, service, BEN)
    ann = node.client(ANN)
    tea = await ann.group(BEN)
    for settings in (
        {"push_enabled": False, "email_enabled": True},
        {"push_enabled": False},
        {"level": "none"},
        {"level": "mentions"},
    ):
        await wish(node, BEN, tea, **settings)
        await ann.send(tea, "unheard")
        await settled(oracle)
    assert service.posts == []
    await ann.send(tea, "heard", mentions=[BEN])
    await service.came(1)


@pytest.mark.usefixtures("impatient")
async def test_who_wants_none_any_more_gets_none_that_was_noted_before(
    cluster: Cluster, pushing: dict[str, Any], service: Receiver, oracle: asyncpg.Connection
) -> None:
    node = await cluster.node(**pushing)
    await registered(node, service, BEN)
    tea = await node.client(ANN).group(BEN)

    async def changing(_: web.Request) -> web.Response:
        await wish(node, BEN, tea, push_enabled=False, email_enabled=True)
        return web.Response(status=503)

    service.answers = [changing]
    await node.client(ANN).send(tea, "never mind")
    await service.came(1)
    await woken(oracle)
    await settled(oracle)
    assert len(service.posts) == 1
    assert node.context.dispatch.notifications[("web_push", "dropped")] == 1


async def woken(oracle: asyncpg.Connection) -> None:
    """Devices that rest are tried again now."""
    async with asyncio.timeout(10):
        while not await oracle.fetchval("select count(*) from messenger.deliveries where last_error is not null"):
            await asyncio.sleep(0.01)
    await oracle.execute("update messenger.push_devices set resting_until = now()")
    await oracle.execute("update messenger.deliveries set due_at = now() where dead_at is null")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [404, 410])
async def test_a_device_that_its_push_service_forgot_is_forgotten(
    node: Node, service: Receiver, oracle: asyncpg.Connection, status: int
) -> None:
    await registered(node, service, BEN, "/push/gone")
    kept = await registered(node, service, BEN, "/push/kept")

    async def answering(request: web.Request) -> web.Response:
        return web.Response(status=status if request.path == "/push/gone" else 201)

    service.answers = [answering] * 4
    ann = node.client(ANN)
    tea = await ann.group(BEN)
    for content in ("one", "two"):
        await ann.send(tea, content)
        await settled(oracle)
    assert [post.path for post in service.posts].count("/push/gone") == 1
    rows = await oracle.fetch("select endpoint from messenger.push_devices")
    assert [row["endpoint"] for row in rows] == [kept.endpoint]
    assert await oracle.fetchval("select count(*) from messenger.deliveries") == 0


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [500, 429, 403, 400, 307])
async def test_a_push_that_is_not_taken_comes_again(
    node: Node, service: Receiver, oracle: asyncpg.Connection, status: int
) -> None:
    browser = await registered(node, service, BEN)
    service.answers = [status]
    service.headers = {"Location": "/elsewhere"}
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    await service.came(1)
    await woken(oracle)
    first, second = await service.came(2)
    await settled(oracle)
    assert browser.read(first) == browser.read(second)
    assert first.body != second.body  # encrypted with keys of its own
    assert await oracle.fetchval("select failures from messenger.push_devices") == 0


async def test_devices_that_hang_hold_up_nobody_else(node: Node, service: Receiver, oracle: asyncpg.Connection) -> None:
    """As many as a user may have, at addresses that never answer."""
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response(status=201)

    for number in range(20):
        await registered(node, service, CYD, f"/push/{number}")
    await registered(node, service, BEN, "/push/bens")
    service.answers = [hang] * 20
    ann = node.client(ANN)
    await ann.send(await ann.group(CYD), "to Cyd")
    await service.came(20)
    await ann.send(await ann.group(BEN), "to Ben")
    assert (await service.came(21))[-1].path == "/push/bens"
    over.set()
    await settled(oracle)


async def test_a_browser_that_changed_hands_tells_nothing_of_who_had_it_before(
    node: Node, service: Receiver, oracle: asyncpg.Connection
) -> None:
    """What was noted for Ben is not sent to a browser that is Cyd's by now."""
    bens = await registered(node, service, BEN)
    service.status = 503
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "for Ben alone")
    await service.came(1)
    service.status = 201
    cyds = Browser(bens.endpoint)
    assert (await node.client(CYD).post("/users/me/devices", cyds.subscription()))[0] == 201
    assert await oracle.fetchval("select count(*) from messenger.deliveries") == 0
    ours = await node.client(ANN).group(CYD)
    await node.client(ANN).send(ours, "for Cyd")
    _, post = await service.came(2)
    assert cyds.read(post)["body"] == "for Cyd"


async def test_where_the_host_is_told_too_both_are(
    cluster: Cluster, pushing: dict[str, Any], service: Receiver, oracle: asyncpg.Connection
) -> None:
    hook = {"webhook_url": service.url("/hook"), "webhook_secret": "x" * 32, "private_targets": LOOPBACK}
    both = pushing | hook
    node = await cluster.node(**both)
    browser = await registered(node, service, BEN)
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    posts = {post.path: post for post in await service.came(2)}
    assert browser.read(posts["/push/one"])["body"] == "hello"
    assert posts["/hook"].told["message"]["content"] == "hello"


async def test_without_web_push_devices_are_left_alone(
    cluster: Cluster, pushing: dict[str, Any], service: Receiver, oracle: asyncpg.Connection
) -> None:
    async with cluster.node_for_a_while(**pushing) as before:
        await registered(before, service, BEN)
    node = await cluster.node(
        **FREE, webhook_url=service.url("/hook"), webhook_secret="x" * 32, private_targets=LOOPBACK
    )
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    await settled(oracle)
    assert [post.path for post in service.posts] == ["/hook"]


@pytest.mark.usefixtures("impatient")
async def test_a_push_to_a_private_address_is_refused_where_it_is_sent(
    cluster: Cluster, pushing: dict[str, Any], service: Receiver, oracle: asyncpg.Connection
) -> None:
    """Registered while it was allowed, or by a name that leads there now."""
    async with cluster.node_for_a_while(**pushing) as before:
        await registered(before, service, BEN)
    node = await cluster.node(**{**pushing, "private_push_targets": (), "private_targets": LOOPBACK}, notify_attempts=1)
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    await settled(oracle)
    assert await oracle.fetchval("select last_error from messenger.deliveries") == "refused: a private address"
    assert service.posts == []


@pytest.mark.usefixtures("impatient")
async def test_no_log_holds_content_key_or_endpoint(
    cluster: Cluster, pushing: dict[str, Any], service: Receiver, oracle: asyncpg.Connection
) -> None:
    service.answers = [500]
    with logged() as log:
        async with cluster.node_for_a_while(**pushing) as node:
            browser = await registered(node, service, BEN, "/push/endpoint-of-ben")
            tea = await node.client(ANN).group(BEN)
            await node.client(ANN).send(tea, "secret words")
            await service.came(1)
            await woken(oracle)
            await service.came(2)
            await settled(oracle)
    said = log.getvalue()
    assert "delivery failed" in said
    keys = browser.subscription()["keys"]
    for secret in ("secret words", "endpoint-of-ben", keys["auth"], keys["p256dh"], PRIVATE_KEY, "vapid t="):
        assert secret not in said


def test_the_public_key_is_a_point_on_the_curve() -> None:
    assert len(from_base64url(PUBLIC_KEY)) == 65
    assert from_base64url(PUBLIC_KEY)[0] == 4
    assert len(from_base64url(PRIVATE_KEY)) == 32
    assert new_key_pair() != new_key_pair()


def test_a_browser_of_ours_reads_what_the_rfc_wrote() -> None:
    """RFC 8291 §5: our reading of what the daemon sends is nobody's own invention."""
    number = int.from_bytes(from_base64url("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
    auth = from_base64url("BTBZMqHH6r4Tts7J_aSIgg")
    body = from_base64url(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95"
        "bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    browser = Browser("", ec.derive_private_key(number, CURVE), auth)
    assert browser.decrypted(body) == b"When I grow up, I want to be a watermelon"


async def test_who_was_revoked_is_told_nothing_more_at_what_he_registered(
    cluster: Cluster, pushing: dict[str, Any], service: Receiver, oracle: asyncpg.Connection
) -> None:
    node = await cluster.node(**pushing, api_token="the host's own key")
    await registered(node, service, BEN)
    host = Client(node.session, node.origin, "the host's own key")
    assert (await host.post(f"/users/{BEN}/revoke"))[0] == 200
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    await settled(oracle)
    assert service.posts == []
    assert await oracle.fetchval("select count(*) from messenger.push_devices") == 0
