"""Where a request comes from: what a trusted proxy says, else whoever connected."""

import ipaddress

from aiohttp import web

from messenger.config import Config


def address_of(request: web.Request, config: Config) -> str | None:
    """The nearest address in `X-Forwarded-For` that is no trusted proxy's. From anybody else that header counts nothing."""
    trusted = [ipaddress.ip_network(network, strict=False) for network in config.trusted_proxies]
    address = request.remote
    if not trusted or address is None:
        return address
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    while hops and _is_in(address, trusted):
        address = hops.pop()
    return address


def _is_in(address: str, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        return any(ipaddress.ip_address(address) in network for network in networks)
    except ValueError:
        return False
