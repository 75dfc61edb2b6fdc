"""/asyncapi.json: every frame as AsyncAPI 3.0. What clients say is made of the very schemas by which their frames are decoded
(`commands.COMMANDS`), what the daemon says of `protocol.events`; nothing is written down here that stands there."""

from collections.abc import Iterable, Mapping
from typing import Any

from marshmallow import Schema

from messenger.errors import MessengerError
from messenger.protocol.answers import REASONS
from messenger.protocol.envelope import APP_PREFIX
from messenger.protocol.events import EVENTS
from messenger.protocol.fields import Shape
from messenger.protocol.frames import PROTOCOL, Json
from messenger.protocol.glossary import WORDS
from messenger.protocol.schemas import MAX_REF_CHARS
from messenger.protocol.shapes import Shapes, described, example_of
from messenger.transport import close
from messenger.transport.close import Close
from messenger.transport.commands import COMMANDS, Entry

ABOUT = """\
The live side of the daemon: JSON text frames, UTF-8. REST is told in `/openapi.json`.

**The log.** `seq` orders a conversation's messages, `change` numbers its alterations; neither has holes. A durable event covers
the changes `after` + 1 to `change`. Keep the highest `change` that you applied as a cursor: an event that begins above the next
one shows a hole (send `sync`), one that ends at or below the cursor is old. Apply `data` by its `id`.

**Who hears what.** Durable events of every conversation one takes part in; `typing`, other people's `message.read` and presence
only of those that one subscribed to.

**Answers.** A frame may carry `ref`; its direct answer, or its `error`, carries the same. What was never answered may be sent
again with the same `client_id`.

**Limits.** Frames of 64 KiB and 50 a second, unless configured; 20 bad frames within 10 s end the connection. Unknown fields are
ignored, by both sides: more may come one day."""

# What to do after each code (RFC 6455 §7.4).
ADVICE: Mapping[int, str] = {
    1000: "As you like.",
    1001: "As you like.",
    1002: "Mend the client: it broke the WebSocket protocol.",
    1007: "Mend the client: a frame was no UTF-8.",
    1008: "Get a new token, or stop.",
    1009: "Mend the client: a frame was too large.",
    1011: "Back off, reconnect, then sync.",
    1012: "Reconnect after a random 0 to 5 s, then sync.",
    1013: "Back off, reconnect, then sync.",
}
# Closed by the protocol itself, without a reason of ours.
PLAIN_CLOSES = (Close(1000, ""), Close(1001, ""), Close(1002, ""), Close(1007, ""))

CHANNEL = "#/channels/socket"
FROM_HOST = "app"


def document(version: str) -> Json:
    """The whole document."""
    shapes = Shapes("Messenger", version)
    messages = {
        **{f"client.{type_}": _command(shapes, type_, entry) for type_, entry in COMMANDS.items()},
        **{f"server.{name}": _event(shapes, name, schema) for name, schema in EVENTS.items()},
        f"server.{FROM_HOST}": _from_host(),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Messenger", "version": version, "description": ABOUT, "license": {"name": "MIT"}},
        "defaultContentType": "application/json",
        "servers": {
            "daemon": {
                "host": "{host}",
                "protocol": "wss",
                "description": "Where this document comes from; below a proxy's prefix, with that before the address.",
                "variables": {"host": {"default": "localhost:8000"}},
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in SCHEMES],
            }
        },
        "channels": {"socket": _channel(messages)},
        "operations": _operations(),
        "components": {"messages": messages, "schemas": shapes.components, "securitySchemes": dict(SCHEMES)},
    }


SCHEMES: Mapping[str, Json] = {
    "header": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "First: `Authorization`."},
    "subprotocol": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": f"Then: `{PROTOCOL}, bearer.<jwt>`, from a browser; the daemon answers `{PROTOCOL}`.",
    },
    "query": {"type": "httpApiKey", "in": "query", "name": "token", "description": "Last: it may end up in a log."},
}


def closes() -> Iterable[Close]:
    """Every way in which the daemon ends a connection."""
    yield from PLAIN_CLOSES
    yield from map(close.unauthorized, REASONS)
    for value in vars(close).values():
        if isinstance(value, Close) and value.reason not in REASONS:
            yield value


def error_codes() -> Mapping[str, str]:
    """Every code of an `error` frame, with its usual message."""
    found = {MessengerError.code: "Internal error (and an id that stands in the log)"}
    for error in sorted(MessengerError.__subclasses__(), key=lambda error: error.code):
        found[error.code] = (error.__doc__ or "").strip()
    return found


