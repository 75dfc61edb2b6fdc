"""The daemon's settings: read once, frozen, every bad value told in one line. Nothing else reads the environment, but
`supervisor` what systemd says there."""

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from messenger.errors import SetupError

PREFIX = "MESSENGER_"
# Read by the test suite, not by the daemon: names that begin so are not told as unknown.
FOREIGN = "MESSENGER_TEST_"
# HS256 wants a key as long as its hash, and so do the longer ones (RFC 7518 §3.2).
MIN_SECRET_BYTES = 32
# What a browser leaves out of an origin.
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `amount` tokens every `period_s` seconds, at most `burst` at once. No amount means no limit."""

    amount: float
    period_s: float
    burst: float

    @property
    def unlimited(self) -> bool:
        return self.amount == 0


def parse_rate(text: str) -> Rate:
    """`10/1s,30` → ten a second, thirty at once; `off` → no limit. Raises ValueError."""
    if text == "off":
        return Rate(0, 1, 0)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)s,(\d+(?:\.\d+)?)", text)
    if match is None:
        raise ValueError("is no rate such as 10/1s,30 or off")
    amount, period, burst = map(float, match.groups())
    if amount <= 0 or period <= 0 or burst < 1:
        raise ValueError("must have an amount and a period above 0 and a burst of at least 1")
    return Rate(amount, period, burst)


def parse_bool(text: str) -> bool:
    """Raises ValueError."""
    match text.lower():
        case "on" | "true" | "1":
            return True
        case "off" | "false" | "0":
            return False
    raise ValueError("must be on or off")


def parse_list(text: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)


def parse_networks(text: str) -> tuple[str, ...]:
    """Addresses or networks in CIDR notation. Raises ValueError."""
    for part in parse_list(text):
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError:
            raise ValueError(f"names {part!r}, which is no address or network") from None
    return parse_list(text)


def parse_origins(text: str) -> tuple[str, ...]:
    """Origins, `scheme://host[:port]`, or `*`; apps have schemes of their own (RFC 3986 §3.1). They are told as browsers send
    them: in lower case, without a default port. Raises ValueError."""
    return tuple(part if part == "*" else _origin(part) for part in parse_list(text))


def _origin(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s?#@]+", text):
        raise ValueError(f"names {text!r}, which is no origin such as https://chat.example.org")
    origin = text.lower()
    return origin.removesuffix(DEFAULT_PORTS.get(origin.partition("://")[0], ""))


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number of at least `least`; the parser raises ValueError."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text) or int(text) < least:
            raise ValueError(f"must be a whole number of at least {least}")
        if most is not None and int(text) > most:
            raise ValueError(f"must be at most {most}")
        return int(text)

    return parse


def seconds(least: float) -> Callable[[str], float]:
    """A number of seconds of at least `least`; the parser raises ValueError."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"\d{1,9}(\.\d+)?", text) or float(text) < least:
            raise ValueError(f"must be a number of seconds of at least {least:g}")
        return float(text)

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """One of a few words; the parser raises ValueError."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def url(*schemes: str) -> Callable[[str], str]:
    """An address with one of `schemes`; the parser raises ValueError and never repeats the value: it may hold a password."""

    def parse(text: str) -> str:
        if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        if not _is_readable(text):
            raise ValueError("cannot be read: write / ? # @ : and % of a password as %2F %3F %23 %40 %3A and %25")
        return text

    return parse


def _is_readable(address: str) -> bool:
    """Whether host and port stand where they should. A parser further on would quote what it stumbles over: a password."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    hosts = parts.netloc.rpartition("@")[2].split(",")
    return (
        not parts.fragment
        and all(re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(:\d{1,5})?", host) for host in hosts)
        and all("=" in option for option in parts.query.split("&") if option)
    )


def parse_vapid_key(text: str) -> str:
    """A private key of P-256, its number in base64url. Raises ValueError, which never repeats it."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}=?", text):
        raise ValueError("is no key such as messenger vapid makes: 43 characters of base64url")
    return text


def parse_vapid_subject(text: str) -> str:
    """Where push services may write to about this daemon (RFC 8292 §2.1). Raises ValueError."""
    if not re.fullmatch(
        r"mailto:[^@\s]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+/?", text
    ):
        raise ValueError("must be mailto: with an address, or https:// with a host")
    return text.removesuffix("/")


def parse_redis_prefix(text: str) -> str:
    """Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9:_.-]{0,64}", text):
        raise ValueError("may have up to 64 of A-Za-z0-9:_.-")
    return text


def parse_level(text: str) -> str:
    """Raises ValueError."""
    return one_of("DEBUG", "INFO", "WARNING", "ERROR")(text.upper())


