"""What was missed, read back from PostgreSQL: holes in feeds, people brought into conversations, and the poll for both.

The bus is a hint. Whatever it lost is found here: at once where a number is missing, and within one interval where
nothing was heard at all. Content is read as one connected participant, under row-level security.
"""

import asyncio
from functools import partial
from time import monotonic

import structlog

from messenger.bus.bus import Bus
from messenger.domain.conversation import Conversation, Standing, Touched
from messenger.domain.ids import ConversationId, UserId
from messenger.domain.message import Message
from messenger.errors import NotParticipant, Unavailable
from messenger.fanout.acquaintance import Acquaintance
from messenger.fanout.chores import Chores
from messenger.fanout.feed import Feed, Member
from messenger.fanout.hub import Hub, Person
from messenger.fanout.watches import ASKED
from messenger.metrics import Histogram
from messenger.protocol import frames
from messenger.protocol.envelope import Change, move_of, news_of
from messenger.store.conversations import ConversationStore
from messenger.store.duties import Duties
from messenger.store.messages import MessageStore
from messenger.store.users import UserStore

log = structlog.get_logger(__name__)

PAGE = 200
# A poll that has no answer after so long has none for now, whatever becomes of it.
ANSWER_S = 5.0
# A change that arrived ahead of its turn mostly has the one before right behind it: two commits told in another order.
PATIENCE_S = 0.02


