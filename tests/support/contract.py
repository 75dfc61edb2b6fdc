"""The documents as judges: every answer and every frame that a test hears is held against /openapi.json and /asyncapi.json.

Stricter than they are: what an object of the daemon's has beside its documented fields is an error too, since nobody would
know of it.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from messenger.app import make_app
from messenger.config import Config
from messenger.transport.contract import CONTRACT

Json = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
# The demo's own, no part of the contract.
OUTSIDE = re.compile(r"/(demo(/.*)?)?")


class Broken(AssertionError):
    """The daemon said what its documents do not, or they promise what it does not take."""


@cache
def documents() -> tuple[Json, Json]:
    """OpenAPI and AsyncAPI, as they are served."""
    contract = make_app(Config())[CONTRACT]
    return json.loads(contract.openapi.body), json.loads(contract.asyncapi.body)


def answered(method: str, path: str, status: int, headers: Mapping[str, str], text: str) -> None:
    """Assert that an answer is documented: status, content type, body and headers. `path` from the root, without its query."""
    found = _operation(method, path)
    if found is None:
        if not OUTSIDE.fullmatch(path):
            _unrouted(method, path, status)
        return
    response = _resolved(found["responses"].get(str(status)))
    if response is None:
        raise Broken(f"{method} {path}: status {status} is not documented: {text[:300]}")
    for name, header in response.get("headers", {}).items():
        if header.get("required") and name not in headers:
            raise Broken(f"{method} {path}: {status} without {name}")
        hold(f"{method} {path}: {status} {name}", 0, header["schema"], headers[name])
    content = response.get("content")
    if content is None or method == "HEAD":
        if text:
            raise Broken(f"{method} {path}: {status} with a body that is not documented: {text[:300]}")
        return
    type_ = headers.get("Content-Type", "").partition(";")[0]
    if type_ not in content and "*/*" not in content:
        raise Broken(f"{method} {path}: {status} as {type_!r}, which is not documented")
    if type_.endswith("json") and type_ in content:
        hold(f"{method} {path}: {status}", 0, content[type_]["schema"], json.loads(text))


def asked(method: str, path: str, status: int, body: Any) -> None:
    """Assert that what was taken is what the document says that one may ask."""
    found = _operation(method, path)
    if found is not None and status < 300 and body is not None and "requestBody" in found:
        schema = found["requestBody"]["content"]["application/json"]["schema"]
        hold(f"{method} {path} took", 0, schema, body, is_ours=False)


def heard(frame: Json) -> None:
    """Assert that a frame of the daemon's is documented."""
    schema = _events().get(_name(frame))
    if schema is None:
        raise Broken(f"a frame of type {_name(frame)!r} is not documented")
    hold(f"the frame {_name(frame)}", 1, schema, frame)


def replied(said: Json, frame: Json) -> None:
    """Assert that this is a documented answer to what was said, and that what was taken is what one may say."""
    operation = documents()[1]["operations"].get(f"receive.{said['type']}")
    if operation is None:
        expected = {"server.error"}
    else:
        expected = {item["$ref"].rpartition("/")[2] for item in operation["reply"]["messages"]}
    if f"server.{_name(frame)}" not in expected:
        raise Broken(f"{said['type']} is answered by {frame['type']}, which is not documented")
    if frame["type"] != "error":
        hold(f"{said['type']} took", 1, _message(f"client.{said['type']}")["payload"], said, is_ours=False)


def closed(code: int, reason: str) -> None:
    """Assert that the daemon's way to end a connection is documented."""
    ways = documents()[1]["channels"]["socket"]["x-close-codes"]
    if not any((way["code"], way.get("reason", "")) == (code, reason) for way in ways):
        raise Broken(f"closing with {code} {reason!r} is not documented")


def _strict(schema: Any) -> Any:
    """The same shape, where objects have no fields but those that are named."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    stricter = {name: _strict(value) for name, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        stricter.setdefault("additionalProperties", False)
    return stricter


def hold(what: str, document: int, schema: Json, value: Any, *, is_ours: bool = True) -> None:
    """Assert that a value is what a schema of the document says (0: OpenAPI, 1: AsyncAPI); what is ours has nothing more."""
    validator = _validator(document, json.dumps(schema), is_ours)
    if not validator.is_valid(value):
        problems = "; ".join(
            f"{'/'.join(map(str, error.instance_path)) or 'it'}: {error.message[:200]}"
            for error in validator.iter_errors(value)
        )
        raise Broken(f"{what} is not as documented: {problems}\n{json.dumps(value)[:1000]}")


def is_valid(document: int, schema: Json, value: Any) -> bool:
    """Whether a client may say this, by the document."""
    return bool(_validator(document, json.dumps(schema), False).is_valid(value))


@cache
def _validator(document: int, schema: str, is_strict: bool) -> Any:
    whole = {**json.loads(schema), "components": documents()[document]["components"]}
    whole = {"$schema": DRAFT, **(_strict(whole) if is_strict else whole)}
    return jsonschema_rs.validator_for(whole, validate_formats=True)


def _operation(method: str, path: str) -> Json | None:
    for pattern, operations in _paths():
        if pattern.fullmatch(path):
            found: Json | None = operations.get("get" if method == "HEAD" else method.lower())
            return found
    return None


@cache
def _paths() -> list[tuple[re.Pattern[str], Json]]:
    """Paths with few variables first: /users/me is no user of that name."""
    paths = sorted(documents()[0]["paths"].items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), operations) for path, operations in paths]


def _unrouted(method: str, path: str, status: int) -> None:
    is_path = any(pattern.fullmatch(path) for pattern, _ in _paths())
    if method == "OPTIONS" and status in (204, 403):
        return  # before a request from a page of another origin
    if status != (405 if is_path else 404) and status != 403:
        raise Broken(f"{method} {path} is not documented, and is {status}")


def _resolved(response: Json | None) -> Json | None:
    if response is not None and "$ref" in response:
        name = response["$ref"].rpartition("/")[2]
        resolved: Json = documents()[0]["components"]["responses"][name]
        return resolved
    return response


def _name(frame: Json) -> str:
    type_ = str(frame.get("type"))
    if type_ == "system":
        return f"system.{frame.get('event')}"
    return "app" if type_.startswith("app.") else type_


def _message(name: str) -> Json:
    found: Json = documents()[1]["components"]["messages"][name]
    return found


@cache
def _events() -> Mapping[str, Json]:
    messages = documents()[1]["components"]["messages"]
    return {name.removeprefix("server."): _message(name)["payload"] for name in messages if name.startswith("server.")}
