"""The people and devices of this node, and the feeds that they need. Maps only: repairing and subscribing stand beside it.

After everybody has left, every map here is empty.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic

from messenger.domain.conversation import Role
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.user import Preferences
from messenger.fanout.feed import Feed, Member
from messenger.fanout.sink import Sink
from messenger.fanout.watches import Watches
from messenger.protocol.envelope import Move, News

# Longer than coming in can take.
LATELY_S = 120.0


@dataclass(slots=True, eq=False)
class Person:
    """A user with a device here. `opened` is done once his feeds are; `hints` are conversations to look at then."""

    opened: asyncio.Future[None]
    preferences: Preferences = Preferences()
    devices: dict[Sink, None] = field(default_factory=dict)
    feeds: set[Feed] = field(default_factory=set)
    hints: set[ConversationId] = field(default_factory=set)

    @property
    def is_open(self) -> bool:
        return self.opened.done()

    def shift(self) -> None:
        """His devices, or what he wants, are others."""
        for feed in self.feeds:
            feed.shift()


class Hub:
    """The callbacks are called on the event loop and must not wait.

    `on_hole(feed)`: it is behind. `on_came(feed, user_id)`: somebody with a device here joined. `on_left(user_id)`: somebody
    was taken out of a conversation. `on_closed(feed)`: nobody here is in it any more.
    """

    def __init__(
        self,
        on_hole: Callable[[Feed], None],
        on_came: Callable[[Feed, UserId], None],
        on_left: Callable[[UserId], None],
        on_closed: Callable[[Feed], None],
    ) -> None:
        self.people: dict[UserId, Person] = {}
        self.feeds: dict[ConversationId, Feed] = {}
        self.watches = Watches(self.are_apart)
        # Lately revoked, and until when that is kept: whose token was looked at before may only be let in after.
        self._revoked: OrderedDict[UserId, tuple[int, float]] = OrderedDict()
        self._on_hole = on_hole
        self._on_came = on_came
        self._on_left = on_left
        self._on_closed = on_closed

    @property
    def devices(self) -> list[Sink]:
        return [sink for person in self.people.values() for sink in person.devices]

    def devices_of(self, user_id: UserId) -> list[Sink]:
        person = self.people.get(user_id)
        return list(person.devices) if person else []

    def wants(self, user_id: UserId, conversation_id: ConversationId, news: News) -> bool:
        """Whether somebody with a device here wants to be told of a message."""
        person = self.people.get(user_id)
        if person is None or user_id == news.sender_id or news.sender_id in person.preferences.apart:
            return False
        settings = person.preferences.notifications.get(conversation_id)
        return settings is None or settings.wants(datetime.now(UTC), mentioned=user_id in news.mentions)

    def wants_all(self, user_id: UserId, conversation_id: ConversationId) -> bool:
        """Whether somebody with a device here wants to be told of every message, whoever wrote it and whenever."""
        person = self.people.get(user_id)
        if person is None:
            return False
        return not person.preferences.apart and conversation_id not in person.preferences.notifications

    def are_apart(self, user_id: UserId, other: UserId) -> bool:
        """Whether a block stands between somebody with a device here and another."""
        person = self.people.get(user_id)
        return person is not None and other in person.preferences.apart

    def role_of(self, conversation_id: ConversationId, user_id: UserId) -> Role | None:
        """The role of somebody with a device here; None where he is in no such conversation."""
        feed = self.feeds.get(conversation_id)
        member = feed.members.get(user_id) if feed else None
        return member.role if member is not None and member.is_live else None

    def is_large(self, conversation_id: ConversationId) -> bool:
        feed = self.feeds.get(conversation_id)
        return feed is not None and feed.is_large

    def feed(self, conversation_id: ConversationId) -> Feed:
        """The conversation's feed, made where there is none."""
        feed = self.feeds.get(conversation_id)
        if feed is None:
            feed = self.feeds[conversation_id] = Feed(conversation_id, self)
        return feed

    def enter(self, feed: Feed, user_id: UserId) -> Member:
        """Let a user into a feed, not live yet: what comes from now on is kept for him."""
        member = feed.members.setdefault(user_id, Member(backlog=[], since=feed.position))
        self.people[user_id].feeds.add(feed)
        feed.shift()
        return member

    def leave(self, feed: Feed, user_id: UserId) -> None:
        """Take a user out of a feed, with all his devices' subscriptions; nobody left closes it."""
        feed.members.pop(user_id, None)
        feed.shift()
        person = self.people.get(user_id)
        if person is not None:
            person.feeds.discard(feed)
            for sink in person.devices:
                self.unsubscribe(sink, feed)
        if not feed.members and self.feeds.get(feed.conversation_id) is feed:
            del self.feeds[feed.conversation_id]
            self._on_closed(feed)

    def admit(self, person: Person, sink: Sink) -> None:
        """Let a device hear from now on."""
        person.devices[sink] = None
        person.shift()
        before, _ = self._revoked.get(sink.user_id, (0, 0.0))
        sink.revoke(before)

    def revoke(self, user_id: UserId, before: int) -> None:
        """Close a user's devices whose tokens were issued before a second; those too that are on their way in."""
        now = monotonic()
        before = max(before, self._revoked.pop(user_id, (0, 0.0))[0])
        self._revoked[user_id] = before, now + LATELY_S
        self.forget_revocations(now)
        for sink in self.devices_of(user_id):
            sink.revoke(before)

    def forget_revocations(self, now: float) -> None:
        """Those of before `now` (monotonic): whoever was on his way in then is in by now."""
        while self._revoked and next(iter(self._revoked.values()))[1] <= now:
            self._revoked.popitem(last=False)

    def dismiss(self, sink: Sink) -> Person | None:
        """Forget a device; the person too, and returned, where it was his last."""
        person = self.people.get(sink.user_id)
        self.watches.forget(sink)
        if person is None or sink not in person.devices:
            return None
        for feed in person.feeds:
            feed.subscribers.pop(sink, None)
        del person.devices[sink]
        person.shift()
        return None if person.devices else self.forget(sink.user_id)

    def forget(self, user_id: UserId) -> Person | None:
        """Forget a person and his place in every feed."""
        person = self.people.get(user_id)
        if person is not None:
            for feed in list(person.feeds):
                self.leave(feed, user_id)
            del self.people[user_id]
        return person

    def subscribe(self, sink: Sink, feed: Feed) -> None:
        """Let a device have a conversation's ephemeral events."""
        feed.subscribers[sink] = None

    def watch(self, sink: Sink, conversation_id: ConversationId, participants: Iterable[UserId]) -> None:
        """Let a device that subscribed know when these come and go; in large conversations it has to ask."""
        feed = self.feeds.get(conversation_id)
        if feed is not None and sink in feed.subscribers and not feed.is_large:
            self.watches.watch(sink, feed, participants)

    def unsubscribe(self, sink: Sink, feed: Feed) -> None:
        feed.subscribers.pop(sink, None)
        self.watches.unwatch(sink, feed)

    def is_behind(self, feed: Feed) -> None:
        self._on_hole(feed)

    def moved(self, feed: Feed, move: Move, number: int) -> None:
        """Somebody came, went, or has another role, by a change that the feed has handed on."""
        member = feed.members.get(move.user_id)
        # He was told of it while he was brought in, and where he stands was read later.
        is_old = member is not None and number <= member.reached
        if move.kind == "came":
            if not feed.is_large:
                for sink in feed.subscribers:
                    self.watches.watch(sink, feed, [move.user_id])
            if move.user_id in self.people and not is_old:
                self._on_came(feed, move.user_id)
        elif move.kind == "went":
            for sink in feed.subscribers:
                self.watches.unwatch(sink, feed, [move.user_id])
            if member is not None and member.is_live and not is_old:
                self.leave(feed, move.user_id)
                self._on_left(move.user_id)
