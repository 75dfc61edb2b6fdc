"""Between the use cases, the bus and the feeds: what was committed is handed to this node's devices and told to the others.

Local devices are served at once, without waiting for the echo, which is then old. Nothing here waits or fails.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import structlog

from messenger.bus.bus import Bus
from messenger.bus.channels import OfConversation, OfPresence, OfUser
from messenger.domain.conversation import Conversation, Receipt
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import Message
from messenger.fanout.attendance import Attendance
from messenger.fanout.hub import Hub
from messenger.fanout.repair import Repair
from messenger.protocol import envelope, frames

log = structlog.get_logger(__name__)


class Relay:
    """The use cases' Announcer, and the reader of the bus."""

    def __init__(self, hub: Hub, bus: Bus, repair: Repair, attendance: Attendance) -> None:
        self._hub = hub
        self._bus = bus
        self._repair = repair
        self._attendance = attendance
        self.refused = 0

    def changed(self, message: Message, event: str, subject: Conversation | None = None) -> None:
        """A durable event, after its commit."""
        body = frames.encode(frames.change(message, event, None, subject))
        change = envelope.Change(message.change, message.change - 1, message.seq, body, envelope.move_of(message))
        feed = self._hub.feeds.get(message.conversation_id)
        if feed is not None:
            feed.offer(change)
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
        self._signal(conversation_id, user_id, frames.typing(conversation_id, user_id, is_typing=is_typing))

    def read(self, receipt: Receipt, *, to_others: bool) -> None:
        """The reader's own devices learn what is left; the others, where they subscribed, how far he is."""
        told = frames.read(receipt)
        own = frames.encode(told | {"unread_count": receipt.unread_count})
        self._personal(receipt.user_id, own)
        if to_others:
            self._signal(receipt.conversation_id, receipt.user_id, told)

    def revoked(self, user_id: UserId, not_before: datetime) -> None:
        """Somebody's tokens count no more."""
        before = int(not_before.timestamp())
        self._hub.revoke(user_id, before)
        self._publish(self._bus.channels.user(user_id), envelope.Revoked(before))

    def receive(self, channel: str, data: bytes) -> None:
        """One message of the bus; what is no valid envelope is dropped, counted and logged."""
        subject = self._bus.channels.subject(channel)
        if isinstance(subject, OfPresence):
            known = self._attendance.hear(data)
        else:
            origin, told = envelope.decode(data) or ("", None)
            if origin == self._bus.node_id:
                return  # the echo: our own devices were served before it was published
            match subject, told:
                case OfConversation(conversation_id), envelope.Change() | envelope.Signal() | envelope.Deleted():
                    known = self._of_conversation(conversation_id, told)
                case OfUser(user_id), envelope.Personal(body):
                    known = self._push(user_id, body)
                case OfUser(user_id), envelope.Joined(conversation_id):
                    self._repair.bring_in(conversation_id, user_id)
                    known = True
                case OfUser(user_id), envelope.Revoked(before):
                    self._hub.revoke(user_id, before)
                    known = True
                case _:
                    known = False
        if not known:
            self.refused += 1
            log.warning("bus message refused", channel=channel, bytes=len(data))

    def _of_conversation(
        self, conversation_id: ConversationId, told: envelope.Change | envelope.Signal | envelope.Deleted
    ) -> bool:
        feed = self._hub.feeds.get(conversation_id)
        if feed is None:
            return True  # its last device here went in between
        match told:
            case envelope.Change():
                feed.offer(told)
            case envelope.Signal(except_user, body):
                feed.signal(frames.text_frame(body), except_user)
            case envelope.Deleted():
                self._repair.delete(feed)
        return True

    def _signal(self, conversation_id: ConversationId, except_user: UserId, told: dict[str, Any]) -> None:
        body = frames.encode(told)
        feed = self._hub.feeds.get(conversation_id)
        if feed is not None:
            feed.signal(frames.text_frame(body), except_user)
        self._publish(self._bus.channels.conversation(conversation_id), envelope.Signal(except_user, body))

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
