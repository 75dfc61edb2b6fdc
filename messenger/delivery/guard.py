"""Where the daemon may send requests to: anywhere in public, and to what is private only where the settings say so.

An address is judged where the socket for it is made: it is the one that is connected to, whoever resolved its name, and however
it was written. Redirects are not followed, no proxy of the environment is asked, and no cookie is kept.
"""

import ipaddress
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Of IPv4 all is public but these (IANA's special-purpose registry), and 168.63.129.16, where a large cloud answers its guests.
# Written out: what Python takes for private differs from version to version.
PRIVATE_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
        ),
    )
)
# Of IPv6 only this is public, but for what is kept for protocols and documentation.
PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
PRIVATE_V6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
# Where IPv6 only wraps an address of IPv4, and by how many bits that is shifted: mapped and compatible (RFC 4291 §2.5.5),
# NAT64 (RFC 6052), 6to4 (RFC 3056).
WRAPPED = tuple(
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (("::ffff:0:0/96", 0), ("::/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80))
)
CONNECT_S = 5.0
ANSWER_S = 10.0
# Connections to all hosts together; what waits for one waits out its own time.
CONNECTIONS = 64


class Refused(OSError):
    """An address or URL that nothing is sent to. Its text says why, without the address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is looked at of an answer. `again_s`: when it asks to come again, where it says so in seconds."""

    status: int
    again_s: float | None


@dataclass(frozen=True, slots=True)
class Outward:
    """The way out: one session for HTTPS, and one for what is sent in the clear, to private addresses only."""

    encrypted: aiohttp.ClientSession
    clear: aiohttp.ClientSession

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Status and headers; the answer's body is not read. Raises Refused, aiohttp.ClientError, TimeoutError."""
        address = URL(url)
        session = self.encrypted if address.scheme == "https" else self.clear
        try:
            async with session.post(address, data=body, headers=headers, allow_redirects=False) as response:
                again = response.headers.get("Retry-After", "")
                is_number = again.isascii() and again.isdigit() and len(again) < 10
                return Answer(response.status, float(again) if is_number else None)
        except aiohttp.ClientConnectorError as error:
            raise error.os_error if isinstance(error.os_error, Refused) else error from None


class Guard:
    """`private_targets`: addresses and networks (CIDR) that may be reached although they are private."""

    def __init__(self, private_targets: Iterable[str]) -> None:
        self._allowed = [ipaddress.ip_network(network, strict=False) for network in private_targets]

    def judge(self, address: Address, *, encrypted: bool) -> None:
        """Whether this very address may be connected to. Raises Refused."""
        meant = _meant(address)
        if any(_is_in(candidate, network) for candidate in {address, meant} for network in self._allowed):
            return
        if not _is_public(meant):
            raise Refused("a private address")
        if not encrypted:
            raise Refused("not encrypted")

    def check(self, url: str) -> None:
        """What can be said of a URL without asking anybody: its form, and its host where that is an address. Raises Refused."""
        host, encrypted = _taken_apart(url)
        addresses = _literal(host)
        if addresses:
            self._judge_any(addresses, encrypted=encrypted)
        elif not encrypted and not self._allowed:
            raise Refused("not encrypted")

    async def look_up(self, url: str) -> None:
        """The same, and whether its name has an address that may be connected to. Raises Refused, OSError."""
        self.check(url)
        host, encrypted = _taken_apart(url)
        if not _literal(host):
            found = await aiohttp.ThreadedResolver().resolve(host)
            self._judge_any([ipaddress.ip_address(each["host"]) for each in found], encrypted=encrypted)

    def _judge_any(self, addresses: Iterable[Address], *, encrypted: bool) -> None:
        """One that may be connected to is enough: no other one will be."""
        refusals = []
        for address in addresses:
            try:
                return self.judge(address, encrypted=encrypted)
            except Refused as refused:
                refusals.append(refused)
        raise refusals[0]

    @asynccontextmanager
    async def outward(self, resolver: AbstractResolver | None = None) -> AsyncIterator[Outward]:
        """The way out, as long as the context is open. `resolver` stands for the system's."""
        async with (
            self._session(resolver, encrypted=True) as encrypted,
            self._session(resolver, encrypted=False) as clear,
        ):
            yield Outward(encrypted, clear)

    def _session(self, resolver: AbstractResolver | None, *, encrypted: bool) -> aiohttp.ClientSession:
        def make_socket(info: Any) -> socket.socket:
            """Of what is about to be connected to. A name that a resolver left as it is would be resolved once more: refused."""
            family, kind, protocol, _, (host, *_) = info
            try:
                address = ipaddress.ip_address(host)
            except ValueError:
                raise Refused("no address") from None
            self.judge(address, encrypted=encrypted)
            return socket.socket(family, kind, protocol)

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=CONNECTIONS, resolver=resolver, use_dns_cache=False, socket_factory=make_socket
            ),
            timeout=aiohttp.ClientTimeout(total=ANSWER_S, connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "messenger"},  # not with what, and in which version
            auto_decompress=False,
            trust_env=False,
        )


def origin_of(url: str) -> str:
    """Scheme, host and port (RFC 6454 §6.2)."""
    return str(URL(url).origin())


def _taken_apart(url: str) -> tuple[str, bool]:
    """The host, as whoever sends the request reads it, and whether it is spoken to in secret. Raises Refused."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Refused("no URL")
    try:
        address = URL(url)
    except ValueError:
        raise Refused("no URL") from None
    if address.scheme not in ("https", "http") or not address.raw_host:
        raise Refused("neither https:// nor http://")
    if address.raw_user is not None or address.raw_password is not None:
        raise Refused("a name and password in it")
    return address.raw_host, address.scheme == "https"


def _literal(host: str) -> list[Address]:
    """The addresses of a host that needs no resolver: written out, in one of the old ways that a resolver takes for an
    address (`2130706433`, `0x7f.1`, `0177.0.0.1`), or the machine itself; none for a name."""
    bare = host.rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return [ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")]
    try:
        return [ipaddress.ip_address(bare)]
    except ValueError:
        pass
    try:
        return [ipaddress.IPv4Address(socket.inet_aton(bare))]
    except OSError:
        return []


def _meant(address: Address) -> Address:
    """The address of IPv4 that one of IPv6 wraps; any other as it is."""
    if isinstance(address, ipaddress.IPv6Address):
        for network, shift in WRAPPED:
            if address in network:
                return ipaddress.IPv4Address(int(address) >> shift & 0xFFFF_FFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in PRIVATE_V4)
    return address in PUBLIC_V6 and not any(address in network for network in PRIVATE_V6)


def _is_in(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network
