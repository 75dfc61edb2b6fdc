"""Tokens at the door: which are refused and why, and that none of them is ever written down."""

import asyncio
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.node import SECRET, Cluster, Node, Stage, logged, node_of_stage, stage_with
from tests.support.people import API, forged, token

stage = stage_with()
node = node_of_stage()

KEY = SECRET.encode()
LATER = 4_000_000_000
GOOD = {"sub": "7", "exp": LATER}
INVALID = (1008, "token_invalid")


async def test_a_socket_without_a_token_is_told_so(node: Node) -> None:
    assert await node.knock("/ws/7") == (1008, "token_missing")
    assert await node.knock("/ws/7", protocols=("messenger.v1",)) == (1008, "token_missing")
    assert await node.knock("/ws/7?token=") == (1008, "token_missing")


async def test_a_token_counts_until_its_end_plus_the_leeway(node: Node) -> None:
    now = int(time.time())
    assert await node.knock(bearer=forged({"sub": "7", "exp": now - 11}, KEY)) == (1008, "token_expired")
    assert await node.knock(bearer=forged({"sub": "7", "exp": 0}, KEY)) == (1008, "token_expired")
    assert await node.knock(bearer=forged({"sub": "7", "exp": -(10**400)}, KEY)) == (1008, "token_expired")
    assert isinstance(await node.knock(bearer=forged({"sub": "7", "exp": now - 5}, KEY)), dict)
    assert isinstance(await node.knock(bearer=forged({"sub": "7", "exp": now + 60.5}, KEY)), dict)


@pytest.mark.parametrize("exp", [LATER * 1000, 10**400, 1e300])
async def test_a_token_may_end_after_all_calendars(node: Node, exp: float) -> None:
    phone = await node.phone(7)
    told = await phone.answer("auth.refresh", token=forged({"sub": "7", "exp": exp}, KEY))
    assert told == {"type": "auth.refreshed", "expires_at": "9999-12-31T23:59:59Z"}


@pytest.mark.parametrize(
    "exp", [None, "4000000000", "1", "soon", True, False, [LATER], {}, float("nan"), float("inf")], ids=repr
)
async def test_an_end_that_is_no_number_is_invalid(node: Node, exp: Any) -> None:
    assert await node.knock(bearer=forged({"sub": "7", "exp": exp}, KEY)) == INVALID


async def test_a_token_without_an_end_is_invalid(node: Node) -> None:
    assert await node.knock(bearer=forged({"sub": "7"}, KEY)) == INVALID


@pytest.mark.parametrize(
    "sub",
    [0, -1, 2**53, 2**64, 10**400, 7.0, 7.5, True, False, None, [7], ["7"], {"id": 7}, {}]
    + ["0", "07", "-7", "+7", " 7", "7 ", "7.0", "7\n", "", str(2**53), "9" * 5000, "７", "٧"]
    + ["\x00", "ann\x00", "\ud800", "ann\udfff", "x" * 129, "nobody"],
    ids=lambda sub: repr(sub)[:20].encode("ascii", "backslashreplace").decode(),
)
async def test_a_subject_that_names_nobody_is_invalid(node: Node, sub: Any) -> None:
    assert await node.knock(bearer=forged({"sub": sub, "exp": LATER}, KEY)) == INVALID


@pytest.mark.parametrize(
    "alg",
    ["none", "None", "nOnE", "", None, "HS384", "HS512", "RS256", "ES256", "EdDSA", "XY99", ["HS256"], {"a": 1}, 256],
    ids=repr,
)
async def test_an_algorithm_that_is_not_configured_is_invalid(node: Node, alg: Any) -> None:
    bearer = forged(GOOD, KEY, alg=alg)
    assert await node.knock(bearer=bearer) == INVALID
    unsigned = bearer.rpartition(".")[0] + "."
    assert await node.knock(bearer=unsigned) == INVALID


