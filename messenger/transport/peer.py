"""Where a request comes from: what a trusted proxy says, else whoever connected."""

import ipaddress
import re
from functools import lru_cache
from typing import TypeAlias

from aiohttp import web

from messenger.config import Config

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Some proxies tell the port too: 192.0.2.1:4711, [2001:db8::1]:4711.
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")


def address_of(request: web.Request, config: Config) -> str | None:
    """The nearest address in `X-Forwarded-For` that is no trusted proxy's. From anybody else that header counts nothing, and
    what is no address in it is nobody's word: it would be logged."""
    address = request.remote
    if not config.trusted_proxies or address is None:
        return address
    trusted = _networks(config.trusted_proxies)
    # A proxy may add a line of its own instead of adding to the one that came.
    told = ",".join(request.headers.getall("X-Forwarded-For", []))
    hops = [hop.strip() for hop in told.split(",") if hop.strip()]
    while hops and _is_in(address, trusted):
        hop = _address(hops.pop())
        if hop is None:
            break
        address = hop
    return address


def is_proxied(request: web.Request, config: Config) -> bool:
    """Whether a trusted proxy connected: one that can ask another node instead."""
    return request.remote is not None and _is_in(request.remote, _networks(config.trusted_proxies))


def network_of(request: web.Request, config: Config) -> str:
    """What limits by address count by: of IPv6 the /64, which is one subscriber's."""
    address = address_of(request, config)
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "none"  # a Unix socket's
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))


@lru_cache(maxsize=1)
def _networks(named: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(network, strict=False) for network in named)


def _address(hop: str) -> str | None:
    match = _WITH_PORT.fullmatch(hop)
    try:
        return str(ipaddress.ip_address(match[1] or match[2] if match else hop))
    except ValueError:
        return None


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        return any(ipaddress.ip_address(address) in network for network in networks)
    except ValueError:
        return False
