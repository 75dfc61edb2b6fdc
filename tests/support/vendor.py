"""The vendor's side of the move: a small HTTP server that answers as its Platform API v3 is documented to.

It refuses what the vendor refuses, with its codes, so that who gets along here would plausibly get along there. What we could not
confirm of the vendor is marked so. Nothing here is limited or slow unless a test asks for it.
"""

import itertools
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

from aiohttp import web

Json: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[web.Request], Awaitable[Json]]

TOKEN = "vendor's-master-token"
# 2023-11-14, in ms: when messages begin that are given no time.
EPOCH_MS = 1_700_000_000_000
# The first message's id; the vendor's are of about this size.
FIRST_ID = 7_000_000_001

WRONG_STRING, WRONG_NUMBER, WRONG_LIST, WRONG_JSON, MISSING, NOT_ALLOWED = (
    400100,
    400101,
    400102,
    400103,
    400105,
    400108,
)
PAGE_EXPIRED, WRONG_VALUE = 400109, 400111
NOT_FOUND, TAKEN, WRONG_TOKEN, TOO_MANY, BROKEN = 400201, 400202, 400401, 500910, 500901


class Refused(Exception):
    def __init__(self, code: int, message: str, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.status, self.headers = code, status, headers or {}


@dataclass
class _Failure:
    """`status` 0: the connection is cut. `acted`: the request is carried out before its answer is lost."""

    left: int
    status: int
    code: int
    acted: bool
    method: str | None


@dataclass
class _Window:
    per_window: int
    window_s: float
    began: float = -math.inf
    used: int = 0

    def take(self) -> dict[str, str]:
        """The headers of an answer. Raises Refused where there were too many."""
        now = time.time()
        if now - self.began >= self.window_s:
            self.began, self.used = now, 0
        self.used += 1
        headers = {
            "X-RateLimit-Limit": f"{self.per_window};w={self.window_s:g}",
            "X-RateLimit-Remaining": str(max(self.per_window - self.used, 0)),
            "X-RateLimit-Reset": str(math.ceil(self.began + self.window_s)),
        }
        if self.used <= self.per_window:
            return headers
        wait = self.began + self.window_s - now
        # The vendor counts in whole seconds; a test that waits for one is given less.
        told = f"{wait:.3f}" if self.window_s < 1 else str(math.ceil(wait))
        raise Refused(TOO_MANY, "Too many requests.", 429, {**headers, "X-RateLimit-RetryAfter": told})


@dataclass(frozen=True)
class _File:
    content: bytes
    content_type: str
    protected: bool


@dataclass
class Vendor:
    """One application of the vendor's. All that it holds may be read and changed by a test.

    `users` by user id and `channels` by channel_url are objects as the API gives them (a channel without what is counted);
    `members` of a channel are member objects by user id, in the order of joining; `messages` of a channel stand in order of
    `(created_at, message_id)`. `requests` are method, path (decoded, with `/v3`) and query of all that ever came;
    `refused` are those that were answered with 429.
    """

    port: int = 0
    api_token: str = TOKEN
    users: dict[str, Json] = field(default_factory=dict)
    channels: dict[str, Json] = field(default_factory=dict)
    members: dict[str, dict[str, Json]] = field(default_factory=dict)
    messages: dict[str, list[Json]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    _files: dict[str, _File] = field(default_factory=dict)
    _failures: list[_Failure] = field(default_factory=list)
    _refusals: list[tuple[str, int, int]] = field(default_factory=list)
    _window: _Window | None = None
    _message_ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(FIRST_ID))
    _clock: "itertools.count[int]" = field(default_factory=lambda: itertools.count(EPOCH_MS, 1000))

    @classmethod
    @asynccontextmanager
    async def running(cls, port: int = 0) -> AsyncIterator["Vendor"]:
        """On loopback, on a port of its own unless one is given."""
        vendor = cls()
        runner = web.AppRunner(vendor._app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        vendor.port = runner.addresses[0][1]
        try:
            yield vendor
        finally:
            await runner.cleanup()

    @property
    def url(self) -> str:
        """The base URL, without `/v3`."""
        return f"http://127.0.0.1:{self.port}"

    # What a test puts there.

    def add_user(self, user_id: str, nickname: str = "", profile_url: str = "", **more: Any) -> Json:
        """`more` are fields as the API gives them: `metadata`, `is_active`, `created_at` (s) …"""
        self.users[user_id] = {
            "user_id": user_id,
            "nickname": nickname,
            "profile_url": profile_url,
            "access_token": "",
            "is_active": True,
            "is_online": False,
            "last_seen_at": 0,
            "created_at": EPOCH_MS // 1000,
            "has_ever_logged_in": False,
            "session_tokens": [],
            "discovery_keys": [],
            "metadata": {},
            **more,
        }
        return self.users[user_id]

    def add_channel(self, channel_url: str, members: Iterable[str] = (), name: str = "", **more: Any) -> Json:
        """Members are users already, or become such. `more`: `data`, `custom_type`, `cover_url`, `created_at` (s) …"""
        self.channels[channel_url] = {
            "channel_url": channel_url,
            "name": name,
            "cover_url": "",
            "custom_type": "",
            "data": "",
            "is_distinct": False,
            "is_public": False,
            "is_super": False,
            "is_ephemeral": False,
            "is_access_code_required": False,
            "freeze": False,
            "max_length_message": -1,
            "message_survival_seconds": -1,
            "unread_message_count": 0,
            "unread_mention_count": 0,
            "created_at": EPOCH_MS // 1000,
            "created_by": None,
            **more,
        }
        self.messages[channel_url] = []
        self.members[channel_url] = {}
        for user_id in members:
            self.join(channel_url, user_id)
        return self.channels[channel_url]

    def join(self, channel_url: str, user_id: str, **more: Any) -> Json:
        """One more member. `more`: `role` ("operator"), `state` ("invited") …"""
        user = self.users.get(user_id) or self.add_user(user_id, user_id.title())
        member = {"state": "joined", "role": "", "is_muted": False, "is_blocking_me": False, "is_blocked_by_me": False}
        self.members[channel_url][user_id] = {**_person(user), **member, **more}
        return self.members[channel_url][user_id]

    def add_message(
        self, channel_url: str, user_id: str | None, text: str = "", created_at: int | None = None, **more: Any
    ) -> Json:
        """`created_at` in ms; a second after the last one unless given. `more`: `type` ("FILE", "ADMM"), `file`, `data`,
        `custom_type`, `parent_message_id` (a reply in a thread) …"""
        message: Json = {
            "message_id": next(self._message_ids),
            "type": "MESG",
            "message": text,
            "channel_url": channel_url,
            "channel_type": "group",
            "user": None if user_id is None else _person(self.users[user_id]),
            "created_at": next(self._clock) if created_at is None else created_at,
            "updated_at": 0,
            "custom_type": "",
            "data": "",
            "mention_type": "users",
            "mentioned_users": [],
            "is_removed": False,
            "silent": False,
            "message_survival_seconds": -1,
            "file": {},
            **more,
        }
        self.messages[channel_url].append(message)
        self.messages[channel_url].sort(key=lambda it: (it["created_at"], it["message_id"]))
        return message

    def add_file(self, path: str, content: bytes, content_type: str, *, protected: bool = False) -> str:
        """Its address. A protected one is given only to the API token, in a header or as `auth` in the query."""
        self._files[path] = _File(content, content_type, protected)
        return f"{self.url}/files/{path}"

    # What a test lets go wrong.

    def fail_next(
        self, count: int = 1, status: int = 500, code: int = BROKEN, *, acted: bool = False, method: str | None = None
    ) -> None:
        """The next `count` requests (of one method) fail. `status` 0: the connection is cut. `acted`: they are carried out, and
        only their answer is lost."""
        self._failures.append(_Failure(count, status, code, acted, method))

    def limit(self, per_window: int, window_s: float) -> None:
        """From now on no more than this; beyond it 429, code 500910, with the vendor's headers. Files are not limited."""
        self._window = _Window(per_window, window_s)

    def refuse(self, path_prefix: str, status: int = 400, code: int = NOT_FOUND) -> None:
        """Whatever lies below a path (with or without `/v3`) is not given out."""
        self._refusals.append((path_prefix, status, code))

    # The way through.

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=30 * 2**20)
        app.router.add_get("/files/{path:.+}", self._file)
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/users", self._users),
            ("POST", "/users", self._new_user),
            ("GET", "/users/{user_id}", self._user),
            ("PUT", "/users/{user_id}", self._change_user),
            ("DELETE", "/users/{user_id}", self._delete_user),
            ("GET", "/group_channels", self._channels),
            ("POST", "/group_channels", self._new_channel),
            ("GET", "/group_channels/{url}", self._channel),
            ("PUT", "/group_channels/{url}", self._change_channel),
            ("DELETE", "/group_channels/{url}", self._delete_channel),
            ("POST", "/group_channels/{url}/invite", self._invite),
            ("PUT", "/group_channels/{url}/leave", self._leave),
            ("GET", "/group_channels/{url}/members", self._members),
            ("GET", "/group_channels/{url}/messages", self._messages),
            ("POST", "/group_channels/{url}/messages", self._new_message),
            ("GET", "/group_channels/{url}/messages/{id}", self._message),
            ("PUT", "/group_channels/{url}/messages/{id}", self._change_message),
            ("DELETE", "/group_channels/{url}/messages/{id}", self._delete_message),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, f"/v3{path}", self._answering(handler))
        return app

    def _answering(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            self.requests.append((request.method, request.path, dict(request.query)))
            try:
                if request.headers.get("Api-Token") != self.api_token:
                    raise Refused(WRONG_TOKEN, "Invalid API token.")
                headers = self._window.take() if self._window is not None else {}
                self._stumble(request, acted=False)
                answer = await handler(request)
                self._stumble(request, acted=True)
            except Refused as refusal:
                if refusal.status == 429:
                    self.refused.append((request.method, request.path))
                body = {"error": True, "code": refusal.code, "message": str(refusal)}
                return web.json_response(body, status=refusal.status, headers=refusal.headers)
            return web.json_response(answer, headers=headers)

        return answer

    def _stumble(self, request: web.Request, *, acted: bool) -> None:
        """Fail as a test wished it."""
        for prefix, status, code in self._refusals:
            if request.path.startswith((prefix, f"/v3{prefix}")):
                raise Refused(code, "Refused.", status)
        for failure in self._failures:
            if failure.left and failure.acted is acted and failure.method in (None, request.method):
                failure.left -= 1
                if failure.status == 0:
                    assert request.transport is not None
                    request.transport.abort()
                raise Refused(failure.code, "Unexpected internal error.", failure.status or 500)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query)))
        try:
            self._stumble(request, acted=False)
        except Refused as refusal:
            return web.Response(status=refusal.status)
        file = self._files.get(request.match_info["path"])
        if file is None:
            return web.Response(status=404)
        if file.protected and self.api_token not in (request.headers.get("Api-Token"), request.query.get("auth")):
            return web.Response(status=403)
        return web.Response(body=file.content, content_type=file.content_type)

    # Users.

    async def _users(self, request: web.Request) -> Json:
        mode = request.query.get("active_mode", "activated")
        shown = [user for user in self.users.values() if mode == "all" or user["is_active"] is (mode == "activated")]
        return _page(request, "users", shown)

    async def _new_user(self, request: web.Request) -> Json:
        body = await _body(request)
        user_id = _string(body, "user_id")
        nickname, profile_url = (
            _string(body, "nickname", may_be_empty=True),
            _string(body, "profile_url", may_be_empty=True),
        )
        if user_id in self.users:
            raise Refused(TAKEN, '"user_id" violates unique constraint.')
        return self.add_user(
            user_id, nickname, profile_url, metadata=body.get("metadata", {}), created_at=int(time.time())
        )

    async def _user(self, request: web.Request) -> Json:
        return self._known(request.match_info["user_id"])

    async def _change_user(self, request: web.Request) -> Json:
        user = self._known(request.match_info["user_id"])
        body = await _body(request)
        user.update({name: body[name] for name in ("nickname", "profile_url", "is_active", "metadata") if name in body})
        return user

    async def _delete_user(self, request: web.Request) -> Json:
        user_id = self._known(request.match_info["user_id"])["user_id"]
        del self.users[user_id]
        for members in self.members.values():
            members.pop(user_id, None)
        return {}

    def _known(self, user_id: str) -> Json:
        return self.users.get(user_id) or _not_found("User")

    # Channels.

    async def _channels(self, request: web.Request) -> Json:
        with_empty = _flag(request, "show_empty", default=False)
        with_members = _flag(request, "show_member", default=False)
        shown = [url for url in self.channels if with_empty or self.messages[url]]
        page = _page(request, "channels", shown)
        page["channels"] = [self._shown(url, with_members=with_members) for url in page["channels"]]
        return page

    async def _new_channel(self, request: web.Request) -> Json:
        body = await _body(request)
        user_ids = self._people(body)
        channel_url = (
            _string(body, "channel_url") if "channel_url" in body else f"sendbird_group_channel_{len(self.channels)}"
        )
        if channel_url in self.channels:
            raise Refused(TAKEN, '"channel_url" violates unique constraint.')
        more = {
            name: _string(body, name, may_be_empty=True)
            for name in ("data", "custom_type", "cover_url")
            if name in body
        }
        name = _string(body, "name", may_be_empty=True) if "name" in body else "Group Channel"
        self.add_channel(channel_url, user_ids, name, created_at=int(time.time()), **more)
        return self._shown(channel_url, with_members=True)

    async def _channel(self, request: web.Request) -> Json:
        with_members = _flag(request, "show_member", default=False)
        return self._shown(self._url(request), with_members=with_members)

    async def _change_channel(self, request: web.Request) -> Json:
        url, body = self._url(request), await _body(request)
        names = ("name", "data", "custom_type", "cover_url")
        self.channels[url].update({name: _string(body, name, may_be_empty=True) for name in names if name in body})
        return self._shown(url, with_members=True)

    async def _delete_channel(self, request: web.Request) -> Json:
        url = self._url(request)
        del self.channels[url], self.members[url], self.messages[url]
        return {}

    async def _invite(self, request: web.Request) -> Json:
        url, body = self._url(request), await _body(request)
        for user_id in self._people(body):
            if user_id not in self.members[url]:
                self.join(url, user_id)
        return self._shown(url, with_members=True)

    async def _leave(self, request: web.Request) -> Json:
        url, body = self._url(request), await _body(request)
        leaving = list(self.members[url]) if body.get("should_leave_all") is True else self._people(body)
        for user_id in leaving:
            # Not confirmed: what the vendor says of somebody who is no member. Here nothing.
            self.members[url].pop(user_id, None)
        return {}

    async def _members(self, request: web.Request) -> Json:
        return _page(request, "members", list(self.members[self._url(request)].values()))

    def _url(self, request: web.Request) -> str:
        url = request.match_info["url"]
        return url if url in self.channels else _not_found("Channel")

    def _people(self, body: Json) -> list[str]:
        if "user_ids" not in body:
            raise Refused(MISSING, '"user_ids" must be specified.')
        user_ids = body["user_ids"]
        if not isinstance(user_ids, list):
            raise Refused(WRONG_LIST, '"user_ids" must be list.')
        if not user_ids:
            raise Refused(MISSING, '"user_ids" must be specified.')
        if not all(isinstance(user_id, str) for user_id in user_ids):
            raise Refused(WRONG_STRING, '"user_ids" must be list of string.')
        if len(user_ids) > 100:
            raise Refused(WRONG_VALUE, '"user_ids" has more than 100 items.')
        return [self._known(user_id)["user_id"] for user_id in dict.fromkeys(user_ids)]

    def _shown(self, url: str, *, with_members: bool) -> Json:
        members, messages = self.members[url], self.messages[url]
        shown = {
            **self.channels[url],
            "channel": {
                name: self.channels[url][name] for name in ("channel_url", "name", "cover_url", "data", "custom_type")
            },
            "member_count": len(members),
            "joined_member_count": sum(member["state"] == "joined" for member in members.values()),
            "last_message": messages[-1] if messages else None,
        }
        return {**shown, "members": list(members.values())} if with_members else shown

    # Messages.

    async def _messages(self, request: web.Request) -> Json:
        """Before and after a time or a message, which is left out where `include` is false; oldest first, unless `reverse`."""
        replies = request.query.get("include_reply_type") == "ALL" or _flag(request, "include_replies", default=False)
        all_of_it = self.messages[self._url(request)]
        if request.query.get("message_type"):
            all_of_it = [it for it in all_of_it if it["type"] == request.query["message_type"]]
        shown = [it for it in all_of_it if replies or not it.get("parent_message_id")]
        with_it = _flag(request, "include", default=True)
        before, after = _number(request, "prev_limit", 15, 0, 200), _number(request, "next_limit", 15, 0, 200)
        if "message_ts" in request.query:
            at = _number(request, "message_ts", 0, 0, 2**62)
            place = [(it["created_at"] > at) - (it["created_at"] < at) for it in shown]
        elif "message_id" in request.query:
            found = _found(all_of_it, request.query["message_id"])
            key = (found["created_at"], found["message_id"])
            keys = [(it["created_at"], it["message_id"]) for it in shown]
            place = [(it > key) - (it < key) for it in keys]
        else:
            raise Refused(MISSING, '"message_ts" must be specified.')
        older = [it for it, side in zip(shown, place, strict=True) if side < 0]
        same = [it for it, side in zip(shown, place, strict=True) if side == 0] if with_it else []
        newer = [it for it, side in zip(shown, place, strict=True) if side > 0]
        # Those at a time count towards what comes after it, where that is asked for.
        upwards = (same + newer)[:after] if "message_ts" in request.query and after else same + newer[:after]
        answer = older[len(older) - min(before, len(older)) :] + upwards
        return {"messages": answer[::-1] if _flag(request, "reverse", default=False) else answer}

    async def _new_message(self, request: web.Request) -> Json:
        url, body = self._url(request), await _body(request)
        message_type = _string(body, "message_type")
        more: Json = {"type": message_type}
        sender: str | None
        match message_type:
            case "MESG":
                text, sender = _string(body, "message"), self._sender(url, body)
            case "FILE":
                text, sender = "", self._sender(url, body)
                more["file"] = {
                    "url": _string(body, "url"),
                    "name": body.get("file_name", ""),
                    "type": body.get("file_type", ""),
                    "size": body.get("file_size", 0),
                    "data": "",
                }
            case "ADMM":
                text, sender = _string(body, "message"), None
            case _:
                raise Refused(WRONG_VALUE, '"message_type" is not allowed.')
        more |= {name: _string(body, name, may_be_empty=True) for name in ("data", "custom_type") if name in body}
        return self.add_message(url, sender, text, created_at=body.get("created_at", time.time_ns() // 10**6), **more)

    def _sender(self, url: str, body: Json) -> str:
        user_id = _string(body, "user_id")
        self._known(user_id)
        if user_id not in self.members[url]:
            raise Refused(NOT_ALLOWED, 'Not authorized. "User must be a member.".')
        return user_id

    async def _message(self, request: web.Request) -> Json:
        return _found(self.messages[self._url(request)], request.match_info["id"])

    async def _change_message(self, request: web.Request) -> Json:
        message, body = await self._message(request), await _body(request)
        if body.get("message_type", message["type"]) != message["type"]:
            raise Refused(WRONG_VALUE, '"message_type" is another one.')
        names = ("message", "data", "custom_type")
        message.update({name: _string(body, name, may_be_empty=True) for name in names if name in body})
        message["updated_at"] = time.time_ns() // 10**6
        return message

    async def _delete_message(self, request: web.Request) -> Json:
        message = await self._message(request)
        self.messages[self._url(request)].remove(message)
        return {}


def _person(user: Json) -> Json:
    return {name: user[name] for name in ("user_id", "nickname", "profile_url", "metadata", "is_active")}


def _not_found(what: str) -> NoReturn:
    raise Refused(NOT_FOUND, f'"{what}" not found.')


def _found(messages: list[Json], message_id: str) -> Json:
    return next((it for it in messages if str(it["message_id"]) == message_id), None) or _not_found("Message")


def _page(request: web.Request, name: str, everything: list[Any]) -> Json:
    """A token is where the next page begins; `next` is empty after the last one."""
    limit = _number(request, "limit", 10, 1, 100)
    token = request.query.get("token", "")
    if token and not token.startswith("page-"):
        raise Refused(PAGE_EXPIRED, "Invalid page token.")
    begin = int(token.removeprefix("page-")) if token else 0
    end = begin + limit
    return {name: everything[begin:end], "next": f"page-{end}" if end < len(everything) else ""}


async def _body(request: web.Request) -> Json:
    try:
        body = await request.json()
    except ValueError:
        raise Refused(WRONG_JSON, "Invalid JSON.") from None
    if not isinstance(body, dict):
        raise Refused(WRONG_JSON, "Must be an object.")
    return body


def _string(body: Json, name: str, *, may_be_empty: bool = False) -> str:
    if name not in body:
        raise Refused(MISSING, f'"{name}" must be specified.')
    if not isinstance(body[name], str):
        raise Refused(WRONG_STRING, f'"{name}" must be string.')
    if not body[name] and not may_be_empty:
        raise Refused(MISSING, f'"{name}" must be specified.')
    return str(body[name])


def _number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdigit():
        raise Refused(WRONG_NUMBER, f'"{name}" must be number.')
    if not least <= int(text) <= most:
        raise Refused(WRONG_VALUE, f'"{name}" must be from {least} to {most}.')
    return int(text)


def _flag(request: web.Request, name: str, *, default: bool) -> bool:
    text = request.query.get(name, str(default).lower())
    if text not in ("true", "false"):
        raise Refused(400104, f'"{name}" must be boolean.')
    return text == "true"
