"""Those who come and dawdle: without a token they hold nothing for long, and keep nobody out."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from messenger.server import CONNECTIONS
from messenger.transport import doorstep, files
from tests.security.wire import Wire, wire_to
from tests.support.daemon import Daemon
from tests.support.node import FREE, Cluster, Node
from tests.support.people import API, token
from tests.support.reachable import SECRET

ANN, BEN = 1, 2
HEALTHZ = "GET /healthz HTTP/1.1\r\nHost: chat\r\n\r\n"
LATE = {
    "type": "about:blank",
    "title": "Request Timeout",
    "status": 408,
    "detail": "Request Timeout",
    "code": "request_timeout",
    "message": "Request Timeout",
}
AT_ONCE = "from messenger.transport import doorstep as d; d.HEAD_S = d.BODY_S = d.SWEEP_S = 0.2"
FEW = 120
LITTLE_ROOM = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({FEW}, {FEW}))"


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


@pytest.fixture
async def node(cluster: Cluster) -> AsyncIterator[Node]:
    """Its doorstep is swept when a test says so."""
    node = await cluster.node(**FREE, demo=True)
    yield node
    await node.session.close()
    await until(lambda: len(node.server.doorstep) == 0)


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on everybody's time is up at once."""
    for name in ("HEAD_S", "BODY_S", "IDLE_S"):
        monkeypatch.setattr(doorstep, name, 0.0)


