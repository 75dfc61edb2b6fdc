"""The contract as documents, made once at start: /openapi.json, /asyncapi.json, and /docs, the page that shows them.

They hold nothing of anybody's, and no setting: whoever reaches the daemon may read them.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from aiohttp import hdrs, web

from messenger.protocol import frames
from messenger.protocol.fields import Text
from messenger.transport import asyncapi, openapi
from messenger.transport.operation import Route, operation

PAGE = "index.html"
CONTENT_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Document:
    """Finished bytes, and the tag by which a browser asks whether it has them already."""

    body: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, body: bytes, content_type: str) -> "Document":
        return cls(body, content_type, hashlib.sha256(body).hexdigest()[:20])

    def answer(self, request: web.Request) -> web.Response:
        """304 where the client holds just this."""
        told = {hdrs.CACHE_CONTROL: "no-cache", hdrs.ETAG: f'"{self.etag}"'}
        held = request.if_none_match or ()
        if any(tag.value in (self.etag, "*") for tag in held):
            return web.Response(status=304, headers=told)
        charset = "utf-8" if self.content_type.startswith("text/") else None
        return web.Response(body=self.body, content_type=self.content_type, charset=charset, headers=told)


@dataclass(frozen=True, slots=True)
class Contract:
    openapi: Document
    asyncapi: Document


CONTRACT = web.AppKey("messenger.contract", Contract)


def of(app: web.Application) -> Contract:
    """The contract of an application with these routes and no others."""
    return _written(tuple(routes_of(app)), version("messenger"))


def routes_of(app: web.Application) -> list[Route]:
    """Every route; HEAD is GET without a body."""
    return [
        Route(route.method, route.resource.canonical, route.handler)
        for route in app.router.routes()
        if route.resource is not None and route.method != hdrs.METH_HEAD
    ]


@lru_cache(maxsize=4)
def _written(routes: tuple[Route, ...], of_version: str) -> Contract:
    return Contract(
        _json(openapi.document(routes, of_version), "application/json"),
        _json(asyncapi.document(of_version), "application/json"),
    )


def _json(document: dict[str, Any], content_type: str) -> Document:
    return Document.of(frames.encode(document), content_type)


@operation("The contract over HTTP", who="anyone", gives={200: "application/json", 304: None})
async def openapi_json(request: web.Request) -> web.Response:
    """Every route, as here: OpenAPI 3.1."""
    return request.app[CONTRACT].openapi.answer(request)


@operation("The contract of the WebSocket", who="anyone", gives={200: "application/json", 304: None})
async def asyncapi_json(request: web.Request) -> web.Response:
    """Every frame, both ways: AsyncAPI 3.0."""
    return request.app[CONTRACT].asyncapi.answer(request)


@operation("The contract to read", who="anyone", gives={200: "text/html", 304: None})
async def page(request: web.Request) -> web.Response:
    """A page that shows both documents."""
    return _file(PAGE).answer(request)


@operation(
    "What the page is made of",
    who="anyone",
    path={"file": Text()},
    gives={200: "text/css, text/javascript, image/svg+xml", 304: None, 308: None},
    refuses=(404,),
)
async def part(request: web.Request) -> web.Response:
    """Scripts, styles and the icon; 308 to the page where none is named."""
    name = request.match_info["file"]
    if not name:
        return web.Response(status=308, headers={hdrs.LOCATION: "../docs"})
    if name == PAGE:  # whose links lead on from above
        raise web.HTTPNotFound
    return _file(name).answer(request)


@lru_cache
def _parts() -> dict[str, Document]:
    """What there is, read once."""
    return {
        found.name: Document.of(found.read_bytes(), CONTENT_TYPES[suffix])
        for found in files("messenger.transport.docs").iterdir()
        if (suffix := "." + found.name.rpartition(".")[2]) in CONTENT_TYPES
    }


def _file(name: str) -> Document:
    try:
        return _parts()[name]
    except KeyError:
        raise web.HTTPNotFound from None
