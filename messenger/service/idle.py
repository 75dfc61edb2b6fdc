"""What may be cleared away: it has lain idle, and its person is not there."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from messenger.domain.ids import ConversationId, UserId


class Survey(Protocol):
    """Who is online and who is not; whoever nobody can tell of is left out."""

    @property
    def online(self) -> Mapping[UserId, bool]: ...


class WhoIsOffline(Protocol):
    async def survey(self, user_ids: Iterable[UserId]) -> Survey | None: ...


async def abandoned(
    find: Callable[[int], Awaitable[Sequence[tuple[ConversationId, UserId]]]], presence: WhoIsOffline, most: int
) -> Sequence[tuple[ConversationId, UserId]]:
    """Of the `most` that have lain idle for longest those whose person is offline; of more, where each of them is there.
    Nothing while nobody can tell. Raises what `find` raises."""
    while True:
        found = await find(most)
        survey = await presence.survey(user_id for _, user_id in found)
        if survey is None:
            return []
        gone = [(place, user_id) for place, user_id in found if survey.online.get(user_id) is False]
        if gone or len(found) < most:
            return gone
        most *= 2