def parse_public_url(text: str) -> str:
    """Where the daemon is reached from outside, without a slash at the end. Raises ValueError."""
    if not re.fullmatch(r"https?://[^/\s?#@\\]+(/[^\s?#\\]*)?", text) or not _is_readable(text):
        raise ValueError("must be an address such as https://chat.example.org")
    return text.rstrip("/")


def parse_types(text: str) -> tuple[str, ...]:
    """MIME types in lower case; `*` stands for whatever is after the slash, or for the rest of it. Raises ValueError."""
    for part in parse_list(text):
        if not re.fullmatch(r"[a-z0-9.+-]+/([a-z0-9.+-]*\*|[a-z0-9.+-]+)", part):
            raise ValueError(f"names {part!r}, which is no type such as image/png or image/*")
    return parse_list(text)


def setting(name: str, parse: Callable[[str], Any], default: Any, help_: str) -> Any:
    """One field of Config and one variable of the environment."""
    return field(
        default_factory=default if callable(default) else lambda: default,
        metadata={"name": PREFIX + name, "parse": parse, "help": help_},
    )


def default_data_dir() -> Path:
    """The platform's user data folder; as root /var/lib/messenger."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/messenger")
    return Path(platformdirs.user_data_dir("messenger", appauthor=False))


POSTGRES_URL = url("postgresql", "postgres")
# What people send each other. No programs; what a browser would run comes out as text/plain, whatever it is called.
ATTACHMENT_TYPES = (
    "image/*",
    "audio/*",
    "video/*",
    "text/plain",
    "text/csv",
    "application/pdf",
    "application/rtf",
    "application/epub+zip",
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.*",
    "application/vnd.oasis.opendocument.*",
    "application/zip",
    "application/gzip",
    "application/zstd",
    "application/x-7z-compressed",
    "application/x-bzip2",
    "application/x-rar-compressed",
    "application/x-tar",
    "application/x-xz",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting of the daemon. Times in seconds, sizes in bytes unless said."""

    database_url: str = setting(
        "DATABASE_URL", POSTGRES_URL, "", "PostgreSQL as the application role: it owns nothing and bypasses nothing"
    )
    migrate_database_url: str = setting(
        "MIGRATE_DATABASE_URL", POSTGRES_URL, "", "PostgreSQL as the owner, for migrate"
    )
    database_pooled: bool = setting(
        "DATABASE_POOLED",
        parse_bool,
        False,
        "a PgBouncer with pool_mode transaction stands before it: nothing is prepared",
    )
    redis_url: str = setting("REDIS_URL", url("redis", "rediss", "unix"), "", "Redis 6.2 or later, or Valkey")
    redis_prefix: str = setting("REDIS_PREFIX", parse_redis_prefix, "", "before every key and channel")
    data_dir: Path = setting("DATA_DIR", Path, default_data_dir, "folder of uploads, and of the embedded servers")
    auth: str = setting("AUTH", one_of("jwt", "off"), "jwt", "jwt, or off (demo and tests only)")
    jwt_secret: str = setting("JWT_SECRET", str, "", f"key of HS256, {MIN_SECRET_BYTES} bytes or more")
    jwt_public_key_file: str = setting("JWT_PUBLIC_KEY_FILE", str, "", "public key in PEM, for RS256, ES256 or EdDSA")
    jwt_jwks_url: str = setting(
        "JWT_JWKS_URL", url("https", "http"), "", "where an identity provider publishes its public keys"
    )
    jwt_algorithms: tuple[str, ...] = setting(
        "JWT_ALGORITHMS", parse_list, (), "HS256 with a secret, else RS256,ES256,EdDSA"
    )
    jwt_audience: str = setting("JWT_AUDIENCE", str, "", "required aud, when set")
    jwt_issuer: str = setting("JWT_ISSUER", str, "", "required iss, when set")
    jwt_leeway_s: float = setting("JWT_LEEWAY_S", seconds(0), 10.0, "how far clocks may be apart")
    jwt_user_claim: str = setting("JWT_USER_CLAIM", str, "sub", "claim that names the user")
    api_token: str = setting("API_TOKEN", str, "", "the host application's own key")
    unknown_users: str = setting(
        "UNKNOWN_USERS", one_of("provision", "refuse"), "provision", "what an id first seen is: a new user, or refused"
    )
    who_starts: str = setting("WHO_STARTS", one_of("anyone", "service"), "anyone", "who makes conversations")
    allowed_origins: tuple[str, ...] = setting(
        "ALLOWED_ORIGINS", parse_origins, (), "other origins whose pages may connect, or *; none: same origin only"
    )
    trusted_proxies: tuple[str, ...] = setting("TRUSTED_PROXIES", parse_networks, (), "whose X-Forwarded-For counts")
    max_frame_bytes: int = setting("MAX_FRAME_BYTES", whole(1024), 65536, "longest frame a client may send")
    max_content_chars: int = setting("MAX_CONTENT_CHARS", whole(1), 4000, "longest message")
    max_devices_per_user: int = setting(
        "MAX_DEVICES_PER_USER", whole(1), 20, "devices a user; the next one is closed with 1013"
    )
    max_connections: int = setting("MAX_CONNECTIONS", whole(1), 20000, "devices a node")
    max_queue_bytes: int = setting("MAX_QUEUE_BYTES", whole(65536), 1048576, "unsent bytes a device may pile up")
    rate_messages: Rate = setting("RATE_MESSAGES", parse_rate, Rate(10, 1, 30), "messages a user: refill and burst")
    rate_frames: Rate = setting("RATE_FRAMES", parse_rate, Rate(50, 1, 200), "frames a device: refill and burst")
    heartbeat_s: float = setting(
        "HEARTBEAT_S", seconds(0.1), 25.0, "a ping this often; a device silent for two is dropped"
    )
    presence_ttl_s: float = setting("PRESENCE_TTL_S", seconds(1), 45.0, "a dead node's devices vanish after it")
    presence_grace_s: float = setting("PRESENCE_GRACE_S", seconds(0), 2.0, "a reload within it is no offline")
    drain_s: float = setting("DRAIN_S", seconds(0), 10.0, "closing the devices is spread over it")
    catch_up_s: float = setting(
        "CATCH_UP_S", seconds(0.05), 3.0, "how often a node asks the database what the bus may have lost"
    )
    webhook_url: str = setting(
        "WEBHOOK_URL",
        url("https", "http"),
        "",
        "where the host application is told of messages for people who are away",
    )
    webhook_secret: str = setting(
        "WEBHOOK_SECRET", str, "", f"what the webhook's requests are signed with, {MIN_SECRET_BYTES} bytes or more"
    )
    vapid_private_key: str = setting(
        "VAPID_PRIVATE_KEY", parse_vapid_key, "", "turns Web Push on; messenger vapid makes one"
    )
    vapid_subject: str = setting(
        "VAPID_SUBJECT", parse_vapid_subject, "", "mailto: or https: of whoever push services may write to"
    )
    private_targets: tuple[str, ...] = setting(
        "PRIVATE_TARGETS", parse_networks, (), "networks that the webhook may reach although they are private"
    )
    # Of its own: users say where their push services are, and would reach what was opened for the webhook.
    private_push_targets: tuple[str, ...] = setting(
        "PRIVATE_PUSH_TARGETS", parse_networks, (), "private networks in which users' push services may be"
    )
    notify_attempts: int = setting(
        "NOTIFY_ATTEMPTS", whole(1, 20), 8, "failures after which a notification is given up"
    )
    stats_private: bool = setting(
        "STATS_PRIVATE", parse_bool, False, "/stats and /metrics ask for the API token, or a JWT of scope service"
    )
    insecure: bool = setting(
        "INSECURE", parse_bool, False, "with authentication off: any address and any host name; as --insecure"
    )
    open_rooms: bool = setting("OPEN_ROOMS", parse_bool, False, "rooms at /ws/chat/{room_id} that need no account")
    open_room_ttl_s: float = setting(
        "OPEN_ROOM_TTL_S", seconds(1), 2_592_000.0, "an open room without traffic for so long is cleared away"
    )
    max_connections_per_address: int = setting(
        "MAX_CONNECTIONS_PER_ADDRESS", whole(1), 100, "connections to open rooms from one address"
    )
    guest_ttl_s: float = setting(
        "GUEST_TTL_S", seconds(1), 86_400.0, "so long a guest of a live session may stay, and is cleared away after"
    )
    rate_joins: Rate = setting(
        "RATE_JOINS", parse_rate, Rate(5, 1, 300), "guests, and entries into open rooms, from one address"
    )
    rate_rooms: Rate = setting("RATE_ROOMS", parse_rate, Rate(1, 1, 300), "open rooms made from one address")
    rate_guesses: Rate = setting(
        "RATE_GUESSES", parse_rate, Rate(10, 60, 20), "codes of no session, tried from one address"
    )
    public_url: str = setting(
        "PUBLIC_URL", parse_public_url, "", "where the daemon is reached from outside; none: links to files are paths"
    )
    max_attachment_bytes: int = setting("MAX_ATTACHMENT_BYTES", whole(1), 26_214_400, "largest file")
    max_idle_upload_bytes: int = setting(
        "MAX_IDLE_UPLOAD_BYTES", whole(1), 1 << 30, "whose files that no message carries have more uploads nothing"
    )
    attachment_types: tuple[str, ...] = setting(
        "ATTACHMENT_TYPES",
        parse_types,
        ATTACHMENT_TYPES,
        "types of files that may be uploaded, told by their bytes; none of them is ever HTML, SVG or a script",
    )
    attachment_link_s: int = setting(
        "ATTACHMENT_LINK_S", whole(2), 300, "so long at most a link to a file's bytes holds"
    )
    attachment_orphan_s: float = setting(
        "ATTACHMENT_ORPHAN_S", seconds(1), 86_400.0, "a file that no message has carried for so long is cleared away"
    )
    rate_uploads: Rate = setting("RATE_UPLOADS", parse_rate, Rate(1, 1, 30), "uploads a user: refill and burst")
    demo: bool = setting("DEMO", parse_bool, False, "serves the demo client at /")
    log_format: str = setting("LOG_FORMAT", one_of("console", "json"), "", "console on a terminal, else json")
    log_level: str = setting("LOG_LEVEL", parse_level, "INFO", "DEBUG, INFO, WARNING or ERROR")

    @property
    def algorithms(self) -> tuple[str, ...]:
        return self.jwt_algorithms or (("HS256",) if self.jwt_secret else ("RS256", "ES256", "EdDSA"))

    @property
    def attachments_dir(self) -> Path:
        """Where uploads are kept. The nodes of a cluster share it."""
        return self.data_dir / "attachments"

    @property
    def notifies(self) -> bool:
        """Whether people who are away are told of anything."""
        return bool(self.webhook_url or self.vapid_private_key)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], **overrides: Any) -> tuple["Config", list[str]]:
        """The settings and the warnings about names that are no setting. Raises SetupError, one line for each bad value."""
        known = {item.metadata["name"]: item for item in fields(cls)}
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name, item in known.items():
            text = environ.get(name, "")
            if text == "":
                continue
            try:
                values[item.name] = item.metadata["parse"](text)
            except ValueError as error:
                problems.append(f"{name} {error}")
        config = cls(**(values | overrides))
        problems += _contradictions(config)
        if problems:
            raise SetupError("\n".join(problems))
        return config, _unknown(environ, known)


