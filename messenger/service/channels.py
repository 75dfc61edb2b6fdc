"""Channels as the host application keeps them: through the same use cases as everybody's conversations, in the name of an admin,
so that every device is told, and the log tells."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from messenger.domain.channel import CHANNEL_URL, Around, Changes, Channel, Entry, Member, Order, number_of
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import SYSTEM, Draft
from messenger.errors import ChannelNotFound, Forbidden, InvalidFrame, NotParticipant, UserNotFound
from messenger.service.accounts import Accounts
from messenger.service.announcer import Announcer
from messenger.service.conversations import Conversations
from messenger.service.messages import Messages
from messenger.store.channels import ChannelStore

T = TypeVar("T")

# An admin may cease to be one while something is done in his name: then somebody else is.
ATTEMPTS = 3
# So many leave between two looks at who is left.
LEAVING_AT_ONCE = 100
MAX_CLIENT_ID = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which channels are asked for: all of them, those of some people, some by name; `empty`: those too in which nothing was
    said."""

    order: Order
    names: Sequence[str] | None
    urls: Sequence[str] | None
    empty: bool


class Channels:
    """People are named as in `Accounts`. Everything here raises ChannelNotFound where there is none of that name, InvalidFrame for
    what names nobody, and Unavailable."""

    def __init__(
        self,
        store: ChannelStore,
        accounts: Accounts,
        conversations: Conversations,
        messages: Messages,
        announcer: Announcer,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._conversations = conversations
        self._messages = messages
        self._announcer = announcer

    async def create(
        self,
        url: str | None,
        title: str | None,
        fields: Mapping[str, str],
        names: Sequence[str],
        operators: Sequence[str],
        inviter: str | None,
    ) -> Channel:
        """With the operators, else whoever invited, else the first one as its admins. Raises Conflict where the name is taken,
        UserNotFound."""
        members = tuple(dict.fromkeys((*operators, *names))) or ((inviter,) if inviter else ())
        if not members:
            raise InvalidFrame("user_ids must name somebody", field="user_ids")
        known = await self._accounts.call((*members, *((inviter,) if inviter else ())))
        first = operators[0] if operators else inviter if inviter in members else members[0]
        actor = known[first]
        url = url or f"group_channel_{uuid4().hex}"
        user_ids = list(dict.fromkeys(known[name] for name in members))
        conversation_id = await self._store.create(
            actor, url, title, fields, user_ids, [known[name] for name in operators], known[inviter or first]
        )
        self._announcer.joined(conversation_id, user_ids)
        return await self.find(url)

    async def find(self, url: str) -> Channel:
        found = await self._store.called([url]) if CHANNEL_URL.fullmatch(url) else ()
        if not found:
            raise ChannelNotFound
        return found[0]

    async def page(
        self, wanted: Wanted, before: tuple[datetime, ConversationId] | None, limit: int
    ) -> tuple[Sequence[Channel], tuple[datetime, ConversationId] | None]:
        """A page of channels, the newest first, and where the next one begins, if there is one."""
        user_ids = None if wanted.names is None else list((await self._accounts.called(wanted.names)).values())
        urls = None if wanted.urls is None else [url for url in wanted.urls if CHANNEL_URL.fullmatch(url)]
        found = await self._store.page(
            before,
            limit + 1,
            by_message=wanted.order == "latest_last_message",
            user_ids=user_ids,
            urls=urls,
            empty=wanted.empty,
        )
        channels = await self._store.called([name for name, _, _ in found[:limit]])
        return channels, found[limit - 1][1:] if len(found) > limit else None

    async def last_said(self, channels: Sequence[Channel]) -> Mapping[ConversationId, Entry]:
        """What was said last in each, if anything. In one that everybody has left nothing is seen."""
        return await self._store.last_said(channels)

    async def change(self, url: str, changes: Changes) -> Channel:
        """Raises Forbidden where everybody has left."""

        async def act(channel: Channel, admin_id: UserId) -> None:
            conversation, told = await self._store.change(admin_id, channel, changes)
            self._conversations.tell(told, conversation)

        if changes.set_title or changes.fields:
            await self._as_admin(url, act)
        return await self.find(url)

    async def delete(self, url: str) -> None:
        """With everything in it."""

        async def act(channel: Channel, admin_id: UserId) -> None:
            await self._conversations.delete(admin_id, channel.id)

        channel = await self.find(url)
        # Of an empty one there is nobody to tell.
        if channel.admin_id is not None or not await self._store.delete_empty(channel):
            await self._as_admin(url, act)

    async def invite(self, url: str, names: Sequence[str]) -> Channel:
        """Who is in it already stays as he is. Where everybody has left, the first one is its admin. Raises UserNotFound."""
        if not names:
            raise InvalidFrame("user_ids must name somebody", field="user_ids")
        await self.find(url)
        user_ids = list((await self._accounts.call(names)).values())

        async def act(channel: Channel, admin_id: UserId) -> None:
            self._conversations.tell(await self._store.invite(admin_id, channel, user_ids))

        channel = await self.find(url)
        if channel.admin_id is None:
            self._conversations.tell(await self._store.revive(channel, user_ids[0]))
        await self._as_admin(url, act)
        return await self.find(url)

    async def leave(self, url: str, names: Sequence[str]) -> None:
        """Each by himself; who is not in it, or is nobody, is passed over."""
        channel = await self.find(url)
        for user_id in (await self._accounts.called(names)).values():
            await self._let_go(channel, user_id)

    async def leave_all(self, url: str) -> None:
        """Everybody who is in it now."""
        while members := await self.members(channel := await self.find(url), None, LEAVING_AT_ONCE):
            for member in members:
                await self._let_go(channel, member.user_id)

    async def members(self, channel: Channel, above: tuple[datetime, UserId] | None, limit: int) -> Sequence[Member]:
        """Who came first stands first."""

        async def act(channel: Channel, admin_id: UserId) -> Sequence[Member]:
            return await self._store.members(admin_id, channel, above, limit)

        return () if channel.admin_id is None else await self._as_admin(channel.url, act)

    async def say(self, channel: Channel, named: str, draft: Draft) -> Entry:
        """As a member of it. Raises UserNotFound, Forbidden where he is none, ContentEmpty, ContentTooLong, ClientIdConflict."""
        sender = (await self._accounts.called([named])).get(named)
        if sender is None:
            raise UserNotFound('"User" not found.')
        try:
            message = (await self._messages.send(sender, draft)).message
        except NotParticipant:
            raise Forbidden("user_id must be a member of the channel") from None
        return Entry(message, number_of(channel.number, message.seq))

    async def announce(self, channel: Channel, content: str, custom_type: str, data: str) -> Entry:
        """As nobody in it. Raises Forbidden where everybody has left, ContentEmpty, ContentTooLong."""
        self._messages.check(content)

        async def act(channel: Channel, admin_id: UserId) -> Entry:
            message = await self._store.announce(admin_id, channel, content, custom_type or None, data or None)
            self._announcer.changed(message, "message.new")
            return Entry(message, number_of(channel.number, message.seq))

        return await self._as_admin(channel.url, act)

    async def messages(self, channel: Channel, asked: Around) -> Sequence[Entry]:
        """In ascending `seq`, or in the order of time where an import jumbled the two; none where everybody has left. Raises
        MessageNotFound."""

        async def act(channel: Channel, admin_id: UserId) -> Sequence[Entry]:
            seq = None
            if asked.number is not None:
                seq = (await self._store.message(admin_id, channel, asked.number)).seq
            return await self._store.around(admin_id, channel, asked, seq)

        return () if channel.admin_id is None else await self._as_admin(channel.url, act)

    async def edit(self, channel: Channel, number: int, content: str | None, fields: Mapping[str, str | None]) -> Entry:
        """As its sender, who has to be in the channel still. Raises MessageNotFound, Forbidden, ContentEmpty, ContentTooLong."""
        if content is not None:
            self._messages.check(content)

        async def act(channel: Channel, admin_id: UserId) -> Entry:
            message = await self._store.message(admin_id, channel, number)
            if message.message_type == SYSTEM:
                raise Forbidden("What the host application said is not changed, only deleted")
            if content is not None or fields:
                message = await self._store.edit(message, content, fields)
                self._announcer.changed(message, "message.edited")
            return Entry(message, number)

        return await self._as_admin(channel.url, act)

    async def withdraw(self, channel: Channel, number: int) -> None:
        """Leave a tombstone. Raises MessageNotFound, Forbidden where everybody has left."""

        async def act(channel: Channel, admin_id: UserId) -> None:
            message = await self._store.message(admin_id, channel, number)
            if message.message_type == SYSTEM:
                self._announcer.changed(await self._store.retract(admin_id, message), "message.deleted")
            else:
                await self._messages.delete(admin_id, message.id)

        await self._as_admin(channel.url, act)

    async def _let_go(self, channel: Channel, user_id: UserId) -> None:
        with suppress(NotParticipant):  # he is not in it
            await self._conversations.remove_participant(user_id, channel.id, user_id)

    async def _as_admin(self, url: str, act: Callable[[Channel, UserId], Awaitable[T]]) -> T:
        """Do something in the name of whoever is an admin now. Raises Forbidden where everybody has left."""
        for attempt in range(ATTEMPTS):
            channel = await self.find(url)
            if channel.admin_id is None:
                raise Forbidden("Everybody has left this channel: invite somebody first")
            try:
                return await act(channel, channel.admin_id)
            except (NotParticipant, Forbidden):
                # Refused to him who is still its admin, it is refused for good.
                if attempt == ATTEMPTS - 1 or (await self.find(url)).admin_id == channel.admin_id:
                    raise
        raise AssertionError("the last attempt returns or raises")


def client_id_of(dedup_id: str | None) -> str | None:
    """One that is longer than ours may be stands there by its digest."""
    if dedup_id is None or len(dedup_id) <= MAX_CLIENT_ID:
        return dedup_id
    return hashlib.sha256(dedup_id.encode()).hexdigest()
