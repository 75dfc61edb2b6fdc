"""People: tokens, REST calls and devices that listen."""

import asyncio
import json
import time
from typing import Any

import aiohttp
import jwt

API = "/api/v1/messenger"
PATIENCE_S = 10
Frame = dict[str, Any]


def token(user_id: int | str, secret: str, **claims: Any) -> str:
    now = int(time.time())
    return jwt.encode({"sub": str(user_id), "iat": now, "exp": now + 600, **claims}, secret, algorithm="HS256")


class Client:
    """REST on one person's behalf. Each call gives status and body."""

    def __init__(self, session: aiohttp.ClientSession, origin: str, bearer: str) -> None:
        self._session = session
        self._origin = origin
        self._headers = {"Authorization": f"Bearer {bearer}"}

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        headers = {**self._headers, **options.pop("headers", {})}
        url = self._origin + API + path
        async with self._session.request(method, url, json=body, headers=headers, **options) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        return await self.call("POST", path, body if body is not None else {}, **options)

    async def patch(self, path: str, body: Any) -> tuple[int, Any]:
        return await self.call("PATCH", path, body)

    async def delete(self, path: str) -> tuple[int, Any]:
        return await self.call("DELETE", path)

    async def group(self, *others: int, **more: Any) -> str:
        """Make a group with others; its id."""
        status, told = await self.post(
            "/conversations", {"type": "group", "title": "Tea", "participant_ids": list(others), **more}
        )
        assert status == 201, told
        return str(told["id"])

    async def send(self, conversation_id: str, content: str, **more: Any) -> Frame:
        status, told = await self.post(f"/conversations/{conversation_id}/messages", {"content": content, **more})
        assert status in (200, 201), told
        return dict(told)


class Phone:
    """One device. `frames` is everything that it ever heard, in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, user_id: int) -> None:
        self.socket = socket
        self.user_id = user_id
        self.hello: Frame = {}
        self.frames: list[Frame] = []
        self._unheard: list[Frame] = []

    async def say(self, type_: str, **fields: Any) -> None:
        await self.socket.send_json({"type": type_, **fields})

    async def ask(self, type_: str, **fields: Any) -> Frame:
        """Say something with a ref, and wait for its direct answer."""
        ref = f"r{len(self.frames)}-{time.monotonic_ns()}"
        await self.say(type_, ref=ref, **fields)
        return await self.hear(ref=ref)

    async def hear(self, type_: str | None = None, within_s: float = PATIENCE_S, **fields: Any) -> Frame:
        """The next frame of a type with these fields; what else comes in between is kept for later."""

        def fits(frame: Frame) -> bool:
            return (type_ is None or frame["type"] == type_) and all(
                frame.get(name) == value for name, value in fields.items()
            )

        for place, frame in enumerate(self._unheard):
            if fits(frame):
                return self._unheard.pop(place)
        async with asyncio.timeout(within_s):
            while True:
                frame = await self._receive()
                if fits(frame):
                    return frame
                self._unheard.append(frame)

    async def silence(self, *types: str, for_s: float = 0.3) -> None:
        """Assert that nothing of these types comes (of any, where none is named)."""
        try:
            async with asyncio.timeout(for_s):
                while True:
                    self._unheard.append(await self._receive())
        except TimeoutError:
            pass
        heard = [frame for frame in self._unheard if not types or frame["type"] in types]
        assert not heard, heard

    async def durable(self, conversation_id: str, up_to: int) -> list[Frame]:
        """Every durable event of a conversation, once the one that covers `up_to` has come."""

        def is_durable(frame: Frame) -> bool:
            answers = ("message.sent", "ack")
            return (
                frame.get("conversation_id") == conversation_id and "change" in frame and frame["type"] not in answers
            )

        async with asyncio.timeout(PATIENCE_S):
            while not any(is_durable(frame) and frame["change"] >= up_to for frame in self.frames):
                self._unheard.append(await self._receive())
        self._unheard = [frame for frame in self._unheard if not is_durable(frame)]
        return [frame for frame in self.frames if is_durable(frame)]

    async def closed(self) -> tuple[int, str]:
        """Wait for the end; its code and reason."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.socket.receive()
                if message.type is aiohttp.WSMsgType.CLOSE:
                    return message.data, message.extra or ""
                if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR):
                    return self.socket.close_code or 1006, ""

    async def _receive(self) -> Frame:
        message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        frame: Frame = json.loads(message.data)
        self.frames.append(frame)
        return frame
