"""nginx with the files of `deploy/nginx` before two daemons: any node will do, addresses are true, and no token is in a log."""

import asyncio
import hashlib
import io
import json
import re
import secrets
import shutil
import signal
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.security.wire import wire_to
from tests.support.daemon import Daemon
from tests.support.database import Database, Servers
from tests.support.nginx import Nginx, free_port, nginx
from tests.support.node import FREE, Cluster
from tests.support.people import token
from tests.support.programs import needed
from tests.support.reachable import SECRET, Reachable
from tests.support.sessions import Frame, open_session
from tests.support.socket_io import POLLING, Driver, driver_of_module

ANN, BEN, CYD = 1, 2, 3
NOBODY = "http://127.0.0.1:1"  # nobody listens there
UNPUBLISHED = [
    *(
        "/metrics",
        "/stats",
        "/healthz",
        "/readyz",
        "//metrics",
        "/./metrics",
        "/x/../metrics",
        "/%6detrics",
        "/metrics/",
    ),
    *("/x/%2e%2e/metrics", "/x/..%2fmetrics", "/metrics?a=b", "/metrics%3fa", "/metrics/x", "/%2fmetrics"),
]

driver = driver_of_module()


@dataclass(frozen=True)
class Site:
    """Two daemons, and nginx in front of them."""

    nodes: tuple[Daemon, Daemon]
    proxy: Nginx
    front: Reachable
    cluster: Cluster


@pytest.fixture(scope="module")
async def site(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    needed("nginx", package="nginx-light")
    database = Database(servers, f"messenger_test_{secrets.token_hex(6)}")
    await servers.execute(f'create database "{database.name}" template "{template}"')
    async with AsyncExitStack() as stack:
        cluster = Cluster(stack, database.app_url, servers.redis_url, prefix=f"t{secrets.token_hex(5)}:")
        settings: dict[str, Any] = {**FREE, "trusted_proxies": ("127.0.0.1",), "log_format": "json"}
        nodes = await asyncio.gather(cluster.daemon(**settings), cluster.daemon(**settings))
        folder = tmp_path_factory.mktemp("nginx")
        proxy = await stack.enter_async_context(nginx(folder, [node.origin for node in nodes]))
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        yield Site((nodes[0], nodes[1]), proxy, Reachable(proxy.origin, session, stack), cluster)
    await servers.execute(f'drop database "{database.name}" with (force)')


@pytest.fixture
async def front(site: Site) -> AsyncIterator[Reachable]:
    """Phones opened here are put away after the test."""
    async with AsyncExitStack() as stack:
        yield Reachable(site.front.origin, site.front.session, stack)


async def devices_of(node: Daemon) -> int:
    return int((await node.nobody().get("//stats"))[1]["total_connections"])


async def requests_of(proxy: Nginx, path: str, count: int) -> list[Frame]:
    """What the access log says of the requests for a path, once there are so many; nginx writes them behind its answer."""
    async with asyncio.timeout(10):
        while True:
            told = [json.loads(line) for line in proxy.log.read_text().splitlines()]
            found = [line for line in told if line["path"] == path]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.01)


async def test_a_message_is_heard_at_both_nodes_without_stickiness(site: Site, front: Reachable) -> None:
    conversation = await front.client(ANN).group(BEN, CYD)
    phones = [await front.phone(user_id) for user_id in (ANN, BEN, CYD, ANN, BEN, CYD)]
    assert [await devices_of(node) for node in site.nodes] == [3, 3]
    for number, phone in enumerate(phones):
        await phone.say("message.send", conversation_id=conversation, content=f"{number}", client_id=f"c-{number}")
    for phone in phones:
        heard = [frame for frame in await phone.durable(conversation, 6) if frame["type"] == "message.new"]
        assert [frame["change"] for frame in heard] == [1, 2, 3, 4, 5, 6]
        assert sorted(frame["data"]["content"] for frame in heard) == ["0", "1", "2", "3", "4", "5"]


