"""What the daemon says: domain values as messenger.v1 JSON (protocol.md §4 and §6), and the WebSocket frame around it."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from messenger.domain.attachment import Attachment, Links
from messenger.domain.conversation import (
    CaughtUp,
    Conversation,
    Name,
    NotificationSettings,
    Overview,
    Participant,
    Reader,
    Receipt,
)
from messenger.domain.ids import ConversationId, MessageId, UserId
from messenger.domain.message import Message, Reaction, Sent
from messenger.domain.notification import PushDevice
from messenger.domain.user import User
from messenger.errors import MessengerError
from messenger.protocol.envelope import News

PROTOCOL = "messenger.v1"
# A sync or history frame is no larger (protocol.md §4); the room is what is left of it for messages.
MAX_ANSWER_BYTES = 256 * 1024
ANSWER_ROOM = MAX_ANSWER_BYTES - 1024
# FIN and opcode (RFC 6455 §5.2).
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A

Json = dict[str, Any]


def encode(value: Mapping[str, Any]) -> bytes:
    """JSON as it goes over the wire: times in UTC with `Z`, ids as text."""
    return orjson.dumps(value, default=_uuid, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)


def _uuid(value: object) -> str:
    # asyncpg's UUID is a subclass, which orjson does not take for one.
    if isinstance(value, UUID):
        return str(value)
    raise TypeError


def text_frame(payload: bytes) -> bytes:
    """A whole WebSocket text frame (RFC 6455 §5.2). A server's frames are unmasked, so one serves every socket."""
    return _frame(_TEXT, payload)


def texts_of(data: bytes) -> Iterator[bytes]:
    """What stands in our own text frames, one behind the other."""
    at = 0
    while at < len(data):
        first, size = data[at], data[at + 1]
        at += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[at : at + width])
            at += width
        if first == _TEXT:
            yield data[at : at + size]
        at += size


def ping_frame() -> bytes:
    return _frame(_PING, b"")


def pong_frame(payload: bytes) -> bytes:
    return _frame(_PONG, payload)


def close_frame(code: int, reason: str) -> bytes:
    """`reason`: at most 123 bytes (RFC 6455 §5.5.1)."""
    return _frame(_CLOSE, struct.pack("!H", code) + reason.encode())


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    if size < 65536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def now() -> datetime:
    return datetime.now(UTC)


def message(value: Message) -> Json:
    return {
        "id": value.id,
        "conversation_id": value.conversation_id,
        "seq": value.seq,
        "change": value.change,
        "sender_id": value.sender_id,
        "content": value.content,
        "message_type": value.message_type,
        "created_at": value.created_at,
        "edited_at": value.edited_at,
        "deleted_at": value.deleted_at,
        "reply_to": value.reply_to,
        "mentions": list(value.mentions),
        "attachments": list(value.attachments),
        "reactions": value.reactions,
        "metadata": value.metadata or {},
        "client_id": value.client_id,
    }


def conversation(value: Conversation) -> Json:
    """As everybody may see it: `first_seq` is that of whoever was there from the start, and there is no `my_role`. A live
    session has a code and a status too, a channel its name."""
    told = {
        "id": value.id,
        "type": value.type,
        "title": value.title,
        "metadata": value.metadata,
        "created_by": value.created_by,
        "created_at": value.created_at,
        "updated_at": value.updated_at,
        "first_seq": 1,
        "last_seq": value.last_seq,
        "last_change": value.last_change,
        "history": value.history,
        "participant_count": value.participant_count,
    }
    if value.join_code is not None:
        told |= {"join_code": value.join_code, "status": "active" if value.closed_at is None else "closed"}
    if value.channel_url is not None:
        told["channel_url"] = value.channel_url
    return told


def own_conversation(value: Conversation) -> Json:
    """As one participant sees it himself."""
    return conversation(value) | {"first_seq": value.first_seq, "my_role": value.my_role}


def overview(value: Overview) -> Json:
    return own_conversation(value.conversation) | {
        "last_message": message(value.last_message) if value.last_message else None,
        "last_read_seq": value.last_read_seq,
        "unread_count": value.unread_count,
        "notification": notification_settings(value.notification),
        "people": [name(person) for person in value.people],
    }


def notification_settings(value: NotificationSettings) -> Json:
    return {
        "level": value.level,
        "muted_until": value.muted_until,
        "push_enabled": value.push_enabled,
        "email_enabled": value.email_enabled,
    }


def name(value: Name) -> Json:
    return {"user_id": value.user_id, "name": value.name, "avatar_url": value.avatar_url}


