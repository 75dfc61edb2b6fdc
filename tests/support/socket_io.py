"""Clients of dialect B: the stock socket.io client in Node, as many as a test wants in one process."""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from messenger.dialects.places import HALL
from messenger.dialects.socket_io import DOOR
from tests.support.node import Node
from tests.support.sessions import LiveSession, Seat

PATIENCE_S = 15
DEMO = Path(__file__).parents[2] / "demo"
DRIVER = Path(__file__).parents[1] / "integration" / "socket_io" / "driver.mjs"
# Where one of these is set, there has to be a Node and what it needs.
REQUIRED = ("MESSENGER_TEST_REQUIRE_BROWSER", "MESSENGER_TEST_REQUIRE_DAEMON")
WEBSOCKET, POLLING = ["websocket"], ["polling"]
EITHER = pytest.mark.parametrize("transports", [WEBSOCKET, POLLING, None], ids=["websocket", "polling", "upgrade"])


class Raw:
    """A client made by hand, by WebSocket: the packets as they stand on the wire."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def hear(self) -> str:
        return str(await self.socket.receive_str(timeout=10))

    async def ended(self) -> int:
        async with asyncio.timeout(10):
            while (message := await self.socket.receive()).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                pass
        return int(message.data) if message.type is aiohttp.WSMsgType.CLOSE else (self.socket.close_code or 1006)


def url(node: Node, **query: str) -> str:
    return f"{node.origin}/socket.io/?" + "&".join(f"{name}={value}" for name, value in {"EIO": "4", **query}.items())


async def raw(node: Node, token: str | None = None) -> Raw:
    client = Raw(await node.session.ws_connect(url(node, transport="websocket")))
    assert json.loads((await client.hear()).removeprefix("0"))["upgrades"] == []
    if token is not None:
        await client.socket.send_str("40" + json.dumps({"token": token}))
        assert (await client.hear()).startswith("40{")
        assert await client.hear() == '42["connected",{"status":"connected"}]'
    return client


async def handshake(node: Node, **headers: str) -> tuple[int, Any, str]:
    async with node.session.get(url(node, transport="polling"), headers=headers) as response:
        return response.status, response.headers, await response.text()


class Poller:
    """A client made by hand, by long-polling: it hears only what it asks for."""

    def __init__(self, node: Node, sid: str) -> None:
        self._node = node
        self.sid = sid
        self._url = url(node, transport="polling", sid=sid)

    async def post(self, *packets: str) -> int:
        """Say some packets in one body: the HTTP status."""
        async with self._node.session.post(self._url, data="\x1e".join(packets)) as response:
            return response.status

    async def hear(self) -> list[str]:
        """The next packets."""
        async with asyncio.timeout(PATIENCE_S), self._node.session.get(self._url) as response:
            assert response.status == 200, await response.text()
            return (await response.text()).split("\x1e")

    async def hear_until(self, packet: str) -> list[str]:
        """All packets up to this one; what came with it, too."""
        heard: list[str] = []
        while packet not in heard:
            heard += await self.hear()
        return heard


async def poller(node: Node, token: str) -> Poller:
    """One that has connected."""
    _, _, text = await handshake(node)
    client = Poller(node, json.loads(text.removeprefix("0"))["sid"])
    assert await client.post("40" + json.dumps({"token": token})) == 200
    await client.hear_until('42["connected",{"status":"connected"}]')
    return client


def packet(event: str, **data: Any) -> str:
    return "42" + json.dumps([event, data], separators=(",", ":"), ensure_ascii=False)


def join_packet(session: LiveSession, seat: Seat) -> str:
    return packet("join_session", session_id=session.code, participant_id=seat.id)


class Driver:
    """The process. `Client` speaks to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._clients: dict[str, Client] = {}
        self._names = (f"c{number}" for number in itertools.count())

    def client(self, url: str, options: dict[str, Any]) -> "Client":
        client = Client(self, next(self._names))
        self._clients[client.name] = client
        self.tell("open", client, url=url, options=options)
        return client

    def tell(self, command: str, client: "Client", **fields: Any) -> None:
        assert self._process.stdin
        line = json.dumps({"command": command, "client": client.name, **fields})
        self._process.stdin.write(line.encode() + b"\n")

    async def listen(self) -> None:
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            self._clients[told["client"]].told(told["event"], told["args"])


