"""What every request goes through: failures become problems, and foreign pages are let in where allowed, and only there."""

import secrets
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web

from messenger.errors import Forbidden, InvalidJson, MessengerError, TooLarge
from messenger.transport import headers, masks, origins, peer
from messenger.transport.context import CONFIG, CONTEXT
from messenger.transport.doorstep import Caller, Late, Lengthy
from messenger.transport.files import FileAnswer
from messenger.transport.problems import problem, problem_of_status

log = structlog.get_logger(__name__)
access = structlog.get_logger("messenger.access")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CORS_METHODS = "GET, POST, PUT, PATCH, DELETE"
CORS_HEADERS = "Authorization, Content-Type, Idempotency-Key"
NOT_OURS = "With authentication off this host name is not served: list it in MESSENGER_ALLOWED_ORIGINS, or start with --insecure"
# Which change nothing, and whose answers a page of another origin cannot read.
SAFE_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


@web.middleware
async def log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One line a request, and one more in its count: the path without its query, which may hold a token."""
    began = time.monotonic()
    status: int | None = None  # a socket that was cut has none
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        method = request.method if request.method in hdrs.METH_ALL else "other"
        request.app[CONTEXT].requests[method, _route(request), str(status or "none")] += 1
        access.info(
            "request",
            method=method,
            path=masks.path_of(request),
            status=status,
            ms=round((time.monotonic() - began) * 1000, 1),
            peer=peer.address_of(request, request.app[CONFIG]),
        )


def _route(request: web.Request) -> str:
    """The template of the route that a request took, never its path."""
    resource = request.match_info.route.resource
    return "none" if resource is None else resource.canonical


@web.middleware
async def tell_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever fails, the client gets a problem with a code, and never an exception's text."""
    try:
        return await handler(request)
    except MessengerError as error:
        return problem(error)
    except (Late, Lengthy, web.RequestPayloadError) as error:
        match error:
            case Late():
                response = problem_of_status(HTTPStatus.REQUEST_TIMEOUT)
            case Lengthy():
                response = problem(TooLarge())
            case _:  # its chunks are none
                response = problem(InvalidJson())
        response.force_close()  # where the next request begins, nobody could tell
        return response
    except web.HTTPException as refusal:
        if refusal.status < 400:
            raise
        return problem_of_status(refusal.status, refusal.headers.get(hdrs.ALLOW))
    except ConnectionError:
        return problem_of_status(
            HTTPStatus.BAD_REQUEST
        )  # the client hung up in the middle of its request: nobody hears this
    except Exception:
        reference = secrets.token_hex(6)
        log.exception("request failed", id=reference, path=masks.path_of(request))
        return problem(MessengerError(f"Internal error ({reference})"))


@web.middleware
async def fence(request: web.Request, handler: Handler) -> web.StreamResponse:
    """CORS for the origins that are allowed, and for no others; their pages change nothing, with whosever token. Credentials
    are never allowed: there is no cookie to send."""
    config = request.app[CONFIG]
    origin = request.headers.get(hdrs.ORIGIN)
    allowed = origin is not None and origins.is_allowed(request, config)
    if not origins.is_ours(request, config):
        response: web.StreamResponse = problem(Forbidden(NOT_OURS))
    elif request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
        response = web.Response(status=204 if allowed else 403)
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = CORS_METHODS
        # In whose name is said by a header only where no token says it; a host application is no page.
        named = f"{CORS_HEADERS}, X-User-Id" if config.auth == "off" else CORS_HEADERS
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = named
        response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = "600"
    elif origin is not None and not allowed and request.method not in SAFE_METHODS:
        response = problem(Forbidden(origins.NOT_ALLOWED))
    else:
        response = await handler(request)
    if allowed and origin is not None and not response.prepared:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    return response


@web.middleware
async def keep_from_doorstep(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Who is being answered does not make way for others, and is not cut for the time that we take."""
    caller = request.protocol
    if not isinstance(caller, Caller):
        return await handler(request)
    caller.asks(request)
    try:
        response = await handler(request)
        if isinstance(response, FileAnswer):
            # Sent here, under its own time limit, which is longer than anybody idle is suffered.
            await response.prepare(request)
        return response
    finally:
        caller.answered()


async def guard(request: web.Request, response: web.StreamResponse) -> None:
    """Before any answer goes out, a socket's handshake too."""
    headers.guard(response)
    if request.app[CONTEXT].is_draining and response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        # A proxy that kept the connection would send its next request just as we close it.
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"