@pytest.mark.parametrize(
    "header",
    [{"crit": ["exp"]}, {"crit": "exp"}, {"kid": 7}, {"kid": ["../../key"]}, {"b64": False, "crit": ["b64"]}],
    ids=repr,
)
async def test_a_header_that_nobody_understands_is_invalid(node: Node, header: dict[str, Any]) -> None:
    assert await node.knock(bearer=forged(GOOD, KEY, **header)) == INVALID


async def test_a_key_that_the_header_brings_along_is_not_looked_at(node: Node) -> None:
    mine = b"the attacker's own key, long enough as such"
    header = {"jwk": {"kty": "oct", "k": "bWluZQ"}, "jku": "https://evil.example/keys", "kid": "/dev/null"}
    assert await node.knock(bearer=forged(GOOD, mine, **header)) == INVALID


def _broken() -> dict[str, str]:
    header, claims, signature = forged(GOOD, KEY).split(".")
    other = forged({"sub": "8", "exp": LATER}, KEY).split(".")[1]
    deep: Any = "x"
    for _ in range(300):
        deep = [deep]
    return {
        "no token": "rubbish",
        "no dots": header + claims + signature,
        "two parts": f"{header}.{claims}",
        "four parts": f"{header}.{claims}.{signature}.x",
        "no signature": f"{header}.{claims}.",
        "another's claims": f"{header}.{other}.{signature}",
        "no base64": f"{header}.!!!.{signature}",
        "wrong key": forged(GOOD, b"another-secret-of-at-least-thirty-two-bytes"),
        "empty key": forged(GOOD, b""),
        "claims no object": forged([GOOD], KEY),
        "claims a string": forged("7", KEY),
        "too early": forged({**GOOD, "nbf": LATER - 1}, KEY),
        "nbf no number": forged({**GOOD, "nbf": "now"}, KEY),
        "deep": forged({**GOOD, "sub": deep}, KEY),
        "service": forged({**GOOD, "scope": "service"}, KEY),
    }


@pytest.mark.parametrize("name", list(_broken()))
async def test_a_broken_or_foreign_token_is_invalid(node: Node, name: str) -> None:
    bearer = _broken()[name]
    assert await node.knock(bearer=bearer) == INVALID
    assert await node.knock(f"/ws/7?token={bearer}") == INVALID
    assert await node.knock(protocols=("messenger.v1", f"bearer.{bearer}")) == INVALID


