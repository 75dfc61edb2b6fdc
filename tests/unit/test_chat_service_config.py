"""The settings of ChatService: the flag and its variable, the lists, the environment in strings, and what is said of bad ones."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from messenger.chat_service import ChatService, ConfigError, Side
from messenger.chat_service.config import KEYS, ChatConfig, parse_config, read_config

SENDBIRD = {"app_id": "ABC-123", "api_token": "vendor's"}
WEBSOCKET = {"base_url": "https://chat.example.org", "api_token": "ours"}
VENDOR = Side("https://api-ABC-123.sendbird.com", "vendor's")
OURS = Side("https://chat.example.org", "ours")


def config(environ: dict[str, str] | None = None, **chat: Any) -> ChatConfig:
    return parse_config({"chat": {"sendbird": SENDBIRD, "websocket": WEBSOCKET, **chat}}, environ or {})


def service(environ: dict[str, str] | None = None, **chat: Any) -> ChatService:
    return ChatService(config(environ, **chat))


# The flag.


def test_without_a_word_everything_stays_with_the_vendor() -> None:
    assert config() == ChatConfig(False, frozenset(), frozenset(), VENDOR, None)
    assert service().backend_for("room", ["ann"]) == "sendbird"


@pytest.mark.parametrize("value", [True, "on", "true", "1", 1, "${FLAG}"])
def test_the_flag_sends_everything_to_the_daemon(value: Any) -> None:
    assert config({"FLAG": "on"}, use_websocket=value) == ChatConfig(True, frozenset(), frozenset(), None, OURS)
    assert service({"FLAG": "on"}, use_websocket=value).backend_for("room") == "websocket"


@pytest.mark.parametrize("value", [False, "off", "False", "0", 0, None])
def test_the_flag_may_be_off_in_as_many_words(value: Any) -> None:
    assert service(use_websocket=value).backend_for("room") == "sendbird"


@pytest.mark.parametrize(
    ("text", "in_the_file", "backend"),
    [
        *((text, False, "websocket") for text in ("on", "ON", "true", "1")),
        *((text, True, "sendbird") for text in ("off", "false", "False", "0")),
        ("", True, "websocket"),
        ("", False, "sendbird"),
    ],
)
def test_the_variable_overrides_the_file(text: str, in_the_file: bool, backend: str) -> None:
    chosen = service({"USE_WEBSOCKET_CHAT": text}, use_websocket=in_the_file)
    assert chosen.backend_for("room") == backend


def test_the_variable_overrides_what_the_file_cannot_say() -> None:
    assert config({"USE_WEBSOCKET_CHAT": "on"}, use_websocket="${NOT_SET}").use_websocket


@pytest.mark.parametrize("text", ["yes", "2", " on"])
def test_a_variable_that_says_nothing_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^USE_WEBSOCKET_CHAT must be on or off$"):
        config({"USE_WEBSOCKET_CHAT": text})


# The lists.


def test_a_listed_channel_goes_to_the_daemon_whoever_is_named() -> None:
    chosen = service(websocket_channels=["pilot"])
    assert [chosen.backend_for(url, users) for url in ("pilot", "other") for users in ((), ["ann"])] == [
        "websocket",
        "websocket",
        "sendbird",
        "sendbird",
    ]


@pytest.mark.parametrize(
    ("users", "backend"),
    [
        ([], "sendbird"),
        (["ann"], "websocket"),
        (["ann", "ben"], "websocket"),
        (["ann", "ben", "ann"], "websocket"),
        (["ann", "eve"], "sendbird"),
        (["eve"], "sendbird"),
        ([7], "websocket"),
        (["7", "ann"], "websocket"),
        (iter(["ann", "eve"]), "sendbird"),
    ],
)
def test_users_go_to_the_daemon_where_all_of_them_are_listed(users: Any, backend: str) -> None:
    assert service(websocket_users=["ann", "ben", 7]).backend_for("room", users) == backend


def test_one_id_is_no_list_of_ids() -> None:
    with pytest.raises(TypeError):
        service(websocket_users=["a", "n"]).backend_for("room", "ann")


def test_the_flag_counts_for_more_than_the_lists() -> None:
    chosen = service(use_websocket=True, websocket_channels=["pilot"], websocket_users=["ann"])
    assert chosen.backend_for("other", ["eve"]) == "websocket"


@pytest.mark.parametrize("lists", [{"websocket_channels": ["a"]}, {"websocket_users": ["ann"]}])
def test_with_a_list_both_sides_have_to_be_said(lists: dict[str, Any]) -> None:
    chosen = config(**lists)
    assert (chosen.sendbird, chosen.websocket) == (VENDOR, OURS)
    with pytest.raises(ConfigError, match=r"^chat\.websocket is missing, and calls may go to it$"):
        config(websocket=None, **lists)
    with pytest.raises(ConfigError, match=r"^chat\.sendbird is missing, and calls may go to it$"):
        config(sendbird=None, **lists)


# The environment.


def test_any_string_may_come_from_the_environment() -> None:
    environ = {"APP": "XYZ", "TOKEN": "t0k3n", "HOST": "chat.test", "PILOT": "room-1", "ANN": "ann"}
    assert config(
        environ,
        websocket_channels=["${PILOT}"],
        websocket_users=["${ANN}"],
        sendbird={"app_id": "${APP}", "api_token": "${TOKEN}"},
        websocket={"base_url": "https://${HOST}:8443/", "api_token": "a-${TOKEN}-z"},
    ) == ChatConfig(
        False,
        frozenset({"room-1"}),
        frozenset({"ann"}),
        Side("https://api-XYZ.sendbird.com", "t0k3n"),
        Side("https://chat.test:8443", "a-t0k3n-z"),
    )


def test_a_variable_is_not_read_again_in_what_it_holds() -> None:
    environ = {"TOKEN": "${OTHER}", "OTHER": "no"}
    assert config(environ, sendbird={"app_id": "A", "api_token": "${TOKEN}"}).sendbird == Side(
        "https://api-A.sendbird.com", "${OTHER}"
    )


@pytest.mark.parametrize(
    ("chat", "key"),
    [
        ({"sendbird": {"app_id": "${GONE}", "api_token": "t"}}, "chat.sendbird.app_id"),
        ({"sendbird": {"app_id": "A", "api_token": "${GONE}"}}, "chat.sendbird.api_token"),
        ({"use_websocket": True, "websocket": {"base_url": "${GONE}", "api_token": "t"}}, "chat.websocket.base_url"),
        ({"websocket_channels": ["a", "${GONE}"]}, "chat.websocket_channels[1]"),
        ({"use_websocket": "${GONE}"}, "chat.use_websocket"),
    ],
)
def test_a_variable_that_is_not_set_is_named_at_once(chat: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**chat)
    assert (caught.value.key, str(caught.value)) == (key, f"{key} names ${{GONE}}, which is not set")


def test_a_side_that_no_call_can_go_to_is_not_looked_at() -> None:
    gone = {"base_url": "${GONE}", "api_token": "${GONE}"}
    assert config(websocket=gone).sendbird == VENDOR
    assert config(use_websocket=True, sendbird={"app_id": "${GONE}", "api_token": ""}).websocket == OURS


# What is said of bad ones.


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "chat is missing"),
        ({}, "chat is missing"),
        ({"chat": None}, "chat is missing"),
        ([], "the file must be a mapping"),
        ({"chat": []}, "chat must be a mapping"),
        ({"chat": {"sendbird": "x"}}, "chat.sendbird must be a mapping"),
        (
            {"chat": {"use_websockets": True}},
            f"chat.use_websockets is no setting; there are {', '.join(KEYS)}",
        ),
        (
            {"chat": {"sendbird": {"token": "x"}}},
            "chat.sendbird.token is no setting; there are app_id, api_token, base_url",
        ),
        ({"chat": {"use_websocket": "maybe"}}, "chat.use_websocket must be on or off"),
        ({"chat": {"use_websocket": []}}, "chat.use_websocket must be a string"),
        ({"chat": {"websocket_channels": "a"}}, "chat.websocket_channels must be a list"),
        ({"chat": {"websocket_users": ["a", True]}}, "chat.websocket_users[1] must be a string"),
        ({"chat": {"websocket_users": ["a", None]}}, "chat.websocket_users[1] is missing"),
        ({"chat": {"websocket_users": [""]}}, "chat.websocket_users[0] is empty"),
        ({"chat": {}}, "chat.sendbird is missing, and calls may go to it"),
        ({"chat": {"use_websocket": True}}, "chat.websocket is missing, and calls may go to it"),
        ({"chat": {"sendbird": {"api_token": "t"}}}, "chat.sendbird.app_id is missing"),
        ({"chat": {"sendbird": {"app_id": "a"}}}, "chat.sendbird.api_token is missing"),
        ({"chat": {"sendbird": {"app_id": "a", "api_token": ""}}}, "chat.sendbird.api_token is empty"),
        (
            {"chat": {"sendbird": {"app_id": "a/@evil.test", "api_token": "t"}}},
            "chat.sendbird.app_id may have letters, digits and hyphens",
        ),
        *(
            (
                {"chat": {"use_websocket": True, "websocket": {"base_url": url, "api_token": "t"}}},
                "chat.websocket.base_url must be an address such as https://chat.example.org",
            )
            for url in (
                "chat.test",
                "ftp://chat.test",
                "https://",
                "https://a?b",
                "https://u:p@a",
                "https://a:x",
                "//a",
            )
        ),
    ],
)
def test_a_bad_setting_is_told_with_the_way_to_it(document: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(document, {})
    assert str(caught.value) == said
    assert said.startswith(caught.value.key)


@pytest.mark.parametrize(
    "url", ["https://chat.test", "https://chat.test/", "https://chat.test/v3", "https://chat.test/v3/"]
)
def test_an_address_may_name_the_version_or_not(url: str) -> None:
    assert config(use_websocket=True, websocket={**WEBSOCKET, "base_url": url}).websocket == Side(
        "https://chat.test", "ours"
    )


def test_the_vendor_may_be_elsewhere() -> None:
    elsewhere = {"base_url": "http://127.0.0.1:1", "api_token": "t"}
    assert config(sendbird=elsewhere).sendbird == Side("http://127.0.0.1:1", "t")


def test_no_token_is_in_what_is_printed() -> None:
    assert "vendor's" not in repr(config(websocket_users=["ann"]))


# The file.

FILE = """
    database: {url: the host application's own}
    chat:
      use_websocket: off
      websocket_channels: [pilot]
      websocket_users:
        - ann
        - 7
      sendbird: {app_id: "${APP}", api_token: "${TOKEN}"}
      websocket: {base_url: https://chat.example.org, api_token: "${TOKEN}"}
"""
READ = ChatConfig(
    False,
    frozenset({"pilot"}),
    frozenset({"ann", "7"}),
    Side("https://api-A.sendbird.com", "t"),
    Side("https://chat.example.org", "t"),
)
ENVIRON = {"APP": "A", "TOKEN": "t"}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat.yaml").write_text(textwrap.dedent(FILE))
    return tmp_path / "chat.yaml"


def test_a_file_is_read_by_its_path(file: Path) -> None:
    moved = file.rename(file.with_name("production.yaml"))
    assert read_config(moved, ENVIRON) == read_config(str(moved), ENVIRON) == READ
    assert read_config(None, {**ENVIRON, "CHAT_CONFIG": str(moved)}) == READ


def test_the_file_of_the_working_folder_is_read_where_none_is_said(file: Path) -> None:
    assert read_config(None, ENVIRON) == READ
    assert ChatService.from_config(environ=ENVIRON).backend_for("pilot") == "websocket"


def test_the_environment_is_the_processes_own_unless_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENVIRON, "USE_WEBSOCKET_CHAT": "on"}.items():
        monkeypatch.setenv(name, value)
    assert ChatService.from_config().backend_for("other") == "websocket"


def test_a_missing_file_is_named(file: Path) -> None:
    file.unlink()
    with pytest.raises(ConfigError) as caught:
        ChatService.from_config(environ={})
    assert str(caught.value) == "chat.yaml cannot be read: No such file or directory; give a path, or set CHAT_CONFIG"


def test_a_file_that_is_no_yaml_is_told_with_its_line_and_without_what_it_says(file: Path) -> None:
    file.write_text("chat:\n  sendbird: {api_token: s3cret\n")
    with pytest.raises(ConfigError) as caught:
        read_config("chat.yaml", {})
    assert str(caught.value) == "chat.yaml is no YAML in line 3"


def test_a_file_makes_nothing_but_plain_values(file: Path) -> None:
    file.write_text("chat: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="is no YAML"):
        read_config("chat.yaml", {})


def test_a_host_application_imports_nothing_else_of_the_daemon() -> None:
    code = "import sys, messenger.chat_service as it; print(*sorted(name for name in sys.modules if '.' not in name))"
    code += "; print(*sorted(name for name in sys.modules if name.startswith('messenger')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    libraries, ours = (set(line.split()) for line in done.stdout.splitlines())
    assert {name for name in ours if not name.startswith("messenger.chat_service")} == {"messenger"}
    assert libraries & {"asyncpg", "redis", "marshmallow", "structlog", "click", "jwt", "orjson", "socketio"} == set()
    assert {"aiohttp", "yaml"} <= libraries
