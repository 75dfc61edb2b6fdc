"""One interface for host applications, with the vendor or this daemon behind it.

Needs aiohttp and PyYAML and nothing else of the daemon, which a host application does not start by importing this.
"""

from messenger.chat_service.config import Backend, ChatConfig, Side
from messenger.chat_service.errors import (
    AlreadyExists,
    ChannelNotFound,
    ChatServiceError,
    ConfigError,
    FileTooLarge,
    ForeignFile,
    InvalidRequest,
    MessageNotFound,
    NotAllowed,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
    UserNotFound,
    WouldSplit,
)
from messenger.chat_service.platform import Downloaded, PlatformClient
from messenger.chat_service.service import ChatService

__all__ = [
    "AlreadyExists",
    "Backend",
    "ChannelNotFound",
    "ChatConfig",
    "ChatService",
    "ChatServiceError",
    "ConfigError",
    "Downloaded",
    "FileTooLarge",
    "ForeignFile",
    "InvalidRequest",
    "MessageNotFound",
    "NotAllowed",
    "NotFound",
    "PlatformClient",
    "RateLimited",
    "Side",
    "Unauthorized",
    "Unavailable",
    "UserNotFound",
    "WouldSplit",
]
