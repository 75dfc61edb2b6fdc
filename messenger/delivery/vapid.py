"""The daemon's identity towards push services (RFC 8292): a key pair, and whom they may write to about it."""

import base64
import time
from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02, VapidException

# Half of what a push service accepts at most: clocks may be apart.
LIFE_S = 12 * 3600
KEY_BYTES = 32


def base64url(data: bytes) -> str:
    """Without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """With padding or without. Raises ValueError."""
    return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), b"-_", validate=True)


def public_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """The uncompressed point, 65 bytes."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@dataclass(frozen=True, slots=True)
class Vapid:
    """`subject`: mailto: or https:, of whoever runs this daemon."""

    _signer: Vapid02
    _subject: str
    public_key: str

    @classmethod
    def of(cls, private_key: str, subject: str) -> Self:
        """From a private key in base64url. Raises ValueError, which quotes nothing of it."""
        try:
            number = int.from_bytes(from_base64url(private_key))
            key = ec.derive_private_key(number, ec.SECP256R1())
        except ValueError:
            raise ValueError("no private key of P-256") from None
        vapid = cls(Vapid02(key), subject, base64url(public_bytes(key.public_key())))
        try:
            vapid.authorization("https://push.example.org")
        except VapidException:
            raise ValueError("no subject that push services take") from None
        return vapid

    def authorization(self, origin: str) -> str:
        """The `Authorization` header for a push service. Raises VapidException where `origin` is an address of IPv6."""
        claims = {"sub": self._subject, "aud": origin, "exp": int(time.time()) + LIFE_S}
        header: str = self._signer.sign(claims)["Authorization"]
        return header


def new_key_pair() -> tuple[str, str]:
    """A private key and its public key, in base64url."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_numbers().private_value.to_bytes(KEY_BYTES)
    return base64url(private), base64url(public_bytes(key.public_key()))
