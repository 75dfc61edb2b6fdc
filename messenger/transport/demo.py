"""The demo client at `/` and its pages of other dialects: static files out of the package, and what they have to know."""

from importlib.resources import files
from importlib.resources.abc import Traversable

from aiohttp import web

from messenger.transport.context import context
from messenger.transport.headers import POLICY, SECURITY_HEADERS
from messenger.transport.rest import bodies

# The people whom `messenger demo` makes.
PEOPLE = {1: "Alice", 2: "Bob", 3: "Chiara", 4: "Dae-jung"}
# The pages of the dialects.
WAYS = {"Live sessions": "session", "Socket.IO": "socketio", "Open rooms": "room"}
CONTENT_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
# The page's own folders. In an editable install others lie beside them: tests, the React package, what npm installed.
FOLDERS = ("client", "vendor", "words")
# People's pictures lie wherever the host application keeps them, and one that is about to be sent in the page's own memory. Nothing
# on the page turns text into elements or code, and a browser that knows of Trusted Types sees to that.
PAGE_POLICY = (
    SECURITY_HEADERS[POLICY].replace("img-src 'self' data:;", "img-src 'self' data: blob: https:;")
    + "; require-trusted-types-for 'script'; trusted-types 'none'"
)


async def index(_: web.Request) -> web.Response:
    return _file(files("messenger.demo") / "index.html")


async def static(request: web.Request) -> web.Response:
    found: Traversable = files("messenger.demo")
    *folders, name = request.match_info["path"].split("/")
    if folders and folders[0] not in FOLDERS:
        raise web.HTTPNotFound
    for part in (*folders, name):
        # Nothing hidden, nothing above, nothing that is no page's file.
        if not part or part.startswith(".") or "\\" in part or "\x00" in part:
            raise web.HTTPNotFound
        found = found / part
    if not _is_file(found):
        raise web.HTTPNotFound
    return _file(found)


async def config(request: web.Request) -> web.Response:
    here = context(request)
    is_off = here.authenticator.is_off
    people = [{"id": user_id, "name": name} for user_id, name in PEOPLE.items()]
    told = {"auth": "off" if is_off else "jwt", "users": people if is_off else []}
    # What is too large is told before anybody has waited for it.
    return bodies.answer(told | {"max_attachment_bytes": here.config.max_attachment_bytes})


def _is_file(found: Traversable) -> bool:
    try:
        return found.is_file()
    except OSError:  # a name longer than the file system's names
        return False


def _file(found: Traversable) -> web.Response:
    content_type = CONTENT_TYPES.get("." + found.name.rpartition(".")[2])
    if content_type is None:
        raise web.HTTPNotFound
    headers = {"Cache-Control": "no-cache"}
    if content_type == "text/html":
        headers[POLICY] = PAGE_POLICY
    return web.Response(body=found.read_bytes(), content_type=content_type, charset="utf-8", headers=headers)
