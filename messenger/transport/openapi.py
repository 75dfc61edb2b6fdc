"""/openapi.json: every route as OpenAPI 3.1, made of what is said beside the handlers (`operation`), of what follows from it
(`refusals`), and of the schemas (`protocol.schemas`, `protocol.answers`). It says nothing of its own but the introduction."""

import importlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from http import HTTPStatus

from marshmallow import Schema

from messenger.protocol import answers, platform
from messenger.protocol.fields import Shape
from messenger.protocol.frames import Json
from messenger.protocol.glossary import WORDS
from messenger.protocol.shapes import Shapes, described, example_of
from messenger.transport.operation import OPERATIONS, Field, Given, Operation, Route, Who, variables_of
from messenger.transport.refusals import IN_PATH, refusals_of

ABOUT = """\
Everything over HTTP. The live side is a WebSocket: see `/asyncapi.json`.

**Who asks.** A user's JWT as a bearer token; or the host application by its API token or a JWT of scope `service`, on behalf of
whom `X-User-Id` names. With authentication off (demo and tests) `X-User-Id` alone says who asks.

**What goes wrong** is told as `application/problem+json` (RFC 9457) with a `code`. A path that is not here is 404 `not_found`,
another method 405 `method_not_allowed` with `Allow`. What one may not see does not exist: foreign and absent are told alike.
With authentication off a request to a host name that is not ours is 403 `forbidden`, whatever it asks.
The Platform API, below `/v3`, tells it as the vendor's does whose words it speaks; it is not there while no API token is set.

**Texts** are Unicode without U+0000 and lone surrogates. Unknown fields are ignored, by both sides: more may come one day.
GET routes answer HEAD too."""

# How the one who asks says who he is; each alone is enough.
SECURITY: Mapping[Who, list[Mapping[str, list[str]]]] = {
    "user": [{"user": []}, {"service": [], "onBehalfOf": []}],
    "host": [{"service": []}],
    "user or host": [{"user": []}, {"service": [], "onBehalfOf": []}, {"service": []}],
    "participant": [{"guest": []}, {"user": []}, {"service": [], "onBehalfOf": []}],
    "anyone": [],
    "socket": [{"user": []}, {"token": []}, {"subprotocol": []}],
    "open socket": [],
    "watcher": [{}, {"service": []}],
    "link": [],
    "platform": [{"apiToken": []}],
}
SCHEMES: Mapping[str, Json] = {
    "user": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A JWT of the user's."},
    "guest": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The token that joining a live session gave.",
    },
    "service": {
        "type": "http",
        "scheme": "bearer",
        "description": "The host application: its API token, or a JWT with `scope` `service`.",
    },
    "onBehalfOf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-User-Id",
        "description": "On whose behalf the host application asks: an integer, or an external id.",
    },
    "apiToken": {
        "type": "apiKey",
        "in": "header",
        "name": "Api-Token",
        "description": "The host application's API token, over the Platform API.",
    },
    "token": {"type": "apiKey", "in": "query", "name": "token", "description": "A JWT, where no header can be sent."},
    "subprotocol": {
        "type": "apiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": "`messenger.v1, bearer.<jwt>`: from a browser.",
    },
}
# What is made leads on: its `id` is this part of other paths.
LEADS_TO: Mapping[Given, str] = {
    answers.OwnConversation: "conversation_id",
    answers.Message: "message_id",
    answers.PushDevice: "push_device_id",
    answers.Upload: "attachment_id",
}
RESPONSE_HEADERS: Mapping[int, Mapping[str, tuple[str, Shape]]] = {
    401: {"WWW-Authenticate": ("How to say who asks.", {"type": "string", "const": "Bearer"})},
    426: {"Upgrade": ("What to ask for.", {"type": "string", "const": "websocket"})},
    429: {"Retry-After": ("Seconds, rounded up.", {"type": "string", "pattern": "^[0-9]+$"})},
}


def document(routes: Iterable[Route], version: str) -> Json:
    """The whole document; routes whose handlers are not described are left out."""
    return _Writer([route for route in routes if route.handler in OPERATIONS], version).written


