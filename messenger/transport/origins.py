"""Whose pages may speak to us, and by what name. A browser always says where a page is from; a request without an Origin is
no browser's, or asks its own page's server.

`Host` is the client's word, but in a browser it is the page's own name: that is what makes "the same origin" mean anything. A
page whose name was made to lead here (DNS rebinding) is of the same origin too. With tokens that is nothing to fear, since no
browser sends one by itself; with authentication off there is nothing else, and so only names that nobody else can own are
served.
"""

import ipaddress
import re

from aiohttp import hdrs, web

from messenger.config import DEFAULT_PORTS, Config

NOT_ALLOWED = "Origin not allowed: list it in MESSENGER_ALLOWED_ORIGINS"
# This machine's own name, and all below it (RFC 6761 §6.3).
_HOME = re.compile(r"([a-z0-9_-]+\.)*localhost")


def is_allowed(request: web.Request, config: Config) -> bool:
    """The configured origins and the same origin. An Origin is a browser's, and taken as it stands; a host may be a proxy's, in
    any case and with a port that goes without saying. `null` is nobody's."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return True
    if origin == "null":
        return False
    if "*" in config.allowed_origins or origin in config.allowed_origins:
        return True
    scheme, _, name = origin.partition("://")
    return bool(name) and scheme in DEFAULT_PORTS and name in _names(request.headers.get(hdrs.HOST, ""))


def is_ours(request: web.Request, config: Config) -> bool:
    """Whether the name that is called is served. With authentication off: localhost and all below it, the address that the
    connection came in at or another one of this machine's own, and the hosts of the allowed origins."""
    if config.auth != "off" or config.insecure or "*" in config.allowed_origins:
        return True
    host = request.headers.get(hdrs.HOST)
    if host is None:
        return True  # no browser
    host = host.lower()
    if any(_is_host_of(origin, host) for origin in config.allowed_origins):
        return True
    name = (host[: host.rfind("]") + 1] or host.partition(":")[0]).strip("[]")
    bound = request.get_extra_info("sockname")
    return bool(_HOME.fullmatch(name)) or _is_loopback(name) or (isinstance(bound, tuple) and name == bound[0])


def _names(host: str) -> tuple[str, str]:
    """A host as browsers write it, and without a port that may be the default one: behind a proxy nobody here knows which."""
    host = host.lower()
    return host, re.sub(r":(80|443)$", "", host)


def _is_host_of(origin: str, host: str) -> bool:
    scheme, _, name = origin.partition("://")
    return scheme in DEFAULT_PORTS and host in (name, name + DEFAULT_PORTS[scheme])


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
