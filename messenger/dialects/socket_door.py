"""Who is connected by Socket.IO on this node: how a client comes, is told in order, and goes."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias

import socketio
import structlog
from aiohttp import web
from engineio.payload import Payload

from messenger.background import end
from messenger.dialects.failures import sentence
from messenger.dialects.live import LiveRoom
from messenger.dialects.places import Hall
from messenger.dialects.room import Hearer, Tongue
from messenger.dialects.socket_library import FAREWELL_S, STRANGER_S, make_server
from messenger.dialects.visitors import Shown
from messenger.domain.ids import UserId
from messenger.errors import Forbidden, InvalidFrame, MessengerError, Unauthorized, Unavailable
from messenger.protocol.frames import Json
from messenger.transport import close, origins
from messenger.transport.auth import bearer_of
from messenger.transport.close import Close
from messenger.transport.context import Context
from messenger.transport.limits import Bucket
from messenger.transport.session import leave

log = structlog.get_logger(__name__)

SWEEP_S = 5.0
# So many packets may wait for a client that does not read, if their bytes are not too many before (`max_queue_bytes`).
MOST_UNSENT = 1000
# From so many on their bytes are looked at.
FEW_UNSENT = 8
# Whoever is told no so often within this time is ended.
MOST_REFUSED = 100
REFUSED_S = 10.0
# Who has connected and joins nothing for so long is ended; the stock client connects again by itself.
JOINS_WITHIN_S = 60.0


class Words(NamedTuple):
    """An event of ours. The same object for everybody who is told the same: it is encoded once."""

    event: str
    data: Json


@dataclass(slots=True, eq=False)
class Connection:
    """One client. `hearer` once it has joined a session; `turn`: its events are done one after the other, also where it posts
    several at once; `refused`: when it was told no, the last times; `is_ending`: it is told goodbye, and nothing more."""

    sid: str
    engine_sid: str
    request: web.Request
    shown: Shown
    since: float
    hearer: "Listener | None" = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    refused: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_REFUSED))
    is_ending: bool = False


class Held:
    """What a device needs of its connection, of one that the library holds: it hears pings itself."""

    def __init__(self, door: "Door", connection: Connection) -> None:
        self._door = door
        self.connection = connection
        self._gone = asyncio.Event()
        self._meanwhile: list[Words] | None = None
        self.is_open = True
        self.cause: Close | None = None

    @property
    def heard_at(self) -> float:
        return asyncio.get_running_loop().time()

    def push(self, frame: bytes) -> None:
        """A ping: the library's own are enough."""

    def say(self, words: Words) -> None:
        if self._meanwhile is not None:
            self._meanwhile.append(words)
        elif self.is_open:
            self._door.tell(self.connection, words)

    @contextmanager
    def deferring(self) -> Iterator[list[Words]]:
        """What is said within waits in this list until the end, or until the connection is ended."""
        meanwhile: list[Words] = []
        self._meanwhile = meanwhile
        try:
            yield meanwhile
        finally:
            self._catch_up()

    def _catch_up(self) -> None:
        meanwhile, self._meanwhile = self._meanwhile or [], None
        for words in meanwhile:
            self.say(words)

    def close(self, why: Close) -> None:
        if self.is_open:
            self._catch_up()
            self.is_open = False
            self.cause = why
            self._door.tell(self.connection, Words("error", {"message": why.reason}))
            self._door.end(self.connection, is_for_good=why.code in (1000, 1008))

    def abandon(self) -> None:
        self.close(close.SLOW_CONSUMER)

    async def closed(self) -> None:
        if not self.is_open:
            with suppress(TimeoutError):
                async with asyncio.timeout(3 * FAREWELL_S):
                    await self._gone.wait()

    def went(self) -> None:
        self.is_open = False
        self._gone.set()


class Listener(Hearer):
    """A client that has joined a session."""

    __slots__ = ("held", "live")

    def __init__(self, user_id: UserId, held: Held, room: LiveRoom, tongue: Tongue[LiveRoom]) -> None:
        super().__init__(user_id, held.connection.sid, held, room, tongue)
        self.held = held
        self.live = room

    def say(self, words: Any) -> None:
        self.held.say(words)


Command: TypeAlias = Callable[["Door", Connection, Json], Awaitable[None]]


