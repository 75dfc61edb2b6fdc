"""Failures over HTTP: the status of every code (protocol.md §4), as `application/problem+json` (RFC 9457)."""

import math
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from messenger.errors import MessengerError
from messenger.protocol import frames

STATUS: Mapping[str, int] = {
    "invalid_json": 400,
    "invalid_frame": 422,
    "invalid_conversation_id": 422,
    "invalid_message_id": 422,
    "not_participant": 404,
    "message_not_found": 404,
    "user_not_found": 404,
    "not_found": 404,
    "nickname_taken": 400,
    "forbidden": 403,
    "unauthorized": 401,
    "too_large": 413,
    "unsupported_media_type": 415,
    "content_empty": 422,
    "content_too_long": 422,
    "client_id_conflict": 409,
    "conflict": 409,
    "rate_limited": 429,
    "unavailable": 503,
    "internal": 500,
}
# What aiohttp itself refuses, as codes of ours.
CODES: Mapping[int, str] = {
    400: "invalid_json",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    415: "unsupported_media_type",
    426: "upgrade_required",
    429: "rate_limited",
}


def problem(error: MessengerError) -> web.Response:
    """A failure of ours."""
    told = frames.error(error)
    headers = {}
    if error.code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    del told["type"]
    return _response(STATUS[error.code], told["message"], told, headers)


def problem_of_status(status: int, allow: str | None = None) -> web.Response:
    """A refusal of aiohttp's: no such path, no such method, a body too large."""
    phrase = HTTPStatus(status).phrase
    told = {"code": CODES.get(status, "internal" if status >= 500 else "invalid_frame"), "message": phrase}
    return _response(status, phrase, told, {"Allow": allow} if allow else {})


def _response(status: int, title: str, told: Mapping[str, object], headers: Mapping[str, str]) -> web.Response:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": title, **told}
    return web.Response(
        status=status, body=frames.encode(body), content_type="application/problem+json", headers=dict(headers)
    )
