"""Rows of the database as domain values."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from messenger.domain.conversation import (
    Conversation,
    Name,
    NotificationSettings,
    Overview,
    Participant,
    Receipt,
    Standing,
    State,
    Touched,
)
from messenger.domain.ids import MessageId
from messenger.domain.message import Message
from messenger.domain.notification import Notice, Recipient, Sender, Subscription
from messenger.domain.user import Preferences, User

Row = Mapping[str, Any]


def message_of(row: Row) -> Message:
    return Message(
        conversation_id=row["conversation_id"],
        id=row["id"],
        seq=row["seq"],
        change=row["change"],
        sender_id=row["sender_id"],
        content=row["content"],
        message_type=row["message_type"],
        created_at=row["created_at"],
        edited_at=row["edited_at"],
        deleted_at=row["deleted_at"],
        deleted_by=row["deleted_by"],
        reply_to=row["reply_to"],
        mentions=tuple(row["mentions"]),
        attachments=tuple(row["attachments"]),
        metadata=row["metadata"],
        client_id=row["client_id"],
        reactions=row["reactions"],
    )


def message_of_json(row: Row) -> Message:
    """The same from `to_jsonb`, where ids and times came as text."""
    ids = {name: row[name] and MessageId(UUID(row[name])) for name in ("conversation_id", "id", "reply_to")}
    times = {
        name: row[name] and datetime.fromisoformat(row[name]) for name in ("created_at", "edited_at", "deleted_at")
    }
    return message_of({**row, **ids, **times})


def conversation_of(row: Row) -> Conversation:
    return Conversation(
        id=row["id"],
        type=row["type"],
        title=row["title"],
        metadata=row["metadata"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        history=row["history"],
        participant_count=row["participant_count"],
        last_seq=row["last_seq"],
        last_change=row["last_change"],
        first_seq=row["first_seq"],
        my_role=row["role"],
        joined_change=row["joined_change"],
        join_code=row["join_code"],
        closed_at=row["closed_at"],
        channel_url=row["channel_url"],
    )


def overview_of(row: Row) -> Overview:
    return Overview(
        conversation=conversation_of(row),
        last_message=message_of_json(row["last_message"]) if row["last_message"] else None,
        unread_count=row["unread_count"],
        last_read_seq=row["last_read_seq"],
        notification=NotificationSettings() if row["level"] is None else notification_of(row),
        active_at=row["active_at"],
        people=tuple(Name(**person) for person in row["people"]),
    )


def notification_of(row: Row) -> NotificationSettings:
    return NotificationSettings(row["level"], _zoned(row["muted_until"]), row["push_enabled"], row["email_enabled"])


def preferences_of(row: Row) -> Preferences:
    settings = zip(row["conversation_ids"], row["levels"], row["muted_until"], strict=True)
    return Preferences(
        frozenset(row["apart"]),
        {
            conversation_id: NotificationSettings(level, _zoned(muted_until))
            for conversation_id, level, muted_until in settings
        },
    )


def _zoned(at: datetime | None) -> datetime | None:
    """In UTC. Of the first and the last time that there is asyncpg makes infinity, and brings it back without a zone: nothing
    compares with that."""
    return at and at.replace(tzinfo=UTC)


def participant_of(row: Row) -> Participant:
    return Participant(**dict(row))


def standing_of(row: Row) -> Standing:
    return Standing(*row.values())


def state_of(row: Row) -> State:
    return State(
        messages=tuple(map(message_of, row["messages"])),
        last_change=row["last_change"],
        first_seq=row["first_seq"],
        last_seq=row["last_seq"],
        last_read_seq=row["last_read_seq"],
        unread_count=row["unread_count"],
    )


def receipt_of(row: Row, user_id: Any) -> Receipt:
    return Receipt(user_id=user_id, **dict(row))


def touched_of(row: Row) -> Touched:
    return Touched(row["conversation_id"], row["last_change"], row["deleted"], tuple(row["user_ids"]))


def user_of(row: Row) -> User:
    return User(**dict(row))


def notice_of(row: Row, recipients: Sequence[Recipient], device: Subscription | None) -> Notice:
    message = message_of(row)
    return Notice(
        message=message,
        conversation_type=row["conversation_type"],
        conversation_title=row["conversation_title"],
        sender=Sender(message.sender_id, row["sender_external_id"], row["sender_name"], row["sender_avatar_url"]),
        recipients=recipients,
        device=device,
    )
