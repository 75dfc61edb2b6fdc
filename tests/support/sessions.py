"""People of live sessions: a host, his guests, and what they hear."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.support import contract
from tests.support.node import Node, Stage
from tests.support.people import Answer, Like, token
from tests.support.reachable import SECRET, Reachable

PATIENCE_S = 10
PREFIX = "/api/v1"
A_UUID = Like("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOT_FOUND, INVALID_ID = (1008, "Session not found"), (1008, "Invalid participant ID")
NO_PARTICIPANT = (1008, "Participant not found")
CLOSED = (1000, "session closed")
Frame = dict[str, Any]


class Ear:
    """One socket of a dialect, and all that it heard."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._unheard: list[Frame] = []

    async def say(self, frame: Any) -> None:
        await self.socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def hear(self, type_: str, **fields: Any) -> Frame:
        """The next frame of a type, wherever it stands among others; what stands before is kept."""

        def fits(frame: Frame) -> bool:
            return frame["type"] == type_ and all(frame.get(name) == value for name, value in fields.items())

        for place, frame in enumerate(self._unheard):
            if fits(frame):
                return self._unheard.pop(place)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                frame = await self._receive()
                if fits(frame):
                    return frame
                self._unheard.append(frame)

    async def heard(self) -> list[Frame]:
        """What it was told by now and was not asked for: all that stands before the answer to a frame that nobody knows."""
        await self.say({"type": "are you there"})
        await self.hear("error", message="Unknown message type: are you there")
        frames, self._unheard = self._unheard, []
        return frames

    async def closed(self) -> tuple[int, str]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.socket.receive()
                if message.type is aiohttp.WSMsgType.CLOSE:
                    return message.data, message.extra or ""
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._unheard.append(json.loads(message.data))
                else:
                    return self.socket.close_code or 1006, ""

    async def _receive(self) -> Frame:
        message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        frame: Frame = json.loads(message.data)
        return frame


@dataclass(frozen=True)
class Seat:
    """Somebody's place in a session."""

    id: str
    nickname: str
    token: str


@asynccontextmanager
async def ear(node: Reachable, path: str, token: str | None = None, **headers: str) -> AsyncIterator[Ear]:
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with node.session.ws_connect(node.origin + path, headers=headers) as socket:
        yield Ear(socket)


class LiveSession:
    """A session that somebody hosts."""

    def __init__(self, host: int, opened: Frame, token: str) -> None:
        self.host = host
        self.id: str = opened["id"]
        self.code: str = opened["session_code"]
        self.seat = Seat(opened["participant"]["id"], opened["participant"]["nickname"], token)

    async def join(self, node: Reachable, nickname: str) -> Seat:
        status, told = await join(node, self.code, nickname)
        assert status == 200, told
        return Seat(told["participant"]["id"], nickname, told["token"])

    def path(self, seat: Seat) -> str:
        return f"/ws/{self.code}/{seat.id}"

    def ear(self, node: Reachable, seat: Seat) -> Any:
        return ear(node, self.path(seat), seat.token)

    async def change(self, node: Reachable, **body: Any) -> tuple[int, Frame]:
        return await ask(node, "PATCH", f"/sessions/{self.code}", self.seat.token, body)

    async def status(self, node: Reachable) -> Frame:
        status, told = await ask(node, "GET", f"/sessions/{self.code}/status")
        assert status == 200, told
        return told

    async def user_id(self, node: Reachable, seat: Seat) -> int:
        """What somebody is natively called: it is told when he comes in."""
        status, told = await node.client(self.host).get(f"/conversations/{self.id}/messages")
        assert status == 200, told
        (found,) = (
            message["sender_id"] for message in told["messages"] if message["metadata"].get("participant_id") == seat.id
        )
        return int(found)


async def open_session(node: Reachable, host: int, **body: Any) -> LiveSession:
    status, told = await ask(node, "POST", "/sessions", token(host, SECRET, name="Ann"), {"title": "Bees", **body})
    assert status == 201, told
    return LiveSession(host, told, token(host, SECRET, name="Ann"))


def session_of_stage() -> Any:
    """A fixture for each test: a session of somebody's whom no test before knew."""

    @pytest.fixture
    async def bees(stage: Stage, node: Node) -> LiveSession:
        (host,) = stage.people(1)
        return await open_session(node, host)

    return bees


def ben_of_session() -> Any:
    """A fixture for each test: a guest in that session."""

    @pytest.fixture
    async def ben(node: Node, bees: LiveSession) -> Seat:
        return await bees.join(node, "Ben")

    return ben


async def join(node: Reachable, code: str, nickname: Any, **headers: str) -> tuple[int, Frame]:
    return await ask(node, "POST", f"/join/{code}", None, {"nickname": nickname}, **headers)


async def ask(
    node: Reachable, method: str, path: str, token: str | None = None, body: Any = None, **headers: str
) -> tuple[int, Frame]:
    answer = await answered(node, method, path, token, json=body, headers=headers)
    return answer.status, answer.body


async def answered(
    node: Reachable, method: str, path: str, token: str | None = None, *, headers: Any = None, **options: Any
) -> Answer:
    """One request, whose answer is held against the documents."""
    headers = {**(headers or {}), **({} if token is None else {"Authorization": f"Bearer {token}"})}
    async with node.session.request(method, node.origin + PREFIX + path, headers=headers, **options) as response:
        answer = Answer(response.status, response.headers, await response.text())
    contract.answered(method, response.url.raw_path, answer.status, answer.headers, answer.text)
    contract.asked(method, response.url.raw_path, answer.status, options.get("json"))
    return answer


async def knock(
    node: Reachable, path: str, token: str | None = None, protocols: tuple[str, ...] = (), **headers: str
) -> tuple[int, str] | int | str:
    """Open a socket: the code and reason of its end, a refusal's HTTP status, or `in`."""
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        async with node.session.ws_connect(node.origin + path, headers=headers, protocols=protocols) as socket:
            await socket.send_str("{}")
            message = await socket.receive(timeout=PATIENCE_S)
            return (message.data, message.extra or "") if message.type is aiohttp.WSMsgType.CLOSE else "in"
    except aiohttp.WSServerHandshakeError as refusal:
        return refusal.status


def problem(status: int, code: str, message: str, **more: Any) -> tuple[int, Frame]:
    """A refusal over HTTP, as a whole."""
    title = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}
    title |= {413: "Request Entity Too Large", 422: "Unprocessable Entity", 429: "Too Many Requests"}
    told = {"type": "about:blank", "title": title[status], "status": status, "detail": message}
    return status, {**told, "code": code, "message": message, **more}
