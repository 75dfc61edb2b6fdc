"""What a call may raise, as values with the vendor's code.

    ChatServiceError                                          any of them; also an answer that cannot be read
    ├── ConfigError                                           the settings, before any call
    ├── InvalidRequest                                        4001xx: a parameter is missing or wrong
    ├── NotAllowed                                            400108: as a message by somebody who is no member
    ├── Unauthorized                                          400401 and its kin: the API token
    ├── NotFound                                              400201
    │   └── ChannelNotFound, UserNotFound, MessageNotFound
    ├── AlreadyExists                                         400202
    ├── WouldSplit                                            the call would leave one channel on two sides
    ├── RateLimited                                           429, 500910: later
    ├── Unavailable                                           no answer, or 5xx: what became of the call is unknown
    └── ForeignFile, FileTooLarge                             what is not downloaded

An exception's docstring is its default message. None of them says a token or a message's text.
"""

from collections.abc import Mapping


class ChatServiceError(Exception):
    """The chat service refused the call"""

    def __init__(self, message: str | None = None, *, code: int | None = None, status: int | None = None) -> None:
        """`code` is the vendor's number, `status` that of HTTP; None where there was no such answer."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.code = code
        self.status = status
        super().__init__(self.message)


class ConfigError(ChatServiceError):
    """The settings cannot be used"""

    def __init__(self, key: str, problem: str) -> None:
        """`key` is the way to it, as `chat.sendbird.app_id`, or a variable's or a file's name."""
        super().__init__(f"{key} {problem}")
        self.key = key


class InvalidRequest(ChatServiceError):
    """A parameter is missing or wrong"""


class NotAllowed(ChatServiceError):
    """Not allowed"""


class Unauthorized(ChatServiceError):
    """The API token was refused"""


class NotFound(ChatServiceError):
    """Not found"""


class ChannelNotFound(NotFound):
    """Channel not found"""


class UserNotFound(NotFound):
    """User not found"""


class MessageNotFound(NotFound):
    """Message not found"""


class AlreadyExists(ChatServiceError):
    """Exists already"""


class WouldSplit(ChatServiceError):
    """The channel would be on two sides"""


class RateLimited(ChatServiceError):
    """Too many requests"""

    def __init__(
        self, message: str | None = None, *, retry_after_s: float, code: int | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, code=code, status=status)
        self.retry_after_s = retry_after_s


class Unavailable(ChatServiceError):
    """The chat service did not answer"""

    def __init__(
        self, message: str | None = None, *, unsent: bool = False, code: int | None = None, status: int | None = None
    ) -> None:
        """`unsent`: the request never left, so nothing can have come of it."""
        super().__init__(message, code=code, status=status)
        self.unsent = unsent


class ForeignFile(ChatServiceError):
    """The file is not the vendor's"""


class FileTooLarge(ChatServiceError):
    """The file is too large"""


# The vendor's codes; of those below 400200 all that are not named are wrong parameters.
BY_CODE: Mapping[int, type[ChatServiceError]] = {
    400108: NotAllowed,
    400202: AlreadyExists,
    400300: Unauthorized,
    400301: Unauthorized,
    400302: Unauthorized,
    400309: Unauthorized,
    400310: Unauthorized,
    400401: Unauthorized,
}
NOT_FOUND = 400201
TOO_MANY = 500910


def error_of(status: int, code: int, message: str, path: str) -> ChatServiceError:
    """The error for an answer of the Platform API; `path` tells what was asked for where the message does not."""
    if code == NOT_FOUND:
        return _not_found(message, path)(message, code=code, status=status)
    if code in BY_CODE:
        return BY_CODE[code](message, code=code, status=status)
    if 400100 <= code < 400200:
        return InvalidRequest(message, code=code, status=status)
    if status in (401, 403):
        return Unauthorized(message, code=code, status=status)
    if status >= 500:
        return Unavailable(message, code=code, status=status)
    return ChatServiceError(message, code=code, status=status)


def _not_found(message: str, path: str) -> type[NotFound]:
    """The vendor has one code for all that is not there, and names it in quotes: "User" not found."""
    said = message.lower()
    for word, error in (("user", UserNotFound), ("message", MessageNotFound), ("channel", ChannelNotFound)):
        if f'"{word}"' in said:
            return error
    if "/messages/" in path:
        return MessageNotFound
    return UserNotFound if path.startswith("/users") else ChannelNotFound
