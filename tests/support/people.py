"""People: tokens, REST calls and devices that listen. What they hear is held against the documents (`contract`)."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import jwt

from tests.support import contract

API = "/api/v1/messenger"
PATIENCE_S = 10
Frame = dict[str, Any]


class Like:
    """Equal to every text of a shape: for what a test cannot know beforehand in a frame that it compares as a whole."""

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self._pattern.fullmatch(other) is not None

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"<like {self._pattern.pattern}>"


A_TIME = Like(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
A_UUID7 = Like(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def entry(conversation_id: str, seq: int, sender_id: int, content: str | None, **more: Any) -> Frame:
    """A message object as protocol.md §6 has it, with everything that is not said at its default."""
    return {
        "id": A_UUID7,
        "conversation_id": conversation_id,
        "seq": seq,
        "change": seq,
        "sender_id": sender_id,
        "content": content,
        "message_type": "text",
        "created_at": A_TIME,
        "edited_at": None,
        "deleted_at": None,
        "reply_to": None,
        "mentions": [],
        "attachments": [],
        "reactions": {},
        "metadata": {},
        "client_id": None,
        **more,
    }


def notification(new: Frame, user_id: int) -> Frame:
    """What goes right behind a `message.new` to somebody who wants to be told of it."""
    data = new["data"]
    return {
        "type": "notification",
        "conversation_id": new["conversation_id"],
        "message_id": data["id"],
        "seq": data["seq"],
        "sender_id": data["sender_id"],
        "mentioned": user_id in data["mentions"],
        "timestamp": data["created_at"],
    }


def group(id_: Any, maker: int, **more: Any) -> Frame:
    """A conversation object as its maker sees it, fresh and alone in it."""
    return {
        "id": id_,
        "type": "group",
        "title": "Tea",
        "metadata": {},
        "created_by": maker,
        "created_at": A_TIME,
        "updated_at": A_TIME,
        "first_seq": 1,
        "last_seq": 0,
        "last_change": 0,
        "history": "all",
        "participant_count": 1,
        "my_role": "admin",
        **more,
    }


def token(user_id: int | str, secret: str, **claims: Any) -> str:
    now = int(time.time())
    return jwt.encode({"sub": str(user_id), "iat": now, "exp": now + 600, **claims}, secret, algorithm="HS256")


def forged(claims: Any, key: bytes, **header: Any) -> str:
    """A token made by hand, as no library would make it: any claims, any header, HMAC-SHA256 with any key."""

    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"typ": "JWT", "alg": "HS256", **header}) + b"." + part(claims)
    signature = base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)).rstrip(b"=")
    return (signed + b"." + signature).decode()


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer; `body` is its JSON, None where there is none."""

    status: int
    headers: Any
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text) if self.text else None


class Client:
    """REST on one person's behalf. Each call gives status and body."""

    def __init__(self, session: aiohttp.ClientSession, origin: str, bearer: str | None) -> None:
        self._session = session
        self._origin = origin
        self._headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """One request as it stands, below the API's prefix unless the path begins elsewhere (`//stats`)."""
        headers = {**self._headers, **options.pop("headers", {})}
        url = self._origin + (path[1:] if path.startswith("//") else API + path)
        async with self._session.request(method, url, headers=headers, **options) as response:
            answer = Answer(response.status, response.headers, await response.text())
        path = response.url.raw_path
        contract.answered(method, path, answer.status, answer.headers, answer.text)
        contract.asked(method, path, answer.status, options.get("json"))
        return answer

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        answer = await self.ask(method, path, json=body, **options)
        return answer.status, answer.body

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
    """One device. `frames` is everything that it ever heard, in order; `largest` the longest of it, in bytes."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, user_id: int) -> None:
        self.socket = socket
        self.user_id = user_id
        self.hello: Frame = {}
        self.frames: list[Frame] = []
        self.largest = 0
        self._unheard: list[Frame] = []

    async def say(self, type_: str, **fields: Any) -> None:
        await self.socket.send_json({"type": type_, **fields})

    async def ask(self, type_: str, **fields: Any) -> Frame:
        """Say something with a ref, and wait for its direct answer."""
        ref = f"r{len(self.frames)}-{time.monotonic_ns()}"
        await self.say(type_, ref=ref, **fields)
        frame = await self.hear(ref=ref)
        contract.replied({"type": type_, "ref": ref, **fields}, frame)
        return frame

    async def answer(self, type_: str, **fields: Any) -> Frame:
        """The same, without the ref: for comparing whole frames."""
        frame = await self.ask(type_, **fields)
        return {name: value for name, value in frame.items() if name != "ref"}

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

    async def unheard(self, *types: str) -> list[Frame]:
        """What had been sent to this device by now and was not asked for yet, of these types; no guess at a time: it
        stands before the answer to a ping."""
        await self.ask("ping")
        found = [frame for frame in self._unheard if not types or frame["type"] in types]
        self._unheard = [frame for frame in self._unheard if types and frame["type"] not in types]
        return found

    async def durable(self, conversation_id: str, up_to: int) -> list[Frame]:
        """Every durable event of a conversation, once the one that covers `up_to` has come."""

        def is_durable(frame: Frame) -> bool:
            answers = ("message.sent", "ack")
            return (
                frame.get("conversation_id") == conversation_id and "change" in frame and frame["type"] not in answers
            )

        has_come = any(is_durable(frame) and frame["change"] >= up_to for frame in self.frames)
        async with asyncio.timeout(PATIENCE_S):
            while not has_come:
                frame = await self._receive()
                self._unheard.append(frame)
                has_come = is_durable(frame) and frame["change"] >= up_to
        self._unheard = [frame for frame in self._unheard if not is_durable(frame)]
        return [frame for frame in self.frames if is_durable(frame)]

    async def closed(self) -> tuple[int, str]:
        """Wait for the end; its code and reason. What is said before it is among `frames`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.socket.receive()
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.frames.append(json.loads(message.data))
                    contract.heard(self.frames[-1])
                if message.type is aiohttp.WSMsgType.CLOSE:
                    contract.closed(message.data, message.extra or "")
                    return message.data, message.extra or ""
                if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR):
                    return self.socket.close_code or 1006, ""

    async def _receive(self) -> Frame:
        message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        frame: Frame = json.loads(message.data)
        self.frames.append(frame)
        self.largest = max(self.largest, len(message.data.encode()))
        contract.heard(frame)
        return frame
