"""Tokens that try to be what they are not. Most of these attacks stand in integration/test_opening_tokens.py; keys that an
identity provider publishes in faults/test_tokens.py.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from messenger.transport import auth
from tests.security.wire import UPGRADE, wire_to
from tests.support.node import SECRET, Cluster, Node, Stage, node_of_stage, stage_with
from tests.support.people import API, forged, token

API_TOKEN = "the host application's own key"
stage = stage_with(api_token=API_TOKEN, max_frame_bytes=2_000_000)
node = node_of_stage()

KEY = SECRET.encode()
LATER = 4_000_000_000
GOOD = {"sub": "7", "exp": LATER}
INVALID = (1008, "token_invalid")


def signed(claims: str, header: str = '{"alg":"HS256","typ":"JWT"}', key: bytes = KEY) -> str:
    """A token of any text at all."""
    parts = [base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(key, b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


async def refreshed(node: Node, user_id: int, bearer: str) -> str:
    """What a live socket is told of a new token: a frame may be larger than a header."""
    phone = await node.phone(user_id)
    answer = await phone.ask("auth.refresh", token=bearer)
    assert (await phone.ask("ping"))["type"] == "pong"
    return str(answer.get("reason") or answer["type"])


async def test_of_a_claim_that_comes_twice_the_last_counts_everywhere(stage: Stage, node: Node) -> None:
    """As RFC 7519 §4 allows; there is one reader, so that no two can disagree."""
    ann, ben = stage.people(2)
    twice = signed(f'{{"sub":"{ben}","sub":"{ann}","exp":1,"exp":{LATER},"scope":"service","scope":""}}')
    assert (await node.knock(f"/ws/{ann}", bearer=twice))["user_id"] == ann  # type: ignore[index, call-overload]
    assert await node.knock(f"/ws/{ben}", bearer=twice) == (1008, "user_mismatch")
    assert await node.knock(bearer=signed(f'{{"sub":"{ann}","exp":{LATER},"exp":1}}')) == (1008, "token_expired")
    twice = signed(f'{{"sub":"{ann}","exp":{LATER}}}', '{"alg":"HS256","alg":"none"}')
    assert await node.knock(bearer=twice) == INVALID


@pytest.mark.parametrize(
    "kid",
    ["", "../../../../dev/null", "/dev/null", "' or ''='", "x\x00", "http://127.0.0.1:1/key", "\ud800", "k" * 5000],
    ids=ascii,
)
async def test_a_kid_chooses_no_key(node: Node, kid: str) -> None:
    """The one that is configured is looked at, whatever the header names: neither a file, nor an address, nor an empty one."""
    for key in (b"", b"\x00", b"AA==", b"another-secret-of-at-least-thirty-two-bytes"):
        assert await node.knock(bearer=forged(GOOD, key, kid=kid)[:8000]) == INVALID


async def test_a_key_that_a_header_brings_or_names_is_not_fetched(node: Node, unused_tcp_port: int) -> None:
    asked = []
    server = await asyncio.start_server(lambda reader, writer: asked.append(writer), "127.0.0.1", unused_tcp_port)
    url = f"http://127.0.0.1:{unused_tcp_port}/keys"
    mine = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(mine.public_key()))
    for header in ({"jku": url}, {"x5u": url}, {"jwk": jwk}, {"x5c": ["AAAA"]}, {"jku": url, "kid": "1", "jwk": jwk}):
        assert await node.knock(bearer=jwt.encode(GOOD, mine, algorithm="RS256", headers=header)) == INVALID
        assert await node.knock(bearer=forged(GOOD, b"mine" * 8, **header)) == INVALID
    server.close()
    assert asked == []


KEYS = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": lambda: ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_no_form_of_a_public_key_is_a_secret(cluster: Cluster, tmp_path: Path, algorithm: str) -> None:
    private: Any = KEYS[algorithm]()
    public = private.public_key()
    encodings = serialization.Encoding
    forms = [
        public.public_bytes(encodings.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(encodings.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(encodings.OpenSSH, serialization.PublicFormat.OpenSSH),
    ]
    (tmp_path / "key.pem").write_bytes(forms[0])
    node = await cluster.node(jwt_secret="", jwt_public_key_file=str(tmp_path / "key.pem"))
    assert isinstance(await node.knock(bearer=jwt.encode(GOOD, private, algorithm=algorithm)), dict)
    for form in (*forms, forms[0].strip(), forms[0].replace(b"\n", b"\r\n"), base64.b64encode(forms[1])):
        for alg in ("HS256", algorithm, "none"):
            assert await node.knock(bearer=forged(GOOD, form, alg=alg)) == INVALID
    # Another key of the same kind is another key.
    other: Any = KEYS[algorithm]()
    assert await node.knock(bearer=jwt.encode(GOOD, other, algorithm=algorithm)) == INVALID


async def test_a_good_signature_by_an_algorithm_that_is_not_configured_is_none(cluster: Cluster) -> None:
    """The token's header chooses among what is listed, and no further: not even within the family."""
    secret = SECRET * 2  # long enough for all of them
    node = await cluster.node(jwt_secret=secret)
    for algorithm, told in (("HS256", dict), ("HS384", tuple), ("HS512", tuple)):
        assert isinstance(await node.knock(bearer=jwt.encode(GOOD, secret, algorithm=algorithm)), told)


