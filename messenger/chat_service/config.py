"""The settings of a ChatService: YAML of the host application, and the flag's variable. Every bad value is told with the way to it.

    chat:
      use_websocket: false              # the flag; USE_WEBSOCKET_CHAT overrides it
      websocket_channels: []            # moved one by one
      websocket_users: []               # moved with those who are in them
      sendbird:
        app_id: "${SENDBIRD_APP_ID}"
        api_token: "${SENDBIRD_API_TOKEN}"
        base_url: https://api-APP_ID.sendbird.com    # this unless said otherwise
      websocket:
        base_url: https://chat.example.org
        api_token: "${MESSENGER_API_TOKEN}"

Any string may be, or hold, `${ENV_NAME}`. A backend that no call can go to under the flag is not looked at: before the move
the variables of `websocket` need not be set, after it those of `sendbird` need not be any more. Other keys beside `chat` are
the host application's. No value is ever repeated in an error: it may be a token.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import yaml

from messenger.chat_service import wording
from messenger.chat_service.errors import ConfigError

Backend: TypeAlias = Literal["sendbird", "websocket"]

FLAG = "USE_WEBSOCKET_CHAT"
# Where the file is, unless it is said; else this one of the working folder.
FILE = "CHAT_CONFIG"
DEFAULT_FILE = "chat.yaml"

ROOT = "chat"
KEYS = ("use_websocket", "websocket_channels", "websocket_users", "sendbird", "websocket")
SENDBIRD_KEYS = ("app_id", "api_token", "base_url")
WEBSOCKET_KEYS = ("base_url", "api_token")


@dataclass(frozen=True, slots=True)
class Side:
    """Where one backend is. `base_url` is without `/v3`."""

    base_url: str
    api_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChatConfig:
    """A side is None where no call can go to it."""

    use_websocket: bool
    websocket_channels: frozenset[str]
    websocket_users: frozenset[str]
    sendbird: Side | None
    websocket: Side | None


def read_config(path: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> ChatConfig:
    """Of a file: `path`, else what `CHAT_CONFIG` names, else `chat.yaml` in the working folder. Raises ConfigError."""
    file = Path(path or environ.get(FILE) or DEFAULT_FILE)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no UTF-8"
        raise ConfigError(str(file), f"cannot be read: {reason}; give a path, or set {FILE}") from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(str(file), f"is no YAML{where}") from None
    return parse_config(document, environ)


def parse_config(document: Any, environ: Mapping[str, str]) -> ChatConfig:
    """What was read of a file. Raises ConfigError."""
    settings = _Settings(environ)
    chat = settings.section({} if document is None else document, "", (ROOT,), others=True).get(ROOT)
    if chat is None:
        raise ConfigError(ROOT, "is missing")
    chat = settings.section(chat, ROOT, KEYS)
    use_websocket = settings.flag(chat)
    channels = settings.names(chat, "websocket_channels")
    users = settings.names(chat, "websocket_users")
    return ChatConfig(
        use_websocket,
        channels,
        users,
        sendbird=None if use_websocket else settings.sendbird(chat),
        websocket=settings.websocket(chat) if use_websocket or channels or users else None,
    )


class _Settings:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def section(self, value: Any, key: str, keys: tuple[str, ...], *, others: bool = False) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ConfigError(key or "the file", "must be a mapping")
        for name in value:
            if name not in keys and not others:
                raise ConfigError(f"{key}.{name}", f"is no setting; there are {', '.join(keys)}")
        return value

    def flag(self, chat: dict[str, Any]) -> bool:
        if text := self._environ.get(FLAG):
            return _bool(text, FLAG)
        value = chat.get("use_websocket")
        if value is None or isinstance(value, bool):
            return bool(value)
        return _bool(self._text(value, f"{ROOT}.use_websocket"), f"{ROOT}.use_websocket")

    def names(self, chat: dict[str, Any], name: str) -> frozenset[str]:
        key, value = f"{ROOT}.{name}", chat.get(name)
        if value is None:
            return frozenset()
        if not isinstance(value, list):
            raise ConfigError(key, "must be a list")
        return frozenset(self._required(item, f"{key}[{place}]") for place, item in enumerate(value))

    def sendbird(self, chat: dict[str, Any]) -> Side:
        key, values = self._side(chat, "sendbird", SENDBIRD_KEYS)
        if values.get("base_url") is not None:
            base_url = self._url(values["base_url"], f"{key}.base_url")
        else:
            app_id = self._required(values.get("app_id"), f"{key}.app_id")
            if not re.fullmatch(r"[A-Za-z0-9-]+", app_id):
                raise ConfigError(f"{key}.app_id", "may have letters, digits and hyphens")
            base_url = wording.HOST.format(app_id=app_id)
        return Side(base_url, self._required(values.get("api_token"), f"{key}.api_token"))

    def websocket(self, chat: dict[str, Any]) -> Side:
        key, values = self._side(chat, "websocket", WEBSOCKET_KEYS)
        base_url = self._url(values.get("base_url"), f"{key}.base_url")
        return Side(base_url, self._required(values.get("api_token"), f"{key}.api_token"))

    def _side(self, chat: dict[str, Any], name: str, keys: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
        key = f"{ROOT}.{name}"
        if chat.get(name) is None:
            raise ConfigError(key, "is missing, and calls may go to it")
        return key, self.section(chat[name], key, keys)

    def _url(self, value: Any, key: str) -> str:
        text = self._required(value, key)
        try:
            parts = urlsplit(text)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
            good = good and parts.port != 0 and parts.username is None
        except ValueError:
            good = False
        if not good:
            raise ConfigError(key, "must be an address such as https://chat.example.org")
        return text.rstrip("/").removesuffix(wording.VERSION)

    def _required(self, value: Any, key: str) -> str:
        if value is None:
            raise ConfigError(key, "is missing")
        text = self._text(value, key)
        if not text:
            raise ConfigError(key, "is empty")
        return text

    def _text(self, value: Any, key: str) -> str:
        """A string with the environment's values in it; ids are numbers in many a file."""
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise ConfigError(key, "must be a string")

        def named(match: re.Match[str]) -> str:
            if match[1] not in self._environ:
                raise ConfigError(key, f"names ${{{match[1]}}}, which is not set")
            return self._environ[match[1]]

        return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", named, value)


def _bool(text: str, key: str) -> bool:
    match text.lower():
        case "on" | "true" | "1":
            return True
        case "off" | "false" | "0":
            return False
    raise ConfigError(key, "must be on or off")
