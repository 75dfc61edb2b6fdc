"""Every failure that a client is told of, as a value with a code. What HTTP or a socket makes of it stands in transport.

    MessengerError
    ├── InvalidJson, InvalidFrame, InvalidConversationId, InvalidMessageId      bad frames
    ├── ContentEmpty, ContentTooLong                                             bad content
    ├── NotParticipant, MessageNotFound, UserNotFound, SessionNotFound,
    │   ChannelNotFound, AttachmentNotFound                                      not there, or not for you
    ├── TooLarge, TypeNotAllowed                                                 bad files
    ├── Forbidden, Unauthorized                                                  not allowed
    ├── ClientIdConflict, Conflict, NicknameTaken                                taken
    ├── RateLimited                                                              later
    ├── UnknownType                                                              only told to a frame with a ref
    └── Unavailable                                                              fate unknown: send again
        └── StorageAway                                                          nothing was kept

An exception's docstring is its default message.
"""

from typing import ClassVar


class MessengerError(Exception):
    """Internal error"""

    code: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str | None = None,
        *,
        field: str | None = None,
        reason: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.field = field
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(self.message)


class InvalidJson(MessengerError):
    """Invalid JSON format"""

    code = "invalid_json"


class InvalidFrame(MessengerError):
    """Invalid frame"""

    code = "invalid_frame"


class InvalidConversationId(MessengerError):
    """Invalid conversation_id format"""

    code = "invalid_conversation_id"


class InvalidMessageId(MessengerError):
    """Invalid message_id format"""

    code = "invalid_message_id"


class NotParticipant(MessengerError):
    """Not a participant of this conversation"""

    code = "not_participant"


class MessageNotFound(MessengerError):
    """Message not found"""

    code = "message_not_found"


class Forbidden(MessengerError):
    """Forbidden"""

    code = "forbidden"


class ContentEmpty(MessengerError):
    """Message content cannot be empty"""

    code = "content_empty"


class ContentTooLong(MessengerError):
    """Message content is too long"""

    code = "content_too_long"

    @classmethod
    def over(cls, limit: int) -> "ContentTooLong":
        """`limit` in characters."""
        return cls(f"Message content exceeds {limit} characters", field="content")


class ClientIdConflict(MessengerError):
    """client_id was used for another message"""

    code = "client_id_conflict"


class UserNotFound(MessengerError):
    """User not found"""

    code = "user_not_found"


class SessionNotFound(MessengerError):
    """Session not found"""

    code = "not_found"


class ChannelNotFound(MessengerError):
    """ "Channel" not found."""  # noqa: D210 - it begins with a quotation mark

    code = "not_found"


class AttachmentNotFound(MessengerError):
    """Attachment not found"""

    code = "not_found"


class TooLarge(MessengerError):
    """The file is too large"""

    code = "too_large"

    @classmethod
    def over(cls, limit: int) -> "TooLarge":
        """`limit` in bytes."""
        return cls(f"A file may have {limit} bytes", field="file")


class TypeNotAllowed(MessengerError):
    """Files of this type are not allowed"""

    code = "unsupported_media_type"


class NicknameTaken(MessengerError):
    """Nickname is already taken"""

    code = "nickname_taken"


class Unauthorized(MessengerError):
    """Authentication is required; `reason` is one of protocol.md §2: token_missing, token_invalid …"""

    code = "unauthorized"

    def __init__(self, reason: str) -> None:
        super().__init__("Unauthorized", reason=reason)


class RateLimited(MessengerError):
    """Too many requests"""

    code = "rate_limited"


class UnknownType(MessengerError):
    """Unknown frame type"""

    code = "unknown_type"


class Unavailable(MessengerError):
    """The database did not answer; send again with the same client_id"""

    code = "unavailable"


class StorageAway(Unavailable):
    """The file store did not answer; try again later"""


class Conflict(MessengerError):
    """Conflict"""

    code = "conflict"


class SetupError(Exception):
    """What stops a command before it runs, one line for the person at the terminal; never sent to a client."""
