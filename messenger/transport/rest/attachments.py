"""/attachments: files that messages carry. They are uploaded by themselves first; a message then names them."""

import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from email.message import Message
from uuid import UUID

from aiohttp import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    BodyPartReader,
    MultipartReader,
    hdrs,
    web,
)
from aiohttp.http import HttpProcessingError

from messenger.domain.ids import AttachmentId, UserId
from messenger.errors import (
    AttachmentNotFound,
    Forbidden,
    InvalidFrame,
    RateLimited,
    StorageAway,
    TooLarge,
    TypeNotAllowed,
)
from messenger.protocol import answers, frames
from messenger.protocol.fields import Id, Text
from messenger.service.attachments import Part
from messenger.transport.context import context
from messenger.transport.doorstep import Caller
from messenger.transport.files import FileAnswer
from messenger.transport.operation import FILE, operation
from messenger.transport.peer import network_of
from messenger.transport.rest import bodies

# What a body has beside the file: boundaries and headers.
OVERHEAD_BYTES = 65_536
# A disk is asked to write so many at once.
PIECE_BYTES = 1 << 18
# So many files somebody sends at the same time: each holds a connection, and room on the disk.
MOST_AT_ONCE = 10

_DISPOSITION = "content-disposition"
# It would print what was claimed: a file's name.
warnings.simplefilter("ignore", BadContentDispositionHeader)
warnings.simplefilter("ignore", BadContentDispositionParam)

_NO_FORM = "the body must be multipart/form-data with one file"


@operation(
    "Upload a file",
    takes=FILE,
    gives={201: answers.Upload},
    refuses=(InvalidFrame, 408, TooLarge, TypeNotAllowed, RateLimited),
)
async def upload(request: web.Request) -> web.Response:
    """A message may carry it from then on, by its `url`. What it is is told by its bytes. What no message carries is cleared away
    after a day, unless configured."""
    me = await bodies.actor(request)
    here = context(request)
    if request.content_type != "multipart/form-data":
        raise InvalidFrame(_NO_FORM, field="file")
    most = here.config.max_attachment_bytes
    if (request.content_length or 0) > most + OVERHEAD_BYTES:
        raise TooLarge.over(most)
    here.upload_rates.take(me)
    with _one_more(here.uploading, me):
        if isinstance(request.protocol, Caller):
            request.protocol.uploads(most + OVERHEAD_BYTES)
        with _told_of_forms():
            form = await request.multipart()
            part = await _next_file(form)
            if part is None:
                raise InvalidFrame(_NO_FORM, field="file")
            found = await here.attachments.upload(me, _name(part), _pieces(form, part, most))
    return bodies.answer(frames.attachment(found), 201)


@operation(
    "Load a file down",
    path={"attachment_id": Id()},
    query={"thumbnail": Text()},
    gives={302: None},
    refuses=(AttachmentNotFound,),
)
async def show(request: web.Request) -> web.Response:
    """Leads to its bytes, or with `thumbnail=1` to a small picture of it. For who uploaded it, and who may see a message that
    carries it."""
    me = await bodies.actor(request)
    here = context(request)
    found = await here.attachments.find(me, _attachment_id(request))
    is_thumbnail = request.query.get("thumbnail") == "1"
    if is_thumbnail and not found.has_thumbnail:
        raise AttachmentNotFound
    address = here.attachments.address(found.id, "thumbnail" if is_thumbnail else "content")
    return web.Response(status=302, headers={hdrs.LOCATION: address})


@operation(
    "Get links to a file",
    path={"attachment_id": Id()},
    gives={200: answers.AttachmentLinks},
    refuses=(AttachmentNotFound,),
)
async def links(request: web.Request) -> web.Response:
    """Addresses that ask for no token, for an `<img>` or a player; they soon expire. The same people may have them."""
    me = await bodies.actor(request)
    here = context(request)
    return bodies.answer(frames.links(here.attachments.links(await here.attachments.find(me, _attachment_id(request)))))