class Door:
    """The library's server, and who is connected to it here. `commands`: what a client may emit."""

    def __init__(self, here: Context, place: Hall, commands: Mapping[str, Command]) -> None:
        self._commands = commands
        self.context = here
        self.hall = place
        self.connections: dict[str, Connection] = {}
        self._strangers: dict[str, float] = {}
        # What is to be said next, and to whom; one task hands it over, so that everybody hears it in this order.
        self._said: deque[tuple[Words, list[Connection]]] = deque()
        self._due = asyncio.Event()
        self._idle = asyncio.Event()
        self._ending: set[asyncio.Task[None]] = set()
        # By the library's ids: how often each may say something, however often it connects anew; the WebSockets of those who
        # have one; who is being told goodbye; and who is to go by himself.
        self._rates: dict[str, Bucket] = {}
        self._lines: dict[str, web.Request] = {}
        self._parting: set[str] = set()
        self._awaited: dict[str, asyncio.Event] = {}
        self._server = make_server(here.config, self._lines)
        self._server.eio.on("disconnect", self._went)
        self._server.on("connect", self._connect)
        self._server.on("disconnect", self._disconnect)
        self._server.on("*", self._hear)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Door"]:
        tasks = [
            asyncio.create_task(self._tell_forever(), name="socket.io"),
            asyncio.create_task(self._sweep_forever(), name="socket.io sweep"),
        ]
        try:
            yield self
        finally:
            await self.close()
            await end([*tasks, *self._ending])
            await self._server.shutdown()

    async def close(self) -> None:
        """End every connection."""
        await asyncio.gather(*(self._part(sid) for sid in list(self._server.eio.sockets)))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """A request of the protocol. Raises Forbidden, Unavailable, HTTPBadRequest."""
        if not origins.is_allowed(request, self.context.config):
            raise Forbidden(origins.NOT_ALLOWED)
        if "j" in request.query:
            raise web.HTTPBadRequest  # JSONP: any page could read it
        count = self.context.open_sockets + len(self._server.eio.sockets)
        sid = request.query.get("sid", "")
        is_full = count >= self.context.config.max_connections and "sid" not in request.query
        # While we drain a proxy lets clients in elsewhere whose ids lead here; with this answer it goes on to ask there.
        if is_full or (self.context.is_draining and sid not in self._server.eio.sockets):
            raise Unavailable("No room here just now; try again in a moment")
        if sid in self._parting and sid not in self._lines:
            socket = self._server.eio.sockets[sid]
            if request.method == "POST":
                raise web.HTTPBadRequest
            if not socket.queue.empty():
                # The library would refuse it, and the client never hear why it was ended.
                return web.Response(text=Payload(packets=await socket.poll()).encode())
        try:
            response: web.StreamResponse = await self._server.handle_request(request)
        except (KeyError, UnboundLocalError):
            raise web.HTTPBadRequest from None  # the library stumbles over a socket that ended meanwhile
        finally:
            self._forget_closed(sid)
        if response.status == HTTPStatus.BAD_REQUEST:
            raise web.HTTPBadRequest  # the library's own answer repeats what came
        return response

    def _forget_closed(self, engine_sid: str) -> None:
        """Whoever polls and says goodbye leaves a request behind that waits for what will never be said."""
        socket = self._server.eio.sockets.get(engine_sid)
        if socket is not None and socket.closed and engine_sid not in self._parting:
            del self._server.eio.sockets[engine_sid]
            socket.queue.put_nowait(None)

    def tell(self, connection: Connection, words: Words) -> None:
        """Say something to somebody, behind what was said before. Never waits."""
        if connection.is_ending:
            return
        if self._said and self._said[-1][0] is words:
            self._said[-1][1].append(connection)
        else:
            self._said.append((words, [connection]))
        self._idle.clear()
        self._due.set()

    def end(self, connection: Connection, *, is_for_good: bool) -> None:
        """End a connection, behind what was said to it; one that ends for good is not made again by the client itself."""
        if connection.is_ending:
            return
        connection.is_ending = True
        task = asyncio.create_task(self._end(connection, is_for_good=is_for_good), name="socket.io end")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, connection: Connection, *, is_for_good: bool) -> None:
        await self._idle.wait()
        if is_for_good and connection.engine_sid in self._server.eio.sockets:
            gone = self._awaited[connection.engine_sid] = asyncio.Event()
            await self._server.disconnect(connection.sid)
            # The client goes by itself. Were we to go first, it would take that for the reason, and come back.
            with suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await gone.wait()
            self._awaited.pop(connection.engine_sid, None)
        await self._part(connection.engine_sid)
        await self._disconnect(connection.sid)  # where the library had forgotten it before

    async def _went(self, engine_sid: str, reason: str) -> None:
        await self._server._handle_eio_disconnect(engine_sid, reason)
        self._rates.pop(engine_sid, None)
        gone = self._awaited.pop(engine_sid, None)
        if gone is not None:
            gone.set()

    async def _part(self, engine_sid: str) -> None:
        socket = self._server.eio.sockets.get(engine_sid)
        if socket is None or engine_sid in self._parting:
            return
        self._parting.add(engine_sid)
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._server.eio.disconnect(engine_sid)
            # The library leaves it to the other side to hang up.
            socket.queue.put_nowait(None)
        except TimeoutError:
            self._cut(engine_sid)
        finally:
            self._parting.discard(engine_sid)
            self._forget_closed(engine_sid)

    def _cut(self, engine_sid: str) -> None:
        """Who polls has nothing that could be cut."""
        request = self._lines.get(engine_sid)
        if request is not None and request.transport is not None:
            request.transport.abort()

    async def _connect(self, sid: str, environ: Mapping[str, Any], auth: Any = None) -> None:
        request = environ["aiohttp.request"]
        engine_sid = self._server.manager.eio_sid_from_sid(sid, "/")
        token = auth.get("token") if isinstance(auth, dict) else None
        try:
            self._rates.setdefault(engine_sid, Bucket(self.context.config.rate_frames)).take()
            if token is None:
                token = bearer_of(request)
            if token is not None and not isinstance(token, str):
                raise Unauthorized("token_invalid")
            shown = await self.hall.visitors.shown(token)
        except MessengerError as error:
            raise socketio.exceptions.ConnectionRefusedError(sentence(error)) from None
        since = asyncio.get_running_loop().time()
        connection = self.connections[sid] = Connection(sid, engine_sid, request, shown, since)
        self.tell(connection, Words("connected", {"status": "connected"}))

    async def _disconnect(self, sid: str, _: Any = None) -> None:
        connection = self.connections.pop(sid, None)
        if connection is None or connection.hearer is None:
            return
        hearer, connection.hearer = connection.hearer, None
        hearer.held.went()
        leave(self.context, hearer)
        self.context.sessions.stir(hearer.room.conversation_id)

    async def _hear(self, event: Any, sid: str, *args: Any) -> None:
        connection = self.connections.get(sid)
        if connection is None:
            return
        async with connection.turn:
            if not connection.is_ending and sid in self.connections:
                await self._answer(connection, event, args)

    async def _answer(self, connection: Connection, event: Any, args: tuple[Any, ...]) -> None:
        command = self._commands.get(event) if isinstance(event, str) else None
        kind = "socket.io.unknown" if command is None else f"socket.io.{event}"
        code = "ok"
        try:
            self._rates[connection.engine_sid].take()
            if command is None:
                raise InvalidFrame(f"Unknown event: {str(event)[:64]}")
            await command(self, connection, _data(args))
        except MessengerError as error:
            code = error.code
            self.tell(connection, Words("error", {"message": sentence(error)}))
            self._count_refused(connection)
        except Exception as error:
            # What nobody foresaw: its text stays here, under an id that the client can name.
            reference, code = secrets.token_hex(6), "internal"
            log.error("event failed", id=reference, exc_info=error)
            self.tell(connection, Words("error", {"message": f"Internal error ({reference})"}))
        self.context.frames[kind, code] += 1

    def _count_refused(self, connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        connection.refused.append(now)
        if len(connection.refused) == MOST_REFUSED and now - connection.refused[0] <= REFUSED_S:
            self._give_up(connection, close.PROTOCOL_ERROR)

    def _give_up(self, connection: Connection, why: Close) -> None:
        if connection.hearer is not None:
            connection.hearer.wire.close(why)
        else:
            self.tell(connection, Words("error", {"message": why.reason}))
            self.end(connection, is_for_good=why.code == close.PROTOCOL_ERROR.code)

    async def _tell_forever(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            while self._said:
                words, connections = self._said.popleft()
                try:
                    await self._server.emit(words.event, words.data, to=[connection.sid for connection in connections])
                except Exception:  # the others are not to fall silent
                    log.exception("event not told")
                for connection in connections:
                    self._look_after(connection)
            self._idle.set()

    def _look_after(self, connection: Connection) -> None:
        socket = self._server.eio.sockets.get(connection.engine_sid)
        count = 0 if socket is None else socket.queue.qsize()
        if count <= FEW_UNSENT or connection.is_ending:
            return
        waiting = [packet.data for packet in socket.queue._queue if packet is not None]
        unsent = sum(len(data.encode()) for data in waiting if isinstance(data, str))
        if count > MOST_UNSENT or unsent > self.context.config.max_queue_bytes:
            self._give_up(connection, close.SLOW_CONSUMER)
            self._cut(connection.engine_sid)

    async def _sweep_forever(self) -> None:
        """Cut who has connected and says nothing."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            known = {connection.engine_sid for connection in self.connections.values()}
            strangers = self._server.eio.sockets.keys() - known
            now = loop.time()
            self._strangers = {sid: self._strangers.get(sid, now) for sid in strangers}
            for sid in [sid for sid, since in self._strangers.items() if now - since > STRANGER_S]:
                await self._part(sid)
            for connection in list(self.connections.values()):
                if connection.hearer is None and now - connection.since > JOINS_WITHIN_S:
                    self.end(connection, is_for_good=False)


def _data(args: tuple[Any, ...]) -> Json:
    """Raises InvalidFrame."""
    data = args[0] if args else {}
    if not isinstance(data, dict):
        raise InvalidFrame("data must be an object")
    return data
