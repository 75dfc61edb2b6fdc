"""Which devices are told when somebody comes online or goes: by `presence` or by subscribing to a conversation of his."""

from collections.abc import Hashable, Iterable

from messenger.domain.ids import UserId
from messenger.fanout.sink import Sink

# The reason of those whom a device named in a `presence` frame; a conversation's feed is the reason of its participants.
ASKED = "asked"


class Watches:
    """A device watches a user for one or more reasons; it is told once, and no longer than any reason lasts."""

    def __init__(self) -> None:
        self._watchers: dict[UserId, dict[Sink, set[Hashable]]] = {}
        self._watched: dict[Sink, set[UserId]] = {}

    def __len__(self) -> int:
        return len(self._watchers)

    def watch(self, sink: Sink, reason: Hashable, user_ids: Iterable[UserId]) -> None:
        for user_id in user_ids:
            if user_id != sink.user_id:
                self._watchers.setdefault(user_id, {}).setdefault(sink, set()).add(reason)
                self._watched.setdefault(sink, set()).add(user_id)

    def unwatch(self, sink: Sink, reason: Hashable, user_ids: Iterable[UserId] | None = None) -> None:
        """Take one reason away, for these users or for all."""
        for user_id in list(self._watched.get(sink, ()) if user_ids is None else user_ids):
            reasons = self._watchers.get(user_id, {}).get(sink)
            if reasons is not None:
                reasons.discard(reason)
                if not reasons:
                    self._end(sink, user_id)

    def forget(self, sink: Sink) -> None:
        for user_id in list(self._watched.get(sink, ())):
            self._end(sink, user_id)

    def watchers_of(self, user_id: UserId) -> list[Sink]:
        return list(self._watchers.get(user_id, ()))

    def watched_by(self, sink: Sink, reason: Hashable) -> set[UserId]:
        """Whom a device watches for one reason."""
        return {user_id for user_id in self._watched.get(sink, ()) if reason in self._watchers[user_id][sink]}

    def _end(self, sink: Sink, user_id: UserId) -> None:
        sinks = self._watchers[user_id]
        del sinks[sink]
        if not sinks:
            del self._watchers[user_id]
        watched = self._watched[sink]
        watched.discard(user_id)
        if not watched:
            del self._watched[sink]