@operation(
    "Get the bytes",
    who="link",
    path={"attachment_id": Id()},
    query={"expires": Text(required=True), "signature": Text(required=True)},
    gives={200: "*/*", 206: "*/*", 304: None, 412: None, 416: None},
    refuses=(Forbidden, AttachmentNotFound, RateLimited, StorageAway),
)
async def content(request: web.Request) -> web.StreamResponse:
    """Where a link leads to; ranges are served. To be saved, and never run."""
    return await _opened(request, "content")


@operation(
    "Get the small picture",
    who="link",
    path={"attachment_id": Id()},
    query={"expires": Text(required=True), "signature": Text(required=True)},
    gives={200: "image/webp", 206: "image/webp", 304: None, 412: None, 416: None},
    refuses=(Forbidden, AttachmentNotFound, RateLimited, StorageAway),
)
async def thumbnail(request: web.Request) -> web.StreamResponse:
    """Where a link leads to: at most 512 pixels on its longer side, and nothing of what the original was tagged with."""
    return await _opened(request, "thumbnail")


async def _opened(request: web.Request, part: Part) -> web.StreamResponse:
    try:
        attachment_id = _attachment_id(request)
    except AttachmentNotFound:
        raise Forbidden("This link is not valid") from None
    kept, left_s = await context(request).attachments.opened(
        attachment_id, part, request.query.get("expires", ""), request.query.get("signature", "")
    )
    loading = (kept.path, network_of(request, context(request).config))
    if isinstance(request.protocol, Caller) and not request.protocol.loads(loading):
        raise RateLimited(retry_after_s=1)
    return FileAnswer(kept, lasts_s=left_s)


async def _next_file(form: MultipartReader) -> BodyPartReader | None:
    """The next part that is called `file` or has a file name; what a form has besides is passed over. Raises InvalidFrame."""
    while (part := await form.next()) is not None:
        if not isinstance(part, BodyPartReader):
            raise InvalidFrame(_NO_FORM, field="file")
        said = _said_of(part)
        if said.get_param("name", header=_DISPOSITION) == "file" or said.get_filename() is not None:
            return part
        await part.release()
    return None


def _said_of(part: BodyPartReader) -> Message:
    """Its disposition, as mail has it (RFC 7578 §4.2); aiohttp's own reader gives up on a file name with two semicolons."""
    said = Message()
    said[_DISPOSITION] = part.headers.get(hdrs.CONTENT_DISPOSITION, "")
    return said


def _name(part: BodyPartReader) -> str:
    """What a browser calls the file; it escapes three characters (HTML standard, multipart/form-data)."""
    name = _said_of(part).get_filename() or ""
    for escape, character in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        name = name.replace(escape, character)
    return name


async def _pieces(form: MultipartReader, part: BodyPartReader, most: int) -> AsyncIterator[bytes]:
    """The bytes of the one file that there may be. Raises TooLarge, InvalidFrame, and what the library makes of broken ones."""
    size, piece = 0, bytearray()
    while not part.at_eof():
        chunk = await part.read_chunk(PIECE_BYTES)
        size += len(chunk)
        if size > most:
            raise TooLarge.over(most)
        piece += chunk
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if await _next_file(form) is not None:
        raise InvalidFrame(_NO_FORM, field="file")
    yield bytes(piece)


@contextmanager
def _told_of_forms() -> Iterator[None]:
    """What is wrong with a form, in our words: the library's quote it."""
    try:
        yield
    except (ValueError, LookupError, RuntimeError, AssertionError, Warning, HttpProcessingError):
        raise InvalidFrame(_NO_FORM, field="file") from None


@contextmanager
def _one_more(uploading: "Counter[UserId]", user_id: UserId) -> Iterator[None]:
    """Raises RateLimited."""
    if uploading[user_id] >= MOST_AT_ONCE:
        raise RateLimited(retry_after_s=1)
    uploading[user_id] += 1
    try:
        yield
    finally:
        uploading[user_id] -= 1
        if not uploading[user_id]:
            del uploading[user_id]


def _attachment_id(request: web.Request) -> AttachmentId:
    """Raises AttachmentNotFound."""
    named = request.match_info["attachment_id"]
    try:
        value = UUID(named)
    except ValueError:
        raise AttachmentNotFound from None
    if str(value) != named.lower():
        raise AttachmentNotFound
    return AttachmentId(value)
