"""What /openapi.json says of a route, beside its handler; what the handler's docstring says is said there too.

    @operation("Send a message", takes=schemas.SendBody, gives={201: answers.Message}, refuses=(Forbidden, ContentEmpty))
    async def send(request: web.Request) -> web.Response:
        \"\"\"201, or 200 for a duplicate.\"\"\"

Left out is what follows from the rest: who may not ask, what a path, a query or a body may have wrong (`refusals`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from aiohttp import web
from marshmallow import Schema, fields

from messenger.errors import MessengerError

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)
Field: TypeAlias = fields.Field[Any]

# A user's token (or the host on his behalf), the host application alone, either of them, a guest's token or a user's, anybody,
# whoever opens a socket (with a token; or one on which who he is, if at all, is said later), anybody unless a setting says
# that only the host may, whoever was given a signed link, and the host application by the Platform API.
Who: TypeAlias = Literal[
    "user", "host", "user or host", "participant", "anyone", "socket", "open socket", "watcher", "link", "platform"
]  # fmt: skip
# A JSON object, a text of these media types (`*/*`: any bytes), or nothing.
Given: TypeAlias = type[Schema] | str | None
# A body that is a form with a file in it.
FILE: Literal["multipart/form-data"] = "multipart/form-data"
Taken: TypeAlias = type[Schema] | Literal["multipart/form-data"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route, described. `path`, `query` and `headers` are fields by name, as those of a body; `gives` is what comes with
    each status below 400; `refuses` are errors of ours, and statuses that aiohttp refuses with."""

    summary: str
    who: Who
    takes: Taken
    path: Mapping[str, Field]
    query: Mapping[str, Field]
    headers: Mapping[str, Field]
    gives: Mapping[int, Given]
    refuses: tuple[type[MessengerError] | int, ...]


OPERATIONS: dict[Handler, Operation] = {}


class Route(NamedTuple):
    """A route of the application; `path` with its variables in braces."""

    method: str
    path: str
    handler: Handler


def variables_of(path: str) -> list[str]:
    """The names in braces."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def operation(
    summary: str,
    *,
    who: Who = "user",
    takes: Taken = None,
    path: Mapping[str, Field] | None = None,
    query: Mapping[str, Field] | None = None,
    headers: Mapping[str, Field] | None = None,
    gives: Mapping[int, Given],
    refuses: tuple[type[MessengerError] | int, ...] = (),
) -> Callable[[H], H]:
    """Describe the handler that stands below."""

    def describe(handler: H) -> H:
        OPERATIONS[handler] = Operation(
            summary=summary,
            who=who,
            takes=takes,
            path=path or {},
            query=query or {},
            headers=headers or {},
            gives=gives,
            refuses=refuses,
        )
        return handler

    return describe
