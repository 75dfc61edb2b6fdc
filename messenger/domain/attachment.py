"""Uploaded files, and what is known of them."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from messenger.domain.ids import AttachmentId

# Where uploads are, for messages too: the database knows them by it.
ATTACHMENTS = "/api/v1/messenger/attachments"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that somebody uploaded. `mime_type` is what its bytes say; `size` in bytes; `width` and `height` in pixels, as it is
    shown, None where it is no picture that we read."""

    id: AttachmentId
    name: str
    mime_type: str
    size: int
    width: int | None
    height: int | None
    has_thumbnail: bool

    @property
    def url(self) -> str:
        """What a message names it by."""
        return f"{ATTACHMENTS}/{self.id}"


@dataclass(frozen=True, slots=True)
class Links:
    """Where its bytes are, for whoever knows these addresses, until they expire."""

    url: str
    thumbnail_url: str | None
    expires_at: datetime


_UPLOAD = re.compile(rf"{re.escape(ATTACHMENTS)}/([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})")
_SIGNED = re.compile(rf"(.*{_UPLOAD.pattern})/(?:content|thumbnail)\?.*", re.DOTALL)


def upload_of(url: str) -> AttachmentId | None:
    """The upload that a message names by this path; None for any other address."""
    match = _UPLOAD.fullmatch(url)
    return None if match is None else AttachmentId(UUID(match[1]))


def address_of(url: str) -> str:
    """The same without what is only good for a while, where it is a signed address of an upload."""
    match = _SIGNED.fullmatch(url)
    return url if match is None else match[1]
