"""The fence around every answer, whoever makes it and however it fails: read off the wire."""

import asyncio
import json
from typing import Any

import pytest

from messenger.transport import doorstep
from tests.security.wire import UPGRADE, wire_to
from tests.support.node import SECRET, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import API, token

stage = stage_with(demo=True, allowed_origins=("https://chat.example.org",))
node = node_of_stage()

NOBODYS = "01890000-0000-7000-8000-000000000000"
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "font-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
FENCE = {
    "server": "messenger",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "vary": "Origin",
}


def fenced(headers: dict[str, str], *, cached: str = "no-store") -> None:
    assert {name: headers.get(name) for name in FENCE} == FENCE
    assert headers["cache-control"] == cached
    policy = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
    images = policy.pop("img-src").split()
    if headers.get("content-type", "").startswith("text/html"):  # no page turns text into elements
        assert policy.pop("require-trusted-types-for", "'script'") == "'script'"
        assert policy.pop("trusted-types", "'none'") == "'none'"
    assert policy == POLICY
    assert {"'self'", "data:"} <= set(images) <= {"'self'", "data:", "blob:", "https:"}
    assert "unsafe" not in headers["content-security-policy"]
    # What would tell which library answers, or let another page ride on a login.
    assert not headers.keys() & {"x-powered-by", "set-cookie", "access-control-allow-credentials"}
    assert "aiohttp" not in str(headers)


def request(method: str, path: str, *lines: str, body: str = "") -> str:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: chat\r\n"
        + "".join(f"{line}\r\n" for line in lines)
        + length
        + "\r\n"
        + body
    )


ANSWERS = [
    ("GET", "/healthz", (), "", 200),
    ("HEAD", "/healthz", (), "", 200),
    ("GET", f"{API}/users/me", ("AUTH",), "", 200),
    ("POST", f"{API}/conversations", ("AUTH", "JSON"), '{"type":"group","participant_ids":[]}', 201),
    (
        "OPTIONS",
        f"{API}/users/me",
        ("Origin: https://chat.example.org", "Access-Control-Request-Method: PATCH"),
        "",
        204,
    ),
    ("OPTIONS", f"{API}/users/me", ("Origin: https://evil.example", "Access-Control-Request-Method: PATCH"), "", 403),
    ("POST", f"{API}/conversations", ("AUTH", "JSON"), "{", 400),
    ("GET", f"{API}/users/me", (), "", 401),
    ("GET", "/ws/me", ("Origin: https://evil.example", *UPGRADE.split("\r\n")[:-1]), "", 403),
    ("GET", f"{API}/conversations/{NOBODYS}", ("AUTH",), "", 404),
    ("GET", "/nowhere", (), "", 404),
    ("GET", "/demo/..%2fapp.py", (), "", 404),
    ("DELETE", "/healthz", (), "", 405),
    ("TRACE", "/healthz", (), "", 405),
    ("POST", f"{API}/conversations", ("AUTH", "JSON"), " " * 262_145, 413),
    ("POST", f"{API}/conversations", ("AUTH", "Content-Type: text/plain"), "{}", 415),
    ("POST", f"{API}/conversations", ("AUTH", "JSON"), "{}", 422),
    ("GET", "/ws/me", (), "", 426),
    ("GET", "/ws/me", tuple(UPGRADE.split("\r\n")[:-1]), "", 101),
    ("GET", "/stats", (), "", 200),
    ("GET", "/demo/config.json", (), "", 200),
]


@pytest.mark.parametrize(("method", "path", "lines", "body", "status"), ANSWERS, ids=lambda value: str(value)[:30])
async def test_every_answer_is_fenced(
    stage: Stage, node: Node, method: str, path: str, lines: tuple[str, ...], body: str, status: int
) -> None:
    names = {
        "AUTH": f"Authorization: Bearer {token(*stage.people(1), SECRET)}",
        "JSON": "Content-Type: application/json",
    }
    async with wire_to(node) as wire:
        wire.say(request(method, path, *(names.get(line, line) for line in lines), body=body))
        if method == "HEAD":
            head = (await wire.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            assert head[0].split()[1] == str(status)
            fenced({name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])})
            return
        told = await wire.hear()
    assert told.status == status
    fenced(told.headers)


@pytest.mark.parametrize("path", ["/", "/demo/app.js", "/demo/app.css"])
async def test_a_file_is_fenced_and_asked_for_anew(node: Node, path: str) -> None:
    async with wire_to(node) as wire:
        told = await wire.ask(request("GET", path))
    assert told.status == 200
    fenced(told.headers, cached="no-cache")


async def test_no_route_is_forgotten(stage: Stage, node: Node) -> None:
    """Also one that is written tomorrow: asked by nobody, and by somebody who asks nonsense."""
    bearer = f"Authorization: Bearer {token(*stage.people(1), SECRET)}"
    asked = 0
    for route in node.server.app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical.replace("{", "").replace("}", "")
        for lines in ((), (bearer, "Content-Type: application/json")):
            async with wire_to(node) as wire:
                if route.method == "HEAD":
                    continue
                told = await wire.ask(request(route.method, path, *lines))
            assert told.status < 500, (path, told)
            told.headers.setdefault("cache-control", "no-store")
            fenced(told.headers, cached=told.headers["cache-control"])
            asked += 1
    assert asked > 40


async def test_what_nobody_could_read_and_what_failed_are_fenced(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> Any:
        raise RuntimeError("swordfish")

    async with wire_to(node) as wire:
        told = await wire.ask("GET / HTTP/9.9\r\n\r\n")
        assert told.status == 400
        fenced(told.headers)
    monkeypatch.setattr(node.context.siblings, "figures", fail)
    async with wire_to(node) as wire:
        told = await wire.ask(request("GET", "/stats"))
        assert told.status == 500
        fenced(told.headers)


async def test_an_unavailable_database_and_a_late_body_are_fenced(
    stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    bearer = f"Authorization: Bearer {token(*stage.people(1), SECRET)}"
    monkeypatch.setattr(doorstep, "BODY_S", 0.0)
    async with wire_to(node) as wire:
        wire.say(request("POST", f"{API}/conversations", bearer, "Content-Type: application/json", "Content-Length: 9"))
        hearing = asyncio.create_task(wire.hear())
        while not hearing.done():
            node.server.doorstep.sweep()
            await asyncio.sleep(0.01)
        told = await hearing
        assert told.status == 408
        fenced(told.headers)
    monkeypatch.setattr(node.context, "is_draining", True)
    async with wire_to(node) as wire:
        told = await wire.ask(request("GET", "/readyz"))
        assert told.status == 503
        fenced(told.headers)


async def test_above_the_rate_an_answer_is_fenced(cluster: Cluster) -> None:
    from messenger.config import Rate

    node = await cluster.node(rate_messages=Rate(1, 3600, 1))
    tea = await node.client(1).group()
    await node.client(1).send(tea, "one")
    bearer = f"Authorization: Bearer {token(1, SECRET)}"
    body = json.dumps({"content": "two"})
    async with wire_to(node) as wire:
        told = await wire.ask(
            request("POST", f"{API}/conversations/{tea}/messages", bearer, "Content-Type: application/json", body=body)
        )
        assert (told.status, "retry-after" in told.headers) == (429, True)
        fenced(told.headers)