def reader(value: Reader) -> Json:
    return {"user_id": value.user_id, "last_read_seq": value.last_read_seq, "read_at": value.read_at}


def participant(value: Participant, *, online: bool) -> Json:
    return {
        "user_id": value.user_id,
        "name": value.name,
        "avatar_url": value.avatar_url,
        "role": value.role,
        "online": online and not value.is_apart,
        "last_seen_at": value.last_seen_at,
        "last_read_seq": value.last_read_seq,
    }


def user(value: User, *, own: bool) -> Json:
    shown: Json = {
        "id": value.id,
        "name": value.name,
        "avatar_url": value.avatar_url,
        "last_seen_at": value.last_seen_at,
    }
    return shown | {"external_id": value.external_id} if own else shown


def reaction(value: Reaction, at: datetime) -> Json:
    return {"user_id": value.user_id, "emoji": value.emoji, "created_at": at}


def push_device(value: PushDevice) -> Json:
    return {
        "id": value.id,
        "name": value.name,
        # All of it is an address that whoever knows it may send to.
        "endpoint_host": urlsplit(value.endpoint).hostname or "",
        "created_at": value.created_at,
    }


def attachment(value: Attachment) -> Json:
    return {
        "id": value.id,
        "url": value.url,
        "name": value.name,
        "size": value.size,
        "mime_type": value.mime_type,
        "width": value.width,
        "height": value.height,
        "thumbnail": value.has_thumbnail,
    }


def links(value: Links) -> Json:
    return {"url": value.url, "thumbnail_url": value.thumbnail_url, "expires_at": value.expires_at}


def connected(user_id: UserId, device_id: str, connection_id: str, heartbeat_s: float, epoch: str) -> Json:
    return {
        "type": "system",
        "event": "connected",
        "message": "Connected to messenger",
        "timestamp": now(),
        "user_id": user_id,
        "device_id": device_id,
        "connection_id": connection_id,
        "heartbeat_s": int(heartbeat_s) if heartbeat_s == int(heartbeat_s) else heartbeat_s,
        "epoch": epoch,
        "protocol": PROTOCOL,
    }


def change(
    value: Message,
    event: str,
    after: int | None = None,
    subject: Conversation | None = None,
    reaction: Reaction | None = None,
) -> Json:
    """A durable event. `after` is told where the event folds in more than its own change; `subject` goes with
    conversation.updated, `reaction` with reaction.added and reaction.removed."""
    told: Json = {"type": event, "conversation_id": value.conversation_id}
    if reaction is not None:
        told |= {
            "message_id": value.id,
            "user_id": reaction.user_id,
            "emoji": reaction.emoji,
            "reactions": value.reactions,
        }
    elif event in ("message.edited", "question.answered"):
        told["message_id"] = value.id
    elif event == "message.deleted":
        told |= {"message_id": value.id, "deleted_by": value.deleted_by, "deleted_at": value.deleted_at}
    else:
        told["seq"] = value.seq
    if event.startswith("participant."):
        told |= {name: (value.metadata or {}).get(name) for name in ("user_id", "name", "role", "by")}
    if subject is not None:
        told["conversation"] = conversation(subject)
    told["change"] = value.change
    if after is not None and after != value.change - 1:
        told["after"] = after
    told["data"] = message(value)
    return told


def retold(body: bytes, after: int) -> bytes:
    """A durable event again, for somebody whose log ends at `after`: he was told nothing of what he may not see."""
    return orjson.dumps({**orjson.loads(body), "after": after})


def event_of(value: Message, *, fresh: bool) -> str:
    """The type under which a message is told. `fresh`: whoever hears it has not been told of the message at all."""
    if value.deleted_at is not None:
        return "message.deleted"
    return value.system_event or ("message.new" if fresh else "message.edited")


def conversation_created(subject: Conversation) -> Json:
    return {
        "type": "conversation.created",
        "conversation_id": subject.id,
        "conversation": own_conversation(subject),
    }


def conversation_deleted(conversation_id: ConversationId) -> Json:
    return {"type": "conversation.deleted", "conversation_id": conversation_id, "conversation": None}


def sent(value: Sent) -> Json:
    told = {
        "type": "message.sent",
        "message_id": value.message.id,
        "conversation_id": value.message.conversation_id,
        "seq": value.message.seq,
        "change": value.message.change,
        "data": message(value.message),
    }
    if value.message.client_id is not None:
        told["client_id"] = value.message.client_id
    return told | {"duplicate": True} if value.duplicate else told


