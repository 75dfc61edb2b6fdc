"""Tells a browser by Web Push (RFC 8030), encrypted so that the push service reads nothing (RFC 8291).

pywebpush encrypts; sending is ours, for its own would block the event loop and ask nobody where it may go.
"""

import base64
from typing import Any

import orjson
from py_vapid import VapidException
from pywebpush import WebPusher

from messenger.delivery.guard import Outward, origin_of
from messenger.delivery.vapid import Vapid
from messenger.delivery.way import Failed, posted
from messenger.domain.ids import ConversationId
from messenger.domain.notification import Channel, Delivery, Notice, Subscription
from messenger.store.outbox import OutboxStore
from messenger.store.push_devices import PushDeviceStore

# What a browser shows of it.
MAX_TEXT_CHARS = 200
# Push services take 4,096 bytes (RFC 8030 §7.2), of which encryption needs a hundred.
MAX_PAYLOAD_BYTES = 3000
# A push service keeps it so long for a browser that is off. What was not seen by then is found in the messenger.
TTL_S = 24 * 3600
# The push service says: there is no such subscription (any more).
GONE = (404, 410)


class WebPush:
    """To devices, each at its own push service."""

    channel: Channel = "web_push"

    def __init__(self, store: OutboxStore, devices: PushDeviceStore, outward: Outward, vapid: Vapid) -> None:
        self._store = store
        self._devices = devices
        self._outward = outward
        self._vapid = vapid

    async def deliver(self, delivery: Delivery) -> bool:
        """See Way. A device that its push service does not know any more is forgotten."""
        assert delivery.device_id is not None
        (user_id,) = delivery.user_ids
        notice = await self._store.notice(delivery)
        if notice is None or notice.device is None or not notice.recipients[0].push_enabled:
            return False
        headers = {
            "Authorization": self._authorization(notice.device.endpoint),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(TTL_S),
            "Topic": _topic(delivery.conversation_id, mentioned=notice.recipients[0].mentioned),
            "Urgency": "high" if notice.recipients[0].mentioned else "normal",
        }
        body = _encrypted(notice.device, payload(notice))
        answer = await posted(self._outward, notice.device.endpoint, body, headers)
        if answer.status in GONE:
            await self._devices.remove(user_id, delivery.device_id)
            return False
        if not 200 <= answer.status < 300:
            raise Failed(f"status {answer.status}", answer.again_s)
        return True

    def _authorization(self, endpoint: str) -> str:
        try:
            return self._vapid.authorization(origin_of(endpoint))
        except VapidException:
            raise Failed("no origin that can be signed for") from None


def payload(notice: Notice) -> bytes:
    """What the browser's service worker gets, at most MAX_PAYLOAD_BYTES of JSON."""
    longest = MAX_TEXT_CHARS
    while True:
        told = orjson.dumps(_told(notice, longest))
        if len(told) <= MAX_PAYLOAD_BYTES:
            return told
        longest //= 2  # characters that take six bytes each


def _told(notice: Notice, longest: int) -> dict[str, Any]:
    message = notice.message
    return {
        "title": _cut(notice.conversation_title or notice.sender.name, longest),
        "body": _cut(message.content or "", longest),
        "sender": _cut(notice.sender.name, longest),
        "conversation_id": str(message.conversation_id),
        "message_id": str(message.id),
        "seq": message.seq,
        "mentioned": notice.recipients[0].mentioned,
    }


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _topic(conversation_id: ConversationId, *, mentioned: bool) -> str:
    """While the browser is off the push service keeps only the latest of each; chatter does not replace being mentioned."""
    kind = b"m" if mentioned else b"c"
    return base64.urlsafe_b64encode(kind + conversation_id.bytes).rstrip(b"=").decode()


def _encrypted(subscription: Subscription, told: bytes) -> bytes:
    keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
    body: bytes = WebPusher({"endpoint": subscription.endpoint, "keys": keys}).encode(told, "aes128gcm")["body"]
    return body