def _contradictions(config: Config) -> list[str]:
    problems = []
    keys = {
        "MESSENGER_JWT_SECRET": config.jwt_secret,
        "MESSENGER_JWT_PUBLIC_KEY_FILE": config.jwt_public_key_file,
        "MESSENGER_JWT_JWKS_URL": config.jwt_jwks_url,
    }
    given = [name for name, value in keys.items() if value]
    if len(given) > 1:
        problems.append(f"{' and '.join(given)} are {'both' if len(given) == 2 else 'all'} set: keep one of them")
    symmetric = {"HS256": MIN_SECRET_BYTES, "HS384": 48, "HS512": 64}
    least = max((symmetric[name] for name in config.algorithms if name in symmetric), default=MIN_SECRET_BYTES)
    if config.jwt_secret and len(config.jwt_secret.encode()) < least:
        problems.append(f"MESSENGER_JWT_SECRET must have {least} bytes or more")
    if config.stats_private and config.auth == "off":
        problems.append("MESSENGER_STATS_PRIVATE is on, and MESSENGER_AUTH is off: then no token is asked for")
    if config.webhook_secret and len(config.webhook_secret.encode()) < MIN_SECRET_BYTES:
        problems.append(f"MESSENGER_WEBHOOK_SECRET must have {MIN_SECRET_BYTES} bytes or more")
    asymmetric = {"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"}
    # One family only: a public key must never be taken for a secret.
    problems += [
        f"MESSENGER_JWT_ALGORITHMS names {name!r}, which does not go with the key that is set"
        for name in config.jwt_algorithms
        if name not in (symmetric if config.jwt_secret else asymmetric)
    ]
    return problems


def _unknown(environ: Mapping[str, str], known: Mapping[str, object]) -> list[str]:
    warnings = []
    # Compared without the prefix: with it everything looks alike.
    candidates = [name.removeprefix(PREFIX) for name in known]
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not name.startswith(FOREIGN):
            near = difflib.get_close_matches(name.removeprefix(PREFIX), candidates, n=1)
            warnings.append(f"{name} is no setting" + (f"; is {PREFIX}{near[0]} meant?" if near else ""))
    return warnings