def read(value: Receipt) -> Json:
    """As participants see it; the reader's own devices are told the unread count too."""
    return {
        "type": "message.read",
        "conversation_id": value.conversation_id,
        "message_id": value.message_id,
        "user_id": value.user_id,
        "last_read_seq": value.last_read_seq,
        "read_at": value.read_at,
    }


def read_confirmed(value: Receipt) -> Json:
    return {
        "type": "read.confirmed",
        "message_id": value.message_id,
        "conversation_id": value.conversation_id,
        "last_read_seq": value.last_read_seq,
        "unread_count": value.unread_count,
    }


def typing(conversation_id: ConversationId, user_id: UserId, *, is_typing: bool) -> Json:
    return {
        "type": "typing",
        "conversation_id": conversation_id,
        "user_id": user_id,
        "is_typing": is_typing,
        "timestamp": now(),
    }


def session_state(conversation_id: ConversationId, state: Mapping[str, Any]) -> Json:
    return {"type": "session.state", "conversation_id": conversation_id, "state": state}


def session_participant(conversation_id: ConversationId, user_id: UserId) -> Json:
    return {"type": "session.participant", "conversation_id": conversation_id, "user_id": user_id, "timestamp": now()}


def session_stirred(conversation_id: ConversationId) -> Json:
    return {"type": "session.stirred", "conversation_id": conversation_id, "timestamp": now()}


def presence(user_id: UserId, *, online: bool, at: datetime) -> Json:
    told: Json = {"type": "user.online" if online else "user.offline", "user_id": user_id, "timestamp": at}
    return told if online else told | {"last_seen_at": at}


def whereabouts(conversation_id: ConversationId, user_id: UserId, *, inside: bool, at: datetime) -> Json:
    """That somebody came into a room, or went; rooms alone are told."""
    return {
        "type": "room.entered" if inside else "room.left",
        "conversation_id": conversation_id,
        "user_id": user_id,
        "timestamp": at,
    }


def profile(value: User) -> Json:
    return {"type": "user.updated", "user_id": value.id, "name": value.name, "avatar_url": value.avatar_url}


def notification(conversation_id: ConversationId, seq: int, news: News, *, mentioned: bool) -> Json:
    """That somebody wants to be told of a message: `message.new` goes to every device, this only where settings say so."""
    return {
        "type": "notification",
        "conversation_id": conversation_id,
        "message_id": news.message_id,
        "seq": seq,
        "sender_id": news.sender_id,
        "mentioned": mentioned,
        "timestamp": news.created_at,
    }


def notifications_updated(conversation_id: ConversationId, value: NotificationSettings) -> Json:
    return {
        "type": "notifications.updated",
        "conversation_id": conversation_id,
        "notification": notification_settings(value),
    }


def history(conversation_id: ConversationId, messages: Sequence[Message], *, more: bool) -> Json:
    return {
        "type": "history",
        "conversation_id": conversation_id,
        "messages": [message(value) for value in messages],
        "more": more,
    }


def fitting(messages: Sequence[Message], room: int, *, fewest: int = 0) -> tuple[list[Message], int]:
    """As many from the beginning as fit into `room` bytes, `fewest` even where they do not, and what they take."""
    kept: list[Message] = []
    size = 0
    for value in messages:
        size_of_one = len(encode(message(value))) + 1
        if size + size_of_one > room and len(kept) >= fewest:
            break
        kept.append(value)
        size += size_of_one
    return kept, size


def caught_up(value: CaughtUp) -> Json:
    told: Json = {
        "conversation_id": value.conversation_id,
        "changes": [message(item) for item in value.changes],
        "last_change": value.last_change,
        "first_seq": value.first_seq,
        "last_seq": value.last_seq,
        "last_read_seq": value.last_read_seq,
        "unread_count": value.unread_count,
        "more": value.more,
    }
    return told | {"reset": True} if value.reset else told


def ack(frame_type: str, conversation_id: ConversationId, message_id: MessageId, number: int) -> Json:
    return {
        "type": "ack",
        "for": frame_type,
        "conversation_id": conversation_id,
        "message_id": message_id,
        "change": number,
    }


def error(value: MessengerError) -> Json:
    told: Json = {"type": "error", "code": value.code, "message": value.message}
    if value.field is not None:
        told["field"] = value.field
    if value.reason is not None:
        told["reason"] = value.reason
    if value.retry_after_s is not None:
        told["retry_after_s"] = value.retry_after_s
    return told
