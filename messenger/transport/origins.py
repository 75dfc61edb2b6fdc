"""Whose pages may speak to us. A browser always says where a page is from; a request without an Origin is no browser's."""

from aiohttp import web

from messenger.config import Config


def is_allowed(request: web.Request, config: Config) -> bool:
    """The configured origins, exactly; none configured: the same origin only. `null` is nobody's."""
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    if origin == "null":
        return False
    if "*" in config.allowed_origins or origin in config.allowed_origins:
        return True
    return origin in (f"http://{request.host}", f"https://{request.host}")
