"""One conversation's log position on this node: what comes next is handed on, what is old is dropped, a hole is reported.

No I/O and no waiting: whoever calls is on the event loop, and order is the order of calls.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from messenger.domain.conversation import LARGE, Role
from messenger.domain.ids import ConversationId, UserId
from messenger.fanout.sink import Sink
from messenger.protocol import frames
from messenger.protocol.envelope import Change, Move, News, Signal

Push: TypeAlias = Callable[[bytes], None]

# Changes that arrived ahead of their turn, kept until the one before comes or is read from the database.
MOST_PARKED = 256


@dataclass(slots=True)
class Member:
    """A participant with a device on this node.

    `backlog` collects what comes while he is being brought up; None once he is live. It holds everything above `since`,
    which is None while the feed itself has no position.
    `reached`: what he was told before he went live, or is told by `sync`; the feed itself may be behind that.
    `told`: his log ends there, because what followed was not for his eyes; None while he is in step with the feed, and for a
    newcomer.
    """

    role: Role = "member"
    first_seq: int = 1
    backlog: list[Change] | None = None
    since: int | None = None
    reached: int = 0
    told: int | None = None

    @property
    def is_live(self) -> bool:
        return self.backlog is None

    def may_see(self, change: Change, user_id: UserId) -> bool:
        """Nothing from before his history begins; but that he went, though he may be back by now and it begin later."""
        move = change.move
        return change.seq >= self.first_seq or (move is not None and move.kind == "went" and move.user_id == user_id)


class Surroundings(Protocol):
    """What a feed asks of the hub, and what it tells it; all on the event loop, and nothing waits."""

    def devices_of(self, user_id: UserId) -> Iterable[Sink]: ...

    def wants_all(self, user_id: UserId, conversation_id: ConversationId) -> bool:
        """Whether somebody with a device here wants to be told of every message, whoever wrote it and whenever."""

    def wants(self, user_id: UserId, conversation_id: ConversationId, news: News) -> bool:
        """Whether somebody with a device here wants to be told of a message."""

    def are_apart(self, user_id: UserId, other: UserId) -> bool:
        """Whether a block stands between somebody with a device here and another."""

    def is_behind(self, feed: "Feed") -> None:
        """There is a hole in what the feed heard."""

    def moved(self, feed: "Feed", move: Move, number: int) -> None: ...


class Feed:
    """`position` is the last change handed on; None until it was read after subscribing."""

    def __init__(self, conversation_id: ConversationId, surroundings: Surroundings) -> None:
        self.conversation_id = conversation_id
        self.position: int | None = None
        self.heard = 0
        self.last_seq = 0
        self.participant_count = 0
        self.members: dict[UserId, Member] = {}
        self.subscribers: dict[Sink, None] = {}
        # Messages that were passed over in the order of changes: an edit of one that nobody here has seen is news.
        self._unseen: set[int] = set()
        self._parked: dict[int, Change] = {}
        self._around = surroundings
        # Who is told the same, device by device, and who is not; None where somebody came, went, or is another since.
        self._sides: tuple[list[tuple[UserId, Push]], list[UserId]] | None = None

    @property
    def is_behind(self) -> bool:
        """A change was heard of that was not handed on yet."""
        return self.position is not None and self.heard > self.position

    @property
    def live(self) -> list[UserId]:
        return [user_id for user_id, member in self.members.items() if member.is_live]

    @property
    def is_large(self) -> bool:
        return self.participant_count > LARGE

    def shift(self) -> None:
        """Somebody in it came, went, or is another in what counts for telling him."""
        self._sides = None

    def place(self, member: Member, role: Role, first_seq: int) -> None:
        """Where a member stands, as it was read."""
        member.role, member.first_seq = role, first_seq
        self.shift()

    def open(self, position: int, last_seq: int, participant_count: int) -> None:
        """Begin at a position that was read after subscribing; what was heard above it meanwhile is a hole."""
        self.position = position
        self.last_seq = last_seq
        self.participant_count = participant_count
        for member in self.members.values():
            member.since = position
        self._take_parked()
        if self.is_behind:
            self._around.is_behind(self)

    def offer(self, change: Change) -> None:
        """A change, from wherever it was heard: next, old, or ahead of a hole."""
        self.heard = max(self.heard, change.change)
        if self.position is None:
            self._park(change)
        elif change.change <= self.position:
            return
        elif change.after <= self.position:
            self._hand(change)
            self._take_parked()
        else:
            self._park(change)
            self._around.is_behind(self)

    def advance(self, position: int) -> None:
        """Everything up to `position` was read from the database: what is still missing is for nobody's eyes here."""
        if self.position is None or position <= self.position:
            return
        self.shift()
        for member in self.members.values():
            if not member.is_live:
                member.since = position
            elif member.told is None:
                member.told = self.position
        self.position = position
        self._unseen.clear()
        self._take_parked()

    def is_news(self, seq: int) -> bool:
        """Whether a message was never handed on here, in any state."""
        return seq > self.last_seq or seq in self._unseen

    def settle(self) -> None:
        """Forget what was heard of above the position: the database does not know it."""
        self.heard = self.position or 0

    def tell(self, user_id: UserId, change: Change, notification_for: Callable[[UserId], bytes] | None = None) -> None:
        """Hand one change to one member's devices, if it is for his eyes, and right behind it what he wants to be told."""
        member = self.members[user_id]
        if not member.may_see(change, user_id):
            if member.told is None:
                member.told = change.after
                self.shift()
            return
        body = change.body
        if member.told is not None:
            if member.told < change.after:
                body = frames.retold(body, member.told)
            member.told = None
            self.shift()
        notification_for = notification_for or self._notifications(change)
        self._push(user_id, frames.text_frame(body) + notification_for(user_id))

    def enliven(self, user_id: UserId, told: int, above: int) -> bool:
        """Hand over what a member's backlog holds above a change, and let him live; his log ends at `told`, because what is
        between the two was not for his eyes. False where the backlog says that he went."""
        self.shift()
        member = self.members[user_id]
        backlog, member.backlog = member.backlog or [], None
        member.reached = above
        member.told = told if told < above else None
        for change in backlog:
            if change.change > above:
                self.tell(user_id, change)
                if change.move is not None and change.move.user_id == user_id and change.move.kind == "went":
                    return False
        return True

    def admit(self, user_id: UserId, above: int) -> bool:
        """Let a member live from above a change on, without his backlog: his device catches up by `sync`. False where he
        went."""
        self.shift()
        member = self.members[user_id]
        moves = [
            change.move.kind
            for change in member.backlog or ()
            if change.change > above and change.move is not None and change.move.user_id == user_id
        ]
        member.backlog, member.reached = None, above
        return not moves or moves[-1] != "went"

    def signal(self, told: Signal) -> None:
        """An ephemeral event, for those who subscribed."""
        frame = frames.text_frame(told.body)
        for sink in list(self.subscribers):
            if sink.user_id != told.except_user and not (
                told.is_shy and self._around.are_apart(sink.user_id, told.except_user)
            ):
                sink.push(frame)

    def _hand(self, change: Change) -> None:
        self._begin_anew(change)
        frame = frames.text_frame(change.body)
        notification_for = self._notifications(change)
        crowd, others = self._sides or self._sort()
        # With what goes behind it in the same write: the same bytes for all who are told the same. This loop is what a delivery
        # costs beside its system call.
        if change.news is None:
            for _, push in crowd:
                push(frame)
        else:
            odd = {
                user_id: frame + notification_for(user_id) for user_id in (*change.news.mentions, change.news.sender_id)
            }
            both = frame + self._notification(change, change.news, mentioned=False)
            for user_id, push in crowd:
                push(odd.get(user_id, both))
        for user_id in others:
            member = self.members[user_id]
            if member.backlog is not None:
                member.backlog.append(change)
            elif change.change > member.reached:
                self.tell(user_id, change, notification_for)
        self.position = change.change
        self._unseen.update(range(self.last_seq + 1, change.seq))
        self._unseen.discard(change.seq)
        self.last_seq = max(self.last_seq, change.seq)
        if change.move is not None:
            self._move(change.move, change.change)

    def _sort(self) -> tuple[list[tuple[UserId, Push]], list[UserId]]:
        """The devices of those who see everything and want to be told of it; and everybody else."""
        crowd: list[tuple[UserId, Push]] = []
        others: list[UserId] = []
        for user_id, member in self.members.items():
            is_in_step = member.is_live and member.told is None and member.reached <= (self.position or 0)
            if is_in_step and member.first_seq == 1 and self._around.wants_all(user_id, self.conversation_id):
                crowd += [(user_id, sink.push) for sink in self._around.devices_of(user_id)]
            else:
                others.append(user_id)
        self._sides = crowd, others
        return crowd, others

    def _notifications(self, change: Change) -> Callable[[UserId], bytes]:
        """What goes right behind a change to those who want to be told."""
        news = change.news
        if news is None:
            return lambda user_id: b""
        made: dict[bool, bytes] = {}

        def of(user_id: UserId) -> bytes:
            if not self._around.wants(user_id, self.conversation_id, news):
                return b""
            mentioned = user_id in news.mentions
            if mentioned not in made:
                made[mentioned] = self._notification(change, news, mentioned=mentioned)
            return made[mentioned]

        return of

    def _notification(self, change: Change, news: News, *, mentioned: bool) -> bytes:
        told = frames.notification(self.conversation_id, change.seq, news, mentioned=mentioned)
        return frames.text_frame(frames.encode(told))

    def _begin_anew(self, change: Change) -> None:
        """Somebody comes who is here: that he went is in nobody's history here. He has to be brought up again; his log goes
        on from where it ended."""
        move = change.move
        member = self.members.get(move.user_id) if move is not None and move.kind == "came" else None
        if member is not None and member.is_live and change.change > member.reached:
            self.shift()
            member.told = self.position if member.told is None else member.told
            member.backlog, member.since = [], self.position

    def _move(self, move: Move, number: int) -> None:
        self.participant_count += {"came": 1, "went": -1, "role": 0}[move.kind]
        member = self.members.get(move.user_id)
        if member is not None and number > member.reached:
            member.role = move.role
        self._around.moved(self, move, number)

    def _push(self, user_id: UserId, frame: bytes) -> None:
        for sink in self._around.devices_of(user_id):
            sink.push(frame)

    def _park(self, change: Change) -> None:
        if len(self._parked) < MOST_PARKED:
            self._parked[change.change] = change

    def _take_parked(self) -> None:
        """Hand on what waited, as far as it follows; forget what is old by now."""
        if not self._parked or self.position is None:
            return
        for number in sorted(self._parked):
            if number <= self.position:
                del self._parked[number]
            elif self._parked[number].after <= self.position:
                self._hand(self._parked.pop(number))
