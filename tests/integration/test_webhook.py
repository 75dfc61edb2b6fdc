"""The webhook: what the host application is told, how it knows that we said it, and what happens where it does not take it."""

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from messenger.delivery import courier
from tests.integration.test_outbox import BEN, CYD, SECRET, settled, told, wish
from tests.integration.test_readme import block, run_node
from tests.support.node import FREE, Cluster, Node, logged
from tests.support.people import A_TIME, Like, entry
from tests.support.receiver import LOOPBACK, Post, Receiver, receiving

ANN = 1
A_UUID = Like(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
async def host() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def telling(host: Receiver) -> dict[str, Any]:
    return {
        **FREE,
        "webhook_url": host.url("/hook?token=of-the-hosts-own"),
        "webhook_secret": SECRET,
        "private_targets": LOOPBACK,
    }


@pytest.fixture
async def node(cluster: Cluster, telling: dict[str, Any]) -> Node:
    return await cluster.node(**telling)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fails is tried again soon, and looked for often."""
    monkeypatch.setattr(courier, "PAUSE_S", 0.02)
    monkeypatch.setattr(courier, "POLL_S", 0.02)


def is_ours(post: Post, secret: str = SECRET) -> bool:
    """What a receiver does, in its own words."""
    signed = post.headers["Messenger-Timestamp"].encode() + b"." + post.body
    expected = "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, post.headers["Messenger-Signature"])


async def test_the_host_is_told_everything_that_it_needs(
    node: Node, host: Receiver, oracle: asyncpg.Connection
) -> None:
    ann = node.client(ANN, name="Ann", picture="https://example.org/ann.png")
    tea = await ann.group(BEN, CYD)
    await oracle.execute("update messenger.users set external_id = 'user-' || id")
    await wish(node, CYD, tea, email_enabled=True, push_enabled=False)
    sent = await ann.send(
        tea, "Grüße, @Ben", mentions=[BEN], metadata={"a": 1}, attachments=[{"url": "https://example.org/a.png"}]
    )
    (post,) = await host.came(1)
    assert post.told == {
        "type": "message.notification",
        "id": A_UUID,
        "created_at": A_TIME,
        "conversation": {"id": tea, "type": "group", "title": "Tea"},
        "message": entry(
            tea,
            1,
            ANN,
            "Grüße, @Ben",
            id=sent["id"],
            mentions=[BEN],
            metadata={"a": 1},
            attachments=[{"url": "https://example.org/a.png"}],
        ),
        "sender": {
            "user_id": ANN,
            "external_id": "user-1",
            "name": "Ann",
            "avatar_url": "https://example.org/ann.png",
        },
        "recipients": [
            {
                "user_id": BEN,
                "external_id": "user-2",
                "mentioned": True,
                "push_enabled": True,
                "email_enabled": False,
                "unread_count": 1,
            },
            {
                "user_id": CYD,
                "external_id": "user-3",
                "mentioned": False,
                "push_enabled": False,
                "email_enabled": True,
                "unread_count": 1,
            },
        ],
    }
    assert post.told["message"] == sent
    assert post.path == "/hook?token=of-the-hosts-own"
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["Messenger-Delivery"] == post.told["id"]
    await settled(oracle)
    assert node.context.dispatch.notifications == {
        ("webhook", "delivered"): 1,
        ("webhook", "dropped"): 0,
        ("webhook", "failed"): 0,
        ("webhook", "dead"): 0,
    }


async def test_a_direct_conversation_has_no_title(node: Node, host: Receiver) -> None:
    ann = node.client(ANN)
    _, made = await ann.post("/conversations", {"type": "direct", "participant_ids": [BEN]})
    await ann.send(made["id"], "you")
    (post,) = await host.came(1)
    assert post.told["conversation"] == {"id": made["id"], "type": "direct", "title": None}
    assert post.told["sender"] == {"user_id": ANN, "external_id": None, "name": "User 1", "avatar_url": None}


async def test_a_signature_holds_for_this_body_this_time_and_this_secret_only(node: Node, host: Receiver) -> None:
    tea = await node.client(ANN).group(BEN)
    before = int(time.time())
    await node.client(ANN).send(tea, "signed")
    (post,) = await host.came(1)
    assert re.fullmatch(r"v1=[0-9a-f]{64}", post.headers["Messenger-Signature"])
    assert before <= int(post.headers["Messenger-Timestamp"]) <= time.time()
    assert is_ours(post)
    assert not is_ours(post, "another-secret-of-at-least-32-bytes!")
    assert not is_ours(Post(post.path, post.headers, post.body.replace(b"signed", b"forged")))
    later = {**post.headers, "Messenger-Timestamp": str(int(post.headers["Messenger-Timestamp"]) + 1)}
    assert not is_ours(Post(post.path, later, post.body))


def shown(post: Post, secret: str) -> tuple[str, str, str, str]:
    return post.headers["Messenger-Timestamp"], post.headers["Messenger-Signature"], post.body.decode(), secret


async def test_a_receiver_as_shown_in_python_takes_what_is_ours(node: Node, host: Receiver) -> None:
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "Grüße")
    (post,) = await host.came(1)
    made: dict[str, Any] = {}
    exec(block("python", "def is_from_messenger("), made)
    check, headers = made["is_from_messenger"], dict(post.headers)
    assert check(headers, post.body, SECRET) is True
    assert check(headers, post.body + b" ", SECRET) is False
    assert check(headers, post.body, SECRET + "!") is False
    old = {**headers, "Messenger-Timestamp": str(int(headers["Messenger-Timestamp"]) - 301)}
    assert check(old, post.body, SECRET) is False


async def test_a_receiver_as_shown_in_node_takes_what_is_ours(node: Node, host: Receiver) -> None:
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "Grüße")
    (post,) = await host.came(1)
    headers = {name.lower(): value for name, value in post.headers.items()}
    old = {**headers, "messenger-timestamp": str(int(headers["messenger-timestamp"]) - 301)}
    tries = [
        (headers, post.body.decode(), SECRET),
        (headers, post.body.decode() + " ", SECRET),
        (headers, post.body.decode(), SECRET + "!"),
        ({**headers, "messenger-signature": "v1=short"}, post.body.decode(), SECRET),
        (old, post.body.decode(), SECRET),
    ]
    ending = f"""
        const tries = {json.dumps(tries)};
        console.log(JSON.stringify(tries.map(([headers, body, secret]) => isFromMessenger(headers, Buffer.from(body), secret))));
    """
    assert json.loads(await run_node(block("js", "function isFromMessenger("), ending=ending)) == [
        *(True, False, False, False, False)
    ]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [501, 500, 503, 404, 400, 302, 307, 304])
async def test_what_is_not_taken_comes_again_as_the_same_delivery(
    node: Node, host: Receiver, oracle: asyncpg.Connection, status: int
) -> None:
    """Signed anew, since a receiver refuses what is old."""
    host.answers = [status, status]
    host.headers = {"Location": "/elsewhere"}
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    posts = await host.came(3)
    await settled(oracle)
    assert len(host.posts) == 3
    assert {post.path for post in posts} == {"/hook?token=of-the-hosts-own"}
    assert {post.body for post in posts} == {posts[0].body}
    assert all(is_ours(post) for post in posts)
    assert node.context.dispatch.notifications[("webhook", "failed")] == 2
    assert node.context.dispatch.notifications[("webhook", "delivered")] == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_status_of_success_is_one(
    node: Node, host: Receiver, oracle: asyncpg.Connection, status: int
) -> None:
    host.status = status
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    assert await told(host, oracle) == [("hello", [BEN])]


@pytest.mark.usefixtures("impatient")
async def test_what_fails_too_often_is_given_up_and_kept(
    cluster: Cluster, telling: dict[str, Any], host: Receiver, oracle: asyncpg.Connection
) -> None:
    host.status = 500
    with logged() as log:
        node = await cluster.node(**telling, notify_attempts=3)
        tea = await node.client(ANN).group(BEN)
        await node.client(ANN).send(tea, "hello")
        await settled(oracle)
    (row,) = await oracle.fetch(
        "select id, attempts, last_error, dead_at is not null as dead from messenger.deliveries"
    )
    assert tuple(row)[1:] == (3, "status 500", True)
    assert len(host.posts) == 3
    assert node.context.dispatch.notifications[("webhook", "failed")] == 2
    assert node.context.dispatch.notifications[("webhook", "dead")] == 1
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    told_of = [line for line in lines if line.get("id") == str(row["id"])]
    assert [(line["event"], line["level"], line["attempt"], line["error"]) for line in told_of] == [
        ("delivery failed", "info", 1, "status 500"),
        ("delivery failed", "info", 2, "status 500"),
        ("delivery given up", "warning", 3, "status 500"),
    ]


@pytest.mark.usefixtures("impatient")
async def test_what_no_node_survives_is_given_up(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    """Begun as often as it may be, and never ended: whoever has it in hand dies of it, or cannot even say that it failed."""
    host.answers = [500]
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "poison")
    await pause_of_the_one(oracle)
    await oracle.execute("update messenger.deliveries set attempts = 8, due_at = now() where dead_at is null")
    await settled(oracle)
    (row,) = await oracle.fetch("select last_error, dead_at is not null from messenger.deliveries")
    assert tuple(row) == ("no attempt came to an end", True)


@pytest.mark.usefixtures("impatient")
async def test_what_nobody_foresaw_comes_again_and_is_given_up(
    cluster: Cluster,
    telling: dict[str, Any],
    host: Receiver,
    oracle: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A defect of ours must neither end the courier nor go on for ever."""
    monkeypatch.setattr(courier, "LEASE_S", 0.1)

    def fail(_: Any, notice: Any) -> bytes:
        raise LookupError(notice.message.content)

    monkeypatch.setattr("messenger.delivery.webhook._told", fail)
    with logged() as log:
        node = await cluster.node(**telling, notify_attempts=2)
        tea = await node.client(ANN).group(BEN)
        await node.client(ANN).send(tea, "what a message said")
        await settled(oracle)
        monkeypatch.undo()
        await node.client(ANN).send(tea, "and on")
        (post,) = await host.came(1)
    assert post.told["message"]["content"] == "and on"
    assert "LookupError" in log.getvalue()
    assert "what a message said" not in log.getvalue()


@pytest.mark.parametrize(
    ("attempt", "least", "most"),
    [
        (1, 3.75, 6.25),
        (2, 15, 25),
        (3, 60, 100),
        (4, 240, 400),
        (7, 2700, 4500),
        (20, 2700, 4500),
        (10_000, 2700, 4500),
    ],
)
def test_pauses_grow_up_to_an_hour_and_are_not_all_alike(attempt: int, least: float, most: float) -> None:
    pauses = [courier.pause(attempt) for _ in range(50)]
    assert least <= min(pauses) < max(pauses) <= most


async def test_a_failure_is_tried_again_later(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    host.status = 500
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    assert 3 < await pause_of_the_one(oracle) < 6.5


async def test_who_says_when_to_come_again_is_obeyed(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    host.status, host.headers = 503, {"Retry-After": "600"}
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    assert 590 < await pause_of_the_one(oracle) <= 600


@pytest.mark.parametrize(("again", "longest"), [("999999999", 3600), ("9" * 400, 7), ("soon", 7), ("-1", 7)])
async def test_who_says_it_oddly_is_tried_again_all_the_same(
    node: Node, host: Receiver, oracle: asyncpg.Connection, again: str, longest: float
) -> None:
    host.status, host.headers = 503, {"Retry-After": again}
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    assert await pause_of_the_one(oracle) <= longest


async def pause_of_the_one(oracle: asyncpg.Connection) -> float:
    """In how many seconds the one delivery that failed is tried again."""
    async with asyncio.timeout(10):
        while True:
            row = await oracle.fetchrow(
                "select extract(epoch from due_at - now())::float8 as s from messenger.deliveries where last_error is not null"
            )
            if row is not None:
                return float(row["s"])
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("impatient")
async def test_what_happens_between_two_attempts_counts(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    """What is told is what may be told now, to who still wants it: content is read at each attempt."""
    ann = node.client(ANN)
    tea = await ann.group(BEN, CYD)

    async def changing(_: web.Request) -> web.Response:
        """While the host refuses, somebody does something."""
        edited = host.posts[-1].told["message"]["id"]
        await ann.patch(f"/messages/{edited}", {"content": "as it is now"})
        await wish(node, CYD, tea, level="none")
        return web.Response(status=500)

    host.answers = [changing]
    await ann.send(tea, "as first sent")
    first, second = await host.came(2)
    assert (first.told["message"]["content"], second.told["message"]["content"]) == ("as first sent", "as it is now")
    assert [recipient["user_id"] for recipient in first.told["recipients"]] == [BEN, CYD]
    assert [recipient["user_id"] for recipient in second.told["recipients"]] == [BEN]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("what", ["deleted", "left", "removed", "muted", "read", "blocked", "conversation deleted"])
async def test_what_concerns_nobody_any_more_is_dropped_in_silence(
    node: Node, host: Receiver, oracle: asyncpg.Connection, what: str
) -> None:
    ann, ben = node.client(ANN), node.client(BEN)
    tea = await ann.group(BEN)

    async def changing(_: web.Request) -> web.Response:
        message = f"/messages/{host.posts[-1].told['message']['id']}"
        if what == "deleted":
            await ann.delete(message)
        elif what == "left":
            await ben.delete(f"/conversations/{tea}/participants/me")
        elif what == "removed":
            await ann.delete(f"/conversations/{tea}/participants/{BEN}")
        elif what == "muted":
            await wish(node, BEN, tea, level="none")
        elif what == "read":
            await ben.post(f"{message}/read")
        elif what == "blocked":
            await ben.ask("PUT", f"/users/me/blocks/{ANN}")
        else:
            await ann.delete(f"/conversations/{tea}")
        return web.Response(status=500)

    host.answers = [changing]
    with logged() as log:
        await ann.send(tea, "never mind")
        await settled(oracle)
    assert len(host.posts) == 1
    assert await oracle.fetchval("select count(*) from messenger.deliveries") == 0
    assert node.context.dispatch.notifications[("webhook", "dropped")] == 1
    assert not [line for line in map(json.loads, log.getvalue().splitlines()) if line["level"] in ("warning", "error")]


@pytest.mark.usefixtures("impatient")
async def test_who_is_left_is_told_though_another_has_gone(
    node: Node, host: Receiver, oracle: asyncpg.Connection
) -> None:
    """What is told is read as somebody who may still read it."""
    tea = await node.client(ANN).group(BEN, CYD)

    async def leaving(_: web.Request) -> web.Response:
        await node.client(BEN).delete(f"/conversations/{tea}/participants/me")
        return web.Response(status=500)

    host.answers = [leaving]
    await node.client(ANN).send(tea, "hello")
    first, second = await host.came(2)
    assert [[recipient["user_id"] for recipient in post.told["recipients"]] for post in (first, second)] == [
        [BEN, CYD],
        [CYD],
    ]
    assert second.told["message"] == first.told["message"]


async def test_a_message_that_is_deleted_before_anybody_looked_is_told_to_nobody(
    cluster: Cluster, telling: dict[str, Any], host: Receiver, oracle: asyncpg.Connection
) -> None:
    quiet = await cluster.node(**FREE)
    ann = quiet.client(ANN)
    tea = await ann.group(BEN)
    gone, kept = await ann.send(tea, "gone"), await ann.send(tea, "kept")
    await oracle.executemany(
        "insert into messenger.outbox (conversation_id, message_id) values ($1, $2)",
        [(tea, gone["id"]), (tea, kept["id"])],
    )
    await ann.delete(f"/messages/{gone['id']}")
    await cluster.node(**telling)
    assert await told(host, oracle) == [("kept", [BEN])]


async def test_a_sender_who_left_is_still_named(node: Node, host: Receiver, oracle: asyncpg.Connection) -> None:
    host.answers = [503]
    ben = node.client(BEN, name="Ben")
    tea = await node.client(ANN).group(BEN)
    await ben.send(tea, "goodbye")
    await host.came(1)
    await ben.delete(f"/conversations/{tea}/participants/me")
    await hurried(oracle, node)
    _, post = await host.came(2)
    assert post.told["sender"] == {"user_id": BEN, "external_id": None, "name": "Ben", "avatar_url": None}


async def hurried(oracle: asyncpg.Connection, node: Node) -> None:
    """What failed is due now."""
    await pause_of_the_one(oracle)
    await oracle.execute("update messenger.deliveries set due_at = now()")
    for each in node.context.dispatch.couriers:
        each.hurry()


@pytest.mark.usefixtures("impatient")
async def test_a_host_that_hangs_is_not_waited_for(
    cluster: Cluster,
    telling: dict[str, Any],
    host: Receiver,
    oracle: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("messenger.delivery.guard.ANSWER_S", 0.1)
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    host.answers = [hang]
    node = await cluster.node(**telling, notify_attempts=2)
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    await host.came(2)
    await settled(oracle)
    assert node.context.dispatch.notifications[("webhook", "failed")] == 1
    over.set()


@pytest.mark.usefixtures("impatient")
async def test_what_is_refused_is_told_as_such(
    cluster: Cluster, telling: dict[str, Any], host: Receiver, oracle: asyncpg.Connection
) -> None:
    """A webhook at a private address that nobody allowed: serve would not even start."""
    node = await cluster.node(**{**telling, "private_targets": ()}, notify_attempts=1)
    tea = await node.client(ANN).group(BEN)
    await node.client(ANN).send(tea, "hello")
    await settled(oracle)
    (row,) = await oracle.fetch("select last_error, dead_at is not null from messenger.deliveries")
    assert tuple(row) == ("refused: a private address", True)
    assert host.posts == []


@pytest.mark.usefixtures("impatient")
async def test_no_log_holds_content_secret_or_address(
    cluster: Cluster, telling: dict[str, Any], host: Receiver, oracle: asyncpg.Connection
) -> None:
    host.answers = [500, 204]
    with logged() as log:
        async with cluster.node_for_a_while(**telling) as node:
            tea = await node.client(ANN, name="Ann of the secret name").group(BEN)
            await node.client(ANN).send(tea, "secret words")
            await host.came(2)
            await settled(oracle)
    said = log.getvalue()
    assert "delivery failed" in said
    for secret in (
        "secret words",
        SECRET,
        "of-the-hosts-own",
        str(host.port),
        "secret name",
        host.posts[0].headers["Messenger-Signature"],
    ):
        assert secret not in said
    stored = await oracle.fetchval("select coalesce(string_agg(d::text, ' '), '') from messenger.deliveries d")
    assert "secret" not in stored


async def test_what_is_handed_out_and_what_waits_is_measured(
    cluster: Cluster,
    telling: dict[str, Any],
    host: Receiver,
    oracle: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("messenger.delivery.outbox.COUNT_S", 0.05)
    monkeypatch.setattr("messenger.delivery.outbox.POLL_S", 0.05)
    node = await cluster.node(**telling)
    ann = node.client(ANN)
    tea = await ann.group(BEN)
    await ann.send(tea, "taken")
    await settled(oracle)
    host.status = 503
    await ann.send(tea, "not taken")
    await pause_of_the_one(oracle)
    expected = {
        'messenger_notifications_total{channel="webhook",result="delivered"} 1.0',
        'messenger_notifications_total{channel="webhook",result="failed"} 1.0',
        'messenger_notifications_total{channel="webhook",result="dead"} 0.0',
        'messenger_notifications_total{channel="webhook",result="dropped"} 0.0',
        "messenger_outbox_waiting 1.0",
    }
    async with asyncio.timeout(10):
        while not expected <= set((await node.nobody().ask("GET", "//metrics")).text.splitlines()):
            await asyncio.sleep(0.02)


async def test_one_worker_counts_what_waits_for_all(
    cluster: Cluster, telling: dict[str, Any], host: Receiver, oracle: asyncpg.Connection
) -> None:
    host.status = 503
    before = "import messenger.delivery.outbox as o; o.COUNT_S = o.POLL_S = 0.05"
    daemon = await cluster.daemon("--workers", "2", **telling, before=before)
    await daemon.client(ANN).send(await daemon.client(ANN).group(BEN), "not taken")
    await pause_of_the_one(oracle)
    async with asyncio.timeout(10):
        while "messenger_outbox_waiting 1.0" not in (await daemon.nobody().ask("GET", "//metrics")).text:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)  # by now the other one would have, too
    assert "messenger_outbox_waiting 1.0" in (await daemon.nobody().ask("GET", "//metrics")).text