def _channel(messages: Iterable[str]) -> Json:
    return {
        "address": "/ws/{user_id}",
        "title": "One device of one user",
        "description": "Also at `/api/v1/messenger/ws/{user_id}`. A user may have many.",
        "parameters": {
            "user_id": {
                "description": "The token's user: his id, the host's own id for him, or `me`.",
                "examples": ["me", "7"],
            }
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {
                        "device": {
                            "type": "string",
                            "pattern": "^[A-Za-z0-9._-]{1,64}$",
                            "description": WORDS["device"].meaning,
                        },
                        "token": {"type": "string", "description": "A JWT, where neither header can be sent."},
                    },
                },
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": [
            {"code": end.code, **({"reason": end.reason} if end.reason else {}), "then": ADVICE[end.code]}
            for end in closes()
        ],
        "x-error-codes": [{"code": code, "message": message} for code, message in error_codes().items()],
    }


def _operations() -> Json:
    operations: Json = {}
    for type_, entry in COMMANDS.items():
        answers = [name for name in (entry.answer, "error") if name is not None]
        operations[f"receive.{type_}"] = {
            "action": "receive",
            "channel": {"$ref": CHANNEL},
            "summary": _line(entry.use_case),
            "messages": [{"$ref": f"{CHANNEL}/messages/client.{type_}"}],
            "reply": {
                "channel": {"$ref": CHANNEL},
                "messages": [{"$ref": f"{CHANNEL}/messages/server.{name}"} for name in answers],
            },
        }
    direct = {entry.answer for entry in COMMANDS.values()}
    for name, schema in EVENTS.items():
        if name not in direct:
            operations[f"send.{name}"] = _send(name, _line(type(schema)))
    operations[f"send.{FROM_HOST}"] = _send(FROM_HOST, "What the host application publishes to this user's devices.")
    return operations


def _send(name: str, summary: str) -> Json:
    return {
        "action": "send",
        "channel": {"$ref": CHANNEL},
        "summary": summary,
        "messages": [{"$ref": f"{CHANNEL}/messages/server.{name}"}],
    }


def _command(shapes: Shapes, type_: str, entry: Entry) -> Json:
    """What a client says. A `ref` of null is none."""
    ref = {"type": ["string", "null"], "maxLength": MAX_REF_CHARS, "description": WORDS["ref"].meaning}
    example = {"type": type_, "ref": WORDS["ref"].example, **example_of(entry.schema, whole=True)}
    return _message(type_, _line(entry.use_case), _frame(type_, shapes.inline(entry.schema), ref), [example])


def _event(shapes: Shapes, name: str, schema: Schema) -> Json:
    """What the daemon says; `ref` comes where it answers."""
    type_ = type_of(name)
    is_answer = name == "error" or any(entry.answer == name for entry in COMMANDS.values())
    ref = {"type": "string", "maxLength": MAX_REF_CHARS, "description": WORDS["ref"].meaning} if is_answer else None
    shape = shapes.inline(schema)
    if name == "error":
        shape["properties"]["code"]["enum"] = list(error_codes())
    example = {"type": type_, **({"ref": WORDS["ref"].example} if is_answer else {}), **example_of(schema)}
    return _message(name, _line(type(schema)), _frame(type_, shape, ref), [example])


def _from_host() -> Json:
    type_ = {"type": "string", "pattern": f"^{APP_PREFIX.replace('.', '[.]')}", "description": "The host's own."}
    return _message(
        f"{APP_PREFIX}…",
        "What the host application publishes to this user's devices, as it is.",
        {"type": "object", "required": ["type"], "properties": {"type": type_}, "additionalProperties": True},
        [{"type": f"{APP_PREFIX}invoice_paid", "invoice": 4711}],
    )


def _frame(type_: str, shape: Shape, ref: Shape | None) -> Shape:
    """A frame around a schema's fields."""
    return {
        "type": "object",
        "required": ["type", *shape.get("required", [])],
        "properties": {
            "type": {"type": "string", "const": type_, "description": "Which frame it is."},
            **({} if ref is None else {"ref": ref}),
            **shape["properties"],
        },
        **{
            name: value
            for name, value in shape.items()
            if name not in ("type", "required", "properties", "description")
        },
    }


def _message(name: str, summary: str, payload: Shape, examples: list[Json]) -> Json:
    return {
        "name": name,
        "title": name,
        "summary": summary,
        "contentType": "application/json",
        "payload": payload,
        "examples": [{"payload": example} for example in examples],
    }


def type_of(name: str) -> str:
    """The `type` of an event's frames: a `system` frame is named by its event too."""
    return "system" if name.startswith("system.") else name


def _line(thing: Any) -> str:
    """What a docstring says."""
    return str(described(thing).get("description", ""))