async def test_socket_io_by_polling_finds_its_node_again_also_from_one_address(
    site: Site, front: Reachable, driver: Driver
) -> None:
    bees = await open_session(front, ANN)
    seats = [await bees.join(front, f"Guest {number}") for number in range(8)]
    options = {"reconnection": False, "transports": POLLING}
    clients = [driver.client(front.origin, {**options, "auth": {"token": seat.token}}) for seat in seats]
    for client, seat in zip(clients, seats, strict=True):
        assert await client.hear("connected") == {"status": "connected"}
        await client.join(bees.code, seat)
    for number, client in enumerate(clients):
        client.emit("send_message", {"message": f"{number}"})
    for client in clients:
        heard = [(await client.hear("new_message"))["message"] for _ in clients]
        assert sorted(heard) == [f"{number}" for number in range(8)]
    polled = [line for line in await requests_of(site.proxy, "/socket.io/", 8 * 4) if line["method"] == "GET"]
    # Each client is at one node, and not all are at the same: of eight that is so by chance in one of 128 runs.
    assert {line["status"] for line in polled} <= {"200", "499"}
    assert all(line["node"] in {node.origin.removeprefix("http://") for node in site.nodes} for line in polled)
    for client in clients:
        client.close()
        await client.hear("disconnect")


async def test_a_poll_goes_where_its_sid_was_made(site: Site, front: Reachable) -> None:
    """From one address, by one connection; each sid is asked for five times, and half of them are at either node."""
    url = f"{front.origin}/socket.io/?EIO=4&transport=polling"
    sids = []
    for _ in range(40):
        async with front.session.get(url) as response:
            sids.append(json.loads((await response.text()).removeprefix("0"))["sid"])
    for _ in range(5):
        for sid in sids:
            async with front.session.post(f"{url}&sid={sid}", data="3") as response:
                assert (response.status, await response.text()) == (200, "OK")
    nodes = Counter(
        line["node"] for line in await requests_of(site.proxy, "/socket.io/", 240) if line["method"] == "POST"
    )
    assert len(nodes) == 2, nodes


async def test_the_daemon_hears_the_clients_address_and_none_that_he_made_up(site: Site) -> None:
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        for number in range(2):
            forged = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
            async with session.get(f"{site.proxy.origin}/whoever-{number}", headers=forged) as response:
                assert response.status == 404
    logs = [node.log.read_text() for node in site.nodes]
    lines = [json.loads(line) for log in logs for line in log.splitlines()]
    peers = [line["peer"] for line in lines if line.get("path", "").startswith("/whoever-")]
    assert peers == ["127.0.0.2"] * 2
    assert "203.0.113.9" not in "".join(logs) + site.proxy.said()


async def test_behind_another_balancer_the_address_is_the_one_that_it_tells(site: Site, tmp_path: Path) -> None:
    lines = "set_real_ip_from 127.0.0.2;\nreal_ip_header X-Forwarded-For;\nreal_ip_recursive on;"
    shipped = (Path(__file__).parents[2] / "deploy" / "nginx" / "messenger" / "site.conf").read_text()
    for line in lines.splitlines():
        assert line.split()[0] in shipped  # it tells how
    async with nginx(tmp_path / "n", [site.nodes[0].origin], site=lines) as proxy:
        for local, path in (("127.0.0.2", "/by-the-balancer"), ("127.0.0.3", "/by-somebody")):
            connector = aiohttp.TCPConnector(local_addr=(local, 0))
            async with aiohttp.ClientSession(connector=connector) as session:
                headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
                async with session.get(proxy.origin + path, headers=headers) as response:
                    assert response.status == 404
    told = [json.loads(line) for line in site.nodes[0].log.read_text().splitlines()]
    peers = {line["path"]: line["peer"] for line in told if line.get("path", "").startswith("/by-")}
    assert peers == {"/by-the-balancer": "198.51.100.7", "/by-somebody": "127.0.0.3"}


@pytest.mark.parametrize("path", UNPUBLISHED)
async def test_what_is_for_those_who_run_it_is_not_published(site: Site, path: str) -> None:
    async with wire_to(site.front) as wire:
        heard = await wire.ask(f"GET {path} HTTP/1.1\r\nHost: chat\r\n\r\n")
    assert heard.status in (400, 404), heard
    assert b"messenger_" not in heard.body
    assert b"devices" not in heard.body
    assert b'status":"ok' not in heard.body


