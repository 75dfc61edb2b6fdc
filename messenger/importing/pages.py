"""Messages: what of a page did not come over yet, in our terms and with its files, in one transaction."""

import re
from collections.abc import Mapping, Sequence

from messenger.chat_service import wording
from messenger.chat_service.errors import ChatServiceError, MessageNotFound, RateLimited, Unauthorized
from messenger.chat_service.errors import Unavailable as VendorAway
from messenger.chat_service.platform import PlatformClient
from messenger.domain.ids import ConversationId
from messenger.domain.imported import File, Message, MissingFile, Person, StoredFile
from messenger.errors import Conflict
from messenger.importing import mapping
from messenger.importing.files import Fetched, Files, NotBrought
from messenger.importing.mapping import Json, Unreadable
from messenger.importing.people import People
from messenger.importing.report import Report
from messenger.store.importing import Landing, Unstorable

# How often a page is begun anew because a file that was here before has just been cleared away.
ATTEMPTS = 3


class Gone(Exception):
    """Its conversation was deleted here while it came over."""


class Pages:
    """`longest`: what is a long message here, in characters. Raises Unavailable, Unauthorized, StorageAway, OSError."""

    def __init__(
        self,
        vendor: PlatformClient,
        landing: Landing,
        files: Files,
        people: People,
        report: Report,
        *,
        longest: int,
    ) -> None:
        self._vendor = vendor
        self._landing = landing
        self._files = files
        self._people = people
        self._report = report
        self._longest = longest

    async def bring(self, url: str, conversation_id: ConversationId | None, page: Sequence[Json]) -> None:
        """A page of a channel's messages, oldest first. Raises Gone."""
        await self._bring_known(url, conversation_id, await self._unknown(url, conversation_id, page))

    async def bring_missing(self, url: str, conversation_id: ConversationId) -> None:
        """Messages that did not come by an earlier import. Raises Gone, and ChatServiceError where nothing at all is given out."""
        for vendor_id, reason in (await self._landing.missing_messages(conversation_id)).items():
            if self._report.is_rehearsal:
                self._fail(url, vendor_id, reason)
                continue
            try:
                told = await self._vendor.get(wording.message(url, vendor_id), wording.whole_message())
            except MessageNotFound:
                told = {"is_removed": True}
            except (Unauthorized, VendorAway, RateLimited):
                raise
            except ChatServiceError as error:
                self._fail(url, vendor_id, not_given(error))
                continue
            if mapping.is_removed(told):
                self._report.count("messages", "removed there")
                await self._landing.forget(conversation_id, vendor_id)
            else:
                await self._bring_known(url, conversation_id, [{**told, "message_id": vendor_id}])

    async def _bring_known(self, url: str, conversation_id: ConversationId | None, page: Sequence[Json]) -> None:
        """Messages whose ids can be read. Which of them fail is kept, so that a later import asks for them again."""
        messages: list[Message] = []
        people: list[Person] = []
        failed: dict[int, str] = {}
        for told in page:
            try:
                message, named = mapping.message(told), list(mapping.people(told))
            except Unreadable as error:
                failed[mapping.vendor_id(told)] = str(error)
                self._fail(url, mapping.vendor_id(told), str(error))
                continue
            messages.append(message)
            people.extend(named)
            if message.sender in mapping.STAND_INS:
                people.append(mapping.STAND_INS[message.sender])
            self._tell(url, told, message)
        await self._people.bring(people)
        if messages or failed:
            await self._bring(url, conversation_id, messages, failed)

    async def mend(self, url: str, conversation_id: ConversationId) -> None:
        """Files that did not come by an earlier import."""
        for missing in await self._landing.missing_files(conversation_id):
            if self._report.is_rehearsal:
                self._report.note("files that did not come before, and would be asked for again")
                continue
            try:
                stored = await self._found_again(url, missing)
            except NotBrought as reason:
                self._fail_file(url, missing.vendor_id, str(reason))
                continue
            if await self._landing.mend(conversation_id, missing, stored):
                self._report.count("files", "mended")
                self._report.count("files", "bytes", stored.size or 0)

    async def _unknown(self, url: str, conversation_id: ConversationId | None, page: Sequence[Json]) -> Sequence[Json]:
        """Those that did not come over yet, and are still there."""
        readable: dict[int, Json] = {}
        for one in page:
            try:
                readable[mapping.vendor_id(one)] = one
            except Unreadable as error:
                self._report.fail(f"channel {url}, a message", str(error))
        if not readable:
            return ()
        known = await self._landing.known_messages(conversation_id, list(readable))
        unknown = [one for vendor_id, one in readable.items() if vendor_id not in known]
        there = [one for one in unknown if not mapping.is_removed(one)]
        self._report.count("messages", "removed there", len(unknown) - len(there))
        return there

    async def _bring(
        self,
        url: str,
        conversation_id: ConversationId | None,
        messages: Sequence[Message],
        failed: Mapping[int, str],
    ) -> None:
        files = [file for message in messages for file in message.files]
        for _ in range(ATTEMPTS):
            fetched = await self._files.fetch(files)
            try:
                await self._write(url, conversation_id, messages, fetched, failed)
            except Conflict:
                continue
            self._count_files(url, messages, fetched)
            return
        raise Unstorable("files that come and go")

    async def _write(
        self,
        url: str,
        conversation_id: ConversationId | None,
        messages: Sequence[Message],
        fetched: Fetched,
        failed: Mapping[int, str],
    ) -> None:
        try:
            brought = await self._landing.messages(
                conversation_id, messages, self._people, fetched.stored, fetched.missing, failed
            )
        except Unstorable as error:
            if not messages:
                raise
            # One of them: the others are not to suffer. What failed before them is kept before they come.
            if len(messages) == 1:
                why = f"the database refuses it ({error})"
                self._fail(url, messages[0].vendor_id, why)
                await self._write(url, conversation_id, (), fetched, {**failed, messages[0].vendor_id: why})
                return
            await self._write(url, conversation_id, (), fetched, failed)
            for message in messages:
                await self._write(url, conversation_id, [message], fetched, {})
            return
        if brought.gone:
            raise Gone
        self._report.count("messages", "new", brought.brought)
        if brought.parentless:
            self._report.note("replies to messages that are not there: they stand alone", brought.parentless)

    async def _found_again(self, url: str, missing: MissingFile) -> StoredFile:
        """By the address that its message has there now: the old one may have been good for a while only. Raises NotBrought."""
        files: Sequence[File] = ()
        try:
            told = await self._vendor.get(wording.message(url, missing.vendor_id))
            files = mapping.message(told).files
        except Unauthorized:
            raise
        except (ChatServiceError, Unreadable):
            pass  # the message may be gone there, and its file not
        file = files[missing.place] if missing.place < len(files) else missing.file
        fetched = await self._files.fetch([file])
        if file.url not in fetched.stored:
            raise NotBrought(fetched.missing.get(file.url, "its address leads to somebody else's"))
        return fetched.stored[file.url]

    def _tell(self, url: str, told: Json, message: Message) -> None:
        """What comes otherwise than it was."""
        for said in mapping.extras(told):
            self._report.note(said)
        if len(message.content) > self._longest:
            self._report.note("messages longer than MESSENGER_MAX_CONTENT_CHARS: they came whole")
        if len(message.files) < mapping.count_files(told):
            self._fail(url, message.vendor_id, "a file without an address: it came without")

    def _count_files(self, url: str, messages: Sequence[Message], fetched: Fetched) -> None:
        self._report.count("files", "new", fetched.new)
        self._report.count("files", "here before", fetched.known)
        self._report.count("files", "bytes", fetched.bytes)
        if fetched.elsewhere:
            self._report.note("files that are not the vendor's: they stay where they are", len(fetched.elsewhere))
        for message in messages:
            for file in message.files:
                if file.url in fetched.missing:
                    self._fail_file(url, message.vendor_id, fetched.missing[file.url])

    def _fail_file(self, url: str, vendor_id: int, why: str) -> None:
        self._fail(url, vendor_id, f"its file did not come, only its address: {why}")

    def _fail(self, url: str, vendor_id: int, why: str) -> None:
        self._report.fail(f"channel {url}, message {vendor_id}", why)


def not_given(error: ChatServiceError) -> str:
    """Why the vendor did not give something out, without an address: the same for all that fail alike."""
    return f"the vendor did not give it out ({re.sub('[A-Z]+ /[^ ]*: ', '', error.message)})"
