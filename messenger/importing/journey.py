"""The story of an import: people, then channels, and in each its members, what was missing, and its messages page by page.

There is no file that says how far it came: what is in the database says it. A page is one transaction, and what came before is
passed over, so that an import that was killed goes on where it ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from messenger.chat_service import wording
from messenger.chat_service.errors import ChatServiceError, NotFound, RateLimited, Unauthorized
from messenger.chat_service.errors import Unavailable as VendorAway
from messenger.chat_service.platform import PlatformClient
from messenger.domain.channel import CHANNEL_URL
from messenger.domain.imported import Channel, LandedChannel, Member, Person
from messenger.importing import mapping
from messenger.importing.each import each
from messenger.importing.mapping import Json, Unreadable, shown
from messenger.importing.pages import Gone, Pages, not_given
from messenger.importing.people import People
from messenger.importing.progress import Steps
from messenger.importing.progress import shown as progress
from messenger.importing.report import Report
from messenger.store.importing import Landing, Unstorable

# Channels that are read at once: the vendor's limits are for all of them together.
CHANNELS_AT_ONCE = 4
PAGE = wording.MESSAGES_PAGE
PEOPLE_PAGE = 500
# A later import looks back so far: what had the earlier time may have come there after what had the later one.
OVERLAP_MS = 60_000
# How long one waits for the vendor before a channel is tried again, beside what each request waits by itself.
AGAIN_S = (1.0, 5.0)
# What an answer that is none of the vendor's makes of us.
MISUNDERSTOOD = (KeyError, TypeError, AttributeError, ValueError)


class Journey:
    """`only`: the channels that come over, all of them where empty; `from_start`: each is read again from its beginning.
    Raises what ends an import early: Unavailable, StorageAway and OSError of ours, Unauthorized of the vendor's. All else is in the
    report."""

    def __init__(
        self,
        vendor: PlatformClient,
        landing: Landing,
        people: People,
        pages: Pages,
        report: Report,
        only: Sequence[str],
        *,
        from_start: bool,
    ) -> None:
        self._vendor = vendor
        self._landing = landing
        self._people = people
        self._pages = pages
        self._report = report
        self._only = tuple(dict.fromkeys(only))
        self._from_start = from_start
        # Channels that were counted: one that is tried again is the same one.
        self._counted: set[str] = set()

    async def travel(self) -> None:
        if not self._only:
            await self._bring_everybody()
        channels = await self._named() if self._only else await self._listed()
        with progress("Channels", len(channels)) as steps:

            async def bring(told: Json) -> None:
                await self._bring_channel(told, steps)
                steps.step()

            await each(channels, bring, at_once=CHANNELS_AT_ONCE)

    async def _bring_everybody(self) -> None:
        with progress("Users") as steps:
            try:
                await self._patiently(lambda: self._bring_users(steps))
            except Unauthorized:
                raise
            except (ChatServiceError, *MISUNDERSTOOD) as error:
                self._report.fail("the list of users", _why(error))

    async def _bring_users(self, steps: Steps) -> None:
        page: list[Person] = []
        async for told in self._vendor.users():
            try:
                person = mapping.person(told)
            except Unreadable as error:
                self._report.fail("a user", str(error))
                continue
            if person.vendor_id in self._people:
                continue  # read before the vendor was away for a moment
            page.append(person)
            if told.get("is_active") is False:
                self._report.note("users who were deactivated there: here they are users as all others")
            if len(page) == PEOPLE_PAGE:
                await self._people.bring(page)
                steps.step(len(page))
                page = []
        await self._people.bring(page)
        steps.step(len(page))

    async def _listed(self) -> Sequence[Json]:
        channels: dict[str, Json] = {}

        async def read() -> None:
            async for told in self._vendor.channels():
                channels[str(told["channel_url"])] = mapping.slim(told)

        try:
            await self._patiently(read)
        except Unauthorized:
            raise
        except (ChatServiceError, *MISUNDERSTOOD) as error:
            self._report.fail("the list of channels", _why(error))
        return list(channels.values())

    async def _named(self) -> Sequence[Json]:
        channels: list[Json] = []
        for url in self._only:

            async def read(url: str = url) -> None:
                channels.append(mapping.slim(await self._vendor.get(wording.channel(url))))

            if not CHANNEL_URL.fullmatch(url):
                self._report.fail(f"channel {shown(url)}", mapping.NO_CHANNEL_URL)
                continue
            try:
                await self._patiently(read)
            except Unauthorized:
                raise
            except NotFound:
                self._report.fail(f"channel {shown(url)}", "there is no such channel")
            except (ChatServiceError, *MISUNDERSTOOD) as error:
                self._report.fail(f"channel {shown(url)}", _why(error))
        return channels

    async def _bring_channel(self, told: Json, steps: Steps) -> None:
        try:
            channel = mapping.channel(told)
            await self._patiently(lambda: self._bring_whole(told, channel, steps))
        except Unauthorized:
            raise
        except (ChatServiceError, Unreadable, Unstorable, Gone, *MISUNDERSTOOD) as error:
            self._report.fail(f"channel {shown(str(told.get('channel_url')))}", _why(error))

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        """Again where the vendor was away for longer than a request waits; a rehearsal would count twice."""
        for again_s in () if self._report.is_rehearsal else AGAIN_S:
            try:
                return await work()
            except (VendorAway, RateLimited):
                await asyncio.sleep(again_s)
        return await work()

    async def _bring_whole(self, told: Json, channel: Channel, steps: Steps) -> None:
        landed = await self._land(told, channel)
        if landed.outcome == "deleted":
            return
        url, conversation_id = channel.channel_url, landed.conversation_id
        if conversation_id is not None:
            await self._pages.mend(url, conversation_id)
            await self._pages.bring_missing(url, conversation_id)
        last = None if self._from_start else await self._landing.last_time(conversation_id)
        page: list[Json] = []
        async for message in self._vendor.messages(url, 0 if last is None else _before(last)):
            page.append(message)
            if len(page) == PAGE:
                await self._pages.bring(url, conversation_id, page)
                page = []
                steps.say(f"{self._report.counts['messages', 'new']:,} messages")
        await self._pages.bring(url, conversation_id, page)
        if conversation_id is not None:
            await self._landing.whole(conversation_id)
        steps.say(f"{self._report.counts['messages', 'new']:,} messages")

    async def _land(self, told: Json, channel: Channel) -> LandedChannel:
        """The channel itself, with its people."""
        members, people, invited = [], [], 0
        async for one in self._vendor.members(channel.channel_url):
            member = mapping.member(one, channel.created_at)
            if member is None:
                invited += 1
            else:
                members.append(member)
                people.append(mapping.person(one))
        creator = mapping.creator(told) or _first(members)
        await self._people.bring([*people, creator])
        landed = await self._landing.channel(
            channel,
            self._people[creator.vendor_id],
            [(self._people[member.vendor_id], member) for member in members],
            anew=bool(self._only),
        )
        self._report.count("members", "new", landed.joined)
        if channel.channel_url not in self._counted:
            self._counted.add(channel.channel_url)
            self._report.count("channels", landed.outcome)
            if landed.outcome in ("made", "known"):
                self._tell(told, members, invited)
        return landed

    def _tell(self, told: Json, members: Sequence[Member], invited: int) -> None:
        """What a channel was there that it is not here."""
        for said in mapping.kinds(told):
            self._report.note(said)
        if invited:
            self._report.note("invitations that nobody has accepted yet: they did not come over", invited)
        if not members:
            self._report.note("channels without members: nobody sees them until the host application adds somebody")


def _first(members: Sequence[Member]) -> Person:
    """Who stands for the maker of a channel: its first operator, its first member, or nobody of theirs."""
    if not members:
        return mapping.STAND_INS[mapping.ADMIN]
    found = next((member for member in members if member.role == "admin"), members[0])
    return Person(found.vendor_id, mapping.named(found.vendor_id))


def _before(last: datetime) -> int:
    """From when on one looks again, in milliseconds."""
    since_1970 = last - datetime(1970, 1, 1, tzinfo=UTC)
    return max(0, int(since_1970.total_seconds() * 1000) - OVERLAP_MS)


def _why(error: Exception) -> str:
    """What went wrong, in a line, without an address and without content."""
    match error:
        case Unreadable():
            return str(error)
        case Gone():
            return "it was deleted here while it came over"
        case ChatServiceError():
            return not_given(error)
        case Unstorable():
            return f"the database refuses it ({error})"
    return f"the vendor's answer was not understood ({type(error).__name__})"