async def test_odd_claims_beside_the_subject_shut_nobody_out(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    odd = {"name": ["A"], "picture": 7, "aud": "elsewhere", "iss": "x", "iat": 10**400, "scope": ["service"]}
    for more in (odd, {"name": "\ud800\x00", "picture": "x" * 5000, "iat": "now"}, {"iat": float("nan"), "name": " "}):
        heard = await node.knock(bearer=forged({"sub": ann, "exp": LATER, **more}, KEY))
        assert isinstance(heard, dict), heard
    row = await stage.oracle.fetchrow("select name, avatar_url from messenger.users where id = $1", ann)
    assert tuple(row) == (None, None)


async def test_a_revoked_token_is_told_so(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    now = int(time.time())
    assert isinstance(await node.knock(bearer=token(ann, SECRET)), dict)
    await stage.oracle.execute(
        "update messenger.users set tokens_not_before = to_timestamp($1) where id = $2", now + 0.5, ann
    )
    for iat in ({"iat": now - 1}, {}, {"iat": "x"}):
        bearer = forged({"sub": ann, "exp": LATER, **iat}, KEY)
        assert await node.knock(bearer=bearer) == (1008, "revoked")
    for issued in (now, now + 1, now * 1000):
        assert isinstance(await node.knock(bearer=forged({"sub": ann, "exp": LATER, "iat": issued}, KEY)), dict)
    assert isinstance(await node.knock(bearer=token(ben, SECRET)), dict)


async def test_a_public_key_is_never_taken_for_a_secret(cluster: Cluster, tmp_path: Path) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    node = await cluster.node(jwt_secret="", jwt_public_key_file=str(tmp_path / "key.pem"))
    assert isinstance(await node.knock(bearer=jwt.encode(GOOD, private, algorithm="RS256")), dict)
    for key in (pem, pem.strip(), KEY, b""):
        assert await node.knock(bearer=forged(GOOD, key)) == INVALID
        assert await node.knock(bearer=forged(GOOD, key, alg="RS256")) == INVALID
    assert await node.knock(bearer=jwt.encode(GOOD, private, algorithm="PS256")) == INVALID


async def test_a_secret_that_is_too_short_lets_nobody_in(cluster: Cluster) -> None:
    node = await cluster.node(jwt_secret="short")
    assert await node.knock(bearer=forged(GOOD, b"short")) == INVALID


async def test_audience_and_issuer_count_where_they_are_set(cluster: Cluster) -> None:
    node = await cluster.node(jwt_audience="chat", jwt_issuer="https://host.example")
    right = {"aud": ["other", "chat"], "iss": "https://host.example"}
    assert isinstance(await node.knock(bearer=forged({**GOOD, **right}, KEY)), dict)
    for wrong in ({"aud": "other"}, {"iss": "https://evil.example"}, {"aud": None}, {"iss": None}, {"aud": {}}):
        assert await node.knock(bearer=forged({**GOOD, **right, **wrong}, KEY)) == INVALID
    assert await node.knock(bearer=forged(GOOD, KEY)) == INVALID


async def test_unknown_users_are_invalid_where_they_are_refused(cluster: Cluster, oracle: Any) -> None:
    node = await cluster.node(unknown_users="refuse")
    assert await node.knock(bearer=token(7, SECRET)) == INVALID
    await oracle.execute("insert into messenger.users (id) values (7)")
    assert isinstance(await node.knock(bearer=token(7, SECRET)), dict)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with logged() as stream:
        yield stream


async def written(log: io.StringIO, text: str, times: int = 1) -> None:
    """Wait for a line: a socket's is written when it has ended on the server's side."""
    async with asyncio.timeout(10):
        while log.getvalue().count(text) < times:
            await asyncio.sleep(0.01)


async def test_no_token_is_ever_logged(node: Node, log: io.StringIO) -> None:
    good = token(7, SECRET)
    for bearer in (good, token(8, SECRET), forged({"sub": "7", "exp": 1}, KEY), "eyJrubbish.eyJrubbish.rubbish"):
        await node.knock("/ws/7", bearer)
        await node.knock(f"/ws/7?token={bearer}")
        await node.knock(f"/ws/7?token={bearer}", Origin="https://evil.example")
        await node.knock("/ws/7", protocols=("messenger.v1", f"bearer.{bearer}"))
        # None of these is ours: aiohttp would print them all at WARNING.
        await node.knock("/ws/7", protocols=(f"bearer.{bearer}",))
        async with node.session.get(f"{node.origin}{API}/users/me?token={bearer}") as response:
            assert response.status == 401
    phone = await node.phone(7)
    await written(log, '"/ws/7"', times=4 * 5)
    await phone.ask("auth.refresh", token="eyJrubbish.eyJrubbish.rubbish")
    await phone.ask("auth.refresh", token=good)
    await phone.ask("eyJunknown", token=good)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert {"request", "unknown type"} <= {line["event"] for line in lines}
    assert "/ws/7" in {line.get("path") for line in lines}
    for secret in (good, *good.split("."), "eyJrubbish", "bearer.", "token="):
        assert secret not in log.getvalue()


async def test_a_path_cannot_write_a_log_line_of_its_own(node: Node) -> None:
    with logged("console") as log:
        assert await node.knock("/ws/7%0d%0aforged%1b[31m", token(7, SECRET)) == (1008, "user_mismatch")
        await written(log, "forged")
    lines = log.getvalue().splitlines()
    assert ["/ws/7" in line for line in lines if "forged" in line] == [True]
    assert "\x1b[31m" not in log.getvalue()
