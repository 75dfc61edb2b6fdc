"""Which devices are told when somebody comes online or goes: by `presence` or by subscribing to a conversation of his."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from messenger.domain.ids import UserId
from messenger.fanout.sink import Sink

# The reason of those whom a device named in a `presence` frame; a conversation's feed is the reason of its participants.
ASKED = "asked"


@dataclass(slots=True)
class _Watch:
    """Why a device watches somebody, and what it was told of him last; None before it knows."""

    reasons: set[Hashable] = field(default_factory=set)
    told: bool | None = None


class Watches:
    """A device watches a user for one or more reasons; it is told each transition once, and no longer than any reason
    lasts. `are_apart(watcher, watched)`: as long as a block stands between the two, the watched is offline to the watcher."""

    def __init__(self, are_apart: Callable[[UserId, UserId], bool]) -> None:
        self._are_apart = are_apart
        self._watchers: dict[UserId, dict[Sink, _Watch]] = {}
        self._watched: dict[Sink, set[UserId]] = {}

    def __len__(self) -> int:
        return len(self._watchers)

    def watch(self, sink: Sink, reason: Hashable, user_ids: Iterable[UserId]) -> None:
        """Begin to listen. Before asking who is online: a transition in between would vanish."""
        for user_id in user_ids:
            if user_id != sink.user_id:
                watch = self._watchers.setdefault(user_id, {}).setdefault(sink, _Watch())
                watch.reasons.add(reason)
                self._watched.setdefault(sink, set()).add(user_id)

    def visible(self, sink: Sink, user_ids: Iterable[UserId]) -> set[UserId]:
        """Those of these between whom and the device's user no block stands."""
        return {user_id for user_id in user_ids if not self._are_apart(sink.user_id, user_id)}

    def answer(self, sink: Sink, user_ids: Iterable[UserId], online: set[UserId]) -> set[UserId]:
        """Who of these is online, as the device is about to be told: what it was told before is put right by a transition,
        and what was heard meanwhile is newer than `online`."""
        found = set()
        for user_id in user_ids:
            watch = self._watchers.get(user_id, {}).get(sink)
            is_online = user_id in online
            if watch is not None and watch.told is None:
                watch.told = is_online
            if is_online if watch is None else watch.told:
                found.add(user_id)
        return found

    def turned(self, user_id: UserId, *, online: bool) -> list[Sink]:
        """Somebody came online or went: whom to tell. Redis may say it again after it forgot; a device hears it once."""
        sinks = []
        for sink, watch in self._watchers.get(user_id, {}).items():
            if watch.told is not online and not self._are_apart(sink.user_id, user_id):
                watch.told = online
                sinks.append(sink)
        return sinks

    def parted(self, sink: Sink) -> list[UserId]:
        """A block stands where there was none: whom this device was told to be online and may not see any more."""
        found = []
        for user_id in self._watched.get(sink, ()):
            watch = self._watchers[user_id][sink]
            if watch.told and self._are_apart(sink.user_id, user_id):
                watch.told = False
                found.append(user_id)
        return found

    def beliefs(self) -> dict[UserId, set[bool]]:
        """What devices here were told of those whom they watch and may see."""
        return {
            user_id: told
            for user_id, watchers in self._watchers.items()
            if (
                told := {
                    watch.told
                    for sink, watch in watchers.items()
                    if watch.told is not None and not self._are_apart(sink.user_id, user_id)
                }
            )
        }

    def unwatch(self, sink: Sink, reason: Hashable, user_ids: Iterable[UserId] | None = None) -> None:
        """Take one reason away, for these users or for all."""
        for user_id in list(self._watched.get(sink, ()) if user_ids is None else user_ids):
            watch = self._watchers.get(user_id, {}).get(sink)
            if watch is not None:
                watch.reasons.discard(reason)
                if not watch.reasons:
                    self._end(sink, user_id)

    def forget(self, sink: Sink) -> None:
        for user_id in list(self._watched.get(sink, ())):
            self._end(sink, user_id)

    def watched_by(self, sink: Sink, reason: Hashable) -> set[UserId]:
        """Whom a device watches for one reason."""
        return {user_id for user_id in self._watched.get(sink, ()) if reason in self._watchers[user_id][sink].reasons}

    def _end(self, sink: Sink, user_id: UserId) -> None:
        sinks = self._watchers[user_id]
        del sinks[sink]
        if not sinks:
            del self._watchers[user_id]
        watched = self._watched[sink]
        watched.discard(user_id)
        if not watched:
            del self._watched[sink]