async def test_a_signature_counts_for_the_very_bytes_that_were_signed(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    header, claims, signature = token(ann, SECRET).split(".")
    other = token(ann, SECRET, name="Eve").split(".")
    for bad in (
        f"{header}.{other[1]}.{signature}", f"{header}.{claims}.{other[2]}", f"{header}.{claims}.{signature[:-2]}",
        f"{header}.{claims}.{'A' * len(signature)}", f"{header}.{claims}.{signature[::-1]}", f"{header}.{claims}.",
        f"{claims}.{header}.{signature}", f"..{signature}", "..", ".",
    ):  # fmt: skip
        assert await refreshed(node, ann, bad) == "token_invalid", bad


@pytest.mark.parametrize(
    "bearer",
    [
        "x" * 1_000_000,
        "." * 1_000_000,
        "eyJ" * 300_000 + ".eyJ.x",
        signed('{"sub":' + "[" * 100_000 + "]" * 100_000 + "}"),
        signed('{"sub":"7","exp":4000000000,"x":' + '{"x":' * 100_000 + "1" + "}" * 100_000 + "}"),
        signed('{"sub":"7","exp":' + "9" * 500_000 + "}"),
        signed('{"sub":"7","exp":4000000000,"x":' + "9" * 500_000 + "}"),
        signed('{"sub":"7"', '{"alg":"HS256"}'),
        signed('{"sub":"7","exp":4000000000}', '{"alg":"HS256","x":' + "[" * 100_000 + "]" * 100_000 + "}"),
        signed('{"sub":"\ud83d"}'.encode("utf-8", "surrogatepass").decode("latin-1")),
    ],
    ids=lambda bearer: f"{bearer[:12]}-{len(bearer)}",
)
async def test_a_token_that_is_large_or_deep_is_invalid_and_harms_nobody(stage: Stage, node: Node, bearer: str) -> None:
    (ann,) = stage.people(1)
    assert await refreshed(node, ann, bearer) == "token_invalid"


async def test_a_token_of_a_megabyte_does_not_come_in_by_a_header(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    large = token(ann, SECRET, name="x" * 1_000_000)
    assert await refreshed(node, ann, large) == "auth.refreshed"  # else the other two would prove nothing
    assert await node.knock(bearer=large) == 400
    assert await node.knock(f"/ws/me?token={large}") == 400


async def test_of_two_headers_neither_counts(stage: Stage, node: Node) -> None:
    """A proxy that looks at one of them, while we look at the other, would let somebody in as somebody else."""
    ann, ben = stage.people(2)
    anns, bens = f"Authorization: Bearer {token(ann, SECRET)}", f"Authorization: Bearer {token(ben, SECRET)}"
    host, as_ann, as_ben = f"Authorization: Bearer {API_TOKEN}", f"X-User-Id: {ann}", f"X-User-Id: {ben}"
    for path, handshake in ((f"{API}/users/me", ""), ("/ws/me", UPGRADE)):
        for lines in (
            (anns, anns), (anns, bens), (anns, "Authorization: Bearer"), ("Authorization: Basic x", anns),
            (host, as_ann, as_ben), (host, as_ann, as_ann), (host, anns, as_ann),
        ):  # fmt: skip
            async with wire_to(node) as wire:
                told = await wire.ask(
                    f"GET {path} HTTP/1.1\r\nHost: chat\r\n" + "\r\n".join(lines) + f"\r\n{handshake}\r\n"
                )
                if handshake:
                    assert await wire.frame() == (0x88, b"\x03\xf0token_invalid")
                else:
                    assert (told.status, told.json["reason"]) == (401, "token_invalid")


async def test_the_hosts_own_key_is_compared_in_constant_time(
    stage: Stage, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ann,) = stage.people(1)
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    class Watched:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(auth, "hmac", Watched)
    guesses = ["", "t", API_TOKEN[:-1], API_TOKEN + "x", API_TOKEN.upper(), "\xe9", API_TOKEN]
    for guess in guesses[1:]:
        headers = {"Authorization": f"Bearer {guess}", "X-User-Id": str(ann)}
        status, _ = await node.nobody().get("/users/me", headers=headers)
        assert status == (200 if guess == API_TOKEN else 401)
    assert compared == [(guess.encode(), API_TOKEN.encode()) for guess in guesses[1:]]


async def test_the_hosts_own_key_opens_no_socket(stage: Stage, node: Node) -> None:
    (ann,) = stage.people(1)
    assert await node.knock(f"/ws/{ann}", bearer=API_TOKEN, **{"X-User-Id": str(ann)}) == INVALID
    assert await node.knock(f"/ws/{ann}", bearer=token(ann, SECRET, scope="service")) == INVALID


async def test_nobody_becomes_another_by_refreshing(stage: Stage, node: Node) -> None:
    ann, ben = stage.people(2)
    assert await refreshed(node, ann, token(ben, SECRET)) == "user_mismatch"
    assert await refreshed(node, ann, token(ann, SECRET, scope="service")) == "token_invalid"
    assert await refreshed(node, ann, API_TOKEN) == "token_invalid"
