"""Bytes out of a file as an answer, at the pace of whoever reads them, and no slower than a line may be."""

import asyncio
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from messenger.storage.storage import Kept
from messenger.transport.headers import POLICY

# How long an answer may take at least, and at which rate all of it must go.
SEND_S = 60.0
LEAST_BYTES_S = 8192


class FileAnswer(web.FileResponse):
    """Somebody's upload. A browser saves it, and shows it as a picture where a page asks for one; it runs nothing of it. Ranges
    and conditions are the library's."""

    def __init__(self, kept: Kept, *, lasts_s: int) -> None:
        super().__init__(
            kept.path,
            headers={
                hdrs.CONTENT_TYPE: kept.mime_type,
                # RFC 6266 §4.3, RFC 8187: no name needs quoting then.
                hdrs.CONTENT_DISPOSITION: f"attachment; filename*=UTF-8''{quote(kept.name, safe='')}",
                hdrs.CACHE_CONTROL: f"private, max-age={lasts_s}",
                POLICY: "sandbox; default-src 'none'",
                # A page of an allowed origin shows it in an <img>. Others may too, if they were told the link: it is the
                # signature that lets in, no cookie, so that a page learns nothing that it could not fetch by itself.
                "Cross-Origin-Resource-Policy": "cross-origin",
            },
        )

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends all of it, once. Who reads too slowly is cut."""
        if self.prepared:
            return None
        size = await asyncio.to_thread(lambda: self._path.stat().st_size if self._path.exists() else 0)
        if request.transport is not None:
            # The library takes it for sent when the last piece lies in the transport's buffer; whoever counts as idle loses that.
            request.transport.set_write_buffer_limits(0)
        try:
            async with asyncio.timeout(SEND_S + size / LEAST_BYTES_S):
                return await super().prepare(request)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionError("read too slowly") from None