class Client:
    """One of them. `events` is everything that it ever heard, in order, with its first argument."""

    def __init__(self, driver: Driver, name: str) -> None:
        self._driver = driver
        self.name = name
        self.events: list[tuple[str, Any]] = []
        self._unheard: list[tuple[str, Any]] = []
        self._more = asyncio.Event()

    def told(self, event: str, args: list[Any]) -> None:
        assert len(args) <= 1, (event, args)
        self.events.append((event, args[0] if args else None))
        self._unheard.append(self.events[-1])
        self._more.set()

    def emit(self, event: str, *args: Any) -> None:
        self._driver.tell("emit", self, event=event, args=args)

    def ask(self, event: str, *args: Any) -> None:
        """The same, and want an acknowledgement."""
        self._driver.tell("ask", self, event=event, args=args)

    def emit_binary(self, event: str, size: int = 10) -> None:
        self._driver.tell("binary", self, event=event, size=size)

    def connect(self) -> None:
        self._driver.tell("connect", self)

    def close(self) -> None:
        self._driver.tell("close", self)

    def break_off(self) -> None:
        self._driver.tell("break", self)

    async def hear(self, event: str, *data: Any) -> Any:
        """What came with the next event of a name (and with this data), wherever it stands among others; those are kept."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    for place, (named, told) in enumerate(self._unheard):
                        if named == event and (not data or told == data[0]):
                            del self._unheard[place]
                            return told
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"waited for {event} {data}, heard {self.events}") from None

    async def heard(self, *names: str) -> list[tuple[str, Any]]:
        """What it was told by now and was not asked for, of these names: all that stands before the answer to an event that
        nobody knows."""
        self.emit("are you there")
        await self.hear("error", {"message": "Unknown event: are you there"})
        found = [told for told in self._unheard if not names or told[0] in names]
        self._unheard = [told for told in self._unheard if names and told[0] not in names]
        return found

    async def refused(self, event: str, *args: Any) -> str:
        """Emit something bad: what the error says. The connection lives on."""
        self.emit(event, *args)
        told = await self.hear("error")
        assert told.keys() == {"message"}
        assert isinstance(told["message"], str)
        assert "disconnect" not in [name for name, _ in await self.heard("disconnect")], self.events
        return str(told["message"])

    async def join(self, named: str, seat: Seat, **more: Any) -> int:
        """Join a session; how many it counts."""
        self.emit("join_session", {"session_id": named, "participant_id": seat.id, "nickname": seat.nickname, **more})
        told = await self.hear("joined_session")
        assert told == {"session_id": named, "participant_count": told["participant_count"]}
        return int(told["participant_count"])


class Clients:
    """Those of one test."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._open: list[Client] = []
        self._nodes: set[Node] = set()

    def open(
        self, node: Node, token: str | None, *, transports: list[str] | None = WEBSOCKET, **options: Any
    ) -> Client:
        """A client that tries to connect; once, unless `reconnection`."""
        if token is not None:
            options["auth"] = {"token": token}
        if transports is not None:
            options["transports"] = transports
        client = self._driver.client(options.pop("origin", node.origin), {"reconnection": False, **options})
        self._open.append(client)
        self._nodes.add(node)
        return client

    async def connected(self, node: Node, token: str | None, **options: Any) -> Client:
        client = self.open(node, token, **options)
        assert await client.hear("connected") == {"status": "connected"}
        return client

    async def joined(self, node: Node, session: LiveSession, seat: Seat, **options: Any) -> Client:
        """One that is in a session; what it was told of that is heard."""
        client = await self.connected(node, seat.token, **options)
        count = await client.join(session.code, seat)
        await client.hear("participant_count_update", {"count": count})
        return client

    async def close(self) -> None:
        for client in self._open:
            client.close()
        for node in self._nodes:
            await left(node)


def driver_of_module() -> Any:
    """A fixture for one module: the process in which its clients are."""

    @pytest.fixture(scope="module")
    async def driver() -> AsyncIterator[Driver]:
        async with driving() as driver:
            yield driver

    return driver


def clients_of_test() -> Any:
    """A fixture for each test: clients that are put away after it, and leave nothing behind."""

    @pytest.fixture
    async def clients(driver: Driver) -> AsyncIterator[Clients]:
        clients = Clients(driver)
        yield clients
        await clients.close()

    return clients


@asynccontextmanager
async def driving() -> AsyncIterator[Driver]:
    """Skipped where there is no Node, or demo/node_modules is missing; a failure where they are required."""
    if shutil.which("node") is None or not (DEMO / "node_modules" / "socket.io-client").is_dir():
        missing = "Node or demo/node_modules is missing: the stock socket.io client cannot be asked"
        if any(os.environ.get(name) for name in REQUIRED):
            pytest.fail(f"{missing}, and it is required")
        pytest.skip(missing)
    process = await asyncio.create_subprocess_exec(
        *("node", str(DRIVER)), cwd=DEMO, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24
    )
    driver = Driver(process)
    listening = asyncio.create_task(driver.listen())
    try:
        yield driver
    finally:
        assert process.stdin
        process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await listening
        listening.cancel()
        if process.returncode is None:
            process.kill()
        await process.wait()


async def left(node: Node) -> None:
    """Wait until nothing is left of whoever was connected to a node; that it ends is a promise of the daemon's."""
    door, hall = node.server.app[DOOR], node.server.app[HALL]
    async with asyncio.timeout(PATIENCE_S):
        while door.connections or door._server.eio.sockets or door._server.environ or len(hall.rooms):
            await asyncio.sleep(0.01)
