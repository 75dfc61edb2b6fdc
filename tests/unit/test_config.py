"""Settings: each is read, a bad value is told in one line, and a name that is no setting is told as a warning."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from messenger import config as module
from messenger.config import FOREIGN, Config, Rate, parse_bool, parse_rate
from messenger.errors import SetupError

SECRET = "a-secret-of-at-least-thirty-two-bytes"
VAPID = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"

# Name (without MESSENGER_), text, field and value: every setting, at every form of its own.
READ: list[tuple[str, str, str, Any]] = [
    ("DATABASE_URL", "postgresql://u:p@h:5432/db", "database_url", "postgresql://u:p@h:5432/db"),
    ("DATABASE_URL", "postgres://h/db", "database_url", "postgres://h/db"),
    (
        "DATABASE_URL",
        "postgresql:///db?host=/run/pg&port=5432",
        "database_url",
        "postgresql:///db?host=/run/pg&port=5432",
    ),
    ("DATABASE_URL", "postgresql://u@a:1,b:2/db", "database_url", "postgresql://u@a:1,b:2/db"),
    ("DATABASE_URL", "postgresql://u@[::1]:3/db", "database_url", "postgresql://u@[::1]:3/db"),
    ("DATABASE_URL", "postgresql://u:p%2F%3F%23%40@h/db", "database_url", "postgresql://u:p%2F%3F%23%40@h/db"),
    ("MIGRATE_DATABASE_URL", "postgresql://owner@h/db", "migrate_database_url", "postgresql://owner@h/db"),
    ("DATABASE_POOLED", "on", "database_pooled", True),
    ("REDIS_URL", "redis://:p@h:6379/1", "redis_url", "redis://:p@h:6379/1"),
    ("REDIS_URL", "rediss://h", "redis_url", "rediss://h"),
    ("REDIS_URL", "unix:///run/redis.sock?db=1", "redis_url", "unix:///run/redis.sock?db=1"),
    ("REDIS_PREFIX", "chat:", "redis_prefix", "chat:"),
    ("DATA_DIR", "/srv/messenger", "data_dir", Path("/srv/messenger")),
    ("AUTH", "jwt", "auth", "jwt"),
    ("AUTH", "off", "auth", "off"),
    ("JWT_SECRET", SECRET, "jwt_secret", SECRET),
    ("JWT_PUBLIC_KEY_FILE", "/etc/key.pem", "jwt_public_key_file", "/etc/key.pem"),
    ("JWT_JWKS_URL", "https://id.example/keys", "jwt_jwks_url", "https://id.example/keys"),
    ("JWT_JWKS_URL", "http://keycloak:8080/certs", "jwt_jwks_url", "http://keycloak:8080/certs"),
    ("API_TOKEN", "the host's own key", "api_token", "the host's own key"),
    ("JWT_ALGORITHMS", "RS256, ES256 ,EdDSA", "jwt_algorithms", ("RS256", "ES256", "EdDSA")),
    ("JWT_AUDIENCE", "chat", "jwt_audience", "chat"),
    ("JWT_ISSUER", "https://example.org", "jwt_issuer", "https://example.org"),
    ("JWT_LEEWAY_S", "0", "jwt_leeway_s", 0.0),
    ("JWT_LEEWAY_S", "2.5", "jwt_leeway_s", 2.5),
    ("JWT_USER_CLAIM", "uid", "jwt_user_claim", "uid"),
    ("UNKNOWN_USERS", "refuse", "unknown_users", "refuse"),
    ("WHO_STARTS", "service", "who_starts", "service"),
    ("ALLOWED_ORIGINS", "https://a.example, http://b:8080", "allowed_origins", ("https://a.example", "http://b:8080")),
    ("ALLOWED_ORIGINS", "*", "allowed_origins", ("*",)),
    ("ALLOWED_ORIGINS", "HTTPS://A.example:443,http://a:80", "allowed_origins", ("https://a.example", "http://a")),
    ("ALLOWED_ORIGINS", "http://a:443,https://a:80", "allowed_origins", ("http://a:443", "https://a:80")),
    ("ALLOWED_ORIGINS", "http://[::1]:80, http://[::80]", "allowed_origins", ("http://[::1]", "http://[::80]")),
    (
        "ALLOWED_ORIGINS",
        "capacitor://localhost,tauri://localhost",
        "allowed_origins",
        ("capacitor://localhost", "tauri://localhost"),
    ),
    (
        "ALLOWED_ORIGINS",
        "chrome-extension://ab, web+x.y-1://h",
        "allowed_origins",
        ("chrome-extension://ab", "web+x.y-1://h"),
    ),
    ("TRUSTED_PROXIES", "10.0.0.0/8, ::1,192.0.2.1", "trusted_proxies", ("10.0.0.0/8", "::1", "192.0.2.1")),
    ("MAX_FRAME_BYTES", "1024", "max_frame_bytes", 1024),
    ("MAX_CONTENT_CHARS", "1", "max_content_chars", 1),
    ("MAX_DEVICES_PER_USER", "1", "max_devices_per_user", 1),
    ("MAX_CONNECTIONS", "50000", "max_connections", 50000),
    ("MAX_QUEUE_BYTES", "65536", "max_queue_bytes", 65536),
    ("RATE_MESSAGES", "1/10s,5", "rate_messages", Rate(1, 10, 5)),
    ("RATE_MESSAGES", "off", "rate_messages", Rate(0, 1, 0)),
    ("RATE_FRAMES", "0.5/1.5s,2.5", "rate_frames", Rate(0.5, 1.5, 2.5)),
    ("HEARTBEAT_S", "0.1", "heartbeat_s", 0.1),
    ("PRESENCE_TTL_S", "1", "presence_ttl_s", 1.0),
    ("PRESENCE_GRACE_S", "0", "presence_grace_s", 0.0),
    ("DRAIN_S", "0", "drain_s", 0.0),
    ("CATCH_UP_S", "0.05", "catch_up_s", 0.05),
    ("WEBHOOK_URL", "https://app.example/hook?key=1", "webhook_url", "https://app.example/hook?key=1"),
    ("WEBHOOK_URL", "http://app:8080/hook", "webhook_url", "http://app:8080/hook"),
    ("WEBHOOK_SECRET", SECRET, "webhook_secret", SECRET),
    ("VAPID_PRIVATE_KEY", VAPID, "vapid_private_key", VAPID),
    ("VAPID_PRIVATE_KEY", f"{VAPID}=", "vapid_private_key", f"{VAPID}="),
    ("VAPID_SUBJECT", "mailto:ann@mail.example.org", "vapid_subject", "mailto:ann@mail.example.org"),
    ("VAPID_SUBJECT", "https://example.org/", "vapid_subject", "https://example.org"),
    ("PRIVATE_TARGETS", "10.0.0.0/8, 127.0.0.1,fd00::/8", "private_targets", ("10.0.0.0/8", "127.0.0.1", "fd00::/8")),
    ("PRIVATE_PUSH_TARGETS", "10.9.0.0/16", "private_push_targets", ("10.9.0.0/16",)),
    ("NOTIFY_ATTEMPTS", "1", "notify_attempts", 1),
    ("NOTIFY_ATTEMPTS", "20", "notify_attempts", 20),
    ("STATS_PRIVATE", "on", "stats_private", True),
    ("INSECURE", "on", "insecure", True),
    ("OPEN_ROOMS", "on", "open_rooms", True),
    ("OPEN_ROOM_TTL_S", "3600", "open_room_ttl_s", 3600.0),
    ("MAX_CONNECTIONS_PER_ADDRESS", "1", "max_connections_per_address", 1),
    ("GUEST_TTL_S", "1", "guest_ttl_s", 1.0),
    ("RATE_JOINS", "1/60s,10", "rate_joins", Rate(1, 60, 10)),
    ("RATE_ROOMS", "1/60s,5", "rate_rooms", Rate(1, 60, 5)),
    ("RATE_GUESSES", "off", "rate_guesses", Rate(0, 1, 0)),
    ("PUBLIC_URL", "https://chat.example.org/", "public_url", "https://chat.example.org"),
    ("PUBLIC_URL", "http://h:8080/chat", "public_url", "http://h:8080/chat"),
    ("MAX_ATTACHMENT_BYTES", "1", "max_attachment_bytes", 1),
    ("MAX_IDLE_UPLOAD_BYTES", "1", "max_idle_upload_bytes", 1),
    (
        "ATTACHMENT_TYPES",
        "image/*, text/x-*,application/pdf",
        "attachment_types",
        ("image/*", "text/x-*", "application/pdf"),
    ),
    ("ATTACHMENT_LINK_S", "2", "attachment_link_s", 2),
    ("ATTACHMENT_ORPHAN_S", "1.5", "attachment_orphan_s", 1.5),
    ("RATE_UPLOADS", "2/1s,4", "rate_uploads", Rate(2, 1, 4)),
    ("DEMO", "on", "demo", True),
    ("DEMO", "0", "demo", False),
    ("LOG_FORMAT", "json", "log_format", "json"),
    ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
]

# Name, text, and what is said of it.
BAD = [
    ("DATABASE_URL", "mysql://h/db", "must begin with postgresql:// or postgres://"),
    ("MIGRATE_DATABASE_URL", "h/db", "must begin with postgresql:// or postgres://"),
    ("REDIS_URL", "localhost:6379", "must begin with redis:// or rediss:// or unix://"),
    ("REDIS_PREFIX", "a b", "may have up to 64 of A-Za-z0-9:_.-"),
    ("REDIS_PREFIX", "x" * 65, "may have up to 64 of A-Za-z0-9:_.-"),
    ("AUTH", "none", "must be one of jwt, off"),
    ("JWT_SECRET", "short", "must have 32 bytes or more"),
    ("JWT_LEEWAY_S", "-1", "must be a number of seconds of at least 0"),
    ("UNKNOWN_USERS", "maybe", "must be one of provision, refuse"),
    ("WHO_STARTS", "nobody", "must be one of anyone, service"),
    ("ALLOWED_ORIGINS", "https://a/, b", "names 'https://a/', which is no origin such as https://chat.example.org"),
    ("ALLOWED_ORIGINS", "null", "names 'null', which is no origin such as https://chat.example.org"),
    *(
        ("ALLOWED_ORIGINS", odd, f"names {odd!r}, which is no origin such as https://chat.example.org")
        for odd in ("1x://a", "://a", "a.example", "https://", "file:///", "https://ann@a", "x_y://a", "NULL")
    ),
    ("TRUSTED_PROXIES", "10.0.0.0/8, proxy", "names 'proxy', which is no address or network"),
    ("MAX_FRAME_BYTES", "1023", "must be a whole number of at least 1024"),
    ("MAX_CONTENT_CHARS", "0", "must be a whole number of at least 1"),
    ("MAX_DEVICES_PER_USER", "many", "must be a whole number of at least 1"),
    ("MAX_CONNECTIONS", "1.5", "must be a whole number of at least 1"),
    ("MAX_CONNECTIONS", "9" * 40, "must be a whole number of at least 1"),
    ("MAX_QUEUE_BYTES", "-1", "must be a whole number of at least 65536"),
    ("RATE_MESSAGES", "10", "is no rate such as 10/1s,30 or off"),
    ("RATE_MESSAGES", "10/1s", "is no rate such as 10/1s,30 or off"),
    ("RATE_FRAMES", "0/1s,10", "must have an amount and a period above 0 and a burst of at least 1"),
    ("RATE_FRAMES", "1/0s,10", "must have an amount and a period above 0 and a burst of at least 1"),
    ("RATE_FRAMES", "1/1s,0.5", "must have an amount and a period above 0 and a burst of at least 1"),
    ("HEARTBEAT_S", "0", "must be a number of seconds of at least 0.1"),
    ("HEARTBEAT_S", "nan", "must be a number of seconds of at least 0.1"),
    ("PRESENCE_TTL_S", "0.5", "must be a number of seconds of at least 1"),
    ("PRESENCE_GRACE_S", "2s", "must be a number of seconds of at least 0"),
    ("DRAIN_S", "inf", "must be a number of seconds of at least 0"),
    ("CATCH_UP_S", "0", "must be a number of seconds of at least 0.05"),
    ("JWT_JWKS_URL", "file:///etc/keys.json", "must begin with https:// or http://"),
    ("WEBHOOK_URL", "ftp://app.example/hook", "must begin with https:// or http://"),
    ("WEBHOOK_SECRET", "x" * 31, "must have 32 bytes or more"),
    ("VAPID_PRIVATE_KEY", "x" * 42, "is no key such as messenger vapid makes: 43 characters of base64url"),
    ("VAPID_PRIVATE_KEY", "x" * 42 + "+", "is no key such as messenger vapid makes: 43 characters of base64url"),
    ("VAPID_SUBJECT", "ann@example.org", "must be mailto: with an address, or https:// with a host"),
    ("VAPID_SUBJECT", "mailto:ann", "must be mailto: with an address, or https:// with a host"),
    ("VAPID_SUBJECT", "http://example.org", "must be mailto: with an address, or https:// with a host"),
    ("VAPID_SUBJECT", "https://example.org/ann", "must be mailto: with an address, or https:// with a host"),
    ("PRIVATE_TARGETS", "10.0.0.0/8, localhost", "names 'localhost', which is no address or network"),
    ("PRIVATE_TARGETS", "10.0.0.0/33", "names '10.0.0.0/33', which is no address or network"),
    ("PRIVATE_PUSH_TARGETS", "push.example.org", "names 'push.example.org', which is no address or network"),
    ("NOTIFY_ATTEMPTS", "0", "must be a whole number of at least 1"),
    ("NOTIFY_ATTEMPTS", "21", "must be at most 20"),
    ("STATS_PRIVATE", "maybe", "must be on or off"),
    ("DATABASE_POOLED", "maybe", "must be on or off"),
    ("INSECURE", "please", "must be on or off"),
    ("OPEN_ROOMS", "yes", "must be on or off"),
    ("OPEN_ROOM_TTL_S", "0", "must be a number of seconds of at least 1"),
    ("MAX_CONNECTIONS_PER_ADDRESS", "0", "must be a whole number of at least 1"),
    ("GUEST_TTL_S", "0.5", "must be a number of seconds of at least 1"),
    ("RATE_JOINS", "5", "is no rate such as 10/1s,30 or off"),
    ("RATE_ROOMS", "on", "is no rate such as 10/1s,30 or off"),
    ("RATE_GUESSES", "0/1s,5", "must have an amount and a period above 0 and a burst of at least 1"),
    *(
        ("PUBLIC_URL", odd, "must be an address such as https://chat.example.org")
        for odd in (
            "chat.example.org",
            "ftp://h",
            "https://",
            "https://h/?a",
            "https://h/#a",
            "https://a@h",
            "https://h:port",
        )
    ),
    ("MAX_ATTACHMENT_BYTES", "0", "must be a whole number of at least 1"),
    ("MAX_IDLE_UPLOAD_BYTES", "0", "must be a whole number of at least 1"),
    *(
        ("ATTACHMENT_TYPES", f"image/*, {odd}", f"names {odd!r}, which is no type such as image/png or image/*")
        for odd in ("*", "*/*", "image", "image/*g", "Image/png", "image/a b")
    ),
    ("ATTACHMENT_LINK_S", "1", "must be a whole number of at least 2"),
    ("ATTACHMENT_ORPHAN_S", "0.5", "must be a number of seconds of at least 1"),
    ("RATE_UPLOADS", "1", "is no rate such as 10/1s,30 or off"),
    ("DEMO", "yes", "must be on or off"),
    ("LOG_FORMAT", "xml", "must be one of console, json"),
    ("LOG_LEVEL", "loud", "must be one of DEBUG, INFO, WARNING, ERROR"),
]

PASSWORD = "sesame"
UNREADABLE = [
    ("DATABASE_URL", f"postgresql://u:{PASSWORD}/x@h/db"),
    ("DATABASE_URL", f"postgresql://u:x#{PASSWORD}@h/db"),
    ("DATABASE_URL", f"postgresql://u:x?{PASSWORD}@h/db"),
    ("DATABASE_URL", f"postgresql://u:{PASSWORD}@h:port/db"),
    ("DATABASE_URL", f"postgresql://[u:{PASSWORD}@h/db"),
    ("MIGRATE_DATABASE_URL", f"postgresql://u:{PASSWORD}@h:1:2/db"),
    ("REDIS_URL", f"redis://:{PASSWORD}/x@h/0"),
    ("REDIS_URL", f"redis://:{PASSWORD}@h:123456/0"),
    ("WEBHOOK_URL", f"https://u:{PASSWORD}/x@h/hook"),
]


def read(environ: dict[str, str]) -> Config:
    config, warnings = Config.from_environ({f"MESSENGER_{name}": text for name, text in environ.items()})
    assert warnings == []
    return config


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SetupError) as refused:
        read(environ)
    return str(refused.value).split("\n")


def test_nothing_set_is_the_defaults() -> None:
    assert read({}) == Config()


def test_the_defaults_are_those_of_the_contract() -> None:
    config = Config()
    assert config.attachments_dir == config.data_dir / "attachments"
    told = {item.name: getattr(config, item.name) for item in fields(Config) if item.name != "data_dir"}
    assert told == {
        "database_url": "",
        "migrate_database_url": "",
        "database_pooled": False,
        "redis_url": "",
        "redis_prefix": "",
        "auth": "jwt",
        "jwt_secret": "",
        "jwt_public_key_file": "",
        "jwt_jwks_url": "",
        "jwt_algorithms": (),
        "jwt_audience": "",
        "jwt_issuer": "",
        "jwt_leeway_s": 10,
        "jwt_user_claim": "sub",
        "api_token": "",
        "unknown_users": "provision",
        "who_starts": "anyone",
        "allowed_origins": (),
        "trusted_proxies": (),
        "max_frame_bytes": 65536,
        "max_content_chars": 4000,
        "max_devices_per_user": 20,
        "max_connections": 20000,
        "max_queue_bytes": 1048576,
        "rate_messages": Rate(10, 1, 30),
        "rate_frames": Rate(50, 1, 200),
        "heartbeat_s": 25,
        "presence_ttl_s": 45,
        "presence_grace_s": 2,
        "drain_s": 10,
        "catch_up_s": 3,
        "webhook_url": "",
        "webhook_secret": "",
        "vapid_private_key": "",
        "vapid_subject": "",
        "private_targets": (),
        "private_push_targets": (),
        "notify_attempts": 8,
        "stats_private": False,
        "insecure": False,
        "open_rooms": False,
        "open_room_ttl_s": 30 * 86400,
        "max_connections_per_address": 100,
        "guest_ttl_s": 86400,
        "rate_joins": Rate(5, 1, 300),
        "rate_rooms": Rate(1, 1, 300),
        "rate_guesses": Rate(10, 60, 20),
        "public_url": "",
        "max_attachment_bytes": 25 * 1024 * 1024,
        "max_idle_upload_bytes": 1024 * 1024 * 1024,
        "attachment_types": (
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
        ),
        "attachment_link_s": 300,
        "attachment_orphan_s": 86400,
        "rate_uploads": Rate(1, 1, 30),
        "demo": False,
        "log_format": "",
        "log_level": "INFO",
    }


@pytest.mark.parametrize(("name", "text", "field", "value"), READ)
def test_a_setting_is_read(name: str, text: str, field: str, value: Any) -> None:
    assert getattr(read({name: text}), field) == value


def test_every_setting_is_tested() -> None:
    names = {item.metadata["name"].removeprefix("MESSENGER_") for item in fields(Config)}
    assert {name for name, *_ in READ} == names
    # Any text will do for these.
    free = {"DATA_DIR", "JWT_PUBLIC_KEY_FILE", "JWT_AUDIENCE", "JWT_ISSUER", "JWT_USER_CLAIM", "API_TOKEN"}
    assert {name for name, *_ in BAD} | {"JWT_ALGORITHMS"} | free == names


@pytest.mark.parametrize(("name", "text", "told"), BAD)
def test_a_bad_value_is_told_in_one_line(name: str, text: str, told: str) -> None:
    assert problems({name: text}) == [f"MESSENGER_{name} {told}"]


@pytest.mark.parametrize(("name", "text"), UNREADABLE)
def test_an_address_that_cannot_be_read_is_not_repeated(name: str, text: str) -> None:
    (line,) = problems({name: text})
    assert line.startswith(f"MESSENGER_{name} cannot be read: ")
    assert PASSWORD not in line


@pytest.mark.parametrize("name", [name for name, *_ in READ])
def test_an_empty_value_is_none(name: str) -> None:
    assert read({name: ""}) == Config()


def test_every_bad_value_has_its_line() -> None:
    bad = {"AUTH": "none", "MAX_CONNECTIONS": "many", "JWT_SECRET": "short", "DEMO": "yes"}
    lines = problems(bad)
    assert sorted(line.partition(" ")[0] for line in lines) == sorted(f"MESSENGER_{name}" for name in bad)


def test_two_keys_contradict_each_other() -> None:
    assert problems({"JWT_SECRET": SECRET, "JWT_PUBLIC_KEY_FILE": "/etc/key.pem"}) == [
        "MESSENGER_JWT_SECRET and MESSENGER_JWT_PUBLIC_KEY_FILE are both set: keep one of them"
    ]
    every = {"JWT_SECRET": SECRET, "JWT_PUBLIC_KEY_FILE": "/etc/key.pem", "JWT_JWKS_URL": "https://id.example/keys"}
    assert problems(every) == [
        "MESSENGER_JWT_SECRET and MESSENGER_JWT_PUBLIC_KEY_FILE and MESSENGER_JWT_JWKS_URL are all set: keep one of them"
    ]


@pytest.mark.parametrize(
    ("environ", "odd"),
    [
        ({"JWT_SECRET": SECRET, "JWT_ALGORITHMS": "HS256,RS256"}, "RS256"),
        ({"JWT_SECRET": SECRET, "JWT_ALGORITHMS": "none"}, "none"),
        ({"JWT_PUBLIC_KEY_FILE": "k", "JWT_ALGORITHMS": "RS256,HS256"}, "HS256"),
        ({"JWT_ALGORITHMS": "HS256"}, "HS256"),
    ],
)
def test_algorithms_are_of_the_keys_family(environ: dict[str, str], odd: str) -> None:
    """A public key must never be taken for a secret."""
    assert problems(environ) == [f"MESSENGER_JWT_ALGORITHMS names {odd!r}, which does not go with the key that is set"]


@pytest.mark.parametrize(
    ("environ", "algorithms"),
    [
        ({"JWT_SECRET": SECRET}, ("HS256",)),
        ({"JWT_PUBLIC_KEY_FILE": "k"}, ("RS256", "ES256", "EdDSA")),
        ({"JWT_SECRET": SECRET * 2, "JWT_ALGORITHMS": "HS512"}, ("HS512",)),
        ({"JWT_PUBLIC_KEY_FILE": "k", "JWT_ALGORITHMS": "ES256"}, ("ES256",)),
    ],
)
def test_algorithms_follow_from_the_key(environ: dict[str, str], algorithms: tuple[str, ...]) -> None:
    assert read(environ).algorithms == algorithms


def test_somebody_is_told_where_a_way_is_configured() -> None:
    assert not read({"VAPID_SUBJECT": "https://example.org", "WEBHOOK_SECRET": SECRET}).notifies
    assert read({"WEBHOOK_URL": "https://app.example/hook"}).notifies
    assert read({"VAPID_PRIVATE_KEY": VAPID}).notifies


def test_private_figures_need_somebody_who_looks_at_tokens() -> None:
    private = {"STATS_PRIVATE": "on", "API_TOKEN": "the host's own key"}
    assert read(private).stats_private
    assert problems({**private, "AUTH": "off"}) == [
        "MESSENGER_STATS_PRIVATE is on, and MESSENGER_AUTH is off: then no token is asked for"
    ]


def test_a_secret_is_measured_in_bytes() -> None:
    assert read({"JWT_SECRET": "ü" * 16}).jwt_secret == "ü" * 16
    assert problems({"JWT_SECRET": "ü" * 15 + "u"}) == ["MESSENGER_JWT_SECRET must have 32 bytes or more"]


@pytest.mark.parametrize(("algorithms", "least"), [("HS256", 32), ("HS256,HS384", 48), ("HS512", 64)])
def test_a_secret_is_as_long_as_the_longest_hash(algorithms: str, least: int) -> None:
    """Else every token would be refused: the library takes no shorter one."""
    assert read({"JWT_SECRET": "x" * least, "JWT_ALGORITHMS": algorithms})
    assert problems({"JWT_SECRET": "x" * (least - 1), "JWT_ALGORITHMS": algorithms}) == [
        f"MESSENGER_JWT_SECRET must have {least} bytes or more"
    ]


def test_unknown_names_are_told_and_the_nearest_one_is_guessed() -> None:
    _, warnings = Config.from_environ(
        {
            "MESSENGER_DATABASE_URI": "x",
            "MESSENGER_QQQ": "x",
            "messenger_auth": "off",
            "PATH": "/bin",
            f"{FOREIGN}DATABASE_URL": "x",
        }
    )
    assert warnings == [
        "MESSENGER_DATABASE_URI is no setting; is MESSENGER_DATABASE_URL meant?",
        "MESSENGER_QQQ is no setting",
    ]


def test_the_caller_overrides_the_environment() -> None:
    config, _ = Config.from_environ({"MESSENGER_AUTH": "jwt"}, auth="off", demo=True)
    assert (config.auth, config.demo) == ("off", True)


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().auth = "off"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "value"), [("on", True), ("TRUE", True), ("1", True), ("Off", False), ("false", False), ("0", False)]
)
def test_truth_has_three_spellings(text: str, value: bool) -> None:
    assert parse_bool(text) is value


def test_a_rate_may_be_off() -> None:
    assert parse_rate("off").unlimited
    assert not parse_rate("0.1/1s,1").unlimited


@pytest.mark.parametrize(("euid", "folder"), [(0, "/var/lib/messenger"), (1000, "messenger")])
def test_data_lies_where_the_platform_wants_it(monkeypatch: pytest.MonkeyPatch, euid: int, folder: str) -> None:
    monkeypatch.setattr(module.os, "geteuid", lambda: euid)
    assert str(Config().data_dir).endswith(folder)
