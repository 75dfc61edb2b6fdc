"""A user's browsers that take Web Push: registering, listing and forgetting them."""

from collections.abc import Sequence
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec

from messenger.delivery.guard import Guard, Refused
from messenger.delivery.vapid import from_base64url
from messenger.domain.ids import UserId
from messenger.domain.notification import PushDevice, Subscription
from messenger.errors import InvalidFrame
from messenger.store.push_devices import PushDeviceStore

AUTH_BYTES = 16


class PushDevices:
    """`public_key`: what browsers subscribe with; None where Web Push is not configured."""

    def __init__(self, store: PushDeviceStore, guard: Guard, public_key: str | None) -> None:
        self._store = store
        self._guard = guard
        self.public_key = public_key

    async def register(self, actor: UserId, subscription: Subscription) -> PushDevice:
        """Raises InvalidFrame, Unavailable."""
        try:
            self._guard.check(subscription.endpoint)
        except Refused as refused:
            raise InvalidFrame(f"endpoint is refused: {refused}", field="endpoint") from None
        _check_keys(subscription)
        return await self._store.register(actor, subscription)

    async def own(self, actor: UserId) -> Sequence[PushDevice]:
        """The newest first. Raises Unavailable."""
        return await self._store.own(actor)

    async def remove(self, actor: UserId, device_id: UUID) -> bool:
        """Whether there was one. Raises Unavailable."""
        return await self._store.remove(actor, device_id)


def _check_keys(subscription: Subscription) -> None:
    """What cannot be encrypted for would fail with every message. Raises InvalidFrame."""
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64url(subscription.p256dh))
        is_whole = (
            len(from_base64url(subscription.p256dh)) == 65 and len(from_base64url(subscription.auth)) == AUTH_BYTES
        )
    except ValueError:
        is_whole = False
    if not is_whole:
        raise InvalidFrame("keys must be those of a browser's subscription: p256dh and auth in base64url", field="keys")
