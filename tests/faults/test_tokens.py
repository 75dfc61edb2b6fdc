"""Tokens in a changing world: keys that an identity provider rotates, withholds or delays, and tokens that are taken back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from messenger.errors import Unavailable
from messenger.fanout import hub
from messenger.transport import keys
from tests.support.breakable import BreakableRedis
from tests.support.command import messenger, settings_of
from tests.support.database import Database
from tests.support.node import Cluster, Node
from tests.support.people import Client, token
from tests.support.reachable import SECRET

ANN, BEN, EVE = 1, 2, 3
LATER = 4_000_000_000
INVALID = (1008, "token_invalid")
PROVIDER = {"jwt_secret": "", "jwt_algorithms": ()}


class Provider:
    """An identity provider. `answer` may be replaced by anything that it might say instead of its key set."""

    def __init__(self) -> None:
        self.private: dict[str | None, Any] = {}
        self.published: list[dict[str, Any]] = []
        self.fetches = 0
        self.url = ""
        self.answering = asyncio.Event()
        self.answering.set()
        self.answer: Callable[[], web.Response] = lambda: web.json_response({"keys": self.published})

    def make(self, kid: str | None, **more: Any) -> None:
        """A new RSA key, published."""
        private = self.private[kid] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.publish(kid, jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key()), **more)

    def publish(self, kid: str | None, jwk: str, **more: Any) -> None:
        self.published.append({**json.loads(jwk), **({} if kid is None else {"kid": kid}), **more})

    def token(self, kid: str | None, user_id: int = ANN, algorithm: str = "RS256", key: Any = None) -> str:
        headers = {} if kid is None else {"kid": kid}
        claims = {"sub": str(user_id), "exp": LATER, "iat": int(time.time())}
        return jwt.encode(claims, key or self.private[kid], algorithm=algorithm, headers=headers)

    async def serve(self, request: web.Request) -> web.Response:
        self.fetches += 1
        await self.answering.wait()
        return self.answer()

    async def send_elsewhere(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/keys")


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_get("/keys", provider.serve)
    app.router.add_get("/moved", provider.send_elsewhere)
    server = TestServer(app)
    await server.start_server()
    provider.url = str(server.make_url("/keys"))
    yield provider
    provider.answering.set()
    await server.close()


@pytest.fixture
async def node(cluster: Cluster, provider: Provider) -> Node:
    provider.make("one")
    return await cluster.node(**PROVIDER, jwt_jwks_url=provider.url)


async def comes_in(node: Node, bearer: str) -> bool:
    heard = await node.knock(bearer=bearer)
    assert isinstance(heard, dict) or heard == INVALID
    return isinstance(heard, dict)


async def test_a_set_is_fetched_once_and_kept(node: Node, provider: Provider) -> None:
    assert provider.fetches == 0
    heard = await asyncio.gather(*(comes_in(node, provider.token("one")) for _ in range(20)))
    assert all(heard)
    assert provider.fetches == 1


async def test_a_rotated_key_is_found_and_the_old_one_ends_with_it(node: Node, provider: Provider) -> None:
    assert await comes_in(node, provider.token("one"))
    provider.published.clear()
    provider.make("two")
    assert await comes_in(node, provider.token("two"))
    assert not await comes_in(node, provider.token("one"))
    assert provider.fetches <= 3


async def test_a_key_that_was_withdrawn_ends_when_the_set_is_no_longer_fresh(
    cluster: Cluster, node: Node, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "FRESH_S", 0.0)
    provider.make("two")
    assert await comes_in(node, provider.token("one"))
    del provider.published[0]
    assert not await comes_in(node, provider.token("one"))
    assert await comes_in(node, provider.token("two"))


async def test_a_flood_of_unknown_keys_is_not_passed_on(node: Node, provider: Provider) -> None:
    mine = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for number in range(30):
        assert not await comes_in(node, provider.token(f"unknown {number}", key=mine))
    assert provider.fetches <= 1 + keys.REFETCH.burst
    assert await comes_in(node, provider.token("one"))


async def test_a_provider_that_falls_silent_holds_up_nobody_and_what_is_known_goes_on(
    node: Node, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "FETCH_S", 1.0)
    assert await comes_in(node, provider.token("one"))
    phone = await node._stack.enter_async_context(phone_of(node, provider.token("one")))
    assert (await phone.receive_json())["event"] == "connected"
    provider.answering.clear()
    mine = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    stranger = asyncio.create_task(comes_in(node, provider.token("other", key=mine)))
    async with asyncio.timeout(10):
        while provider.fetches < 2:
            await asyncio.sleep(0.01)
    for _ in range(20):
        await phone.send_json({"type": "ping"})
        assert (await phone.receive_json(timeout=0.5))["type"] == "pong"
    assert await comes_in(node, provider.token("one"))
    assert not stranger.done()
    assert not await stranger


async def test_a_provider_that_hangs_when_keys_are_no_longer_fresh_holds_up_nobody_who_has_his(
    node: Node, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await comes_in(node, provider.token("one"))
    monkeypatch.setattr(keys, "FRESH_S", 0.0)
    assert await comes_in(node, provider.token("one"))
    provider.answering.clear()
    async with asyncio.timeout(keys.FETCH_S - 1):  # each fetch hangs for so long
        for _ in range(20):
            assert await comes_in(node, provider.token("one"))


async def test_a_token_that_is_no_text_is_invalid(node: Node, provider: Provider) -> None:
    reader, writer = await asyncio.open_connection(node.server.host, node.server.port)
    writer.write(b"GET /api/v1/messenger/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\xff.b.c\r\n\r\n")
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_while_no_key_was_ever_fetched_nobody_comes_in_and_nobody_is_told_that_his_token_is_bad(
    node: Node, provider: Provider
) -> None:
    answer, provider.answer = provider.answer, lambda: web.Response(status=503)
    assert await node.knock(bearer=provider.token("one")) == (1013, "overloaded")
    told = await Client(node.session, node.origin, provider.token("one")).ask("GET", "/users/me")
    assert (told.status, told.body["code"]) == (503, "unavailable")
    provider.answer = answer
    async with asyncio.timeout(10):
        while not isinstance(await node.knock(bearer=provider.token("one")), dict):
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"keys":{}}', b'{"keys":["x",1,null]}', b"x" * 300_000, b"[" * 100_000]
)
async def test_an_answer_that_is_no_key_set_changes_nothing(node: Node, provider: Provider, body: bytes) -> None:
    provider.answer = lambda: web.Response(body=body, content_type="application/json")
    assert await node.knock(bearer=provider.token("one")) in ((1013, "overloaded"), INVALID)


async def test_a_redirect_is_not_followed(cluster: Cluster, provider: Provider) -> None:
    provider.make("one")
    node = await cluster.node(**PROVIDER, jwt_jwks_url=provider.url.replace("/keys", "/moved"))
    assert await node.knock(bearer=provider.token("one")) == (1013, "overloaded")
    assert provider.fetches == 0


async def test_only_public_keys_for_signatures_count_and_each_for_its_own_algorithm(
    node: Node, provider: Provider
) -> None:
    secret = "a-secret-that-was-published-by-mistake-and-is-long"
    provider.publish("oct", '{"kty":"oct","k":"' + jwt.utils.base64url_encode(secret.encode()).decode() + '"}')
    provider.make("enc", use="enc")
    provider.make("only 512", alg="RS512")
    curve, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    provider.publish("ec", jwt.algorithms.ECAlgorithm.to_jwk(curve.public_key()))
    provider.publish("ed", jwt.algorithms.OKPAlgorithm.to_jwk(edwards.public_key()))
    for algorithm in ("HS256", "HS384"):
        assert not await comes_in(node, provider.token("oct", algorithm=algorithm, key=secret))
    assert not await comes_in(node, provider.token("enc"))
    assert not await comes_in(node, provider.token("only 512"))
    assert not await comes_in(node, provider.token("only 512", algorithm="RS512"))  # not configured
    assert await comes_in(node, provider.token("ec", algorithm="ES256", key=curve))
    assert await comes_in(node, provider.token("ed", algorithm="EdDSA", key=edwards))
    assert not await comes_in(node, provider.token("ec", algorithm="EdDSA", key=edwards))
    assert not await comes_in(node, provider.token(None, key=provider.private["one"]))  # which of them?


async def test_doctor_looks_at_the_key_set(cluster: Cluster, database: Database, provider: Provider) -> None:
    settings = {**settings_of(database), "jwt_secret": "", "jwt_jwks_url": provider.url}
    told = await messenger("doctor", **settings)
    assert (told.code, "WRONG key set: holds no public key for signatures" in told.out) == (1, True)
    provider.make("one")
    told = await messenger("doctor", **settings)
    assert "ok    key set: 1 usable keys" in told.out
    provider.answer = lambda: web.Response(status=404)
    told = await messenger("doctor", **settings)
    assert "WRONG key set: cannot be fetched (ClientResponseError)" in told.out


async def test_a_lone_key_stands_for_tokens_that_name_none(cluster: Cluster, provider: Provider) -> None:
    provider.make(None)
    node = await cluster.node(**PROVIDER, jwt_jwks_url=provider.url)
    assert await comes_in(node, provider.token(None))
    assert not await comes_in(node, provider.token("named", key=provider.private[None]))


@pytest.fixture
async def one(cluster: Cluster) -> Node:
    return await cluster.node(api_token="the host's own key")


def host(node: Node, bearer: str = "the host's own key") -> Client:
    return Client(node.session, node.origin, bearer)


async def test_a_revoked_user_is_shut_out_everywhere_and_others_are_not(cluster: Cluster, one: Node) -> None:
    two = await cluster.node()
    past = {"iat": int(time.time()) - 5}
    here, there = await one.phone(ANN, **past), await two.phone(ANN, **past)
    ben = await two.phone(BEN, **past)
    status, told = await host(one).post(f"/users/{ANN}/revoke")
    assert (status, told["user_id"]) == (200, ANN)
    assert await here.closed() == (1008, "revoked")
    assert await there.closed() == (1008, "revoked")
    for node in (one, two):
        old, new = token(ANN, SECRET, **past), token(ANN, SECRET, iat=int(time.time()) + 1)
        assert await node.knock(bearer=old) == (1008, "revoked")
        answer = await Client(node.session, node.origin, old).ask("GET", "/users/me")
        assert (answer.status, answer.body["code"], answer.body["reason"]) == (401, "unauthorized", "revoked")
        assert isinstance(await node.knock(bearer=new), dict)
    assert (await ben.ask("ping"))["type"] == "pong"


async def test_a_live_socket_cannot_refresh_with_a_revoked_token_and_a_later_one_outlives_it(one: Node) -> None:
    past, later = {"iat": int(time.time()) - 5}, {"iat": int(time.time()) + 30}
    phone = await one.phone(ANN, **later)
    await host(one).post(f"/users/{ANN}/revoke")
    refused = await phone.answer("auth.refresh", token=token(ANN, SECRET, **past))
    assert (refused["code"], refused["reason"]) == ("unauthorized", "revoked")
    assert (await phone.ask("auth.refresh", token=token(ANN, SECRET, **later)))["type"] == "auth.refreshed"


async def test_a_revocation_reaches_other_nodes_with_the_bus_away(
    cluster: Cluster, one: Node, redis: BreakableRedis
) -> None:
    two = await cluster.node()
    there = await two.phone(ANN, iat=int(time.time()) - 5)
    redis.kill()
    assert (await host(one).post(f"/users/{ANN}/revoke"))[0] == 200
    assert await there.closed() == (1008, "revoked")


async def test_a_revocation_is_found_by_the_poll_after_one_that_failed(
    cluster: Cluster, one: Node, redis: BreakableRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = await cluster.node()
    there = await two.phone(ANN, iat=int(time.time()) - 5)
    duties, failed = two.context.duties, asyncio.Event()
    people_since = duties.people_since

    async def fails(since: int) -> Any:
        found = await people_since(since)
        if any(somebody.tokens_not_before for somebody in found) and not failed.is_set():
            failed.set()
            raise Unavailable
        return found

    monkeypatch.setattr(duties, "people_since", fails)
    redis.kill()
    await host(one).post(f"/users/{ANN}/revoke")
    assert await there.closed() == (1008, "revoked")
    assert failed.is_set()


async def test_a_revoked_token_changes_no_profile(one: Node) -> None:
    await one.phone(ANN, name="Ann", iat=int(time.time()) - 9)
    await host(one).post(f"/users/{ANN}/revoke")
    late = token(ANN, SECRET, name="Mallory", iat=int(time.time()) - 5)
    assert await one.knock(bearer=late) == (1008, "revoked")
    assert (await one.client(ANN, iat=int(time.time()) + 1).get("/users/me"))[1]["name"] == "Ann"


async def test_revocations_are_not_remembered_for_ever(one: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "LATELY_S", 0.2)
    await one.phone(ANN)
    await host(one).post(f"/users/{ANN}/revoke")
    assert one.context.node.hub._revoked
    async with asyncio.timeout(10):
        while one.context.node.hub._revoked:
            await asyncio.sleep(0.02)


async def test_the_host_acts_as_whom_it_names(cluster: Cluster, one: Node) -> None:
    service = jwt.encode({"scope": "service", "exp": LATER}, SECRET, algorithm="HS256")
    for bearer in ("the host's own key", service):
        answer = await host(one, bearer).ask("GET", "/users/me", headers={"X-User-Id": str(BEN)})
        assert (answer.status, answer.body["id"]) == (200, BEN)
        answer = await host(one, bearer).ask("GET", "/users/me")
        assert (answer.status, answer.body["code"]) == (403, "forbidden")
        answer = await host(one, bearer).ask("GET", "/users/me", headers={"X-User-Id": "nobody-of-ours"})
        assert (answer.status, answer.body["code"]) == (404, "user_not_found")
        assert await one.knock(bearer=bearer) == INVALID
    # With a token of one's own that header does nothing.
    answer = await one.client(ANN).ask("GET", "/users/me", headers={"X-User-Id": str(BEN)})
    assert (answer.status, answer.body["id"]) == (200, ANN)
    strict = await cluster.node(api_token="the host's own key", unknown_users="refuse")
    answer = await host(strict).ask("GET", "/users/me", headers={"X-User-Id": "77"})
    assert (answer.status, answer.body["code"]) == (404, "user_not_found")


async def test_one_who_was_let_in_while_he_was_revoked_is_put_out_again(
    cluster: Cluster, one: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = await cluster.node()
    looked_at, go_on = asyncio.Event(), asyncio.Event()
    admit = two.context.node.reception.admit

    async def admit_later(*args: Any) -> None:
        looked_at.set()
        await go_on.wait()
        await admit(*args)

    monkeypatch.setattr(two.context.node.reception, "admit", admit_later)
    entering = asyncio.create_task(two.knock(bearer=token(ANN, SECRET, iat=int(time.time()) - 5)))
    await looked_at.wait()
    await host(one).post(f"/users/{ANN}/revoke")
    async with asyncio.timeout(10):
        while not two.context.node.hub._revoked:  # nobody is here to be told: the poll finds it
            await asyncio.sleep(0.01)
    go_on.set()
    assert isinstance(await entering, dict)
    async with asyncio.timeout(10):
        while two.context.devices:
            await asyncio.sleep(0.01)


async def test_only_the_host_revokes(one: Node) -> None:
    await one.phone(ANN)
    path = f"/users/{ANN}/revoke"
    for bearer, told in (
        (token(BEN, SECRET), (403, "forbidden")),
        (token(ANN, SECRET), (403, "forbidden")),
        ("the host's own ke", (401, "unauthorized")),
        ("", (401, "unauthorized")),
    ):
        answer = await host(one, bearer).ask("POST", path)
        assert (answer.status, answer.body["code"]) == told
    assert (await one.nobody().ask("POST", path)).status == 401
    service = jwt.encode({"scope": "service", "exp": LATER}, SECRET, algorithm="HS256")
    assert (await host(one, service).ask("POST", path)).status == 200
    for unknown in ("nobody-of-ours", "0", "07"):
        answer = await host(one).ask("POST", f"/users/{unknown}/revoke")
        assert (answer.status, answer.body["code"]) == (404, "user_not_found")


async def test_one_who_has_never_come_can_be_shut_out_before_he_does(cluster: Cluster, one: Node) -> None:
    before = token(EVE, SECRET, iat=int(time.time()) - 60)
    assert (await host(one).ask("POST", f"/users/{EVE}/revoke")).status == 200
    assert await one.knock(bearer=before) == (1008, "revoked")
    strict = await cluster.node(api_token="the host's own key", unknown_users="refuse")
    answer = await host(strict).ask("POST", "/users/4242/revoke")
    assert (answer.status, answer.body["code"]) == (404, "user_not_found")


async def test_an_empty_api_token_is_nobodys(cluster: Cluster) -> None:
    node = await cluster.node()
    for bearer in ("", " ", "x"):
        assert (await host(node, bearer).ask("POST", f"/users/{ANN}/revoke")).status == 401


def phone_of(node: Node, bearer: str) -> Any:
    return node.session.ws_connect(f"{node.origin}/ws/me", headers={"Authorization": f"Bearer {bearer}"})
