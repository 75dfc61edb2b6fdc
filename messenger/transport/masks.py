"""What of a request may stand in the log. A path is the client's: it may hold a token that does not belong there, or a line
that looks like one of ours."""

from aiohttp import web

from messenger.transport.context import CONFIG

# The longest name that is shown. A JWT is longer; the ids that we make are shorter.
MOST_CHARS = 64
MASK = "…"


def path_of(request: web.Request) -> str:
    """The path without its query, without parts that are longer than names are, and without our keys."""
    path = "/".join(part if len(part) <= MOST_CHARS else MASK for part in request.path.split("/"))
    config = request.app[CONFIG]
    for key in (config.api_token, config.jwt_secret):
        if key:
            path = path.replace(key, MASK)
    return path if path.isprintable() else ascii(path)[1:-1]
