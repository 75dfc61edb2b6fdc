"""The port: sockets to listen on, and descriptors for those who come."""

import asyncio
import resource
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import structlog
from aiohttp import web

from messenger.config import Config
from messenger.errors import SetupError
from messenger.transport.doorstep import Caller, Doorstep

log = structlog.get_logger(__name__)

# A crowd that reconnects at once waits here instead of being turned away.
BACKLOG = 4096
# What is sent and not acknowledged for so long ends a connection: a peer that vanished without a word. In milliseconds.
USER_TIMEOUT_MS = 30_000
# Descriptors for everything that is no device: the database, the bus, requests over HTTP.
RESERVE = 200


def listen(host: str, port: int, times: int = 1) -> list[list[socket.socket]]:
    """Bound sockets on one port, `times` over, each set for one process; the system deals connections out among them.

    A port of 0 is a free one, the same for all. Raises SetupError.
    """
    with ExitStack() as opened:
        try:
            # Two daemons would share a port without noticing: the first look is alone.
            first = _bound(host, port, shared=False)
            port = first[0].getsockname()[1]
            if times == 1:
                return [first]
            for sock in first:
                sock.close()
            every = [[opened.enter_context(sock) for sock in _bound(host, port, shared=True)] for _ in range(times)]
        except OSError as error:
            raise SetupError(f"cannot listen on {host} port {port}: {error.strerror}") from None
        opened.pop_all()
        return every


def taken_over(sockets: Sequence[socket.socket], times: int = 1) -> list[list[socket.socket]]:
    """Sockets that somebody else has opened, `times` over, each set for one process. They are the same sockets each time, so that
    whoever is free first takes who comes. Raises SetupError for what is no TCP socket that listens."""
    for sock in sockets:
        if (
            sock.family not in (socket.AF_INET, socket.AF_INET6)
            or sock.type != socket.SOCK_STREAM
            or (hasattr(socket, "SO_ACCEPTCONN") and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        ):
            raise SetupError(
                "LISTEN_FDS: what was handed over is no TCP socket that listens (ListenStream= with a port)"
            )
        _end_the_vanished(sock)
    return [list(sockets), *([sock.dup() for sock in sockets] for _ in range(times - 1))]


def address_of(host: str, sockets: Sequence[socket.socket]) -> str:
    """As a person types it."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{sockets[0].getsockname()[1]}"


def make_room(config: Config) -> tuple[Config, int]:
    """Let this process have as many descriptors as its devices need; where the system does not, fewer devices.

    Returns the settings, and the descriptor from which on no connection is taken.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config.max_connections + RESERVE
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    reserve = min(RESERVE, soft // 2)
    if soft < wanted:
        # A few percent less are nobody's worry.
        tell = log.info if soft > 0.95 * wanted else log.warning
        tell("too few descriptors for MESSENGER_MAX_CONNECTIONS", descriptors=soft, connections=soft - reserve)
        config = replace(config, max_connections=soft - reserve)
    # Half of the reserve is for requests over HTTP, and for those who are told that they are one too many.
    return config, soft - reserve // 2


class Site(web.SockSite):
    """Connections for an application, but for those that would take a descriptor of what the daemon itself needs. `options`
    are those of aiohttp's RequestHandler."""

    def __init__(self, runner: web.AppRunner, sock: socket.socket, doorstep: Doorstep, **options: Any) -> None:
        super().__init__(runner, sock, backlog=BACKLOG)
        self._doorstep = doorstep
        self._options = options

    async def start(self) -> None:
        await web.BaseSite.start(self)
        server = self._runner.server
        assert server is not None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Arrival(self._doorstep.admits, lambda: Caller(server, self._doorstep, **self._options)),
            sock=self._sock,
            backlog=self._backlog,
        )


class _Arrival(asyncio.Protocol):
    """A connection up to its first bytes: it is cut, or handed on. Then nothing stands between the two any more."""

    def __init__(self, admits: Callable[[int], bool], become: Callable[[], Caller]) -> None:
        self._admits = admits
        self._become = become
        self._caller: Caller | None = None

    def connection_made(self, transport: Any) -> None:
        if not self._admits(transport.get_extra_info("socket").fileno()):
            transport.abort()
            return
        self._caller = self._become()
        self._caller.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        caller = self._caller
        if caller is not None and caller.transport is not None:
            caller.begins()
            caller.transport.set_protocol(caller)
            caller.data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._caller is not None:
            self._caller.connection_lost(error)


def _bound(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    """One socket for each address of a name."""
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _end_the_vanished(sock)
            sock.bind(
                (address[0], sockets[0].getsockname()[1] if port == 0 and len(sockets) > 1 else port, *address[2:])
            )
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _end_the_vanished(sock: socket.socket) -> None:
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; inherited by what is accepted
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
