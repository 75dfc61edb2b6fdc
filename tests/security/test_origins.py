"""Pages that are not ours: they change nothing, learn nothing, and cannot make themselves ours by a name.

Whose sockets are refused before the upgrade stands in integration/test_opening.py, whose answers may be read in
integration/test_rest_edges.py.
"""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from messenger.config import Config, parse_origins
from messenger.transport.middleware import NOT_OURS
from messenger.transport.origins import NOT_ALLOWED, is_ours
from tests.security.wire import UPGRADE, Heard, wire_to
from tests.support.node import SECRET, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import API, token

stage = stage_with()
node = node_of_stage()

EVIL = "https://evil.example"
GOOD = "https://chat.example.org"


async def ask(node: Node, method: str, path: str, host: str | None, **headers: str) -> Heard:
    lines = {
        **({} if host is None else {"Host": host}),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    version = "1.0" if host is None else "1.1"  # which requires one
    async with wire_to(node) as wire:
        return await wire.ask(
            f"{method} {path} HTTP/{version}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        )


async def knock(node: Node, path: str, host: str | None, origin: str | None, *lines: str) -> int | tuple[int, bytes]:
    """Open a socket: the status of a refusal, or the first frame."""
    named = [*([] if host is None else [f"Host: {host}"]), *([] if origin is None else [f"Origin: {origin}"]), *lines]
    async with wire_to(node) as wire:
        told = await wire.ask(f"GET {path} HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in named) + UPGRADE + "\r\n")
        return told.status if told.status != 101 else await wire.frame()


@pytest.fixture
async def open_node(cluster: Cluster) -> Node:
    """With authentication off, as `messenger demo` runs."""
    return await cluster.node(auth="off", jwt_secret="", demo=True)


async def test_a_foreign_page_changes_nothing_even_with_a_good_token(cluster: Cluster) -> None:
    node = await cluster.node(allowed_origins=(GOOD,), api_token="the host application's own key")
    ann = node.client(1)
    tea = await ann.group()
    hello = (await ann.send(tea, "hello"))["id"]
    for origin in (EVIL, "null", "", GOOD + ".evil.example", GOOD.upper()):
        for method, path in (
            ("POST", "/conversations"),
            ("PATCH", f"/conversations/{tea}"),
            ("DELETE", f"/conversations/{tea}"),
            ("POST", f"/conversations/{tea}/messages"),
            ("PATCH", f"/messages/{hello}"),
            ("DELETE", f"/messages/{hello}"),
            ("POST", "/users/1/revoke"),
            ("PUT", "/nowhere"),
        ):
            answer = await ann.ask(method, path, json={"content": "x", "title": "x"}, headers={"Origin": origin})
            assert (answer.status, answer.body["code"], answer.body["message"]) == (
                403,
                "forbidden",
                NOT_ALLOWED,
            )
            assert "Access-Control-Allow-Origin" not in answer.headers
    assert (await ann.get(f"/messages/{hello}"))[0] in (404, 405)
    status, told = await ann.get(f"/conversations/{tea}/messages")
    assert (status, [(item["content"], item["edited_at"]) for item in told["messages"]]) == (200, [("hello", None)])
    for origin in (GOOD, node.origin):
        answer = await ann.ask(
            "POST", f"/conversations/{tea}/messages", json={"content": "x"}, headers={"Origin": origin}
        )
        assert answer.status == 201


async def test_what_a_form_of_a_foreign_page_can_send_is_refused_without_authentication_too(
    open_node: Node, oracle: Any
) -> None:
    """A form asks no permission: no preflight keeps it away, and with authentication off no token is needed."""
    await oracle.execute("insert into messenger.users (id) values (1)")
    path, host = f"{API}/users/1/revoke", f"127.0.0.1:{open_node.server.port}"
    for origin in (EVIL, "null", "http://127.0.0.1:1", "http://localhost"):
        told = await ask(open_node, "POST", path, host, Origin=origin, Content_Type="text/plain", Content_Length="0")
        assert (told.status, told.json["message"]) == (403, NOT_ALLOWED)
    assert await oracle.fetchval("select tokens_not_before from messenger.users") is None
    assert (await ask(open_node, "POST", path, host, Origin=open_node.origin, Content_Length="0")).status == 200


async def test_in_whose_name_is_asked_by_a_header_only_where_no_token_says_it(
    cluster: Cluster, open_node: Node
) -> None:
    locked = await cluster.node(allowed_origins=(GOOD,))
    origins = {locked: GOOD, open_node: open_node.origin}
    allowed = {}
    for node, origin in origins.items():
        told = await ask(
            node, "OPTIONS", f"{API}/users/me", node.origin[7:], Origin=origin, Access_Control_Request_Method="PUT"
        )
        assert (told.status, told.headers["access-control-allow-origin"]) == (204, origin)
        assert "PUT" in told.headers["access-control-allow-methods"].split(", ")
        assert "DELETE" in told.headers["access-control-allow-methods"].split(", ")
        allowed[node] = set(told.headers["access-control-allow-headers"].split(", "))
    assert allowed[locked] == {"Authorization", "Content-Type", "Idempotency-Key"}
    assert allowed[open_node] == allowed[locked] | {"X-User-Id"}


async def test_a_star_is_never_told_and_credentials_are_never_allowed(cluster: Cluster) -> None:
    node = await cluster.node(allowed_origins=("*",))
    for origin, told_origin in ((EVIL, EVIL), ("null", None)):
        for method, more in (("GET", {}), ("OPTIONS", {"Access_Control_Request_Method": "GET"})):
            told = await ask(node, method, f"{API}/users/me", "chat", Origin=origin, **more)
            assert told.headers.get("access-control-allow-origin") == told_origin
            assert "access-control-allow-credentials" not in told.headers
            assert told.headers["vary"] == "Origin"


async def test_a_page_that_was_rebound_to_us_finds_nobody_in_without_authentication(open_node: Node) -> None:
    """The name of the attacker's page leads to this machine: to the browser, his page and we are of one origin."""
    port = open_node.server.port
    for name in (
        "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.localhost.example", "127.1.evil.example",
        "evil@x.localhost", "xlocalhost", ".localhost", "x..localhost", "localhost.localhost.",
        "[evil]", "[::2]", "10.0.0.1", "0.0.0.0", "localhost.", "127.0.0.1.", "2130706433", "localhost@evil.example", "",
        "[::1", "[::ffff:7f00:1]evil", "[fe80::1%25lo]",
    ):  # fmt: skip
        host = f"{name}:{port}"
        told = await ask(open_node, "GET", f"{API}/users/me", host, X_User_Id="1")
        assert (told.status, told.json["message"]) == (403, NOT_OURS), name
        assert (await ask(open_node, "GET", "/", host)).status == 403
        assert await knock(open_node, "/ws/1", host, f"http://{host}") == 403
        assert await knock(open_node, "/ws/1", host, None) == 403
        told = await ask(open_node, "OPTIONS", "/", host, Origin=f"http://{host}", Access_Control_Request_Method="PUT")
        assert (told.status, "access-control-allow-methods" in told.headers) == (403, False)


async def test_at_home_it_answers_to_the_names_that_only_it_can_have(open_node: Node) -> None:
    port = open_node.server.port
    for host in (
        f"localhost:{port}",
        "localhost",
        f"127.0.0.1:{port}",
        "127.0.0.2",
        f"[::1]:{port}",
        "[::1]",
        "LOCALHOST",
        f"LocalHost:{port}",
        "chat.localhost",
        f"ann.chat.localhost:{port}",
    ):
        assert (await ask(open_node, "GET", f"{API}/users/me", host, X_User_Id="1")).status == 200, host
        assert isinstance(await knock(open_node, "/ws/1", host, f"http://{host.lower()}"), tuple)
        assert await knock(open_node, "/ws/1", host, EVIL) == 403
    # What names no host is no browser.
    assert (await ask(open_node, "GET", f"{API}/users/me", None, X_User_Id="1")).status == 200


async def test_other_names_are_served_where_they_are_listed_or_anything_goes(cluster: Cluster) -> None:
    listed = await cluster.node(auth="off", jwt_secret="", allowed_origins=("http://chat.test:8080", GOOD))
    for host, status in (
        ("chat.test:8080", 200), ("chat.example.org", 200), ("chat.test", 403), ("chat.test:8081", 403),
        ("chat.example.org:443", 200), ("CHAT.example.org", 200), ("chat.example.org:80", 403), ("evil.example", 403),
    ):  # fmt: skip
        assert (await ask(listed, "GET", f"{API}/users/me", host, X_User_Id="1")).status == status, host
    for settings in ({"insecure": True}, {"allowed_origins": ("*",)}):
        anything = await cluster.node(auth="off", jwt_secret="", **settings)
        assert (await ask(anything, "GET", f"{API}/users/me", "evil.example", X_User_Id="1")).status == 200


async def test_insecure_serves_any_name_and_nothing_else_does(cluster: Cluster) -> None:
    for args, settings, status in (
        ((), {}, 403),
        (("--insecure",), {}, 200),
        ((), {"insecure": True}, 200),
    ):
        daemon = await cluster.daemon(*args, auth="off", jwt_secret="", **settings)
        assert (await ask(daemon, "GET", f"{API}/users/me", "evil.example", X_User_Id="1")).status == status


async def test_with_tokens_a_rebound_page_has_none_to_send(cluster: Cluster) -> None:
    node = await cluster.node(demo=True)
    host = f"evil.example:{node.server.port}"
    assert await knock(node, "/ws/1", host, f"http://{host}") == (0x88, b"\x03\xf0token_missing")
    told = await ask(node, "GET", f"{API}/users/me", host, Origin=f"http://{host}", Cookie="token=x", X_User_Id="1")
    assert (told.status, told.json["reason"]) == (401, "token_missing")
    # And whoever has one is no page of the attacker's: the name is the host's own affair.
    told = await ask(node, "GET", f"{API}/users/me", "chat.example.org", Authorization=f"Bearer {token(1, SECRET)}")
    assert told.status == 200


async def test_what_the_request_line_says_of_a_host_makes_nobody_ours(cluster: Cluster) -> None:
    """A request line may name a host too (RFC 9112 §3.2.2); a browser's never does."""
    node = await cluster.node()
    bearer = f"Authorization: Bearer {token(1, SECRET)}"
    assert await knock(node, "http://evil.example/ws/1", "chat.test", "http://evil.example", bearer) == 403
    assert await knock(node, "/ws/1", None, "http://", bearer) == 400
    assert isinstance(await knock(node, "/ws/1", "chat.test", "http://chat.test", bearer), tuple)


SAME = [
    ("chat.example.org", "https://chat.example.org"),
    ("chat.example.org", "http://chat.example.org"),
    # As a proxy says it that adds the port whatever it is.
    ("chat.example.org:443", "https://chat.example.org"),
    ("chat.example.org:80", "http://chat.example.org"),
    ("chat.example.org:80", "https://chat.example.org"),
    ("CHAT.Example.org", "https://chat.example.org"),
    ("CHAT.Example.org:8443", "https://chat.example.org:8443"),
    ("[2001:DB8::1]:443", "https://[2001:db8::1]"),
]
OTHERS = [
    ("chat.example.org:8443", "https://chat.example.org"),
    ("chat.example.org", "https://chat.example.org:8443"),
    ("chat.example.org:4430", "https://chat.example.org"),
    ("chat.example.org", "capacitor://chat.example.org"),
    ("chat.example.org", "https://evil.example"),
    ("chat.example.org", "https://"),
    (":443", "https://"),
    (":443", "null"),
]


@pytest.mark.parametrize(
    ("host", "origin", "status"), [(*pair, 101) for pair in SAME] + [(*pair, 403) for pair in OTHERS]
)
async def test_the_same_origin_is_the_same_however_a_proxy_writes_the_host(
    stage: Stage, node: Node, host: str, origin: str, status: int
) -> None:
    bearer = f"Authorization: Bearer {token(*stage.people(1), SECRET)}"
    heard = await knock(node, "/ws/me", host, origin, bearer)
    assert heard == 403 if status == 403 else isinstance(heard, tuple)
    told = await ask(node, "PATCH", "/", host, Origin=origin)
    assert told.status == (403 if status == 403 else 404)
    if status == 403:
        assert "MESSENGER_ALLOWED_ORIGINS" in told.json["message"]


async def test_a_page_in_an_app_is_let_in_where_it_is_listed(cluster: Cluster) -> None:
    """Its scheme is the app's own, and no other app's; a default port in the setting is the browser's silence."""
    listed = (
        "capacitor://localhost, ionic://localhost, tauri://localhost, chrome-extension://abcdef, https://X.example:443"
    )
    node = await cluster.node(allowed_origins=parse_origins(listed))
    bearer = f"Authorization: Bearer {token(1, SECRET)}"
    for origin, is_in in (
        ("capacitor://localhost", True), ("ionic://localhost", True), ("tauri://localhost", True),
        ("chrome-extension://abcdef", True), ("https://x.example", True), ("chrome-extension://abcdefg", False),
        ("tauri://localhost:443", False), ("http://localhost", False), ("http://x.example", False), ("null", False),
    ):  # fmt: skip
        told = await knock(node, "/ws/me", "chat.example.org", origin, bearer)
        assert isinstance(told, tuple) if is_in else told == 403, origin


@pytest.mark.parametrize(
    ("host", "bound", "is_served"),
    [
        ("192.0.2.7:8080", "192.0.2.7", True),
        ("[2001:db8::7]:8080", "2001:db8::7", True),
        ("[2001:DB8::7]", "2001:db8::7", True),
        ("[2001:db8::8]", "2001:db8::7", False),
        ("192.0.2.8", "192.0.2.7", False),
        ("2001:db8::7", "2001:db8::7", False),
    ],
)
def test_without_authentication_the_address_that_was_called_is_served(host: str, bound: str, is_served: bool) -> None:
    class Called(asyncio.Transport):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return (bound, 8080) if name == "sockname" else default

    request = make_mocked_request("GET", "/", headers={"Host": host}, transport=Called())
    assert is_ours(request, Config(auth="off")) is is_served
