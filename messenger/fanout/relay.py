"""Between the use cases, the bus and the feeds: what was committed is handed to this node's devices and told to the others.

Local devices are served at once; the echo is dropped unread. Nothing here waits or fails.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from time import monotonic
from typing import Any

import structlog

from messenger.bus.bus import Bus
from messenger.bus.channels import OfConversation, OfPresence, OfProfiles, OfUser, OfWhereabouts
from messenger.domain.conversation import Conversation, NotificationSettings, Receipt
from messenger.domain.ids import NOBODY, ConversationId, UserId
from messenger.domain.message import Message, Reaction
from messenger.fanout.acquaintance import Acquaintance
from messenger.fanout.attendance import Attendance
from messenger.fanout.feed import Feed
from messenger.fanout.hub import Hub
from messenger.fanout.repair import Repair
from messenger.fanout.whereabouts import Whereabouts
from messenger.metrics import Histogram
from messenger.protocol import envelope, frames

log = structlog.get_logger(__name__)


class Relay:
    """The use cases' Announcer, and the reader of the bus."""

    def __init__(
        self,
        hub: Hub,
        bus: Bus,
        repair: Repair,
        attendance: Attendance,
        whereabouts: Whereabouts,
        acquaintance: Acquaintance,
    ) -> None:
        self._hub = hub
        self._bus = bus
        self._repair = repair
        self._attendance = attendance
        self._whereabouts = whereabouts
        self._acquaintance = acquaintance
        self._own = envelope.mark_of(bus.node_id)
        self.refused = 0
        # How long events took to all sockets here: since their commit here, or since the bus brought them.
        self.to_sockets = {"local": Histogram(), "bus": Histogram()}
        self._offered: list[tuple[str, float]] = []

    def changed(
        self,
        message: Message,
        event: str,
        subject: Conversation | None = None,
        reaction: Reaction | None = None,
        *,
        committed_at: float | None = None,
    ) -> None:
        """A durable event, after its commit; `committed_at`, on the monotonic clock, where that is to be measured."""
        body = frames.encode(frames.change(message, event, None, subject, reaction))
        change = envelope.Change(
            message.change,
            message.change - 1,
            message.seq,
            body,
            envelope.move_of(message),
            envelope.news_of(message) if event == "message.new" else None,
        )
        feed = self._hub.feeds.get(message.conversation_id)
        if feed is not None:
            self._offer(feed, change, "local", committed_at)
        self._publish(self._bus.channels.conversation(message.conversation_id), change)

    def joined(self, conversation_id: ConversationId, user_ids: Iterable[UserId]) -> None:
        """These users came into a conversation."""
        told = envelope.Joined(conversation_id)
        for user_id in user_ids:
            if user_id in self._hub.people:
                self._repair.bring_in(conversation_id, user_id)
            self._publish(self._bus.channels.user(user_id), told)

    def deleted(self, conversation_id: ConversationId) -> None:
        """A conversation is gone."""
        feed = self._hub.feeds.get(conversation_id)
        if feed is not None:
            self._repair.delete(feed)
        body = frames.encode(frames.conversation_deleted(conversation_id))
        self._publish(self._bus.channels.conversation(conversation_id), envelope.Deleted(body))

    def typing(self, conversation_id: ConversationId, user_id: UserId, *, is_typing: bool) -> None:
        told = frames.typing(conversation_id, user_id, is_typing=is_typing)
        self._signal(conversation_id, envelope.Signal(user_id, frames.encode(told), is_shy=True))

    def signal(self, conversation_id: ConversationId, told: Mapping[str, Any]) -> None:
        """An ephemeral event, for everybody who hears a conversation's."""
        self._signal(conversation_id, envelope.Signal(NOBODY, frames.encode(told)))

    def read(self, receipt: Receipt, *, to_others: bool) -> None:
        """The reader's own devices learn what is left; the others, where they subscribed, how far he is."""
        told = frames.read(receipt)
        own = frames.encode(told | {"unread_count": receipt.unread_count})
        self._personal(receipt.user_id, own)
        if to_others:
            self._signal(receipt.conversation_id, envelope.Signal(receipt.user_id, frames.encode(told)))

    def revoked(self, user_id: UserId, not_before: datetime) -> None:
        """Somebody's tokens count no more."""
        before = int(not_before.timestamp())
        self._hub.revoke(user_id, before)
        self._publish(self._bus.channels.user(user_id), envelope.Revoked(before))

    def preferred(self, user_ids: Iterable[UserId]) -> None:
        """Somebody's blocks or notification settings have changed."""
        for user_id in user_ids:
            self._acquaintance.preferred(user_id)
            self._publish(self._bus.channels.user(user_id), envelope.Preferred())

    def notified(self, user_id: UserId, conversation_id: ConversationId, settings: NotificationSettings) -> None:
        """Somebody wants to be told of other things in a conversation: his devices agree."""
        self.preferred([user_id])
        self._personal(user_id, frames.encode(frames.notifications_updated(conversation_id, settings)))

    def profiled(self, user_id: UserId, profile_version: int) -> None:
        """Somebody has another name or picture."""
        self._acquaintance.profiled(user_id, profile_version)
        self._publish(self._bus.channels.profiles, envelope.Profiled(user_id, profile_version))

    def receive(self, channel: str, data: bytes) -> None:
        """One message of the bus; what is no valid envelope is dropped, counted and logged."""
        if envelope.is_echo(data, self._own):
            return  # our own devices were served before it was published
        arrived_at = monotonic()
        subject = self._bus.channels.subject(channel)
        if isinstance(subject, OfPresence):
            known = self._attendance.hear(data)
        elif isinstance(subject, OfWhereabouts):
            known = self._whereabouts.hear(data)
        else:
            told = envelope.decode(data)
            match subject, told:
                case OfConversation(conversation_id), envelope.Change() | envelope.Signal() | envelope.Deleted():
                    known = self._of_conversation(conversation_id, told, arrived_at)
                case OfUser(user_id), envelope.Personal(body):
                    known = self._push(user_id, body)
                case OfUser(user_id), envelope.Joined(conversation_id):
                    self._repair.bring_in(conversation_id, user_id)
                    known = True
                case OfUser(user_id), envelope.Revoked(before):
                    self._hub.revoke(user_id, before)
                    known = True
                case OfUser(user_id), envelope.Preferred():
                    self._acquaintance.preferred(user_id)
                    known = True
                case OfProfiles(), envelope.Profiled(user_id, profile_version):
                    self._acquaintance.profiled(user_id, profile_version)
                    known = True
                case _:
                    known = False
        if not known:
            self.refused += 1
            log.warning("bus message refused", channel=channel, bytes=len(data))

    def _of_conversation(
        self,
        conversation_id: ConversationId,
        told: envelope.Change | envelope.Signal | envelope.Deleted,
        arrived_at: float,
    ) -> bool:
        feed = self._hub.feeds.get(conversation_id)
        if feed is None:
            return True  # its last device here went in between
        match told:
            case envelope.Change():
                self._offer(feed, told, "bus", arrived_at)
            case envelope.Signal():
                feed.signal(told)
            case envelope.Deleted():
                self._repair.delete(feed)
        return True

    def _offer(self, feed: Feed, change: envelope.Change, path: str, since: float | None) -> None:
        position = feed.position
        feed.offer(change)
        # One that is old, or waits for the one before it, goes to no socket now. What does is written at the end of this tick.
        if since is not None and feed.position != position:
            if not self._offered:
                asyncio.get_running_loop().call_soon(self._observe)
            self._offered.append((path, since))

    def _observe(self) -> None:
        now = monotonic()
        for path, since in self._offered:
            self.to_sockets[path].observe(now - since)
        self._offered.clear()

    def _signal(self, conversation_id: ConversationId, told: envelope.Signal) -> None:
        feed = self._hub.feeds.get(conversation_id)
        if feed is not None:
            feed.signal(told)
        self._publish(self._bus.channels.conversation(conversation_id), told)

    def _personal(self, user_id: UserId, body: bytes) -> None:
        self._push(user_id, body)
        self._publish(self._bus.channels.user(user_id), envelope.Personal(body))

    def _push(self, user_id: UserId, body: bytes) -> bool:
        frame = frames.text_frame(body)
        for sink in self._hub.devices_of(user_id):
            sink.push(frame)
        return True

    def _publish(self, channel: str, told: envelope.Envelope) -> None:
        self._bus.publish(channel, envelope.encode(told, self._bus.node_id))