class Repair:
    """`poll_forever` is the anti-entropy; everything else is asked for by the hub."""

    def __init__(
        self,
        hub: Hub,
        bus: Bus,
        chores: Chores,
        messages: MessageStore,
        conversations: ConversationStore,
        duties: Duties,
        users: UserStore,
        acquaintance: Acquaintance,
        *,
        interval_s: float,
    ) -> None:
        self._hub = hub
        self._bus = bus
        self._chores = chores
        self._messages = messages
        self._conversations = conversations
        self._duties = duties
        self._users = users
        self._acquaintance = acquaintance
        self._interval_s = interval_s
        self._since = 0
        self._due = asyncio.Event()
        # Whom a failure kept from being brought in: the next poll tries again.
        self._owed: set[tuple[ConversationId, UserId]] = set()
        self.filled = 0
        self.poll_times = Histogram()
        # When the poll under way began, and whether the database answered the one before it.
        self._asked_at: float | None = None
        self._was_answered = True

    @property
    def is_answered(self) -> bool:
        """Whether the database answers: the latest poll, or the one before it while that one is fresh."""
        return self._was_answered and (self._asked_at is None or monotonic() - self._asked_at < ANSWER_S)

    async def begin(self) -> None:
        """Remember where the first poll begins; before any device is let in. Raises Unavailable."""
        self._since = await self._duties.horizon()

    async def poll_forever(self) -> None:
        """Ask the database what was touched, every interval and at once when the bus was renewed."""
        while True:
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            try:
                self._asked_at = began = monotonic()
                await self.poll()
                self.poll_times.observe(monotonic() - began)
                self._was_answered = True
            except Unavailable:
                log.warning("poll put off")
                self._was_answered = False
            except Exception:  # a node without its poll would lose what the bus loses
                log.exception("poll failed")
                # What is away is Unavailable. That no poll comes to its end has an alert of its own, which wants the database up.
                self._was_answered = True
            finally:
                self._asked_at = None

    def hurry(self) -> None:
        """The bus has a new connection: something may have been lost."""
        self._due.set()

    async def poll(self) -> None:
        """One look at what was touched since the last one. Raises Unavailable."""
        # The horizon first, so that nothing lies between this poll and the next. Who is asked about is settled a moment before
        # the answer is: whoever comes in meanwhile, and is taken into a conversation at once, is found from that horizon on.
        horizon = await self._duties.horizon()
        touched = await self._duties.touched_since(self._since, list(self._hub.people))
        people = await self._duties.people_since(self._since)
        self._since = horizon
        for conversation in touched:
            self._look_at(conversation)
        for somebody in people:
            if somebody.tokens_not_before is not None:
                self._hub.revoke(somebody.user_id, int(somebody.tokens_not_before.timestamp()))
            if somebody.profile_version is not None:
                self._acquaintance.profiled(somebody.user_id, somebody.profile_version)
            self._acquaintance.preferred(somebody.user_id)
        self._acquaintance.settle()
        self._hub.forget_revocations(monotonic())
        # What a failure left undone is reported by no later poll.
        for feed in list(self._hub.feeds.values()):
            if feed.is_behind:
                self.mend(feed)
        owed, self._owed = self._owed, set()
        for conversation_id, user_id in owed:
            self.bring_in(conversation_id, user_id)

    def _look_at(self, touched: Touched) -> None:
        feed = self._hub.feeds.get(touched.conversation_id)
        if feed is not None and touched.deleted:
            self.delete(feed)
            return
        if feed is not None and touched.last_change > feed.heard:
            feed.heard = touched.last_change
            if feed.is_behind:
                self.mend(feed)
        for user_id in touched.user_ids:
            if feed is None or user_id not in feed.members:
                self.bring_in(touched.conversation_id, user_id)

    def on_hole(self, feed: Feed) -> None:
        """A change came ahead of its turn: wait a moment, then read what is missing."""
        self._chores.start(("hole", feed.conversation_id), partial(self._mend_soon, feed))

    def mend(self, feed: Feed) -> None:
        self._chores.start(("mend", feed.conversation_id), partial(self._mend, feed))

    def bring_in(self, conversation_id: ConversationId, user_id: UserId) -> None:
        """A user came into a conversation: tell him of it, and let him live in its feed."""
        self._chores.start(("bring in", conversation_id, user_id), partial(self._bring_in, conversation_id, user_id))

    async def brought_in(self, conversation_id: ConversationId, user_id: UserId) -> bool:
        """Whether a user lives in a conversation's feed, where need be after bringing him in: he may have come into it
        a moment ago."""
        if self._hub.role_of(conversation_id, user_id) is None:
            self.bring_in(conversation_id, user_id)
            await self._chores.finished(("bring in", conversation_id, user_id))
        return self._hub.role_of(conversation_id, user_id) is not None

    def delete(self, feed: Feed) -> None:
        """A conversation is gone: tell everybody here, and forget it."""
        frame = frames.text_frame(frames.encode(frames.conversation_deleted(feed.conversation_id)))
        for user_id, member in list(feed.members.items()):
            if member.is_live:
                for sink in self._hub.devices_of(user_id):
                    sink.push(frame)
            self._hub.leave(feed, user_id)

    def review(self, user_id: UserId) -> None:
        """Somebody left a conversation: whom he met only there he no longer sees come and go."""
        self._chores.start(("review", user_id), partial(self._review, user_id))

    async def _review(self, user_id: UserId) -> None:
        watched = {sink: self._hub.watches.watched_by(sink, ASKED) for sink in self._hub.devices_of(user_id)}
        every = set().union(*watched.values())
        if every:
            visible = {user.id for user in await self._users.visible(user_id, list(every))}
            for sink, user_ids in watched.items():
                self._hub.watches.unwatch(sink, ASKED, user_ids - visible)

    async def change_of(self, message: Message, after: int, *, fresh: bool, reader: UserId) -> Change:
        """A message read back, as the durable event that tells it. Raises NotParticipant."""
        event = frames.event_of(message, fresh=fresh)
        subject: Conversation | None = None
        if event == "conversation.updated":
            subject = await self._conversations.find(reader, message.conversation_id)
        body = frames.encode(frames.change(message, event, after, subject))
        news = news_of(message) if event == "message.new" else None
        return Change(message.change, after, message.seq, body, move_of(message), news)

    def _is_current(self, feed: Feed) -> bool:
        return self._hub.feeds.get(feed.conversation_id) is feed

    async def _mend_soon(self, feed: Feed) -> None:
        await asyncio.sleep(PATIENCE_S)
        if self._is_current(feed) and feed.is_behind:
            self.mend(feed)

    async def _mend(self, feed: Feed) -> None:
        while self._is_current(feed) and feed.is_behind:
            try:
                if not await self._read_on(feed):
                    return
            except NotParticipant:
                continue  # the reader was removed in between: the next round finds it out

    async def _read_on(self, feed: Feed) -> bool:
        """One page. False where there is nothing to be done before the next poll."""
        position, heard, live = feed.position, feed.heard, feed.live
        standing = {item.user_id: item for item in await self._duties.standing(feed.conversation_id, live)}
        for user_id in live:
            member = feed.members.get(user_id)
            if user_id not in standing and member is not None:
                await self._depart(feed, user_id, member)
        if position is None or not standing:
            # Nobody live to read as: whoever is being brought up reads for himself from where the log is by then.
            # Who stays live all the same came meanwhile, or is in a conversation that was deleted.
            if not feed.live:
                feed.advance(heard)
            return feed.live != live
        for item in standing.values():
            member = feed.members.get(item.user_id)
            if member is not None:
                feed.place(member, item.role, item.first_seq)
        # Whoever sees most reads for all; what the others may not see is kept from them by the feed.
        reader = min(standing.values(), key=lambda item: item.first_seq)
        page = await self._messages.changes(reader.user_id, feed.conversation_id, position, PAGE)
        last = page[-1].change if page else position
        is_whole = len(page) == last - position and (len(page) == PAGE or last >= reader.last_change)
        if not is_whole and not await self._still_stands(reader):
            return True  # what is missing was hidden from him alone: begin anew
        after = position
        for message in page:
            change = await self.change_of(message, after, fresh=feed.is_news(message.seq), reader=reader.user_id)
            feed.offer(change)
            after = message.change
        self.filled += len(page)
        if len(page) < PAGE:
            feed.advance(reader.last_change)
            if feed.heard == heard:
                feed.settle()  # what was heard of and is not there was never committed
        return True

    async def _still_stands(self, reader: Standing) -> bool:
        """Whether a reader neither went nor came again meanwhile."""
        now = await self._duties.standing(reader.conversation_id, [reader.user_id])
        return [item.joined_change for item in now] == [reader.joined_change]

    async def _depart(self, feed: Feed, user_id: UserId, member: Member) -> None:
        """Somebody was removed without our hearing of it: the one thing that he may still be told is that."""
        was_live = member.is_live
        told = await self._messages.departure(user_id, feed.conversation_id)
        if told is None and await self._duties.standing(feed.conversation_id, [user_id]):
            raise NotParticipant  # he is back, so what was read of who is here is of no use: begin anew
        if told is None or not self._is_member(feed, user_id, member) or member.is_live is not was_live:
            return  # he left the feed meanwhile, or begins anew in it
        end = feed.position if member.told is None else member.told
        after = min(end or 0, told.change - 1)
        feed.tell(user_id, await self.change_of(told, after, fresh=True, reader=user_id))
        self._hub.leave(feed, user_id)
        self.review(user_id)

    async def _bring_in(self, conversation_id: ConversationId, user_id: UserId) -> None:
        person = self._hub.people.get(user_id)
        if person is None:
            return
        if not person.is_open:
            person.hints.add(conversation_id)
            return
        try:
            await self._let_in(person, conversation_id, user_id)
        except NotParticipant:  # he goes and comes faster than we read
            self._owed.add((conversation_id, user_id))
        except Exception:
            if self._hub.people.get(user_id) is person:
                self._owed.add((conversation_id, user_id))
            raise

    async def _let_in(self, person: Person, conversation_id: ConversationId, user_id: UserId) -> None:
        standing = await self._duties.standing(conversation_id, [user_id])
        if self._hub.people.get(user_id) is not person:
            return
        channel = self._bus.channels.conversation(conversation_id)
        is_new = conversation_id not in self._hub.feeds
        if not standing and (is_new or user_id not in self._hub.feeds[conversation_id].members):
            return  # a stranger asks: no channel is opened for him
        feed = self._hub.feed(conversation_id)
        member = self._hub.enter(feed, user_id)
        if member.is_live:
            if standing:  # he may have come again, and nobody here have seen him go
                feed.place(member, standing[0].role, standing[0].first_seq)
            return
        stays = False
        try:
            # Subscribe before reading: a message sent in between would vanish. The channel is counted once a feed.
            if is_new:
                await self._bus.subscribe([channel])
            elif feed.position is None:
                await self._bus.confirm([channel])
            if conversation_id in person.preferences.notifications:  # of when he was in it before: that went with him
                self._acquaintance.preferred(user_id)
                await self._acquaintance.heeded(user_id)
            stays = await self._bring_up(feed, user_id, member)
        except NotParticipant:
            if member.told is not None:  # his devices hold it from before
                await self._depart(feed, user_id, member)
        finally:
            if not stays and self._is_member(feed, user_id, member):
                self._hub.leave(feed, user_id)

    def _is_member(self, feed: Feed, user_id: UserId, member: Member) -> bool:
        """Whether somebody is still in a feed, and has not come anew."""
        return self._is_current(feed) and feed.members.get(user_id) is member

    async def _bring_up(self, feed: Feed, user_id: UserId, member: Member) -> bool:
        """Tell a newcomer of the conversation as it was before he came, then all that came since. False: he went again."""
        conversation = await self._conversations.find(user_id, feed.conversation_id)
        start = after = max(conversation.joined_change - 1, 0)
        reached = conversation.last_change
        changes: list[Change] = []
        first_seq = 1
        while True:
            page = await self._messages.changes(user_id, feed.conversation_id, after, PAGE)
            if page and not changes and start:
                first_seq = page[0].seq
            for message in page:
                fresh = message.seq >= first_seq
                changes.append(await self.change_of(message, after, fresh=fresh, reader=user_id))
                after = message.change
            own = [(it.change, it.move) for it in changes if it.move is not None and it.move.user_id == user_id]
            if any(move.kind == "came" and number > conversation.joined_change for number, move in own):
                return await self._bring_up(feed, user_id, member)  # he went and came again since we asked
            reached = max(reached, after)
            if not self._is_member(feed, user_id, member):
                return True  # he, or the conversation, is gone: nothing is left to undo
            if len(page) < PAGE and (member.since is None or reached >= member.since):
                break
            if len(page) < PAGE:
                reached = (await self._conversations.find(user_id, feed.conversation_id)).last_change
        before = frames.conversation_created(conversation)
        before["conversation"] |= {"last_change": start, "last_seq": first_seq - 1}
        created = frames.text_frame(frames.encode(before))
        for sink in self._hub.devices_of(user_id):
            sink.push(created)
        feed.place(member, own[-1][1].role if own else conversation.my_role, conversation.first_seq)
        for change in changes:
            feed.tell(user_id, change)
        if not feed.enliven(user_id, after, reached):
            return False
        if feed.position is None:
            last_seq = max((change.seq for change in changes), default=conversation.last_seq)
            feed.open(reached, last_seq, conversation.participant_count)
        return True
