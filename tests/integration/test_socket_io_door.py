"""The door of dialect B: who is let in with which token and from which page, and what of theirs the daemon puts up with."""

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from aiohttp import hdrs

from messenger.config import Rate
from messenger.dialects import socket_door, socket_library
from messenger.dialects.places import HALL
from messenger.dialects.socket_io import DOOR
from tests.support.node import FREE, Cluster, Node, Stage, logged, node_of_stage, stage_with
from tests.support.people import token
from tests.support.reachable import SECRET
from tests.support.sessions import LiveSession, Seat, ben_of_session, open_session, session_of_stage
from tests.support.socket_io import (
    EITHER,
    POLLING,
    WEBSOCKET,
    Clients,
    clients_of_test,
    driver_of_module,
    handshake,
    left,
    raw,
    url,
)

FRIEND, STRANGER = "https://app.example", "https://evil.example"

stage = stage_with(allowed_origins=(FRIEND,), max_frame_bytes=4096)
node = node_of_stage()
driver = driver_of_module()
clients = clients_of_test()
bees, ben = session_of_stage(), ben_of_session()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who do not answer a goodbye are not waited for as long as they would be."""
    monkeypatch.setattr(socket_door, "FAREWELL_S", 2.0)


def expired(user_id: int) -> str:
    return token(user_id, SECRET, exp=int(time.time()) - 60)


@EITHER
@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (None, "token_missing"),
        ("", "token_missing"),
        ("nonsense", "token_invalid"),
        (5, "token_invalid"),
        ({"a": 1}, "token_invalid"),
        (expired(1), "token_expired"),
        (token(1, "another key, which is as long as it takes"), "token_invalid"),
    ],
)
async def test_without_a_good_token_nobody_connects(
    node: Node, clients: Clients, transports: list[str] | None, shown: Any, why: str
) -> None:
    client = clients.open(node, shown, transports=transports)
    assert await client.hear("connect_error") == why


async def test_a_token_may_stand_in_the_header(node: Node, bees: LiveSession, ben: Seat, clients: Clients) -> None:
    headers = {"Authorization": f"Bearer {ben.token}"}
    for transports in (WEBSOCKET, POLLING, None):
        client = await clients.connected(node, None, transports=transports, extraHeaders=headers)
        assert await client.join(bees.code, ben) == 1
    bad = clients.open(node, None, extraHeaders={"Authorization": f"Bearer {expired(bees.host)}"})
    assert await bad.hear("connect_error") == "token_expired"
    # What is said to Socket.IO itself goes before what is said to HTTP.
    both = await clients.connected(node, ben.token, extraHeaders={"Authorization": "Bearer nonsense"})
    assert await both.join(bees.code, ben) == 1


async def test_a_token_does_not_stand_in_the_url(node: Node, ben: Seat, clients: Clients) -> None:
    client = clients.open(node, None, query={"token": ben.token})
    assert await client.hear("connect_error") == "token_missing"


async def test_with_authentication_off_no_token_is_needed(cluster: Cluster, clients: Clients) -> None:
    node = await cluster.node(**FREE, auth="off")
    headers = {"X-User-Id": "1"}
    async with node.session.post(f"{node.origin}/api/v1/sessions", json={"title": "Bees"}, headers=headers) as response:
        opened = await response.json()
    bees = LiveSession(1, opened, "")
    ben = await bees.join(node, "Ben")
    for transports in (WEBSOCKET, POLLING, None):
        client = await clients.connected(node, None, transports=transports)
        assert await client.join(bees.code, ben) == 1
    host = await clients.connected(node, None)
    assert await host.join(bees.id, bees.seat, role="presenter") == 2
    # Who has one may send it along.
    assert await (await clients.connected(node, ben.token)).join(bees.code, ben) == 2


async def test_whose_token_ends_is_sent_away_for_good(
    node: Node, stage: Stage, clients: Clients, cluster: Cluster
) -> None:
    here = await cluster.node(**FREE, heartbeat_s=1, jwt_leeway_s=0)
    bees = await open_session(here, 1)
    short = Seat(bees.seat.id, bees.seat.nickname, token(1, SECRET, name="Ann", exp=int(time.time()) + 3))
    client = await clients.joined(here, bees, short)
    assert await client.hear("error") == {"message": "token_expired"}
    assert await client.hear("disconnect") == "io server disconnect"


async def test_whose_tokens_are_revoked_is_sent_away_for_good(cluster: Cluster, clients: Clients) -> None:
    here = await cluster.node(**FREE, api_token="the-host-applications-own-key-of-32-bytes")
    bees = await open_session(here, 1)
    old = token(1, SECRET, name="Ann", iat=int(time.time()) - 60)
    client = await clients.joined(here, bees, Seat(bees.seat.id, bees.seat.nickname, old))
    headers = {"Authorization": "Bearer the-host-applications-own-key-of-32-bytes"}
    async with here.session.post(
        f"{here.origin}/api/v1/messenger/users/1/revoke", headers=headers, json={}
    ) as response:
        assert response.status in (200, 204), await response.text()
    assert await client.hear("error") == {"message": "revoked"}
    assert await client.hear("disconnect") == "io server disconnect"


async def test_pages_of_foreign_origins_are_refused(node: Node) -> None:
    for origin in (STRANGER, "null", "http://localhost:1", f"{FRIEND}.evil.example", "https://app.example:444"):
        status, headers, _ = await handshake(node, Origin=origin)
        assert status == 403, origin
        assert hdrs.ACCESS_CONTROL_ALLOW_ORIGIN not in headers
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await node.session.ws_connect(url(node, transport="websocket"), headers={"Origin": origin})
        assert refusal.value.status == 403
        async with node.session.post(url(node, transport="polling", sid="x"), headers={"Origin": origin}) as response:
            assert response.status == 403
    assert not node.server.app[DOOR]._server.eio.sockets


async def test_pages_of_an_allowed_origin_are_let_in_by_its_name_and_no_other(node: Node) -> None:
    for origin in (FRIEND, node.origin):
        status, headers, text = await handshake(node, Origin=origin)
        assert status == 200
        assert headers.getall(hdrs.ACCESS_CONTROL_ALLOW_ORIGIN) == [origin]
        # No cookie is set, and none wanted.
        assert "Access-Control-Allow-Credentials" not in headers
        assert "Set-Cookie" not in headers
        assert "Origin" in ",".join(headers.getall(hdrs.VARY))
        sid = json.loads(text.removeprefix("0"))["sid"]
        async with node.session.post(
            url(node, transport="polling", sid=sid), data="1", headers={"Origin": origin}
        ) as response:
            assert response.status == 200
            assert response.headers.getall(hdrs.ACCESS_CONTROL_ALLOW_ORIGIN) == [origin]
        async with node.session.ws_connect(url(node, transport="websocket"), headers={"Origin": origin}) as socket:
            assert (await socket.receive_str()).startswith("0{")
    # A request without one is no page's.
    status, headers, _ = await handshake(node)
    assert status == 200
    assert hdrs.ACCESS_CONTROL_ALLOW_ORIGIN not in headers
    await dismissed(node)


async def dismissed(node: Node) -> None:
    """Who shook hands and went no further is sent away."""
    await node.server.app[DOOR].close()
    await left(node)


async def test_a_page_may_ask_before_it_posts(node: Node) -> None:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    for origin, status in ((FRIEND, 204), (STRANGER, 403)):
        async with node.session.options(
            url(node, transport="polling", sid="x"), headers={**asked, "Origin": origin}
        ) as response:
            assert response.status == status
            if origin == FRIEND:
                assert response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] == FRIEND
                assert "POST" in response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS]
                assert "Authorization" in response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS]
            else:
                assert hdrs.ACCESS_CONTROL_ALLOW_ORIGIN not in response.headers


async def test_an_answer_is_no_script(node: Node) -> None:
    async with node.session.get(url(node, transport="polling", j="0")) as response:
        assert response.status == 400
        assert "___eio" not in await response.text()
    async with node.session.post(url(node, transport="polling", j="0", sid="x"), data="d=1") as response:
        assert response.status == 400


@pytest.mark.parametrize(
    "query",
    [
        {"transport": "polling", "EIO": "3"},
        {"transport": "polling", "sid": "no-such-session"},
        {"transport": "flashsocket"},
        {"transport": "websocket"},
    ],
)
async def test_what_is_no_engine_io_is_refused(node: Node, query: dict[str, str]) -> None:
    async with node.session.get(url(node, **query)) as response:
        assert response.status == 400
    assert not node.server.app[DOOR]._server.eio.sockets


@EITHER
async def test_who_says_too_much_at_once_is_cut_and_nobody_else(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, transports: list[str] | None
) -> None:
    cyd = await bees.join(node, "Cyd")
    cyds = await clients.joined(node, bees, cyd)
    bens = await clients.joined(node, bees, ben, transports=transports)
    await cyds.heard()
    bens.emit("send_message", {"message": "x" * 5000})
    assert await bens.hear("disconnect") in ("transport close", "transport error")
    assert await cyds.hear("participant_count_update") == {"count": 2}
    cyds.emit("send_message", {"message": "What was that?"})
    assert (await cyds.hear("new_message"))["message"] == "What was that?"
    assert await cyds.heard("new_message") == []


@pytest.mark.parametrize(
    "packet",
    [
        *("", "x", "9", "4", "4x", "49", "451-", "4999999999-[]"),
        *("42", "42{", "42[]", "42{}", "42[5]", '42["send_message"', "43", "430[]", "44"),
    ],
)
async def test_what_is_no_packet_does_no_harm(
    node: Node, bees: LiveSession, ben: Seat, clients: Clients, packet: str
) -> None:
    cyd = await bees.join(node, "Cyd")
    cyds = await clients.joined(node, bees, cyd)
    with logged() as log:
        bens = await raw(node, ben.token)
        await bens.socket.send_str(
            "42" + json.dumps(["join_session", {"session_id": bees.code, "participant_id": ben.id}])
        )
        while "joined_session" not in await bens.hear():
            pass
        await cyds.hear("participant_count_update", {"count": 2})
        await bens.socket.send_str(packet)
        # It is cut, or goes on; nobody else notices.
        cyds.emit("send_message", {"message": "Still here"})
        assert (await cyds.hear("new_message"))["message"] == "Still here"
        await bens.socket.close()
        await cyds.hear("participant_count_update", {"count": 2})
        cyds.close()
        await left(node)
    assert "Traceback" not in log.getvalue()
    assert '"exception"' not in log.getvalue()


async def test_binary_data_is_not_kept(node: Node, ben: Seat) -> None:
    client = await raw(node, ben.token)
    await client.socket.send_str('451-["send_message",{"_placeholder":true,"num":0}]')
    await client.socket.send_bytes(b"x" * 1000)
    assert not node.server.app[DOOR]._server._binary_packet
    await client.socket.send_str('42["are you there"]')
    assert json.loads((await client.hear()).removeprefix("42")) == [
        "error",
        {"message": "Unknown event: are you there"},
    ]
    await client.socket.close()
    await left(node)


async def test_another_namespace_is_not_there(node: Node, ben: Seat) -> None:
    client = await raw(node, ben.token)
    await client.socket.send_str("40/admin," + json.dumps({"token": ben.token}))
    assert (await client.hear()).startswith("44/admin,")
    await client.socket.close()
    await left(node)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_library, "STRANGER_S", 0.2)
    monkeypatch.setattr(socket_door, "STRANGER_S", 0.2)
    monkeypatch.setattr(socket_door, "SWEEP_S", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_who_does_not_say_who_he_is_is_cut(cluster: Cluster) -> None:
    node = await cluster.node(**FREE)
    client = await raw(node)
    assert len(node.server.app[DOOR]._server.eio.sockets) == 1
    await client.ended()
    status, _, text = await handshake(node)
    sid = json.loads(text.removeprefix("0"))["sid"]
    assert status == 200
    async with asyncio.timeout(10):
        while node.server.app[DOOR]._server.eio.sockets:
            await asyncio.sleep(0.01)
    async with node.session.get(url(node, transport="polling", sid=sid)) as response:
        assert response.status == 400
    await left(node)


async def test_an_id_begins_with_what_the_proxy_named_the_request(cluster: Cluster) -> None:
    node = await cluster.node(**FREE)
    named, other = "0123456789abcdef" * 2, "fedcba9876543210" * 2

    async def sid_of(**headers: str) -> str:
        return str(json.loads((await handshake(node, **headers))[2].removeprefix("0"))["sid"])

    plain = await sid_of()
    assert len(plain) == 20
    ids = [await sid_of(**{"X-Request-Id": name}) for name in (named, named, other)]
    assert [id_[:32] for id_ in ids] == [named, named, other]
    # Knowing the name one knows nothing of the rest.
    assert len({id_[32:] for id_ in ids}) == 3
    assert {len(id_) for id_ in ids} == {52}
    for name in (named.upper(), named[:-1], named + "0", "../" + named[3:]):
        assert len(await sid_of(**{"X-Request-Id": name})) == 20
    # Names of other things are not begun with it.
    engine = node.server.app[DOOR]._server.eio
    await sid_of(**{"X-Request-Id": named})
    assert not engine.generate_id().startswith(named)


@pytest.mark.usefixtures("impatient")
async def test_who_says_who_he_is_stays(cluster: Cluster, clients: Clients) -> None:
    node = await cluster.node(**FREE)
    bees = await open_session(node, 1)
    for transports in (WEBSOCKET, POLLING, None):
        client = await clients.connected(node, bees.seat.token, transports=transports)
        stranger = await raw(node)
        await stranger.ended()
        assert await client.heard("disconnect") == []


@pytest.mark.usefixtures("impatient")
async def test_an_upgrade_that_is_begun_and_not_ended_is_given_up(cluster: Cluster) -> None:
    node = await cluster.node(**FREE)
    bees = await open_session(node, 1)
    _, _, text = await handshake(node)
    sid = json.loads(text.removeprefix("0"))["sid"]
    polling = url(node, transport="polling", sid=sid)
    async with node.session.post(polling, data="40" + json.dumps({"token": bees.seat.token})) as response:
        assert response.status == 200
    async with node.session.ws_connect(url(node, transport="websocket", sid=sid)) as socket:
        # Only one at a time.
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await node.session.ws_connect(url(node, transport="websocket", sid=sid))
        async with asyncio.timeout(10):
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    # It goes on by polling.
    async with asyncio.timeout(10):
        heard = ""
        while "connected" not in heard:
            async with node.session.get(polling) as response:
                heard += await response.text()
    await dismissed(node)


async def test_no_more_connect_than_there_is_room_for(cluster: Cluster, clients: Clients) -> None:
    node = await cluster.node(**FREE, max_connections=2)
    bees = await open_session(node, 1)
    first = await clients.connected(node, bees.seat.token, transports=POLLING)
    async with bees.ear(node, bees.seat):
        status, _, _ = await handshake(node)
        assert status == 503
        third = clients.open(node, bees.seat.token)
        await third.hear("connect_error")
        # Who is there is not disturbed: he may even upgrade.
        assert await first.join(bees.code, bees.seat) == 1
    first.close()
    await first.hear("disconnect")
    await left(node)
    await (await clients.connected(node, bees.seat.token, transports=None)).hear("upgrade")


async def test_no_more_devices_of_one_user_than_are_allowed(cluster: Cluster, clients: Clients) -> None:
    node = await cluster.node(**FREE, max_devices_per_user=1)
    bees = await open_session(node, 1)
    await clients.joined(node, bees, bees.seat)
    second = await clients.connected(node, bees.seat.token)
    second.emit("join_session", {"session_id": bees.code, "participant_id": bees.seat.id})
    assert await second.hear("error") == {"message": "too_many_connections"}
    await second.hear("disconnect")


async def test_who_polls_is_told_why_he_is_ended_though_nothing_waits_for_it(
    cluster: Cluster, clients: Clients
) -> None:
    node = await cluster.node(**FREE, max_devices_per_user=1)
    bees = await open_session(node, 1)
    await clients.joined(node, bees, bees.seat)
    _, _, text = await handshake(node)
    polling = url(node, transport="polling", sid=json.loads(text.removeprefix("0"))["sid"])
    connect = "40" + json.dumps({"token": bees.seat.token})
    join = "42" + json.dumps(["join_session", {"session_id": bees.code, "participant_id": bees.seat.id}])
    async with node.session.post(polling, data=f"{connect}\x1e{join}") as response:
        assert response.status == 200
    async with asyncio.timeout(10):
        while not node.server.app[DOOR]._parting:
            await asyncio.sleep(0.01)
    async with node.session.get(polling) as response:
        assert response.status == 200
        connected, *told, goodbye = (await response.text()).split("\x1e")
    assert connected.startswith("40{")
    assert told == ['42["connected",{"status":"connected"}]', '42["error",{"message":"too_many_connections"}]']
    assert goodbye == "1"


@pytest.mark.parametrize("heartbeat_s", [0.1, 1, 1.5, 25])
async def test_a_client_waits_longer_for_a_ping_than_until_it_comes(cluster: Cluster, heartbeat_s: float) -> None:
    node = await cluster.node(**FREE, heartbeat_s=heartbeat_s)
    _, _, text = await handshake(node)
    told = json.loads(text.removeprefix("0"))
    assert told["pingInterval"] <= heartbeat_s * 1000
    assert told["pingInterval"] + told["pingTimeout"] >= heartbeat_s * 1000 + 900
    await dismissed(node)


async def test_who_says_too_much_too_fast_is_told_so(cluster: Cluster, clients: Clients) -> None:
    node = await cluster.node(rate_frames=Rate(1, 3600, 7), rate_messages=Rate(1, 3600, 2))
    bees = await open_session(node, 1)
    client = await clients.joined(node, bees, bees.seat)  # two: it has connected, too
    for number in range(3):
        client.emit("send_message", {"message": f"{number}"})
    assert [(await client.hear("new_message"))["message"] for _ in range(2)] == ["0", "1"]
    assert (await client.hear("error"))["message"].startswith("Too many requests")
    # What was said is as much as many messages, and counts as one.
    client.emit("get_chat_history", {})
    assert (await client.hear("error"))["message"].startswith("Too many requests")
    client.emit("are you there")
    assert (await client.hear("error"))["message"] == "Unknown event: are you there"
    client.emit("are you there")
    assert (await client.hear("error"))["message"].startswith("Too many requests")
    assert [name for name, _ in client.events if name in ("chat_history", "disconnect")] == []


async def test_who_guesses_codes_has_to_wait(cluster: Cluster, clients: Clients) -> None:
    node = await cluster.node(**FREE, rate_guesses=Rate(1, 3600, 3))
    bees = await open_session(node, 1)
    client = await clients.connected(node, bees.seat.token)
    for number in range(3):
        data = {"session_id": f"NOSUCH2{number}", "participant_id": bees.seat.id}
        assert await client.refused("join_session", data) == "Session not found"
    for named in ("NOSUCH29", bees.code):
        data = {"session_id": named, "participant_id": bees.seat.id}
        assert await client.refused("join_session", data) == "Too many requests"


async def test_neither_tokens_nor_what_is_said_is_logged(cluster: Cluster, clients: Clients) -> None:
    with logged() as log:
        node = await cluster.node(**FREE)
        bees = await open_session(node, 1)
        ben = await bees.join(node, "Ben")
        for transports in (WEBSOCKET, POLLING, None):
            client = await clients.joined(node, bees, ben, transports=transports)
            client.emit("send_message", {"message": "a secret between us"})
            await client.hear("new_message")
            await client.refused("send_message", {"message": "a secret between us" * 100})
            await client.refused("a secret between us", ben.token)
            clients.open(node, None, transports=transports, query={"token": ben.token})
            bad = clients.open(node, ben.token + "x", transports=transports)
            await bad.hear("connect_error")
        await clients.close()
        text = log.getvalue()
    assert "/socket.io/" in text
    for secret in ("a secret between us", ben.token, ben.token.split(".")[2], bees.seat.token):
        assert secret not in text
    assert '"exception"' not in text


async def test_after_all_have_gone_nothing_is_left(cluster: Cluster, clients: Clients) -> None:
    node = await cluster.node(**FREE)
    door, hall = node.server.app[DOOR], node.server.app[HALL]
    bees = await open_session(node, 1)
    for number, transports in enumerate((WEBSOCKET, POLLING, None)):
        await clients.joined(node, bees, await bees.join(node, f"Guest {number}"), transports=transports)
    refused = clients.open(node, None)
    await refused.hear("connect_error")
    assert len(door.connections) == 3
    await clients.close()
    await node.emptied()
    assert not door.connections
    assert not door._server.eio.sockets
    assert not door._server.environ
    assert not any(door._server.manager.rooms.values())
    assert not door._server.manager.eio_to_sid
    assert not door._ending
    assert not door._lines
    assert not door._parting
    assert not door._awaited
    assert not node.context.devices
    assert len(hall.rooms) == 0
