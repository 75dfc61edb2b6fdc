"""One interface for a host application's server, with the vendor or this daemon behind it, and a flag that says which.

What is given back are the vendor's JSON objects as they come (a channel: `channel_url`, `name`, `data`, `member_count`, …; a
message: `message_id`, `type`, `message`, `user`, `created_at` in ms, …), so that code that reads them reads on. `data` may be
given as a text or as anything that JSON can say, and comes back as the text that the vendor keeps.

Nothing is stored here, so which side a channel is on has to follow from the settings and from the two sides themselves. A channel
is never on both: see `home_of`.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from messenger.chat_service import wording
from messenger.chat_service.config import Backend, ChatConfig, read_config
from messenger.chat_service.errors import AlreadyExists, ChannelNotFound, WouldSplit
from messenger.chat_service.platform import PlatformClient
from messenger.chat_service.wording import Json

SENDBIRD: Final = "sendbird"
WEBSOCKET: Final = "websocket"
MESSAGE_TYPES = ("MESG", "FILE", "ADMM")
# The newest messages are those before tomorrow: the two clocks need not agree.
TOMORROW_MS = 86_400_000
# How many channels of the vendor's are known by heart.
KNOWN = 10_000


class ChatService:
    """An async context manager. Every call may raise a ChatServiceError.

    User ids are the host application's, as strings; a number is taken as one.
    """

    def __init__(self, config: ChatConfig) -> None:
        self._config = config
        sides: dict[Backend, Any] = {SENDBIRD: config.sendbird, WEBSOCKET: config.websocket}
        self._clients: dict[Backend, PlatformClient] = {
            backend: PlatformClient(side.base_url, side.api_token)
            for backend, side in sides.items()
            if side is not None
        }
        self._at_vendor: set[str] = set()
        self._stack = AsyncExitStack()

    @classmethod
    def from_config(
        cls, path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ
    ) -> "ChatService":
        """Of a YAML file (see messenger.chat_service.config): `path`, else the one that `CHAT_CONFIG` names, else `chat.yaml`.

        Raises ConfigError. A `${ENV_NAME}` that is not set is an error where a call may need it, at once and not at that call;
        the section of a backend that the flag keeps all calls from is not looked at.
        """
        return cls(read_config(path, environ))

    async def __aenter__(self) -> Self:
        for client in self._clients.values():
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # Which side.

    def backend_for(self, channel_url: str, user_ids: Iterable[str | int] = ()) -> Backend:
        """What the settings say, without asking anybody: where such a channel is made.

        `websocket` where the flag is on, or the channel is listed, or there are users and all of them are listed.
        """
        users = set(_strings(user_ids))
        config = self._config
        if config.use_websocket or channel_url in config.websocket_channels:
            return WEBSOCKET
        return WEBSOCKET if users and users <= config.websocket_users else SENDBIRD

    async def home_of(self, channel_url: str) -> Backend:
        """Where every call about a channel goes, whoever it is about; also what a host tells its browsers to connect to.

        The flag and the list of channels decide at once. Where users are listed, the sides are asked, in this order:

        1. this daemon has no such channel, or its first import has not come to its end: `sendbird`;
        2. it has, and all of its members are listed: `websocket`; it was made there, or imported for them;
        3. somebody else is in it: `sendbird` where the vendor has it too, for then ours is only an import's copy of it; and
           `websocket` where the vendor has not, for then it was made here.
        """
        decided = self.backend_for(channel_url)
        if decided == WEBSOCKET or not self._config.websocket_users:
            return decided
        try:
            channel = await self._clients[WEBSOCKET].get(wording.channel(channel_url))
        except ChannelNotFound:
            return SENDBIRD
        if channel.get(wording.ARRIVING):
            return SENDBIRD
        if await self._all_listed(channel):
            return WEBSOCKET
        return SENDBIRD if await self._vendor_has(channel_url) else WEBSOCKET

    # Channels.

    async def create_group_channel(
        self, channel_url: str, name: str, user_ids: Iterable[str | int], data: Any = None
    ) -> Json:
        """The channel. More than 100 users come in by several requests. Raises AlreadyExists, UserNotFound."""
        first, *others = _hundreds(user_ids)
        backend = self.backend_for(channel_url, [user_id for each in (first, *others) for user_id in each])
        if self._is_gradual(channel_url) and await self._has(_other(backend), channel_url):
            raise AlreadyExists(f"The channel exists on the side of {_other(backend)}")
        client = self._clients[backend]
        channel = await client.post(wording.channels(), wording.new_channel(channel_url, name, first, _text(data)))
        for each in others:
            channel = await client.post(wording.invite(channel_url), wording.people(each))
        return channel

    async def get_channel_metadata(self, channel_url: str) -> Json:
        """The channel with its `members`. Raises ChannelNotFound."""
        client = await self._client_of(channel_url)
        return await client.get(wording.channel(channel_url), wording.with_members())

    async def update_channel(
        self,
        channel_url: str,
        name: str | None = None,
        data: Any = None,
        *,
        cover_url: str | None = None,
        custom_type: str | None = None,
    ) -> Json:
        """The channel as it is then; None leaves a field as it is. Raises ChannelNotFound."""
        client = await self._client_of(channel_url)
        body = wording.changed_channel(name, _text(data), cover_url, custom_type)
        return await client.put(wording.channel(channel_url), body)

    async def delete_channel(self, channel_url: str) -> None:
        """With its messages. Where users are listed an import's copy goes with it, or it would come back as the channel.
        Raises ChannelNotFound."""
        home = await self.home_of(channel_url)
        self._at_vendor.discard(channel_url)
        if self._is_gradual(channel_url) and await self._has(_other(home), channel_url):
            await self._clients[_other(home)].delete(wording.channel(channel_url))
        await self._clients[home].delete(wording.channel(channel_url))

    async def add_members(self, channel_url: str, user_ids: Iterable[str | int]) -> Json:
        """The channel; who is in it already stays. Raises ChannelNotFound, UserNotFound.

        WouldSplit: the list of users has brought the channel over from the vendor, and one of these users is not listed. List
        him, or the channel.
        """
        hundreds = _hundreds(user_ids)
        home = await self.home_of(channel_url)
        if home == WEBSOCKET and self._is_gradual(channel_url):
            await self._check_listed(channel_url, {user_id for each in hundreds for user_id in each})
        channel: Json = {}
        for each in hundreds:
            channel = await self._clients[home].post(wording.invite(channel_url), wording.people(each))
        return channel

    async def remove_members(self, channel_url: str, user_ids: Iterable[str | int]) -> None:
        """Raises ChannelNotFound."""
        hundreds = _hundreds(user_ids)
        client = await self._client_of(channel_url)
        for each in hundreds:
            await client.put(wording.leave(channel_url), wording.people(each))

    # Messages.

    async def send_message(
        self,
        channel_url: str,
        user_id: str | int | None,
        message: str,
        message_type: str = "MESG",
        data: Any = None,
    ) -> Json:
        """The message. `message` is the text of a MESG or of an ADMM (which is nobody's: `user_id` is not looked at), and the
        address of a FILE.

        Sent at most once: after Unavailable nobody knows whether it was, unless its `unsent` says that it was not. Raises
        ChannelNotFound, UserNotFound; ValueError for another type.
        """
        if message_type not in MESSAGE_TYPES:
            raise ValueError(f"message_type must be one of {', '.join(MESSAGE_TYPES)}")
        sender = None if user_id is None else str(user_id)
        body = wording.new_message(message_type, sender, message, _text(data))
        client = await self._client_of(channel_url)
        return await client.post(wording.messages(channel_url), body)

    async def list_messages(
        self, channel_url: str, limit: int = 50, before: int | None = None, *, before_id: int | None = None
    ) -> list[Json]:
        """The newest `limit` (1 to 200) messages, oldest first; those before a time in ms, where one is given, and none at it; or
        those before a message, by its `message_id`: so one pages, for there may be any number at one millisecond.

        Raises ChannelNotFound, MessageNotFound, ValueError."""
        if not 1 <= limit <= wording.MESSAGES_PAGE:
            raise ValueError(f"limit must be from 1 to {wording.MESSAGES_PAGE}")
        if before_id is not None:
            if before is not None:
                raise ValueError("before and before_id say the same: give one of them")
            query = wording.before_message(before_id, limit)
        else:
            query = wording.before(before if before is not None else time.time_ns() // 10**6 + TOMORROW_MS, limit)
        client = await self._client_of(channel_url)
        answer = await client.get(wording.messages(channel_url), query)
        messages: list[Json] = answer[wording.MESSAGES]
        return messages

    # Which side, looked up.

    def _is_gradual(self, channel_url: str) -> bool:
        """Whether the list of users has a say about a channel."""
        return bool(self._config.websocket_users) and self.backend_for(channel_url) == SENDBIRD

    async def _client_of(self, channel_url: str) -> PlatformClient:
        return self._clients[await self.home_of(channel_url)]

    async def _has(self, backend: Backend, channel_url: str) -> bool:
        try:
            await self._clients[backend].get(wording.channel(channel_url))
        except ChannelNotFound:
            return False
        return True

    async def _vendor_has(self, channel_url: str) -> bool:
        """Asked once a channel: the vendor counts requests, and what it has it keeps until it is deleted."""
        if channel_url in self._at_vendor:
            return True
        if not await self._has(SENDBIRD, channel_url):
            return False
        if len(self._at_vendor) >= KNOWN:
            self._at_vendor.clear()
        self._at_vendor.add(channel_url)
        return True

    async def _all_listed(self, channel: Json) -> bool:
        """Whether somebody is in a channel of this daemon's, and nobody but listed users."""
        listed = self._config.websocket_users
        if not 1 <= channel["member_count"] <= len(listed):
            return False
        return {it["user_id"] async for it in self._clients[WEBSOCKET].members(channel["channel_url"])} <= listed

    async def _check_listed(self, channel_url: str, user_ids: set[str]) -> None:
        strangers = sorted(user_ids - self._config.websocket_users)
        if strangers and await self._vendor_has(channel_url):
            raise WouldSplit(f"Not in chat.websocket_users: {', '.join(strangers)}; list them, or the channel")


def _other(backend: Backend) -> Backend:
    return SENDBIRD if backend == WEBSOCKET else WEBSOCKET


def _text(data: Any) -> str | None:
    """What the vendor keeps: a text."""
    return (
        data if data is None or isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    )


def _hundreds(user_ids: Iterable[str | int]) -> list[list[str]]:
    """As many at once as the vendor takes; one list of nobody where there is nobody, for the vendor to refuse."""
    users = list(dict.fromkeys(_strings(user_ids)))
    return [users[begin : begin + wording.PEOPLE] for begin in range(0, max(len(users), 1), wording.PEOPLE)]


def _strings(user_ids: Iterable[str | int]) -> list[str]:
    """One id in the place of a list would be taken apart into letters."""
    if isinstance(user_ids, str):
        raise TypeError("user_ids must be a list of ids")
    return [str(user_id) for user_id in user_ids]
