"""What README.md shows works as it stands there."""

import asyncio
import os
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from messenger.config import Config
from tests.support import protocol_page
from tests.support.node import Cluster
from tests.support.people import Client
from tests.support.reachable import SECRET

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    """The one code block of a language in which a text stands."""
    (found,) = [code for code in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in code]
    return str(found)


async def run_node(code: str, *, ending: str) -> str:
    """What a snippet prints in Node with some lines more; skipped where there is none, a failure where one is required."""
    if shutil.which("node") is None:
        if os.environ.get("MESSENGER_TEST_REQUIRE_BROWSER"):
            pytest.fail("Node is not installed, and the front-end's tests are required")
        pytest.skip("Node is not installed")
    running = await asyncio.create_subprocess_exec(
        "node", "--input-type=module", "-e", code + ending, stdout=-1, stderr=-1
    )
    told, trouble = await running.communicate()
    assert running.returncode == 0, trouble.decode()
    return told.decode().strip()


async def test_a_token_signed_as_shown_in_python_lets_its_user_in(cluster: Cluster) -> None:
    made: dict[str, Any] = {}
    exec(block("python", "def token("), made)
    await is_let_in(cluster, made["token"](7, "Ann", SECRET))


async def test_a_token_signed_as_shown_in_node_lets_its_user_in(cluster: Cluster) -> None:
    ending = f"\nconsole.log(token(7, 'Ann', {SECRET!r}));"
    await is_let_in(cluster, await run_node(block("js", "export function token("), ending=ending))


async def is_let_in(cluster: Cluster, token: str) -> None:
    node = await cluster.node()
    status, told = await Client(node.session, node.origin, token).get("/users/me")
    assert (status, told["id"], told["name"]) == (200, 7, "Ann")
    hello = await node.knock("/ws/7", bearer=token)
    assert isinstance(hello, dict), hello
    assert hello["event"] == "connected"


def test_every_setting_stands_in_the_table() -> None:
    table = README.partition("## Settings")[2].partition("\n## ")[0]
    # A row leaves out what its first name begins with: `MESSENGER_JWT_SECRET` / `_JWT_JWKS_URL`, `_AUDIENCE`.
    told = set(re.findall(r"`(?:MESSENGER)?(_\w+)`", table))
    missing = [
        item.metadata["name"]
        for item in fields(Config)
        if not any(item.metadata["name"].removeprefix("MESSENGER").endswith(name) for name in told)
    ]
    assert missing == []


def test_every_frame_stands_there_as_the_daemon_describes_it() -> None:
    assert protocol_page.told(README) == README


def test_every_test_that_is_named_exists() -> None:
    root = Path(__file__).parents[2]
    for path in re.findall(r"`(tests/[\w/.]+)`", README):
        assert (root / path).exists(), path
    for path, name in re.findall(r"`(?:tests/)?([\w/]+\.py)::(\w+)`", README):
        assert f"def {name}(" in (root / "tests" / path).read_text(encoding="utf-8"), name
