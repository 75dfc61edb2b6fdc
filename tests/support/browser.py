"""A browser that takes Web Push, without the browser: its keys, and what it reads of what it is sent, by the RFCs and by no
library of the daemon's."""

import base64
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.receiver import Post

CURVE = ec.SECP256R1()


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@dataclass
class Browser:
    """`endpoint`: where its push service takes messages for it."""

    endpoint: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(CURVE))
    auth: bytes = field(default_factory=lambda: os.urandom(16))

    def subscription(self, **more: Any) -> dict[str, Any]:
        """What `PushSubscription.toJSON()` gives."""
        keys = {"p256dh": base64url(point(self.key.public_key())), "auth": base64url(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys, **more}

    def read(self, post: Post) -> Any:
        """What its service worker is given."""
        assert post.headers["Content-Encoding"] == "aes128gcm"
        return json.loads(self.decrypted(post.body))

    def decrypted(self, body: bytes) -> bytes:
        """RFC 8188 §2 with the keys of RFC 8291 §3.4: salt, record size, the sender's public key, and one record."""
        salt, size, length = body[:16], int.from_bytes(body[16:20]), body[20]
        sender, record = body[21 : 21 + length], body[21 + length :]
        assert len(record) <= size
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, sender))
        info = b"WebPush: info\0" + point(self.key.public_key()) + sender
        secret = _derived(self.auth, shared, info, 32)
        key = _derived(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _derived(salt, secret, b"Content-Encoding: nonce\0", 12)
        text, last, padding = AESGCM(key).decrypt(nonce, record, None).rpartition(b"\x02")
        assert last
        assert not padding.strip(b"\0")
        return text


def _derived(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def signed(post: Post, public_key: str, audience: str) -> dict[str, Any]:
    """The claims of a VAPID header (RFC 8292), checked as a push service does, with the key that the browser subscribed with."""
    match = re.fullmatch(r"vapid t=([\w.-]+), ?k=([\w-]+)", post.headers["Authorization"])
    assert match
    assert match[2] == public_key
    key = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, from_base64url(match[2]))
    claims: dict[str, Any] = jwt.decode(match[1], key, algorithms=["ES256"], audience=audience)
    return claims
