"""The frames that are said most, decoded by hand: a tenth of what their schemas cost.

Only what is plain is decoded here. Everything else is None, and the schema's to decode or to refuse; whatever is decoded is what
the schema makes of it (tests/unit/test_quick.py).
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from messenger.domain.ids import ConversationId, MessageId
from messenger.protocol import commands
from messenger.protocol.fields import UNSTORABLE, UUID_TEXT

# What a message may have beside its text, and mostly has not.
_RARE = frozenset({"reply_to", "mentions", "attachments", "metadata"})


def send(frame: Mapping[str, Any]) -> commands.Send | None:
    content, kind, client_id = frame.get("content"), frame.get("message_type", "text"), frame.get("client_id")
    conversation_id = _id(frame.get("conversation_id"))
    if conversation_id is None or not _RARE.isdisjoint(frame):
        return None
    if not isinstance(content, str) or UNSTORABLE.search(content):
        return None
    if kind != "text" or (client_id is not None and not _is_short(client_id)):
        return None
    return commands.Send(content, kind, client_id, None, (), (), {}, ConversationId(conversation_id))


def of_message(frame: Mapping[str, Any]) -> commands.OfMessage | None:
    message_id = _id(frame.get("message_id"))
    return None if message_id is None else commands.OfMessage(MessageId(message_id))


def typing(frame: Mapping[str, Any]) -> commands.Typing | None:
    conversation_id, is_typing = _id(frame.get("conversation_id")), frame.get("is_typing", True)
    if conversation_id is None or not isinstance(is_typing, bool):
        return None
    return commands.Typing(ConversationId(conversation_id), is_typing)


def _id(value: Any) -> UUID | None:
    return UUID(value) if isinstance(value, str) and UUID_TEXT.fullmatch(value) else None


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 64 and not UNSTORABLE.search(value)