class _Writer:
    def __init__(self, routes: list[Route], version: str) -> None:
        self._routes = routes
        self._shapes = Shapes(
            "Messenger",
            version,
            info={
                "summary": "messenger.v1 over HTTP",
                "description": ABOUT,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            servers=[{"url": "."}],
        )
        self._spec = self._shapes.spec
        self._refusals: set[str] = set()

    @cached_property
    def written(self) -> Json:
        for name, scheme in SCHEMES.items():
            self._spec.components.security_scheme(name, dict(scheme))
        for route in self._routes:
            self._spec.path(route.path, operations={route.method.lower(): self._operation(route)})
        for module in dict.fromkeys(route.handler.__module__ for route in self._routes):
            about = described(importlib.import_module(module))["description"]
            self._spec.tag({"name": _tag(module), "description": about.partition(". ")[0].removesuffix(".") + "."})
        told: Json = self._spec.to_dict()
        return told

    def _operation(self, route: Route) -> Json:
        operation = OPERATIONS[route.handler]
        tag = _tag(route.handler.__module__)
        told: Json = {
            "operationId": self._name(route),
            "summary": f"{operation.summary}{', here too' if self._is_second(route) else ''}",
            "tags": [tag],
            "security": SECURITY[operation.who],
            "parameters": self._parameters(tag, route.path, operation),
            "responses": self._responses(route, operation),
        }
        told |= described(route.handler)
        if operation.takes is not None:
            told["requestBody"] = {"required": True, "content": self._taken(operation.takes)}
        return told

    def _taken(self, taken: type[Schema] | str) -> Json:
        if not isinstance(taken, str):
            return self._json(taken, whole=True)
        # Bytes as they are: of a string, since several parts would be a list.
        about = WORDS["Upload.file"].meaning
        file = {"type": "string", "contentMediaType": "application/octet-stream", "description": about}
        return {
            taken: {
                "schema": {
                    "type": "object",
                    "properties": {"file": file},
                    "required": ["file"],
                    "additionalProperties": False,
                }
            }
        }

    def _name(self, route: Route) -> str:
        name = f"{_tag(route.handler.__module__)}.{route.handler.__name__.strip('_')}"
        return f"{name}.again" if self._is_second(route) else name

    def _is_second(self, route: Route) -> bool:
        """Whether the same is at another path already."""
        return route is not next(other for other in self._routes if other.handler is route.handler)

    def _parameters(self, tag: str, path: str, operation: Operation) -> list[Json]:
        named = {name: operation.path.get(name) or IN_PATH[name][0] for name in variables_of(path)}
        return [
            *(self._parameter(tag, "path", name, field, required=True) for name, field in named.items()),
            *(
                self._parameter(tag, "query", name, field, required=field.required)
                for name, field in operation.query.items()
            ),
            *(self._parameter(tag, "header", name, field, required=False) for name, field in operation.headers.items()),
        ]

    def _parameter(self, tag: str, place: str, name: str, field: Field, *, required: bool) -> Json:
        shape, word = self._shapes.alone(field), WORDS.get(f"{tag}.{name}") or WORDS[name]
        told = {"in": place, "name": name, "required": required, "description": word.meaning, "schema": shape}
        if shape.get("type") == "array":
            told |= {"style": "form", "explode": False}
        return told | {"example": word.example}

    def _responses(self, route: Route, operation: Operation) -> Json:
        told = {str(status): self._given(status, given) for status, given in operation.gives.items()}
        refusals: dict[int, dict[str, Json]] = {}
        for refusal in refusals_of(route, operation):
            refusals.setdefault(refusal.status, {})[refusal.code] = refusal.body
        for status, bodies in sorted(refusals.items()):
            told[str(status)] = self._refusal(status, bodies)
        if operation.who == "platform":
            told |= {str(status): self._given(status, platform.Refused) for status in (400, 500)}
        return dict(sorted(told.items()))

    def _given(self, status: int, given: Given) -> Json:
        if isinstance(given, str):
            shape = {"type": "object"} if given.endswith("json") else {"type": "string"}
            return {
                "description": HTTPStatus(status).phrase,
                "content": {media_type: {"schema": shape} for media_type in given.split(", ")},
            }
        if given is None:
            return {"description": HTTPStatus(status).phrase}
        about = described(given)["description"]
        told = {"description": f"{HTTPStatus(status).phrase}. {about}", "content": self._json(given)}
        if status == HTTPStatus.CREATED and given in LEADS_TO:
            variable = LEADS_TO[given]
            told["links"] = {
                self._name(route): {"operationId": self._name(route), "parameters": {variable: "$response.body#/id"}}
                for route in self._routes
                if variable in variables_of(route.path)
            }
        return told

    def _json(self, schema: type[Schema], *, whole: bool = False) -> Json:
        """`whole`: the example shows what may be left out too."""
        return {
            "application/json": {
                "schema": self._shapes.reference(schema),
                "example": example_of(schema(), whole=whole),
            }
        }

    def _refusal(self, status: int, bodies: Mapping[str, Json]) -> Json:
        # A response for each set of codes, so that an operation says what it may be told and nothing else.
        name = "-".join(sorted(bodies))
        if name not in self._refusals:
            self._refusals.add(name)
            schema = self._shapes.reference(answers.Problem) | {"properties": {"code": {"enum": sorted(bodies)}}}
            told: Json = {
                "description": f"{HTTPStatus(status).phrase}: {' or '.join(f'`{code}`' for code in sorted(bodies))}.",
                "content": {
                    "application/problem+json": {
                        "schema": schema,
                        "examples": {code: {"value": body} for code, body in sorted(bodies.items())},
                    }
                },
            }
            if status in RESPONSE_HEADERS:
                told["headers"] = {
                    header: {"description": meaning, "required": True, "schema": shape}
                    for header, (meaning, shape) in RESPONSE_HEADERS[status].items()
                }
            self._spec.components.response(name, told)
        return {"$ref": f"#/components/responses/{name}"}


def _tag(module: str) -> str:
    return module.rpartition(".")[2]


def undescribed(routes: Iterable[Route]) -> list[str]:
    """Routes of which the document would say nothing."""
    return [f"{route.method} {route.path}" for route in routes if route.handler not in OPERATIONS]