def beginning(path: str, bearer: str, length: int) -> str:
    """A POST, of which nothing but the head is there."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {bearer}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )


async def test_who_does_not_finish_his_first_head_is_cut(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    step = node.server.doorstep
    async with wire_to(node) as silent, wire_to(node) as slow:
        slow.say("GET /healthz HTTP/1.1\r\nHost: chat\r\nX-Slow: a")
        await until(lambda: len(step) == 2)
        step.sweep()
        slow.say("b")
        await asyncio.sleep(0)
        assert len(step) == 2  # their time is not up yet
        impatient(monkeypatch)
        step.sweep()
        assert await slow.rest() == b""
        # Who has said nothing holds up nobody: a browser that comes before it has a question.
        assert len(step) == 1
        assert (await silent.ask(HEALTHZ)).status == 200


async def test_who_begins_his_first_head_late_has_as_long_for_it(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    step = node.server.doorstep
    async with wire_to(node) as wire:
        await until(lambda: len(step) == 1)
        monkeypatch.setattr(step, "_now", 50.0)
        wire.say("GET /healthz HTTP/1.1\r\n")
        await until(lambda: step._begun)
        step.sweep()
        assert len(step) == 1
        assert (await wire.ask("Host: chat\r\n\r\n")).status == 200
        assert not step._begun


async def test_who_stays_silent_is_sent_away_by_and_by(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONNECTIONS, "keepalive_timeout", 0.2)
    node = await cluster.node()
    async with wire_to(node) as wire:
        await until(lambda: len(node.server.doorstep) == 1)
        assert await wire.reader.read() == b""  # its end, and no reset
        await until(lambda: len(node.server.doorstep) == 0)


async def test_who_hangs_up_without_a_word_stands_there_no_longer(node: Node) -> None:
    async with wire_to(node):
        await until(lambda: len(node.server.doorstep) == 1)
    await until(lambda: len(node.server.doorstep) == 0)
    async with wire_to(node) as wire:
        await until(lambda: len(node.server.doorstep) == 1)
        wire.writer.write_eof()
        assert await wire.rest() == b""
        await until(lambda: len(node.server.doorstep) == 0)


async def test_who_is_quiet_between_two_requests_is_not_cut(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    async with wire_to(node) as wire:
        assert (await wire.ask(HEALTHZ)).status == 200
        monkeypatch.setattr(doorstep, "HEAD_S", 0.0)
        monkeypatch.setattr(doorstep, "BODY_S", 0.0)
        node.server.doorstep.sweep()
        assert (await wire.ask(HEALTHZ)).status == 200
        assert len(node.server.doorstep) == 1


async def test_a_device_is_not_cut_and_stands_on_no_doorstep(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await node.phone(ANN)
    assert len(node.server.doorstep) == 0
    impatient(monkeypatch)
    node.server.doorstep.sweep()
    assert not node.server.doorstep.make_way()
    assert (await ann.ask("ping"))["type"] == "pong"


async def test_a_body_that_dribbles_in_is_told_that_it_is_late(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    tea = await node.client(ANN).group()
    monkeypatch.setattr(doorstep, "BODY_S", 0.0)
    async with wire_to(node) as wire:
        wire.say(beginning(f"{API}/conversations/{tea}/messages", token(ANN, SECRET), 100) + '{"content":')
        hearing = asyncio.create_task(wire.hear())
        while not hearing.done():
            node.server.doorstep.sweep()
            wire.say(" ")
            await asyncio.sleep(0.02)
        told = await hearing
        assert (told.status, told.headers["connection"], told.json) == (408, "close", LATE)
        assert await wire.rest() == b""
    assert (await node.client(ANN).get(f"/conversations/{tea}/messages"))[1]["messages"] == []


FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'


def upload(length: str, bearer: str | None = None) -> str:
    """The head of an upload; `length` is a header."""
    return (
        f"POST {API}/attachments HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {bearer or token(ANN, SECRET)}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\n{length}\r\n\r\n"
    )


async def has_come(node: Node, count: int) -> None:
    """Wait until so many bytes of an upload are there."""
    step = node.server.doorstep
    await until(lambda: [one for _, one, _ in step._uploading.values() if one.content.total_bytes >= count])


async def test_a_file_may_come_in_as_slowly_as_a_line_may_be(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    step, pieces, end = node.server.doorstep, 10, b"\r\n--b--\r\n"
    async with wire_to(node) as wire:
        wire.say(upload(f"Content-Length: {len(FILE) + pieces * doorstep.LEAST_BYTES_S + len(end)}"))
        wire.say(FILE)
        for count in range(pieces):
            wire.say(b"x" * doorstep.LEAST_BYTES_S)
            await has_come(node, len(FILE) + (count + 1) * doorstep.LEAST_BYTES_S)
            monkeypatch.setattr(step, "_now", step._now + (doorstep.BODY_S if count == 0 else 1))
            step.sweep()
        told = await wire.ask(end)
    assert (told.status, told.json["size"]) == (201, pieces * doorstep.LEAST_BYTES_S)


async def test_a_file_that_dribbles_in_is_told_that_it_is_late(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    step = node.server.doorstep
    async with wire_to(node) as wire:
        wire.say(upload("Content-Length: 1000000"))
        wire.say(FILE + b"x" * 1000)
        await has_come(node, 1000)
        monkeypatch.setattr(step, "_now", step._now + doorstep.BODY_S)
        step.sweep()
        assert step._uploading
        monkeypatch.setattr(step, "_now", step._now + 1)
        step.sweep()
        told = await wire.hear()
        assert (told.status, told.headers["connection"], told.json) == (408, "close", LATE)
    assert not [path for path in node.context.config.attachments_dir.rglob("*") if path.is_file()]


async def test_a_form_that_never_comes_to_its_file_has_an_end(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    step, most = node.server.doorstep, node.context.config.max_attachment_bytes
    async with wire_to(node) as wire:
        wire.say(upload("Transfer-Encoding: chunked"))
        line = b"x" * 65_534 + b"\r\n"
        for _ in range(most // len(line) + 3):
            wire.say(b"%x\r\n%s\r\n" % (len(line), line))
            await wire.writer.drain()
        await has_come(node, most + 65_537)
        step.sweep()
        told = await wire.hear()
        assert (told.status, told.headers["connection"], told.json["code"]) == (413, "close", "too_large")
        assert await wire.rest() == b""
    assert "Unhandled exception" not in caplog.text


async def test_without_a_token_nobody_waits_for_a_file(node: Node) -> None:
    async with wire_to(node) as wire:
        told = await wire.ask(upload("Content-Length: 1000000", "rubbish"))
        assert (told.status, told.json["reason"]) == (401, "token_invalid")


@asynccontextmanager
async def loading(node: Node, size: int) -> AsyncIterator[socket.socket]:
    """Somebody who asked for a file, and has read no more of it than its first byte. Between him and the daemon little fits."""
    loop = asyncio.get_running_loop()
    form = aiohttp.FormData({"file": io.BytesIO(b"x" * size)})
    told = (await node.client(ANN).ask("POST", "/attachments", data=form)).body
    links = (await node.client(ANN).get(f"/attachments/{told['id']}/links"))[1]
    await node.session.close()
    await until(lambda: len(node.server.doorstep) == 0)
    node.server.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await loop.sock_connect(sock, (node.server.host, node.server.port))
        await loop.sock_sendall(sock, f"GET {links['url']} HTTP/1.1\r\nHost: chat\r\n\r\n".encode())
        await loop.sock_recv(sock, 1)
        yield sock


async def test_who_loads_a_file_down_slowly_is_not_cut(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    # The last piece that aiohttp reads of it is short of what makes a writer wait.
    size, loop = 40 * 262_144 + 50_000, asyncio.get_running_loop()
    async with loading(node, size) as sock:
        impatient(monkeypatch)
        read, all_of_it = 1, 0
        while not all_of_it or read < all_of_it:
            node.server.doorstep.sweep()
            heard = await loop.sock_recv(sock, 1 << 20)
            assert heard
            if not all_of_it:
                all_of_it = heard.index(b"\r\n\r\n") + 5 + size
            read += len(heard)
        assert read == all_of_it


async def test_who_loads_a_file_down_and_does_not_read_is_cut(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SEND_S", 0.3)
    monkeypatch.setattr(files, "LEAST_BYTES_S", 1 << 40)
    size, read = 20_000_000, 0
    async with loading(node, size) as sock:
        await until(lambda: len(node.server.doorstep) == 0)
        with suppress(ConnectionError):
            while heard := await asyncio.get_running_loop().sock_recv(sock, 1 << 20):
                read += len(heard)
    assert read < size


async def test_where_room_is_short_who_loads_a_file_down_makes_way_after_everybody_else(node: Node) -> None:
    step, read = node.server.doorstep, 0
    async with loading(node, 20_000_000) as sock, wire_to(node) as idle:
        assert (await idle.ask(HEALTHZ)).status == 200
        assert step.make_way()
        assert await idle.rest() == b""
        assert (len(step), step.make_way()) == (1, True)
        with suppress(ConnectionError):
            while heard := await asyncio.get_running_loop().sock_recv(sock, 1 << 20):
                read += len(heard)
        await until(lambda: len(step) == 0)
        assert not step.make_way()
    assert read < 20_000_000


async def test_a_file_is_loaded_down_by_a_few_at_once_from_an_address(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorstep, "MOST_LOADING", 1)
    links = []
    links_of = node.context.attachments.links

    def told(attachment: Any) -> Any:
        links.append(links_of(attachment).url)
        return links_of(attachment)

    monkeypatch.setattr(node.context.attachments, "links", told)
    async with loading(node, 20_000_000) as sock, wire_to(node) as wire:
        (url,) = links
        head = f"HEAD {url} HTTP/1.1\r\nHost: chat\r\n\r\n"
        refused = await wire.ask(head.replace("HEAD", "GET"))
        assert (refused.status, refused.headers["retry-after"], refused.json["code"]) == (429, "1", "rate_limited")
        sock.close()
        await until(lambda: len(node.server.doorstep) == 1)
        wire.say(head)
        assert (await wire.reader.readline()).split()[1] == b"200"


async def test_without_a_token_nobody_waits_for_a_body(node: Node) -> None:
    async with wire_to(node) as wire:
        told = await wire.ask(beginning(f"{API}/conversations", "rubbish", 100) + "{")
        assert (told.status, told.json["reason"]) == (401, "token_invalid")


async def test_who_is_being_answered_is_neither_cut_nor_makes_way(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    step, entered, go_on = node.server.doorstep, asyncio.Event(), asyncio.Event()
    visible = node.context.users.visible

    async def visible_later(*args: Any) -> Any:
        entered.set()
        await go_on.wait()
        return await visible(*args)

    monkeypatch.setattr(node.context.users, "visible", visible_later)
    asking = asyncio.create_task(node.client(ANN).get("/users/me"))
    await entered.wait()
    assert (len(step), step.make_way()) == (1, False)
    impatient(monkeypatch)
    step.sweep()
    go_on.set()
    assert (await asking)[1]["id"] == ANN


async def test_who_reads_his_answers_drop_by_drop_is_cut(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    node.server.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await loop.sock_connect(sock, (node.server.host, node.server.port))
        # Far more than all the buffers between hold.
        await loop.sock_sendall(sock, b"GET /demo/app.css HTTP/1.1\r\nHost: chat\r\n\r\n" * 1000)
        await loop.sock_recv(sock, 1)
        impatient(monkeypatch)
        async with asyncio.timeout(20):
            while len(node.server.doorstep):
                node.server.doorstep.sweep()
                await asyncio.sleep(0.02)


async def test_where_room_is_short_who_stood_there_longest_makes_way(node: Node) -> None:
    step = node.server.doorstep
    async with AsyncExitStack() as stack:

        async def comes() -> Wire:
            count = len(step)
            wire = await stack.enter_async_context(wire_to(node))
            await until(lambda: len(step) == count + 1)
            return wire

        asked = [await comes(), await comes()]
        for wire in asked:
            assert (await wire.ask(HEALTHZ)).status == 200
        silent = [await comes(), await comes()]
        for wire in (*silent, *asked):  # who never asked goes before who asked once
            assert step.make_way()
            assert await wire.rest() == b""
        assert not step.make_way()


class Standing:
    """Somebody on a doorstep, as far as it is concerned."""

    def __init__(self) -> None:
        self.transport: Any = self
        self.was_cut = False

    def abort(self) -> None:
        self.was_cut = True


async def test_how_much_room_there_is_shows_when_it_is_gone_and_is_forgotten_when_there_is_some() -> None:
    step: Any = doorstep.Doorstep(last=5)
    crowd = [Standing() for _ in range(4)]
    for one in crowd:
        assert step.admits(5)
        step.came(one)
    step.became_device(crowd[0], crowd[0])
    # Above the last one: there is room for four. A free number further down was somebody's who made way.
    for number, gone in ((6, crowd[1]), (3, crowd[2]), (2, crowd[3])):
        assert step.admits(number)
        assert [one for one in crowd if one.was_cut][-1] is gone
        crowd.append(Standing())
        step.came(crowd[-1])
    # What is lent has an end, and a device makes way for nobody.
    assert not step.admits(5 + doorstep.LOAN + 1)
    for one in crowd[4:]:
        assert not one.was_cut
        step.became_device(one, one)
    assert not step.admits(6)
    assert not step.admits(3)
    for one in crowd[1:]:
        step.went(one)
        step.device_went(one)
    quiet = [Standing() for _ in range(10)]
    for one in quiet:
        assert step.admits(3)
        step.came(one)
    assert [one for one in (*quiet, crowd[0]) if one.was_cut] == []


@pytest.mark.parametrize("room", [0, 1, 2])
async def test_room_that_was_nearly_gone_is_found_again(room: int) -> None:
    """Somebody else took the descriptors for a moment, and gave them back."""
    step: Any = doorstep.Doorstep(last=5)
    crowd = [Standing() for _ in range(room)]
    for one in crowd:
        step.came(one)
        step.became_device(one, one)
    assert not step.admits(6)
    for one in crowd:
        step.device_went(one)
    for one in [Standing() for _ in range(10)]:
        assert step.admits(3)
        step.came(one)
        step.became_device(one, one)


async def test_nobody_is_cut_for_the_time_in_which_the_daemon_heard_nobody() -> None:
    """A storm keeps it busy for longer than anybody may dawdle: what they sent meanwhile lies unread."""
    step: Any = doorstep.Doorstep(last=5)
    one = Standing()
    step.came(one)
    step.begins(one)
    step._swept_at -= 3600
    step.sweep()
    assert not one.was_cut
    for _ in range(round(doorstep.HEAD_S / doorstep.SWEEP_S)):
        step._swept_at -= doorstep.SWEEP_S
        step.sweep()
    assert one.was_cut


@pytest.mark.parametrize("kind", ["silent", "idle"])
async def test_a_crowd_at_the_door_keeps_nobody_out(cluster: Cluster, kind: str) -> None:
    daemon = await cluster.daemon(before=LITTLE_ROOM, **FREE)
    tea = await daemon.client(ANN).group(BEN)
    ann = await daemon.phone(ANN)
    async with AsyncExitStack() as stack:
        for _ in range(2 * FEW):
            wire = await stack.enter_async_context(wire_to(daemon))
            if kind == "idle":
                assert (await wire.ask(HEALTHZ)).status == 200
        # They stand there still, as many as there is room for.
        await until(lambda: daemon.descriptors() > FEW - FEW // 3)
        ben = await daemon.phone(BEN)
        assert (await ann.ask("message.send", conversation_id=tea, content="There you are"))["type"] == "message.sent"
        assert (await ben.hear("message.new"))["data"]["content"] == "There you are"
        async with aiohttp.ClientSession() as session, session.get(daemon.origin + "/readyz") as answer:
            assert answer.status == 200
        assert daemon.descriptors() > FEW - FEW // 3


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_daemon_sweeps_its_doorstep(cluster: Cluster, workers: str) -> None:
    daemon: Daemon = await cluster.daemon("--workers", workers, before=AT_ONCE, **FREE)
    ann = await daemon.phone(ANN)
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(wire_to(daemon)) for _ in range(4)]
        for wire in slow:
            wire.say("GET /")
        silent = await stack.enter_async_context(wire_to(daemon))
        late = await stack.enter_async_context(wire_to(daemon))
        told = await late.ask(beginning(f"{API}/conversations", token(ANN, SECRET), 100) + "{")
        assert (told.status, told.json) == (408, LATE)
        assert [await wire.rest() for wire in slow] == [b""] * 4
        assert (await silent.ask(HEALTHZ)).status == 200
    assert (await ann.ask("ping"))["type"] == "pong"
