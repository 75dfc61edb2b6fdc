"""What a route may be refused with, as it is sent: what follows from who asks, from its path, query and body, and what is said
of it besides (`operation`). The examples are made by the very functions that make the answers (`problems`)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from messenger.errors import (
    ContentTooLong,
    Forbidden,
    InvalidConversationId,
    InvalidFrame,
    InvalidJson,
    InvalidMessageId,
    MessageNotFound,
    MessengerError,
    NotParticipant,
    RateLimited,
    TooLarge,
    Unauthorized,
    Unavailable,
    UserNotFound,
)
from messenger.protocol.fields import Id, UserId
from messenger.protocol.frames import Json
from messenger.transport.middleware import SAFE_METHODS
from messenger.transport.operation import FILE, Field, Operation, Route, Who, variables_of
from messenger.transport.problems import problem, problem_of_status

# What may be wrong with who asks.
REFUSED: Mapping[Who, tuple[type[MessengerError], ...]] = {
    "user": (Unauthorized, Forbidden, UserNotFound, Unavailable),
    "host": (Unauthorized, Forbidden, Unavailable),
    "user or host": (Unauthorized, UserNotFound, Unavailable),
    "participant": (Unauthorized, UserNotFound, NotParticipant, Unavailable),
    "anyone": (),
    # While the daemon drains: told to a proxy, and to who would poll.
    "socket": (Unavailable,),
    "open socket": (Unavailable,),
    "watcher": (Unauthorized, Unavailable),
    "link": (),
    # What goes wrong there is told in the vendor's words; the daemon's own are left where it is not there.
    "platform": (),
}
# What a part of a path is, and what follows from its being there.
IN_PATH: Mapping[str, tuple[Field, tuple[type[MessengerError], ...]]] = {
    "conversation_id": (Id(), (InvalidConversationId, NotParticipant)),
    "message_id": (Id(), (InvalidMessageId, MessageNotFound)),
    "user_id": (UserId(), (UserNotFound,)),
}
# What a body may have wrong; statuses are aiohttp's to refuse with, and the doorstep's.
IN_BODY: tuple[type[MessengerError] | int, ...] = (InvalidJson, InvalidFrame, 408, 413, 415)
# Errors whose example is more than their code.
EXAMPLES: Mapping[type[MessengerError], MessengerError] = {
    InvalidFrame: InvalidFrame("title must be a string", field="title"),
    InvalidConversationId: InvalidConversationId(field="conversation_id"),
    InvalidMessageId: InvalidMessageId(field="message_id"),
    ContentTooLong: ContentTooLong.over(4000),
    TooLarge: TooLarge.over(26_214_400),
    Unauthorized: Unauthorized("token_expired"),
    RateLimited: RateLimited(retry_after_s=0.1),
    MessengerError: MessengerError("Internal error (5f1c2ab04d7e)"),
}


class Told(NamedTuple):
    """A refusal as it is sent."""

    status: int
    code: str
    body: Json


def refusals_of(route: Route, operation: Operation) -> Iterator[Told]:
    """Everything that may be refused, as it is sent."""
    if operation.who == "platform":
        operation = replace(operation, takes=None, query={}, refuses=(404,))
    variables = [name for name in variables_of(route.path) if name not in operation.path]
    for refusal in (
        *REFUSED[operation.who],
        # A page of an origin that is not allowed changes nothing.
        *(() if route.method in SAFE_METHODS else (Forbidden,)),
        *(error for name in variables for error in IN_PATH[name][1]),
        *(
            (InvalidFrame,)
            if (operation.query or operation.headers) and operation.who not in ("socket", "open socket", "link")
            else ()
        ),
        *(IN_BODY if operation.takes not in (None, FILE) else ()),
        *operation.refuses,
        *(() if operation.who == "platform" else (MessengerError,)),
    ):
        is_ours = not isinstance(refusal, int)
        response = problem(EXAMPLES.get(refusal) or refusal()) if is_ours else problem_of_status(refusal)
        assert isinstance(response.body, bytes)
        body = json.loads(response.body)
        yield Told(response.status, body["code"], body)