async def test_twenty_megabytes_go_up_and_come_down_again(front: Reachable) -> None:
    content = b"Bring the map. " * (20_000_000 // 15)
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("file", io.BytesIO(content), filename="notes.txt", content_type="text/plain")
    ann = front.client(ANN)
    answer = await ann.ask("POST", "/attachments", data=form)
    assert answer.status == 201, answer
    _, links = await ann.get(f"/attachments/{answer.body['id']}/links")
    async with front.session.get(front.origin + links["url"]) as response:
        assert response.status == 200
        assert hashlib.sha256(await response.read()).digest() == hashlib.sha256(content).digest()


async def test_a_token_of_eight_kilobytes_is_let_through(front: Reachable) -> None:
    """In the query one that fits into no buffer of nginx's own size; in a header as long as the daemon takes it."""
    longer, long = (token(ANN, SECRET, padding="x" * length) for length in (6_100, 5_950))
    assert len(longer) > 8_192 > len(long) > 7_900
    hello = await front.knock(f"/ws/me?token={longer}")
    assert isinstance(hello, dict), hello
    assert hello["user_id"] == ANN
    hello = await front.knock(protocols=("messenger.v1", f"bearer.{long}"))
    assert isinstance(hello, dict), hello
    assert hello["subprotocol"] == "messenger.v1"


async def test_a_page_of_the_same_origin_is_let_in_and_no_other(front: Reachable) -> None:
    bearer = token(ANN, SECRET)
    assert isinstance(await front.knock(bearer=bearer, Origin=front.origin), dict)
    assert await front.knock(bearer=bearer, Origin="http://evil.example") == 403


async def test_no_token_is_in_a_log(site: Site, front: Reachable) -> None:
    bearer = token(ANN, SECRET)
    referring = {"Referer": f"{front.origin}/?token={bearer}"}
    assert isinstance(await front.knock(f"/ws/me?token={bearer}", **referring), dict)
    assert isinstance(await front.knock(protocols=("messenger.v1", f"bearer.{bearer}")), dict)
    # Where it does not belong.
    assert (await front.nobody().get(f"//{bearer}?token={bearer}"))[0] == 404
    assert (await front.nobody().get(f"//docs/{bearer}/x?token={bearer}"))[0] == 404
    async with wire_to(site.front) as wire:
        assert (await wire.ask(f"GET /a%0aline/{bearer} HTTP/1.1\r\nHost: chat\r\n\r\n")).status == 404
    async with wire_to(site.front) as wire:
        assert (await wire.ask("A-KEY /as-a-method HTTP/1.1\r\nHost: chat\r\n\r\n")).status == 400
    paths = ["/…", "/docs/…", "/a\nline/…", "/as-a-method"]
    told = [line for path in paths for line in await requests_of(site.proxy, path, 1)]
    assert [(line["method"], line["status"]) for line in told] == [("GET", "404")] * 3 + [("other", "400")]
    assert (await requests_of(site.proxy, "/ws/me", 2))[0]["node_status"] == "101"
    assert bearer.rpartition(".")[2] not in site.proxy.said()


# What nginx tells with the whole request: the first four at `error`, a missing folder at `crit`, missing connections at `alert`.
@pytest.mark.parametrize(
    ("failure", "changes", "status"),
    [
        ("refused", {}, 502),
        ("hung up", {}, 502),
        ("silent", {" 75s;": " 300ms;"}, 504),
        ("too large", {"client_max_body_size 1m": "client_max_body_size 1k"}, 413),
        ("no connections", {"worker_connections 32768": "worker_connections 3", "processes auto": "processes 1"}, 500),
        ("no folder", {"/nginx-body": "/gone/nginx-body"}, 500),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
async def test_no_token_is_in_a_log_where_something_fails(
    front: Reachable, tmp_path: Path, failure: str, changes: dict[str, str], status: int
) -> None:
    bearer = token(ANN, SECRET)
    referring = {"Referer": f"{front.origin}/?token={bearer}"}
    (tmp_path / "n" / "gone" / "nginx-body").mkdir(parents=True)
    async with AsyncExitStack() as stack:
        nodes = [NOBODY]
        if failure != "refused":
            server = await asyncio.start_server(_hang_up if failure == "hung up" else _listen, "127.0.0.1", 0)
            stack.callback(server.close)
            nodes = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"]
        proxy = await stack.enter_async_context(nginx(tmp_path / "n", nodes, changes=changes))
        shutil.rmtree(tmp_path / "n" / "gone")
        for path in (f"/ws/me?token={bearer}", f"/socket.io/?EIO=4&token={bearer}", f"/files?signature={bearer}"):
            async with front.session.post(proxy.origin + path, data=b"x" * 30_000, headers=referring) as response:
                assert response.status == status
        async with asyncio.timeout(10):
            while len(proxy.log.read_text().splitlines()) < 3:
                await asyncio.sleep(0.01)
        assert [json.loads(line)["status"] for line in proxy.log.read_text().splitlines()] == [f"{status}"] * 3
        assert bearer.rpartition(".")[2] not in proxy.said()


async def _listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """And say nothing."""
    await reader.read()
    writer.close()


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_over_tls(site: Site, tmp_path: Path) -> None:
    openssl = needed("openssl", package="openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = await asyncio.create_subprocess_exec(
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    port = free_port()
    lines = f"listen 127.0.0.1:{port} ssl http2;\ninclude messenger/tls.conf;"
    changes = {"/etc/ssl/messenger/fullchain.pem": f"{certificate}", "/etc/ssl/messenger/privkey.pem": f"{key}"}
    known = ssl.create_default_context(cafile=certificate)
    async with AsyncExitStack() as stack:
        nodes = [node.origin for node in site.nodes]
        await stack.enter_async_context(nginx(tmp_path / "n", nodes, site=lines, changes=changes))
        connector = aiohttp.TCPConnector(ssl=known)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        front = Reachable(f"https://127.0.0.1:{port}", session, stack)
        # Of the same origin, whatever the scheme: the daemon knows the name only.
        assert isinstance(await front.knock(bearer=token(ANN, SECRET), Origin=front.origin), dict)
        answer = await front.client(ANN).ask("GET", "/users/me")
        assert (answer.status, answer.headers["Strict-Transport-Security"]) == (200, "max-age=31536000")


def test_an_upgrade_leaves_what_is_ones_own(tmp_path: Path) -> None:
    """By the lines of the README, up to those that touch a real nginx."""
    root = Path(__file__).parents[2]
    readme = (root / "deploy/README.md").read_text()
    (lines,) = (code for code in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL) if "sites-enabled" in code)
    lines = lines.partition("nginx -t")[0].replace("/etc/nginx", f"{tmp_path}")
    (tmp_path / "conf.d").mkdir()

    def installed() -> dict[str, str]:
        subprocess.run(["bash", "-euc", lines], cwd=root, check=True)
        return {path.name: path.read_text() for path in tmp_path.rglob("*.conf")}

    shipped = root / "deploy/nginx"
    fresh = {path.name: path.read_text() for path in (shipped / "messenger.conf", *(shipped / "messenger").iterdir())}
    assert installed() == fresh
    for path in tmp_path.rglob("*.conf"):
        path.write_text("# altered")
    yours = dict.fromkeys(("site.conf", "nodes.conf", "tls.conf"), "# altered")
    assert installed() == fresh | yours


async def test_who_comes_is_let_in_at_the_other_node_while_one_drains(site: Site, tmp_path: Path) -> None:
    settings: dict[str, Any] = {**FREE, "drain_s": 60, "trusted_proxies": ("127.0.0.1",)}
    draining, other = await asyncio.gather(site.cluster.daemon(**settings), site.cluster.daemon(**settings))
    async with nginx(tmp_path / "n", [draining.origin, other.origin]) as proxy, AsyncExitStack() as stack:
        front = Reachable(proxy.origin, site.front.session, stack)
        for user_id in (ANN, BEN):
            await draining.phone(user_id)  # for whose sake it does not end at once
        draining.send(signal.SIGTERM)
        while (await draining.nobody().get("//readyz"))[0] == 200:
            await asyncio.sleep(0.01)
        for user_id in range(1, 11):
            await front.phone(user_id)
            assert (await front.client(user_id).get("/conversations"))[0] == 200
        assert await devices_of(other) == 10
        # Also where the node that drains is the one to which their sids would lead.
        url = f"{front.origin}/socket.io/?EIO=4&transport=polling"
        for _ in range(16):
            async with front.session.get(url) as response:
                sid = json.loads((await response.text()).removeprefix("0"))["sid"]
            async with front.session.post(f"{url}&sid={sid}", data="3") as response:
                assert response.status == 200


async def test_who_comes_is_let_in_at_the_other_node_when_one_is_killed(site: Site, tmp_path: Path) -> None:
    daemons = [await site.cluster.daemon(**FREE) for _ in range(2)]
    async with nginx(tmp_path / "n", [daemon.origin for daemon in daemons]) as proxy, AsyncExitStack() as stack:
        front = Reachable(proxy.origin, site.front.session, stack)
        for user_id in (ANN, BEN):
            await front.phone(user_id)
        assert [await devices_of(daemon) for daemon in daemons] == [1, 1]
        daemons[0].send(signal.SIGKILL)
        await daemons[0].ended()
        for user_id in range(1, 11):
            await front.phone(user_id)
        assert await devices_of(daemons[1]) == 11
        for user_id in range(1, 6):
            status, _ = await front.client(user_id).get("/conversations")
            assert status == 200
