"""The command line as a person meets it: what is wrong is told in a line each, with exit code 2, and no secret is told."""

import asyncio
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import jwt
import pytest

from messenger.cli import main
from tests.support.command import JWT_SECRET, Told, in_one_line, messenger, serving, settings_of
from tests.support.database import PASSWORD, Database, Servers

NO_DATABASE = (
    "messenger: MESSENGER_DATABASE_URL is missing: set it (and run messenger migrate), or start with --embedded"
)
OFF = "messenger: warning: authentication is off: whoever reaches this daemon can be anybody"
OWN_ROLE = "connect as a login role of its own, with GRANT messenger_app TO it and nothing else"
NOWHERE = "unix:///nowhere/redis.sock"


@pytest.fixture
def settings(database: Database) -> dict[str, str]:
    return settings_of(database)


async def test_serve_without_a_database_says_what_is_missing() -> None:
    assert in_one_line(await messenger("serve")) == NO_DATABASE


async def test_serve_says_what_else_is_missing(settings: dict[str, str]) -> None:
    del settings["redis_url"]
    told, keyless = await asyncio.gather(
        messenger("serve", **settings), messenger("serve", **(settings | {"redis_url": NOWHERE, "jwt_secret": ""}))
    )
    assert in_one_line(told) == "messenger: MESSENGER_REDIS_URL is missing: set it, or start with --embedded"
    assert in_one_line(keyless).startswith("messenger: no key to check tokens with: set MESSENGER_JWT_SECRET")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_folder_that_uploads_cannot_be_kept_in_ends_the_start(
    settings: dict[str, str], tmp_path: Path, workers: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    told = await messenger(
        "serve", "--port", "0", "--workers", workers, **(settings | {"data_dir": str(tmp_path / "file")})
    )
    assert in_one_line(told) == (
        f"messenger: uploads cannot be kept in {tmp_path}/file/attachments (Not a directory): MESSENGER_DATA_DIR must be a "
        "folder that the daemon may write to"
    )


async def test_bad_values_are_told_in_a_line_each() -> None:
    """Of every command alike; an address with a password in it is not repeated."""
    bad = {
        "auth": "none",
        "max_connections": "many",
        "rate_messages": "10",
        "jwt_secret": "short",
        "database_url": f"postgresql://u:{PASSWORD}/@h/db",
    }
    commands = [["serve"], ["demo"], ["migrate"], ["token", "7"], ["doctor"], ["epoch"]]
    for told in await asyncio.gather(*(messenger(*command, **bad) for command in commands)):
        assert told.code == 2
        assert sorted(line.split()[1] for line in told.lines) == sorted(f"MESSENGER_{name.upper()}" for name in bad)


async def test_two_keys_are_one_too_many(tmp_path: Path) -> None:
    told = await messenger("serve", jwt_secret=JWT_SECRET, jwt_public_key_file=str(tmp_path / "key.pem"))
    assert in_one_line(told) == (
        "messenger: MESSENGER_JWT_SECRET and MESSENGER_JWT_PUBLIC_KEY_FILE are both set: keep one of them"
    )


async def test_a_public_key_is_looked_at_before_anybody_needs_it(settings: dict[str, str], tmp_path: Path) -> None:
    del settings["jwt_secret"]
    (tmp_path / "no-key.pem").write_text(JWT_SECRET)
    absent, wrong = await asyncio.gather(
        *(messenger("serve", **settings, jwt_public_key_file=str(tmp_path / name)) for name in ("absent", "no-key.pem"))
    )
    assert in_one_line(absent) == "messenger: MESSENGER_JWT_PUBLIC_KEY_FILE cannot be read: No such file or directory"
    assert in_one_line(wrong) == (
        "messenger: MESSENGER_JWT_PUBLIC_KEY_FILE holds no public key in PEM for RS256, ES256, EdDSA"
    )


async def test_an_unknown_setting_is_a_warning() -> None:
    told = await messenger("token", "7", jwt_secret=JWT_SECRET, databse_url="x", qqq="x")
    assert told.code == 0
    assert told.lines == [
        "messenger: warning: MESSENGER_DATABSE_URL is no setting; is MESSENGER_DATABASE_URL meant?",
        "messenger: warning: MESSENGER_QQQ is no setting",
    ]


async def test_a_demo_shows_its_figures_whatever_was_set() -> None:
    """It has no tokens to ask for, and nobody who tries it said that it should have none."""
    told = await messenger("demo", "--host", "0.0.0.0", stats_private="on")
    assert in_one_line(told).endswith("is not loopback: anybody could be anybody; --insecure allows it")


async def test_authentication_off_stays_at_home(settings: dict[str, str]) -> None:
    settings["auth"] = "off"
    for told in await asyncio.gather(
        *(messenger(command, "--host", host, **settings) for command in ("serve", "demo") for host in ("0.0.0.0", "::"))
    ):
        assert in_one_line(told).endswith("is not loopback: anybody could be anybody; --insecure allows it")
    async with serving("--host", "0.0.0.0", "--insecure", **settings) as insecure, serving(**settings) as at_home:
        for daemon in (insecure, at_home):
            told = await daemon.stop()
            assert told.code == 0
            assert told.lines[0] == OFF


@pytest.fixture
async def odd_roles(servers: Servers) -> AsyncIterator[dict[str, str]]:
    """Login roles that must not serve, by what is odd about them; their names."""
    tag = secrets.token_hex(4)
    names = {odd: f"messenger_{odd}_{tag}" for odd in ("bypassing", "climbing", "plain")}
    await servers.execute(
        f"""
        create role {names["bypassing"]} login bypassrls password '{PASSWORD}';
        create role {names["climbing"]} login password '{PASSWORD}';
        create role {names["plain"]} login password '{PASSWORD}';
        grant messenger_app to {names["bypassing"]};
        grant messenger_app, {names["bypassing"]} to {names["climbing"]};
        """
    )
    yield names
    await servers.execute(f"drop role {', '.join(names.values())}")


async def test_serve_refuses_who_is_too_strong_or_too_weak(
    settings: dict[str, str], database: Database, empty_database: Database, odd_roles: dict[str, str]
) -> None:
    del settings["database_url"]
    servers = database.servers
    as_role = {odd: database.app_url.replace(servers.login, name, 1) for odd, name in odd_roles.items()}
    cases = {
        database.admin_url: f" is a superuser: {OWN_ROLE}",
        database.owner_url: f"role {servers.owner} owns tables of the schema messenger: {OWN_ROLE}",
        as_role["bypassing"]: f"role {odd_roles['bypassing']} bypasses row-level security: {OWN_ROLE}",
        as_role["climbing"]: f"role {odd_roles['climbing']} bypasses row-level security: {OWN_ROLE}",
        as_role["plain"]: f"role {odd_roles['plain']} lacks messenger_app: run as the owner: "
        f'GRANT messenger_app TO "{odd_roles["plain"]}"',
        empty_database.app_url: "messenger: the database is not migrated: run messenger migrate",
        database.app_url.replace(PASSWORD, "wrong"): f'password authentication failed for user "{servers.login}")',
        database.app_url.replace(database.name, "nowhere"): 'database "nowhere" does not exist)',
    }
    if not await asks_for_passwords(database):
        del cases[database.app_url.replace(PASSWORD, "wrong")]
    told = await asyncio.gather(*(messenger("serve", "--port", "0", **settings, database_url=url) for url in cases))
    for one, expected in zip(told, cases.values(), strict=True):
        assert in_one_line(one).endswith(expected)


async def asks_for_passwords(database: Database) -> bool:
    """A server of the developer's own may trust whoever comes."""
    try:
        connection = await asyncpg.connect(database.app_url.replace(PASSWORD, "wrong"))
    except asyncpg.InvalidPasswordError:
        return True
    await connection.close()
    return False


async def test_a_port_that_is_taken_is_told_in_one_line(settings: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = await messenger("serve", "--port", str(port), **settings)
    (line,) = [line for line in told.lines if line.startswith("messenger: ")]
    assert (told.code, told.out) == (2, "")
    assert line.startswith(f"messenger: cannot listen on 127.0.0.1 port {port}: ")
    assert line.endswith("ddress already in use")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_serves_until_it_is_asked_to_stop(settings: dict[str, str], number: signal.Signals) -> None:
    async with serving(**settings) as daemon, aiohttp.ClientSession() as session:
        async with session.get(daemon.origin + "/readyz") as answer:
            ready = await answer.json()
            assert (answer.status, ready["database"], ready["bus"]) == (200, "ok", "ok")
        headers = {"Authorization": f"Bearer {(await messenger('token', '7', **settings)).out.strip()}"}
        async with session.ws_connect(daemon.origin + "/ws/7", headers=headers) as device:
            assert (await device.receive_json())["event"] == "connected"
            begun = time.monotonic()
            stopping = asyncio.create_task(daemon.stop(number))
            assert (await device.receive_json())["event"] == "draining"
            assert (await device.receive()).data == 1012
            told = await stopping
    assert told.code == 0
    assert time.monotonic() - begun < 10
    assert told.out == f"Serving on {daemon.origin}\n"


def claims_of(told: Told, **options: Any) -> dict[str, Any]:
    assert (told.code, told.err) == (0, "")
    claims: dict[str, Any] = jwt.decode(told.out.strip(), JWT_SECRET, algorithms=["HS256"], **options)
    return claims


async def test_a_token_says_what_was_asked_for() -> None:
    plain, named, service, apt = await asyncio.gather(
        messenger("token", "7", jwt_secret=JWT_SECRET),
        messenger("token", "9007199254740991", "--name", "Ann", "--ttl", "60", jwt_secret=JWT_SECRET),
        messenger("token", "--service", jwt_secret=JWT_SECRET),
        messenger("token", "7", jwt_secret=JWT_SECRET, jwt_audience="chat", jwt_issuer="host", jwt_user_claim="uid"),
    )
    claims = claims_of(plain)
    assert set(claims) == {"sub", "iat", "exp"}
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("7", 3600)
    assert abs(claims["iat"] - time.time()) < 60
    claims = claims_of(named)
    assert (claims["sub"], claims["name"], claims["exp"] - claims["iat"]) == ("9007199254740991", "Ann", 60)
    claims = claims_of(service)
    assert (claims["scope"], "sub" in claims) == ("service", False)
    claims = claims_of(apt, audience="chat", issuer="host")
    assert (claims["uid"], "sub" in claims) == ("7", False)


async def test_a_token_is_for_a_user_id() -> None:
    bad = ["0", "07", "9007199254740992", "ann", "٧"]
    *told, nobody, keyless = await asyncio.gather(
        *(messenger("token", "--", user_id, jwt_secret=JWT_SECRET) for user_id in bad),
        messenger("token", jwt_secret=JWT_SECRET),
        messenger("token", "7"),
    )
    for user_id, one in zip(bad, told, strict=True):
        assert in_one_line(one) == f"messenger: {user_id!r} is no user id: an integer from 1 to 2^53-1"
    assert in_one_line(nobody) == "messenger: USER_ID is missing"
    assert in_one_line(keyless) == "messenger: MESSENGER_JWT_SECRET is missing: only the holder of the key can sign"


async def test_a_token_may_name_a_user_as_the_host_does() -> None:
    told = await messenger("token", "--external-id", "ann", jwt_secret=JWT_SECRET)
    assert jwt.decode(told.out.strip(), JWT_SECRET, algorithms=["HS256"])["sub"] == "ann"
    for bad in (("--external-id", "7"), ("--external-id", ""), ("7", "--external-id", "ann")):
        told = await messenger("token", *bad, jwt_secret=JWT_SECRET)
        assert (told.code, told.out) == (2, ""), bad
        in_one_line(told)


async def test_an_env_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "messenger.env"
    file.write_text(
        f"# Ours\n\nMESSENGER_JWT_SECRET='{JWT_SECRET}'\nexport MESSENGER_JWT_ISSUER = \"a host\"\n"
        "MESSENGER_JWT_AUDIENCE=file\nMESSENGER_JWT_USER_CLAIM=a=b\nOTHER=x\nMESSENGER_ODD=x\n"
    )
    told = await messenger("token", "7", "--env-file", str(file), jwt_audience="environment")
    assert told.lines == ["messenger: warning: MESSENGER_ODD is no setting"]
    claims = jwt.decode(told.out.strip(), JWT_SECRET, algorithms=["HS256"], audience="environment")
    assert (claims["iss"], claims["a=b"]) == ("a host", "7")


async def test_an_env_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    """Without what stands in it."""
    odd, binary = tmp_path / "odd.env", tmp_path / "binary.env"
    odd.write_text(f"MESSENGER_AUTH=jwt\n{JWT_SECRET}\n")
    binary.write_bytes(b"\xff\xfe")
    told = await asyncio.gather(
        *(messenger("token", "7", "--env-file", str(file)) for file in (odd, binary, tmp_path / "absent.env"))
    )
    assert in_one_line(told[0]) == f"messenger: {odd} line 2 is no NAME=value"
    assert in_one_line(told[1]) == f"messenger: {binary} cannot be read as text in UTF-8"
    assert told[2].code == 2
    assert "does not exist" in told[2].err


async def test_every_command_helps() -> None:
    commands = sorted(main.commands)
    assert {"serve", "demo", "migrate", "token", "doctor", "epoch"} <= set(commands)
    whole, *each = await asyncio.gather(messenger("--help"), *(messenger(name, "--help") for name in commands))
    for name, told in zip(commands, each, strict=True):
        assert (told.code, told.err) == (0, "")
        assert told.out.startswith(f"Usage: messenger {name} ")
        assert ("--env-file" in told.out) == (name != "vapid")  # which reads no setting
        assert f"\n  {name} " in whole.out
