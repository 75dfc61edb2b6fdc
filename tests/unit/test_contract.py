"""The documents: valid, complete, made of what the daemon itself goes by, and true in every example."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema_rs
import openapi_spec_validator
import pytest
from marshmallow import Schema

from messenger.app import make_app
from messenger.config import Config
from messenger.errors import MessengerError
from messenger.protocol import schemas
from messenger.protocol.events import EVENTS
from messenger.protocol.shapes import example_of
from messenger.transport import asyncapi, close, openapi
from messenger.transport.commands import COMMANDS
from messenger.transport.contract import routes_of
from messenger.transport.operation import FILE, OPERATIONS
from messenger.transport.problems import CODES, STATUS
from tests.support import contract

Json = dict[str, Any]
OPENAPI, ASYNCAPI = contract.documents()
ASYNCAPI_SCHEMA = json.loads((Path(contract.__file__).parent / "asyncapi-3.0.0.json").read_text())
METHODS = {"get", "put", "post", "patch", "delete"}


def operations() -> Iterator[tuple[str, Json]]:
    for path, methods in OPENAPI["paths"].items():
        for method, operation in methods.items():
            assert method in METHODS
            yield f"{method.upper()} {path}", operation


def messages(side: str) -> dict[str, Json]:
    found = ASYNCAPI["components"]["messages"].items()
    return {name.removeprefix(side): message for name, message in found if name.startswith(side)}


def properties(shape: Any, at: str = "") -> Iterator[tuple[str, Json]]:
    """Every named field in a shape, and where it stands."""
    if isinstance(shape, dict):
        for name, value in shape.items():
            if name == "properties" and not at.endswith("/properties"):
                for field, inner in value.items():
                    yield f"{at}/{field}", inner
            yield from properties(value, f"{at}/{name}")


def test_openapi_is_valid() -> None:
    assert OPENAPI["openapi"] == "3.1.0"
    openapi_spec_validator.validate(OPENAPI)


def test_asyncapi_is_valid() -> None:
    jsonschema_rs.validator_for(ASYNCAPI_SCHEMA).validate(ASYNCAPI)


def test_every_reference_of_asyncapi_leads_somewhere() -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (value["$ref"],) if isinstance(value.get("$ref"), str) else ()
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                yield from references(item)

    for reference in set(references(ASYNCAPI)):
        found = ASYNCAPI
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_every_route_is_described_and_nothing_else_is() -> None:
    routes = routes_of(make_app(Config()))
    assert openapi.undescribed(routes) == []
    assert [f"{route.method} {route.path}" for route in routes] == [name for name, _ in operations()]
    # A description without a route is of a handler that nobody can ask any more.
    assert {route.handler for route in routes} == OPERATIONS.keys()


@pytest.mark.parametrize(
    ("name", "operation"), [pytest.param(name, operation, id=name) for name, operation in operations()]
)
def test_every_operation_says_what_it_does_and_what_may_come(name: str, operation: Json) -> None:
    assert operation["summary"]
    assert operation.get("description", operation["summary"])
    assert "500" in operation["responses"]
    assert any(status < "400" for status in operation["responses"])
    # A socket is told by a close code.
    is_socket = re.search(r"/ws/.*\{(user_id|participant_id|channel_url)\}$", name) is not None
    asks_for_a_token = bool(operation["security"]) and not is_socket
    # The Platform API says what went wrong as the vendor's does: by one status.
    is_vendors = " /v3/" in name
    assert ("401" in operation["responses"]) == (asks_for_a_token and not is_vendors)
    assert ("415" in operation["responses"]) == ("requestBody" in operation and not is_vendors)
    assert ("400" in operation["responses"] or not is_vendors) and (
        operation["security"] == [{"apiToken": []}]
    ) == is_vendors
    for parameter in operation["parameters"]:
        assert parameter["description"]
        assert "example" in parameter
    for status, response in operation["responses"].items():
        if "$ref" in response:
            response = OPENAPI["components"]["responses"][response["$ref"].rpartition("/")[2]]
        assert response["description"]
        for type_, media in response.get("content", {}).items():
            is_told_otherwise = name == "GET /readyz" or (is_vendors and status in ("400", "500"))
            assert type_ == "application/problem+json" or status < "400" or is_told_otherwise
            assert "example" in media or "examples" in media or media["schema"].get("type") in ("string", "object")


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert len(names) == len(set(names))


def test_every_error_is_told_of() -> None:
    told = set()
    for response in OPENAPI["components"]["responses"].values():
        told.update(response["content"]["application/problem+json"]["schema"]["properties"]["code"]["enum"])
    # These two belong to no operation: a path that is not there, a method that is not.
    general = {"not_found", "method_not_allowed"}
    assert told | general == {*STATUS, *CODES.values()}
    assert all(f"`{code}`" in OPENAPI["info"]["description"] for code in general)


def test_every_field_is_explained() -> None:
    for document in (OPENAPI, ASYNCAPI):
        unexplained = [
            at
            for at, shape in properties(document["components"])
            # The fields of examples, and a code that is narrowed down.
            if "/example" not in at and not at.endswith("/schema/code") and not shape.get("description")
        ]
        assert unexplained == []


def examples() -> Iterator[tuple[str, int, Json, Any]]:
    """Every example of the documents, with its schema."""
    for name, operation in operations():
        for parameter in operation["parameters"]:
            yield f"{name} {parameter['name']}", 0, parameter["schema"], parameter["example"]
        for status, response in {"body": operation.get("requestBody", {}), **operation["responses"]}.items():
            for media in response.get("content", {}).values():
                if "example" in media:
                    yield f"{name} {status}", 0, media["schema"], media["example"]
    for name, response in OPENAPI["components"]["responses"].items():
        media = response["content"]["application/problem+json"]
        for code, example in media["examples"].items():
            yield f"{name} {code}", 0, media["schema"], example["value"]
    for name, message in ASYNCAPI["components"]["messages"].items():
        for example in message["examples"]:
            yield name, 1, message["payload"], example["payload"]


@pytest.mark.parametrize(
    ("document", "schema", "example"),
    [pytest.param(document, schema, example, id=name) for name, document, schema, example in examples()],
)
def test_every_example_is_what_its_schema_says(document: int, schema: Json, example: Any) -> None:
    contract.hold("the example", document, schema, example)


def test_what_clients_say_is_what_is_decoded() -> None:
    said = messages("client.")
    assert said.keys() == COMMANDS.keys()
    for type_, message in said.items():
        (example,) = message["examples"]
        frame = json.dumps(example["payload"])
        parsed = schemas.parse(frame)
        assert (schemas.type_of(parsed), schemas.ref_of(parsed)) == (type_, "r1")
        # With everything that the schema knows, and nothing besides.
        entry = COMMANDS[type_]
        names = {field.data_key or name for name, field in entry.schema.fields.items()}
        assert parsed.keys() == {"type", "ref", *names}
        assert message["payload"]["properties"].keys() == {"type", "ref", *names}
        required = {field.data_key or name for name, field in entry.schema.fields.items() if field.required}
        assert set(message["payload"]["required"]) == {"type", *required}
        schemas.load(entry.schema, parsed)


def test_what_requests_bring_is_what_is_decoded() -> None:
    for handler, operation in OPERATIONS.items():
        if operation.takes not in (None, FILE):
            (body,) = [
                described["requestBody"]["content"]["application/json"]["example"]
                for route in routes_of(make_app(Config()))
                for name, described in operations()
                if route.handler is handler and name == f"{route.method} {route.path}"
            ]
            schemas.load(operation.takes(), schemas.parse(json.dumps(body)))


# Of every kind, and at every bound; but for what JSON Schema cannot tell from its like: 7.0 from 7, U+0000, depth.
UUID = "01890000-0000-7000-8000-00000000abcd"
TEXTS = [
    *("x" * length for length in (0, 1, 32, 33, 64, 65, 127, 128, 129, 200, 201, 255, 256, 2048, 2049)),
    " ", "me", "7", "7a", "Ä", UUID, UUID.upper(), UUID[:-1], UUID.replace("-", ""), "{" + UUID + "}", "urn:uuid:" + UUID,
    "text", "system", "admin", "Admin", "member", "observer", "direct", "group", "announcement", "room", "all", "joined",
    "mentions", "none", "https://x.example/a?b#c", "http://x", "https://x y", "HTTPS://x", "ftp://x", "javascript:alert(1)",
    "/a", "//a", "/a b", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123456+01:00", "2026-02-30T12:00:00Z",
    "2026-01-31T12:00:00", "2026-01-31", "2026-01-31T25:00:00Z",
]  # fmt: skip
NUMBERS = [-1, 0, 1, 2, 200, 201, 2**53 - 1, 2**53, 0.5]
LISTS = [
    [], [1], [1, 2], [0], [-1], [2**53], ["1"], [None], [True], [[]], [{}],
    *([*range(1, length + 1)] for length in (10, 11, 100, 101, 500, 501, 1000, 1001)),
    [{"url": "/a"}], [{"url": "//a"}], [{"url": "/a"}] * 10, [{"url": "/a"}] * 11, [{"name": "x"}],
    [{"url": "/a", "name": "x" * 256}], [{"url": "/a", "size": -1}], [{"url": "/a", "mime_type": "x" * 128}],
]  # fmt: skip
OBJECTS = [{}, {"a": 1}, {UUID: 1}, {UUID: 0}, {UUID: -1}, {UUID: "1"}, {UUID: 2**53}, {"x": 1}, {UUID[:-1]: 1}]
VALUES = [None, True, False, *TEXTS, *NUMBERS, *LISTS, *OBJECTS]
# Said by a use case, after decoding: `content_empty`.
LATER = {("Edit", "content"), ("EditBody", "content"), ("Send", "content"), ("SendBody", "content")}


def decoders() -> Iterator[tuple[str, Schema, int, Json, Json]]:
    """Every schema by which something is decoded, with its shape and its example."""
    for type_, message in messages("client.").items():
        yield type_, COMMANDS[type_].schema, 1, message["payload"], message["examples"][0]["payload"]
    for operation in OPERATIONS.values():
        # A file is no schema's to judge.
        if operation.takes not in (None, FILE):
            schema = operation.takes()
            name = f"{operation.takes.__name__.removesuffix('Body')}Request"
            yield name, schema, 0, {"$ref": f"#/components/schemas/{name}"}, example_of(schema, whole=True)


@pytest.mark.parametrize(
    ("schema", "document", "shape", "example"), [pytest.param(*rest, id=name) for name, *rest in decoders()]
)
def test_what_the_documents_allow_is_what_is_taken(schema: Schema, document: int, shape: Json, example: Json) -> None:
    def is_taken(frame: Json) -> bool:
        try:
            schemas.load(schema, frame)
        except MessengerError:
            return False
        return True

    required = {field.data_key or name for name, field in schema.fields.items() if field.required}
    bare = {name: value for name, value in example.items() if name in {"type", *required}}
    assert contract.is_valid(document, shape, bare) == is_taken(bare)
    for name, field in schema.fields.items():
        for value in VALUES:
            if (type(schema).__name__, name) in LATER and isinstance(value, str) and not value.strip():
                continue
            frame = {**example, field.data_key or name: value}
            assert contract.is_valid(document, shape, frame) == is_taken(frame), (name, value)
        frame = {key: value for key, value in example.items() if key != (field.data_key or name)}
        assert contract.is_valid(document, shape, frame) == is_taken(frame), name


def test_every_frame_has_its_operation() -> None:
    told = ASYNCAPI["operations"]
    assert {name for name in told if name.startswith("receive.")} == {f"receive.{type_}" for type_ in COMMANDS}
    sent = {name.removeprefix("send.") for name in told if name.startswith("send.")}
    direct = {entry.answer for entry in COMMANDS.values() if entry.answer is not None}
    assert sent | direct == {*EVENTS, "app"}
    assert not sent & direct
    for name, operation in told.items():
        assert operation["summary"], name
    for type_, entry in COMMANDS.items():
        answers = {item["$ref"].rpartition("server.")[2] for item in told[f"receive.{type_}"]["reply"]["messages"]}
        assert answers == {entry.answer, "error"} - {None}


def test_every_way_to_end_a_connection_is_told_with_what_to_do() -> None:
    told = ASYNCAPI["channels"]["socket"]["x-close-codes"]
    ours = [value for value in vars(close).values() if isinstance(value, close.Close)]
    assert ours
    for end in ours:
        assert {"code": end.code, "reason": end.reason, "then": asyncapi.ADVICE[end.code]} in told
    assert len({(end["code"], end.get("reason")) for end in told}) == len(told)


def test_a_pattern_is_one_of_ecmascript() -> None:
    def patterns(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (value["pattern"],) if isinstance(value.get("pattern"), str) else ()
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                yield from patterns(item)

    found = {*patterns(OPENAPI), *patterns(ASYNCAPI)}
    assert found
    assert not [pattern for pattern in found if re.search(r"\\[AZz]|\(\?P|\(\?[aimsux]", pattern)]


@pytest.mark.parametrize("status", sorted({*STATUS.values(), *CODES}))
def test_a_status_has_a_phrase(status: int) -> None:
    assert HTTPStatus(status).phrase


def test_the_judge_sees_what_is_not_documented() -> None:
    pong = messages("server.")["pong"]["examples"][0]["payload"]
    contract.heard(pong)
    contract.heard({"type": "app.anything", "goes": True})
    for wrong in (
        {**pong, "more": 1},
        {**pong, "timestamp": "yesterday"},
        {"type": "pong"},
        {"type": "pung"},
        {"type": "system", "event": "unheard"},
        {"type": "error", "code": "unheard_of", "message": "x"},
    ):
        with pytest.raises(contract.Broken):
            contract.heard(wrong)
    with pytest.raises(contract.Broken):
        contract.replied({"type": "ping"}, {"type": "ack"})
    with pytest.raises(contract.Broken):
        contract.closed(1013, "bored")
    json_ = {"Content-Type": "application/json"}
    contract.answered("GET", "/healthz", 200, json_, '{"status":"ok"}')
    for method, path, status, headers, text in (
        ("GET", "/healthz", 418, json_, '{"status":"ok"}'),
        ("GET", "/healthz", 200, {"Content-Type": "text/plain"}, '{"status":"ok"}'),
        ("GET", "/healthz", 200, json_, '{"status":"well"}'),
        ("GET", "/healthz", 200, json_, '{"status":"ok","more":1}'),
        ("GET", "/nowhere", 200, json_, "{}"),
        ("PUT", "/healthz", 200, json_, "{}"),
    ):
        with pytest.raises(contract.Broken):
            contract.answered(method, path, status, headers, text)
    with pytest.raises(contract.Broken):
        contract.asked("POST", "/api/v1/messenger/sync", 200, {"cursors": 7})


def test_a_socket_is_opened_by_either_id() -> None:
    for path in ("/ws/{user_id}", "/api/v1/messenger/ws/{user_id}"):
        (named,) = [one for one in OPENAPI["paths"][path]["get"]["parameters"] if one["name"] == "user_id"]
        either = jsonschema_rs.validator_for(named["schema"])
        assert [either.is_valid(name) for name in (7, "user-ben", "me", "")] == [True, True, True, False]


def test_no_type_is_offered_that_is_refused() -> None:
    told = OPENAPI["components"]["schemas"]["CreateConversationRequest"]["properties"]["type"]
    named = set(re.findall("`(.*?)`", told["description"]))
    assert named == set(told["enum"])
