"""Tells the host application by a webhook of its own, signed, so that it knows that we said it and when.

A receiver computes HMAC-SHA256 of the timestamp, a full stop and the body as it came, with the secret; compares; and refuses what
is older than a few minutes. The same delivery may come more than once, with the same id.
"""

import hashlib
import hmac
import time

from messenger.delivery.guard import Outward
from messenger.delivery.way import Failed, posted
from messenger.domain.notification import Channel, Delivery, Notice
from messenger.protocol import frames
from messenger.protocol.frames import Json
from messenger.store.outbox import OutboxStore

TYPE = "message.notification"
VERSION = "v1"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The `Messenger-Signature` of a body that is sent at a time: seconds since 1970."""
    signed = hmac.digest(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"{VERSION}={signed.hex()}"


class Webhook:
    """One address, which answers 2xx once it has taken a delivery."""

    channel: Channel = "webhook"

    def __init__(self, store: OutboxStore, outward: Outward, url: str, secret: str) -> None:
        self._store = store
        self._outward = outward
        self._url = url
        self._secret = secret

    async def deliver(self, delivery: Delivery) -> bool:
        """See Way."""
        notice = await self._store.notice(delivery)
        if notice is None:
            return False
        body = frames.encode(_told(delivery, notice))
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "messenger",
            "Messenger-Delivery": str(delivery.id),
            "Messenger-Timestamp": timestamp,
            "Messenger-Signature": signature(self._secret, timestamp, body),
        }
        answer = await posted(self._outward, self._url, body, headers)
        if not 200 <= answer.status < 300:
            raise Failed(f"status {answer.status}", answer.again_s)
        return True


def _told(delivery: Delivery, notice: Notice) -> Json:
    return {
        "type": TYPE,
        "id": delivery.id,
        "created_at": delivery.created_at,
        "conversation": {
            "id": delivery.conversation_id,
            "type": notice.conversation_type,
            "title": notice.conversation_title,
        },
        "message": frames.message(notice.message),
        "sender": {
            "user_id": notice.sender.user_id,
            "external_id": notice.sender.external_id,
            "name": notice.sender.name,
            "avatar_url": notice.sender.avatar_url,
        },
        "recipients": [
            {
                "user_id": recipient.user_id,
                "external_id": recipient.external_id,
                "mentioned": recipient.mentioned,
                "push_enabled": recipient.push_enabled,
                "email_enabled": recipient.email_enabled,
                "unread_count": recipient.unread_count,
            }
            for recipient in notice.recipients
        ],
    }
