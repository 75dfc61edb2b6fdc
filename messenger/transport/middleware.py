"""What every request goes through: failures become problems, pages are fenced in, foreign pages are let in where allowed."""

import secrets
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web

from messenger.errors import MessengerError
from messenger.transport import origins, peer
from messenger.transport.context import CONFIG
from messenger.transport.problems import problem, problem_of_status

log = structlog.get_logger(__name__)
access = structlog.get_logger("messenger.access")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
CORS_METHODS = "GET, POST, PUT, PATCH, DELETE"
CORS_HEADERS = "Authorization, Content-Type, Idempotency-Key"


@web.middleware
async def log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One line a request: the path without its query, which may hold a token."""
    began = time.monotonic()
    status: int | None = None  # a socket that was cut has none
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        access.info(
            "request",
            method=request.method,
            path=request.path,
            status=status,
            ms=round((time.monotonic() - began) * 1000, 1),
            peer=peer.address_of(request, request.app[CONFIG]),
        )


@web.middleware
async def tell_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever fails, the client gets a problem with a code, and never an exception's text."""
    try:
        return await handler(request)
    except MessengerError as error:
        return problem(error)
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
        log.exception("request failed", id=reference, path=request.path)
        return problem(MessengerError(f"Internal error ({reference})"))


@web.middleware
async def fence(request: web.Request, handler: Handler) -> web.StreamResponse:
    """CORS for the origins that are allowed, and for no others."""
    origin = request.headers.get(hdrs.ORIGIN)
    allowed = origin is not None and origins.is_allowed(request, request.app[CONFIG])
    if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
        response: web.StreamResponse = web.Response(status=204 if allowed else 403)
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = CORS_METHODS
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = CORS_HEADERS
        response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = "600"
    else:
        response = await handler(request)
    if not response.prepared:
        response.headers.update(SECURITY_HEADERS)
        # Always: a shared cache must not hand one origin's answer to another.
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if allowed and origin is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    return response
